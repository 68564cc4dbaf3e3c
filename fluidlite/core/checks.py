"""What is wrong with the definition of an operator; it is asked when the operator is declared."""

from functools import partial

from .attributes import ATTR_TYPES, attr_value, type_of
from .errors import DefinitionError, EnforceNotMet
from .spec import GRAD, words

_VARIABLE = 0x04  # of the flags of a function: it takes any number of arguments


def check(definition):
    """Raise DefinitionError if an OperatorDef, without its kernels for devices, cannot be what is meant."""
    inputs = {slot.name: slot for slot in definition.inputs}
    outputs = {slot.name: slot for slot in definition.outputs}
    if len(inputs) < len(definition.inputs) or len(outputs) < len(definition.outputs):
        raise DefinitionError("one of its slots is named twice")
    _check_slots(definition, inputs, outputs)
    _check_pairs(definition, inputs, outputs)
    _check_contradictions(definition, outputs)
    if definition.gradient_of is None:
        for name, attribute in definition.table.items():
            _check_attribute(name, attribute)
    check_kernel(definition, definition.kernel)


def check_group(name, group, kind):
    """Raise DefinitionError if what was given for the keyword `name` is no Group of the class `kind`."""
    if type(group) is not kind:
        raise DefinitionError(f"{name} must be a {kind.__name__}(...), got {group!r}")
    for trait in vars(group):
        if not hasattr(kind, trait):
            known = ", ".join(other for other in vars(kind) if other[0] != "_")
            raise DefinitionError(f"{kind.__name__} has no trait {trait!r}; it has {known}")


def _check_slots(definition, inputs, outputs):
    """The slots that traits name exist."""
    either = inputs.keys() | outputs.keys()
    rows = () if callable(definition.rows) or definition.rows is None else words(definition.rows)
    for trait, named, known in (
        ("shape_only", definition.shape_only, inputs.keys()),
        ("image", definition.image, either),
        ("strided", definition.strided, outputs.keys()),
        ("rows", rows, either),
        ("sums", definition.sums, outputs.keys()),
        ("stacks", definition.stacks, either),
        ("flat", definition.flat, inputs.keys()),
        ("packed", definition.packed, inputs.keys()),
    ):
        for slot in named:
            if slot not in known:
                raise _unknown(trait, slot, known)
    if definition.about.main is not None and definition.about.main not in outputs:
        raise _unknown("main", definition.about.main, outputs)
    if isinstance(definition.formula, dict):
        names = {"d" + slot.removesuffix(GRAD) if slot.endswith(GRAD) else slot for slot in outputs}
        for name in definition.formula:
            if name not in names:
                raise _unknown("formula", name, names)


def _unknown(trait, slot, known):
    return DefinitionError(f"{trait} names {slot!r}, which must be one of {', '.join(sorted(known)) or 'none at all'}")


def _check_pairs(definition, inputs, outputs):
    """Outputs that may lie in the memory of inputs."""
    for trait, pairs in (("inplace", definition.inplace), ("view", definition.view)):
        for target, source in pairs.items():
            if target not in outputs:
                raise _unknown(trait, target, outputs)
            if source not in inputs:
                raise _unknown(trait, source, inputs)
            if outputs[target].many and not inputs[source].many:
                raise DefinitionError(f"{trait} has the list {target!r} take over the one variable in {source!r}")
            if source in definition.shape_only:
                raise DefinitionError(f"{trait} needs the memory of {source!r}, of which only the shape is used")
    if len(definition.view) > 1:
        raise DefinitionError(f"view can be of one output, got {', '.join(definition.view)}")
    for target, source in definition.view.items():
        if outputs[target].many or inputs[source].many:
            raise DefinitionError(f"view can be of one variable, and one of {target!r} and {source!r} is a list")
    if isinstance(definition.lod, dict):
        for target, source in definition.lod.items():
            if target not in outputs:
                raise _unknown("lod", target, outputs)
            if source is not None and source not in inputs:
                raise _unknown("lod", source, [*inputs, "none"])


def _check_contradictions(definition, outputs):
    """Traits that exclude each other, and those that nothing reads without another."""
    for trait, is_given, other, is_other in (
        ("elementwise", definition.elementwise, "image", definition.image),
        ("elementwise", definition.elementwise, "strided", definition.strided),
        ("image", definition.image & definition.strided, "strided", True),
        ("flat", definition.flat & definition.packed, "packed", True),
        ("random", definition.random, "constant", definition.constant),
    ):
        if is_given and is_other:
            raise DefinitionError(f"{trait} and {other} contradict each other")
    for trait, is_given, other, is_other in (
        ("pointwise", definition.pointwise, "elementwise", definition.elementwise),
        ("broadcasts", definition.broadcasts, "a formula", definition.formula is not None),
        ("sums", definition.sums and definition.gradient_of is None, "rows", definition.rows is not None),
        ("packed", definition.packed, "flat", definition.flat),
        ("flat", definition.flat, "inplace for every output", definition.inplace.keys() == outputs.keys()),
    ):
        if is_given and not is_other:
            raise DefinitionError(f"{trait} means nothing without {other}")
    if definition.rows is not None and definition.gradient_of is None and not callable(definition.rows):
        both = definition.sums & words(definition.rows)
        if both:
            raise DefinitionError(f"{min(both)!r} cannot hold both rows and sums over them")


def _check_attribute(name, attribute):
    default, type, values = attribute.default, attribute.type, attribute.values
    if values is not None and default not in values:
        raise DefinitionError(f"the default of the attribute {name!r}, {default!r}, is none of its values {values}")
    if type is None:
        return
    if type not in ATTR_TYPES:
        raise DefinitionError(f"the attribute {name!r} has the type {type!r}, which must be one of {ATTR_TYPES}")
    if type == type_of(default):
        raise DefinitionError(f"the attribute {name!r} need not be given the type {type}, which its default shows")
    try:
        fits = attr_value(type, default) == default
    except EnforceNotMet:
        fits = False
    if not fits:
        raise DefinitionError(f"the attribute {name!r} cannot have the type {type} with the default {default!r}")


def check_kernel(definition, kernel):
    """Raise DefinitionError if a kernel cannot be called with a context and an array for each slot."""
    count = 1 + len(definition.inputs) + len(definition.outputs)
    if kernel is None or _takes(kernel, count):
        return
    names = ", ".join(["ctx", *(slot.name for slot in definition.inputs + definition.outputs)])
    raise DefinitionError(f"its kernel {kernel!r} must take {count} arguments: {names}")


def _takes(kernel, count):
    """Whether a function can be called with so many arguments in order."""
    bound = ()
    if isinstance(kernel, partial):
        count += len(kernel.args)
        bound, kernel = kernel.keywords, kernel.func
    code = getattr(kernel, "__code__", None)
    if code is None:
        return callable(kernel)
    named = code.co_varnames[: code.co_argcount]
    needed = sum(name not in bound for name in named[: len(named) - len(kernel.__defaults__ or ())])
    if code.co_flags & _VARIABLE:
        return count >= needed
    return needed <= count <= len(named) - sum(name in bound for name in named)
