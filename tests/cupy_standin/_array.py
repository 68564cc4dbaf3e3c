"""The array: it wraps one of NumPy that lies in the device's memory, and is none."""

import functools
import math
import operator

import numpy as np

from . import _memory as memory
from . import _stream as streams
from ._recorded import CLASSES, check_arguments, words

_RECORDED = CLASSES["ndarray"]
_SCALARS = (bool, int, float, complex, np.generic)


def unsupported(value):
    return TypeError(f"Unsupported type {type(value)}")


def is_scalar(value):
    return isinstance(value, _SCALARS)


class Flags:
    def __init__(self, array):
        self._flags = array._array.flags
        self.owndata = array.base is None

    c_contiguous = property(lambda self: self._flags.c_contiguous)
    f_contiguous = property(lambda self: self._flags.f_contiguous)
    forc = property(lambda self: self._flags.forc)

    def __getitem__(self, name):
        names = {"C": "c_contiguous", "F": "f_contiguous", "O": "owndata"}
        return getattr(self, names.get(name, name.lower()))

    def __repr__(self):
        return f"C_CONTIGUOUS : {self.c_contiguous}\nF_CONTIGUOUS : {self.f_contiguous}\nOWNDATA : {self.owndata}"


def root(array):
    """The NumPy array that owns the memory."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


class ndarray:
    """An array on the device.

    What turns it into an array or a number of the host waits for the device, and must be asked for: `get`, `item`,
    `tolist`, `float` and the like.  NumPy's functions refuse it.
    """

    __slots__ = ("_array", "_memory", "base", "__weakref__")
    __array_ufunc__ = None
    __array_priority__ = 100

    def __new__(cls, shape, dtype=float, memptr=None, strides=None, order="C"):
        shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(map(operator.index, shape))
        dtype = np.dtype(dtype)
        if dtype.kind not in "biufc":
            raise ValueError(f"Unsupported dtype {dtype}")
        if memptr is None:
            memptr = memory.alloc(math.prod(shape) * dtype.itemsize)
        offset = memptr.ptr - memptr.mem.ptr
        array = np.ndarray(shape, dtype, memptr.mem.bytes, offset, strides, None if strides else order)
        return made(array, memptr.mem)

    def __getnewargs__(self):
        raise TypeError("the stand-in's arrays are not pickled")

    @property
    def data(self):
        return memory.MemoryPointer(self._memory, self._array.ctypes.data - self._memory.ptr if self.size else 0)

    @property
    def device(self):
        return self._memory.device

    shape = property(lambda self: self._array.shape, lambda self, shape: setattr(self._array, "shape", shape))
    strides = property(lambda self: self._array.strides)
    dtype = property(lambda self: self._array.dtype)
    ndim = property(lambda self: self._array.ndim)
    size = property(lambda self: self._array.size)
    nbytes = property(lambda self: self._array.nbytes)
    itemsize = property(lambda self: self._array.itemsize)
    flags = property(Flags)
    T = property(lambda self: view(self, self._array.T))
    mT = property(lambda self: view(self, self._array.swapaxes(-1, -2)))
    real = property(lambda self: view(self, self._array.real))

    @property
    def __cuda_array_interface__(self):
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.data.ptr, False),
            "strides": None if self._array.flags.c_contiguous else self.strides,
            "version": 3,
            "stream": 1,
        }

    def __dlpack_device__(self):
        return 2, self.device.id

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        raise BufferError("the stand-in's arrays are on no GPU, so other libraries cannot share them")

    def __array__(self, dtype=None, copy=None):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    __hash__ = None

    def __len__(self):
        return len(self._array)

    def __iter__(self):
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        return (self[place] for place in range(len(self)))

    def __repr__(self):
        return f"array({self._array!r}, on the stand-in's device)"

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, memo):
        return self.copy()

    def get(self, stream=None, order="C", out=None, blocking=True):
        source = self._array
        found = np.empty(self.shape, self.dtype, order="F" if order == "F" else "C") if out is None else out
        if not isinstance(found, np.ndarray) or found.shape != self.shape or found.dtype != self.dtype:
            raise TypeError("out must be a NumPy array of the same shape and dtype")
        if blocking:
            streams.synchronise("ndarray.get", stream, copies=True)
            np.copyto(found, source)
            return found
        value = source.copy()
        found.view(np.uint8).fill(memory.GARBAGE) if found.flags.c_contiguous and found.ndim else None
        streams.arrive_later(lambda: np.copyto(found, value), stream)
        return found

    def set(self, arr, stream=None):
        if not isinstance(arr, np.ndarray) or arr.shape != self.shape or arr.dtype != self.dtype:
            raise TypeError("only a NumPy array of the same shape and dtype can be set")
        streams.upload("ndarray.set")
        value = arr.copy()
        streams.launch(lambda: np.copyto(self._array, value), stream)

    def item(self):
        streams.synchronise("ndarray.item", copies=True)
        return self._array.item()

    def tolist(self):
        streams.synchronise("ndarray.tolist", copies=True)
        return self._array.tolist()

    def tobytes(self, order="C"):
        streams.synchronise("ndarray.tobytes", copies=True)
        return self._array.tobytes(order)

    def __bool__(self):
        streams.synchronise("bool(ndarray)", copies=True)
        return bool(self._array)

    def __int__(self):
        streams.synchronise("int(ndarray)", copies=True)
        return int(self._array)

    def __float__(self):
        streams.synchronise("float(ndarray)", copies=True)
        return float(self._array)

    def __complex__(self):
        streams.synchronise("complex(ndarray)", copies=True)
        return complex(self._array)

    def fill(self, value):
        if isinstance(value, np.ndarray) and value.ndim == 0:
            value = value[()]
        if isinstance(value, ndarray) and value.ndim == 0:
            value = value._array
        elif not is_scalar(value):
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        streams.launch(lambda: self._array.fill(value))

    def astype(self, dtype, order="K", casting=None, subok=None, copy=True):
        if not copy and self.dtype == dtype:
            return self
        return apply(lambda array: array.astype(dtype, order=order), (self,), {}, fresh=True, ordered=True)

    def copy(self, order="C"):
        return apply(lambda array: array.copy(order), (self,), {}, fresh=True, ordered=True)

    def flatten(self, order="C"):
        return apply(lambda array: array.flatten(order), (self,), {}, fresh=True, ordered=True)

    def reshape(self, *shape, order="C", copy=None):
        return apply(lambda array: array.reshape(*shape, order=order), (self,), {})

    def view(self, dtype=None, type=None):
        return view(self, self._array.view() if dtype is None else self._array.view(dtype))

    def take(self, indices, axis=None, out=None):
        return take(self, indices, axis, out)

    def sort(self, axis=-1, kind=None):
        streams.synchronise("ndarray.sort")
        streams.launch(lambda: self._array.sort(axis, kind))

    def scatter_add(self, slices, value):
        scatter(self, slices, value, "add")

    def scatter_max(self, slices, value):
        scatter(self, slices, value, "max")

    def scatter_min(self, slices, value):
        scatter(self, slices, value, "min")

    def __getitem__(self, slices):
        key = index(self, slices)
        if key is None:
            return view(self, self._array[_with_ellipsis(slices)])
        # CuPy wraps what is out of bounds.
        return apply(lambda array: array[key()], (self,), {}, fresh=True)

    def __setitem__(self, slices, value):
        scatter(self, slices, value, "update")


def _tuple(slices):
    return slices if isinstance(slices, tuple) else (slices,)


def _with_ellipsis(slices):
    """An index that gives a view, even one of no dimensions."""
    items = _tuple(slices)
    return items if any(item is Ellipsis for item in items) else (*items, ...)


def made(array, mem):
    """An ndarray for a NumPy array in the device's memory."""
    found = object.__new__(ndarray)
    found._array, found._memory, found.base = array, mem, None
    return found


