"""Losses: how far a prediction is from its label."""

import numpy as np

from ..core import formula as f
from ..core.errors import EnforceNotMet
from ..core.fusions import fusion
from ..core.operators import operator
from ..core.spec import Spec
from ..core.traits import BOUND, About, Algebra, Batch, Lod, Memory
from .arrays.indexing import put_along_axis, refusal, take
from .arrays.strides import scratch_like, sum_into
from .pointwise import by_formula
from .reduce import axis_of, kept_shape

# What Fluid puts in the place of an infinite loss.
_LARGEST = 1e20


def same_sizes(a, b):
    """Whether two shapes can be equal, unknown dimensions being what they must."""
    return len(a) == len(b) and all(n == m or n < 0 or m < 0 for n, m in zip(a, b, strict=True))


def check_label_shape(x, label, axis, soft, name):
    """Raise EnforceNotMet unless the label fits predictions `x` with the classes along `axis`."""
    if label.dtype.kind != ("f" if soft else "i"):
        wanted = "probabilities (floats)" if soft else "class numbers (int64)"
        raise EnforceNotMet(f"Label must hold {wanted} with soft_label={soft}, its data type is {label.dtype}")
    wanted = x.shape if soft else kept_shape(x.shape, (axis,))
    if not same_sizes(label.shape, wanted):
        raise EnforceNotMet(
            f"Label must have the shape {list(wanted)} for {name} of shape {list(x.shape)}, got {list(label.shape)}"
        )


def rule_of_labels(ctx, classes):
    """What messages about bad labels begin with."""
    ignored = ctx.attrs["ignore_index"]
    return f"a label must lie in [0, {classes}), there being {classes} classes, or be ignore_index ({ignored}); "


def counting(ctx, label, classes):
    """A function that tells which labels count; it raises EnforceNotMet for a label that names no class."""
    xp, ignore_index = ctx.xp, ctx.attrs["ignore_index"]
    rule = rule_of_labels(ctx, classes)

    def tell(wrong):
        position = tuple(int(i[0]) for i in np.nonzero(wrong))
        index = [ctx.first + position[0], *position[1:]]
        return f"{rule}got the label {int(label[position])} at index {index}"

    refuse = refusal(ctx, label, rule + "got the label {value}", tell)

    def counted():
        found = label != ignore_index
        refuse(xp.logical_and(found, xp.logical_or(label < 0, label >= classes)))
        return found

    return counted


def infer_cross_entropy(attrs, x, label):
    if not attrs.get("soft_label") and len(label.shape) == len(x.shape) - 1:
        label = label._replace(shape=(*label.shape, 1))
        check_label_shape(x, label, len(x.shape) - 1, False, "X")
        return Spec(x.shape[:-1], x.dtype)
    check_label_shape(x, label, len(x.shape) - 1, attrs.get("soft_label", False), "X")
    return Spec((*x.shape[:-1], 1), x.dtype)


@operator(
    "cross_entropy",
    inputs="X, Label!",
    outputs="Y",
    attributes={"soft_label": False, "ignore_index": -100},
    infer=infer_cross_entropy,
    kernel=BOUND,
    batch=Batch(rows="X Label Y"),
)
def cross_entropy(ctx, x, label, y):
    xp = ctx.xp
    if not ctx.attrs["soft_label"]:
        return hard_cross_entropy(ctx, x, label, y, ctx.scratch(y.shape, y.dtype))
    # Y = -sum(Label * log(X)) over the classes
    terms = scratch_like(ctx, x)
    add_up = sum_into(ctx, terms, y)

    def step():
        xp.log(x, out=terms)
        xp.maximum(terms, -_LARGEST, out=terms)
        xp.multiply(terms, label, out=terms)
        add_up()
        xp.negative(y, out=y)

    return step


