"""Layers that make tensors: constants, copies, random numbers, and searches in tensors."""

import numpy as np

from ...core.dtypes import VALUE_LISTS, VarType, numpy_dtype, var_type
from ..framework import Variable, device_guard
from ..initializer import Constant
from ..layer_helper import LayerHelper
from ..messages import described
from ..param_attr import ParamAttr
from .checks import (
    append,
    check_dtype,
    check_variable,
    integer,
    integers,
    number,
    numbers_or_variables,
    shape_inputs,
    truth,
)

__all__ = [
    "full",
    "randint",
    "randn",
    "randperm",
    "create_tensor",
    "create_parameter",
    "create_global_var",
    "assign",
    "fill_constant",
    "fill_constant_batch_size_like",
    "ones",
    "zeros",
    "ones_like",
    "zeros_like",
    "full_like",
    "range",
    "linspace",
    "eye",
    "diag",
    "argmax",
    "argmin",
    "argsort",
    "topk",
    "uniform_random",
    "gaussian_random",
    "uniform_random_batch_size_like",
    "gaussian_random_batch_size_like",
    "autoincreased_step_counter",
]


def create_tensor(dtype, name=None, persistable=False):
    """A Variable without a value, for other layers to write to.

    Args:
        dtype (str): its data type.
        name (str): its name.
        persistable (bool): whether its value outlives a run.
    Returns:
        Variable.
    Raises:
        TypeError: dtype is no data type of Fluid.
    """
    helper = LayerHelper("create_tensor", name=name)
    return helper.create_variable(name=helper.name, dtype=var_type(dtype), persistable=persistable)


def create_parameter(shape, dtype, name=None, attr=None, is_bias=False, default_initializer=None):
    """A Parameter that an optimizer updates.

    Args:
        shape (list of int): its shape.
        dtype (str): its data type.
        name (str): its name.
        attr (ParamAttr): its other properties.
        is_bias (bool): whether its first value is 0 by default.
        default_initializer (Initializer): used if attr has none; None for Xavier, or 0 for a bias.
    Returns:
        Parameter.
    Raises:
        TypeError, ValueError: a wrong argument.
    """
    if not isinstance(shape, (list, tuple)):
        raise TypeError(f"create_parameter: shape must be a list or tuple of ints, got {shape!r}")
    if attr is not None and not isinstance(attr, ParamAttr):
        raise TypeError(f"create_parameter: attr must be a ParamAttr, got {attr!r}")
    shape = integers("create_parameter", "shape", shape)
    helper = LayerHelper("create_parameter")
    attr = ParamAttr(name=name) if attr is None else attr
    return helper.create_parameter(attr, shape, var_type(dtype), is_bias, default_initializer)


def create_global_var(shape, value, dtype, persistable=False, force_cpu=False, name=None):
    """A Variable of the global block that the startup program fills with a number.

    Args:
        shape (list of int): its shape.
        value (float): its first value.
        dtype (str): its data type.
        persistable (bool): whether its value outlives a run.
        force_cpu (bool): without effect.
        name (str): its name.
    Returns:
        Variable.
    Raises:
        TypeError: a wrong argument.
    """
    shape = integers("create_global_var", "shape", list(shape))
    helper = LayerHelper("global_var")
    variable = helper.create_global_variable(
        dtype=var_type(dtype), shape=shape, persistable=persistable, name=name, stop_gradient=True
    )
    helper.set_variable_initializer(variable, Constant(float(value)))
    return variable


