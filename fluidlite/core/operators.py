"""What an operator is: its slots, its attributes, its shape inference, its kernel and its gradient.

An operator is declared once, in one place:

    @operator(
        "reverse", inputs="X", outputs="Out", attributes={"axis": []}, infer=infer_reverse, lod=Lod(of="none")
    )
    def reverse(ctx, x, out):
        ctx.xp.copyto(out, ctx.xp.flip(x, ctx.attrs["axis"]))

    @reverse.gradient()
    def reverse_grad(ctx, dout, dx):
        ctx.xp.copyto(dx, ctx.xp.flip(dout, ctx.attrs["axis"]))

One that works on each element by itself is declared by a formula, which is its kernel, too (`fluidlite.ops.pointwise`).

Its slots and its table of attributes (`attributes`) are those of Fluid's operator.  `infer` says which shapes and
data types its outputs have, `formula` what one element of them is.  Everything else that may be said of an operator are
traits, in a few groups that are described, with an example each, in `traits`.  What contradicts itself, or names a slot
that is not there, is an error as soon as it is declared (`checks`).

A kernel gets a `ctx` (see `fluidlite.engine.plan.context`), then one array for each input slot and one for each output
slot, in the declared order: a list of arrays for a slot marked `*`, None for a slot that the Program leaves empty.
It writes its outputs in place and allocates nothing large.  Output arrays are C-contiguous, unless the operator
declares (`Memory`) that it writes through any strides; input arrays may have any strides.

A kernel declared with `Kernel(bind=True)` is called once, when the plan is prepared.  It may ask `ctx.scratch` for
buffers and take views, and returns the function without arguments that a replay calls.

A gradient is an operator too (`leaky_relu_grad`), with Fluid's slots: the forward variables that it reads, the
gradients of the outputs, and, as its outputs, the gradients of the inputs (`X@GRAD`).

A plan may cut the batch into shards and run an operator on each of them at the same time.  It needs to know in which
slots the rows of the batch lie (`Batch.rows`): the others hold the same in every shard, or, as outputs, one addend from
each shard (`Batch.sums`).  An operator that must see the whole batch in its midst declares a decomposition.

A gradient of a table may be *selected rows*: no array, but numbers of rows and vectors.  An operator that makes or
takes such declares what it then runs as (`OperatorDef.rows_form`); others refuse them.
"""

import functools
import math

from .attributes import COMMON_TYPES, Attribute, type_of
from .checks import check, check_group, check_kernel
from .errors import DefinitionError, EnforceNotMet
from .selected_rows import RowsForm
from .spec import EMPTY, GRAD, Slot, Spec, parse_slots, words
from .traits import About, Algebra, Batch, Kernel, Lod, Memory, Update

_GROUPS = {
    "kernel": Kernel(),
    "memory": Memory(),
    "batch": Batch(),
    "update": Update(),
    "algebra": Algebra(),
    "lod": Lod(),
    "about": About(),
}
_KEYWORDS = ("attributes", "infer", "formula", *_GROUPS)


def same_rows(attrs, shapes):
    """The slots whose tensors have as many dimensions, and as large a first one, as the largest tensor has."""
    rank = max(len(shape) for slot in shapes.values() for shape in slot)
    if rank == 0:
        return None
    batch = max(shape[0] for slot in shapes.values() for shape in slot if len(shape) == rank)
    return {name for name, slot in shapes.items() if all(len(s) == rank and s[0] == batch for s in slot)}


def one_for_each(attrs, shapes):
    """An operation for each element of the largest output, which has the size of the largest tensor."""
    return max(math.prod(shape) for slot in shapes.values() for shape in slot)


def none(attrs, shapes):
    """No operation: numbers are only moved, or it is not worth counting them."""
    return 0


def like_first(attrs, first, *_):
    """Shape inference of most operators: the output is like the first input."""
    return first[0] if isinstance(first, list) else first


