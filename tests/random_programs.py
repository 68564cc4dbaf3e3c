"""Random Programs, what they should compute, and scripts that make them."""

import contextlib
from typing import NamedTuple

import numpy as np
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st

import fluidlite.fluid as fluid
from fluidlite.core import operators
from fluidlite.core.spec import EMPTY, Spec
from fluidlite.engine.plan.context import Context, Setting
from fluidlite.engine.plan.values import Value
from fluidlite.fluid import layers

FUZZ = {
    "derandomize": True,
    "deadline": None,
    "database": None,
    "phases": [Phase.generate, Phase.shrink],
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
}


class FreshMemory:
    """What a kernel takes for the pool: every buffer is new, and full of what no kernel should read."""

    def __init__(self, xp=np):
        self._xp = xp

    def array(self, shape, dtype):
        raw = self._xp.full(int(np.prod(shape, dtype=int)) * np.dtype(dtype).itemsize, 0x7F, np.uint8)
        return raw.view(dtype).reshape(shape), None

    def free(self, block):
        pass


class Part(NamedTuple):
    type: str
    inputs: dict
    outputs: dict
    attrs: dict


def decomposed(ops):
    """The operators, with what one decomposes into in its place; what those hand on has names of its own."""
    for op in ops:
        definition = operators.find(op.type)
        if definition.decompose is None:
            yield op
        else:
            slots = [
                {slot: [name if name == EMPTY else Value(name) for name in names] for slot, names in one.items()}
                for one in (op.inputs, op.outputs)
            ]
            for type, *made, attrs in definition.decompose(*slots, {**definition.attrs, **op.attrs}):
                yield Part(type, *({slot: list(map(str, found)) for slot, found in one.items()} for one in made), attrs)


def reference(program, feed, state, fetches):
    """Run the operators of a program in order; returns the fetched arrays and updates the persistable `state`."""
    block = program.global_block()
    values = {**state, **{name: np.array(value) for name, value in feed.items()}}
    memory = FreshMemory()
    for op in decomposed(block.ops):
        definition = operators.find(op.type)
        attrs = {**definition.attrs, **op.attrs}
        inputs = {slot: [values.get(name) for name in names] for slot, names in op.inputs.items()}
        for slot in definition.stacks & inputs.keys():
            inputs[slot] = [array[np.newaxis] for array in inputs[slot]]
        known = {
            slot: [Spec(a.shape[slot in definition.stacks :], a.dtype) for a in arrays if a is not None]
            for slot, arrays in inputs.items()
        }
        specs = operators.infer_specs(definition, attrs, known)
        arguments, results = [], {}
        for slot in definition.inputs:
            arrays = inputs.get(slot.name, [])
            arguments.append(arrays if slot.many else arrays[0] if arrays else None)
        for slot in definition.outputs:
            arrays = []
            for name, spec in zip(op.outputs.get(slot.name, ()), specs[slot.name], strict=False):
                arrays.append(None if name == EMPTY else memory.array(spec.shape, spec.dtype)[0])
                results[name] = arrays[-1]
            arguments.append(arrays if slot.many else arrays[0] if arrays else None)
        call = definition.kernel(Context(Setting(), attrs, memory), *arguments)
        if definition.bind:
            with np.errstate(all="ignore"):
                call()
        values.update(results)
    state.update({name: values[name] for name in state})
    return [values[name] for name in fetches]


def unary(rng, x):
    name = rng.choice(["relu", "tanh", "scale", "square", "sigmoid", "dropout", "assign", "leaky_relu"])
    if name == "scale":
        return layers.scale(x, rng.choice([1.0, -0.5]), rng.choice([0.0, 1.0]))
    if name == "dropout":
        return layers.dropout(x, 0.25, is_test=True)
    return getattr(layers, name)(x)


def binary(rng, x, y):
    name = rng.choice(["add", "sub", "mul", "max"])
    return getattr(layers, "elementwise_" + name)(x, y)


def reordered(rng, x):
    """The same elements in another shape or order."""
    ndim = len(x.shape)
    kind = rng.choice(["reshape", "transpose", "reshape and back", "flatten and back", "concat", "split"])
    if kind == "transpose" and ndim == 4:
        order = rng.choice([[0, 1, 3, 2], [0, 2, 1, 3], [0, 3, 2, 1]])
        return layers.transpose(x, order)
    if kind == "reshape and back":
        flat = layers.reshape(x, [0, -1])
        return layers.reshape(unary(rng, flat), [0, *x.shape[1:]])
    if kind == "flatten and back":
        return layers.reshape(layers.flatten(x, axis=1), [-1, *x.shape[1:]])
    if kind == "concat":
        return layers.concat([x, unary(rng, x)], axis=1) if x.shape[1] < 6 else x
    if kind == "split" and x.shape[1] % 2 == 0:
        parts = layers.split(x, 2, dim=1)
        return rng.choice(parts)
    return layers.reshape(x, [0, *x.shape[:0:-1]])


