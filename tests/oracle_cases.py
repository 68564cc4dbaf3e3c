"""Small cases of the core layers. Each runs on the real Paddle, which recorded them, and on fluidlite.

Runs under Python 3.7 too; ``t`` is an ``oracle_harness.Builder``.
"""

import operator

import numpy as np
from oracle_harness import case, variants


@case("data_appends_batch_size")
def _(t):
    x = t.layers.data("x", [3, 2])
    y = t.layers.data("y", [4, 3, 2], append_batch_size=False)
    z = t.layers.data("z", [-1, 3, 2], dtype="float32", stop_gradient=False)
    for var in (x, y, z):
        t.bind(var, t.randn(4, 3, 2))
    return [t.layers.relu(x), t.layers.relu(y), t.layers.relu(z)]


@case("data_fluid")
def _(t):
    x = t.bind(t.fluid.data("x", [None, 3, -1]), t.randn(2, 3, 4))
    y = t.bind(t.fluid.data("y", [2, 3], "int64", 0), np.arange(6).reshape(2, 3))
    return [t.layers.tanh(x), t.layers.cast(y, "float32")]


@variants(
    "fc",
    {
        "plain": {},
        "relu": dict(act="relu"),
        "softmax": dict(act="softmax"),
        "tanh": dict(act="tanh"),
        "sigmoid": dict(act="sigmoid"),
        "no_bias": dict(bias_attr=False),
        "no_bias_act": dict(bias_attr=False, act="relu"),
        "named": dict(name="layer"),
        "named_params": dict(param_attr="weight", bias_attr="bias"),
        "flatten_default": dict(shape=(3, 2, 4)),
        "flatten_4d": dict(shape=(3, 1, 2, 4), act="relu"),
        "flatten_2": dict(shape=(3, 2, 4), num_flatten_dims=2),
        "flatten_minus_1": dict(shape=(3, 2, 4), num_flatten_dims=-1, act="softmax"),
        "flatten_4d_3": dict(shape=(2, 3, 2, 4), num_flatten_dims=3, act="tanh"),
    },
)
def _(t, shape=(4, 6), **kwargs):
    return t.layers.fc(t.x(*shape), 5, **kwargs)


@case("fc_list")
def _(t):
    return t.layers.fc([t.x(4, 6), t.y(4, 3)], 5, act="tanh")


@case("fc_list_param_attrs")
def _(t):
    attrs = [t.fluid.ParamAttr(name="a"), t.fluid.ParamAttr(name="b")]
    return t.layers.fc([t.x(4, 6), t.y(4, 3)], 5, param_attr=attrs)


@case("fc_list_no_bias")
def _(t):
    return t.layers.fc([t.x(4, 6), t.y(4, 3)], 5, bias_attr=False)


@case("fc_shared_by_name")
def _(t):
    x = t.x(4, 6)
    first = t.layers.fc(x, 6, param_attr="shared", act="tanh")
    return t.layers.fc(first, 6, param_attr=t.fluid.ParamAttr(name="shared"), bias_attr=False)


@case("fc_not_trainable")
def _(t):
    return t.layers.fc(t.x(4, 6), 5, param_attr=t.fluid.ParamAttr(trainable=False), act="relu")


@case("fc_two_layers")
def _(t):
    return t.layers.fc(t.layers.fc(t.x(4, 6), 5, act="relu"), 3, act="softmax")


@variants(
    "conv2d",
    {
        "plain": {},
        "relu": dict(act="relu"),
        "no_bias": dict(bias_attr=False),
        "no_bias_relu": dict(bias_attr=False, act="relu"),
        "1x1": dict(filter_size=1),
        "1x1_stride": dict(filter_size=1, stride=2),
        "whole_image": dict(filter_size=[7, 6]),
        "filter_2": dict(filter_size=2),
        "filter_4_pad_1": dict(filter_size=4, padding=1),
        "filter_2x3": dict(filter_size=[2, 3]),
        "filter_5_pad_2": dict(filter_size=5, padding=2, act="relu"),
        "stride_2": dict(stride=2),
        "stride_3x2": dict(stride=[3, 2]),
        "stride_3_filter_2": dict(stride=3, filter_size=2),
        "pad_1": dict(padding=1),
        "pad_1_stride_2": dict(padding=1, stride=2),
        "pad_2x1": dict(padding=[2, 1]),
        "pad_4_list": dict(padding=[1, 0, 2, 1]),
        "pad_nested": dict(padding=[[0, 0], [0, 0], [1, 2], [0, 1]]),
        "pad_same": dict(padding="SAME"),
        "pad_same_lower": dict(padding="same"),
        "pad_same_even": dict(padding="SAME", filter_size=[2, 4]),
        "pad_same_stride_2": dict(padding="SAME", stride=2),
        "pad_same_dilation": dict(padding="SAME", dilation=2),
        "pad_valid": dict(padding="VALID", stride=2),
        "dilation_2": dict(dilation=2),
        "dilation_2x1": dict(dilation=[2, 1], padding=[2, 1]),
        "dilation_stride": dict(dilation=2, stride=2, padding=2),
        "groups_3": dict(groups=3, num_filters=6),
        "groups_3_stride": dict(shape=(2, 6, 7, 6), groups=3, num_filters=3, stride=2, padding=1),
        "depthwise": dict(groups=3, num_filters=3, padding=1),
        "depthwise_multiplier": dict(groups=3, num_filters=6, stride=2, act="relu"),
        "depthwise_dilation": dict(groups=3, num_filters=3, dilation=2, padding=1),
        "depthwise_no_cudnn": dict(groups=3, num_filters=3, use_cudnn=False),
        "one_channel": dict(shape=(3, 1, 7, 6)),
        "batch_1": dict(shape=(1, 3, 7, 6)),
        "nhwc": dict(shape=(2, 7, 6, 3), data_format="NHWC", act="relu"),
        "nhwc_pad": dict(shape=(2, 7, 6, 3), data_format="NHWC", padding=[[0, 0], [1, 0], [2, 1], [0, 0]], stride=2),
        "nhwc_same": dict(shape=(2, 7, 6, 3), data_format="NHWC", padding="SAME", stride=2),
        "nhwc_groups": dict(shape=(2, 7, 6, 4), data_format="NHWC", groups=2, num_filters=6),
        "named_params": dict(param_attr="filter", bias_attr="bias", name="layer"),
    },
)
def _(t, shape=(2, 3, 7, 6), num_filters=4, filter_size=3, **kwargs):
    return t.layers.conv2d(t.x(*shape), num_filters, filter_size, **kwargs)


