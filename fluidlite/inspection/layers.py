"""The operators of a Program, grouped as a reader thinks of layers: a product, its bias and its activation are one."""

from dataclasses import dataclass

from ..core import operators
from ..core.dtypes import VarType
from ..fluid.framework import OpRole

# The usual slots of the main output, in operators that fluidlite lacks; of the others readers need not know.
_MAIN_OUTPUTS = ("Out", "Output", "Y", "Hidden", "Loss", "Accuracy")


@dataclass
class Layer:
    """A few operators that belong together.

    Attributes:
        type (str): what it is: "fc", "conv2d", "pool2d"; that of its first operator where there is no better name.
        operators (list of Operator): in the order in which they run.
        outputs (list of Variable): what it computes, without masks and statistics.
        parameters (list of Variable): the persistable variables that it reads, each once.
        statistics (set of str): those parameters' names that it also writes: running means.
    """

    type: str
    operators: list
    outputs: list
    parameters: list
    statistics: set

    @property
    def activation(self):
        """The activation at its end, an operator of its own or one that a pass fused into the last; None without."""
        last = self.operators[-1]
        if len(self.operators) > 1 and _family(last.type) == "activation":
            return last.type
        fused = last.attrs.get("activation_type")
        return fused if isinstance(fused, str) and _family(fused) == "activation" else None


def _family(type):
    return operators.about(type).family


def is_parameter(variable):
    """Whether a Variable holds numbers that outlive a run."""
    return variable.persistable and variable.type in (VarType.LOD_TENSOR, VarType.SELECTED_ROWS)


def role(op):
    """What an operator is for: 'forward', 'backward' or 'optimize' (which includes learning rates)."""
    number = op.attrs.get(OpRole.attr_name)
    if not isinstance(number, int):
        return "forward"
    if number & (OpRole.Optimize | OpRole.LRSched):
        return "optimize"
    return "backward" if number & OpRole.Backward else "forward"


def layers(program):
    """The layers of a Program's forward part, blocks inside of others included.

    Args:
        program (Program): built by layer functions, or read from a file; it may hold operators that fluidlite lacks.
    Returns:
        list of Layer, in the order in which they run.
    """
    ops = [op for op in program._all_ops() if role(op) == "forward" and _family(op.type) != "plumbing"]
    readers = {}
    for op in ops:
        for name in set(op.input_arg_names):
            readers[name] = readers.get(name, 0) + 1
    variables = _Variables(program)
    found, made_by = [], {}
    for op in ops:
        sources = {id(made_by[n]): made_by[n] for n in op.input_arg_names if n in made_by and readers[n] == 1}
        joined = _joined(op, list(sources.values()), variables)
        if joined is None:
            joined = _Group(op)
            found.append(joined)
        for name in op.output_arg_names:
            made_by[name] = joined
    return [group.layer(variables) for group in found if group.ops]


class _Variables:
    """The variables of a Program by block and name, found at once however deep blocks are nested."""

    def __init__(self, program):
        self.anywhere = {v.name: v for block in reversed(program.blocks) for v in block.vars.values()}

    def find(self, op, name):
        return op.block.vars.get(name, self.anywhere.get(name))

    def parameter(self, op, name):
        variable = self.find(op, name)
        return variable if variable is not None and is_parameter(variable) else None


class _Group:
    """Operators that are to become a Layer."""

    def __init__(self, op):
        self.ops = [op]
        self.biased = False

    @property
    def family(self):
        return _family(self.ops[0].type)

    def layer(self, variables):
        read = [(name, variables.parameter(op, name)) for op in self.ops for name in _inputs(op)]
        parameters = {name: variable for name, variable in read if variable is not None}
        written = {name for op in self.ops for name in op.output_arg_names}
        last = self.ops[-1]
        outputs = [v for name in main_output(last) if (v := variables.find(last, name)) is not None]
        type = "fc" if self.family == "product" and parameters else self.ops[0].type
        return Layer(type, list(self.ops), outputs, list(parameters.values()), written.intersection(parameters))


def _inputs(op):
    """The names that an operator reads, in the order of its definition: filters come before biases."""
    slots = list(op.inputs)
    if operators.known(op.type):
        order = {slot.name: place for place, slot in enumerate(operators.find(op.type).inputs)}
        slots.sort(key=lambda slot: order.get(slot, len(order)))
    return [name for slot in slots for name in op.inputs[slot]]


def _joined(op, sources, variables):
    """The group that `op` goes on, or None: `sources` are those whose results only `op` reads."""
    if not sources or any(group.ops[-1].block is not op.block for group in sources):
        return None
    [*others, last] = sources
    ends_in = set(op.input_arg_names)
    if not ends_in.intersection(main_output(last.ops[-1])):
        return None
    family = _family(op.type)
    if family == "sum" and all(group.family == "product" and len(group.ops) == 1 for group in sources):
        # fc of several inputs: a product for each
        last.ops = [product for group in sources for product in group.ops]
        for group in others:
            group.ops = []
    elif others:
        return None
    elif family == "addition" and _adds_bias(op, last, variables):
        last.biased = True
    elif family != "activation" or _family(last.ops[-1].type) == "activation":
        return None
    last.ops.append(op)
    return last


def _adds_bias(op, group, variables):
    if group.family not in ("product", "convolution") or group.biased or _family(group.ops[-1].type) == "activation":
        return False
    return any(variables.parameter(op, name) is not None for name in op.input("Y"))


def main_output(op):
    """The names in the slot of an operator's main output (list of str)."""
    for slot in (operators.main_output(op.type), *_MAIN_OUTPUTS):
        if op.outputs.get(slot):
            return op.outputs[slot]
    return next((names for names in op.outputs.values() if names), [])
