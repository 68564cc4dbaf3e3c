"""Softmax and dropout: the layers between a network's features and its loss."""

import math
from functools import partial

import numpy as np

from .cuda import THREADS, blocks_for, launch, type_name
from .reduce import axis_of, kept_shape
from .registry import LIBRARIES, EnforceNotMet, Spec, one_for_each, operator
from .rows_cuda import work_on_rows

# A block of the generator is four words of 64 bits, or sixteen draws of so many levels.
_WORDS, _DRAWS, _LEVELS = 4, 16, 1 << 16
# So many draws at a time stay in the cache.
_CHUNK = 1 << 16


def _infer_softmax(attrs, x):
    axis_of(attrs, x)
    return x


def _rows_of_softmax(attrs, shapes):
    return {"X", "Out"} if attrs["axis"] % len(shapes["Out"][0]) else None


@operator(
    "softmax",
    inputs="X",
    outputs="Out",
    attrs={"axis": -1, "data_format": "AnyLayout", "is_test": False},
    unused=LIBRARIES,
    infer=_infer_softmax,
    bind=True,
    inplace={"Out": "X"},
    rows=_rows_of_softmax,
    flops=lambda attrs, shapes: 5 * one_for_each(attrs, shapes),  # maximum, difference, exp, sum, quotient
)
def softmax(ctx, x, out):
    """Out = exp(X - max) / sum(exp(X - max)) along `axis`."""
    xp, axis = ctx.xp, axis_of(ctx.attrs, x)
    extreme = ctx.scratch(kept_shape(x.shape, (axis,)), x.dtype)

    def step():
        xp.amax(x, axis=axis, keepdims=True, out=extreme)
        xp.subtract(x, extreme, out=out)
        xp.exp(out, out=out)
        xp.sum(out, axis=axis, keepdims=True, out=extreme)
        xp.divide(out, extreme, out=out)

    return step


@softmax.gradient("Out", bind=True)
def softmax_grad(ctx, out, dout, dx):
    """dX = (dOut - sum(dOut * Out)) * Out along `axis`."""
    xp, axis = ctx.xp, axis_of(ctx.attrs, out)
    total = ctx.scratch(kept_shape(out.shape, (axis,)), out.dtype)

    def step():
        xp.multiply(dout, out, out=dx)
        xp.sum(dx, axis=axis, keepdims=True, out=total)
        xp.subtract(dout, total, out=dx)
        xp.multiply(dx, out, out=dx)

    return step


# In CUDA C: the exponentials of a row X are exp(X - largest), and add up to `total`.
EXPONENTIALS = """
T largest = T(LOWEST);
EACH(largest = Larger()(largest, X))
largest = row.over(largest, Larger());
T total = 0;
EACH(total += exp(X - largest))
total = row.over(total, Plus());
"""


@softmax.form("cuda")
def softmax_cuda(ctx, x, out):
    code = EXPONENTIALS + "EACH(OUT = exp(X - largest) / total)"
    axes = (axis_of(ctx.attrs, x),)
    return work_on_rows(ctx, "softmax", code, x.shape, axes, {"X": x, "OUT": out}, writes="OUT")


@softmax_grad.form("cuda")
def softmax_grad_cuda(ctx, out, dout, dx):
    code = """
    T total = 0;
    EACH(total += D_OUT * OUT)
    total = row.over(total, Plus());
    EACH(D_X = (D_OUT - total) * OUT)
    """
    axes = (axis_of(ctx.attrs, out),)
    elements = {"OUT": out, "D_OUT": dout, "D_X": dx}
    return work_on_rows(ctx, "softmax_grad", code, out.shape, axes, elements, writes="D_X")


def _infer_dropout(attrs, x, seed=None):
    if not 0 <= attrs["dropout_prob"] <= 1:
        raise EnforceNotMet(f"dropout_prob must lie between 0 and 1, got {attrs['dropout_prob']}")
    return x, Spec(() if attrs["is_test"] else x.shape, np.dtype("uint8"))


def _factors(attrs, dtype):
    """By what dropout multiplies, beside the mask: in training, and in inference."""
    keep = 1 - attrs["dropout_prob"]
    if attrs["dropout_implementation"] == "upscale_in_train":
        return dtype.type(1 / keep if keep else 1), dtype.type(1)
    return dtype.type(1), dtype.type(keep)


@operator(
    "dropout",
    inputs="X, Seed?!",
    outputs="Out, Mask!",
    attrs={
        "dropout_prob": 0.5,
        "is_test": False,
        "fix_seed": False,
        "seed": 0,
        "dropout_implementation": "downgrade_in_infer",
    },
    infer=_infer_dropout,
    bind=True,
    elementwise=True,
    random=True,
)
def dropout(ctx, x, seed, out, mask):
    """Out = X * Mask in training, where Mask is 0 with probability dropout_prob.

    `upscale_in_train` divides that by 1 - dropout_prob and leaves X as it is in inference; `downgrade_in_infer`
    multiplies by 1 - dropout_prob in inference.
    """
    xp, attrs = ctx.xp, ctx.attrs
    factor, inference_factor = _factors(attrs, x.dtype)
    if attrs["is_test"]:
        return partial(xp.multiply, x, inference_factor, out=out)
    kept = mask.view(bool)
    draw = draw_mask(ctx, kept, 1 - attrs["dropout_prob"], attrs["seed"] if attrs["fix_seed"] else 0)

    def step():
        draw()
        xp.multiply(x, kept, out=out)
        if factor != 1:
            xp.multiply(out, factor, out=out)

    return step