def view(source, array):
    """A view of an ndarray, given that of its NumPy array."""
    found = made(array, source._memory)
    found.base = source if source.base is None else source.base
    return found


def new_like(array, ordered=True):
    """An ndarray of the shape and dtype, and if `ordered` the order, of a NumPy array, with arbitrary contents."""
    if array.flags.c_contiguous or not ordered:
        return ndarray(array.shape, array.dtype)
    strides = np.empty_like(array, shape=array.shape).strides
    return ndarray(array.shape, array.dtype, memory.alloc(array.nbytes), strides)


def plain(value):
    """An argument with NumPy arrays in the place of the device's; raises for those of the host."""
    if isinstance(value, ndarray):
        return value._array
    if isinstance(value, np.ndarray):
        raise unsupported(value)
    if isinstance(value, (list, tuple)):
        return type(value)(plain(one) for one in value)
    return value


def arrays_in(values):
    for value in values:
        if isinstance(value, ndarray):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from arrays_in(value)


def apply(function, args, kwargs, fresh=False, ordered=False):
    """Call a function of NumPy; its results are views of the arguments, or new arrays (all, if `fresh`).

    New arrays are in C order, unless NumPy's order is asked for (`ordered`).

    Under capture, the call that fills new arrays is recorded.
    """
    kwargs = dict(kwargs)
    out = kwargs.pop("out", None)
    plain_args = [plain(arg) for arg in args]
    plain_kwargs = {name: plain(value) for name, value in kwargs.items()}
    call = functools.partial(function, *plain_args, **plain_kwargs)
    if out is not None:
        return store(call, out)
    with np.errstate(all="ignore"):
        found = call()
    sources = [] if fresh else list(arrays_in((*args, *kwargs.values())))
    targets = []
    result = _wrapped(found, sources, targets, ordered)
    if targets:
        if streams.is_capturing():
            for _, target in targets:
                target._memory.bytes.fill(memory.GARBAGE)
            streams.launch(lambda: _fill(targets, call()))
        else:
            streams.launch(lambda: _fill(targets, found))
    return result


