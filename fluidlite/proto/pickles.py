"""The pickles of `fluid.save`: arrays by name.

A pickle is a program for a stack machine, and Python's own machine lets it call anything.  The one here knows only the
steps that make arrays, numbers, texts and plain containers; it imports and calls nothing that a file names.  What a
file claims is checked against its length before memory is taken, and long data stay in the file until an array of
exactly that size wants them.
"""

import codecs
import math
import struct

import numpy as np

_DIMS = 32  # as many as any NumPy allows
_DTYPES = {dtype.str[1:]: dtype for dtype in map(np.dtype, "?bhilqBHILQefdFD")}
_SHORT = 256  # longer data stay in the file, and only one array may have them
_MOST_STEPS = 500_000  # enough for 10,000 arrays
_DEEPEST_STACK = 1 << 16
_DEEPEST_NESTING = 50
_CHUNK = 1 << 20

_RECONSTRUCT, _FROM_BUFFER, _SCALAR, _NDARRAY, _DTYPE, _ENCODE, _BYTES, _TUPLE, _ORDERED_DICT = _GLOBALS = [
    "numpy.core.multiarray _reconstruct",
    "numpy.core.numeric _frombuffer",
    "numpy.core.multiarray scalar",
    "numpy ndarray",
    "numpy dtype",
    "_codecs encode",
    "builtins bytes",
    "builtins tuple",
    "collections OrderedDict",
]
_OTHER_MODULES = {
    "numpy._core.multiarray": "numpy.core.multiarray",
    "numpy._core.numeric": "numpy.core.numeric",
    "__builtin__": "builtins",
}


def pack(arrays):
    """Arrays by name as a pickle that every Paddle on Python 3 reads, whatever its NumPy.

    Args:
        arrays (dict): name -> numpy.ndarray.
    Returns:
        list of buffers; long arrays are among them as they are.
    """
    largest = max((array.nbytes for array in arrays.values()), default=0)
    # Protocol 3 has bytes; with those of protocol 2, an array takes up to twice its size. Protocol 4 has long ones.
    buffers, steps, memo = [], bytearray(b"\x80\x03}" if largest < 1 << 32 else b"\x80\x04}"), {}

    def put_or_get(key, make):
        if key not in memo:
            make()
            memo[key] = len(memo)
            steps.extend(b"r" + struct.pack("<I", memo[key]))
        else:
            steps.extend(b"j" + struct.pack("<I", memo[key]))

    def name_global(name):
        put_or_get(name, lambda: steps.extend(b"c" + name.replace(" ", "\n").encode() + b"\n"))

    def make_dtype(dtype):
        name_global(_DTYPE)
        steps.extend(_pack_text(dtype.str[1:]) + b"\x89\x88\x87R")
        steps.extend(b"(K\x03" + _pack_text(dtype.str[:1]) + b"NNN" + 2 * _pack_int(-1) + b"K\x00tb")

    for name, array in arrays.items():
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        size = little.nbytes
        steps += _pack_text(name)
        name_global(_RECONSTRUCT)
        name_global(_NDARRAY)
        steps += b"K\x00\x85C\x01b\x87R(K\x01(" + b"".join(map(_pack_int, array.shape)) + b"t"
        put_or_get(little.dtype, lambda dtype=little.dtype: make_dtype(dtype))
        steps += b"\x89" + (b"B" + struct.pack("<I", size) if size < 1 << 32 else b"\x8e" + struct.pack("<Q", size))
        buffers += [bytes(steps), little.reshape(-1).view("uint8").data]
        steps[:] = b"tbs"
    return [*buffers, bytes(steps) + b"."]


def _pack_text(text):
    encoded = text.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def _pack_int(value):
    if 0 <= value < 256:
        return b"K" + bytes([value])
    if -(1 << 31) <= value < 1 << 31:
        return b"J" + struct.pack("<i", value)
    return b"\x8a\x08" + struct.pack("<q", value)


def read(source):
    """The dict that a pickle holds.

    Args:
        source (Source): the pickle, of any binary protocol.
    Returns:
        dict: text -> numpy.ndarray, number, text, or list, tuple or dict of such.
    Raises:
        ModelFileError: it is damaged, holds anything else, or claims more than the file has.
    """
    found = _Machine(source).run()
    if not isinstance(found, dict):
        raise source.error(f"the pickle holds no dict but a {type(found).__name__}", 0)
    return found


# What Paddle 2 adds: which arrays are pieces of long ones, and what a Program calls those of an imperative model.
_PIECES = "UnpackBigParamInfor@@"
_PARAMETER_NAMES = "StructuredToParameterName@@"


