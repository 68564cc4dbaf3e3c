"""Convolution by cuDNN's front end: with a stand-in for it, which computes; and the calls with the real one."""

import inspect
import logging
import sys

import fake_card
import fake_cudnn
import numpy as np
import pytest
from gpu_runs import OnGpu
from oracle_compare import array_differences
from oracle_harness import CASES, run_case
from oracle_recorded import RECORDED, only

import fluidlite.fluid as fluid
from fluidlite.ops.cuda import conv, conv_cudnn


@pytest.fixture
def cudnn(monkeypatch):
    """The stand-in in the place of NVIDIA's module."""
    if not fake_card.IS_FAKE:
        pytest.skip("the stand-in for cuDNN computes on the fake GPU")
    monkeypatch.setitem(sys.modules, "cudnn", fake_cudnn)
    # Everything is asked of cuDNN, however small.
    monkeypatch.setattr(conv, "ALGORITHMS", conv.ALGORITHMS[:1])
    monkeypatch.setattr(conv, "_SMALL_WORK", 0)
    forget()
    yield
    forget()


def forget():
    """As if nothing had asked for cuDNN."""
    fake_cudnn.reset()
    for cached in conv_cudnn.front_end, conv_cudnn._handle, conv_cudnn._plan:
        cached.cache_clear()


def check(name):
    got, want = run_case(OnGpu(), CASES[name]).arrays, RECORDED[name][1]
    assert array_differences(only(got, "out:", "state:"), only(want, "out:", "state:"), rtol=2e-5, atol=2e-6) == []
    assert array_differences(only(got, "grad:"), only(want, "grad:"), rtol=1e-4, atol=1e-5) == []


def convolves_images(name):
    """Whether a recorded case has convolutions of images, which cuDNN computes."""
    types = {op["type"].removeprefix("depthwise_") for op in RECORDED[name][0]["main"]["ops"]}
    return not types.isdisjoint({"conv2d", "conv2d_transpose"})


@pytest.mark.gpu
@pytest.mark.usefixtures("cudnn")
@pytest.mark.parametrize("name", [name for name in RECORDED if "conv" in name and convolves_images(name)])
def test_computes_what_paddle_does(name):
    check(name)
    assert fake_cudnn.settings.executed


def step(data_format="NCHW", **arguments):
    """A convolution with a bias: its output and gradients, on the GPU and on the CPU."""
    main, startup = fluid.Program(), fluid.Program()
    with fluid.program_guard(main, startup), fluid.unique_name.guard():
        shape = (2, 4, 9, 8) if data_format == "NCHW" else (2, 9, 8, 4)
        x = fluid.data("x", shape, "float64")
        x.stop_gradient = False
        out = fluid.layers.conv2d(x, num_filters=6, data_format=data_format, **arguments)
        loss = fluid.layers.reduce_sum(fluid.layers.square(out))
        wanted = [out, *fluid.gradients(loss, [x, *main.all_parameters()])]
    rng = np.random.default_rng(0)
    values = {one.name: rng.standard_normal(one.shape) for one in main.all_parameters()}
    feed = {"x": rng.standard_normal(shape)}
    results = []
    for place in OnGpu.CPUPlace(), fluid.CPUPlace():
        with fluid.scope_guard(fluid.Scope()):
            executor = fluid.Executor(place)
            executor.run(startup)
            for name, value in values.items():
                fluid.global_scope().find_var(name).get_tensor().set(value, place)
            results.append(executor.run(main, feed, wanted))
    return results


@pytest.mark.gpu
@pytest.mark.usefixtures("cudnn")
@pytest.mark.parametrize(
    "arguments",
    [
        {"filter_size": 3, "padding": [1, 2, 0, 3]},
        {"filter_size": [3, 2], "stride": [2, 3], "padding": 1, "dilation": [1, 2]},
        {"filter_size": 3, "groups": 2, "padding": "SAME"},
        {"filter_size": 3, "padding": 1, "data_format": "NHWC"},
    ],
    ids=str,
)
@pytest.mark.parametrize("adds_bias", [True, False])
def test_as_on_the_cpu(arguments, adds_bias):
    fake_cudnn.settings.adds_bias = adds_bias
    for found, want in zip(*step(**arguments), strict=True):
        np.testing.assert_allclose(found, want, rtol=1e-9, atol=1e-9)
    assert set(fake_cudnn.settings.executed) == {"fprop", "dgrad", "wgrad"}


