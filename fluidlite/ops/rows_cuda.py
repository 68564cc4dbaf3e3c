"""CUDA C kernels that work on rows: reductions, softmax and losses over classes, normalizations.

A row is all elements of an array that are reduced to one number, along whatever dimensions that is; the threads that
work on one are its lanes.  A kernel's text says what is done with one row.  What it can use:

    X               the current element of the array that was passed as elements={"X": ...}; an output is assigned to
    X_AT(j)         the element number j of the row
    MEAN            the row's number in an array passed as rows={"MEAN": ...}
    EACH(...)       statements for each element of the row; `column` is its number
    row.over(v, f)  the values v of all lanes put together by f, the same for each
    row.complete(v, f, none)
                    likewise, where several blocks share a row: false for all of them but the last, which goes on with
                    everything; `none` changes nothing
    row.is_first    whether this is the lane that writes the row's numbers

The sums of a row are always put together in the same order.
"""

import math

import numpy as np

from .cuda import launch, type_name

COMMON = r"""
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

__device__ inline void note_flaw(long long *flaw, long long number, long long value) {
    if (atomicCAS((unsigned long long *)flaw, 0ULL, (unsigned long long)number) == 0ULL) flaw[1] = value;
}

// What the lane at a distance within the warp holds.
template <class V> __device__ V across(V value, int distance) {
    int words[sizeof(V) / 4];
    memcpy(words, &value, sizeof(V));
    for (int i = 0; i < (int)(sizeof(V) / 4); i++) words[i] = __shfl_xor_sync(0xffffffffu, words[i], distance);
    memcpy(&value, words, sizeof(V));
    return value;
}

// Where lanes of several warps leave what the others take.
__device__ inline void *common_memory() {
    __shared__ double memory[3 * THREADS];
    return memory;
}

struct Row {
    int lane, lanes;  // lanes of a row lie `step` threads apart
    int step;
    I number, rows;
    bool is_active, is_first;
    int *parts;
    unsigned *done;

    template <class V, class F> __device__ V over(V value, F together) const {
        V *found = (V *)common_memory();
        const int t = threadIdx.x;
        for (int distance = lanes * step / 2; distance >= step; distance /= 2) {
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

    template <class V, class F> __device__ bool complete(V &value, F together, V none) const {
        value = over(value, together);
        if (gridDim.y == 1) return true;
        const int size = sizeof(V) / 4;
        int words[size];
        if (is_first) {
            memcpy(words, &value, sizeof(V));
            for (int i = 0; i < size; i++) parts[(blockIdx.y * rows + number) * size + i] = words[i];
        }
        __threadfence();
        __shared__ bool is_last;
        __syncthreads();
        if (threadIdx.x == 0) is_last = atomicInc(done + blockIdx.x, gridDim.y - 1) == gridDim.y - 1;
        __syncthreads();
        if (!is_last) return false;
        __threadfence();
        value = none;
        for (int part = lane; part < (int)gridDim.y; part += lanes) {
            // Not from the cache of this multiprocessor, where old values may lie.
            for (int i = 0; i < size; i++) words[i] = __ldcg(parts + (part * rows + number) * size + i);
            V other;
            memcpy(&other, words, sizeof(V));
            value = together(value, other);
        }
        value = over(value, together);
        return true;
    }
};
"""

# Makes the Moments that a lane has `found` of the elements X, each of which is read once.
MEASURE = """
    T shift = 0, sum = 0, squares = 0;
    I count = 0;
    EACH(if (column == first) shift = X; const T apart = X - shift; sum += apart; squares += apart * apart; count += 1)
    Moments found = moments(T(count), shift, sum, squares);
"""

_KERNEL = r"""
#define EACH(...) { \
    I outer = first / inner, place = first - outer * inner; \
    _Pragma("unroll 4") for (I column = first; column < last; column += row.lanes) { \
        OFFSETS; \
        __VA_ARGS__; \
        outer += outer_step; \
        place += place_step; \
        if (place >= inner) { place -= inner; outer += 1; } \
    } }
extern "C" __global__ void __launch_bounds__(THREADS) NAME(
    PARAMETERS
    const I rows, const I kept_inner, const I columns, const I inner, const I share,
    const int lanes_shift, const int rows_shift, const int rows_together SHARED)
{
    Row row;
    const int t = threadIdx.x;
    // Neighbouring threads work on neighbouring elements, of one row or of several.
    row.lanes = 1 << lanes_shift;
    row.step = rows_together ? 1 << rows_shift : 1;
    row.lane = rows_together ? t >> rows_shift : t & (row.lanes - 1);
    const int nth = rows_together ? t & ((1 << rows_shift) - 1) : t >> lanes_shift;
    const I number = ((I)blockIdx.x << rows_shift) + nth;
    row.is_active = number < rows;
    row.is_first = row.is_active && row.lane == 0;
    row.number = row.is_active ? number : rows - 1;
    row.rows = rows;
    row.parts = PARTS;
    row.done = DONE;
    const I kept_outer = row.number / kept_inner, kept_place = row.number - kept_outer * kept_inner;
    const I first = blockIdx.y * share + row.lane;
    const I end = share * (blockIdx.y + 1), last = !row.is_active ? first : end < columns ? end : columns;
    const I outer_step = row.lanes / inner, place_step = row.lanes - outer_step * inner;
    BASES;
    CODE
}
"""

