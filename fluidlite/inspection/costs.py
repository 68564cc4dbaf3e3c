"""What the operators of a Program cost, as their definitions say it."""

from ..core import operators
from ..core.spec import Spec
from .layers import role


class Costs:
    """Sizes and floating point operations of one forward run of a Program, for one sample.

    Args:
        program (Program): it may hold operators that fluidlite lacks.
        feeds (dict): name -> shape (tuple) of fed variables, for those of its sizes that the program leaves open.  The
            first one, the batch, is taken to be 1; so is any other that is not known.

    Attributes:
        sizes (dict): name -> shape (tuple), with -1 for the batch as the program has it.
        uncounted (list of str): the operator types that were met and whose costs are not known.
    """

    def __init__(self, program, feeds=None):
        self._specs = {}
        self._uncounted = {}
        self._flops = {}
        self.sizes = {}
        variables = program.global_block().vars
        for name, shape in (feeds or {}).items():
            if name in variables and len(shape) == len(variables[name].shape):
                spec = variables[name].spec
                self._specs[name] = _of_one(Spec(_filled(spec.shape, shape), spec.dtype))
        for block in program.blocks:
            for op in block.ops:
                if role(op) == "forward" and not operators.is_left_out(op.type):
                    self._flops[id(op)] = self._measure(op)

    @property
    def uncounted(self):
        return list(self._uncounted)

    def of(self, layer):
        """The floating point operations of a layer (int)."""
        return sum(self._flops.get(id(op), 0) for op in layer.operators)

    def _measure(self, op):
        if not operators.known(op.type):
            self._uncounted[op.type] = None
            return 0
        definition = operators.find(op.type)
        attrs = {**definition.all_attrs(), **op.attrs}
        inputs = {slot: [self._spec(op, name) for name in names] for slot, names in op.inputs.items()}
        try:
            found = operators.infer_specs(definition, attrs, inputs)
        except Exception:  # an operator of a file may be anything; then its outputs are as the program declares them
            found = {}
        for slot, names in op.outputs.items():
            for name, spec in zip(names, found.get(slot, ()), strict=False):
                if spec is not None:
                    self._specs[name] = _of_one(spec)
        outputs = {slot: [self._spec(op, name) for name in names] for slot, names in op.outputs.items()}
        for names in op.outputs.values():
            self.sizes.update((name, self._size(op, name)) for name in names)
        shapes = {slot: [spec.shape for spec in specs] for slot, specs in {**inputs, **outputs}.items()}
        try:
            return definition.flops(attrs, shapes)
        except Exception:  # as above
            self._uncounted[op.type] = None
            return 0

    def _spec(self, op, name):
        """The Spec of a variable for one sample."""
        if name not in self._specs:
            variable = op.block._find_var_recursive(name)
            self._specs[name] = _of_one(variable.spec) if variable is not None else Spec((), None)
        return self._specs[name]

    def _size(self, op, name):
        variable = op.block._find_var_recursive(name)
        known, declared = self._spec(op, name).shape, variable.shape if variable is not None else ()
        if len(known) == len(declared) and declared and declared[0] == -1:
            return (-1, *known[1:])
        return known


def _filled(declared, given):
    """The declared shape with the given sizes for unknown ones, but for the first, which is the batch."""
    return tuple(b if a == -1 and place else a for place, (a, b) in enumerate(zip(declared, given, strict=True)))


def _of_one(spec):
    return Spec(tuple(1 if size < 0 else size for size in spec.shape), spec.dtype, spec.value)
