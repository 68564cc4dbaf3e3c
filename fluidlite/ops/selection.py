"""Operators that choose parts of tensors: by a condition, by numbers, by a window; and that turn them around."""

from functools import partial

import numpy as np

from ..core import formula as f
from ..core.attributes import typed
from ..core.dtypes import VarType, numpy_dtype
from ..core.errors import EnforceNotMet
from ..core.operators import operator
from ..core.spec import Spec
from ..core.traits import BOUND, ELEMENTWISE, Kernel, Lod
from .arrays.indexing import add_at, fill_rows, index_check
from .arrays.strides import in_sequence
from .loss import same_sizes
from .manipulation import coordinates, given, known_values
from .pointwise import by_formula
from .reduce import axis_of


def infer_where(attrs, condition, x, y):
    if condition.dtype != bool:
        raise EnforceNotMet(f"Condition must hold truth values, its data type is {condition.dtype}")
    if len({spec.shape for spec in (condition, x, y) if min(spec.shape, default=0) >= 0}) > 1 or x.dtype != y.dtype:
        raise EnforceNotMet(
            f"Condition, X and Y must have one shape, and X and Y one data type; got {list(condition.shape)}, "
            f"{x.dtype} {list(x.shape)} and {y.dtype} {list(y.shape)}"
        )
    return x


where = by_formula(
    operator(
        "where",
        inputs="Condition!, X, Y",
        outputs="Out",
        infer=infer_where,
        formula=lambda Condition, X, Y: f.where(Condition, X, Y),
        memory=ELEMENTWISE,
        lod=Lod(of="X"),
    )
)


def slopes_of_where(Condition, dOut):
    return {"dX": dOut * Condition, "dY": dOut * ~Condition}


by_formula(where.gradient("Condition", shapes="X, Y", formula=slopes_of_where, memory=ELEMENTWISE, lod=Lod(of="none")))


# Of how many tensors rows can be put together: a gradient is not told the number.
_MOST = 256


def infer_multiplex(attrs, ids, xs):
    if any(spec.shape != xs[0].shape or spec.dtype != xs[0].dtype for spec in xs) or not 2 <= len(xs) <= _MOST:
        raise EnforceNotMet(f"X must be 2 to {_MOST} tensors that are alike, got {[list(x.shape) for x in xs]}")
    if len(ids.shape) != 2 or ids.shape[1] != 1:
        raise EnforceNotMet(f"Ids must have the shape [n, 1], got {list(ids.shape)}")
    return xs[0]


@operator("multiplex", inputs="Ids!, X*", outputs="Out", infer=infer_multiplex, kernel=BOUND, lod=Lod(of="none"))
def multiplex(ctx, ids, xs, out):
    """Row i of Out is row i of the tensor that Ids[i] names."""
    ids = ids.reshape(-1)
    check = index_check(ctx, ids, len(xs), "id")

    def step():
        check()
        for number, x in enumerate(xs):
            fill_rows(ctx.xp, out, ids == number, x)

    return step


def infer_multiplex_grad(attrs, ids, dout):
    return ([dout] * _MOST,)


@multiplex.gradient("Ids", infer=infer_multiplex_grad)
def multiplex_grad(ctx, ids, dout, dxs):
    ids = ids.reshape(-1)
    for number, dx in enumerate(dxs):
        if dx is not None:
            ctx.xp.multiply(dout, (ids == number).reshape(-1, *(1,) * (dout.ndim - 1)), out=dx)


def infer_index_select(attrs, x, index):
    axis = axis_of({"axis": attrs["dim"]}, x)
    if len(index.shape) != 1:
        raise EnforceNotMet(f"Index must have one dimension, got shape {list(index.shape)}")
    return Spec((*x.shape[:axis], index.shape[0], *x.shape[axis + 1 :]), x.dtype)


@operator(
    "index_select", inputs="X, Index!", outputs="Out", attributes={"dim": 0}, infer=infer_index_select, kernel=BOUND
)
def index_select(ctx, x, index, out):
    axis = ctx.attrs["dim"]
    check = index_check(ctx, index, x.shape[axis], "index")
    return in_sequence([check, partial(ctx.xp.take, x, index, axis=axis, out=out)])


@index_select.gradient("Index", shapes="X", lod=Lod(of="none"))
def index_select_grad(ctx, index, x, dout, dx):
    # What was taken several times gets the sum of the gradients.
    axis = ctx.attrs["dim"]
    dx.fill(0)
    add_at(ctx.xp, ctx.xp.moveaxis(dx, axis, 0), index, ctx.xp.moveaxis(dout, axis, 0))


