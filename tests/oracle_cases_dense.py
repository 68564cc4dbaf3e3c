"""Cases of dense layers beyond those that most networks need.  See ``oracle_cases``."""

import functools

import numpy as np
from oracle_harness import case, variants

dense = functools.partial(case, fixture="cases_dense")
dense_variants = functools.partial(variants, fixture="cases_dense")


@dense_variants(
    "addmm",
    {
        "plain": dict(shape=(3, 2)),
        "factors": dict(shape=(3, 2), alpha=2.0, beta=-0.5),
        "row": dict(shape=(1, 2), alpha=0.5),
        "column": dict(shape=(3, 1)),
        "one": dict(shape=(1, 1), n=1),
    },
)
def _(t, shape, n=3, **kwargs):
    shape = (min(shape[0], n), shape[1])
    return t.layers.addmm(t.feed("input", t.randn(*shape), list(shape)), t.x(n, 4), t.y(4, 2), **kwargs)


@dense_variants("addcmul", {"float": dict(value=0.5), "int": dict(value=2, dtype="int64")})
def _(t, value, dtype="float32"):
    a, b, c = (
        t.feed(name, (t.randn(*shape) * 3).astype(dtype))
        for name, shape in (("a", (3, 4)), ("b", (3, 4)), ("c", (3, 4)))
    )
    return t.layers.addcmul(a, b, c, value=value)


@dense_variants("fsp_matrix", {"square": {}, "one_channel": dict(n=1), "one_image": dict(batch=1, size=(1, 5))})
def _(t, batch=2, n=3, size=(4, 2)):
    return t.layers.fsp_matrix(t.x(batch, n, *size), t.y(batch, 2, *size))


@dense_variants(
    "allclose",
    {"same": dict(by=0.0), "nearly": dict(by=1e-9), "apart": dict(by=1e-3), "tolerant": dict(by=1e-3, atol=1e-2)},
)
def _(t, by, **kwargs):
    x = t.randn(3, 4)
    return t.layers.allclose(t.feed("x", x), t.feed("y", x + np.float32(by)), **kwargs)


@dense("allclose_infinity")
def _(t):
    x = np.array([1, np.inf, -np.inf], "float32")
    return t.layers.allclose(t.feed("x", x), t.feed("y", x.copy()))


@dense_variants("allclose_nan", {"differs": dict(equal_nan=False), "equals": dict(equal_nan=True)})
def _(t, **kwargs):
    x = np.array([1, np.nan, -2, np.nan], "float32")
    return t.layers.allclose(t.feed("x", x), t.feed("y", x.copy()), **kwargs)


@dense_variants(
    "flip",
    {"rows": dict(dims=[0]), "both": dict(dims=[0, 2]), "last": dict(dims=[-1]), "named": dict(dims=[1], name="f")},
)
def _(t, **kwargs):
    return t.layers.flip(t.x(3, 2, 4), **kwargs)


@dense_variants("meshgrid", {"two": dict(sizes=(3, 2)), "three": dict(sizes=(2, 1, 4)), "of_one": dict(sizes=(1, 3))})
def _(t, sizes):
    return t.layers.meshgrid([t.feed("x%d" % i, t.randn(n), [n]) for i, n in enumerate(sizes)])


@dense_variants(
    "shard_index",
    {
        "first": dict(shard_id=0),
        "second": dict(shard_id=1),
        "uneven": dict(shard_id=2, nshards=3),
        "ignored": dict(shard_id=1, ignore_value=-7),
    },
)
def _(t, shard_id, nshards=2, **kwargs):
    return t.layers.shard_index(t.integers("x", 20, 6, 1), 20, nshards, shard_id, **kwargs)


TRIANGLES = {"main": {}, "above": dict(diagonal=1), "below": dict(diagonal=-2), "stack": dict(shape=(2, 3, 3))}


@dense_variants("tril", TRIANGLES)
def _(t, shape=(4, 3), **kwargs):
    return t.layers.tril(t.x(*shape), **kwargs)


@dense_variants("triu", TRIANGLES)
def _(t, shape=(4, 3), **kwargs):
    return t.layers.triu(t.x(*shape), **kwargs)