@variants(
    "pool2d",
    {
        "max": {},
        "max_stride_2": dict(pool_stride=2),
        "max_overlap": dict(pool_size=3, pool_stride=2),
        "max_gaps": dict(pool_size=2, pool_stride=3),
        "max_3x2": dict(pool_size=[3, 2], pool_stride=[1, 2]),
        "max_pad": dict(pool_size=3, pool_stride=2, pool_padding=1),
        "max_pad_list": dict(pool_size=3, pool_padding=[1, 2]),
        "max_pad_4_list": dict(pool_size=3, pool_stride=2, pool_padding=[1, 0, 2, 1]),
        "max_pad_nested": dict(pool_size=3, pool_padding=[[0, 0], [0, 0], [1, 0], [0, 2]]),
        "max_same": dict(pool_size=3, pool_stride=2, pool_padding="SAME"),
        "max_valid": dict(pool_size=3, pool_stride=2, pool_padding="VALID"),
        "max_ceil": dict(pool_size=2, pool_stride=2, ceil_mode=True),
        "max_ceil_pad": dict(pool_size=3, pool_stride=2, pool_padding=1, ceil_mode=True),
        "max_global": dict(global_pooling=True),
        "max_nhwc": dict(pool_stride=2, data_format="NHWC"),
        "max_nhwc_pad": dict(pool_size=3, pool_padding=[[0, 0], [1, 0], [0, 2], [0, 0]], data_format="NHWC"),
        "avg": dict(pool_type="avg"),
        "avg_stride_2": dict(pool_type="avg", pool_stride=2),
        "avg_overlap": dict(pool_type="avg", pool_size=3, pool_stride=2),
        "avg_pad": dict(pool_type="avg", pool_size=3, pool_stride=2, pool_padding=1),
        "avg_pad_inclusive": dict(pool_type="avg", pool_size=3, pool_stride=2, pool_padding=1, exclusive=False),
        "avg_pad_4_list": dict(pool_type="avg", pool_size=3, pool_padding=[1, 0, 2, 1]),
        "avg_pad_4_list_inclusive": dict(pool_type="avg", pool_size=3, pool_padding=[1, 0, 2, 1], exclusive=False),
        "avg_same": dict(pool_type="avg", pool_size=3, pool_stride=2, pool_padding="SAME"),
        "avg_same_inclusive": dict(pool_type="avg", pool_size=3, pool_padding="SAME", exclusive=False),
        "avg_valid": dict(pool_type="avg", pool_size=2, pool_stride=2, pool_padding="VALID"),
        "avg_ceil": dict(pool_type="avg", pool_size=2, pool_stride=2, ceil_mode=True),
        "avg_ceil_inclusive": dict(pool_type="avg", pool_size=2, pool_stride=2, ceil_mode=True, exclusive=False),
        "avg_ceil_pad_inclusive": dict(
            pool_type="avg", pool_size=3, pool_stride=2, pool_padding=1, ceil_mode=True, exclusive=False
        ),
        "avg_global": dict(pool_type="avg", global_pooling=True),
        "avg_nhwc": dict(pool_type="avg", pool_size=3, pool_stride=2, pool_padding=1, data_format="NHWC"),
    },
)
def _(t, pool_size=2, **kwargs):
    return t.layers.pool2d(t.x(2, 3, 7, 5), pool_size, **kwargs)


@variants("pool2d_ties", {"max": dict(pool_type="max"), "avg": dict(pool_type="avg")})
def _(t, **kwargs):
    x = t.feed("x", t.rng.randint(0, 2, (2, 2, 6, 6)).astype("float32"))
    return t.layers.pool2d(x, 3, pool_stride=1, **kwargs)