class OperatorDef:
    """Everything that fluidlite knows about one operator type: what `operator` was told, each trait by its name."""

    def __init__(self, type, inputs, outputs, function, table, infer, formula, groups, gradient_of=None):
        kernel, memory, batch, update, algebra, lod, about = groups.values()
        self.type = type
        self.inputs = inputs
        self.outputs = outputs
        self.kernel = function
        self.table = table
        if gradient_of is None:
            self._read(table)
        else:
            self.attrs, self.unused, self.defaults = gradient_of.attrs, gradient_of.unused, gradient_of.defaults
            self.supported, self.types = gradient_of.supported, gradient_of.types
        self.infer = infer
        self.formula = formula
        self.bind = kernel.bind or formula is not None
        self.random = kernel.random
        self.constant = kernel.constant
        self.shape_only = words(kernel.shape_only)
        self.unread = words(kernel.unread)
        self.shape_from = words(kernel.shape_from)
        self.chooses = words(kernel.chooses)
        self.region = kernel.region
        self.dynamic = kernel.dynamic
        self.effects = kernel.effects
        self.extends = kernel.extends
        self.for_arrays = kernel.for_arrays
        self.inplace = memory.inplace
        self.view = memory.view
        self.image = words(memory.image)
        self.strided = words(memory.strided)
        self.elementwise = memory.elementwise
        self.pointwise = memory.pointwise
        self.rows = same_rows if batch.rows is None and memory.elementwise else batch.rows
        self.sums = words(batch.sums)
        self.stacks = words(batch.stacks)
        self.flat = words(update.flat)
        self.packed = words(update.packed)
        self.monotone = algebra.monotone
        self.selects = algebra.selects
        self.broadcasts = algebra.broadcasts
        self.lod_of = lod.of
        self.lod_reads = words(lod.reads)
        self.lod_levels = lod.levels
        self.about = about
        self.flops = about.flops or (one_for_each if memory.elementwise else none)
        self.variants = {}
        self.make_gradient = None
        self.undone = None
        self.gradient_of = gradient_of
        # Slot of a gradient -> (slot of the operator that it is the gradient of, whether it holds that one's gradient).
        self.sources = {}
        self.decompose = None
        self.selected_rows = None  # RowsForm

    def _read(self, table):
        """Take in the table of attributes: name -> default, or Attribute."""
        self.attrs, self.unused, self.defaults = {}, {}, {}
        # Attribute name -> the values that are supported, the default first; its type in a saved Program.
        self.supported, self.types = {}, {}
        for name, entry in table.items():
            if type(entry) is not Attribute:
                self.attrs[name] = self.defaults[name] = entry
                self.types[name] = type_of(entry)
                continue
            if entry.values is not None:
                self.supported[name] = entry.values
            if entry.is_later:
                continue
            self.defaults[name] = entry.default
            self.types[name] = entry.type or type_of(entry.default)
            if entry.is_ignored:
                self.unused[name] = entry.default
            elif entry.values is None or len(entry.values) > 1:
                # What has one possible value, kernels need not ask for.
                self.attrs[name] = entry.default

    def gradient(
        self, reads="", *, shapes="", of=None, gives=None, slots=None, type=None, infer=None, formula=None, **groups
    ):
        """Declare the gradient operator.

        Its kernel gets the forward variables named in `reads`, those in `shapes` (of which only the shape may
        be used), the gradient of each differentiable output, and then the gradient of each differentiable input
        to write (None where it is not wanted).  A `?` marks what the gradient does without.  Where Fluid leaves some
        out, `of` names the outputs, and `gives` the inputs, of which there are gradients.

        It has the attributes of the forward operator, the shapes of what it is the gradient of, and rows and sums that
        follow from the forward operator's.  Groups of traits are those of `operator`.

        The gradient of a gradient is declared in the same way.  Fluid calls its slots DOut where they hold Out@GRAD,
        DDX for the gradient of X@GRAD, DX for that of X; `slots` says whose gradients have other names.
        """
        type = type or self.type + "_grad"
        _check_groups(type, groups)
        known = {slot.name: slot for slot in self.inputs + self.outputs}
        read, given, results = (_slots(type, text) for text in (f"{reads} {shapes}", gives or "", of or ""))
        for name in (*(slot.name for slot in read + given + results), *(slots or ())):
            if name not in known:
                raise _wrong(type, f"it names {name!r}, which must be one of {', '.join(known)}")
        given = self.inputs if gives is None else [known[slot.name] for slot in given]
        results = self.outputs if of is None else [known[slot.name] for slot in results]
        kept, douts, dins, sources = self._gradient_slots(read, results, given, slots or {})
        if not dins:
            raise _wrong(type, f"{self.type!r} has no input with a gradient")
        all_groups = _GROUPS | groups
        if all_groups["kernel"].shape_only:
            raise _wrong(type, "a gradient names in `shapes` the slots of which only the shape is used")
        if shapes:
            unread = [slot.name for slot in parse_slots(shapes)]
            named = [slot for slot, (source, is_slope) in sources.items() if source in unread and not is_slope]
            all_groups["kernel"] |= Kernel(shape_only=" ".join(named))
        if "batch" not in groups:
            rows = _rows_of_gradient(self.rows, sources)
            all_groups["batch"] = Batch(rows=rows, sums=" ".join(din.name for din in dins))

        def declare(function, formula=formula):
            grad = OperatorDef(
                type,
                tuple(kept + douts),
                tuple(dins),
                function,
                self.table,
                infer or _like_forward(kept + douts, dins, sources),
                formula,
                all_groups,
                gradient_of=self,
            )
            grad.sources = sources
            _register(grad, groups)
            self.gradient_program(_default_gradient(grad))
            return grad

        declare.formula = formula
        return declare

    def _gradient_slots(self, read, results, given, names):
        """The slots of a gradient.

        Args:
            read: Slots with the names of those that it reads.
            results, given: of which outputs it is told the gradient, and of which inputs it gives that.
            names: slot -> how its gradient is called, where that does not follow.
        Returns:
            (what is read, gradients of outputs, gradients of inputs, `OperatorDef.sources`)
        """
        name_of = _slot_of_first if self.gradient_of is None else _slot_of_second
        known = {slot.name: slot for slot in self.inputs + self.outputs}
        if self.gradient_of is not None:
            # What a gradient may leave out it has computed where its own gradient reads it.
            known |= {slot.name: slot._replace(optional=False) for slot in self.outputs}
        kept, douts, dins, sources = [], [], [], {}
        for slot in read:
            name, source = name_of(slot.name, False), known[slot.name]
            kept.append(source._replace(name=name, optional=slot.optional or source.optional))
            sources[name] = slot.name, False
        for found, slopes, optional in ((results, douts, self.gradient_of is not None), (given, dins, True)):
            for slot in found:
                if slot.differentiable:
                    name = names.get(slot.name) or name_of(slot.name, True)
                    slopes.append(Slot(name, slot.many, optional))
                    sources[name] = slot.name, True
        return kept, douts, dins, sources

    def gradient_program(self, make):
        """Declare the gradient as operators that exist already.

        `make(inputs, outputs, attrs)` gets the forward operator's slots (name -> variable names) and attributes
        and returns a list of (type, inputs, outputs, attrs).
        """
        # A Program read from a file may leave attributes out.
        self.make_gradient = lambda inputs, outputs, attrs: make(inputs, outputs, {**self.attrs, **attrs})
        return make

    def undone_by(self, make):
        """Declare the operators by which the gradient of a loop's block takes back what the operator has done in place.

        Paddle's gradients find a counter in this way as it was in their turn; plans need nothing of the kind.  `make`
        is that of `gradient_program`.
        """
        self.undone = make
        return make

    def gradient_by_forward(self):
        """Declare the gradient of a gradient as the forward operator, which is linear in its first input alone."""
        forward = self.gradient_of
        first, *others = [slot.name for slot in forward.inputs]
        result = forward.outputs[0].name

        def make(inputs, outputs, attrs):
            given = {first: [name + GRAD for name in outputs[first + GRAD]]}
            given |= {slot: inputs.get(slot, []) for slot in others}
            return [(forward.type, given, {result: [name + GRAD for name in inputs[result + GRAD]]}, attrs)]

        self.gradient_program(make)

    def variant(self, device):
        """Declare a kernel for one kind of device ("cuda"), which is used there in the place of the general one.

        The decorated function is like a kernel with `bind=True`.  It may return None, where the general kernel serves.
        """

        def declare(kernel):
            if device in self.variants:
                raise _wrong(self.type, f"it has a variant for {device!r} already")
            try:
                check_kernel(self, kernel)
            except DefinitionError as error:
                raise _wrong(self.type, f"{error} (for {device!r})") from None
            self.variants[device] = kernel
            return kernel

        return declare

    def decomposition(self, make):
        """Declare that the operator runs as several others, between which shards of the batch meet.

        `make(inputs, outputs, attrs)` returns them as a list of (type, inputs, outputs, attrs).  The operator itself
        has no kernel.
        """
        self.decompose = make
        return make

    def rows_form(self, reads="", makes="", zeros=""):
        """Declare what the operator runs as where it reads or makes selected rows (see `selected_rows`).

        `lower(inputs, outputs, attrs, held)` gets in `held` the SelectedRows or FirstRows behind each Value that has
        no array.  It returns (list of operators as in a decomposition, output Value -> what is behind it, if it has no
        array either).  For FirstRows it may return None: the operator needs the tensor itself.

        Args:
            reads, zeros: see `RowsForm`.
            makes: output slots, or a function as in `RowsForm`.
        """

        def declare(lower):
            found = makes if callable(makes) else lambda attrs, held: words(makes)
            self.selected_rows = RowsForm(words(reads), found, lower, words(zeros))
            return lower

        return declare

    @functools.cached_property
    def lod(self):
        """Output slot -> the input slot from which it takes its level of detail, or None; or a function (see `Lod`)."""
        return self.lod_of if callable(self.lod_of) else self._lod_sources(self.lod_of)

    def lod_sources(self, attrs, shapes):
        """From where each output takes its level of detail, for tensors of these shapes (slot -> list).

        Returns:
            dict: output slot -> an input slot, None, or a function (see `Lod.of`)
        """
        if not callable(self.lod):
            return self.lod
        found = self.lod(attrs, shapes)
        return {slot.name: found for slot in self.outputs} if callable(found) else self._lod_sources(found)

    def _lod_sources(self, of):
        read = {slot.name: slot.name for slot in self.inputs}
        if isinstance(of, str):
            found = {slot.name: of for slot in self.outputs}
        elif self.gradient_of is None:
            first = next(iter(read), None)
            found = {slot.name: self.inplace.get(slot.name, first) for slot in self.outputs}
        else:
            slope = next((slot for slot in read if self.sources[slot][1]), None)
            own = {source: slot for slot, (source, is_gradient) in self.sources.items() if not is_gradient}
            first = self.outputs[0].name
            found = {
                slot.name: read.get(own.get(self.sources[slot.name][0]), slope if slot.name == first else None)
                for slot in self.outputs
            }
        if isinstance(of, dict):
            found |= of
        return {slot: None if source == "none" else source for slot, source in found.items()}

    @property
    def is_left_out(self):
        """Whether plans leave the operator out: it has no kernel, for it says what a plan does by itself."""
        return self.kernel is None and self.decompose is None and self.region is None

    def all_attrs(self):
        """Every attribute of Paddle's operator with its default."""
        return dict(self.defaults)

    def unsupported(self, attrs):
        """The first attribute whose value is not supported: (its name, the values that are), or None."""
        for name, values in self.supported.items():
            if attrs.get(name, values[0]) not in values:
                return name, values
        return None

    def refusal(self, attrs):
        """Why the operator cannot be what its attributes ask for (str), or None."""
        found = self.unsupported(attrs)
        if found is None:
            return None
        name, values = found
        wanted = " or ".join(map(repr, values))
        return f"its attribute {name} must be {wanted}, got {attrs[name]!r}: no other is supported"

    def attr_type(self, name, value):
        """The type under which a saved program holds an attribute: the declared one, or else that of the value."""
        return self.types.get(name) or COMMON_TYPES.get(name) or type_of(value)

    def row_slots(self, attrs, shapes):
        """The slots that hold rows of the batch, for tensors of these shapes (slot -> list); None if rows mix."""
        if callable(self.rows):
            return self.rows(attrs, shapes)
        return None if self.rows is None else words(self.rows)

    def __repr__(self):
        return f"<operator {self.type}>"


