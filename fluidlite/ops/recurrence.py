"""Recurrences over sequences of equal length: a block that runs once for each step."""

from ..core.attributes import ignored, typed
from ..core.errors import EnforceNotMet
from ..core.operators import none, operator
from ..core.regions import Recurrence, RecurrenceGradient
from ..core.spec import GRAD
from ..core.traits import About, Kernel, Memory
from .pointwise import by_formula

_RECURRENCE = Recurrence()


def infer_recurrence(attrs, inputs, initial, captured):
    # The shapes of the results are known from the operators in the block.
    if attrs["sub_block"] is None:
        raise EnforceNotMet("its attribute sub_block must be the block that it runs")
    for names, count in (("ex_states", len(initial)), ("states", len(attrs["ex_states"]))):
        if len(attrs[names]) != count:
            raise EnforceNotMet(f"its attribute {names} must name {count} states, got {attrs[names]}")
    return None, None


recurrent = operator(
    "recurrent",
    inputs="inputs*, initial_states*?, parameters*?",
    outputs="outputs*, step_scopes",
    attributes={
        "has_states": False,
        "ex_states": typed([], "STRINGS"),
        "states": typed([], "STRINGS"),
        "sub_block": None,
        "reverse": False,
        "is_train": True,
        "skip_eager_deletion_vars": ignored([], "STRINGS"),
    },
    infer=infer_recurrence,
    kernel=Kernel(region=_RECURRENCE),
)(None)

recurrent.gradient(
    "inputs, initial_states, parameters, outputs, step_scopes",
    infer=lambda attrs, inputs, initial, captured, *others: (inputs, initial, captured),
    kernel=Kernel(region=RecurrenceGradient(_RECURRENCE)),
)(None)


@recurrent.gradient_program
def gradient_of_recurrence(inputs, outputs, attrs):
    read = {slot: names for slot, names in {**inputs, **outputs}.items() if names}
    read["outputs" + GRAD] = [name + GRAD for name in outputs["outputs"]]
    # Fluid lists the record itself where the gradient of it would be.
    read["step_scopes" + GRAD] = outputs["step_scopes"]
    given = {slot + GRAD: [name + GRAD for name in names] for slot, names in inputs.items() if names}
    return [("recurrent_grad", read, given, attrs)]


_PLUMBING = About("plumbing", flops=none)
rnn_memory_helper = by_formula(
    operator(
        "rnn_memory_helper",
        inputs="X",
        outputs="Out",
        attributes={"dtype": ignored(5)},
        formula=lambda X: X,
        memory=Memory(view={"Out": "X"}),
        about=_PLUMBING,
    )
)
by_formula(rnn_memory_helper.gradient(shapes="X, Out", memory=Memory(view={"X@GRAD": "Out@GRAD"}), about=_PLUMBING))
