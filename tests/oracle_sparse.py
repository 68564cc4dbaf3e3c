"""Tables whose gradients are selected rows, under every optimizer, clip and regularizer, and what is made of the rows.

Runs under Python 3.7 with the real Paddle and on fluidlite, like ``oracle_cases``.
"""

import functools

import numpy as np
from oracle_harness import dump_op, random_state

STEPS = 4
HEIGHT, WIDTH = 7, 3
SELECTED_ROWS = 8
CASES = {}


def case(name):
    """Declare a case: a function of a ``Sparse``, which runs it."""

    def declare(run):
        if name in CASES:
            raise ValueError("two cases are named " + name)
        CASES[name] = run
        return run

    return declare


class Sparse:
    """What a case sees: `fluid`, a table to look rows up in, and what is to be compared."""

    def __init__(self, fluid, name):
        self.fluid, self.layers, self.name = fluid, fluid.layers, name
        self.feeds, self.structure, self.arrays = {}, {}, {}

    def look_up(self, shape, is_sparse=True, padding_idx=None, old=False, rows=None, name="ids"):
        """Rows of the table, for ids of a shape, whose first dimension is open."""
        fluid = self.fluid
        ids = fluid.data(name, [None] + list(shape[1:]), "int64")
        self.feeds[name] = shape, rows
        values = random_state("table").uniform(-1, 1, (HEIGHT, WIDTH)).astype("float32")
        attr = fluid.ParamAttr("table", fluid.initializer.NumpyArrayInitializer(values))
        layer = fluid.layers.embedding if old else fluid.embedding
        return layer(ids, [HEIGHT, WIDTH], is_sparse, padding_idx=padding_idx, param_attr=attr)

    def feed(self, step):
        found = {}
        for name, (shape, rows) in self.feeds.items():
            # The last row is never looked up.
            drawn = random_state(name + str(step)).randint(0, HEIGHT - 1, shape)
            found[name] = (drawn if rows is None else np.reshape(rows, shape)).astype("int64")
        return found

    def loss(self, *found):
        """Weighs elements unequally, so that gradients differ."""
        layers = self.layers
        squares = [layers.reduce_sum(layers.square(layers.scale(one, 1.0 + n))) for n, one in enumerate(found)]
        return squares[0] if len(squares) == 1 else layers.sums(squares)

    def gradient(self, loss):
        return self.fluid.backward.append_backward(loss)[0][1]

    def run(self, fetches=(), steps=STEPS):
        """Run some steps; keeps the fetches and what is in the scope behind each."""
        fluid = self.fluid
        main, place = fluid.default_main_program(), fluid.CPUPlace()
        block = main.global_block()
        # What the table has nothing to do with other cases show.
        rows = {name: list(v.shape) for name, v in sorted(block.vars.items()) if int(v.type) == SELECTED_ROWS}
        told = {"table"}.union(rows)
        self.structure = {
            "ops": [dump_op(op) for op in block.ops if told.intersection(op.input_arg_names + op.output_arg_names)],
            "selected_rows": rows,
        }
        exe = fluid.Executor(place)
        exe.run(fluid.default_startup_program())
        names = sorted(v.name for v in main.list_vars() if v.persistable and int(v.type) == 7)
        for step in range(steps):
            for n, found in enumerate(exe.run(main, feed=self.feed(step), fetch_list=list(fetches))):
                self.arrays["{}:fetch{}".format(step, n)] = np.asarray(found)
            for name in names:
                value = fluid.global_scope().find_var(name).get_tensor()
                self.arrays["{}:{}".format(step, name)] = np.array(value)
        return exe


def run_sparse(fluid, name):
    """Returns the case's structure and its arrays; an error is a structure without arrays."""
    sparse = Sparse(fluid, name)
    guards = fluid.unique_name.guard(), fluid.program_guard(fluid.Program(), fluid.Program())
    with guards[0], guards[1], fluid.scope_guard(fluid.Scope()):
        try:
            CASES[name](sparse)
        except Exception as error:
            return {"error": type(error).__name__}, {}
    return sparse.structure, sparse.arrays


