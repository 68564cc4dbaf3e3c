"""Initial values: each initializer puts one operator that writes a variable in front of the startup program."""

import contextlib
import math

import numpy as np

from ..core.dtypes import VALUE_LISTS, VarType, numpy_dtype
from . import unique_name

__all__ = [
    "Constant",
    "Uniform",
    "Normal",
    "TruncatedNormal",
    "Xavier",
    "Bilinear",
    "MSRA",
    "ConstantInitializer",
    "UniformInitializer",
    "NormalInitializer",
    "TruncatedNormalInitializer",
    "XavierInitializer",
    "BilinearInitializer",
    "MSRAInitializer",
    "NumpyArrayInitializer",
    "force_init_on_cpu",
    "init_on_cpu",
]


class Initializer:
    """What writes the first value of a variable.  Called as `initializer(var, block)`."""

    def __call__(self, var, block):
        """Prepend the operator that writes `var` to `block` (of the startup program) and return it."""
        raise TypeError(f"{type(self).__name__} does not say how to initialize {var.name}")

    def _prepend(self, var, block, type, attrs):
        """The operator `type` that writes `var`; float16 is drawn as float32 and cast."""
        target = var
        if var.dtype == VarType.FP16:
            name = unique_name.generate(f"{type}.{var.name}.tmp")
            target = block.create_var(name=name, shape=var.shape, dtype=VarType.FP32, persistable=False)
        op = block.prepend_op(
            type=type, outputs={"Out": target}, attrs={"shape": list(var.shape), "dtype": target.dtype, **attrs}
        )
        if target is not var:
            attrs = {"in_dtype": target.dtype, "out_dtype": var.dtype}
            block._insert_op(block.ops.index(op) + 1, "cast", {"X": target}, {"Out": var}, attrs)
        var.op = op
        return op

    def _uniform(self, var, block, low, high, seed, **attrs):
        return self._prepend(
            var, block, "uniform_random", {"min": low, "max": high, "seed": seed or block.program.random_seed, **attrs}
        )

    def _normal(self, var, block, mean, std, seed, type="gaussian_random"):
        return self._prepend(var, block, type, {"mean": mean, "std": std, "seed": seed or block.program.random_seed})


