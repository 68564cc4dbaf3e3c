"""Prediction with saved models, under the names of Paddle's inference library; `fluid.core` has them.

For example:

    config = fluid.core.AnalysisConfig("model")
    predictor = fluid.core.create_paddle_predictor(config)
    [result] = predictor.run([fluid.core.PaddleTensor(images)])
    print(result.as_ndarray())
"""

import copy
import enum
import os

import numpy as np

from ..core.errors import EnforceNotMet
from ..engine.places import CPUPlace, CUDAPlace
from ..engine.scope import Scope
from ..engine.tensors import LoDTensor
from .executor import Executor, scope_guard
from .io import load_inference_model
from .messages import described

__all__ = ["AnalysisConfig", "PaddleBuf", "PaddleDType", "PaddlePredictor", "PaddleTensor", "create_paddle_predictor"]


class PaddleDType(enum.Enum):
    """The data types of a PaddleTensor."""

    FLOAT32 = "float32"
    INT64 = "int64"
    INT32 = "int32"


class PaddleBuf:
    """The numbers of a PaddleTensor.

    Args:
        data: an array of float32, int64 or int32, or a list of numbers, which become float32.
    Raises:
        TypeError: it is neither.
    """

    def __init__(self, data):
        self.reset(data)

    def reset(self, data):
        """Take other numbers (as the constructor does)."""
        data = np.asarray(data, "float32") if isinstance(data, list) else data
        if not isinstance(data, np.ndarray) or data.dtype.name not in {dtype.value for dtype in PaddleDType}:
            raise TypeError(f"the data must be an array of float32, int64 or int32, got {described(data)}")
        self._array = np.array(data, order="C")

    def length(self):
        """How many bytes there are (int)."""
        return self._array.nbytes

    def empty(self):
        """Whether there are none (bool)."""
        return self._array.size == 0

    def tolist(self):
        """The numbers, whatever their shape (list)."""
        return self._array.reshape(-1).tolist()

    float_data = int64_data = int32_data = tolist


class PaddleTensor:
    """An input or a result of a predictor.

    Args:
        data: an array of float32, int64 or int32.
        name (str): which input it is, where the config says `switch_specify_input_names(True)`.
        lod: offsets of sequences, for each level (list of lists of int).
        copy (bool): without effect: the numbers are always copied.
    Attributes:
        name, lod: as above.
        shape (list of int): may be set to another one of as many numbers.
        data (PaddleBuf): the numbers.
    Raises:
        TypeError: data of another type.
    """

    def __init__(self, data=None, name="", lod=(), copy=True):
        data = np.zeros(0, "float32") if data is None else data
        self.data, self.name, self.lod = PaddleBuf(data), name, [list(level) for level in lod]
        self.shape = list(data.shape)

    @property
    def dtype(self):
        """The data type (PaddleDType)."""
        return PaddleDType(self.data._array.dtype.name)

    def as_ndarray(self):
        """The numbers in their shape (np.ndarray)."""
        return self.data._array.reshape(self.shape)


