"""The shapes and data types of everything that a plan computes."""

from typing import Any, NamedTuple

import numpy as np

from ...core.errors import EnforceNotMet
from ...core.regions import Recurrence, RegionGradient
from ...core.spec import EMPTY, Spec
from ...core.tensor_array import BOX, OBJECT
from ..memory import Pool
from .context import Context, Setting
from .steps import argument

# Elements of a tensor that may be a shape, or a bound.
_SMALL = 64
# Of the record that a region keeps for its gradient, which is no array.
_RECORD = Spec((0,), np.dtype("uint8"))


class DependsOnValues(EnforceNotMet):
    """The shape of a Value is not known before a plan runs."""

    def __init__(self, step, value):
        name = "what it makes" if value is None else value.name
        super().__init__(
            f"the shape of {name} depends on values that are known only while the program runs\n{step.op.describe()}"
        )


class Known(NamedTuple):
    """What is known of a region from elsewhere.

    Attributes:
        specs: Value -> Spec, of what some of its steps make.
        blocks: `regions.Body` -> Block, of steps outside of it that run blocks; None where shapes depend on values.
    """

    specs: Any = {}
    blocks: Any = {}


NOTHING_KNOWN = Known()


class Block(NamedTuple):
    """What is known of the block that a step runs.

    Attributes:
        given: the Specs of what is given to it, in order.
        specs, blocks: as `Inference` has them, of what is inside.
    """

    given: list
    specs: dict
    blocks: dict


