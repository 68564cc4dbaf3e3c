"""Layers that change the shape of tensors, or take them apart and put them together."""

import numpy as np

from ...core.dtypes import var_type
from ..framework import Variable
from ..layer_helper import LayerHelper
from ..messages import described
from .checks import (
    append,
    check_dtype,
    check_variable,
    check_variables,
    integer,
    integers,
    numbers_or_variables,
    shape_by_attributes,
    truth,
)
from .tensor import assign, zeros

__all__ = [
    "flip",
    "meshgrid",
    "shard_index",
    "tril",
    "triu",
    "unfold",
    "where",
    "nonzero",
    "unique",
    "unique_with_counts",
    "reshape",
    "flatten",
    "squeeze",
    "unsqueeze",
    "transpose",
    "concat",
    "split",
    "stack",
    "unstack",
    "expand",
    "expand_as",
    "slice",
    "strided_slice",
    "reverse",
    "gather",
    "gather_nd",
    "scatter",
    "scatter_nd",
    "scatter_nd_add",
    "shape",
    "multiplex",
    "crop",
    "crop_tensor",
    "rank",
    "size",
    "cast",
]


def _reshaping(type, layer, x, attrs, name=None, inplace=False, inputs=None, helper=None):
    """Append an operator with the outputs Out and XShape; returns Out."""
    helper = helper or LayerHelper(layer, name=name)
    out = x if inplace else helper.create_variable_for_type_inference(x.dtype)
    x_shape = helper.create_variable_for_type_inference(x.dtype)
    helper.append_op(type=type, inputs={"X": x, **(inputs or {})}, outputs={"Out": out, "XShape": x_shape}, attrs=attrs)
    return out


def reshape(x, shape, actual_shape=None, act=None, inplace=False, name=None):
    """The elements of x, in order, in another shape.

    Args:
        x (Variable): tensor.
        shape (list or tuple of int or Variable, or Variable): 0 keeps the dimension of x in that place, and one
            dimension may be -1: what is left.  A Variable of int32 holds the whole shape.
        actual_shape (Variable): overrules a shape of ints when the Program runs, if given.
        act (str): an activation.
        inplace (bool): let the result be x itself, in its new shape.
        name (str): the first part of generated names.
    Returns:
        Variable of the dtype of x.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: x cannot take the shape.
    """
    check_variable("reshape", "x", x)
    if not isinstance(shape, (list, tuple, Variable)):
        raise TypeError(f"reshape: shape must be a list or tuple of ints or a Variable, got {shape!r}")
    if actual_shape is not None:
        check_variable("reshape", "actual_shape", actual_shape)
    inplace = truth("reshape", "inplace", inplace)
    helper = LayerHelper("reshape2", act=act, name=name)
    inputs, sizes = numbers_or_variables("reshape", "shape", shape, helper, ("Shape", "ShapeTensor"))
    attrs = {"shape": sizes}
    if actual_shape is None or inputs:
        return helper.append_activation(_reshaping("reshape2", "reshape2", x, attrs, None, inplace, inputs, helper))
    actual_shape.stop_gradient = True
    shape = shape_by_attributes("reshape2", attrs, {"X": [x.spec]})
    out = _reshaping("reshape2", "reshape2", x, attrs, None, inplace, {"Shape": actual_shape}, helper)
    out._describe(shape, out.dtype)
    return helper.append_activation(out)


def flatten(x, axis=1, name=None):
    """The elements of x, in order, as a matrix.

    Args:
        x (Variable): tensor.
        axis (int): how many of the first dimensions are the rows.
        name (str): the first part of generated names.
    Returns:
        Variable of two dimensions.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: x has fewer than axis dimensions.
    """
    check_variable("flatten", "x", x)
    return _reshaping("flatten2", "flatten", x, {"axis": integer("flatten", "axis", axis)}, name)