class AnalysisConfig:
    """Which model a predictor has, and where it runs.

    What tells Paddle how to go about it (MKL-DNN, TensorRT, memory, logs) is accepted without effect.

    Args:
        model: the folder of the model, another AnalysisConfig, or, with `params`, the Program's file.
        params (str): the file with all parameters.
    """

    def __init__(self, model=None, params=None):
        self._folder = self._program = self._parameters = ""
        self._device, self._by_name = None, False
        if isinstance(model, AnalysisConfig):
            vars(self).update(vars(model))
        elif model is not None:
            self.set_model(model, params)

    def set_model(self, model, params=None):
        """Name the folder of the model, or its Program's file and the file with all parameters."""
        if params is None:
            self._folder = model
        else:
            self._program, self._parameters = model, params

    def set_prog_file(self, path):
        """Name the Program's file."""
        self._program = path

    def set_params_file(self, path):
        """Name the file with all parameters."""
        self._parameters = path

    def model_dir(self):
        """The folder (str)."""
        return self._folder

    def prog_file(self):
        """The Program's file (str)."""
        return self._program

    def params_file(self):
        """The file with all parameters (str)."""
        return self._parameters

    def enable_use_gpu(self, memory_pool_init_size_mb, device_id=0):
        """Run on a GPU.

        Args:
            memory_pool_init_size_mb (int): without effect.
            device_id (int): the number of the GPU.
        """
        self._device = device_id

    def disable_gpu(self):
        """Run on the CPU."""
        self._device = None

    def use_gpu(self):
        """Whether it runs on a GPU (bool)."""
        return self._device is not None

    def gpu_device_id(self):
        """The number of the GPU (int)."""
        return self._device or 0

    def switch_specify_input_names(self, x=True):
        """Tell inputs by their names (True) or by their order (False)."""
        self._by_name = x

    def specify_input_name(self):
        """Whether inputs are told by their names (bool)."""
        return self._by_name

    def _without_effect(self, *args, **kwargs):
        """Without effect: fluidlite has nothing of the kind."""

    delete_pass = disable_glog_info = enable_lite_engine = enable_memory_optim = enable_mkldnn = _without_effect
    enable_profile = enable_tensorrt_engine = set_cpu_math_library_num_threads = _without_effect
    set_mkldnn_cache_capacity = set_mkldnn_op = set_optim_cache_dir = set_trt_dynamic_shape_info = _without_effect
    switch_ir_debug = switch_ir_optim = switch_use_feed_fetch_ops = _without_effect


class PaddlePredictor:
    """Predicts with a saved model; `create_paddle_predictor` makes it."""

    def __init__(self, config):
        self._config = AnalysisConfig(config)
        self._executor = Executor(CUDAPlace(config.gpu_device_id()) if config.use_gpu() else CPUPlace())
        self._scope = Scope()
        files = config.prog_file() or None, config.params_file() or None
        folder = config.model_dir() or os.path.dirname(files[0] or "") or "."
        with scope_guard(self._scope):
            self._program, self._feeds, self._fetches = load_inference_model(folder, self._executor, *files)

    def get_input_names(self):
        """What is fed (list of str)."""
        return list(self._feeds)

    def get_output_names(self):
        """What is predicted (list of str)."""
        return [variable.name for variable in self._fetches]

    def get_input_tensor_shape(self):
        """The shape of each input; -1 stands for any size (dict of lists of int)."""
        block = self._program.global_block()
        return {name: list(block.var(name).shape) for name in self._feeds}

    def run(self, inputs):
        """Predict.

        Args:
            inputs (list of PaddleTensor): one for each input, in the order of `get_input_names()`, or with their names.
        Returns:
            list of PaddleTensor, in the order of `get_output_names()`.
        Raises:
            EnforceNotMet: inputs are missing, too many or have other names, or do not fit the model.
        """
        names = [tensor.name for tensor in inputs] if self._config.specify_input_name() else self._feeds
        if len(inputs) != len(self._feeds) or set(names) != set(self._feeds):
            got = names if self._config.specify_input_name() else f"{len(inputs)} tensors"
            raise EnforceNotMet(f"this model has the inputs {', '.join(self._feeds)}; got {got}")
        feed = {name: LoDTensor(tensor.as_ndarray(), tensor.lod) for name, tensor in zip(names, inputs, strict=True)}
        results = self._executor.run(self._program, feed, self._fetches, scope=self._scope, return_numpy=False)
        return [
            PaddleTensor(np.array(result), variable.name, result.lod())
            for variable, result in zip(self._fetches, results, strict=True)
        ]

    def clone(self):
        """Another predictor with the same model and the same parameters, for another thread (PaddlePredictor)."""
        other = copy.copy(self)
        other._executor = Executor(self._executor.place)
        return other


def create_paddle_predictor(config):
    """A predictor for a saved model.

    Args:
        config (AnalysisConfig): which model, and where it runs.
    Returns:
        PaddlePredictor.
    Raises:
        TypeError: config is none.
        ModelFileError: a file is missing or damaged, or uses operators that fluidlite lacks.
    """
    if not isinstance(config, AnalysisConfig):
        raise TypeError(f"create_paddle_predictor needs an AnalysisConfig, got {described(config)}")
    return PaddlePredictor(config)
