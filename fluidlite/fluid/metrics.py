"""Metrics over many minibatches, computed on the host from fetched values."""

import copy

import numpy as np

from .messages import described

__all__ = [
    "MetricBase",
    "CompositeMetric",
    "Precision",
    "Recall",
    "Accuracy",
    "ChunkEvaluator",
    "EditDistance",
    "DetectionMAP",
    "Auc",
]


class MetricBase:
    """What all metrics share; a metric of one's own extends it with `update` and `eval`.

    Attributes whose names do not begin with "_" are its state.

    Args:
        name (str): what `str(metric)` shows; None for the name of the class.
    """

    def __init__(self, name):
        self._name = name if name is not None else type(self).__name__

    def __str__(self):
        return self._name

    def reset(self):
        """Set the state back: numbers and arrays to 0, anything else to None."""
        for name, value in self._states().items():
            if isinstance(value, (int, float)):
                value = 0.0 if isinstance(value, float) else 0
            else:
                value = np.zeros_like(value) if isinstance(value, (np.ndarray, np.generic)) else None
            setattr(self, name, value)

    def get_config(self):
        """The name and a copy of the state.

        Returns:
            dict: "name" (str) and "states" (dict).
        """
        return {"name": self._name, "states": copy.deepcopy(self._states())}

    def update(self, preds, labels):
        """Take a minibatch into account.

        Raises:
            NotImplementedError: the class does not define it.
        """
        raise NotImplementedError(f"{type(self).__name__} must define update(); MetricBase does not")

    def eval(self):
        """The value of the metric over all minibatches since the last `reset`.

        Raises:
            NotImplementedError: the class does not define it.
        """
        raise NotImplementedError(f"{type(self).__name__} must define eval(); MetricBase does not")

    def _states(self):
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}


class CompositeMetric(MetricBase):
    """Several metrics that are updated with the same predictions and labels.

    Args:
        name (str): None for the name of the class.
    """

    def __init__(self, name=None):
        super().__init__(name)
        self._metrics = []

    def add_metric(self, metric):
        """Add a metric.

        Raises:
            ValueError: it is no MetricBase.
        """
        if not isinstance(metric, MetricBase):
            raise ValueError(f"CompositeMetric.add_metric needs a metric (a MetricBase), got {described(metric)}")
        self._metrics.append(metric)

    def reset(self):
        """Reset all metrics.  (Paddle's leaves them as they are.)"""
        for metric in self._metrics:
            metric.reset()

    def update(self, preds, labels):
        """Update all metrics.

        Args:
            preds, labels: as each of the metrics takes them.
        """
        for metric in self._metrics:
            metric.update(preds, labels)

    def eval(self):
        """The values of all metrics (list), in the order in which they were added."""
        return [metric.eval() for metric in self._metrics]


class Precision(MetricBase):
    """Of the samples that a binary classifier called positive, the fraction that is.

    Args:
        name (str): None for the name of the class.
    Attributes:
        tp, fp (int): numbers of true and false positives.
    """

    def __init__(self, name=None):
        super().__init__(name)
        self.tp = 0
        self.fp = 0

    def update(self, preds, labels):
        """Take a minibatch into account.

        Args:
            preds (numpy.ndarray): probabilities of shape [batch, 1]; those that round to 1 are positive.
            labels (numpy.ndarray): 0 or 1, of shape [batch, 1].
        Raises:
            ValueError: an argument is no array, or of another shape.
        """
        preds, labels = _binary("Precision", preds, labels)
        hits = int(np.sum((preds == 1) & (labels == 1)))
        self.tp += hits
        self.fp += int(np.sum(preds == 1)) - hits

    def eval(self):
        """The precision (float); 0.0 while nothing was called positive."""
        found = self.tp + self.fp
        return self.tp / found if found else 0.0


class Recall(MetricBase):
    """Of the samples that are positive, the fraction that a binary classifier called so.

    Args:
        name (str): None for the name of the class.
    Attributes:
        tp, fn (int): numbers of true positives and false negatives.
    """

    def __init__(self, name=None):
        super().__init__(name)
        self.tp = 0
        self.fn = 0

    def update(self, preds, labels):
        """Take a minibatch into account.

        Args:
            preds (numpy.ndarray): probabilities of shape [batch, 1]; those that round to 1 are positive.
            labels (numpy.ndarray): 0 or 1, of shape [batch, 1].
        Raises:
            ValueError: an argument is no array, or of another shape.
        """
        preds, labels = _binary("Recall", preds, labels)
        hits = int(np.sum((preds == 1) & (labels == 1)))
        self.tp += hits
        self.fn += int(np.sum(labels == 1)) - hits

    def eval(self):
        """The recall (float); 0.0 while nothing was positive."""
        positive = self.tp + self.fn
        return self.tp / positive if positive else 0.0