def places_of_classes(ctx, x, label):
    """A function that tells where in the flat `x` the labels' classes stand, if all labels count and name a class.

    Args:
        x: classes along the last dimension.
        label: class numbers, in the order of the other dimensions.
    Returns:
        a function without arguments that returns an array (size of label,), or None; or None where `x` is not flat.
    """
    xp, classes = ctx.xp, x.shape[-1]
    if xp is not np or not x.flags.c_contiguous or not label.flags.c_contiguous:
        return None  # a GPU would have to wait to look at the labels
    if 0 <= ctx.attrs["ignore_index"] < classes:
        return None
    labels = label.reshape(-1)
    starts = xp.arange(0, x.size, classes)

    def places():
        return labels + starts if labels.min() >= 0 and labels.max() < classes else None

    return places


def hard_cross_entropy(ctx, x, label, y, match):
    """Y = -log(probability of the label's class), which also goes to `match`; 0 for labels to ignore."""
    xp = ctx.xp
    index = label.reshape(*x.shape[:-1], 1)
    places = places_of_classes(ctx, x, index)
    counting_labels = counting(ctx, index, x.shape[-1])

    def step():
        found = places and places()
        if found is not None:
            take(xp, x, found.reshape(match.shape), None, match)
            counted = -1
        else:
            mask = counting_labels()
            match[...] = xp.take_along_axis(x, xp.where(mask, index, 0), -1).reshape(match.shape)
            counted = -mask.reshape(y.shape).astype(y.dtype)
        xp.log(match, out=y)
        xp.maximum(y, -_LARGEST, out=y)
        xp.multiply(y, counted, out=y)

    return step


@cross_entropy.gradient("X, Label")
def cross_entropy_grad(ctx, x, label, dy, dx):
    xp = ctx.xp
    if ctx.attrs["soft_label"]:
        # dX = -dY * Label / X
        xp.divide(label, x, out=dx)
        xp.multiply(dx, dy, out=dx)
        xp.negative(dx, out=dx)
    else:
        index = label.reshape(*x.shape[:-1], 1)
        match = xp.take_along_axis(x, xp.where(index == ctx.attrs["ignore_index"], 0, index), -1)
        scatter_slope(ctx, index, match, dy, dx)


def scatter_slope(ctx, index, match, dy, dx):
    """dX = -dY / X in the place of the label, 0 in all others."""
    xp = ctx.xp
    counted = index != ctx.attrs["ignore_index"]
    slope = xp.where(counted, -dy.reshape(index.shape) / match.reshape(index.shape), 0)
    dx.fill(0)
    put_along_axis(xp, dx, xp.where(counted, index, 0), slope.astype(dx.dtype), -1)


def infer_cross_entropy2(attrs, x, label):
    y = infer_cross_entropy(attrs, x, label)
    return y, Spec((*x.shape, 0), x.dtype), y


@operator(
    "cross_entropy2",
    inputs="X, Label!",
    outputs="Y, XShape!, MatchX!",
    attributes={"ignore_index": -100},
    infer=infer_cross_entropy2,
    kernel=BOUND,
    batch=Batch(rows="X Label Y XShape MatchX"),
    lod=Lod(of={"MatchX": "none"}),
    about=About(plain="cross entropy"),
)
def cross_entropy2(ctx, x, label, y, x_shape, match):
    return hard_cross_entropy(ctx, x, label, y, match)


@cross_entropy2.gradient(
    "Label, MatchX",
    shapes="XShape",
    type="cross_entropy_grad2",
    infer=lambda attrs, label, match, x_shape, dy: Spec(x_shape.shape[:-1], dy.dtype),
)
def cross_entropy_grad2(ctx, label, match, x_shape, dy, dx):
    scatter_slope(ctx, label.reshape(*dx.shape[:-1], 1), match, dy, dx)


def infer_softmax_with_cross_entropy(attrs, logits, label):
    axis = axis_of(attrs, logits)
    check_label_shape(logits, label, axis, attrs["soft_label"], "Logits")
    return logits, Spec(kept_shape(logits.shape, (axis,)), logits.dtype)


def rows_of_softmax_with_cross_entropy(attrs, shapes):
    label = shapes["Label"][0]
    return {"Logits", "Label", "Softmax", "Loss"} if attrs["axis"] % len(label) else None


