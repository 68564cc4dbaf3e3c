"""The layers that networks for images are made of."""

import math

from ...core.dtypes import VarType, var_type
from ...core.errors import EnforceNotMet
from ..framework import UserFrame, Variable
from ..initializer import Constant, Normal
from ..layer_helper import LayerHelper
from ..messages import described
from ..param_attr import ParamAttr
from .checks import append, channel_axis, check_dtype, check_variable, paddings_of, pair, positive

__all__ = ["spectral_norm", "fc", "conv2d", "pool2d", "batch_norm", "dropout", "softmax", "log_softmax"]


def fc(input, size, num_flatten_dims=1, param_attr=None, bias_attr=None, act=None, name=None):
    """A fully connected layer: act(sum of input_i @ W_i + b).

    Args:
        input (Variable or list): float tensors, flattened to matrices.
        size (int): number of outputs.
        num_flatten_dims (int): how many leading dimensions stay rows; -1: all but the last.
        param_attr (ParamAttr): of the weights (columns of the flattened input x size); a list for several inputs.
        bias_attr (ParamAttr or False): of the bias [size]; False for none.
        act (str): an activation such as "relu" or "softmax".
        name (str): the first part of generated names.
    Returns:
        Variable of shape input.shape[:num_flatten_dims] + [size].
    Raises:
        TypeError: input is no float Variable, or size no integer.
        EnforceNotMet: a dimension to be flattened is unknown.
    """
    helper = LayerHelper("fc", input=input, param_attr=param_attr, bias_attr=bias_attr, act=act, name=name)
    for variable in helper.multiple_input():
        check_dtype("fc", "input", variable, "f")
    dtype = helper.input_dtype()
    size = positive("fc", "size", size)
    products = []
    for variable, attr in helper.iter_inputs_and_params():
        rank = len(variable.shape)
        split = rank - 1 if num_flatten_dims == -1 else num_flatten_dims
        if not 0 < split < rank:
            raise EnforceNotMet(
                f"fc: num_flatten_dims must leave a row and a column of the input, got {num_flatten_dims} for "
                f"{variable.name} of shape {list(variable.shape)}\n  called at {UserFrame.current()}"
            )
        columns = variable.shape[split:]
        if -1 in columns:
            raise EnforceNotMet(
                f"fc: the dimensions of {variable.name} that are flattened must be known, got shape "
                f"{list(variable.shape)} with num_flatten_dims={num_flatten_dims}\n  called at {UserFrame.current()}"
            )
        weight = helper.create_parameter(attr, [math.prod(columns), size], dtype)
        product = helper.create_variable_for_type_inference(dtype)
        helper.append_op(
            type="mul",
            inputs={"X": variable, "Y": weight},
            outputs={"Out": product},
            attrs={"x_num_col_dims": split, "y_num_col_dims": 1},
        )
        products.append(product)
    total = products[0]
    if len(products) > 1:
        total = helper.create_variable_for_type_inference(dtype)
        helper.append_op(type="sum", inputs={"X": products}, outputs={"Out": total})
    biased = helper.append_bias_op(total, dim_start=len(total.shape) - 1)
    return helper.append_activation(biased)


