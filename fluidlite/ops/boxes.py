"""Boxes in images (left, top, right, bottom): how they overlap, how networks describe them, where priors lie."""

import numpy as np

from ..core.attributes import MKLDNN, ignored, only, typed
from ..core.errors import EnforceNotMet
from ..core.operators import operator
from ..core.spec import Spec
from ..core.traits import BOUND, Kernel, Lod


def check_boxes(name, spec, *ranks):
    if len(spec.shape) not in ranks or spec.shape[-1] not in (-1, 4):
        raise EnforceNotMet(f"{name} must hold boxes of 4 numbers, got shape {list(spec.shape)}")


def infer_iou(attrs, x, y):
    check_boxes("X", x, 2)
    check_boxes("Y", y, 2)
    return Spec((x.shape[0], y.shape[0]), x.dtype)


def extent(boxes, normalized):
    """(width, height) of boxes; in pixels, both sides belong to a box."""
    more = 0 if normalized else 1
    return boxes[..., 2] - boxes[..., 0] + more, boxes[..., 3] - boxes[..., 1] + more


@operator("iou_similarity", "X!, Y!", "Out!", attributes={"box_normalized": True}, infer=infer_iou, lod=Lod(of="X"))
def iou_similarity(ctx, x, y, out):
    """What two boxes share / what they cover together, for each of X and each of Y."""
    xp, normalized = ctx.xp, ctx.attrs["box_normalized"]
    x, y = x[:, None], y[None]
    corners = xp.concatenate([xp.maximum(x[..., :2], y[..., :2]), xp.minimum(x[..., 2:], y[..., 2:])], axis=-1)
    width, height = (xp.maximum(size, 0) for size in extent(corners, normalized))
    common = width * height
    areas = [wide * high for wide, high in (extent(x, normalized), extent(y, normalized))]
    xp.divide(common, areas[0] + areas[1] - common, out=out)


def infer_box_coder(attrs, prior, variance, target):
    check_boxes("PriorBox", prior, 2)
    encodes = attrs["code_type"] == "encode_center_size"
    check_boxes("TargetBox", target, 2 if encodes else 3)
    if attrs["variance"] and (len(attrs["variance"]) != 4 or variance is not None):
        raise EnforceNotMet(f"variance must hold 4 numbers, and not beside PriorBoxVar, got {attrs['variance']}")
    if encodes:
        return Spec((target.shape[0], prior.shape[0], 4), target.dtype)
    if attrs["axis"] not in (0, 1):
        raise EnforceNotMet(f"axis must be 0 or 1, got {attrs['axis']}")
    # Along axis 0 of the targets, the priors are those of the second dimension.
    count = target.shape[1 - attrs["axis"]]
    if min(count, prior.shape[0]) >= 0 and count != prior.shape[0]:
        raise EnforceNotMet(f"TargetBox {list(target.shape)} does not fit PriorBox {list(prior.shape)}")
    return target


@operator(
    "box_coder",
    inputs="PriorBox!, PriorBoxVar?!, TargetBox!",
    outputs="OutputBox!",
    attributes={
        "code_type": only("encode_center_size", "decode_center_size"),
        "box_normalized": True,
        "axis": 0,
        "variance": typed([], "FLOATS"),
    },
    infer=infer_box_coder,
    lod=Lod(of="TargetBox"),
)
def box_coder(ctx, prior, variance, target, out):
    """Boxes as offsets from priors, in parts of their sizes; or back."""
    xp, attrs = ctx.xp, ctx.attrs
    encodes = attrs["code_type"] == "encode_center_size"
    lie = (slice(None), None) if not encodes and attrs["axis"] == 1 else (None,)
    prior = prior[lie]
    sizes = xp.stack(extent(prior, attrs["box_normalized"]), axis=-1)
    centres = prior[..., :2] + sizes / 2
    if variance is not None:
        spread = variance[lie]
    else:
        spread = xp.asarray(np.array(attrs["variance"] or [1, 1, 1, 1], target.dtype))
    if encodes:
        target = target[:, None]
        wanted = xp.stack(extent(target, attrs["box_normalized"]), axis=-1)
        out[..., :2] = ((target[..., :2] + target[..., 2:]) / 2 - centres) / sizes
        out[..., 2:] = xp.log(xp.abs(wanted / sizes))
        xp.divide(out, spread, out=out)
        return
    middle = spread[..., :2] * target[..., :2] * sizes + centres
    half = xp.exp(spread[..., 2:] * target[..., 2:]) * sizes / 2
    xp.subtract(middle, half, out=out[..., :2])
    xp.add(middle, half - (0 if attrs["box_normalized"] else 1), out=out[..., 2:])


def infer_box_clip(attrs, boxes, info):
    if not boxes.shape or boxes.shape[-1] not in (-1, 4) or len(info.shape) != 2 or info.shape[1] not in (-1, 3):
        raise EnforceNotMet(
            f"Input must hold boxes of 4 numbers, and ImInfo [images, 3], got {list(boxes.shape)} and "
            f"{list(info.shape)}"
        )
    if boxes.lod is not None and len(boxes.lod) != 1:
        raise EnforceNotMet(f"Input must have one level of LoD, the boxes of each image, got {len(boxes.lod)}")
    return boxes


