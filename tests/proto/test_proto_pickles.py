"""The pickles of fluid.save: what any Paddle wrote is read, what is written any Python 3 reads, and nothing is run."""

import _codecs
import collections
import io
import os
import pickle
import pickletools
import struct
import tempfile

import numpy as np
import pytest
from oracle_harness import load_json

from fluidlite.proto import pickles
from fluidlite.proto.files import ModelFileError, Source

RECORDED = load_json("values")
RANDOM = np.random.RandomState(0)
ARRAYS = {
    "weight": RANDOM.rand(3, 4).astype("float32"),
    "long": RANDOM.rand(300, 5),
    "half": RANDOM.rand(7).astype("float16"),
    "counts": np.arange(5),
    "flags": np.array([True, False]),
    "bytes": np.arange(256, dtype="uint8"),
    "scalar": np.array(2.5),
    "no rows": np.zeros((0, 3), "int8"),
    "été": np.ones(2),
}


def source(data):
    return Source(io.BytesIO(data), len(data), "model.pdparams")


def read(data):
    return pickles.read(source(data))


def packed(arrays):
    return b"".join(pickles.pack(arrays))


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, strict=isinstance(value, np.ndarray))


@pytest.mark.parametrize("name", ["pdparams", "pdopt"])
@pytest.mark.parametrize("paddle", ["1.8.5", "2.6.2"])
def test_reads_what_real_paddles_wrote(paddle, name):
    data = bytes.fromhex((RECORDED if paddle == "1.8.5" else RECORDED["paddle 2"])[name])
    expected = pickle.loads(data)
    found = read(data)
    assert_same(found, expected)
    assert all(value.flags.writeable for value in found.values() if isinstance(value, np.ndarray))


def test_the_names_of_paddle_2_become_those_of_a_program():
    state = pickles.read_state(source(bytes.fromhex(RECORDED["paddle 2"]["pdparams"])))
    assert {name: value.shape for name, value in state.items()} == {"linear_0.w_0": (3, 2), "linear_0.b_0": (2,)}


def test_the_pieces_of_paddle_2_are_joined():
    whole = np.arange(12.0).reshape(4, 3)
    joined = {"w": {"OriginShape": (4, 3), "slices": ["w@@.0", "w@@.1"]}}
    data = {"w@@.0": whole.reshape(-1)[:7], "w@@.1": whole.reshape(-1)[7:], "UnpackBigParamInfor@@": joined}
    np.testing.assert_array_equal(pickles.read_state(source(pickle.dumps(data)))["w"], whole)
    for wrong in (["w@@.0"], ["w@@.0", "w@@.2"], ["w@@.0", "w@@.0"], [], "w@@.0"):
        joined["w"]["slices"] = wrong
        with pytest.raises(ModelFileError, match="'w'"):
            pickles.read_state(source(pickle.dumps(data)))


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_reads_every_binary_protocol(protocol):
    assert_same(read(pickle.dumps(ARRAYS, protocol)), ARRAYS)
    others = {
        "fortran": np.asfortranarray(RANDOM.rand(3, 50)),
        "big endian": np.arange(5, dtype=">i4"),
        "number": np.float64(3.5),
        "epoch": 7,
        "rate": 0.1,
        "names": ["a", ("b", None, True)],
        "nested": collections.OrderedDict(x=ARRAYS["weight"], y={}),
    }
    found = read(pickle.dumps(others, protocol))
    np.testing.assert_array_equal(found["fortran"], others["fortran"])
    np.testing.assert_array_equal(found["big endian"], others["big endian"])
    np.testing.assert_array_equal(found["nested"]["x"], ARRAYS["weight"])
    assert found["big endian"].dtype.isnative
    assert [found[name] for name in ("number", "epoch", "rate", "names")] == [3.5, 7, 0.1, ["a", ("b", None, True)]]


def test_an_array_under_two_names_is_read():
    tied = read(pickle.dumps({"a": ARRAYS["long"], "b": ARRAYS["long"]}))
    np.testing.assert_array_equal(tied["a"], ARRAYS["long"])
    np.testing.assert_array_equal(tied["b"], ARRAYS["long"])


def python_2(arrays):
    """What Python 2 writes: its texts and bytes are both of one kind."""

    def text(data):
        return b"U" + bytes([len(data)]) + data if len(data) < 256 else b"T" + struct.pack("<i", len(data)) + data

    items = b"".join(
        text(name.encode())
        + b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01"
        + b"".join(b"\x8a\x01" + bytes([size]) for size in array.shape)
        + {1: b"\x85", 2: b"\x86"}[array.ndim]
        + b"cnumpy\ndtype\n"
        + text(array.dtype.str[1:].encode())
        + b"K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        + text(array.tobytes())
        + b"tb"
        for name, array in arrays.items()
    )
    return b"\x80\x02}(" + items + b"u."


