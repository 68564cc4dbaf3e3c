"""Cases of operators that no layer of Fluid 1.8 appends, but programs of other times contain. See ``oracle_cases``."""

import functools

import numpy as np
from oracle_harness import case as any_case
from oracle_harness import variants as any_variants

case = functools.partial(any_case, fixture="cases_operators")
variants = functools.partial(any_variants, fixture="cases_operators")

SHAPES = {
    "reshape": dict(shape=[0, -1]),
    "flatten": dict(axis=2),
    "squeeze": dict(axes=[2]),
    "unsqueeze": dict(axes=[0, 3]),
    "transpose": dict(axis=[1, 0, 3, 2]),
    "flatten2": dict(axis=0),
}


@variants("operator", {type: dict(type=type, attrs=attrs) for type, attrs in SHAPES.items()})
def _(t, type, attrs):
    outputs = "Out XShape" if type.endswith("2") else "Out"
    return t.op(type, {"X": t.feed("x", t.randn(2, 3, 1, 4), [2, 3, 1, 4])}, outputs, **attrs)


@variants("cross_entropy_v1", {"hard": {}, "ignore": dict(ignore_index=1)})
def _(t, **attrs):
    x = t.layers.softmax(t.x(4, 3))
    return t.op("cross_entropy", {"X": x, "Label": t.integers("label", 3, 4, 1)}, "Y", **attrs)


FC = {
    "plain": dict(columns=3),
    "relu": dict(columns=3, activation_type="relu"),
    "images": dict(shape=(2, 3, 2, 2), columns=4, in_num_col_dims=1),
    "rows_of_rows": dict(shape=(2, 3, 5), columns=4, in_num_col_dims=2, activation_type="relu"),
    "padded": dict(columns=3, padding_weights=True, activation_type="relu"),
}


@variants("fused_fc", FC, grad=False)
def _(t, columns, shape=(3, 5), **attrs):
    x = t.x(*shape)
    rows = 1
    for size in shape[attrs.get("in_num_col_dims", 1) :]:
        rows *= size
    spare = 4 if attrs.get("padding_weights") else 0
    w = t.feed("w", t.randn(rows + spare, columns + spare), [rows + spare, columns + spare])
    bias = t.feed("bias", t.randn(columns), [columns])
    return t.op("fc", {"Input": x, "W": w, "Bias": bias}, "Out", **attrs)


FUSED = {
    "relu_of_sum": dict(functor_list=["relu", "elementwise_add"]),
    "sum_with_relu": dict(functor_list=["elementwise_add", "relu"]),
    "scaled_sum": dict(functor_list=["scale", "elementwise_add"], scale=0.3),
    "product_scaled": dict(functor_list=["elementwise_mul", "scale"], scale=0.3),
    "with_tanh": dict(functor_list=["elementwise_mul", "tanh"]),
    "kept": dict(functor_list=["relu", "elementwise_add"], save_intermediate_out=True),
}


@variants("fused_elementwise", FUSED, grad=False)
def _(t, **attrs):
    x, y = t.feed("x", t.randn(2, 3, 4), [2, 3, 4]), t.feed("y", t.randn(3), [3])
    return t.op("fused_elemwise_activation", {"X": x, "Y": y}, "Out IntermediateOut", axis=1, **attrs)


@case("split_into_sizes_from_tensors")
def _(t):
    x = t.x(2, 5)
    sizes = [t.layers.fill_constant([1], "int32", size) for size in (2, 3)]
    block = t.fluid.default_main_program().global_block()
    parts = [block.create_var(name="part_%d" % number, dtype="float32") for number in range(2)]
    inputs = {"X": x, "SectionsTensorList": sizes}
    block.append_op(type="split", inputs=inputs, outputs={"Out": parts}, attrs={"axis": 1, "sections": [2, 3]})
    return parts


