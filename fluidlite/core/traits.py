"""The groups of traits by which an operator's definition says more than its slots, its shapes and its formula.

An operator leaves out the groups that it does not need, and of a group the traits that it does not need:

    @operator("tanh", "X", "Out", memory=POINTWISE | Memory(inplace={"Out": "X"}), algebra=Algebra(monotone=True))
    def tanh(ctx, x, out):
        ctx.xp.tanh(x, out=out)

`|` joins two groups of a kind; what the right one says holds.  Slots are named in a string: "X Out".
"""


class Group:
    """Traits that belong together; those that are not given have the values that the class shows."""

    def __init__(self, **traits):
        # A trait that does not exist is told when the operator is declared, by its name.
        self.__dict__.update(traits)

    def __setattr__(self, name, value):
        raise AttributeError(f"{self} cannot be changed: join it with {type(self).__name__}({name}=...) by |")

    def __or__(self, other):
        if type(other) is not type(self):
            return NotImplemented
        return type(self)(**{**vars(self), **vars(other)})

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"


class Kernel(Group):
    """How the kernel is called.

        @operator("mean", "X", "Out", infer=infer_number, kernel=Kernel(bind=True))
        def mean(ctx, x, out):
            total = ctx.scratch((1,), x.dtype)
            ...
            return step

    bind: the kernel is called once per plan and returns the function to replay; so is every formula.
    random: the operator draws random numbers.
    constant: while a plan is prepared, the kernel may be called to find out small outputs, if the inputs are known.
    shape_only: input slots of which only the shape is used.
    unread: optional input slots that plans leave empty: they hold what Paddle keeps for itself from run to run.
    shape_from: input slots whose values decide the shapes of the outputs: `infer` finds them in `Spec.value`, if they
        are known, and leaves sizes at -1 otherwise.
    dynamic: the shapes of the outputs depend on values, so the kernel returns the outputs (an array, or a tuple of one
        for each slot) and does not get them.
    effects: the kernel does something that is seen outside of the plan, such as to call a function of the user: it
        runs although nobody wants what it makes, in the order of the Program.  What it raises, other than
        EnforceNotMet, reaches the user as it is.
    chooses: input slots that hold a list of which the kernel reads one, so that the others need not be there.
    extends: the output slot of a tensor array (`fluidlite.core.tensor_array`) to which a dynamic kernel adds something:
        it gets the box of the array before behind its inputs.
    for_arrays: the type of the operator with the same slots that stands in where variables are tensor arrays.
    region: a `Region` or `RegionGradient` (`fluidlite.core.regions`): the operator runs a block and has no kernel.
    """

    bind = False
    random = False
    constant = False
    shape_only = ""
    unread = ""
    shape_from = ""
    dynamic = False
    effects = False
    chooses = ""
    extends = ""
    for_arrays = None
    region = None


class Memory(Group):
    """Where the arrays of the operator may lie.

        @operator("reshape", "X, Shape?!", "Out", infer=infer_reshape, memory=Memory(view={"Out": "X"}))

    inplace: output slot -> input slot whose buffer the output may take over.
    view: output slot -> input slot of which the output is the same memory in another shape.  The kernel is called
        only where that is impossible (a strided input).
    image: slots that hold (N, C, H, W) data and are fastest when stored batch-last; written through any strides.
    strided: output slots that may have any strides, without a preference.
    elementwise: every slot may have any strides, and is best stored like the others.
    pointwise: the kernel may be bound to the same slice of all its arrays, if they have one shape or one element.
    """

    inplace = {}
    view = {}
    image = ""
    strided = ""
    elementwise = False
    pointwise = False


class Batch(Group):
    """What becomes of an operator when a plan cuts the batch into shards.

        @operator("accuracy", "Out!, Indices!, Label!", "Accuracy, Correct, Total", infer=infer_accuracy,
                  batch=Batch(rows="Out Indices Label", sums="Accuracy Correct Total"))

    rows: slots with the batch as first dimension, if each row of the outputs follows from that row of the inputs; or
        `rows(attrs, shapes) -> such slots`, or None, given slot name -> list of shapes.  Elementwise operators have
        `same_rows`.  A gradient has rows where its forward operator has, and in the gradients of those.
    sums: outputs that are sums over the batch, so that each shard can give an addend (in a gradient: the gradients of
        inputs that have no rows).  A kernel that needs the size of the whole batch asks the context.
    stacks: slots that hold one value for each shard, one after the other along a new first dimension.
    """

    rows = None
    sums = ""
    stacks = ""


