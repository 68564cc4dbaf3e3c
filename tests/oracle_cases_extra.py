"""Small cases of layers beyond the core: fluidlite may lack them. See ``oracle_cases``."""

import numpy as np
from oracle_harness import case, variants

ACTIVATIONS = {
    "relu6": dict(name="relu6", scale=4),
    "elu": dict(name="elu", alpha=0.7),
    "elu_default": dict(name="elu"),
    "softplus": dict(name="softplus"),
    "softsign": dict(name="softsign"),
    "hard_sigmoid": dict(name="hard_sigmoid", scale=3),
    "hard_sigmoid_args": dict(name="hard_sigmoid", slope=0.3, offset=0.4),
    "swish": dict(name="swish"),
    "swish_beta": dict(name="swish", beta=1.5),
    "hard_swish": dict(name="hard_swish", scale=3),
    "leaky_relu": dict(name="leaky_relu"),
    "leaky_relu_alpha": dict(name="leaky_relu", alpha=0.1),
    "logsigmoid": dict(name="logsigmoid"),
    "tanh_shrink": dict(name="tanh_shrink"),
    "softshrink": dict(name="softshrink"),
    "hard_shrink": dict(name="hard_shrink", threshold=0.3),
    "thresholded_relu": dict(name="thresholded_relu", threshold=0.4),
    "stanh": dict(name="stanh"),
    "brelu": dict(name="brelu", t_min=-0.5, t_max=0.8),
    "soft_relu": dict(name="soft_relu"),
    "selu": dict(name="selu"),
    "gelu": dict(name="gelu"),
    "gelu_tanh": dict(name="gelu", approximate=True),
    "erf": dict(name="erf"),
    "floor": dict(name="floor"),
    "ceil": dict(name="ceil"),
    "round": dict(name="round"),
    "sin": dict(name="sin"),
    "cos": dict(name="cos"),
    "atan": dict(name="atan"),
    "sign": dict(name="sign"),
    "pow": dict(name="pow", factor=2.0),
    "log_softmax": dict(name="log_softmax"),
    "clip": dict(name="clip", min=-0.5, max=0.4),
    "clip_by_norm": dict(name="clip_by_norm", max_norm=1.0),
    "cumsum": dict(name="cumsum"),
    "cumsum_reverse": dict(name="cumsum", axis=0, reverse=True, exclusive=True),
    "reverse": dict(name="reverse", axis=[1]),
    "pad": dict(name="pad", paddings=[0, 1, 2, 0], pad_value=0.5),
    "l2_normalize": dict(name="l2_normalize", axis=1),
    "l2_normalize_axis_0": dict(name="l2_normalize", axis=0),
    "logsumexp": dict(name="logsumexp"),
    "expand": dict(name="expand", expand_times=[2, 3]),
    "unsqueeze": dict(name="unsqueeze", axes=[1]),
    "unsqueeze_two": dict(name="unsqueeze", axes=[0, 2]),
    "slice": dict(name="slice", axes=[0, 1], starts=[1, -2], ends=[3, 100]),
    "strided_slice": dict(name="strided_slice", axes=[1], starts=[0], ends=[4], strides=[2]),
}


@variants("x", ACTIVATIONS, extra=True)
def _(t, name, scale=1, **kwargs):
    return getattr(t.layers, name)(t.feed("x", t.randn(3, 4) * np.float32(scale)), **kwargs)


@variants("positive", {key: dict(name=key) for key in ("reciprocal", "rsqrt", "log1p")}, extra=True)
def _(t, name):
    return getattr(t.layers, name)(t.positive("x", 3, 4))


@variants("inside_one", {key: dict(name=key) for key in ("acos", "asin")}, extra=True)
def _(t, name):
    return getattr(t.layers, name)(t.feed("x", t.rng.uniform(-0.8, 0.8, (3, 4)).astype("float32")))


@case("pow_variable", extra=True)
def _(t):
    factor = t.layers.fill_constant([1], "float32", 3.0)
    return t.layers.pow(t.positive("x", 3, 4), factor)


@variants("prelu", {key: dict(mode=key) for key in ("all", "channel", "element")}, extra=True)
def _(t, mode):
    return t.layers.prelu(t.x(2, 3, 2, 2), mode)


@case("maxout", extra=True)
def _(t):
    return t.layers.maxout(t.x(2, 4, 3, 2), 2)


@variants("squeeze", {"axes": dict(axes=[1]), "all": dict(axes=[]), "negative": dict(axes=[-1])}, extra=True)
def _(t, axes):
    return t.layers.squeeze(t.feed("x", t.randn(3, 1, 4, 1), [3, 1, 4, 1]), axes)


