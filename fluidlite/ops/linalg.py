"""Products of matrices."""

import math
from functools import partial

import numpy as np

from ..core.attributes import MKLDNN, ignored, only
from ..core.errors import EnforceNotMet
from ..core.operators import operator
from ..core.spec import EMPTY, Spec
from ..core.traits import BOUND, About, Batch, Lod, Memory
from .arrays.strides import in_sequence, is_matrix, matrix_of, scratch_like, sum_into
from .pointwise import by_formula


def size_of(dimensions):
    """The product of dimensions, -1 if one of them is unknown."""
    return -1 if any(size < 0 for size in dimensions) else math.prod(dimensions)


def infer_mul(attrs, x, y):
    x_split, y_split = attrs["x_num_col_dims"], attrs["y_num_col_dims"]
    for name, spec, split in (("X", x, x_split), ("Y", y, y_split)):
        if not 0 < split < len(spec.shape):
            raise EnforceNotMet(
                f"{name.lower()}_num_col_dims must lie between 1 and {len(spec.shape) - 1} for {name} of shape "
                f"{list(spec.shape)}, got {split}"
            )
    columns, rows = size_of(x.shape[x_split:]), size_of(y.shape[:y_split])
    if columns >= 0 and rows >= 0 and columns != rows:
        raise EnforceNotMet(
            f"X of shape {list(x.shape)} is a matrix of {columns} columns (x_num_col_dims {x_split}), "
            f"Y of shape {list(y.shape)} one of {rows} rows (y_num_col_dims {y_split}); the two must be equal"
        )
    if x.dtype != y.dtype:
        raise EnforceNotMet(f"X and Y must have one data type, got {x.dtype} and {y.dtype}; use layers.cast")
    return Spec(x.shape[:x_split] + y.shape[y_split:], x.dtype)


def flops_of_mul(attrs, shapes):
    """Each output element is a sum of products along a row of X."""
    (x,), (out,) = shapes["X"], shapes["Out"]
    return 2 * math.prod(out) * math.prod(x[attrs["x_num_col_dims"] :])


def flops_of_matmul(attrs, shapes):
    (x,), (out,) = shapes["X"], shapes["Out"]
    return 2 * math.prod(out) * matrix_shape(x, -1, transpositions(attrs)[0])[-1]


@operator(
    "mul",
    inputs="X, Y",
    outputs="Out",
    attributes={
        "x_num_col_dims": 1,
        "y_num_col_dims": 1,
        "scale_x": only(1.0),
        "scale_y": only([1.0]),
        "scale_out": only(1.0),
        "force_fp32_output": only(False),
    }
    | MKLDNN,
    infer=infer_mul,
    kernel=BOUND,
    batch=Batch(rows="X Out"),
    about=About("product", plain="matrix product", flops=flops_of_mul),
)
def mul(ctx, x, y, out):
    a, fill_a, _ = matrix_of(ctx, x, ctx.attrs["x_num_col_dims"])
    b, fill_b, _ = matrix_of(ctx, y, ctx.attrs["y_num_col_dims"])
    return in_sequence([fill_a, fill_b, partial(ctx.xp.matmul, a, b, out=out.reshape(len(a), b.shape[1]))])


@mul.gradient("X, Y", kernel=BOUND, memory=Memory(strided="X@GRAD"))
def mul_grad(ctx, x, y, dout, dx, dy):
    # dX = dOut Y^T, dY = X^T dOut
    matmul = ctx.xp.matmul
    a, fill_a, _ = matrix_of(ctx, x, ctx.attrs["x_num_col_dims"])
    b, fill_b, _ = matrix_of(ctx, y, ctx.attrs["y_num_col_dims"])
    d, fill_d, _ = matrix_of(ctx, dout, ctx.attrs["x_num_col_dims"])
    steps = [fill_d]
    if dx is not None:
        target, _, spill = matrix_of(ctx, dx, ctx.attrs["x_num_col_dims"])
        steps += [fill_b, partial(matmul, d, b.T, out=target), spill]
    if dy is not None:
        steps += [fill_a, partial(matmul, a.T, d, out=dy.reshape(b.shape))]
    return in_sequence(steps)


