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
