"""Convolution of images by cuDNN, through NVIDIA's front end for Python (package nvidia-cudnn-frontend).

A convolution is described as a graph of cuDNN's, which is searched once for a plan that may be used: one whose results
are the same on every run, and which rounds no float32 number to TF32 unless that is allowed.  What cuDNN refuses is
left to the kernels of `conv`, and so is everything where it is not installed.
"""

from functools import cache, lru_cache, partial
from typing import NamedTuple

from ..arrays.strides import in_sequence

# Bytes that a plan may need to work in.
_MOST_WORKSPACE = 1 << 28


@cache
def front_end():
    """NVIDIA's module `cudnn`; None where it is not installed, or finds no cuDNN."""
    try:
        import cudnn

        cudnn.backend_version()
    except ImportError:
        return None
    except Exception as error:  # of whatever kind: it stands between a user and kernels that work
        _log().warning("the module cudnn is installed, but finds no cuDNN that works (%s); it is not used", error)
        return None
    return cudnn


def _log():
    import logging  # importing fluidlite costs less without it

    return logging.getLogger("fluidlite.gpu")


class Convolution(NamedTuple):
    """What a plan is made for, and found by.

    Attributes:
        direction: "forward", "input_gradient" or "filter_gradient".
        image, filter, output: shapes.
        image_strides, output_strides: in elements.
        before, after: padding along H and W.
        strides, dilations: along H and W.
        dtype: "float32" or "float64".
        biased: whether a number is added to each channel of the result.
        tf32: whether factors may be rounded to 10 bits.
    """

    direction: str
    image: tuple
    image_strides: tuple
    filter: tuple
    output: tuple
    output_strides: tuple
    before: tuple
    after: tuple
    strides: tuple
    dilations: tuple
    dtype: str
    biased: bool
    tf32: bool


class Plan(NamedTuple):
    """A graph that can be executed.

    Attributes:
        graph: cuDNN's.
        handle: cuDNN's, for the stream.
        tensors: those of the graph by name: "image", "filter", "output", "bias".
        workspace: bytes that it needs to work in.
    """

    graph: object
    handle: object
    tensors: dict
    workspace: int


def forward(ctx, g, x, w, bias, out):
    """The step that convolves x with w, or None where cuDNN does not."""
    return _with_bias(ctx, g, "forward", x, w, out, bias, out)


def input_gradient(ctx, g, w, dout, bias, dx):
    """The step that computes the gradient of the input, to which `bias` is added; None where cuDNN does not."""
    return _with_bias(ctx, g, "input_gradient", dx, w, dout, bias, dx)


def filter_gradient(ctx, g, x, dout, dw):
    """The step that computes the gradient of the filter, or None where cuDNN does not."""
    return _step(ctx, g, "filter_gradient", x, dw, dout, None)


def _with_bias(ctx, g, direction, image, w, output, bias, result):
    step = _step(ctx, g, direction, image, w, output, bias)
    if step is not None or bias is None:
        return step
    # Not every plan adds a bias on its way.
    step = _step(ctx, g, direction, image, w, output, None)
    return step and in_sequence([step, partial(ctx.xp.add, result, bias.reshape(1, -1, 1, 1), out=result)])


def _step(ctx, g, direction, image, w, output, bias):
    cudnn = front_end()
    if cudnn is None:
        return None
    wanted = Convolution(
        direction,
        image.shape,
        _elements(image),
        w.shape,
        output.shape,
        _elements(output),
        (g.pad_h[0], g.pad_w[0]),
        (g.pad_h[1], g.pad_w[1]),
        (g.stride_h, g.stride_w),
        (g.dilation_h, g.dilation_w),
        w.dtype.name,
        bias is not None,
        ctx.tf32,
    )
    cuda = ctx.xp.cuda
    plan = _plan(cudnn, wanted, cuda.Device().id, cuda.get_current_stream().ptr)
    if plan is None:
        return None
    arrays = {"image": image, "filter": w, "output": output, "bias": bias}
    addresses = {tensor: arrays[name].data.ptr for name, tensor in plan.tensors.items()}
    workspace = ctx.scratch((max(plan.workspace, 1),), "uint8")
    return partial(plan.graph.execute, addresses, workspace.data.ptr, handle=plan.handle)