def assign(input, output=None):
    """Copy a tensor, or make one from a NumPy array.

    Args:
        input (Variable or numpy.ndarray): what to copy; an array of float32, int32, int64 or bool.
        output (Variable): where to; None for a new Variable.
    Returns:
        Variable of the shape and dtype of input.
    Raises:
        TypeError, ValueError: a wrong argument.
    """
    if output is not None:
        check_variable("assign", "output", output)
    if isinstance(input, Variable):
        return append("assign", {"X": input}, out=output)
    if not isinstance(input, np.ndarray):
        raise TypeError(f"assign: input must be a Variable or a NumPy array, got {type(input).__name__}")
    if input.dtype.name not in VALUE_LISTS:
        raise TypeError(f"assign: an array must be of {', '.join(VALUE_LISTS)}, got {input.dtype}; use input.astype")
    if input.size > 1024 * 1024:
        raise ValueError(
            f"assign: an array becomes a part of the Program and may have 1024 * 1024 elements, got {input.size}; "
            "feed it, or load it as a parameter"
        )
    values = input.ravel().tolist()
    attrs = {
        "dtype": var_type(input.dtype),
        "shape": list(input.shape),
        VALUE_LISTS[input.dtype.name]: [int(v) for v in values] if input.dtype == bool else values,
    }
    return append("assign_value", {}, attrs, dtype=attrs["dtype"], helper=LayerHelper("assign"), out=output)


def _constant_text(value, dtype):
    """The attribute `str_value`: the exact value that the float attribute `value` may round."""
    return str(int(value)) if numpy_dtype(dtype).kind in "iu" else str(float(value))


def fill_constant(shape, dtype, value, force_cpu=False, out=None):
    """A tensor filled with a number.

    Args:
        shape (list or tuple of int or Variable, or Variable): its shape.
        dtype (str): its data type.
        value (float, int, bool or Variable): the number; a Variable of shape [1] gives it when the Program runs.
        force_cpu (bool): without effect.
        out (Variable): where to write it; None for a new Variable.
    Returns:
        Variable, without gradient.
    Raises:
        TypeError: a wrong argument.
    """
    dtype = var_type(dtype)
    helper = LayerHelper("fill_constant")
    inputs, attrs = {}, {"dtype": dtype, "force_cpu": bool(force_cpu)}
    if isinstance(value, Variable):
        inputs["ValueTensor"] = value
    else:
        attrs["value"] = float(value)
        attrs["str_value"] = _constant_text(value, dtype)
    if not isinstance(shape, (list, tuple, Variable)):
        raise TypeError(f"fill_constant: shape must be a list or tuple of ints or a Variable, got {shape!r}")
    tensors, attrs["shape"] = shape_inputs("fill_constant", shape, helper)
    inputs.update(tensors)
    out = append("fill_constant", inputs, attrs, dtype=dtype, helper=helper, out=out)
    out.stop_gradient = True
    return out


def fill_constant_batch_size_like(input, shape, dtype, value, input_dim_idx=0, output_dim_idx=0, force_cpu=False):
    """A tensor filled with a number, one of whose dimensions is that of another tensor.

    Args:
        input (Variable): the other tensor.
        shape (list of int): the shape, but for one dimension.
        dtype (str): the data type.
        value (float): the number.
        input_dim_idx, output_dim_idx (int): the dimension of input, and the one of the result that takes its size.
            Where input has sequences, their number counts as its first dimension.
        force_cpu (bool): without effect.
    Returns:
        Variable, without gradient.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: a dimension that there is not.
    """
    layer = "fill_constant_batch_size_like"
    check_variable(layer, "input", input)
    dtype = var_type(dtype)
    attrs = {
        "shape": integers(layer, "shape", shape),
        "dtype": dtype,
        "value": float(value),
        "str_value": _constant_text(value, dtype),
        "input_dim_idx": integer(layer, "input_dim_idx", input_dim_idx),
        "output_dim_idx": integer(layer, "output_dim_idx", output_dim_idx),
        "force_cpu": bool(force_cpu),
    }
    out = append(layer, {"Input": input}, attrs, dtype=dtype)
    out.stop_gradient = True
    return out


def ones(shape, dtype, force_cpu=False):
    """A tensor of ones.

    Args:
        shape (list or tuple of int): its shape.
        dtype (str): its data type.
        force_cpu (bool): without effect.
    Returns:
        Variable, without gradient.
    Raises:
        TypeError: a wrong argument.
    """
    return fill_constant(shape, dtype, 1.0, force_cpu)


