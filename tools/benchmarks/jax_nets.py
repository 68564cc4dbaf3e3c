"""The networks of nets.py in plain JAX: pure functions, channels last, one jitted step.

A layer is a pair of functions: `init(rng, shape)` gives its parameters and the shape that follows,
`apply(parameters, x, key)` its output and its parameters as the step leaves them (batch normalisation moves its running
statistics); `key` is None where nothing is learnt.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from nets import NETS, RESNET50_STAGES, VGG_GROUPS


def sequential(*layers):
    def init(rng, shape):
        parameters = []
        for layer_init, _ in layers:
            own, shape = layer_init(rng, shape)
            parameters.append(own)
        return parameters, shape

    def apply(parameters, x, key):
        after = []
        for number, ((_, layer_apply), own) in enumerate(zip(layers, parameters, strict=True)):
            x, own = layer_apply(own, x, None if key is None else jax.random.fold_in(key, number))
            after.append(own)
        return x, after

    return init, apply


def elementwise(function):
    return lambda rng, shape: ({}, shape), lambda own, x, key: (function(x), own)


relu, tanh = elementwise(jax.nn.relu), elementwise(jnp.tanh)


def conv(filters, size, stride=1, padding=0, bias=True):
    def init(rng, shape):
        height, width, channels = shape
        scale = np.sqrt(2 / (size * size * channels))
        own = {"w": (rng.standard_normal((size, size, channels, filters)) * scale).astype("float32")}
        if bias:
            own["b"] = np.zeros(filters, "float32")
        after = [(side + 2 * padding - size) // stride + 1 for side in (height, width)]
        return own, (*after, filters)

    def apply(own, x, key):
        pads = [(padding, padding)] * 2
        x = lax.conv_general_dilated(x, own["w"], (stride, stride), pads, dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return x + own["b"] if bias else x, own

    return init, apply


def pool(kind, size, stride, padding=0):
    window, strides = (1, size, size, 1), (1, stride, stride, 1)
    pads = [(0, 0), (padding, padding), (padding, padding), (0, 0)]

    def init(rng, shape):
        height, width, channels = shape
        return {}, (*((side + 2 * padding - size) // stride + 1 for side in (height, width)), channels)

    def apply(own, x, key):
        if kind == "max":
            return lax.reduce_window(x, -jnp.inf, lax.max, window, strides, pads), own
        return lax.reduce_window(x, 0.0, lax.add, window, strides, pads) / size**2, own

    return init, apply


def mean_over_pixels():
    return lambda rng, shape: ({}, shape[-1:]), lambda own, x, key: (x.mean((1, 2)), own)


def flatten():
    return lambda rng, shape: ({}, (int(np.prod(shape)),)), lambda own, x, key: (x.reshape(x.shape[0], -1), own)


def dense(size):
    def init(rng, shape):
        weight = (rng.standard_normal((shape[0], size)) * np.sqrt(1 / shape[0])).astype("float32")
        return {"w": weight, "b": np.zeros(size, "float32")}, (size,)

    return init, lambda own, x, key: (x @ own["w"] + own["b"], own)


def dropout(rate):
    def apply(own, x, key):
        if key is None:
            return x, own
        return jnp.where(jax.random.bernoulli(key, 1 - rate, x.shape), x / (1 - rate), 0), own

    return lambda rng, shape: ({}, shape), apply


def batch_norm():
    def init(rng, shape):
        ones, zeros = np.ones(shape[-1], "float32"), np.zeros(shape[-1], "float32")
        return {"scale": ones, "shift": zeros, "running_mean": zeros, "running_var": ones}, shape

    def apply(own, x, key):
        if key is None:
            mean, var = own["running_mean"], own["running_var"]
        else:
            axes = tuple(range(x.ndim - 1))
            mean, var = x.mean(axes), x.var(axes)
            own = dict(
                own,
                running_mean=lax.stop_gradient(0.9 * own["running_mean"] + 0.1 * mean),
                running_var=lax.stop_gradient(0.9 * own["running_var"] + 0.1 * var),
            )
        return (x - mean) * lax.rsqrt(var + 1e-5) * own["scale"] + own["shift"], own

    return init, apply


def residual(branch, shortcut):
    """What `branch` makes of x, and what `shortcut` does; each is a list of layers."""
    branch_init, branch_apply = sequential(*branch)
    shortcut_init, shortcut_apply = sequential(*shortcut)

    def init(rng, shape):
        branch, after = branch_init(rng, shape)
        return [branch, shortcut_init(rng, shape)[0]], after

    def apply(own, x, key):
        left, branch = branch_apply(own[0], x, key)
        right, short = shortcut_apply(own[1], x, key)
        return jax.nn.relu(left + right), [branch, short]

    return init, apply


def cnn():
    return sequential(
        *(conv(20, 5), relu, pool("max", 2, 2), batch_norm()),
        *(conv(50, 5), relu, pool("max", 2, 2)),
        *(flatten(), dense(10)),
    )


def mxnet_lenet():
    return sequential(
        *(conv(20, 5), tanh, pool("max", 2, 2)),
        *(conv(50, 5), tanh, pool("max", 2, 2)),
        *(flatten(), dense(500), tanh, dense(10)),
    )


def torch_cnn():
    return sequential(
        *(conv(10, 5, padding=2), relu, pool("max", 2, 1), dropout(0.2)),
        *(flatten(), dense(128), relu, dense(10)),
    )


def torch_lenet5():
    return sequential(
        *(conv(6, 5, padding=2), tanh, pool("avg", 2, 2)),
        *(conv(16, 5), tanh, pool("avg", 2, 2)),
        *(conv(120, 5), tanh),
        *(flatten(), dense(84), tanh, dense(10)),
    )


def vgg16():
    layers = []
    for filters, dropouts in VGG_GROUPS:
        for rate in dropouts:
            layers += [conv(filters, 3, padding=1), batch_norm(), relu] + ([dropout(rate)] if rate else [])
        layers += [pool("max", 2, 2)]
    layers += [flatten(), dropout(0.5), dense(512), batch_norm(), relu, dropout(0.5), dense(512), dense(10)]
    return sequential(*layers)


def resnet32():
    layers, channels = [conv(16, 3, padding=1, bias=False), batch_norm(), relu], 16
    for filters, first_stride in (16, 1), (32, 2), (64, 2):
        for stride in [first_stride, 1, 1, 1, 1]:
            branch = [conv(filters, 3, stride, 1, bias=False), batch_norm(), relu, conv(filters, 3, 1, 1), batch_norm()]
            shortcut = [conv(filters, 1, stride, bias=False), batch_norm()] if filters != channels else []
            layers.append(residual(branch, shortcut))
            channels = filters
    return sequential(*layers, pool("avg", 8, 1), flatten(), dense(10))


def resnet50():
    layers, channels = [conv(64, 7, 2, 3, bias=False), batch_norm(), relu, pool("max", 3, 2, 1)], 64
    for filters, blocks, first_stride in RESNET50_STAGES:
        for stride in [first_stride] + [1] * (blocks - 1):
            branch = [conv(filters, 1, bias=False), batch_norm(), relu]
            branch += [conv(filters, 3, stride, 1, bias=False), batch_norm(), relu]
            branch += [conv(4 * filters, 1, bias=False), batch_norm()]
            shortcut = [conv(4 * filters, 1, stride, bias=False), batch_norm()] if channels != 4 * filters else []
            layers.append(residual(branch, shortcut))
            channels = 4 * filters
    return sequential(*layers, mean_over_pixels(), dense(1000))


MODELS = {
    "cnn": cnn,
    "cnn256": cnn,
    "mlp": lambda: sequential(flatten(), dense(200), relu, dense(200), relu, dense(10)),
    "softmax": lambda: sequential(flatten(), dense(10)),
    "mxnet_mlp": lambda: sequential(flatten(), dense(128), relu, dense(64), relu, dense(10)),
    "mxnet_lenet": mxnet_lenet,
    "torch_cnn": torch_cnn,
    "torch_lenet5": torch_lenet5,
    "vgg16": vgg16,
    "resnet32": resnet32,
    "resnet50": resnet50,
}


def adam(rate, parameters, gradients, state, count):
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, state[0], gradients)
    second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, state[1], gradients)
    rate = rate * jnp.sqrt(1 - 0.999**count) / (1 - 0.9**count)
    parameters = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + 1e-8), parameters, first, second)
    return parameters, (first, second)


def momentum(rate, factor, parameters, gradients, state, count):
    velocity = jax.tree.map(lambda v, g: factor * v + g, state[0], gradients)
    return jax.tree.map(lambda p, v: p - rate * v, parameters, velocity), (velocity,)


def sgd(rate, parameters, gradients, state, count):
    return jax.tree.map(lambda p, g: p - rate * g, parameters, gradients), ()


def optimizer_of(wanted):
    """The update function of an Optimizer of nets.py, and how many moments it keeps of each parameter."""
    if wanted.kind == "Adam":
        return partial(adam, wanted.learning_rate), 2
    if wanted.kind == "Momentum":
        return partial(momentum, wanted.learning_rate, wanted.momentum), 1
    return partial(sgd, wanted.learning_rate), 0


def split(parameters):
    """What is learnt, and the running statistics, as two flat dicts with the same kind of keys."""
    leaves, structure = jax.tree.flatten_with_path(parameters)
    learnt = {number: leaf for number, (path, leaf) in enumerate(leaves) if "running" not in str(path[-1])}
    statistics = {number: leaf for number, (path, leaf) in enumerate(leaves) if number not in learnt}
    return learnt, statistics, structure


def joined(learnt, statistics, structure):
    """The parameters that `split` took apart."""
    leaves = {**learnt, **statistics}
    return jax.tree.unflatten(structure, [leaves[number] for number in range(len(leaves))])


def prediction(net):
    """A jitted function (parameters, images) -> logits, and the parameters on the device."""
    parameters, apply = first_parameters(net)
    return jax.jit(lambda parameters, images: apply(parameters, images, None)[0]), jax.device_put(parameters)


def first_parameters(net):
    """The parameters with which a network begins, and its `apply`."""
    init, apply = MODELS[net]()
    channels, height, width = NETS[net].image
    parameters, _ = init(np.random.default_rng(0), (height, width, channels))
    return parameters, apply


def training(net, with_accuracy):
    """A jitted step, and what it carries on to the next.

    Returns:
        (update, carried): update(carried, images, labels) gives the new `carried` and the loss, or the loss and the
        accuracy.
    """
    parameters, apply = first_parameters(net)
    optimize, moments = optimizer_of(NETS[net].optimizer)
    learnt, statistics, structure = split(parameters)
    state = tuple({key: np.zeros_like(leaf) for key, leaf in learnt.items()} for _ in range(moments))

    def loss_of(learnt, statistics, images, labels, key):
        logits, after = apply(joined(learnt, statistics, structure), images, key)
        losses = -jnp.take_along_axis(jax.nn.log_softmax(logits), labels, 1)
        return losses.mean(), (split(after)[1], logits)

    @partial(jax.jit, donate_argnums=0)
    def update(carried, images, labels):
        learnt, statistics, state, count, key = carried
        key, used = jax.random.split(key)
        gradient = jax.value_and_grad(loss_of, has_aux=True)
        (loss, (statistics, logits)), gradients = gradient(learnt, statistics, images, labels, used)
        learnt, state = optimize(learnt, gradients, state, count)
        if with_accuracy:
            loss = loss, (logits.argmax(1, keepdims=True) == labels).mean()
        return (learnt, statistics, state, count + 1, key), loss

    return update, jax.device_put((learnt, statistics, state, 1.0, jax.random.key(0)))


def stepper(net, train):
    """A function that takes NumPy images [N, H, W, C] and labels through one jitted step.

    Args:
        net (str): a key of MODELS.
        train (bool): forward, backward and update, or forward alone.
    Returns:
        a function (images, labels) -> the loss and the accuracy, or the logits as an array.
    """
    if not train:
        predict, parameters = prediction(net)
        return lambda images, labels: np.asarray(predict(parameters, images))

    update, *carried = training(net, with_accuracy=True)

    def step(images, labels):
        carried[0], (loss, accuracy) = update(carried[0], images, labels)
        return float(loss), float(accuracy)

    return step


class Steps:
    """The steps of a network on the device that JAX takes by itself, fed with NumPy arrays [N, H, W, C] or its own.

    Args:
        net (str): a key of MODELS.
        train (bool): forward, backward and update, or forward alone.
        tf32 (bool): whether products of float32 may round their factors; where the cards can, JAX's default is that
            they may.
    """

    def __init__(self, net, train, tf32=False):
        jax.config.update("jax_default_matmul_precision", "tensorfloat32" if tf32 else "highest")
        self.version = jax.__version__
        self._train = train
        self._function, self._carried = training(net, with_accuracy=False) if train else prediction(net)
        self._result = None

    def put(self, images, labels):
        """NumPy images and labels as what `on_device` takes."""
        return jax.device_put((images, labels))

    def on_device(self, images, labels):
        """One step, whose result stays on the device: the loss, or the logits."""
        if self._train:
            self._carried, self._result = self._function(self._carried, images, labels)
        else:
            self._result = self._function(self._carried, images)
        return self._result

    def fed(self, images, labels):
        """One step from NumPy arrays to the loss as a number, or the logits as an array."""
        result = self.on_device(images, labels)
        return float(result) if self._train else np.asarray(result)

    def settle(self):
        """Wait until the device has done all that it was asked for."""
        jax.block_until_ready((self._carried, self._result))

    def forget_peak(self):
        """Without effect: JAX tells the peak since the beginning alone."""

    def memory(self):
        """Bytes on the device (dict): `used` is the most that arrays took; nothing where the device does not say."""
        figures = jax.devices()[0].memory_stats() or {}
        return {"used_bytes": figures["peak_bytes_in_use"]} if "peak_bytes_in_use" in figures else {}

    def launches(self, step):
        """None: JAX does not say."""
        return None
