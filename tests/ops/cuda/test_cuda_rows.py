"""Reductions, softmax, losses, normalizations and lookups in CUDA C compute what the general kernels do."""

import numpy as np
import pytest
from gpu_runs import arrays_like, check, context, gpu, launches, on_gpu, threads_in_order

import fluidlite.fluid as fluid
from fluidlite.core import operators
from fluidlite.core.errors import EnforceNotMet
from fluidlite.fluid import layers
from fluidlite.ops.arrays.strides import sum_into

pytestmark = pytest.mark.gpu
both_types = pytest.mark.parametrize("dtype", ["float32", "float64"])

# One element; odd and even numbers of them beside those of a warp and of a block; one row, few, many.
MATRICES = [(1, 1), (1, 1000), (31, 33), (33, 31), (3, 1025), (1025, 3), (2, 5000), (300, 64)]
IMAGES = [(1, 1, 1, 1), (4, 3, 5, 7), (2, 33, 31, 1), (3, 2, 16, 65), (64, 5, 2, 2)]


def kept(shape, axes):
    return tuple(1 if axis in axes else size for axis, size in enumerate(shape))


def left(shape, axes):
    return tuple(size for axis, size in enumerate(shape) if axis not in axes) or (1,)


REDUCED = [((1,), [0]), ((1000,), [0]), ((70001,), [0]), ((4, 3, 5, 6), [1, 3]), ((4, 3, 5, 6), [0, 2, 3])]
REDUCED += [(shape, [axis]) for shape in MATRICES for axis in (0, 1)]


@both_types
@pytest.mark.parametrize(("shape", "dims"), REDUCED, ids=str)
def test_reductions_along_any_dimensions(shape, dims, dtype):
    x, out = arrays_like(shape, dtype), np.zeros(left(shape, dims), dtype)
    for name in ("max", "min", "mean"):
        check(f"reduce_{name}", [x], [out], {"dim": dims})
    check("reduce_prod", [np.sign(x) * (1 + abs(x) / 1000)], [out], {"dim": dims})
    for name in ("all", "any"):
        check(f"reduce_{name}", [x > -2], [out > 0], {"dim": dims})


