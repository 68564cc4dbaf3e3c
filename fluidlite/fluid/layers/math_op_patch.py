"""Operators of Python on Variables: `x + y`, `2 * x`, `x < y`, `x[1:]`, `x.astype("int64")`."""

import numpy as np

from ...core.dtypes import VarType, numpy_dtype, var_type
from .. import unique_name
from ..framework import Variable
from ..messages import described
from .checks import integer

__all__ = ["monkey_patch_variable"]

# What a slice without an end stores.
_NO_END = 10000000


def _new(block, dtype):
    return block.create_var(name=unique_name.generate("tmp"), dtype=dtype)


def _append(variable, type, inputs, attrs, dtype=None):
    """Append an operator to the block that is being written; returns its output."""
    block = variable.block.program.current_block()
    out = _new(block, variable.dtype if dtype is None else dtype)
    block.append_op(type=type, inputs=inputs, outputs={"Out": [out]}, attrs=attrs)
    return out


def _scaled(variable, scale, bias):
    return _append(variable, "scale", {"X": [variable]}, {"scale": scale, "bias": bias})


def _filled(variable, value, like_variable):
    """A tensor of one number, or of the shape of `variable` filled with it."""
    attrs = {"dtype": variable.dtype, "shape": [1], "value": value, "force_cpu": False}
    if not like_variable:
        out = _append(variable, "fill_constant", {}, attrs)
    else:
        attrs["shape"] = list(variable.shape)
        if -1 in variable.shape:
            batch = variable.shape.index(-1)
            attrs.update(input_dim_idx=batch, output_dim_idx=batch)
            out = _append(variable, "fill_constant_batch_size_like", {"Input": [variable]}, attrs)
        else:
            out = _append(variable, "fill_constant", {}, attrs)
    out.stop_gradient = True
    return out


def _number(variable, symbol, other):
    """`other` as a float; raises TypeError for what cannot stand beside a Variable."""
    try:
        return float(other)
    except (TypeError, ValueError):
        is_array = isinstance(other, np.ndarray)
        hint = "; feed it, or make a Variable of it with fluid.layers.assign" if is_array else ""
        raise TypeError(
            f"{variable.name} {symbol} {'array' if is_array else repr(other)}: a Variable goes with a Variable or a "
            f"number, got {described(other)}{hint}"
        ) from None


def _binary(symbol, type, scaling=None, reverse=False, comparison=False):
    """A method for one operator.

    Args:
        symbol: the operator, for messages.
        type: the operator type for two tensors.
        scaling: number -> (scale, bias), if the operator with a number is a `scale`.
        reverse: the Variable is on the right.
        comparison: the result is bool.
    """

    def method(self, other):
        if not isinstance(other, Variable):
            value = _number(self, symbol, other)
            is_integer = numpy_dtype(self.dtype).kind in "iu"
            if scaling is not None and isinstance(other, (int, float)) and not (is_integer and symbol == "/"):
                if is_integer and not value.is_integer():
                    raise ValueError(
                        f"{self.name} {symbol} {other}: {self.name} is of dtype {self.dtype.name.lower()} and takes "
                        "integers; convert it first, e.g. with astype('float32')"
                    )
                return _scaled(self, *scaling(value))
            other = _filled(self, value, like_variable=reverse)
        elif other.dtype != self.dtype:
            other = other.astype(self.dtype)
        x, y = (other, self) if reverse else (self, other)
        axis = 0 if y.shape and y.shape[0] == -1 else -1
        dtype = VarType.BOOL if comparison else self.dtype
        return _append(self, type, {"X": [x], "Y": [y]}, {"axis": axis}, dtype)

    method.__doc__ = f"Append a `{type}` operator" + (", or a `scale` for a number." if scaling else ".")
    return method


def _negate(self):
    """Append a `scale` operator that turns the sign around."""
    return _scaled(self, -1.0, 0.0)


def _astype(self, dtype):
    """The Variable converted to another data type.

    Args:
        dtype (str, numpy.dtype or VarType): the new data type.
    Returns:
        Variable of the same shape.
    Raises:
        TypeError: dtype is no data type of Fluid.
    """
    dtype = var_type(dtype)
    return _append(self, "cast", {"X": [self]}, {"in_dtype": self.dtype, "out_dtype": dtype}, dtype)


def _getitem(self, item):
    """A part of the Variable, chosen by integers and slices.

    Args:
        item: an int, a Variable of shape [1], a slice of them, `...`, or a tuple of these, one for each of the first
            dimensions.
    Returns:
        Variable; the dimensions that an int indexes are dropped.
    Raises:
        TypeError, ValueError: an index of another type, or a step of 0.
        IndexError: more indices than dimensions.
        EnforceNotMet: nothing would be left.
    """
    items = _expanded(self, item)
    cuts, reversed_axes, dropped = {}, [], []
    for axis, index in enumerate(items):
        if isinstance(index, slice):
            start, end, step = (_bound(self, v) for v in (index.start, index.stop, index.step))
            if isinstance(step, Variable) or step == 0:
                raise ValueError(f"{self.name}[...]: the step of a slice must be an int other than 0")
            if step == -1 and start is None and end is None:
                reversed_axes.append(axis)
            elif not (start is None and end is None and step in (None, 1)):
                cuts[axis] = _bounds(start, end, 1 if step is None else step)
        else:
            cuts[axis] = _element(self, index)
            dropped.append(axis)
    out = self
    if cuts:
        out = _cut(self, cuts, dropped)
    if reversed_axes:
        axes = [axis - sum(d < axis for d in dropped) for axis in reversed_axes]
        out = _named_op(self, out, "slice_reverse", "reverse", {"X": [out]}, {"axis": axes})
    return out


