"""CUDA C kernels that work on rows: reductions, softmax and losses over classes, normalizations.

A row is all elements of an array that are reduced to one number, along whatever dimensions that is; several
threads may work on one.  A kernel's text says what is done with one row.  What it can use:

    X               the current element of the array that was passed as elements={"X": ...}; an output is assigned to
    X_AT(j)         the element number j of the row
    MEAN            the row's number in an array passed as rows={"MEAN": ...}
    EACH(...)       statements for each element of the row; `column` is its number
    row.over(v, f)  the values v of all threads of the row put together by f, the same for each
    row.complete(v, f, none)
                    likewise, where several blocks share a row: false for all of them but the last, which goes on with
                    everything; `none` changes nothing
    row.complete_all(v, f, none)
                    the values of all rows put together: false for all blocks but the last
    row.is_first    whether this is the thread that writes the row's numbers

The sums of a row are always put together in the same order.
"""

import math
from functools import partial
from typing import NamedTuple

import numpy as np

from ..arrays.strides import SUM_VARIANTS
from .launch import launch, type_name

LAST_BLOCK = r"""
// Whether all other blocks, of which there are so many, have been here before; what they have published is there then.
__device__ inline bool is_last_block(unsigned *done, unsigned blocks) {
    __shared__ bool is_last;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) is_last = atomicInc(done, blocks - 1) == blocks - 1;
    __syncthreads();
    __threadfence();
    return is_last;
}
"""

COMMON = (
    r"""
struct Plus { template <class V> __device__ V operator()(V a, V b) const { return a + b; } };
struct Times { template <class V> __device__ V operator()(V a, V b) const { return a * b; } };
// NaN if one of them is.
struct Larger { template <class V> __device__ V operator()(V a, V b) const { return a > b || a != a ? a : b; } };
struct Smaller { template <class V> __device__ V operator()(V a, V b) const { return a < b || a != a ? a : b; } };
struct Two { T a, b; };
__device__ inline Two operator+(Two x, Two y) { return {x.a + y.a, x.b + y.b}; }

// Of some numbers: how many, their mean, and the sum of the squared differences from it.
struct Moments { T count, mean, squares; };
struct Merged {
    __device__ Moments operator()(Moments a, Moments b) const {
        const T count = a.count + b.count;
        if (count == T(0)) return a;
        const T apart = b.mean - a.mean, share = b.count / count;
        return {count, a.mean + apart * share, a.squares + b.squares + apart * apart * a.count * share};
    }
};
// Given the sums of differences from any one of the numbers, and of their squares.
__device__ inline Moments moments(T count, T shift, T sum, T squares) {
    if (count == T(0)) return {T(0), T(0), T(0)};
    squares -= sum * (sum / count);
    return {count, shift + sum / count, squares < T(0) ? T(0) : squares};
}

__device__ inline void note_error(long long *error_flag, long long number, long long value) {
    if (atomicCAS((unsigned long long *)error_flag, 0ULL, (unsigned long long)number) == 0ULL) error_flag[1] = value;
}

// What the lane at a distance within the warp holds.
template <class V> __device__ V across(V value, int distance) {
    const int count = (sizeof(V) + 3) / 4;
    int words[count] = {};
    memcpy(words, &value, sizeof(V));
    for (int i = 0; i < count; i++) words[i] = __shfl_xor_sync(0xffffffffu, words[i], distance);
    memcpy(&value, words, sizeof(V));
    return value;
}

// Where threads of several warps leave what the others take.
__device__ inline void *common_memory() {
    __shared__ double memory[3 * THREADS];
    return memory;
}

template <class V, class F> __device__ V over_threads(V value, F together, int width, int step) {
    V *found = (V *)common_memory();
    const int t = threadIdx.x;
    for (int distance = width / 2; distance >= step; distance /= 2) {
        V other;
        if (distance >= 32) {
            found[t] = value;
            __syncthreads();
            other = found[t ^ distance];
            __syncthreads();
        } else
            other = across(value, distance);
        value = t & distance ? together(other, value) : together(value, other);
    }
    return value;
}

// Leaves a value where other blocks find it.
template <class V> __device__ void publish(int *parts, I place, V value) {
    const int count = (sizeof(V) + 3) / 4;
    int words[count] = {};
    memcpy(words, &value, sizeof(V));
    for (int i = 0; i < count; i++) parts[place * (I)count + i] = words[i];
}

template <class V> __device__ V published(const int *parts, I place) {
    V value;
    const int count = (sizeof(V) + 3) / 4;
    int words[count];
    // Not from the cache of this multiprocessor, where old values may lie.
    for (int i = 0; i < count; i++) words[i] = __ldcg(parts + place * (I)count + i);
    memcpy(&value, words, sizeof(V));
    return value;
}
"""
    + LAST_BLOCK
    + r"""
struct Row {
    int thread, threads;  // those of a row lie `step` threads apart
    int step;
    I number, rows;
    bool is_active, is_first;
    int *parts;
    unsigned *done;

    template <class V, class F> __device__ V over(V value, F together) const {
        return over_threads(value, together, threads * step, step);
    }

    template <class V, class F> __device__ bool complete(V &value, F together, V none) const {
        value = over(value, together);
        if (gridDim.y == 1) return true;
        if (is_first) publish(parts, blockIdx.y * rows + number, value);
        if (!is_last_block(done + blockIdx.x, gridDim.y)) return false;
        value = none;
        for (int part = thread; part < (int)gridDim.y; part += threads)
            value = together(value, published<V>(parts, part * rows + number));
        value = over(value, together);
        return true;
    }

    template <class V, class F> __device__ bool complete_all(V &value, F together, V none) const {
        if (!is_first) value = none;
        value = over_threads(value, together, THREADS, 1);
        if (gridDim.x == 1) return true;
        if (threadIdx.x == 0) publish(parts, blockIdx.x, value);
        if (!is_last_block(done, gridDim.x)) return false;
        value = none;
        for (int part = threadIdx.x; part < (int)gridDim.x; part += THREADS)
            value = together(value, published<V>(parts, part));
        value = over_threads(value, together, THREADS, 1);
        return true;
    }
};
"""
)

