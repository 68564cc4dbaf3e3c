"""Losses: how far a prediction is from its label."""

from functools import partial

import numpy as np

from ..core.errors import EnforceNotMet
from ..core.fusions import fusion
from ..core.operators import operator
from ..core.spec import Spec
from ..core.traits import BOUND, About, Algebra, Batch, Lod, Memory
from .arrays.indexing import put_along_axis, refusal, take
from .arrays.strides import in_sequence, scratch_like, sum_into
from .reduce import axis_of, kept_shape

# What Fluid puts in the place of an infinite loss.
# log(1 + exp(x)), without overflow, in C.
LOG_ONE_PLUS_EXP = "(larger({0}, T(0)) + log1p(exp(-fabs({0}))))"

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
        spread(ctx, index, match, dy, dx)


def spread(ctx, index, match, dy, dx):
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
    spread(ctx, label.reshape(*dx.shape[:-1], 1), match, dy, dx)


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


# Whether a label counts, in formulas.
_COUNTED = "T(Label != {ignore_index})"


def logits_formula(attrs, specs):
    return None if attrs["normalize"] else {"Out": f"({LOG_ONE_PLUS_EXP.format('X')} - X * Label) * {_COUNTED}"}


def logits_slope(attrs, specs):
    return None if attrs["normalize"] else {"dX": f"dOut * (1 / (1 + exp(-X)) - Label) * {_COUNTED}"}


@operator(
    "sigmoid_cross_entropy_with_logits",
    inputs="X, Label!",
    outputs="Out",
    attributes={"ignore_index": -100, "normalize": False},
    infer=alike("X", "Label"),
    formula=logits_formula,
    kernel=BOUND,
)
def sigmoid_cross_entropy_with_logits(ctx, x, label, out):
    xp = ctx.xp  # Out = max(X, 0) - X * Label + log(1 + exp(-|X|))
    temporary, counted = scratch_like(ctx, x), scratch_like(ctx, x, bool)

    def step():
        xp.absolute(x, out=temporary)
        xp.negative(temporary, out=temporary)
        xp.exp(temporary, out=temporary)
        xp.log1p(temporary, out=temporary)
        xp.clip(x, 0, np.inf, out=out)
        xp.add(out, temporary, out=out)
        xp.multiply(x, label, out=temporary)
        xp.subtract(out, temporary, out=out)
        drop_ignored(ctx, label, counted, out)

    return step


def drop_ignored(ctx, label, counted, out):
    """Set `out` to 0 for labels to ignore, and divide it by the number of others if `normalize` asks for that."""
    xp = ctx.xp
    xp.not_equal(label, ctx.attrs["ignore_index"], out=counted)
    xp.multiply(out, counted, out=out)
    if ctx.attrs["normalize"]:
        xp.divide(out, xp.maximum(counted.sum(), 1).astype(out.dtype), out=out)


@sigmoid_cross_entropy_with_logits.gradient("X, Label", formula=logits_slope, kernel=BOUND)
def sigmoid_cross_entropy_with_logits_grad(ctx, x, label, dout, dx):
    xp = ctx.xp  # dX = dOut * (sigmoid(X) - Label)
    counted = scratch_like(ctx, x, bool)

    def step():
        xp.negative(x, out=dx)
        xp.exp(dx, out=dx)
        xp.add(dx, 1, out=dx)
        xp.divide(1, dx, out=dx)
        xp.subtract(dx, label, out=dx)
        xp.multiply(dout, dx, out=dx)
        drop_ignored(ctx, label, counted, dx)

    return step


def infer_log_loss(attrs, predicted, labels):
    result = alike("Predicted", "Labels")(attrs, predicted, labels)
    if len(result.shape) != 2 or result.shape[1] not in (1, -1):
        raise EnforceNotMet(f"Predicted must have the shape [batch, 1], got {list(predicted.shape)}")
    return result