def _check_groups(type, given):
    for name in given:
        if name not in _GROUPS:
            homes = [kind for kind, group in _GROUPS.items() if hasattr(group, name)]
            hint = f"; it is a trait of {homes[0]}=" if homes else ""
            raise _wrong(type, f"there is no keyword {name!r}{hint}; there are {', '.join(_KEYWORDS)}")
    try:
        for name, group in given.items():
            check_group(name, group, _GROUPS[name].__class__)
    except DefinitionError as error:
        raise _wrong(type, error) from None


def _slots(type, text):
    slots = parse_slots(text)
    if slots is None:
        raise _wrong(type, f"it names a slot twice: {text}")
    return slots


def _wrong(type, reason):
    return DefinitionError(f"the operator {type!r} is declared wrongly: {reason}")


def _slot_of_first(source, is_slope):
    """How a gradient calls a slot, or the gradient of it."""
    return source + GRAD if is_slope else source


def _slot_of_second(source, is_slope):
    """How the gradient of a gradient calls a slot of that, or the gradient of it."""
    base = source.removesuffix(GRAD)
    return "D" * ((base != source) + is_slope) + base


def _rows_of_gradient(rows, sources):
    """The `rows` of a gradient: where the forward operator has them, there they are, and their gradients too."""
    if rows is None:
        return None
    if not callable(rows):
        return " ".join(slot for slot, (source, _) in sources.items() if source in words(rows))

    def rows_of_gradient(attrs, shapes):
        slots = rows(attrs, {sources[slot][0]: found for slot, found in shapes.items()})
        return None if slots is None else {slot for slot, (source, _) in sources.items() if source in slots}

    return rows_of_gradient


