"""Sampled losses and trees of classes: what is drawn, and what structures the recorded descriptions do not show."""

import numpy as np
import pytest
from oracle_compare import op_differences
from oracle_harness import CASES, run_case
from oracle_recorded import DIFFERENT, RECORDED

import fluidlite.fluid as fluid
from fluidlite.fluid import layers
from fluidlite.ops.sampled import draw_different

UNDESCRIBED = [name for test, name in DIFFERENT if test == "structure" and CASES[name].fixture == "cases_sampled"]


@pytest.mark.parametrize("name", UNDESCRIBED)
def test_operators_whose_outputs_fluid_describes_otherwise(name):
    got, want = run_case(fluid, CASES[name]).structure, RECORDED[name][0]
    assert op_differences(got["main"]["ops"], want["main"]["ops"]) == []
    assert op_differences(got["startup"], want["startup"]) == []


def run(fetches, feed=None):
    exe = fluid.Executor()
    exe.run(fluid.default_startup_program())
    return lambda: [np.array(found) for found in exe.run(feed=feed or {}, fetch_list=fetches)]


def drawn_by_nce(rows=400, classes=6, **kwargs):
    """A function that runs `nce` for rows of zeros and returns the classes that were drawn, and the costs."""
    x, label = fluid.data("x", [None, 2]), fluid.data("label", [None, 1], "int64")
    layers.nce(x, label, classes, num_neg_samples=50, **kwargs)
    (op,) = (op for op in fluid.default_main_program().global_block().ops if op.type == "nce")
    fetches = [op.output("SampleLabels")[0], op.output("Cost")[0], op.output("SampleLogits")[0]]
    return run(fetches, {"x": np.zeros((rows, 2), "float32"), "label": np.full((rows, 1), 3)})


CHANCES = [0.05, 0.1, 0.4, 0.2, 0.05, 0.2]
SAMPLERS = {
    "uniform": np.full(6, 1 / 6),
    # As Fluid draws them: the last class never.
    "log_uniform": np.append(np.diff(np.log(np.arange(1, 7))) / np.log(6), 0),
    "custom_dist": np.array(CHANCES),
}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_nce_draws_as_its_sampler_says(sampler):
    custom = {"custom_dist": CHANCES} if sampler == "custom_dist" else {}
    found, cost, chances = drawn_by_nce(sampler=sampler, **custom)()
    assert (found[:, 0] == 3).all() and (chances == 0.5).all()
    counts = np.bincount(found[:, 1:].ravel(), minlength=6)
    np.testing.assert_allclose(counts / counts.sum(), SAMPLERS[sampler], atol=0.012)
    likely = SAMPLERS[sampler][found] * 50
    terms = [-np.log(0.5 / (0.5 + likely[:, :1])), -np.log(likely[:, 1:] / (0.5 + likely[:, 1:]))]
    np.testing.assert_allclose(cost, np.concatenate(terms, axis=1).sum(1, keepdims=True), rtol=1e-4)


def test_nce_draws_others_in_every_step_unless_it_has_a_seed():
    draw = drawn_by_nce(rows=4)
    assert not np.array_equal(draw()[0], draw()[0])
    with fluid.program_guard(fluid.Program(), fluid.Program()):
        draw = drawn_by_nce(rows=4, seed=3)
        assert np.array_equal(draw()[0], draw()[0])


def test_sampling_id_draws_as_likely_as_rows_say():
    chances = np.tile(np.array([[0.1, 0.2, 0.0, 0.7]], "float32"), (20_000, 1))
    x = fluid.data("x", [None, 4])
    (found,) = run([layers.sampling_id(x)], {"x": chances})()
    assert found.dtype == np.int64
    np.testing.assert_allclose(np.bincount(found, minlength=4) / 20_000, chances[0], atol=0.015)


def test_different_classes_are_drawn_one_after_the_other():
    tries = []
    for seed in range(300):
        found, count = draw_different(np.random.default_rng(seed), 5, 8)
        assert len(set(found)) == 5 and found.min() >= 0 and found.max() < 8
        tries.append(count)
    # By hand, with the same sampler.
    likely = np.log1p(1 / np.arange(1, 9)) / np.log(9)
    rng, wanted = np.random.default_rng(1), []
    for _ in range(2000):
        seen, count = set(), 0
        while len(seen) < 5:
            seen.add(rng.choice(8, p=likely))
            count += 1
        wanted.append(count)
    assert abs(np.mean(tries) - np.mean(wanted)) < 0.6 and min(tries) >= 5


