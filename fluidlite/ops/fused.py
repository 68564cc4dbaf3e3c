"""Operators that stand for several others: what passes over a finished program make of them to save time."""

import math

from ..core.attributes import MKLDNN, ignored, only, typed
from ..core.errors import EnforceNotMet
from ..core.operators import one_for_each, operator
from ..core.spec import Spec
from ..core.traits import About, Lod
from .conv import CONV_ATTRS, details_of_conv, flops_of_conv, infer_conv
from .elementwise import broadcast_shape
from .linalg import size_of


def in_line(source, target, *steps):
    """Steps of which each works on what the one before it made.

    Args:
        source, target: lists of the name that the first one reads and the one that the last one writes.
        steps: (type, slot read, other inputs, slot written, attributes) for each, or None.
    """
    made = []
    steps = [step for step in steps if step is not None]
    for number, (type, read, others, written, attrs) in enumerate(steps, 1):
        result = target if number == len(steps) else [target[0].derived(str(number))]
        made.append((type, {read: source, **others}, {written: result}, attrs))
        source = result
    return made


def infer_fc(attrs, x, w, bias):
    split = attrs["in_num_col_dims"]
    # Padded weights have four rows and four columns more than they need.
    spare = 4 if attrs["padding_weights"] else 0
    if not 0 < split < len(x.shape) or len(w.shape) != 2:
        raise EnforceNotMet(
            f"in_num_col_dims must lie between 1 and {len(x.shape) - 1} for Input of shape {list(x.shape)}, and W must "
            f"have two dimensions; got {split} and shape {list(w.shape)}"
        )
    rows, columns = w.shape[0] - spare, w.shape[1] - spare
    if size_of(x.shape[split:]) not in (-1, rows):
        raise EnforceNotMet(
            f"Input of shape {list(x.shape)} has rows of {size_of(x.shape[split:])} numbers with in_num_col_dims "
            f"{split}, W takes {rows}"
        )
    if bias is not None and bias.size != columns:
        raise EnforceNotMet(f"Bias must hold {columns} numbers, got shape {list(bias.shape)}")
    return Spec((*x.shape[:split], columns), x.dtype)


def flops_of_fc(attrs, shapes):
    (x,), (out,) = shapes["Input"], shapes["Out"]
    products = 2 * math.prod(x[attrs["in_num_col_dims"] :])
    return math.prod(out) * (products + bool(shapes.get("Bias")) + bool(attrs["activation_type"]))


fc = operator(
    "fc",
    inputs="Input, W, Bias?",
    outputs="Out",
    attributes={
        "in_num_col_dims": 1,
        "activation_type": only("", "relu"),
        "padding_weights": False,
        "use_quantizer": ignored(False),
        "@ALL_KERNELS_MUST_COMPUTE_RUNTIME_SHAPE@": ignored(True),
        "Scale_in": only(1.0),
        "Scale_weights": only([1.0]),
        "Scale_out": only(1.0),
        "force_fp32_output": only(False),
    }
    | MKLDNN,
    infer=infer_fc,
    about=About(flops=flops_of_fc),
)(None)


@fc.decomposition
def fc_decomposition(inputs, outputs, attrs):
    """Out = activation(Input W + Bias)"""
    w, out = inputs["W"], outputs["Out"]
    first = []
    if attrs["padding_weights"]:
        cut = [out[0].derived("weights")]
        first = [("slice", {"Input": w}, {"Out": cut}, {"axes": [0, 1], "starts": [0, 0], "ends": [-4, -4]})]
        w = cut
    bias, activation = inputs.get("Bias"), attrs["activation_type"]
    return first + in_line(
        inputs["Input"],
        out,
        ("mul", "X", {"Y": w}, "Out", {"x_num_col_dims": attrs["in_num_col_dims"]}),
        ("elementwise_add", "X", {"Y": bias}, "Out", {}) if bias else None,
        (activation, "X", {}, "Out", {}) if activation else None,
    )


def infer_repeated_fc(attrs, x, ws, biases):
    settings = {"in_num_col_dims": 1, "padding_weights": False}
    for w, bias in zip(ws, biases, strict=True):
        x = infer_fc(settings, x, w, bias)
    return [None] * (len(ws) - 1), x


def flops_of_repeated_fc(attrs, shapes):
    rows = shapes["X"][0][0]
    return rows * sum(columns * (2 * size + 2) for size, columns in shapes["W"])


