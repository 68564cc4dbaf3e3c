"""What an operator is: its slots, its attributes, its shape inference, its kernel and its gradient.

An operator is declared once, in one place:

    @operator("tanh", inputs="X", outputs="Out", inplace={"Out": "X"}, elementwise=True)
    def tanh(ctx, x, out):
        ctx.xp.tanh(x, out=out)

    @tanh.gradient("Out")
    def tanh_grad(ctx, out, dout, dx):
        ...

A kernel gets a `ctx` (see `fluidlite.engine.plan.context`), then one array for each input slot and one for each output
slot, in the declared order: a list of arrays for a slot marked `*`, None for a slot that the Program leaves empty.
It writes its outputs in place and allocates nothing large.  Output arrays are C-contiguous, unless the operator
declares (`image`, `elementwise`, `strided`) that it writes through any strides; input arrays may have any strides.

A kernel declared with `bind=True` is called once, when the plan is prepared.  It may ask `ctx.scratch` for
buffers and take views, and returns the function without arguments that a replay calls.

A gradient is an operator too (`tanh_grad`), with Fluid's slots: the forward variables that it reads, the gradients
of the outputs, and, as its outputs, the gradients of the inputs (`X@GRAD`).

A plan may cut the batch into shards and run an operator on each of them at the same time.  It needs to know in which
slots the rows of the batch lie (`rows`): the others hold the same in every shard, or, as outputs, one addend from
each shard (`sums`).  An operator that must see the whole batch in its midst declares the stages it consists of.
"""

import math

from .attributes import COMMON_TYPES, type_of
from .errors import EnforceNotMet
from .spec import GRAD, Slot, Spec, parse_slots, words

# Attributes by which Paddle chooses a library (see the trait `unused` of `operator`).
MKLDNN = {"use_mkldnn": False}
LIBRARIES = {"use_cudnn": False, "use_mkldnn": False}


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
    """Everything that fluidlite knows about one operator type."""

    def __init__(
        self,
        type,
        inputs,
        outputs,
        kernel,
        attrs=None,
        types=None,
        unused=None,
        fixed=None,
        choices=None,
        infer=like_first,
        bind=False,
        inplace=None,
        view=None,
        image="",
        elementwise=False,
        strided="",
        shape_only="",
        random=False,
        side_effect=False,
        constant=False,
        rows=None,
        sums="",
        stacks="",
        monotone=None,
        selects=None,
        flat="",
        packed="",
        pointwise=False,
        formula=None,
        broadcasts=None,
        flops=None,
        region=None,
    ):
        self.type = type
        self.inputs = inputs
        self.outputs = outputs
        self.kernel = kernel
        self.attrs = dict(attrs or {})
        self.unused = dict(unused or {})
        self.fixed = dict(fixed or {})
        self.choices = dict(choices or {})
        # Attribute name -> the values that are supported, the default first.
        self.supported = {name: (value,) for name, value in self.fixed.items()} | self.choices
        self.types = {name: type_of(value) for name, value in self.all_attrs().items()} | dict(types or {})
        self.infer = infer
        self.bind = bind
        self.inplace = dict(inplace or {})
        self.view = dict(view or {})
        self.image = words(image)
        self.elementwise = elementwise
        self.strided = words(strided)
        self.shape_only = words(shape_only)
        self.random = random
        self.side_effect = side_effect
        self.constant = constant
        self.rows = same_rows if rows is None and elementwise else rows
        self.sums = words(sums)
        self.stacks = words(stacks)
        self.monotone = monotone
        self.selects = selects
        self.flat = words(flat)
        self.packed = words(packed)
        self.pointwise = pointwise
        self.formula = formula
        self.broadcasts = broadcasts
        self.flops = flops or (one_for_each if elementwise else none)
        self.region = region
        self.forms = {}
        self.make_gradient = None
        self.gradient_of = None
        self.make_stages = None

    def gradient(self, reads="", *, shapes="", type=None, infer=None, **traits):
        """Declare the gradient operator.

        Its kernel gets the forward variables named in `reads`, those in `shapes` (of which only the shape may
        be used), the gradient of each differentiable output, and then the gradient of each differentiable input
        to write (None where it is not wanted).  A `?` marks what the gradient does without.
        """
        known = {slot.name: slot for slot in self.inputs + self.outputs}
        kept = [
            known[slot.name]._replace(optional=slot.optional or known[slot.name].optional)
            for slot in parse_slots(reads) + parse_slots(shapes)
        ]
        douts = [Slot(s.name + GRAD, s.many) for s in self.outputs if s.differentiable]
        dins = [Slot(s.name + GRAD, s.many, True) for s in self.inputs if s.differentiable]

        def declare(kernel):
            grad = OperatorDef(
                type or self.type + "_grad",
                tuple(kept + douts),
                tuple(dins),
                kernel,
                attrs=self.attrs,
                types=self.types,
                unused=self.unused,
                fixed=self.fixed,
                choices=self.choices,
                infer=infer or _like_forward(kept, dins),
                shape_only=shapes,
                **{"rows": _rows_of_gradient(self.rows), "sums": " ".join(din.name for din in dins), **traits},
            )
            grad.gradient_of = self
            _register(grad)
            self.gradient_program(_default_gradient(grad))
            return grad

        return declare

    def gradient_program(self, make):
        """Declare the gradient as operators that exist already.

        `make(inputs, outputs, attrs)` gets the forward operator's slots (name -> variable names) and attributes
        and returns a list of (type, inputs, outputs, attrs).
        """
        # A Program read from a file may leave attributes out.
        self.make_gradient = lambda inputs, outputs, attrs: make(inputs, outputs, {**self.attrs, **attrs})
        return make

    def form(self, device):
        """Declare a kernel for one kind of device ("cuda"), which is used there in the place of the general one.

        The decorated function is like a kernel with `bind=True`.  It may return None, where the general kernel serves.
        """

        def declare(kernel):
            self.forms[device] = kernel
            return kernel

        return declare

    def stages(self, make):
        """Declare that the operator runs as several others, between which shards of the batch meet.

        `make(inputs, outputs, attrs)` returns them as a list of (type, inputs, outputs, attrs).  The operator itself
        has no kernel.
        """
        self.make_stages = make
        return make

    @property
    def is_left_out(self):
        """Whether plans leave the operator out: it has no kernel, for it says what a plan does by itself."""
        return self.kernel is None and self.make_stages is None and self.region is None

    def all_attrs(self):
        """Every attribute of Paddle's operator with its default."""
        return {**self.unused, **self.fixed, **self.attrs}

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