def optimizers(fluid):
    made = fluid.optimizer
    return {
        "sgd": functools.partial(made.SGD, 0.1),
        "momentum": functools.partial(made.Momentum, 0.1, 0.9),
        "nesterov": functools.partial(made.Momentum, 0.1, 0.9, use_nesterov=True),
        "adagrad": functools.partial(made.Adagrad, 0.1),
        "adam": functools.partial(made.Adam, 0.1),
        "adam_lazy": functools.partial(made.Adam, 0.1, beta1=0.8, lazy_mode=True),
        "rmsprop": functools.partial(made.RMSProp, 0.1),
        "rmsprop_centered": functools.partial(made.RMSProp, 0.1, momentum=0.9, centered=True),
        "lamb": functools.partial(made.Lamb, 0.1),
        "ftrl": functools.partial(made.Ftrl, 0.1),
        "decayed_adagrad": functools.partial(made.DecayedAdagrad, 0.1),
        "adadelta": functools.partial(made.Adadelta, 0.1),
        "adamax": functools.partial(made.Adamax, 0.1),
        "lars_momentum": functools.partial(made.LarsMomentum, 0.1, 0.9),
        "dpsgd": functools.partial(made.Dpsgd, 0.1, clip=0.5, batch_size=4.0, sigma=0.0),
    }


CLIPS = {
    "value": lambda fluid: {"grad_clip": fluid.clip.GradientClipByValue(0.5)},
    "value_above_0": lambda fluid: {"grad_clip": fluid.clip.GradientClipByValue(2.0, 0.3)},
    "norm": lambda fluid: {"grad_clip": fluid.clip.GradientClipByNorm(0.5)},
    "global_norm": lambda fluid: {"grad_clip": fluid.clip.GradientClipByGlobalNorm(0.5)},
    "l1": lambda fluid: {"regularization": fluid.regularizer.L1Decay(0.1)},
    "l2": lambda fluid: {"regularization": fluid.regularizer.L2Decay(0.1)},
}


def trained(t, kind, clip=None, reads=({"shape": (4, 3)},)):
    found = [t.look_up(name="ids{}".format(n), **read) for n, read in enumerate(reads)]
    loss = t.loss(*found)
    optimizers(t.fluid)[kind](**(CLIPS[clip](t.fluid) if clip else {})).minimize(loss)
    t.run([loss])


READS = {
    "old": ({"shape": (5, 1), "old": True},),
    "one_row": ({"shape": (1,)},),
    "no_row_twice": ({"shape": (3,), "rows": [4, 0, 2]},),
    "one_row_alone": ({"shape": (2, 2), "rows": [3, 3, 3, 3]},),
    "padding": ({"shape": (4, 3), "padding_idx": 2},),
    "read_twice": ({"shape": (4, 3)}, {"shape": (2,)}),
    "read_thrice": ({"shape": (4, 3)}, {"shape": (2,)}, {"shape": (3, 1), "old": True}),
    "with_a_dense_one": ({"shape": (4, 3)}, {"shape": (2,), "is_sparse": False}),
}

for _kind in ["sgd", "momentum", "nesterov", "adagrad", "adam", "adam_lazy", "rmsprop", "rmsprop_centered", "lamb"] + [
    "ftrl",
    "decayed_adagrad",
    "adadelta",
    "adamax",
    "lars_momentum",
    "dpsgd",
]:
    case(_kind)(functools.partial(trained, kind=_kind))
case("dpsgd_dense")(functools.partial(trained, kind="dpsgd", reads=({"shape": (4, 3), "is_sparse": False},)))
for _kind in ("sgd", "adam", "adam_lazy"):
    for _name, _reads in READS.items():
        case(_kind + "_" + _name)(functools.partial(trained, kind=_kind, reads=_reads))
    for _clip in CLIPS:
        case(_kind + "_" + _clip)(functools.partial(trained, kind=_kind, clip=_clip))
        case(_kind + "_" + _clip + "_twice")(
            functools.partial(trained, kind=_kind, clip=_clip, reads=READS["read_twice"])
        )