@operator(
    "log_loss",
    inputs="Predicted, Labels!",
    outputs="Loss",
    attributes={"epsilon": 1e-4},
    infer=infer_log_loss,
    formula={"Loss": "-Labels * log(Predicted + {epsilon}) - (1 - Labels) * log(1 - Predicted + {epsilon})"},
    batch=Batch(rows="Predicted Labels Loss"),
)
def log_loss(ctx, p, label, loss):
    xp, epsilon = ctx.xp, ctx.attrs["epsilon"]  # Loss = -L log(P + epsilon) - (1 - L) log(1 - P + epsilon)
    loss[...] = -label * xp.log(p + epsilon) - (1 - label) * xp.log(1 - p + epsilon)


@log_loss.gradient(
    "Predicted, Labels",
    formula={"dPredicted": "dLoss * ((1 - Labels) / (1 - Predicted + {epsilon}) - Labels / (Predicted + {epsilon}))"},
)
def log_loss_grad(ctx, p, label, dloss, dp):
    epsilon = ctx.attrs["epsilon"]
    dp[...] = dloss * ((1 - label) / (1 - p + epsilon) - label / (p + epsilon))


@operator(
    "huber_loss",
    inputs="X, Y",
    outputs="Residual!, Out",
    attributes={"delta": 1.0},
    infer=lambda attrs, x, y: (alike("X", "Y")(attrs, x, y),) * 2,
    formula={
        "Residual": "Y - X",
        "Out": "const T size = fabs(Y - X); const T near = smaller(size, {delta}); near * (size - near * 0.5)",
    },
    kernel=BOUND,
    batch=Batch(rows="X Y Residual Out"),
    lod=Lod(of={"Residual": "none"}),
)
def huber_loss(ctx, x, y, residual, out):
    xp, delta = ctx.xp, ctx.attrs["delta"]
    near = scratch_like(ctx, out)

    def step():
        # With r = Y - X and n = min(|r|, delta): Out = n * (|r| - n / 2)
        xp.subtract(y, x, out=residual)
        xp.absolute(residual, out=out)
        xp.minimum(out, delta, out=near)
        xp.multiply(near, -0.5, out=residual)
        xp.add(out, residual, out=out)
        xp.multiply(out, near, out=out)
        xp.subtract(y, x, out=residual)

    return step


@huber_loss.gradient(
    "Residual",
    infer=lambda attrs, residual, dout: (residual, residual),
    formula={
        "dX": "dOut * -smaller(larger(Residual, -{delta}), {delta})",
        "dY": "dOut * smaller(larger(Residual, -{delta}), {delta})",
    },
)
def huber_loss_grad(ctx, residual, dout, dx, dy):
    xp, delta = ctx.xp, ctx.attrs["delta"]  # dY = dOut * clip(r, -delta, delta) = -dX
    for result, sign in ((dx, -1), (dy, 1)):
        if result is not None:
            xp.clip(residual, -delta, delta, out=result)
            xp.multiply(result, sign, out=result)
            xp.multiply(dout, result, out=result)


def infer_smooth_l1(attrs, x, y, inside, outside):
    names = [name for name, spec in (("InsideWeight", inside), ("OutsideWeight", outside)) if spec is not None]
    specs = [spec for spec in (inside, outside) if spec is not None]
    diff = alike("X", "Y", *names)(attrs, x, y, *specs)
    return diff, Spec((diff.shape[0], 1), diff.dtype)


@operator(
    "smooth_l1_loss",
    inputs="X, Y, InsideWeight?!, OutsideWeight?!",
    outputs="Diff!, Out",
    attributes={"sigma": 1.0},
    infer=infer_smooth_l1,
    kernel=BOUND,
    batch=Batch(rows="X Y InsideWeight OutsideWeight Diff Out"),
    lod=Lod(of="none"),
)
def smooth_l1_loss(ctx, x, y, inside, outside, diff, out):
    xp, sigma2 = ctx.xp, ctx.attrs["sigma"] ** 2
    size, near = scratch_like(ctx, diff), scratch_like(ctx, diff)
    add_up = sum_into(ctx, size, out.reshape(-1, *(1,) * (diff.ndim - 1)))

    def step():
        # With d = InsideWeight * (X - Y) and n = min(|d|, 1 / sigma^2):
        # Out = sum of OutsideWeight * sigma^2 * n * (|d| - n / 2) over each row
        xp.subtract(x, y, out=diff)
        if inside is not None:
            xp.multiply(diff, inside, out=diff)
        xp.absolute(diff, out=size)
        xp.minimum(size, 1 / sigma2, out=near)
        xp.multiply(size, near, out=size)
        xp.multiply(near, near, out=near)
        xp.multiply(near, 0.5, out=near)
        xp.subtract(size, near, out=size)
        xp.multiply(size, sigma2, out=size)
        if outside is not None:
            xp.multiply(size, outside, out=size)
        add_up()

    return step


