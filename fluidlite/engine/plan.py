"""Preparing a plan, and replaying it.

A plan is a list of functions without arguments, each bound to the arrays it works on.  Preparing one takes the
operators of a block, drops those whose results nobody wants, infers every shape from the feeds, decides how each
variable is stored and how long its memory is needed, and binds the kernels.  Replaying it copies the feeds in, calls
the functions in order, and copies the fetches out.
"""

from collections import Counter
from functools import partial

import numpy as np

from ..ops import registry
from ..ops.registry import EMPTY, LOGICAL, STORED, EnforceNotMet, Spec
from .context import Context
from .layout import batch_last


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
    Raises:
        EnforceNotMet: an operator does not fit its inputs, or a variable has no value.
    """

    def __init__(self, ops, variables, feeds, fetches, scope, pool, seed=0):
        self.scope = scope
        self.fetches = list(fetches)
        self._variables = variables
        self._feeds = dict(feeds)
        self._pool = pool
        self._seed = seed
        numbered = [(index, op, registry.find(op.type)) for index, op in enumerate(ops)]
        self._ops = _needed(numbered, variables, self.fetches, self._feeds)
        self.random = any(definition.random and not op.attrs.get("is_test") for _, op, definition in self._ops)
        self.bind()

    def bind(self):
        """Bind every kernel to its arrays; done again when a parameter's array was replaced."""
        _Binder(self).bind()

    def run(self, feeds):
        """Run once.

        Args:
            feeds: arrays in the order of the plan's feeds, of the shapes and dtypes that it was prepared for.
        Returns:
            list of arrays of one's own, in the order of the fetches.
        Raises:
            EnforceNotMet: an operator refused its values; the message names the user's line.
        """
        for tensor, array in self._bound:
            if tensor.array is not array:
                self.bind()
                break
        for target, array in zip(self._feed_arrays, feeds, strict=True):
            target[...] = array
        step = None
        try:
            with np.errstate(all="ignore"):
                for step in self._steps:
                    step()
        except (EnforceNotMet, ValueError, ArithmeticError, MemoryError, IndexError, TypeError) as error:
            op = self._step_ops[self._steps.index(step)]
            raise EnforceNotMet(f"{error}\n{op.describe()}") from error
        if self.random:
            self.scope.step += 1
        return [np.array(array, order="C") for array in self._fetch_arrays]