@variants(
    "split",
    {
        "equal": dict(num_or_sections=2, dim=1),
        "sections": dict(num_or_sections=[1, 3, 2], dim=1),
        "rest": dict(num_or_sections=[1, -1], dim=1),
        "default_dim": dict(num_or_sections=2),
    },
    extra=True,
)
def _(t, **kwargs):
    return t.layers.split(t.x(3, 6), **kwargs)


@variants("stack", {"0": dict(axis=0), "1": dict(axis=1), "minus_1": dict(axis=-1)}, extra=True)
def _(t, axis):
    return t.layers.stack([t.x(3, 4), t.y(3, 4)], axis)


@case("unstack", extra=True)
def _(t):
    return t.layers.unstack(t.x(3, 4), 1)


@case("gather", extra=True)
def _(t):
    return t.layers.gather(t.x(4, 3), t.feed("index", np.array([2, 0, 2], "int32")))


@case("gather_nd", extra=True)
def _(t):
    return t.layers.gather_nd(t.x(4, 3), t.feed("index", np.array([[2, 0], [3, 1]])))


@variants("scatter", {"overwrite": {}, "add": dict(overwrite=False)}, extra=True)
def _(t, **kwargs):
    return t.layers.scatter(t.x(4, 3), t.feed("index", np.array([2, 0])), t.y(2, 3), **kwargs)


@case("scatter_nd_add_named", extra=True)
def _(t):
    index = t.feed("index", np.array([[1, 2], [0, 1], [1, 2]]), [3, 2])
    x = t.feed("x", t.randn(3, 4, 2), [3, 4, 2])
    return t.layers.scatter_nd_add(x, index, t.feed("y", t.randn(3, 2), [3, 2]), name="added")


@variants("scatter_nd", {"elements": dict(depth=2), "rows": dict(depth=1)}, extra=True)
def _(t, depth):
    index = t.feed("index", np.array([[1, 2], [0, 1], [1, 2]])[:, :depth], [3, depth])
    return t.layers.scatter_nd(index, t.feed("y", t.randn(3, *[4][depth - 1 :]), [3] + [4][depth - 1 :]), [3, 4])


@case("expand_as", extra=True, grad=False)
def _(t):
    x, y = t.feed("x", t.randn(1, 3), [1, 3]), t.feed("y", t.randn(4, 3), [4, 3])
    return t.layers.expand_as(x, y)


COMPARISONS = ("less_than", "less_equal", "greater_than", "greater_equal", "equal", "not_equal")


@variants("layer", {name: dict(name=name) for name in COMPARISONS}, extra=True, grad=False)
def _(t, name):
    x, y = (t.feed(key, t.rng.randint(0, 3, (3, 4))) for key in "xy")
    return getattr(t.layers, name)(x, y)


@variants("layer", {name: dict(name=name) for name in ("logical_and", "logical_or", "logical_xor")}, extra=True)
def _(t, name):
    x, y = (t.feed(key, t.rng.uniform(size=(3, 4)) > 0.5) for key in "xy")
    return getattr(t.layers, name)(x, y)


@case("logical_not", extra=True)
def _(t):
    return t.layers.logical_not(t.feed("x", np.array([[True, False]])))


@case("ones_and_zeros", extra=True, grad=False)
def _(t):
    x = t.x(2, 3)
    layers = t.layers
    return [
        layers.ones([2, 3], "float32"),
        layers.zeros([2], "int64"),
        layers.ones_like(x),
        layers.zeros_like(x),
        layers.shape(x),
        layers.range(1, 10, 3, "int64"),
        layers.range(0.0, 1.0, 0.25, "float32"),
        layers.linspace(0.0, 1.0, 5, "float32"),
        layers.eye(2, 3),
    ]


LIKE = {"0": {}, "1": dict(input_dim_idx=1, output_dim_idx=1)}


@variants("fill_constant_batch_size_like", LIKE, extra=True, grad=False)
def _(t, **kwargs):
    return t.layers.fill_constant_batch_size_like(t.x(4, 3), [2, 5], "float32", 1.5, **kwargs)


@variants("increment", {"in_place": {}, "copy": dict(in_place=False)}, extra=True, grad=False)
def _(t, **kwargs):
    counter = t.layers.create_global_var([1], 1.0, "float32", persistable=True, name="counter")
    return t.layers.increment(counter, 2.0, **kwargs)


@case("autoincreased_step_counter", extra=True, grad=False)
def _(t):
    return t.layers.autoincreased_step_counter(begin=3, step=2)


