"""Reverse mode: appends to a Program the operators that compute gradients.

The operators between the inputs and the target are visited in reverse.  Each one's definition says which operators
compute its gradient (`fluidlite.core.operators`); a variable that is used several times gets several partial gradients,
which a `sum` operator adds up before the first use of the whole.

The gradient of an operator that runs a block (`fluidlite.core.regions`) runs a block as well, which a reverse pass over
the first one fills.
"""

from collections import Counter
from typing import NamedTuple

from ..core import operators
from ..core.dtypes import VarType, numpy_dtype
from ..core.errors import EnforceNotMet
from ..core.regions import Recurrence, Region
from ..core.spec import EMPTY, GRAD
from . import unique_name
from .framework import Operator, OpRole, Parameter, Variable, grad_var_name

__all__ = ["append_backward", "gradients"]


def append_backward(loss, parameter_list=None, no_grad_set=None, callbacks=None, checkpoints=None):
    """Append the operators that compute the gradient of `loss` for every trainable parameter.

    Args:
        loss (Variable): of shape [1].
        parameter_list (list): Parameters or names to return gradients for; None for all trainable ones.
        no_grad_set (set): Variables or names through which no gradient flows.
        callbacks (list): each called as callback(block=, context=) after every operator that is appended.
        checkpoints: must be None; fluidlite keeps all activations.
    Returns:
        list of (Parameter, gradient Variable).
    Raises:
        TypeError, ValueError: a wrong argument, or a loss that is not of shape [1].
        EnforceNotMet: an operator between the parameters and the loss has no gradient.
    """
    if not isinstance(loss, Variable):
        raise TypeError(f"append_backward: loss must be a Variable, got {type(loss).__name__}")
    if checkpoints is not None:
        raise ValueError("append_backward: checkpoints (recomputation) are not supported; leave them None")
    if loss.shape not in ((1,), ()):
        raise ValueError(
            f"append_backward: the loss must have the shape [1], but {loss.name} has {list(loss.shape)}; "
            "reduce it first, e.g. with fluid.layers.mean"
        )
    program = loss.block.program
    if loss.op is not None:
        loss.op._set_attr(OpRole.attr_name, loss.op.attrs.get(OpRole.attr_name, 0) | OpRole.Loss)
    tape = _Tape.of_program([loss], no_grad_set, callbacks)
    with program._backward_role_guard():
        tape.append(
            "fill_constant",
            {},
            {"Out": [tape.seed(loss.name)]},
            {
                "shape": list(loss.shape),
                "value": 1.0,
                "dtype": loss.dtype,
                OpRole.attr_name: OpRole.Backward | OpRole.Loss,
            },
        )
        grads = tape.run()
    parameters = program.all_parameters() if parameter_list is None else _parameters(program, parameter_list)
    return [(p, tape.block.var(grads[p.name])) for p in parameters if p.trainable and p.name in grads]


def gradients(targets, inputs, target_gradients=None, no_grad_set=None):
    """Append the operators that compute the gradient of the sum of `targets` for each of `inputs`.

    Targets may be made of gradients, as a gradient penalty is, where all operators on the way are among those that
    Fluid differentiates twice: relu, leaky_relu, elu, sqrt, square, elementwise_add, elementwise_sub, elementwise_mul,
    elementwise_div, mul, conv2d, instance_norm, reduce_sum, reduce_mean, reshape2, expand, slice, and those whose
    gradient is made of other operators, such as scale, sum, assign and split.

    Args:
        targets (Variable or list): what to differentiate.
        inputs (Variable or list): with respect to what.
        target_gradients (Variable or list): weights of the targets' elements, of their shapes; None for ones.
        no_grad_set (set): Variables or names through which no gradient flows.
    Returns:
        list of Variables, in the order of inputs; None for an input that no target depends on.
    Raises:
        TypeError, ValueError: a wrong argument, or a target gradient of the wrong shape.
        EnforceNotMet: an operator on the way has no gradient.
    """
    targets, inputs, weights = _variables(targets), _variables(inputs), _variables(target_gradients or [])
    if weights and len(weights) != len(targets):
        raise ValueError(f"gradients: {len(weights)} target_gradients for {len(targets)} targets")
    tape = _Tape.of_program(targets, no_grad_set, keep=inputs)
    with targets[0].block.program._backward_role_guard():
        for i, target in enumerate(targets):
            if weights and weights[i] is not None:
                if weights[i].shape != target.shape:
                    raise ValueError(
                        f"gradients: the target {target.name} has the shape {list(target.shape)}, but its target "
                        f"gradient {weights[i].name} has {list(weights[i].shape)}"
                    )
                tape.seed(target.name, weights[i].name)
            else:
                attrs = {"value": 1.0, "dtype": target.dtype}
                tape.append("fill_any_like", {"X": [target.name]}, {"Out": [tape.seed(target.name)]}, attrs)
        grads = tape.run()
    return [tape.block.var(grads[v.name]) if v.name in grads else None for v in inputs]