def second_gradient_of_product(grad, x="X", y="Y", out="Out"):
    """Declare the gradient of the gradient of a product: by the product, and by its gradient.

    Where Out = X * Y and dX, dY are its gradients: DDOut = DDX * Y + X * DDY, DX is what dX would be for DDY in the
    place of Y, and DY what dY would be for DDX in the place of X.

    Args:
        grad: the OperatorDef of the gradient.
        x, y, out: slots of the product.
    """
    product, slope = grad.gradient_of.type, grad.type
    read = f"{x}, {y}, {out}@GRAD"
    definition = grad.gradient(read, of=f"{x}@GRAD, {y}@GRAD", gives=read)(None)

    @definition.decomposition
    def decomposed(inputs, outputs, attrs):
        there = {slot: names for slot, names in {**inputs, **outputs}.items() if names and names[0] is not EMPTY}
        ddx, ddy, dx, dy = (there.get(slot) for slot in ("DD" + x, "DD" + y, "D" + x, "D" + y))
        dout, ddout = inputs["D" + out], there.get("DD" + out)
        made = []
        if ddout:
            factors = [pair for pair in ((ddx, inputs[y]), (inputs[x], ddy)) if all(pair)]
            terms = [ddout[0].derived(str(number)) for number in range(len(factors))]
            for (a, b), term in zip(factors, terms, strict=True):
                made.append((product, {x: a, y: b}, {out: [term]}, attrs))
            made.append(("sum", {"X": terms}, {"Out": ddout}, {}))
        for target, slot, a, b in ((dx, x, inputs[x], ddy), (dy, y, ddx, inputs[y])):
            if target and a and b:
                made.append((slope, {x: a, y: b, out + "@GRAD": dout}, {slot + "@GRAD": target}, attrs))
            elif target:
                made.append(("fill_zeros_like", {"X": inputs[slot]}, {"Out": target}, {}))
        return made


second_gradient_of_product(mul_grad)


def matrix_shape(shape, vector_axis, transpose):
    """The shape of X or Y as a stack of matrices; a vector lies along `vector_axis`, then all are transposed."""
    if len(shape) == 1:
        shape = (1, *shape) if vector_axis == -1 else (*shape, 1)
    return (*shape[:-2], shape[-1], shape[-2]) if transpose else tuple(shape)


def transpositions(attrs):
    """Whether to transpose X, and Y: matmul_v2 has other names for that, and bmm never does."""
    return tuple(attrs.get(f"transpose_{name.upper()}", attrs.get(f"trans_{name}", False)) for name in "xy")


def infer_matmul(attrs, x, y):
    shapes = f"X has shape {list(x.shape)} and Y {list(y.shape)}"
    if not x.shape or not y.shape:
        raise EnforceNotMet(f"{shapes}: each needs a dimension")
    if x.dtype != y.dtype:
        raise EnforceNotMet(f"X and Y must have one data type, got {x.dtype} and {y.dtype}; use layers.cast")
    turn_x, turn_y = transpositions(attrs)
    a = matrix_shape(x.shape, -1, turn_x)
    b = matrix_shape(y.shape, -2, turn_y)
    inner, other = a[-1], b[-2]
    if inner >= 0 and other >= 0 and inner != other:
        turned = " after the transpositions asked for" if turn_x or turn_y else ""
        raise EnforceNotMet(f"{shapes}: X must have as many columns as Y has rows{turned}, got {inner} and {other}")
    batch = a[:-2] or b[:-2]
    if a[:-2] and b[:-2]:
        if len(a) != len(b) or any(n != m and n >= 0 and m >= 0 for n, m in zip(a[:-2], b[:-2], strict=True)):
            raise EnforceNotMet(f"{shapes}: all dimensions but the last two must be equal")
        batch = tuple(map(max, a[:-2], b[:-2]))
    rows = () if len(x.shape) == 1 and not turn_x else (a[-2],)
    columns = () if len(y.shape) == 1 and not turn_y else (b[-1],)
    return Spec((*batch, *rows, *columns) or (1,), x.dtype)