def _bound(variable, value):
    """A bound of a slice: None, an int or a Variable."""
    return value if value is None or isinstance(value, Variable) else integer(f"{variable.name}[...]", "a bound", value)


def _element(variable, index):
    """The bounds of the slice that holds one element."""
    if isinstance(index, Variable):
        block = variable.block.program.current_block()
        one, end = (block.create_var(dtype=index.dtype) for _ in range(2))
        _constant(block, one, 1)
        block.append_op("elementwise_add", {"X": [index], "Y": [one]}, {"Out": [end]}, {"axis": -1})
        end.stop_gradient = True
        return index, end, 1
    index = int(index)
    return index, index + 1 if index != -1 else _NO_END, 1


def _constant(block, out, value):
    attrs = {"shape": [1], "dtype": out.dtype, "value": float(value), "force_cpu": True}
    block.append_op("fill_constant", {}, {"Out": [out]}, attrs)
    out.stop_gradient = True


def _expanded(variable, item):
    """The indices of the first dimensions, `...` replaced by slices of everything."""
    items = list(item) if isinstance(item, tuple) else [item]
    for index in items:
        if not isinstance(index, (int, np.integer, slice, Variable, type(...))) or isinstance(index, (bool, np.bool_)):
            raise TypeError(f"{variable.name}[...]: an index is an int or a slice, got {index!r}")
    rank = len(variable.shape)
    places = [place for place, index in enumerate(items) if index is ...]
    if len(places) > 1:
        raise IndexError(f"{variable.name}[...]: '...' may stand once, got {item!r}")
    if places:
        missing = [slice(None)] * (rank - len(items) + 1)
        items[places[0] : places[0] + 1] = missing
    if len(items) > rank:
        raise IndexError(f"{variable.name}[...]: {len(items)} indices for the shape {list(variable.shape)}")
    return items


def _bounds(start, end, step):
    if step > 0:
        return (0 if start is None else start), (_NO_END if end is None else end), step
    return (_NO_END if start is None else start), (-_NO_END if end is None else end), step


def _cut(variable, cuts, dropped):
    starts, ends, steps = (list(values) for values in zip(*cuts.values(), strict=True))
    block = variable.block.program.current_block()
    inputs = {"Input": [variable]}
    attrs = {
        "axes": list(cuts),
        "infer_flags": [-1 if isinstance(s, Variable) or isinstance(e, Variable) else 1 for s, e, _ in cuts.values()],
        "decrease_axis": dropped,
    }
    for argument, slot, values in (("starts", "StartsTensorList", starts), ("ends", "EndsTensorList", ends)):
        attrs[argument] = [-1 if isinstance(value, Variable) else value for value in values]
        if any(isinstance(value, Variable) for value in values):
            inputs[slot] = [_as_variable(block, value) for value in values]
    if all(step == 1 for step in steps):
        return _named_op(variable, variable, "slice", "slice", inputs, attrs)
    attrs["strides"] = steps
    return _named_op(variable, variable, "strided_slice", "strided_slice", inputs, attrs)


def _as_variable(block, value):
    if isinstance(value, Variable):
        value.stop_gradient = True
        return value
    out = block.create_var(dtype=VarType.INT32)
    _constant(block, out, value)
    return out


def _named_op(variable, source, suffix, type, inputs, attrs):
    block = variable.block.program.current_block()
    out = block.create_var(name=unique_name.generate(f"{variable.name}_{suffix}"), dtype=source.dtype)
    block.append_op(type=type, inputs=inputs, outputs={"Out": [out]}, attrs=attrs)
    return out


def _no_number(self):
    """Raises TypeError: a Variable has no value."""
    raise TypeError(
        f"the variable {self.name} has no value while the Program is built, so it is no number; "
        "fetch it with Executor.run first"
    )


def monkey_patch_variable():
    """Give Variables the operators of Python."""
    methods = {
        "__neg__": _negate,
        "astype": _astype,
        "__float__": _no_number,
        "__int__": _no_number,
        "__getitem__": _getitem,
        "__add__": _binary("+", "elementwise_add", lambda value: (1.0, value)),
        "__radd__": _binary("+", "elementwise_add", lambda value: (1.0, value)),
        "__sub__": _binary("-", "elementwise_sub", lambda value: (1.0, -value)),
        "__rsub__": _binary("-", "elementwise_sub", lambda value: (-1.0, value), reverse=True),
        "__mul__": _binary("*", "elementwise_mul", lambda value: (value, 0.0)),
        "__rmul__": _binary("*", "elementwise_mul", lambda value: (value, 0.0)),
        "__truediv__": _binary("/", "elementwise_div", lambda value: (1.0 / value, 0.0)),
        "__rtruediv__": _binary("/", "elementwise_div", reverse=True),
        "__pow__": _binary("**", "elementwise_pow"),
        "__rpow__": _binary("**", "elementwise_pow", reverse=True),
        "__floordiv__": _binary("//", "elementwise_floordiv"),
        "__mod__": _binary("%", "elementwise_mod"),
        "__eq__": _binary("==", "equal", comparison=True),
        "__ne__": _binary("!=", "not_equal", comparison=True),
        "__lt__": _binary("<", "less_than", comparison=True),
        "__le__": _binary("<=", "less_equal", comparison=True),
        "__gt__": _binary(">", "greater_than", comparison=True),
        "__ge__": _binary(">=", "greater_equal", comparison=True),
    }
    for name, method in methods.items():
        method.__name__ = name
        setattr(Variable, name, method)
