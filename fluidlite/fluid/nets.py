"""Small networks made of several layers."""

from . import layers
from .layers.checks import check_dtype, integer

__all__ = ["simple_img_conv_pool", "img_conv_group", "sequence_conv_pool", "glu", "scaled_dot_product_attention"]


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
    """A convolution followed by pooling.

    Args:
        input (Variable): [N, C, H, W], float.
        num_filters, filter_size, conv_stride, conv_padding, conv_dilation, conv_groups: of the convolution; see
            `layers.conv2d`.
        param_attr, bias_attr, act: of the convolution.
        pool_size, pool_type, pool_stride, pool_padding, global_pooling: of the pooling; see `layers.pool2d`.
        use_cudnn (bool): saved with the model, for Paddle; without effect here.
    Returns:
        Variable of shape [N, num_filters, H', W'].
    Raises:
        TypeError, ValueError: a wrong argument.
        EnforceNotMet: the filter or the window does not fit.
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
        use_cudnn (bool): saved with the model, for Paddle; without effect here.
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


def sequence_conv_pool(
    input, num_filters, filter_size, param_attr=None, act="sigmoid", pool_type="max", bias_attr=None
):
    """A convolution along sequences, then pooling: one row for each sequence.

    Args:
        input (Variable): float, [rows, size], of one level.
        num_filters, filter_size, param_attr, act, bias_attr: of the convolution; see `layers.sequence_conv`.
        pool_type (str): of the pooling; see `layers.sequence_pool`.
    Returns:
        Variable of shape [sequences, num_filters].
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: input has another number of levels, or there is no such pool_type.
    """
    convolved = layers.sequence_conv(
        input, num_filters, filter_size, param_attr=param_attr, bias_attr=bias_attr, act=act
    )
    return layers.sequence_pool(convolved, pool_type)


def glu(input, dim=-1):
    """A gated linear unit: the first half of a tensor, times the sigmoid of the second one.

    See Dauphin et al., https://arxiv.org/abs/1612.08083.

    Args:
        input (Variable): float tensor.
        dim (int): the dimension that is halved; its size is even.
    Returns:
        Variable of the shape of input, with half the size in `dim`.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the dimension cannot be halved.
    """
    check_dtype("glu", "input", input, "f")
    values, gates = layers.split(input, num_or_sections=2, dim=integer("glu", "dim", dim))
    return layers.elementwise_mul(values, layers.sigmoid(gates))


def scaled_dot_product_attention(queries, keys, values, num_heads=1, dropout_rate=0.0):
    """Attention: for each query the mean of the values, weighted by how well their keys go with the query.

    The weights are softmax(queries @ keys^T / sqrt(hidden / num_heads)).  With several heads, fully connected layers
    map queries, keys and values first, and each head works on a part of the result.  See Vaswani et al.,
    https://arxiv.org/abs/1706.03762.

    Args:
        queries (Variable): float, [batch, queries, hidden].
        keys (Variable): float, [batch, keys, hidden].
        values (Variable): float, [batch, keys, value hidden].
        num_heads (int): a divisor of hidden and of value hidden.
        dropout_rate (float): of the weights.
    Returns:
        Variable of shape [batch, queries, value hidden].
    Raises:
        TypeError: a wrong argument.
        ValueError: the shapes or the number of heads do not fit.
    """
    layer = "scaled_dot_product_attention"
    for argument, variable in (("queries", queries), ("keys", keys), ("values", values)):
        check_dtype(layer, argument, variable, "f")
    shapes = [list(variable.shape) for variable in (queries, keys, values)]
    if any(len(shape) != 3 for shape in shapes) or shapes[0][2] != shapes[1][2] or shapes[1][1] != shapes[2][1]:
        raise ValueError(
            f"{layer}: queries [batch, queries, hidden], keys [batch, keys, hidden] and values [batch, keys, value "
            f"hidden] must agree in hidden and in keys, got {shapes[0]}, {shapes[1]} and {shapes[2]}"
        )
    if integer(layer, "num_heads", num_heads) < 1 or shapes[1][2] % num_heads or shapes[2][2] % num_heads:
        raise ValueError(
            f"{layer}: num_heads must divide the hidden sizes {shapes[1][2]} and {shapes[2][2]}, got {num_heads}"
        )
    if num_heads > 1:
        mapped = [layers.fc(v, v.shape[2], num_flatten_dims=2) for v in (queries, keys, values)]
        queries, keys, values = (_split_heads(variable, num_heads) for variable in mapped)
    scaled = layers.scale(queries, scale=(shapes[0][2] / num_heads) ** -0.5)
    products = layers.matmul(scaled, keys, transpose_y=True)
    rows = layers.reshape(products, [-1, products.shape[-1]], act="softmax")
    weights = layers.reshape(rows, list(products.shape))
    if dropout_rate:
        weights = layers.dropout(weights, dropout_prob=dropout_rate)
    found = layers.matmul(weights, values)
    return found if num_heads == 1 else _join_heads(found)


def _split_heads(variable, num_heads):
    """[batch, n, hidden] -> [batch, heads, n, hidden / heads]."""
    batch, count, hidden = variable.shape
    parts = layers.reshape(variable, [batch, count, num_heads, hidden // num_heads])
    return layers.transpose(parts, perm=[0, 2, 1, 3])


def _join_heads(variable):
    """[batch, heads, n, hidden] -> [batch, n, heads * hidden]."""
    parts = layers.transpose(variable, perm=[0, 2, 1, 3])
    batch, count, heads, hidden = parts.shape
    return layers.reshape(parts, [batch, count, heads * hidden])
