"""Convolution of images in CUDA C: products of the filter with a matrix that is gathered while it is multiplied.

The matrix of the unrolled image never exists: a block of threads gathers a tile of it into shared memory, multiplies
it with a tile of the filter, and goes on to the next one.  Where an element of a window lies, relative to the first
one, is read from a table with one line for each row of the matrix, so that strides and dilations cost nothing.

The gradient of the input is such a convolution of the output gradient, too: one for every residue (a "phase") of the
rows and columns modulo the strides, with the taps that reach them; all of them are one launch.  The gradient of the
filter multiplies the output gradient with the same matrix.  It sums over all pixels of the batch, which many blocks
share; a second kernel adds up their sums in a fixed order, so that every run gives the same bits.
"""

from typing import NamedTuple

import numpy as np

from ..arrays.strides import in_sequence
from .conv_parts import sum_parts
from .costs import LATENCY, LAUNCH, MULTIPLICATIONS, PROCESSORS, REGISTERS, START, THREADS_AT_ONCE
from .index import DIVISION, dense, divisor, ints, strides_of
from .launch import launch

_TILES = r"""
// A tile is BM rows of the filter by BN pixels, BK products deep; a team of threads computes it, TM x TN elements each.
// SLICES teams share out the depth where there are few tiles.
enum {
    TX = BN / TN, TY = BM / TM, TEAM = TX * TY, ALL = TEAM * SLICES,
    V = (16 / sizeof(T)) < TM ? 16 / sizeof(T) : TM,  // elements that one instruction reads from shared memory
    AROW = BM + V,  // the surplus puts the elements that threads write together into different banks
    HALF = BK * (AROW + BN), TILES = SLICES * 2 * HALF, SHARED = SLICES > 1 && BM * BN > TILES ? BM * BN : TILES,
    LA = BM * BK / TEAM, LB = BN * BK / TEAM
};

__device__ __forceinline__ int row_of(int i, int ty) { return (i / V) * (TY * V) + ty * V + i % V; }
__device__ __forceinline__ int column_of(int j, int tx) { return (j / V) * (TX * V) + tx * V + j % V; }

__device__ __forceinline__ void multiply(const T* a, const T* b, T (&sum)[TM][TN], int ty, int tx)
{
    #pragma unroll
    for (int k = 0; k < BK; ++k) {
        T left[TM], right[TN];
        #pragma unroll
        for (int i = 0; i < TM; ++i) left[i] = a[k * AROW + row_of(i, ty)];
        #pragma unroll
        for (int j = 0; j < TN; ++j) right[j] = b[k * BN + column_of(j, tx)];
        #pragma unroll
        for (int i = 0; i < TM; ++i)
            #pragma unroll
            for (int j = 0; j < TN; ++j) sum[i][j] += left[i] * right[j];
    }
}

// Adds the sums of all slices to those of the first, always in the same order.
__device__ __forceinline__ void gather_slices(T* memory, T (&sum)[TM][TN], int slice, int ty, int tx)
{
    #pragma unroll 1
    for (int other = 1; other < SLICES; ++other) {
        __syncthreads();
        if (slice == other)
            for (int i = 0; i < TM; ++i)
                for (int j = 0; j < TN; ++j) memory[row_of(i, ty) * BN + column_of(j, tx)] = sum[i][j];
        __syncthreads();
        if (slice == 0)
            for (int i = 0; i < TM; ++i)
                for (int j = 0; j < TN; ++j) sum[i][j] += memory[row_of(i, ty) * BN + column_of(j, tx)];
    }
}
"""

# Adds up the products of all tiles, reading the next one while it multiplies; the first team gets the sums.
_PRODUCT = r"""    load(0);
    store(0);
    __syncthreads();
    for (int tile = 0; tile < tiles; ++tile) {
        const T* a = mine + (tile & 1) * HALF;
        if (tile + 1 < tiles) load(tile + 1);
        multiply(a, a + BK * AROW, sum, ty, tx);
        if (tile + 1 < tiles) store((tile + 1) & 1);
        __syncthreads();
    }
    gather_slices(memory, sum, slice, ty, tx);
    if (slice) return;
"""