@variants(
    "group_norm_scaled",
    {"plain": dict(groups=2), "channels_last": dict(groups=3, data_layout="NHWC", act="relu"), "one": dict(groups=1)},
)
def _(t, **kwargs):
    x = t.x(2, 3, 2, 6) if "data_layout" in kwargs else t.x(2, 4, 3, 2)
    return t.layers.group_norm(x, param_attr="factor", bias_attr="shift", **kwargs)


@variants("instance_norm_of", {"sequences": dict(shape=(2, 3, 5)), "volumes": dict(shape=(2, 3, 2, 3, 2))})
def _(t, shape):
    return t.layers.instance_norm(t.feed("x", t.randn(*shape), list(shape)), epsilon=1e-3)


@variants("affine_channel", {"first": {}, "last": dict(data_layout="NHWC", act="relu")})
def _(t, **kwargs):
    x = t.x(2, 4, 3, 3) if kwargs else t.x(2, 3, 4, 2)
    scale, bias = t.feed("scale", t.randn(3), [3]), t.feed("bias", t.randn(3), [3])
    return t.layers.affine_channel(x, scale, bias, **kwargs)


@variants(
    "shuffled", {"channel": dict(name="shuffle_channel", number=3), "pixel": dict(name="pixel_shuffle", number=2)}
)
def _(t, name, number):
    return getattr(t.layers, name)(t.x(2, 12, 2, 3), number)


@case("pad_constant_like")
def _(t):
    x = t.feed("x", t.randn(2, 3, 4), [2, 3, 4])
    return t.layers.pad_constant_like(x, t.feed("y", t.randn(1, 3, 2), [1, 3, 2]), pad_value=0.5)


@case("maxout_channels_last")
def _(t):
    return t.layers.maxout(t.x(2, 3, 2, 6), 3, axis=-1)


@variants("lrn_of", {"channels_last": dict(data_format="NHWC", n=3), "few_channels": dict(n=7, k=2.0, beta=0.5)})
def _(t, **kwargs):
    return t.layers.lrn(t.x(2, 2, 3, 4), alpha=0.2, **kwargs)


@variants("pad2d_channels_last", {key: dict(mode=key) for key in ("constant", "reflect", "edge")})
def _(t, mode):
    return t.layers.pad2d(t.x(2, 4, 5, 2), [1, 2, 0, 3], mode, pad_value=0.3, data_format="NHWC")


RESIZED = {
    "larger_corners": dict(out_shape=[9, 7]),
    "larger_centres": dict(out_shape=[9, 7], align_corners=False, align_mode=0),
    "larger_edges": dict(out_shape=[9, 7], align_corners=False, align_mode=1),
    "smaller_centres": dict(out_shape=[3, 2], align_corners=False, align_mode=0),
    "smaller_corners": dict(out_shape=[3, 1]),
    "scaled": dict(scale=1.5, align_corners=False),
    "channels_last": dict(out_shape=[3, 9], data_format="NHWC"),
}


@variants("resized_bilinear", RESIZED)
def _(t, **kwargs):
    return t.layers.resize_bilinear(t.x(2, 4, 5, 3), **kwargs)


@variants("resized_nearest", {key: RESIZED[key] for key in RESIZED if "align_mode" not in RESIZED[key]})
def _(t, **kwargs):
    return t.layers.resize_nearest(t.x(2, 4, 5, 3), **kwargs)


@case("resized_to_a_variable")
def _(t):
    size = t.layers.assign(np.array([6, 5], "int32"))
    return t.layers.resize_nearest(t.x(2, 3, 4, 4), out_shape=size, align_corners=False)


ADAPTIVE = {
    "even_max": dict(size=[2, 3]),
    "even_avg": dict(size=[2, 3], pool_type="avg"),
    "uneven_avg": dict(size=[3, 4], pool_type="avg"),
    "one": dict(size=1, pool_type="avg"),
    "index": dict(size=[3, 2], require_index=True),
}


@variants("adaptive_pool", ADAPTIVE)
def _(t, size, **kwargs):
    return t.layers.adaptive_pool2d(t.x(2, 3, 4, 6), size, **kwargs)


