"""A stand-in for NVIDIA's module `cudnn`, which convolves on the fake GPU, by NumPy.

Names, arguments and the order of calls are those of the real front end.
It is strict: an argument of another name or type is a TypeError, a step out of order a RuntimeError, and a graph that
cuDNN could not execute is refused as there, by `cudnnGraphNotSupportedError`.
"""

import ctypes
import enum
import itertools

import numpy as np


class cudnnGraphNotSupportedError(Exception):
    pass


class data_type(enum.Enum):
    FLOAT = "float32"
    DOUBLE = "float64"
    NOT_SET = ""


class numerical_note(enum.Enum):
    TENSOR_CORE = 0
    DOWN_CONVERT_INPUTS = 1
    REDUCED_PRECISION_REDUCTION = 2
    FFT = 3
    NONDETERMINISTIC = 4
    WINOGRAD = 5
    WINOGRAD_TILE_4x4 = 6
    WINOGRAD_TILE_6x6 = 7
    WINOGRAD_TILE_13x13 = 8
    STRICT_NAN_PROP = 9


class heur_mode(enum.Enum):
    A = 0
    B = 1
    FALLBACK = 2


class Settings:
    """What the stand-in is to do.

    Attributes:
        works: whether there is a cuDNN behind the front end.
        adds_bias: whether there are plans that add a bias after a convolution.
        supports: directions of which there are plans.
        executed: the directions that were executed.
        notes: those that plans of the last graph must not have.
    """

    def __init__(self):
        self.works = self.adds_bias = True
        self.supports = {"fprop", "dgrad", "wgrad"}
        self.executed = []
        self.notes = []


settings = Settings()


def reset():
    settings.__init__()


def backend_version():
    if not settings.works:
        raise RuntimeError("Unable to find symbol cudnnGetVersion")
    return 91000


class Handle:
    stream = 0


def create_handle():
    backend_version()
    return Handle()


def set_stream(handle, stream):
    _check(handle, Handle)
    handle.stream = _check(stream, int)


def _check(value, *types):
    if type(value) not in types:
        raise TypeError(f"a {' or '.join(one.__name__ for one in types)} is wanted, got {value!r}")
    return value


def _numbers(values):
    return [_check(value, int) for value in _check(values, list)]


class Tensor:
    """A tensor of a graph."""

    def __init__(self, name="", dim=None, stride=None, type=None, is_virtual=False):
        self.name, self.dim, self.stride, self.type, self.is_virtual = name, dim, stride, type, is_virtual

    def set_output(self, value):
        self.is_virtual = not _check(value, bool)
        return self

    def set_dim(self, dim):
        self.dim = _numbers(dim)
        return self

    def set_stride(self, stride):
        self.stride = _numbers(stride)
        return self

    def set_data_type(self, type):
        self.type = _check(type, data_type)
        return self

    def set_name(self, name):
        self.name = _check(name, str)
        return self

    def at(self, address):
        """The memory at an address as an array."""
        dtype = np.dtype(self.type.value)
        size = sum((size - 1) * stride for size, stride in zip(self.dim, self.stride, strict=True)) + 1
        memory = np.frombuffer((ctypes.c_char * (size * dtype.itemsize)).from_address(_check(address, int)), dtype)
        strides = [stride * dtype.itemsize for stride in self.stride]
        return np.lib.stride_tricks.as_strided(memory, self.dim, strides)


_STEPS = ["describe", "validate", "build_operation_graph", "create_execution_plans", "check_support", "build_plans"]