def image(rng, x):
    kind = rng.choice(["conv", "pool", "norm", "softmax", "relu", "channel bias"])
    _, channels, height, width = x.shape
    if kind == "conv":
        size, padding = rng.choice([(1, 0), (3, 1), (3, [0, 1]), (2, 1)])
        stride, groups = rng.choice([1, 2]), rng.choice([1, channels])
        if min(height, width) >= 3:
            filters, act = channels * (2 if channels < 4 else 1), rng.choice([None, "relu"])
            return layers.conv2d(x, filters, size, stride, padding, 1, groups, act=act)
    if kind == "pool" and min(height, width) >= 3:
        size, padding, stride = rng.choice([(2, 0, 2), (3, 1, 1), (2, 0, 1), (3, 0, 2)])
        pooling, ceil = rng.choice(["max", "avg"]), rng.choice([True, False])
        return layers.pool2d(x, size, pooling, stride, padding, ceil_mode=ceil)
    if kind == "norm":
        return layers.batch_norm(x, is_test=rng.choice([True, False]), act=rng.choice([None, "relu"]))
    if kind == "softmax":
        return layers.softmax(x, axis=rng.choice([-1, 1]))
    if kind == "channel bias":
        bias = layers.create_parameter([channels], x.dtype, default_initializer=fluid.initializer.Constant(0.5))
        return layers.elementwise_add(x, bias, axis=1)
    return layers.relu(x)


def overwrite(rng, made, old):
    """Write a variable once more, from variables of its shape."""
    alike = [v for v in made if v.shape == old.shape]
    kind = rng.choice(["assign", "sum", "in place", "reshape"])
    if kind == "assign":
        layers.assign(rng.choice(alike), old)
    elif kind == "sum":
        layers.sums([rng.choice(alike) for _ in range(rng.randint(1, 3))], out=old)
    elif kind == "reshape" and not old.is_data:  # a feed must fit the shape that its variable has in the end
        layers.reshape(old, [0, *old.shape[:0:-1]], inplace=True)
    else:
        block = fluid.default_main_program().global_block()
        block.append_op(type=rng.choice(["relu", "softmax"]), inputs={"X": old}, outputs={"Out": old})


def build(rng, shape, moves, kinds, dtype="float64"):
    """Append random operators of some kinds to the program; returns the variables that they made."""
    made = [fluid.data(name, [None, *shape], dtype) for name in ("x", "z")]
    for data in made:
        data.stop_gradient = False
    counter = layers.create_global_var([1], 0.0, dtype, persistable=True)
    total = layers.create_global_var([1], 1.0, dtype, persistable=True)
    for _ in range(moves):
        x = rng.choice(made[-4:] + made[:1])
        kind = rng.choice(kinds)
        if kind == "unary":
            made.append(unary(rng, x))
        elif kind == "binary":
            made.append(binary(rng, x, rng.choice([v for v in made if v.shape == x.shape])))
        elif kind == "reordered":
            made.append(reordered(rng, x))
        elif kind == "image" and len(x.shape) == 4:
            made.append(image(rng, x))
        elif kind == "fc":
            made.append(layers.fc(x, rng.randint(1, 4), act=rng.choice([None, "relu"])))
        elif kind == "state":
            layers.increment(counter)
            layers.sums([total, layers.mean(x), counter, total], out=total)
            layers.assign(layers.tanh(total), total)
            made.append(layers.elementwise_add(x, total))
        elif kind == "overwrite":
            overwrite(rng, made, rng.choice(made))
    return made


def compare(shape, sizes, fetches, seed):
    """Run with batches of several sizes, back and forth, and compare with the reference."""
    exe = fluid.Executor()
    program, startup = fluid.default_main_program(), fluid.default_startup_program()
    startup.random_seed = 1
    exe.run(startup)
    tensors = {v.name: fluid.global_scope().find_var(v.name).get_tensor() for v in program.list_vars() if v.persistable}
    state = {name: np.array(tensor) for name, tensor in tensors.items()}
    numbers = np.random.RandomState(seed)
    for size in sizes:
        feed = {name: numbers.standard_normal((size, *shape)) for name in ("x", "z")}
        want = reference(program, feed, state, fetches)
        got = exe.run(feed=feed, fetch_list=fetches)
        got.extend(np.array(tensor) for tensor in tensors.values())
        for name, a, b in zip([*fetches, *state], got, [*want, *state.values()], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8, err_msg=f"{name}\n{program}")


@contextlib.contextmanager
def new_script():
    with (
        fluid.program_guard(fluid.Program(), fluid.Program()),
        fluid.unique_name.guard(),
        fluid.scope_guard(fluid.Scope()),
    ):
        yield


IMAGES = st.sampled_from([(3, 6, 6), (2, 5, 7), (4, 4, 4), (1, 6, 5)])


COMPUTE = ["unary", "binary", "reordered", "image", "image", "fc"]