class Accuracy(MetricBase):
    """The mean of minibatches' accuracies, weighted by their sizes.

    Args:
        name (str): None for the name of the class.
    Attributes:
        value (float or numpy.ndarray): the sum of accuracies times weights.
        weight (float): the sum of weights.
    """

    def __init__(self, name=None):
        super().__init__(name)
        self.value = 0.0
        self.weight = 0.0

    def update(self, value, weight):
        """Take a minibatch into account.

        Args:
            value (float or numpy.ndarray): its accuracy, such as `fluid.layers.accuracy` computes.
            weight (int or float): how many samples it had.
        Raises:
            ValueError: an argument is of another type, or weight is negative.
        """
        _check_number("Accuracy.update", "value", value)
        _check_number("Accuracy.update", "weight", weight)
        if np.any(np.asarray(weight) < 0):
            raise ValueError(f"Accuracy.update: weight must not be negative, got {weight}")
        self.value = self.value + value * weight
        self.weight = self.weight + weight

    def eval(self):
        """The mean accuracy (float, or an array if arrays were given).

        Raises:
            ValueError: there were no samples.
        """
        if self.weight == 0:
            raise ValueError("Accuracy.eval: there are no samples yet; call update(value, weight) for each minibatch")
        return self.value / self.weight


class ChunkEvaluator(MetricBase):
    """Precision, recall and F1 of chunks, such as names in a text, from the counts of `chunk_eval`.

    Args:
        name (str): None for the name of the class.
    Attributes:
        num_infer_chunks, num_label_chunks, num_correct_chunks (int or numpy.ndarray): sums of what `update` was given.
    """

    def __init__(self, name=None):
        super().__init__(name)
        self.num_infer_chunks = 0
        self.num_label_chunks = 0
        self.num_correct_chunks = 0

    def update(self, num_infer_chunks, num_label_chunks, num_correct_chunks):
        """Take a minibatch into account.

        Args:
            num_infer_chunks (int or numpy.ndarray): how many chunks were predicted.
            num_label_chunks (int or numpy.ndarray): how many there are.
            num_correct_chunks (int or numpy.ndarray): how many were predicted rightly.
        Raises:
            ValueError: an argument is of another type.
        """
        _check_number("ChunkEvaluator.update", "num_infer_chunks", num_infer_chunks)
        _check_number("ChunkEvaluator.update", "num_label_chunks", num_label_chunks)
        _check_number("ChunkEvaluator.update", "num_correct_chunks", num_correct_chunks)
        self.num_infer_chunks = self.num_infer_chunks + num_infer_chunks
        self.num_label_chunks = self.num_label_chunks + num_label_chunks
        self.num_correct_chunks = self.num_correct_chunks + num_correct_chunks

    def eval(self):
        """(precision, recall, F1), each a float, or an array if arrays were given; 0 where nothing was counted."""
        correct = self.num_correct_chunks
        precision = correct / self.num_infer_chunks if self.num_infer_chunks else 0
        recall = correct / self.num_label_chunks if self.num_label_chunks else 0
        return precision, recall, 2 * precision * recall / (precision + recall) if correct else 0


class EditDistance(MetricBase):
    """The mean edit distance between predicted and true sequences, and how many of them differ.

    Args:
        name (str): None for the name of the class.
    Attributes:
        total_distance (float): the sum of distances.
        seq_num (int): how many pairs of sequences there were.
        instance_error (int): how many of them differ.
    """

    def __init__(self, name):
        super().__init__(name)
        self.total_distance = 0.0
        self.seq_num = 0
        self.instance_error = 0

    def update(self, distances, seq_num):
        """Take a minibatch into account.

        Args:
            distances (numpy.ndarray): edit distances, of shape [seq_num, 1].
            seq_num (int or float): how many pairs of sequences there are.
        Raises:
            ValueError: an argument is of another type.
        """
        if not isinstance(distances, np.ndarray):
            raise ValueError(f"EditDistance.update: distances must be a NumPy array, got {described(distances)}")
        _check_number("EditDistance.update", "seq_num", seq_num)
        self.total_distance = self.total_distance + np.sum(distances, dtype=np.float64)
        self.seq_num = self.seq_num + seq_num
        self.instance_error = self.instance_error + seq_num - np.sum(distances == 0)

    def eval(self):
        """(mean distance, fraction of pairs that differ).

        Raises:
            ValueError: there were no sequences.
        """
        if self.seq_num == 0:
            raise ValueError(
                "EditDistance.eval: there are no sequences yet; call update(distances, seq_num) for each minibatch"
            )
        return self.total_distance / self.seq_num, self.instance_error / self.seq_num