def _like_forward(read, dins, sources):
    """The shape inference of a gradient: each result is like what it is the gradient of."""

    places = []  # once it is asked for

    def place_of(target):
        held = [sources[slot.name] for slot in read]
        base = target.removesuffix(GRAD)
        alike = [place for place, (source, _) in enumerate(held) if source.removesuffix(GRAD) == base]
        slopes = [place for place, (_, is_slope) in enumerate(held) if is_slope]
        return held.index((target, False)) if (target, False) in held else [*alike, *slopes][0]

    def infer(attrs, *specs):
        if not places:
            places.extend(place_of(sources[din.name][0]) for din in dins)
        found = [specs[place] for place in places]
        return found[0] if len(found) == 1 else tuple(found)

    return infer


def _default_gradient(grad):
    def names(slot, variables):
        source, is_gradient = grad.sources[slot.name]
        found = variables.get(source, ())
        if not is_gradient:
            return list(found)
        return [] if set(found) <= {EMPTY} else [EMPTY if name == EMPTY else name + GRAD for name in found]

    def make(inputs, outputs, attrs):
        variables = {**outputs, **inputs}
        ins = {slot.name: names(slot, variables) for slot in grad.inputs}
        outs = {slot.name: names(slot, inputs) for slot in grad.outputs}
        return [(grad.type, ins, outs, dict(attrs))]

    return make