def squeeze(input, axes, name=None):
    """Drop dimensions of size 1.

    Args:
        input (Variable): tensor.
        axes (list of int): the dimensions to drop; [] for all of size 1.
        name (str): the first part of generated names.
    Returns:
        Variable of fewer dimensions.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: a dimension named in axes has another size.
    """
    check_variable("squeeze", "input", input)
    return _reshaping("squeeze2", "squeeze", input, {"axes": integers("squeeze", "axes", axes)}, name)


def unsqueeze(input, axes, name=None):
    """Insert dimensions of size 1.

    Args:
        input (Variable): tensor.
        axes (int, list of int or Variable, or Variable): where they are in the result, one after the other.
        name (str): the first part of generated names.
    Returns:
        Variable of more dimensions.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: a place outside the result.
    """
    check_variable("unsqueeze", "input", input)
    helper = LayerHelper("unsqueeze2", name=name)
    inputs, numbers = numbers_or_variables("unsqueeze", "axes", axes, helper, ("AxesTensor", "AxesTensorList"))
    return _reshaping("unsqueeze2", None, input, {} if inputs else {"axes": numbers}, inputs=inputs, helper=helper)


def transpose(x, perm, name=None):
    """Put the dimensions in another order.

    Args:
        x (Variable): tensor.
        perm (list of int): the dimension of x for each dimension of the result.
        name (str): the first part of generated names.
    Returns:
        Variable of the dtype of x.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: perm does not name each dimension once.
    """
    check_variable("transpose", "x", x)
    if not isinstance(perm, (list, tuple)):
        raise TypeError(f"transpose: perm must be a list or tuple of ints, got {perm!r}")
    return _reshaping("transpose2", "transpose", x, {"axis": integers("transpose", "perm", perm)}, name)


def concat(input, axis=0, name=None):
    """Lay tensors one behind the other.

    Args:
        input (list of Variable): tensors that agree in all dimensions but `axis`, or one tensor array.
        axis (int or Variable of shape [1]): the dimension along which they are laid.
        name (str): the first part of generated names.
    Returns:
        Variable of the dtype of the inputs.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the inputs do not agree.
    """
    variables = [input] if isinstance(input, Variable) else check_variables("concat", "input", input)
    if variables[0].holds_array:
        return _of_array("concat", variables, integer("concat", "axis", axis), use_stack=False, name=name)
    inputs, attrs = _axis("concat", "axis", axis)
    return append("concat", {"X": variables, **inputs}, attrs, name=name)


def _of_array(layer, variables, axis, use_stack, name=None):
    """Append the operator that lays the tensors of an array together; returns its result."""
    if len(variables) > 1:
        raise TypeError(f"{layer}: a tensor array must be the only input, got {len(variables)}")
    helper = LayerHelper(layer, name=name)
    out, index = (helper.create_variable_for_type_inference(dtype) for dtype in (variables[0].dtype, "int32"))
    attrs = {"axis": axis, "use_stack": use_stack}
    helper.append_op("tensor_array_to_tensor", {"X": variables}, {"Out": out, "OutIndex": index}, attrs)
    return out


def _axis(layer, argument, value):
    """(inputs, attributes) for an axis that is an int or a Variable."""
    if isinstance(value, Variable):
        check_dtype(layer, argument, value, "i")
        value.stop_gradient = True
        return {"AxisTensor": value}, {}
    return {}, {"axis": integer(layer, argument, value)}


