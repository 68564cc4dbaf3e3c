"""What a picture of a Program consists of: boxes, the links between them, and the groups that they lie in."""

from dataclasses import dataclass, field

from ..core import operators
from ..core.dtypes import VarType
from ..core.spec import EMPTY, GRAD
from ..fluid.framework import OpRole, Parameter
from ..inspection.layers import main_output

FORWARD, BACKWARD, UPDATE, STARTUP = "forward", "backward", "update", "startup"

# A state that more operators read, such as the learning rate, is drawn without its links.
_SHARED = 2
_DEEPEST = 12  # name scopes inside each other that become frames


@dataclass(eq=False)
class Item:
    """An operator to be drawn: one of a Program, or a step of a plan.

    Attributes:
        type (str), inputs, outputs (dict: slot -> list of names), attrs (dict): as an Operator has them.
        op (Operator): what it was made from.
        note (str): what to say beside its type.
    """

    type: str
    inputs: dict
    outputs: dict
    attrs: dict
    op: object
    note: str = ""

    @classmethod
    def of(cls, op):
        return cls(op.type, op.inputs, op.outputs, op.attrs, op)

    @property
    def reads(self):
        return [name for names in self.inputs.values() for name in names if name != EMPTY]

    @property
    def writes(self):
        return [name for names in self.outputs.values() for name in names if name != EMPTY]

    @property
    def group(self):
        """Which part of training it belongs to."""
        role = self.attrs.get(OpRole.attr_name)
        if not isinstance(role, int):
            return FORWARD
        if role & (OpRole.Optimize | OpRole.LRSched):
            return UPDATE
        return BACKWARD if role & OpRole.Backward else FORWARD

    @property
    def schedules(self):
        """Whether it computes a learning rate."""
        role = self.attrs.get(OpRole.attr_name)
        return isinstance(role, int) and bool(role & OpRole.LRSched)

    @property
    def purpose(self):
        """What an update item does, as far as Fluid's own name scopes say: 'gradient clip', 'regularization'."""
        for scope in self.scopes:
            for known in ("gradient_clip", "regularization"):
                if scope.startswith(known):
                    return known.replace("_", " ")
        return self.type

    @property
    def scopes(self):
        """The name scopes around it, outermost first."""
        return [name for name in str(self.attrs.get("op_namescope", "")).split("/") if name][:_DEEPEST]


@dataclass(eq=False)
class Box:
    """Something drawn as one: an operator, several of them, or a variable.

    Attributes:
        kind (str): "operator", "input", "output", "variable", "parameter" or "state".
        items (list of Item): the operators; empty for a variable.
        group (str): FORWARD, BACKWARD, UPDATE, STARTUP, or None for what lies outside of all.
        scopes (list of str): the boxes around it.
        layers (list of Layer): what it is at level "layers".
        names (list of str): the variables that it stands for; of an operator, empty.
        partner (Box): the box that it stands beside.
    """

    kind: str = "operator"
    items: list = field(default_factory=list)
    group: str | None = None
    scopes: list = field(default_factory=list)
    layers: list = field(default_factory=list)
    names: list = field(default_factory=list)
    partner: "Box | None" = None

    @property
    def row(self):
        """The box at the beginning of its row: the partner of its partner, and so on."""
        box = self
        while box.partner is not None:
            box = box.partner
        return box


class Links(dict):
    """(tail, head) -> the names of the variables that go from one box to the other."""

    def add(self, tail, head, name):
        names = self.setdefault((tail, head), [])
        if name not in names:
            names.append(name)


class Variables:
    """What is known of the variables of a Program, and of those that a plan adds.

    Args:
        program (Program): its variables, of inner blocks as well.
        specs (dict): name -> Spec where more is known.
    """

    def __init__(self, program, specs=None):
        self._variables = {v.name: v for block in reversed(program.blocks) for v in block.vars.values()}
        self._specs = specs or {}

    def add(self, program):
        """Know another Program's variables, too."""
        for variable in program.list_vars():
            self._variables.setdefault(variable.name, variable)

    def find(self, name):
        """The Variable, or None."""
        return self._variables.get(name)

    def shape(self, name):
        """The shape, -1 where it is known only at run time; None if nothing is known."""
        if name in self._specs:
            return tuple(self._specs[name].shape)
        variable = self._variables.get(name)
        return None if variable is None or variable._shape is None else variable.shape

    def lasts(self, name):
        """Whether the value outlives a run: parameters, statistics, what optimizers keep."""
        variable = self._variables.get(name)
        return variable is not None and variable.persistable

    def is_data(self, name):
        variable = self._variables.get(name)
        return variable is not None and not variable.persistable and variable.type is not VarType.FEED_MINIBATCH

    def kind(self, name):
        """'parameter', 'state' or 'variable'."""
        variable = self._variables.get(name)
        if variable is None or not variable.persistable:
            return "variable"
        return "parameter" if isinstance(variable, Parameter) else "state"


@dataclass(eq=False)
class Repeat:
    """A frame around boxes that stand for several alike.

    Attributes:
        number (int): tells it from others.
        label (str): how many there are.
        depth (int): how many of the boxes' name scopes lie around it.
    """

    number: int
    label: str
    depth: int


@dataclass
class Picture:
    """Boxes in the order in which they run, their links, and what else the drawing needs.

    Attributes:
        boxes (list of Box), links (Links), variables (Variables).
        repeats (dict): Box -> the Repeat that it belongs to.
    """

    boxes: list
    links: Links
    variables: Variables
    repeats: dict = field(default_factory=dict)