def zeros(shape, dtype, force_cpu=False):
    """A tensor of zeros.

    Args:
        shape (list or tuple of int): its shape.
        dtype (str): its data type.
        force_cpu (bool): without effect.
    Returns:
        Variable, without gradient.
    Raises:
        TypeError: a wrong argument.
    """
    return fill_constant(shape, dtype, 0.0, force_cpu)


def ones_like(x, out=None):
    """A tensor of ones of the shape of another.

    Args:
        x (Variable): the other tensor.
        out (Variable): where to write the result; None for a new Variable.
    Returns:
        Variable of the shape and dtype of x.
    Raises:
        TypeError: x is no Variable.
    """
    check_variable("ones_like", "x", x)
    return append("fill_any_like", {"X": x}, {"value": 1.0}, helper=LayerHelper("ones_like"), out=out)


def zeros_like(x, out=None):
    """A tensor of zeros of the shape of another.

    Args:
        x (Variable): the other tensor.
        out (Variable): where to write the result; None for a new Variable.
    Returns:
        Variable of the shape and dtype of x, without gradient.
    Raises:
        TypeError: x is no Variable.
    """
    check_variable("zeros_like", "x", x)
    out = append("fill_zeros_like", {"X": x}, helper=LayerHelper("zeros_like"), out=out)
    out.stop_gradient = True
    return out


def full_like(input, fill_value, out=None, dtype=None, device=None, stop_gradient=True, name=None):
    """A tensor of the shape of another, filled with a number.

    Args:
        input (Variable): the other tensor.
        fill_value (float): the number.
        out (Variable): where to write the result; None for a new Variable.
        dtype (str): the data type; None for that of input.
        device (str): without effect.
        stop_gradient (bool): whether no gradient flows through the result.
        name (str): the first part of generated names.
    Returns:
        Variable.
    Raises:
        TypeError: a wrong argument.
    """
    check_variable("full_like", "input", input)
    dtype = input.dtype if dtype is None else var_type(dtype)
    attrs = {"value": number("full_like", "fill_value", fill_value), "dtype": dtype}
    helper = LayerHelper("full_like", name=name)
    out = append("fill_any_like", {"X": input}, attrs, dtype, helper=helper, out=out)
    out.stop_gradient = stop_gradient
    return out


def _one_number(value, dtype):
    return value if isinstance(value, Variable) else fill_constant([1], dtype, value)


def _converted(variable, dtype):
    if variable.dtype == dtype:
        return variable
    return append("cast", {"X": variable}, {"in_dtype": variable.dtype, "out_dtype": dtype}, dtype)


def range(start, end, step, dtype):
    """The numbers from start up to, but without, end.

    Args:
        start, end, step (float, int or Variable of shape [1]): the first number, the limit and the distance.
        dtype (str): the data type.
    Returns:
        Variable of one dimension, without gradient.
    Raises:
        TypeError: dtype is no data type of Fluid.
    """
    dtype = var_type(dtype)
    numbers = {"Start": start, "End": end, "Step": step}
    inputs = {slot: _converted(_one_number(number, dtype), dtype) for slot, number in numbers.items()}
    out = append("range", inputs, dtype=dtype)
    out.stop_gradient = True
    return out


def linspace(start, stop, num, dtype):
    """Numbers at equal distances.

    Args:
        start, stop (float or Variable of shape [1]): the first and the last number.
        num (int or Variable of shape [1]): how many there are.
        dtype (str): float32 or float64.
    Returns:
        Variable of shape [num].
    Raises:
        TypeError: dtype is no data type of Fluid.
    """
    dtype = var_type(dtype)
    inputs = {"Start": _one_number(start, dtype), "Stop": _one_number(stop, dtype), "Num": _one_number(num, "int32")}
    return append("linspace", inputs, dtype=dtype)