def split(input, num_or_sections, dim=-1, name=None):
    """Cut a tensor into parts along a dimension.

    Args:
        input (Variable): tensor.
        num_or_sections (int or list of int or Variable): how many equal parts, or their sizes, one of which may be
            -1: what is left.
        dim (int or Variable of shape [1]): the dimension.
        name (str): the first part of generated names.
    Returns:
        list of Variables.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the dimension cannot be split so.
    """
    check_variable("split", "input", input)
    inputs, attrs = _axis("split", "dim", dim)
    if attrs.get("axis", 0) < 0:
        attrs["axis"] += len(input.shape)
    helper = LayerHelper("split", name=name)
    if isinstance(num_or_sections, (list, tuple)):
        slots = (None, "SectionsTensorList")
        sizes, sections = numbers_or_variables("split", "num_or_sections", num_or_sections, helper, slots)
        inputs.update(sizes)
        attrs.update(num=0, sections=sections)
        count = len(sections)
    else:
        attrs["num"] = count = integer("split", "num_or_sections", num_or_sections)
    outs = [helper.create_variable_for_type_inference(input.dtype) for _ in range(count)]
    helper.append_op(type="split", inputs={"X": input, **inputs}, outputs={"Out": outs}, attrs=attrs)
    return outs


def stack(x, axis=0):
    """Lay tensors of one shape side by side along a new dimension.

    Args:
        x (Variable or list of Variable): the tensors, or one tensor array.
        axis (int): where the new dimension is in the result.
    Returns:
        Variable of one more dimension.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the shapes differ.
    """
    variables = [x] if isinstance(x, Variable) else check_variables("stack", "x", x)
    axis = integer("stack", "axis", axis)
    if variables[0].holds_array:
        return _of_array("stack", variables, axis, use_stack=True)
    return append("stack", {"X": variables}, {"axis": axis}, slot="Y")


def unstack(x, axis=0, num=None):
    """Take a tensor apart along a dimension, which disappears.

    Args:
        x (Variable): tensor.
        axis (int): the dimension.
        num (int): its size, which need not be given if it is known.
    Returns:
        list of Variables.
    Raises:
        TypeError, ValueError: a wrong argument.
    """
    check_variable("unstack", "x", x)
    axis = integer("unstack", "axis", axis)
    if num is None and not -len(x.shape) <= axis < len(x.shape):
        raise ValueError(f"unstack: axis must be a dimension of x, of shape {list(x.shape)}, got {axis}")
    num = x.shape[axis] if num is None else integer("unstack", "num", num)
    if num < 0:
        raise ValueError(f"unstack: dimension {axis} of x, of shape {list(x.shape)}, is unknown; give num")
    helper = LayerHelper("unstack")
    outs = [helper.create_variable_for_type_inference(x.dtype) for _ in range(num)]
    helper.append_op(type="unstack", inputs={"X": x}, outputs={"Y": outs}, attrs={"axis": axis, "num": num})
    return outs


def expand(x, expand_times, name=None):
    """Repeat a tensor along its dimensions.

    Args:
        x (Variable): tensor.
        expand_times (list of int or Variable, or Variable): how many times, for each dimension.
        name (str): the first part of generated names.
    Returns:
        Variable of the dtype of x.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: expand_times does not have a number for each dimension.
    """
    check_variable("expand", "x", x)
    helper = LayerHelper("expand", name=name)
    slots = ("ExpandTimes", "expand_times_tensor")
    inputs, times = numbers_or_variables("expand", "expand_times", expand_times, helper, slots)
    return append("expand", {"X": x, **inputs}, {"expand_times": times}, helper=helper)


def expand_as(x, target_tensor, name=None):
    """Repeat a tensor along its dimensions to the shape of another.

    Args:
        x (Variable): tensor.
        target_tensor (Variable): tensor, each of whose dimensions is a multiple of that of x.
        name (str): the first part of generated names.
    Returns:
        Variable of the shape of target_tensor and the dtype of x.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: a dimension is no multiple.
    """
    check_variable("expand_as", "x", x)
    check_variable("expand_as", "target_tensor", target_tensor)
    return append("expand_as", {"X": x, "target_tensor": target_tensor}, name=name)


def slice(input, axes, starts, ends):
    """The part of a tensor between given bounds.

    Args:
        input (Variable): tensor.
        axes (list of int): the dimensions that are cut.
        starts, ends (list of int or Variable, or Variable): for each, where the part begins and before which element
            it ends; negative numbers count from the end.
    Returns:
        Variable of the dtype of input.
    Raises:
        TypeError, ValueError: a wrong argument.
        EnforceNotMet: the part is empty.
    """
    check_variable("slice", "input", input)
    return _sliced("slice", input, axes, starts=starts, ends=ends)