def infer_matmul_v2(attrs, x, y):
    """As `infer_matmul`, but a vector is never transposed, and the stacks broadcast."""
    attrs = {f"trans_{n}": attrs[f"trans_{n}"] and len(spec.shape) > 1 for n, spec in (("x", x), ("y", y))}
    stacks = x.shape[:-2], y.shape[:-2]
    rank = max(map(len, stacks))
    padded = [(1,) * (rank - len(stack)) + tuple(stack) for stack in stacks]
    if any(n != m and min(n, m) >= 0 and 1 not in (n, m) for n, m in zip(*padded, strict=True)):
        raise EnforceNotMet(
            f"X has shape {list(x.shape)} and Y {list(y.shape)}: all dimensions but the last two must broadcast"
        )
    stack = tuple(m if n == 1 else n if m == 1 else max(n, m) for n, m in zip(*padded, strict=True))
    single = infer_matmul(attrs, x._replace(shape=x.shape[-2:]), y._replace(shape=y.shape[-2:]))
    of_matrices = min(len(x.shape), 2) + min(len(y.shape), 2) - 2
    return Spec((*stack, *single.shape[len(single.shape) - of_matrices :]) or (1,), x.dtype)


def rows_of_matmul(attrs, shapes):
    """A stack of matrices has rows; a single X does if it is not transposed, and then Y has none."""
    x, y = len(shapes["X"][0]), len(shapes["Y"][0])
    if x > 2 and y > 2:
        return {"X", "Y", "Out"}
    return {"X", "Out"} if y <= 2 and x > 1 and not (transpositions(attrs)[0] and x == 2) else None


def infer_bmm(attrs, x, y):
    if len(x.shape) != 3 or len(y.shape) != 3:
        raise EnforceNotMet(f"X and Y must have 3 dimensions, got shapes {list(x.shape)} and {list(y.shape)}")
    return infer_matmul(attrs, x, y)


def factors(ctx, x, y):
    """X and Y as stacks of matrices that BLAS can read, and the copies needed first."""
    a = x.reshape(1, -1) if x.ndim == 1 else x
    b = y.reshape(-1, 1) if y.ndim == 1 else y
    (a, fill_a), (b, fill_b) = readable(ctx, a), readable(ctx, b)
    turn_x, turn_y = turned(ctx, x, y)
    a = a.swapaxes(-1, -2) if turn_x else a
    b = b.swapaxes(-1, -2) if turn_y else b
    return a, b, fill_a, fill_b


def turned(ctx, x, y):
    """Whether the matrices made of X, and of Y, are transposed."""
    turn_x, turn_y = transpositions(ctx.attrs)
    vectors_too = "trans_x" not in ctx.attrs
    return turn_x and (vectors_too or x.ndim > 1), turn_y and (vectors_too or y.ndim > 1)


def readable(ctx, array):
    """The array if BLAS can read its matrices, otherwise scratch and the function that copies the array into it."""
    if is_matrix(array):
        return array, None
    copy = ctx.scratch(array.shape, array.dtype)
    return copy, partial(ctx.xp.copyto, copy, array)


def stacked(a, b):
    """The shape of the product of two stacks of matrices."""
    return (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1])


def product(ctx, a, b, out):
    """A function that writes alpha * a @ b into `out`, summed over the dimensions of the stack that `out` lacks."""
    xp = ctx.xp
    fills = []
    whole = stacked(a, b)
    if out.shape != whole and not (out.ndim == 2 and a.shape[:-2] == b.shape[:-2]):
        every = ctx.scratch(whole, out.dtype)
        target = out.reshape((1,) * (len(whole) - out.ndim) + out.shape)
        return in_sequence([product(ctx, a, b, every), sum_into(ctx, every, target)])
    if out.ndim == 2 and a.ndim > 2:
        # One long product: the matrices of `a` side by side, those of `b` one below the other.
        a, fill_a, _ = matrix_of(ctx, xp.moveaxis(a, -2, 0), 1)
        b, fill_b, _ = matrix_of(ctx, b, b.ndim - 1)
        fills = [fill_a, fill_b]
    elif a.ndim > 2 and b.ndim == 2:
        rows = a.reshape(-1, a.shape[-1])
        if xp.may_share_memory(rows, a) and is_matrix(rows):
            a, out = rows, out.reshape(-1, out.shape[-1])
    alpha = ctx.attrs.get("alpha", 1.0)
    scale = None if alpha == 1 else partial(xp.multiply, out, alpha, out=out)
    return in_sequence([*fills, partial(xp.matmul, a, b, out=out), scale])