def eye(num_rows, num_columns=None, batch_shape=None, dtype="float32"):
    """A matrix with ones on its diagonal, zeros elsewhere; or a stack of them.

    Args:
        num_rows (int): its rows.
        num_columns (int): its columns; None for as many.
        batch_shape (list of int): the shape of the stack; None for a single matrix.
        dtype (str): the data type.
    Returns:
        Variable of shape batch_shape + [num_rows, num_columns].
    Raises:
        TypeError: a wrong argument.
    """
    rows = integer("eye", "num_rows", num_rows)
    columns = rows if num_columns is None else integer("eye", "num_columns", num_columns)
    if min(rows, columns) < 0:
        raise TypeError(f"eye: num_rows and num_columns must not be negative, got {rows} and {columns}")
    attrs = {"num_rows": rows, "num_columns": columns, "dtype": var_type(dtype)}
    out = append("eye", {}, attrs, dtype=attrs["dtype"])
    out.stop_gradient = True
    for count in reversed(integers("eye", "batch_shape", batch_shape or [])):
        out = append("stack", {"X": [out] * count}, {"axis": 0}, slot="Y")
    return out


def diag(diagonal):
    """A square matrix with given numbers on its diagonal, zeros elsewhere.

    Args:
        diagonal (Variable or numpy.ndarray): the numbers, of shape [n].
    Returns:
        Variable of shape [n, n], without gradient.
    Raises:
        TypeError: diagonal is neither.
        EnforceNotMet: diagonal has another shape.
    """
    diagonal = diagonal if isinstance(diagonal, Variable) else assign(diagonal)
    out = append("diag", {"Diagonal": diagonal})
    out.stop_gradient = True
    return out


def _argument(layer, x, axis):
    check_variable(layer, "x", x)
    type = {"argmax": "arg_max", "argmin": "arg_min"}[layer]
    out = append(type, {"X": x}, {"axis": integer(layer, "axis", axis)}, dtype="int64")
    out.stop_gradient = True
    return out


def argmax(x, axis=0):
    """Where along a dimension the greatest element is; the first one, if several are equal.

    Args:
        x (Variable): tensor of numbers.
        axis (int): the dimension.
    Returns:
        int64 Variable of the shape of x without the dimension.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: axis is no dimension of x.
    """
    return _argument("argmax", x, axis)


def argmin(x, axis=0):
    """Where along a dimension the smallest element is; the first one, if several are equal.

    Args:
        x (Variable): tensor of numbers.
        axis (int): the dimension.
    Returns:
        int64 Variable of the shape of x without the dimension.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: axis is no dimension of x.
    """
    return _argument("argmin", x, axis)


def _sorted(type, input, inputs, attrs, name):
    """Append an operator with the outputs Out and Indices; returns both, without gradient."""
    helper = LayerHelper(type, name=name)
    out = helper.create_variable_for_type_inference(input.dtype, stop_gradient=True)
    indices = helper.create_variable_for_type_inference(VarType.INT64, stop_gradient=True)
    helper.append_op(type=type, inputs={"X": input, **inputs}, outputs={"Out": out, "Indices": indices}, attrs=attrs)
    return out, indices


def argsort(input, axis=-1, descending=False, name=None):
    """Sort along a dimension.

    Args:
        input (Variable): tensor of numbers.
        axis (int): the dimension.
        descending (bool): the greatest first.
        name (str): the first part of generated names.
    Returns:
        (sorted, indices): Variables of the shape of input, the second of int64: where each element was.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: axis is no dimension of input.
    """
    check_dtype("argsort", "input", input, "fi")
    attrs = {"axis": integer("argsort", "axis", axis), "descending": truth("argsort", "descending", descending)}
    return _sorted("argsort", input, {}, attrs, name)


def topk(input, k, name=None):
    """The k greatest elements of each row, in descending order; of equal ones the first comes first.

    Args:
        input (Variable): tensor of numbers; a row is its last dimension.
        k (int or Variable of shape [1]): how many.
        name (str): the first part of generated names.
    Returns:
        (values, indices): Variables of shape input.shape[:-1] + [k], the second of int64: where in its row each
        element is.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: a row has fewer than k elements.
    """
    check_dtype("topk", "input", input, "fi")
    if isinstance(k, Variable):
        return _sorted("top_k", input, {"K": k}, {}, name)
    return _sorted("top_k", input, {}, {"k": integer("topk", "k", k)}, name)


