"""Derivatives of formulas: gradients of operators, and gradients of gradients.

    gradient({"Out": tanh(X)}, ["X"], known=["Out"])  # {"X": dOut * (1 - (Out * Out))}

The derivative of each function stands in its row of `fluidlite.core.formula.PRIMITIVES`.  An operator may state a
gradient of its own where that is cheaper, or where Fluid's differs.
"""

from .formula import PRIMITIVES, Expression, apply, number, substituted, symbol, walk


def gradient(outputs, by, known=()):
    """The gradients of inputs, given those of the outputs.

    The gradient of a gradient is found in the same way: `gradient({"dX": ...}, ["X", "dOut"])`, in terms of ddX.

    Args:
        outputs: name -> Expression; the gradient of Out is the symbol dOut.
        by: names of inputs.
        known: names of outputs whose values may be used: with Out, tanh(X) has the gradient dOut * (1 - Out * Out).
    Returns:
        name of the input -> Expression
    """
    changes = {}
    for name in known:
        _note_value(changes, outputs[name], symbol(name))
    result = {}
    for name in by:
        result[name] = number(0)
        for output, expression in outputs.items():
            slope = collected(substituted(derivative(expression, symbol(name)), changes))
            result[name] = result[name] + symbol(f"d{output}") * slope
    return result


def _note_value(changes, expression, value):
    """Note how an expression is found from its `value`, and so is what it is a multiple of."""
    changes[expression] = value
    match expression:
        case Expression("negative", (x,)):
            _note_value(changes, x, -value)
        case Expression("multiply", (x, Expression("number", _, factor))):
            _note_value(changes, x, value * (1 / factor))


def derivative(expression, by):
    """The derivative of an expression by a symbol."""
    slopes, nothing = {}, number(0)
    for one in walk(expression):
        inner = [slopes[arg] for arg in one.args]
        if one is by:
            slopes[one] = number(1)
        elif all(slope is nothing for slope in inner):
            slopes[one] = nothing
        else:
            slopes[one] = number(PRIMITIVES[one.op].slope(one, *one.args, *inner))
    return collected(slopes[expression])


def collected(expression):
    """An expression in whose sums like terms are added up, and what they have in common stands before a bracket."""
    made = {}
    for one in walk(expression):
        new = apply(one.op, *(made[arg] for arg in one.args), value=one.value) if one.args else one
        made[one] = _sum_of(_terms(new, 1)) if new.op in ("add", "subtract", "negative", "multiply") else new
    return made[expression]


def _terms(expression, factor):
    """The terms of a sum, times a number: (coefficient, factors)."""
    match expression:
        case Expression("add", (x, y)):
            return _terms(x, factor) + _terms(y, factor)
        case Expression("subtract", (x, y)):
            return _terms(x, factor) + _terms(y, -factor)
        case Expression("negative", (x,)):
            return _terms(x, -factor)
    coefficient, factors = _factors(expression)
    return [(factor * coefficient, factors)]


def _factors(expression):
    """The factors of a product: (coefficient, list of Expression)."""
    match expression:
        case Expression("number", _, value):
            return value, []
        case Expression("negative", (x,)):
            coefficient, factors = _factors(x)
            return -coefficient, factors
        case Expression("multiply", (x, y)):
            (a, first), (b, second) = _factors(x), _factors(y)
            return a * b, first + second
    return 1, [expression]


def _sum_of(terms):
    alike = {}
    for coefficient, factors in terms:
        key = tuple(sorted(map(id, factors)))
        alike[key] = alike.get(key, (0,))[0] + coefficient, factors
    terms = [term for term in alike.values() if term[0] != 0]
    sizes = {abs(coefficient) for coefficient, _ in terms}
    scale = sizes.pop() if len(sizes) == 1 else 1
    if all(coefficient < 0 for coefficient, _ in terms):
        scale = -scale
    common = []
    for one in terms[0][1] if len(terms) > 1 else ():
        if all(any(one is other for other in factors) for _, factors in terms):
            terms = [(coefficient, _without(factors, one)) for coefficient, factors in terms]
            common.append(one)
    # What is positive goes first, and numbers behind what is not one.
    terms.sort(key=lambda term: (term[0] / scale < 0, not term[1]))
    total = number(0)
    for coefficient, factors in terms:
        total = total + _product_of(factors) * (coefficient / scale)
    return _product_of(common) * total * scale if common else total * scale


def _without(factors, one):
    place = next(n for n, other in enumerate(factors) if other is one)
    return factors[:place] + factors[place + 1 :]


def _product_of(factors):
    """The product of expressions, equal ones side by side."""
    product = number(1)
    for one in dict.fromkeys(factors):
        for _ in range(sum(one is other for other in factors)):
            product = product * one
    return product