@operator(
    "softmax_with_cross_entropy",
    inputs="Logits, Label!",
    outputs="Softmax!, Loss",
    attributes={"soft_label": False, "ignore_index": -100, "axis": -1, "numeric_stable_mode": True},
    infer=infer_softmax_with_cross_entropy,
    kernel=BOUND,
    batch=Batch(rows=rows_of_softmax_with_cross_entropy),
    about=About(plain="softmax + cross entropy"),
)
def softmax_with_cross_entropy(ctx, logits, label, softmax, loss):
    xp, axis = ctx.xp, ctx.attrs["axis"]
    extreme = ctx.scratch(loss.shape, loss.dtype)
    add_up = sum_into(ctx, softmax, loss)
    soft = ctx.attrs["soft_label"]
    terms = scratch_like(ctx, softmax) if soft else None
    add_terms = sum_into(ctx, terms, extreme) if soft else None
    counting_labels = None if soft else counting(ctx, label, logits.shape[axis])

    def step():
        xp.amax(logits, axis=axis, keepdims=True, out=extreme)
        xp.subtract(logits, extreme, out=softmax)
        # Here `softmax` holds the shifted logits z; the loss is log(sum(exp(z))) - z of the label.
        if soft:
            xp.multiply(softmax, label, out=terms)
            add_terms()
        else:
            counted = counting_labels()
            extreme[...] = xp.take_along_axis(softmax, xp.where(counted, label, 0), axis)
        xp.exp(softmax, out=softmax)
        add_up()
        xp.divide(softmax, loss, out=softmax)
        xp.log(loss, out=loss)
        if soft:
            xp.multiply(loss, label.sum(axis=axis, keepdims=True), out=loss)
        xp.subtract(loss, extreme, out=loss)
        if not soft:
            xp.multiply(loss, counted, out=loss)

    return step


@softmax_with_cross_entropy.gradient(
    "Label, Softmax",
    infer=lambda attrs, label, softmax, dloss: softmax,
    kernel=BOUND,
    memory=Memory(inplace={"Logits@GRAD": "Softmax"}),
    lod=Lod(of="none"),
)
def softmax_with_cross_entropy_grad(ctx, label, softmax, dloss, dlogits):
    xp, axis = ctx.xp, ctx.attrs["axis"]
    if ctx.attrs["soft_label"]:

        def step():
            # dLogits = dLoss * (Softmax - Label)
            xp.subtract(softmax, label, out=dlogits)
            xp.multiply(dlogits, dloss, out=dlogits)

        return step

    last = axis in (-1, softmax.ndim - 1) and dlogits.flags.c_contiguous
    places = places_of_classes(ctx, softmax, label) if last else None

    def step():
        # dLogits = dLoss * (Softmax - (1 in the place of the label))
        found = places and places()
        if found is not None:
            xp.multiply(softmax, dloss, out=dlogits)
            dlogits.reshape(-1)[found] -= dloss.reshape(-1)
            return
        counted = label != ctx.attrs["ignore_index"]
        index = xp.where(counted, label, 0)
        weight = dloss * counted
        xp.multiply(softmax, weight, out=dlogits)
        at_label = xp.take_along_axis(dlogits, index, axis) - weight
        put_along_axis(xp, dlogits, index, at_label, axis)

    return step


@fusion("cross_entropy_grad2", "X@GRAD", "softmax_grad", "Out@GRAD")
def through_softmax(cross_entropy, softmax, specs):
    """The gradient of the cross entropy of a softmax with respect to its logits: Softmax - (1 in the label's place)."""
    label, probabilities = specs(cross_entropy, "Label"), specs(softmax, "Out")
    last = softmax.attrs["axis"] in (-1, len(probabilities.shape) - 1)
    if not last or len(label.shape) != len(probabilities.shape):
        return None
    inputs = {
        "Label": cross_entropy.inputs["Label"],
        "Softmax": softmax.inputs["Out"],
        "Loss@GRAD": cross_entropy.inputs["Y@GRAD"],
    }
    attrs = {"ignore_index": cross_entropy.attrs["ignore_index"]}
    return [("softmax_with_cross_entropy_grad", inputs, {"Logits@GRAD": softmax.outputs["X@GRAD"]}, attrs)]