def _sliced(layer, input, axes, **bounds):
    """Append a slice whose `bounds` are ints or come from Variables."""
    helper = LayerHelper(layer)
    axes = integers(layer, "axes", _listed(layer, "axes", axes))
    inputs, attrs, known = {"Input": input}, {"axes": axes, "decrease_axis": []}, [True] * len(axes)
    for argument, value in bounds.items():
        slots = (argument.capitalize() + "Tensor", argument.capitalize() + "TensorList")
        if isinstance(value, Variable):
            if layer == "slice":  # strided_slice calls what one Variable holds known, as in Fluid
                known = [False] * len(axes)
        else:
            _listed(layer, argument, value, axes)
            known = [k and not isinstance(item, Variable) for k, item in zip(known, value, strict=True)]
        tensors, attrs[argument] = numbers_or_variables(layer, argument, value, helper, slots)
        inputs.update(tensors)
    attrs["infer_flags"] = [1 if is_known else -1 for is_known in known]
    return append(layer, inputs, attrs, helper=helper)


def _listed(layer, argument, value, axes=None):
    """`value`; raises TypeError or ValueError unless it is a list with an item for each of the axes."""
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{layer}: {argument} must be a list or tuple of ints, got {value!r}")
    if axes is not None and len(value) != len(axes):
        raise ValueError(f"{layer}: {argument} must have one number for each of axes {list(axes)}, got {value!r}")
    return value


def strided_slice(input, axes, starts, ends, strides):
    """Every n-th element of the part of a tensor between given bounds.

    Args:
        input (Variable): tensor.
        axes (list of int): the dimensions that are cut.
        starts, ends (list of int or Variable, or Variable): for each, where the part begins and before which element
            it ends; negative numbers count from the end.
        strides (list of int or Variable, or Variable): the steps; negative ones go backwards.
    Returns:
        Variable of the dtype of input.
    Raises:
        TypeError, ValueError: a wrong argument.
        EnforceNotMet: the part is empty.
    """
    check_variable("strided_slice", "input", input)
    return _sliced("strided_slice", input, axes, starts=starts, ends=ends, strides=strides)


def reverse(x, axis):
    """Turn the order of the elements around along dimensions.

    Args:
        x (Variable): tensor.
        axis (int or list of int): the dimensions.
    Returns:
        Variable of the shape and dtype of x.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: axis is no dimension of x.
    """
    check_variable("reverse", "x", x)
    return append("reverse", {"X": x}, {"axis": integers("reverse", "axis", axis)})


def gather(input, index, overwrite=True):
    """Rows of a tensor by number.

    Args:
        input (Variable): tensor.
        index (Variable): int32 or int64, of shape [n] or [n, 1].
        overwrite (bool): of several gradients of one row, keep the last; False adds them up.
    Returns:
        Variable of shape [n] + input.shape[1:].
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: an index that is no row.
    """
    check_variable("gather", "input", input)
    check_dtype("gather", "index", index, "i")
    attrs = {"overwrite": truth("gather", "overwrite", overwrite)}
    return append("gather", {"X": input, "Index": index}, attrs)


def gather_nd(input, index, name=None):
    """Parts of a tensor by coordinates.

    Args:
        input (Variable): tensor.
        index (Variable): int32 or int64; its last dimension holds coordinates of the first dimensions of input.
        name (str): the first part of generated names.
    Returns:
        Variable of shape index.shape[:-1] + input.shape[index.shape[-1]:].
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: coordinates outside input.
    """
    check_variable("gather_nd", "input", input)
    check_dtype("gather_nd", "index", index, "i")
    return append("gather_nd", {"X": input, "Index": index}, name=name)


