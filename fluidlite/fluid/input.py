"""`fluid.data`, `fluid.one_hot` and `fluid.embedding`, which keep the shapes that they are given."""

from .layers.io import declare_data
from .layers.lookup import look_up, one_hot_vectors

__all__ = ["data", "one_hot", "embedding"]


def data(name, shape, dtype="float32", lod_level=0):
    """A Variable to be fed; what is fed is checked against its shape and dtype.

    Args:
        name (str): its name, the key in `feed`.
        shape (list or tuple of int): its shape; None or -1 stands for any size.
        dtype (str): the data type.
        lod_level (int): how many levels of sequences it holds.
    Returns:
        Variable.
    Raises:
        TypeError: a wrong argument.
    """
    return declare_data("data", name, shape, dtype, lod_level, check_feed=True)


def one_hot(input, depth, allow_out_of_range=False):
    """Vectors with a 1 in the place that a number names, 0 elsewhere.

    Args:
        input (Variable): int32 or int64, of any shape.
        depth (int or Variable of shape [1]): the length of the vectors.
        allow_out_of_range (bool): give a vector of zeros for a number outside [0, depth).
    Returns:
        float32 Variable of shape input.shape + [depth].
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: when the Program runs, a number outside [0, depth).
    """
    return one_hot_vectors("one_hot_v2", input, depth, allow_out_of_range)


def embedding(input, size, is_sparse=False, is_distributed=False, padding_idx=None, param_attr=None, dtype="float32"):
    """Learned vectors, one for each number.

    Args:
        input (Variable): int64, of any shape.
        size (list of two ints): how many vectors there are, and their length.
        is_sparse (bool): let the gradient be selected rows (see `layers.embedding`).
        is_distributed (bool): must be False.
        padding_idx (int): a number whose vector is 0; negative ones count from the end.
        param_attr (ParamAttr): of the vectors [size[0], size[1]].
        dtype (str): the data type of the vectors.
    Returns:
        Variable of shape input.shape + [size[1]].
    Raises:
        TypeError, ValueError: a wrong argument.
        EnforceNotMet: when the Program runs, a number outside [0, size[0]).
    """
    return look_up("lookup_table_v2", input, size, is_sparse, is_distributed, padding_idx, param_attr, dtype)
