"""Mistakes with dense layers beyond those that most networks need; the real Paddle says which are errors.

Runs under Python 3.7 with the real Paddle (tools/oracle/record_mistakes.py) and on fluidlite.
"""

import numpy as np

ARRAY = np.ones((2, 3), "float32")


def x(t, *shape, **kwargs):
    return t.feed(kwargs.get("name", "x"), np.ones(shape or (2, 3), kwargs.get("dtype", "float32")))


def y(t, *shape, **kwargs):
    return x(t, *shape, name="y", **kwargs)


def z(t, *shape, **kwargs):
    return x(t, *shape, name="z", **kwargs)


def volume(t):
    return x(t, 2, 3, 4, 4, 4)


def numbers(t, name, values, dtype="int64"):
    return t.feed(name, np.array(values, dtype))


# name: builds and returns what is fetched
ERRORS = {
    "addmm_of_integers": lambda t: t.layers.addmm(x(t), x(t, dtype="int64", name="y"), z(t)),
    "addmm_of_array": lambda t: t.layers.addmm(x(t, 2, 2), ARRAY, z(t, 3, 2)),
    "addmm_that_does_not_fit": lambda t: t.layers.addmm(x(t, 2, 2), y(t, 2, 3), z(t, 2, 2)),
    "addmm_of_other_rows": lambda t: t.layers.addmm(x(t, 3, 2), y(t, 2, 3), z(t, 3, 2)),
    "addcmul_by_integer": lambda t: t.layers.addcmul(x(t), y(t), z(t), value=1),
    "addcmul_by_fraction": lambda t: t.layers.addcmul(
        x(t, dtype="int64"), y(t, dtype="int64"), z(t, dtype="int64"), value=1.5
    ),
    "addcmul_of_array": lambda t: t.layers.addcmul(ARRAY, y(t), z(t)),
    "allclose_tolerance": lambda t: t.layers.allclose(x(t), y(t), rtol=1),
    "allclose_nan": lambda t: t.layers.allclose(x(t), y(t), equal_nan=1),
    "fsp_of_integers": lambda t: t.layers.fsp_matrix(x(t, 1, 2, 3, 3, dtype="int64"), y(t, 1, 2, 3, 3)),
    "fsp_of_matrices": lambda t: t.layers.fsp_matrix(x(t), y(t)),
    "fsp_of_other_sizes": lambda t: t.layers.fsp_matrix(x(t, 1, 2, 3, 3), y(t, 1, 2, 4, 3)),
    "flip_array": lambda t: t.layers.flip(ARRAY, [0]),
    "flip_by_number": lambda t: t.layers.flip(x(t), 0),
    "flip_nothing": lambda t: t.layers.flip(x(t), []),
    "flip_unknown": lambda t: t.layers.flip(x(t), [2]),
    "meshgrid_of_tuple": lambda t: t.layers.meshgrid((x(t, 2), y(t, 3))),
    "meshgrid_of_bools": lambda t: t.layers.meshgrid([x(t, 2, dtype="bool"), y(t, 3, dtype="bool")]),
    "shard_unknown": lambda t: t.layers.shard_index(numbers(t, "x", [[1]]), 20, 2, 2),
    "shard_negative": lambda t: t.layers.shard_index(numbers(t, "x", [[1]]), 20, 2, -1),
    "shard_of_floats": lambda t: t.layers.shard_index(x(t), 20, 2, 0),
    "shard_of_large_index": lambda t: t.layers.shard_index(numbers(t, "x", [[20]]), 20, 2, 0),
    "tril_of_vector": lambda t: t.layers.tril(x(t, 3)),
    "tril_of_bools": lambda t: t.layers.tril(x(t, dtype="bool")),
    "tril_diagonal": lambda t: t.layers.tril(x(t), diagonal=0.5),
    "triu_of_array": lambda t: t.layers.triu(ARRAY),
    "unfold_of_matrix": lambda t: t.layers.unfold(x(t), 2),
    "unfold_of_integers": lambda t: t.layers.unfold(x(t, 1, 2, 3, 3, dtype="int64"), 2),
    "unfold_kernel": lambda t: t.layers.unfold(x(t, 1, 2, 3, 3), [2, 2, 2]),
    "unfold_strides": lambda t: t.layers.unfold(x(t, 1, 2, 3, 3), 2, strides="2"),
    "unfold_paddings": lambda t: t.layers.unfold(x(t, 1, 2, 3, 3), 2, paddings=[1, 1, 1]),
    "unfold_padding_tuple": lambda t: t.layers.unfold(x(t, 1, 2, 3, 3), 2, paddings=(1, 1)),
    "unfold_that_does_not_fit": lambda t: t.layers.unfold(x(t, 1, 2, 3, 3), 4),
    "full_of_number": lambda t: t.layers.full(2, 1.0),
    "full_unknown_dtype": lambda t: t.layers.full([2], 1, dtype="int8"),
    "randint_limits": lambda t: t.layers.randint(5, 5),
    "randint_dtype": lambda t: t.layers.randint(5, dtype="float32"),
    "randint_shape": lambda t: t.layers.randint(5, shape=3),
    "randn_shape": lambda t: t.layers.randn(3),
    "randn_dtype": lambda t: t.layers.randn([3], dtype="int64"),
    "randperm_of_nothing": lambda t: t.layers.randperm(0),
    "randperm_dtype": lambda t: t.layers.randperm(3, dtype="float32"),
    "randperm_device": lambda t: t.layers.randperm(3, device="tpu"),
    "randperm_stop_gradient": lambda t: t.layers.randperm(3, stop_gradient=1),
    "mean_iou_of_floats": lambda t: t.layers.mean_iou(x(t), y(t), 3),
    "mean_iou_of_other_shapes": lambda t: t.layers.mean_iou(numbers(t, "x", [[1, 2]]), numbers(t, "y", [[1]]), 3),
    "auc_of_integers": lambda t: t.layers.auc(numbers(t, "x", [[0, 1]]), numbers(t, "y", [[1]]))[0],
    "auc_of_float_labels": lambda t: t.layers.auc(x(t, 2, 2), y(t, 2, 1))[0],
    "auc_beyond_one": lambda t: t.layers.auc(numbers(t, "x", [[0, 1.5]], "float32"), numbers(t, "y", [[1]]))[0],
    "focal_of_int64_labels": lambda t: t.layers.sigmoid_focal_loss(
        x(t), numbers(t, "y", [[1], [2]]), numbers(t, "z", [1], "int32")
    ),
    "focal_of_vector": lambda t: t.layers.sigmoid_focal_loss(
        x(t, 2), numbers(t, "y", [[1], [2]], "int32"), numbers(t, "z", [1], "int32")
    ),
    "npair_of_integers": lambda t: t.layers.npair_loss(x(t, dtype="int64"), y(t), z(t, 2)),
    "affine_grid_of_integers": lambda t: t.layers.affine_grid(x(t, 2, 2, 3, dtype="int64"), [2, 1, 3, 3]),
    "affine_grid_of_matrix": lambda t: t.layers.affine_grid(x(t, 2, 3), [2, 1, 3, 3]),
    "affine_grid_to_number": lambda t: t.layers.affine_grid(x(t, 2, 2, 3), 3),
    "affine_grid_to_three_sizes": lambda t: t.layers.affine_grid(x(t, 2, 2, 3), [2, 3, 3]),
    "grid_sampler_of_matrix": lambda t: t.layers.grid_sampler(x(t), y(t, 1, 3, 3, 2)),
    "grid_sampler_of_other_grid": lambda t: t.layers.grid_sampler(x(t, 1, 2, 3, 3), y(t, 1, 3, 4, 2)),
    "grid_sampler_of_three": lambda t: t.layers.grid_sampler(x(t, 1, 2, 3, 3), y(t, 1, 3, 3, 3)),
    "resize_short_matrix": lambda t: t.layers.image_resize_short(x(t), 3),
    "conv3d_of_image": lambda t: t.layers.conv3d(x(t, 2, 3, 4, 4), 2, 2),
    "conv3d_without_filter": lambda t: t.layers.conv3d(volume(t), 2, 2, param_attr=False),
    "conv3d_data_format": lambda t: t.layers.conv3d(volume(t), 2, 2, data_format="NCHW"),
    "conv3d_groups": lambda t: t.layers.conv3d(volume(t), 2, 2, groups=2),
    "conv3d_padding": lambda t: t.layers.conv3d(volume(t), 2, 2, padding="LIKE"),
    "conv3d_paddings": lambda t: t.layers.conv3d(volume(t), 2, 2, padding=[1, 1]),
    "conv3d_that_does_not_fit": lambda t: t.layers.conv3d(volume(t), 2, 5),
    "conv3d_cudnn": lambda t: t.layers.conv3d(volume(t), 2, 2, use_cudnn=1),
    "conv3d_transpose_without_size": lambda t: t.layers.conv3d_transpose(volume(t), 2),
    "conv3d_transpose_data_format": lambda t: t.layers.conv3d_transpose(volume(t), 2, 2, data_format="NCHW"),
    "conv3d_transpose_of_array": lambda t: t.layers.conv3d_transpose(np.ones((1, 2, 3, 3, 3), "float32"), 2, 2),
    "pool3d_type": lambda t: t.layers.pool3d(volume(t), 2, pool_type="sum"),
    "pool3d_without_size": lambda t: t.layers.pool3d(volume(t)),
    "pool3d_data_format": lambda t: t.layers.pool3d(volume(t), 2, data_format="NCHW"),
    "pool3d_cudnn": lambda t: t.layers.pool3d(volume(t), 2, use_cudnn="no"),
    "pool3d_valid_ceil": lambda t: t.layers.pool3d(volume(t), 2, pool_padding="VALID", ceil_mode=True),
    "pool3d_that_does_not_fit": lambda t: t.layers.pool3d(volume(t), 5),
    "adaptive_pool3d_type": lambda t: t.layers.adaptive_pool3d(volume(t), 2, pool_type="sum"),
    "adaptive_pool3d_index_of_mean": lambda t: t.layers.adaptive_pool3d(volume(t), 2, "avg", require_index=True),
    "adaptive_pool3d_size": lambda t: t.layers.adaptive_pool3d(volume(t), "2"),
    "spectral_norm_of_integers": lambda t: t.layers.spectral_norm(x(t, dtype="int64")),
    "spectral_norm_dim": lambda t: t.layers.spectral_norm(x(t), dim="0"),
    "spectral_norm_eps": lambda t: t.layers.spectral_norm(x(t), eps=1),
    "spectral_norm_third_dim": lambda t: t.layers.spectral_norm(
        t.feed("x", np.ones((2, 3, 4), "float32"), [2, 3, 4]), dim=2
    ),
    "iou_of_vectors": lambda t: t.layers.iou_similarity(x(t, 4), y(t, 4)),
    "iou_of_five_numbers": lambda t: t.layers.iou_similarity(x(t, 2, 5), y(t, 2, 5)),
    "box_coder_variance": lambda t: t.layers.box_coder(x(t, 2, 4), 0.1, y(t, 2, 4)),
    "box_coder_code": lambda t: t.layers.box_coder(x(t, 2, 4), [0.1] * 4, y(t, 2, 4), code_type="encode"),
    "box_coder_variances": lambda t: t.layers.box_coder(x(t, 2, 4), [0.1] * 3, y(t, 2, 4)),
    "box_coder_rank": lambda t: t.layers.box_coder(x(t, 2, 4), [0.1] * 4, y(t, 2, 4), code_type="decode_center_size"),
    "box_clip_of_rows": lambda t: t.layers.box_clip(x(t, 2, 4), y(t, 1, 3)),
    "box_clip_of_integers": lambda t: t.layers.box_clip(x(t, 2, 4, dtype="int64"), y(t, 1, 3)),
    "box_clip_of_two_numbers": lambda t: t.layers.box_clip(
        t.sequences("x", np.ones((2, 4), "float32"), [[2]]), y(t, 1, 2)
    ),
    "polygon_of_odd_channels": lambda t: t.layers.polygon_box_transform(x(t, 1, 3, 2, 2)),
    "polygon_of_integers": lambda t: t.layers.polygon_box_transform(x(t, 1, 2, 2, 2, dtype="int64")),
    "yolo_anchors": lambda t: t.layers.yolo_box(x(t, 1, 6, 2, 2), numbers(t, "y", [[9, 9]], "int32"), 10, 1, 0.1, 32),
    "yolo_threshold": lambda t: t.layers.yolo_box(
        x(t, 1, 6, 2, 2), numbers(t, "y", [[9, 9]], "int32"), [10, 13], 1, 1, 32
    ),
    "yolo_channels": lambda t: t.layers.yolo_box(
        x(t, 1, 7, 2, 2), numbers(t, "y", [[9, 9]], "int32"), [10, 13], 1, 0.1, 32
    ),
    "anchors_stride": lambda t: t.layers.anchor_generator(x(t, 1, 2, 2, 2), [32.0], [1.0], stride=16.0),
    "priors_steps": lambda t: t.layers.prior_box(x(t, 1, 2, 2, 2), y(t, 1, 2, 9, 9), [4.0], steps=4.0),
    "head_of_variable": lambda t: t.layers.multi_box_head(x(t, 1, 2, 2, 2), y(t, 1, 2, 9, 9), 9, 2, [[1.0]]),
    "head_without_sizes": lambda t: t.layers.multi_box_head([x(t, 1, 2, 2, 2)], y(t, 1, 2, 9, 9), 9, 2, [[1.0]]),
    "head_of_other_ratios": lambda t: t.layers.multi_box_head(
        [x(t, 1, 2, 2, 2)], y(t, 1, 2, 9, 9), 9, 2, [[1.0], [2.0]], min_sizes=[4.0], max_sizes=[6.0]
    ),
    "uniform_of_int": lambda t: t.layers.Uniform(1, 2.0).entropy(),
    "uniform_of_both": lambda t: t.layers.Uniform(x(t), 2.0).entropy(),
    "uniform_sample_shape": lambda t: t.layers.Uniform(1.0, 2.0).sample((2,)),
    "uniform_sample_seed": lambda t: t.layers.Uniform(1.0, 2.0).sample([2], seed=0.5),
    "normal_log_prob": lambda t: t.layers.Normal(1.0, 2.0).log_prob(ARRAY),
    "normal_divergence": lambda t: t.layers.Normal(1.0, 2.0).kl_divergence(t.layers.Uniform(1.0, 2.0)),
    "categorical_of_number": lambda t: t.layers.Categorical(1.0).entropy(),
    "multivariate_of_number": lambda t: t.layers.MultivariateNormalDiag([1.0], 2.0).entropy(),
    "partial_concat_start": lambda t: t.fluid.contrib.layers.partial_concat([x(t)], start_index=1.5),
    "partial_concat_beyond": lambda t: t.fluid.contrib.layers.partial_concat([x(t)], start_index=2, length=2),
    "partial_concat_of_bools": lambda t: t.fluid.contrib.layers.partial_concat([x(t, dtype="bool")]),
    "ctr_of_other_shapes": lambda t: t.fluid.contrib.layers.ctr_metric_bundle(x(t, 2, 1), y(t, 2, 2)),
}
