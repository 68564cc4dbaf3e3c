"""Gradients of recurrences agree with finite differences in float64 where the real Paddle's are wrong.

Those are single precision with a multiple of 8 cells, and states of sequences without rows.
"""

import numpy as np
import pytest

import fluidlite.fluid as fluid
from fluidlite.fluid import layers

STEP = 1e-6
ROWS = ("Input", "Weights")
OUTPUTS = {"lstm": "Hidden Cell BatchGate BatchCellPreAct", "gru": "Hidden BatchGate BatchResetHiddenPrev BatchHidden"}
OUTPUTS["lstmp"] = "Projection Cell BatchGate BatchCellPreAct BatchHidden"


def numbers(type, size, lengths):
    """What goes into an operator, and by what its rows are weighted."""
    rng, gates = np.random.default_rng(3), 3 if type == "gru" else 4
    shapes = {"Input": (sum(lengths), gates * size), "H0": (len(lengths), size), "Weight": (size, gates * size)}
    shapes |= {"Bias": (1, 3 * size if type == "gru" else 7 * size), "Weights": (sum(lengths), size)}
    shapes |= {} if type == "gru" else {"C0": (len(lengths), size)}
    shapes |= {"ProjWeight": (size, size)} if type == "lstmp" else {}
    return {slot: rng.uniform(-1, 1, shape) for slot, shape in shapes.items()}


class Recurrence:
    """A Program of the weighted sum of an operator's rows, and of its gradient by every input."""

    def __init__(self, type, values, lengths, dtype):
        self.lengths, self.dtype, self.exe = lengths, dtype, fluid.Executor(fluid.CPUPlace())
        self.program = fluid.Program()
        with fluid.program_guard(self.program), fluid.unique_name.guard():
            inputs = {
                slot: fluid.data(slot, [None, value.shape[1]], dtype, lod_level=int(slot in ROWS))
                for slot, value in values.items()
            }
            for variable in inputs.values():
                variable.stop_gradient = False
            weights, block = inputs.pop("Weights"), self.program.global_block()
            made = {slot: block.create_var(name=slot, dtype=dtype) for slot in OUTPUTS[type].split()}
            block.append_op(type, inputs, made)
            rows = next(iter(made.values()))
            self.total = layers.reduce_sum(layers.elementwise_mul(rows, weights))
            self.slopes = fluid.gradients(self.total, list(inputs.values()))
        self.slots = list(inputs)

    def run(self, values, fetches):
        feed = {slot: value.astype(self.dtype) for slot, value in values.items()}
        for slot in ROWS:
            feed[slot] = fluid.create_lod_tensor(feed[slot], [self.lengths], fluid.CPUPlace())
        return self.exe.run(self.program, feed=feed, fetch_list=fetches)

    def gradients(self, values):
        return dict(zip(self.slots, self.run(values, self.slopes), strict=True))

    def difference(self, values, slot, place):
        """The finite difference by one number."""
        sums = []
        for step in (STEP, -STEP):
            moved = dict(values, **{slot: values[slot].copy()})
            moved[slot][place] += step
            sums.append(self.run(moved, [self.total])[0].item())
        return (sums[0] - sums[1]) / (2 * STEP)


@pytest.mark.parametrize(
    "type, size, lengths, dtype, tolerance",
    [
        ("lstm", 8, [3, 1, 2], "float32", 1e-5),
        ("lstmp", 8, [3, 1, 2], "float32", 1e-5),
        ("lstm", 3, [0, 2, 0, 1, 3], "float64", 1e-8),
        ("lstmp", 3, [0, 2, 0, 1, 3], "float64", 1e-8),
        ("gru", 3, [0, 2, 0, 1, 3], "float64", 1e-8),
    ],
)
def test_gradients(type, size, lengths, dtype, tolerance):
    values = numbers(type, size, lengths)
    got = Recurrence(type, values, lengths, dtype).gradients(values)
    exact = Recurrence(type, values, lengths, "float64")
    rng = np.random.default_rng(0)
    for slot, slope in got.items():
        for _ in range(12):
            place = tuple(rng.integers(0, values[slot].shape))
            assert abs(slope[place] - exact.difference(values, slot, place)) < tolerance, (slot, place)
