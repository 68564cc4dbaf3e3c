"""Functions of each element by itself: CuPy's loops, its rules of casting, and what it has not of NumPy's."""

import numpy as np

from . import _array as arrays
from . import _stream as streams
from ._array import apply, is_scalar, ndarray, plain, unsupported
from ._recorded import UFUNCS

_KINDS = {"b": 0, "i": 1, "u": 1, "f": 2, "c": 2}


class _Weak:
    """A Python number: its type gives way to those of arrays."""

    def __init__(self, value):
        self.dtype = np.dtype(type(value))


class ufunc:
    def __init__(self, name):
        recorded = UFUNCS[name]
        self.name = "cupy_" + name
        self.nin, self.nout = recorded["nin"], recorded["nout"]
        self.nargs = self.nin + self.nout
        self.types = recorded["types"]
        self._numpy = getattr(np, name)
        self._scatter = recorded["at"]
        self._loops = [tuple(tuple(map(np.dtype, half)) for half in one.split("->")) for one in self.types]
        self._found = {}
        self.__name__ = name

    def __repr__(self):
        return f"<ufunc {self.name!r}>"

    def _loop(self, operands, dtype):
        """The first loop to whose types the operands can be cast safely: (types in, types out)."""
        weak = [type(one) in (bool, int, float, complex) for one in operands]
        types = [np.dtype(type(one)) if alone else one.dtype for one, alone in zip(operands, weak, strict=True)]
        key = (*types, *weak, dtype)
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = self._find_loop(types, weak, dtype)
        return found

    def _find_loop(self, types, weak, dtype):
        if dtype is not None:
            for ins, outs in self._loops:
                if all(out == dtype for out in outs):
                    return ins, outs
        else:
            strong = [_KINDS[one.kind] for one, alone in zip(types, weak, strict=True) if not alone]
            scalar = [_KINDS[one.kind] for one, alone in zip(types, weak, strict=True) if alone]
            give_way = strong and scalar and max(strong) >= max(scalar)
            for ins, outs in self._loops:
                if all(
                    np.can_cast(one, to) or (alone and give_way)
                    for one, to, alone in zip(types, ins, weak, strict=True)
                ):
                    return ins, outs
        raise TypeError(f"Wrong type ({dtype or types}) of arguments for {self.name}")

    def __call__(self, *args, out=None, dtype=None, casting="same_kind", **kwargs):
        if kwargs:
            raise TypeError(f"Wrong arguments {kwargs}")
        if not self.nin <= len(args) <= self.nargs:
            raise TypeError(f"Wrong number of arguments for {self.name!r}")
        operands, outs = args[: self.nin], args[self.nin :]
        if out is not None:
            if outs:
                raise ValueError("Cannot specify 'out' as both a positional and keyword argument")
            outs = out if isinstance(out, tuple) else (out,)
        for operand in operands:
            if not isinstance(operand, ndarray) and not is_scalar(operand):
                raise unsupported(operand)
        for target in outs:
            if not isinstance(target, ndarray):
                raise TypeError("return arrays must be of ArrayType")
        into, made = self._loop(operands, None if dtype is None else np.dtype(dtype))
        if self.__name__ in ("negative", "subtract") and into[0].kind == "b":
            raise TypeError(f"The cupy boolean {self.__name__} is not supported")
        values = [plain(operand) for operand in operands]
        for target, one in zip(outs, made, strict=False):
            if not np.can_cast(one, target.dtype, casting):
                raise TypeError(
                    f"Cannot cast ufunc {self.name!r} output from {one!r} to {target.dtype!r} "
                    f"with casting rule {casting!r}"
                )
        for value, operand, to in zip(values, operands, into, strict=True):
            if not isinstance(operand, ndarray) and to.kind in "iu":
                np.asarray(value, to)  # raises where the number is out of range

        def call(*values):
            values = [np.asarray(value).astype(to, copy=False) for value, to in zip(values, into, strict=True)]
            found = self._numpy(*values)
            if self.nout == 1:
                return np.asarray(found).astype(made[0], copy=False)
            return tuple(np.asarray(one).astype(to, copy=False) for one, to in zip(found, made, strict=True))

        if not outs:
            return apply(call, operands, {}, fresh=True)
        shape = np.broadcast_shapes(*(np.shape(value) for value in values))
        for target in outs:
            # The real one lets `out` be larger: the operands are then repeated.
            if np.broadcast_shapes(shape, target.shape) != target.shape:
                raise ValueError(f"Out shape is mismatched: {target.shape} for {shape}")
        targets = [target._array for target in outs]

        def operation():
            found = call(*values)
            for target, one in zip(targets, found if self.nout > 1 else (found,), strict=True):
                np.copyto(target, one, casting="unsafe")

        streams.launch(operation)
        return outs[0] if self.nout == 1 else tuple(outs)

    def _only(self, method, names):
        if self.__name__ not in names:
            raise NotImplementedError(f"`{self.name}.{method}` is not supported yet")

    def reduce(self, array, axis=0, dtype=None, out=None, keepdims=False):
        self._only("reduce", ("add", "multiply"))
        return apply(self._numpy.reduce, (array,), _named(axis=axis, dtype=dtype, out=out, keepdims=keepdims))

    def accumulate(self, array, axis=0, dtype=None, out=None):
        self._only("accumulate", ("add", "multiply"))
        return apply(self._numpy.accumulate, (array,), _named(axis=axis, dtype=dtype, out=out))

    def reduceat(self, array, indices, axis=0, dtype=None, out=None):
        self._only("reduceat", ("add",))
        return apply(self._numpy.reduceat, (array, indices), _named(axis=axis, dtype=dtype, out=out))

    def outer(self, A, B, **kwargs):
        return self(A.reshape(A.shape + (1,) * B.ndim), B, **kwargs)

    def at(self, a, indices, b=None):
        if self._scatter is None:
            raise NotImplementedError(f"`{self.name}.at` is not supported yet")
        if not isinstance(a, ndarray):
            raise unsupported(a)
        arrays.scatter(a, indices, b, self._scatter)


def _named(**arguments):
    return {name: value for name, value in arguments.items() if value is not None}
