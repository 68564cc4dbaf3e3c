"""Operators that make tensors out of constants."""

import math
from functools import partial

import numpy as np

from ..core.attributes import typed
from ..core.dtypes import VALUE_LISTS, numpy_dtype
from ..core.errors import EnforceNotMet
from ..core.operators import none, operator
from ..core.spec import Spec
from ..core.traits import ELEMENTWISE, About, Batch, Kernel, Lod
from .arrays.indexing import refusal
from .manipulation import given, known_values
from .pointwise import by_formula


def infer_given_shape(attrs, shape_tensor=None, shape_tensors=()):
    """Shape inference from the attributes `shape` and `dtype`, or from tensors that hold the shape."""
    shape = given(attrs["shape"], shape_tensor, shape_tensors)
    shape = [None] * shape_tensor.shape[0] if shape is None else shape
    return Spec(tuple(-1 if size is None else size for size in shape), numpy_dtype(attrs["dtype"]))


by_formula(
    operator(
        "fill_constant",
        inputs="ValueTensor?!, ShapeTensor?!, ShapeTensorList*?!",
        outputs="Out!",
        attributes={"shape": typed([], "LONGS"), "dtype": 5, "value": 0.0, "str_value": "", "force_cpu": False},
        infer=lambda attrs, value, *shapes: infer_given_shape(attrs, *shapes),
        formula=lambda ValueTensor, attrs, specs: number_of(attrs, specs) if ValueTensor is None else ValueTensor,
        kernel=Kernel(constant=True, shape_from="ShapeTensor ShapeTensorList"),
        lod=Lod(of="none"),
    )
)


def number_of(attrs, specs):
    """The number that a tensor is filled with."""
    return constant(attrs, specs["Out"][0].dtype)


def constant(attrs, dtype):
    """The attribute `value`, or `str_value`, which holds large integers exactly, for tensors of a dtype."""
    text = attrs["str_value"]
    if not text:
        return dtype.type(attrs["value"])
    if dtype.kind in "iu":
        try:
            return int(text)
        except ValueError:
            return int(float(text))
    return dtype.type(float(text))


def infer_batch_size_like(attrs, like):
    shape = list(attrs["shape"])
    source, target = attrs["input_dim_idx"], attrs["output_dim_idx"]
    if not 0 <= source < len(like.shape) or not 0 <= target < len(shape):
        raise EnforceNotMet(
            f"input_dim_idx {source} and output_dim_idx {target} must name a dimension of Input {list(like.shape)} "
            f"and one of shape {shape}"
        )
    # Of sequences it is their number that counts.
    shape[target] = len(like.lod[-1]) - 1 if like.lod and source == 0 else like.shape[source]
    return Spec(tuple(shape), numpy_dtype(attrs["dtype"]))


BATCH_SIZE_LIKE = {"shape": [], "input_dim_idx": 0, "output_dim_idx": 0, "dtype": 5}


by_formula(
    operator(
        "fill_constant_batch_size_like",
        inputs="Input!",
        outputs="Out!",
        attributes=BATCH_SIZE_LIKE | {"value": 0.0, "str_value": "", "force_cpu": False},
        infer=infer_batch_size_like,
        formula=number_of,
        kernel=Kernel(shape_only="Input"),
        lod=Lod(of="none", reads="Input"),
    )
)
by_formula(
    operator(
        "fill_zeros_like",
        inputs="X!",
        outputs="Out!",
        formula=lambda: 0,
        kernel=Kernel(shape_only="X"),
        memory=ELEMENTWISE,
        about=About(flops=none),
    )
)


def infer_any_like(attrs, x):
    return x if attrs["dtype"] == -1 else Spec(x.shape, numpy_dtype(attrs["dtype"]))


by_formula(
    operator(
        "fill_any_like",
        inputs="X!",
        outputs="Out!",
        attributes={"value": 0.0, "dtype": -1},
        infer=infer_any_like,
        formula=lambda value, specs: specs["Out"][0].dtype.type(value),
        kernel=Kernel(shape_only="X"),
    )
)


@operator(
    "assign_value",
    outputs="Out!",
    attributes={
        "shape": [],
        "dtype": 5,
        "bool_values": [],
        "fp32_values": typed([], "FLOATS"),
        "int32_values": [],
        "int64_values": typed([], "LONGS"),
    },
    infer=infer_given_shape,
    kernel=Kernel(bind=True, constant=True),
)
def assign_value(ctx, out):
    values = ctx.attrs[VALUE_LISTS[out.dtype.name]]
    if len(values) != out.size:
        raise EnforceNotMet(f"{len(values)} values do not fill the shape {list(out.shape)}")
    return partial(ctx.xp.copyto, out, ctx.xp.asarray(values, out.dtype).reshape(out.shape))


def infer_range(attrs, start, end, step):
    values = [known_values(spec) for spec in (start, end, step)]
    if any(value is None for value in values):
        return Spec((-1,), start.dtype)
    (first,), (limit,), (distance,) = values
    if distance == 0 or (limit - first) / distance < 0:
        raise EnforceNotMet(f"steps of {distance} lead nowhere from {first} to {limit}")
    return Spec((math.ceil((limit - first) / distance),), start.dtype)


