"""Losses over sampled classes, trees of classes, rankings, and layers of click-through models (see oracle_cases)."""

import numpy as np
from oracle_harness import case, variants

FIXTURE = "cases_sampled"


def variable(t, name, dtype="float32"):
    return t.fluid.default_main_program().global_block().create_var(name=name, dtype=dtype)


def append(t, type, inputs, attrs, **outputs):
    """Append an operator with outputs of some dtypes; returns them by slot."""
    made = {slot: variable(t, type + "." + slot, dtype) for slot, dtype in outputs.items()}
    t.fluid.default_main_program().global_block().append_op(type=type, inputs=inputs, outputs=made, attrs=attrs)
    return made


@variants(
    "nce",
    {
        "uniform": dict(custom_neg_classes=[0, 3, 3]),
        "log_uniform": dict(sampler=1, custom_neg_classes=[5, 0, 6]),
        "custom": dict(sampler=2, custom_neg_classes=[1, 2, 4]),
        "two_right": dict(true=2, custom_neg_classes=[2, 2, 2]),
        "of_sequences": dict(lengths=[[3, 1]], custom_neg_classes=[6]),
        "of_one_row": dict(rows=1, custom_neg_classes=[6]),
        "weighed": dict(weighed=True, custom_neg_classes=[0, 1]),
        "without_bias": dict(has_bias=False, sampler=1, custom_neg_classes=[4]),
        "large": dict(scale=30.0, custom_neg_classes=[4, 1]),
    },
    fixture=FIXTURE,
)
def nce(t, custom_neg_classes, rows=4, true=1, sampler=0, weighed=False, has_bias=True, scale=1.0, lengths=None):
    x = t.randn(rows, 3) * np.float32(scale)
    inputs = {
        "Input": t.feed("x", x) if lengths is None else t.sequences("x", x, lengths),
        "Label": t.integers("label", 7, rows, true),
        "Weight": t.feed("w", t.randn(7, 3), shape=[7, 3]),
    }
    if has_bias:
        inputs["Bias"] = t.feed("b", t.randn(7, 1), shape=[7, 1])
    if weighed:
        inputs["SampleWeight"] = t.positive("weight", rows, 1)
    if sampler == 2:
        chances = np.array([0.1, 0.2, 0.1, 0.1, 0.3, 0.1, 0.1], "float32")
        inputs["CustomDistProbs"] = t.feed("chances", chances, shape=[7])
        inputs["CustomDistAlias"] = t.feed("aliases", np.full(7, 4, "int32"), shape=[7])
        inputs["CustomDistAliasProbs"] = t.feed("kept", np.full(7, 0.5, "float32"), shape=[7])
        for name in ("chances", "kept"):
            t.fluid.default_main_program().global_block().var(name).stop_gradient = True
    attrs = {
        "num_total_classes": 7,
        "num_neg_samples": len(custom_neg_classes),
        "custom_neg_classes": custom_neg_classes,
        "sampler": sampler,
    }
    made = append(t, "nce", inputs, attrs, Cost="float32", SampleLogits="float32", SampleLabels="int64")
    made["SampleLogits"].stop_gradient = True
    return [made["Cost"], made["SampleLogits"], made["SampleLabels"]]


@variants(
    "nce_layer",
    {
        "uniform": {},
        "log_uniform": dict(sampler="log_uniform", num_neg_samples=3, bias_attr=False),
        "seeded": dict(seed=7, num_neg_samples=4, name="mine"),
        "custom": dict(sampler="custom_dist", custom_dist=[0.1, 0.2, 0.3, 0.2, 0.1, 0.1]),
    },
    random=True,
    fixture=FIXTURE,
)
def nce_layer(t, **kwargs):
    return t.layers.nce(t.x(4, 3), t.integers("label", 6, 4, 1), 6, **kwargs)