def read_state(source):
    """The arrays that a pickle of any Paddle holds, by the names that they have in a Program.

    Raises:
        ModelFileError: as `read`.
    """
    state = read(source)
    for name, joined in _dict(source, state, _PIECES).items():
        match joined:
            case {"OriginShape": tuple() as shape, "slices": list() as names}:
                pieces = [state.pop(piece, None) if isinstance(piece, str) else None for piece in names]
            case _:
                raise source.error(f"{_PIECES} does not say how to join {name!r}", 0)
        if not pieces or not all(isinstance(piece, np.ndarray) for piece in pieces):
            raise source.error(f"the pieces of {name!r} are not all there", 0)
        try:
            state[name] = np.concatenate([piece.reshape(-1) for piece in pieces]).reshape(shape)
        except (ValueError, TypeError) as error:
            raise source.error(f"the pieces of {name!r} cannot be joined: {error}", 0) from None
    names = _dict(source, state, _PARAMETER_NAMES)
    if not all(isinstance(name, str) for name in names.values()):
        raise source.error(f"{_PARAMETER_NAMES} does not hold names", 0)
    return {names.get(name, name): value for name, value in state.items()}


def _dict(source, state, name):
    found = state.pop(name, {})
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise source.error(f"{name} is no dict", 0)
    return found


class _Global:
    """Something that a pickle may name; its name is all there is of it."""

    def __init__(self, name):
        self.name = name


class _DType:
    """A data type; its byte order is set after it was made."""

    def __init__(self, dtype):
        self.dtype = dtype


class _Array:
    """An array; its value is set after it was made."""

    value = None


class _Data:
    """Bytes that stay in the file; `text` if they are the UTF-8 of characters that stand for a byte each."""

    used = False

    def __init__(self, offset, length, text):
        self.offset, self.length, self.text = offset, length, text