def _elements(array):
    return tuple(stride // array.dtype.itemsize for stride in array.strides)


@cache
def _handle(cudnn, device, stream):
    """One handle for each stream of each GPU (the one in use)."""
    handle = cudnn.create_handle()
    cudnn.set_stream(handle=handle, stream=stream)
    return handle


@lru_cache(maxsize=1024)
def _plan(cudnn, wanted, device, stream):
    """A Plan, or None if cuDNN has none."""
    try:
        handle = _handle(cudnn, device, stream)
        graph, tensors = describe(cudnn, handle, wanted)
        graph.validate()
        graph.build_operation_graph()
        graph.create_execution_plans([cudnn.heur_mode.A, cudnn.heur_mode.FALLBACK])
        graph.deselect_numeric_notes(unwanted_notes(cudnn, wanted))
        graph.deselect_workspace_greater_than(_MOST_WORKSPACE)
        graph.check_support()
        graph.build_plans()
        return Plan(graph, handle, tensors, graph.get_workspace_size())
    except Exception as error:  # cuDNN's refusals have had several types
        _log().info("cuDNN has no plan for %s: %s", wanted, error)
        return None


def describe(cudnn, handle, wanted):
    """A Convolution as a graph of cuDNN's, and the tensors of the graph by name."""
    type = cudnn.data_type.FLOAT if wanted.dtype == "float32" else cudnn.data_type.DOUBLE
    graph = cudnn.pygraph(io_data_type=type, intermediate_data_type=type, compute_data_type=type, handle=handle)
    layouts = {
        "image": (wanted.image, wanted.image_strides),
        "filter": (wanted.filter, _packed(wanted.filter)),
        "output": (wanted.output, wanted.output_strides),
    }
    result = {"forward": "output", "input_gradient": "image", "filter_gradient": "filter"}[wanted.direction]
    tensors = {
        name: graph.tensor(name=name, dim=list(shape), stride=list(strides), data_type=type)
        for name, (shape, strides) in layouts.items()
        if name != result
    }
    moves = {"stride": list(wanted.strides), "dilation": list(wanted.dilations)}
    if wanted.before == wanted.after:
        moves["padding"] = list(wanted.before)
    else:
        moves |= {"pre_padding": list(wanted.before), "post_padding": list(wanted.after)}
    if wanted.direction == "forward":
        found = graph.conv_fprop(image=tensors["image"], weight=tensors["filter"], **moves)
    elif wanted.direction == "input_gradient":
        found = graph.conv_dgrad(loss=tensors["output"], filter=tensors["filter"], **moves)
    else:
        found = graph.conv_wgrad(image=tensors["image"], loss=tensors["output"], **moves)
    shape, strides = (list(one) for one in layouts[result])
    if wanted.biased:
        found.set_dim(shape).set_stride(strides).set_data_type(type)
        channels = shape[1]
        tensors["bias"] = graph.tensor(
            name="bias", dim=[1, channels, 1, 1], stride=_packed((1, channels, 1, 1)), data_type=type
        )
        found = graph.bias(input=found, bias=tensors["bias"])
    tensors[result] = found.set_output(True).set_dim(shape).set_stride(strides).set_data_type(type)
    return graph, tensors


def unwanted_notes(cudnn, wanted):
    """The properties (cuDNN's numerical notes) that a plan must not have."""
    note = cudnn.numerical_note
    # What a tile of 13x13 loses is more than TF32 would.
    notes = [note.NONDETERMINISTIC, note.REDUCED_PRECISION_REDUCTION, note.WINOGRAD_TILE_13x13]
    if wanted.dtype == "float32" and not wanted.tf32:
        # On tensor cores float32 is TF32.
        notes += [note.TENSOR_CORE, note.DOWN_CONVERT_INPUTS]
    return notes


def _packed(shape):
    """The strides of a C-contiguous array, in elements."""
    strides = [1]
    for size in reversed(shape[1:]):
        strides.insert(0, strides[0] * size)
    return strides