_CONVOLVE = (
    r"""
// out[n, g*rows + m, p] = sum over k of filter[g, m, k] * image[n, window of p, tap k] (+ bias)
extern "C" __global__ void __launch_bounds__(ALL) convolve(
    const T* __restrict__ filter, const T* __restrict__ image, const T* __restrict__ bias, T* __restrict__ out,
    const int4* __restrict__ taps, const int* __restrict__ phases, int groups, int batch, int rows,
    int filter_row, int filter_group, int channels, int height, int width, int xn, int xc, int xh, int xw,
    int step_h, int step_w, int top, int left, int on, int oc, int oh, int ow, int out_step_h, int out_step_w)
{
    __shared__ __align__(16) T memory[SHARED];
    __shared__ int places[BN];
    const int slice = threadIdx.x / TEAM, me = threadIdx.x % TEAM, ty = me / TX, tx = me % TX;
    const int group = blockIdx.z % groups;
    const int* phase = phases + 6 * (blockIdx.z / groups);
    const int pixel_rows = phase[0], pixel_columns = phase[1], first_tap = phase[2], depth = phase[3];
    const int area = pixel_rows * pixel_columns, pixels = batch * area;
    const int first_pixel = blockIdx.x * BN, first_row = blockIdx.y * BM;
    if (first_pixel >= pixels) return;
    filter += (long long)group * filter_group;
    image += (long long)group * channels * xc;
    taps += first_tap;

    // Where the window of the pixel begins whose column this thread gathers.
    const int column = me % BN, pixel = first_pixel + column;
    int h = -(1 << 29), w = 0, origin = 0;
    int place = -1;
    if (pixel < pixels) {
        const int n = pixel / area, q = pixel - n * area, a = q / pixel_columns, b = q - a * pixel_columns;
        h = a * step_h - top;
        w = b * step_w - left;
        origin = n * xn + h * xh + w * xw;
        place = n * on + group * rows * oc + (a * out_step_h + phase[4]) * oh + (b * out_step_w + phase[5]) * ow;
    }
    if (threadIdx.x < BN) places[column] = place;

    T* mine = memory + slice * 2 * HALF;
    T from_filter[LA], from_image[LB];
    T sum[TM][TN] = {};
    const int tiles = (depth + BK * SLICES - 1) / (BK * SLICES);

    auto load = [&](int tile) {
        const int start = (tile * SLICES + slice) * BK;
        const int ka = start + me % BK;
        const int along = ka < depth ? taps[ka].w : -1;
        #pragma unroll
        for (int i = 0; i < LA; ++i) {
            const int m = first_row + me / BK + i * (TEAM / BK);
            from_filter[i] = along >= 0 && m < rows ? filter[m * filter_row + along] : T(0);
        }
        #pragma unroll
        for (int i = 0; i < LB; ++i) {
            const int k = start + me / BN + i * (TEAM / BN);
            T value = 0;
            if (k < depth) {
                const int4 tap = taps[k];
                if ((unsigned)(h + tap.y) < (unsigned)height && (unsigned)(w + tap.z) < (unsigned)width)
                    value = image[origin + tap.x];
            }
            from_image[i] = value;
        }
    };
    auto store = [&](int half) {
        T* a = mine + half * HALF;
        T* b = a + BK * AROW;
        #pragma unroll
        for (int i = 0; i < LA; ++i) a[(me % BK) * AROW + me / BK + i * (TEAM / BK)] = from_filter[i];
        #pragma unroll
        for (int i = 0; i < LB; ++i) b[(me / BN + i * (TEAM / BN)) * BN + column] = from_image[i];
    };

"""
    + _PRODUCT
    + r"""
    #pragma unroll
    for (int i = 0; i < TM; ++i) {
        const int m = first_row + row_of(i, ty);
        if (m >= rows) continue;
        const T offset = BIAS ? bias[group * rows + m] : T(0);
        #pragma unroll
        for (int j = 0; j < TN; ++j) {
            const int to = places[column_of(j, tx)];
            if (to >= 0) out[to + m * oc] = sum[i][j] + offset;
        }
    }
}
"""
)