def _rows_of_gradient(rows):
    """The `rows` of a gradient: where the forward operator has them, there they are, and their gradients too."""
    if rows is None:
        return None
    if not callable(rows):
        return rows + " " + " ".join(slot + GRAD for slot in words(rows))

    def rows_of_gradient(attrs, shapes):
        forward = {slot.removesuffix(GRAD): found for slot, found in shapes.items()}
        slots = rows(attrs, forward)
        return None if slots is None else slots | {slot + GRAD for slot in slots}

    return rows_of_gradient


def _like_forward(kept, dins):
    kept_names = [slot.name for slot in kept]
    sources = [
        kept_names.index(din.name[: -len(GRAD)]) if din.name[: -len(GRAD)] in kept_names else len(kept) for din in dins
    ]

    def infer(attrs, *specs):
        found = [specs[source] for source in sources]
        return found[0] if len(found) == 1 else tuple(found)

    return infer


def _default_gradient(grad):
    def names(slot, variables):
        if slot.endswith(GRAD):
            return [name + GRAD for name in variables.get(slot[: -len(GRAD)], ())]
        return list(variables.get(slot, ()))

    def make(inputs, outputs, attrs):
        variables = {**outputs, **inputs}
        ins = {slot.name: names(slot.name, variables) for slot in grad.inputs}
        outs = {slot.name: names(slot.name, inputs) for slot in grad.outputs}
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
    if type in _registry:
        return _registry[type].attr_type(name, value)
    return COMMON_TYPES.get(name) or type_of(value)


_registry = {}


def _register(definition):
    _registry[definition.type] = definition