@operator(
    "box_clip",
    inputs="Input!, ImInfo!",
    outputs="Output!",
    infer=infer_box_clip,
    kernel=BOUND,
    lod=Lod(of="Input", reads="Input"),
)
def box_clip(ctx, boxes, info, out):
    """Boxes cut off where their image ends; ImInfo holds height, width and by how much the image was scaled."""
    xp = ctx.xp
    lengths = np.diff(ctx.lods["Input"][0][0])
    image = xp.asarray(np.repeat(np.arange(len(lengths)), lengths))

    def step():
        ends = xp.rint(info[:, :2] / info[:, 2:]) - 1
        ends = xp.take(ends, image, axis=0)[:, ::-1].reshape(-1, *(1,) * (boxes.ndim - 2), 2)
        xp.minimum(boxes, xp.concatenate([ends, ends], axis=-1), out=out)
        xp.maximum(out, 0, out=out)

    return step


def infer_polygon(attrs, x):
    if len(x.shape) != 4 or x.shape[1] % 2 and x.shape[1] >= 0:
        raise EnforceNotMet(f"Input must have the shape [N, 2 * points, H, W], got {list(x.shape)}")
    return x


@operator("polygon_box_transform", "Input!", "Output!", infer=infer_polygon, kernel=BOUND, lod=Lod(of="none"))
def polygon_box_transform(ctx, x, out):
    """Corners as offsets from each place of a map, 4 pixels apart, as positions in the image."""
    xp = ctx.xp
    columns = xp.arange(0, 4 * x.shape[3], 4, dtype=x.dtype)
    rows = xp.arange(0, 4 * x.shape[2], 4, dtype=x.dtype)[:, None]

    def step():
        xp.subtract(columns, x[:, ::2], out=out[:, ::2])
        xp.subtract(rows, x[:, 1::2], out=out[:, 1::2])

    return step


def infer_yolo_box(attrs, x, sizes):
    count = len(attrs["anchors"]) // 2
    wanted = count * (5 + attrs["class_num"])
    if len(x.shape) != 4 or x.shape[1] not in (-1, wanted) or not count or len(attrs["anchors"]) % 2:
        raise EnforceNotMet(
            f"X must have the shape [N, {wanted}, H, W] for {count} anchors (pairs of numbers) and "
            f"{attrs['class_num']} classes, got {list(x.shape)}"
        )
    if len(sizes.shape) != 2 or sizes.shape[1] not in (-1, 2):
        raise EnforceNotMet(f"ImgSize must have the shape [N, 2], got {list(sizes.shape)}")
    if attrs["class_num"] < 1:
        raise EnforceNotMet(f"class_num must be positive, got {attrs['class_num']}")
    boxes = -1 if -1 in x.shape[2:] else count * x.shape[2] * x.shape[3]
    return Spec((x.shape[0], boxes, 4), x.dtype), Spec((x.shape[0], boxes, attrs["class_num"]), x.dtype)


def sigmoid(xp, x):
    return 1 / (1 + xp.exp(-x))


@operator(
    "yolo_box",
    inputs="X!, ImgSize!",
    outputs="Boxes!, Scores!",
    attributes={
        "anchors": [],
        "class_num": 1,
        "conf_thresh": 0.01,
        "downsample_ratio": 32,
        "clip_bbox": True,
        "scale_x_y": 1.0,
    },
    infer=infer_yolo_box,
    lod=Lod(of="none"),
)
def yolo_box(ctx, x, img_size, boxes, scores):
    """The boxes and scores that a YOLOv3 head describes; 0 where it sees no object."""
    xp, attrs = ctx.xp, ctx.attrs
    batch, _, rows, columns = x.shape
    anchors = xp.asarray(np.array(attrs["anchors"], x.dtype).reshape(-1, 2))
    x = x.reshape(batch, len(anchors), -1, rows, columns).transpose(0, 1, 3, 4, 2)
    scale = attrs["scale_x_y"]
    # As in Paddle, a map is as wide as it is high.
    grid, whole = rows, attrs["downsample_ratio"] * rows
    images = img_size[:, ::-1].astype(x.dtype)[:, None, None, None]
    places = xp.stack(xp.meshgrid(xp.arange(columns), xp.arange(rows)), axis=-1).astype(x.dtype)
    centres = (places + sigmoid(xp, x[..., :2]) * scale - 0.5 * (scale - 1)) * images / grid
    half = xp.exp(x[..., 2:4]) * anchors[:, None, None] * images / whole / 2
    confidence = sigmoid(xp, x[..., 4:5])
    seen = confidence >= attrs["conf_thresh"]
    first, last = centres - half, centres + half
    if attrs["clip_bbox"]:
        first, last = xp.maximum(first, 0), xp.minimum(last, images - 1)
    boxes[...] = (xp.concatenate([first, last], axis=-1) * seen).reshape(boxes.shape)
    scores[...] = (sigmoid(xp, x[..., 5:]) * confidence * seen).reshape(scores.shape)


