"""Checks of a layer's arguments, and the one way most layers append their operator."""

import numpy as np

from ...core import operators
from ...core.dtypes import VarType, numpy_dtype
from ...core.errors import EnforceNotMet
from .. import unique_name
from ..framework import UserFrame, Variable
from ..layer_helper import LayerHelper
from ..messages import described


def check_variable(layer, argument, value):
    """Raise TypeError unless `value` is a Variable."""
    if not isinstance(value, Variable):
        raise TypeError(f"{layer}: {argument} must be a Variable, got {described(value)}")


def check_dtype(layer, argument, variable, kinds):
    """Raise TypeError unless `variable` is a Variable whose data type is of one of the NumPy `kinds` ("fiub")."""
    check_variable(layer, argument, variable)
    dtype = numpy_dtype(variable.dtype)
    if dtype.kind not in kinds:
        names = {"f": "floating-point", "i": "integer", "u": "unsigned", "b": "bool"}
        wanted = " or ".join(names[kind] for kind in kinds)
        raise TypeError(f"{layer}: {argument} must be {wanted}, got {variable.name} of dtype {dtype}")


def check_variables(layer, argument, value):
    """The list of Variables in `value`; raises TypeError for anything else."""
    if not isinstance(value, (list, tuple)) or not value:
        raise TypeError(f"{layer}: {argument} must be a list of Variables, got {described(value)}")
    for variable in value:
        check_variable(layer, argument, variable)
    return list(value)


def integer(layer, argument, value):
    """`value` as an int; raises TypeError for anything but an integer."""
    if isinstance(value, Variable):
        raise TypeError(f"{layer}: {argument} must be an int here; fluidlite does not take it from a Variable")
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{layer}: {argument} must be an int, got {described(value)}")
    return int(value)


def integers(layer, argument, value):
    """`value`, an int or a list of them, as a list of ints; raises TypeError for anything else."""
    if not isinstance(value, (list, tuple, np.ndarray)):
        value = [value]
    return [integer(layer, argument, item) for item in value]


def has_variables(value):
    """Whether `value` is a list or tuple in which there is a Variable."""
    return isinstance(value, (list, tuple)) and any(isinstance(item, Variable) for item in value)


def numbers_or_variables(layer, argument, value, helper, slots, dtype="int32"):
    """What an operator needs of an argument that may be an int, a list of ints and Variables, or one Variable.

    Args:
        layer, argument: for messages.
        value: the argument.
        helper: the LayerHelper, for the constants that stand beside Variables.
        slots: (slot of the Variable that holds all numbers, slot of the list of Variables for one each).
        dtype: of the constants.
    Returns:
        (inputs, numbers): the numbers that come from Variables are -1, and there are none if one Variable holds all.
    """
    if isinstance(value, Variable):
        value.stop_gradient = True
        return {slots[0]: value}, []
    if not has_variables(value):
        return {}, integers(layer, argument, value)
    variables, found = [], []
    for item in value:
        if isinstance(item, Variable):
            item.stop_gradient = True
            variables.append(item)
            found.append(-1)
        else:
            found.append(integer(layer, argument, item))
            variables.append(constant(helper.create_variable_for_type_inference(dtype), item, helper))
    return {slots[1]: variables}, found


def shape_inputs(layer, shape, helper):
    """What fill_constant and gaussian_random need of a shape: they read int32 alone, so int64 is converted.

    Args:
        layer: for messages.
        shape (int, list of int or Variable, or Variable): the argument.
        helper: a LayerHelper.
    Returns:
        (inputs, the attribute `shape`): sizes that come from Variables are -1, and there are none if one holds all.
    """
    if isinstance(shape, Variable):
        check_dtype(layer, "shape", shape, "i")
        shape.stop_gradient = True
        return {"ShapeTensor": _as_int32(shape)}, []
    if not has_variables(shape):
        return {}, integers(layer, "shape", shape)
    variables, found = [], []
    for item in shape:
        if isinstance(item, Variable):
            check_dtype(layer, "shape", item, "i")
            item.stop_gradient = True
            variables.append(_as_int32(item))
            found.append(-1)
        else:
            found.append(integer(layer, "shape", item))
            own = LayerHelper("fill_constant")
            variables.append(_filled(own.create_variable_for_type_inference("int32"), item, own))
    return {"ShapeTensorList": variables}, found


def _as_int32(variable):
    """`variable`, of integers, as int32."""
    if numpy_dtype(variable.dtype) == np.int32:
        return variable
    attrs = {"in_dtype": variable.dtype, "out_dtype": VarType.INT32}
    return append("cast", {"X": variable}, attrs, dtype=VarType.INT32)


def constant(out, value, helper):
    """Append an operator that writes the int `value` into `out`, of shape [1]."""
    unique_name.generate("fill_constant")  # as Fluid's layer does, although nothing is called so
    return _filled(out, value, helper)