class Inference:
    """Finds out concrete shapes, data types and levels of detail, and small values that are known before the plan runs.

    Equal Specs without a value are one object here, and what a step infers is looked up by those objects: most steps of
    a large Program are like others, or as they were for the batch before.

    Args:
        variables: name -> an object with `persistable` and `spec`.
        feeds: Value -> Spec of the fed array.
        scope: holds the persistable variables; None to believe what is declared.
        bodies (weakref): to a function that has the `regions.Body` of a step that runs a block.
        known (Known): what is known from elsewhere.
        before: the `memo` of an inference for another batch.

    Attributes:
        specs: Value -> Spec, of all that was met.
        blocks: `regions.Body` -> Block, of the blocks that steps run.
        found: the Values whose Specs are those of tensors in the scope.
    """

    def __init__(self, variables, feeds, scope, bodies=None, known=NOTHING_KNOWN, before=({}, {})):
        self._bodies = bodies
        self._variables = variables
        self._scope = scope
        self._known = {}  # (shape, dtype, LoD) -> Spec
        self._found = {}  # (kind of a step, ids of its inputs' Specs) -> its outputs' Specs
        self._known_before, self._found_before = before
        self._done = set()
        self._given = known.specs
        self.blocks, self.found = dict(known.blocks), []
        self.specs = {value: self.one(spec) for value, spec in feeds.items()}

    @property
    def memo(self):
        """What another one may begin with."""
        return self._known, self._found

    def one(self, spec):
        """The Spec that stands for all that are equal to it."""
        if spec is None or spec.value is not None:
            return spec
        if spec.lod == ():
            spec = Spec(spec.shape, spec.dtype)
        key = spec.shape, spec.dtype, spec.lod
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._known_before.get(key, spec)
        return found

    def run(self, steps):
        """Infer the outputs of those steps, in order, for which that was not done; raises EnforceNotMet."""
        specs, found, done = self.specs, self._found, self._done
        for step in steps:
            if step in done:
                continue
            given = [specs.get(value) or self.spec(value, step) for value in step.reads]
            # A known value is of one step alone.
            key = (step.kind, *map(id, given)) if given else (step,)
            made = found.get(key)
            if made is None:
                made = self._found_again(key) or self._inferred(step, given, key)
            for value, spec in zip(step.writes, made, strict=True):
                if spec is not None:
                    specs[value] = spec
            done.add(step)

    def _found_again(self, key):
        """What was found for the batch before under a key of `_found`, or None."""
        made = self._found_before.get(key)
        if made is not None:
            self._found[key] = made = [self.one(spec) for spec in made]
        return made

    def split(self, steps):
        """Infer what can be inferred before the plan runs, and find out what else there is.

        A step whose outputs have shapes that depend on values is a source of such.  What reads its outputs has to wait
        for it, and so has what must not write a persistable variable before those that wait have read or written it.
        A dynamic one that needs no more than what others make is a source, too: they run one behind the other.  Steps
        with effects stay in their order.

        Args:
            steps: in order.
        Returns:
            (the steps whose outputs are known, the sources, those that wait): lists, in order
        Raises:
            EnforceNotMet: a step does not fit its inputs.
        """
        known, sources, waiting = [], [], []
        missing, touched, made = set(), set(), set()
        effects_follow = effects_wait = False  # whether sources, or steps that wait, have effects
        for step in steps:
            is_dynamic, lacking = step.definition.dynamic, missing.intersection(step.reads)
            must_wait = not touched.isdisjoint(step.writes)
            must_wait |= step.has_effects and (effects_wait or (effects_follow and not is_dynamic))
            if lacking or must_wait:
                is_next = is_dynamic and lacking <= made and not must_wait
                (sources if is_next else waiting).append(step)
                if is_next:
                    made.update(step.writes)
                effects_wait |= step.has_effects and not is_next
            else:
                try:
                    self.run([step])
                    known.append(step)
                    continue
                except DependsOnValues:
                    sources.append(step)
                    effects_follow |= step.has_effects
                    if is_dynamic:
                        made.update(step.writes)
            missing.update(step.writes)
            touched.update(value for value in (*step.reads, *step.writes) if value.persistable)
        return known, sources, waiting

    def made(self, step, given):
        """What a step makes of inputs of given Specs, in the order of its `reads`: a Spec for each of its `writes`.

        Raises:
            EnforceNotMet: they do not fit; the message does not name the operator.
        """
        key = (step.kind, *map(id, given))
        made = self._found.get(key)
        if made is None:
            made = self._keep(key, given, [self.one(spec) for spec in step.infer(given)])
        return made

    def _keep(self, key, given, made):
        if not given or not any([spec is not None and spec.value is not None for spec in (*given, *made)]):
            self._found[key] = made
        return made

    def _inferred(self, step, given, key):
        if step.definition.region is not None:
            return [self.one(spec) for spec in self._of_region(step, given)]
        is_dynamic = step.definition.dynamic
        if is_dynamic and any([spec.dtype is OBJECT for spec in given]):
            raise DependsOnValues(step, step.writes[0])
        try:
            made = step.infer(given)
        except EnforceNotMet as error:
            raise EnforceNotMet(f"{error}\n{step.op.describe()}") from None
        if is_dynamic:
            raise DependsOnValues(step, next(iter(step.writes), None))
        if not self._given.keys().isdisjoint(step.writes):
            return [self.one(self._given.get(value, spec)) for value, spec in zip(step.writes, made, strict=True)]
        for number, value in enumerate(step.writes):
            spec = made[number]
            if spec is None and not value.persistable:
                # A temporary whose description an operator leaves as it is, is like the first input.
                spec = made[number] = self._first(step, given)
            if spec is not None:
                if spec.shape and min(spec.shape) < 0:
                    raise DependsOnValues(step, value)
                made[number] = self.one(spec)
        if step.definition.constant:
            known = self._constants(step, given, made)
            made = [
                spec._replace(value=known[value]) if value in known else spec
                for value, spec in zip(step.writes, made, strict=True)
            ]
        return self._keep(key, given, made)

    @staticmethod
    def _first(step, given):
        """The Spec of what is in the first input slot of a step."""
        known = dict(zip(step.reads, given, strict=True))
        _, _, values = step.arguments[0] if step.arguments else (None, None, ())
        return next((known[value] for value in values if value is not EMPTY), None)

    def _of_region(self, step, given):
        """What a step makes that runs a block: what the block makes of its own inputs."""
        body, known = self._bodies()(step, self.blocks), dict(zip(step.reads, given, strict=True))
        # It knows the Values of the step as it was read, in the place of which others may have come since.
        own = dict(zip(body.step.reads, given, strict=True))
        stale = [value for value, spec in own.items() if value.persistable and self._is_stale(value, spec)]
        if stale and isinstance(step.definition.region, Recurrence):
            raise EnforceNotMet(
                f"the block reads the persistable variable {stale[0].name!r}, which an operator before it makes with "
                f"the shape {list(own[stale[0]].shape)}, and the scope does not have it in that shape before the run; "
                f"give the block a copy of it: fluid.layers.assign({stale[0].name})\n{step.op.describe()}"
            )
        if stale:
            raise DependsOnValues(step, step.writes[0])  # its block finds the variable in the scope
        if isinstance(step.definition.region, RegionGradient):
            if self.blocks[body.forward] is None:
                raise DependsOnValues(step, step.writes[0])
            self.blocks[body], made = body.infer(own, self.blocks[body.forward])
            return [made[value] for value in body.step.writes]
        if isinstance(step.definition.region, Recurrence):
            self.blocks[body], made = body.infer(own)
            return [made[value] for value in body.step.writes]
        before = {value.name: spec for value, spec in known.items()}
        if not body.is_scalar and any(known[value].size == 0 for value in body.captures):
            raise DependsOnValues(step, step.writes[0])  # it does not run, and what it would make is not known
        self.blocks[body], found = body.infer(before)
        specs = []
        for value in step.writes:
            spec = found.get(value.name) or (_RECORD if value.name == body.saves else before.get(value.name))
            spec = spec or declared(self._variables[value.name])
            old = before.get(value.name)
            if old is not None and value.name in found and old.dtype != spec.dtype:
                raise EnforceNotMet(
                    f"{value.name} has the data type {old.dtype} before the block runs, and {spec.dtype} behind it; "
                    f"fluidlite runs blocks that leave it as it is\n{step.op.describe()}"
                )
            if old is not None and value.name in found and (old.shape, old.lod) != (spec.shape, spec.lod):
                raise DependsOnValues(step, value)
            specs.append(spec._replace(value=None))
        return specs

    def _is_stale(self, value, spec):
        """Whether the scope does not have what a persistable variable is to be by now, since a step before makes it."""
        if self._scope is None:
            return False
        found = self._scope.find_var(value.name)
        tensor = found.get_tensor() if found is not None else None
        if tensor is None or tensor.array is None:
            return True
        array = tensor.array
        return (array.shape, array.dtype, tensor.offsets or None) != (spec.shape, spec.dtype, spec.lod)

    def _constants(self, step, given, made):
        """The small outputs (Value -> array) that follow from the program and the shapes of the feeds."""
        known = dict(zip(step.reads, given, strict=True))
        if not all(known[value].value is not None for value in step.read_values()):
            return {}
        specs = dict(zip(step.writes, made, strict=True))
        if not all(spec is not None and may_be_a_shape(spec) for spec in made):
            return {}
        arguments = []
        for slot, _, values in step.arguments:
            given = [known[value] for value in values if value is not EMPTY]
            arrays = [
                np.broadcast_to(np.zeros((), spec.dtype), spec.shape) if spec.value is None else spec.value
                for spec in given
            ]
            arguments.append(argument(slot, arrays))
        results = {value: np.empty(spec.shape, spec.dtype) for value, spec in specs.items()}
        made = step.by_slot([results.get(value) for value, _ in step.targets])
        call = step.definition.kernel(Context(Setting(), step.attrs, Pool()), *arguments, *made)
        if step.definition.bind:
            call()
        return results

    def spec(self, value, step=None):
        """The Spec of a Value that is fed, was computed, or has a value in the scope; else EnforceNotMet."""
        spec = self.specs.get(value)
        if spec is None:
            try:
                spec = self.specs[value] = self.one(self._outside(value))
            except EnforceNotMet as error:
                raise EnforceNotMet(f"{error}\n{step.op.describe()}" if step else str(error)) from None
        return spec

    def _outside(self, value):
        variable = self._variables.get(value.name)
        if variable is None:
            raise EnforceNotMet(f"the variable {value.name!r} is not part of the program")
        if variable.holds_array and not value.persistable:
            return BOX  # of nothing
        if not value.persistable:
            wanted = f"it has shape {list(variable.spec.shape)} and dtype {variable.spec.dtype}"
            raise EnforceNotMet(f"the variable {value.name!r} is not fed and no operator computes it before; {wanted}")
        if self._scope is None:
            return variable.spec
        found = self._scope.find_var(value.name)
        tensor = found.get_tensor() if found is not None else None
        array = tensor.array if tensor is not None else None
        if array is None:
            raise EnforceNotMet(
                f"the variable {value.name!r} has no value in this scope; run the startup program "
                "(exe.run(fluid.default_startup_program())) once the network and its optimizer are built, or load it"
            )
        self.found.append(value)
        return Spec(array.shape, array.dtype, None, tensor.offsets or None)


def declared(variable):
    """The Spec that a variable is declared with."""
    return BOX if variable.holds_array else variable.spec


def may_be_a_shape(spec):
    """Whether a tensor is so small that it may be the shape of another one, or a bound."""
    return spec.size <= _SMALL