ROWS = {"twice": [3, 1, 3, 0, 0, 5], "once": [3, 1, 5, 0, 2, 4], "same": [2, 2, 2, 2, 2, 2]}


def of_rows(make, rows, t):
    gradient = t.gradient(t.loss(t.look_up((2, 3), rows=ROWS[rows])))
    t.run([make(t, gradient)], steps=1)


def tensor(make):
    """What can be fetched of the selected rows that `make` makes."""
    return lambda t, gradient: t.layers.get_tensor_from_selected_rows(make(t, gradient))


def three(t):
    return t.layers.fill_constant([1], "float32", 3.0)


def table(t):
    return t.layers.fill_constant([HEIGHT, WIDTH], "float32", 3.0)


MADE = {
    "tensor": tensor(lambda t, g: g),
    "merged": tensor(lambda t, g: t.layers.merge_selected_rows(g)),
    "assigned": tensor(lambda t, g: t.layers.assign(g)),
    "clipped": tensor(lambda t, g: t.layers.clip(g, -0.5, 0.3)),
    "clipped_above_0": tensor(lambda t, g: t.layers.clip(g, 0.5, 2.0)),
    "clipped_by_norm": tensor(lambda t, g: t.layers.clip_by_norm(g, 0.5)),
    "scaled": tensor(lambda t, g: t.layers.elementwise_mul(g, three(t))),
    "square": tensor(lambda t, g: t.layers.square(g)),
    "square_of_sum": tensor(lambda t, g: t.layers.square(t.layers.sums([g, g]))),
    "square_of_merged_tensor": lambda t, g: t.layers.square(tensor(lambda t, g: t.layers.merge_selected_rows(g))(t, g)),
    "norm": lambda t, g: t.layers.reduce_sum(
        t.layers.square(tensor(lambda t, g: t.layers.merge_selected_rows(g))(t, g))
    ),
    "mean_of_merged": lambda t, g: t.layers.mean(tensor(lambda t, g: t.layers.merge_selected_rows(g))(t, g)),
    "sum": tensor(lambda t, g: t.layers.sums([g, g])),
    "sum_with_tables": lambda t, g: t.layers.sums([table(t), g, table(t), g]),
    # What is refused.
    "fetched": lambda t, g: g,
    "relu": tensor(lambda t, g: t.layers.relu(g)),
    "divided": tensor(lambda t, g: t.layers.elementwise_div(g, three(t))),
    "added": tensor(lambda t, g: t.layers.elementwise_add(g, g)),
    "summed_up": lambda t, g: t.layers.reduce_sum(g),
    "times_table": tensor(lambda t, g: t.layers.elementwise_mul(g, table(t))),
    "of_a_tensor": lambda t, g: t.layers.get_tensor_from_selected_rows(table(t)),
    "of_no_variable": lambda t, g: t.layers.get_tensor_from_selected_rows(3),
}
for _name, _make in MADE.items():
    for _rows in ROWS:
        case("rows_{}_{}".format(_name, _rows))(functools.partial(of_rows, _make, _rows))


def in_scope(t, reads):
    found = [t.look_up(name="ids{}".format(n), **read) for n, read in enumerate(reads)]
    gradient = t.gradient(t.loss(*found))
    gradient.persistable = True
    t.run(steps=2)
    rows = t.fluid.global_scope().find_var("table@GRAD").get_selected_rows()
    t.arrays["rows"], t.arrays["height"] = np.array(rows.rows()), np.array([rows.height(), rows.numel()])
    t.arrays["vectors"] = np.array(rows.get_tensor())


for _name in ("old", "one_row", "padding", "read_twice"):
    case("scope_" + _name)(functools.partial(in_scope, reads=READS[_name]))


def attr(t, name, *shape):
    values = random_state(name).uniform(-0.7, 0.7, shape).astype("float32")
    return t.fluid.ParamAttr(name, t.fluid.initializer.NumpyArrayInitializer(values))


