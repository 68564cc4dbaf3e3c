"""Normalization of groups of channels of each image by their own mean and variance.

Group normalization (Wu and He, https://arxiv.org/abs/1803.08494) and, where each channel is a group of its own,
instance normalization (Ulyanov et al., https://arxiv.org/abs/1607.08022).
"""

from ..core.errors import EnforceNotMet
from ..core.operators import operator
from ..core.spec import Spec
from ..core.traits import BOUND, About, Batch, Lod
from .arrays.geometry import LAYOUT, is_channels_last
from .layer_norm import flops_of_normalization


class Groups:
    """The elements of each group of an image: views (N, groups, channels of a group, elements of a channel ...)."""

    def __init__(self, ctx, model, groups=None):
        self.ctx, self.xp = ctx, ctx.xp
        self.last = is_channels_last({"data_format": ctx.attrs.get("data_layout", "NCHW")})
        self.channels = model.shape[-1 if self.last else 1]
        self.groups = groups or self.channels
        self.axes = tuple(range(2, model.ndim + 1))

    def view(self, array):
        """An image."""
        array = self.xp.moveaxis(array, -1, 1) if self.last else array
        return array.reshape(len(array), self.groups, self.channels // self.groups, *array.shape[2:])

    def of_channels(self, vector):
        """A number for each channel, as a view that broadcasts against images."""
        return vector.reshape(1, self.groups, -1, *(1,) * (len(self.axes) - 1))

    def of_groups(self, numbers):
        """A number for each group of each image, as a view that broadcasts against images."""
        return numbers.reshape(-1, self.groups, *(1,) * len(self.axes))

    def mean(self, image, out):
        self.xp.mean(image, axis=self.axes, keepdims=True, out=out)

    def sum_channels(self, image, out):
        axes = (0, *self.axes[1:])
        self.xp.sum(image, axis=axes, keepdims=True, out=self.of_channels(out))


def normalize(groups, x, scale, bias, y, mean, variance, epsilon):
    """y = (x - mean) / sqrt(variance + epsilon) * scale + bias for views of images; returns 1 / sqrt(...)."""
    xp = groups.xp
    squares = groups.ctx.scratch(y.shape, y.dtype)

    def step():
        groups.mean(x, mean)
        xp.subtract(x, mean, out=y)
        xp.multiply(y, y, out=squares)
        groups.mean(squares, variance)
        inverse = 1 / xp.sqrt(variance + epsilon)
        xp.multiply(y, inverse, out=y)
        if scale is not None:
            xp.multiply(y, groups.of_channels(scale), out=y)
        if bias is not None:
            xp.add(y, groups.of_channels(bias), out=y)
        return inverse

    return step


def slopes(groups, normalized, scale, dy, dx, dscale, dbias):
    """The gradients for views of images; they overwrite `normalized`, which is (X - mean) * inverse.

    With g = scale dy, n = normalized and m(.) the mean over a group: dx = (g - m(g) - n m(g n)) * inverse; over all
    images, dscale = sum(dy n) and dbias = sum(dy).
    """
    xp = groups.xp
    product = groups.ctx.scratch(normalized.shape, normalized.dtype)

    def step(inverse):
        if dbias is not None:
            groups.sum_channels(dy, dbias)
        xp.multiply(dy, normalized, out=product)
        if dscale is not None:
            groups.sum_channels(product, dscale)
        if dx is None:
            return
        factor = 1 if scale is None else groups.of_channels(scale)
        xp.multiply(product, factor, out=product)
        xp.multiply(normalized, product.mean(axis=groups.axes, keepdims=True), out=normalized)
        xp.multiply(dy, factor, out=product)
        xp.subtract(product, product.mean(axis=groups.axes, keepdims=True), out=product)
        xp.subtract(product, normalized, out=product)
        xp.multiply(product, inverse, out=dx)

    return step


def check_vectors(channels, **specs):
    for name, spec in specs.items():
        if spec is not None and channels >= 0 and spec.size != channels:
            raise EnforceNotMet(f"{name} must hold {channels} numbers, one for each channel, got {list(spec.shape)}")


def infer_group_norm(attrs, x, scale, bias):
    if len(x.shape) < 2:
        raise EnforceNotMet(f"X must have 2 dimensions or more, got shape {list(x.shape)}")
    channels = x.shape[-1 if is_channels_last({"data_format": attrs["data_layout"]}) else 1]
    if attrs["groups"] < 1 or channels % attrs["groups"]:
        raise EnforceNotMet(
            f"groups must divide the {channels} channels of X of shape {list(x.shape)}, got {attrs['groups']}"
        )
    check_vectors(channels, Scale=scale, Bias=bias)
    statistics = Spec((x.shape[0], attrs["groups"]), x.dtype)
    return x, statistics, statistics


@operator(
    "group_norm",
    inputs="X, Scale?, Bias?",
    outputs="Y, Mean!, Variance!",
    attributes={"groups": 1, "epsilon": 1e-5, "data_layout": LAYOUT},
    infer=infer_group_norm,
    kernel=BOUND,
    batch=Batch(rows="X Y Mean Variance"),
    lod=Lod(of={"Mean": "none", "Variance": "none"}),
    about=About(flops=flops_of_normalization),
)
def group_norm(ctx, x, scale, bias, y, mean, variance):
    groups = Groups(ctx, x, ctx.attrs["groups"])
    statistics = groups.of_groups(mean), groups.of_groups(variance)
    return normalize(groups, groups.view(x), scale, bias, groups.view(y), *statistics, ctx.attrs["epsilon"])


@group_norm.gradient(
    "Y, Scale, Bias, Variance",
    infer=lambda attrs, y, scale, bias, variance, dy: (dy, scale, bias),
    kernel=BOUND,
    lod=Lod(of="none"),
)
def group_norm_grad(ctx, y, scale, bias, variance, dy, dx, dscale, dbias):
    xp, groups = ctx.xp, Groups(ctx, y, ctx.attrs["groups"])
    image = groups.view(y)
    normalized = ctx.scratch(image.shape, y.dtype)
    find = slopes(
        groups,
        normalized,
        scale,
        groups.view(dy),
        None if dx is None else groups.view(dx),
        dscale,
        dbias,
    )

    def step():
        # The gradient is told Y, not X; a channel that is scaled by 0 says nothing about it.
        xp.subtract(image, 0 if bias is None else groups.of_channels(bias), out=normalized)
        if scale is not None:
            factors = groups.of_channels(scale)
            xp.multiply(normalized, xp.where(factors == 0, 0, 1 / xp.where(factors == 0, 1, factors)), out=normalized)
        find(1 / xp.sqrt(groups.of_groups(variance) + ctx.attrs["epsilon"]))

    return step


def infer_instance_norm(attrs, x, scale, bias):
    if not 2 <= len(x.shape) <= 5:
        raise EnforceNotMet(f"X must have 2 to 5 dimensions, got shape {list(x.shape)}")
    check_vectors(x.shape[1], Scale=scale, Bias=bias)
    statistics = Spec((x.shape[0] * x.shape[1] if x.shape[0] >= 0 else -1,), x.dtype)
    return x, statistics, statistics


@operator(
    "instance_norm",
    inputs="X, Scale, Bias",
    outputs="Y, SavedMean!, SavedVariance!",
    attributes={"epsilon": 1e-5},
    infer=infer_instance_norm,
    kernel=BOUND,
    lod=Lod(of={"SavedMean": "none", "SavedVariance": "none"}),
    about=About(flops=flops_of_normalization),
)
def instance_norm(ctx, x, scale, bias, y, mean, inverse):
    """SavedVariance holds 1 / sqrt(variance + epsilon)."""
    groups = Groups(ctx, x)
    saved = groups.of_groups(inverse)
    statistics = groups.of_groups(mean), saved
    step = normalize(groups, groups.view(x), scale, bias, groups.view(y), *statistics, ctx.attrs["epsilon"])

    def all_steps():
        saved[...] = step()

    return all_steps


_INSTANCE = "X, Scale, SavedMean, SavedVariance"


@instance_norm.gradient(
    _INSTANCE, infer=lambda attrs, x, scale, mean, inverse, dy: (x, scale, scale), kernel=BOUND, lod=Lod(of="none")
)
def instance_norm_grad(ctx, x, scale, mean, inverse, dy, dx, dscale, dbias):
    xp, groups = ctx.xp, Groups(ctx, x)
    image = groups.view(x)
    normalized = ctx.scratch(image.shape, x.dtype)
    views = groups.view(dy), None if dx is None else groups.view(dx)
    find = slopes(groups, normalized, scale, *views, dscale, dbias)

    def step():
        xp.subtract(image, groups.of_groups(mean), out=normalized)
        xp.multiply(normalized, groups.of_groups(inverse), out=normalized)
        find(groups.of_groups(inverse))

    return step


@instance_norm_grad.gradient(f"{_INSTANCE}, Y@GRAD", gives="X, Scale, Y@GRAD", kernel=BOUND)
def instance_norm_grad_grad(ctx, x, scale, mean, inverse, dy, ddx, ddscale, ddbias, dx, dscale, ddy):
    """With n = (X - mean) * inverse, r = inverse, s = Scale, m(.) the mean over a group, p = m(DDX n), q = m(DY n):

    DDY = r s (DDX - m(DDX) - n p) + DDScale n + DDBias,
    DScale = the sum of DDX r (DY - m(DY) - n q), and
    DX = -s r^2 (n (m(DDX DY) - m(DDX) m(DY) - 3 p q) + q (DDX - m(DDX)) + p (DY - m(DY)))
         + DDScale r (DY - m(DY) - n q).
    """
    xp, groups = ctx.xp, Groups(ctx, x)
    image, slope, ddslope, dx_image, ddy_image = (
        None if array is None else groups.view(array) for array in (x, dy, ddx, dx, ddy)
    )
    n, t, u = (ctx.scratch(image.shape, x.dtype) for _ in range(3))
    r, s = groups.of_groups(inverse), groups.of_channels(scale)

    def mean_of(array, *factors):
        for factor in factors:
            array = xp.multiply(array, factor, out=t)
        return array.mean(axis=groups.axes, keepdims=True)

    def less_mean(array, average, product):
        """u = array - its mean - n * m(array n)"""
        xp.multiply(n, product, out=u)
        xp.subtract(array, u, out=u)
        xp.subtract(u, average, out=u)

    def step():
        xp.subtract(image, groups.of_groups(mean), out=n)
        xp.multiply(n, r, out=n)
        average, q = mean_of(slope), mean_of(slope, n)
        for target in (dx, dscale, ddy):
            if target is not None:
                target.fill(0)
        if ddx is not None:
            ddaverage, p, product = mean_of(ddslope), mean_of(ddslope, n), mean_of(ddslope, slope)
            if ddy is not None:
                less_mean(ddslope, ddaverage, p)
                xp.multiply(u, r * s, out=ddy_image)
            if dscale is not None:
                less_mean(slope, average, q)
                xp.multiply(u, r, out=u)
                xp.multiply(u, ddslope, out=u)
                groups.sum_channels(u, dscale)
            if dx is not None:
                xp.multiply(n, product - ddaverage * average - 3 * p * q, out=t)
                for array, middle, factor in ((ddslope, ddaverage, q), (slope, average, p)):
                    xp.subtract(array, middle, out=u)
                    xp.multiply(u, factor, out=u)
                    xp.add(t, u, out=t)
                xp.multiply(t, -s * r * r, out=dx_image)
        if ddscale is not None:
            factor = groups.of_channels(ddscale)
            if ddy is not None:
                xp.multiply(n, factor, out=u)
                xp.add(ddy_image, u, out=ddy_image)
            if dx is not None:
                less_mean(slope, average, q)
                xp.multiply(u, factor * r, out=u)
                xp.add(dx_image, u, out=dx_image)
        if ddbias is not None and ddy is not None:
            xp.add(ddy_image, groups.of_channels(ddbias), out=ddy_image)

    return step
