"""Convolution of images.

The input is unrolled along W only: U[g, h, (c, j), (w, n)] = x[n, g*Cg + c, h, w*stride + j].  A window of kh
consecutive rows of U is one contiguous matrix, so an output row is one matrix product of the filter with such a window,
and the whole convolution is one batched `matmul` over an overlapping strided view: kw-fold instead of kh*kw-fold
copying.  The gradient of the filter is the product of the output gradient with the same windows; the gradient of the
input is the same trick over the zero-padded rows of the output gradient.

Everything works on logical (N, C, H, W) arrays with any strides.  Batch-last storage makes the copies contiguous and
lets the products go straight into the output.
"""

from .geometry import as_nchw, from_nchw_shape, nchw_shape, output_size, resolve_padding, tap_range
from .registry import STORED, EnforceNotMet, Spec, operator

_ATTRS = {
    "strides": [1, 1],
    "paddings": [0, 0],
    "padding_algorithm": "EXPLICIT",
    "dilations": [1, 1],
    "groups": 1,
    "data_format": "NCHW",
    "is_test": False,
}


class _Geometry:
    """The numbers of one convolution, from its attributes and shapes."""

    def __init__(self, attrs, x_shape, w_shape):
        if len(x_shape) != 4 or len(w_shape) != 4:
            raise EnforceNotMet(
                f"convolution needs a 4-D input and a 4-D filter, got shapes {list(x_shape)} and {list(w_shape)}"
            )
        self.batch, self.channels, self.height, self.width = nchw_shape(x_shape, attrs)
        self.filters, self.group_channels, self.kh, self.kw = w_shape
        self.groups = attrs["groups"]
        if (
            self.groups < 1
            or self.filters % self.groups
            or self.channels not in (-1, self.group_channels * self.groups)
        ):
            raise EnforceNotMet(
                f"the input has {self.channels} channels (shape {list(x_shape)}), but the filter {list(w_shape)} with "
                f"groups={self.groups} takes {self.group_channels * self.groups}, and makes {self.filters}"
            )
        self.stride_h, self.stride_w = attrs["strides"]
        # As in Fluid, a filter that is padded to keep the size is not dilated.
        same = attrs["padding_algorithm"] == "SAME"
        self.dilation_h, self.dilation_w = (1, 1) if same else attrs["dilations"]
        self.pad_h, self.pad_w = resolve_padding(attrs, (self.height, self.width), (self.kh, self.kw))
        self.out_h = output_size(self.height, self.kh, self.pad_h, self.stride_h, self.dilation_h)
        self.out_w = output_size(self.width, self.kw, self.pad_w, self.stride_w, self.dilation_w)
        if self.out_h == 0 or self.out_w == 0 or self.out_h < -1 or self.out_w < -1:
            raise EnforceNotMet(
                f"the filter {self.kh}x{self.kw} does not fit into the padded input of shape {list(x_shape)}"
            )
        self.group_filters = self.filters // self.groups
        self.rows = self.height + sum(self.pad_h)
        self.inner = self.out_w * self.batch

    @property
    def out_shape(self):
        return (self.batch, self.filters, self.out_h, self.out_w)

    def taps(self):
        """(j, first, last, start) for each filter column: outputs [first, last) read the input from column start on."""
        for j in range(self.kw):
            first, last, start = tap_range(j * self.dilation_w, self.width, self.pad_w[0], self.stride_w, self.out_w)
            yield j, first, last, start

    def columns(self, start, count):
        """The slice of input columns that `count` neighbouring windows read."""
        return slice(start, start + (count - 1) * self.stride_w + 1, self.stride_w)


def _infer(attrs, x, w, *_):
    return Spec(from_nchw_shape(_Geometry(attrs, x.shape, w.shape).out_shape, attrs), x.dtype)