def _wrapped(found, sources, targets, ordered, place=()):
    if isinstance(found, (np.generic, np.ndarray)):
        if isinstance(found, np.ndarray):
            for source in sources:
                if found is source._array:
                    return source
                if root(found) is root(source._array):
                    return view(source, found)
        array = new_like(np.asarray(found), ordered)
        targets.append((place, array))
        return array
    if isinstance(found, (list, tuple)) and not isinstance(found, np.dtype):
        kind = list if isinstance(found, list) else tuple
        return kind(_wrapped(one, sources, targets, ordered, (*place, number)) for number, one in enumerate(found))
    return found


def _fill(targets, found):
    for place, target in targets:
        np.copyto(target._array, functools.reduce(lambda one, number: one[number], place, found))


def store(call, out, casting="unsafe"):
    """Write what `call` returns to `out`."""
    if isinstance(out, tuple):
        (out,) = out
    if not isinstance(out, ndarray):
        raise TypeError(f"return arrays must be of ArrayType, not {type(out)}")
    if streams.is_capturing():
        with np.errstate(all="ignore"):
            check_shape(np.shape(call()), out)

    def operation():
        found = call()
        check_shape(np.shape(found), out)
        np.copyto(out._array, found, casting=casting)

    streams.launch(operation)
    return out


def check_shape(shape, out):
    if out.shape != shape:
        raise ValueError(f"Output shape mismatch: {out.shape} for a result of shape {shape}")


def index(array, slices):
    """A function that returns the index for NumPy; None where nothing of it lies on the device."""
    items = list(_tuple(slices))
    on_device = False
    for item in items:
        if isinstance(item, (np.ndarray, list, tuple, bool, np.bool_)):
            # CuPy would copy it to the device first, which no step of a plan should do again and again.
            raise TypeError(f"an index of type {type(item)} is copied to the device; make it an array there, once")
        if isinstance(item, ndarray):
            on_device = True
            if item.dtype.kind not in "biu":
                raise IndexError(f"arrays used as indices must be of integer or boolean type, not {item.dtype}")
    if not on_device:
        return None
    used = sum(0 if item is None or item is Ellipsis else item.ndim if _is_mask(item) else 1 for item in items)
    axis, axes = 0, []
    for item in items:
        axes.append(axis)
        if item is Ellipsis:
            axis += array.ndim - used
        elif item is not None:
            axis += item.ndim if _is_mask(item) else 1
    if any(_is_mask(item) for item in items):
        streams.synchronise("an index that is a mask", copies=True)

    def key():
        found = []
        for item, axis in zip(items, axes, strict=True):
            if isinstance(item, ndarray):
                item = item._array if _is_mask(item) else item._array % max(array.shape[axis], 1)
            found.append(item)
        return tuple(found)

    return key


def _is_mask(item):
    return isinstance(item, ndarray) and item.dtype.kind == "b"


# What CUDA's atomics can do (what CuPy declares for the scatter operations).
_ATOMIC = {
    "add": words("int32 float16 float32 float64 uint32 uint64 complex64 complex128"),
    "max": words("int32 float32 float64 uint32 uint64"),
    "min": words("int32 float32 float64 uint32 uint64"),
}
_AT = {"add": np.add.at, "max": np.maximum.at, "min": np.minimum.at, "sub": np.subtract.at}


