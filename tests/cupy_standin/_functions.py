"""CuPy's functions, each through the function of NumPy that has its name, or here where that would not do."""

import numpy as np

from . import _array as arrays
from . import _memory as memory
from . import _stream as streams
from ._array import apply, is_scalar, ndarray, plain, take, unsupported
from ._raw import RawKernel, RawModule
from ._recorded import MODULES, UFUNCS, check_arguments, missing, words
from ._ufunc import ufunc

RECORDED = MODULES[""]

# What waits for the device: the shapes of results, or checks, depend on values.
SYNCHRONISING = words(
    """argwhere average bincount compress extract flatnonzero histogram percentile quantile setdiff1d trim_zeros union1d
    unique"""
)
# What Thrust does, which waits for the stream.
SORTING = words("argpartition argsort lexsort sort")
# What cuBLAS does; an einsum of one array it does not.
PRODUCTS = words("dot inner tensordot vdot")
# Functions of NumPy that are right as they are; CuPy's others are written when someone needs them.
SAME = words(
    """all alltrue amax amin any append apply_along_axis arange argmax argmin argpartition argsort argwhere around
    array_split asfortranarray atleast_1d atleast_2d atleast_3d average bincount broadcast_arrays broadcast_shapes
    broadcast_to can_cast choose clip column_stack compress concatenate convolve correlate count_nonzero cov cross
    cumprod cumsum diag
    diagflat diagonal diff digitize dot dsplit dstack einsum expand_dims extract eye flatnonzero flip fliplr flipud
    histogram hsplit hstack identity indices inner isin isscalar kron lexsort logspace max mean median meshgrid min
    moveaxis nan_to_num nanmax nanmean nanmin nansum ndim nonzero ones outer pad percentile prod promote_types ptp ravel
    repeat reshape result_type roll rollaxis rot90 round
    searchsorted select shape size sort split squeeze stack std sum
    swapaxes take_along_axis tensordot tile trace transpose tri tril triu unique unravel_index var vdot vsplit vstack
    where zeros"""
)
_PLACE_OF_OUT = {
    name: names.index("out") for name, names in RECORDED.items() if isinstance(names, list) and "out" in names
}


def array(obj, dtype=None, copy=True, order="K", subok=False, ndmin=0, *, blocking=False):
    if isinstance(obj, ndarray):
        found = obj.astype(dtype or obj.dtype, order, copy=copy)
    elif isinstance(obj, (list, tuple)) and any(arrays.arrays_in(obj)):
        found = stacked(obj).astype(dtype) if dtype else stacked(obj)
    else:
        found = _uploaded(np.array(obj, dtype, order=order if order in "CF" else None), "array")
    return found.reshape((1,) * (ndmin - found.ndim) + found.shape) if ndmin > found.ndim else found


def stacked(values):
    found = [stacked(value) if isinstance(value, (list, tuple)) else value for value in values]
    return apply(np.stack, (found,), {})


def _uploaded(value, what):
    if value.dtype.kind not in "biufc":
        raise ValueError(f"Unsupported dtype {value.dtype}")
    if value.ndim:
        streams.upload(what)
    found = ndarray(value.shape, value.dtype, order="F" if value.flags.f_contiguous and value.ndim > 1 else "C")
    value = value.copy(order="K")
    streams.launch(lambda: np.copyto(found._array, value))
    return found


def asarray(a, dtype=None, order=None, *, blocking=False):
    if isinstance(a, ndarray):
        if dtype is not None and a.dtype != dtype:
            a = a.astype(dtype)
        wrong = order == "C" and not a.flags.c_contiguous or order == "F" and not a.flags.f_contiguous
        return a.copy(order) if wrong else a
    return array(a, dtype, order=order or "K")


asanyarray = asarray


def ascontiguousarray(a, dtype=None):
    found = asarray(a, dtype, "C")
    return found.reshape(1) if found.ndim == 0 else found


def asnumpy(a, stream=None, order="C", out=None, *, blocking=True):
    if isinstance(a, ndarray):
        return a.get(stream, order, out, blocking)
    return np.asarray(a, order=order)


def get_array_module(*args):
    import sys

    found = any(isinstance(arg, ndarray) for arg in args)
    return sys.modules[__package__] if found else np


def empty(shape, dtype=float, order="C"):
    return ndarray(shape, dtype, order=order)


def full(shape, fill_value, dtype=None, order="C"):
    if dtype is None:
        dtype = fill_value.dtype if isinstance(fill_value, ndarray) else np.array(fill_value).dtype
    found = ndarray(shape, dtype, order=order)
    if isinstance(fill_value, ndarray):
        found[...] = fill_value
    else:
        found.fill(fill_value)
    return found


def _like(a, dtype, shape):
    template = np.empty_like(a._array, dtype, shape=shape)
    return arrays.new_like(template)


def empty_like(prototype, dtype=None, order="K", subok=None, shape=None):
    return _like(prototype, dtype, shape)


def full_like(a, fill_value, dtype=None, order="K", subok=None, shape=None):
    found = _like(a, dtype, shape)
    found.fill(fill_value)
    return found


def zeros_like(a, dtype=None, order="K", subok=None, shape=None):
    return full_like(a, 0, dtype, order, subok, shape)


def ones_like(a, dtype=None, order="K", subok=None, shape=None):
    return full_like(a, 1, dtype, order, subok, shape)


def copy(a, order="K"):
    return a.copy(order)