@dense_variants(
    "unfold",
    {
        "plain": dict(kernel_sizes=2),
        "stride": dict(kernel_sizes=[2, 3], strides=[2, 1]),
        "padding": dict(kernel_sizes=3, paddings=1),
        "paddings": dict(kernel_sizes=[3, 2], paddings=[1, 2, 0, 1], strides=2),
        "dilation": dict(kernel_sizes=2, dilations=[2, 1], paddings=[1, 0]),
        "one": dict(kernel_sizes=1, shape=(1, 1, 3, 3)),
    },
)
def _(t, shape=(2, 3, 5, 6), **kwargs):
    return t.layers.unfold(t.x(*shape), **kwargs)


@dense_variants("elementwise_equal", {"same": {}, "row": dict(other=(1, 3))})
def _(t, other=(4, 3)):
    return t.layers.elementwise_equal(t.integers("x", 2, 4, 3), t.integers("y", 2, *other))


@dense_variants(
    "full",
    {
        "float": dict(shape=[2, 3], fill_value=1.5),
        "int": dict(shape=[2], fill_value=3, dtype="int64"),
        "bool": dict(shape=(1, 2), fill_value=True, dtype="bool"),
        "differentiable": dict(shape=[2, 2], fill_value=0.5, stop_gradient=False),
    },
)
def _(t, **kwargs):
    return t.layers.full(**kwargs)


@dense("full_of_variables")
def _(t):
    size, value = t.layers.fill_constant([1], "int32", 2), t.layers.fill_constant([1], "float32", 2.5)
    return [t.layers.full([1, size], value, dtype="float32"), t.layers.full([2, 1], value, dtype="float32")]


@dense_variants(
    "randint",
    {
        "limits": dict(low=-5, high=5, shape=[3, 4], dtype="int32"),
        "high": dict(low=10),
        "seeded": dict(low=0, high=3, shape=[2, 2], seed=3, stop_gradient=True),
    },
    random=True,
)
def _(t, **kwargs):
    return t.layers.randint(**kwargs)


@dense("randint_of_variables", random=True)
def _(t):
    sizes = [t.layers.fill_constant([1], "int64", 3), t.layers.fill_constant([1], "int32", 5)]
    return t.layers.randint(low=-5, high=5, shape=sizes, dtype="int32")


@dense_variants(
    "randperm", {"int64": dict(n=5), "int32": dict(n=1, dtype="int32"), "seeded": dict(n=4, seed=2)}, random=True
)
def _(t, **kwargs):
    return t.layers.randperm(**kwargs)


@dense_variants(
    "mean_iou", {"few": {}, "all": dict(shape=(3, 4, 5)), "missing": dict(classes=9), "one": dict(classes=1)}
)
def _(t, shape=(2, 6), classes=4):
    used = min(classes, 4)
    return t.layers.mean_iou(t.integers("x", used, *shape), t.integers("y", used, *shape), classes)


@dense_variants(
    "auc",
    {
        "few": {},
        "coarse": dict(num_thresholds=7),
        "slides": dict(num_thresholds=15, slide_steps=3),
        "one_sided": dict(num_thresholds=15, labels=1),
    },
)
def _(t, labels=2, rows=12, **kwargs):
    scores = t.rng.rand(rows, 1).astype("float32")
    input = t.feed("input", np.concatenate([1 - scores, scores], axis=1))
    input.stop_gradient = True
    return t.layers.auc(input, t.integers("label", labels, rows, 1), **kwargs)[:2]


@dense_variants(
    "sigmoid_focal_loss",
    {
        "default": {},
        "gamma": dict(gamma=1.5, alpha=0.4),
        "one_class": dict(classes=1),
        "no_object": dict(high=1),
        "large": dict(scale=30),
    },
)
def _(t, classes=4, high=None, scale=1, **kwargs):
    x = t.feed("x", t.randn(5, classes) * np.float32(scale))
    label = t.feed("label", t.rng.randint(-1, high or classes + 1, (5, 1)).astype("int32"))
    count = t.feed("count", np.array([(t.feeds["label"] > 0).sum()], "int32"), [1])
    return t.layers.sigmoid_focal_loss(x, label, count, **kwargs)


@dense_variants(
    "npair_loss", {"floats": {}, "integers": dict(dtype="int64"), "one": dict(rows=1), "plain": dict(l2_reg=0.0)}
)
def _(t, rows=4, dtype="float32", **kwargs):
    labels = t.feed("labels", t.rng.randint(0, 2, [rows]).astype(dtype), [rows])
    labels.stop_gradient = True
    return t.layers.npair_loss(
        t.feed("x", t.randn(rows, 3), [rows, 3]), t.feed("y", t.randn(rows, 3), [rows, 3]), labels, **kwargs
    )


