"""Boxes in images: how they overlap, how networks describe them, and where priors lie."""

import math

from ..framework import Variable
from ..layer_helper import LayerHelper
from ..messages import described
from .checks import append, check_dtype, check_variable
from .manipulation import concat, flatten, reshape, transpose
from .nn import conv2d

__all__ = [
    "multi_box_head",
    "anchor_generator",
    "box_clip",
    "box_coder",
    "iou_similarity",
    "polygon_box_transform",
    "prior_box",
    "yolo_box",
]


def _floats(value):
    return [float(item) for item in (value if isinstance(value, (list, tuple)) else [value])]


def _pair_of_floats(layer, argument, value):
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise ValueError(f"{layer}: {argument} must be two numbers, (width, height), got {described(value)}")
    return _floats(value)


def _two(type, inputs, outputs, attrs, dtype, name, constant=False):
    """Append an operator of two outputs."""
    helper = LayerHelper(type, name=name)
    made = [helper.create_variable_for_type_inference(dtype) for _ in outputs]
    helper.append_op(type=type, inputs=inputs, outputs=dict(zip(outputs, made, strict=True)), attrs=attrs)
    for variable in made if constant else ():
        variable.stop_gradient = True
    return tuple(made)


def iou_similarity(x, y, box_normalized=True, name=None):
    """How far boxes overlap: the area that two share / the area that they cover together.

    Args:
        x, y (Variable): float, [n, 4] and [m, 4]: left, top, right, bottom.
        box_normalized (bool): whether positions are parts of the image; in pixels, a box covers both of its sides.
        name (str): the first part of generated names.
    Returns:
        Variable of shape [n, m], with the LoD of x.
    Raises:
        TypeError: x or y is no Variable.
        EnforceNotMet: the shapes do not fit.
    """
    check_variable("iou_similarity", "x", x)
    check_variable("iou_similarity", "y", y)
    return append("iou_similarity", {"X": x, "Y": y}, {"box_normalized": box_normalized}, name=name)


def box_coder(
    prior_box,
    prior_box_var,
    target_box,
    code_type="encode_center_size",
    box_normalized=True,
    name=None,
    axis=0,
):
    """Boxes as offsets from priors, in parts of their sizes; or the boxes that offsets stand for.

    Args:
        prior_box (Variable): float, [m, 4]: left, top, right, bottom.
        prior_box_var (Variable or list of 4 float): [m, 4], by what the offsets are divided.
        target_box (Variable): float, boxes [n, 4]; to decode, offsets [n, m, 4].
        code_type (str): "encode_center_size" or "decode_center_size".
        box_normalized (bool): as of `iou_similarity`.
        name (str): the first part of generated names.
        axis (int): to decode, 0 where the priors are those of the second dimension, 1 for the first one.
    Returns:
        Variable of shape [n, m, 4].
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the shapes do not fit, or there is no such code.
    """
    check_variable("box_coder", "prior_box", prior_box)
    check_variable("box_coder", "target_box", target_box)
    inputs = {"PriorBox": prior_box, "TargetBox": target_box}
    attrs = {"code_type": code_type, "box_normalized": box_normalized, "axis": axis}
    if isinstance(prior_box_var, Variable):
        inputs["PriorBoxVar"] = prior_box_var
    elif isinstance(prior_box_var, list):
        attrs["variance"] = _floats(prior_box_var)
    else:
        raise TypeError(f"box_coder: prior_box_var must be a Variable or a list, got {described(prior_box_var)}")
    return append("box_coder", inputs, attrs, prior_box.dtype, name, slot="OutputBox")


def box_clip(input, im_info, name=None):
    """Boxes cut off where their image ends.

    Args:
        input (Variable): float, [n, ..., 4], boxes in pixels; its LoD, of one level, says which are of which image.
        im_info (Variable): float, [images, 3]: height, width, and by how much the image was scaled.
        name (str): the first part of generated names.
    Returns:
        Variable of the shape and the LoD of input.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the shapes or the LoD do not fit.
    """
    check_dtype("box_clip", "input", input, "f")
    check_dtype("box_clip", "im_info", im_info, "f")
    return append("box_clip", {"Input": input, "ImInfo": im_info}, name=name, slot="Output")


def polygon_box_transform(input, name=None):
    """Corners of quadrangles, as offsets from each place of a map, as positions in the image.

    Args:
        input (Variable): float, [N, 2 * corners, H, W]: x and y in turn; the places lie 4 pixels apart.
        name (str): the first part of generated names.
    Returns:
        Variable of the shape of input.
    Raises:
        TypeError: input is no float Variable.
        EnforceNotMet: it has another shape.
    """
    check_dtype("polygon_box_transform", "input", input, "f")
    return append("polygon_box_transform", {"Input": input}, name=name, slot="Output")