def draw_mask(ctx, mask, probability, seed):
    """A function that makes each element of `mask` True with a probability, which is rounded to a multiple of 2^-16.

    The random numbers of a row depend on the row's place in the whole batch alone: shards draw what one would.
    """
    limit = round(probability * _LEVELS) - 1
    if limit < 0:
        return partial(mask.fill, False)
    row = mask.shape[1:]
    size = math.prod(row)
    blocks = -(-size // _DRAWS)  # of the generator, for a row
    count = max(1, _CHUNK // (blocks * _DRAWS))
    parts = [mask[start : start + count] for start in range(0, len(mask), count)]

    def draw():
        source = ctx.generator(seed, every_step=True, skip=ctx.first * blocks).bit_generator
        for part in parts:
            draws = source.random_raw(len(part) * blocks * _WORDS).view(np.uint16).reshape(len(part), -1)
            ctx.xp.less_equal(ctx.xp.asarray(draws[:, :size]).reshape(part.shape), limit, out=part)

    return draw


# One block of the generator for each thread: it is Philox4x64-10 (Salmon et al., 2011), as NumPy has it, which counts
# before it draws.  The bits of all blocks meet in shared memory, so that neighbouring threads store neighbours.
_DROPOUT = r"""
typedef unsigned long long word;

__device__ inline unsigned bits_of_block(word number, word step, word key0, word key1, int limit) {
    word c0 = number + 1, c1 = c0 == 0, c2 = step, c3 = 0;
    for (int round = 0; round < 10; round++) {
        const word high0 = __umul64hi(0xD2E7470EE14C6C93ULL, c0), low0 = 0xD2E7470EE14C6C93ULL * c0;
        const word high1 = __umul64hi(0xCA5A826395121157ULL, c2), low1 = 0xCA5A826395121157ULL * c2;
        c0 = high1 ^ c1 ^ key0;
        c1 = low1;
        c2 = high0 ^ c3 ^ key1;
        c3 = low0;
        key0 += 0x9E3779B97F4A7C15ULL;
        key1 += 0xBB67AE8584CAA73BULL;
    }
    const word words[4] = {c0, c1, c2, c3};
    unsigned bits = 0;
    for (int draw = 0; draw < 16; draw++)
        bits |= (unsigned)((int)(words[draw / 4] >> 16 * (draw % 4) & 0xFFFF) <= limit) << draw;
    return bits;
}

extern "C" __global__ void __launch_bounds__(THREADS) dropout(
    const T *x, T *out, unsigned char *mask, const word *step, const word key0, const word key1, const int limit,
    const T factor, const word rows, const word size, const word blocks_of_row)
{
    __shared__ unsigned bits[THREADS];
    __shared__ word starts[THREADS], ends[THREADS];  // the elements that a generator's block decides on
    for (word first = (word)blockIdx.x * THREADS; first < rows * blocks_of_row; first += (word)gridDim.x * THREADS) {
        const word number = first + threadIdx.x;
        const word row = number / blocks_of_row, start = (number - row * blocks_of_row) * 16;
        starts[threadIdx.x] = row * size + start;
        ends[threadIdx.x] = row >= rows ? row * size + start : row * size + (start + 16 < size ? start + 16 : size);
        bits[threadIdx.x] = bits_of_block(number, *step, key0, key1, limit);
        __syncthreads();
        for (int draw = threadIdx.x; draw < THREADS * 16; draw += THREADS) {
            const word at = starts[draw / 16] + draw % 16;
            if (at < ends[draw / 16]) {
                const unsigned kept = bits[draw / 16] >> draw % 16 & 1;
                mask[at] = kept;
                out[at] = x[at] * T(kept) * factor;
            }
        }
        __syncthreads();
    }
}
"""


@dropout.form("cuda")
def dropout_cuda(ctx, x, seed, out, mask):
    attrs = ctx.attrs
    limit = round((1 - attrs["dropout_prob"]) * _LEVELS) - 1
    arrays = (x, out, mask)
    if attrs["is_test"] or x.ndim == 0 or not all(array.flags.c_contiguous for array in arrays):
        return None
    if x.size == 0 or x.dtype.kind != "f" or type_name(x.dtype) is None:
        return None
    size = math.prod(x.shape[1:])
    blocks = -(-size // _DRAWS)
    key = ctx.random_key(attrs["seed"] if attrs["fix_seed"] else 0)
    factor, _ = _factors(attrs, x.dtype)
    numbers = (ctx.random_step(), *key, np.int32(limit), factor, *map(np.uint64, (len(x), size, blocks)))
    count = blocks_for(len(x) * blocks)
    return launch(ctx, _DROPOUT, "dropout", count, THREADS, *arrays, *numbers, T=x.dtype, THREADS=THREADS)


def _slope_of_dropout(attrs, specs):
    factor, inference_factor = _factors(attrs, specs["dOut"][0].dtype)
    kept, factor = ("", inference_factor) if attrs["is_test"] else (" * T(Mask)", factor)
    return {"dX": f"dOut{kept}" if factor == 1 else f"dOut{kept} * {float(factor)!r}"}


@dropout.gradient("Mask", elementwise=True, bind=True, formula=_slope_of_dropout)
def dropout_grad(ctx, mask, dout, dx):
    xp = ctx.xp
    factor, inference_factor = _factors(ctx.attrs, dx.dtype)
    if ctx.attrs["is_test"]:
        return partial(xp.multiply, dout, inference_factor, out=dx)
    kept = mask.view(bool)

    def step():
        xp.multiply(dout, kept, out=dx)
        if factor != 1:
            xp.multiply(dx, factor, out=dx)

    return step