@operator(
    "range",
    inputs="Start!, End!, Step!",
    outputs="Out!",
    infer=infer_range,
    kernel=Kernel(bind=True, shape_from="Start End Step"),
    lod=Lod(of="none"),
)
def range_op(ctx, start, end, step, out):
    xp = ctx.xp
    counted = xp.arange(out.size, dtype=out.dtype)

    def fill():
        xp.multiply(counted, step, out=out)
        xp.add(out, start, out=out)

    return fill


def infer_linspace(attrs, start, stop, num):
    count = known_values(num)
    if count is not None and count[0] < 1:
        raise EnforceNotMet(f"Num must be 1 or more, got {count[0]}")
    return Spec((-1 if count is None else int(count[0]),), start.dtype)


@operator(
    "linspace",
    inputs="Start!, Stop!, Num!",
    outputs="Out!",
    infer=infer_linspace,
    kernel=Kernel(bind=True, shape_from="Num"),
    lod=Lod(of="none"),
)
def linspace(ctx, start, stop, num, out):
    xp = ctx.xp
    counted = xp.arange(out.size, dtype=np.float64)

    def fill():
        first, last = start.astype(np.float64), stop.astype(np.float64)
        found = counted * ((last - first) / max(out.size - 1, 1)) + first
        xp.copyto(out, found, casting="unsafe")
        if out.size > 1:
            out[-1:] = stop

    return fill


def infer_diag(attrs, diagonal):
    if len(diagonal.shape) != 1:
        raise EnforceNotMet(f"Diagonal must have one dimension, got shape {list(diagonal.shape)}")
    return Spec(diagonal.shape * 2, diagonal.dtype)


@operator("diag", inputs="Diagonal!", outputs="Out!", infer=infer_diag, lod=Lod(of="none"))
def diag(ctx, diagonal, out):
    out.fill(0)
    out.reshape(-1)[:: len(diagonal) + 1] = diagonal


def infer_eye(attrs):
    columns = attrs["num_rows"] if attrs["num_columns"] < 0 else attrs["num_columns"]
    return Spec((attrs["num_rows"], columns), numpy_dtype(attrs["dtype"]))


@operator(
    "eye",
    outputs="Out!",
    attributes={"num_rows": typed(0, "LONG"), "num_columns": typed(-1, "LONG"), "dtype": 5},
    infer=infer_eye,
)
def eye(ctx, out):
    rows, columns = out.shape
    out.fill(0)
    out.reshape(-1)[: rows * columns : columns + 1][: min(rows, columns)] = 1


def infer_one_hot_rows(shape, attrs, depth_tensor):
    depth = attrs["depth"]
    if depth_tensor is not None:
        value = known_values(depth_tensor)
        depth = -1 if value is None else int(value[0])
        if value is not None and depth < 0:
            raise EnforceNotMet(f"depth_tensor must hold 0 or more, got {depth}")
    return Spec((*shape, depth), numpy_dtype(attrs["dtype"]))


def infer_one_hot(attrs, x, depth_tensor):
    if not x.shape or x.shape[-1] not in (1, -1):
        raise EnforceNotMet(f"the last dimension of X must be 1, got shape {list(x.shape)}; see fluid.one_hot")
    return infer_one_hot_rows(x.shape[:-1], attrs, depth_tensor)


def infer_one_hot_v2(attrs, x, depth_tensor):
    return infer_one_hot_rows(x.shape, attrs, depth_tensor)


def one_hot(ctx, x, depth_tensor, out):
    """A 1 where X points to, 0 elsewhere; nothing but 0 for an index out of range, if that is allowed."""
    xp = ctx.xp
    depth = out.shape[-1]
    index = x.reshape(-1)
    rows = out.reshape(index.size, depth)

    def tell(wrong):
        position = int(wrong.argmax())
        number = position + ctx.first * (index.size // len(x))
        return f"index number {number} is {int(index[position])}, which does not lie in [0, {depth})"

    refuse = None
    if not ctx.attrs["allow_out_of_range"]:
        refuse = refusal(ctx, index, f"the index {{value}} does not lie in [0, {depth})", tell)
    columns = None if xp is np else xp.arange(depth)

    def step():
        wrong = xp.logical_or(index < 0, index >= depth)
        if refuse is not None:
            refuse(wrong)
        if columns is not None:
            xp.equal(index[:, None], columns, out=rows)
            return
        out.fill(0)
        rows[np.arange(index.size)[~wrong], index[~wrong]] = 1

    return step


_ONE_HOT = {"depth": -1, "dtype": 5, "allow_out_of_range": False}
for _type, _infer in (("one_hot", infer_one_hot), ("one_hot_v2", infer_one_hot_v2)):
    operator(
        _type,
        "X!, depth_tensor?!",
        "Out!",
        attributes=_ONE_HOT,
        infer=_infer,
        kernel=Kernel(bind=True, shape_from="depth_tensor"),
        batch=Batch(rows="X Out"),
    )(one_hot)