@variants(
    "batch_norm",
    {
        "train": {},
        "relu": dict(act="relu"),
        "momentum": dict(momentum=0.7, epsilon=5e-4),
        "global_stats": dict(use_global_stats=True),
        "2d": dict(shape=(5, 3)),
        "3d": dict(shape=(4, 3, 5)),
        "nhwc": dict(shape=(3, 4, 5, 2), data_layout="NHWC"),
        "in_place": dict(in_place=True),
        "moving_names": dict(moving_mean_name="moving_mean", moving_variance_name="moving_variance"),
        "named_params": dict(param_attr="scale", bias_attr="shift", name="layer"),
        "no_model_average": dict(do_model_average_for_mean_and_var=False),
    },
)
def _(t, shape=(3, 2, 4, 5), **kwargs):
    x = t.feed("x", t.randn(*shape) * np.float32(1.5) + np.float32(0.5))
    return t.layers.batch_norm(x, **kwargs)


# The real Paddle refuses to differentiate these.
@variants("batch_norm_is_test", {"4d": {}, "2d": dict(shape=(5, 3)), "nhwc": dict(data_layout="NHWC")}, grad=False)
def _(t, shape=(3, 2, 4, 5), **kwargs):
    return t.layers.batch_norm(t.x(*shape), is_test=True, **kwargs)


@case("batch_norm_for_test", for_test=True)
def _(t):
    return t.layers.batch_norm(t.x(3, 2, 4, 5), act="relu")


@case("batch_norm_after_conv")
def _(t):
    hidden = t.layers.conv2d(t.x(2, 3, 5, 6), 4, 3, bias_attr=False)
    return t.layers.batch_norm(hidden, act="relu")


DROPOUT = {
    "downgrade": {},
    "upscale": dict(dropout_implementation="upscale_in_train"),
    "seed": dict(seed=7),
}


@variants("dropout_random", DROPOUT, random=True)
def _(t, **kwargs):
    return t.layers.dropout(t.x(4, 5), 0.3, **kwargs)


@variants("dropout_zero", DROPOUT)
def _(t, **kwargs):
    return t.layers.dropout(t.x(4, 5), 0.0, **kwargs)


@variants("dropout_one", DROPOUT)
def _(t, **kwargs):
    return t.layers.dropout(t.x(4, 5), 1.0, **kwargs)


@variants("dropout_is_test", DROPOUT, grad=False)
def _(t, **kwargs):
    return t.layers.dropout(t.x(4, 5), 0.3, is_test=True, **kwargs)


@variants("dropout_for_test", DROPOUT, for_test=True)
def _(t, **kwargs):
    return t.layers.dropout(t.x(4, 5), 0.3, **kwargs)


@variants(
    "softmax",
    {
        "2d": dict(shape=(4, 5)),
        "3d": dict(shape=(2, 3, 4)),
        "axis_1": dict(shape=(2, 3, 4), axis=1),
        "axis_0": dict(shape=(2, 3), axis=0),
        "axis_minus_2": dict(shape=(2, 3, 4), axis=-2),
        "1d": dict(shape=(5,)),
    },
)
def _(t, shape, **kwargs):
    return t.layers.softmax(t.x(*shape), **kwargs)


@case("softmax_large_values")
def _(t):
    return t.layers.softmax(t.feed("x", t.randn(3, 4) * np.float32(100)))


def probabilities(t, *shape):
    raw = t.rng.uniform(0.1, 1, shape)
    return (raw / raw.sum(-1, keepdims=True)).astype("float32")


@variants(
    "cross_entropy",
    {
        "hard": dict(shape=(4, 5)),
        "hard_ignore": dict(shape=(6, 3), ignore_index=1),
        "hard_3d": dict(shape=(2, 3, 4)),
        "hard_3d_ignore": dict(shape=(2, 5, 3), ignore_index=0),
    },
)
def _(t, shape, **kwargs):
    x = t.feed("x", probabilities(t, *shape))
    return t.layers.cross_entropy(x, t.integers("label", shape[-1], *(shape[:-1] + (1,))), **kwargs)


@case("cross_entropy_ignore_negative")
def _(t):
    x = t.feed("x", probabilities(t, 4, 3))
    return t.layers.cross_entropy(x, t.feed("label", np.array([[0], [-100], [2], [-100]])))


@case("cross_entropy_zero_probability")
def _(t):
    x = t.feed("x", np.array([[0, 1], [1, 0]], "float32"))
    return t.layers.cross_entropy(x, t.feed("label", np.array([[0], [0]])))


@variants("cross_entropy_soft", {"2d": dict(shape=(4, 5)), "3d": dict(shape=(2, 3, 4))})
def _(t, shape):
    x = t.feed("x", probabilities(t, *shape))
    return t.layers.cross_entropy(x, t.feed("label", probabilities(t, *shape)), soft_label=True)