def _needed(numbered, variables, fetches, feeds):
    """The operators that a fetch, a persistable variable or a side effect depends on."""
    needed, kept = set(fetches), []
    for index, op, definition in reversed(numbered):
        written = [name for names in op.outputs.values() for name in names if name != EMPTY]
        wanted = definition.side_effect or any(
            (name in needed and name not in feeds) or (name in variables and variables[name].persistable)
            for name in written
        )
        if wanted:
            kept.append((index, op, definition))
            needed.update(name for names in op.inputs.values() for name in names)
    return kept[::-1]


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
        self.tensors = {}
        self.arrays = {}
        self.storages = {}
        self.ends = {}
        self.steps, self.step_ops = [], []

    def bind(self):
        plan = self.plan
        self.specs = dict(plan._feeds)
        self.op_specs = [self.infer(op, definition) for _, op, definition in self.ops]
        self.last = self.last_uses()
        self.writers = Counter(list(plan._feeds))
        self.writers.update(name for _, op, _ in self.ops for names in op.outputs.values() for name in names)
        persistable = [name for name in self.specs if self.is_persistable(name)]
        steps = [(op, definition) for _, op, definition in self.ops]
        self.stored_batch_last = batch_last(steps, self.specs, persistable)
        self.pool.begin(self.expected_bytes())
        for name, spec in plan._feeds.items():
            self.allocate(name, spec, -1)
        for number, (index, op, definition) in enumerate(self.ops):
            self.bind_op(number, index, op, definition)
            for storage in self.ends.pop(number, ()):
                if storage.last == number:
                    self.pool.free(storage.block)
        plan._steps, plan._step_ops = self.steps, self.step_ops
        plan._bound = [(tensor, tensor.array) for tensor in self.tensors.values()]
        plan._feed_arrays = [self.arrays[name] for name in plan._feeds]
        plan._fetch_arrays = [self.fetched(name) for name in plan.fetches]

    def is_persistable(self, name):
        variable = self.variables.get(name)
        return variable is not None and variable.persistable and name not in self.plan._feeds

    def tensor(self, name):
        found = self.tensors.get(name)
        if found is None:
            found = self.tensors[name] = self.plan.scope.var(name).get_tensor()
        return found

    def infer(self, op, definition):
        """Concrete specs of the operator's outputs (slot -> list of Spec); records them by name."""
        try:
            inputs = {
                slot: [self.input_spec(name) for name in names if name != EMPTY] for slot, names in op.inputs.items()
            }
            found = registry.infer_specs(definition, op.attrs, inputs)
        except EnforceNotMet as error:
            raise EnforceNotMet(f"{error}\n{op.describe()}") from None
        for slot, specs in found.items():
            for name, spec in zip(op.outputs.get(slot, ()), specs, strict=False):
                if name != EMPTY:
                    self.specs[name] = spec
        return found

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
                f"the variable {name!r} has no value in this scope; run the startup program first "
                "(exe.run(fluid.default_startup_program())) or load it"
            )
        self.tensor(name)
        self.specs[name] = Spec(array.shape, array.dtype)
        return self.specs[name]

    def last_uses(self):
        """Variable name -> number of the last operator that needs its memory."""
        last = dict.fromkeys(self.plan._feeds, -1)
        for number, (_, op, definition) in enumerate(self.ops):
            for slot, names in op.inputs.items():
                if slot not in definition.shape_only:
                    last.update(dict.fromkeys(names, number))
            for names in op.outputs.values():
                last.update(dict.fromkeys(names, number))
        last.update(dict.fromkeys(self.plan.fetches, len(self.ops)))
        return last

    def expected_bytes(self):
        """The most memory that variables need at one time, scratch aside."""
        changes = [0] * (len(self.ops) + 2)
        for name, last in self.last.items():
            if name in self.specs and not self.is_persistable(name):
                spec = self.specs[name]
                changes[last + 1] -= spec.size * spec.dtype.itemsize
        seen = set(self.plan._feeds)
        live = most = sum(self.specs[name].size * self.specs[name].dtype.itemsize for name in seen)
        for number, (_, op, _) in enumerate(self.ops):
            live += changes[number]
            for names in op.outputs.values():
                for name in names:
                    if name not in seen and name in self.specs and not self.is_persistable(name):
                        seen.add(name)
                        live += self.specs[name].size * self.specs[name].dtype.itemsize
            most = max(most, live)
        return most

    def allocate(self, name, spec, number):
        """Give a variable memory of its own, which `last` frees."""
        shape = spec.shape
        if name in self.stored_batch_last:
            array, block = self.pool.array([shape[axis] for axis in STORED], spec.dtype)
            array = array.transpose(LOGICAL)
        else:
            array, block = self.pool.array(shape, spec.dtype)
        storage = _Storage(max(self.last[name], number), block)
        self.adopt(name, array, storage)
        return array

    def adopt(self, name, array, storage):
        """Let a variable live in `storage`."""
        self.arrays[name] = array
        self.storages[name] = storage
        if self.last[name] > storage.last or not storage.listed:
            storage.last = max(storage.last, self.last[name])
            storage.listed = True
            self.ends.setdefault(storage.last, []).append(storage)

    def array(self, name):
        """The array of an input."""
        if name not in self.arrays:
            self.arrays[name] = self.tensor(name).array
        return self.arrays[name]

    def output(self, number, op, definition, slot, position, name, spec):
        """The array that the operator writes `name` to, and a copy to make afterwards if that is not its own."""
        source = self.matching_input(op, definition.inplace, slot, position)
        reads = {n for names in op.inputs.values() for n in names}
        if name in reads and name != source:
            scratch = self.context.scratch(spec.shape, spec.dtype)
            return scratch, partial(np.copyto, self.array(name), scratch)
        if self.is_persistable(name):
            return self.persistable(name, spec), None
        if name in self.arrays:
            if self.arrays[name].shape == spec.shape and self.arrays[name].dtype == spec.dtype:
                return self.arrays[name], None
            return self.allocate(name, spec, number), None
        if source is not None and self.free_to_take(source, number, op) and self.alike(source, name, spec):
            self.taken.append(self.storages[source])
            self.adopt(name, self.arrays[source], self.storages[source])
            return self.arrays[name], None
        return self.allocate(name, spec, number), None

    def matching_input(self, op, pairs, slot, position):
        """The input whose memory an output may share, by the operator's declaration (`inplace` or `view`)."""
        names = op.inputs.get(pairs.get(slot), ())
        return names[position] if position < len(names) else None

    def free_to_take(self, source, number, op):
        """Whether the operator is the last that needs the memory of its input `source`, and needs it only there."""
        storage = self.storages.get(source)
        if storage is None or storage.last != number or storage in self.taken:
            return False
        readers = [n for names in op.inputs.values() for n in names if self.storages.get(n) is storage]
        return len(readers) == 1

    def alike(self, source, name, spec):
        array = self.arrays[source]
        same_storage = (source in self.stored_batch_last) == (name in self.stored_batch_last)
        return array.shape == spec.shape and array.dtype == spec.dtype and same_storage

    def persistable(self, name, spec):
        tensor = self.tensor(name)
        if tensor.array is None or tensor.array.shape != spec.shape or tensor.array.dtype != spec.dtype:
            tensor.array = self.pool.xp.zeros(spec.shape, spec.dtype)
        self.arrays[name] = tensor.array
        return tensor.array

    def bind_op(self, number, index, op, definition):
        if definition.view and self.bind_view(number, op, definition):
            return
        plan = self.plan
        attrs = {**definition.attrs, **op.attrs}
        self.context = Context(self.pool.xp, attrs, self.pool, plan._seed, index, plan.scope)
        self.taken = []
        arguments, copies = [], []
        for slot in definition.inputs:
            arrays = [None if name == EMPTY else self.array(name) for name in op.inputs.get(slot.name, ())]
            arguments.append(arrays if slot.many else arrays[0] if arrays else None)
        for slot in definition.outputs:
            arrays = []
            specs = self.op_specs[number].get(slot.name, ())
            for position, name in enumerate(op.outputs.get(slot.name, ())):
                if name == EMPTY:
                    arrays.append(None)
                    continue
                array, copy = self.output(number, op, definition, slot.name, position, name, specs[position])
                arrays.append(array)
                if copy is not None:
                    copies.append(copy)
            arguments.append(arrays if slot.many else arrays[0] if arrays else None)
        if definition.bind:
            try:
                step = definition.kernel(self.context, *arguments)
            except (EnforceNotMet, ValueError, TypeError) as error:
                raise EnforceNotMet(f"{error}\n{op.describe()}") from error
        else:
            step = partial(definition.kernel, self.context, *arguments)
        for call in [step, *copies]:
            self.steps.append(call)
            self.step_ops.append(op)
        self.context.release_scratch()

    def bind_view(self, number, op, definition):
        """Let the output be the input's memory in another shape; returns False where that cannot be."""
        ((slot, source_slot),) = definition.view.items()
        (source,), (name,) = op.inputs[source_slot], op.outputs[slot]
        array = self.array(source)
        fits = array.flags.c_contiguous and name not in self.arrays and source in self.storages
        if not fits or self.is_persistable(name) or self.rewritten(name) or self.rewritten(source):
            return False
        self.adopt(name, array.reshape(self.specs[name].shape), self.storages[source])
        for other in definition.outputs:
            for position, extra in enumerate(op.outputs.get(other.name, ())):
                if other.name != slot and extra in self.last:
                    self.allocate(extra, self.op_specs[number][other.name][position], number)
        return True

    def rewritten(self, name):
        """Whether the variable gets a value more than once, so that it must not share memory with another."""
        return self.writers[name] > 1

    def fetched(self, name):
        if name not in self.arrays:
            self.input_spec(name)
        return self.array(name)
