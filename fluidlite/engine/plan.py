"""Preparing a plan, and replaying it.

A plan is a list of functions without arguments, each bound to the arrays it works on.  Preparing one takes the
operators of a block, drops those whose results nobody wants, infers every shape from the feeds, decides how each
variable is stored and how long its memory is needed, and binds the kernels.  Replaying it copies the feeds in, calls
the functions in order, and copies the fetches out.
"""

from functools import partial
from itertools import accumulate
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from ..ops import registry
from ..ops.registry import EMPTY, LOGICAL, STORED, EnforceNotMet, Spec
from . import profile
from .context import Context
from .layout import batch_last
from .memory import Pool

# Elements of a tensor that may be a shape.
_SMALL = 64


class Plan:
    """One block of operators, prepared for feeds of given shapes and for given fetches.

    Args:
        ops: the operators, in order: objects with `type`, `inputs`, `outputs`, `attrs` and `describe()`.
        variables: name -> an object with `persistable` and `spec`.
        feeds: name -> Spec of the fed array.
        fetches: names to return.
        scope: holds the persistable variables.
        pool: where memory comes from (`fluidlite.engine.memory.Pool`).
        seed: of random operators that have none of their own.
    """

    def __init__(self, ops, variables, feeds, fetches, scope, pool, seed=0):
        self.scope = scope
        self.fetches = list(fetches)
        self._variables = variables
        self._feeds = dict(feeds)
        self._pool = pool
        self._seed = seed
        steps, newest = _versioned(ops, variables, feeds)
        self._wanted = [newest.get(name, name) for name in self.fetches]
        self._ops = _needed(steps, variables, self._wanted)
        self.random = any(step.definition.random and not step.op.attrs.get("is_test") for step in self._ops)
        self._bound = None

    def bind(self):
        """Bind every kernel to its arrays; done for the first run, and again when a parameter's array was replaced."""
        _Binder(self).bind()

    def run(self, feeds):
        """Run once.

        Args:
            feeds: arrays in the order of the plan's feeds, of the shapes and dtypes that it was prepared for.
        Returns:
            list of arrays of one's own, in the order of the fetches.
        Raises:
            EnforceNotMet: an operator does not fit its inputs or refused their values, or a variable has no value; the
                message names the user's line.
        """
        if self._bound is None or any(tensor.array is not array for tensor, array in self._bound):
            self.bind()
        for target, array in zip(self._feed_arrays, feeds, strict=True):
            target[...] = array
        step = None
        try:
            with np.errstate(all="ignore"):
                recorder = profile.active
                if recorder is None:
                    for step in self._steps:
                        step()
                else:
                    for step, op in zip(self._steps, self._step_ops, strict=True):
                        start = perf_counter()
                        step()
                        recorder.add(op, start, perf_counter())
        except (EnforceNotMet, ValueError, ArithmeticError, MemoryError, IndexError, TypeError) as error:
            op = self._step_ops[self._steps.index(step)]
            raise EnforceNotMet(f"{error}\n{op.describe()}") from error
        if self.random:
            self.scope.step += 1
        return [np.array(array, order="C") for array in self._fetch_arrays]


class _Step(NamedTuple):
    """An operator with its definition, its position in the block, and versioned names of its variables."""

    index: int
    op: Any
    definition: Any
    inputs: dict
    outputs: dict

    @property
    def reads(self):
        return [name for names in self.inputs.values() for name in names if name != EMPTY]

    @property
    def writes(self):
        return [name for names in self.outputs.values() for name in names if name != EMPTY]


def _versioned(ops, variables, feeds):
    """The operators as steps in which every temporary is written once, and variable name -> its newest version.

    A Program may write a variable several times, with different shapes even.  Each write but the first makes a version
    under a name of its own; a feed is a write.  Persistable variables keep their one place in the scope.
    """
    newest, written, steps = {}, set(feeds), []
    for index, op in enumerate(ops):
        inputs = {slot: [newest.get(name, name) for name in names] for slot, names in op.inputs.items()}
        outputs = {}
        for slot, names in op.outputs.items():
            outputs[slot] = []
            for name in names:
                persistable = name in variables and variables[name].persistable
                if name in written and name != EMPTY and not persistable:
                    newest[name] = f"{name}#{index}"
                written.add(name)
                outputs[slot].append(newest.get(name, name))
        steps.append(_Step(index, op, registry.find(op.type), inputs, outputs))
    return steps, newest