_FILTER_GRADIENT = (
    r"""
// parts[split, g*rows + m, column] = sum over the split's pixels p of dout[p, m] * image[window of p, tap of column];
// with ONES there is a last column of ones, the gradient of the bias.  Without parts there is one split.
extern "C" __global__ void __launch_bounds__(ALL) filter_gradient(
    const T* __restrict__ image, const T* __restrict__ dout, T* __restrict__ result, T* __restrict__ dbias,
    const int4* __restrict__ taps, int groups, int pixels, int split, int rows, int columns,
    int area, unsigned area_magic, unsigned area_shift, int out_width, unsigned width_magic, unsigned width_shift,
    int channels, int height, int width, int xn, int xc, int xh, int xw,
    int step_h, int step_w, int top, int left, int on, int oc, int oh, int ow)
{
    __shared__ __align__(16) T memory[SHARED];
    const int slice = threadIdx.x / TEAM, me = threadIdx.x % TEAM, ty = me / TX, tx = me % TX;
    const int group = blockIdx.z % groups, part = blockIdx.z / groups;
    const int first_column = blockIdx.x * BN, first_row = blockIdx.y * BM;
    const int first = part * split, last = min(pixels, first + split);
    image += (long long)group * channels * xc;
    dout += (long long)group * rows * oc;

    int offset[LB], down[LB], right[LB];
    #pragma unroll
    for (int i = 0; i < LB; ++i) {
        const int column = first_column + me / BK + i * (TEAM / BK);
        offset[i] = 0;
        right[i] = 0;
        down[i] = ONES && column == columns ? 1 << 30 : 1 << 29;
        if (column < columns) {
            const int4 tap = taps[column];
            offset[i] = tap.x;
            down[i] = tap.y;
            right[i] = tap.z;
        }
    }

    T* mine = memory + slice * 2 * HALF;
    T from_dout[LA], from_image[LB];
    T sum[TM][TN] = {};
    const int tiles = (last - first + BK * SLICES - 1) / (BK * SLICES);

    auto load = [&](int tile) {
        const int p = first + (tile * SLICES + slice) * BK + me % BK;
        int h = 1 << 29, w = 0, origin = 0, from = 0;
        if (p < last) {
            const int n = over(p, area_magic, area_shift), q = p - n * area;
            const int a = over(q, width_magic, width_shift), b = q - a * out_width;
            h = a * step_h - top;
            w = b * step_w - left;
            origin = n * xn + h * xh + w * xw;
            from = n * on + a * oh + b * ow;
        }
        #pragma unroll
        for (int i = 0; i < LA; ++i) {
            const int m = first_row + me / BK + i * (TEAM / BK);
            from_dout[i] = p < last && m < rows ? dout[from + m * oc] : T(0);
        }
        #pragma unroll
        for (int i = 0; i < LB; ++i) {
            T value = 0;
            if ((unsigned)(h + down[i]) < (unsigned)height && (unsigned)(w + right[i]) < (unsigned)width)
                value = image[origin + offset[i]];
            if (ONES && down[i] == 1 << 30 && p < last) value = 1;
            from_image[i] = value;
        }
    };
    auto store = [&](int half) {
        T* a = mine + half * HALF;
        T* b = a + BK * AROW;
        #pragma unroll
        for (int i = 0; i < LA; ++i) a[(me % BK) * AROW + me / BK + i * (TEAM / BK)] = from_dout[i];
        #pragma unroll
        for (int i = 0; i < LB; ++i) b[(me % BK) * BN + me / BK + i * (TEAM / BK)] = from_image[i];
    };

"""
    + _PRODUCT
    + r"""
    const int all = columns + ONES;
    #pragma unroll
    for (int i = 0; i < TM; ++i) {
        const int m = first_row + row_of(i, ty);
        if (m >= rows) continue;
        #pragma unroll
        for (int j = 0; j < TN; ++j) {
            const int column = first_column + column_of(j, tx);
            if (column >= all) continue;
            const int row = group * rows + m;
            if (PARTS)
                result[((long long)part * groups * rows + row) * all + column] = sum[i][j];
            else if (column < columns)
                result[(long long)row * columns + column] = sum[i][j];
            else
                dbias[row] = sum[i][j];
        }
    }
}
"""
)

# Bytes of the partial sums of a filter's gradient.
_MOST_PARTS = 1 << 26


