"""Turns minibatches, lists of samples, into tensors to feed; and the type checks that layers share."""

import os
from itertools import chain

import numpy as np

from ..core.dtypes import VarType, numpy_dtype, var_type
from ..engine.places import CUDAPlace, cuda_device_count
from ..engine.tensors import LoDTensor
from .framework import Variable, default_main_program

__all__ = ["DataFeeder"]


def convert_dtype(dtype):
    """The name, such as 'float32', of a data type given as a VarType, a NumPy type or a name.

    Raises:
        ValueError: there is no such data type.
    """
    try:
        if isinstance(dtype, int) and not isinstance(dtype, VarType):
            raise TypeError(f"{dtype!r} is not a data type of Fluid")
        return numpy_dtype(dtype).name
    except TypeError as error:
        raise ValueError(str(error)) from None


def check_type(input, input_name, expected_type, op_name, extra_message=""):
    """Raise TypeError, naming the layer and its argument, unless `input` is an instance of `expected_type`."""
    if not isinstance(input, expected_type):
        kinds = expected_type if isinstance(expected_type, tuple) else (expected_type,)
        raise TypeError(
            f"The type of {input_name!r} in {op_name} must be {' or '.join(kind.__name__ for kind in kinds)}, "
            f"but received {type(input).__name__}. {extra_message}".rstrip()
        )


def check_dtype(input_dtype, input_name, expected_dtype, op_name, extra_message=""):
    """Raise TypeError, naming the layer and its argument, unless `input_dtype` is one of the names `expected_dtype`."""
    found = convert_dtype(input_dtype)
    if found not in expected_dtype:
        raise TypeError(
            f"The data type of {input_name!r} in {op_name} must be {' or '.join(expected_dtype)}, "
            f"but received {found}. {extra_message}".rstrip()
        )


def check_variable_and_dtype(input, input_name, expected_dtype, op_name, extra_message=""):
    """Raise TypeError unless `input` is a Variable of one of the data types `expected_dtype` (names)."""
    check_type(input, input_name, Variable, op_name, extra_message)
    check_dtype(input.dtype, input_name, expected_dtype, op_name, extra_message)


class _Field:
    """One variable to feed: makes a LoDTensor of its dtype from the values that the samples hold for it."""

    def __init__(self, variable):
        self.name = variable.name
        self.dtype = numpy_dtype(variable.dtype)
        self.shape = variable.shape
        self.lod_level = variable.lod_level

    def convert(self, values):
        """Values of all samples -> LoDTensor, whose LoD tells the samples apart if they are sequences."""
        lengths = []
        for _ in range(self.lod_level):
            try:
                lengths.append([len(value) for value in values])
            except TypeError:
                raise TypeError(
                    f"the variable {self.name!r} has lod_level {self.lod_level}: each sample must hold a "
                    f"list of values (nested {self.lod_level} deep), but there is {_first_without_length(values)!r}"
                ) from None
            values = list(chain.from_iterable(values))
        tensor = LoDTensor(self._array(values))
        if lengths:
            tensor.set_recursive_sequence_lengths(lengths)
        return tensor

    def _array(self, values):
        if not len(values):
            return np.zeros([0, *(max(size, 0) for size in self.shape[1:])], self.dtype)
        array = self._stacked(values)
        if array.ndim == len(self.shape) or self.shape.count(-1) > 1:
            return array
        # A sample may hold several rows, or all elements in a row.
        try:
            return array.reshape(self.shape)
        except ValueError:
            raise ValueError(
                f"the samples for the variable {self.name!r} make an array of the shape {list(array.shape)}, which "
                f"does not take the shape {list(self.shape)} (-1: any size)"
            ) from None

    def _stacked(self, values):
        """One array with a row for each value."""
        first = values[0]
        try:
            if isinstance(first, np.ndarray) and first.ndim and first.dtype.kind != "O":
                shape = first.shape
                # Equally shaped rows, joined end to end, are the stack, and joining is much faster than np.stack.
                if all(value.shape == shape for value in values):
                    joined = np.concatenate(values, dtype=self.dtype, casting="unsafe")
                    return joined.reshape(len(values), *shape)
            return _numbers(values, self.dtype)
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(self._complaint(values, error)) from None

    def _complaint(self, values, error):
        first = None
        for number, value in enumerate(values):
            try:
                shape = _numbers(value, self.dtype).shape
            except (ValueError, TypeError):
                return f"sample {number} of the variable {self.name!r} is no array of {self.dtype.name}: {value!r:.80}"
            first = shape if first is None else first
            if shape != first:
                return (
                    f"the samples of the variable {self.name!r} have different shapes: sample 0 has {list(first)}, "
                    f"sample {number} has {list(shape)}; for sequences give the variable a lod_level, or pad them"
                )
        return f"the samples of the variable {self.name!r} do not make an array of {self.dtype.name}: {error}"


def _numbers(values, dtype):
    array = np.asarray(values)
    if array.dtype.kind == "O" and None in array.ravel().tolist():
        raise TypeError("None is no number")  # NumPy would make a NaN of it
    return array.astype(dtype)


def _first_without_length(values):
    return next(value for value in values if not hasattr(value, "__len__"))


