"""fluid.metrics and fluid.average: the numbers are the real Paddle's, and mistakes are explained."""

import numpy as np
import pytest
from oracle_harness import load_json
from oracle_metrics import CASES, binary, results

import fluidlite.fluid as fluid
from fluidlite.fluid import metrics

RECORDED = load_json("metrics")


def assert_same(got, recorded):
    """The same values of the same types; floats within rounding, in which the order of additions shows."""
    assert type(got) is type(recorded)
    if isinstance(got, dict):
        assert got.keys() == recorded.keys()
        got, recorded = list(got.values()), [recorded[key] for key in got]
    if isinstance(got, list):
        assert len(got) == len(recorded)
        for one, other in zip(got, recorded, strict=True):
            assert_same(one, other)
    elif isinstance(got, float):
        assert got == pytest.approx(recorded, rel=1e-12)
    else:
        assert got == recorded


@pytest.mark.parametrize("name", CASES)
def test_it_computes_what_the_real_paddle_does(name):
    assert_same(results(fluid, name), RECORDED[name])


def test_an_accuracy_of_fetched_values_prints_as_a_number(exe):
    prediction = fluid.data("prediction", [None, 3])
    label = fluid.data("label", [None, 1], "int64")
    accuracy = fluid.layers.accuracy(prediction, label)
    total = metrics.Accuracy()
    for labels in [0, 1], [0, 0, 2, 1]:
        feed = {"prediction": np.eye(3, dtype="float32")[: len(labels)], "label": np.array([labels]).T}
        if len(labels) == 4:
            feed["prediction"] = np.eye(3, dtype="float32")[[0, 1, 2, 0]]
        [value] = exe.run(feed=feed, fetch_list=[accuracy])
        total.update(value=value, weight=len(labels))
    assert "%.4f" % total.eval() == "0.6667"


def test_reset_forgets_everything():
    """Paddle's Auc and CompositeMetric go on with what they had, against its own documentation."""
    preds, labels = binary(0)
    auc = metrics.Auc("auc")
    for _ in range(2):
        auc.update(np.concatenate([1 - preds, preds], axis=1), labels)
        assert auc.eval() == pytest.approx(RECORDED["auc"][1], rel=1e-12)
        auc.reset()
        assert auc.eval() == 0
    both = metrics.CompositeMetric()
    both.add_metric(metrics.Precision())
    both.update(preds, labels)
    both.reset()
    assert both.eval() == [0.0]


ONE = np.ones((1, 1))


@pytest.mark.parametrize(
    "use, words",
    [
        (lambda: metrics.Accuracy().eval(), "Accuracy.eval: there are no samples"),
        (lambda: metrics.Accuracy().update("0.5", 1), "Accuracy.update: value must be a number .* got str '0.5'"),
        (lambda: metrics.Accuracy().update(0.5, None), "weight must be a number .* got NoneType"),
        (lambda: metrics.Accuracy().update(0.5, -1), "weight must not be negative, got -1"),
        (lambda: metrics.ChunkEvaluator().update(1, [1], 1), r"num_label_chunks must be a number .* got list \[1\]"),
        (lambda: metrics.EditDistance("d").eval(), "EditDistance.eval: there are no sequences"),
        (lambda: metrics.EditDistance("d").update([1.0], 1), "distances must be a NumPy array, got list"),
        (lambda: metrics.Precision().update([[1.0]], ONE), "Precision.update: preds must be a NumPy array, got list"),
        (lambda: metrics.Recall().update(ONE, [[1]]), "Recall.update: labels must be a NumPy array, got list"),
        (lambda: metrics.Recall().update(np.ones((3, 2)), np.ones((3, 1))), r"preds must be .* got \[3, 2\]"),
        (lambda: metrics.Recall().update(np.ones((3, 1)), ONE), "there are 3 preds, but 1 labels"),
        (lambda: metrics.Auc("a", curve="PR"), "the only curve is 'ROC'"),
        (lambda: metrics.Auc("a", num_thresholds=0), "num_thresholds must be at least 1, got 0"),
        (lambda: metrics.Auc("a").update(np.ones((2, 1)), np.ones((2, 1))), r"preds must be .* of shape \[2, 2\]"),
        (lambda: metrics.Auc("a").update(np.array([[0, 1.5]]), ONE), "numbers from 0 to 1"),
        (lambda: metrics.Auc("a").update(np.array([[0, np.nan]]), ONE), "numbers from 0 to 1"),
        (lambda: metrics.CompositeMetric().add_metric("auc"), "needs a metric .* got str 'auc'"),
    ],
)
def test_mistakes_are_explained(use, words):
    with pytest.raises(ValueError, match=words):
        use()


def test_what_is_not_there_says_so():
    with pytest.raises(RuntimeError, match="no DetectionMAP"):
        metrics.DetectionMAP(None, None, None)
    with pytest.raises(NotImplementedError, match=r"MetricBase must define update\(\)"):
        metrics.MetricBase("mine").update(1, 2)
    with pytest.raises(NotImplementedError, match=r"MetricBase must define eval\(\)"):
        metrics.MetricBase("mine").eval()


def test_weighted_average_is_deprecated_and_needs_values():
    with pytest.warns(UserWarning, match="use fluid.metrics.Accuracy"):
        average = fluid.average.WeightedAverage()
    with pytest.raises(ValueError, match="nothing to average"):
        average.eval()
    with pytest.raises(ValueError, match="value must be a number .* got str 'a'"):
        average.add("a", 1)
    average.add(np.float32(3), 2)
    average.reset()
    average.add(1, 4)
    assert average.eval() == 1