@variants(
    "softmax_with_cross_entropy",
    {
        "hard": {},
        "hard_ignore": dict(ignore_index=1),
        "unstable": dict(numeric_stable_mode=False),
        "return_softmax": dict(return_softmax=True),
        "3d": dict(shape=(2, 3, 4)),
        "3d_ignore": dict(shape=(2, 4, 3), ignore_index=2),
        "axis_1": dict(shape=(2, 3, 4), axis=1),
        "axis_1_return_softmax": dict(shape=(2, 3, 4), axis=1, return_softmax=True),
        "axis_0": dict(shape=(3, 4), axis=0),
    },
)
def _(t, shape=(4, 5), axis=-1, return_softmax=False, **kwargs):
    label_shape = list(shape)
    label_shape[axis] = 1
    label = t.integers("label", shape[axis], *label_shape)
    out = t.layers.softmax_with_cross_entropy(t.x(*shape), label, axis=axis, return_softmax=return_softmax, **kwargs)
    # The softmax has no gradient of its own.
    return [out[0], stopped(out[1])] if return_softmax else out


def stopped(var):
    var.stop_gradient = True
    return var


@variants(
    "softmax_with_cross_entropy_soft",
    {"2d": {}, "3d": dict(shape=(2, 3, 4)), "axis_1": dict(shape=(2, 3, 4), axis=1)},
)
def _(t, shape=(4, 5), axis=-1):
    raw = t.rng.uniform(0.1, 1, shape)
    label = t.feed("label", (raw / raw.sum(axis, keepdims=True)).astype("float32"))
    label.stop_gradient = True
    return t.layers.softmax_with_cross_entropy(t.x(*shape), label, soft_label=True, axis=axis)


@case("square_error_cost")
def _(t):
    return t.layers.square_error_cost(t.x(4, 3), t.y(4, 3))


@variants("mean", {"2d": dict(shape=(4, 3)), "4d": dict(shape=(2, 3, 2, 3)), "1d": dict(shape=(5,))})
def _(t, shape):
    return t.layers.mean(t.x(*shape))


@case("classifier_loss")
def _(t):
    label = t.integers("label", 3, 4, 1)
    prediction = t.layers.fc(t.x(4, 6), 3, act="softmax")
    accuracy = t.layers.accuracy(prediction, label)
    return [t.layers.mean(t.layers.cross_entropy(prediction, label)), stopped(accuracy)]


@variants("accuracy", {"1": dict(k=1), "3": dict(k=3), "default": {}}, grad=False)
def _(t, **kwargs):
    return t.layers.accuracy(t.x(12, 4), t.integers("label", 4, 12, 1), **kwargs)


@case("accuracy_correct_total", grad=False)
def _(t):
    correct, total = (t.layers.create_tensor("int32") for _ in range(2))
    out = t.layers.accuracy(t.x(12, 4), t.integers("label", 4, 12, 1), correct=correct, total=total)
    return [out, correct, total]


@case("accuracy_ties", grad=False)
def _(t):
    x = t.feed("x", np.ones((5, 4), "float32"))
    return t.layers.accuracy(x, t.feed("label", np.array([[0], [1], [2], [3], [0]])))


@variants("topk", {"1": dict(k=1), "3": dict(k=3), "3d": dict(k=2, shape=(2, 3, 4)), "1d": dict(k=2, shape=(5,))})
def _(t, k, shape=(4, 5)):
    return t.layers.topk(t.x(*shape), k)


@case("topk_variable", grad=False)
def _(t):
    return t.layers.topk(t.x(4, 5), t.layers.fill_constant([1], "int32", 2))


@case("topk_ties", grad=False)
def _(t):
    # Values only: which of several equal elements comes first is left to the implementation.
    return t.layers.topk(t.feed("x", np.array([[1, 2, 2, 1], [3, 3, 3, 3]], "float32")), 3)[0]


UNARY = ("relu", "tanh", "sigmoid", "exp", "square", "abs")


@variants("unary", {name: dict(name=name) for name in UNARY})
def _(t, name):
    return getattr(t.layers, name)(t.x(3, 4))


@variants("unary_positive", {name: dict(name=name) for name in ("log", "sqrt")})
def _(t, name):
    return getattr(t.layers, name)(t.positive("x", 3, 4))


@case("relu_at_zero")
def _(t):
    return t.layers.relu(t.feed("x", np.array([[-1, 0, 2], [0, -0.5, 0]], "float32")))


@case("abs_at_zero")
def _(t):
    return t.layers.abs(t.feed("x", np.array([[-1, 0, 2], [0, -0.5, 0]], "float32")))


@variants("sigmoid_extreme", {"sigmoid": dict(name="sigmoid"), "tanh": dict(name="tanh")})
def _(t, name):
    return getattr(t.layers, name)(t.feed("x", np.array([[-200, -30, 30, 200]], "float32")))