class _Unrolled:
    """The input unrolled along W, as windows: a matrix (kh*Cg*kw, W'*N) for each group and output row."""

    def __init__(self, ctx, x, g):
        self.g = g
        x = as_nchw(x, ctx.attrs).transpose(STORED)
        self.copies, self.zeros = [], []
        pointwise = g.kw == 1 and g.stride_w == 1 and g.groups == 1 and not any(g.pad_h + g.pad_w)
        if pointwise and x.flags.c_contiguous:
            rows = x.reshape(1, g.height, g.channels, g.inner)
        else:
            rows = ctx.scratch((g.groups, g.rows, g.group_channels * g.kw, g.inner), x.dtype)
            u = rows.reshape(g.groups, g.rows, g.group_channels, g.kw, g.out_w, g.batch)
            top = g.pad_h[0]
            self.zeros += [u[:, :top], u[:, top + g.height :]]
            body = u[:, top : top + g.height]
            source = x.reshape(g.height, g.groups, g.group_channels, g.width, g.batch).transpose(1, 0, 2, 3, 4)
            for j, first, last, start in g.taps():
                if last > first:
                    columns = g.columns(start, last - first)
                    self.copies.append((body[:, :, :, j, first:last], source[:, :, :, columns]))
                self.zeros += [body[:, :, :, j, :first], body[:, :, :, j, last:]]
            self.zeros = [part for part in self.zeros if part.size]
        self.windows, self.gather = _windows(ctx, rows, g.out_h, g.stride_h, g.kh, g.dilation_h)

    def fill(self, xp):
        for part in self.zeros:
            part.fill(0)
        for target, source in self.copies:
            xp.copyto(target, source)
        if self.gather:
            xp.copyto(*self.gather)


def _windows(ctx, rows, count, stride, kernel, dilation):
    """The matrices (G, count, kernel*K, S) of the `kernel` rows of (G, R, K, S) that each window holds.

    Without dilation they are an overlapping view.  With it, they are scratch, filled by copying the second result.
    """
    groups, _, k, inner = rows.shape
    s = rows.strides
    as_strided = ctx.xp.lib.stride_tricks.as_strided
    if dilation == 1 or kernel == 1:
        return as_strided(rows, (groups, count, kernel * k, inner), (s[0], s[1] * stride, s[2], s[3])), None
    view = as_strided(rows, (groups, count, kernel, k, inner), (s[0], s[1] * stride, s[1] * dilation, s[2], s[3]))
    gathered = ctx.scratch(view.shape, rows.dtype)
    return gathered.reshape(groups, count, kernel * k, inner), (gathered, view)


def _output_rows(ctx, array, g):
    """The output (or its gradient) as (G, H', Kg, W'*N), and None.

    Where the array is not stored batch-last, these rows are scratch; the second result is then (array, scratch), of one
    shape, to be copied one way or the other.
    """
    stored = as_nchw(array, ctx.attrs).transpose(STORED)
    rows = stored
    if not stored.flags.c_contiguous:
        rows = ctx.scratch(stored.shape, array.dtype)
    matrix = rows.reshape(g.out_h, g.groups, g.group_filters, g.inner).transpose(1, 0, 2, 3)
    return matrix, (None if rows is stored else (stored, rows))


def _conv2d(ctx, x, w, bias, out):
    xp = ctx.xp
    g = _Geometry(ctx.attrs, x.shape, w.shape)
    u = _Unrolled(ctx, x, g)
    matrix = ctx.scratch((g.groups, 1, g.group_filters, g.kh * g.group_channels * g.kw), w.dtype)
    ordered = matrix.reshape(g.groups, g.group_filters, g.kh, g.group_channels, g.kw)
    source = w.reshape(g.groups, g.group_filters, g.group_channels, g.kh, g.kw).transpose(0, 1, 3, 2, 4)
    rows, copy = _output_rows(ctx, out, g)
    per_channel = None if bias is None else bias.reshape(g.groups, 1, g.group_filters, 1)

    def step():
        u.fill(xp)
        xp.copyto(ordered, source)
        xp.matmul(matrix, u.windows, out=rows)
        if per_channel is not None:
            xp.add(rows, per_channel, out=rows)
        if copy:
            xp.copyto(*copy)

    return step


def _conv2d_grad(ctx, x, w, bias, dout, dx, dw, dbias):
    xp = ctx.xp
    g = _Geometry(ctx.attrs, x.shape, w.shape)
    rows, copy = _output_rows(ctx, dout, g)
    steps = []
    if copy:
        steps.append(lambda: xp.copyto(copy[1], copy[0]))
    if dw is not None:
        steps.append(_filter_gradient(ctx, x, dw, rows, g))
    if dx is not None:
        steps.append(_input_gradient(ctx, w, dx, rows, g))
    if dbias is not None:
        steps.append(lambda: xp.sum(rows, axis=(1, 3), out=dbias.reshape(g.groups, g.group_filters)))

    def step():
        for part in steps:
            part()

    return step


