"""Operators whose mathematics is one formula: from it come the NumPy kernel, the C text, and the gradient.

    tanh = pointwise("tanh", lambda X: f.tanh(X), reads="Out")

`f` is `fluidlite.core.formula`.  The parameters of a formula are called after slots (dOut for Out@GRAD) and attributes.
"""

from ..core.c_text import TYPE_NAMES, c_text
from ..core.derivative import gradient
from ..core.formula import names_of, symbol, traced
from ..core.numpy_program import program
from ..core.operators import operator
from ..core.spec import GRAD, formula_name
from ..core.traits import BOUND, POINTWISE, Memory
from .arrays.strides import scratch_like


class Text(str):
    """C that is complete but for the names of inputs: numbers have their type already."""


class Formula:
    """What an operator computes of each element.

    Args:
        expressions: `expressions(attributes and symbols) -> output -> Expression`.
    """

    def __init__(self, expressions):
        self._expressions = expressions
        self._known = {}
        self.definition = None

    @classmethod
    def of(cls, function, output):
        """The formula that a Python function of symbols and attributes is."""
        return cls(lambda given: traced(function, given, output))

    def traced(self, attrs, absent=()):
        """Output -> Expression, for some attributes; the inputs in `absent` are None."""
        attrs = {name: attrs[name] for name in self.definition.attrs}
        key = repr(attrs), tuple(absent)
        if key not in self._known:
            names = [formula_name(slot.name) for slot in self.definition.inputs]
            symbols = {name: None if name in absent else symbol(name) for name in names}
            self._known[key] = self._expressions({**attrs, **symbols})
        return self._known[key]

    def kernel(self, ctx, *arrays):
        """The operator's kernel: binds the NumPy program."""
        return bound(ctx, *self.arguments(ctx, arrays))

    def arguments(self, ctx, arrays):
        """What there is to compute.

        Returns:
            (output -> Expression, input -> array or None, output -> array), without the outputs that are not wanted
        """
        names = [formula_name(slot.name) for slot in (*self.definition.inputs, *self.definition.outputs)]
        count = len(self.definition.inputs)
        given = dict(zip(names[:count], arrays[:count], strict=True))
        made = {name: array for name, array in zip(names[count:], arrays[count:], strict=True) if array is not None}
        found = self.traced(ctx.attrs, [name for name, array in given.items() if array is None])
        return {name: found[name] for name in made}, given, made

    def text(self, attrs, specs):
        """The C of each output (see `operator`), for the Specs of what is there; None for data types but C's floats."""
        inputs = [formula_name(slot.name) for slot in self.definition.inputs]
        found = self.traced(attrs, [name for name in inputs if name not in specs])
        wanted = {name: one for name, one in found.items() if name in specs}
        dtypes = {name: specs[name][0].dtype for name in names_of(*wanted.values())}
        if any(dtype.kind != "f" or dtype.name not in TYPE_NAMES for dtype in dtypes.values()):
            return None
        texts = {}
        for name, expression in wanted.items():
            statements, values, _ = c_text({name: expression}, {one: one for one in dtypes}, dtypes)
            texts[name] = Text(" ".join([*statements, values[name]]))
        return texts


def bound(ctx, expressions, given, made):
    """A function that computes outputs from inputs.

    Args:
        ctx: the context of the operator's kernel.
        expressions: output -> Expression
        given: input -> array, or None.
        made: output -> array; there may be others than those in `expressions`.
    """
    dtypes = {name: array.dtype for name, array in given.items() if array is not None}
    compiled = program(expressions, dtypes, {name: made[name].dtype for name in expressions})
    main = made[next(iter(expressions))]

    def scratch(shape, dtype):
        # Stored as the output is, if it is of that size.
        return scratch_like(ctx, main, dtype, shape) if len(shape) == main.ndim else ctx.scratch(shape, dtype)

    return compiled.bind(ctx.xp, given, made, scratch)


def pointwise(type, formula, reads, slope=None, inputs="X", infer=None, differentiable=True, **groups):
    """Declare an operator from X to Out, and its gradient.

    Args:
        type: Fluid's name of the operator type.
        formula: a function of symbols, and attributes by their names.
        reads: the slots of the forward operator that its gradient reads.
        slope: the gradient as such a function, where a better one is known than the derivative of the formula.
        inputs: the input slots, X first.
        differentiable: False for an operator whose gradient is declared otherwise.
        groups: see `operator`.
    Returns:
        OperatorDef
    """
    memory = Memory(elementwise=True, pointwise=inputs == "X", inplace={"Out": "X"})
    own = Formula.of(formula, "Out")
    definition = own.definition = operator(
        type, inputs, "Out", formula=own.text, kernel=BOUND, memory=memory, **groups
    )(own.kernel)
    if differentiable:
        if slope is None:
            read = reads.replace(",", " ").split()
            known = [slot.name for slot in definition.outputs if slot.name in read]
            back = Formula(lambda given: {"dX": gradient(own.traced(given), ["X"], known)["X"]})
        else:
            back = Formula.of(slope, "dX")
        over = POINTWISE | Memory(inplace={"X" + GRAD: "Out" + GRAD})
        back.definition = definition.gradient(reads, formula=back.text, kernel=BOUND, memory=over)(back.kernel)
    return definition
