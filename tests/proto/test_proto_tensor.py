"""Paddle's binary form of a variable: its very bytes, and what is said about damaged ones."""

import io
import struct

import numpy as np
import pytest
from oracle_harness import load_json

from fluidlite.proto import tensor
from fluidlite.proto.files import ModelFileError, Source

RECORDED = load_json("values")


def source(data):
    return Source(io.BytesIO(data), len(data), "weights")


def read(data):
    with source(data) as taken:
        header = tensor.read_header(taken)
        array = tensor.read_values(taken, header)
        taken.end("the variable")
    return array, header.lod


def packed(array, lod=()):
    return b"".join(tensor.pack(array, lod))


@pytest.mark.parametrize("name", RECORDED["tensors"])
def test_reads_and_writes_the_bytes_of_the_real_paddle(name):
    real = RECORDED["tensors"][name]
    expected = np.array(real["values"]).reshape(real["shape"]).astype(real["dtype"])
    array, lod = read(bytes.fromhex(real["file"]))
    np.testing.assert_array_equal(array, expected, strict=True)
    assert lod == real["lod"]
    assert packed(expected, real["lod"]).hex() == real["file"]


def test_variables_in_one_file_follow_each_other_by_name():
    data = bytes.fromhex(RECORDED["several"]["file"])
    number = {name: value for value, name in enumerate(RECORDED["several"]["names"])}
    assert b"".join(packed(np.array([number[name]], "float32")) for name in sorted(number)) == data
    with source(data) as taken:
        found = [tensor.read_values(taken, tensor.read_header(taken))[0] for _ in number]
        taken.end("the last")
    assert found == [number[name] for name in sorted(number)]


@pytest.mark.parametrize("array", [np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.arange(12)[::2].astype(">i4")])
def test_any_layout_of_memory_is_written(array):
    np.testing.assert_array_equal(read(packed(array))[0], array)


def test_a_large_array_is_not_copied_to_be_written():
    array = np.zeros((1000, 1000), "float32")
    assert np.shares_memory(np.frombuffer(tensor.pack(array)[-1], "uint8"), array)


def test_what_is_read_can_be_written_to():
    array, _ = read(packed(np.ones(3)))
    array += 1


def desc(*fields):
    data = b"".join(fields)
    return struct.pack("<IQIi", 0, 0, 0, len(data)) + data


def dims(*sizes):
    def varint(value):
        value &= (1 << 64) - 1
        data = bytearray()
        while value > 127:
            data.append(value & 127 | 128)
            value >>= 7
        return bytes([*data, value])

    return b"".join(b"\x10" + varint(size) for size in sizes)


FLOAT32 = b"\x08\x05"
DAMAGED = {
    "empty": (b"", "version of the LoDTensor.*at byte 0"),
    "version": (struct.pack("<I", 1), "LoDTensor is of version 1.*at byte 0"),
    "2**60 levels": (struct.pack("<IQ", 0, 1 << 60) + bytes(100), "LoD levels.*at byte 4"),
    "a level of 2**60 bytes": (struct.pack("<IQQ", 0, 1, 1 << 60) + bytes(100), "a LoD level should take.*at byte 20"),
    "a level of 7 bytes": (struct.pack("<IQQ", 0, 1, 7) + bytes(100), "cannot take 7 bytes.*at byte 12"),
    "tensor version": (struct.pack("<IQI", 0, 0, 9) + bytes(9), "the tensor is of version 9.*at byte 12"),
    "negative description": (struct.pack("<IQIi", 0, 0, 0, -1), "description cannot take -1 bytes.*at byte 16"),
    "huge description": (struct.pack("<IQIi", 0, 0, 0, 1 << 30), "cannot take.*at byte 16"),
    "no description": (desc(), "lacks the data type.*at byte 16"),
    "garbled description": (desc(b"\xff\xff"), "description is damaged.*at byte 16"),
    "unknown data type": (desc(b"\x08\x63", dims(1)), "data type 99.*at byte 16"),
    "a data type of no tensor": (desc(b"\x08\x07", dims(1)), "data type 7"),
    "negative size": (desc(FLOAT32, dims(2, -3)), r"shape \[2, -3\].*at byte 16"),
    "huge size": (desc(FLOAT32, dims(1 << 60)), "take 4,611,686,018,427,387,904 bytes, but 0 are left.*at byte 32"),
    "sizes whose product overflows": (desc(FLOAT32, dims(1 << 40, 1 << 40, 1 << 40)), "incomplete"),
    "no rows of a huge size": (desc(FLOAT32, dims(0, 1 << 62)), "no room"),
    "40 dimensions": (desc(FLOAT32, dims(*[1] * 40)) + bytes(4), "too many sizes"),
    "truncated": (packed(np.ones((2, 3)))[:-1], "48 bytes, but 47 are left: the file is incomplete.*at byte 26"),
    "trailing": (packed(np.ones((2, 3))) + b"x", "1 bytes follow the variable.*at byte 74"),
    "LoD falls": (packed(np.ones((4, 1)), [[0, 3, 2, 4]]), "LoD level 0 do not rise from 0 to 4.*at byte 12"),
    "LoD starts at 1": (packed(np.ones((4, 1)), [[1, 4]]), "LoD level 0"),
    "LoD beyond the rows": (packed(np.ones((4, 1)), [[0, 5]]), "LoD level 0"),
    "LoD before the rows' end": (packed(np.ones((4, 1)), [[0, 3]]), "LoD level 0"),
    "LoD of a scalar": (packed(np.ones(()), [[0, 1]]), "LoD level 0"),
    "LoD levels that do not fit": (packed(np.ones((4, 1)), [[0, 3], [0, 4]]), "LoD level 0 .* from 0 to 1"),
}


@pytest.mark.parametrize("data, message", DAMAGED.values(), ids=DAMAGED)
def test_damaged_variables_are_refused_at_the_byte(data, message):
    with pytest.raises(ModelFileError, match=f"^weights: .*{message}"):
        read(data)


def test_every_truncation_is_noticed():
    data = packed(np.ones((4, 1), "float32"), [[0, 1, 2], [0, 1, 4]])
    for length in range(len(data)):
        with pytest.raises(ModelFileError, match="at byte"):
            read(data[:length])