class DataFeeder:
    """Turns minibatches, lists of samples, into what `Executor.run` takes as `feed`.

        feeder = fluid.DataFeeder(feed_list=["image", label], place=fluid.CPUPlace())
        exe.run(feed=feeder.feed([(pixels, 7), (pixels, 2)]), fetch_list=[loss])

    Args:
        feed_list (list): Variables or their names, in the order of a sample's fields.
        place: kept for Fluid's sake; the Executor moves arrays to its place.
        program (Program): where names are looked up; None for `default_main_program()`.
    Attributes:
        feed_names, feed_dtypes, feed_shapes, feed_lod_level (list): of the variables.
    Raises:
        TypeError: feed_list is not a list of Variables and names.
        ValueError: the program has no variable of a name.
    """

    def __init__(self, feed_list, place, program=None):
        if not isinstance(feed_list, (list, tuple)):
            raise TypeError(
                f"DataFeeder: feed_list must be a list of Variables or names, got {type(feed_list).__name__}"
            )
        block = (default_main_program() if program is None else program).global_block()
        self.place = place
        self._fields = []
        for item in feed_list:
            variable = block.var(item) if isinstance(item, str) else item
            if not isinstance(variable, Variable):
                raise TypeError(f"DataFeeder: feed_list must hold Variables or names, got {item!r}")
            self._fields.append(_Field(variable))
        self.feed_names = [field.name for field in self._fields]
        self.feed_dtypes = [var_type(field.dtype) for field in self._fields]
        self.feed_shapes = [list(field.shape) for field in self._fields]
        self.feed_lod_level = [field.lod_level for field in self._fields]

    def feed(self, iterable):
        """Convert one minibatch.

        Args:
            iterable: of samples, each a tuple or list with one field for each variable: a number, a (nested) list or an
                array.  What they make together is reshaped to the variable's shape if it has another number of
                dimensions.  If the variable has a lod_level, a field is a sequence, of sequences at the second level,
                and the LoD tells where those of the samples begin.
        Returns:
            dict: variable name -> LoDTensor of the variable's dtype.
        Raises:
            AssertionError: a sample has more or fewer fields than there are variables.
            TypeError, ValueError: a value does not fit; the message names variable, sample and shapes.
        """
        samples = iterable if isinstance(iterable, (list, tuple)) else list(iterable)
        try:
            columns = list(zip(*samples, strict=True)) if samples else [()] * len(self._fields)
        except (TypeError, ValueError):
            raise self._misfit(samples) from None
        if len(columns) != len(self._fields):
            raise self._misfit(samples)
        return {field.name: field.convert(column) for field, column in zip(self._fields, columns, strict=True)}

    def _misfit(self, samples):
        for number, sample in enumerate(samples):
            if not hasattr(sample, "__len__"):
                return TypeError(
                    f"DataFeeder: sample {number} must be a tuple of {len(self._fields)} fields for {self.feed_names}, "
                    f"got {sample!r:.80}"
                )
            if len(sample) != len(self._fields):
                return AssertionError(
                    f"DataFeeder: sample {number} has {len(sample)} fields, but there are {len(self._fields)} "
                    f"variables to feed: {self.feed_names}; a minibatch is a list of samples, [(...), (...)]"
                )
        return TypeError("DataFeeder: a minibatch must be a list of tuples")

    def feed_parallel(self, iterable, num_places=None):
        """Convert one minibatch for each device.

        Args:
            iterable: of minibatches, as many as there are devices.
            num_places (int): how many devices; None for what the place has.
        Returns:
            iterator over dicts as `feed` returns, one for each device.
        Raises:
            ValueError: there are more or fewer minibatches than devices.
        """
        batches = list(iterable)
        count = self._device_count(num_places)
        if len(batches) != count:
            raise ValueError(
                f"DataFeeder.feed_parallel takes one minibatch for each device: got {len(batches)} for {count} devices"
            )
        return map(self.feed, batches)

    def decorate_reader(self, reader, multi_devices, num_places=None, drop_last=True):
        """Turn a reader of minibatches into a reader of feeds.

        Args:
            reader (callable): returns an iterator over minibatches.
            multi_devices (bool): yield a list with a feed for each device instead of one feed.
            num_places (int): how many devices; None for what the place has.
            drop_last (bool): with several devices, leave out minibatches at the end that do not go round.
        Returns:
            callable: returns an iterator over dicts, or lists of dicts.
        Raises:
            ValueError: minibatches are left over and `drop_last` is False.
        """

        def single():
            return map(self.feed, reader())

        def several():
            count, waiting = self._device_count(num_places), []
            for batch in reader():
                waiting.append(batch)
                if len(waiting) == count:
                    yield list(self.feed_parallel(waiting, count))
                    waiting = []
            if waiting and not drop_last:
                raise ValueError(
                    f"DataFeeder.decorate_reader: {len(waiting)} minibatches are left over for {count} devices; "
                    "use drop_last=True to leave them out"
                )

        return several if multi_devices else single

    def _device_count(self, count):
        if count is not None:
            return int(count)
        return cuda_device_count() if isinstance(self.place, CUDAPlace) else int(os.environ.get("CPU_NUM", 1))