def _needed(steps, variables, wanted):
    """The steps that a wanted value, a persistable variable or a side effect depends on."""
    needed, kept = set(wanted), []
    for step in reversed(steps):
        persistable = any(name in variables and variables[name].persistable for name in step.writes)
        if step.definition.side_effect or persistable or not needed.isdisjoint(step.writes):
            kept.append(step)
            needed.update(step.reads)
    return kept[::-1]


def _argument(slot, arrays):
    """What a kernel gets for a slot: a list of arrays, an array, or None."""
    return arrays if slot.many else arrays[0] if arrays else None


class _Storage:
    """Memory that one or more variables (views of each other) live in; `last` is the last step that needs it."""

    __slots__ = ("block", "last", "listed")

    def __init__(self, last, block):
        self.last = last
        self.block = block
        self.listed = False


class _Binder:
    """The work of `Plan.bind`: everything that is forgotten once the kernels are bound."""

    def __init__(self, plan):
        self.plan = plan
        self.ops = plan._ops
        self.variables = plan._variables
        self.pool = plan._pool
        self.arrays = {}
        self.bound = {}  # persistable variable -> its tensor, and the array that the plan first uses for it
        self.storages = {}
        self.ends = {}
        self.steps, self.step_ops = [], []

    def bind(self):
        plan = self.plan
        self.specs = dict(plan._feeds)
        self.op_specs = [self.infer(step) for step in self.ops]
        self.last = self.last_uses()
        persistable = [name for name in self.specs if self.is_persistable(name)]
        self.stored_batch_last = batch_last(self.ops, self.specs, persistable)
        self.pool.begin(self.expected_bytes())
        feed_arrays = [
            self.persistable(name, spec) if self.is_persistable(name) else self.allocate(name, spec, -1)
            for name, spec in plan._feeds.items()
        ]
        for number, step in enumerate(self.ops):
            self.bind_step(number, step)
            for storage in self.ends.pop(number, ()):
                if storage.last == number:
                    self.pool.free(storage.block)
        plan._fetch_arrays = [self.fetched(name) for name in plan._wanted]
        plan._feed_arrays, plan._steps, plan._step_ops = feed_arrays, self.steps, self.step_ops
        plan._bound = list(self.bound.values())
        for name, (tensor, _) in self.bound.items():
            tensor.array = self.arrays[name]

    def is_persistable(self, name):
        variable = self.variables.get(name)
        return variable is not None and variable.persistable

    def infer(self, step):
        """Concrete specs of the step's outputs (slot -> list of Spec); records them by name."""
        try:
            inputs = {
                slot: [self.input_spec(name) for name in names if name != EMPTY] for slot, names in step.inputs.items()
            }
            found = registry.infer_specs(step.definition, step.op.attrs, inputs)
        except EnforceNotMet as error:
            raise EnforceNotMet(f"{error}\n{step.op.describe()}") from None
        values = self.constants(step, inputs, found)
        for slot, specs in found.items():
            for name, spec in zip(step.outputs.get(slot, ()), specs, strict=False):
                if name != EMPTY and spec is not None:
                    if min(spec.shape, default=0) < 0:
                        raise EnforceNotMet(
                            f"the shape {list(spec.shape)} of {name} depends on values that are known only while the "
                            f"program runs\n{step.op.describe()}"
                        )
                    self.specs[name] = spec._replace(value=values.get(name))
        return found

    def constants(self, step, inputs, found):
        """The values of small outputs (name -> array) that follow from the program and the shapes of the feeds."""
        definition = step.definition
        known = definition.constant and all(
            spec.value is not None
            for slot, specs in inputs.items()
            if slot not in definition.shape_only
            for spec in specs
        )
        if not known:
            return {}
        outputs = [(slot, spec) for slot in definition.outputs for spec in found[slot.name]]
        if any(spec.size > _SMALL for _, spec in outputs):
            return {}
        arguments = []
        for slot in definition.inputs:
            arrays = [
                np.broadcast_to(np.zeros((), spec.dtype), spec.shape) if spec.value is None else spec.value
                for spec in inputs.get(slot.name, ())
            ]
            arguments.append(_argument(slot, arrays))
        results = [np.empty(spec.shape, spec.dtype) for _, spec in outputs]
        call = definition.kernel(Context(np, {**definition.attrs, **step.op.attrs}, Pool(np)), *arguments, *results)
        if definition.bind:
            call()
        names = [step.outputs[slot.name][0] for slot, _ in outputs]
        return dict(zip(names, results, strict=True))

    def input_spec(self, name):
        spec = self.specs.get(name)
        if spec is not None:
            return spec
        variable = self.variables.get(name)
        if variable is None:
            raise EnforceNotMet(f"the variable {name!r} is not part of the program")
        if not variable.persistable:
            wanted = f"it has shape {list(variable.spec.shape)} and dtype {variable.spec.dtype}"
            raise EnforceNotMet(f"the variable {name!r} is not fed and no operator computes it before; {wanted}")
        found = self.plan.scope.find_var(name)
        array = found.get_tensor().array if found is not None else None
        if array is None:
            raise EnforceNotMet(
                f"the variable {name!r} has no value in this scope; run the startup program "
                "(exe.run(fluid.default_startup_program())) once the network and its optimizer are built, or load it"
            )
        self.specs[name] = Spec(array.shape, array.dtype)
        return self.specs[name]

    def last_uses(self):
        """Variable name -> number of the last step that needs its memory."""
        last = dict.fromkeys(self.plan._feeds, -1)
        for number, step in enumerate(self.ops):
            for slot, names in step.inputs.items():
                if slot not in step.definition.shape_only:
                    last.update(dict.fromkeys(names, number))
            last.update(dict.fromkeys(step.writes, number))
        last.update(dict.fromkeys(self.plan._wanted, len(self.ops)))
        return last

    def expected_bytes(self):
        """The most memory that variables need at one time, scratch and sharing aside."""
        changes = [0] * (len(self.ops) + 2)
        first = dict.fromkeys(self.plan._feeds, 0)
        for number, step in enumerate(self.ops):
            for name in step.writes:
                first.setdefault(name, number)
        for name, start in first.items():
            if not self.is_persistable(name):
                size = self.specs[name].size * self.specs[name].dtype.itemsize
                changes[start] += size
                changes[self.last[name] + 1] -= size
        return max(accumulate(changes))

    def allocate(self, name, spec, number):
        """Give a variable memory of its own until its last use."""
        shape = spec.shape
        if name in self.stored_batch_last:
            array, block = self.pool.array([shape[axis] for axis in STORED], spec.dtype)
            array = array.transpose(LOGICAL)
        else:
            array, block = self.pool.array(shape, spec.dtype)
        self.adopt(name, array, _Storage(max(self.last[name], number), block))
        return array

    def adopt(self, name, array, storage):
        """Let a variable live in `storage`, at least until its last use."""
        self.arrays[name] = array
        self.storages[name] = storage
        if self.last[name] > storage.last or not storage.listed:
            storage.last = max(storage.last, self.last[name])
            storage.listed = True
            self.ends.setdefault(storage.last, []).append(storage)

    def array(self, name):
        """The array of an input."""
        if name not in self.arrays:
            tensor = self.plan.scope.var(name).get_tensor()
            self.arrays[name] = tensor.array
            self.bound[name] = tensor, tensor.array
        return self.arrays[name]

    def bind_step(self, number, step):
        definition = step.definition
        if definition.view and self.bind_view(number, step):
            return
        attrs = {**definition.attrs, **step.op.attrs}
        self.context = Context(self.pool.xp, attrs, self.pool, self.plan._seed, step.index, self.plan.scope)
        self.taken, copies = [], []
        arguments = []
        for slot in definition.inputs:
            arrays = [None if name == EMPTY else self.array(name) for name in step.inputs.get(slot.name, ())]
            arguments.append(_argument(slot, arrays))
        for slot in definition.outputs:
            arrays = []
            for position, name in enumerate(step.outputs.get(slot.name, ())):
                if name == EMPTY:
                    arrays.append(None)
                    continue
                spec = self.op_specs[number][slot.name][position]
                source = self.matching_input(step, slot.name, position)
                arrays.append(self.output(number, step, name, spec, source, copies))
            arguments.append(_argument(slot, arrays))
        if definition.bind:
            try:
                call = definition.kernel(self.context, *arguments)
            except (EnforceNotMet, ValueError, TypeError) as error:
                raise EnforceNotMet(f"{error}\n{step.op.describe()}") from error
        else:
            call = partial(definition.kernel, self.context, *arguments)
        for function in [call, *copies]:
            self.steps.append(function)
            self.step_ops.append(step.op)
        self.context.release_scratch()

    def matching_input(self, step, slot, position):
        """The input whose memory the operator's definition lets an output take over, or None."""
        names = step.inputs.get(step.definition.inplace.get(slot), ())
        return names[position] if position < len(names) else None

    def output(self, number, step, name, spec, source, copies):
        """The array that a step writes `name` to; appends to `copies` what is to be done after it."""
        if self.is_persistable(name):
            old = self.arrays.get(name)
            array = self.persistable(name, spec)
            if array is old and step.reads.count(name) > (name == source):
                # The kernel reads the old value while it writes the new one.
                scratch = self.context.scratch(spec.shape, spec.dtype)
                copies.append(partial(self.pool.xp.copyto, array, scratch))
                return scratch
            return array
        if source is not None and self.free_to_take(source, number, step) and self.alike(source, name, spec):
            self.taken.append(self.storages[source])
            self.adopt(name, self.arrays[source], self.storages[source])
            return self.arrays[name]
        return self.allocate(name, spec, number)

    def persistable(self, name, spec):
        """The array of a persistable variable that is written: that in the scope if it fits, else a new one."""
        tensor = self.plan.scope.var(name).get_tensor()
        array = self.arrays.get(name, tensor.array)
        if array is None or array.shape != spec.shape or array.dtype != spec.dtype:
            array = self.pool.xp.zeros(spec.shape, spec.dtype)
        self.arrays[name] = array
        self.bound.setdefault(name, (tensor, array))
        return array

    def free_to_take(self, source, number, step):
        """Whether the step is the last that needs the memory of its input `source`, and needs it only there."""
        storage = self.storages.get(source)
        if storage is None or storage.last != number or storage in self.taken:
            return False
        return sum(self.storages.get(name) is storage for name in step.reads) == 1

    def alike(self, source, name, spec):
        array = self.arrays[source]
        same_storage = (source in self.stored_batch_last) == (name in self.stored_batch_last)
        return array.shape == spec.shape and array.dtype == spec.dtype and same_storage

    def bind_view(self, number, step):
        """Let the output be the input's memory in another shape; returns False where that cannot be."""
        ((slot, source_slot),) = step.definition.view.items()
        (source,), (name,) = step.inputs[source_slot], step.outputs[slot]
        array = self.array(source)
        if not array.flags.c_contiguous or source not in self.storages or self.is_persistable(name):
            return False
        self.adopt(name, array.reshape(self.specs[name].shape), self.storages[source])
        for other, names in step.outputs.items():
            for extra, spec in zip(names, self.op_specs[number][other], strict=True):
                if other != slot and extra != EMPTY:
                    self.allocate(extra, spec, number)
        return True

    def fetched(self, name):
        if name not in self.arrays:
            self.input_spec(name)
        return self.array(name)