@variants(
    "hsigmoid",
    {
        "of_2": dict(classes=2),
        "of_3": dict(classes=3),
        "of_6": dict(classes=6),
        "of_8": dict(classes=8),
        "of_many": dict(classes=100, rows=20),
        "one_row": dict(classes=5, rows=1),
        "without_bias": dict(classes=6, bias_attr=False),
        "large": dict(classes=6, scale=100.0),
        "of_sequences": dict(classes=6, lengths=[[2, 0, 3]]),
    },
    fixture=FIXTURE,
)
def hsigmoid(t, classes, rows=5, scale=1.0, lengths=None, **kwargs):
    x = t.randn(rows, 3) * np.float32(scale)
    x = t.feed("x", x) if lengths is None else t.sequences("x", x, lengths)
    return t.layers.hsigmoid(x, t.integers("label", classes, rows, 1), classes, **kwargs)


@variants(
    "hsigmoid_custom",
    {"plain": {}, "without_bias": dict(bias_attr=False)},
    fixture=FIXTURE,
)
def hsigmoid_custom(t, **kwargs):
    table = t.feed("table", np.array([[0, 1, -1], [0, 2, 4], [0, 2, 4], [3, -1, -1]], "int64"))
    code = t.feed("code", np.array([[0, 1, -1], [1, 0, 0], [1, 1, 1], [1, -1, -1]], "int64"))
    label = t.integers("label", 5, 4, 1)
    return t.layers.hsigmoid(t.x(4, 3), label, 5, path_table=table, path_code=code, is_custom=True, **kwargs)


def drawn(t, rows, num_true):
    """Labels, classes among which some of them are again, and how likely these are."""
    label = t.integers("label", 6, rows, num_true)
    others = np.tile(np.array([[1, 4, 0]]), (rows, 1))
    samples = t.feed("samples", np.concatenate([t.feeds["label"], others], axis=1).astype("int64"))
    chances = t.positive("chances", rows, num_true + 3)
    chances.stop_gradient = True
    return label, samples, chances


@variants(
    "sampled_softmax",
    {
        "plain": {},
        "with_hits": dict(remove_accidental_hits=False),
        "one_row": dict(rows=1),
    },
    fixture=FIXTURE,
)
def sampled_softmax(t, rows=3, **kwargs):
    label, samples, chances = drawn(t, rows, 1)
    return t.layers.sampled_softmax_with_cross_entropy(
        t.x(rows, 6),
        label,
        3,
        use_customized_samples=True,
        customized_samples=samples,
        customized_probabilities=chances,
        **kwargs,
    )


@variants(
    "sample_logits",
    {"two_right": {}, "with_hits": dict(remove_accidental_hits=False)},
    fixture=FIXTURE,
)
def sample_logits(t, **kwargs):
    label, samples, chances = drawn(t, 3, 2)
    inputs = {"Logits": t.x(3, 6), "Labels": label, "CustomizedSamples": samples, "CustomizedProbabilities": chances}
    made = {"Samples": samples, "Probabilities": chances}
    for slot in ("SampledLogits", "SampledLabels", "LogitsDim", "LabelsDim"):
        made[slot] = variable(t, slot, "int64" if slot == "SampledLabels" else "float32")
    attrs = dict(num_samples=3, use_customized_samples=True, **kwargs)
    block = t.fluid.default_main_program().global_block()
    block.append_op(type="sample_logits", inputs=inputs, outputs=made, attrs=attrs)
    return [made["SampledLogits"], made["SampledLabels"]]


@case("sampled_softmax_drawn", random=True, fixture=FIXTURE)
def sampled_softmax_drawn(t):
    return t.layers.sampled_softmax_with_cross_entropy(t.x(4, 10), t.integers("label", 10, 4, 1), 3)


@variants(
    "sampling_id",
    {"plain": {}, "int64": dict(dtype="int64"), "beyond": dict(rows=[[0.5, 0.2], [0.1, 0.1]], min=0.9, max=0.95)},
    grad=False,
    fixture=FIXTURE,
)
def sampling_id(t, rows=((0, 0, 1, 0), (1, 0, 0, 0), (0, 0, 0, 1)), **kwargs):
    return t.layers.sampling_id(t.feed("x", np.array(rows, "float32")), **kwargs)


@variants(
    "bpr_loss",
    {
        "plain": dict(shape=(4, 5)),
        "one_row": dict(shape=(1, 3)),
        "two": dict(shape=(3, 2)),
        "many": dict(shape=(7, 40)),
    },
    fixture=FIXTURE,
)
def bpr_loss(t, shape):
    return t.layers.bpr_loss(t.x(*shape), t.integers("label", shape[1], shape[0], 1))


