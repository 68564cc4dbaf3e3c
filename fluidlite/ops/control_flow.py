"""Operators that run a block of others: once if a condition holds, or again and again as long as it does."""

from ..core.attributes import ignored
from ..core.errors import EnforceNotMet
from ..core.operators import operator
from ..core.regions import Region, RegionGradient
from ..core.spec import GRAD, Spec
from ..core.traits import Kernel, Lod
from .manipulation import known_values

_SCALAR = "is_scalar_condition"
_ONCE = Region(repeats=False, condition="Cond", captures="Input", results="Out", saves="Scope", scalar=_SCALAR)
_LOOP = Region(repeats=True, condition="Condition", captures="X", results="Out", saves="StepScopes")
# What Paddle's garbage collector has to leave alone.
_LIVE_ON = {"skip_eager_deletion_vars": ignored([], "STRINGS")}


def infer_region(attrs, conditions, captured):
    # The shapes of the results are known from the operators in the block.
    for spec in conditions if attrs.get(_SCALAR, True) else ():
        if spec.dtype != bool or (spec.size != 1 and -1 not in spec.shape):
            raise EnforceNotMet(
                f"the condition must be one truth value, its data type is {spec.dtype} and its shape {list(spec.shape)}"
            )
    if attrs["sub_block"] is None:
        raise EnforceNotMet("its attribute sub_block must be the block that it runs")
    return None, None


conditional_block = operator(
    "conditional_block",
    inputs="Cond*!, Input*?",
    outputs="Out*, Scope!",
    attributes={"sub_block": None, _SCALAR: True} | _LIVE_ON,
    infer=infer_region,
    kernel=Kernel(region=_ONCE),
)(None)

conditional_block.gradient(
    "Cond, Input, Out, Scope",
    infer=lambda attrs, condition, captured, *others: captured,
    kernel=Kernel(region=RegionGradient(_ONCE)),
)(None)

while_ = operator(
    "while",
    inputs="Condition*!, X*?",
    outputs="Out*, StepScopes!",
    attributes={"sub_block": None, "is_test": False} | _LIVE_ON,
    infer=infer_region,
    kernel=Kernel(region=_LOOP),
)(None)

while_.gradient(
    "X, Out, StepScopes",
    infer=lambda attrs, captured, *others: captured,
    kernel=Kernel(region=RegionGradient(_LOOP, names="original_output_grad")),
)(None)


def infer_select_input(attrs, xs, mask):
    number = known_values(mask)
    if number is not None:
        return xs[int(number[0])]
    if len({x.dtype for x in xs}) > 1:
        # With the value, the data type is found as well.
        return Spec((-1,) * len(xs[0].shape), xs[0].dtype)
    if all(x[::3] == xs[0][::3] for x in xs) or any(-1 in x.shape for x in xs):
        return xs[0]
    return Spec((-1,) * len(xs[0].shape), xs[0].dtype)


@operator(
    "select_input",
    inputs="X*, Mask!",
    outputs="Out",
    infer=infer_select_input,
    kernel=Kernel(chooses="X", shape_from="Mask"),
    lod=Lod(reads="X", levels=lambda attrs, levels: {"Out": 0}),
)
def select_input(ctx, xs, mask, out):
    ctx.xp.copyto(out, xs[int(mask.reshape(()))])


@operator("select_output", inputs="X, Mask!", outputs="Out*", infer=lambda attrs, x, mask: None)
def select_output(ctx, x, mask, outs):
    ctx.xp.copyto(outs[int(mask.reshape(()))], x)


def _other_way(type):
    def make(inputs, outputs, attrs):
        given, wanted = ([name + GRAD for name in names] for names in (outputs["Out"], inputs["X"]))
        return [(type, {"X": given, "Mask": inputs["Mask"]}, {"Out": wanted}, {})]

    return make


select_input.gradient_program(_other_way("select_output"))
select_output.gradient_program(_other_way("select_input"))
