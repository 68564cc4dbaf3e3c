"""Counting how often predictions are right."""

import numpy as np

from ..core.attributes import only
from ..core.errors import EnforceNotMet
from ..core.operators import operator
from ..core.spec import Spec
from ..core.traits import BOUND, About, Batch, Kernel, Lod, Memory
from .arrays.indexing import index_check, refusal
from .loss import same_sizes


def infer_accuracy(attrs, out, indices, label):
    fits = len(indices.shape) == 2 and len(label.shape) == 2 and label.shape[1] in (1, -1)
    rows = {spec.shape[0] for spec in (indices, label) if spec.shape and spec.shape[0] >= 0}
    if not fits or len(rows) > 1:
        raise EnforceNotMet(
            f"Indices must have the shape [batch, k] and Label [batch, 1], got {list(indices.shape)} "
            f"and {list(label.shape)}"
        )
    return Spec((1,), np.dtype(np.float32)), Spec((1,), np.dtype(np.int32)), Spec((1,), np.dtype(np.int32))


@operator(
    "accuracy",
    inputs="Out!, Indices!, Label!",
    outputs="Accuracy!, Correct!, Total!",
    infer=infer_accuracy,
    kernel=Kernel(shape_only="Out"),
    batch=Batch(rows="Out Indices Label", sums="Accuracy Correct Total"),
    lod=Lod(of={"Accuracy": "Indices", "Correct": "none", "Total": "none"}),
    about=About(after="top_k"),
)
def accuracy(ctx, out, indices, label, ratio, correct, total):
    hits = (indices == label).any(axis=1).sum()
    ratio[...] = hits / ctx.in_batch(len(indices))
    if correct is not None:
        correct[...] = hits
    if total is not None:
        total[...] = len(indices)


def infer_mean_iou(attrs, predictions, labels, *before):
    if not same_sizes(predictions.shape, labels.shape):
        raise EnforceNotMet(
            f"Predictions and Labels must have one shape, got {list(predictions.shape)} and {list(labels.shape)}"
        )
    if attrs["num_classes"] < 1:
        raise EnforceNotMet(f"num_classes must be positive, got {attrs['num_classes']}")
    counts = Spec((attrs["num_classes"],), np.dtype(np.int32))
    return Spec((1,), np.dtype(np.float32)), counts, counts


@operator(
    "mean_iou",
    inputs="Predictions!, Labels!, InWrongs*?!, InCorrects*?!, InMeanIou*?!",
    outputs="OutMeanIou!, OutWrong!, OutCorrect!",
    attributes={"num_classes": 1},
    infer=infer_mean_iou,
    kernel=BOUND,
    lod=Lod(of="none"),
)
def mean_iou(ctx, predictions, labels, wrong_before, correct_before, mean_before, mean, wrong, correct):
    """The mean over the classes that occur of: pixels of a class that are right / those of it in either picture."""
    xp, classes = ctx.xp, ctx.attrs["num_classes"]
    predictions, labels = predictions.reshape(-1), labels.reshape(-1)
    checks = [index_check(ctx, numbers, classes, "class") for numbers in (predictions, labels)]

    def step():
        for check in checks:
            check()
        there, wanted = (xp.bincount(numbers, minlength=classes) for numbers in (predictions, labels))
        hits = xp.bincount(predictions, weights=predictions == labels, minlength=classes).astype(np.int32)
        right, missed = hits, (there + wanted - 2 * hits).astype(np.int32)
        for before in correct_before or ():
            right = right + before
        for before in wrong_before or ():
            missed = missed + before
        either = right + missed
        ratios = right / xp.maximum(either, 1)
        total = ratios.sum() / (either > 0).sum()
        for before in mean_before or ():
            total = total + before
        mean[...] = total
        for out, counts in ((wrong, missed), (correct, right)):
            if out is not None:
                out[...] = counts

    return step


def infer_auc(attrs, predict, label, positive, negative):
    if len(predict.shape) != 2:
        raise EnforceNotMet(f"Predict must have the shape [batch, classes], got {list(predict.shape)}")
    if min(predict.shape[0], *label.shape[:1]) >= 0 and predict.shape[0] != label.shape[0]:
        raise EnforceNotMet(f"Predict has {predict.shape[0]} rows, but Label {label.shape[0]}")
    if attrs["num_thresholds"] < 1 or attrs["slide_steps"] < 0:
        raise EnforceNotMet(
            f"num_thresholds must be positive and slide_steps not negative, got {attrs['num_thresholds']} and "
            f"{attrs['slide_steps']}"
        )
    return Spec((1,), np.dtype(np.float64)), positive, negative


@operator(
    "auc",
    inputs="Predict!, Label!, StatPos!, StatNeg!",
    outputs="AUC!, StatPosOut!, StatNegOut!",
    attributes={"curve": only("ROC", "PR"), "num_thresholds": 2**13 - 1, "slide_steps": 1},
    infer=infer_auc,
    kernel=BOUND,
    memory=Memory(inplace={"StatPosOut": "StatPos", "StatNegOut": "StatNeg"}),
    lod=Lod(of="none"),
)
def auc(ctx, predict, label, positive, negative, area, positive_out, negative_out):
    """The area under the curve of hits over false alarms, as the threshold for the last column of Predict falls.

    StatPos and StatNeg count the samples of each label by their score, in buckets.  With slide_steps they hold the
    counts of as many minibatches behind each other, those of all these together, and how many minibatches there were.
    """
    xp, thresholds, slides = ctx.xp, ctx.attrs["num_thresholds"], ctx.attrs["slide_steps"]
    buckets = thresholds + 1
    scores, label = predict[:, -1], label.reshape(-1)
    places = ctx.scratch(scores.shape, np.int64)
    refuse = refusal(ctx, places, f"a score must lie in [0, 1], there is one of about {{value}} / {thresholds}")

    def step():
        xp.copyto(places, scores * scores.dtype.type(thresholds), casting="unsafe")
        refuse(xp.logical_or(scores < 0, scores > 1))
        sums = []
        for counts, out, chosen in ((positive, positive_out, label > 0), (negative, negative_out, label == 0)):
            new = xp.bincount(places, weights=chosen, minlength=buckets).astype(np.int64)
            sums.append(counted(xp, counts.reshape(-1), out.reshape(-1), new, slides))
        # From the highest score down.
        rises, falls = (xp.cumsum(total[::-1]).astype(np.float64) for total in sums)
        before = xp.concatenate([xp.zeros(1), rises[:-1]])
        new_falls = xp.diff(falls, prepend=0)
        trapezoids = (new_falls * (rises + before)).sum() / 2
        both = rises[-1] * falls[-1]
        area[...] = xp.where(both > 0, trapezoids / xp.maximum(both, 1), 0)

    return step


def counted(xp, before, out, new, slides):
    """Add the counts `new` to those in `before`, into `out`; returns the sum that counts."""
    if not slides:
        xp.add(before, new, out=out)
        return out
    size = len(new)
    xp.copyto(out, before)
    history, total = out[: slides * size].reshape(slides, size), out[slides * size : (slides + 1) * size]
    current = xp.arange(slides) == out[-1] % slides
    total += new - (history * current[:, None]).sum(axis=0)
    xp.copyto(history, new, where=current[:, None])
    out[-1] += 1
    return total