def scatter(target, slices, value, op):
    """target[slices] = value, or the like."""
    if isinstance(value, ndarray):
        source = value._array
    elif is_scalar(value):
        source = value
    elif isinstance(value, np.ndarray) and value.ndim == 0:
        source = value[()]
    else:
        raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
    key = index(target, slices)
    if op != "update" and key is not None and target.dtype.name not in _ATOMIC.get(op, ()):
        raise TypeError(f"scatter_{op} only supports {', '.join(_ATOMIC.get(op, ()))}, not {target.dtype}")
    if key is None:
        if 0 in np.shape(target._array[slices] if target.ndim else 0):
            return
        np.broadcast_shapes(np.shape(target._array[slices]), np.shape(source))

    def operation():
        place = slices if key is None else key()
        if op == "update" and key is not None and np.ndim(source):
            # Of several values for one element any may stay: here it is the first, in NumPy the last.
            numbers = np.arange(target.size).reshape(target.shape)[place]
            values = np.broadcast_to(source, numbers.shape).ravel()[::-1]
            target._array[np.unravel_index(numbers.ravel()[::-1], target.shape)] = values
        elif op == "update":
            target._array[place] = source
        else:
            _AT[op](target._array, place, np.asarray(source).astype(target.dtype))

    streams.launch(operation)


def take(a, indices, axis=None, out=None):
    """Indices that are out of bounds come around; nothing tells of them."""
    if isinstance(indices, ndarray):
        if indices.dtype.kind not in "biu":
            raise TypeError(f"indices must be integers, not {indices.dtype}")
        index = indices._array
    elif is_scalar(indices):
        index = indices
    else:
        raise unsupported(indices)
    if out is not None and out.dtype != a.dtype:
        raise TypeError("Output dtype mismatch")
    return apply(lambda array: np.take(array, index, axis, mode="wrap"), (a,), {"out": out}, fresh=True)


_SYNCHRONISING = {"nonzero": True, "compress": True, "argsort": False, "argpartition": False}  # name -> copies


def _method(name):
    names = _RECORDED[name]

    def method(self, *args, **kwargs):
        check_arguments(f"ndarray.{name}", names, args, kwargs)
        if name == "dot":
            streams.forbid_cublas()
        if name in _SYNCHRONISING:
            streams.synchronise(f"ndarray.{name}", copies=_SYNCHRONISING[name])
        if "out" in (names or ()) and len(args) > names.index("out"):
            place = names.index("out")
            kwargs.update(zip(names[place:], args[place:], strict=False))
            args = args[:place]
        return apply(lambda array, *rest, **named: getattr(array, name)(*rest, **named), (self, *args), kwargs)

    method.__name__ = name
    return method


_METHODS = words(
    """all any argmax argmin argpartition argsort choose clip compress conj cumprod cumsum diagonal dot max mean min
    nonzero prod ravel repeat round searchsorted squeeze std sum swapaxes trace transpose var"""
)
for _name in _METHODS:
    setattr(ndarray, _name, _method(_name))


# Arithmetic: each operator through the ufunc of its name.
_OPERATORS = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "divide",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "pow": "power",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
    "lshift": "left_shift",
    "rshift": "right_shift",
}
_COMPARISONS = {
    "eq": "equal",
    "ne": "not_equal",
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
}


def _ufunc(name):
    import importlib

    return getattr(importlib.import_module(__package__), name)


def _binary(name):
    return lambda self, other: _ufunc(name)(self, other)


def _reflected(name):
    return lambda self, other: _ufunc(name)(other, self)


def _in_place(name):
    return lambda self, other: _ufunc(name)(self, other, self)


def _unary(name):
    return lambda self: _ufunc(name)(self)


for _name, _function in _OPERATORS.items():
    setattr(ndarray, f"__{_name}__", _binary(_function))
    setattr(ndarray, f"__r{_name}__", _reflected(_function))
    setattr(ndarray, f"__i{_name}__", _in_place(_function))
for _name, _function in _COMPARISONS.items():
    setattr(ndarray, f"__{_name}__", _binary(_function))
for _name, _function in {"neg": "negative", "abs": "absolute", "invert": "invert"}.items():
    setattr(ndarray, f"__{_name}__", _unary(_function))
ndarray.__matmul__ = _binary("matmul")
ndarray.__rmatmul__ = _reflected("matmul")