def _random(type, shape, dtype, attrs, input=None):
    if not isinstance(shape, (list, tuple, Variable)):
        raise TypeError(f"{type}: shape must be a list or tuple of ints or a Variable, got {described(shape)}")
    attrs["dtype"] = var_type(dtype)
    if input is not None:
        attrs["shape"] = integers(type, "shape", shape)
        return append(type, {"Input": input}, attrs, attrs["dtype"])
    helper = LayerHelper(type)
    if type == "gaussian_random":
        out = helper.create_variable_for_type_inference(attrs["dtype"])
        inputs, attrs["shape"] = shape_inputs(type, shape, helper)
        return append(type, inputs, attrs, helper=helper, out=out)
    slots = ("ShapeTensor", "ShapeTensorList")
    inputs, attrs["shape"] = numbers_or_variables(type, "shape", shape, helper, slots, "int64")
    return append(type, inputs, attrs, attrs["dtype"], helper=helper)


def uniform_random(shape, dtype="float32", min=-1.0, max=1.0, seed=0):
    """Random numbers, evenly distributed over [min, max).

    Args:
        shape (list or tuple of int or Variable, or Variable): the shape; a Variable of int32 or int64 holds one
            size, or all.
        dtype (str): float32 or float64.
        min, max (float): the limits.
        seed (int): not 0: draw the same numbers at every run.
    Returns:
        Variable.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: dtype is no floating-point type.
    """
    attrs = {
        "min": number("uniform_random", "min", min),
        "max": number("uniform_random", "max", max),
        "seed": integer("uniform_random", "seed", seed),
    }
    return _random("uniform_random", shape, dtype, attrs)


def gaussian_random(shape, mean=0.0, std=1.0, seed=0, dtype="float32"):
    """Random numbers, normally distributed.

    Args:
        shape (list or tuple of int or Variable, or Variable): the shape; a Variable of int32 or int64 holds one
            size, or all.
        mean, std (float): their mean and standard deviation.
        seed (int): not 0: draw the same numbers at every run.
        dtype (str): float32 or float64.
    Returns:
        Variable.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: dtype is no floating-point type.
    """
    attrs = {
        "mean": number("gaussian_random", "mean", mean),
        "std": number("gaussian_random", "std", std),
        "seed": integer("gaussian_random", "seed", seed),
    }
    return _random("gaussian_random", shape, dtype, attrs)


def _like(layer, input, input_dim_idx, output_dim_idx):
    check_variable(layer, "input", input)
    return {
        "input_dim_idx": integer(layer, "input_dim_idx", input_dim_idx),
        "output_dim_idx": integer(layer, "output_dim_idx", output_dim_idx),
    }


def uniform_random_batch_size_like(
    input, shape, dtype="float32", input_dim_idx=0, output_dim_idx=0, min=-1.0, max=1.0, seed=0
):
    """Random numbers, evenly distributed over [min, max), in a shape one of whose dimensions is that of a tensor.

    Args:
        input (Variable): the tensor.
        shape (list or tuple of int): the shape, but for one dimension.
        dtype (str): float32 or float64.
        input_dim_idx, output_dim_idx (int): the dimension of input, and the one of the result that takes its size.
        min, max (float): the limits.
        seed (int): not 0: draw the same numbers at every run.
    Returns:
        Variable.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: a dimension that there is not.
    """
    layer = "uniform_random_batch_size_like"
    attrs = _like(layer, input, input_dim_idx, output_dim_idx)
    attrs.update(min=number(layer, "min", min), max=number(layer, "max", max), seed=integer(layer, "seed", seed))
    return _random(layer, shape, dtype, attrs, input)