BROADCAST = {
    "same": dict(x=(3, 4), y=(3, 4)),
    "last": dict(x=(2, 3, 4), y=(4,)),
    "last_two": dict(x=(2, 3, 4), y=(3, 4)),
    "axis_0": dict(x=(2, 3, 4), y=(2,), axis=0),
    "axis_0_two": dict(x=(2, 3, 4), y=(2, 3), axis=0),
    "axis_1": dict(x=(2, 3, 4), y=(3,), axis=1),
    "axis_1_4d": dict(x=(2, 3, 2, 4), y=(3, 2), axis=1),
    "trailing_one": dict(x=(2, 3, 4), y=(3, 1), axis=1),
    "one": dict(x=(2, 3), y=(1,)),
    "numpy_style": dict(x=(2, 3, 4), y=(2, 1, 4)),
    "numpy_style_both": dict(x=(2, 1, 4), y=(2, 3, 1)),
    "act": dict(x=(3, 4), y=(4,), act="relu"),
}


def elementwise(t, op, x, y, y_low=None, **kwargs):
    x, y = t.randn(*x), t.randn(*y)
    if y_low is not None:
        y = np.abs(y) + np.float32(y_low)
    return getattr(t.layers, "elementwise_" + op)(t.feed("x", x), t.feed("y", y), **kwargs)


for op in ("add", "sub", "mul", "div", "max", "min"):

    @variants("elementwise_" + op, BROADCAST)
    def _(t, x, y, op=op, **kwargs):
        return elementwise(t, op, x, y, y_low=0.5 if op == "div" else None, **kwargs)


@variants("elementwise_pow", BROADCAST)
def _(t, x, y, **kwargs):
    x = t.positive("x", *x)
    return t.layers.elementwise_pow(x, t.y(*y), **kwargs)


@variants("elementwise_ties", {"max": dict(op="max"), "min": dict(op="min")})
def _(t, op):
    x, y = (t.rng.randint(0, 2, (3, 4)).astype("float32") for _ in range(2))
    return getattr(t.layers, "elementwise_" + op)(t.feed("x", x), t.feed("y", y))


INTEGER_OPS = {op: dict(op=op) for op in ("add", "sub", "mul", "div", "max", "min", "mod", "floordiv")}


@variants("elementwise_int64", INTEGER_OPS)
def _(t, op):
    x = t.feed("x", t.rng.randint(-9, 10, (3, 4)))
    y = t.feed("y", t.rng.choice([-3, -2, 1, 2, 4], (4,)))
    return getattr(t.layers, "elementwise_" + op)(x, y)


@case("elementwise_mod_float", grad=False)
def _(t):
    return t.layers.elementwise_mod(t.x(3, 4), t.positive("y", 4))


@case("elementwise_same_variable")
def _(t):
    x = t.x(3, 4)
    return t.layers.elementwise_mul(x, x)


# Not covered: dim=[0, 1, 2], for which the real Paddle leaves its output unset.
REDUCE = {
    "all": {},
    "dim_0": dict(dim=0),
    "dim_1_keep": dict(dim=1, keep_dim=True),
    "dim_minus_1": dict(dim=-1),
    "dims": dict(dim=[0, 2]),
    "dims_negative_keep": dict(dim=[-1, 1], keep_dim=True),
}

REDUCTIONS = ("sum", "mean", "max", "min", "prod")


# The real Paddle fails to differentiate all but the sum.
@variants("reduce_all_dims_keep", {op: dict(op=op) for op in REDUCTIONS}, grad=False)
def _(t, op):
    return getattr(t.layers, "reduce_" + op)(t.x(2, 3, 4), keep_dim=True)


for op in REDUCTIONS:

    @variants("reduce_" + op, REDUCE)
    def _(t, op=op, **kwargs):
        return getattr(t.layers, "reduce_" + op)(t.x(2, 3, 4), **kwargs)

    @case(f"reduce_{op}_1d")
    def _(t, op=op):
        return getattr(t.layers, "reduce_" + op)(t.x(5), 0)


@variants("reduce_ties", {"max": dict(op="max"), "min": dict(op="min")})
def _(t, op):
    x = t.feed("x", t.rng.randint(0, 2, (3, 4)).astype("float32"))
    return getattr(t.layers, "reduce_" + op)(x, dim=1)


@case("reduce_sum_int64")
def _(t):
    return t.layers.reduce_sum(t.feed("x", t.rng.randint(0, 9, (3, 4))), dim=1)


for op in ("all", "any"):

    @variants("reduce_" + op, {key: REDUCE[key] for key in ("all", "dim_0", "dim_1_keep", "dim_minus_1")})
    def _(t, op=op, **kwargs):
        x = t.feed("x", np.array([[True, False], [True, True], [True, False]]))
        return getattr(t.layers, "reduce_" + op)(x, **kwargs)