class Update(Group):
    """How the updates of many parameters may run as one, over their concatenated tensors.

        @operator("sgd", "Param, Grad, LearningRate", "ParamOut!", infer=infer_update,
                  memory=Memory(inplace={"ParamOut": "Param"}), update=Update(flat="Param Grad"))

    flat: slots that are worked on element by element.  Many such operators run as one if their attributes are equal.
    packed: slots of which each operator has a number of its own (`Context.broadcast`).

    What else they read must be the same for all.  Every output takes over the memory of an input (`Memory.inplace`).
    """

    flat = ""
    packed = ""


class Algebra(Group):
    """What plans may conclude from the mathematics of the operator.

        by_formula(operator("exp", "X", "Out", formula=exp, algebra=Algebra(monotone=True)))

    monotone: each element of Out rises with that of X, so the operator commutes with choosing the largest: True, or
        `monotone(attrs, specs)` (slot -> Spec) that says whether that is so for all elements of an image alike.
    selects: `selects(attrs)`: whether Out holds some elements of each image X, the largest ones.
    broadcasts: `broadcasts(attrs, shapes)` (name as in formulas -> shape): under the same names, the shapes in which
        the tensors of the formula broadcast by NumPy's rules, where they are not those that the tensors have.
    """

    monotone = None
    selects = None
    broadcasts = None


class Lod(Group):
    """From where the outputs take their level of detail: how their rows make up sequences of different lengths.

        @operator("sequence_softmax", "X", "Out", kernel=BOUND, lod=Lod(reads="X"))

    of: the input slot from which all outputs take it; "none" where outputs have none; output slot -> one of these; or
        `of(attrs, shapes)` (slot -> list of shapes) that returns one of these, or else a function that computes the LoD
        of all outputs, given input slot -> list of LoDs (see `fluidlite.core.lod`).
    reads: input slots whose LoD the kernel reads, in `ctx.lods`, and `infer`, in `Spec.lod`: () if a tensor has none,
        None while a Program is built and nobody knows.  A Spec that `infer` returns may have a `lod`, which then is
        that of the output; () for none.
    levels: `levels(attrs, levels)` (input slot -> list of how many levels there are) -> output slot -> how many there
        are, while a Program is built, where `of` does not say it.

    As a rule an output takes it from the input whose memory it may take over, or else from the first one.  The gradient
    of an input takes it from that input if it reads it; otherwise that of the first input from the output's gradient.
    """

    of = None
    reads = ""
    levels = None


class About(Group):
    """What tools tell readers of the operator.

        @operator("mul", "X, Y", "Out", infer=infer_mul, about=About("product", plain="matrix product", flops=flops))

    family: which part it has in a layer: "product", "convolution", "batch normalization", "activation", "addition"
        (that of a bias), "sum" (of several products), or "plumbing", which no layer needs.
    plain: its name in plain words; the type where there are no better ones.
    main: the slot of its main output, as a rule the first one with a gradient; of the others, such as a mask, readers
        need not know.
    after: the type of the operator that Fluid's layer function appends right before this one, as a part of it.
    details: `details(attrs, shapes) -> list of str`: what readers look for, given slot -> list of shapes of the inputs
        (-1 where a size is open, None for a shape that is not known).  `sizes` and those behind it put into words what
        several operators have.
    flops: `flops(attrs, shapes)`: the floating point operations it takes, given slot name -> list of shapes.  A
        multiply-add is two of them, a function of one element is one.  Without it, operators take one for each element
        if they are elementwise, and none otherwise.
    """

    family = ""
    plain = None
    main = None
    after = None
    details = None
    flops = None

    def __init__(self, family="", **traits):
        super().__init__(**({"family": family} if family else {}), **traits)


def if_rows_stay(attrs, shapes):
    """Where Out takes its level of detail from, if it does so as long as it has as many rows as X (see `Lod.of`)."""
    return {"Out": "X" if shapes["Out"][0][:1] == shapes["X"][0][:1] else "none"}


# What most kernels with scratch declare, and what operators that work on each element by itself do.
BOUND = Kernel(bind=True)
ELEMENTWISE = Memory(elementwise=True)
POINTWISE = Memory(elementwise=True, pointwise=True)


def sizes(shape):
    """'N×784' for (-1, 784): N is the batch, ? another size that is known only at run time."""
    if shape is None:
        return "?"
    if not shape:
        return "scalar"
    return "×".join(("N" if place == 0 else "?") if size < 0 else str(size) for place, size in enumerate(shape))


def unless(word, values, default):
    """['stride 2'] for the values [2, 2], ['stride 2×1'] for [2, 1]; nothing if all are the default."""
    if not values or all(value == default for value in values):
        return []
    same = len(set(values)) == 1
    return [f"{word} {values[0] if same else '×'.join(map(str, values))}"]


def axis_unless_last(attrs, shapes):
    """The details of an operator along an axis (see `About.details`)."""
    return [] if attrs["axis"] == -1 else [f"axis {attrs['axis']}"]