def attr_type(type, name, value):
    """The type under which a saved program holds an attribute.

    Args:
        type (str): the operator type; it need not be one that fluidlite has.
        name (str): the attribute.
        value: its value, which decides where the operator's definition does not know the attribute.
    Returns:
        str: INT, LONG, FLOAT, STRING, BOOLEAN or BLOCK, or one of them with an S behind it, for a list
    """
    if known(type):
        return find(type).attr_type(name, value)
    return COMMON_TYPES.get(name) or type_of(value)


_registry = {}
_described = {}  # type that fluidlite lacks -> About
_load = None  # declares all operators, if that is not done yet


def load_with(load):
    """Set what declares all operators (a function): to import them takes longer than all else, and can wait.

    It is called when somebody first asks for an operator, and until `all_are_declared`.
    """
    global _load
    _load = load


def all_are_declared():
    global _load
    _load = None


def _declared():
    """Type -> OperatorDef, of all operators; who asks while another thread declares them waits for its imports."""
    if _load is not None:
        _load()
    return _registry


def _register(definition, given):
    if definition.type in _declared():
        raise _wrong(definition.type, "there is one already")
    if definition.type in _described:
        raise _wrong(definition.type, "it was described as one that fluidlite lacks")
    try:
        check(definition, given)
    except DefinitionError as error:
        raise _wrong(definition.type, error) from None
    _registry[definition.type] = definition


def operator(type, inputs="", outputs="", *, attributes=None, infer=like_first, formula=None, **groups):
    """Declare an operator; the decorated function is its kernel.

    Args:
        type: Fluid's name of the operator type.
        inputs, outputs: slot names, with marks as in `parse_slots`.
        attributes: attribute name -> default, or a marker of `attributes`: `ignored`, `only`, `typed`, `later`.
        infer: `infer(attrs, *input specs) -> output spec, or a tuple of them` (None for an absent input; a list for
            a `*` slot; None in the place of a spec leaves the variable as it is).  It is called with -1 dimensions
            while the Program is built, and with all dimensions known when a plan is prepared.  It raises
            `EnforceNotMet` for inputs that do not fit.
        formula: what one element of the outputs is: a function of symbols that are named after slots and attributes
            (see `fluidlite.ops.pointwise`).
        kernel (Kernel): how the kernel is called.
        memory (Memory): where its arrays may lie.
        batch (Batch): what becomes of it when a plan cuts the batch.
        update (Update): how many of it may run as one.
        algebra (Algebra): what plans may conclude from its mathematics.
        lod (Lod): from where its outputs take their level of detail.
        about (About): what tools tell readers of it.
    Raises:
        DefinitionError: it contradicts itself, or names what is not there; the message names the operator.
    """
    _check_groups(type, groups)

    def declare(function, formula=formula):
        slots = [_slots(type, text) for text in (inputs, outputs)]
        definition = OperatorDef(type, *slots, function, attributes or {}, infer, formula, _GROUPS | groups)
        _register(definition, groups)
        return definition

    declare.formula = formula
    return declare


