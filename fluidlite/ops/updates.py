"""Update rules: formulas that give new values for a parameter and its state.

    update_rule("sgd", "Param Grad LearningRate", "Param", lambda Param, Grad, LearningRate: {...})

A rule runs over one parameter, or over the tensors of many, laid one behind the other (`fluidlite.engine.plan.flat`).
What it computes of the numbers that each parameter has of its own (`packed`), such as a rate, it then computes once for
each of them, and spreads over their elements where they differ.
"""

from ..core.errors import EnforceNotMet
from ..core.formula import names_of, substituted, symbol
from ..core.operators import operator
from ..core.traits import BOUND, Memory, Update
from .arrays.strides import in_sequence
from .pointwise import Formula, bound

# All rules; on a GPU, each is a kernel of its own.
RULES = []


class Rule(Formula):
    """What an update rule computes of each element."""

    def __init__(self, expressions):
        super().__init__(expressions)
        self._parts = {}

    def kernel(self, ctx, *arrays):
        if not self.definition.packed or ctx.counts is None or len(ctx.counts) == 1:
            return super().kernel(ctx, *arrays)
        return self._joined(ctx, *self.arguments(ctx, arrays))

    def _joined(self, ctx, outputs, given, made):
        """The function that updates many parameters, each with numbers of its own."""
        rates, over, alone = self._apart(outputs)
        steps = []
        if over:
            model = next(iter(over))
            numbers = {name: ctx.scratch((len(ctx.counts),), made[model].dtype) for name in rates}
            find = bound(ctx, rates, given, numbers)
            of_all = {name: array[:1] for name, array in numbers.items()}
            of_each = {name: ctx.scratch(made[model].shape, array.dtype) for name, array in numbers.items()}
            alike, unlike = (bound(ctx, over, {**given, **one}, made) for one in (of_all, of_each))

            def step():
                find()
                spread = {name: ctx.spread(array) for name, array in numbers.items()}
                if all(array.size == 1 for array in spread.values()):
                    alike()
                    return
                for name, array in spread.items():
                    ctx.xp.copyto(of_each[name], array)
                unlike()

            steps.append(step)
        if alone:
            steps.append(bound(ctx, alone, given, made))
        return in_sequence(steps)

    def _apart(self, outputs):
        """Parts of a formula, each output -> Expression.

        Returns:
            (what is computed once for each parameter, the outputs with an element for each of a parameter's in terms of
            that, those with a number for each parameter)
        """
        key = tuple(outputs.items())
        if key not in self._parts:
            definition = self.definition
            alone = {name: one for name, one in key if definition.inplace[name] in definition.packed}
            over = {name: one for name, one in key if name not in alone}
            rates = {}
            for one in over.values():
                self._find_rates(one, rates)
            over = {name: substituted(one, rates) for name, one in over.items()}
            self._parts[key] = {rate.value: one for one, rate in rates.items()}, over, alone
        return self._parts[key]

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

    rule = Rule.of(formula, None)
    rule.definition = operator(
        type,
        inputs,
        " ".join(name + "!" for name in outputs),  # no gradient flows through an update
        attributes=attributes,
        infer=infer,
        kernel=BOUND,
        memory=Memory(inplace=outputs),
        update=Update() if by_norms else Update(flat=" ".join(flat), packed=packed),
    )(rule.kernel)
    RULES.append(rule)
