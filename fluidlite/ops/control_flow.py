"""Operators that run a block of others: once if a condition holds, or again and again as long as it does."""

from ..core.errors import EnforceNotMet
from ..core.operators import operator
from ..core.regions import Region, RegionGradient
from ..core.spec import GRAD

_ONCE = Region(repeats=False, condition="Cond", captures="Input", results="Out", saves="Scope")
_LOOP = Region(repeats=True, condition="Condition", captures="X", results="Out", saves="StepScopes")
# Which variables of the block live on after it: a hint for Paddle's garbage collector.
_LIVE_ON = {"skip_eager_deletion_vars": []}
_STRINGS = {"skip_eager_deletion_vars": "STRINGS", "original_output_grad": "STRINGS", "sub_block": "BLOCK"}


def _gradients(names):
    return [name + GRAD for name in names]


def infer_conditional_block(attrs, conditions, captured):
    # The shapes of the results are set by the operators in the block.
    for condition in conditions:
        _check_condition(condition)
    return None, None


def infer_while(attrs, condition, captured):
    _check_condition(condition)
    return None, None


def _check_condition(spec):
    if spec.dtype != bool or (spec.size != 1 and -1 not in spec.shape):
        raise EnforceNotMet(
            f"the condition must be one truth value, its data type is {spec.dtype} and its shape {list(spec.shape)}"
        )


conditional_block = operator(
    "conditional_block",
    inputs="Cond*!, Input*?",
    outputs="Out*?, Scope!",
    types=_STRINGS,
    unused=_LIVE_ON,
    fixed={"is_scalar_condition": True},
    infer=infer_conditional_block,
    region=_ONCE,
)(None)

operator(
    "conditional_block_grad",
    inputs="Cond*, Input*, Out*, Out@GRAD*, Scope",
    outputs="Input@GRAD*",
    types=_STRINGS,
    fixed={"is_scalar_condition": True},
    infer=lambda attrs, conditions, captured, *others: captured,
    region=RegionGradient(_ONCE),
)(None)


@conditional_block.gradient_program
def conditional_block_gradient(inputs, outputs, attrs):
    read = {"Cond": inputs["Cond"], "Input": inputs.get("Input", []), **outputs, "Out@GRAD": _gradients(outputs["Out"])}
    found = {"Input@GRAD": _gradients(read["Input"])}
    return [("conditional_block_grad", read, found, {"is_scalar_condition": attrs["is_scalar_condition"]})]


while_ = operator(
    "while",
    inputs="Condition!, X*?",
    outputs="Out*?, StepScopes!",
    attrs={"is_test": False},
    types=_STRINGS,
    unused=_LIVE_ON,
    infer=infer_while,
    region=_LOOP,
)(None)

operator(
    "while_grad",
    inputs="X*, Out*, Out@GRAD*, StepScopes",
    outputs="X@GRAD*",
    attrs={"is_test": False},
    types=_STRINGS,
    unused=_LIVE_ON,
    infer=lambda attrs, captured, *others: captured,
    region=RegionGradient(_LOOP, names="original_output_grad"),
)(None)


@while_.gradient_program
def while_gradient(inputs, outputs, attrs):
    read = {"X": inputs.get("X", []), **outputs, "Out@GRAD": _gradients(outputs["Out"])}
    attrs = {**attrs, "original_output_grad": read["Out@GRAD"]}
    return [("while_grad", read, {"X@GRAD": _gradients(read["X"])}, attrs)]


def infer_select_input(attrs, xs, mask):
    if len({x.dtype for x in xs}) > 1:
        raise EnforceNotMet(f"X must have one data type, got {', '.join(str(x.dtype) for x in xs)}")
    return xs[0]


@operator("select_input", inputs="X*, Mask!", outputs="Out", infer=infer_select_input)
def select_input(ctx, xs, mask, out):
    ctx.xp.copyto(out, xs[int(mask.reshape(()))])


@operator("select_output", inputs="X, Mask!", outputs="Out*", infer=lambda attrs, x, mask: None)
def select_output(ctx, x, mask, outs):
    ctx.xp.copyto(outs[int(mask.reshape(()))], x)


@select_input.gradient_program
def select_input_gradient(inputs, outputs, attrs):
    return [
        (
            "select_output",
            {"X": _gradients(outputs["Out"]), "Mask": inputs["Mask"]},
            {"Out": _gradients(inputs["X"])},
            {},
        )
    ]
