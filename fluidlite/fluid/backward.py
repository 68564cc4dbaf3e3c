"""Reverse mode: appends to a Program the operators that compute gradients.

The operators between the inputs and the target are visited in reverse.  Each one's definition says which operators
compute its gradient (`fluidlite.ops.registry`); a variable that is used several times gets several partial gradients,
which a `sum` operator adds up before the first use of the whole.
"""

from collections import Counter

from ..ops import registry
from ..ops.dtypes import numpy_dtype
from ..ops.registry import EMPTY, GRAD, EnforceNotMet
from . import unique_name
from .framework import OpRole, Parameter, Variable, grad_var_name

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
    block = loss.block
    program = block.program
    if loss.op is not None:
        loss.op._set_attr(OpRole.attr_name, loss.op.attrs.get(OpRole.attr_name, 0) | OpRole.Loss)
    tape = _Tape(block, [loss], no_grad_set, callbacks)
    with program._backward_role_guard():
        tape.append(
            "fill_constant",
            {},
            {"Out": [tape.seed(loss)]},
            {
                "shape": list(loss.shape),
                "value": 1.0,
                "dtype": loss.dtype,
                OpRole.attr_name: OpRole.Backward | OpRole.Loss,
            },
        )
        grads = tape.run()
    parameters = program.all_parameters() if parameter_list is None else _parameters(program, parameter_list)
    return [(p, block.var(grads[p.name])) for p in parameters if p.trainable and p.name in grads]