@case("random_layers", extra=True, grad=False, random=True)
def _(t):
    x = t.x(4, 3)
    layers = t.layers
    return [
        layers.uniform_random([2, 3], min=-2.0, max=3.0, seed=5),
        layers.gaussian_random([2, 3], mean=1.0, std=2.0),
        layers.uniform_random_batch_size_like(x, [-1, 5]),
        layers.gaussian_random_batch_size_like(x, [-1, 5]),
    ]


@variants("label_smooth", {"default": {}, "epsilon": dict(epsilon=0.2)}, extra=True)
def _(t, **kwargs):
    label = t.fluid.one_hot(t.integers("label", 4, 3), 4)
    return [t.layers.softmax_with_cross_entropy(t.x(3, 4), t.layers.label_smooth(label, **kwargs), soft_label=True)]


@variants("sigmoid_cross_entropy_with_logits", {"plain": {}, "normalize": dict(normalize=True)}, extra=True)
def _(t, **kwargs):
    label = t.rng.uniform(0, 1, (3, 4)).astype("float32")
    label[1, 2] = -100
    label = t.feed("label", label)
    label.stop_gradient = True
    return t.layers.sigmoid_cross_entropy_with_logits(t.x(3, 4), label, **kwargs)


@case("log_loss", extra=True)
def _(t):
    x = t.feed("x", t.rng.uniform(0.1, 0.9, (4, 1)).astype("float32"))
    label = t.feed("label", np.array([[0], [1], [1], [0]], "float32"))
    label.stop_gradient = True
    return t.layers.log_loss(x, label)


@case("huber_loss", extra=True)
def _(t):
    return t.layers.huber_loss(t.x(5, 1), t.y(5, 1), 0.8)


@variants("smooth_l1", {"plain": {}, "sigma": dict(sigma=2.0)}, extra=True)
def _(t, **kwargs):
    return t.layers.smooth_l1(t.x(4, 3), t.y(4, 3), **kwargs)


@case("smooth_l1_weights", extra=True)
def _(t):
    weights = [t.positive(name, 4, 3) for name in ("inside", "outside")]
    for weight in weights:
        weight.stop_gradient = True
    return t.layers.smooth_l1(t.x(4, 3), t.y(4, 3), *weights)


@variants("kldiv_loss", {key: dict(reduction=key) for key in ("mean", "sum", "none", "batchmean")}, extra=True)
def _(t, reduction):
    target = t.positive("target", 3, 4)
    target.stop_gradient = True
    return t.layers.kldiv_loss(t.x(3, 4), target, reduction)


@case("mse_loss", extra=True)
def _(t):
    return t.layers.mse_loss(t.x(3, 4), t.y(3, 4))


@case("rank_loss", extra=True)
def _(t):
    label = t.feed("label", np.array([[0], [1], [1]], "float32"))
    label.stop_gradient = True
    return t.layers.rank_loss(label, t.x(3, 1), t.y(3, 1))


@variants(
    "layer_norm",
    {
        "plain": {},
        "axis_2": dict(begin_norm_axis=2),
        "no_affine": dict(scale=False, shift=False),
        "epsilon_act": dict(epsilon=5e-4, act="relu"),
    },
    extra=True,
)
def _(t, **kwargs):
    return t.layers.layer_norm(t.x(3, 2, 4), **kwargs)


@case("group_norm", extra=True)
def _(t):
    return t.layers.group_norm(t.x(2, 4, 3, 2), 2)


@case("instance_norm", extra=True)
def _(t):
    return t.layers.instance_norm(t.x(2, 3, 3, 4))


@case("lrn", extra=True)
def _(t):
    return t.layers.lrn(t.x(2, 6, 3, 2), n=3, alpha=0.1)


@variants(
    "embedding",
    {
        "plain": {},
        "padding": dict(padding_idx=1),
        "padding_negative": dict(padding_idx=-2),
        "named": dict(param_attr="table"),
    },
    extra=True,
)
def _(t, **kwargs):
    return t.layers.embedding(t.integers("ids", 5, 6, 1), [5, 3], **kwargs)


@variants("embedding_v2", {"plain": {}, "padding": dict(padding_idx=0)}, extra=True)
def _(t, **kwargs):
    return t.fluid.embedding(t.integers("ids", 5, 3, 4), [5, 3], **kwargs)


@case("cos_sim", extra=True)
def _(t):
    return t.layers.cos_sim(t.x(4, 3), t.y(4, 3))


@case("cos_sim_broadcast", extra=True)
def _(t):
    return t.layers.cos_sim(t.x(4, 3), t.feed("y", t.randn(1, 3), [1, 3]))


