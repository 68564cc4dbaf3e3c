"""The operators of a block as the steps of a plan, and the shapes of everything they compute."""

import numpy as np

from ...core import operators
from ...core.errors import EnforceNotMet
from ...core.spec import EMPTY, Spec
from ..memory import OutOfMemory, Pool
from .context import Context, Setting

# Elements of a tensor that may be a shape.
_SMALL = 64


class Step:
    """An operator with its definition, its position in the block, and versioned names of its variables.

    Attributes:
        op: the Program's operator, for messages.
        index: its position in the block, on which its random numbers depend.
        attrs: its attributes, defaults filled in.
        inputs, outputs: slot name -> list of names.
        specs: output slot name -> list of Spec, once they are inferred.
    """

    __slots__ = ("op", "index", "definition", "attrs", "inputs", "outputs", "reads", "writes", "specs")

    def __init__(self, op, index, definition, attrs, inputs, outputs):
        self.op = op
        self.index = index
        self.definition = definition
        self.attrs = attrs
        self.inputs = inputs
        self.outputs = outputs
        self.reads = [name for names in inputs.values() for name in names if name != EMPTY]
        self.writes = [name for names in outputs.values() for name in names if name != EMPTY]
        self.specs = None

    def like(self, type, inputs, outputs, attrs):
        """Another step in the place of this one, of operator `type`."""
        definition = operators.find(type)
        return Step(self.op, self.index, definition, {**definition.attrs, **attrs}, inputs, outputs)

    def __repr__(self):
        return f"<step {self.index} {self.definition.type} {self.inputs} -> {self.outputs}>"


def versioned(ops, variables, feeds):
    """The operators as steps in which every temporary is written once, and variable name -> its newest version.

    Operators without a kernel stand for what the plan does by itself, and are left out.  A Program may write a variable
    several times, with different shapes even.  Each write but the first makes a version under a name of its own; a feed
    is a write.  Persistable variables keep their one place in the scope.
    """
    missing = [op for op in ops if not operators.known(op.type)]  # in a Program that was read from a file
    if missing:
        types = ", ".join(sorted({repr(op.type) for op in missing}))
        raise EnforceNotMet(f"fluidlite has no operator {types}\n{missing[0].describe()}")
    newest, written, steps = {}, set(feeds), []
    for index, op in enumerate(ops):
        definition = operators.find(op.type)
        if definition.is_left_out:
            continue
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
        for slot in definition.inputs + definition.outputs:
            names = op.inputs.get(slot.name) or op.outputs.get(slot.name) or ()
            if len(names) > 1 and not slot.many:  # in a Program that was read from a file
                raise EnforceNotMet(f"its slot {slot.name!r} holds one variable, got {names}\n{op.describe()}")
        for slot in definition.outputs:
            # Old Programs lack outputs that came later, and kernels write them.
            if not (slot.many or slot.optional or outputs.get(slot.name)):
                outputs[slot.name] = [f"{slot.name}#{index}"]
        steps.append(Step(op, index, definition, {**definition.attrs, **op.attrs}, inputs, outputs))
    return steps, newest


class Inference:
    """Finds out concrete shapes and data types, and small values that are known before the plan runs.

    Args:
        variables: name -> an object with `persistable` and `spec`.
        feeds: name -> Spec of the fed array.
        scope: holds the persistable variables.

    Attributes:
        specs: variable name -> Spec, of all that was met.
    """

    def __init__(self, variables, feeds, scope):
        self.specs = dict(feeds)
        self._variables = variables
        self._scope = scope

    def run(self, steps):
        """Infer the outputs of those steps, in order, whose `specs` are not known; raises EnforceNotMet."""
        for step in steps:
            if step.specs is None:
                step.specs = self._infer(step)

    def _infer(self, step):
        try:
            inputs = {slot: [self.spec(name) for name in names if name != EMPTY] for slot, names in step.inputs.items()}
            found = operators.infer_specs(step.definition, step.attrs, inputs)
        except EnforceNotMet as error:
            raise EnforceNotMet(f"{error}\n{step.op.describe()}") from None
        values = self._constants(step, inputs, found)
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

    def _constants(self, step, inputs, found):
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
            arguments.append(argument(slot, arrays))
        results = [np.empty(spec.shape, spec.dtype) for _, spec in outputs]
        call = definition.kernel(Context(Setting(), step.attrs, Pool()), *arguments, *results)
        if definition.bind:
            call()
        names = [step.outputs[slot.name][0] for slot, _ in outputs]
        return dict(zip(names, results, strict=True))

    def spec(self, name):
        """The Spec of a variable that is fed, was computed, or has a value in the scope; else EnforceNotMet."""
        spec = self.specs.get(name)
        if spec is not None:
            return spec
        variable = self._variables.get(name)
        if variable is None:
            raise EnforceNotMet(f"the variable {name!r} is not part of the program")
        if not variable.persistable:
            wanted = f"it has shape {list(variable.spec.shape)} and dtype {variable.spec.dtype}"
            raise EnforceNotMet(f"the variable {name!r} is not fed and no operator computes it before; {wanted}")
        found = self._scope.find_var(name)
        array = found.get_tensor().array if found is not None else None
        if array is None:
            raise EnforceNotMet(
                f"the variable {name!r} has no value in this scope; run the startup program "
                "(exe.run(fluid.default_startup_program())) once the network and its optimizer are built, or load it"
            )
        self.specs[name] = Spec(array.shape, array.dtype)
        return self.specs[name]


def argument(slot, arrays):
    """What a kernel gets for a slot: a list of arrays, an array, or None."""
    return arrays if slot.many else arrays[0] if arrays else None


def blamed(error, op):
    """The error as one that names an operator, and the user's line."""
    kind = OutOfMemory if isinstance(error, MemoryError) else EnforceNotMet
    return kind(f"{error}\n{op.describe()}")
