"""Tensors with sequence information."""

import numpy as np

from ..engine.tensors import LoDTensor

__all__ = ["create_lod_tensor", "create_random_int_lodtensor"]


def create_lod_tensor(data, recursive_seq_lens, place):
    """A LoDTensor from an array, a LoDTensor, or a list of sequences of integers.

    Args:
        data: an array [rows, ...]; or a list of lists of int, which are stacked to [rows, 1] int64.
        recursive_seq_lens (list of lists of int): lengths of the sequences, for each level.
        place: kept for Fluid's scripts.
    Returns:
        LoDTensor.
    Raises:
        ValueError: the lengths do not fit the rows.
    """
    if isinstance(data, list):
        lengths = [len(sequence) for sequence in data]
        if [lengths] != recursive_seq_lens:
            raise ValueError(
                f"the sequences have the lengths {[lengths]}, but recursive_seq_lens is {recursive_seq_lens}"
            )
        data = np.concatenate([np.asarray(sequence, np.int64) for sequence in data]).reshape(-1, 1)
    tensor = LoDTensor(np.asarray(data))
    tensor.set_recursive_sequence_lengths(recursive_seq_lens)
    if not tensor.has_valid_recursive_sequence_lengths():
        raise ValueError(f"the lengths {recursive_seq_lens} do not fit the shape {tensor.shape()}")
    return tensor


def create_random_int_lodtensor(recursive_seq_lens, base_shape, place, low, high):
    """A LoDTensor of random integers from low to high (both included).

    Args:
        recursive_seq_lens (list of lists of int): lengths of the sequences, for each level.
        base_shape (list of int): of one row.
        place: kept for Fluid's scripts.
        low, high (int): the least and the greatest number.
    Returns:
        LoDTensor of int64, with a row for each element of the sequences.
    """
    rows = sum(recursive_seq_lens[-1])
    data = np.random.randint(low, high + 1, [rows, *base_shape]).astype("int64")
    return create_lod_tensor(data, recursive_seq_lens, place)
