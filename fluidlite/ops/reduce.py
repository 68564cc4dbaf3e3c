"""Operators that reduce dimensions: sums, means, extremes, products, norms."""

import math
from functools import partial

import numpy as np

from ..core import formula as f
from ..core.attributes import ignored, later, typed
from ..core.errors import EnforceNotMet
from ..core.operators import one_for_each, operator
from ..core.spec import Spec
from ..core.traits import BOUND, ELEMENTWISE, About, Algebra, Batch, Kernel, Lod
from .arrays.strides import in_sequence, scratch_like, sum_into
from .pointwise import by_formula


def reduced_axes(attrs, rank):
    """The dimensions that the attributes `dim` and `reduce_all` name."""
    if attrs["reduce_all"]:
        return tuple(range(rank))
    dims = attrs["dim"] if isinstance(attrs["dim"], list) else [attrs["dim"]]
    for dim in dims:
        if not -rank <= dim < rank:
            raise EnforceNotMet(f"dim must lie in [{-rank}, {rank}) for an input of {rank} dimensions, got {dims}")
    return tuple(sorted({dim % rank for dim in dims}))


def kept_shape(shape, axes):
    """`shape` with size 1 in the reduced dimensions."""
    return tuple(1 if axis in axes else size for axis, size in enumerate(shape))


def infer_reduced(attrs, x):
    axes = reduced_axes(attrs, len(x.shape))
    if attrs["keep_dim"]:
        return Spec(kept_shape(x.shape, axes), x.dtype)
    left = tuple(size for axis, size in enumerate(x.shape) if axis not in axes)
    return Spec(left or (1,), x.dtype)


def rows_if_kept(attrs, shapes):
    """The slots with rows, where the first dimension is not reduced."""
    rank = len(shapes["X"][0])
    return {"X", "Out"} if rank and 0 not in reduced_axes(attrs, rank) else None


def lod_if_kept(attrs, shapes):
    return "none" if rows_if_kept(attrs, shapes) is None else "X"


def rows_or_sums(attrs, shapes):
    """The slots with rows, where reducing the first dimension too is adding up."""
    return rows_if_kept(attrs, shapes) or {"X"}


def reduction(type, infer=infer_reduced, rows=rows_if_kept, sums=""):
    """An operator that reduces the dimensions `dim` of X, or all of them."""
    attrs = {"dim": [0], "keep_dim": False, "reduce_all": False, "in_dtype": -1, "out_dtype": -1}
    return operator(
        type,
        inputs="X",
        outputs="Out",
        attributes=attrs,
        infer=infer,
        kernel=Kernel(bind=True, constant=True),
        batch=Batch(rows=rows, sums=sums),
        lod=Lod(of=lod_if_kept),
        about=About(flops=one_for_each),
    )


def aligned(ctx, x, *reduced):
    """Reduced arrays as views that broadcast against `x`, preceded by the reduced axes."""
    axes = reduced_axes(ctx.attrs, x.ndim)
    shape = kept_shape(x.shape, axes)
    return axes, *(array.reshape(shape) for array in reduced)


def broadcasts_reduced(attrs, shapes):
    """The shapes in which reduced tensors, as formulas call them, broadcast against X."""
    x = shapes["X"]
    kept = kept_shape(x, reduced_axes(attrs, len(x)))
    return {"Out": kept, "dOut": kept}


_GRADIENT = {"algebra": Algebra(broadcasts=broadcasts_reduced)}


@reduction("reduce_sum", rows=rows_or_sums, sums="Out")
def reduce_sum(ctx, x, out):
    _, out = aligned(ctx, x, out)
    return sum_into(ctx, x, out)


reduce_sum_grad = by_formula(reduce_sum.gradient(shapes="X", formula=lambda dOut: dOut, **_GRADIENT))
reduce_sum_grad.gradient_by_forward()


@reduction("reduce_mean", rows=rows_or_sums, sums="Out")
def reduce_mean(ctx, x, out):
    axes, out = aligned(ctx, x, out)
    count = averaged(ctx.in_batch, axes, x, out)
    return in_sequence([sum_into(ctx, x, out), partial(ctx.xp.divide, out, count, out=out)])


def averaged(in_batch, axes, x, mean):
    """How many elements of x each mean is taken of."""
    count = x.size // mean.size
    return in_batch(count) if 0 in axes else count


def slope_of_mean(dOut, attrs, specs, in_batch):
    (x, *_), (mean, *_) = specs["X"], specs["dOut"]
    return dOut / averaged(in_batch, reduced_axes(attrs, len(x.shape)), x, mean)


reduce_mean_grad = by_formula(reduce_mean.gradient(shapes="X", formula=slope_of_mean, **_GRADIENT))
reduce_mean_grad.gradient_by_forward()