def conv2d(
    input,
    num_filters,
    filter_size,
    stride=1,
    padding=0,
    dilation=1,
    groups=None,
    param_attr=None,
    bias_attr=None,
    use_cudnn=True,
    act=None,
    name=None,
    data_format="NCHW",
):
    """Convolution of images with learned filters.

    Args:
        input (Variable): [N, C, H, W] (or [N, H, W, C] with data_format "NHWC"), float.
        num_filters (int): number of output channels.
        filter_size, stride, dilation (int or pair): in (height, width).
        padding: an int or a pair; four numbers [top, bottom, left, right]; a pair for each of the four dimensions;
            "SAME" or "VALID".
        groups (int): the channels and filters are split into so many independent convolutions; None for 1.
        param_attr (ParamAttr): of the filter [num_filters, C / groups, height, width]; by default
            Normal(0, sqrt(2 / (height * width * C))).
        bias_attr (ParamAttr or False): of the bias [num_filters].
        use_cudnn (bool): saved with the model, for Paddle; False makes a convolution of single channels a
            depthwise_conv2d operator, as in Fluid.
        act (str): an activation.
        name (str): the first part of generated names.
        data_format (str): "NCHW" or "NHWC".
    Returns:
        Variable of shape [N, num_filters, H', W'] (in the order of data_format), where
        H' = (H + top + bottom - dilation * (height - 1) - 1) // stride + 1.
    Raises:
        TypeError, ValueError: a wrong argument.
        EnforceNotMet: the filter does not fit the input.
    """
    check_variable("conv2d", "input", input)
    channels = input.shape[channel_axis("conv2d", input, data_format)]
    if channels == -1:
        raise ValueError(f"conv2d: the channels of {input.name} must be known, got shape {list(input.shape)}")
    num_filters = positive("conv2d", "num_filters", num_filters)
    groups = 1 if groups is None else positive("conv2d", "groups", groups)
    if channels % groups or num_filters % groups:
        raise ValueError(
            f"conv2d: groups={groups} must divide both the channels of {input.name} (shape {list(input.shape)}) and "
            f"num_filters={num_filters}"
        )
    height, width = pair("conv2d", "filter_size", filter_size)
    paddings, algorithm = paddings_of("conv2d", padding, data_format)
    depthwise = groups == channels and num_filters % channels == 0 and not use_cudnn
    type = "depthwise_conv2d" if depthwise else "conv2d"
    helper = LayerHelper(
        type, input=input, param_attr=param_attr, bias_attr=bias_attr, act=act, name=name, use_cudnn=use_cudnn
    )
    dtype = helper.input_dtype()
    weight = helper.create_parameter(
        helper.param_attr,
        [num_filters, channels // groups, height, width],
        dtype,
        default_initializer=Normal(0.0, math.sqrt(2.0 / (height * width * channels))),
    )
    out = helper.create_variable_for_type_inference(dtype)
    helper.append_op(
        type=type,
        inputs={"Input": input, "Filter": weight},
        outputs={"Output": out},
        attrs={
            "strides": pair("conv2d", "stride", stride),
            "paddings": paddings,
            "dilations": pair("conv2d", "dilation", dilation),
            "groups": groups,
            "use_cudnn": bool(use_cudnn),
            "padding_algorithm": algorithm,
            "data_format": data_format,
        },
    )
    axis = channel_axis("conv2d", out, data_format)
    return helper.append_activation(helper.append_bias_op(out, dim_start=axis, dim_end=axis + 1))


def pool2d(
    input,
    pool_size=-1,
    pool_type="max",
    pool_stride=1,
    pool_padding=0,
    global_pooling=False,
    use_cudnn=True,
    ceil_mode=False,
    name=None,
    exclusive=True,
    data_format="NCHW",
):
    """The maximum or the mean of each window of an image.

    Args:
        input (Variable): [N, C, H, W] (or [N, H, W, C] with data_format "NHWC"), float.
        pool_size, pool_stride (int or pair): of the windows, in (height, width).
        pool_type (str): "max" or "avg".
        pool_padding: as `padding` of conv2d.
        global_pooling (bool): one window over the whole image; pool_size and pool_padding are ignored.
        use_cudnn (bool): saved with the model, for Paddle; without effect here.
        ceil_mode (bool): let a last window reach beyond the image.
        name (str): the first part of generated names.
        exclusive (bool): whether "avg" leaves padding out of the mean.
        data_format (str): "NCHW" or "NHWC".
    Returns:
        Variable of shape [N, C, H', W'] (in the order of data_format).
    Raises:
        TypeError, ValueError: a wrong argument.
        EnforceNotMet: the window does not fit the input.
    """
    check_variable("pool2d", "input", input)
    if pool_type not in ("max", "avg"):
        raise ValueError(f'pool2d: pool_type must be "max" or "avg", got {pool_type!r}')
    if not global_pooling and pool_size == -1:
        raise ValueError("pool2d: pool_size must be given unless global_pooling is True")
    channel_axis("pool2d", input, data_format)
    paddings, algorithm = paddings_of("pool2d", pool_padding, data_format)
    helper = LayerHelper("pool2d", input=input, name=name)
    out = helper.create_variable_for_type_inference(helper.input_dtype())
    helper.append_op(
        type="pool2d",
        inputs={"X": input},
        outputs={"Out": out},
        attrs={
            "pooling_type": pool_type,
            "ksize": [-1, -1] if global_pooling and pool_size == -1 else pair("pool2d", "pool_size", pool_size),
            "global_pooling": bool(global_pooling),
            "strides": pair("pool2d", "pool_stride", pool_stride),
            "paddings": paddings,
            "padding_algorithm": algorithm,
            "use_cudnn": bool(use_cudnn),
            "ceil_mode": bool(ceil_mode),
            "exclusive": bool(exclusive),
            "data_format": data_format,
        },
    )
    return out


def batch_norm(
    input,
    act=None,
    is_test=False,
    momentum=0.9,
    epsilon=1e-05,
    param_attr=None,
    bias_attr=None,
    data_layout="NCHW",
    in_place=False,
    name=None,
    moving_mean_name=None,
    moving_variance_name=None,
    do_model_average_for_mean_and_var=True,
    use_global_stats=False,
):
    """Normalise each channel to mean 0 and variance 1 over the batch, then scale and shift it.

    The mean and variance that inference uses move towards the batch's at every run of training:
    moving = moving * momentum + batch * (1 - momentum).  See Ioffe and Szegedy, https://arxiv.org/abs/1502.03167.

    Args:
        input (Variable): float; [N, C], [N, C, L], [N, C, H, W] or [N, C, D, H, W] (channels last with "NHWC").
        act (str): an activation.
        is_test (bool): use the moving statistics; `Program.clone(for_test=True)` sets it.
        momentum (float or Variable of shape [1]): how much of the old moving statistics stays.
        epsilon (float): added to the variance.
        param_attr, bias_attr (ParamAttr): of scale and shift, both [C]; 1 and 0 at first.
        data_layout (str): "NCHW" or "NHWC".
        in_place (bool): without effect; the plan decides.
        name (str): the first part of generated names.
        moving_mean_name, moving_variance_name (str): names of the moving statistics.
        do_model_average_for_mean_and_var (bool): kept on the statistics for a model average.
        use_global_stats (bool): use the moving statistics in training, too.
    Returns:
        Variable of the input's shape.
    Raises:
        TypeError, ValueError: a wrong argument.
        EnforceNotMet: an input of less than 2 or more than 5 dimensions.
    """
    check_variable("batch_norm", "input", input)
    if data_layout not in ("NCHW", "NHWC"):
        raise ValueError(f'batch_norm: data_layout must be "NCHW" or "NHWC", got {data_layout!r}')
    for argument, attr in (("param_attr", param_attr), ("bias_attr", bias_attr)):
        if attr is False:
            raise ValueError(f"batch_norm: {argument} cannot be False; batch_norm always scales and shifts")
    helper = LayerHelper("batch_norm", input=input, param_attr=param_attr, bias_attr=bias_attr, act=act, name=name)
    dtype = helper.input_dtype()
    if len(input.shape) < 2:
        raise EnforceNotMet(
            f"batch_norm: {input.name} must have 2 to 5 dimensions, got shape {list(input.shape)}\n"
            f"  called at {UserFrame.current()}"
        )
    channels = [input.shape[1 if data_layout == "NCHW" else -1]]
    statistics = VarType.FP32 if dtype == VarType.FP16 else dtype
    scale = helper.create_parameter(helper.param_attr, channels, statistics, default_initializer=Constant(1.0))
    shift = helper.create_parameter(helper.bias_attr, channels, statistics, is_bias=True)
    moving = []
    for given, value in ((moving_mean_name, 0.0), (moving_variance_name, 1.0)):
        attr = ParamAttr(
            name=given,
            initializer=Constant(value),
            trainable=False,
            do_model_average=do_model_average_for_mean_and_var,
        )
        moving.append(helper.create_parameter(attr, channels, statistics))
        moving[-1].stop_gradient = True
    mean, variance = moving
    saved = [helper.create_variable_for_type_inference(statistics, stop_gradient=True) for _ in range(2)]
    out = helper.create_variable_for_type_inference(dtype)
    inputs = {"X": input, "Scale": scale, "Bias": shift, "Mean": mean, "Variance": variance}
    attrs = {
        "epsilon": epsilon,
        "is_test": bool(is_test),
        "data_layout": data_layout,
        "use_global_stats": bool(use_global_stats),
    }
    if isinstance(momentum, Variable):
        inputs["MomentumTensor"] = momentum
    else:
        attrs["momentum"] = momentum
    helper.append_op(
        type="batch_norm",
        inputs=inputs,
        outputs={
            "Y": out,
            "MeanOut": mean,
            "VarianceOut": variance,
            "SavedMean": saved[0],
            "SavedVariance": saved[1],
        },
        attrs=attrs,
    )
    return helper.append_activation(out)


def dropout(x, dropout_prob, is_test=False, seed=None, name=None, dropout_implementation="downgrade_in_infer"):
    """Set elements to 0 at random while training.  See Srivastava et al., JMLR 15 (2014).

    Args:
        x (Variable): any shape, float.
        dropout_prob (float): the probability of 0, between 0 and 1.
        is_test (bool): inference; `Program.clone(for_test=True)` sets it.
        seed (int): chooses the masks, which differ from step to step; None for the program's random_seed.
        name (str): the first part of generated names.
        dropout_implementation (str): "downgrade_in_infer" multiplies by 1 - dropout_prob in inference;
            "upscale_in_train" divides by it while training.
    Returns:
        Variable of the shape of x.
    Raises:
        TypeError, ValueError: a wrong argument.
    """
    check_variable("dropout", "x", x)
    if isinstance(dropout_prob, bool) or not isinstance(dropout_prob, (int, float)) or not 0 <= dropout_prob <= 1:
        raise ValueError(f"dropout: dropout_prob must be a number between 0 and 1, got {described(dropout_prob)}")
    if dropout_implementation not in ("downgrade_in_infer", "upscale_in_train"):
        raise ValueError(
            'dropout: dropout_implementation must be "downgrade_in_infer" or "upscale_in_train", '
            f"got {dropout_implementation!r}"
        )
    helper = LayerHelper("dropout", input=x, name=name)
    out = helper.create_variable_for_type_inference(x.dtype)
    mask = helper.create_variable_for_type_inference(VarType.UINT8, stop_gradient=True)
    seed = seed or helper.main_program.random_seed or None
    helper.append_op(
        type="dropout",
        inputs={"X": x},
        outputs={"Out": out, "Mask": mask},
        attrs={
            "dropout_prob": dropout_prob,
            "is_test": bool(is_test),
            "fix_seed": seed is not None,
            "seed": seed or 0,
            "dropout_implementation": dropout_implementation,
        },
    )
    return out


def softmax(input, use_cudnn=False, name=None, axis=-1):
    """exp(input) along `axis`, divided by its sum.

    Args:
        input (Variable): any shape, float.
        use_cudnn (bool): saved with the model, for Paddle; without effect here.
        name (str): the first part of generated names.
        axis (int): the dimension that sums to 1.
    Returns:
        Variable of the shape of input.
    Raises:
        TypeError: input is no Variable.
        EnforceNotMet: axis is out of range.
    """
    check_variable("softmax", "input", input)
    helper = LayerHelper("softmax", input=input, name=name)
    out = helper.create_variable_for_type_inference(input.dtype)
    attrs = {"axis": axis, "use_cudnn": bool(use_cudnn)}
    helper.append_op(type="softmax", inputs={"X": input}, outputs={"Out": out}, attrs=attrs)
    return out


def log_softmax(input, axis=None, dtype=None, name=None):
    """The logarithm of `softmax`.

    Args:
        input (Variable): any shape, float.
        axis (int): the dimension of the classes; None for the last one.
        dtype (str): convert input to it first.
        name (str): the first part of generated names.
    Returns:
        Variable of the input's shape.
    Raises:
        TypeError: input is no float Variable.
        EnforceNotMet: axis is no dimension of the input.
    """
    check_dtype("log_softmax", "input", input, "f")
    helper = LayerHelper("log_softmax", name=name)
    if dtype is not None:
        dtypes = {"in_dtype": input.dtype, "out_dtype": var_type(dtype)}
        input = append("cast", {"X": input}, dtypes, dtypes["out_dtype"], helper=helper)
    shares = append("softmax", {"X": input}, {"axis": -1 if axis is None else axis}, helper=helper)
    return append("log", {"X": shares}, helper=helper)


def spectral_norm(weight, dim=0, power_iters=1, eps=1e-12, name=None):
    """A weight divided by its largest singular value, which keeps what a layer does to distances in bounds.

    Args:
        weight (Variable): float, of 2 to 5 dimensions; a matrix by `dim` against the others.
        dim (int): 0 or 1: the dimension of the output channels.
        power_iters (int): how often to improve the singular vectors, which begin as constant random parameters.
        eps (float): added to the norms by which they are divided.
        name (str): the first part of generated names.
    Returns:
        Variable of the shape of weight.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the shape does not fit.
    References:
        Miyato et al.: Spectral Normalization for Generative Adversarial Networks. ICLR 2018.
    """
    check_dtype("spectral_norm", "weight", weight, "f")
    for argument, value, kind in (("dim", dim, int), ("power_iters", power_iters, int), ("eps", eps, float)):
        if not isinstance(value, kind):
            raise TypeError(f"spectral_norm: {argument} must be of the type {kind.__name__}, got {described(value)}")
    helper = LayerHelper("spectral_norm", name=name)
    height = weight.shape[dim]
    inputs = {"Weight": weight}
    for slot, size in (("U", height), ("V", math.prod(weight.shape) // height)):
        attr = ParamAttr()
        inputs[slot] = helper.create_parameter(attr, [size], weight.dtype, default_initializer=Normal(0.0, 1.0))
        inputs[slot].stop_gradient = True
    out = helper.create_variable(dtype=weight.dtype)
    return append("spectral_norm", inputs, {"dim": dim, "power_iters": power_iters, "eps": eps}, helper=helper, out=out)