def yolo_box(x, img_size, anchors, class_num, conf_thresh, downsample_ratio, clip_bbox=True, name=None, scale_x_y=1.0):
    """The boxes and scores that a YOLOv3 head describes.

    Args:
        x (Variable): float, [N, anchors * (5 + class_num), H, W].
        img_size (Variable): int32, [N, 2]: heights and widths of the images.
        anchors (list or tuple of int): widths and heights in turn.
        class_num (int): how many classes there are.
        conf_thresh (float): boxes that are less certain than that are 0.
        downsample_ratio (int): by how much the map is smaller than what the network was given.
        clip_bbox (bool): cut boxes off where the image ends.
        name (str): the first part of generated names.
        scale_x_y (float): how far the centre of a box may lie outside its cell: 1 for not at all.
    Returns:
        (boxes, scores): Variables of shape [N, anchors * H * W, 4], in pixels, and [N, anchors * H * W, class_num].
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the shapes do not fit.
    References:
        Redmon, Farhadi: YOLOv3: An Incremental Improvement. 2018.
    """
    check_variable("yolo_box", "x", x)
    check_variable("yolo_box", "img_size", img_size)
    for argument, value, kind in (
        ("anchors", anchors, (list, tuple)),
        ("class_num", class_num, int),
        ("conf_thresh", conf_thresh, float),
    ):
        if not isinstance(value, kind):
            raise TypeError(f"yolo_box: {argument} is of the wrong type: {described(value)}")
    attrs = {
        "anchors": list(anchors),
        "class_num": class_num,
        "conf_thresh": conf_thresh,
        "downsample_ratio": downsample_ratio,
        "clip_bbox": clip_bbox,
        "scale_x_y": scale_x_y,
    }
    return _two("yolo_box", {"X": x, "ImgSize": img_size}, ("Boxes", "Scores"), attrs, x.dtype, name)


def anchor_generator(
    input,
    anchor_sizes=None,
    aspect_ratios=None,
    variance=(0.1, 0.1, 0.2, 0.2),
    stride=None,
    offset=0.5,
    name=None,
):
    """Boxes of several forms and sizes around each place of a map, as Faster R-CNN takes them.

    Args:
        input (Variable): [N, C, H, W], the map.
        anchor_sizes (float or list): sides of squares of the same area, in pixels.
        aspect_ratios (float or list): heights / widths.
        variance (list of 4 float): returned for each box.
        stride (list or tuple of 2 float): how far apart the places lie, in pixels: (width, height).
        offset (float): where in its stride the centre lies.
        name (str): the first part of generated names.
    Returns:
        (boxes, variances): Variables of shape [H, W, sizes * ratios, 4].
    Raises:
        TypeError, ValueError: a wrong argument.
        EnforceNotMet: the shapes do not fit.
    """
    check_variable("anchor_generator", "input", input)
    attrs = {
        "anchor_sizes": _floats(anchor_sizes),
        "aspect_ratios": _floats(aspect_ratios),
        "variances": _floats(variance),
        "stride": _pair_of_floats("anchor_generator", "stride", stride),
        "offset": offset,
    }
    outputs = ("Anchors", "Variances")
    return _two("anchor_generator", {"Input": input}, outputs, attrs, input.dtype, name, constant=True)


def prior_box(
    input,
    image,
    min_sizes,
    max_sizes=None,
    aspect_ratios=(1.0,),
    variance=(0.1, 0.1, 0.2, 0.2),
    flip=False,
    clip=False,
    steps=(0.0, 0.0),
    offset=0.5,
    name=None,
    min_max_aspect_ratios_order=False,
):
    """Boxes of several forms and sizes around each place of a map, as SSD takes them.

    Args:
        input (Variable): [N, C, H, W], the map.
        image (Variable): [N, C, H, W], the image.
        min_sizes, max_sizes (float or list): sides in pixels; with max_sizes, there is a square between the two.
        aspect_ratios (float or list): widths / heights beside 1.
        variance (list of 4 float): returned for each box.
        flip (bool): also take 1 / ratio.
        clip (bool): keep the boxes within the image.
        steps (list or tuple of 2 float): how far apart the places lie, in pixels: (width, height); 0 for what fits.
        offset (float): where in its step the centre lies.
        name (str): the first part of generated names.
        min_max_aspect_ratios_order (bool): put the square between the sizes second, not last.
    Returns:
        (boxes, variances): Variables of shape [H, W, boxes, 4], in parts of the image.
    Raises:
        TypeError, ValueError: a wrong argument.
        EnforceNotMet: the shapes do not fit.
    """
    check_variable("prior_box", "input", input)
    check_variable("prior_box", "image", image)
    step_w, step_h = _pair_of_floats("prior_box", "steps", steps)
    attrs = {
        "min_sizes": _floats(min_sizes),
        "aspect_ratios": _floats(aspect_ratios),
        "variances": _floats(variance),
        "flip": flip,
        "clip": clip,
        "step_w": step_w,
        "step_h": step_h,
        "offset": offset,
        "min_max_aspect_ratios_order": min_max_aspect_ratios_order,
    }
    largest = [] if max_sizes is None else _floats(max_sizes)
    if largest and largest[0] > 0:
        attrs["max_sizes"] = largest
    outputs = ("Boxes", "Variances")
    return _two("prior_box", {"Input": input, "Image": image}, outputs, attrs, input.dtype, name, constant=True)