# Threads of a block, and where rows are so long, and so few, that more are of use.
_THREADS, _MANY = 256, 1024
_LONG = 4096
# Blocks that keep a card busy, and elements for a lane that are worth a block of their own.
_BUSY, _WORTH = 528, 8
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
    lanes=None,
    parts=0,
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
        elements: name -> array that broadcasts to `shape`.
        rows: name -> array of numbers, one for each row, of size 1 along the axes; of several numbers for each row the
            name stands for the first.
        arrays: name -> array of which the code gets the address.
        numbers: name -> number; one of Python's that is a float becomes a T.
        writes (str): names of the arrays that the code assigns to.
        lanes (int): threads for each row; None for as many as are of use.
        parts (int): bytes of what `row.complete` puts together, in code where several blocks may share a row; -1 where
            they may, and put nothing together.
        type: the data type T; None for that of the first element array.
        before (str): functions that the code uses.
    Returns:
        a function without arguments; None where the general kernel must serve: for arrays without elements, for data
        types that CUDA C has not, and for strides that do not reduce to two dimensions along rows and two across.
    """
    rows, arrays, numbers = dict(rows), dict(arrays), dict(numbers)
    name += "_rows"  # C has functions like isnan
    type = np.dtype(type or next(iter(elements.values())).dtype)
    everything = {**elements, **rows, **arrays}
    if math.prod(shape) == 0 or any(type_name(array.dtype) is None for array in [*everything.values()]):
        return None
    strides = {key: _strides(array, shape) for key, array in {**elements, **rows}.items()}
    if None in strides.values():
        return None
    for key in rows:
        strides[key] = [0 if axis in axes else stride for axis, stride in enumerate(strides[key])]
    order = next(iter(strides.values()))
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    kept, reduced = _merged(kept, shape, strides, order), _merged(list(axes), shape, strides, order)
    if len(kept) > 2 or len(reduced) > 2:
        return None
    kept, reduced = _two(kept, strides), _two(reduced, strides)
    count, columns = (dims[0][0] * dims[1][0] for dims in (kept, reduced))
    reach = max(
        sum((size - 1) * abs(steps[key]) for size, steps in (*kept, *reduced)) for key in strides
    )
    wide = max(reach, count, 2 * columns) >= _TOP
    integer = np.int64 if wide else np.int32

    model = next(iter(elements))
    together = _fastest(kept, model) < _fastest(reduced, model)
    threads = _MANY if columns >= _LONG and count < _BUSY and not parts and lanes is None else _THREADS
    lanes = _power(_lanes(count, columns, threads, together) if lanes is None else lanes)
    in_block = threads // lanes
    blocks = -(-count // in_block)
    shares = 1
    if parts and blocks < _BUSY:
        shares = max(1, min(-(-_BUSY // blocks), columns // (lanes * _WORTH), 1024))
    share = -(-columns // shares)
    shares = -(-columns // share)
    shared = []
    if parts > 0 and shares > 1:
        # The counters come back to 0 by themselves.
        shared = [ctx.scratch((shares * count * (-(-parts // 4)),), np.int32), ctx.xp.zeros(blocks, np.uint32)]

    parameters, bases, offsets, defines, given = [], [], [], [], []
    apart = "" if _overlap(ctx.xp, everything, writes.split()) else " __restrict__"
    for key, array in everything.items():
        const = "" if key in writes.split() else "const "
        parameters.append(f"{const}{type_name(array.dtype)} *{apart} {key}_")
        given.append(array)
    for key, value in numbers.items():
        if isinstance(value, float):
            value = type.type(value)
        elif isinstance(value, int):
            value = np.int64(value)
        parameters.append(f"const {type_name(value.dtype)} {key}")
        given.append(value)
    known = {}  # strides -> the variable that holds such an offset
    for key in strides:
        steps = tuple(dim[1][key] for dim in (*kept, *reduced))
        if key in rows:
            steps = (*steps[:2], None)
        if steps not in known:
            variable = known[steps] = f"at{len(known)}"
            parameters.append(f"const I {variable}_a, const I {variable}_b")
            given += [integer(steps[0]), integer(steps[1])]
            base = f"kept_outer * {variable}_a + kept_place * {variable}_b"
            if key in rows:
                bases.append(f"const I {variable} = {base};")
            else:
                parameters.append(f"const I {variable}_c, const I {variable}_d")
                given += [integer(steps[2]), integer(steps[3])]
                bases.append(f"const I {variable}_base = {base};")
                offsets.append(f"const I {variable} = {variable}_base + outer * {variable}_c + place * {variable}_d;")
        variable = known[steps]
        defines.append(f"#define {key} {key}_[{variable}]")
        if key in elements:
            at = f"{variable}_base + ((I)(j) / inner) * {variable}_c + ((I)(j) % inner) * {variable}_d"
            defines.append(f"#define {key}_AT(j) {key}_[{at}]")
    defines += [f"#define {key} {key}_" for key in arrays]
    head = [f"typedef {type_name(type)} T;", f"#define LOWEST {_extreme(type, -1)}", f"#define HIGHEST {_extreme(type, 1)}", f"typedef {'long long' if wide else 'int'} I;", f"#define THREADS {threads}"]
    kernel = _KERNEL.replace("NAME", name).replace("OFFSETS;", " ".join(offsets)).replace("BASES;", " ".join(bases))
    kernel = kernel.replace("PARAMETERS", "".join(f"{one}, " for one in parameters)).replace("CODE", code.strip("\n"))
    for key, text in zip(("PARTS", "DONE"), ("parts", "done") if shared else ("nullptr", "nullptr"), strict=True):
        kernel = kernel.replace(key, text)
    kernel = kernel.replace(" SHARED", ", int *parts, unsigned *done" if shared else "")
    source = "\n".join([*head, COMMON, before, *defines, kernel])
    return launch(
        ctx,
        source,
        name,
        (blocks, shares),
        threads,
        *given,
        *(integer(one) for one in (count, kept[1][0], columns, reduced[1][0], share)),
        *(np.int32(one) for one in (_log2(lanes), _log2(in_block), together)),
        *shared,
    )


def put_together(ctx, name, source, target, term="X", together="Plus", none="0", result="found", type=None, **numbers):
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


def _extreme(dtype, sign):
    """In C: the largest number of a type, or with the sign -1 the smallest one."""
    if dtype.kind == "f":
        return f"({sign}.0f / 0.0f)"
    if dtype.kind not in "iu":
        return "0" if sign < 0 else "1"
    info = np.iinfo(dtype)
    return f"(-{info.max}LL - 1)" if sign < 0 and dtype.kind == "i" else f"{info.max if sign > 0 else 0}ULL"


def _strides(array, shape):
    """The strides in elements of an array that broadcasts to `shape`; None where they are no whole numbers of them."""
    if any(stride % array.dtype.itemsize for stride in array.strides):
        return None
    missing = len(shape) - array.ndim
    own = [0 if size == 1 else stride // array.dtype.itemsize for size, stride in zip(array.shape, array.strides, strict=True)]
    return [0] * missing + own


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


def _two(dims, strides):
    """The same as exactly two dimensions."""
    return [(1, dict.fromkeys(strides, 0))] * (2 - len(dims)) + dims


def _fastest(dims, key):
    size, steps = dims[1]
    return abs(steps[key]) if size > 1 and steps[key] else math.inf


def _lanes(count, columns, threads, together):
    """How many threads a row is worth: few where there are many rows, as many as are of use where there are not."""
    most = min(threads // min(32, _power(count)) if together else threads, _power(columns))
    few = _power(-(-columns // (64 if together else 4)))
    busy = _power(-(-_BUSY * threads // count))
    return min(most, max(few, busy))


def _power(number):
    """The smallest power of two that is not smaller."""
    return 1 << max(0, number - 1).bit_length()


def _log2(power):
    return power.bit_length() - 1


def _overlap(xp, arrays, written):
    """Whether an array that is written shares memory with another one."""
    return any(
        xp.may_share_memory(arrays[one], array)
        for one in arrays.keys() & written
        for key, array in arrays.items()
        if key != one
    )
