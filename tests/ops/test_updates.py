"""Update rules over many parameters, laid one behind the other, do what they do over each of them."""

import numpy as np
import pytest
from gpu_runs import context

from fluidlite.core import operators
from fluidlite.engine.device import CPU
from fluidlite.ops.updates import RULES

JOINED = [rule.definition.type for rule in RULES if rule.definition.flat]
ATTRS = {"rmsprop": {"centered": True, "momentum": 0.5}, "momentum": {"mu": 0.9, "use_nesterov": True}}
COUNTS = [16, 48, 32]
# Each a stretch of the arena, the parameters that reach into it, and how many elements of each lie in it.
PIECES = [(slice(0, 32), slice(0, 2), [16, 16]), (slice(32, 96), slice(1, 3), [32, 32])]


class State:
    """The tensors of three parameters and what a rule keeps of them; `packed`: numbers of which each has its own."""

    def __init__(self, type, packed):
        self.definition = operators.find(type)
        self.attrs = {**self.definition.attrs, **ATTRS.get(type, {})}
        rng = np.random.default_rng(0)
        self.arrays = {}
        for slot in self.definition.inputs:
            if slot.name in self.definition.flat:
                self.arrays[slot.name] = rng.uniform(0.1, 1, sum(COUNTS))
            elif slot.name in self.definition.packed:
                self.arrays[slot.name] = np.array(packed)
            elif not slot.optional:
                self.arrays[slot.name] = np.array([0.1])
        if "MeanSquare" in self.arrays:
            self.arrays["MeanSquare"] += 1  # more than the squared mean

    def update(self, piece, members, counts, kept=()):
        """Run the rule over a part of everything; what is in `kept` is not written."""
        flat, packed, inplace = self.definition.flat, self.definition.packed, self.definition.inplace
        part = {
            name: array[piece] if name in flat else array[members] if name in packed else array
            for name, array in self.arrays.items()
        }
        inputs = [part.get(slot.name) for slot in self.definition.inputs]
        sources = [inplace[slot.name] for slot in self.definition.outputs]
        outputs = [None if source in kept else part[source] for source in sources]
        self.definition.kernel(context(CPU, self.attrs, counts=counts), *inputs, *outputs)()


@pytest.mark.parametrize("packed", [[0.5, 0.5, 0.5], [0.2, 0.5, 0.9]], ids=["alike", "unlike"])
@pytest.mark.parametrize("type", JOINED)
def test_many_parameters_are_updated_as_each_of_them_is(type, packed):
    alone, together, in_pieces = (State(type, packed) for _ in range(3))
    shared = together.definition.packed.intersection(together.definition.inplace.values())
    for _ in range(2):
        start = 0
        for member, count in enumerate(COUNTS):
            alone.update(slice(start, start + count), slice(member, member + 1), None)
            start += count
        together.update(slice(None), slice(None), COUNTS)
        for piece, members, counts in PIECES:
            in_pieces.update(piece, members, counts, kept=shared)
        if shared:
            in_pieces.update(slice(0, 0), slice(None), [0] * len(COUNTS), kept=together.definition.flat)
    for name, array in alone.arrays.items():
        np.testing.assert_allclose(together.arrays[name], array, rtol=1e-12, err_msg=name)
        np.testing.assert_allclose(in_pieces.arrays[name], array, rtol=1e-12, err_msg=name)


def test_an_average_of_gradients_that_is_not_wanted_stays_as_it_is():
    rmsprop = operators.find("rmsprop")
    param, grad, mean_square, mean_grad, moment = np.random.default_rng(1).uniform(0.1, 1, (5, 8))
    before, rate = mean_grad.copy(), np.array([0.1])
    inputs = [param, mean_square, mean_grad, rate, grad, moment]
    rmsprop.kernel(context(CPU, rmsprop.attrs), *inputs, param, moment, mean_square, mean_grad)()
    assert np.array_equal(mean_grad, before)