def where(condition):
    """The coordinates of the elements that are true, or not 0, row by row.

    Args:
        condition (Variable): bool, or numbers; of any shape.
    Returns:
        int64 Variable of shape [number of such elements, dimensions of condition], without gradient.
    Raises:
        TypeError: condition is no Variable.
    """
    check_variable("where", "condition", condition)
    return append("where_index", {"Condition": condition}, dtype="int64")


def nonzero(input, as_tuple=False):
    """The coordinates of the elements that are not 0, row by row.

    Args:
        input (Variable): tensor.
        as_tuple (bool): whether each coordinate becomes a tensor of its own.
    Returns:
        int64 Variable of shape [number of such elements, dimensions of input]; as a tuple, one of shape
        [number of such elements, 1] for each dimension.  Without gradient.
    Raises:
        TypeError: input is no Variable.
    """
    found, rank = where(input), len(input.shape)
    if not as_tuple:
        return found
    # As in Fluid, which counts the dimensions of the input, not those of the result.
    return (found,) if rank == 1 else tuple(slice(found, [rank - 1], [axis], [axis + 1]) for axis in range(rank))


def unique(x, dtype="int32"):
    """The different values of a tensor, in the order in which they first appear.

    Args:
        x (Variable): tensor of one dimension.
        dtype (str): of the second result, int32 or int64.
    Returns:
        (values, places): Variables of shape [number of values] and of x's shape: the place of each element in values.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: x has another number of dimensions.
    """
    return _unique("unique", x, dtype)


def unique_with_counts(x, dtype="int32"):
    """The different values of a tensor, in the order in which they first appear, and how often each does.

    Args:
        x (Variable): tensor of one dimension.
        dtype (str): of the second and the third result, int32 or int64.
    Returns:
        (values, places, counts): Variables of shape [number of values], of x's shape (the place of each element in
        values), and of shape [number of values].
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: x has another number of dimensions.
    """
    return _unique("unique_with_counts", x, dtype, "Count")


def _unique(type, x, dtype, *more):
    check_dtype(type, "x", x, "fi")
    dtype, helper = var_type(dtype), LayerHelper(type)
    slots = {"Out": x.dtype, "Index": dtype, **dict.fromkeys(more, dtype)}
    made = {slot: helper.create_variable_for_type_inference(kind) for slot, kind in slots.items()}
    helper.append_op(type=type, inputs={"X": x}, outputs=made, attrs={"dtype": dtype})
    return tuple(made.values())


def scatter(input, index, updates, name=None, overwrite=True):
    """A copy of a tensor in which rows are replaced.

    Args:
        input (Variable): tensor.
        index (Variable): int32 or int64, of shape [n]: the rows to replace.
        updates (Variable): n rows like those of input.
        name (str): the first part of generated names.
        overwrite (bool): of several updates of one row, keep the last; False adds them up.
    Returns:
        Variable of the shape and dtype of input.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: an index that is no row, or rows that are not alike.
    """
    check_variable("scatter", "input", input)
    check_dtype("scatter", "index", index, "i")
    check_variable("scatter", "updates", updates)
    attrs = {"overwrite": truth("scatter", "overwrite", overwrite)}
    return append("scatter", {"X": input, "Ids": index, "Updates": updates}, attrs, name=name)


def scatter_nd_add(ref, index, updates, name=None):
    """A copy of a tensor to parts of which others are added.

    Args:
        ref (Variable): tensor.
        index (Variable): int32 or int64; its last dimension holds coordinates of the first dimensions of ref.
        updates (Variable): of shape index.shape[:-1] + ref.shape[index.shape[-1]:], and of the dtype of ref; those of
            equal coordinates add up.
        name (str): the first part of generated names.
    Returns:
        Variable of the shape and dtype of ref.
    Raises:
        TypeError: a wrong argument.
        ValueError: ref and updates have different data types.
        EnforceNotMet: updates of another shape, or, when the Program runs, coordinates outside ref.
    """
    check_variable("scatter_nd_add", "ref", ref)
    check_dtype("scatter_nd_add", "index", index, "i")
    check_variable("scatter_nd_add", "updates", updates)
    if updates.dtype != ref.dtype:
        raise ValueError(
            f"scatter_nd_add: ref and updates must have one data type, got {ref.spec.dtype} and {updates.spec.dtype}; "
            "convert one of them with layers.cast"
        )
    return append("scatter_nd_add", {"X": ref, "Index": index, "Updates": updates}, name=name)