def copyto(dst, src, casting="same_kind", where=None):
    if not isinstance(dst, ndarray):
        raise unsupported(dst)
    if isinstance(src, np.ndarray):
        if src.size != 1:
            raise ValueError("non-scalar numpy.ndarray cannot be used for copyto")
        src = src.squeeze()[()]
    if isinstance(src, ndarray):
        if not np.can_cast(src.dtype, dst.dtype, casting):
            raise TypeError(f"Cannot cast {src.dtype} to {dst.dtype} in {casting} casting mode")
    elif is_scalar(src):
        np.copyto(np.empty((), dst.dtype), src, casting=casting)
    else:
        raise unsupported(src)
    if where is not None and (not isinstance(where, ndarray) or where.dtype != bool):
        raise TypeError("where must be an array of bool on the device")
    if isinstance(src, ndarray):
        np.broadcast_to(src._array.reshape(src.shape[max(src.ndim - dst.ndim, 0) :]), dst.shape)
    mask = True if where is None else where._array
    source = plain(src)
    streams.launch(lambda: np.copyto(dst._array, source, casting="unsafe", where=mask))


def linspace(start, stop, num=50, endpoint=True, retstep=False, dtype=None, axis=0):
    if isinstance(start, ndarray) or isinstance(stop, ndarray):
        streams.synchronise("linspace between arrays", copies=True)
    return apply(np.linspace, (start, stop, num, endpoint, retstep, dtype, axis), {})


def matmul(a, b, out=None, **kwargs):
    for one in (a, b):
        if not isinstance(one, ndarray):
            raise unsupported(one)
    found = np.result_type(a.dtype, b.dtype)
    if found.kind in "fc":
        streams.forbid_cublas()
    if out is not None:
        target = out[0] if isinstance(out, tuple) else out
        if not np.can_cast(found, target.dtype, kwargs.get("casting", "same_kind")):
            raise TypeError(f"Cannot cast matmul output from {found} to {target.dtype}")
    return apply(np.matmul, (a, b), {"out": out, **kwargs}, fresh=True)


def may_share_memory(a, b, max_work=None):
    return np.may_share_memory(plain(a), plain(b))


def shares_memory(a, b, max_work=None):
    return np.shares_memory(plain(a), plain(b))


def nonzero(a):
    return a.nonzero()


def put(a, ind, v, mode="wrap"):
    if mode == "raise":
        streams.synchronise('put(mode="raise")', copies=True)
    index, value = plain(ind), plain(v)
    streams.launch(lambda: np.put(a._array, index, value, mode="clip" if mode == "clip" else "wrap"))


def take_along_axis(a, indices, axis):
    if indices.dtype.kind not in "iu":
        raise IndexError("`indices` must be an integer array")
    if axis is None:
        return take(a.ravel(), indices)
    return apply(
        lambda one, index: np.take_along_axis(one, index % one.shape[axis], axis), (a, indices), {}, fresh=True
    )


def where(condition, x=None, y=None):
    if x is None or y is None:
        if x is not y:
            raise ValueError("Must provide both 'x' and 'y' or neither.")
        return condition.nonzero()
    return apply(np.where, (condition, x, y), {}, fresh=True)


def array_equal(a1, a2, equal_nan=False):
    return apply(lambda a, b: np.asarray(np.array_equal(a, b, equal_nan)), (a1, a2), {}, fresh=True)


def allclose(a, b, rtol=1e-05, atol=1e-08, equal_nan=False):
    return apply(lambda a, b: np.asarray(np.allclose(a, b, rtol, atol, equal_nan)), (a, b), {}, fresh=True)


def from_dlpack(array, *, device=None, copy=None):
    if isinstance(array, ndarray):
        return array.copy() if copy else array.view()
    raise BufferError("the stand-in shares memory with no other library")


def is_available():
    return True


def by_numpy(name):
    """The function that NumPy has under this name, behind the checks of CuPy's."""
    function = getattr(np, name, None) or getattr(np, {"alltrue": "all"}.get(name, name))
    names = RECORDED[name]

    def call(*args, **kwargs):
        check_arguments(name, names, args, kwargs)
        if name == "einsum" and len(args) > 2:
            streams.forbid_cublas()
        if name == "einsum" and set(kwargs) - {"dtype", "optimize"}:
            raise TypeError(f"Did not understand the following kwargs: {sorted(kwargs)}")
        if name in SORTING:
            streams.synchronise(name)
        if name in SYNCHRONISING:
            streams.synchronise(name, copies=True)
        if name in PRODUCTS and all(one.dtype.kind in "fc" for one in arrays.arrays_in(args)):
            streams.forbid_cublas()
        place = _PLACE_OF_OUT.get(name)
        if place is not None and len(args) > place:
            args, kwargs = args[:place], {**kwargs, **dict(zip(names[place:], args[place:], strict=False))}
        return apply(function, args, kwargs)

    call.__name__ = name
    return call


def find(name):
    """The attribute of the module `cupy` of this name; raises AttributeError where CuPy has none."""
    if name not in RECORDED:
        raise missing("", name)
    if name in OWN:
        return OWN[name]
    kind = RECORDED[name]
    if name in UFUNCS and hasattr(np, name):
        return ufunc(name)
    if kind == "class" and isinstance(getattr(np, name, None), type) or kind == "value":
        return getattr(np, name)
    if name in SAME:
        return by_numpy(name)
    if hasattr(np, name) and isinstance(getattr(np, name), type(np.iinfo)):
        return getattr(np, name)
    raise missing("", name)


OWN = {
    name: value
    for name, value in list(globals().items())
    if name in RECORDED and callable(value) and getattr(value, "__module__", "").startswith(__package__)
}
OWN.update(
    get_default_memory_pool=memory.get_default_memory_pool,
    get_default_pinned_memory_pool=memory.get_default_pinned_memory_pool,
    RawKernel=RawKernel,
    RawModule=RawModule,
    dtype=np.dtype,
)
