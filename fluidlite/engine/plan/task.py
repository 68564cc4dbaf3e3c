"""Tasks: what one thread does in one phase of a plan, and what a replay needs."""

from collections.abc import Callable
from time import perf_counter
from typing import Any, NamedTuple

from ...core import operators
from ...core.errors import EnforceNotMet
from .. import profile
from .steps import blamed

# Pointwise operators on arrays of so many bytes, more than caches hold, run over stretches of so many that stay in one:
# the next operator finds there what the one before it left (eight passes over 32 MB: 5.9 against 8.5 ms; over 8 MB
# there is nothing to gain).
_LARGE = 1 << 24


_STRETCH = 1 << 18


# CuPy's and CUDA's are RuntimeErrors.
_ERRORS = (EnforceNotMet, ValueError, ArithmeticError, MemoryError, IndexError, TypeError, RuntimeError)


class Bound(NamedTuple):
    """What a replay needs.

    Attributes:
        phases: lists of Tasks; those of one list run at the same time.
        once: the Task that runs only when parameters have changed.
        feeds: takes the fed arrays.
        fetches: returns the fetched arrays.
        arrays: pairs (tensor, array) of persistable variables: the plan is bound to that array.
        writes: whether a replay writes persistable variables.
        threads: how many it uses.
        checks: what kernels refer to that note bad values.
        replay: the function that runs all phases.
        results: the wanted arrays themselves, of a plan that runs in the midst of another one.
    """

    phases: list
    once: "Task"
    feeds: Any
    fetches: Any
    arrays: list
    writes: bool
    threads: int
    checks: Any
    replay: Callable
    results: list

    def is_outdated(self):
        """Whether a tensor has got another array since."""
        return any(tensor.array is not array for tensor, array in self.arrays)


class Task:
    """What one thread does in one phase: steps, and beside them the operators to blame when one fails.

    Attributes:
        alone: numbers of the steps that a GPU cannot run as parts of a graph.
    """

    def __init__(self, thread=0, settle=None):
        self.thread = thread
        self.steps, self.ops, self.alone = [], [], []
        self._settle = settle
        self._chain = None  # the shape that the last step was cut along, where its stretches begin, the chain's length

    @classmethod
    def joined(cls, tasks):
        """Several tasks as one."""
        whole = cls(0, tasks[0]._settle if tasks else None)
        for task in tasks:
            whole.alone += [len(whole.steps) + number for number in task.alone]
            whole.steps += task.steps
            whole.ops += task.ops
        return whole

    def add(self, step, op=None, alone=False):
        if alone:
            self.alone.append(len(self.steps))
        self.steps.append(step)
        self.ops.append(op)
        self._chain = None

    def end_chain(self):
        self._chain = None

    def add_stretches(self, steps, op, shape):
        """Add a step in stretches; where the one before it was cut alike, each follows the same stretch of that."""
        if self._chain is None or self._chain[0] != shape:
            for step in steps:
                self.add(step, op)
            self._chain = shape, len(self.steps) - len(steps), 1
            return
        _, start, length = self._chain
        for number, step in enumerate(steps):
            place = start + number * (length + 1) + length
            self.steps.insert(place, step)
            self.ops.insert(place, op)
        self._chain = shape, start, length + 1

    def __call__(self):
        """Run all steps."""
        self._run(self.steps, self.ops)

    def run(self, number):
        """Run one step."""
        self._run(self.steps[number : number + 1], self.ops[number : number + 1])

    def _run(self, steps, ops):
        step = None
        recorder = profile.active
        try:
            if recorder is None:
                for step in steps:
                    step()
            else:
                for step, op in zip(steps, ops, strict=True):
                    start = perf_counter()
                    step()
                    if self._settle is not None:
                        self._settle()
                    recorder.add(op or "feed", start, perf_counter(), self.thread)
        except _ERRORS as error:
            op = ops[steps.index(step)]
            if op is None or operators.find(op.type).effects and not isinstance(error, EnforceNotMet):
                raise
            raise blamed(error, op) from error


def is_large(size):
    """Whether an array of so many bytes is worth being worked on in stretches."""
    return size >= _LARGE


def stretches(arguments):
    """Indices that cut a large output along the slowest of its dimensions; None where arrays have other shapes."""
    array = arguments[-1]
    if array is None or not is_large(array.nbytes) or array.ndim == 0:
        return None
    others = [one for argument in arguments for one in (argument if isinstance(argument, list) else [argument])]
    if any(one is not None and one.shape != array.shape and one.size != 1 for one in others):
        return None
    axis = max(range(array.ndim), key=lambda one: array.strides[one])
    size = array.shape[axis]
    step = max(1, size * _STRETCH // array.nbytes)
    return [(slice(None),) * axis + (slice(start, start + step),) for start in range(0, size, step)]


def part(argument, shape, index):
    """The part of what a kernel gets at `index` of the arrays that have the shape `shape`."""
    if isinstance(argument, list):
        return [part(array, shape, index) for array in argument]
    return argument[index] if argument is not None and argument.shape == shape else argument