def scatter_nd(index, updates, shape, name=None):
    """Zeros to parts of which tensors are added: what `gather_nd` has taken from a tensor of a shape, put back.

    Args:
        index (Variable): int32 or int64; its last dimension holds coordinates of the first dimensions of the result.
        updates (Variable): of shape index.shape[:-1] + shape[index.shape[-1]:]; those of equal coordinates add up.
        shape (list or tuple of int): that of the result.
        name (str): the first part of generated names.
    Returns:
        Variable of that shape and the dtype of updates.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: updates of another shape, or, when the Program runs, coordinates outside the result.
    """
    check_variable("scatter_nd", "updates", updates)
    return scatter_nd_add(zeros(shape, updates.dtype), index, updates, name)


def multiplex(inputs, index):
    """Put rows of several tensors together: row i is row i of inputs[index[i]].

    Args:
        inputs (list of Variable): two or more tensors of one shape.
        index (Variable): int32, [rows, 1].
    Returns:
        Variable of the shape and dtype of the inputs.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the inputs differ, or, when the Program runs, an index names none of them.
    """
    variables = check_variables("multiplex", "inputs", inputs)
    check_dtype("multiplex", "index", index, "i")
    return append("multiplex", {"X": variables, "Ids": index})


def crop(x, shape=None, offsets=None, name=None):
    """A window of a tensor.

    Args:
        x (Variable): tensor.
        shape (list of int, or Variable): the shape of the window, or a tensor that has it.
        offsets (list of int, or Variable of int32): where in x it begins; None for the beginning of x.
        name (str): the first part of generated names.
    Returns:
        Variable of the dtype of x.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the window does not lie within x.
    """
    check_variable("crop", "x", x)
    inputs, attrs = {"X": x}, {}
    if isinstance(shape, Variable):
        inputs["Y"] = shape
    else:
        attrs["shape"] = integers("crop", "shape", shape)
    if isinstance(offsets, Variable):
        inputs["Offsets"] = offsets
    else:
        attrs["offsets"] = [0] * len(x.shape) if offsets is None else integers("crop", "offsets", offsets)
    return append("crop", inputs, attrs, name=name)


def crop_tensor(x, shape=None, offsets=None, name=None):
    """A window of a tensor, of a size and in a place that may be computed.

    Args:
        x (Variable): tensor.
        shape (list or tuple of int or Variable, or Variable of int32): of the window; -1 for what is left of x.
        offsets (list or tuple of int or Variable, or Variable of int32): where it begins; None for the beginning of x.
        name (str): the first part of generated names.
    Returns:
        Variable of the dtype of x.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the window does not lie within x.
    """
    check_variable("crop_tensor", "x", x)
    helper = LayerHelper("crop_tensor", name=name)
    out = helper.create_variable_for_type_inference(x.dtype)
    inputs, attrs = {"X": x}, {"offsets": [0] * len(x.shape)}
    for argument, value in (("offsets", offsets), ("shape", shape)):
        if value is None:
            continue
        slots = (argument.capitalize(), argument.capitalize() + "Tensor")
        found, numbers = numbers_or_variables("crop_tensor", argument, value, helper, slots)
        inputs.update(found)
        if argument == "shape" and isinstance(value, (list, tuple)):
            # Of a size, -1 means something else than that a Variable holds it.
            numbers = [0 if isinstance(item, Variable) else size for item, size in zip(value, numbers, strict=True)]
        if numbers:
            attrs[argument] = numbers
        elif argument == "offsets":
            attrs[argument] = [-1] * len(x.shape)
    return append("crop_tensor", inputs, attrs, helper=helper, out=out)