def test_sample_logits_takes_off_how_likely_a_class_is():
    logits, label = fluid.data("logits", [None, 20]), fluid.data("label", [None, 1], "int64")
    loss = layers.sampled_softmax_with_cross_entropy(logits, label, 6)
    (op,) = (op for op in fluid.default_main_program().global_block().ops if op.type == "sample_logits")
    slots = "Samples", "Probabilities", "SampledLogits"
    x = np.random.RandomState(0).randn(5, 20).astype("float32")
    feed = {"logits": x, "label": np.array([[0], [1], [19], [7], [3]])}
    samples, likely, sampled, found = run([op.output(slot)[0] for slot in slots] + [loss], feed)()
    assert (samples[:, 1:] == samples[0, 1:]).all() and len(set(samples[0, 1:])) == 6
    assert (samples[:, :1] == feed["label"]).all()
    # 1 - (1 - p)^tries for the same number of tries, or p times that of samples if none was drawn twice.
    each = np.log1p(1 / (samples + 1.0)) / np.log(21)
    tries = np.log1p(-likely.astype("float64")) / np.log1p(-each)
    assert np.allclose(likely, 6 * each, rtol=1e-5) or np.ptp(tries) < 1e-3 * tries.mean()
    hits = (samples == feed["label"]) & (np.arange(7) > 0)
    np.testing.assert_allclose(sampled[~hits], (np.take_along_axis(x, samples, 1) - np.log(likely))[~hits], rtol=1e-5)
    assert (sampled[hits] < -1e19).all()
    scores = np.exp(sampled.astype("float64"))
    np.testing.assert_allclose(found[:, 0], -np.log(scores[:, 0] / scores.sum(1)), rtol=1e-4)


def test_classes_drawn_of_a_large_table_cost_no_more():
    """A step of nce with selected rows touches the classes that it draws, and no others."""
    x, label = fluid.data("x", [None, 4]), fluid.data("label", [None, 1], "int64")
    attr = fluid.ParamAttr("classes", fluid.initializer.Constant(0.1))
    loss = layers.mean(layers.nce(x, label, 1000, param_attr=attr, num_neg_samples=5, is_sparse=True))
    fluid.optimizer.Adam(0.1, lazy_mode=True).minimize(loss)
    samples = next(op for op in loss.block.ops if op.type == "nce").output("SampleLabels")[0]
    feed = {"x": np.ones((3, 4), "float32"), "label": np.array([[999], [5], [5]])}
    found, table = run([samples, "classes"], feed)()
    changed = np.flatnonzero((table != np.float32(0.1)).any(axis=1))
    assert changed.tolist() == np.unique(found).tolist()


def x(*shape):
    return fluid.data("x", [None, *shape])


def floats():
    return fluid.data("floats", [None, 1])


def ids(name="ids", width=1):
    return fluid.data(name, [None, width], "int64")