def alike(*names):
    """Shape inference for inputs that must have one shape; the output is like them."""

    def infer(attrs, *specs):
        first = specs[0]
        for name, spec in zip(names, specs, strict=True):
            if not same_sizes(spec.shape, first.shape) or spec.dtype != first.dtype:
                raise EnforceNotMet(
                    f"{names[0]} and {name} must be alike, got {first.dtype} {list(first.shape)} "
                    f"and {spec.dtype} {list(spec.shape)}"
                )
        return Spec(tuple(map(max, *(spec.shape for spec in specs))), first.dtype)

    return infer


def logits_loss(X, Label, ignore_index, normalize):
    counted = Label != ignore_index
    loss = (f.softplus(X) - X * Label) * counted
    return loss / f.maximum(f.total(counted), 1) if normalize else loss


sigmoid_cross_entropy_with_logits = by_formula(
    operator(
        "sigmoid_cross_entropy_with_logits",
        inputs="X, Label!",
        outputs="Out",
        attributes={"ignore_index": -100, "normalize": False},
        infer=alike("X", "Label"),
        formula=logits_loss,
    )
)
by_formula(sigmoid_cross_entropy_with_logits.gradient("X, Label", lod=Lod(of="none")))


def infer_log_loss(attrs, predicted, labels):
    result = alike("Predicted", "Labels")(attrs, predicted, labels)
    if len(result.shape) != 2 or result.shape[1] not in (1, -1):
        raise EnforceNotMet(f"Predicted must have the shape [batch, 1], got {list(predicted.shape)}")
    return result


def log_loss_of(Predicted, Labels, epsilon):
    return (Labels - 1) * f.log(1 - Predicted + epsilon) - Labels * f.log(Predicted + epsilon)


def slope_of_log_loss(Predicted, Labels, dLoss, epsilon):
    # The derivative has one number for 1 + epsilon, in which a small epsilon is lost.
    return dLoss * ((1 - Labels) / (1 - Predicted + epsilon) - Labels / (Predicted + epsilon))


log_loss = by_formula(
    operator(
        "log_loss",
        inputs="Predicted, Labels!",
        outputs="Loss",
        attributes={"epsilon": 1e-4},
        infer=infer_log_loss,
        formula=log_loss_of,
        batch=Batch(rows="Predicted Labels Loss"),
    )
)
by_formula(log_loss.gradient("Predicted, Labels", formula=slope_of_log_loss, lod=Lod(of="none")))


def huber(X, Y, delta):
    size = f.absolute(Y - X)
    near = f.minimum(size, delta)
    return {"Residual": Y - X, "Out": near * (size - near * 0.5)}


def slopes_of_huber(Residual, dOut, delta):
    slope = dOut * f.clip(Residual, -delta, delta)
    return {"dX": -slope, "dY": slope}


huber_loss = by_formula(
    operator(
        "huber_loss",
        inputs="X, Y",
        outputs="Residual!, Out",
        attributes={"delta": 1.0},
        infer=lambda attrs, x, y: (alike("X", "Y")(attrs, x, y),) * 2,
        formula=huber,
        batch=Batch(rows="X Y Residual Out"),
        lod=Lod(of={"Residual": "none"}),
    )
)
by_formula(
    huber_loss.gradient(
        "Residual",
        infer=lambda attrs, residual, dout: (residual, residual),
        formula=slopes_of_huber,
        lod=Lod(of="none"),
    )
)


def infer_smooth_l1(attrs, x, y, inside, outside):
    names = [name for name, spec in (("InsideWeight", inside), ("OutsideWeight", outside)) if spec is not None]
    specs = [spec for spec in (inside, outside) if spec is not None]
    diff = alike("X", "Y", *names)(attrs, x, y, *specs)
    return diff, Spec((diff.shape[0], 1), diff.dtype)