def shape(input):
    """The shape of a tensor.

    Args:
        input (Variable): tensor.
    Returns:
        int32 Variable of shape [number of dimensions].
    Raises:
        TypeError: input is no Variable.
    """
    check_variable("shape", "input", input)
    return append("shape", {"Input": input}, dtype="int32")


def rank(input):
    """The number of dimensions of a tensor.

    Args:
        input (Variable): tensor.
    Returns:
        int32 Variable of one number.
    Raises:
        TypeError: input is no Variable.
    """
    check_variable("rank", "input", input)
    return assign(np.array(len(input.shape), "int32"))


def size(input):
    """The number of elements of a tensor.

    Args:
        input (Variable): tensor.
    Returns:
        int64 Variable of shape [1].
    Raises:
        TypeError: input is no Variable.
    """
    check_variable("size", "input", input)
    return append("size", {"Input": input}, dtype="int64")


def cast(x, dtype):
    """Convert a tensor to another data type.

    Args:
        x (Variable): tensor.
        dtype (str, numpy.dtype or VarType): the new data type.  Fractions are dropped; bool is whether it is not 0.
    Returns:
        Variable of the shape of x.
    Raises:
        TypeError: x is no Variable, or dtype no data type of Fluid.
    """
    check_variable("cast", "x", x)
    dtype = var_type(dtype)
    return append("cast", {"X": x}, {"in_dtype": x.dtype, "out_dtype": dtype}, dtype=dtype)


def _named(helper, dtype, name):
    """A new Variable, of this very name if there is one."""
    if name is None:
        return helper.create_variable_for_type_inference(dtype)
    return helper.create_variable(name=name, dtype=dtype, persistable=False)


def flip(input, dims, name=None):
    """Turn the order of the elements around along dimensions.

    Args:
        input (Variable): tensor.
        dims (list or tuple of int): the dimensions.
        name (str): the name of the result.
    Returns:
        Variable of the shape and dtype of input.
    Raises:
        TypeError: a wrong argument.
        AssertionError: there are no dims.
        EnforceNotMet: input has no such dimension.
    """
    check_variable("flip", "input", input)
    if not isinstance(dims, (list, tuple)):
        raise TypeError(f"flip: dims must be a list or tuple of ints, got {described(dims)}")
    if not dims:
        raise AssertionError("flip: dims must name at least one dimension")
    helper = LayerHelper("flip", name=name)
    out = _named(helper, input.dtype, name)
    return append("flip", {"X": input}, {"dims": integers("flip", "dims", dims)}, helper=helper, out=out)


def meshgrid(input, name=None):
    """The coordinates of a grid: each vector repeated along the dimensions of the others.

    Args:
        input (list of Variable): vectors, [n], [m], ...
        name (str): the first part of generated names.
    Returns:
        list of Variables of shape [n, m, ...], one for each vector.
    Raises:
        TypeError: input is no list of Variables of numbers.
        EnforceNotMet: one is no vector.
    """
    if not isinstance(input, list):
        raise TypeError(f"meshgrid: input must be a list of Variables, got {described(input)}")
    for variable in input:
        check_dtype("meshgrid", "input", variable, "fi")
    helper = LayerHelper("meshgrid", name=name)
    outs = [helper.create_variable_for_type_inference(variable.dtype) for variable in input]
    helper.append_op(type="meshgrid", inputs={"X": input}, outputs={"Out": outs})
    return outs


