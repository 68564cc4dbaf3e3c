"""Layers that look into a Program while it runs: printed tensors, and functions of the user."""

import numpy as np

from ...core.errors import EnforceNotMet
from ...core.lod import Sequences
from ..core import LoDTensor
from ..framework import Variable
from ..layer_helper import LayerHelper
from ..messages import described
from .checks import append, check_dtype, check_variable, integer, truth

__all__ = ["Print", "py_func"]


def Print(
    input,
    first_n=-1,
    message=None,
    summarize=20,
    print_tensor_name=True,
    print_tensor_type=True,
    print_tensor_shape=True,
    print_tensor_lod=True,
    print_phase="both",
):
    """Print a tensor, and its gradient, to the standard output whenever it is computed.

    What follows has to use the result: only then is there a gradient to print.

    Args:
        input (Variable): tensor of float32, float64, int32, int64 or bool.
        first_n (int): how often to print, counted over all runs; 0 or below for always.
        message (str): what stands before it.
        summarize (int): how many elements to print; below 0 for all.
        print_tensor_name, print_tensor_type, print_tensor_shape, print_tensor_lod (bool): what to tell beside them.
        print_phase (str): "forward" for the tensor, "backward" for its gradient, or "both".
    Returns:
        Variable: the same tensor.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: another print_phase.

    Example:
        hidden = fluid.layers.Print(fluid.layers.fc(x, 8), message="hidden", summarize=4)
    """
    check_dtype("Print", "input", input, "fib")
    if message is not None and not isinstance(message, str):
        raise TypeError(f"Print: message must be a str, got {described(message)}")
    if not isinstance(print_phase, str):
        raise TypeError(f'Print: print_phase must be "forward", "backward" or "both", got {described(print_phase)}')
    shown = {
        "print_tensor_name": print_tensor_name,
        "print_tensor_type": print_tensor_type,
        "print_tensor_shape": print_tensor_shape,
        "print_tensor_lod": print_tensor_lod,
    }
    attrs = {name: truth("Print", name, value) for name, value in shown.items()}
    attrs.update(
        first_n=integer("Print", "first_n", first_n),
        summarize=integer("Print", "summarize", summarize),
        message=message or "",
        print_phase=print_phase.upper(),
    )
    return append("print", {"In": input}, attrs, helper=LayerHelper(f"print_{input.name}"))


def py_func(func, x, out, backward_func=None, skip_vars_in_backward_input=None):
    """Call a Python function while the Program runs.

    The function gets a LoDTensor for each Variable in x, of which `numpy.array(tensor)` makes an array, and returns an
    array (or LoDTensor) for each Variable in out.  The backward function gets those in x, those in out and the
    gradients of those in out (zeros where nothing depends on one), and returns the gradients of those in x.  What they
    raise is raised by `Executor.run`.

    A saved Program does not hold the functions, only their numbers in this process.

    Args:
        func (callable): the function.
        x (Variable, or list or tuple of Variable): what it is given; None for nothing.
        out (Variable, or list or tuple of Variable): where to put what it returns, made by the user, of known shapes
            (`Block.create_var`); None for nothing.
        backward_func (callable): the function for the gradient; None if no gradient flows through.
        skip_vars_in_backward_input (Variable, or list or tuple of Variable): which of those in x and out backward_func
            is not given.
    Returns:
        out.
    Raises:
        TypeError, ValueError: a wrong argument.
        EnforceNotMet: when the Program runs, a function has returned another number of tensors.

    Example:
        def sign(x):
            return numpy.sign(numpy.array(x))

        signs = fluid.default_main_program().current_block().create_var("signs", shape=[-1, 8], dtype="float32")
        fluid.layers.py_func(sign, hidden, signs)
    """
    from ...ops.callbacks import register  # operators are imported by whoever first asks for one

    read, written = _listed("x", x), _listed("out", out)
    for function in (func, backward_func):
        if not callable(function) and not (function is None and func is not None):
            raise TypeError(f"py_func: func and backward_func must be callable, got {described(function)}")
    for variable in written:
        if not variable.shape:
            raise ValueError(f"py_func: {variable.name}, where it puts what the function returns, needs a shape")
    names = {variable.name for variable in [*read, *written]}
    skipped = []
    if backward_func is not None and skip_vars_in_backward_input is not None:
        for variable in _listed("skip_vars_in_backward_input", skip_vars_in_backward_input):
            if variable.name not in names:
                raise ValueError(
                    f"py_func: {variable.name}, which backward_func is not given, is neither in x nor in out"
                )
            skipped.append(variable.name)
    attrs = {
        "forward_callable_id": register(_Function(func)),
        "backward_callable_id": -1 if backward_func is None else register(_Function(backward_func)),
        "backward_skip_vars": list(dict.fromkeys(skipped)),
    }
    LayerHelper("py_func").append_op(type="py_func", inputs={"X": read}, outputs={"Out": written}, attrs=attrs)
    return out


def _listed(argument, value):
    """The Variables in an argument that is None, one or several of them."""
    found = [] if value is None else [value] if isinstance(value, Variable) else value
    if not isinstance(found, (list, tuple)):
        raise TypeError(
            f"py_func: {argument} must be a Variable, a list or tuple of them, or None, got {described(value)}"
        )
    for variable in found:
        check_variable("py_func", argument, variable)
    return list(found)


class _Function:
    """A function of the user, as the operator calls it."""

    def __init__(self, function):
        self._function = function

    def __call__(self, tensors):
        given = [LoDTensor(one.array.copy(), one.lod) for one in tensors]
        found = self._function(*given)
        return [_sequences(one) for one in (found if isinstance(found, (list, tuple)) else [found])]


def _sequences(value):
    if value is None:
        return None
    if not isinstance(value, LoDTensor):
        return Sequences(np.asarray(value), ())
    if value.array is None:
        raise EnforceNotMet("the Python function returned a LoDTensor without a value")
    return Sequences(np.array(value), value.offsets)
