"""Gradients of a Program, compared with finite differences in float64."""

import numpy as np

import fluidlite.fluid as fluid
from fluidlite.fluid import layers

STEP = 1e-6


class Inputs:
    """Declares float64 inputs; remembers their values."""

    def __init__(self, seed=7):
        self.rng = np.random.default_rng(seed)
        self.feed = {}

    def declare(self, value):
        name = f"input_{len(self.feed)}"
        self.feed[name] = np.asarray(value)
        variable = fluid.data(name, list(self.feed[name].shape), self.feed[name].dtype.name)
        variable.stop_gradient = self.feed[name].dtype.kind != "f"
        return variable

    def normal(self, *shape):
        return self.declare(self.rng.standard_normal(shape))

    def uniform(self, low, high, *shape):
        return self.declare(self.rng.uniform(low, high, shape))

    def apart(self, *shape):
        """Numbers of which no two, and none and a multiple of 1/2, are closer than the finite difference."""
        count = int(np.prod(shape))
        return self.declare((self.rng.permutation(count).reshape(shape) - count / 2 + 0.3) * (4 / count))

    def constant(self, value):
        variable = self.declare(value)
        variable.stop_gradient = True
        return variable


def check(build, rtol=1e-6, atol=1e-6):
    """Compare the gradients of a weighted sum of the outputs of `build(Inputs)` with finite differences."""
    with fluid.program_guard(fluid.Program(), fluid.Program()):
        compare(build, rtol, atol)


def compare(build, rtol, atol):
    inputs = Inputs()
    outputs = build(inputs)
    outputs = outputs if isinstance(outputs, list) else [outputs]
    terms = []
    for output in outputs:
        shape = [1 if size < 0 else size for size in output.shape]
        weight = inputs.constant(inputs.rng.uniform(-1, 1, shape))
        terms.append(layers.reduce_sum(layers.elementwise_mul(output, weight)))
    total = layers.sums(terms)
    block = fluid.default_main_program().global_block()
    sources = [block.var(name) for name in inputs.feed if not block.var(name).stop_gradient]
    gradients = fluid.gradients(total, sources)
    exe = fluid.Executor()
    exe.run(fluid.default_startup_program())
    found = exe.run(feed=inputs.feed, fetch_list=gradients)

    def value(name, array):
        return exe.run(feed={**inputs.feed, name: array}, fetch_list=[total])[0].item()

    for variable, gradient in zip(sources, found, strict=True):
        original = inputs.feed[variable.name]
        expected = np.empty_like(original)
        for index in np.ndindex(original.shape):
            moved = original.copy()
            moved[index] = original[index] + STEP
            above = value(variable.name, moved)
            moved[index] = original[index] - STEP
            expected[index] = (above - value(variable.name, moved)) / (2 * STEP)
        assert gradient.shape == original.shape
        np.testing.assert_allclose(gradient, expected, rtol=rtol, atol=atol)