def gaussian_random_batch_size_like(
    input, shape, input_dim_idx=0, output_dim_idx=0, mean=0.0, std=1.0, seed=0, dtype="float32"
):
    """Random numbers, normally distributed, in a shape one of whose dimensions is that of a tensor.

    Args:
        input (Variable): the tensor.
        shape (list or tuple of int): the shape, but for one dimension.
        input_dim_idx, output_dim_idx (int): the dimension of input, and the one of the result that takes its size.
        mean, std (float): their mean and standard deviation.
        seed (int): not 0: draw the same numbers at every run.
        dtype (str): float32 or float64.
    Returns:
        Variable.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: a dimension that there is not.
    """
    layer = "gaussian_random_batch_size_like"
    attrs = _like(layer, input, input_dim_idx, output_dim_idx)
    attrs.update(mean=number(layer, "mean", mean), std=number(layer, "std", std), seed=integer(layer, "seed", seed))
    return _random(layer, shape, dtype, attrs, input)


def autoincreased_step_counter(counter_name=None, begin=1, step=1):
    """A counter that grows at every run of the Program.

    Args:
        counter_name (str): the name of the Variable; None for "@STEP_COUNTER@".
        begin (int): its value in the first run.
        step (int): by how much it grows.
    Returns:
        int64 Variable of shape [1], persistable.
    """
    helper = LayerHelper("global_step_counter")
    counter, is_new = helper.create_or_get_global_variable(
        counter_name or "@STEP_COUNTER@", dtype=VarType.INT64, shape=[1], persistable=True
    )
    if is_new:
        helper.set_variable_initializer(counter, Constant(begin - 1, force_cpu=True))
        helper.main_program.global_block().prepend_op(
            type="increment", inputs={"X": counter}, outputs={"Out": counter}, attrs={"step": float(step)}
        )
        counter.stop_gradient = True
    return counter


def _check_dtype_name(layer, dtype, names):
    """The VarType of `dtype`; raises TypeError unless it is one of these."""
    if isinstance(dtype, Variable) or numpy_dtype(dtype).name not in names:
        raise TypeError(f"{layer}: dtype must be {', '.join(names)}, got {described(dtype)}")
    return var_type(dtype)


def full(shape, fill_value, out=None, dtype=None, device=None, stop_gradient=True, name=None):
    """A tensor of one number.

    Args:
        shape (list or tuple of int or Variable, or Variable): its shape.
        fill_value (float, int, bool or Variable): the number.
        out (Variable): where to write it; None for a new Variable.
        dtype (str): bool, float16, float32, float64, int32 or int64; None for float32.
        device (str): the operator's `op_device`.
        stop_gradient (bool): without effect, as in Fluid: no gradient flows through the result.
        name (str): without effect.
    Returns:
        Variable.
    Raises:
        TypeError: a wrong argument.
    """
    dtype = "float32" if dtype is None else dtype
    dtype = _check_dtype_name("full", dtype, ["bool", "float16", "float32", "float64", "int32", "int64"])
    if not isinstance(shape, (list, tuple, Variable)):
        raise TypeError(f"full: shape must be a list or tuple of ints or a Variable, got {described(shape)}")
    if out is None:
        out = LayerHelper("full").create_variable_for_type_inference(dtype)
    with device_guard(device):
        return fill_constant(shape, dtype, fill_value, out=out)