def sums(x, out):
    """What `sum_into` adds up on a GPU; of `out` only the shape and the type count."""
    device, x, out = gpu(), on_gpu(x), on_gpu(out)
    ctx = context(device, {})
    with device.active():
        sum_into(ctx, x, out)()
    return out.get()


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64"])
@pytest.mark.parametrize(("shape", "dims"), REDUCED, ids=str)
def test_sums_along_any_dimensions(shape, dims, dtype):
    x, out = arrays_like(shape, dtype), np.zeros(kept(shape, dims), dtype)
    np.testing.assert_allclose(sums(x, out), x.sum(axis=tuple(dims), keepdims=True), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("view", [lambda x: x.transpose(1, 0, 2), lambda x: x[::2, 1:], lambda x: x[:, ::2, ::3]])
def test_sums_over_views(view):
    x = view(arrays_like((6, 5, 7)))
    for axes in ((0,), (1,), (2,), (0, 2), (1, 2)):
        found = sums(x, np.zeros(kept(x.shape, axes)))
        np.testing.assert_allclose(found, x.sum(axis=axes, keepdims=True), rtol=1e-12, atol=1e-12)


def test_sums_are_the_same_in_whatever_order_blocks_run():
    x, found = arrays_like((3, 200000), "float32"), set()
    for order in ("forward", "backward", "random"):
        with threads_in_order(order):
            found.add(sums(x, np.zeros((3, 1), "float32")).tobytes())
    assert len(found) == 1


@both_types
@pytest.mark.parametrize("shape", [(1,), (33, 5), (1025,), (5, 20000)], ids=str)
def test_numbers_about_all_elements(shape, dtype):
    x, one = arrays_like(shape, dtype), np.zeros(1, dtype)
    for name in ("mean", "squared_l2_norm", "l1_norm"):
        check(name, [x], [one])
    for bad in (np.nan, np.inf, -np.inf, 0):
        x.flat[-1] = bad
        for name in ("isnan", "isinf", "isfinite"):
            check(name, [x], [one > 0])


@both_types
@pytest.mark.parametrize(("shape", "axis"), [((3, 5), 1), ((3, 5), 0), ((2, 3, 4), 1), ((33, 1025), -1)], ids=str)
def test_norms(shape, axis, dtype):
    x, dout = arrays_like(shape, dtype), arrays_like(shape, dtype, 1)
    norm = np.sqrt((x * x).sum(axis, keepdims=True))
    check("norm", [x], [norm, x], {"axis": axis})
    check("norm_grad", [x, norm, dout], [x], {"axis": axis})
    for order in (0, 1, 2, 3.5, np.inf, -np.inf):
        check("p_norm", [x], [norm.squeeze(axis)], {"axis": axis, "porder": order})


@both_types
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("shape", MATRICES, ids=str)
def test_places_of_extremes(shape, axis, dtype):
    x = np.round(arrays_like(shape, dtype), 1)  # some numbers are equal: the first counts
    x.flat[len(x) // 2] = np.nan
    out = np.zeros(left(shape, [axis]), "int64")
    for name in ("arg_max", "arg_min"):
        check(name, [x], [out], {"axis": axis})
        check(name, [arrays_like(shape, "int64")], [out], {"axis": axis})


@both_types
@pytest.mark.parametrize(("shape", "rows_of_y"), [((5, 7), 5), ((5, 7), 1), ((40, 33), 1), ((4, 3, 2), 4), ((1, 5), 1)])
def test_cosine_similarity(shape, rows_of_y, dtype):
    x, y = arrays_like(shape, dtype), arrays_like((rows_of_y, *shape[1:]), dtype, 1)
    out, x_norm, y_norm = (arrays_like((rows, 1), dtype, 2) for rows in (len(x), len(x), rows_of_y))
    check("cos_sim", [x, y], [out, x_norm, y_norm])
    norms = [abs(x_norm) + 1, abs(y_norm) + 1]
    check("cos_sim_grad", [x, y, *norms, out, arrays_like(out.shape, dtype, 3)], [x, y], count=2)


AXES = [(shape, -1) for shape in MATRICES] + [((31, 33), 0), ((2, 3, 5, 7), 1), ((2, 33, 3), 1)]


@both_types
@pytest.mark.parametrize(("shape", "axis"), AXES, ids=str)
def test_softmax(shape, axis, dtype):
    x, out, dout = arrays_like(shape, dtype) * 5, abs(arrays_like(shape, dtype)), arrays_like(shape, dtype, 1)
    check("softmax", [x], [x], {"axis": axis})
    check("softmax_grad", [out, dout], [x], {"axis": axis})


def test_softmax_of_what_is_not_finite():
    x = arrays_like((5, 31))
    x[0, :5], x[1], x[2, 3], x[3, 2] = -np.inf, -np.inf, np.nan, np.inf
    check("softmax", [x], [x])


def distribution(shape, dtype, seed=0):
    x = np.exp(arrays_like(shape, dtype, seed))
    return x / x.sum(-1, keepdims=True)


def labels(shape):
    found = np.arange(np.prod(shape[:-1]), dtype="int64").reshape(*shape[:-1], 1) % shape[-1]
    found.flat[-1] = -100
    return found


@both_types
@pytest.mark.parametrize("shape", [*MATRICES, (2, 3, 31)], ids=str)
def test_cross_entropy(shape, dtype):
    x, label, soft = distribution(shape, dtype), labels(shape), distribution(shape, dtype, 1)
    x.flat[0] = 0  # an infinite loss
    y = x[..., :1].copy()
    dy, match = arrays_like(y.shape, dtype), abs(arrays_like(y.shape, dtype)) + 1
    check("cross_entropy", [x, label], [y])
    check("cross_entropy", [x, label[..., 0]], [y[..., 0]])
    check("cross_entropy", [x, abs(label) % shape[-1]], [y], {"ignore_index": 1})
    check("cross_entropy", [x, soft], [y], {"soft_label": True})
    check("cross_entropy2", [x, label], [y, None, y])
    x += 1
    check("cross_entropy_grad", [x, label, dy], [x])
    check("cross_entropy_grad", [x, soft, dy], [x], {"soft_label": True})
    check("cross_entropy_grad2", [label, match, np.zeros((*shape, 0)), dy], [x])


@both_types
@pytest.mark.parametrize(("shape", "axis"), AXES, ids=str)
def test_softmax_with_cross_entropy(shape, axis, dtype):
    x = arrays_like(shape, dtype) * 5
    label = np.moveaxis(labels(np.moveaxis(x, axis, -1).shape), -1, axis)
    soft, loss, attrs = distribution(shape, dtype, 1), np.zeros(label.shape, dtype), {"axis": axis}
    check("softmax_with_cross_entropy", [x, label], [x, loss], attrs)
    check("softmax_with_cross_entropy", [x, soft], [x, loss], {**attrs, "soft_label": True})
    dloss = arrays_like(loss.shape, dtype, 2)
    check("softmax_with_cross_entropy_grad", [label, soft, dloss], [x], attrs)
    check("softmax_with_cross_entropy_grad", [x, soft, dloss], [x], {**attrs, "soft_label": True})


@both_types
@pytest.mark.parametrize("shape", MATRICES, ids=str)
def test_means_of_losses_over_classes(shape, dtype):
    x, label, one = arrays_like(shape, dtype), labels(shape), np.zeros(1, dtype)
    match = x[:, :1].copy()
    check("@mean_cross_entropy", [distribution(shape, dtype), label], [None, match, one])
    check("@softmax_mean_cross_entropy", [x, label], [x, None, match, one])
    check("@mean_softmax_with_cross_entropy", [x, label], [x, one])


@pytest.mark.parametrize("loss", ["cross_entropy", "softmax_with_cross_entropy"])
@pytest.mark.parametrize("with_mean", [False, True])
def test_bad_labels_are_told_when_something_is_fetched(loss, with_mean):
    logits, label = fluid.data("logits", [None, 3]), fluid.data("label", [None, 1], "int64")
    found = getattr(layers, loss)(layers.softmax(logits) if loss == "cross_entropy" else logits, label)
    found = layers.mean(found) if with_mean else found
    feed = {"logits": np.ones((4, 3), "float32"), "label": np.array([[0], [-100], [7], [1]])}
    exe = fluid.Executor(fluid.CUDAPlace(0))
    with pytest.raises(EnforceNotMet, match=rf"a label must lie in \[0, 3\), .* got the label 7\n.*operator {loss}"):
        exe.run(feed=feed, fetch_list=[found])
    feed["label"][2] = 2
    exe.run(feed=feed, fetch_list=[found])


@both_types
@pytest.mark.parametrize("shape", [(1, 1), (33, 7), (4, 3, 5), (3, 1025)], ids=str)
def test_losses_of_rows(shape, dtype):
    x, y, inside, outside = (arrays_like(shape, dtype, seed) for seed in range(4))
    out = np.zeros((shape[0], 1), dtype)
    count = 2 if x.size > 1 else 1  # the differences, and their sums
    check("smooth_l1_loss", [x, y, inside, outside], [x, out], {"sigma": 1.7}, count=count)
    check("smooth_l1_loss", [x, y, None, None], [x, out], count=count)
    for reduction in ("mean", "sum", "batchmean"):
        check("kldiv_loss", [x, y], [np.zeros(1, dtype)], {"reduction": reduction})


@both_types
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("shape", [*IMAGES, (1, 1), (33, 7), (1025, 3)], ids=str)
def test_batch_norm(shape, layout, dtype):
    x, dy = arrays_like(shape, dtype) * 3 + 5, arrays_like(shape, dtype, 1)
    channels = shape[1 if layout == "NCHW" or len(shape) == 2 else -1]
    vectors = [arrays_like(channels, dtype, seed) for seed in range(5)]
    positive, attrs = abs(vectors[4]) + 0.5, {"data_layout": layout, "epsilon": 0.1}
    check("@measure", [x], [*vectors[:2], np.zeros(1, dtype)], attrs)
    for momentum in (None, np.array([0.3], dtype)):
        check("@batch_norm_statistics", [x, vectors[0], positive, momentum], vectors[:4], attrs)
    check("@moving_statistics", [vectors[0], positive], vectors[:4], attrs)
    check("@normalize", [x, *vectors[:3], positive], [x], attrs)
    check("@batch_norm_sums", [x, dy, vectors[0], positive], vectors[:2], attrs)
    for moving in (False, True):
        inputs = [x, dy, vectors[0], positive, *vectors[1:4]]
        check("@batch_norm_slope", inputs, [x], {**attrs, "use_global_stats": moving})


def test_the_variance_of_numbers_far_from_0():
    x = (1e4 + arrays_like((16, 3, 40, 40))).astype("float32")
    x[0, :, 0, 0] = 0  # nor does it hang on the first number
    definition = operators.find("@batch_norm_statistics")
    device, given = gpu(), on_gpu(x)
    made = [on_gpu(np.zeros(3, "float32")) for _ in range(4)]
    ctx = context(device, {**definition.attrs, "momentum": 0.0})
    with device.active():
        definition.variants["cuda"](ctx, given, made[0], made[1], None, *made)()
    wide = x.astype("float64")
    np.testing.assert_allclose(made[0].get(), wide.mean(axis=(0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(made[1].get(), wide.var(axis=(0, 2, 3)), rtol=1e-5)


@both_types
@pytest.mark.parametrize(
    ("shape", "start"), [(s, 1) for s in MATRICES] + [((4, 3, 5, 7), 1), ((4, 3, 5, 7), 2)], ids=str
)
def test_layer_norm(shape, start, dtype):
    x, dy = arrays_like(shape, dtype) * 2 + 3, arrays_like(shape, dtype, 1)
    samples, size = int(np.prod(shape[:start])), int(np.prod(shape[start:]))
    scale, bias = arrays_like(size, dtype, 2), arrays_like(size, dtype, 3)
    mean, variance = arrays_like(samples, dtype, 4), abs(arrays_like(samples, dtype, 5)) + 0.5
    attrs = {"begin_norm_axis": start, "epsilon": 0.1}
    for one, other in ((scale, bias), (scale, None), (None, bias), (None, None)):
        check("layer_norm", [x, one, other], [x, mean, variance], attrs)
        count = 1 if one is None and other is None else 2
        inputs = [x, one, mean, variance, bias, dy]
        check("layer_norm_grad", inputs, [x, one, other], attrs, count=count)
    check("layer_norm_grad", [x, scale, mean, variance, bias, dy], [None, scale, bias], attrs)


GROUPED = [((2, 4, 3, 5), 2, "NCHW"), ((1, 1, 1, 1), 1, "NCHW"), ((2, 6, 33, 31), 3, "NCHW"), ((3, 8), 4, "NCHW")]


@both_types
@pytest.mark.parametrize(("shape", "groups", "layout"), [*GROUPED, ((2, 5, 7, 6), 3, "NHWC")], ids=str)
def test_group_norm(shape, groups, layout, dtype):
    x, dy = arrays_like(shape, dtype) + 1, arrays_like(shape, dtype, 1)
    channels = shape[1 if layout == "NCHW" else -1]
    scale, bias = arrays_like(channels, dtype, 2), arrays_like(channels, dtype, 3)
    scale[-1] = 0 if channels > 1 else 1
    variance = abs(arrays_like((shape[0], groups), dtype, 4)) + 0.5
    attrs = {"groups": groups, "data_layout": layout, "epsilon": 0.1}
    for one, other in ((scale, bias), (scale, None), (None, None)):
        check("group_norm", [x, one, other], [x, variance, variance], attrs)
        inputs, count = [x, one, other, variance, dy], 1 if one is None else 2
        check("group_norm_grad", inputs, [x, one, other], attrs, count=count)


@both_types
@pytest.mark.parametrize("shape", IMAGES, ids=str)
def test_instance_norm(shape, dtype):
    x, dy = arrays_like(shape, dtype) + 1, arrays_like(shape, dtype, 1)
    scale, bias = arrays_like(shape[1], dtype, 2), arrays_like(shape[1], dtype, 3)
    mean, inverse = arrays_like(shape[0] * shape[1], dtype, 4), abs(arrays_like(shape[0] * shape[1], dtype, 5)) + 0.5
    check("instance_norm", [x, scale, bias], [x, mean, inverse], {"epsilon": 0.1})
    check("instance_norm_grad", [x, scale, mean, inverse, dy], [x, scale, bias], count=2)


@both_types
@pytest.mark.parametrize("k", [1, 2, 16])
@pytest.mark.parametrize("shape", [(5, 31), (64, 16), (3, 1025), (4, 3, 33)], ids=str)
def test_top_k(shape, k, dtype):
    x = np.round(arrays_like(shape, dtype), 1)
    out = arrays_like((*shape[:-1], k), dtype, 1)
    indices = np.argsort(-x, axis=-1, kind="stable")[..., :k]
    check("top_k", [x, None], [out, indices], {"k": k})
    check("top_k_grad", [indices, x, out], [x])


@both_types
@pytest.mark.parametrize("largest", [True, False])
def test_top_k_along_another_axis(largest, dtype):
    x, attrs = arrays_like((4, 33, 7), dtype), {"k": 2, "axis": 1, "largest": largest}
    out, indices = x[:, :2].copy(), np.tile(np.array([[3], [8]]), (4, 1, 7))
    check("top_k_v2", [x, None], [out, indices], attrs)
    check("top_k_v2_grad", [indices, x, out], [x], attrs)


@pytest.mark.parametrize(("rows", "k"), [(1, 1), (64, 1), (1025, 5), (20000, 2)])
def test_accuracy(rows, k):
    indices, label = arrays_like((rows, k), "int64"), arrays_like((rows, 1), "int64", 1)
    counts = [np.zeros(1, "float32"), np.zeros(1, "int32"), np.zeros(1, "int32")]
    check("accuracy", [np.zeros((rows, k)), indices, label], counts)
    check("@top_k_accuracy", [np.round(arrays_like((rows, 7), "float32"), 1), label], counts, {"k": k})


TABLES = [(1, 1, 1), (33, 5, 7), (1000, 50, 129), (300, 1000, 16)]


@both_types
@pytest.mark.parametrize("padding", [-1, 0])
@pytest.mark.parametrize(("count", "height", "width"), TABLES)
def test_lookups(count, height, width, padding, dtype):
    ids = np.random.default_rng(0).integers(0, height, (count, 1))
    table, rows = arrays_like((height, width), dtype), arrays_like((count, width), dtype, 1)
    check("lookup_table", [table, ids], [rows], {"padding_idx": padding})
    check("lookup_table_v2", [table, ids[:, 0]], [rows], {"padding_idx": padding})
    check("lookup_table_grad", [ids, table, rows], [table], {"padding_idx": padding})


def test_bad_ids_are_told_when_something_is_fetched():
    ids = fluid.data("ids", [None, 1], "int64")
    rows = layers.embedding(ids, [5, 2])
    exe = fluid.Executor(fluid.CUDAPlace(0))
    exe.run(fluid.default_startup_program())
    with pytest.raises(EnforceNotMet, match=r"id 9 does not lie in \[0, 5\)"):
        exe.run(feed={"ids": np.array([[1], [9]])}, fetch_list=[rows])


def test_a_classifier_is_few_launches():
    """What fluid.layers says in five operators is done in two launches, unless somebody reads what lies between."""
    image, label = fluid.data("image", [None, 5]), fluid.data("label", [None, 1], "int64")
    prediction = layers.softmax(image)
    losses = layers.cross_entropy(prediction, label)
    loss, accuracy = layers.mean(losses), layers.accuracy(prediction, label, k=2)
    feed = {"image": arrays_like((9, 5), "float32"), "label": labels((9, 5)) % 5}
    for fetches, kernels in (
        ([loss, accuracy], ["softmax_mean_cross_entropy_rows", "top_k_accuracy_rows"]),
        ([loss, losses], ["softmax_rows", "cross_entropy_rows", "mean_rows"]),
    ):
        with launches(gpu()) as launched:
            got = fluid.Executor(fluid.CUDAPlace(0)).run(feed=feed, fetch_list=fetches)
        assert launched == kernels
        want = fluid.Executor(fluid.CPUPlace()).run(feed=feed, fetch_list=fetches)
        for one, other in zip(got, want, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5)
