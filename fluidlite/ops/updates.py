"""Update rules: formulas that give new values for a parameter and its state.

    update_rule("sgd", "Param Grad LearningRate", "Param", lambda Param, Grad, LearningRate: {...})

A rule runs over one parameter, or over the tensors of many, laid one behind the other (`fluidlite.engine.plan.flat`).
What it computes of the numbers that each parameter has of its own (`packed`), such as a rate, it then computes once for
each of them, and is repeated over their elements where they differ.
"""

from operator import is_

from ..core.errors import EnforceNotMet
from ..core.formula import names_of, substituted, symbol
from ..core.numpy_program import in_sequence
from ..core.operators import operator
from ..core.spec import Spec
from ..core.traits import BOUND, Memory, Update
from .pointwise import Formula, Part

# All rules; on a GPU, each is a kernel of its own.
RULES = []


class Rule(Formula):
    """What an operator computes of each element of tensors, some of which its outputs may take over.

    On a GPU it is no part of a kernel of several operators: what it writes is kept from one run to the next.
    """

    def declared(self, declare):
        RULES.append(self)
        return super().declared(lambda kernel, formula: declare(kernel))

    def arguments(self, ctx, arrays):
        """What there is to compute.

        Returns:
            (output -> Expression, input -> array, output -> array), without what is not there or not wanted
        """
        count = len(self.definition.inputs)
        found = [(name, array) for name, array in zip(self._names, arrays, strict=True) if array is not None]
        made = dict(one for one in found if one[0] in self._names[count:])
        given = dict(one for one in found if one[0] not in made)
        specs = {name: [Spec(array.shape, array.dtype)] for name, array in found}
        expressions = self.traced(ctx.attrs, specs)
        return {name: expressions[name] for name in made}, given, made

    def _binding(self, ctx, arguments):
        outputs, given, made = self.arguments(ctx, arguments)
        members = max((given[name].size for name in self.definition.packed), default=1)
        if members == 1:
            return super()._binding(ctx, arguments)
        rates, over, alone = self._apart(outputs)
        model = next(iter(made.values()))
        arrays = dict.fromkeys(rates, model) | given | made
        places = {name: place for place, name in enumerate([*self._names, *rates])}
        tensors = {name: (places[name], array.shape, array.dtype) for name, array in arrays.items()}

        def part(expressions, *shape_of_rates):
            shapes = {name: array.shape for name, array in arrays.items()} | dict.fromkeys(rates, shape_of_rates)
            return Part(ctx.xp, expressions, shapes, tensors) if expressions else None

        found = part(rates, members), part(over, 1), part(over, model.size), part(alone)
        return _Joined(*found, (len(rates), members, model.size, model.dtype))

    def _apart(self, outputs):
        """Parts of a formula, each output -> Expression.

        Returns:
            (what is computed once for each parameter, the outputs with an element for each of a parameter's in terms of
            that, those with a number for each parameter)
        """
        definition = self.definition
        alone = {name: one for name, one in outputs.items() if definition.inplace[name] in definition.packed}
        over = {name: one for name, one in outputs.items() if name not in alone}
        rates = {}
        for one in over.values():
            self._find_rates(one, rates)
        over = {name: substituted(one, rates) for name, one in over.items()}
        return {rate.value: one for one, rate in rates.items()}, over, alone

    def _find_rates(self, expression, rates):
        """Note the largest parts of an expression that are numbers of which each parameter has its own."""
        names = set(names_of(expression))
        if names.isdisjoint(self.definition.packed):
            return
        if names.isdisjoint(self.definition.flat):
            rates.setdefault(expression, symbol(f"rate{len(rates)}"))
            return
        for arg in expression.args:
            self._find_rates(arg, rates)


class _Joined:
    """How a rule is bound to the tensors of several parameters, laid one behind the other.

    Args:
        find: the Part that computes the rates, of which each parameter has its own.
        alike, unlike: the Parts that compute new values, with one rate for all, and with a rate for each element.
        alone: the Part that computes the new numbers of which each parameter has its own.  Any may be None.
        rates: (how many there are, how many parameters, for how many elements, np.dtype)

    What is updated in place is one array, as an input and as an output.

    Attributes:
        call: None: there is more than one call of a function (see `_Binding` in `fluidlite.ops.pointwise`).
    """

    call = None

    def __init__(self, find, alike, unlike, alone, rates):
        self._find, self._alike, self._unlike, self._alone = find, alike, unlike, alone
        self._rates = rates

    def __call__(self, ctx, arrays):
        last = self._alone and self._alone.bind(arrays, ctx.scratch, meet=is_)
        if self._alike is None:
            return last
        count, members, size, dtype = self._rates
        of_members = [ctx.scratch((members,), dtype) for _ in range(count)]
        find = self._find.bind([*arrays, *of_members], ctx.scratch, meet=is_)
        alike = self._alike.bind([*arrays, *(one[:1] for one in of_members)], ctx.scratch, meet=is_)
        of_elements, unlike = [], None

        def step():
            nonlocal unlike
            find()
            rates = [ctx.broadcast(one) for one in of_members]
            if all(one.size == 1 for one in rates):
                alike()
                return
            if unlike is None:
                # Parameters of one optimizer that have been updated unequally often are rare.
                of_elements.extend(ctx.xp.empty(size, dtype) for _ in rates)
                unlike = self._unlike.bind([*arrays, *of_elements], ctx.xp.empty, meet=is_)
            for target, one in zip(of_elements, rates, strict=True):
                ctx.xp.copyto(target, one)
            unlike()

        return in_sequence([step, last])


def update_rule(type, inputs, updates, formula, attributes=None, packed="", by_norms=False):
    """Declare an operator that reads Param, Grad and other `inputs`, and writes new values over those in `updates`.

    Args:
        type: Fluid's name of the operator type.
        inputs: slots.
        updates: those of them that get new values.
        formula: a function of symbols, and attributes by their names, that gives those new values: output -> value.
        attributes: see `operator`.
        packed: the slots that hold a number of which each parameter has its own.
        by_norms: whether the rule needs norms of the whole parameter, so that one call cannot update several.
    """
    # Fluid's outputs are its inputs + "Out", except that it shortens Accumulator to Accum.
    outputs = {name.replace("Accumulator", "Accum") + "Out": name for name in updates.split()}
    slots = [name.rstrip("?") for name in inputs.split()]
    flat = ["Grad", *(name for name in updates.split() if name not in packed.split())]

    def infer(attrs, *specs):
        found = dict(zip(slots, specs, strict=True))
        param, grad, rate = found["Param"], found["Grad"], found.get("LearningRate")
        if param.shape != grad.shape:
            raise EnforceNotMet(
                f"Grad must have the shape of Param, {list(param.shape)}, but its shape is {list(grad.shape)}"
            )
        if rate is not None and rate.size != 1:
            raise EnforceNotMet(f"LearningRate must hold one number, but its shape is {list(rate.shape)}")
        return tuple(found[name] for name in outputs.values())

    declare = operator(
        type,
        inputs,
        " ".join(name + "!" for name in outputs),  # no gradient flows through an update
        attributes=attributes,
        infer=infer,
        kernel=BOUND,
        memory=Memory(inplace=outputs),
        update=Update() if by_norms else Update(flat=" ".join(flat), packed=packed),
    )
    Rule(formula).declared(declare)