def slope_of_extreme(X, Out, dOut):
    """Every element that is extreme gets the whole gradient."""
    return dOut * (Out == X)


def extreme(ctx, x, out, find, of_nothing):
    """An extreme element; without elements the infinity `of_nothing`, or the last integer before it."""
    axes, out = aligned(ctx, x, out)
    if x.size == 0:
        if x.dtype.kind != "f":
            of_nothing = np.iinfo(x.dtype).max if of_nothing > 0 else np.iinfo(x.dtype).min
        return partial(out.fill, of_nothing)
    return partial(find, x, axis=axes, keepdims=True, out=out)


@reduction("reduce_max")
def reduce_max(ctx, x, out):
    return extreme(ctx, x, out, ctx.xp.amax, -np.inf)


by_formula(reduce_max.gradient("X, Out", formula=slope_of_extreme, **_GRADIENT))


@reduction("reduce_min")
def reduce_min(ctx, x, out):
    return extreme(ctx, x, out, ctx.xp.amin, np.inf)


by_formula(reduce_min.gradient("X, Out", formula=slope_of_extreme, **_GRADIENT))


@reduction("reduce_prod")
def reduce_prod(ctx, x, out):
    axes, out = aligned(ctx, x, out)
    return partial(ctx.xp.prod, x, axis=axes, keepdims=True, out=out)


by_formula(reduce_prod.gradient("X, Out", formula=lambda X, Out, dOut: dOut * Out / X, **_GRADIENT))


def infer_truth(attrs, x):
    if x.dtype != bool:
        raise EnforceNotMet(f"X must hold truth values, its data type is {x.dtype}")
    return infer_reduced(attrs, x)


@reduction("reduce_all", infer_truth)
def reduce_all(ctx, x, out):
    axes, out = aligned(ctx, x, out)
    return partial(ctx.xp.all, x, axis=axes, keepdims=True, out=out)


@reduction("reduce_any", infer_truth)
def reduce_any(ctx, x, out):
    axes, out = aligned(ctx, x, out)
    return partial(ctx.xp.any, x, axis=axes, keepdims=True, out=out)


def one_number(attrs, x, *_):
    return Spec((1,), x.dtype)


def infer_mean(attrs, x):
    if x.dtype.kind != "f":
        raise EnforceNotMet(f"the mean is taken of floating-point numbers, X has data type {x.dtype}; use layers.cast")
    return Spec((1,), x.dtype)


@operator(
    "mean",
    inputs="X",
    outputs="Out",
    infer=infer_mean,
    kernel=BOUND,
    batch=Batch(rows="X", sums="Out"),
    lod=Lod(of="none"),
    about=About(flops=one_for_each),
)
def mean(ctx, x, out):
    out = out.reshape((1,) * x.ndim)
    return in_sequence([sum_into(ctx, x, out), partial(ctx.xp.divide, out, ctx.in_batch(x.size), out=out)])


def slope_of_whole_mean(dOut, specs, in_batch):
    return dOut / in_batch(specs["X"][0].size)


by_formula(mean.gradient(shapes="X", formula=slope_of_whole_mean, memory=ELEMENTWISE))


def in_one_sum(ctx, x, compute, out):
    """A function that calls `compute(scratch)` and sums the scratch, shaped like x, into `out`."""
    whole = scratch_like(ctx, x)
    return in_sequence([partial(compute, whole), sum_into(ctx, whole, out.reshape((1,) * x.ndim))])


@operator("squared_l2_norm", inputs="X", outputs="Out", infer=one_number, kernel=BOUND, lod=Lod(of="none"))
def squared_l2_norm(ctx, x, out):
    return in_one_sum(ctx, x, partial(ctx.xp.multiply, x, x), out)


by_formula(squared_l2_norm.gradient("X", formula=lambda X, dOut: X * (dOut * 2)))


@operator("l1_norm", inputs="X", outputs="Out", infer=one_number, kernel=BOUND, lod=Lod(of="none"))
def l1_norm(ctx, x, out):
    return in_one_sum(ctx, x, partial(ctx.xp.absolute, x), out)


by_formula(l1_norm.gradient("X", formula=lambda X, dOut: dOut * f.sign(X)))


def infer_norm(attrs, x):
    axis = attrs["axis"]
    rank = len(x.shape)
    if not -rank <= axis < rank:
        raise EnforceNotMet(f"axis must lie in [{-rank}, {rank}) for X of shape {list(x.shape)}, got {axis}")
    return Spec(kept_shape(x.shape, (axis % rank,)), x.dtype), x


