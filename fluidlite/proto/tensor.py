"""Paddle's binary form of one variable, its LoDTensor.

A version number (0), the LoD, another version number (0), a TensorDesc message with the data type and the shape, and
the elements in little-endian order.  Several variables in one file simply follow each other, in the order of their
names, which the file does not hold.
"""

import math
import struct

import numpy as np

from ..core.dtypes import VarType, numpy_dtype, var_type

_DIMS = 32  # as many as any NumPy allows
_LONGEST_DESC = 16 + 11 * _DIMS


def pack(array, lod=()):
    """A variable in Paddle's form.

    Args:
        array (numpy.ndarray): of one of Fluid's data types.
        lod (list of lists of int): offsets, for each level.
    Returns:
        list of buffers, the last of which is the array itself if it is contiguous.
    """
    from . import schema

    desc = schema.TensorDesc(data_type=int(var_type(array.dtype.newbyteorder("="))), dims=array.shape)
    encoded = desc.SerializeToString()
    head = [struct.pack("<IQ", 0, len(lod))]
    for level in lod:
        offsets = np.asarray(level, "<u8")
        head += [struct.pack("<Q", offsets.nbytes), offsets.tobytes()]
    head += [struct.pack("<Ii", 0, len(encoded)), encoded]
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return [b"".join(head), little.reshape(-1).view("uint8").data]


class Header:
    """What stands before the elements of a variable.

    Attributes:
        shape (tuple of int), dtype (numpy.dtype), lod (list of lists of int, offsets).
    """

    def __init__(self, shape, dtype, lod):
        self.shape, self.dtype, self.lod = shape, dtype, lod

    @property
    def nbytes(self):
        """The length of the elements, in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(source):
    """Read what stands before the elements; nothing is allocated for those.

    Args:
        source (Source): at the beginning of a variable.
    Returns:
        Header
    Raises:
        ModelFileError: it is no variable, or its elements are not all there.
    """
    _version(source, "the LoDTensor")
    levels = _read_lod(source)
    _version(source, "the tensor")
    shape, dtype = _read_desc(source)
    source.need(math.prod(shape) * dtype.itemsize, f"the values of shape {list(shape)} and dtype {dtype}")
    return Header(shape, dtype, _checked_lod(source, levels, shape))


def read_values(source, header):
    """Read the elements that follow a Header, as a new array."""
    try:
        array = np.empty(header.shape, header.dtype)
    except (ValueError, MemoryError) as error:
        raise source.error(f"there is no room for values of shape {list(header.shape)}: {error}") from None
    source.fill(array, "the values")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _version(source, what):
    [version] = struct.unpack("<I", source.take(4, f"the version of {what}"))
    if version != 0:
        raise source.error(f"{what} is of version {version}, and only version 0 is known", source.offset - 4)


def _read_lod(source):
    """The levels of the LoD: (offset in the file, array of offsets) for each."""
    [count] = struct.unpack("<Q", source.take(8, "the number of LoD levels"))
    if count * 16 > source.left:  # the size of a level, and at least one offset
        raise source.error(
            f"it should have {count:,} LoD levels, but {source.left:,} bytes are left", source.offset - 8
        )
    levels = []
    for _ in range(count):
        at = source.offset
        [size] = struct.unpack("<Q", source.take(8, "the size of a LoD level"))
        if size % 8 or not size:
            raise source.error(f"a LoD level cannot take {size:,} bytes", at)
        levels.append((at, np.frombuffer(source.take(size, "a LoD level"), "<u8")))
    return levels


def _checked_lod(source, levels, shape):
    """The levels as lists; each must divide the pieces of the next one, and the last the rows."""
    lod = []
    for depth, (at, offsets) in enumerate(levels):
        pieces = len(levels[depth + 1][1]) - 1 if depth + 1 < len(levels) else shape[0] if shape else 0
        if offsets[0] != 0 or (offsets[1:] < offsets[:-1]).any() or offsets[-1] != pieces:
            raise source.error(f"the offsets of LoD level {depth} do not rise from 0 to {pieces:,}", at)
        lod.append(offsets.tolist())
    return lod


def _read_desc(source):
    from google.protobuf.message import DecodeError

    from . import schema

    at = source.offset
    [size] = struct.unpack("<i", source.take(4, "the size of the tensor's description"))
    if not 0 <= size <= _LONGEST_DESC:
        raise source.error(f"the tensor's description cannot take {size:,} bytes", at)
    desc = schema.TensorDesc()
    try:
        desc.MergeFromString(source.take(size, "the tensor's description"))
    except DecodeError as error:
        raise source.error(f"the tensor's description is damaged: {error}", at) from None
    shape = tuple(desc.dims)
    if not desc.HasField("data_type") or len(shape) > _DIMS:
        raise source.error("the tensor's description is damaged: it lacks the data type or has too many sizes", at)
    try:
        dtype = numpy_dtype(VarType(desc.data_type))
    except (ValueError, TypeError):
        raise source.error(f"a tensor cannot be of the data type {desc.data_type}", at) from None
    if min(shape, default=0) < 0:
        raise source.error(f"a tensor cannot have the shape {list(shape)}", at)
    return shape, dtype.newbyteorder("<")