def randint(low, high=None, shape=None, out=None, dtype=None, device=None, stop_gradient=False, seed=0, name=None):
    """Random integers, evenly distributed over [low, high).

    Args:
        low, high (int): the limits; high None for those of [0, low).
        shape (list or tuple of int or Variable, or Variable): the shape; None for [1].
        out (Variable): where to write them; None for a new Variable.
        dtype (str): int32 or int64; None for int64.
        device (str): the operator's `op_device`.
        stop_gradient (bool): whether no gradient flows through the result.
        seed (int): not 0: draw the same numbers at every run.
        name (str): the name of a new Variable.
    Returns:
        Variable.
    Raises:
        TypeError: a wrong argument.
        ValueError: low is not less than high.
    """
    dtype = _check_dtype_name("randint", "int64" if dtype is None else dtype, ["int32", "int64"])
    shape = [1] if shape is None else shape
    if not isinstance(shape, (list, tuple, Variable)):
        raise TypeError(f"randint: shape must be a list or tuple of ints or a Variable, got {described(shape)}")
    low, high = (0, low) if high is None else (low, high)
    if low >= high:
        raise ValueError(f"randint: low must be less than high, got {low} and {high}")
    helper = LayerHelper("randint", name=name)
    attrs = {"low": integer("randint", "low", low), "high": integer("randint", "high", high), "seed": seed}
    slots = ("ShapeTensor", "ShapeTensorList")
    inputs, attrs["shape"] = numbers_or_variables("randint", "shape", shape, helper, slots, "int64")
    if inputs:
        del attrs["shape"]
    out = _written("randint", helper, out, dtype, name)
    attrs["dtype"] = out.dtype
    out.stop_gradient = stop_gradient
    with device_guard(device):
        return append("randint", inputs, attrs, helper=helper, out=out)


def _written(layer, helper, out, dtype, name=None):
    """The Variable that a layer writes to: `out`, or a new one."""
    if out is not None:
        check_variable(layer, "out", out)
        if out.dtype != dtype:
            raise TypeError(f"{layer}: out has the dtype {out.dtype.name}, but {dtype.name} is asked for")
        return out
    if name is None:
        return helper.create_variable_for_type_inference(dtype)
    return helper.create_variable(name=name, dtype=dtype, persistable=False)


def randn(shape, out=None, dtype=None, device=None, stop_gradient=True, name=None):
    """Random numbers, normally distributed around 0 with standard deviation 1.

    Args:
        shape (list or tuple of int): the shape.
        out (Variable): where to write them; None for a new Variable.
        dtype (str): float32 or float64; None for float32.
        device (str): the operator's `op_device`.
        stop_gradient (bool): whether no gradient flows through the result.
        name (str): without effect.
    Returns:
        Variable; it has the same values at every run, from a seed that NumPy draws here, as in Fluid.
    Raises:
        TypeError: a wrong argument.
    """
    dtype = _check_dtype_name("randn", "float32" if dtype is None else dtype, ["float32", "float64"])
    if not isinstance(shape, (list, tuple)):
        raise TypeError(f"randn: shape must be a list or tuple of ints, got {described(shape)}")
    helper = LayerHelper("randn")
    out = _written("randn", helper, out, dtype)
    out.stop_gradient = stop_gradient
    attrs = {"shape": integers("randn", "shape", shape), "seed": int(np.random.randint(0, 100)), "dtype": dtype}
    with device_guard(device):
        return append("gaussian_random", {}, {"mean": 0.0, "std": 1.0, **attrs}, helper=helper, out=out)


def randperm(n, out=None, dtype="int64", device=None, stop_gradient=True, seed=0):
    """The numbers from 0 to n - 1 in a random order.

    Args:
        n (int): how many.
        out (Variable): where to write them; None for a new Variable.
        dtype (str): int32 or int64.
        device (str): the operator's `op_device`: None, "cpu" or "gpu".
        stop_gradient (bool): whether no gradient flows through the result.
        seed (int): not 0: draw the same order at every run.
    Returns:
        Variable of shape [n].
    Raises:
        TypeError: a wrong argument.
        ValueError: n is not positive, or there is no such device.
    """
    if n < 1:
        raise ValueError(f"randperm: n must be positive, got {n}")
    if device not in (None, "cpu", "gpu"):
        raise ValueError(f'randperm: device must be None, "cpu" or "gpu", got {device!r}')
    dtype = _check_dtype_name("randperm", dtype, ["int64", "int32"])
    truth("randperm", "stop_gradient", stop_gradient)
    helper = LayerHelper("randperm")
    out = _written("randperm", helper, out, dtype)
    if stop_gradient:
        out.stop_gradient = True
    with device_guard(device):
        return append("randperm", {}, {"n": n, "dtype": out.dtype, "seed": seed}, helper=helper, out=out)
