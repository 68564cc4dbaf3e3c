"""Operators whose mathematics is one formula: from it come the NumPy kernel, the C text, and the gradients.

    square = by_formula(operator("square", "X", "Out", formula=lambda X: X * X, memory=POINTWISE))
    square_grad = by_formula(square.gradient("X", memory=POINTWISE))
    by_formula(square_grad.gradient("X, Out@GRAD", memory=POINTWISE))

A formula is a function of symbols (see `fluidlite.core.formula`).  Its parameters are called after slots (dOut for
Out@GRAD) and attributes; `attrs` gets all attributes, `specs` the Specs of all tensors (name -> list), and `in_batch`
the function of that name of the context.  A gradient without a formula is the derivative of the one before it.

Tensors broadcast by NumPy's rules, in the shapes that `Algebra.broadcasts` tells.  The gradient of a tensor that was
repeated is a sum over the repeats: it need not be said.
"""

from functools import cached_property, partial
from marshal import dumps
from operator import itemgetter

from ..core.c_text import TYPE_NAMES, c_text
from ..core.derivative import gradient
from ..core.formula import PRIMITIVES, Expression, names_of, number, parameters, substituted, symbol, traced, walk
from ..core.numpy_program import TAKE_NAMES, broadcast, class_in, in_sequence, program
from ..core.operators import operator
from ..core.spec import GRAD, Spec, formula_name
from ..core.traits import POINTWISE, Lod, Memory
from .arrays.strides import scratch_like, sum_into

# Kind of device -> a function that finds sums there in one pass (`fluidlite.ops.cuda.sums.sums_of`).
SUMS_OF = {}

# For how many combinations of attributes, shapes and data types a formula keeps what it found.
_MOST = 4096