@operator(
    "norm",
    inputs="X",
    outputs="Norm!, Out",
    attributes={"axis": -1, "epsilon": 1e-10},
    infer=infer_norm,
    kernel=BOUND,
    lod=Lod(of="none"),
)
def norm(ctx, x, norm, out):
    xp = ctx.xp  # Out = X / Norm, Norm = sqrt(sum of X^2 + epsilon)
    sums = sum_into(ctx, out, norm)

    def step():
        xp.multiply(x, x, out=out)
        sums()
        xp.add(norm, ctx.attrs["epsilon"], out=norm)
        xp.sqrt(norm, out=norm)
        xp.divide(x, norm, out=out)

    return step


@norm.gradient("X, Norm", kernel=BOUND, lod=Lod(of="none"))
def norm_grad(ctx, x, norm, dout, dx):
    xp = ctx.xp  # dX = (dOut - X * sum(X * dOut) / Norm^2) / Norm
    projection = ctx.scratch(norm.shape, norm.dtype)
    sums = sum_into(ctx, dx, projection)

    def step():
        xp.multiply(x, dout, out=dx)
        sums()
        xp.divide(projection, norm, out=projection)
        xp.divide(projection, norm, out=projection)
        xp.multiply(x, projection, out=dx)
        xp.subtract(dout, dx, out=dx)
        xp.divide(dx, norm, out=dx)

    return step


def infer_p_norm(attrs, x):
    axis = axis_of(attrs, x)
    if attrs["keepdim"]:
        return Spec(kept_shape(x.shape, (axis,)), x.dtype)
    return Spec(x.shape[:axis] + x.shape[axis + 1 :] or (1,), x.dtype)


@operator(
    "p_norm",
    inputs="X",
    outputs="Out",
    attributes={"porder": 2.0, "axis": -1, "epsilon": 1e-12, "keepdim": False, "asvector": later(False)},
    infer=infer_p_norm,
    lod=Lod(of="none"),
)
def p_norm(ctx, x, out):
    xp, order, axis = ctx.xp, ctx.attrs["porder"], ctx.attrs["axis"]  # (sum of |X|^p)^(1/p) along `axis`
    size = xp.absolute(x)
    if order == 0:
        found = (size != 0).sum(axis=axis)
    elif math.isinf(order):
        found = (xp.amax if order > 0 else xp.amin)(size, axis=axis)
    else:
        found = xp.power(xp.power(size, order).sum(axis=axis), 1 / order)
    out[...] = found.reshape(out.shape)


@p_norm.gradient("X, Out", lod=Lod(of="none"))
def p_norm_grad(ctx, x, out, dout, dx):
    # dX = dOut * sign(X) * |X|^(p-1) / Out^(p-1); for infinite p, all of it goes to the elements that are the norm.
    xp, order = ctx.xp, ctx.attrs["porder"]
    shape = kept_shape(x.shape, (ctx.attrs["axis"] % x.ndim,))
    out, dout = out.reshape(shape), dout.reshape(shape)
    size = xp.absolute(x)
    if order == 0:
        dx.fill(0)
        return
    if math.isinf(order):
        share = size == out
    else:
        share = xp.power(size, order - 1) / (xp.power(out, order - 1) + ctx.attrs["epsilon"])
    xp.multiply(dout * xp.sign(x), share, out=dx)


def infer_cos_sim(attrs, x, y):
    fits = len(x.shape) == len(y.shape) >= 2 and all(
        n == m or min(n, m) < 0 for n, m in zip(x.shape[1:], y.shape[1:], strict=True)
    )
    if not fits or (y.shape[0] != 1 and x.shape[0] != y.shape[0] and min(x.shape[0], y.shape[0]) >= 0):
        raise EnforceNotMet(
            f"Y must have the shape of X {list(x.shape)}, or one row and the same columns, got {list(y.shape)}"
        )
    column = Spec((x.shape[0], 1), x.dtype)
    return column, column, Spec((y.shape[0], 1), y.dtype)


def column_of(x, vector):
    """A vector with a number for each row, in a shape that broadcasts with x."""
    return vector.reshape(-1, *[1] * (x.ndim - 1))


@operator(
    "cos_sim",
    inputs="X, Y",
    outputs="Out, XNorm!, YNorm!",
    attributes={"@ALL_KERNELS_MUST_COMPUTE_RUNTIME_SHAPE@": ignored(True)},
    infer=infer_cos_sim,
    kernel=BOUND,
    lod=Lod(of={"XNorm": "none", "YNorm": "none"}),
)
def cos_sim(ctx, x, y, out, x_norm, y_norm):
    xp = ctx.xp  # Out = X . Y / (|X| |Y|), row by row
    terms = ctx.scratch(x.shape, x.dtype)
    of_y = terms[: len(y)]
    products = [(x, x, terms, x_norm), (y, y, of_y, y_norm), (x, y, terms, out)]
    products = [(a, b, target, sum_into(ctx, target, column_of(x, sums))) for a, b, target, sums in products]

    def step():
        for a, b, target, add_up in products:
            xp.multiply(a, b, out=target)
            add_up()
        for norm in (x_norm, y_norm):
            xp.sqrt(norm, out=norm)
            xp.divide(out, norm, out=out)

    return step