@dense_variants(
    "image_resize_short", {"wide": {}, "high": dict(shape=(1, 2, 7, 4)), "nearest": dict(resample="NEAREST")}
)
def _(t, shape=(2, 3, 4, 6), **kwargs):
    return t.layers.image_resize_short(t.x(*shape), 3, **kwargs)


@dense_variants("affine_grid", {"list": {}, "low": dict(size=(2, 4)), "one_image": dict(batch=1, size=(3, 2))})
def _(t, batch=2, size=(3, 5)):
    return t.layers.affine_grid(t.x(batch, 2, 3), [batch, 4] + list(size))


@dense("affine_grid_of_variable")
def _(t):
    return t.layers.affine_grid(t.x(2, 2, 3), t.feed("shape", np.array([2, 4, 3, 5], "int32"), [4]))


@dense_variants(
    "grid_sampler",
    {
        "inside": dict(scale=0.4),
        "beyond": dict(scale=1.5),
        "one_channel": dict(shape=(3, 1, 5, 2), scale=0.8),
        "one_image": dict(shape=(1, 2, 2, 2), scale=0.6),
    },
)
def _(t, scale, shape=(2, 3, 4, 5)):
    return t.layers.grid_sampler(
        t.x(*shape), t.feed("grid", t.randn(*((shape[0],) + shape[2:] + (2,))) * np.float32(scale))
    )


@dense("grid_sampler_of_affine_grid")
def _(t):
    grid = t.layers.affine_grid(t.feed("theta", t.randn(2, 2, 3) * np.float32(0.3)), [2, 3, 4, 5])
    return t.layers.grid_sampler(t.x(2, 3, 4, 5), grid)


DISTRIBUTIONS = {
    "Uniform": [([0.5, 1.0], [2.0, 4.0]), ([[0.0], [1.0]], [3.0, 4.0]), (1.0, 2.5)],
    "Normal": [([0.5, 1.0], [2.0, 4.0]), ([[0.0], [1.0]], [3.0, 4.0]), (1.0, 2.5)],
}
PARAMETERS = {"list": 0, "broadcast": 1, "numbers": 2}


def distribution(t, kind, number):
    return getattr(t.layers, kind)(*DISTRIBUTIONS[kind][number])


def constant(variable):
    """Without a gradient, which would have to flow through comparisons."""
    variable.stop_gradient = True
    return variable


def of_variables(t, kind):
    low = t.x(3, 2)
    return getattr(t.layers, kind)(low, t.positive("y", 3, 2) + (low if kind == "Uniform" else 0.0))


@dense_variants("uniform_distribution", {name: dict(number=number) for name, number in PARAMETERS.items()})
def _(t, number):
    made = distribution(t, "Uniform", number)
    values = t.feed("value", t.rng.uniform(1.5, 2, made.low.shape).astype("float32"), list(made.low.shape))
    return [made.entropy(), constant(made.log_prob(values))]


@dense_variants("normal_distribution", {name: dict(number=number) for name, number in PARAMETERS.items()})
def _(t, number):
    made = distribution(t, "Normal", number)
    values = t.feed("value", t.randn(*made.loc.shape), list(made.loc.shape))
    return [made.entropy(), made.log_prob(values), made.kl_divergence(t.layers.Normal([1.0], [2.0]))]


@dense_variants("distribution_of_variables", {"Uniform": dict(kind="Uniform"), "Normal": dict(kind="Normal")})
def _(t, kind):
    made = of_variables(t, kind)
    density = made.log_prob(t.feed("value", t.randn(3, 2)))
    return [made.entropy(), constant(density) if kind == "Uniform" else density]


@dense_variants(
    "samples",
    {
        kind + "_" + name: dict(kind=kind, number=number)
        for kind in ("Uniform", "Normal")
        for name, number in dict(PARAMETERS, variables=None).items()
    },
    random=True,
)
def _(t, kind, number):
    made = of_variables(t, kind) if number is None else distribution(t, kind, number)
    return made.sample([4], seed=0 if number else 3)


@dense_variants(
    "categorical", {"list": {}, "several": dict(shape=(3, 4)), "variables": dict(variables=True, shape=(3, 4))}
)
def _(t, shape=(5,), variables=False):
    first, second = t.randn(*shape), t.randn(*shape)
    if variables:
        first, second = t.feed("x", first), t.feed("y", second)
    one, other = t.layers.Categorical(first), t.layers.Categorical(second)
    return [one.entropy(), one.kl_divergence(other)]