def test_reads_what_python_2_wrote():
    arrays = {"fc_0.w_0": RANDOM.rand(6, 50), "fc_0.b_0": RANDOM.rand(3).astype("float32")}
    data = python_2(arrays)
    assert_same(pickle.loads(data, encoding="latin1"), arrays)
    assert_same(read(data), arrays)


def test_is_read_as_paddle_reads_it():
    data = packed(ARRAYS)
    assert_same(pickle.loads(data), ARRAYS)
    assert_same(pickle.loads(data, encoding="latin1"), ARRAYS)
    assert_same(read(data), ARRAYS)


def test_names_modules_that_old_and_new_numpy_have_and_no_protocol_above_3():
    steps = list(pickletools.genops(packed(ARRAYS)))
    assert {argument for step, argument, _ in steps if step.name == "GLOBAL"} == {
        "numpy.core.multiarray _reconstruct",
        "numpy ndarray",
        "numpy dtype",
    }
    assert max(step.proto for step, _, _ in steps) == 3


def test_long_arrays_are_neither_copied_nor_inflated():
    array = np.full((500, 500), 0xFF, "uint8")
    buffers = pickles.pack({"a": array})
    assert any(np.shares_memory(np.frombuffer(buffer, "uint8"), array) for buffer in buffers)
    assert sum(map(len, buffers)) < array.nbytes + 200


class Call:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class ArrayOf:
    """Pickles as an array whose state is made up."""

    def __init__(self, *state):
        self.state = state

    def __reduce__(self):
        return np.zeros(0).__reduce__()[0], (np.ndarray, (0,), b"b"), self.state


RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
FLOAT32 = (
    b"cnumpy\ndtype\nX\x02\x00\x00\x00f4\x89\x88\x87R"
    b"(K\x03X\x01\x00\x00\x00<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
)
KEY = b"\x80\x03}X\x01\x00\x00\x00w"
SIZE_60, SIZE_62 = (b"\x8a\x08" + struct.pack("<q", 1 << bits) for bits in (60, 62))
HERE = os.path.join(tempfile.gettempdir(), f"fluidlite-was-run-{os.getpid()}")