# Makes the Moments that a thread has `found` of the elements X, each of which is read once.
MEASURE = """
    T shift = 0, sum = 0, squares = 0;
    I count = 0;
    EACH(if (column == first) shift = X; const T apart = X - shift; sum += apart; squares += apart * apart; count += 1)
    Moments found = moments(T(count), shift, sum, squares);
"""

_KERNEL = r"""
#define EACH(...) { \
    I outer = first / inner, place = first - outer * inner; \
    _Pragma("unroll 4") for (I column = first; column < last; column += row.threads) { \
        OFFSETS \
        __VA_ARGS__; \
        outer += outer_step; \
        place += place_step; \
        if (place >= inner) { place -= inner; outer += 1; } \
    } }
extern "C" __global__ void __launch_bounds__(THREADS) NAME(PARAMETERS)
{
    Row row;
    const int t = threadIdx.x;
    // Neighbouring threads work on neighbouring elements, of one row or of several.
    row.threads = 1 << per_row_shift;
    row.step = rows_together ? 1 << rows_shift : 1;
    row.thread = rows_together ? t >> rows_shift : t & (row.threads - 1);
    const int nth = rows_together ? t & ((1 << rows_shift) - 1) : t >> per_row_shift;
    const I number = ((I)blockIdx.x << rows_shift) + nth;
    row.is_active = number < rows;
    row.is_first = row.is_active && row.thread == 0;
    row.number = row.is_active ? number : rows - 1;
    row.rows = rows;
    row.parts = PARTS;
    row.done = DONE;
    const I kept_outer = row.number / kept_inner, kept_place = row.number - kept_outer * kept_inner;
    const I first = blockIdx.y * share + row.thread;
    const I end = share * (blockIdx.y + 1), last = !row.is_active ? first : end < columns ? end : columns;
    const I outer_step = row.threads / inner, place_step = row.threads - outer_step * inner;
    BASES
    CODE
}
"""