def _filter_gradient(ctx, x, dw, rows, g):
    xp = ctx.xp
    u = _Unrolled(ctx, x, g)
    taps = g.kh * g.group_channels * g.kw
    factors = (u.windows, rows.transpose(0, 1, 3, 2))
    shape = (g.groups, taps, g.group_filters)
    order = (0, 4, 2, 1, 3)
    sizes = (g.groups, g.kh, g.group_channels, g.kw, g.group_filters)
    if taps < g.group_filters:
        # The product is fastest with its longer side first.
        factors = (rows, u.windows.transpose(0, 1, 3, 2))
        shape = (g.groups, g.group_filters, taps)
        order = (0, 1, 3, 2, 4)
        sizes = (g.groups, g.group_filters, g.kh, g.group_channels, g.kw)
    parts = ctx.scratch((g.groups, g.out_h, *shape[1:]), x.dtype)
    total = ctx.scratch(shape, x.dtype)
    ordered = total.reshape(sizes).transpose(order)
    target = dw.reshape(g.groups, g.group_filters, g.group_channels, g.kh, g.kw)

    def step():
        u.fill(xp)
        xp.matmul(*factors, out=parts)
        xp.sum(parts, axis=1, out=total)
        xp.copyto(target, ordered)

    return step


def _input_gradient(ctx, w, dx, rows, g):
    """dU[h] = (filter, flipped along kh) @ the window of padded output-gradient rows that end at h; then fold U."""
    xp = ctx.xp
    reach = (g.kh - 1) * g.dilation_h
    padded = ctx.scratch((g.groups, g.rows + reach, g.group_filters, g.inner), w.dtype)
    # Row r of the output gradient meets the padded input rows from r * stride_h on.
    inside = padded[:, reach : reach + (g.out_h - 1) * g.stride_h + 1 : g.stride_h]
    dense = g.stride_h == 1
    borders = [padded[:, :reach], padded[:, reach + g.out_h :]] if dense else [padded]
    windows, gather = _windows(ctx, padded, g.rows, 1, g.kh, g.dilation_h)
    matrix = ctx.scratch((g.groups, 1, g.group_channels * g.kw, g.kh * g.group_filters), w.dtype)
    ordered = matrix.reshape(g.groups, g.group_channels, g.kw, g.kh, g.group_filters)
    by_group = w.reshape(g.groups, g.group_filters, g.group_channels, g.kh, g.kw)
    source = by_group[:, :, :, ::-1].transpose(0, 2, 4, 3, 1)
    du = ctx.scratch((g.groups, g.rows, g.group_channels * g.kw, g.inner), w.dtype)
    unrolled = du.reshape(g.groups, g.rows, g.group_channels, g.kw, g.out_w, g.batch)
    unrolled = unrolled[:, g.pad_h[0] : g.pad_h[0] + g.height]
    stored = as_nchw(dx, ctx.attrs).transpose(STORED)
    folded = stored if stored.flags.c_contiguous else ctx.scratch(stored.shape, w.dtype)
    copy = None if folded is stored else (stored, folded)
    target = folded.reshape(g.height, g.groups, g.group_channels, g.width, g.batch).transpose(1, 0, 2, 3, 4)
    adds = [
        (target[:, :, :, g.columns(start, last - first)], unrolled[:, :, :, j, first:last])
        for j, first, last, start in g.taps()
        if last > first
    ]

    def step():
        for part in borders:
            part.fill(0)
        xp.copyto(inside, rows)
        if gather:
            xp.copyto(*gather)
        xp.copyto(ordered, source)
        xp.matmul(matrix, windows, out=du)
        folded.fill(0)
        for place, part in adds:
            xp.add(place, part, out=place)
        if copy:
            xp.copyto(*copy)

    return step


for _type in ("conv2d", "depthwise_conv2d"):
    _definition = operator(
        _type,
        inputs="Input, Filter, Bias?",
        outputs="Output",
        attrs=_ATTRS,
        infer=_infer,
        bind=True,
        image="Input Output",
        rows="Input Output",
    )(_conv2d)
    _definition.gradient("Input Filter Bias", bind=True, image="Input Output@GRAD Input@GRAD")(_conv2d_grad)