calc_gradient = gradients


def _variables(value):
    items = list(value) if isinstance(value, (list, tuple)) else [value]
    for item in items:
        if not isinstance(item, Variable) and item is not None:
            raise TypeError(f"gradients needs Variables, got {item!r} of type {type(item).__name__}")
    return items


def _parameters(program, items):
    found = []
    for item in items:
        variable = program.global_block().var(item) if isinstance(item, str) else item
        if not isinstance(variable, Parameter):
            raise TypeError(f"parameter_list must hold Parameters or their names, got {item!r}")
        found.append(variable)
    return found


class _Visit(NamedTuple):
    """An operator on the way to the targets, its position in the block, and which values it reads and writes.

    A variable that is written several times has several values.  `reads` and `writes` map a variable's name to the
    number of its value; a value is (name, number).  An operator that may or may not run a block reads the old values of
    what it writes, too.
    """

    op: Operator
    position: int
    reads: dict
    writes: dict


class _Part(NamedTuple):
    """An operator of a gradient, still with the names that gradients usually have.

    `inside` is the pass that fills the block that it runs, or None; `uncomputed` are the variables whose gradients it
    names although nobody computes them.
    """

    type: str
    inputs: dict
    outputs: dict
    attrs: dict
    inside: "_Tape | None" = None
    uncomputed: frozenset = frozenset()