WRONG = {
    "nce_sampler": (ValueError, lambda: layers.nce(x(3), ids(), 5, sampler="zipf"), "'zipf'"),
    "nce_no_distribution": (TypeError, lambda: layers.nce(x(3), ids(), 5, sampler="custom_dist"), "5 probabilities"),
    "nce_distribution": (ValueError, lambda: layers.nce(x(3), ids(), 5, sampler="custom_dist", custom_dist=[1.0]), "5"),
    "nce_input": (TypeError, lambda: layers.nce(ids(), ids("label"), 5), "floating-point"),
    "nce_label": (TypeError, lambda: layers.nce(x(3), floats(), 5), "int64"),
    "hsigmoid_classes": (ValueError, lambda: layers.hsigmoid(x(3), ids(), 1), "at least 2"),
    "hsigmoid_no_path": (
        ValueError,
        lambda: layers.hsigmoid(x(3), ids(), 5, is_custom=True),
        "path_table and path_code",
    ),
    "hsigmoid_path": (ValueError, lambda: layers.hsigmoid(x(3), ids(), 5, path_table=ids("t", 3)), "is_custom=True"),
    "hsigmoid_label": (TypeError, lambda: layers.hsigmoid(x(3), floats(), 5), "int64"),
    "sampled_softmax": (
        fluid.core.EnforceNotMet,
        lambda: layers.sampled_softmax_with_cross_entropy(x(5), ids(), 6),
        "there being 5",
    ),
    "sampling_id": (fluid.core.EnforceNotMet, lambda: layers.sampling_id(x(3, 4)), "2 dimensions"),
    "bpr_loss": (TypeError, lambda: layers.bpr_loss(ids(), ids("label")), "floating-point"),
    "bpr_loss_label": (fluid.core.EnforceNotMet, lambda: layers.bpr_loss(x(4), ids("label", 2)), "last dimension of 1"),
    "center_loss_alpha": (TypeError, lambda: layers.center_loss(x(4), ids(), 3, "fast", None), "alpha"),
    "teacher": (TypeError, lambda: layers.teacher_student_sigmoid_loss(x(1), ids()), "label"),
    "teacher_shape": (
        fluid.core.EnforceNotMet,
        lambda: layers.teacher_student_sigmoid_loss(x(1), fluid.data("y", [None, 2])),
        r"\[N, 1\]",
    ),
    "cvm": (
        fluid.core.EnforceNotMet,
        lambda: layers.continuous_value_model(x(5), fluid.data("c", [None, 3])),
        r"\[N, 2\]",
    ),
    "hash": (TypeError, lambda: layers.hash(x(2), 100), "integer"),
    "hash_shape": (fluid.core.EnforceNotMet, lambda: layers.hash(fluid.data("x", [None], "int64"), 100), "matrix"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments(name):
    kind, call, text = WRONG[name]
    with pytest.raises(kind, match=text):
        call()


BAD = {
    "nce": (lambda: layers.nce(x(2), ids(), 5), {"ids": [[5]]}, "class.* 5"),
    "hsigmoid": (lambda: layers.hsigmoid(x(2), ids(), 5), {"ids": [[-1]]}, "label.* -1"),
    "bpr_loss": (lambda: layers.bpr_loss(x(2), ids()), {"ids": [[2]]}, "label.* 2"),
    "center_loss": (lambda: layers.center_loss(x(2), ids(), 3, 0.1, None), {"ids": [[3]]}, "label.* 3"),
    "path": (
        lambda: layers.hsigmoid(x(2), ids(), 3, path_table=ids("t", 2), path_code=ids("c", 2), is_custom=True),
        {"ids": [[1]], "t": [[0, 3]], "c": [[0, 1]]},
        "node.* 3",
    ),
    "tags": (
        lambda: layers.filter_by_instag(x(2), ids(), ids("wanted"), False)[0],
        {"ids": [[1]], "wanted": [[1]]},
        "Ins_tag must have a level of detail",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_values(name):
    make, feed, text = BAD[name]
    fetch = run([make()], {"x": np.ones((1, 2), "float32"), **{key: np.array(value) for key, value in feed.items()}})
    with pytest.raises(fluid.core.EnforceNotMet, match=f"(?s){text}.*created at"):
        fetch()


def test_center_loss_sets_its_rate_in_every_run():
    loss = layers.center_loss(x(2), ids(), 3, 0.5, fluid.ParamAttr("centers", fluid.initializer.Constant(0.0)))
    assert [op.type for op in loss.block.ops] == ["fill_constant", "center_loss"]
    step = run([loss, "centers"], {"x": np.array([[2.0, 4.0]], "float32"), "ids": np.array([[1]])})
    found = step()
    assert found[0].tolist() == [[10.0]] and found[1].tolist() == [[0, 0], [0.5, 1.0], [0, 0]]
    np.testing.assert_allclose(step()[1][1], [0.875, 1.75])


def test_hash_as_a_layer():
    found = run([layers.hash(ids(width=3), 1007, 3)], {"ids": np.array([[1, 2, 3], [1, 2, 3], [3, 2, 1]])})()[0]
    assert found.shape == (3, 3, 1) and (found[0] == found[1]).all() and (found[0] != found[2]).any()
    assert found.min() >= 0 and found.max() < 1007