def infer_scatter_nd_add(attrs, x, index, updates):
    wanted = (*index.shape[:-1], *x.shape[index.shape[-1] :])
    if not same_sizes(wanted, updates.shape):
        raise EnforceNotMet(f"Updates must have the shape {list(wanted)}, got {list(updates.shape)}")
    return x


@operator("scatter_nd_add", inputs="X, Index!, Updates", outputs="Out", infer=infer_scatter_nd_add, kernel=BOUND)
def scatter_nd_add(ctx, x, index, updates, out):
    places, checks = coordinates(ctx, index, x.shape)
    return in_sequence([partial(ctx.xp.copyto, out, x), *checks, partial(add_at, ctx.xp, out, places, updates)])


@scatter_nd_add.gradient(
    "Index",
    shapes="Updates",
    infer=lambda attrs, index, updates, dout: (dout, updates),
    kernel=BOUND,
    lod=Lod(of="none"),
)
def scatter_nd_add_grad(ctx, index, updates, dout, dx, dupdates):
    steps = []
    if dx is not None:
        steps.append(partial(ctx.xp.copyto, dx, dout))
    if dupdates is not None:
        places, checks = coordinates(ctx, index, dout.shape)
        steps += [*checks, lambda: ctx.xp.copyto(dupdates, dout[places])]
    return in_sequence(steps)


def check_dims(attrs, x, name):
    for dim in attrs[name]:
        axis_of({"axis": dim}, x)


def infer_flip(attrs, x):
    check_dims(attrs, x, "dims")
    return x


@operator("flip", inputs="X", outputs="Out", attributes={"dims": []}, infer=infer_flip, kernel=BOUND)
def flip(ctx, x, out):
    return partial(ctx.xp.copyto, out, ctx.xp.flip(x, tuple(ctx.attrs["dims"])))


@flip.gradient_program
def flip_grad(inputs, outputs, attrs):
    names = {"X": [outputs["Out"][0] + "@GRAD"]}, {"Out": [inputs["X"][0] + "@GRAD"]}
    return [("flip", *names, {"dims": attrs["dims"]})]


def infer_roll(attrs, x):
    check_dims(attrs, x, "dims")
    if len(attrs["shifts"]) != len(attrs["dims"] or [0]):
        raise EnforceNotMet(f"shifts must hold a number for each of dims {attrs['dims']}, got {attrs['shifts']}")
    return x


def roll_by(sign):
    def kernel(ctx, x, *rest):
        *_, source, target = (x, *rest)
        shifts = [sign * shift for shift in ctx.attrs["shifts"]]
        axes = tuple(ctx.attrs["dims"]) or None
        ctx.xp.copyto(target, ctx.xp.roll(source, shifts if axes else shifts[0], axes))

    return kernel


roll = operator(
    "roll",
    inputs="X",
    outputs="Out",
    attributes={"shifts": typed([], "LONGS"), "dims": typed([], "LONGS")},
    infer=infer_roll,
)(roll_by(1))
roll.gradient(shapes="X", lod=Lod(of="none"))(roll_by(-1))


def infer_unbind(attrs, x):
    axis = axis_of(attrs, x)
    return ([Spec(x.shape[:axis] + x.shape[axis + 1 :], x.dtype)] * max(x.shape[axis], 1),)


@operator("unbind", inputs="X", outputs="Out*", attributes={"axis": 0}, infer=infer_unbind, kernel=BOUND)
def unbind(ctx, x, outs):
    parts = zip(outs, ctx.xp.moveaxis(x, ctx.attrs["axis"], 0), strict=True)
    return in_sequence([partial(ctx.xp.copyto, out, part) for out, part in parts if out is not None])


@unbind.gradient_program
def unbind_grad(inputs, outputs, attrs):
    douts = [name + "@GRAD" for name in outputs["Out"]]
    return [("stack", {"X": douts}, {"Y": [inputs["X"][0] + "@GRAD"]}, {"axis": attrs["axis"]})]


def infer_tril_triu(attrs, x):
    if len(x.shape) < 2:
        raise EnforceNotMet(f"X must have two dimensions or more, got shape {list(x.shape)}")
    return x


def triangle(ctx, x, out):
    """X where it lies on one side of a diagonal, 0 on the other; the gradient is the same of dOut."""
    rows, columns = x.shape[-2:]
    kept = np.tri(rows, columns, ctx.attrs["diagonal"] - (0 if ctx.attrs["lower"] else 1), dtype=bool)
    return partial(ctx.xp.multiply, x, ctx.xp.asarray(kept == ctx.attrs["lower"]), out=out)