def matmul_kernel(ctx, x, y, out):
    a, b, fill_a, fill_b = factors(ctx, x, y)
    return in_sequence([fill_a, fill_b, product(ctx, a, b, out.reshape(stacked(a, b)))])


def matmul_grad_kernel(ctx, x, y, dout, dx, dy):
    # With Out = A B: dA = dOut B^T and dB = A^T dOut; where X is A^T, dX = (dOut B^T)^T = B dOut^T.
    a, b, fill_a, fill_b = factors(ctx, x, y)
    d, fill_d = readable(ctx, dout.reshape(stacked(a, b)))
    turn_x, turn_y = turned(ctx, x, y)
    steps = [fill_d]
    if dx is not None:
        left, right = (b, d) if turn_x else (d, b)
        dx = dx.reshape(1, -1) if x.ndim == 1 else dx
        steps += [fill_b, product(ctx, left, right.swapaxes(-1, -2), dx)]
    if dy is not None:
        left, right = (d, a) if turn_y else (a, d)
        dy = dy.reshape(-1, 1) if y.ndim == 1 else dy
        steps += [fill_a, product(ctx, left.swapaxes(-1, -2), right, dy)]
    return in_sequence(steps)


_MATMUL = {
    "transpose_X": False,
    "transpose_Y": False,
    "alpha": 1.0,
    "use_quantizer": ignored(False),
    "fused_reshape_Out": only([]),
    "fused_transpose_Out": only([]),
    "head_number": only(1),
    "Scale_x": only(1.0),
    "Scale_y": only(1.0),
    "Scale_out": only(1.0),
    "force_fp32_output": only(False),
}
for _type, _attributes, _infer, _rows in (
    ("matmul", _MATMUL | MKLDNN, infer_matmul, rows_of_matmul),
    ("matmul_v2", {"trans_x": False, "trans_y": False}, infer_matmul_v2, None),
    ("bmm", {}, infer_bmm, "X Y Out"),
):
    _definition = operator(
        _type,
        inputs="X, Y",
        outputs="Out",
        attributes=_attributes,
        infer=_infer,
        kernel=BOUND,
        batch=Batch(rows=_rows),
        about=About("" if _type == "bmm" else "product", flops=flops_of_matmul),
    )(matmul_kernel)
    _definition.gradient("X, Y", kernel=BOUND, lod=Lod(of="none"))(matmul_grad_kernel)


def infer_dot(attrs, x, y):
    if x.shape != y.shape or x.dtype != y.dtype or len(x.shape) not in (1, 2):
        raise EnforceNotMet(
            f"X and Y must be alike, of 1 or 2 dimensions, got {x.dtype} {list(x.shape)} and {y.dtype} {list(y.shape)}"
        )
    return Spec((*x.shape[:-1], 1), x.dtype)


def rows_of_dot(attrs, shapes):
    return {"X", "Y", "Out"} if len(shapes["X"][0]) == 2 else None


@operator(
    "dot",
    inputs="X, Y",
    outputs="Out",
    infer=infer_dot,
    kernel=BOUND,
    batch=Batch(rows=rows_of_dot),
    about=About(flops=lambda attrs, shapes: 2 * math.prod(shapes["X"][0])),
)
def dot(ctx, x, y, out):
    whole = scratch_like(ctx, x)
    return in_sequence([partial(ctx.xp.multiply, x, y, out=whole), sum_into(ctx, whole, out)])


by_formula(dot.gradient("X, Y", formula=lambda X, Y, dOut: {"dX": dOut * Y, "dY": dOut * X}))


def infer_bilinear(attrs, x, y, w, bias):
    if len(w.shape) != 3 or len(x.shape) != 2 or len(y.shape) != 2 or w.shape[1:] != (x.shape[1], y.shape[1]):
        raise EnforceNotMet(
            f"Weight must have the shape [size, columns of X, columns of Y] for X {list(x.shape)} and Y "
            f"{list(y.shape)}, got {list(w.shape)}"
        )
    return Spec((x.shape[0], w.shape[0]), x.dtype)


