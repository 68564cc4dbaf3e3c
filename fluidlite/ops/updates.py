"""Update rules: formulas that give new values for a parameter and its state.

    update_rule("sgd", "Param Grad LearningRate", "Param", lambda Param, Grad, LearningRate: {...})

A rule runs over one parameter, or over the tensors of many, laid one behind the other (`fluidlite.engine.plan.flat`).
What it computes of the numbers that each parameter has of its own (`packed`), such as a rate, it then computes once for
each of them, and is repeated over their elements where they differ.
"""

from functools import partial
from operator import is_

import numpy as np

from ..core.errors import EnforceNotMet
from ..core.formula import names_of, substituted, symbol
from ..core.numpy_program import in_sequence
from ..core.operators import operator
from ..core.spec import Spec
from ..core.traits import BOUND, Lod, Memory, Update
from .arrays.indexing import take
from .arrays.rows import listed, merger
from .pointwise import Formula, Part

# All rules; on a GPU, each is a kernel of its own.
RULES = []

# On the CPU, a rule runs over so many elements of a table at a time: what one pass leaves in the cache serves the next.
_BLOCK = 65536


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


def update_rule(
    type, inputs, updates, formula, attributes=None, packed="", by_norms=False, rows=None, rows_formula=None
):
    """Declare an operator that reads Param, Grad and other `inputs`, and writes new values over those in `updates`.

    Args:
        type: Fluid's name of the operator type.
        inputs: slots.
        updates: those of them that get new values.
        formula: a function of symbols, and attributes by their names, that gives those new values: output -> value.
        attributes: see `operator`.
        packed: the slots that hold a number of which each parameter has its own.
        by_norms: whether the rule needs norms of the whole parameter, so that one call cannot update several.
        rows: how it takes a gradient of selected rows: "listed" where those rows alone are updated, "all" where the
            others are updated, too, by a gradient of 0, "table" where it needs the whole table that they stand for, or
            a function of the attributes that says which; None if it does not take them.
        rows_formula: the rule for selected rows, if that is another one where all is updated in place.
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
        _without_gradient(outputs),
        attributes=attributes,
        infer=infer,
        kernel=BOUND,
        memory=Memory(inplace=outputs),
        update=Update() if by_norms else Update(flat=" ".join(flat), packed=packed),
    )
    rule = Rule(formula)
    definition = rule.declared(declare)
    if rows == "table":
        definition.rows_form("Grad")(lambda inputs, outputs, attrs, held: None)
    elif rows is not None:
        _take_rows(rule, rows, rows_formula)


def _without_gradient(outputs):
    return " ".join(name + "!" for name in outputs)


def _take_rows(rule, rows, formula):
    """Declare the operator that a Rule is for selected rows; the others are arguments of `update_rule`."""
    definition = rule.definition
    type = f"@{definition.type}_rows"
    names = [slot.name for slot in definition.inputs if slot.name != "Grad"]
    others = ", ".join(slot.name + "?" * slot.optional for slot in definition.inputs if slot.name != "Grad")
    in_place = rule
    if formula is not None:
        in_place = Rule(formula)
        in_place.definition = definition

    def infer(attrs, rows, values, *specs):
        found = dict(zip(names, specs, strict=True))
        return tuple(found[definition.inplace[slot.name]] for slot in definition.outputs)

    def kernel(ctx, listed, values, *arrays):
        if not sum(one.size for one in listed):
            return lambda: None
        given, results = dict(zip(names, arrays, strict=False)), arrays[len(names) :]
        sources = [given[definition.inplace[slot.name]] for slot in definition.outputs]
        is_in_place = all(one is source for one, source in zip(results, sources, strict=True) if one is not None)
        update = _RowsUpdate(ctx, in_place if is_in_place else rule, given, results)
        return update.bound(listed, values, (rows(ctx.attrs) if callable(rows) else rows) == "all")

    operator(
        type,
        f"Rows*, Values*, {others}",
        _without_gradient(slot.name for slot in definition.outputs),
        attributes=definition.table,
        infer=infer,
        kernel=BOUND,
        memory=Memory(inplace=definition.inplace),
        lod=Lod(of="none"),
    )(kernel)

    @definition.rows_form("Grad")
    def lower(inputs, outputs, attrs, held):
        others = {slot: values for slot, values in inputs.items() if slot != "Grad"}
        return [(type, {**held[inputs["Grad"][0]].slots, **others}, outputs, attrs)], {}


class _RowsUpdate:
    """An update rule over rows of tables: it runs over blocks of rows that are copied together, and copied back.

    Args:
        ctx: the context of the kernel.
        rule (Rule): the rule.
        given: input slot -> array, without Grad.
        results: the arrays of the output slots.
    """

    def __init__(self, ctx, rule, given, results):
        self._ctx, self._rule, self._given = ctx, rule, given
        definition = rule.definition
        self._moves = []
        made = {slot.name: array for slot, array in zip(definition.outputs, results, strict=True)}
        for name, array in made.items():
            source = given[definition.inplace[name]]
            if array is not None and array is not source:
                self._moves.append(partial(ctx.xp.copyto, array, source))
        # State lies where the outputs are; what is copied there first is that of the inputs.
        state = {definition.inplace[name]: array for name, array in made.items() if array is not None}
        self._numbers = {name: array for name, array in state.items() if name in definition.packed}
        self._tables = {name: array.reshape(len(array), -1) for name, array in state.items() if name in definition.flat}
        self._made = made
        self._height, self._width = self._tables["Param"].shape

    def bound(self, rows, values, touches_all):
        """The function that updates the rows, or all of them; the others have a gradient of 0."""
        ctx = self._ctx
        rows, vectors, gather = listed(ctx, rows, values, self._width)
        merge = merger(ctx, rows, vectors)
        is_cpu = ctx.xp is np
        size = self._height if touches_all else len(rows)
        if is_cpu:
            # Few different sizes, for the rule is prepared for each.
            unit = 1 << max(size.bit_length() - 4, 0)
            size = min(-(-size // unit) * unit, max(1, _BLOCK // self._width))
        gradient = ctx.scratch((size, self._width), vectors.dtype)
        if touches_all and not is_cpu:
            blocks = self._tables
        else:
            blocks = {name: ctx.scratch((size, self._width), table.dtype) for name, table in self._tables.items()}
        update = self._bind(blocks, {"Grad": gradient})
        finish = self._bind({}, {"Grad": gradient}) if self._numbers else None
        pairs = [(self._tables[name], block) for name, block in blocks.items()]
        if touches_all:
            run = (self._over_all if is_cpu else self._over_whole_tables)(gradient, pairs, update)
        else:
            run = (self._over_some if is_cpu else self._over_listed)(gradient, pairs, update)

        def step():
            for move in self._moves:
                move()
            gather()
            run(*merge())
            if finish is not None:
                finish()

        return step

    def _bind(self, blocks, gradient):
        """The rule, for blocks of the tables; for none of them: for the numbers that it updates."""
        definition = self._rule.definition
        arrays = self._given | self._numbers | self._tables | blocks | gradient
        inputs = [arrays.get(slot.name) for slot in definition.inputs]
        outputs = []
        for slot in definition.outputs:
            source, is_made = definition.inplace[slot.name], self._made[slot.name] is not None
            wanted = source in blocks if blocks else source in self._numbers
            outputs.append(arrays[source] if is_made and wanted else None)
        return self._rule.kernel(self._ctx, *inputs, *outputs)

    @staticmethod
    def _over_some(gradient, pairs, update):
        size = len(gradient)
        index = np.empty(size, np.int64)

        def run(rows, sums):
            for first in range(0, len(rows), size):
                some = rows[first : first + size]
                count = len(some)
                gradient[:count], index[:count] = sums[first : first + count], some
                # What is left of the block repeats the last row.
                gradient[count:], index[count:] = gradient[count - 1], index[count - 1]
                for table, block in pairs:
                    take(np, table, index, 0, block)
                update()
                for table, block in pairs:
                    table[some] = block[:count]

        return run

    def _over_all(self, gradient, pairs, update):
        size, height = len(gradient), self._height
        firsts = np.arange(0, height, size)

        def run(rows, sums):
            gradient.fill(0)
            ends = np.searchsorted(rows, [*firsts, height])
            for number, first in enumerate(firsts):
                inside = slice(ends[number], ends[number + 1])
                places = rows[inside] - first
                gradient[places] = sums[inside]
                count = min(size, height - first)
                for table, block in pairs:
                    block[:count] = table[first : first + count]
                update()
                for table, block in pairs:
                    table[first : first + count] = block[:count]
                gradient[places] = 0

        return run

    def _over_listed(self, gradient, pairs, update):
        xp = self._ctx.xp

        def run(rows, sums):
            xp.copyto(gradient, sums)
            for table, block in pairs:
                take(xp, table, rows, 0, block)
            update()
            for table, block in pairs:
                # A row that is listed twice has the same values twice.
                table[rows] = block

        return run

    @staticmethod
    def _over_whole_tables(gradient, pairs, update):
        def run(rows, sums):
            gradient.fill(0)
            gradient[rows] = sums
            update()

        return run