class pygraph:
    """A graph of one convolution, and perhaps a bias."""

    def __init__(
        self,
        name="test_graph",
        io_data_type=data_type.NOT_SET,
        intermediate_data_type=data_type.NOT_SET,
        compute_data_type=data_type.NOT_SET,
        handle=None,
    ):
        for type in io_data_type, intermediate_data_type, compute_data_type:
            _check(type, data_type)
        self._handle = _check(handle, Handle)
        self._tensors, self._convolution, self._bias = [], None, None
        self._done = "describe"
        settings.notes = []

    def _step(self, name):
        if _STEPS.index(name) != _STEPS.index(self._done) + 1:
            raise RuntimeError(f"{name} after {self._done}")
        self._done = name

    def tensor(self, dim, stride=None, data_type=None, is_virtual=False, is_pass_by_value=False, name=""):
        tensor = Tensor(_check(name, str), _numbers(dim), _numbers(stride), data_type, is_virtual)
        tensor.set_data_type(data_type)
        self._tensors.append(tensor)
        return tensor

    def conv_fprop(self, image, weight, **moves):
        return self._convolve("fprop", image, weight, None, **moves)

    def conv_dgrad(self, loss, filter, **moves):
        return self._convolve("dgrad", None, filter, loss, **moves)

    def conv_wgrad(self, image, loss, **moves):
        return self._convolve("wgrad", image, None, loss, **moves)

    def _convolve(
        self, kind, image, weight, loss, padding=None, pre_padding=None, post_padding=None, stride=None, dilation=None
    ):
        if (padding is None) != (pre_padding is not None and post_padding is not None):
            raise TypeError("either padding, or pre_padding and post_padding")
        found = Tensor(is_virtual=True)
        parts = [found if one is None else _check(one, Tensor) for one in (image, weight, loss)]
        moves = [padding or pre_padding, stride, dilation]
        self._convolution = kind, parts, [_numbers(one) for one in moves]
        self._padding = [_numbers(padding or pre_padding), _numbers(padding or post_padding)]
        return found

    def bias(self, input, bias):
        if _check(input, Tensor).dim is None and self._convolution[0] != "fprop":
            raise ValueError("the dimensions of a gradient cannot be inferred")
        found = Tensor(is_virtual=True)
        self._bias = input, _check(bias, Tensor), found
        return found

    @property
    def _result(self):
        kind, parts, _ = self._convolution
        return self._bias[2] if self._bias else parts[{"fprop": 2, "dgrad": 0, "wgrad": 1}[kind]]

    def validate(self):
        self._step("validate")
        kind, parts, _ = self._convolution
        if self._result.is_virtual or self._result.dim is None:
            raise ValueError("the result is no output of the graph, or has no dimensions")
        if self._bias and not self._bias[0].is_virtual:
            raise ValueError("what a bias is added to is an output")

    def build_operation_graph(self):
        self._step("build_operation_graph")

    def create_execution_plans(self, heuristics):
        self._step("create_execution_plans")
        for mode in _check(heuristics, list):
            _check(mode, heur_mode)

    def deselect_numeric_notes(self, notes):
        if self._done != "create_execution_plans":
            raise RuntimeError("there are no plans, or it is too late")
        settings.notes = [_check(note, numerical_note) for note in _check(notes, list)]
        return self

    def deselect_workspace_greater_than(self, limit):
        _check(limit, int)
        return self

    def check_support(self):
        self._step("check_support")
        if self._convolution[0] not in settings.supports or self._bias and not settings.adds_bias:
            raise cudnnGraphNotSupportedError("no plan is left")

    def build_plans(self):
        self._step("build_plans")

    def get_workspace_size(self):
        return 1000

    def execute(self, tensor_dict, workspace=None, handle=None):
        if self._done != "build_plans":
            raise RuntimeError("there is no plan")
        _check(workspace, int)
        kind, parts, moves = self._convolution
        wanted = {id(one): one for one in [*parts, *((self._bias[1], self._result) if self._bias else ())]}
        wanted = {key: one for key, one in wanted.items() if not one.is_virtual}
        if {id(tensor) for tensor in tensor_dict} != set(wanted):
            raise ValueError("an address for each tensor of the graph is wanted")
        arrays = {id(tensor): tensor.at(address) for tensor, address in tensor_dict.items()}
        memory = np.frombuffer((ctypes.c_char * self.get_workspace_size()).from_address(workspace), np.uint8)

        def run():
            memory[:] = 255
            settings.executed.append(kind)
            result = arrays[id(self._result)]
            given = [arrays.get(id(part)) if part is not self._result else None for part in parts]
            given = [None if part.is_virtual else one for part, one in zip(parts, given, strict=True)]
            found = _compute(kind, given, parts, self._padding, *moves[1:], self._result.dim)
            result[...] = found + (arrays[id(self._bias[1])] if self._bias else 0)

        _enqueue(_check(handle, Handle).stream, run)


_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_enqueued = []  # graphs may call what is here at any time


def _enqueue(stream, function):
    """Work in the order of a stream, and so part of a graph while the stream is captured."""
    callback = _CALLBACK(lambda _: function())
    _enqueued.append(callback)
    status = ctypes.CDLL("libemulator.so").cudaLaunchHostFunc(ctypes.c_void_p(stream), callback, None)
    if status:
        raise RuntimeError(f"cudaLaunchHostFunc ended with status {status}")


def _compute(kind, arrays, parts, padding, stride, dilation, result):
    """One direction of a convolution, in double precision, tap by tap."""
    image, weight, loss = arrays
    shape = list(image.shape if image is not None else result)
    taps = weight.shape if weight is not None else tuple(result)
    filters, of_group, kh, kw = taps
    groups = shape[1] // of_group
    (top, left), (bottom, right) = padding
    height, width = shape[2] + top + bottom, shape[3] + left + right
    outputs = [
        (size - (window - 1) * step - 1) // move + 1
        for size, window, step, move in zip((height, width), (kh, kw), dilation, stride, strict=True)
    ]
    if loss is not None and list(loss.shape) != [shape[0], filters, *outputs]:
        raise ValueError(f"the loss has the shape {loss.shape}, not {[shape[0], filters, *outputs]}")
    padded = np.zeros((shape[0], groups, of_group, height, width))
    inside = padded[:, :, :, top : top + shape[2], left : left + shape[3]]
    if image is not None:
        inside[...] = image.reshape(shape[0], groups, of_group, *shape[2:])
    weights = np.zeros(taps) if weight is None else weight.astype(np.float64)
    weights = weights.reshape(groups, filters // groups, of_group, kh, kw)
    out = np.zeros((shape[0], groups, filters // groups, *outputs))
    if loss is not None:
        out[...] = loss.reshape(out.shape)
    for r, s in itertools.product(range(kh), range(kw)):
        rows, columns = (
            slice(tap * step, tap * step + (count - 1) * move + 1, move)
            for tap, step, count, move in zip((r, s), dilation, outputs, stride, strict=True)
        )
        window, tap = padded[..., rows, columns], weights[..., r, s]
        if kind == "fprop":
            out += np.einsum("gfc,ngchw->ngfhw", tap, window)
        elif kind == "dgrad":
            window += np.einsum("gfc,ngfhw->ngchw", tap, out)
        else:
            tap += np.einsum("ngfhw,ngchw->gfc", out, window)
    found = {"fprop": out, "dgrad": inside, "wgrad": weights}[kind]
    return found.reshape(result)