@variants("adaptive_pool_operator", {"max": dict(pooling_type="max"), "avg": dict(pooling_type="avg")})
def _(t, pooling_type):
    return t.op("pool2d", {"X": t.x(2, 3, 5, 7)}, "Out", adaptive=True, ksize=[3, 2], pooling_type=pooling_type)


INDEXED = {
    "overlapping": dict(ksize=[3, 3], strides=[2, 2], paddings=[1, 1]),
    "apart": dict(ksize=[2, 2], strides=[2, 3]),
    "global": dict(ksize=[1, 1], global_pooling=True),
}


@variants("max_pool2d_with_index", INDEXED)
def _(t, **attrs):
    return t.op("max_pool2d_with_index", {"X": t.x(2, 3, 5, 6)}, "Out Mask", **attrs)


TRANSPOSED = {
    "channels_last": dict(data_format="NHWC", stride=2),
    "same": dict(padding="SAME", stride=2),
    "valid": dict(padding="VALID", stride=[2, 1]),
    "uneven": dict(padding=[1, 0, 0, 1], stride=2, output_size=[7, 9]),
    "depthwise": dict(groups=4, num_filters=4, use_cudnn=False, stride=2, padding=1),
    "dilated": dict(dilation=[2, 1], groups=2, padding=1),
}


@variants("conv2d_transposed", TRANSPOSED)
def _(t, num_filters=2, filter_size=3, **kwargs):
    return t.layers.conv2d_transpose(t.x(2, 4, 3, 4), num_filters, filter_size=filter_size, **kwargs)


# Between convolutions images are stored in an order of their own.
BETWEEN = {
    "lrn": lambda t, x: t.layers.lrn(x, n=3, alpha=0.3),
    "maxout": lambda t, x: t.layers.maxout(x, 2),
    "pixel_shuffle": lambda t, x: t.layers.pixel_shuffle(x, 2),
    "pad2d": lambda t, x: t.layers.pad2d(x, [1, 0, 2, 1], "reflect"),
    "bilinear": lambda t, x: t.layers.resize_bilinear(x, [4, 7]),
    "nearest": lambda t, x: t.layers.resize_nearest(x, [4, 7]),
    "uneven_avg": lambda t, x: t.layers.adaptive_pool2d(x, [4, 3], "avg"),
    "uneven_max": lambda t, x: t.layers.adaptive_pool2d(x, [4, 3], "max"),
    "even_avg": lambda t, x: t.layers.adaptive_pool2d(x, [3, 3], "avg"),
    "group_norm": lambda t, x: t.layers.group_norm(x, 2, param_attr="factor", bias_attr="shift"),
    "instance_norm": lambda t, x: t.layers.instance_norm(x),
    "conv2d_transpose": lambda t, x: t.layers.conv2d_transpose(x, 2, filter_size=2, stride=2, act="relu"),
    "flatten": lambda t, x: t.op("flatten", {"X": x}, "Out", axis=1),
    "transpose": lambda t, x: t.op("transpose", {"X": x}, "Out", axis=[0, 2, 3, 1]),
    "reshape": lambda t, x: t.op("reshape", {"X": x}, "Out", shape=[0, 2, 2, -1]),
}


@variants("between_convolutions", {name: dict(name=name) for name in BETWEEN})
def _(t, name):
    x = t.layers.conv2d(t.feed("x", t.randn(3, 2, 8, 8), [3, 2, 8, 8]), 4, 3, act="tanh")
    y = BETWEEN[name](t, x)
    return t.layers.conv2d(y, 3, 2) if len(y.shape) == 4 else t.layers.fc(y, 3)


@case("affine_channel_between_convolutions")
def _(t):
    x = t.layers.conv2d(t.x(3, 2, 8, 8), 4, 3)
    scale, bias = t.feed("scale", t.randn(4), [4]), t.feed("bias", t.randn(4), [4])
    return t.layers.conv2d(t.layers.affine_channel(x, scale, bias, act="relu"), 3, 2)