def gradients(targets, inputs, target_gradients=None, no_grad_set=None):
    """Append the operators that compute the gradient of the sum of `targets` for each of `inputs`.

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
    block = targets[0].block
    tape = _Tape(block, targets, no_grad_set, keep=inputs)
    with block.program._backward_role_guard():
        for i, target in enumerate(targets):
            if weights and weights[i] is not None:
                if weights[i].shape != target.shape:
                    raise ValueError(
                        f"gradients: the target {target.name} has the shape {list(target.shape)}, but its target "
                        f"gradient {weights[i].name} has {list(weights[i].shape)}"
                    )
                tape.seed(target, weights[i].name)
            else:
                attrs = {"value": 1.0, "dtype": target.dtype}
                tape.append("fill_any_like", {"X": [target.name]}, {"Out": [tape.seed(target)]}, attrs)
        grads = tape.run()
    return [block.var(grads[v.name]) if v.name in grads else None for v in inputs]


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


class _Tape:
    """One reverse pass: the partial gradients that are known so far, and the operators already appended.

    Args:
        block: to append to.
        targets: Variables whose gradients are given.
        no_grad_set: Variables or names that get no gradient, besides those with stop_gradient.
        callbacks: see `append_backward`.
        keep: Variables that get a gradient although they have stop_gradient.
    """

    def __init__(self, block, targets, no_grad_set=None, callbacks=None, keep=()):
        self.block = block
        self.callbacks = list(callbacks or [])
        self.ops = _path(block, targets)
        keep = {variable.name for variable in keep}
        self.no_grad = {v.name for v in block.program.list_vars() if v.stop_gradient} - keep
        for item in no_grad_set or ():
            if not isinstance(item, (Variable, str)):
                raise TypeError(f"no_grad_set must hold Variables or names, got {item!r}")
            self.no_grad.add(item.name if isinstance(item, Variable) else item)
        self.taken = set(block.vars)
        self.grad_names = {}
        self.context = {}  # gradient name -> variable name, as Fluid's callbacks expect it
        self.partials = {}
        self.renamed = Counter()
        self.values = Counter()  # variable name -> how many of its values the pass has gone past
        self.known = set()
        self.seeded = set()
        self.given = set()

    def seed(self, target, given=None):
        """The name of a gradient that the pass starts from: a `given` variable, or one that the caller computes."""
        self.known.add(target.name)
        if given is not None:
            self.grad_names[target.name] = given
            self.given.add(target.name)
        self.seeded.add(target.name)
        return self.grad_name(target.name)

    def grad_name(self, name):
        """The gradient's name: `x@GRAD`, or another if an earlier pass used that."""
        if name not in self.grad_names:
            grad = grad_var_name(name)
            grad = unique_name.generate(grad) if grad in self.taken else grad
            self.grad_names[name] = grad
            self.context[grad] = name
        return self.grad_names[name]

    def wants(self, name):
        if name == EMPTY or name in self.no_grad:
            return False
        variable = self.block._find_var_recursive(name)
        return variable is not None and numpy_dtype(variable.dtype).kind == "f"

    def run(self):
        """Append all gradient operators; returns variable name -> name of its gradient."""
        described = [(op, parts) for op in reversed(self.ops) if (parts := self.gradient_of(op))]
        writers = self.count_writers(described)
        for op, parts in described:
            for _, inputs, _, _ in parts:
                self.complete(inputs)
            self.close_values(op)
            reads = [{slot: [self.translated(name) for name in names] for slot, names in p[1].items()} for p in parts]
            for name in self.given.intersection(op.output_arg_names):
                # Its gradient is a variable of the user's, which an earlier value's gradient must not overwrite.
                self.given.discard(name)
                del self.grad_names[name]
            for (type, _, outputs, attrs), inputs in zip(parts, reads, strict=True):
                outputs = {slot: [self.partial(name, writers) for name in names] for slot, names in outputs.items()}
                self.append(type, inputs, outputs, attrs, op)
        for base in list(self.partials):
            self.add_up(base)
        return {name: grad for name, grad in self.grad_names.items() if self.block.has_var(grad)}

    def count_writers(self, described):
        """How many parts the gradient of each value of each variable has: (name, value number) -> count."""
        writers = Counter({(base, 0): 1 for base in self.seeded})
        for op, parts in described:
            self.close_values(op)
            for _, _, outputs, _ in parts:
                for name in (name for names in outputs.values() for name in names if name.endswith(GRAD)):
                    base = name[: -len(GRAD)]
                    writers[base, self.values[base]] += 1
        self.values.clear()
        return writers

    def close_values(self, op):
        """Before an operator, its outputs had other values (if any): what flows to those is another gradient."""
        for name in set(op.output_arg_names):
            self.values[name] += 1

    def gradient_of(self, op):
        """The operators of `op`'s gradient, without what nobody wants; [] if no gradient reaches it."""
        definition = registry.find(op.type)
        outputs = {slot.name: op.outputs.get(slot.name, []) for slot in definition.outputs if slot.differentiable}
        reached = [name for names in outputs.values() for name in names if name in self.known]
        sought = [
            name
            for slot in definition.inputs
            if slot.differentiable
            for name in op.inputs.get(slot.name, ())
            if self.wants(name)
        ]
        if not reached or not sought:
            return []
        if definition.make_gradient is None:
            raise EnforceNotMet(f"the operator {op.type} has no gradient\n{op.describe()}")
        parts = []
        for type, inputs, outs, attrs in definition.make_gradient(op.inputs, op.outputs, _without_role(op.attrs)):
            outs = {slot: [self.kept(name) for name in names] for slot, names in outs.items()}
            outs = {slot: [] if set(names) <= {EMPTY} else names for slot, names in outs.items()}
            if any(outs.values()):
                parts.append((type, inputs, outs, attrs))
        self.known.update(sought)
        return parts

    def kept(self, name):
        return name if not name.endswith(GRAD) or self.wants(name[: -len(GRAD)]) else EMPTY

    def complete(self, inputs):
        """Gradients that an operator is about to read: add up their parts, or zero where nothing flows."""
        for names in inputs.values():
            for name in names:
                if not name.endswith(GRAD):
                    continue
                base = name[: -len(GRAD)]
                if base in self.partials:
                    self.add_up(base)
                elif not self.block.has_var(self.grad_name(base)):
                    self.append("fill_zeros_like", {"X": [base]}, {"Out": [self.grad_name(base)]}, {})

    def translated(self, name):
        return self.grad_name(name[: -len(GRAD)]) if name.endswith(GRAD) else name

    def partial(self, name, writers):
        """Where to write a gradient: under its own name, or under a name of its own if there are several parts."""
        if name == EMPTY or not name.endswith(GRAD):
            return name
        base = name[: -len(GRAD)]
        if writers[base, self.values[base]] == 1:
            return self.grad_name(base)
        part = f"{self.grad_name(base)}@RENAME@block{self.block.idx}@{self.renamed[base]}"
        self.renamed[base] += 1
        if base not in self.partials:
            seeded = base in self.seeded and self.values[base] == 0
            self.partials[base] = [self.grad_name(base)] if seeded else []
        self.partials[base].append(part)
        return part

    def add_up(self, base):
        parts = self.partials.pop(base)
        self.append("sum", {"X": parts}, {"Out": [self.grad_name(base)]}, {})

    def append(self, type, inputs, outputs, attrs, forward=None):
        for names in outputs.values():
            for name in names:
                if name != EMPTY and not self.block.has_var(name):
                    self.block.create_var(name=name)
        attrs = dict(attrs)
        pairs = []
        for _, names in sorted(outputs.items()):
            for grad in names:
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


def _without_role(attrs):
    return {name: value for name, value in attrs.items() if name not in (OpRole.attr_name, OpRole.var_attr_name)}


def _path(block, targets):
    """The operators that the targets depend on, in order."""
    needed, path = {target.name for target in targets}, []
    for op in reversed(block.ops):
        if needed.intersection(op.output_arg_names):
            needed.update(op.input_arg_names)
            path.append(op)
    return path[::-1]