operator(
    "tril_triu",
    inputs="X",
    outputs="Out",
    attributes={"diagonal": 0, "lower": True},
    infer=infer_tril_triu,
    kernel=BOUND,
)(triangle).gradient(kernel=BOUND, lod=Lod(of="none"))(triangle)


def infer_meshgrid(attrs, xs):
    if any(len(spec.shape) != 1 for spec in xs):
        raise EnforceNotMet(f"every X must have one dimension, got shapes {[list(spec.shape) for spec in xs]}")
    return ([Spec(tuple(spec.shape[0] for spec in xs), spec.dtype) for spec in xs],)


def alone(array, number):
    """The other dimensions of a mesh that the vector `number` is repeated along."""
    return tuple(axis for axis in range(array.ndim) if axis != number)


@operator("meshgrid", inputs="X*", outputs="Out*", infer=infer_meshgrid, kernel=BOUND, lod=Lod(of="none"))
def meshgrid(ctx, xs, outs):
    steps = []
    for number, (x, out) in enumerate(zip(xs, outs, strict=True)):
        if out is not None:
            laid = x.reshape([-1 if axis == number else 1 for axis in range(out.ndim)])
            steps.append(partial(ctx.xp.copyto, out, laid))
    return in_sequence(steps)


@meshgrid.gradient(shapes="X", lod=Lod(of="none"))
def meshgrid_grad(ctx, xs, douts, dxs):
    for number, (dout, dx) in enumerate(zip(douts, dxs, strict=True)):
        if dx is not None:
            ctx.xp.sum(dout, axis=alone(dout, number), out=dx)


def cropped(attrs, x, shape, offsets):
    """The Spec of a window of X; numbers that are not known yet are None."""
    rank = len(x.shape)
    if len(shape) != rank or len(offsets) != rank:
        raise EnforceNotMet(f"shape and offsets must hold {rank} numbers for X {list(x.shape)}, got {shape} {offsets}")
    sizes = []
    for n, size, offset in zip(x.shape, shape, offsets, strict=True):
        if size == -1 and n >= 0 and offset is not None:
            size = n - offset
        if None not in (size, offset) and n >= 0 and not (offset >= 0 and 0 < size <= n - offset):
            raise EnforceNotMet(
                f"a window of shape {shape} at {offsets} does not lie within X of shape {list(x.shape)}"
            )
        sizes.append(-1 if size is None else size)
    return Spec(tuple(sizes), x.dtype)


def infer_crop(attrs, x, y, offsets):
    shape = list(attrs["shape"] if y is None else y.shape)
    numbers = given(attrs["offsets"] or [0] * len(x.shape), offsets, None)
    return cropped(attrs, x, shape, [None] * len(x.shape) if numbers is None else numbers)


def infer_crop_tensor(attrs, x, shape, offsets, shape_tensors, offset_tensors):
    unknown = [None] * len(x.shape)
    sizes = given(attrs["shape"], shape, None)
    if shape is None and shape_tensors:
        # Beside tensors, 0 in the attribute says that a tensor holds the size; a size of -1 is what is left of X.
        beside, known = attrs["shape"] or [0] * len(x.shape), map(known_values, shape_tensors)
        sizes = [(size or None) if value is None else value[0] for size, value in zip(beside, known, strict=True)]
    numbers = given([] if offset_tensors else attrs["offsets"], offsets, offset_tensors)
    sizes = unknown if sizes is None else sizes or [-1] * len(x.shape)
    return cropped(attrs, x, sizes, unknown if numbers is None else numbers or [0] * len(x.shape))


def window(x, shape, attrs, offsets, offset_tensors=None):
    """The view of X that a crop takes."""
    if offsets is not None:
        starts = offsets.tolist()
    elif offset_tensors:
        starts = [int(tensor.item()) for tensor in offset_tensors]
    else:
        starts = attrs["offsets"] or [0] * x.ndim
    return x[tuple(slice(start, start + size) for start, size in zip(starts, shape, strict=True))]


@operator(
    "crop",
    inputs="X, Y?!, Offsets?!",
    outputs="Out",
    attributes={"shape": [], "offsets": []},
    infer=infer_crop,
    kernel=Kernel(shape_only="Y", shape_from="Offsets"),
    lod=Lod(of="none"),
)
def crop(ctx, x, y, offsets, out):
    ctx.xp.copyto(out, window(x, out.shape, ctx.attrs, offsets))