@variants(
    "matmul",
    {
        "2d": dict(x=(3, 4), y=(4, 2)),
        "transpose_x": dict(x=(4, 3), y=(4, 2), transpose_x=True),
        "transpose_y": dict(x=(3, 4), y=(2, 4), transpose_y=True),
        "transpose_both": dict(x=(4, 3), y=(2, 4), transpose_x=True, transpose_y=True),
        "alpha": dict(x=(3, 4), y=(4, 2), alpha=0.5),
        "batch": dict(x=(2, 3, 4), y=(2, 4, 5)),
        "batch_transpose": dict(x=(2, 4, 3), y=(2, 5, 4), transpose_x=True, transpose_y=True),
        "batch_4d": dict(x=(2, 2, 3, 4), y=(2, 2, 4, 5), alpha=2.0),
        "batch_by_matrix": dict(x=(2, 3, 4), y=(4, 5)),
        "batch_by_matrix_transpose": dict(x=(2, 3, 4), y=(5, 4), transpose_y=True),
        "matrix_by_batch": dict(x=(3, 4), y=(2, 4, 5)),
        "vectors": dict(x=(4,), y=(4,)),
        "matrix_vector": dict(x=(3, 4), y=(4,)),
        "batch_vector": dict(x=(2, 3, 4), y=(4,)),
        "vector_matrix": dict(x=(3,), y=(3, 4)),
    },
)
def _(t, x, y, **kwargs):
    x, y = (t.feed(name, t.randn(*shape), list(shape)) for name, shape in (("x", x), ("y", y)))
    return t.layers.matmul(x, y, **kwargs)


@variants(
    "mul",
    {
        "2d": dict(x=(3, 4), y=(4, 2)),
        "x_2": dict(x=(2, 3, 4), y=(4, 2), x_num_col_dims=2),
        "x_1": dict(x=(2, 3, 4), y=(12, 2)),
        "y_2": dict(x=(3, 6), y=(2, 3, 4), y_num_col_dims=2),
        "both": dict(x=(2, 2, 6), y=(3, 2, 2), x_num_col_dims=2, y_num_col_dims=2),
    },
)
def _(t, x, y, **kwargs):
    return t.layers.mul(t.x(*x), t.feed("y", t.randn(*y), list(y)), **kwargs)


@variants(
    "reshape",
    {
        "plain": dict(shape=[2, 12]),
        "minus_1": dict(shape=[-1, 4]),
        "zero": dict(shape=[0, -1]),
        "zeros": dict(shape=[0, 0, 2, 2]),
        "act": dict(shape=[0, 12], act="relu"),
        "tuple": dict(shape=(-1, 0, 2, 2)),
    },
)
def _(t, **kwargs):
    return t.layers.reshape(t.x(2, 3, 4), **kwargs)


@case("reshape_inplace")
def _(t):
    return t.layers.reshape(t.layers.scale(t.x(2, 3, 4), 2.0), [0, 12], inplace=True)


@variants("flatten", {"default": {}, "0": dict(axis=0), "2": dict(axis=2), "all": dict(axis=4)})
def _(t, **kwargs):
    return t.layers.flatten(t.feed("x", t.randn(2, 3, 2, 4), [2, 3, 2, 4]), **kwargs)


@case("flatten_open_batch")
def _(t):
    return t.layers.flatten(t.x(2, 3, 4))


@variants("transpose", {"2d": dict(shape=(3, 4), perm=[1, 0]), "4d": dict(shape=(2, 3, 4, 5), perm=[0, 2, 3, 1])})
def _(t, shape, perm):
    return t.layers.transpose(t.x(*shape), perm)


@variants("concat", {"default": {}, "0": dict(axis=0), "minus_1": dict(axis=-1), "1": dict(axis=1)})
def _(t, axis=0):
    shapes = [[2, 3, 4], [2, 3, 4], [2, 3, 4]]
    for size, shape in enumerate(shapes, 1):
        shape[axis] = size
    return t.layers.concat([t.feed(f"x{i}", t.randn(*shape)) for i, shape in enumerate(shapes)], axis)


@case("concat_one")
def _(t):
    return t.layers.concat([t.x(2, 3)])


@variants("cast", {name: dict(dtype=name) for name in ("int64", "int32", "float64", "bool", "float32")})
def _(t, dtype):
    return t.layers.cast(t.feed("x", np.array([[-1.7, 0, 0.5], [1.5, 2.5, -0.2]], "float32")), dtype)


@case("cast_int_to_float")
def _(t):
    return t.layers.cast(t.integers("x", 9, 3, 4), "float32")


@case("cast_to_double_and_back")
def _(t):
    return t.layers.cast(t.layers.square(t.layers.cast(t.x(2, 3), "float64")), "float32")


@variants(
    "scale",
    {
        "scale": dict(scale=2.5),
        "bias": dict(scale=2.0, bias=1.0),
        "bias_before": dict(scale=2.0, bias=1.0, bias_after_scale=False),
        "act": dict(scale=-1.0, bias=0.2, act="relu"),
    },
)
def _(t, **kwargs):
    return t.layers.scale(t.x(3, 4), **kwargs)


@case("scale_int64")
def _(t):
    return t.layers.scale(t.integers("x", 9, 3, 4), 2.0, 1.0)


@variants("sum", {"1": dict(count=1), "2": dict(count=2), "3": dict(count=3)})
def _(t, count):
    return t.layers.sum([t.feed(f"x{i}", t.randn(2, 3)) for i in range(count)])


@case("sums")
def _(t):
    return t.layers.sums([t.x(2, 3), t.y(2, 3)])


@case("sums_out")
def _(t):
    out = t.layers.create_tensor("float32")
    t.layers.sums([t.x(2, 3), t.y(2, 3)], out=out)
    return out