@variants(
    "conv2d_transpose",
    {
        "plain": {},
        "stride": dict(stride=2, padding=1),
        "output_size": dict(filter_size=None, output_size=[7, 9], stride=2),
        "groups": dict(groups=3, num_filters=6, act="relu"),
        "no_bias": dict(bias_attr=False, dilation=2),
    },
    extra=True,
)
def _(t, num_filters=2, filter_size=3, **kwargs):
    return t.layers.conv2d_transpose(t.x(2, 3, 3, 4), num_filters, filter_size=filter_size, **kwargs)


@variants("adaptive_pool2d", {"max": {}, "avg": dict(pool_type="avg")}, extra=True)
def _(t, **kwargs):
    return t.layers.adaptive_pool2d(t.x(2, 3, 7, 5), [3, 2], **kwargs)


@variants("pad2d", {key: dict(mode=key) for key in ("constant", "reflect", "edge")}, extra=True)
def _(t, mode):
    return t.layers.pad2d(t.x(2, 3, 4, 5), [1, 2, 0, 3], mode)


@variants("argsort", {"default": {}, "descending": dict(axis=0, descending=True)}, extra=True)
def _(t, **kwargs):
    return t.layers.argsort(t.x(3, 4), **kwargs)


@variants("resize", {"bilinear": dict(name="resize_bilinear"), "nearest": dict(name="resize_nearest")}, extra=True)
def _(t, name):
    return getattr(t.layers, name)(t.x(2, 3, 4, 5), [7, 8])


@case("bilinear_tensor_product", extra=True)
def _(t):
    return t.layers.bilinear_tensor_product(t.x(3, 4), t.y(3, 5), 2, act="tanh")


@case("multiplex", extra=True)
def _(t):
    return t.layers.multiplex([t.x(3, 2), t.y(3, 2)], t.feed("index", np.array([[1], [0], [1]], "int32")))


@variants("index", {"reverse": dict(key=slice(None, None, -1)), "step": dict(key=slice(1, 5, 2))}, extra=True)
def _(t, key):
    return t.feed("x", t.randn(5, 3), [5, 3])[key]


@case("index_variable", extra=True)
def _(t):
    return t.feed("x", t.randn(5, 3), [5, 3])[t.layers.fill_constant([1], "int32", 2)]


@case("where", extra=True, grad=False)
def _(t):
    return t.layers.where(t.feed("x", np.array([[True, False, True], [False, False, True]])))


@case("cond", extra=True, grad=False)
def _(t):
    x = t.layers.reduce_sum(t.x(2, 3))
    return t.layers.cond(x > 0, lambda: x * 2.0, lambda: x - 1.0)


@case("glu", extra=True)
def _(t):
    return t.fluid.nets.glu(t.x(3, 4), dim=-1)


@case("scaled_dot_product_attention", extra=True)
def _(t):
    q, k, v = (t.feed(name, t.randn(2, 3, 4), [2, 3, 4]) for name in "qkv")
    return t.fluid.nets.scaled_dot_product_attention(q, k, v, num_heads=2)


@case("auc", extra=True, grad=False)
def _(t):
    x = t.feed("x", t.rng.uniform(0, 1, (6, 2)).astype("float32"))
    return t.layers.auc(x, t.integers("label", 2, 6, 1), num_thresholds=15)[0]


@case("cos_sim_one_row", extra=True)
def _(t):
    return t.layers.cos_sim(t.feed("x", t.randn(3, 4)), t.feed("y", t.randn(1, 4)))


@case("scaled_dot_product_attention_one_head", extra=True)
def _(t):
    shapes = {"queries": [2, 3, 4], "keys": [2, 5, 4], "values": [2, 5, 6]}
    inputs = [t.feed(name, t.randn(*shape), shape) for name, shape in shapes.items()]
    return t.fluid.nets.scaled_dot_product_attention(*inputs)


@case("strided_slice_from_variables", extra=True)
def _(t):
    start = t.layers.fill_constant([1], "int32", -3)
    return t.layers.strided_slice(t.feed("x", t.randn(3, 4, 5)), [0, 2], [start, 0], [3, 4], [1, 2])


@case("uniform_random_from_variables", extra=True, grad=False, random=True)
def _(t):
    return t.layers.uniform_random([t.layers.fill_constant([1], "int64", 3), 4])


@variants("scale_by_a_variable", {"bias_after": {}, "bias_before": dict(bias_after_scale=False)}, extra=True)
def _(t, **kwargs):
    return t.layers.scale(t.x(3, 4), t.feed("factor", t.randn(1), [1]), bias=0.5, **kwargs)