def describe(*types, about):
    """Say what tools tell readers of operators that fluidlite lacks, and that are met in files.

    Args:
        types: of the operators.
        about (About): what holds for each of them.
    """
    _described.update(dict.fromkeys(types, about))


def about(type):
    """What tools tell readers of an operator, which need not be one that fluidlite has (About)."""
    definition = _declared().get(type)
    return _described.get(type, _GROUPS["about"]) if definition is None else definition.about


def main_output(type):
    """The slot of an operator's main output; None for an operator without one, or that fluidlite lacks."""
    definition = _declared().get(type)
    if definition is None or not definition.outputs:
        return None
    first = next((slot for slot in definition.outputs if slot.differentiable), definition.outputs[0])
    return definition.about.main or first.name


def is_left_out(type):
    """Whether plans leave operators of a type out (see `OperatorDef.is_left_out`)."""
    return known(type) and find(type).is_left_out


def find(type):
    """The OperatorDef of `type`; raises EnforceNotMet when there is none."""
    try:
        return _registry[type] if type in _registry else _declared()[type]
    except KeyError:
        raise EnforceNotMet(f"fluidlite has no operator {type!r}") from None


def variant(device, *types):
    """Declare a kernel of several operators for one kind of device (see `OperatorDef.variant`)."""

    def declare(kernel):
        for type in types:
            find(type).variant(device)(kernel)
        return kernel

    return declare


def known(type):
    """Whether there is an operator `type`."""
    return type in _registry or type in _declared()


def types():
    """The types of all operators (list of str)."""
    return list(_declared())


def refuse(definition, attrs, inputs):
    """Raise EnforceNotMet where attributes are not supported, or a slot of `inputs` (slot name -> list) is empty."""
    reason = definition.refusal(attrs)
    if reason is not None:
        raise EnforceNotMet(reason)
    for slot in definition.inputs:
        if not slot.optional and not inputs.get(slot.name):
            raise EnforceNotMet(f"input {slot.name} is missing")


def inferred(definition, attrs, arguments):
    """What a definition infers for each of its output slots: a Spec, a list of them, or None."""
    found = definition.infer(attrs, *arguments)
    return found if found.__class__ is tuple else (found,)


def spec_at(found, position):
    """The Spec of one variable of a slot for which `found` was inferred; None where nothing is known of it."""
    if isinstance(found, list):
        found = found[position] if position < len(found) else None
    elif position:
        return None
    return found if found is None or found.value is None else found._replace(value=None)


def as_read(definition, slot, spec, nothing=None):
    """What `infer` gets for a variable in an input slot: no more of a Spec than the definition says that it reads.

    Args:
        nothing: in the place of a level of detail that there is none of.
    """
    value = spec.value if slot in definition.shape_from else None
    lod = (spec.lod or nothing) if slot in definition.lod_reads else None
    return spec if value is spec.value and lod is spec.lod else Spec(spec.shape, spec.dtype, value, lod)


def infer_specs(definition, attrs, inputs):
    """Output specs of one operator: slot name -> list of Spec.

    `inputs` maps slot names to lists of Spec.  Raises EnforceNotMet, without naming the variables: the caller
    knows them.
    """
    refuse(definition, attrs, inputs)
    arguments = []
    for slot in definition.inputs:
        specs = [as_read(definition, slot.name, spec) for spec in inputs.get(slot.name) or ()]
        arguments.append(list(specs) if slot.many else specs[0] if specs else None)
    return {
        slot.name: [spec_at(found, position) for position in range(len(found) if isinstance(found, list) else 1)]
        for slot, found in zip(definition.outputs, inferred(definition, attrs, arguments), strict=True)
        if found is not None or not slot.many
    }