@dense_variants("multivariate_normal", {"two": dict(n=2), "three": dict(n=3), "variables": dict(n=2, variables=True)})
def _(t, n, variables=False):
    loc, scale, other = t.randn(n), np.diag(t.rng.uniform(0.5, 2, n)).astype("float32"), np.eye(n).astype("float32")
    if variables:
        loc, scale = t.feed("loc", loc, [n]), t.feed("scale", scale, [n, n])
        other_loc, other = t.feed("other_loc", t.randn(n), [n]), t.feed("other", other, [n, n])
    else:
        other_loc = t.randn(n)
    one, two = t.layers.MultivariateNormalDiag(loc, scale), t.layers.MultivariateNormalDiag(other_loc, other)
    return [one.entropy(), one.kl_divergence(two)]


@dense_variants(
    "conv3d",
    {
        "plain": dict(filter_size=2),
        "stride": dict(filter_size=[2, 1, 3], stride=[1, 2, 1]),
        "padding": dict(filter_size=3, padding=1, act="relu"),
        "paddings": dict(filter_size=2, padding=[1, 0, 0, 1, 2, 1], bias_attr=False),
        "same": dict(filter_size=3, padding="SAME", stride=2),
        "valid": dict(filter_size=2, padding="VALID"),
        "dilation": dict(filter_size=2, dilation=[1, 2, 1]),
        "groups": dict(filter_size=2, groups=2, shape=(2, 4, 3, 4, 3)),
        "one": dict(filter_size=1, shape=(1, 1, 2, 2, 2)),
        "channels_last": dict(filter_size=2, data_format="NDHWC", shape=(2, 3, 4, 3, 2)),
    },
)
def _(t, shape=(2, 3, 4, 5, 3), **kwargs):
    return t.layers.conv3d(t.x(*shape), 4, **kwargs)


@dense_variants(
    "conv3d_transpose",
    {
        "plain": dict(filter_size=2),
        "stride": dict(filter_size=[2, 1, 3], stride=[1, 2, 1]),
        "padding": dict(filter_size=3, padding=1, act="relu"),
        "output_size": dict(output_size=[5, 7, 5], stride=2, bias_attr=False),
        "dilation": dict(filter_size=2, dilation=[1, 2, 1]),
        "groups": dict(filter_size=2, groups=2, shape=(2, 4, 2, 3, 2)),
        "one": dict(filter_size=1, shape=(1, 1, 2, 2, 2)),
    },
)
def _(t, shape=(2, 3, 2, 3, 2), **kwargs):
    return t.layers.conv3d_transpose(t.x(*shape), 4, **kwargs)


POOLS = {
    "plain": dict(pool_size=2),
    "stride": dict(pool_size=[2, 1, 3], pool_stride=[2, 1, 2]),
    "padding": dict(pool_size=3, pool_padding=1, pool_stride=2),
    "paddings": dict(pool_size=3, pool_padding=[1, 2, 1, 0, 1, 2]),
    "same": dict(pool_size=2, pool_padding="SAME", pool_stride=2),
    "valid": dict(pool_size=2, pool_padding="VALID"),
    "ceil": dict(pool_size=2, pool_stride=2, ceil_mode=True),
    "global": dict(global_pooling=True),
    "channels_last": dict(pool_size=2, data_format="NDHWC"),
}


@dense_variants("pool3d_max", POOLS)
def _(t, **kwargs):
    return t.layers.pool3d(t.x(2, 3, 4, 5, 3), pool_type="max", **kwargs)


@dense_variants("pool3d_avg", dict(POOLS, inclusive=dict(pool_size=3, pool_padding=1, exclusive=False)))
def _(t, **kwargs):
    return t.layers.pool3d(t.x(2, 3, 4, 5, 3), pool_type="avg", **kwargs)


ADAPTIVE = {"even": dict(pool_size=[2, 2, 3]), "uneven": dict(pool_size=[3, 2, 2]), "one": dict(pool_size=1)}


@dense_variants("adaptive_pool3d_avg", ADAPTIVE)
def _(t, **kwargs):
    return t.layers.adaptive_pool3d(t.x(2, 3, 4, 4, 3), pool_type="avg", **kwargs)