def _numbers(initializer, **values):
    """The values as floats; raises TypeError naming the initializer and its argument."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
            raise TypeError(f"{type(initializer).__name__}: {name} must be a number, got {value!r}")
    return [float(value) for value in values.values()]


def _seed(initializer, seed):
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise TypeError(f"{type(initializer).__name__}: seed must be an integer, got {seed!r}")
    return int(seed)


class ConstantInitializer(Initializer):
    """Fills a variable with one value.

    Args:
        value (float): the value.
        force_cpu (bool): accepted for Fluid's sake; the place decides.
    """

    def __init__(self, value=0.0, force_cpu=False):
        (self._value,) = _numbers(self, value=value)
        self._force_cpu = force_cpu

    def __call__(self, var, block):
        return self._prepend(var, block, "fill_constant", {"value": self._value, "force_cpu": self._force_cpu})


class UniformInitializer(Initializer):
    """Draws every element evenly between `low` and `high`.

    Args:
        low, high (float): the bounds.
        seed (int): of this variable's random numbers; 0 takes the startup program's `random_seed`.
        diag_num (int), diag_step (int), diag_val (float): put `diag_val` on the first `diag_num` elements of the
            diagonal of a matrix whose rows are `diag_step` long.
    """

    def __init__(self, low=-1.0, high=1.0, seed=0, diag_num=0, diag_step=0, diag_val=1.0):
        self._low, self._high, self._diag_val = _numbers(self, low=low, high=high, diag_val=diag_val)
        if self._low > self._high:
            raise ValueError(f"UniformInitializer: low must not exceed high, got low={low} and high={high}")
        self._seed = _seed(self, seed)
        self._diag_num, self._diag_step = diag_num, diag_step

    def __call__(self, var, block):
        diagonal = {"diag_num": self._diag_num, "diag_step": self._diag_step, "diag_val": self._diag_val}
        return self._uniform(var, block, self._low, self._high, self._seed, **diagonal)


class NormalInitializer(Initializer):
    """Draws every element from a normal distribution.

    Args:
        loc (float): its mean.
        scale (float): its standard deviation.
        seed (int): of this variable's random numbers; 0 takes the startup program's `random_seed`.
    """

    _type = "gaussian_random"

    def __init__(self, loc=0.0, scale=1.0, seed=0):
        self._mean, self._std_dev = _numbers(self, loc=loc, scale=scale)
        self._seed = _seed(self, seed)

    def __call__(self, var, block):
        return self._normal(var, block, self._mean, self._std_dev, self._seed, self._type)


class TruncatedNormalInitializer(NormalInitializer):
    """Draws every element from a normal distribution cut off two standard deviations from its mean.

    Args:
        loc (float): the mean.
        scale (float): the standard deviation before the cut.
        seed (int): of this variable's random numbers; 0 takes the startup program's `random_seed`.
    """

    _type = "truncated_gaussian_random"


def _fans(shape):
    """How many inputs one output of a weight sees, and how many outputs one input reaches.

    A matrix is (inputs, outputs); a filter is (outputs, inputs, height, width).
    """
    if not shape:
        return 1, 1
    if len(shape) == 1:
        return shape[0], shape[0]
    if len(shape) == 2:
        return shape[0], shape[1]
    window = math.prod(shape[2:])
    return shape[1] * window, shape[0] * window


class XavierInitializer(Initializer):
    """Random values whose variance, 2 / (fan_in + fan_out), keeps activations and gradients at one scale.

    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks" (2010).

    Args:
        uniform (bool): draw from a uniform distribution, else from a normal one.
        fan_in, fan_out (float): inputs and outputs of the weight; None computes them from its shape.
        seed (int): of this variable's random numbers; 0 takes the startup program's `random_seed`.
    """

    def __init__(self, uniform=True, fan_in=None, fan_out=None, seed=0):
        if not isinstance(uniform, bool):
            raise TypeError(f"XavierInitializer: uniform must be a bool, got {uniform!r}")
        self._uniform_draw = uniform
        self._fan_in, self._fan_out = fan_in, fan_out
        self._seed = _seed(self, seed)

    def __call__(self, var, block):
        fan_in, fan_out = _fans(var.shape)
        fan_in = fan_in if self._fan_in is None else self._fan_in
        fan_out = fan_out if self._fan_out is None else self._fan_out
        if self._uniform_draw:
            limit = math.sqrt(6.0 / (fan_in + fan_out))
            return self._uniform(var, block, -limit, limit, self._seed)
        return self._normal(var, block, 0.0, math.sqrt(2.0 / (fan_in + fan_out)), self._seed)


class MSRAInitializer(Initializer):
    """Random values whose variance, 2 / fan_in, keeps the scale of activations through relu.

    He et al., "Delving deep into rectifiers" (2015).

    Args:
        uniform (bool): draw from a uniform distribution, else from a normal one.
        fan_in (float): inputs of the weight; None computes it from its shape.
        seed (int): of this variable's random numbers; 0 takes the startup program's `random_seed`.
    """

    def __init__(self, uniform=True, fan_in=None, seed=0):
        if not isinstance(uniform, bool):
            raise TypeError(f"MSRAInitializer: uniform must be a bool, got {uniform!r}")
        self._uniform_draw = uniform
        self._fan_in = fan_in
        self._seed = _seed(self, seed)

    def __call__(self, var, block):
        fan_in = _fans(var.shape)[0] if self._fan_in is None else self._fan_in
        if self._uniform_draw:
            limit = math.sqrt(6.0 / fan_in)
            return self._uniform(var, block, -limit, limit, self._seed)
        return self._normal(var, block, 0.0, math.sqrt(2.0 / fan_in), self._seed)


class NumpyArrayInitializer(Initializer):
    """Starts a variable with the values of an array.

    Args:
        value (numpy.ndarray): of the variable's shape; converted to the variable's dtype, which must be float16,
            float32, int32, int64 or bool.
    """

    def __init__(self, value):
        if not isinstance(value, np.ndarray):
            raise TypeError(f"NumpyArrayInitializer: value must be a numpy.ndarray, got {type(value).__name__}")
        self._value = value

    def __call__(self, var, block):
        if tuple(self._value.shape) != tuple(var.shape):
            raise ValueError(
                f"NumpyArrayInitializer: {var.name} has shape {list(var.shape)}, "
                f"but the array has shape {list(self._value.shape)}"
            )
        return _assign_value(self, var, block, self._value)


def _assign_value(initializer, var, block, value):
    dtype = numpy_dtype(var.dtype)
    slot = VALUE_LISTS.get("float32" if var.dtype == VarType.FP16 else dtype.name)
    if slot is None:
        raise TypeError(
            f"{type(initializer).__name__}: {var.name} has dtype {dtype}, but an array can initialize only "
            f"variables of dtype float16, {', '.join(VALUE_LISTS)}; set the value in the scope after the startup "
            "program ran"
        )
    return initializer._prepend(var, block, "assign_value", {slot: value.astype(dtype).reshape(-1).tolist()})


class BilinearInitializer(Initializer):
    """Weights with which a transposed convolution enlarges an image, as Fluid 1.8 computes them.

    Use it with `filter_size = 2 * factor - factor % 2`, `stride = factor`, `padding = ceil((factor - 1) / 2)`, a
    filter of shape (channels, 1, size, size) and as many groups as channels.
    """

    def __call__(self, var, block):
        if len(var.shape) != 4 or var.shape[2] != var.shape[3]:
            raise ValueError(
                f"BilinearInitializer: {var.name} must have 4 dimensions, the last two equal, "
                f"but its shape is {list(var.shape)}"
            )
        size = var.shape[3]
        factor = math.ceil(size / 2)
        centre = (2 * factor - 1 - factor % 2) / (2 * factor)
        place = np.arange(math.prod(var.shape))
        # Fluid on Python 3 does not round the row number down, so a weight's row drifts along its columns; the
        # referee's numbers are kept.
        column, row = place % size, place / size % size
        weight = (1 - np.abs(column / factor - centre)) * (1 - np.abs(row / factor - centre))
        return _assign_value(self, var, block, weight.reshape(var.shape))


def force_init_on_cpu():
    """Whether initial values are drawn on the CPU whatever the place: False."""
    return False


@contextlib.contextmanager
def init_on_cpu():
    """Accepted for Fluid's sake, without effect: initial values are drawn where the startup program runs."""
    yield


Constant = ConstantInitializer
Uniform = UniformInitializer
Normal = NormalInitializer
TruncatedNormal = TruncatedNormalInitializer
Xavier = XavierInitializer
MSRA = MSRAInitializer
Bilinear = BilinearInitializer