def items_of(program):
    """The operators to draw, those of a block inside an operator behind that operator."""
    return [Item.of(op) for op in program._all_ops() if not operators.is_left_out(op.type)]


def boxed(items, boxes, variables, fetched=(), with_variables=False):
    """The Picture of some boxes: adds the links between them, and boxes for inputs, outputs or all variables.

    Args:
        items (list of Item): in the order in which they run.
        boxes (list of Box): each item is in one of them.
        variables (Variables): what is known.
        fetched (list of str): variables that are outputs, beside those that nobody reads.
        with_variables (bool): whether every variable gets a box of its own.
    Returns:
        Picture
    """
    box_of = {item: box for box in boxes for item in box.items}
    if with_variables:
        return _all(items, boxes, box_of, variables, fetched)
    links, writer, inputs = Links(), {}, {}
    read = set()
    for item in items:
        box = box_of[item]
        for name in item.reads:
            read.add(name)
            if name in writer:
                if writer[name] is not box:
                    links.add(writer[name], box, name)
            elif variables.is_data(name):
                if name not in inputs:
                    inputs[name] = Box("input", names=[name])
                links.add(inputs[name], box, name)
        for name in item.writes:
            if not variables.lasts(name):
                writer[name] = box
    outputs = []
    for box in boxes:
        names = [name for name in main_output(box.items[-1]) if not variables.lasts(name)]
        for name in names:
            if name in fetched or (box.group == FORWARD and name not in read):
                outputs.append(Box("output", names=[name]))
                links.add(box, outputs[-1], name)
    return Picture([*inputs.values(), *boxes, *outputs], links, variables)


def _all(items, boxes, box_of, variables, fetched):
    links, known, order = Links(), {}, []
    written = {name for item in items for name in item.writes}
    readers = {}
    for item in items:
        for name in dict.fromkeys(item.reads):
            readers.setdefault(name, []).append(item)

    def box_for(name, item):
        if name not in known:
            kind = variables.kind(name)
            if kind == "state" and item.inputs.get("Param") and len(readers.get(name, ())) == 1:
                known[name] = own_state(item)
            else:
                known[name] = Box(kind, group=item.group, scopes=item.scopes if item.group != UPDATE else [])
                order.append(known[name])
                if kind == "variable" and item.group == UPDATE:
                    known[name].partner = box_of[item].partner and box_of[item]
            if kind == "variable" and name not in written:
                known[name].kind, known[name].group, known[name].scopes = "input", None, []
            elif name in fetched:
                known[name].kind = "output"
            known[name].names.append(name)
        return known[name]

    def own_state(item):
        # What an optimizer keeps for one parameter is one box, beside the operator.
        if item not in known:
            known[item] = Box("state", group=item.group, partner=box_of[item])
            order.append(known[item])
        return known[item]

    for item in items:
        box = box_of[item]
        for name in dict.fromkeys(item.reads):
            source = box_for(name, item)
            if variables.kind(name) != "state" or len(readers[name]) <= _SHARED:
                links.add(source, box, name)
        order.append(box)
        for name in dict.fromkeys(item.writes):
            links.add(box, box_for(name, item), name)
    return Picture(order, links, variables)


def find_partners(boxes):
    """Let each box of the backward and update groups know beside which box of another group it stands."""
    makers, users = {}, {}
    for box in boxes:
        for item in box.items:
            if box.group == FORWARD:
                makers.update(dict.fromkeys(item.writes, (item, box)))
                for name in item.reads:
                    users.setdefault(name, []).append((item, box))
    gradient_makers = {}
    owners = update_owners([item for box in boxes for item in box.items])
    for box in boxes:
        for item in box.items:
            if box.group == BACKWARD:
                gradient_makers.update(dict.fromkeys(item.writes, box))
                if box.partner is None:
                    box.partner = _forward_of(item, makers, users)
            elif box.group == UPDATE and box.partner is None and owners[item] is not None:
                box.partner = gradient_makers.get(owners[item] + GRAD)


def update_owners(items):
    """Update item -> the name of the parameter that it works for; None if for several, or for none."""
    owners, belongs = {}, {}
    for item in items:
        if item.group == BACKWARD:
            belongs.update((name, forward_name(name)) for name in item.writes)
        elif item.group == UPDATE:
            found = {belongs.get(name, name) for name in item.reads if name in belongs or name + GRAD in belongs}
            owners[item] = found.pop() if len(found) == 1 else None
            if item.inputs.get("Param"):
                owners[item] = item.inputs["Param"][0]
            belongs.update((name, owners[item]) for name in item.writes if owners[item] is not None)
    return owners


def forward_name(name):
    """The variable that a gradient belongs to: 'x' for 'x@GRAD@RENAME@block0@0'."""
    return name.partition(GRAD)[0]


def _forward_of(item, makers, users):
    """The box of the operator whose gradient an item is, or None."""
    if "_grad" not in item.type:
        return None
    stem = item.type.partition("_grad")[0]
    candidates = [
        makers.get(forward_name(name)) for slot, names in item.inputs.items() if GRAD in slot for name in names
    ]
    known = {name for slot, names in item.inputs.items() if GRAD not in slot for name in names}
    for name in known:
        candidates += [makers.get(name), *users.get(name, ())]
    best = None
    for candidate in candidates:
        if candidate is not None and candidate[0].type.startswith(stem):
            overlap = len(known.intersection(candidate[0].reads + candidate[0].writes))
            if best is None or overlap > best[0]:
                best = overlap, candidate[1]
    return None if best is None else best[1]