def operator(type, inputs="", outputs="", **traits):
    """Declare an operator; the decorated function is its kernel.

    Args:
        type: Fluid's name of the operator type.
        inputs, outputs: slot names, with marks as in `parse_slots`.
        attrs: attribute name -> default.
        types: attribute name -> type in a saved program (see `attr_type`), where the default does not show it.
        unused: attributes of Paddle's operator, with their defaults, that choose how it computes, and not what.
        fixed: attributes of Paddle's operator of which only the default is supported here.
        choices: attribute name -> the values of it that are supported, the default first.  An attribute of later
            versions of Paddle that is not among `attrs` is refused if it has another value.
        infer: `infer(attrs, *input specs) -> output spec, or a tuple of them` (None for an absent input; a list for
            a `*` slot; None in the place of a spec, or of a list, leaves the variables as they are).  It is called
            with -1 dimensions while the Program is built, and with all dimensions known when a plan is prepared.  It
            raises `EnforceNotMet` for inputs that do not fit.
        bind: the kernel is called once per plan and returns the function to replay.
        inplace: output slot -> input slot whose buffer the output may take over.
        view: output slot -> input slot of which the output is the same memory in another shape.  The kernel is
            called only where that is impossible (a strided input).
        image: slots that hold (N, C, H, W) data and are fastest when stored batch-last; written through any strides.
        elementwise: every slot may have any strides, and is best stored like the others.
        strided: output slots that may have any strides, without a preference.
        shape_only: input slots of which only the shape is used.
        random: the operator draws random numbers.
        side_effect: the operator must run even if nothing reads its outputs.
        constant: while a plan is prepared, the kernel may be called to find out small outputs, if the inputs are known.
        rows: slots with the batch as first dimension, if each row of the outputs follows from that row of the inputs;
            or `rows(attrs, shapes) -> such slots`, or None, given slot name -> list of shapes.  Elementwise operators
            have `same_rows`.  A gradient has rows where its forward operator has, and in the gradients of those.
        sums: outputs that are sums over the batch, so that each shard can give an addend (in a gradient: the
            gradients of inputs that have no rows).  A kernel that needs the size of the whole batch asks the context.
        stacks: slots that hold one value for each shard, one after the other along a new first dimension.
        monotone: each element of Out rises with that of X, so the operator commutes with choosing the largest: True, or
            `monotone(attrs, specs)` (slot -> Spec) that says whether that is so for all elements of an image alike.
        selects: `selects(attrs)`: whether Out holds some elements of each image X, the largest ones.
        flat: slots that are worked on element by element, so that many such operators with equal attributes may run
            as one over their concatenated tensors.  Of `packed` slots each has a number of its own (`Context.spread`);
            what else they read must be the same for all.
        pointwise: the kernel may be bound to the same slice of all its arrays, if they have one shape or one element.
        formula: output -> what one element of it is, as an expression of C in the elements of the inputs.  These are
            named after their slots: X, dOut for Out@GRAD, X0 and X1 for the first two of `X*`.  Statements may stand
            before the expression.  `{alpha}` is an attribute; T is the type of the floating-point inputs, and numbers
            with a point are of that type; functions are those of C and of `fluidlite.ops.cuda.pointwise`.  Such a
            formula holds for floating-point numbers alone.  Or `formula(attrs, specs) -> formula`, or None, given the
            Specs of all slots that are not empty (name as in formulas -> list), which says what holds for them.
        broadcasts: `broadcasts(attrs, shapes)` (name as in formulas -> shape): under the same names, the shapes in
            which tensors broadcast by NumPy's rules, where they are not those that the tensors have.
        flops: `flops(attrs, shapes)`: the floating point operations it takes, given slot name -> list of shapes.  A
            multiply-add is two of them, a function of one element is one.  Without it, operators take one for each
            element if they are elementwise, and none otherwise.
        region: a `Region` or `RegionGradient` (`fluidlite.core.regions`): the operator runs a block and has no kernel.
    """

    def declare(kernel):
        definition = OperatorDef(type, parse_slots(inputs), parse_slots(outputs), kernel, **traits)
        _register(definition)
        return definition

    return declare


def find(type):
    """The OperatorDef of `type`; raises EnforceNotMet when there is none."""
    try:
        return _registry[type]
    except KeyError:
        raise EnforceNotMet(f"fluidlite has no operator {type!r}") from None


def form(device, *types):
    """Declare a kernel of several operators for one kind of device (see `OperatorDef.form`)."""

    def declare(kernel):
        for type in types:
            find(type).form(device)(kernel)
        return kernel

    return declare


def known(type):
    """Whether there is an operator `type`."""
    return type in _registry


def types():
    """The types of all operators (list of str)."""
    return list(_registry)


def infer_specs(definition, attrs, inputs):
    """Output specs of one operator: slot name -> list of Spec.

    `inputs` maps slot names to lists of Spec.  Raises EnforceNotMet, without naming the variables: the caller
    knows them.
    """
    reason = definition.refusal(attrs)
    if reason is not None:
        raise EnforceNotMet(reason)
    arguments = []
    for slot in definition.inputs:
        specs = inputs.get(slot.name) or []
        if not specs and not slot.optional:
            raise EnforceNotMet(f"input {slot.name} is missing")
        arguments.append(list(specs) if slot.many else specs[0] if specs else None)
    found = definition.infer(attrs, *arguments)
    if not isinstance(found, tuple) or isinstance(found, Spec):
        found = (found,)
    return {
        slot.name: [_without_value(one) for one in spec] if isinstance(spec, list) else [_without_value(spec)]
        for slot, spec in zip(definition.outputs, found, strict=True)
        if spec is not None or not slot.many
    }


def _without_value(spec):
    return spec if spec is None or spec.value is None else Spec(spec.shape, spec.dtype)