HOSTILE = {
    "a command": (pickle.dumps({"w": Call(os.system, f"touch {HERE}")}), "posix.system|nt.system"),
    "eval": (pickle.dumps({"w": Call(eval, f"open({HERE!r}, 'w')")}), "eval"),
    "a class": (pickle.dumps({"w": collections.Counter}), "collections.Counter"),
    "getattr of numpy": (b"\x80\x03}(X\x01\x00\x00\x00wcnumpy\nload\nu.", "numpy.load"),
    "a name inside a module": (b"\x80\x04\x8c\x05numpy\x8c\x0bndarray.fil\x93.", "numpy.ndarray.fil"),
    "codecs.encode to another codec": (
        pickle.dumps({"w": Call(_codecs.encode, "x", "zip")}),
        "calls _codecs encode",
    ),
    "the opcode of old classes": (b"(X\x01\x00\x00\x00xios\nsystem\n.", "b'i', which no file"),
    "persistent ids": (b"\x80\x02Pmodel\n.", "b'P'"),
    "extensions": (b"\x80\x02\x82\x01.", "which no file"),
    "objects": (pickle.dumps({"w": np.array([{}], object)}), "dtype"),
    "structured data": (pickle.dumps({"w": np.zeros(2, "f4,i4")}), "dtype"),
    "dates": (pickle.dumps({"w": np.zeros(2, "M8[s]")}), "dtype"),
    "a list": (pickle.dumps([np.ones(2)]), "no dict but a list"),
    "a set": (pickle.dumps({"w": {1}}), "which no file"),
    "a function as value": (KEY + b"cnumpy\nndarray\ns.", "neither an array nor plain"),
    "an array without elements": (KEY + RECONSTRUCT + b"s.", "neither an array nor plain"),
    "2**60 bytes": (KEY + b"\x8e" + struct.pack("<Q", 1 << 60) + b"xs.", "take 1,152,921,504,606,846,976 bytes"),
    "2**31 characters": (KEY + b"X" + struct.pack("<I", 1 << 31) + b"xs.", "take 2,147,483,648 bytes"),
    "a frame of 2**60 bytes": (b"\x80\x04\x95" + struct.pack("<Q", 1 << 60) + b".", "a frame"),
    "a number of 2**31 bytes": (b"\x80\x02\x8b" + struct.pack("<I", 1 << 31) + b".", "a number cannot take"),
    "a text of -1 bytes": (b"\x80\x02T\xff\xff\xff\xff.", "cannot take -1 bytes"),
    "value 2**31 that was not kept": (b"\x80\x02j\x00\x00\x00\x80.", "value 2,147,483,648 again"),
    "a shape of 2**60": (
        KEY + RECONSTRUCT + b"(K\x01" + SIZE_60 + b"\x85" + FLOAT32 + b"\x89C\x04abcdtbs.",
        "takes 4,611,686,018,427,387,904 bytes, but has 4",
    ),
    "no rows of 2**62": (
        KEY + RECONSTRUCT + b"(K\x01K\x00" + SIZE_62 + b"\x86" + FLOAT32 + b"\x89C\x00tbs.",
        "no room",
    ),
    "a negative size": (
        KEY + RECONSTRUCT + b"(K\x01J\xff\xff\xff\xff\x85" + FLOAT32 + b"\x89C\x04abcdtbs.",
        "cannot have such a shape",
    ),
    "40 dimensions": (
        KEY + RECONSTRUCT + b"(K\x01(" + b"K\x01" * 40 + b"t" + FLOAT32 + b"\x89C\x04abcdtbs.",
        "cannot have such a shape",
    ),
    "too few elements": (
        KEY + RECONSTRUCT + b"(K\x01K\x02\x85" + FLOAT32 + b"\x89C\x04abcdtbs.",
        "takes 8 bytes, but has 4",
    ),
    "elements in a list": (KEY + RECONSTRUCT + b"(K\x01K\x01\x85" + FLOAT32 + b"\x89]tbs.", "no bytes but a list"),
    "a dict inside itself": (b"\x80\x02}q\x00X\x01\x00\x00\x00wh\x00s.", "inside itself"),
    "a list many times over": (
        b"\x80\x02}X\x01\x00\x00\x00w]q\x00" + b"".join(b"](h%ch%ceq%c" % (i, i, i + 1) for i in range(40)) + b"s.",
        "container twice",
    ),
    "a tuple many times over": (
        b"\x80\x02}X\x01\x00\x00\x00w)q\x00" + b"".join(b"h%ch%c\x86q%c" % (i, i, i + 1) for i in range(40)) + b"s.",
        "container twice",
    ),
    "deep tuples": (KEY + b")" + b"\x85" * 1000 + b"s.", "neither an array nor plain: tuple"),
    "deep marks": (b"\x80\x02" + b"(" * 1000 + b".", "nests deeper"),
    "many values": (b"\x80\x02" + b"N" * 100_000 + b".", "piles up"),
    "endless steps": (b"\x80\x02" + b"}q\x00NNN\x87K\x00K\x00s" * 300_000 + b".", "piles up|no text|steps|no dict"),
    "a tuple as key": (b"\x80\x02})Ns.", "key of a dict is no text"),
    "nothing to take": (b"\x80\x02s.", "more values than it made"),
    "no mark": (b"\x80\x02}u.", "did not begin"),
    "two values": (b"\x80\x02}}.", "ends too early"),
    "bytes after the end": (pickle.dumps({}) + b"x", "1 bytes follow"),
    "protocol 0": (pickle.dumps({"w": 1}, 0), r"which no file"),
    "protocol 9": (b"\x80\x09}.", "protocol 9"),
    "empty": (b"", "incomplete"),
    "a text that is no UTF-8": (b"\x80\x02X\x01\x00\x00\x00\xff.", "not UTF-8"),
}


@pytest.mark.parametrize("data, message", HOSTILE.values(), ids=HOSTILE)
def test_hostile_pickles_are_refused_and_run_nothing(data, message):
    with pytest.raises(ModelFileError, match=rf"^model\.pdparams: .*({message}).*at byte \d"):
        read(data)
    assert not os.path.exists(HERE)


def test_the_same_bytes_cannot_serve_two_arrays():
    # Else a short file could ask for any amount of memory.
    data = b"B\xe8\x03\x00\x00" + bytes(1000) + b"q\x00"
    array = RECONSTRUCT + b"(K\x01M\xfa\x00\x85" + FLOAT32 + b"\x89%stb"
    first, second = array % data, array % b"h\x00"
    both = b"\x80\x03}(X\x01\x00\x00\x00a" + first + b"X\x01\x00\x00\x00b" + second + b"u."
    assert pickle.loads(both)["b"].shape == (250,)
    with pytest.raises(ModelFileError, match="two arrays have the same elements"):
        read(both)


@pytest.mark.parametrize("protocol", [2, 4])
def test_every_truncation_is_noticed(protocol):
    data = pickle.dumps({"w": np.arange(50.0), "b": np.ones(2)}, protocol)
    for length in range(len(data)):
        with pytest.raises(ModelFileError, match="at byte"):
            read(data[:length])


def test_characters_beyond_a_byte_are_no_elements():
    text = "x" * 299 + "\u20ac"
    data = pickle.dumps({"w": ArrayOf(1, (300,), np.dtype("u1"), False, Call(_codecs.encode, text, "latin1"))}, 2)
    with pytest.raises(ModelFileError, match="elements of an array are no bytes"):
        read(data)