def shard_index(input, index_num, nshards, shard_id, ignore_value=-1):
    """The places of indices within one of several equal shards.

    Args:
        input (Variable): int64, indices from 0 to index_num - 1.
        index_num (int): how many indices there are.
        nshards (int): into how many shards they are cut.
        shard_id (int): the number of the shard.
        ignore_value (int): what stands for indices of other shards.
    Returns:
        Variable of the shape and dtype of input.
    Raises:
        TypeError: input is no Variable of integers.
        ValueError: there is no such shard.
        EnforceNotMet: when the Program runs, an index is out of range.
    """
    check_dtype("shard_index", "input", input, "i")
    if not 0 <= shard_id < nshards:
        raise ValueError(f"shard_index: shard_id must lie in [0, {nshards}), got {shard_id}")
    attrs = {"index_num": index_num, "nshards": nshards, "shard_id": shard_id, "ignore_value": ignore_value}
    attrs = {name: integer("shard_index", name, value) for name, value in attrs.items()}
    return append("shard_index", {"X": input}, attrs)


def tril(input, diagonal=0, name=None):
    """The lower triangle of matrices, 0 above it.

    Args:
        input (Variable): numbers, [..., n, m].
        diagonal (int): the last diagonal that is kept: 0 the main one, 1 the next one above it.
        name (str): the name of the result.
    Returns:
        Variable of the shape and dtype of input.
    Raises:
        TypeError: a wrong argument.
        ValueError: input has fewer than two dimensions.
    """
    return _triangle("tril", input, diagonal, name)


def triu(input, diagonal=0, name=None):
    """The upper triangle of matrices, 0 below it.

    Args:
        input (Variable): numbers, [..., n, m].
        diagonal (int): the first diagonal that is kept: 0 the main one, 1 the next one above it.
        name (str): the name of the result.
    Returns:
        Variable of the shape and dtype of input.
    Raises:
        TypeError: a wrong argument.
        ValueError: input has fewer than two dimensions.
    """
    return _triangle("triu", input, diagonal, name)


def _triangle(layer, input, diagonal, name):
    check_dtype(layer, "input", input, "fi")
    if len(input.shape) < 2:
        raise ValueError(f"{layer}: input must have two dimensions or more, got shape {list(input.shape)}")
    helper = LayerHelper(layer, name=name)
    attrs = {"diagonal": integer(layer, "diagonal", diagonal), "lower": layer == "tril"}
    return append("tril_triu", {"X": input}, attrs, helper=helper, out=_named(helper, input.dtype, helper.name))


def unfold(x, kernel_sizes, strides=1, paddings=0, dilations=1, name=None):
    """The windows of images as columns (im2col).

    Args:
        x (Variable): float, [N, C, H, W].
        kernel_sizes (int or list of 2 int): the size of a window.
        strides (int or list of 2 int): from window to window.
        paddings (int, or list of 2 or 4 int): zeros around the image: above and below, left and right; or above, left,
            below, right.
        dilations (int or list of 2 int): from element to element within a window.
        name (str): the first part of generated names.
    Returns:
        Variable of shape [N, C * elements of a window, windows].
    Raises:
        TypeError: x is no float Variable.
        AssertionError, ValueError: other arguments of the wrong type.
        EnforceNotMet: no window fits.
    """
    check_dtype("unfold", "x", x, "f")
    if len(x.shape) != 4:
        raise AssertionError(f"unfold: x must have the shape [N, C, H, W], got {list(x.shape)}")
    attrs = {"kernel_sizes": kernel_sizes, "strides": strides, "dilations": dilations}
    for argument, value in attrs.items():
        if not isinstance(value, int) and not (isinstance(value, list) and len(value) == 2):
            raise AssertionError(f"unfold: {argument} must be an int or a list of 2, got {described(value)}")
        attrs[argument] = integers("unfold", argument, [value, value] if isinstance(value, int) else value)
    if not isinstance(paddings, int) and not (isinstance(paddings, list) and len(paddings) in (2, 4)):
        raise ValueError(f"unfold: paddings must be an int or a list of 2 or 4, got {described(paddings)}")
    paddings = [paddings] * 4 if isinstance(paddings, int) else paddings * (4 // len(paddings))
    attrs["paddings"] = integers("unfold", "paddings", paddings)
    return append("unfold", {"X": x}, attrs, name=name, slot="Y")