@smooth_l1_loss.gradient(
    "Diff, InsideWeight, OutsideWeight", infer=lambda attrs, diff, inside, outside, dout: (diff, diff)
)
def smooth_l1_loss_grad(ctx, diff, inside, outside, dout, dx, dy):
    # dX = dOut * OutsideWeight * InsideWeight * clip(sigma^2 * d, -1, 1) = -dY
    xp, sigma2 = ctx.xp, ctx.attrs["sigma"] ** 2
    dout = dout.reshape(-1, *(1,) * (diff.ndim - 1))
    for result, sign in ((dx, 1), (dy, -1)):
        if result is None:
            continue
        xp.multiply(diff, sigma2, out=result)
        xp.clip(result, -1, 1, out=result)
        xp.multiply(result, dout, out=result)
        xp.multiply(result, sign, out=result)
        for weight in (inside, outside):
            if weight is not None:
                xp.multiply(result, weight, out=result)


def infer_label_smooth(attrs, x, prior):
    if prior is not None and prior.size != x.shape[-1] and x.shape[-1] >= 0:
        raise EnforceNotMet(
            f"PriorDist must give a number for each of the {x.shape[-1]} classes, got shape {list(prior.shape)}"
        )
    return x


def smoothing(attrs, specs):
    epsilon = attrs["epsilon"]
    prior = f"{epsilon!r} * PriorDist" if "PriorDist" in specs else repr(epsilon / specs["X"][0].shape[-1])
    return {"Out": f"X * {1 - epsilon!r} + {prior}"}


@operator(
    "label_smooth",
    inputs="X, PriorDist?!",
    outputs="Out",
    attributes={"epsilon": 0.0},
    infer=infer_label_smooth,
    formula=smoothing,
    memory=Memory(inplace={"Out": "X"}),
    algebra=Algebra(broadcasts=lambda attrs, shapes: {"PriorDist": shapes["X"][-1:]}),
)
def label_smooth(ctx, x, prior, out):
    xp, epsilon = ctx.xp, ctx.attrs["epsilon"]  # (1 - epsilon) * X + epsilon * PriorDist
    xp.multiply(x, 1 - epsilon, out=out)
    xp.add(out, epsilon / x.shape[-1] if prior is None else epsilon * prior.reshape(-1), out=out)


@label_smooth.gradient(
    formula=lambda attrs, specs: {"dX": f"dOut * {1 - attrs['epsilon']!r}"},
    memory=Memory(inplace={"X@GRAD": "Out@GRAD"}),
)
def label_smooth_grad(ctx, dout, dx):
    ctx.xp.multiply(dout, 1 - ctx.attrs["epsilon"], out=dx)


def infer_kldiv(attrs, x, target):
    result = alike("X", "Target")(attrs, x, target)
    return result if attrs["reduction"] == "none" else Spec((1,), x.dtype)


@operator(
    "kldiv_loss",
    inputs="X, Target!",
    outputs="Loss",
    attributes={"reduction": "mean"},
    infer=infer_kldiv,
    kernel=BOUND,
    lod=Lod(of="none"),
)
def kldiv_loss(ctx, x, target, loss):
    xp = ctx.xp  # Target * (log(Target) - X), 0 where Target is not positive
    whole = loss if ctx.attrs["reduction"] == "none" else scratch_like(ctx, x)
    positive = scratch_like(ctx, x, bool)
    add_up = None if whole is loss else sum_into(ctx, whole, loss.reshape((1,) * x.ndim))
    count = {"mean": x.size, "batchmean": len(x)}.get(ctx.attrs["reduction"], 1)

    def terms():
        xp.greater(target, 0, out=positive)
        xp.maximum(target, np.finfo(x.dtype).tiny, out=whole)
        xp.log(whole, out=whole)
        xp.subtract(whole, x, out=whole)
        xp.multiply(whole, target, out=whole)
        xp.multiply(whole, positive, out=whole)

    return in_sequence([terms, add_up, None if count == 1 else partial(xp.divide, loss, count, out=loss)])


