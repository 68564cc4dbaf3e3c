"""What is wrong with the definition of an operator; it is asked when the operator is declared."""

from functools import partial

from .attributes import ATTR_TYPES, Attribute, attr_value, type_of
from .errors import DefinitionError, EnforceNotMet
from .formula import parameters
from .spec import formula_name, words

_VARIABLE = 0x04  # of the flags of a function: it takes any number of arguments


def check(definition, given):
    """Raise DefinitionError if an OperatorDef cannot be what is meant.

    Args:
        definition (OperatorDef): with everything but its kernels for devices.
        given (iterable of str): the names of the groups of traits that were given for it.
    """
    if definition.formula is not None:
        _check_formula(definition)
    for name in given:
        _LOOKS[name](definition)
    if definition.gradient_of is None:
        for name, entry in definition.table.items():
            if type(entry) is Attribute and (entry.type is not None or entry.values is not None):
                _check_attribute(name, entry)
    check_kernel(definition, definition.kernel)


def check_group(name, group, kind):
    """Raise DefinitionError if what was given for the keyword `name` is no Group of the class `kind`."""
    if type(group) is not kind:
        raise DefinitionError(f"{name} must be a {kind.__name__}(...), got {group!r}")
    for trait in vars(group):
        if not hasattr(kind, trait):
            known = ", ".join(other for other in vars(kind) if other[0] != "_")
            raise DefinitionError(f"{kind.__name__} has no trait {trait!r}; it has {known}")


# What a formula may ask for beside slots and attributes.
_OF_ALL = {"attrs", "specs", "in_batch"}


def _check_formula(definition):
    """What a formula asks for exists, and the formula is the kernel."""
    if not hasattr(definition.formula, "function"):
        raise DefinitionError("its formula is its kernel, too: declare it with `fluidlite.ops.pointwise.by_formula`")
    function = definition.formula.function
    if function is None:
        return
    if not hasattr(function, "__code__"):
        raise DefinitionError(f"its formula must be a function of symbols, got {function!r}")
    known = {formula_name(slot.name) for slot in definition.inputs} | definition.attrs.keys()
    for name in parameters(function):
        # X0 is the first of the list X.
        if name not in known and name not in _OF_ALL and name.rstrip("0123456789") not in known:
            wanted = ", ".join(sorted(known | _OF_ALL))
            raise DefinitionError(f"its formula asks for {name!r}, which must be one of {wanted}")


def _names(*slots):
    return {slot.name: slot for some in slots for slot in some}


def _check_slots(trait, named, known):
    for slot in named:
        if slot not in known:
            wanted = ", ".join(sorted(known)) or "none at all"
            raise DefinitionError(f"{trait} names {slot!r}, which must be one of {wanted}")


def _check_kernel(definition):
    if definition.shape_only:
        _check_slots("shape_only", definition.shape_only, _names(definition.inputs))
    _check_slots("unread", definition.unread, [slot.name for slot in definition.inputs if slot.optional])
    _check_slots("shape_from", definition.shape_from, _names(definition.inputs))
    if definition.shape_from & definition.shape_only:
        raise _contradiction("shape_from", "shape_only")
    _check_slots("chooses", definition.chooses, [slot.name for slot in definition.inputs if slot.many])
    if definition.random and definition.constant:
        raise _contradiction("random", "constant")
    if definition.dynamic and definition.bind:
        raise _contradiction("dynamic", "bind")
    if definition.effects and definition.constant:
        raise _contradiction("effects", "constant")
    if definition.extends:
        _check_slots("extends", [definition.extends], _names(definition.outputs))
        if not definition.dynamic:
            raise _useless("extends", "dynamic")


def _check_memory(definition):
    if definition.image or definition.strided:
        _check_slots("image", definition.image, _names(definition.inputs, definition.outputs))
        _check_slots("strided", definition.strided, _names(definition.outputs))
        if definition.elementwise:
            raise _contradiction("elementwise", "image" if definition.image else "strided")
        if definition.image & definition.strided:
            raise _contradiction("image", "strided")
    if definition.pointwise and not definition.elementwise:
        raise _useless("pointwise", "elementwise")
    for trait, pairs in (("inplace", definition.inplace), ("view", definition.view)):
        if pairs:
            _check_pairs(definition, trait, pairs)
    if len(definition.view) > 1:
        raise DefinitionError(f"view can be of one output, got {', '.join(definition.view)}")


def _check_pairs(definition, trait, pairs):
    """Outputs that may lie in the memory of inputs."""
    inputs, outputs = _names(definition.inputs), _names(definition.outputs)
    _check_slots(trait, pairs, outputs)
    _check_slots(trait, pairs.values(), inputs)
    for target, source in pairs.items():
        if trait == "view" and (outputs[target].many or inputs[source].many):
            raise DefinitionError(f"view can be of one variable, and one of {target!r} and {source!r} is a list")
        if outputs[target].many and not inputs[source].many:
            raise DefinitionError(f"{trait} has the list {target!r} take over the one variable in {source!r}")
        if source in definition.shape_only:
            raise DefinitionError(f"{trait} needs the memory of {source!r}, of which only the shape is used")


def _check_batch(definition):
    either, outputs = _names(definition.inputs, definition.outputs), _names(definition.outputs)
    rows = () if callable(definition.rows) or definition.rows is None else words(definition.rows)
    _check_slots("rows", rows, either)
    _check_slots("sums", definition.sums, outputs)
    _check_slots("stacks", definition.stacks, either)
    if definition.sums and definition.rows is None:
        raise _useless("sums", "rows")
    if definition.sums.intersection(rows):
        raise DefinitionError(f"{min(definition.sums.intersection(rows))!r} cannot hold both rows and sums over them")


def _check_update(definition):
    inputs = _names(definition.inputs)
    _check_slots("flat", definition.flat, inputs)
    _check_slots("packed", definition.packed, inputs)
    if definition.packed and not definition.flat:
        raise _useless("packed", "flat")
    if definition.flat & definition.packed:
        raise _contradiction("flat", "packed")
    if definition.flat and len(definition.inplace) < len(definition.outputs):
        raise _useless("flat", "inplace for every output")


def _check_algebra(definition):
    if definition.broadcasts is not None and definition.formula is None:
        raise _useless("broadcasts", "a formula")


def _check_lod(definition):
    _check_slots("reads", definition.lod_reads, _names(definition.inputs))
    if not callable(definition.lod):
        _check_slots("lod", definition.lod, _names(definition.outputs))
        sources = [source for source in definition.lod.values() if source is not None]
        _check_slots("lod", sources, [*_names(definition.inputs), "none"])


def _check_about(definition):
    if definition.about.main is not None:
        _check_slots("main", [definition.about.main], _names(definition.outputs))


_LOOKS = {
    "kernel": _check_kernel,
    "memory": _check_memory,
    "batch": _check_batch,
    "update": _check_update,
    "algebra": _check_algebra,
    "lod": _check_lod,
    "about": _check_about,
}


def _contradiction(trait, other):
    return DefinitionError(f"{trait} and {other} contradict each other")


def _useless(trait, other):
    return DefinitionError(f"{trait} means nothing without {other}")


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
    extended = tuple(slot for slot in definition.outputs if slot.name == definition.extends)
    slots = definition.inputs + (extended if definition.dynamic else definition.outputs)
    count = 1 + len(slots)
    code = getattr(kernel, "__code__", None)
    if kernel is None or (code is not None and code.co_argcount == count) or _takes(kernel, count):
        return
    names = ", ".join(["ctx", *(slot.name for slot in slots)])
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