@case("where_between_tensors")
def _(t):
    condition = t.feed("condition", t.rng.rand(3, 4) > 0.5)
    return t.op("where", {"Condition": condition, "X": t.x(3, 4), "Y": t.y(3, 4)}, "Out")


SELECTED = {
    "index_select": dict(index=[3, 0, 3], dim=1),
    "flip": dict(dims=[0, 2]),
    "roll": dict(shifts=[2, -1], dims=[1, 0]),
    "tril_triu": dict(lower=True, diagonal=1),
    "triu": dict(type="tril_triu", lower=False, diagonal=1),
    "crop": dict(shape=[1, 2, 3], offsets=[1, 2, 0]),
    "crop_tensor": dict(shape=[1, -1, 3], offsets=[1, 2, 1]),
}


@variants("selected", {name: dict(name=name) for name in SELECTED})
def _(t, name):
    attrs = dict(SELECTED[name])
    inputs = {"X": t.feed("x", t.randn(2, 4, 4), [2, 4, 4])}
    if "index" in attrs:
        inputs["Index"] = t.feed("index", np.array(attrs.pop("index"), "int64"), [3])
    return t.op(attrs.pop("type", name), inputs, "Out", **attrs)


@variants("selected_layer", {"crop": dict(offsets=[1, 0]), "crop_tensor": dict(offsets=[0, 1]), "crop_start": {}})
def _(t, **kwargs):
    layer = t.layers.crop_tensor if kwargs == {"offsets": [0, 1]} else t.layers.crop
    return layer(t.feed("x", t.randn(3, 4), [3, 4]), [2, 3], **kwargs)


@case("crop_tensor_of_computed_sizes")
def _(t):
    size = t.layers.fill_constant([1], "int32", 2)
    return t.layers.crop_tensor(t.feed("x", t.randn(3, 4), [3, 4]), shape=[2, size], offsets=[size, 1][::-1])


@case("scatter_nd_add")
def _(t):
    index = t.feed("index", np.array([[1, 2], [0, 1], [1, 2]], "int64"), [3, 2])
    inputs = {"X": t.feed("x", t.randn(3, 4, 2), [3, 4, 2]), "Index": index}
    inputs["Updates"] = t.feed("y", t.randn(3, 2), [3, 2])
    return t.op("scatter_nd_add", inputs, "Out")


@variants("parts", {"unbind": dict(type="unbind", axis=1), "meshgrid": dict(type="meshgrid")})
def _(t, type, **attrs):
    block = t.fluid.default_main_program().global_block()
    x = t.feed("x", t.randn(3, 2), [3, 2]) if attrs else t.feed("x", t.randn(3), [3])
    parts = [block.create_var(name="part_%d" % number, dtype="float32") for number in range(2)]
    inputs = {"X": x if attrs else [x, t.feed("y", t.randn(4), [4])]}
    block.append_op(type=type, inputs=inputs, outputs={"Out": parts}, attrs=attrs)
    return parts


@case("minus")
def _(t):
    return t.op("minus", {"X": t.x(2, 3), "Y": t.y(2, 3)}, "Out")


@case("space_to_depth")
def _(t):
    return t.layers.space_to_depth(t.x(2, 8, 4, 2), 2)


@variants("temporal_shift", {"quarter": {}, "half": dict(shift_ratio=0.4)})
def _(t, **kwargs):
    return t.layers.temporal_shift(t.x(6, 5, 2, 2), 3, **kwargs)


@variants("log_softmax", {"axis": dict(axis=0), "dtype": dict(dtype="float64")})
def _(t, **kwargs):
    return t.layers.log_softmax(t.x(3, 4), **kwargs)


@variants("logsumexp", {"dim": dict(dim=1), "keepdim": dict(dim=[0, 2], keepdim=True)})
def _(t, **kwargs):
    return t.layers.logsumexp(t.x(3, 4, 2), **kwargs)


def scale_of(t, name, value):
    return t.feed(name, np.array([value], "float32"), [1])