@kldiv_loss.gradient("Target", shapes="X")
def kldiv_loss_grad(ctx, target, x, dloss, dx):
    # dX = -Target * dLoss, divided as the loss was
    count = {"mean": dx.size, "batchmean": len(dx)}.get(ctx.attrs["reduction"], 1)
    ctx.xp.maximum(target, 0, out=dx)
    ctx.xp.multiply(dx, -1 / count, out=dx)
    ctx.xp.multiply(dx, dloss, out=dx)


@operator(
    "margin_rank_loss",
    inputs="X1, X2, Label!",
    outputs="Activated!, Out",
    attributes={"margin": 0.0},
    infer=lambda attrs, x1, x2, label: (alike("X1", "X2", "Label")(attrs, x1, x2, label),) * 2,
    formula={
        "Activated": "T((X2 - X1) * Label + {margin} > 0)",
        "Out": "larger((X2 - X1) * Label + {margin}, 0.0)",
    },
    lod=Lod(of="none"),
)
def margin_rank_loss(ctx, x1, x2, label, activated, out):
    xp = ctx.xp  # Out = max(0, margin - Label * (X1 - X2))
    xp.subtract(x2, x1, out=out)
    xp.multiply(out, label, out=out)
    xp.add(out, ctx.attrs["margin"], out=out)
    xp.maximum(out, 0, out=out)
    xp.greater(out, 0, out=activated)


@margin_rank_loss.gradient(
    "Label, Activated",
    infer=lambda attrs, label, activated, dout: (dout, dout),
    formula={"dX1": "dOut * -(Label * Activated)", "dX2": "dOut * (Label * Activated)"},
)
def margin_rank_loss_grad(ctx, label, activated, dout, dx1, dx2):
    for result, sign in ((dx1, -1), (dx2, 1)):
        if result is not None:
            ctx.xp.multiply(label, activated, out=result)
            ctx.xp.multiply(result, sign, out=result)
            ctx.xp.multiply(dout, result, out=result)


@operator(
    "rank_loss",
    inputs="Label!, Left, Right",
    outputs="Out",
    infer=alike("Label", "Left", "Right"),
    formula={"Out": f"const T o = Left - Right; {LOG_ONE_PLUS_EXP.format('o')} - o * Label"},
    kernel=BOUND,
    lod=Lod(of="none"),
)
def rank_loss(ctx, label, left, right, out):
    xp = ctx.xp  # With o = Left - Right: Out = log(1 + exp(o)) - Label * o
    difference = scratch_like(ctx, out)

    def step():
        xp.subtract(left, right, out=difference)
        xp.absolute(difference, out=out)
        xp.negative(out, out=out)
        xp.exp(out, out=out)
        xp.log1p(out, out=out)
        xp.add(out, xp.clip(difference, 0, np.inf), out=out)
        xp.multiply(difference, label, out=difference)
        xp.subtract(out, difference, out=out)

    return step


@rank_loss.gradient(
    "Label, Left, Right",
    formula={
        "dLeft": "dOut * (1 / (1 + exp(Right - Left)) - Label)",
        "dRight": "dOut * -(1 / (1 + exp(Right - Left)) - Label)",
    },
)
def rank_loss_grad(ctx, label, left, right, dout, dleft, dright):
    # dLeft = dOut * (sigmoid(o) - Label) = -dRight
    xp = ctx.xp
    for result, sign in ((dleft, 1), (dright, -1)):
        if result is not None:
            xp.subtract(right, left, out=result)
            xp.exp(result, out=result)
            xp.add(result, 1, out=result)
            xp.divide(1, result, out=result)
            xp.subtract(result, label, out=result)
            xp.multiply(result, sign, out=result)
            xp.multiply(dout, result, out=result)
