"""Where the windows of convolution and pooling lie."""

from ...core.attributes import only
from ...core.errors import EnforceNotMet

_CHANNELS_LAST = "NHWC"
# "AnyLayout" is what old programs say for NCHW.
LAYOUT = only("NCHW", "NHWC", "AnyLayout")


def is_channels_last(attrs):
    """Whether images are (N, H, W, C) rather than (N, C, H, W)."""
    return attrs.get("data_format", "NCHW") == _CHANNELS_LAST


def as_nchw(array, attrs):
    """The (N, C, H, W) view of an image array."""
    return array.transpose(0, 3, 1, 2) if is_channels_last(attrs) else array


def nchw_shape(shape, attrs):
    """The shape as (N, C, H, W)."""
    return (shape[0], shape[3], shape[1], shape[2]) if is_channels_last(attrs) else tuple(shape)


def from_nchw_shape(shape, attrs):
    """An (N, C, H, W) shape in the order of the operator's data_format."""
    return (shape[0], shape[2], shape[3], shape[1]) if is_channels_last(attrs) else tuple(shape)


def resolve_padding(attrs, sizes, kernel):
    """Padding as ((top, bottom), (left, right)), or so for more dimensions.

    'SAME' pads so that the output has ceil(size / stride) elements, 'VALID' not at all.

    Args:
        attrs: `paddings` (a number or a pair of them for each dimension), `padding_algorithm`, `strides`.
        sizes, kernel: (H, W) of the image and of the window.
    """
    algorithm, rank = attrs["padding_algorithm"], len(kernel)
    if algorithm == "VALID":
        return ((0, 0),) * rank
    if algorithm == "SAME":
        pads = []
        for size, window, stride in zip(sizes, kernel, attrs["strides"], strict=True):
            total = max((-(-size // stride) - 1) * stride + window - size, 0) if size > 0 else 0
            pads.append((total // 2, total - total // 2))
        return tuple(pads)
    paddings = attrs["paddings"]
    if len(paddings) == rank:
        return tuple((padding, padding) for padding in paddings)
    if len(paddings) == 2 * rank:
        return tuple(zip(paddings[::2], paddings[1::2], strict=True))
    raise EnforceNotMet(f"paddings must hold {rank} or {2 * rank} numbers, got {paddings}")


def output_size(size, window, padding, stride, dilation=1, ceil_mode=False):
    """How many windows fit along one dimension; -1 for an unknown size."""
    if size < 0:
        return -1
    room = size + sum(padding) - (dilation * (window - 1) + 1)
    return (-(-room // stride) if ceil_mode else room // stride) + 1


def tap_range(tap, size, before, stride, outputs):
    """The outputs [first, last) whose window element `tap` lies inside the image, and the first such image index.

    Args:
        tap: offset of the element in the window (dilation included).
        size: of the image along this dimension.
        before: padding in front.
        stride, outputs: of the windows.
    """
    first = max(0, -(-(before - tap) // stride))
    last = min(outputs, (size - 1 - tap + before) // stride + 1)
    return first, max(first, last), first * stride + tap - before


class ConvGeometry:
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
        if (self.out_h < 1 and self.height >= 0) or (self.out_w < 1 and self.width >= 0):
            raise EnforceNotMet(
                f"the filter {self.kh}x{self.kw} does not fit into the padded input of shape {list(x_shape)}"
            )
        self.group_filters = self.filters // self.groups
        self.rows = self.height + sum(self.pad_h)
        self.inner = self.out_w * self.batch

    @property
    def out_shape(self):
        return (self.batch, self.filters, self.out_h, self.out_w)