@dense_variants("adaptive_pool3d_max", dict(ADAPTIVE, index=dict(pool_size=2, require_index=True)))
def _(t, **kwargs):
    return t.layers.adaptive_pool3d(t.x(2, 3, 4, 4, 3), **kwargs)


def boxes(t, *shape, **kwargs):
    """Corners of boxes, left and top first."""
    scale = kwargs.get("scale", 1)
    first = t.rng.rand(*(shape + (2,)))
    return (np.concatenate([first, first + t.rng.rand(*(shape + (2,))) + 0.1], axis=-1) * scale).astype("float32")


@dense_variants("iou_similarity", {"parts": {}, "pixels": dict(box_normalized=False, scale=20), "one": dict(n=1, m=1)})
def _(t, n=4, m=3, scale=1, **kwargs):
    return t.layers.iou_similarity(
        t.feed("x", boxes(t, n, scale=scale)), t.feed("y", boxes(t, m, scale=scale)), **kwargs
    )


@dense("iou_similarity_of_sequences", grad=False)
def _(t):
    return t.layers.iou_similarity(t.sequences("x", boxes(t, 4), [[1, 0, 3]]), t.feed("y", boxes(t, 3)))


@dense_variants(
    "box_coder",
    {
        "encode": {},
        "encode_pixels": dict(box_normalized=False, scale=20),
        "encode_by_numbers": dict(variance=[0.1, 0.1, 0.2, 0.2]),
        "decode": dict(code_type="decode_center_size", target=(4, 3)),
        "decode_pixels": dict(code_type="decode_center_size", target=(4, 3), box_normalized=False, scale=20),
        "decode_rows": dict(code_type="decode_center_size", target=(3, 4), axis=1),
        "decode_by_numbers": dict(code_type="decode_center_size", target=(2, 3), variance=[0.1, 0.1, 0.2, 0.2]),
    },
    grad=False,
)
def _(t, variance=None, target=(4,), scale=1, **kwargs):
    prior = t.feed("prior", boxes(t, 3, scale=scale))
    if variance is None:
        variance = t.feed("variance", t.rng.uniform(0.1, 0.3, (3, 4)).astype("float32"))
    wanted = t.feed("target", boxes(t, *target, scale=scale) if len(target) == 1 else t.randn(*(target + (4,))))
    return t.layers.box_coder(prior, variance, wanted, **kwargs)


@dense("box_coder_of_sequences", grad=False)
def _(t):
    target = t.sequences("target", boxes(t, 4), [[1, 3]])
    return t.layers.box_coder(t.feed("prior", boxes(t, 3)), [0.1, 0.1, 0.2, 0.2], target)


@dense_variants(
    "box_clip",
    {
        "two": dict(lengths=[3, 2]),
        "three": dict(lengths=[1, 4, 2]),
        "one": dict(lengths=[1]),
        "classes": dict(lengths=[2, 1], more=(2,)),
    },
    grad=False,
)
def _(t, lengths, more=()):
    found = boxes(t, sum(lengths), *more, scale=80) - np.float32(20)
    info = [[60 + 10 * n, 50, 1.0 + n / 2] for n in range(len(lengths))]
    return t.layers.box_clip(t.sequences("x", found, [lengths]), t.feed("info", np.array(info, "float32")))


@dense_variants(
    "polygon_box_transform",
    {"four": dict(shape=(2, 8, 3, 4)), "one": dict(shape=(1, 2, 1, 1)), "wide": dict(shape=(2, 2, 1, 5))},
)
def _(t, shape):
    return t.layers.polygon_box_transform(t.x(*shape))