class _Machine:
    def __init__(self, source):
        self.source = source
        self.stack = []
        self.marks = []  # how high the stack was
        self.memo = {}
        self.at = 0

    def run(self):
        for _ in range(_MOST_STEPS):
            self.at = self.source.offset
            code = self.source.take(1, "the next step of the pickle")
            if code == b".":
                break
            step = _STEPS.get(code)
            if step is None:
                raise self.error(f"the pickle does {code!r}, which no file of arrays needs")
            step(self)
            if len(self.stack) > _DEEPEST_STACK:
                raise self.error("the pickle piles up more than a file of arrays needs")
        else:
            raise self.error(f"the pickle takes more than {_MOST_STEPS:,} steps")
        self.source.end("the end of the pickle")
        if len(self.stack) != 1 or self.marks:
            raise self.error("the pickle ends too early")
        return self.plain(self.stack[0])

    def error(self, reason):
        return self.source.error(reason, self.at)

    def number(self, form):
        """The next number in the file."""
        return struct.unpack(form, self.source.take(struct.calcsize(form), "a number"))[0]

    def pop(self, count=1):
        """The topmost values, in the order in which they were pushed."""
        if len(self.stack) - (self.marks[-1] if self.marks else 0) < count:
            raise self.error("the pickle takes more values than it made")
        values = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return values

    def pop_mark(self):
        """The values since the last mark."""
        if not self.marks:
            raise self.error("the pickle ends a group that it did not begin")
        height = self.marks.pop()
        values = self.stack[height:]
        del self.stack[height:]
        return values

    def mark(self):
        if len(self.marks) == _DEEPEST_NESTING:
            raise self.error("the pickle nests deeper than a file of arrays needs")
        self.marks.append(len(self.stack))

    def plain(self, value, depth=0):
        """A value as a container holds it."""
        if isinstance(value, _Array) and value.value is not None:
            return value.value
        if isinstance(value, tuple) and depth < _DEEPEST_NESTING:
            return tuple(self.plain(item, depth + 1) for item in value)
        if value is None or isinstance(value, (bool, int, float, str, bytes, np.generic, list, dict)):
            return value
        raise self.error(f"the pickle holds what is neither an array nor plain: {type(value).__name__.strip('_')}")

    def text(self, length):
        if length > _SHORT:
            self.push_data(length, True)
            return
        try:
            self.stack.append(self.source.take(length, "a text").decode("utf-8", "surrogatepass"))
        except UnicodeDecodeError as error:
            raise self.error(f"a text is not UTF-8: {error.reason}") from None

    def bytes(self, length):
        if length > _SHORT:
            self.push_data(length, False)
        else:
            self.stack.append(self.source.take(length, "bytes"))

    def python_2_string(self, length):
        if length > _SHORT:
            self.push_data(length, False)
        elif length < 0:
            raise self.error(f"a text cannot take {length:,} bytes")
        else:
            self.stack.append(self.source.take(length, "a text").decode("latin-1"))

    def push_data(self, length, text):
        self.source.need(length, "data")
        self.stack.append(_Data(self.source.offset, length, text))
        self.source.seek(self.source.offset + length)

    def long(self, length):
        if length > 8:
            raise self.error(f"a number cannot take {length:,} bytes")
        self.stack.append(int.from_bytes(self.source.take(length, "a number"), "little", signed=True))

    def put(self, index):
        if not self.stack:
            raise self.error("the pickle takes more values than it made")
        self.memo[index] = self.stack[-1]

    def get(self, index):
        if index not in self.memo:
            raise self.error(f"the pickle takes value {index:,} again, which it did not keep")
        value = self.memo[index]
        # Containers that hold themselves, or each other many times over, would be endless, or nearly so.
        flat = isinstance(value, tuple) and all(item is None or isinstance(item, (int, float, str)) for item in value)
        if isinstance(value, (list, dict, tuple)) and not flat:
            raise self.error("the pickle holds a container twice, or inside itself")
        self.stack.append(value)

    def items(self, values):
        [target] = self.pop()
        if not isinstance(target, dict) or len(values) % 2:
            raise self.error("the pickle gives keys and values to what is no dict")
        for key, value in zip(values[::2], values[1::2], strict=True):
            if not isinstance(key, (str, int)):
                raise self.error("a key of a dict is no text")
            target[key] = self.plain(value)
        self.stack.append(target)

    def extend(self, values):
        [target] = self.pop()
        if not isinstance(target, list):
            raise self.error("the pickle appends to what is no list")
        target.extend(map(self.plain, values))
        self.stack.append(target)

    def line(self):
        data = bytearray()
        while not data.endswith(b"\n"):
            data += self.source.take(1, "a name")
            if len(data) > _SHORT:
                raise self.error("a name is too long")
        return data[:-1].decode("latin-1")

    def name(self, module, name):
        if not isinstance(module, str) or not isinstance(name, str):
            raise self.error("the pickle names something by what is no text")
        full = f"{_OTHER_MODULES.get(module, module)} {name}"
        if full not in _GLOBALS:
            raise self.error(f"the pickle wants {module}.{name}; only arrays and plain containers are read")
        self.stack.append(_Global(full))

    def call(self):
        function, arguments = self.pop(2)
        name = function.name if isinstance(function, _Global) and isinstance(arguments, tuple) else None
        match name, arguments:
            case _ if name == _RECONSTRUCT and len(arguments) == 3 and self.is_global(arguments[0], _NDARRAY):
                made = _Array()
            case _, [str(code), _, _] if name == _DTYPE and code in _DTYPES:
                made = _DType(_DTYPES[code])
            case _, [_DType() as dtype, data] if name == _SCALAR:
                made = self.array((), dtype.dtype, False, data)[()]
            case _, [data, _DType() as dtype, tuple() as shape, "C" | "F" as order] if name == _FROM_BUFFER:
                made = _Array()
                made.value = self.array(shape, dtype.dtype, order == "F", data)
            case _, [str(text), "latin1"] if name == _ENCODE:
                made = self.latin_1(text)
            case _, [_Data() as made, "latin1"] if name == _ENCODE and made.text:
                pass
            case _, [] if name == _BYTES:
                made = b""
            case _, [] if name == _ORDERED_DICT:
                made = {}
            case _, [tuple() as made] if name == _TUPLE:
                pass
            case _:
                raise self.error(f"the pickle calls {name or 'what is no function'} with unusual arguments")
        self.stack.append(made)

    @staticmethod
    def is_global(value, name):
        return isinstance(value, _Global) and value.name == name

    def build(self):
        target, state = self.pop(2)
        match target, state:
            case _DType(), [3 | 4, "<" | ">" | "|" | "=" as order, None, None, None, *_]:
                target.dtype = target.dtype.newbyteorder(order)
            case _Array(value=None), [1, tuple() as shape, _DType() as dtype, bool() as columns_first, data]:
                target.value = self.array(shape, dtype.dtype, columns_first, data)
            case _:
                raise self.error("the pickle sets what is no array of numbers, or sets it twice")
        self.stack.append(target)

    def array(self, shape, dtype, columns_first, data):
        """The array of a shape with the elements `data`."""
        if len(shape) > _DIMS or not all(type(size) is int and size >= 0 for size in shape):
            raise self.error(f"an array cannot have such a shape, of {len(shape):,} dimensions")
        size = math.prod(shape)
        length = size * dtype.itemsize
        if isinstance(data, str):
            data = self.latin_1(data)
        if not isinstance(data, (bytes, _Data)):
            raise self.error(f"the elements of an array are no bytes but a {type(data).__name__.strip('_')}")
        found = data.length if isinstance(data, _Data) else len(data)
        as_text = isinstance(data, _Data) and data.text
        if not (length <= found <= 2 * length if as_text else found == length):
            raise self.error(f"an array of shape {shape} and dtype {dtype} takes {length:,} bytes, but has {found:,}")
        try:
            array = np.empty(size, dtype)
            if isinstance(data, _Data):
                self.fetch(data, array)
            else:
                array.view("uint8")[:] = np.frombuffer(data, "uint8")
            return array.reshape(shape, order="F" if columns_first else "C").astype(dtype.newbyteorder("="), copy=False)
        except (ValueError, MemoryError) as error:
            raise self.error(f"there is no room for an array of shape {shape} and dtype {dtype}: {error}") from None

    def fetch(self, data, array):
        if data.used:
            raise self.error("two arrays have the same elements")
        data.used = True
        back = self.source.offset
        self.source.seek(data.offset)
        if data.text:
            self.fetch_text(data.length, array.view("uint8").data)
        else:
            self.source.fill(array, "the elements of an array")
        self.source.seek(back)

    def fetch_text(self, length, target):
        decode = codecs.getincrementaldecoder("utf-8")().decode
        done = 0
        while length:
            count = min(length, _CHUNK)
            length -= count
            try:
                part = decode(self.source.take(count, "the elements of an array"), not length).encode("latin-1")
            except UnicodeError as error:
                raise self.error(f"the elements of an array are no bytes: {error.reason}") from None
            if done + len(part) > len(target):
                break
            target[done : done + len(part)] = part
            done += len(part)
        if done != len(target) or length:
            raise self.error(f"an array takes {len(target):,} bytes, but has {'more' if length else f'{done:,}'}")

    def latin_1(self, text):
        try:
            return text.encode("latin-1")
        except UnicodeEncodeError:
            raise self.error("a text does not stand for bytes") from None

    def protocol(self):
        version = self.number("<B")
        if not 2 <= version <= 5:
            raise self.error(f"the pickle is of protocol {version}, and 2 to 5 are known")

    def memoize(self):
        self.put(len(self.memo))

    def global_lines(self):
        module = self.line()
        self.name(module, self.line())


