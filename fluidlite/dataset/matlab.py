"""The matrices of numbers in a MATLAB file of version 5.

MathWorks, MAT-File Format (R2023a): a header of 128 bytes, then elements of a type, a length and data, each filled up
to 8 bytes. An element may be others, compressed; one whose data take at most 4 bytes stands in the place of its length.
"""

import struct
import zlib

import numpy as np

from .files import DatasetError

_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_MATRIX, _COMPRESSED = 14, 15
_NUMERIC_CLASSES = range(6, 16)  # double, single, and the integers of 8 to 64 bits
_COMPLEX = 0x800


def load_matrices(path):
    """Return the real matrices of numbers in a MATLAB file; what else it holds is passed over.

    Args:
        path (str): the file.

    Returns:
        dict: name -> array of the data type in which the file has it, which may be a narrower one than MATLAB's.

    Raises:
        DatasetError: it is damaged, or no MATLAB file of version 5.
    """
    with open(path, "rb") as file:
        content = file.read()
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if order is None:
        raise DatasetError(f"{path} is no MATLAB file of version 5")
    try:
        return dict(_matrices(content[128:], order))
    except (ValueError, IndexError, struct.error, zlib.error) as error:
        raise DatasetError(f"{path} is damaged ({error}). Delete it to have it fetched.") from None


def _matrices(content, order):
    for kind, data in _elements(content, order):
        if kind == _COMPRESSED:
            yield from _matrices(zlib.decompress(data), order)
        elif kind == _MATRIX:
            (_, flags), (_, dims), (_, name), *values = _elements(data, order)
            [flag] = struct.unpack(order + "I", flags[:4])
            if flag & 0xFF in _NUMERIC_CLASSES and not flag & _COMPLEX:
                [(kind, numbers)] = values
                shape = np.frombuffer(dims, order + "i4")
                matrix = np.frombuffer(numbers, order + _TYPES[kind]).reshape(shape, order="F")
                yield name.decode("latin-1"), matrix


def _elements(content, order):
    at = 0
    while at < len(content):
        kind, length = struct.unpack_from(order + "II", content, at)
        if kind >> 16:  # a small element
            kind, length, start = kind & 0xFFFF, kind >> 16, at + 4
            following = at + 8
        else:
            start = at + 8
            following = start + length + (-length % 8 if kind != _COMPRESSED else 0)
        if start + length > len(content):
            raise ValueError("an element is longer than the file")
        yield kind, content[start : start + length]
        at = following