@cos_sim.gradient("X, Y, XNorm, YNorm, Out", kernel=BOUND, lod=Lod(of="none"))
def cos_sim_grad(ctx, x, y, x_norm, y_norm, out, dout, dx, dy):
    xp = ctx.xp
    own_part = ctx.scratch(x.shape, x.dtype)

    def gradient(own, norm, other, result):
        # d(own) = dOut * (other / (|X| |Y|) - Out * own / |own|^2)
        def step():
            xp.multiply(other, column_of(x, dout / (x_norm * y_norm)), out=result)
            xp.multiply(own, column_of(x, dout * out / (norm * norm)), out=own_part)
            xp.subtract(result, own_part, out=result)

        return step

    steps = [] if dx is None else [gradient(x, x_norm, y, dx)]
    if dy is not None:
        # One row of Y beside all of X gets the sum of the gradients for each.
        rows = ctx.scratch(x.shape, x.dtype)
        steps += [gradient(y, y_norm, x, rows), sum_into(ctx, rows, dy)]
    return in_sequence(steps)


def truth_about_all(type, function):
    """An operator that tells one thing about all elements of X together."""

    @operator(type, inputs="X", outputs="Out!", infer=lambda attrs, x: Spec((1,), np.dtype(bool)), lod=Lod(of="none"))
    def kernel(ctx, x, out):
        function(ctx.xp, x, out)

    return kernel


@partial(truth_about_all, "isinf")
def isinf(xp, x, out):
    out[...] = xp.isinf(x).any()


@partial(truth_about_all, "isnan")
def isnan(xp, x, out):
    out[...] = xp.isnan(x).any()


@partial(truth_about_all, "isfinite")
def isfinite(xp, x, out):
    out[...] = xp.isfinite(x).all()


def axis_of(attrs, x):
    """The attribute `axis`, counted from the front; raises EnforceNotMet outside the dimensions of X."""
    axis, rank = attrs["axis"], len(x.shape)
    if not -rank <= axis < rank:
        raise EnforceNotMet(f"axis must lie in [{-rank}, {rank}) for X of shape {list(x.shape)}, got {axis}")
    return axis % rank


def infer_argument(attrs, x):
    axis = axis_of(attrs, x)
    shape = kept_shape(x.shape, (axis,)) if attrs["keepdims"] else x.shape[:axis] + x.shape[axis + 1 :]
    dtype = np.int32 if attrs["dtype"] == 2 else np.int64
    return Spec(shape, np.dtype(dtype))


def argument(type, name):
    """An operator that finds where along `axis` the extreme value is; the first of several counts."""

    @operator(
        type,
        inputs="X",
        outputs="Out!",
        attributes={"axis": typed(0, "LONG"), "dtype": -1, "keepdims": False, "flatten": later(False)},
        infer=infer_argument,
        lod=Lod(of="none"),
    )
    def kernel(ctx, x, out):
        axis = ctx.attrs["axis"]
        found = getattr(ctx.xp, name)(x, axis=axis)
        out[...] = found.reshape(out.shape)

    return kernel


argument("arg_max", "argmax")
argument("arg_min", "argmin")


def infer_allclose(attrs, x, y):
    if any(min(n, m) >= 0 and n != m for n, m in zip(x.shape, y.shape, strict=False)) or len(x.shape) != len(y.shape):
        raise EnforceNotMet(f"Input and Other must have one shape, got {list(x.shape)} and {list(y.shape)}")
    return Spec((1,), np.dtype(bool))


@operator(
    "allclose",
    inputs="Input!, Other!",
    outputs="Out!",
    attributes={"rtol": 1e-5, "atol": 1e-8, "equal_nan": False},
    infer=infer_allclose,
    lod=Lod(of="none"),
)
def allclose(ctx, x, y, out):
    """Whether every |Input - Other| is at most atol + rtol * |Other|."""
    xp, attrs = ctx.xp, ctx.attrs
    # As in Paddle, infinity is not close to itself.
    close = xp.abs(x - y) <= attrs["atol"] + attrs["rtol"] * xp.abs(y)
    if attrs["equal_nan"]:
        close |= xp.isnan(x) & xp.isnan(y)
    out[...] = close.all()
