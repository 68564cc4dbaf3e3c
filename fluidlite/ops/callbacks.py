"""Operators that leave the plan: what they do is seen outside of it, or done by a function of the user."""

import time
from weakref import WeakKeyDictionary

import numpy as np

from ..core.attributes import only, typed
from ..core.errors import EnforceNotMet
from ..core.lod import Sequences
from ..core.operators import operator
from ..core.spec import EMPTY, GRAD
from ..core.traits import Kernel, Lod

# How Paddle calls data types where it prints tensors: as C++ does.
_LETTERS = {"float32": "f", "float64": "d", "float16": "float16", "int32": "i", "int64": "l", "bool": "b"}

_printed = WeakKeyDictionary()  # operator -> how often it has printed
_functions = []


def described(ctx, array, lod):
    """What `print` shows of a tensor, line by line."""
    attrs = ctx.attrs
    place = "CPUPlace" if ctx.xp is np else f"CUDAPlace({array.device.id})"
    yield f"{int(time.time())}\t{attrs['message']}\tThe place is:{place}"
    if attrs["print_tensor_name"]:
        yield f"Tensor[{ctx.op.inputs['In'][0]}]"
    if attrs["print_tensor_shape"]:
        yield "\tshape: [" + "".join(f"{size}," for size in array.shape) + "]"
    if attrs["print_tensor_type"]:
        yield f"\tdtype: {_LETTERS.get(array.dtype.name, array.dtype.name)}"
    if attrs["print_tensor_lod"] and lod:
        levels = ("[ " + "".join(f"{offset}," for offset in level) + " ]" for level in lod)
        yield "\tLoD: [" + "".join(levels) + "]"
    count = array.size if attrs["summarize"] < 0 else attrs["summarize"]
    text = "{:g}," if array.dtype.kind == "f" else "{:d},"
    yield "\tdata: " + "".join(map(text.format, on_host(ctx, array.reshape(-1)[:count]).tolist()))


def on_host(ctx, array):
    return array if ctx.xp is np else ctx.xp.asnumpy(array)


@operator(
    "print",
    inputs="In",
    outputs="Out",
    attributes={
        "first_n": -1,
        "message": "",
        "summarize": -1,
        "print_tensor_name": True,
        "print_tensor_type": True,
        "print_tensor_shape": True,
        "print_tensor_lod": True,
        "print_phase": only("BOTH", "FORWARD", "BACKWARD"),
        "is_forward": True,
    },
    kernel=Kernel(effects=True),
    lod=Lod(reads="In"),
)
def print_(ctx, x, out):
    """Let a tensor pass, and print it in the direction that `print_phase` names."""
    attrs = ctx.attrs
    is_meant = attrs["print_phase"] in ("BOTH", "FORWARD" if attrs["is_forward"] else "BACKWARD")
    times = _printed.get(ctx.op, 0)
    if is_meant and not 0 < attrs["first_n"] <= times:
        _printed[ctx.op] = times + 1
        print("\n".join(described(ctx, x, ctx.lods["In"][0])), flush=True)
    ctx.xp.copyto(out, x)


@print_.gradient_program
def print_grad(inputs, outputs, attrs):
    names = {"In": [outputs["Out"][0] + GRAD]}, {"Out": [inputs["In"][0] + GRAD]}
    return [("print", *names, {**attrs, "is_forward": False})]


def register(function):
    """Keep a function for operators of the type py_func.

    Args:
        function: `function(tensors) -> list`: of what the inputs and the outputs hold, as `Sequences` on the host.  An
            output for which there is nothing is None.
    Returns:
        int: its number, by which attributes name it in this process.
    """
    _functions.append(function)
    return len(_functions) - 1


@operator(
    "py_func",
    inputs="X*?",
    outputs="Out*?",
    attributes={"forward_callable_id": 0, "backward_callable_id": -1, "backward_skip_vars": typed([], "STRINGS")},
    infer=lambda attrs, xs: None,
    kernel=Kernel(dynamic=True, effects=True),
    lod=Lod(of="none", reads="X"),
)
def py_func(ctx, xs):
    number, wanted = ctx.attrs["forward_callable_id"], ctx.op.outputs.get("Out", ())
    if not 0 <= number < len(_functions):
        raise EnforceNotMet(
            f"there is no Python function number {number} in this process; call layers.py_func where the Program is "
            "run: a saved Program does not hold functions"
        )
    given = [Sequences(on_host(ctx, x), lod) for x, lod in zip(xs, ctx.lods["X"], strict=True)]
    found = _functions[number](given)
    if not wanted and found == [None]:
        found = []
    if len(found) != len(wanted):
        raise EnforceNotMet(f"the Python function returned {len(found)} tensors for {len(wanted)} outputs")
    for name, one in zip(wanted, found, strict=True):
        if one is None and name != EMPTY:
            raise EnforceNotMet(f"the Python function returned None for {name}; return an array")
    return [one and Sequences(ctx.xp.asarray(one.array), one.lod) for one in found]


@py_func.gradient_program
def py_func_grad(inputs, outputs, attrs):
    """The backward function gets the inputs, the outputs, and the gradients of these."""
    if attrs["backward_callable_id"] < 0:
        return []
    given = [*inputs.get("X", ()), *outputs.get("Out", ())]
    read = [name for name in given if name not in attrs["backward_skip_vars"]]
    read += [name + GRAD for name in outputs.get("Out", ())]
    made = [name + GRAD for name in inputs.get("X", ())]
    return [("py_func", {"X": read}, {"Out": made}, {"forward_callable_id": attrs["backward_callable_id"]})]