@crop.gradient("Offsets", shapes="X", infer=lambda attrs, offsets, x, dout: x, lod=Lod(of="none"))
def crop_grad(ctx, offsets, x, dout, dx):
    dx.fill(0)
    ctx.xp.copyto(window(dx, dout.shape, ctx.attrs, offsets), dout)


@operator(
    "crop_tensor",
    inputs="X, Shape?!, Offsets?!, ShapeTensor*?!, OffsetsTensor*?!",
    outputs="Out",
    attributes={"shape": [], "offsets": []},
    infer=infer_crop_tensor,
    kernel=Kernel(shape_from="Shape Offsets ShapeTensor OffsetsTensor"),
    lod=Lod(of="none"),
)
def crop_tensor(ctx, x, shape, offsets, shape_tensors, offset_tensors, out):
    ctx.xp.copyto(out, window(x, out.shape, ctx.attrs, offsets, offset_tensors))


@crop_tensor.gradient(
    "Offsets, OffsetsTensor", shapes="X", infer=lambda attrs, offsets, tensors, x, dout: x, lod=Lod(of="none")
)
def crop_tensor_grad(ctx, offsets, offset_tensors, x, dout, dx):
    dx.fill(0)
    ctx.xp.copyto(window(dx, dout.shape, ctx.attrs, offsets, offset_tensors), dout)


@operator(
    "is_empty",
    inputs="X!",
    outputs="Out!",
    infer=lambda attrs, x: Spec((1,), np.dtype(bool)),
    kernel=Kernel(shape_only="X"),
    lod=Lod(of="none"),
)
def is_empty(ctx, x, out):
    out.fill(x.size == 0)


def infer_where_index(attrs, condition):
    return Spec((-1, len(condition.shape)), np.dtype(np.int64))


@operator("where_index", "Condition!", "Out!", infer=infer_where_index, kernel=Kernel(dynamic=True), lod=Lod(of="none"))
def where_index(ctx, condition):
    return ctx.xp.argwhere(condition)


def infer_unique(attrs, x):
    if len(x.shape) != 1:
        raise EnforceNotMet(f"X must have one dimension, got the shape {list(x.shape)}")
    return Spec((-1,), x.dtype), Spec(x.shape, numpy_dtype(attrs["dtype"]))


def first_occurrences(ctx, x):
    """The different values in the order in which they first appear, where each element is, how often each is there."""
    _, first, inverse, counts = ctx.xp.unique(x, return_index=True, return_inverse=True, return_counts=True)
    order = ctx.xp.argsort(first)
    rank = ctx.xp.argsort(order)
    places = numpy_dtype(ctx.attrs["dtype"])
    return x[first[order]], rank[inverse.reshape(-1)].astype(places), counts[order].astype(places)


_PLACES = {"dtype": VarType.INT32}


@operator(
    "unique",
    "X!",
    "Out!, Index!",
    attributes=_PLACES,
    infer=infer_unique,
    kernel=Kernel(dynamic=True),
    lod=Lod(of="none"),
)
def unique(ctx, x):
    values, places, _ = first_occurrences(ctx, x)
    return values, places


def infer_unique_with_counts(attrs, x):
    values, places = infer_unique(attrs, x)
    return values, places, Spec((-1,), places.dtype)


@operator(
    "unique_with_counts",
    "X!",
    "Out!, Index!, Count!",
    attributes=_PLACES,
    infer=infer_unique_with_counts,
    kernel=Kernel(dynamic=True),
    lod=Lod(of="none"),
)
def unique_with_counts(ctx, x):
    return first_occurrences(ctx, x)


def infer_shard_index(attrs, x):
    if attrs["nshards"] < 1 or attrs["index_num"] < 1 or not 0 <= attrs["shard_id"] < attrs["nshards"]:
        raise EnforceNotMet(
            f"index_num and nshards must be positive and shard_id lie in [0, nshards), got {attrs['index_num']}, "
            f"{attrs['nshards']} and {attrs['shard_id']}"
        )
    return x


@operator(
    "shard_index",
    inputs="X!",
    outputs="Out!",
    attributes={"index_num": 1, "nshards": 1, "shard_id": 0, "ignore_value": -1},
    infer=infer_shard_index,
    kernel=BOUND,
)
def shard_index(ctx, x, out):
    """The place of each index within a shard, or `ignore_value` for those of the others."""
    attrs, xp = ctx.attrs, ctx.xp
    size = -(-attrs["index_num"] // attrs["nshards"])
    first = attrs["shard_id"] * size
    check = index_check(ctx, x, attrs["index_num"], "index")

    def step():
        check()
        xp.copyto(out, xp.where((x >= first) & (x < first + size), x - first, attrs["ignore_value"]))

    return step
