"""Small networks made of several layers."""

from . import layers

__all__ = ["simple_img_conv_pool", "img_conv_group"]


def simple_img_conv_pool(
    input,
    num_filters,
    filter_size,
    pool_size,
    pool_stride,
    pool_padding=0,
    pool_type="max",
    global_pooling=False,
    conv_stride=1,
    conv_padding=0,
    conv_dilation=1,
    conv_groups=1,
    param_attr=None,
    bias_attr=None,
    act=None,
    use_cudnn=True,
):
    """A convolution followed by pooling; the arguments are those of `layers.conv2d` and `layers.pool2d`.

    Args:
        input (Variable): [N, C, H, W], float.
    Returns:
        Variable of shape [N, num_filters, H', W'].
    """
    convolved = layers.conv2d(
        input,
        num_filters,
        filter_size,
        stride=conv_stride,
        padding=conv_padding,
        dilation=conv_dilation,
        groups=conv_groups,
        param_attr=param_attr,
        bias_attr=bias_attr,
        act=act,
        use_cudnn=use_cudnn,
    )
    return layers.pool2d(
        convolved,
        pool_size=pool_size,
        pool_type=pool_type,
        pool_stride=pool_stride,
        pool_padding=pool_padding,
        global_pooling=global_pooling,
        use_cudnn=use_cudnn,
    )


def img_conv_group(
    input,
    conv_num_filter,
    pool_size,
    conv_padding=1,
    conv_filter_size=3,
    conv_act=None,
    param_attr=None,
    conv_with_batchnorm=False,
    conv_batchnorm_drop_rate=0.0,
    pool_stride=1,
    pool_type="max",
    use_cudnn=True,
):
    """Several convolutions, each with batch normalisation and dropout where asked for, then pooling: a block of VGG.

    Args:
        input (Variable): [N, C, H, W], float.
        conv_num_filter (list of int): filters of each convolution.
        pool_size, pool_stride, pool_type: of the pooling at the end.
        conv_padding, conv_filter_size, param_attr, conv_with_batchnorm, conv_batchnorm_drop_rate: one value for all
            convolutions, or a list with one for each.
        conv_act (str): the activation; it follows the batch normalisation where there is one.
    Returns:
        Variable of shape [N, conv_num_filter[-1], H', W'].
    Raises:
        TypeError: conv_num_filter is not a list.
        ValueError: a list of another length than conv_num_filter.
    """
    if not isinstance(conv_num_filter, (list, tuple)):
        raise TypeError(f"img_conv_group: conv_num_filter must be a list, got {conv_num_filter!r}")

    def per_convolution(argument, value):
        if not hasattr(value, "__len__") or isinstance(value, str):
            return [value] * len(conv_num_filter)
        if len(value) != len(conv_num_filter):
            raise ValueError(
                f"img_conv_group: {argument} has {len(value)} values for {len(conv_num_filter)} convolutions"
            )
        return value

    settings = zip(
        conv_num_filter,
        per_convolution("conv_padding", conv_padding),
        per_convolution("conv_filter_size", conv_filter_size),
        per_convolution("param_attr", param_attr),
        per_convolution("conv_with_batchnorm", conv_with_batchnorm),
        per_convolution("conv_batchnorm_drop_rate", conv_batchnorm_drop_rate),
        strict=True,
    )
    for filters, padding, size, attr, with_batchnorm, drop_rate in settings:
        act = None if with_batchnorm else conv_act
        input = layers.conv2d(input, filters, size, padding=padding, param_attr=attr, act=act, use_cudnn=use_cudnn)
        if with_batchnorm:
            input = layers.batch_norm(input, act=conv_act)
            if abs(drop_rate) > 1e-5:
                input = layers.dropout(input, dropout_prob=drop_rate)
    return layers.pool2d(input, pool_size=pool_size, pool_type=pool_type, pool_stride=pool_stride, use_cudnn=use_cudnn)