def one_for_each_row(slot, like):
    """The trait `broadcasts` of a slot that holds a number for each row of another."""
    return Algebra(broadcasts=lambda attrs, shapes: {slot: (shapes[like][0], *(1,) * (len(shapes[like]) - 1))})


def weighted(x, weight):
    return x if weight is None else x * weight


def smooth_l1(X, Y, InsideWeight, OutsideWeight, sigma):
    diff = weighted(X - Y, InsideWeight)
    size = f.absolute(diff)
    near = f.minimum(size, 1 / sigma**2)
    return {"Diff": diff, "Out": weighted((size - near * 0.5) * near * sigma**2, OutsideWeight)}


def slopes_of_smooth_l1(Diff, InsideWeight, OutsideWeight, dOut, sigma):
    slope = weighted(weighted(dOut * f.clip(Diff * sigma**2, -1, 1), OutsideWeight), InsideWeight)
    return {"dX": slope, "dY": -slope}


smooth_l1_loss = by_formula(
    operator(
        "smooth_l1_loss",
        inputs="X, Y, InsideWeight?!, OutsideWeight?!",
        outputs="Diff!, Out",
        attributes={"sigma": 1.0},
        infer=infer_smooth_l1,
        formula=smooth_l1,
        batch=Batch(rows="X Y InsideWeight OutsideWeight Diff Out"),
        algebra=one_for_each_row("Out", "X"),
        lod=Lod(of="none"),
    )
)
by_formula(
    smooth_l1_loss.gradient(
        "Diff, InsideWeight, OutsideWeight",
        infer=lambda attrs, diff, inside, outside, dout: (diff, diff),
        formula=slopes_of_smooth_l1,
        algebra=one_for_each_row("dOut", "Diff"),
    )
)


def infer_label_smooth(attrs, x, prior):
    if prior is not None and prior.size != x.shape[-1] and x.shape[-1] >= 0:
        raise EnforceNotMet(
            f"PriorDist must give a number for each of the {x.shape[-1]} classes, got shape {list(prior.shape)}"
        )
    return x


def smoothed(X, PriorDist, epsilon, specs):
    return X * (1 - epsilon) + (epsilon / specs["X"][0].shape[-1] if PriorDist is None else PriorDist * epsilon)


label_smooth = by_formula(
    operator(
        "label_smooth",
        inputs="X, PriorDist?!",
        outputs="Out",
        attributes={"epsilon": 0.0},
        infer=infer_label_smooth,
        formula=smoothed,
        memory=Memory(inplace={"Out": "X"}),
        algebra=Algebra(broadcasts=lambda attrs, shapes: {"PriorDist": shapes["X"][-1:]}),
    )
)
by_formula(
    label_smooth.gradient(
        formula=lambda dOut, epsilon: dOut * (1 - epsilon),
        memory=Memory(inplace={"X@GRAD": "Out@GRAD"}),
    )
)


def infer_kldiv(attrs, x, target):
    result = alike("X", "Target")(attrs, x, target)
    return result if attrs["reduction"] == "none" else Spec((1,), x.dtype)


def count_in_kldiv(reduction, x):
    """What the sum of the terms is divided by, given the Spec of X."""
    return {"mean": x.size, "batchmean": x.shape[0]}.get(reduction, 1)


def kldiv(X, Target, reduction, specs):
    terms = f.where(Target > 0, Target * (f.log(Target) - X), 0)
    return terms / count_in_kldiv(reduction, specs["X"][0])


def slope_of_kldiv(Target, dLoss, reduction, specs):
    return dLoss * (f.maximum(Target, 0) * (-1 / count_in_kldiv(reduction, specs["X"][0])))


