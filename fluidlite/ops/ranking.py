"""Losses that rank: the right one before the others, or near others of its class."""

import math

from ..core import formula as f
from ..core.errors import EnforceNotMet
from ..core.operators import operator
from ..core.spec import Spec
from ..core.traits import BOUND, POINTWISE, Lod, Memory
from .arrays.indexing import index_check
from .arrays.rows import merger
from .loss import same_sizes
from .pointwise import by_formula


def infer_bpr_loss(attrs, x, label):
    if len(x.shape) < 2 or not same_sizes(label.shape, (*x.shape[:-1], 1)):
        raise EnforceNotMet(
            f"Label must have the shape of X with a last dimension of 1, got {list(label.shape)} for {list(x.shape)}"
        )
    return Spec((*x.shape[:-1], 1), x.dtype)


@operator("bpr_loss", inputs="X, Label!", outputs="Y", infer=infer_bpr_loss, kernel=BOUND)
def bpr_loss(ctx, x, label, y):
    """Y is the mean of -log sigmoid(right one - other), over the others."""
    xp, classes = ctx.xp, x.shape[-1]
    check = index_check(ctx, label, classes, "label")
    terms = ctx.scratch(x.shape, x.dtype)

    def step():
        check()
        xp.subtract(x, xp.take_along_axis(x, label, -1), out=terms)
        xp.logaddexp(terms, x.dtype.type(0), out=terms)
        xp.sum(terms, axis=-1, keepdims=True, out=y)
        # That of the right one itself does not count.
        xp.subtract(y, math.log(2), out=y)
        xp.multiply(y, 1 / max(classes - 1, 1), out=y)

    return step


@bpr_loss.gradient("X, Label", kernel=BOUND)
def bpr_loss_grad(ctx, x, label, dy, dx):
    xp, classes = ctx.xp, x.shape[-1]
    places = xp.arange(classes)

    def step():
        # sigmoid(other - right one)
        xp.subtract(x, xp.take_along_axis(x, label, -1), out=dx)
        xp.multiply(dx, 0.5, out=dx)
        xp.tanh(dx, out=dx)
        xp.multiply(dx, 0.5, out=dx)
        xp.add(dx, 0.5, out=dx)
        is_right = places == label
        xp.copyto(dx, x.dtype.type(0), where=is_right)
        total = dx.sum(axis=-1, keepdims=True)
        xp.copyto(dx, xp.broadcast_to(-total, dx.shape), where=is_right)
        xp.multiply(dx, dy * x.dtype.type(1 / max(classes - 1, 1)), out=dx)

    return step


def softplus(x):
    return f.maximum(x, 0) + f.log(1 + f.exp(-f.absolute(x)))


def terms_of(label):
    """How often the loss of a teacher and a student has a softplus, and by what the logit is weighed.

    Below -1 there is no click, below 0 a click, both without a teacher; from 0 on the label is a click and the
    teacher's score in one number.
    """
    return f.where(label < 0, 1, 2), f.where(label < -1, 0, f.where(label < 0, 1, label))


def teacher_student(X, Label):
    count, weight = terms_of(Label)
    return softplus(X) * count - X * weight


def teacher_student_slope(X, Label, dY, soft_max_lower_bound, soft_max_up_bound):
    count, weight = terms_of(Label)
    bounded = f.clip(X, soft_max_lower_bound, soft_max_up_bound)
    is_inside = (soft_max_up_bound > X) & (soft_max_lower_bound < X)
    return f.where(is_inside, (count / (1 + f.exp(-bounded)) - weight) * dY, 0)


def infer_teacher_student(attrs, x, label):
    if len(x.shape) != 2 or not same_sizes(x.shape, label.shape) or x.shape[1] not in (1, -1):
        raise EnforceNotMet(f"X and Label must have the shape [N, 1], got {list(x.shape)} and {list(label.shape)}")
    return x


_teacher_student = by_formula(
    operator(
        "teacher_student_sigmoid_loss",
        inputs="X, Label!",
        outputs="Y",
        attributes={"soft_max_up_bound": 15.0, "soft_max_lower_bound": -15.0},
        infer=infer_teacher_student,
        formula=teacher_student,
        memory=POINTWISE,
    )
)
by_formula(_teacher_student.gradient("X, Label", formula=teacher_student_slope, memory=POINTWISE))


def infer_center_loss(attrs, x, label, centers, rate):
    if len(x.shape) != 2 or len(centers.shape) != 2 or x.shape[1] != centers.shape[1]:
        raise EnforceNotMet(
            f"X and Centers must be matrices with equally many columns, got {list(x.shape)} and {list(centers.shape)}"
        )
    return centers, x, Spec((x.shape[0], 1), x.dtype)


@operator(
    "center_loss",
    inputs="X, Label!, Centers!, CenterUpdateRate!",
    outputs="CentersOut!, SampleCenterDiff!, Loss",
    attributes={"cluster_num": 0, "need_update": False},
    infer=infer_center_loss,
    kernel=BOUND,
    memory=Memory(inplace={"CentersOut": "Centers"}),
    lod=Lod(of={"CentersOut": "none", "SampleCenterDiff": "none"}),
)
def center_loss(ctx, x, label, centers, rate, centers_out, diff, loss):
    """Loss is half the square of the distance to the center of a class, which moves towards the mean of its rows."""
    xp, labels = ctx.xp, label.reshape(-1)
    check = index_check(ctx, labels, len(centers), "label")
    squares = ctx.scratch(diff.shape, diff.dtype)
    merge = merger(ctx, labels, diff) if ctx.attrs["need_update"] and len(labels) else None

    def step():
        check()
        if centers_out is not centers:
            xp.copyto(centers_out, centers)
        xp.subtract(x, xp.take(centers, labels, axis=0), out=diff)
        xp.multiply(diff, diff, out=squares)
        xp.sum(squares, axis=1, keepdims=True, out=loss)
        xp.multiply(loss, 0.5, out=loss)
        if merge is not None:
            rows, sums = merge()
            counts = xp.bincount(labels, minlength=len(centers))[rows] + 1
            centers_out[rows] += sums * (rate / counts[:, None]).astype(sums.dtype)

    return step


@center_loss.gradient("X, SampleCenterDiff", of="Loss", infer=lambda attrs, x, diff, dloss: x, lod=Lod(of="none"))
def center_loss_grad(ctx, x, diff, dloss, dx):
    ctx.xp.multiply(diff, dloss, out=dx)