_STEPS = {
    b"\x80": _Machine.protocol,
    b"\x95": lambda m: m.source.need(m.number("<Q"), "a frame of the pickle"),
    b"(": _Machine.mark,
    b"N": lambda m: m.stack.append(None),
    b"\x88": lambda m: m.stack.append(True),
    b"\x89": lambda m: m.stack.append(False),
    b"J": lambda m: m.stack.append(m.number("<i")),
    b"K": lambda m: m.stack.append(m.number("<B")),
    b"M": lambda m: m.stack.append(m.number("<H")),
    b"G": lambda m: m.stack.append(m.number(">d")),
    b"\x8a": lambda m: m.long(m.number("<B")),
    b"\x8b": lambda m: m.long(m.number("<I")),
    b"X": lambda m: m.text(m.number("<I")),
    b"\x8c": lambda m: m.text(m.number("<B")),
    b"\x8d": lambda m: m.text(m.number("<Q")),
    b"B": lambda m: m.bytes(m.number("<I")),
    b"C": lambda m: m.bytes(m.number("<B")),
    b"\x8e": lambda m: m.bytes(m.number("<Q")),
    b"\x96": lambda m: m.bytes(m.number("<Q")),
    b"T": lambda m: m.python_2_string(m.number("<i")),
    b"U": lambda m: m.python_2_string(m.number("<B")),
    b"]": lambda m: m.stack.append([]),
    b"a": lambda m: m.extend(m.pop()),
    b"e": lambda m: m.extend(m.pop_mark()),
    b"}": lambda m: m.stack.append({}),
    b"s": lambda m: m.items(m.pop(2)),
    b"u": lambda m: m.items(m.pop_mark()),
    b")": lambda m: m.stack.append(()),
    b"t": lambda m: m.stack.append(tuple(m.pop_mark())),
    b"\x85": lambda m: m.stack.append(tuple(m.pop(1))),
    b"\x86": lambda m: m.stack.append(tuple(m.pop(2))),
    b"\x87": lambda m: m.stack.append(tuple(m.pop(3))),
    b"q": lambda m: m.put(m.number("<B")),
    b"r": lambda m: m.put(m.number("<I")),
    b"\x94": _Machine.memoize,
    b"h": lambda m: m.get(m.number("<B")),
    b"j": lambda m: m.get(m.number("<I")),
    b"c": _Machine.global_lines,
    b"\x93": lambda m: m.name(*m.pop(2)),
    b"R": _Machine.call,
    b"b": _Machine.build,
}
