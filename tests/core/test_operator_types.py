"""What operators declare is what the real Paddle's declare: slots, attributes with types and defaults, gradients."""

import numpy as np
import pytest
from oracle_compare import same_attr
from oracle_harness import load_json

import fluidlite.fluid  # noqa: F401 - which declares the operators
from fluidlite.core import operators
from fluidlite.core.attributes import attr_value
from fluidlite.core.errors import EnforceNotMet

PADDLE = load_json("operators")
COMMON = PADDLE.pop("")["attrs"]

# Operators of Paddle 2, of CUDA, and the parts that an operator runs as.
NOT_IN_1_8 = {
    "bilinear_interp_v2",
    "conv2d_fusion",
    "expand_as_v2",
    "expand_v2",
    "flatten_contiguous_range",
    "matmul_v2",
    "nearest_interp_v2",
    "silu",
    "sync_batch_norm",
    "tile",
    "top_k_v2",
}
FORWARD = sorted(type for type in operators.types() if operators.find(type).gradient_of is None and type[0] != "@")
SHARED = [type for type in FORWARD if type in PADDLE]

# (operator, slot) that Paddle has and fluidlite lacks: a program that uses it is refused.
LACKING = {
    ("conv2d", "ResidualData"): "only with fuse_residual_connection, which is refused",
    ("depthwise_conv2d", "ResidualData"): "only with fuse_residual_connection, which is refused",
}


# (operator, slot) that may be empty, although Paddle does not say so: what is copied may be an attribute of the
# operator, and a block need not read anything of what is around it.
MAY_BE_EMPTY = {
    ("py_func", "X"),
    ("assign", "X"),
    ("conditional_block", "Input"),
    ("recurrent", "initial_states"),
    ("recurrent", "parameters"),
    ("while", "X"),
}


def unmarked(slots):
    return {slot.rstrip("*?") for slot in slots}


def test_operators_are_paddles():
    assert set(FORWARD) - set(PADDLE) == NOT_IN_1_8


@pytest.mark.parametrize("type", SHARED)
def test_attributes_are_saved_under_paddles_types(type):
    definition = operators.find(type)
    for name, (kind, *default) in {**COMMON, **PADDLE[type]["attrs"]}.items():
        value = definition.all_attrs().get(name, default[0] if default else None)
        assert (name, operators.attr_type(type, name, value)) == (name, kind)
        if operators.known(type + "_grad"):
            assert (name, operators.attr_type(type + "_grad", name, value)) == (name, kind)


@pytest.mark.parametrize("type", SHARED)
def test_a_file_that_leaves_an_attribute_out_means_paddles_default(type):
    ours, theirs = operators.find(type).all_attrs(), PADDLE[type]["attrs"]
    assert set(ours) == set(theirs)
    for name, (_, *default) in theirs.items():
        if default:
            assert (name, same_attr(ours[name], default[0])) == (name, True), f"{ours[name]}, Paddle has {default[0]}"


@pytest.mark.parametrize("type", SHARED)
def test_slots_are_paddles(type):
    definition = operators.find(type)
    ours = {slot.name: slot for slot in definition.inputs}
    theirs = PADDLE[type]["inputs"]
    lacking = {slot for other, slot in LACKING if other == type}
    assert set(ours) | lacking == unmarked(theirs)
    for mark in theirs:
        slot = ours.get(mark.rstrip("*?"))
        if slot is not None:
            assert (slot.name, slot.many) == (slot.name, "*" in mark)
            # What Paddle lets be empty may be empty here, and what it insists on is insisted on.
            assert (slot.name, slot.optional) == (slot.name, "?" in mark) or (type, slot.name) in MAY_BE_EMPTY
    outs = {slot.name: slot for slot in definition.outputs}
    assert set(outs) == unmarked(PADDLE[type]["outputs"])
    for mark in PADDLE[type]["outputs"]:
        assert (mark, outs[mark.rstrip("*?")].many) == (mark, "*" in mark)


