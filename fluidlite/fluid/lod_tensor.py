"""Tensors with sequence information."""

from collections.abc import Iterator
from itertools import chain

import numpy as np

from ..core.errors import EnforceNotMet
from ..engine.tensors import LoDTensor
from .messages import described

__all__ = ["create_lod_tensor", "create_random_int_lodtensor"]


def create_lod_tensor(data, recursive_seq_lens, place):
    """A LoDTensor from an array, a LoDTensor, or a list of sequences.

    Args:
        data: an array [rows, ...]; a LoDTensor, whose values get other lengths; or a list of sequences, lists of
            numbers or rows, which are stacked to [rows, ..., 1], or what `map` makes, which was a list in Python 2.
        recursive_seq_lens (list of lists of int): lengths of the sequences, for each level.
        place: where it is to lie.
    Returns:
        LoDTensor.
    Raises:
        TypeError: data is nothing of these, or the lengths are no lists of integers.
        AssertionError: the lists have other lengths.
        EnforceNotMet: the lengths do not fit the rows of the array, or the rows do not fit each other.
    """
    if isinstance(data, LoDTensor):
        return create_lod_tensor(np.array(data), recursive_seq_lens, place)
    if isinstance(data, (list, Iterator)):
        data = list(data)
        lengths = [len(sequence) for sequence in data]
        if [lengths] != recursive_seq_lens:
            raise AssertionError(
                f"the sequences have the lengths {[lengths]}, but recursive_seq_lens is {recursive_seq_lens}"
            )
        data = _stacked(list(chain.from_iterable(data)))[..., np.newaxis]
    elif not isinstance(data, np.ndarray):
        raise TypeError(f"data must be a LoDTensor, an array or a list of sequences, got {described(data)}")
    tensor = LoDTensor()
    tensor.set(data, place)
    tensor.set_recursive_sequence_lengths(recursive_seq_lens)
    return tensor


def _stacked(rows):
    try:
        return np.asarray(rows)
    except ValueError:
        raise EnforceNotMet(f"the rows of the sequences have different shapes: {rows!r:.80}") from None


def create_random_int_lodtensor(recursive_seq_lens, base_shape, place, low, high):
    """A LoDTensor of random integers from low to high (both included).

    Args:
        recursive_seq_lens (list of lists of int): lengths of the sequences, for each level.
        base_shape (list of int): of one row.
        place: kept for Fluid's scripts.
        low, high (int): the least and the greatest number.
    Returns:
        LoDTensor of int64, with a row for each element of the sequences.
    Raises:
        AssertionError: base_shape is no list.
        EnforceNotMet: the lengths do not fit each other.
    """
    if not isinstance(base_shape, list):
        raise AssertionError(f"base_shape must be a list of the sizes of one row, got {described(base_shape)}")
    rows = sum(recursive_seq_lens[-1])
    data = np.random.randint(low, high + 1, [rows, *base_shape]).astype("int64")
    return create_lod_tensor(data, recursive_seq_lens, place)