def _for_each_map(argument, value, count):
    if not isinstance(value, (list, tuple)) or len(value) != count:
        raise ValueError(f"multi_box_head: {argument} must be a list of one for each of the {count} inputs")


def _sizes_by_ratios(base_size, count, min_ratio, max_ratio):
    """(min_sizes, max_sizes) for maps of which the first one finds the smallest boxes."""
    step = int(math.floor((max_ratio - min_ratio) / (count - 2)))
    ratios = range(min_ratio, max_ratio + 1, step)
    smallest = [base_size * 0.10] + [base_size * ratio / 100.0 for ratio in ratios]
    largest = [base_size * 0.20] + [base_size * (ratio + step) / 100.0 for ratio in ratios]
    return smallest, largest


def multi_box_head(
    inputs,
    image,
    base_size,
    num_classes,
    aspect_ratios,
    min_ratio=None,
    max_ratio=None,
    min_sizes=None,
    max_sizes=None,
    steps=None,
    step_w=None,
    step_h=None,
    offset=0.5,
    variance=(0.1, 0.1, 0.2, 0.2),
    flip=True,
    clip=False,
    kernel_size=1,
    pad=0,
    stride=1,
    name=None,
    min_max_aspect_ratios_order=False,
):
    """The head of SSD: priors on several maps, and convolutions that give each an offset and a score for each class.

    Args:
        inputs (list of Variable): maps, [N, C, H, W] each.
        image (Variable): [N, C, H, W].
        base_size (int): the side of the image, of which the ratios are parts.
        num_classes (int): how many classes there are.
        aspect_ratios (list): for each map, as of `prior_box`.
        min_ratio, max_ratio (int): sides of the boxes on the second and the last map, in percent of base_size; for
            three maps or more.
        min_sizes, max_sizes (list): instead, for each map, as of `prior_box`.
        steps, step_w, step_h (list of float): for each map, as of `prior_box`; `steps` for both directions.
        offset, variance, flip, clip, min_max_aspect_ratios_order: as of `prior_box`.
        kernel_size, pad, stride (int): of the convolutions.
        name (str): without effect, as in Fluid.
    Returns:
        (offsets, scores, boxes, variances): Variables of shape [N, priors, 4], [N, priors, num_classes], [priors, 4]
        and [priors, 4].  Of a single map, those of Fluid: flat offsets and scores, priors [H, W, boxes, 4].
    Raises:
        TypeError, ValueError, AssertionError: a wrong argument.
    References:
        Liu et al.: SSD: Single Shot MultiBox Detector. ECCV 2016.
    """
    if not isinstance(inputs, (list, tuple)):
        raise ValueError(f"multi_box_head: inputs must be a list or tuple, got {described(inputs)}")
    count = len(inputs)
    if count <= 2:
        if not all(isinstance(sizes, (list, tuple)) and len(sizes) == count for sizes in (min_sizes, max_sizes)):
            raise AssertionError(f"multi_box_head: {count} inputs need as many min_sizes and max_sizes")
    elif min_sizes is None and max_sizes is None:
        min_sizes, max_sizes = _sizes_by_ratios(base_size, count, min_ratio, max_ratio)
    for argument, value in (
        ("aspect_ratios", aspect_ratios or None),
        ("step_h", step_h),
        ("step_w", step_w),
        ("steps", steps),
    ):
        if value is not None:
            _for_each_map(argument, value, count)
    if steps is not None:
        step_w = step_h = steps
    found = {"offsets": [], "scores": [], "boxes": [], "variances": []}
    for number, input in enumerate(inputs):
        step = [step_w[number] if step_w else 0.0, step_h[number] if step_w else 0.0]
        ratios = [] if aspect_ratios is None else aspect_ratios[number]
        order = min_max_aspect_ratios_order
        sizes = min_sizes[number], max_sizes[number]
        priors = prior_box(input, image, *sizes, ratios, variance, flip, clip, step, offset, None, order)
        for kind, made in zip(("boxes", "variances"), priors, strict=True):
            found[kind].append(made)
        for kind, size in (("offsets", 4), ("scores", num_classes)):
            filters = priors[0].shape[2] * size
            made = conv2d(input, num_filters=filters, filter_size=kernel_size, padding=pad, stride=stride)
            found[kind].append(flatten(transpose(made, [0, 2, 3, 1]), axis=1))
    if count == 1:
        boxes, variances = found["boxes"][0], found["variances"][0]
        offsets, scores = found["offsets"][0], found["scores"][0]
    else:
        flat = {kind: [] for kind in ("boxes", "variances")}
        for pair in zip(found["boxes"], found["variances"], strict=True):
            for kind, made in zip(flat, pair, strict=True):
                flat[kind].append(flatten(made, axis=3))
        boxes, variances = concat(flat["boxes"]), concat(flat["variances"])
        offsets = reshape(concat(found["offsets"], axis=1), [0, -1, 4])
        scores = reshape(concat(found["scores"], axis=1), [0, -1, num_classes])
    boxes.stop_gradient = variances.stop_gradient = True
    return offsets, scores, boxes, variances