class Formula:
    """What an operator computes of each element; called, it gives the C of each output (see `operator`).

    Args:
        function: of symbols and attributes; None for the derivative of what the operator is the gradient of.
    """

    def __init__(self, function):
        self.function = function
        self._takes = parameters(function) if hasattr(function, "__code__") else ()
        self._traced, self._bindings, self._structures, self._texts = {}, {}, {}, {}

    def declared(self, declare):
        """The OperatorDef of which this is the formula and the kernel, for `declare` as in `by_formula`."""
        self.definition = declare(self.kernel, self)
        return self.definition

    @cached_property
    def _names(self):
        """What formulas call the slots."""
        return [formula_name(slot.name) for slot in (*self.definition.inputs, *self.definition.outputs)]

    @cached_property
    def _attrs(self):
        return tuple(self.definition.attrs)

    @cached_property
    def _chosen(self):
        return itemgetter(*self._attrs)

    @cached_property
    def _has_lists(self):
        return any(slot.many for slot in (*self.definition.inputs, *self.definition.outputs))

    @cached_property
    def _counts_batch(self):
        return "in_batch" in self._takes

    def traced(self, attrs, specs, part=(1, 1)):
        """Output -> Expression.

        Args:
            attrs: the operator's attributes.
            specs: the Specs of what is there: name -> list.
            part: how many rows of the batch the tensors hold, and how many it has, as in a kernel's context.
        """
        key = repr([attrs[name] for name in self._attrs]), *((name, len(found)) for name, found in specs.items())
        if "specs" in self._takes:
            key += tuple(spec[:2] for found in specs.values() for spec in found)
        if self._counts_batch:
            key += part
        if key not in self._traced:
            _make_room(self._traced)
            attrs = {name: attrs[name] for name in self._attrs}
            is_derived = self.function is None
            self._traced[key] = self._derived(attrs, specs) if is_derived else self._stated(attrs, specs, part)
        return self._traced[key]

    def _stated(self, attrs, specs, part):
        rows, batch = part
        given = {**attrs, "specs": specs, "in_batch": lambda count: count * batch // rows}
        for slot in self.definition.inputs:
            name = formula_name(slot.name)
            if slot.many:
                given[name] = [symbol(f"{name}{number}") for number in range(len(specs.get(name, ())))]
            else:
                given[name] = symbol(name) if name in specs or not slot.optional else None
        return traced(self.function, given, formula_name(self.definition.outputs[0].name))

    def _derived(self, attrs, specs):
        """The derivative of the formula of what this is the gradient of."""
        definition, before = self.definition, self.definition.gradient_of
        sources = {formula_name(slot): source for slot, source in definition.sources.items()}
        inputs = {formula_name(slot.name) for slot in definition.inputs}
        # What the gradient reads has the names here that Fluid gives its slots.
        held = {name: formula_name(source) for name, (source, is_slope) in sources.items() if not is_slope}
        slopes = {name: formula_name(source) for name, (source, is_slope) in sources.items() if is_slope}
        found = before.formula.traced(attrs, {held[name]: spec for name, spec in specs.items() if name in held})
        known = [name for name in found if name in held.values()]
        wanted = {name: source for name, source in slopes.items() if name not in inputs}
        renamed = {symbol(source): symbol(name) for name, source in held.items()}
        for name, source in slopes.items():
            if name in inputs:
                renamed[symbol(f"d{source}")] = symbol(name) if name in specs else number(0)
        result = gradient(found, list(wanted.values()), known)
        return {name: substituted(result[source], renamed) for name, source in wanted.items()}

    def kernel(self, ctx, *arrays):
        """The operator's kernel: finds the function that computes the outputs."""
        key = [ctx.xp, ctx.rows, ctx.batch] if self._counts_batch else [ctx.xp]
        if self._attrs:
            chosen = self._chosen(ctx.attrs)
            try:
                key.append(dumps(chosen, 2))  # which tells 0.0 from -0.0, and takes lists
            except ValueError:
                key.append(repr(chosen))
        lists = arrays
        if self._has_lists:
            key.append(tuple([len(array) if isinstance(array, list) else None for array in arrays]))
            arrays = tuple([one for array in arrays for one in (array if isinstance(array, list) else (array,))])
        for array in arrays:
            if array is None:
                key.append(None)
            else:
                key.append(array.shape)
                key.append(array.dtype)
        key = tuple(key)
        binding = self._bindings.get(key)
        if binding is None:
            _make_room(self._bindings)
            binding = self._bindings[key] = self._binding(ctx, lists)
        if binding.call is None:
            return binding(ctx, arrays)
        function, arguments, constants = binding.call
        return partial(function, *arguments(arrays + constants))

    def _binding(self, ctx, arguments):
        """How to bind the operator to arrays that are like these."""
        definition = self.definition
        listed = [array if isinstance(array, list) else [array] for array in arguments]
        count = len(definition.inputs)
        specs, places, shapes, dtypes, place = {}, {}, {}, {}, 0
        for slot, name, found in zip((*definition.inputs, *definition.outputs), self._names, listed, strict=True):
            for position, array in enumerate(found):
                own = f"{name}{position}" if slot.many else name
                if array is not None:
                    specs.setdefault(name, []).append(Spec(array.shape, array.dtype))
                    places[own], shapes[own], dtypes[own] = place, array.shape, array.dtype
                place += 1
        found = self.traced(ctx.attrs, specs, (ctx.rows, ctx.batch))
        expressions = {name: found[name] for name in self._names[count:] if name in places}
        used = [*dict.fromkeys(names_of(*expressions.values())), *expressions]
        laid = {name: shapes[name] for name in used}
        if definition.broadcasts is not None:
            laid |= {name: shape for name, shape in definition.broadcasts(ctx.attrs, shapes).items() if name in laid}
        whole = broadcast(laid.values())
        classes = tuple([class_in(whole, shape) for shape in laid.values()])
        key = ctx.xp, tuple(expressions.items()), tuple([(places[name], dtypes[name]) for name in used]), classes
        structure = self._structures.get(key)
        if structure is None:
            _make_room(self._structures)
            tensors = {name: (places[name], laid[name], dtypes[name]) for name in used}
            structure = self._structures[key] = _Structure(ctx.xp, expressions, tensors, whole, place)
        return _Binding(structure, laid, shapes, whole)

    def __call__(self, attrs, specs):
        """The C of each output for the Specs of what is there; None for what C does not have."""
        wanted = {name: one for name, one in self.traced(attrs, specs).items() if name in specs}
        dtypes = {}
        for slot in self.definition.inputs:
            name = formula_name(slot.name)
            for place, spec in enumerate(specs.get(name, ())):
                dtypes[f"{name}{place}" if slot.many else name] = spec.dtype
        key = tuple(wanted.items()), tuple(dtypes.items())
        if key not in self._texts:
            _make_room(self._texts)
            self._texts[key] = {name: _text(one, dtypes) for name, one in wanted.items()}
        texts = self._texts[key]
        return None if None in texts.values() else texts


def _make_room(known):
    if len(known) >= _MOST:
        known.clear()


def _text(expression, dtypes):
    """An expression as C, behind statements that belong to it; None for one that C does not have."""
    read = {name: dtypes[name] for name in names_of(expression)}
    if any(dtype.name not in TYPE_NAMES for dtype in read.values()):
        return None
    if any(one.args and PRIMITIVES[one.op].c is None for one in walk(expression)):
        return None
    statements, values, numbers = c_text({"": expression}, {name: name for name in read}, read)
    if expression.op != "symbol":
        statements.insert(0, f"typedef {TYPE_NAMES[numbers.name]} T;")
    return " ".join([*statements, values[""]])


class _Structure:
    """How outputs are computed of arrays that repeat over each other in a given way.

    An output that is smaller than what it is computed of is a sum.  What need not be summed stays outside of it: the
    sum of dOut * Out / Y over the repeats of Y is that of dOut * Out, divided by Y.

    Args:
        xp: the module of the arrays.
        expressions: name of an output -> Expression, for the wanted ones.
        tensors: name -> (its place among the kernel's arrays, the shape in which it broadcasts, np.dtype).
        shape: to which all broadcast.
        count: of the kernel's arrays.
    Attributes:
        places: name -> place among the arrays.
        padded: the names of tensors that must have as many dimensions as the shape to which all broadcast.
        call: where one call of a function is all: the function, what chooses its arguments from arrays and constants,
            and these; otherwise None.
    """

    def __init__(self, xp, expressions, tensors, shape, count):
        laid = {name: tuple(one) for name, (_, one, _) in tensors.items()}
        padded = {name: _padded(one, shape) for name, one in laid.items()}
        whole, terms, endings = {}, {}, {}
        self._sums = []  # (name of an output, the name of what is summed up in it)
        self._summed = {}  # shape of sums -> name of an output -> Expression
        for name, expression in expressions.items():
            repeated = [n != m for n, m in zip(shape, padded[name], strict=True)]
            is_kept = partial(_is_kept, repeated, padded)
            if is_kept(expression):
                whole[name] = expression
                continue
            laid[name] = padded[name]
            self._summed.setdefault(padded[name], {})[name] = expression
            inner, outer = _split(expression, is_kept, symbol(name))
            is_there = inner.op == "symbol" and padded[inner.value] == shape and inner.value not in endings
            if is_there and tensors[inner.value][2] == tensors[name][2]:
                laid[inner.value] = shape
            else:
                terms[name] = inner
            self._sums.append((name, None if name in terms else inner.value))
            if outer is not symbol(name):
                endings[name] = outer
        self.padded = {name for name, one in laid.items() if one != tensors[name][1]}
        self.places = {name: place for name, (place, _, _) in tensors.items()}
        self._main = next((self.places[n] for n in (*whole, *laid) if laid[n] == shape), None)
        self._terms = [(self.places[name], tensors[name][2]) for name in terms]
        shapes = laid | dict.fromkeys(terms, shape)
        self._first = Part(xp, whole | terms, shapes, tensors) if whole or terms else None
        self._others = Part(xp, whole, laid, tensors) if whole and self._sums else None
        self._endings = [Part(xp, {name: one}, laid, tensors) for name, one in endings.items()]
        self.call = None if self._sums else self._first.call(count)

    def bind(self, ctx, arrays, shape):
        """The function that computes the outputs of arrays that broadcast to a shape."""
        if not self._sums:
            return self._first.bind(arrays, self._scratch, ctx, arrays)
        if ctx.variant in SUMS_OF:
            given = {name: arrays[place] for name, place in self.places.items()}
            sums = [SUMS_OF[ctx.variant](ctx, terms, given, shape) for terms in self._summed.values()]
            if None not in sums:
                return in_sequence([*sums, self._others and self._others.bind(arrays, self._scratch, ctx, arrays)])
        targets, arrays = arrays, list(arrays)
        for place, dtype in self._terms:
            arrays[place] = self._scratch(ctx, targets, shape, dtype)
        early, late = [], []
        for name, source in self._sums:
            steps = late if source is None else early
            place = self.places[name]
            summed = arrays[place if source is None else self.places[source]]
            steps.append(sum_into(ctx, summed, targets[place]))
        first = [] if self._first is None else [self._first.bind(arrays, self._scratch, ctx, targets)]
        endings = [ending.bind(targets, self._scratch, ctx, targets) for ending in self._endings]
        return in_sequence([*early, *first, *late, *endings])

    def _scratch(self, ctx, arrays, shape, dtype):
        """Scratch that is stored as the arrays are, if it has as many dimensions."""
        if self._main is None or len(shape) != arrays[self._main].ndim:
            return ctx.scratch(shape, dtype)
        return scratch_like(ctx, arrays[self._main], dtype, shape)


class _Binding:
    """How an operator is bound to arrays of given shapes.

    Args:
        structure (_Structure): how they are used.
        laid: name -> the shape in which a tensor broadcasts.
        shapes: name -> the shape that it has.
        whole: the shape to which all broadcast.
    Attributes:
        call: see `_Structure`.
    """

    def __init__(self, structure, laid, shapes, whole):
        self._structure, self._whole, self._views = structure, whole, []
        for name, shape in laid.items():
            shape = _padded(shape, whole) if name in structure.padded else tuple(shape)
            if shape != shapes[name]:
                self._views.append((structure.places[name], shape))
        self.call = None if self._views else structure.call

    def __call__(self, ctx, arrays):
        if self._views:
            arrays = list(arrays)
            for place, shape in self._views:
                arrays[place] = arrays[place].reshape(shape)
            if self._structure.call is not None:
                function, arguments, constants = self._structure.call
                return partial(function, *arguments([*arrays, *constants]))
        return self._structure.bind(ctx, arrays, self._whole)


def _padded(shape, whole):
    """A shape with as many dimensions as another one."""
    return (1,) * (len(whole) - len(shape)) + tuple(shape)


class Part:
    """A program, and the places of what it reads and writes among a kernel's arrays."""

    def __init__(self, xp, expressions, shapes, tensors):
        read = names_of(*expressions.values())
        dtypes = {name: tensors[name][2] for name in read}
        found = program(expressions, dtypes, {name: tensors[name][2] for name in expressions})
        self._given = [tensors[name][0] for name in found.inputs]
        self._targets = [tensors[name][0] for name in expressions]
        given = tuple([shapes[name] for name in found.inputs])
        self._placed = found.placed(xp, given, tuple([shapes[name] for name in expressions]))

    def call(self, count):
        """The only call (see `_Structure`), for a kernel of so many arrays."""
        if self._placed.single is None:
            return None
        (name, function, arguments_in), constants = self._placed.single
        places = arguments_in([*self._given, *self._targets, *range(count, count + len(constants))])
        return None if name in TAKE_NAMES else (function, itemgetter(*places), tuple(constants))

    def bind(self, arrays, scratch, *arguments, meet=None):
        """The function that runs the program; scratch is `scratch(*arguments, shape, dtype)`; `meet`: see `Placed`."""
        given, targets = [arrays[place] for place in self._given], [arrays[place] for place in self._targets]
        return self._placed.bind(given, targets, partial(scratch, *arguments), meet)


def _is_kept(repeated, shapes, expression):
    """Whether an expression is the same wherever something is repeated."""
    return not any(
        is_repeated and size != 1
        for name in names_of(expression)
        for is_repeated, size in zip(repeated, shapes[name], strict=True)
    )


def _split(expression, is_kept, total):
    """The sum of an expression over repeats, as (what is to be summed, what becomes of the symbol of its total)."""
    if is_kept(expression):
        return number(1), total * expression
    match expression:
        case Expression("negative", (x,)):
            inner, outer = _split(x, is_kept, total)
            return inner, -outer
        case Expression("multiply", (x, y)):
            (first, outer), (second, more) = _split(x, is_kept, total), _split(y, is_kept, total)
            return first * second, substituted(outer, {total: more})
        case Expression("divide", (x, y)) if is_kept(y):
            inner, outer = _split(x, is_kept, total)
            return inner, outer / y
    return expression, total


def by_formula(declare):
    """Declare an operator of which the formula is the kernel: `declare` is what `operator` or `gradient` returned.

    Returns:
        OperatorDef
    """
    return Formula(declare.formula).declared(declare)


def pointwise(type, formula, reads, slope=None, inputs="X", differentiable=True, second=None, slope_lod=None, **groups):
    """Declare an operator from X to Out, and its gradient.

    Args:
        type: Fluid's name of the operator type.
        formula: a function of symbols, and attributes by their names.
        reads: the slots of the forward operator that its gradient reads.
        slope: the gradient as such a function, where a better one is known than the derivative of the formula.
        inputs: the input slots, X first.
        differentiable: False for an operator whose gradient is declared otherwise.
        second: (what the gradient of the gradient reads, of what it gives the gradient), as slots of the gradient;
            None where Fluid has none.
        slope_lod (Lod): of the gradient.
        groups: see `operator`.
    Returns:
        OperatorDef
    """
    memory = Memory(elementwise=True, pointwise=inputs == "X", inplace={"Out": "X"})
    definition = by_formula(operator(type, inputs, "Out", formula=formula, memory=memory, **groups))
    if differentiable:
        over = POINTWISE | Memory(inplace={"X" + GRAD: "Out" + GRAD})
        slope = by_formula(definition.gradient(reads, formula=slope, memory=over, lod=slope_lod or Lod()))
        if second is not None:
            read, given = second
            by_formula(slope.gradient(read, gives=given, memory=POINTWISE))
    return definition