repeated_fc = operator(
    "fusion_repeated_fc_relu",
    inputs="X, W*, Bias*",
    outputs="ReluOut*, Out",
    infer=infer_repeated_fc,
    lod=Lod(of={"ReluOut": "none"}),
    about=About(main="Out", flops=flops_of_repeated_fc),
)(None)


@repeated_fc.decomposition
def repeated_fc_decomposition(inputs, outputs, attrs):
    """X = relu(X W + Bias) for each W and Bias in turn"""
    source, made = inputs["X"], []
    between = outputs.get("ReluOut") or [
        outputs["Out"][0].derived(str(number)) for number in range(len(inputs["W"]) - 1)
    ]
    for w, bias, out in zip(inputs["W"], inputs["Bias"], [*between, *outputs["Out"]], strict=True):
        layer = {"Input": source, "W": [w], "Bias": [bias]}
        settings = {"in_num_col_dims": 1, "padding_weights": False, "activation_type": "relu"}
        made += fc_decomposition(layer, {"Out": [out]}, settings)
        source = [out]
    return made


def infer_conv_fusion(attrs, x, w, bias, residual):
    out = infer_conv(attrs, x, w)
    return out, []


def flops_of_conv_fusion(attrs, shapes):
    more = bool(shapes.get("ResidualData")) + (attrs["activation"] != "identity")
    return flops_of_conv(attrs, shapes) + more * math.prod(shapes["Output"][0])


conv2d_fusion = operator(
    "conv2d_fusion",
    inputs="Input, Filter, Bias, ResidualData?",
    outputs="Output, Outputs*",
    attributes=CONV_ATTRS
    | {"activation": only("relu", "identity", "relu6", "sigmoid", "tanh"), "split_channels": only([])},
    infer=infer_conv_fusion,
    about=About("convolution", details=details_of_conv, flops=flops_of_conv_fusion),
)(None)


@conv2d_fusion.decomposition
def conv2d_fusion_decomposition(inputs, outputs, attrs):
    """Output = activation(convolution of Input + Bias + ResidualData)"""
    residual, activation = inputs.get("ResidualData"), attrs["activation"]
    return in_line(
        inputs["Input"],
        outputs["Output"],
        ("conv2d", "Input", {"Filter": inputs["Filter"], "Bias": inputs["Bias"]}, "Output", attrs),
        ("elementwise_add", "X", {"Y": residual}, "Out", {}) if residual else None,
        (activation, "X", {}, "Out", {}) if activation != "identity" else None,
    )


_BINARY = ("elementwise_add", "elementwise_mul")
_UNARY = ("relu", "scale", "tanh", "sigmoid")


def infer_fused_elementwise(attrs, x, y):
    functions = attrs["functor_list"]
    kinds = ["binary" if name in _BINARY else "unary" if name in _UNARY else "unknown" for name in functions]
    if sorted(kinds) != ["binary", "unary"]:
        raise EnforceNotMet(f"functor_list must name one of {_BINARY} and one of {_UNARY}, got {functions}")
    out = Spec(broadcast_shape(x.shape, y.shape, attrs["axis"]), x.dtype)
    between = y if kinds[0] == "binary" else out
    return out, between if attrs["save_intermediate_out"] else None


fused_elementwise = operator(
    "fused_elemwise_activation",
    inputs="X, Y",
    outputs="Out, IntermediateOut",
    attributes={"functor_list": typed([], "STRINGS"), "axis": -1, "scale": 0.0, "save_intermediate_out": False},
    infer=infer_fused_elementwise,
    about=About(flops=lambda attrs, shapes: 2 * one_for_each(attrs, shapes)),
)(None)


@fused_elementwise.decomposition
def fused_elementwise_decomposition(inputs, outputs, attrs):
    """Out = f(g(X, Y)) or f(X, g(Y)), for the functions f and g that `functor_list` names."""
    outer, inner = attrs["functor_list"]
    between = outputs.get("IntermediateOut") or [outputs["Out"][0].derived("1")]
    settings = {name: {"axis": attrs["axis"]} for name in _BINARY} | {"scale": {"scale": attrs["scale"]}}
    if outer in _BINARY:
        first, second = {"X": inputs["Y"]}, {"X": inputs["X"], "Y": between}
    else:
        first, second = inputs, {"X": between}
    return [
        (inner, first, {"Out": between}, settings.get(inner, {})),
        (outer, second, {"Out": outputs["Out"]}, settings.get(outer, {})),
    ]