@dense_variants(
    "yolo_box",
    {
        "plain": {},
        "unclipped": dict(clip_bbox=False),
        "certain": dict(conf_thresh=0.6),
        "scaled": dict(scale_x_y=1.2),
        "wide": dict(size=(2, 5)),
        "one": dict(batch=1, size=(1, 1), class_num=1, anchors=[10, 13]),
    },
    grad=False,
)
def _(t, batch=2, size=(3, 3), class_num=2, anchors=(10, 13, 16, 30), conf_thresh=0.3, **kwargs):
    x = t.x(batch, len(anchors) // 2 * (5 + class_num), *size)
    img_size = t.feed("img_size", np.array([[100, 80], [64, 90]], "int32")[:batch])
    return t.layers.yolo_box(x, img_size, list(anchors), class_num, conf_thresh, 32, **kwargs)


@dense_variants(
    "anchor_generator",
    {
        "several": dict(anchor_sizes=[64.0, 128.0], aspect_ratios=[0.5, 1.0, 2.0], stride=[16.0, 16.0]),
        "one": dict(anchor_sizes=32.0, aspect_ratios=1.0, stride=[8.0, 4.0], shape=(1, 1, 1, 1)),
        "offset": dict(anchor_sizes=[20.0], aspect_ratios=[0.7], stride=(5.0, 6.0), offset=0.2),
    },
    grad=False,
)
def _(t, shape=(2, 3, 4, 5), **kwargs):
    return t.layers.anchor_generator(t.x(*shape), variance=[0.1, 0.1, 0.2, 0.3], **kwargs)


@dense_variants(
    "prior_box",
    {
        "plain": dict(min_sizes=[10.0]),
        "sizes": dict(min_sizes=[10.0, 20.0], max_sizes=[15.0, 30.0], aspect_ratios=[2.0, 1.0], flip=True),
        "ordered": dict(min_sizes=[10.0], max_sizes=[15.0], aspect_ratios=[2.0, 0.5], min_max_aspect_ratios_order=True),
        "steps": dict(min_sizes=[8.0], steps=[5.0, 7.0], offset=0.3, clip=True),
    },
    grad=False,
)
def _(t, **kwargs):
    return t.layers.prior_box(
        t.x(1, 2, 3, 4), t.feed("image", t.randn(1, 3, 30, 44)), variance=[0.1, 0.1, 0.2, 0.2], **kwargs
    )


PARTS = {
    "all": {},
    "middle": dict(start_index=1, length=2),
    "end": dict(start_index=-2),
    "one": dict(count=1, length=1),
}


@dense_variants("partial_concat", PARTS)
def _(t, count=3, **kwargs):
    return t.fluid.contrib.layers.partial_concat([t.feed("x%d" % n, t.randn(3, 4)) for n in range(count)], **kwargs)


@dense_variants("partial_sum", {name: PARTS[name] for name in ("all", "middle", "one")})
def _(t, count=3, **kwargs):
    return t.fluid.contrib.layers.partial_sum([t.feed("x%d" % n, t.randn(3, 4)) for n in range(count)], **kwargs)


@dense_variants("ctr_metric_bundle", {"few": dict(rows=5), "one": dict(rows=1), "many": dict(rows=40)}, grad=False)
def _(t, rows):
    label = t.feed("label", t.rng.randint(0, 2, (rows, 1)).astype("float32"))
    return t.fluid.contrib.layers.ctr_metric_bundle(t.feed("x", t.rng.rand(rows, 1).astype("float32")), label)


@dense_variants(
    "spectral_norm",
    {
        "matrix": dict(shape=(4, 3)),
        "columns": dict(shape=(4, 3), dim=1, power_iters=3),
        "filter": dict(shape=(2, 3, 2, 2), dim=1, power_iters=2),
        "none": dict(shape=(3, 2), power_iters=0),
        "one": dict(shape=(1, 2)),
    },
)
def _(t, shape, **kwargs):
    return t.layers.spectral_norm(t.feed("x", t.randn(*shape), list(shape)), **kwargs)


def maps(t, *sizes):
    return [t.feed("map%d" % n, t.randn(2, 3, size, size)) for n, size in enumerate(sizes)]


@dense_variants(
    "multi_box_head",
    {
        "sizes": dict(sizes=(3, 2), min_sizes=[10.0, 20.0], max_sizes=[15.0, 30.0], aspect_ratios=[[2.0], [2.0, 3.0]]),
        "ratios": dict(
            sizes=(4, 3, 2), min_ratio=20, max_ratio=90, aspect_ratios=[[2.0], [2.0, 3.0], [2.0]], clip=True
        ),
        "steps": dict(
            sizes=(3, 2), min_sizes=[10.0, 20.0], max_sizes=[15.0, 30.0], aspect_ratios=[[], [2.0]], steps=[8.0, 16.0]
        ),
        "one": dict(sizes=(3,), min_sizes=[10.0], max_sizes=[15.0], aspect_ratios=[[2.0]], kernel_size=3, pad=1),
    },
)
def _(t, sizes, **kwargs):
    image = t.feed("image", t.randn(2, 3, 30, 30))
    image.stop_gradient = True
    return t.layers.multi_box_head(maps(t, *sizes), image, 30, 3, **kwargs)