QUANTIZED = {
    "moving_average": dict(type="fake_quantize_moving_average_abs_max"),
    "and_back": dict(type="fake_quantize_dequantize_moving_average_abs_max"),
    "range": dict(type="fake_quantize_range_abs_max", bit_length=4),
}


@variants("quantized", QUANTIZED, grad=False)
def _(t, type, **attrs):
    inputs = {"X": t.x(3, 4), "InScale": scale_of(t, "scale", 1.1)}
    return t.op(type, inputs, "Out OutScale", is_test=True, **attrs)


@variants(
    "quantized_by_itself",
    {"tensor": dict(type="fake_quantize_abs_max"), "filters": dict(type="fake_channel_wise_quantize_abs_max")},
    grad=False,
)
def _(t, type):
    x = t.feed("x", t.randn(4, 3, 2, 2), [4, 3, 2, 2])
    block = t.fluid.default_main_program().global_block()
    made = {slot: block.create_var(name=slot, dtype="float32") for slot in ("Out", "OutScale")}
    block.append_op(type=type, inputs={"X": x}, outputs=made, attrs={"bit_length": 8})
    return made["Out"], made["OutScale"]


@case("quantized_in_training", grad=False)
def _(t):
    block = t.fluid.default_main_program().global_block()
    inputs = {"X": t.x(3, 4), "InScale": scale_of(t, "scale", 1.1)}
    inputs.update(InAccum=scale_of(t, "accum", 2.5), InState=scale_of(t, "state", 1.9))
    slots = ("Out", "OutScale", "OutAccum", "OutState")
    made = {slot: block.create_var(name=slot, dtype="float32") for slot in slots}
    block.append_op(
        type="fake_quantize_dequantize_moving_average_abs_max",
        inputs=inputs,
        outputs=made,
        attrs={"moving_rate": 0.8, "bit_length": 8, "is_test": False},
    )
    return [made[slot] for slot in slots]


@case("dequantized", grad=False)
def _(t):
    x = t.feed("x", np.round(t.randn(3, 4) * 50).astype("float32"))
    return t.op("fake_dequantize_max_abs", {"X": x, "Scale": scale_of(t, "scale", 0.7)}, "Out", max_range=127.0)


@variants("dequantized_channels", {"filters": dict(number=1), "images": dict(number=2)}, grad=False)
def _(t, number):
    shape = [3, 2, 2, 2] if number == 1 else [2, 3, 2, 2]
    x = t.feed("x", np.round(t.randn(*shape) * 50).astype("float32"), shape)
    scales = [t.feed("scales", np.array([0.5, 1.2, 0.9], "float32"), [3]), scale_of(t, "scale", 0.7)][:number]
    bits = [8, 8][:number]
    return t.op("fake_channel_wise_dequantize_max_abs", {"X": x, "Scales": scales}, "Out", quant_bits=bits)


NORMS = {
    "two": dict(porder=2.0, axis=1),
    "one": dict(porder=1.0, axis=0),
    "three": dict(porder=3.0, axis=-1, keepdim=True),
}


@variants("p_norm", NORMS)
def _(t, **attrs):
    return t.op("p_norm", {"X": t.feed("x", t.randn(3, 4, 2), [3, 4, 2])}, "Out", **attrs)


@case("fusion_repeated_fc_relu", grad=False)
def _(t):
    sizes = [5, 4, 3, 2]
    inputs = {"X": t.x(3, 5), "W": [], "Bias": []}
    for number, (rows, columns) in enumerate(zip(sizes, sizes[1:])):  # noqa: B905
        inputs["W"].append(t.feed("w%d" % number, t.randn(rows, columns), [rows, columns]))
        inputs["Bias"].append(t.feed("b%d" % number, t.randn(columns), [columns]))
    block = t.fluid.default_main_program().global_block()
    outs = [block.create_var(name="out%d" % number, dtype="float32") for number in range(3)]
    outputs = {"ReluOut": outs[:2], "Out": outs[2]}
    block.append_op(type="fusion_repeated_fc_relu", inputs=inputs, outputs=outputs)
    return outs[2]