class _Tape:
    """One reverse pass: the partial gradients that are known so far, and the operators already appended.

    Args:
        forward: the block that is differentiated.
        targets: names of variables whose gradients are given.
        no_grad: names of variables that get no gradient.
        callbacks: see `append_backward`.
        block: where to append to; None for a pass that is a part of another one and gets a block of its own.
        sources: names of the only variables that are of interest, or None: a variable that does not depend on one of
            them gets a gradient only where an operator gives it beside others.
    """

    def __init__(self, forward, targets, no_grad, callbacks, block=None, sources=None):
        self.forward, self.block, self.inner = forward, block, block is None
        self.no_grad, self.callbacks = no_grad, callbacks
        # Inside of a block the gradient of x is called x@GRAD, whatever is called so around it.
        self.taken = set() if self.inner else set(block.vars)
        self.visits, self.targets = _path(forward, targets, sources, self.inner)
        self.last_write = {name: i for i, op in enumerate(forward.ops) for name in op.output_arg_names}
        self.described = []  # pairs of a visit and the parts of its gradient
        self.grad_names = {}
        self.context = {}  # gradient name -> variable name, as Fluid's callbacks expect it
        self.given = {}  # value -> the name of the user's variable that is its gradient
        self.known = set()  # values that have a gradient
        self.writers = Counter()  # value -> how many parts its gradient has
        self.parts = {}  # value -> the names of those parts that were computed, or of the whole
        self.renamed = Counter()
        self.empty = set()  # names of gradients of tensor arrays in which nothing is
        self.passes = forward.program._gradient_passes

    @classmethod
    def of_program(cls, targets, no_grad_set=None, callbacks=None, keep=()):
        """The pass that appends the gradients of targets to their block, or to one inside of it that is being built.

        Args:
            targets: Variables whose gradients are given.
            no_grad_set: Variables or names that get no gradient, besides those with stop_gradient.
            callbacks: see `append_backward`.
            keep: the only Variables of interest, which get a gradient although they have stop_gradient.
        """
        forward, program = targets[0].block, targets[0].block.program
        keep = {variable.name for variable in keep}
        no_grad = {v.name for v in program.list_vars() if v.stop_gradient} - keep
        for item in no_grad_set or ():
            if not isinstance(item, (Variable, str)):
                raise TypeError(f"no_grad_set must hold Variables or names, got {item!r}")
            no_grad.add(item.name if isinstance(item, Variable) else item)
        current = program.current_block()
        block = current if forward in current._blocks_in_sight() else forward
        program._gradient_passes += 1
        names = [target.name for target in targets]
        return cls(forward, names, no_grad, list(callbacks or []), block, keep or None)

    def seed(self, name, given=None):
        """The name of a gradient that the pass starts from: a `given` variable, or one that the caller computes."""
        value = self.targets[name]
        if given is not None:
            self.given[value] = given
        self.known.add(value)
        # To the gradient of a tensor array others are added where it is.
        self.writers[value] = 0 if self.inner and self.holds_array(name) else 1
        self.parts[value] = [self.grad_name(value)]
        return self.grad_name(value)

    def holds_array(self, name):
        variable = self.forward._find_var_recursive(name)
        return variable is not None and variable.holds_array

    def grad_name(self, value):
        """The gradient's name: `x@GRAD`, or another if an earlier pass used that."""
        if value in self.given:
            return self.given[value]
        name, _ = value
        if name not in self.grad_names:
            grad = grad_var_name(name)
            if grad in self.taken:
                # As Fluid calls what the second, the third ... pass finds.
                is_given = self.targets.get(name) == value
                grad = unique_name.generate(grad) if is_given else "grad/" * self.passes + grad
            self.grad_names[name] = grad
            self.context[grad] = name
        return self.grad_names[name]

    def wants(self, name):
        if name == EMPTY or name in self.no_grad:
            return False
        variable = self.forward._find_var_recursive(name)
        return variable is not None and numpy_dtype(variable.dtype).kind == "f"

    def run(self):
        """Append all gradient operators; returns variable name -> name of its gradient."""
        self.describe()
        self.write()
        # A variable's first value comes last, so that is whose gradient is returned.
        return {value[0]: self.whole(value) for value in list(self.parts)}

    def describe(self):
        self.described = [(visit, parts) for visit in reversed(self.visits) if (parts := self.gradient_of(visit))]
        for visit, parts in self.described:
            for part in parts:
                values = (_differentiated(name, visit.reads) for names in part.outputs.values() for name in names)
                self.writers.update(value for value in values if value)

    def write(self):
        for visit, parts in self.described:
            reads = []
            for part in parts:
                numbers = {name: number for name, number in visit.writes.items() if name not in part.uncomputed}
                reads.append(_renamed(part.inputs, numbers, self.whole))
            for part, inputs in zip(parts, reads, strict=True):
                attrs = part.attrs
                if part.inside is not None:
                    attrs = {**attrs, operators.find(part.type).region.block: self.block_of(part)}
                self.append(part.type, inputs, _renamed(part.outputs, visit.reads, self.part), attrs, visit.op)

    def gradient_of(self, visit):
        """The operators of the gradient of `visit.op`, without what nobody wants; [] if no gradient reaches it."""
        op, definition = visit.op, operators.find(visit.op.type)
        region = _region(definition)
        if region is not None:
            self.capture_old_values(visit, region)
        if self.inner and _is_undone(visit.op, self.forward):
            return [_Part(*part) for part in definition.undone(op.inputs, op.outputs, _without_role(op.attrs))]
        written = [name for slot in definition.outputs if slot.differentiable for name in op.outputs.get(slot.name, ())]
        read = [name for slot in definition.inputs if slot.differentiable for name in op.inputs.get(slot.name, ())]
        sought = [(name, visit.reads[name]) for name in read if self.wants(name)]
        if not sought or self.known.isdisjoint((name, visit.writes[name]) for name in written):
            return []
        if definition.make_gradient is None:
            raise EnforceNotMet(f"the operator {op.type} has no gradient{_of_what(definition)}\n{op.describe()}")
        parts = []
        for part in definition.make_gradient(op.inputs, op.outputs, _without_role(op.attrs)):
            part = _Part(*part)
            if region is not None:
                part = self.through_block(visit, region, part)
            outs = {slot: [self.kept(name, visit) for name in names] for slot, names in part.outputs.items()}
            outs = {slot: [] if set(names) <= {EMPTY} else names for slot, names in outs.items()}
            if any(outs.values()):
                self.check_not_overwritten(visit, part.type, part.inputs)
                parts.append(part._replace(outputs=outs))
        if region is None or isinstance(region, Recurrence):
            made = {name for part in parts for names in part.outputs.values() for name in names}
            sought = [value for value in sought if value[0] + GRAD in made]
        self.known.update(sought)
        return parts

    def kept(self, name, visit):
        value = _differentiated(name, visit.reads)
        return name if value is None or self.wants(value[0]) else EMPTY

    def capture_old_values(self, visit, region):
        """Let an operator that runs a block capture what it may leave as it is, so that gradients reach that, too."""
        op = visit.op
        old = [name for name in region.kept(op.inputs, op.outputs) if self.has_old_value(name, visit)]
        if old:
            op.inputs[region.captures] = [*op.inputs.get(region.captures, ()), *old]

    def has_old_value(self, name, visit):
        """Whether a result's gradient, which is known, has to reach a value from before the operator as well."""
        if (name, visit.writes[name]) not in self.known or not self.wants(name):
            return False
        variable = self.forward.vars.get(name)
        return visit.reads[name] > 0 or variable is None or variable.is_data or variable.persistable

    def through_block(self, visit, region, part):
        """`part`, the gradient of an operator that runs a block, with the pass over that block."""
        if isinstance(region, Recurrence):
            return self.through_recurrence(visit, region, part)
        results = visit.op.outputs[region.results]
        known = [name for name in results if (name, visit.writes[name]) in self.known]
        while True:
            inside = _Tape(visit.op.attrs[region.block], known, self.no_grad, self.callbacks)
            for name in known:
                inside.seed(name)
            inside.describe()
            # What a turn needs the gradient of, the turn before has to be given it for.
            new = [name for name in results if (name, 0) in inside.known and name not in known]
            if not new or not region.repeats:
                break
            known += new
        inputs, outputs, attrs = dict(part.inputs), dict(part.outputs), dict(part.attrs)
        names = operators.find(part.type).region.names
        if names is not None:
            inputs[region.results + GRAD] = attrs[names] = [name + GRAD for name in known]
        if region.repeats:
            outputs[region.captures + GRAD] = [
                name + GRAD if (name, 0) in inside.known or name in known else EMPTY for name in inputs[region.captures]
            ]
        uncomputed = frozenset(results).difference(known, self.no_grad)
        return part._replace(inputs=inputs, outputs=outputs, attrs=attrs, inside=inside, uncomputed=uncomputed)

    def through_recurrence(self, visit, region, part):
        """The same for a block that runs once for each slice of its inputs."""
        op = visit.op
        block = op.attrs[region.block]
        # Slices and results have variables of their own inside, under the names that they have around the block.
        own = {variable.name for variable in block.vars.values() if not variable.stop_gradient}
        left = region.left(op.outputs, op.attrs)
        inside = _Tape(block, left, self.no_grad - own, self.callbacks)
        for name in left:
            inside.seed(name)
        inside.describe()
        outputs = dict(part.outputs)
        for slot, names in region.given(op.inputs, op.attrs).items():
            if slot + GRAD in outputs:
                pairs = zip(names, outputs[slot + GRAD], strict=True)
                outputs[slot + GRAD] = [grad if (name, 0) in inside.known else EMPTY for name, grad in pairs]
        results = op.outputs[region.results]
        uncomputed = frozenset(name for name in results if (name, visit.writes[name]) not in self.known)
        return part._replace(outputs=outputs, inside=inside, uncomputed=uncomputed)

    def block_of(self, part):
        """A new block with the gradient of another one."""
        inside, program = part.inside, self.block.program
        current = program.current_block_idx
        inside.block = program._create_block(self.block.idx)
        inside.block.forward_block_idx = inside.forward.idx
        program.current_block_idx = current
        inside.write()
        for value in list(inside.parts):
            inside.whole(value)
        carried, _ = operators.find(part.type).region.found(part.inputs, part.outputs)
        for grad in carried:
            inside.leave(grad.removesuffix(GRAD))
        return inside.block

    def leave(self, name):
        """See to it that the block writes, under its usual name, the gradient of the value that `name` begins with."""
        grad = self.whole((name, 0))
        if self.targets.get(name) == (name, 0) and not self.holds_array(name):
            self.append("assign", {"X": [grad]}, {"Out": [grad]}, {})

    def check_not_overwritten(self, visit, type, inputs):
        """Raise EnforceNotMet if a gradient operator needs a value that is gone by the time it runs.

        Plans keep the values that the gradients of blocks need.
        """
        definition = operators.find(visit.op.type)
        if self.inner or definition.region or definition.extends or definition.for_arrays:
            return
        shape_only = operators.find(type).shape_only
        for slot, name in ((slot, name) for slot, names in inputs.items() for name in names if slot not in shape_only):
            variable = self.forward._find_var_recursive(name)
            if variable is None or variable.persistable or _differentiated(name, visit.writes):
                continue
            last = self.last_write.get(name, -1)
            by_itself = last == visit.position and name in visit.reads and name not in visit.op.outputs.get(slot, ())
            if (last > visit.position or by_itself) and not operators.find(self.forward.ops[last].type).region:
                raise EnforceNotMet(
                    f"the gradient of {visit.op.type} needs a value of {name} that "
                    f"{self.forward.ops[last].type} overwrites; let that write to another variable\n"
                    f"{visit.op.describe()}"
                )

    def whole(self, value):
        """The name of the gradient that an operator is about to read: the sum of its parts, or zeros."""
        parts = self.parts.get(value)
        if parts is None and self.holds_array(value[0]):
            self.empty.add(self.grad_name(value))
        elif parts is None:
            self.append("fill_zeros_like", {"X": [value[0]]}, {"Out": [self.grad_name(value)]}, {})
        elif len(parts) > 1:
            self.given.pop(value, None)  # not to be written to
            self.append("sum", {"X": parts}, {"Out": [self.grad_name(value)]}, {})
        self.parts[value] = [self.grad_name(value)]
        return self.grad_name(value)

    def part(self, value):
        """Where to write a gradient: under its own name, or under a name of its own if there are several parts."""
        part = self.grad_name(value)
        if self.writers[value] > 1:
            name = value[0]
            part = f"{self.grad_name((name, None))}@RENAME@block{self.forward.idx}@{self.renamed[name]}"
            self.renamed[name] += 1
        parts = self.parts.setdefault(value, [])
        if part not in parts:
            parts.append(part)
        return part

    def append(self, type, inputs, outputs, attrs, forward=None):
        for names in (
            *outputs.values(),
            *([name for name in names if name in self.empty] for names in inputs.values()),
        ):
            for name in names:
                self.declare(name)
        attrs = dict(attrs)
        # Which gradients are those of Parameters is said where they leave the blocks.
        pairs = []
        for _, names in () if self.inner else sorted(outputs.items()):
            for grad in sorted(names):
                base = self.context.get(grad)
                if base is not None and isinstance(self.block._find_var_recursive(base), Parameter):
                    pairs += [base, grad]
        if pairs:
            attrs[OpRole.var_attr_name] = pairs
        op = self.block.append_op(type=type, inputs=inputs, outputs=outputs, attrs=attrs)
        if forward is not None:
            op.callstack = forward.callstack
        for callback in self.callbacks:
            callback(block=self.block, context=self.context)

    def declare(self, name):
        """See to it that there is a variable for what an operator writes."""
        if name == EMPTY or self.has_var(name):
            return
        like = self.forward._find_var_recursive(self.context.get(name.partition("@RENAME")[0], ""))
        described = {}
        if like is not None and (name in self.context or like.holds_array):
            described = {"shape": like._shape, "dtype": like._dtype, "type": _kind(like)}
        self.block.create_var(name=name, **described)

    def has_var(self, name):
        return self.block._find_var_recursive(name) is not None if self.inner else self.block.has_var(name)