@variants(
    "teacher_student",
    {"plain": {}, "bounded": dict(soft_max_up_bound=1.0, soft_max_lower_bound=-0.5)},
    fixture=FIXTURE,
)
def teacher_student(t, **kwargs):
    label = t.feed("label", np.array([[-2], [-1], [0.0], [0.3], [1.0], [1.6], [-2], [-1]], "float32"))
    label.stop_gradient = True
    return t.layers.teacher_student_sigmoid_loss(t.feed("x", t.randn(8, 1) * 2), label, **kwargs)


@variants(
    "center_loss",
    {
        "plain": {},
        "one_class": dict(labels=[2, 2, 2, 2]),
        "one_row": dict(labels=[1]),
        "of_sequences": dict(labels=[1, 2, 2], lengths=[[1, 2]]),
        "still": dict(update_center=False),
    },
    fixture=FIXTURE,
)
def center_loss(t, labels=(0, 2, 0, 1, 4), lengths=None, **kwargs):
    rows = t.randn(len(labels), 3)
    x = t.feed("x", rows) if lengths is None else t.sequences("x", rows, lengths)
    label = t.feed("label", np.array(labels, "int64").reshape(-1, 1))
    alpha = t.feed("alpha", np.array([0.3], "float32"), shape=[1])
    alpha.stop_gradient = True
    return t.layers.center_loss(x, label, 5, alpha, None, **kwargs)


@variants("cvm", {"plain": {}, "without": dict(use_cvm=False), "one_row": dict(rows=1)}, fixture=FIXTURE)
def cvm(t, rows=4, **kwargs):
    counts = t.positive("counts", rows, 2)
    counts.stop_gradient = True
    return t.layers.continuous_value_model(t.positive("x", rows, 5), counts, **kwargs)


@variants(
    "cvm_sequences",
    {"plain": {}, "without": dict(use_cvm=False), "empty": dict(lengths=[[0, 4]])},
    fixture=FIXTURE,
)
def cvm_sequences(t, lengths=((3, 1),), **kwargs):
    counts = t.positive("counts", 2, 2)
    counts.stop_gradient = True
    rows = t.sequences("x", t.rng.uniform(0.5, 2, (4, 5)).astype("float32"), [list(level) for level in lengths])
    return t.layers.continuous_value_model(rows, counts, **kwargs)


@variants(
    "hash",
    {
        "int32": dict(dtype="int32"),
        "int64": {},
        "one": dict(width=1, num=1),
        "one_int32": dict(width=1, dtype="int32"),
        "long": dict(width=9),
        "long_int32": dict(width=19, dtype="int32"),
    },
    grad=False,
    fixture=FIXTURE,
)
def hashed(t, width=3, num=3, dtype="int64"):
    x = t.feed("x", t.rng.randint(-5, 1000, (5, width)).astype(dtype))
    attrs = {"num_hash": num, "mod_by": 1007}
    return append(t, "hash", {"X": x}, attrs, Out=dtype)["Out"]


@variants(
    "filter_by_instag",
    {
        "rows": dict(wanted=[1]),
        "rows_none": dict(wanted=[9], out_val_if_empty=7),
        "sequences": dict(wanted=[1, 5], lengths=[[2, 1, 0, 3]]),
        "sequences_one": dict(wanted=[5], lengths=[[2, 1, 0, 3]]),
        "sequences_none": dict(wanted=[9], lengths=[[2, 1, 0, 3]]),
    },
    fixture=FIXTURE,
)
def filter_by_instag(t, wanted, lengths=None, **kwargs):
    tags = t.sequences("tags", np.array([[1], [2], [1], [3], [5]], "int64"), [[1, 2, 1, 1]])
    ins = t.x(4, 3) if lengths is None else t.sequences("x", t.randn(6, 3), lengths)
    filters = t.feed("wanted", np.array(wanted, "int64"))
    out, weight = t.layers.filter_by_instag(ins, tags, filters, lengths is not None, **kwargs)
    weight.stop_gradient = True
    return [out, weight]