@pytest.mark.gpu
@pytest.mark.usefixtures("cudnn")
@pytest.mark.parametrize("supports", [{"fprop"}, {"dgrad"}, {"wgrad"}, set()], ids=str)
def test_what_it_has_no_plan_for(supports):
    fake_cudnn.settings.supports = supports
    for found, want in zip(*step(filter_size=3), strict=True):
        np.testing.assert_allclose(found, want, rtol=1e-9, atol=1e-9)
    assert set(fake_cudnn.settings.executed) == supports


@pytest.mark.gpu
@pytest.mark.usefixtures("cudnn")
def test_without_a_library_behind_it(caplog):
    fake_cudnn.settings.works = False
    for _ in range(2):
        for found, want in zip(*step(filter_size=3), strict=True):
            np.testing.assert_allclose(found, want, rtol=1e-9, atol=1e-9)
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert [record.name for record in warnings] == ["fluidlite.gpu"]
    assert "finds no cuDNN" in warnings[0].getMessage()
    assert not fake_cudnn.settings.executed


@pytest.mark.gpu
@pytest.mark.usefixtures("cudnn")
def test_plans_are_shared():
    step(filter_size=3)
    before = conv_cudnn._plan.cache_info()
    step(filter_size=3)
    after = conv_cudnn._plan.cache_info()
    assert after.misses == before.misses == 3
    assert after.hits == before.hits + 3


WANTED = conv_cudnn.Convolution(
    "forward",
    (2, 4, 9, 8),
    (288, 72, 8, 1),
    (6, 2, 3, 2),
    (2, 6, 5, 4),
    (120, 20, 4, 1),
    (1, 0),
    (1, 1),
    (2, 2),
    (1, 1),
    "float32",
    True,
    False,
)


def test_no_rounding_to_tf32_that_was_not_asked_for():
    notes = fake_cudnn.numerical_note
    for tf32, dtype, forbidden in (False, "float32", True), (True, "float32", False), (False, "float64", False):
        found = conv_cudnn.unwanted_notes(fake_cudnn, WANTED._replace(tf32=tf32, dtype=dtype))
        assert (notes.TENSOR_CORE in found) == (notes.DOWN_CONVERT_INPUTS in found) == forbidden
        assert notes.NONDETERMINISTIC in found


@pytest.mark.nvidia
@pytest.mark.parametrize("direction", ["forward", "input_gradient", "filter_gradient"])
@pytest.mark.parametrize("after", [(1, 0), (2, 1)])
def test_the_real_front_end_takes_the_description(direction, after):
    cudnn = pytest.importorskip("cudnn")
    wanted = WANTED._replace(direction=direction, after=after, biased=direction != "filter_gradient")
    graph, tensors = conv_cudnn.describe(cudnn, None, wanted)
    shapes = {"image": wanted.image, "filter": wanted.filter, "output": wanted.output}
    strides = {"image": wanted.image_strides, "filter": (12, 6, 2, 1), "output": wanted.output_strides}
    for name, shape in shapes.items():
        assert tuple(tensors[name].get_dim()) == shape
        assert tuple(tensors[name].get_stride()) == strides[name]
        assert not tensors[name].get_is_virtual()
    assert all(isinstance(note, cudnn.numerical_note) for note in conv_cudnn.unwanted_notes(cudnn, wanted))


@pytest.mark.nvidia
def test_the_stand_in_takes_what_the_real_front_end_takes():
    cudnn = pytest.importorskip("cudnn")
    for name in "set_stream", "create_handle", "backend_version":
        assert parameters(getattr(fake_cudnn, name)) <= parameters(getattr(cudnn, name))
    for name in "__init__", "tensor", "execute", "create_execution_plans", "deselect_numeric_notes", "bias":
        assert parameters(getattr(fake_cudnn.pygraph, name)) <= parameters(getattr(cudnn.pygraph, name))
    for enumeration in fake_cudnn.numerical_note, fake_cudnn.heur_mode, fake_cudnn.data_type:
        real = getattr(cudnn, enumeration.__name__)
        assert all(hasattr(real, one.name) for one in enumeration)
    assert issubclass(cudnn.cudnnGraphNotSupportedError, Exception)


def parameters(function):
    """The names of a function's parameters; of everything, where it does not say."""
    try:
        found = inspect.signature(function).parameters
    except ValueError:  # of a compiled function: its documentation begins with them
        line = function.__doc__.splitlines()[0]
        return {word.split(":")[0].strip() for word in line[line.index("(") + 1 : line.index(")")].split(",")}
    return Everything() if any(one.kind == one.VAR_POSITIONAL for one in found.values()) else set(found)


class Everything(set):
    """A set that no other is larger than."""

    def __ge__(self, other):
        return True