@variants("one_hot", {"2d": dict(shape=(4, 1)), "3d": dict(shape=(2, 3, 1))}, grad=False)
def _(t, shape):
    return t.layers.one_hot(t.integers("x", 5, *shape), 5)


@variants("one_hot_v2", {"1d": dict(shape=(4,)), "2d": dict(shape=(2, 3)), "last_1": dict(shape=(4, 1))}, grad=False)
def _(t, shape):
    return t.fluid.one_hot(t.integers("x", 5, *shape), 5)


@case("one_hot_out_of_range", grad=False)
def _(t):
    return t.layers.one_hot(t.feed("x", np.array([[1], [7], [-1]])), 3, allow_out_of_range=True)


@variants(
    "fill_constant",
    {
        "float": dict(dtype="float32", value=1.5),
        "int": dict(dtype="int64", value=3),
        "int_from_float": dict(dtype="int32", value=2.7),
        "bool": dict(dtype="bool", value=True),
        "double": dict(dtype="float64", value=-0.1),
    },
    grad=False,
)
def _(t, **kwargs):
    return t.layers.fill_constant([2, 3], **kwargs)


@case("assign_variable")
def _(t):
    return t.layers.assign(t.x(2, 3))


@case("assign_to_output")
def _(t):
    out = t.layers.create_tensor("float32")
    t.layers.assign(t.x(2, 3), out)
    return out


@variants("assign_numpy", {"float32": dict(dtype="float32"), "int32": dict(dtype="int32")}, grad=False)
def _(t, dtype):
    return t.layers.assign(np.array([[1, 2, 3], [4, 5, 6]], dtype))


@variants("argmax", {"default": {}, "1": dict(axis=1), "minus_1": dict(axis=-1)})
def _(t, **kwargs):
    return [t.layers.argmax(t.x(3, 4), **kwargs), t.layers.argmin(t.y(3, 4), **kwargs)]


@case("argmax_ties")
def _(t):
    x = t.feed("x", t.rng.randint(0, 2, (4, 5)).astype("float32"))
    return [t.layers.argmax(x, 1), t.layers.argmin(x, 1)]


@variants("create_parameter", {"plain": {}, "named": dict(name="weight"), "bias": dict(is_bias=True)})
def _(t, **kwargs):
    return t.layers.elementwise_mul(t.x(3, 4), t.layers.create_parameter([3, 4], "float32", **kwargs))


@case("create_parameter_initializer")
def _(t):
    initializer = t.fluid.initializer.Constant(0.25)
    param = t.layers.create_parameter([4], "float32", default_initializer=initializer)
    return t.layers.elementwise_add(t.x(3, 4), param)


@case("create_parameter_attr")
def _(t):
    attr = t.fluid.ParamAttr(name="weight", learning_rate=0.5, initializer=t.fluid.initializer.Uniform(-0.2, 0.2))
    return t.layers.matmul(t.x(3, 4), t.layers.create_parameter([4, 2], "float32", attr=attr))


@variants("create_global_var", {"plain": {}, "named": dict(name="total")})
def _(t, **kwargs):
    factor = t.layers.create_global_var([1], 2.5, "float32", persistable=True, **kwargs)
    return t.layers.elementwise_mul(t.x(3, 4), factor)


@case("assign_to_persistable", grad=False)
def _(t):
    total = t.layers.create_global_var([1], 1.0, "float32", persistable=True)
    t.layers.assign(t.layers.elementwise_add(total, t.layers.reduce_sum(t.x(2, 3))), total)
    return total


@case("simple_img_conv_pool")
def _(t):
    return t.fluid.nets.simple_img_conv_pool(t.x(2, 1, 8, 9), 4, 3, 2, 2, act="relu")


@case("simple_img_conv_pool_all_arguments")
def _(t):
    return t.fluid.nets.simple_img_conv_pool(
        t.x(2, 2, 8, 9),
        filter_size=3,
        num_filters=4,
        pool_size=3,
        pool_stride=2,
        pool_padding=1,
        pool_type="avg",
        conv_stride=2,
        conv_padding=1,
        act="tanh",
    )


@variants(
    "img_conv_group",
    {
        "plain": {},
        "batchnorm": dict(conv_with_batchnorm=True, conv_batchnorm_drop_rate=0.0),
        "mixed": dict(conv_with_batchnorm=[True, False], conv_batchnorm_drop_rate=[0.0, 0.0], pool_type="avg"),
    },
)
def _(t, **kwargs):
    return t.fluid.nets.img_conv_group(
        t.x(2, 2, 6, 6), [3, 4], 2, conv_padding=1, conv_filter_size=3, conv_act="relu", pool_stride=2, **kwargs
    )


ARITHMETIC = {name: dict(name=name) for name in ("add", "sub", "mul", "truediv", "pow", "floordiv", "mod")}


@variants("operator", {name: dict(name=name) for name in ("add", "sub", "mul", "truediv", "pow")})
def _(t, name):
    return getattr(operator, name)(t.positive("x", 3, 4), t.positive("y", 3, 4))


BROADCAST_OPERANDS = (("x", [2, 3, 4]), ("y", [4]))