def flops_of_bilinear(attrs, shapes):
    """For each output element, X times a matrix of Weight, and that times Y."""
    (w,), (out,) = shapes["Weight"], shapes["Out"]
    return math.prod(out) * (2 * w[1] * w[2] + 2 * w[2] + bool(shapes.get("Bias")))


@operator(
    "bilinear_tensor_product",
    inputs="X, Y, Weight, Bias?",
    outputs="Out",
    infer=infer_bilinear,
    kernel=BOUND,
    about=About(flops=flops_of_bilinear),
)
def bilinear_tensor_product(ctx, x, y, w, bias, out):
    xp = ctx.xp  # Out[:, k] = sum of X (W[k] Y) over the columns, + Bias[k]
    terms = ctx.scratch(y.shape, y.dtype)

    def step():
        for number, matrix in enumerate(w):
            xp.matmul(x, matrix, out=terms)
            xp.multiply(terms, y, out=terms)
            xp.sum(terms, axis=1, out=out[:, number])
        if bias is not None:
            xp.add(out, bias.reshape(1, -1), out=out)

    return step


def infer_bilinear_grad(attrs, x, y, w, dout):
    return x, y, w, Spec((1, w.shape[0]), w.dtype)


@bilinear_tensor_product.gradient("X, Y, Weight", infer=infer_bilinear_grad, kernel=BOUND, lod=Lod(of="none"))
def bilinear_tensor_product_grad(ctx, x, y, w, dout, dx, dy, dw, dbias):
    xp = ctx.xp
    like_x, like_y = ctx.scratch(x.shape, x.dtype), ctx.scratch(y.shape, y.dtype)

    def step():
        for result in (dx, dy):
            if result is not None:
                result.fill(0)
        for number, matrix in enumerate(w):
            slope = dout[:, number : number + 1]
            if dx is not None:
                xp.matmul(y, matrix.T, out=like_x)
                xp.multiply(like_x, slope, out=like_x)
                xp.add(dx, like_x, out=dx)
            if dy is not None:
                xp.matmul(x, matrix, out=like_y)
                xp.multiply(like_y, slope, out=like_y)
                xp.add(dy, like_y, out=dy)
            if dw is not None:
                xp.multiply(slope, x, out=like_x)
                xp.matmul(like_x.T, y, out=dw[number])
        if dbias is not None:
            xp.sum(dout, axis=0, out=dbias.reshape(-1))

    return step


def infer_addmm(attrs, added, x, y):
    if len(x.shape) != 2 or len(y.shape) != 2 or len(added.shape) != 2:
        raise EnforceNotMet(
            f"Input, X and Y must be matrices, got shapes {list(added.shape)}, {list(x.shape)} and {list(y.shape)}"
        )
    product = infer_matmul({}, x, y)
    if any(min(n, m) >= 0 and n not in (1, m) for n, m in zip(added.shape, product.shape, strict=True)):
        raise EnforceNotMet(
            f"Input of shape {list(added.shape)} does not broadcast to the product of shape {list(product.shape)}"
        )
    return product


@operator(
    "addmm", inputs="Input, X, Y", outputs="Out", attributes={"Alpha": 1.0, "Beta": 1.0} | MKLDNN, infer=infer_addmm
)
def addmm(ctx, added, x, y, out):
    # Out = Beta * Input + Alpha * X Y
    xp = ctx.xp
    xp.matmul(x, y, out=out)
    xp.multiply(out, ctx.attrs["Alpha"], out=out)
    xp.add(out, ctx.attrs["Beta"] * added, out=out)


@addmm.gradient("Input, X, Y")
def addmm_grad(ctx, added, x, y, dout, dadded, dx, dy):
    xp = ctx.xp
    if dadded is not None:
        repeated = tuple(axis for axis in (0, 1) if dadded.shape[axis] != dout.shape[axis])
        xp.multiply(dout.sum(axis=repeated, keepdims=True), ctx.attrs["Beta"], out=dadded)
    for target, left, right in ((dx, dout, y.T), (dy, x.T, dout)):
        if target is not None:
            xp.matmul(left, right, out=target)
            xp.multiply(target, ctx.attrs["Alpha"], out=target)