# Paddle counts back what `increment` did, to walk through the steps of a loop from the end.  The gradient of an
# operator that runs a block depends on that block (see test_blocks.py).
GRADIENTS = [type for type in SHARED if operators.find(type).make_gradient or "grads" in PADDLE[type]]
# The gradient of py_func is one only where it has a function for that.
OTHERS = {"increment", "py_func"}
GRADIENTS = [type for type in GRADIENTS if type not in OTHERS and operators.find(type).region is None]


@pytest.mark.parametrize("type", GRADIENTS)
def test_gradients_are_paddles(type):
    definition = operators.find(type)
    inputs, outputs = ({s.name: [s.name] for s in slots} for slots in (definition.inputs, definition.outputs))
    made = definition.make_gradient(inputs, outputs, definition.all_attrs())
    found = [[made_type, without_empty(ins), without_empty(outs)] for made_type, ins, outs, _ in made]
    # A shape has no gradient here.
    shapes = {"Shape@GRAD", "ShapeTensor@GRAD"}
    theirs = [
        [t, ins, {slot: names for slot, names in outs.items() if slot not in shapes}]
        for t, ins, outs in PADDLE[type]["grads"]
    ]
    assert found == theirs


# What Paddle differentiates twice.
SECONDS = [(type, of, made) for type in SHARED for of, made in PADDLE[type].get("seconds", {}).items()]


@pytest.mark.parametrize(("type", "of", "theirs"), SECONDS, ids=[of for _, of, _ in SECONDS])
def test_gradients_of_gradients_are_paddles(type, of, theirs):
    ((_, inputs, outputs),) = [grad for grad in PADDLE[type]["grads"] if grad[0] == of]
    definition = operators.find(of)
    made = definition.make_gradient(inputs, outputs, definition.all_attrs())
    assert [[made_type, without_empty(ins), without_empty(outs)] for made_type, ins, outs, _ in made] == theirs


def test_no_gradient_has_one_that_paddle_lacks():
    differentiated = {of for _, of, _ in SECONDS}
    gradients = [type for type in operators.types() if operators.find(type).gradient_of is not None]
    assert {type for type in gradients if operators.find(type).make_gradient} == differentiated


def without_empty(slots):
    return {slot: names for slot, names in slots.items() if names}


def test_types_of_attributes_that_no_definition_knows():
    def kind(value):
        return operators.attr_type("an_operator_of_paddle_3", "some_attribute", value)

    assert [kind(v) for v in (True, 7, 2**31, 0.5, "text")] == ["BOOLEAN", "INT", "LONG", "FLOAT", "STRING"]
    assert [kind([v]) for v in (True, 7, 2**31, 0.5, "text")] == ["BOOLEANS", "INTS", "LONGS", "FLOATS", "STRINGS"]
    assert [kind([]), kind([1, 0.5]), kind([1, 2**40])] == ["INTS", "FLOATS", "LONGS"]
    assert [kind(np.float32(1)), kind(np.int64(1)), kind(np.arange(3))] == ["FLOAT", "INT", "INTS"]


@pytest.mark.parametrize(
    ("kind", "value", "plain"),
    [
        ("FLOAT", 2, 2.0),
        ("FLOAT", np.float32(0.5), 0.5),
        ("INT", 3.0, 3),
        ("INT", True, 1),
        ("LONG", np.int64(2**40), 2**40),
        ("BOOLEAN", np.bool_(True), True),
        ("FLOATS", [1, 2], [1.0, 2.0]),
        ("LONGS", np.arange(2), [0, 1]),
        ("STRINGS", ("a", "b"), ["a", "b"]),
    ],
)
def test_values_become_what_their_attribute_holds(kind, value, plain):
    found = attr_value(kind, value)
    assert found == plain
    assert type(found) is type(plain)


@pytest.mark.parametrize(
    ("kind", "value"), [("INT", 2**31), ("INT", 0.5), ("LONG", 2**63), ("STRING", 3), ("INTS", 3), ("FLOAT", "much")]
)
def test_values_that_an_attribute_cannot_hold_are_refused(kind, value):
    with pytest.raises(EnforceNotMet, match=f"cannot be an attribute of the type {kind}"):
        attr_value(kind, value)