@variants("operator_broadcast", {name: dict(name=name) for name in ("add", "sub", "mul", "truediv")})
def _(t, name):
    x, y = (t.feed(key, t.rng.uniform(0.5, 2, shape).astype("float32"), shape) for key, shape in BROADCAST_OPERANDS)
    return getattr(operator, name)(x, y)


# An operand with an open first dimension is broadcast from the front, one without from the back.
@case("operator_broadcast_open_batch")
def _(t):
    return t.x(3, 4) * t.y(3)


@case("operator_casts_to_the_first")
def _(t):
    x, y = t.x(3, 4), t.integers("y", 9, 3, 4)
    return [x + y, x * y]


@variants("operator_int64", ARITHMETIC, grad=False)
def _(t, name):
    x, y = (t.feed(key, t.rng.randint(1, 6, (3, 4))) for key in "xy")
    return getattr(operator, name)(x, y)


SCALARS = {"add": 2, "sub": 2.5, "mul": 3, "truediv": 4, "pow": 2, "add_float": 0.5, "mul_float": 1.5}


@variants("operator_scalar", {key: dict(key=key) for key in SCALARS})
def _(t, key):
    return getattr(operator, key.split("_")[0])(t.x(3, 4), SCALARS[key])


@variants("operator_scalar_reversed", {key: dict(key=key) for key in SCALARS})
def _(t, key):
    return getattr(operator, key.split("_")[0])(SCALARS[key], t.positive("x", 3, 4))


INTEGER_SCALARS = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow")


@variants("operator_int64_scalar", {name: dict(name=name) for name in INTEGER_SCALARS}, grad=False)
def _(t, name):
    return getattr(operator, name)(t.integers("x", 9, 3, 4), 2)


@variants("operator_int64_scalar_reversed", {name: dict(name=name) for name in ("add", "sub", "mul")}, grad=False)
def _(t, name):
    return getattr(operator, name)(2, t.integers("x", 9, 3, 4))


@case("operator_negative")
def _(t):
    return -t.x(3, 4)


@variants("compare", {name: dict(name=name) for name in ("lt", "le", "gt", "ge", "eq", "ne")}, grad=False)
def _(t, name):
    x, y = (t.feed(key, t.rng.randint(0, 3, (3, 4)).astype("float32")) for key in "xy")
    return getattr(operator, name)(x, y)


@variants("compare_scalar", {name: dict(name=name) for name in ("lt", "le", "gt", "ge", "eq", "ne")}, grad=False)
def _(t, name):
    return getattr(operator, name)(t.feed("x", t.rng.randint(0, 3, (3, 4)).astype("float32")), 1)


@variants("compare_int64_scalar", {name: dict(name=name) for name in ("lt", "eq")}, grad=False)
def _(t, name):
    return getattr(operator, name)(t.integers("x", 3, 3, 4), 1)


@variants("astype", {name: dict(dtype=name) for name in ("int64", "float64")})
def _(t, dtype):
    return t.x(3, 4).astype(dtype)


INDICES = {
    "first": 0,
    "last": -1,
    "range": slice(1, 3),
    "from": slice(1, None),
    "until": slice(None, -1),
    "column": (slice(None), 1),
    "columns": (slice(None), slice(0, 2)),
    "element": (1, 2),
    "three": (0, 1, 2),
    "mixed": (slice(1, 3), 0, slice(None)),
    "tail": (slice(None), slice(None), -1),
    "negative_range": (slice(None), slice(-2, None)),
}


@variants("index", {key: dict(key=key) for key in INDICES})
def _(t, key):
    return t.feed("x", t.randn(3, 4, 5), [3, 4, 5])[INDICES[key]]


@case("index_vector")
def _(t):
    return t.feed("x", t.randn(5), [5])[2]


@case("variable_used_twice")
def _(t):
    x = t.x(3, 4)
    return t.layers.elementwise_add(t.layers.relu(x), t.layers.tanh(x))


@case("variable_used_three_times")
def _(t):
    hidden = t.layers.fc(t.x(3, 4), 4, act="tanh")
    left, right = t.layers.fc(hidden, 4), t.layers.sigmoid(hidden)
    return t.layers.elementwise_mul(t.layers.elementwise_add(left, right), hidden)


@case("two_outputs_share_input")
def _(t):
    hidden = t.layers.fc(t.x(3, 4), 5, act="tanh")
    return [t.layers.fc(hidden, 2), t.layers.fc(hidden, 3, act="sigmoid")]


@case("stop_gradient_in_the_middle")
def _(t):
    hidden = t.layers.fc(t.x(3, 4), 5, act="tanh")
    left = t.layers.fc(hidden, 5, act="sigmoid")
    left.stop_gradient = True
    return t.layers.elementwise_mul(left, t.layers.fc(hidden, 5))


@case("stop_gradient_input")
def _(t):
    x = t.x(3, 4)
    x.stop_gradient = True
    return t.layers.fc(x, 5)


@case("name_scope")
def _(t):
    with t.fluid.name_scope("outer"):
        return t.layers.fc(t.x(3, 4), 5, act="relu")