def infer_fsp(attrs, x, y):
    if (
        len(x.shape) != 4
        or len(y.shape) != 4
        or not all(n == m or min(n, m) < 0 for n, m in zip(x.shape[2:], y.shape[2:], strict=True))
    ):
        raise EnforceNotMet(f"X and Y must be images of one size, got shapes {list(x.shape)} and {list(y.shape)}")
    return Spec((x.shape[0], x.shape[1], y.shape[1]), x.dtype)


def flat_images(*arrays):
    """Images [N, C, H, W] as matrices [N, C, H * W]."""
    return [array.reshape(*array.shape[:2], -1) for array in arrays]


@operator("fsp", inputs="X, Y", outputs="Out", infer=infer_fsp)
def fsp(ctx, x, y, out):
    """The mean product of each channel of X with each channel of Y, over the places of an image."""
    x, y = flat_images(x, y)
    ctx.xp.matmul(x, y.transpose(0, 2, 1), out=out)
    ctx.xp.divide(out, x.shape[2], out=out)


@fsp.gradient("X, Y")
def fsp_grad(ctx, x, y, dout, dx, dy):
    for target, slope, factor in ((dx, dout, y), (dy, dout.transpose(0, 2, 1), x)):
        if target is not None:
            target, factor = flat_images(target, factor)
            ctx.xp.matmul(slope, factor, out=target)
            ctx.xp.divide(target, factor.shape[2], out=target)


def infer_spectral_norm(attrs, weight, u, v):
    if not 2 <= len(weight.shape) <= 5 or attrs["dim"] not in (0, 1):
        raise EnforceNotMet(
            f"Weight must have 2 to 5 dimensions, and dim be 0 or 1, got shape {list(weight.shape)} and {attrs['dim']}"
        )
    if attrs["power_iters"] < 0:
        raise EnforceNotMet(f"power_iters must not be negative, got {attrs['power_iters']}")
    height = weight.shape[attrs["dim"]]
    width = size_of([size for axis, size in enumerate(weight.shape) if axis != attrs["dim"]])
    for name, spec, size in (("U", u, height), ("V", v, width)):
        if len(spec.shape) != 1 or (min(size, spec.shape[0]) >= 0 and spec.shape[0] != size):
            raise EnforceNotMet(f"{name} must have the shape [{size}], got {list(spec.shape)}")
    return weight


def largest_singular(ctx, weight, u, v):
    """(Weight as a matrix, its singular vectors u and v as far as they were found, its largest singular value)."""
    xp, attrs = ctx.xp, ctx.attrs
    matrix = xp.moveaxis(weight, attrs["dim"], 0)
    matrix = matrix.reshape(len(matrix), -1)
    for _ in range(attrs["power_iters"]):
        v = matrix.T @ u
        v = v / (xp.sqrt((v * v).sum()) + attrs["eps"])
        u = matrix @ v
        u = u / (xp.sqrt((u * u).sum()) + attrs["eps"])
    return matrix, u, v, u @ matrix @ v


@operator(
    "spectral_norm",
    inputs="Weight, U!, V!",
    outputs="Out",
    attributes={"dim": 0, "power_iters": 1, "eps": 1e-12},
    infer=infer_spectral_norm,
    lod=Lod(of="none"),
)
def spectral_norm(ctx, weight, u, v, out):
    """Weight / its largest singular value, by power iteration from U and V, which stay as they are."""
    *_, largest = largest_singular(ctx, weight, u, v)
    ctx.xp.divide(weight, largest, out=out)


@spectral_norm.gradient("Weight, U, V")
def spectral_norm_grad(ctx, weight, u, v, dout, dweight):
    # The singular vectors count as constants: d(u^T W v) = u v^T.
    xp = ctx.xp
    matrix, u, v, largest = largest_singular(ctx, weight, u, v)
    slope = xp.moveaxis(dout, ctx.attrs["dim"], 0)
    felt = (slope.reshape(matrix.shape) * matrix).sum() / (largest * largest)
    xp.copyto(xp.moveaxis(dweight, ctx.attrs["dim"], 0), slope / largest - (felt * xp.outer(u, v)).reshape(slope.shape))