# Threads of a block, and where rows are so long, and so few, that more are of use.
_THREADS, _MANY = 256, 1024
_LONG = 4096
# Blocks that keep a card busy, into how many a kernel is cut, and for how many elements of a thread that is worth it.
_BUSY, _CUT, _WORTH = 1024, 4096, 8
_MOST_PARTS = 1024
# Positions up to here fit into 32 bits, with room for the last step over the end.
_TOP = (1 << 31) - (1 << 20)


def work_on_rows(
    ctx,
    name,
    code,
    shape,
    axes,
    elements,
    rows=(),
    arrays=(),
    numbers=(),
    writes="",
    per_row=None,
    parts=0,
    in_all=0,
    type=None,
    before="",
):
    """A function that runs a kernel on all rows of arrays.

    Args:
        ctx: the operator's context.
        name (str): of the kernel, as profilers show it.
        code (str): what it does with a row.
        shape: that the arrays broadcast to.
        axes: the dimensions along which the rows lie.
        elements: name -> array that broadcasts to `shape`; the order in which the first lies in memory decides on that
            of the work.
        rows: name -> array of numbers, one for each row, of size 1 along the axes; of several numbers for each row the
            name stands for the first.
        arrays: name -> array of which the code gets the address.
        numbers: name -> number; one of Python's that is a float becomes a T.
        writes (str): names of the arrays that the code assigns to.
        per_row (int): threads for each row; None for as many as are of use.
        parts (int): bytes of what `row.complete` puts together, in code where several blocks may share a row; -1 where
            they may, and put nothing together.
        in_all (int): bytes of what `row.complete_all` puts together.
        type: the data type T; None for that of the first element array.
        before (str): functions that the code uses.
    Returns:
        a function without arguments; None where the general kernel must serve: for arrays without elements, for data
        types that CUDA C has not, and for strides that do not reduce to two dimensions along rows and two across.
    """
    elements, rows, arrays = dict(elements), dict(rows), dict(arrays)
    type = np.dtype(type or next(iter(elements.values())).dtype)
    everything = {**elements, **rows, **arrays}
    if math.prod(shape) == 0 or None in [type_name(array.dtype) for array in everything.values()]:
        return None
    layout = _layout(shape, axes, elements, rows)
    if layout is None:
        return None
    count, columns = (dims[0][0] * dims[1][0] for dims in layout)
    grid = _grid(count, columns, *(_step(dims) for dims in layout), per_row, parts)
    writes = writes.split()
    text = _Text(writes, _overlap(ctx.xp, everything, writes), _integer(count, columns, layout))
    for key, array in everything.items():
        text.array(key, array)
    for key, value in dict(numbers).items():
        text.number(key, type.type(value) if value.__class__ is float else value)
    for key in (*elements, *rows):
        text.strides(key, [steps[key] for dims in layout for _, steps in dims], key in elements)
    (_, (kept_inner, _)), (_, (inner, _)) = layout
    sizes = {"rows": count, "kept_inner": kept_inner, "columns": columns, "inner": inner, "share": grid.share}
    for key, value in sizes.items():
        text.number(key, text.integer(value))
    for key in ("per_row_shift", "rows_shift", "rows_together"):
        text.number(key, np.int32(getattr(grid, key)))
    size = grid.shares * count * parts if grid.shares > 1 else grid.blocks * in_all
    if size > 0 and max(grid.shares, grid.blocks) > 1:
        text.pointer("parts", ctx.scratch((-(-size // 4),), np.int32))
        # The counters come back to 0 by themselves.
        text.pointer("done", ctx.xp.zeros(grid.blocks, np.int32))
    source = text.source(name + "_rows", code, type, grid.threads, before)  # C has functions like isnan
    return launch(ctx, source, name + "_rows", (grid.blocks, grid.shares), grid.threads, *text.given)


def _layout(shape, axes, elements, rows):
    """How arrays lie: two dimensions across rows and two along them, the slower ones first.

    Returns:
        two pairs of (size, name -> stride in elements); None where there are more dimensions.
    """
    strides = {key: _strides(array, shape) for key, array in {**elements, **rows}.items()}
    if None in strides.values():
        return None
    for key in rows:
        strides[key] = [0 if axis in axes else stride for axis, stride in enumerate(strides[key])]
    order = next(iter(strides.values()))
    across = [axis for axis in range(len(shape)) if axis not in axes]
    found = [_merged(one, shape, strides, order) for one in (across, axes)]
    if max(map(len, found)) > 2:
        return None
    return [[(1, dict.fromkeys(strides, 0))] * (2 - len(dims)) + dims for dims in found]


def _strides(array, shape):
    """The strides in elements of an array that broadcasts to `shape`; None where they are no whole numbers of them."""
    item = array.dtype.itemsize
    if any(stride % item for stride in array.strides):
        return None
    own = [0 if size == 1 else step // item for size, step in zip(array.shape, array.strides, strict=True)]
    return [0] * (len(shape) - array.ndim) + own


def _merged(axes, shape, strides, order):
    """Dimensions as few as possible, the slowest first: a list of (size, name of the array -> stride)."""
    found = []
    for axis in sorted((axis for axis in axes if shape[axis] > 1), key=lambda axis: -order[axis]):
        size, steps = shape[axis], {key: one[axis] for key, one in strides.items()}
        if found and all(found[-1][1][key] == steps[key] * size for key in steps):
            found[-1] = found[-1][0] * size, steps
        else:
            found.append((size, steps))
    return found


def _step(dims):
    """How far apart neighbours lie in the first array."""
    size, steps = dims[1]
    step = abs(next(iter(steps.values())))
    return step if size > 1 and step else math.inf


def _integer(count, columns, layout):
    """The type of positions: 32 bits where that is enough."""
    names = layout[0][0][1]
    reach = max(sum((size - 1) * abs(steps[key]) for dims in layout for size, steps in dims) for key in names)
    return np.int64 if max(reach, count, 2 * columns) >= _TOP else np.int32


class _Grid(NamedTuple):
    """Who works on what.

    Attributes:
        threads: of a block.
        blocks: beside each other, each of which has 2^rows_shift rows with 2^per_row_shift threads for each.
        shares: so many blocks share each row.
        share: how many elements of a row a block takes.
        rows_together: whether neighbouring threads work on neighbouring rows, and not on one.
    """

    threads: int
    blocks: int
    shares: int
    share: int
    per_row_shift: int
    rows_shift: int
    rows_together: bool


def _grid(count, columns, across, along, per_row, parts):
    together = across < along
    threads = _MANY if columns >= _LONG and count < _BUSY // 2 and not parts and per_row is None else _THREADS
    if per_row is None:
        # Few where there are many rows, as many as are of use where there are not.
        most = min(threads // min(32, _power(count)) if together else threads, _power(columns))
        few = _power(-(-columns // (64 if together else 4)))
        busy = _power(-(-_BUSY * threads // count))
        per_row = min(most, max(few, busy))
    in_block = threads // per_row
    blocks = -(-count // in_block)
    shares = 1
    if parts and blocks < _BUSY:
        shares = max(1, min(_CUT // blocks, columns // (per_row * _WORTH), _MOST_PARTS))
    share = -(-columns // shares)
    return _Grid(threads, blocks, -(-columns // share), share, _log2(per_row), _log2(in_block), together)


def _power(number):
    """The smallest power of two that is not smaller."""
    return 1 << max(0, number - 1).bit_length()


def _log2(power):
    return power.bit_length() - 1


class _Text:
    """The text of a kernel, and what it is launched with.

    Attributes:
        given: the arguments.
        integer: the type of positions.
    """

    def __init__(self, writes, overlap, integer):
        self.given, self.integer = [], integer
        self._writes, self._apart = writes, "" if overlap else "__restrict__ "
        self._parameters, self._bases, self._offsets, self._names = [], [], [], []
        self._known = {}  # strides -> the variable that holds such an offset
        self._shares = False

    def pointer(self, name, array, const=""):
        self._parameters.append(f"{const}{type_name(array.dtype)} *{self._apart}{name}")
        self.given.append(array)
        self._shares = self._shares or name == "done"

    def array(self, name, array):
        self.pointer(name + "_", array, "" if name in self._writes else "const ")
        self._names.append(f"#define {name} {name}_")

    def number(self, name, value):
        value = np.int64(value) if isinstance(value, int) else value
        self._parameters.append(f"const {type_name(value.dtype)} {name}")
        self.given.append(value)

    def strides(self, name, steps, is_element):
        """Let a name stand for the element or the number at hand."""
        key = tuple(steps), is_element
        at = self._known.get(key)
        if at is None:
            at = self._known[key] = f"at{len(self._known)}"
            letters = "abcd" if is_element else "ab"
            for letter, step in zip(letters, steps, strict=False):
                self.number(f"{at}_{letter}", self.integer(step))
            base = f"kept_outer * {at}_a + kept_place * {at}_b"
            self._bases.append(f"const I {at}{'_base' * is_element} = {base};")
            if is_element:
                self._offsets.append(f"const I {at} = {at}_base + outer * {at}_c + place * {at}_d;")
        self._names.remove(f"#define {name} {name}_")
        self._names.append(f"#define {name} {name}_[{at}]")
        if is_element:
            place = f"{at}_base + ((I)(j) / inner) * {at}_c + ((I)(j) % inner) * {at}_d"
            self._names.append(f"#define {name}_AT(j) {name}_[{place}]")

    def source(self, name, code, type, threads, before):
        head = [
            f"typedef {type_name(type)} T;",
            f"typedef {type_name(self.integer)} I;",
            f"#define THREADS {threads}",
            f"#define LOWEST {_extreme(type, -1)}",
            f"#define HIGHEST {_extreme(type, 1)}",
        ]
        kernel = _KERNEL
        for mark, text in {
            "NAME": name,
            "PARAMETERS": ", ".join(self._parameters),
            "OFFSETS": " ".join(self._offsets),
            "BASES": " ".join(self._bases),
            "PARTS": "parts" if self._shares else "nullptr",
            "DONE": "(unsigned *)done" if self._shares else "nullptr",
            "CODE": code.strip("\n"),
        }.items():
            kernel = kernel.replace(mark, text)
        return "\n".join([*head, COMMON, before, *self._names, kernel])


def _overlap(xp, arrays, written):
    """Whether an array that is written shares memory with another one."""
    return any(
        xp.may_share_memory(arrays[one], array)
        for one in arrays.keys() & written
        for key, array in arrays.items()
        if key != one
    )


def put_together(ctx, source, target, name, term="X", together="Plus", none="0", result="found", type=None, **numbers):
    """A function that puts the terms of `source` together, in `target`, which has size 1 in the reduced dimensions.

    Args:
        ctx: the operator's context.
        name (str): of the kernel.
        term (str): what is put together, for an element X.
        together (str): how, see COMMON.
        none (str): what there is before the first term.
        result (str): what becomes of what is `found`.
        type: the data type of the terms; None for that of `target`.
        numbers: that `term` and `result` mention.
    Returns:
        a function without arguments; None where a general kernel must serve.
    """
    type = np.dtype(type or target.dtype)
    axes = [axis for axis, (n, m) in enumerate(zip(source.shape, target.shape, strict=True)) if n != m]
    code = f"""
    T found = {none};
    EACH(found = {together}()(found, T({term})))
    if (!row.complete(found, {together}(), T({none}))) return;
    if (row.is_first) OUT = {result};
    """
    return work_on_rows(
        ctx,
        name,
        code,
        source.shape,
        axes,
        {"X": source},
        {"OUT": target},
        numbers=numbers,
        writes="OUT",
        parts=type.itemsize,
        type=type,
    )


SUM_VARIANTS["cuda"] = partial(put_together, name="sum_into")


def _extreme(dtype, sign):
    """In C: the largest number of a type, or with the sign -1 the smallest one."""
    if dtype.kind == "f":
        return f"({sign}.0f / 0.0f)"
    if dtype.kind not in "iu":
        return "0" if sign < 0 else "1"
    info = np.iinfo(dtype)
    return f"(-{info.max}LL - 1)" if sign < 0 and dtype.kind == "i" else f"{info.max if sign > 0 else 0}ULL"