class Tile(NamedTuple):
    """How a product is cut: rows and columns of a tile, those of one thread, depth, and teams that share the depth."""

    rows: int
    columns: int
    high: int
    wide: int
    depth: int
    slices: int = 1

    @property
    def threads(self):
        return self.rows // self.high * (self.columns // self.wide) * self.slices

    def macros(self):
        """What the source is compiled with."""
        return dict(BM=self.rows, BN=self.columns, TM=self.high, TN=self.wide, BK=self.depth, SLICES=self.slices)

    def blocks(self, rows, columns):
        """The blocks that cover a matrix: along its columns, and along its rows."""
        return -(-columns // self.columns), -(-rows // self.rows)

    def cycles(self, rows, columns, depth, copies):
        """About how many cycles so many products of (rows, depth) by (depth, columns) take."""
        across, down = self.blocks(rows, columns)
        of_processor = -(-across * down * copies // PROCESSORS)
        elements = self.high * self.wide
        resident = min(THREADS_AT_ONCE // self.threads, REGISTERS // (self.threads * (40 + elements + elements // 4)))
        iterations = -(-depth // (self.depth * self.slices))
        # Not every cycle can multiply: shared memory must deliver the factors.
        share = 0.55 if elements >= 64 else 0.45 if elements >= 32 else 0.35
        products = of_processor * iterations * self.rows * self.columns * self.depth * self.slices
        waiting = -(-of_processor // max(resident, 1)) * iterations * LATENCY
        return max(products / (MULTIPLICATIONS * share), waiting) + 300 * self.slices


_SMALL = [Tile(32, 32, 4, 4, 8, slices) for slices in (1, 4)] + [Tile(32, 64, 4, 4, 8, slices) for slices in (1, 2, 4)]
_MIDDLE = [Tile(64, 64, 4, 4, 16, slices) for slices in (1, 2)]
_LARGE = [Tile(32, 128, 4, 8, 8), Tile(64, 128, 8, 8, 8), Tile(128, 64, 8, 8, 8), Tile(128, 128, 8, 8, 8)]
# Larger sums of doubles have no room in registers.
TILES = {"float32": (*_SMALL, *_MIDDLE, *_LARGE), "float64": (*_SMALL[:-1], _MIDDLE[0])}


def _residues(size, taps, stride, dilation, before):
    """For the elements first, first + stride, ... of an input: (first, how many, [(tap, its offset in the output)])."""
    for first in range(min(stride, size)):
        reached = first + before
        found = [(tap, (reached - dilation * tap) // stride) for tap in range(taps)]
        found = [(tap, offset) for tap, offset in found if offset * stride == reached - dilation * tap]
        yield first, -(-(size - first) // stride), found


def window_taps(g, strides):
    """The table of a convolution: for each row of the unrolled image its offset, in all, along H and W, and its weight.

    Args:
        g: ConvGeometry.
        strides: of the image, in elements.
    """
    c, r, s = (axis.ravel() for axis in np.indices((g.group_channels, g.kh, g.kw)))
    h, w = r * g.dilation_h, s * g.dilation_w
    return np.stack([c * strides[1] + h * strides[2] + w * strides[3], h, w, np.arange(c.size)], 1).astype(np.int32)


def _phase_taps(g, strides):
    """The tables of all phases of the input's gradient, one after another, and the phases.

    Each phase is (rows, columns, its first tap, its taps, first row, first column).
    """
    tables, phases, count = [], [], 0
    by_column = list(_residues(g.width, g.kw, g.stride_w, g.dilation_w, g.pad_w[0]))
    for top, rows, down in _residues(g.height, g.kh, g.stride_h, g.dilation_h, g.pad_h[0]):
        for left, columns, across in by_column:
            r, h = np.array(down, np.int64).reshape(-1, 2).T
            s, w = np.array(across, np.int64).reshape(-1, 2).T
            f, r, h, s, w = (
                axis.ravel()
                for axis in np.broadcast_arrays(
                    np.arange(g.group_filters)[:, None, None], r[:, None], h[:, None], s[None], w[None]
                )
            )
            weight = f * (g.group_channels * g.kh * g.kw) + r * g.kw + s
            tables.append(np.stack([f * strides[1] + h * strides[2] + w * strides[3], h, w, weight], 1))
            phases.append((rows, columns, count, f.size, top, left))
            count += f.size
    tables.append(np.zeros((1, 4), np.int64))
    return np.concatenate(tables).astype(np.int32), np.array(phases, np.int32)


def _best(tiles, rows, columns, depth, copies):
    return min(tiles, key=lambda tile: tile.cycles(rows, columns, depth, copies))


class Implicit:
    """Products with tiles of the unrolled image that are gathered on the way: the algorithm for every shape."""

    def applies(self, g, direction, *images):
        """Whether the algorithm takes these images: it takes all."""
        return True

    def cycles(self, g, dtype, direction, tf32):
        """About how many cycles a direction ("forward", "input_gradient", "filter_gradient") takes."""
        tiles = TILES[np.dtype(dtype).name]
        taps, area = g.group_channels * g.kh * g.kw, g.batch * g.out_h * g.out_w
        if direction == "forward":
            size = g.group_filters, area, taps, g.groups
        elif direction == "input_gradient":
            phases = g.stride_h * g.stride_w
            depth = -(-g.group_filters * g.kh * g.kw // phases)
            size = g.group_channels, -(-g.batch * g.height * g.width // phases), depth, g.groups * phases
        else:
            return START + _best_split(tiles, g, dtype, 0)[0]
        return START + _best(tiles, *size).cycles(*size)

    def forward(self, ctx, g, x, w, bias, out, tile=None):
        """The step that computes the convolution of x with w."""
        taps = window_taps(g, strides_of(x))
        phases = np.array([(g.out_h, g.out_w, 0, len(taps), 0, 0)], np.int32)
        moves = (g.stride_h, g.stride_w, g.pad_h[0], g.pad_w[0]), (1, 1)
        size = g.group_filters, g.batch * g.out_h * g.out_w, len(taps)
        return _convolve(ctx, g, w, x, bias, out, taps, phases, len(taps), g.group_channels, *moves, size, tile)

    def input_gradient(self, ctx, g, w, dout, bias, dx, tile=None):
        """The step that computes the gradient of the input; `bias` is added to it (or None)."""
        taps, phases = _phase_taps(g, strides_of(dout))
        moves = (1, 1, 0, 0), (g.stride_h, g.stride_w)
        size = g.group_channels, g.batch * int((phases[:, 0] * phases[:, 1]).max()), int(phases[:, 3].max())
        return _convolve(ctx, g, w, dout, bias, dx, taps, phases, g.kh * g.kw, g.group_filters, *moves, size, tile)

    def filter_gradient(self, ctx, g, x, dout, dw, dbias=None, tile=None, splits=None):
        """The step that computes the gradients of the filter and (or None) of the bias."""
        ones = dbias is not None
        pixels, columns = g.batch * g.out_h * g.out_w, g.group_channels * g.kh * g.kw
        _, best, parts = _best_split(TILES[x.dtype.name], g, x.dtype, ones)
        tile, parts = tile or best, splits or parts
        split = -(-pixels // parts)
        parts = -(-pixels // split)
        target = dw if parts == 1 else ctx.scratch((parts, g.filters, columns + ones), x.dtype)
        across, down = tile.blocks(g.group_filters, columns + ones)
        area = g.out_h * g.out_w
        numbers = [
            *ints(g.groups, pixels, split, g.group_filters, columns),
            *ints(area),
            *divisor(area),
            *ints(g.out_w),
            *divisor(g.out_w),
            *ints(g.group_channels, g.height, g.width),
            *strides_of(x),
            *ints(g.stride_h, g.stride_w, g.pad_h[0], g.pad_w[0]),
            *strides_of(dout),
        ]
        taps = ctx.xp.asarray(window_taps(g, strides_of(x)))
        step = launch(
            ctx,
            DIVISION + _TILES + _FILTER_GRADIENT,
            "filter_gradient",
            (across, down, g.groups * parts),
            tile.threads,
            dense(x),
            dense(dout),
            target,
            dbias if ones and parts == 1 else None,
            taps,
            *numbers,
            T=x.dtype,
            ONES=ones,
            PARTS=parts > 1,
            **tile.macros(),
        )
        return step if parts == 1 else in_sequence([step, sum_parts(ctx, target, dw, dbias)])


def _convolve(ctx, g, w, image, bias, out, taps, phases, filter_row, channels, steps, out_steps, size, tile):
    """The launch of `convolve`; `size`: rows, pixels and depth of the product, for the largest of the phases."""
    copies = g.groups * len(phases)
    tile = tile or _best(TILES[w.dtype.name], *size, copies)
    rows, pixels, _ = size
    across, down = tile.blocks(rows, pixels)
    numbers = [
        *ints(g.groups, g.batch, rows, filter_row, g.group_filters * g.group_channels * g.kh * g.kw),
        *ints(channels, *image.shape[2:]),
        *strides_of(image),
        *ints(*steps),
        *strides_of(out),
        *ints(*out_steps),
    ]
    return launch(
        ctx,
        _TILES + _CONVOLVE,
        "convolve",
        (across, down, copies),
        tile.threads,
        w,
        dense(image),
        bias,
        dense(out),
        ctx.xp.asarray(taps),
        ctx.xp.asarray(phases),
        *numbers,
        T=w.dtype,
        BIAS=bias is not None,
        **tile.macros(),
    )


def _best_split(tiles, g, dtype, ones):
    """(cycles, Tile, parts of the pixels) for the gradient of the filter."""
    pixels, columns = g.batch * g.out_h * g.out_w, g.group_channels * g.kh * g.kw + ones
    size = g.filters * columns * np.dtype(dtype).itemsize
    found = []
    for tile in tiles:
        for parts in (1 << power for power in range(11)):
            if parts > 1 and (parts * size > _MOST_PARTS or pixels < parts * tile.depth * tile.slices):
                break
            cycles = tile.cycles(g.group_filters, columns, -(-pixels // parts), g.groups * parts)
            if parts > 1:
                # The sums are written, and read again, at about 1 KB in a cycle.
                cycles += LAUNCH + 2 * parts * size / 1000
            found.append((cycles, tile, parts))
    return min(found, key=lambda one: one[0])
