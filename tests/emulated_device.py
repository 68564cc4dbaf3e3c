"""A device of NumPy arrays on which operators run their CUDA kernels, compiled by g++ (tools/emulator).

It has no streams, graphs or memory of its own: what it shows is that the kernels compute the right thing, in whole
plans.
"""

import importlib
import os
import sys

import numpy as np

from fluidlite.engine.device import CPU_ONLY, Feeds, Fetches, Host
from fluidlite.engine.gpu.transfers import Checks, Flaws
from fluidlite.engine.places import CPUPlace
from fluidlite.ops.cuda.launch import defined

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tools", "emulator"))
emulator = importlib.import_module("device")

has_compiler = emulator.compiler() is not None


class Emulated(Host):
    """See the module.

    Attributes:
        launched (list of str): the names of the kernels that were launched.
        order: in which blocks and threads run: "forward", or one that a kernel may not rely on, "backward" or "random".
    """

    order = "forward"
    form = "cuda"
    doubles = False
    in_pieces = False
    alignment = 512

    def __init__(self):
        self.launched = []
        self.flaws = Flaws(self)
        self._modules = {}

    def passes(self, enabled):
        return enabled - CPU_ONLY

    def feeds(self, specs):
        return CountedFeeds(len(specs))

    def checks(self):
        return Checks(self.flaws)

    def fetches(self, functions):
        return JudgedFetches(functions, self.flaws)

    def function(self, code, name, defines=()):
        key = code, defines
        if key not in self._modules:
            self._modules[key] = emulator.compile(defined(code, defines))
        module = self._modules[key]

        def launch(grid, block, args, shared_mem=0):
            self.launched.append(name)
            module.launch(name, grid, block, [_whole(one) for one in args], shared=shared_mem, order=self.order)

        return launch


class EmulatedPlace(CPUPlace):
    """The place of an Emulated device, for an Executor."""

    def __init__(self):
        self._device = Emulated()

    @property
    def device(self):
        return self._device


class CountedFeeds(Feeds):
    """Feeds that hold the number of the run where kernels find it."""

    def __init__(self, count):
        super().__init__(count)
        self.step = np.zeros(1, np.uint64)

    def put(self, values, step):
        super().put(values, step)
        self.step[0] = step


class JudgedFetches(Fetches):
    """Fetches that tell of the bad values that kernels have met."""

    def __init__(self, functions, flaws):
        super().__init__(functions)
        self._flaws = flaws

    def collect(self, on_device=False):
        if self._flaws.flaw is not None:
            self._flaws.judge(self._flaws.flaw)
        return super().collect(on_device)


def _whole(argument):
    return emulator.stretch(argument) if isinstance(argument, np.ndarray) else argument
