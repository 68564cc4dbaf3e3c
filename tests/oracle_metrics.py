"""Uses of Fluid's metrics, and what comes out: with the real Paddle to record it, on fluidlite to compare.

Runs under Python 3.7; only Fluid 1.8's own names are used.
"""

import warnings

import numpy as np


def case(function):
    CASES[function.__name__] = function
    return function


CASES = {}


def binary(seed, count=40):
    """Probabilities of class 1, some of them on the edges of bins, and labels; each of shape [count, 1]."""
    rng = np.random.RandomState(seed)
    preds = rng.rand(count, 1).astype("float32")
    preds[:8, 0] = [0, 1, 0.5, 0.25, 1.5 / 4095, 7 / 4095, 4094 / 4095, 0.1]
    return preds, (rng.rand(count, 1) < 0.3 + 0.4 * preds).astype("int64")


@case
def precision_and_recall(metrics):
    both = metrics.CompositeMetric()
    both.add_metric(metrics.Precision())
    both.add_metric(metrics.Recall("sensitivity"))
    yield both.eval()
    for seed in range(3):
        both.update(*binary(seed))
        yield both.eval()


@case
def precision_of_other_numbers(metrics):
    precision, recall = metrics.Precision(), metrics.Recall()
    preds = np.array([0.5, 1.5, 2.6, -0.6, 0.51, 1.49, 1.0, 1.0, 1.0])
    for metric in precision, recall:
        metric.update(preds, np.array([1, 1, 1, 1, 1, 1, 0, 2, -1]))
        yield metric.eval()
        yield metric.get_config()
        metric.reset()
        yield metric.get_config()
        metric.update(preds.reshape(-1, 1), np.array([1.7, 1, 0.9, 1, 1, 0, 1, 1, 1]))
        yield metric.get_config()


@case
def accuracy(metrics):
    accuracy = metrics.Accuracy()
    for value, weight in [(0.9, 128), (0.8, 10), (1, 3), (0.5, 0)]:
        accuracy.update(value=value, weight=weight)
        yield accuracy.eval()
    yield accuracy.get_config()
    accuracy.reset()
    yield accuracy.get_config()
    accuracy.update(np.array([0.25], "float32"), 4)
    yield accuracy.eval()
    accuracy.update(np.array([0.75], "float32"), 4)
    yield accuracy.eval()
    accuracy.reset()
    yield accuracy.get_config()


@case
def chunks(metrics):
    chunks = metrics.ChunkEvaluator("chunks")
    yield str(chunks)
    yield chunks.eval()
    for counts in [(10, 0, 0), (0, 9, 8), (3, 3, 3)]:
        chunks.update(*counts)
        yield chunks.eval()
    for counts in [(4, 5, 2), (7, 7, 7)]:
        chunks.update(*(np.array([count]) for count in counts))
        yield chunks.eval()
    yield chunks.get_config()
    chunks.reset()
    yield chunks.eval()


@case
def edit_distance(metrics):
    distance = metrics.EditDistance("distance")
    rng = np.random.RandomState(4)
    for count in 5, 12, 1:
        distance.update(rng.randint(0, 3, (count, 1)).astype("float32"), count)
        yield distance.eval()
        yield distance.get_config()
    distance.update(np.array([[2], [0]]), np.int64(2))
    yield distance.eval()
    distance.reset()
    yield distance.get_config()


@case
def auc(metrics):
    for options in {}, {"num_thresholds": 10}, {"curve": "ROC", "num_thresholds": 200}:
        metric = metrics.Auc("auc", **options)
        yield metric.eval()
        for seed in range(4):
            preds, labels = binary(seed)
            metric.update(np.concatenate([1 - preds, preds], axis=1), labels)
            yield metric.eval()


@case
def auc_of_one_class(metrics):
    metric = metrics.Auc("auc")
    preds = np.array([[0.5, 0.5], [0.2, 0.8]])
    metric.update(preds, np.array([[1], [1]]))
    yield metric.eval()
    metric.update(preds, np.array([0, 1]))
    yield metric.eval()


@case
def a_metric_of_ones_own(metrics):
    class Own(metrics.MetricBase):
        def __init__(self):
            super(Own, self).__init__(None)
            self.whole, self.half, self.text, self.some, self.yes = 3, 2.5, "text", [1], True
            self.array, self.scalar, self._hidden = np.ones(3), np.float32(3), 4

    own = Own()
    yield str(own)
    yield own.get_config()
    own.reset()
    yield own.get_config()
    yield own._hidden


@case
def weighted_average(metrics, average):
    for values in [(2.0, 1), (4.0, 2)], [(np.array([3.0], "float32"), 2), (1, 1)], [(np.ones((2, 2)), 1.5), (3.0, 1)]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mean = average.WeightedAverage()
        for value, weight in values:
            mean.add(value, weight)
            yield mean.eval()


def results(fluid, name):
    """What a case yields, as JSON can hold it: arrays as ["float32", [shape], [elements]]."""
    takes = CASES[name].__code__.co_varnames[: CASES[name].__code__.co_argcount]
    return [described(value) for value in CASES[name](*(getattr(fluid, module) for module in takes))]


def described(value):
    """A result as JSON can hold it."""
    if isinstance(value, dict):
        return {key: described(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [described(item) for item in value]
    if isinstance(value, np.ndarray):
        return [str(value.dtype), list(value.shape), value.ravel().tolist()]
    return value.item() if isinstance(value, np.generic) else value
