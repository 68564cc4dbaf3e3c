"""Making sequences step by step."""

from .checks import append, check_dtype

__all__ = ["gather_tree"]


def gather_tree(ids, parents):
    """Whole sequences from the steps of a beam search.

    Args:
        ids (Variable): int, [steps, batch, beams]: what each beam was extended by.
        parents (Variable): int, of the same shape: which beam of the step before it extends.
    Returns:
        Variable of the shape and dtype of ids: the sequences that the last step's beams are the ends of.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the shapes do not fit.

    .. code-block:: python

        sequences = fluid.layers.gather_tree(ids, parents)
    """
    check_dtype("gather_tree", "ids", ids, "i")
    check_dtype("gather_tree", "parents", parents, "i")
    return append("gather_tree", {"Ids": ids, "Parents": parents})
