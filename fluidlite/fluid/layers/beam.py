"""Beam search with two levels of detail: the best ways to go on with sentences, and the sentences at the end."""

from ..layer_helper import LayerHelper
from .checks import check_dtype, integer, truth

__all__ = ["beam_search", "beam_search_decode"]


def beam_search(
    pre_ids,
    pre_scores,
    ids,
    scores,
    beam_size,
    end_id,
    level=0,
    is_accumulated=True,
    name=None,
    return_parent_idx=False,
):
    """A step of a beam search: the `beam_size` best ways to go on with the sentences of each source.

    Sentences that have ended stay as they are; a source of which all that is chosen ended before has no rows any more.

    Args:
        pre_ids (Variable): int64, [rows, 1]: the last id of each sentence.
        pre_scores (Variable): float, [rows, 1]: the scores of the sentences.
        ids (Variable): int64, [rows, candidates]: how each sentence may go on; None for 0, 1, 2, ...
        scores (Variable): float, [rows, candidates], with two levels of detail, the outer one of which says which rows
            belong to a source: the scores of sentences that go on so.
        beam_size (int): how many are chosen.
        end_id (int): the id at the end of a sentence.
        level (int): the level of detail that says which rows belong to a source.
        is_accumulated (bool): whether scores are those of whole sentences, and not probabilities of the ids.
        name (str): the first part of generated names.
        return_parent_idx (bool): return also from which row each comes.
    Returns:
        (ids, scores): Variables of shape [chosen, 1], with two levels of detail: which rows went on of each source, and
        how each of them did; with return_parent_idx also the int32 Variable of shape [chosen] of these rows
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the shapes do not fit, or, when the Program runs, scores has no such level.

    Example:
        >>> best, at = fluid.layers.topk(probabilities, k=50)
        >>> total = fluid.layers.elementwise_add(fluid.layers.log(best), fluid.layers.reshape(pre_scores, [-1]), axis=0)
        >>> ids, scores = fluid.layers.beam_search(pre_ids, pre_scores, at, total, beam_size=4, end_id=1)
    """
    layer = "beam_search"
    check_dtype(layer, "pre_ids", pre_ids, "i")
    check_dtype(layer, "pre_scores", pre_scores, "f")
    check_dtype(layer, "scores", scores, "f")
    inputs = {"pre_ids": pre_ids, "pre_scores": pre_scores, "scores": scores}
    if ids is not None:
        check_dtype(layer, "ids", ids, "i")
        inputs["ids"] = ids
    helper = LayerHelper(layer, name=name)
    made = helper.create_variable_for_type_inference
    best, chosen, parents = made(pre_scores.dtype), made(pre_ids.dtype), made("int32")
    helper.append_op(
        type=layer,
        inputs=inputs,
        outputs={"selected_ids": chosen, "selected_scores": best, "parent_idx": parents},
        attrs={
            "level": integer(layer, "level", level),
            "beam_size": integer(layer, "beam_size", beam_size),
            "end_id": integer(layer, "end_id", end_id),
            "is_accumulated": truth(layer, "is_accumulated", is_accumulated),
        },
    )
    return (chosen, best, parents) if return_parent_idx else (chosen, best)


def beam_search_decode(ids, scores, beam_size, end_id, name=None):
    """The sentences that a beam search has found, those of each source with the best one first.

    Args:
        ids, scores (Variable): arrays of what `beam_search` returned at each step.
        beam_size (int): how many sentences there are of each source.
        end_id (int): the id at the end of a sentence, of which one is kept.
        name (str): the first part of generated names.
    Returns:
        (ids, scores): Variables with two levels of detail: the sentences of each source, and the ids of each sentence,
        with the scores of the sentences up to there
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: when the Program runs, the arrays do not hold beams.

    Example:
        >>> sentences, scores = fluid.layers.beam_search_decode(ids_array, scores_array, beam_size=4, end_id=1)
    """
    layer = "beam_search_decode"
    check_dtype(layer, "ids", ids, "i")
    check_dtype(layer, "scores", scores, "f")
    helper = LayerHelper(layer, name=name)
    sentences = helper.create_variable_for_type_inference(ids.dtype)
    totals = helper.create_variable_for_type_inference(scores.dtype)
    helper.append_op(
        type=layer,
        inputs={"Ids": ids, "Scores": scores},
        outputs={"SentenceIds": sentences, "SentenceScores": totals},
        attrs={"beam_size": integer(layer, "beam_size", beam_size), "end_id": integer(layer, "end_id", end_id)},
    )
    return sentences, totals