def word2vec(t, head, make="adam_lazy", is_sparse=True):
    """Four words and the word between them: tables of words and of classes, and ten steps."""
    layers = t.layers
    words = layers.reshape(t.look_up((6, 4), is_sparse=is_sparse), [-1, 4 * WIDTH])
    hidden = layers.fc(words, 5, act="tanh", param_attr=attr(t, "hidden", 4 * WIDTH, 5), bias_attr=False)
    target = t.fluid.data("target", [None, 1], "int64")
    t.feeds["target"] = (6, 1), None
    loss = layers.mean(HEADS[head](t, hidden, target, is_sparse))
    optimizers(t.fluid)[make]().minimize(loss)
    t.run([loss], steps=10)


def tree(t, hidden, target, is_sparse):
    shapes = (HEIGHT - 1, 5), (HEIGHT - 1, 1)
    return t.layers.hsigmoid(hidden, target, HEIGHT, attr(t, "table.w", *shapes[0]), attr(t, "table.b", *shapes[1]))


def tree_of_ones_own(t, hidden, target, is_sparse):
    ways = [t.layers.gather(t.layers.assign(np.array(rows, "int64")), target) for rows in (NODES, TURNS)]
    return t.layers.hsigmoid(
        hidden,
        target,
        HEIGHT,
        attr(t, "table.w", HEIGHT, 5),
        attr(t, "table.b", HEIGHT, 1),
        path_table=ways[0],
        path_code=ways[1],
        is_custom=True,
        is_sparse=is_sparse,
    )


# Words are leaves of a tree, the frequent ones near its root.
NODES = [[0, -1, -1], [0, 1, -1], [0, 1, 2], [0, 1, 2], [0, 3, 4], [0, 3, 4], [0, 3, -1]]
TURNS = [[0, -1, -1], [1, 0, -1], [1, 1, 0], [1, 1, 1], [1, 0, 0], [1, 0, 1], [1, 1, -1]]


def noise(t, hidden, target, is_sparse):
    """All of the noise is one class, so that what is drawn is known."""
    chances = [0.0] * HEIGHT
    chances[2] = 1.0
    return t.layers.nce(
        hidden,
        target,
        HEIGHT,
        param_attr=attr(t, "table.w", HEIGHT, 5),
        bias_attr=attr(t, "table.b", HEIGHT, 1),
        num_neg_samples=3,
        sampler="custom_dist",
        custom_dist=chances,
        is_sparse=is_sparse,
    )


HEADS = {"tree": tree, "tree_of_ones_own": tree_of_ones_own, "noise": noise}
for _head in HEADS:
    for _kind in ("adam_lazy", "sgd", "adam"):
        case("word2vec_{}_{}".format(_head, _kind))(functools.partial(word2vec, head=_head, make=_kind))
    case("word2vec_{}_dense".format(_head))(functools.partial(word2vec, head=_head, make="sgd", is_sparse=False))


def proximal(t, type, is_sparse, **attrs):
    """The rules that no optimizer of Fluid's appends."""
    loss = t.loss(t.look_up((4, 3), is_sparse=is_sparse))
    gradient = t.gradient(loss)
    block = loss.block
    table, rate = block.var("table"), t.layers.fill_constant([1], "float32", 0.1)
    inputs, outputs = {"Param": table, "Grad": gradient, "LearningRate": rate}, {"ParamOut": table}
    if type == "proximal_adagrad":
        moment = t.layers.create_global_var([HEIGHT, WIDTH], 0.2, "float32", persistable=True, name="table_moment")
        inputs["Moment"] = outputs["MomentOut"] = moment
    block.append_op(type=type, inputs=inputs, outputs=outputs, attrs=attrs)
    t.run([loss])


for _type in ("proximal_gd", "proximal_adagrad"):
    for _name, _attrs in {"": {}, "_l1": {"l1": 0.5}, "_l1_l2": {"l1": 0.5, "l2": 0.3}, "_l2": {"l2": 0.3}}.items():
        case(_type + _name)(functools.partial(proximal, type=_type, is_sparse=False, **_attrs))
    case(_type + "_sparse")(functools.partial(proximal, type=_type, is_sparse=True))