kldiv_loss = by_formula(
    operator(
        "kldiv_loss",
        inputs="X, Target!",
        outputs="Loss",
        attributes={"reduction": "mean"},
        infer=infer_kldiv,
        formula=kldiv,
        lod=Lod(of="none"),
    )
)
by_formula(kldiv_loss.gradient("Target", shapes="X", formula=slope_of_kldiv, lod=Lod(of="none")))


def margin_rank(X1, X2, Label, margin):
    loss = f.maximum((X2 - X1) * Label + margin, 0)
    return {"Activated": loss > 0, "Out": loss}


def slopes_of_margin_rank(Label, Activated, dOut):
    slope = dOut * (Label * Activated)
    return {"dX1": -slope, "dX2": slope}


margin_rank_loss = by_formula(
    operator(
        "margin_rank_loss",
        inputs="X1, X2, Label!",
        outputs="Activated!, Out",
        attributes={"margin": 0.0},
        infer=lambda attrs, x1, x2, label: (alike("X1", "X2", "Label")(attrs, x1, x2, label),) * 2,
        formula=margin_rank,
        lod=Lod(of="none"),
    )
)
by_formula(
    margin_rank_loss.gradient(
        "Label, Activated",
        infer=lambda attrs, label, activated, dout: (dout, dout),
        formula=slopes_of_margin_rank,
    )
)

rank_loss = by_formula(
    operator(
        "rank_loss",
        inputs="Label!, Left, Right",
        outputs="Out",
        infer=alike("Label", "Left", "Right"),
        formula=lambda Label, Left, Right: f.softplus(Left - Right) - (Left - Right) * Label,
        lod=Lod(of="none"),
    )
)
by_formula(rank_loss.gradient("Label, Left, Right", lod=Lod(of="none")))


def infer_focal(attrs, x, label, count):
    if (
        len(x.shape) != 2
        or len(label.shape) != 2
        or label.shape[1] != 1
        or not same_sizes(x.shape[:1], label.shape[:1])
    ):
        raise EnforceNotMet(
            f"X must have the shape [n, classes] and Label [n, 1], got {list(x.shape)} and {list(label.shape)}"
        )
    return x


class Focal:
    """What sigmoid_focal_loss and its gradient share: where the labels are, the weights and the probabilities."""

    def __init__(self, ctx, x, label, count):
        xp = ctx.xp
        self.gamma, alpha = x.dtype.type(ctx.attrs["gamma"]), x.dtype.type(ctx.attrs["alpha"])
        classes = xp.arange(1, x.shape[1] + 1)
        count = xp.maximum(count, 1).astype(x.dtype)
        is_class = label == classes
        self.positive = is_class * (alpha / count)
        self.negative = (~is_class & (label != -1)) * ((1 - alpha) / count)
        self.chance = 1 / (1 + xp.exp(-x))
        self.log_chance = xp.log(xp.maximum(self.chance, np.finfo(np.float32).tiny))
        # log(1 - chance), which keeps its digits for large X.
        self.log_rest = -xp.maximum(x, 0) - xp.log1p(xp.exp(-xp.abs(x)))


focal_loss = operator(
    "sigmoid_focal_loss",
    inputs="X, Label!, FgNum!",
    outputs="Out",
    attributes={"gamma": 2.0, "alpha": 0.25},
    infer=infer_focal,
)


@focal_loss
def sigmoid_focal_loss(ctx, x, label, count, out):
    f = Focal(ctx, x, label, count)
    missed = (1 - f.chance) ** f.gamma * f.log_chance
    ctx.xp.negative(f.positive * missed + f.negative * (f.chance**f.gamma * f.log_rest), out=out)


@sigmoid_focal_loss.gradient("X, Label, FgNum")
def sigmoid_focal_loss_grad(ctx, x, label, count, dout, dx):
    f = Focal(ctx, x, label, count)
    rest = 1 - f.chance
    missed = rest**f.gamma * (rest - f.gamma * f.chance * f.log_chance)
    found = f.chance**f.gamma * (f.gamma * rest * f.log_rest - f.chance)
    ctx.xp.multiply(-(f.positive * missed + f.negative * found), dout, out=dx)