class DetectionMAP:
    """Fluid's mean average precision of object detection, which fluidlite does not have.

    Raises:
        RuntimeError: always.
    """

    def __init__(self, *args, **kwargs):
        raise RuntimeError("fluidlite has no operators for object detection, and so no DetectionMAP")


class Auc(MetricBase):
    """The area under the ROC curve of a binary classifier, from counts of probabilities in equal bins.

    Args:
        name (str): None for the name of the class.
        curve (str): must be "ROC"; Paddle computes no other, either, whatever is asked for.
        num_thresholds (int): how many bins there are between 0 and 1, beside that of exactly 1.
    Raises:
        ValueError: another curve, or no bins.
    """

    def __init__(self, name, curve="ROC", num_thresholds=4095):
        super().__init__(name)
        if curve != "ROC":
            raise ValueError(f"Auc: the only curve is 'ROC', in Paddle, too; got {curve!r}")
        if num_thresholds < 1:
            raise ValueError(f"Auc: num_thresholds must be at least 1, got {num_thresholds}")
        self._num_thresholds = num_thresholds
        self.reset()

    def reset(self):
        """Forget all minibatches.  (Paddle's goes on with them.)"""
        self._positive = np.zeros(self._num_thresholds + 1)
        self._negative = np.zeros(self._num_thresholds + 1)

    def update(self, preds, labels):
        """Take a minibatch into account.

        Args:
            preds (numpy.ndarray): probabilities of both classes, of shape [batch, 2].
            labels (numpy.ndarray): 0 or 1, of shape [batch, 1].
        Raises:
            ValueError: an argument is no array or of another shape, or a probability does not lie between 0 and 1.
        """
        labels = _column("Auc", "labels", labels)
        if not isinstance(preds, np.ndarray) or preds.shape != (labels.size, 2):
            raise ValueError(
                f"Auc.update: preds must be a NumPy array of shape {[labels.size, 2]}, the probabilities of both "
                f"classes, got {described(preds)}"
            )
        preds = preds[:, 1].astype(np.float64)
        if not np.all((preds >= 0) & (preds <= 1)):
            raise ValueError("Auc.update: preds must hold probabilities, numbers from 0 to 1")
        bins = (preds * self._num_thresholds).astype(np.int64)
        np.add.at(self._positive, bins[labels != 0], 1)
        np.add.at(self._negative, bins[labels == 0], 1)

    def eval(self):
        """The area (float); 0.0 while one of the classes was not seen."""
        # From the highest threshold down: how many of each class lie above it.
        positive = np.concatenate([[0.0], np.cumsum(self._positive[::-1])])
        negative = np.concatenate([[0.0], np.cumsum(self._negative[::-1])])
        rectangle = positive[-1] * negative[-1]
        area = np.sum(np.diff(negative) * (positive[1:] + positive[:-1]) / 2)
        return float(area / rectangle) if rectangle else 0.0


def _binary(metric, preds, labels):
    """Predictions rounded to whole numbers and labels, as vectors of one length."""
    preds, labels = _column(metric, "preds", preds), _column(metric, "labels", labels)
    if preds.size != labels.size:
        raise ValueError(f"{metric}.update: there are {preds.size} preds, but {labels.size} labels")
    return np.rint(preds), labels


def _column(metric, argument, value):
    if not isinstance(value, np.ndarray):
        raise ValueError(f"{metric}.update: {argument} must be a NumPy array, got {described(value)}")
    if value.ndim == 0 or value.size != len(value):
        raise ValueError(f"{metric}.update: {argument} must be of shape [batch, 1], got {list(value.shape)}")
    return value.reshape(-1)


def _check_number(method, argument, value):
    if not isinstance(value, (int, float, np.number, np.ndarray)):
        raise ValueError(f"{method}: {argument} must be a number or a NumPy array, got {described(value)}")