def infer_anchors(attrs, x):
    count = len(attrs["anchor_sizes"]) * len(attrs["aspect_ratios"])
    return priors(x, attrs, count)


def priors(x, attrs, count):
    if len(x.shape) != 4 or len(attrs["variances"]) != 4:
        raise EnforceNotMet(
            f"Input must have the shape [N, C, H, W] and variances hold 4 numbers, got {list(x.shape)} and "
            f"{attrs['variances']}"
        )
    spec = Spec((*x.shape[2:], count, 4), np.dtype(np.float32) if x.dtype.kind != "f" else x.dtype)
    return spec, spec


def lay_out(ctx, boxes, variances, found):
    """A function that writes boxes found beforehand, and their variances."""
    found = ctx.xp.asarray(np.asarray(found, boxes.dtype))
    spread = ctx.xp.asarray(np.array(ctx.attrs["variances"], boxes.dtype))

    def step():
        ctx.xp.copyto(boxes, found)
        ctx.xp.copyto(variances, spread)

    return step


def around(centres_x, centres_y, sizes):
    """Boxes [H, W, count, 4] of some (width, height) around the crossings of columns and rows."""
    centres = np.stack(np.meshgrid(centres_x, centres_y), axis=-1)[:, :, None]
    half = np.asarray(sizes) / 2
    return np.concatenate([centres - half, centres + half], axis=-1)


@operator(
    "anchor_generator",
    inputs="Input!",
    outputs="Anchors!, Variances!",
    attributes={
        "anchor_sizes": typed([], "FLOATS"),
        "aspect_ratios": typed([], "FLOATS"),
        "variances": [0.1, 0.1, 0.2, 0.2],
        "stride": [16.0, 16.0],
        "offset": 0.5,
    },
    infer=infer_anchors,
    kernel=Kernel(bind=True, shape_only="Input"),
    lod=Lod(of="none"),
)
def anchor_generator(ctx, x, anchors, variances):
    """Boxes of several forms and sizes around each place of a map, in pixels of the image."""
    attrs = ctx.attrs
    step, shape = np.array(attrs["stride"]), []
    for ratio in attrs["aspect_ratios"]:
        width = np.floor(np.sqrt(step.prod() / ratio) + 0.5)
        base = np.array([width, np.floor(width * ratio + 0.5)])
        shape += [size / step * base - 1 for size in attrs["anchor_sizes"]]
    places = [
        np.arange(count) * side + attrs["offset"] * (side - 1) for count, side in zip(x.shape[:1:-1], step, strict=True)
    ]
    return lay_out(ctx, anchors, variances, around(*places, shape))


def all_ratios(attrs):
    """The ratios of width to height, each once, 1 first."""
    found = [1.0]
    for ratio in attrs["aspect_ratios"]:
        if not any(abs(ratio - other) < 1e-6 for other in found):
            found += [ratio, 1 / ratio] if attrs["flip"] else [ratio]
    return found


def infer_prior_box(attrs, x, image):
    if attrs["max_sizes"] and len(attrs["max_sizes"]) != len(attrs["min_sizes"]):
        raise EnforceNotMet(
            f"max_sizes must be as many as min_sizes, got {attrs['max_sizes']} for {attrs['min_sizes']}"
        )
    return priors(x, attrs, len(all_ratios(attrs)) * len(attrs["min_sizes"]) + len(attrs["max_sizes"]))


@operator(
    "prior_box",
    inputs="Input!, Image!",
    outputs="Boxes!, Variances!",
    attributes={
        "min_sizes": typed([], "FLOATS"),
        "max_sizes": typed([], "FLOATS"),
        "aspect_ratios": typed([], "FLOATS"),
        "variances": [0.1, 0.1, 0.2, 0.2],
        "flip": False,
        "clip": False,
        "step_w": 0.0,
        "step_h": 0.0,
        "offset": 0.5,
        "min_max_aspect_ratios_order": False,
        "use_quantizer": ignored(False),
    }
    | MKLDNN,
    infer=infer_prior_box,
    kernel=Kernel(bind=True, shape_only="Input Image"),
    lod=Lod(of="none"),
)
def prior_box(ctx, x, image, boxes, variances):
    """Boxes of several forms and sizes around each place of a map, in parts of the image."""
    attrs = ctx.attrs
    whole, counts = np.array(image.shape[:1:-1]), np.array(x.shape[:1:-1])
    step = np.array([attrs["step_w"], attrs["step_h"]])
    if not step.all():
        step = whole / counts
    sizes = []
    for number, smallest in enumerate(attrs["min_sizes"]):
        forms = [[smallest * ratio**0.5, smallest / ratio**0.5] for ratio in all_ratios(attrs)]
        between = [[(smallest * largest) ** 0.5] * 2 for largest in attrs["max_sizes"][number : number + 1]]
        sizes += forms[:1] + between + forms[1:] if attrs["min_max_aspect_ratios_order"] else forms + between
    places = [(np.arange(count) + attrs["offset"]) * side for count, side in zip(counts, step, strict=True)]
    found = around(*places, sizes) / np.concatenate([whole, whole])
    return lay_out(ctx, boxes, variances, np.clip(found, 0, 1) if attrs["clip"] else found)