def _filled(out, value, helper):
    attrs = {"shape": [1], "dtype": out.dtype, "value": float(value), "str_value": str(value), "force_cpu": True}
    helper.append_op(type="fill_constant", outputs={"Out": out}, attrs=attrs)
    out.stop_gradient = True
    return out


def shape_by_attributes(type, attrs, inputs):
    """The shape of Out without the Variable that overrules the attributes when the Program runs.

    What follows is built for that one, as in Fluid: a layer that needs to know a size finds it.
    """
    definition = operators.find(type)
    [spec] = operators.infer_specs(definition, {**definition.attrs, **attrs}, inputs)["Out"]
    return tuple(spec.shape)


def number(layer, argument, value):
    """`value` as a float; raises TypeError for anything but a number."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{layer}: {argument} must be a number, got {described(value)}")
    return float(value)


def truth(layer, argument, value):
    """`value`; raises TypeError unless it is a bool."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{layer}: {argument} must be a bool, got {described(value)}")
    return bool(value)


def unsupported(layer, argument, value, default=None):
    """Raise ValueError if an argument that fluidlite does not support differs from its default."""
    if value is not default and value != default:
        raise ValueError(f"{layer}: {argument} is not supported by fluidlite; leave it {default!r}")


def append(type, inputs, attrs=None, dtype=None, name=None, helper=None, out=None, slot="Out", stop_gradient=False):
    """Append an operator of one output.

    Args:
        type: of the operator, and the first part of the output's name unless `helper` says otherwise.
        inputs: slot -> Variable or list of them.
        attrs: attributes.
        dtype: of the output; None for that of the first input.
        name: the layer's argument `name`.
        helper: a LayerHelper, for a layer that is not called like its operator.
        out: the Variable to write; None for a new one.
        slot: the output's slot.
        stop_gradient: whether no gradient flows through a new output.
    Returns:
        the output.
    """
    helper = helper or LayerHelper(type, name=name)
    if out is None:
        if dtype is None:
            first = next(iter(inputs.values()))
            dtype = (first[0] if isinstance(first, list) else first).dtype
        out = helper.create_variable_for_type_inference(dtype, stop_gradient=stop_gradient)
    helper.append_op(type=type, inputs=inputs, outputs={slot: out}, attrs=attrs or {})
    return out


def documented(name, doc, function):
    """`function` under its public name, with its documentation."""
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


def positive(layer, argument, value):
    """`value` as an int; raises TypeError unless it is one above 0."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < 1:
        raise TypeError(f"{layer}: {argument} must be a positive integer, got {described(value)}")
    return int(value)


def pair(layer, argument, value):
    """[height, width] of one or two positive integers."""
    items = list(value) if isinstance(value, (list, tuple)) else [value, value]
    if len(items) != 2:
        raise ValueError(f"{layer}: {argument} must be an integer or two, got {described(value)}")
    return [positive(layer, argument, item) for item in items]


def channel_axis(layer, variable, data_format):
    """The dimension of the channels of images; raises where they are no images."""
    if data_format not in ("NCHW", "NHWC"):
        raise ValueError(f'{layer}: data_format must be "NCHW" or "NHWC", got {data_format!r}')
    if len(variable.shape) != 4:
        raise EnforceNotMet(
            f"{layer}: {variable.name} must have 4 dimensions, got shape {list(variable.shape)}\n"
            f"  called at {UserFrame.current()}"
        )
    return 1 if data_format == "NCHW" else 3


def paddings_of(layer, padding, data_format):
    """(numbers, algorithm) of a `padding` argument."""
    wanted = 'an int, 2 or 4 ints, a pair for each of the 4 dimensions, "SAME" or "VALID"'
    if isinstance(padding, str):
        if padding.upper() not in ("SAME", "VALID"):
            raise ValueError(f"{layer}: padding must be {wanted}, got {padding!r}")
        return [0, 0], padding.upper()
    items = list(padding) if isinstance(padding, (list, tuple)) else [padding, padding]
    if len(items) == 4 and all(isinstance(item, (list, tuple)) for item in items):
        image = items[2:] if data_format == "NCHW" else items[1:3]
        others = items[:2] if data_format == "NCHW" else [items[0], items[3]]
        if any(list(pair) != [0, 0] for pair in others):
            raise ValueError(f"{layer}: the batch and the channels cannot be padded, got {padding!r}")
        items = [number for pair in image for number in pair]
    if len(items) not in (2, 4) or not all(hasattr(item, "__index__") and item >= 0 for item in items):
        raise ValueError(f"{layer}: padding must be {wanted}, got {padding!r}")
    if len(items) == 4 and items[0] == items[1] and items[2] == items[3]:
        items = [items[0], items[2]]
    return [int(item) for item in items], "EXPLICIT"