def _kind(variable):
    """Of what type the gradient of a variable is."""
    return VarType.LOD_TENSOR_ARRAY if variable.holds_array else VarType.LOD_TENSOR


def _without_role(attrs):
    return {name: value for name, value in attrs.items() if name not in (OpRole.attr_name, OpRole.var_attr_name)}


def _of_what(definition):
    """What more there is to say of a gradient that is missing."""
    forward = definition.gradient_of
    return "" if forward is None else f": Fluid differentiates {forward.type} once, not twice"


def _region(definition):
    """How an operator runs a block, or None; of gradients there are no gradients."""
    return definition.region if isinstance(definition.region, Region) else None


def _differentiated(name, numbers):
    """The value whose gradient is called `name`, among those that an operator reads or writes, or None."""
    variable = name.removesuffix(GRAD)
    return (variable, numbers[variable]) if variable != name and variable in numbers else None


def _renamed(slots, numbers, name_of):
    """`slots` with the names of gradients replaced by `name_of(value)`."""
    return {
        slot: [name_of(value) if (value := _differentiated(name, numbers)) else name for name in names]
        for slot, names in slots.items()
    }


def _path(block, targets, sources=None, inner=False):
    """The operators that the targets (names) depend on, in order, as visits, and each target's value by name.

    With `sources`, only those that depend on a variable with such a name; in an `inner` block, those to undo as well.
    """
    written, visits = Counter(), []
    for position, op in enumerate(block.ops):
        definition = operators.find(op.type)
        region = _region(definition)
        kept = () if region is None else op.outputs.get(region.results, ())
        reads = {name: written[name] for name in (*op.input_arg_names, *kept)}
        # A tensor array to which something is added stays one value: each element has a gradient of its own.
        differentiable = [s.name for s in definition.outputs if s.differentiable and s.name != definition.extends]
        written.update({name for slot in differentiable for name in op.outputs.get(slot, ())})
        visits.append(_Visit(op, position, reads, {name: written[name] for name in op.output_arg_names}))
    values = {target: (target, written[target]) for target in targets}
    if sources is not None:
        visits = _behind(visits, sources)
    needed, path = set(values.values()), []
    for visit in reversed(visits):
        if not needed.isdisjoint(visit.writes.items()):
            needed.update(visit.reads.items())
            path.append(visit)
        elif inner and _is_undone(visit.op, block):
            path.append(visit)
    return path[::-1], values


def _is_undone(op, block):
    """Whether a gradient takes back what an operator has done; what lasts beyond the run stays as it is."""
    if not operators.find(op.type).undone:
        return False
    return not any(block._var_recursive(name).persistable for name in op.output_arg_names)


def _behind(visits, sources):
    """The visits of operators that depend on a variable with one of some names."""
    reached, found = set(sources), []
    for visit in visits:
        if not reached.isdisjoint(visit.op.input_arg_names):
            reached.update(visit.op.output_arg_names)
            found.append(visit)
    return found
