"""Small networks of each kind that people saved, trained, saved and resumed with whichever Fluid is passed in.

Runs under Python 3.7 with the real Paddle (tools/oracle/record_models.py, check_models.py) and on fluidlite
(test_real_*.py), so only NumPy is imported and only Fluid 1.8's own names are used.
"""

import io
import lzma
import os
import tarfile

import numpy as np
from oracle_harness import FIXTURES, random_state

MODELS = os.path.join(FIXTURES, "models")
DIGIT, PICTURE = (1, 28, 28), (3, 16, 16)
BATCH, CLASSES = 8, 10


def softmax_regression(fluid, img):
    return fluid.layers.fc(img, CLASSES, act="softmax")


def multilayer_perceptron(fluid, img):
    hidden = fluid.layers.fc(img, 12, act="relu")
    hidden = fluid.layers.fc(hidden, 12, act="relu")
    return fluid.layers.fc(hidden, CLASSES, act="softmax")


def convolutional_neural_network(fluid, img):
    hidden = fluid.nets.simple_img_conv_pool(img, 4, 5, pool_size=2, pool_stride=2, act="relu")
    hidden = fluid.layers.batch_norm(hidden)
    hidden = fluid.nets.simple_img_conv_pool(hidden, 6, 5, pool_size=2, pool_stride=2, act="relu")
    return fluid.layers.fc(hidden, CLASSES, act="softmax")


def vgg(fluid, img):
    def block(input, filters, rates):
        return fluid.nets.img_conv_group(
            input,
            [filters] * len(rates),
            pool_size=2,
            conv_act="relu",
            conv_with_batchnorm=True,
            conv_batchnorm_drop_rate=rates,
            pool_stride=2,
        )

    hidden = block(img, 4, [0.3, 0.0])
    hidden = block(hidden, 6, [0.4, 0.0])
    hidden = fluid.layers.dropout(hidden, 0.5)
    hidden = fluid.layers.fc(hidden, 16)
    hidden = fluid.layers.batch_norm(hidden, act="relu")
    hidden = fluid.layers.dropout(hidden, 0.5, dropout_implementation="upscale_in_train")
    return fluid.layers.fc(hidden, CLASSES, act="softmax")


def conv_bn(fluid, input, filters, size, stride=1, act="relu", **kwargs):
    padding = (size - 1) // 2
    conv = fluid.layers.conv2d(input, filters, size, stride, padding, bias_attr=False, **kwargs)
    return fluid.layers.batch_norm(conv, act=act)


def resnet(fluid, img):
    def block(input, filters, stride):
        hidden = conv_bn(fluid, input, filters, 3, stride)
        hidden = conv_bn(fluid, hidden, filters, 3, act=None)
        same = input.shape[1] == filters and stride == 1
        shortcut = input if same else conv_bn(fluid, input, filters, 1, stride, act=None)
        return fluid.layers.elementwise_add(shortcut, hidden, act="relu")

    hidden = conv_bn(fluid, img, 6, 3)
    hidden = block(hidden, 6, 1)
    hidden = block(hidden, 12, 2)
    pooled = fluid.layers.pool2d(hidden, pool_type="avg", global_pooling=True)
    return fluid.layers.fc(pooled, CLASSES, act="softmax")


def mobilenet(fluid, img):
    def separable(input, filters, stride):
        channels = input.shape[1]
        hidden = conv_bn(fluid, input, channels, 3, stride, "relu6", groups=channels, use_cudnn=False)
        return conv_bn(fluid, hidden, filters, 1, act="relu6")

    hidden = conv_bn(fluid, img, 6, 3, 2, "relu6")
    hidden = separable(hidden, 8, 1)
    hidden = separable(hidden, 12, 2)
    pooled = fluid.layers.pool2d(hidden, pool_type="avg", global_pooling=True)
    flat = fluid.layers.reshape(pooled, [-1, 12])
    return fluid.layers.softmax(fluid.layers.fc(flat, CLASSES))


NETWORKS = {
    "softmax_regression": (softmax_regression, DIGIT),
    "multilayer_perceptron": (multilayer_perceptron, DIGIT),
    "convolutional_neural_network": (convolutional_neural_network, DIGIT),
    "vgg": (vgg, PICTURE),
    "resnet": (resnet, PICTURE),
    "mobilenet": (mobilenet, PICTURE),
}

# How to train: a function of fluid that makes the optimizer.
RECIPES = {
    "sgd": lambda fluid: fluid.optimizer.SGD(0.05),
    "sgd_l1_inverse": lambda fluid: fluid.optimizer.SGD(
        fluid.layers.inverse_time_decay(0.05, 2, 0.5), regularization=fluid.regularizer.L1Decay(1e-3)
    ),
    "sgd_natural_clip": lambda fluid: fluid.optimizer.SGD(
        fluid.layers.natural_exp_decay(0.05, 2, 0.5, staircase=True), grad_clip=fluid.clip.GradientClipByGlobalNorm(1.0)
    ),
    "momentum": lambda fluid: fluid.optimizer.Momentum(0.02, 0.9),
    "momentum_l2_polynomial": lambda fluid: fluid.optimizer.Momentum(
        fluid.layers.polynomial_decay(0.02, 8, 0.001), 0.9, regularization=fluid.regularizer.L2Decay(1e-3)
    ),
    "nesterov_cosine_clip": lambda fluid: fluid.optimizer.Momentum(
        fluid.layers.cosine_decay(0.02, 2, 10),
        0.9,
        use_nesterov=True,
        grad_clip=fluid.clip.GradientClipByNorm(0.5),
    ),
    "adam": lambda fluid: fluid.optimizer.Adam(0.01),
    "adam_noam_clip": lambda fluid: fluid.optimizer.Adam(
        fluid.layers.noam_decay(64, 4), grad_clip=fluid.clip.GradientClipByValue(0.1)
    ),
    "adam_l2_exponential": lambda fluid: fluid.optimizer.Adam(
        fluid.layers.exponential_decay(0.02, 3, 0.7), regularization=fluid.regularizer.L2Decay(1e-3)
    ),
    "adam_cycle": lambda fluid: fluid.optimizer.Adam(fluid.layers.polynomial_decay(0.02, 3, 0.001, 2.0, cycle=True)),
    "adam_piecewise": lambda fluid: fluid.optimizer.Adam(fluid.layers.piecewise_decay([3, 7], [0.02, 0.01, 0.002])),
    "adam_warmup": lambda fluid: fluid.optimizer.Adam(fluid.layers.linear_lr_warmup(0.02, 4, 0.001, 0.02)),
}

# All recipes are compared on one network; on the others, those that differ most.
BUILT = [("convolutional_neural_network", recipe) for recipe in RECIPES]
BUILT += [
    (network, recipe)
    for network in NETWORKS
    for recipe in ("sgd", "momentum_l2_polynomial", "adam_l2_exponential")
    if network != "convolutional_neural_network"
]

# Checkpoints cross over with these, on the convolutional network.
RESUMED = ("adam", "momentum", "adam_l2_exponential", "momentum_l2_polynomial")
# Ways to save a checkpoint, and to load it: what it was saved as, and how it is loaded.
CHECKPOINTS = ("persistables", "combined", "save")
LOADINGS = {
    "persistables": ("persistables", "load_persistables"),
    "combined": ("combined", "load_persistables"),
    "save": ("save", "load"),
    "state": ("save", "set_program_state"),
    "persistables_load": ("persistables", "load"),
    "persistables_state": ("persistables", "set_program_state"),
}
STEPS = 5


class Model:
    """A network with its loss and the optimizer of a recipe: the programs ``main``, ``startup`` and ``test``."""

    def __init__(self, fluid, network, recipe="adam"):
        build, shape = NETWORKS[network]
        self.network = network
        self.main, self.startup = fluid.Program(), fluid.Program()
        self.main.random_seed = self.startup.random_seed = 90
        with fluid.unique_name.guard(), fluid.program_guard(self.main, self.startup):
            img = fluid.data("img", [None] + list(shape))
            label = fluid.data("label", [None, 1], "int64")
            self.prediction = build(fluid, img)
            self.loss = fluid.layers.mean(fluid.layers.cross_entropy(self.prediction, label))
            self.test = self.main.clone(for_test=True)
            RECIPES[recipe](fluid).minimize(self.loss)


class Recommender:
    """A model with several inputs and outputs, of numbers and of integers: who likes what, and which shelf it is on."""

    def __init__(self, fluid):
        self.main, self.startup = fluid.Program(), fluid.Program()
        self.main.random_seed = self.startup.random_seed = 90
        layers = fluid.layers
        with fluid.unique_name.guard(), fluid.program_guard(self.main, self.startup):
            user, title = fluid.data("user", [None, 1], "int64"), fluid.data("title", [None, 4], "int64")
            profile, rating = fluid.data("profile", [None, 6]), fluid.data("rating", [None, 1])
            shelf = fluid.data("shelf", [None, 1], "int64")
            taste = layers.reshape(fluid.embedding(user, [20, 8], param_attr="users"), [-1, 8])
            taste = layers.fc(layers.concat([taste, layers.fc(profile, 8, act="leaky_relu")], axis=1), 8, act="tanh")
            words = fluid.embedding(title, [30, 8], padding_idx=0, param_attr="words")
            item = layers.layer_norm(layers.reduce_mean(words, dim=1))
            liking = layers.scale(layers.cos_sim(taste, item), scale=5.0)
            logits = layers.fc(layers.dropout(layers.concat([taste, item], axis=1), 0.2), CLASSES)
            shelves = layers.softmax(logits)
            self.targets = [liking, layers.argmax(shelves, axis=1), layers.topk(shelves, 3)[1], shelves]
            self.loss = layers.mean(layers.square_error_cost(liking, rating)) + layers.mean(
                layers.cross_entropy(shelves, shelf)
            )
            fluid.optimizer.Adam(0.01).minimize(self.loss)

    @staticmethod
    def feed(step):
        rng = random_state("recommender %d" % step)
        return {
            "title": rng.randint(0, 30, (BATCH, 4)).astype("int64"),
            "profile": rng.uniform(-1, 1, (BATCH, 6)).astype("float32"),
            "user": rng.randint(0, 20, (BATCH, 1)).astype("int64"),
            "rating": rng.uniform(1, 5, (BATCH, 1)).astype("float32"),
            "shelf": rng.randint(0, CLASSES, (BATCH, 1)).astype("int64"),
        }

    @classmethod
    def saved(cls, fluid, exe, folder, forms):
        """Train one, and save what does not need the labels in some forms; the values that are fed to try it."""
        model = cls(fluid)
        exe.run(model.startup)
        for step in range(STEPS):
            exe.run(model.main, feed=cls.feed(step), fetch_list=[model.loss])
        feed = {name: value for name, value in cls.feed(100).items() if name not in ("rating", "shelf")}
        for form in forms:
            place = os.path.join(folder, form)
            with fluid.unique_name.guard():
                fluid.io.save_inference_model(place, list(feed), model.targets, exe, model.main, *FORMS[form])
        return feed


def images(network, step):
    """A batch of images in [-1, 1]."""
    shape = (BATCH,) + NETWORKS[network][1]
    return random_state("images %d" % step).uniform(-1, 1, shape).astype("float32")


def labels(step):
    return random_state("labels %d" % step).randint(0, CLASSES, (BATCH, 1)).astype("int64")


def train(fluid, exe, main, loss, network, first, steps=STEPS):
    """The losses of the steps from number ``first`` on; ``loss`` is a Variable or its name."""
    losses = []
    for step in range(first, first + steps):
        [value] = exe.run(main, feed={"img": images(network, step), "label": labels(step)}, fetch_list=[loss])
        losses.append(float(np.asarray(value).ravel()[0]))
    return losses


def trained(fluid, exe, network, recipe="adam"):
    """A Model after its first steps, in the current scope, and the losses."""
    model = Model(fluid, network, recipe)
    exe.run(model.startup)
    return model, train(fluid, exe, model.main, model.loss, network, 0)


# The forms of a saved inference model: folder -> the names of its files.
FORMS = {
    "separate": (None, None),
    "combined": (None, "params"),
    "named": ("model", "weights"),
    "optimized": ("model", "params"),
}


def save_inference_models(fluid, exe, model, folder, forms=("separate", "combined")):
    """Save the trained Model in several forms; what it predicts for one batch of images."""
    img = images(model.network, 100)
    [prediction] = exe.run(model.test, feed={"img": img, "label": labels(100)}, fetch_list=[model.prediction])
    for form in forms:
        place = os.path.join(folder, form)
        # The names of the scale operators that the real Paddle adds are counted.
        with fluid.unique_name.guard():
            fluid.io.save_inference_model(place, ["img"], [model.prediction], exe, model.main, *FORMS[form])
    return np.asarray(prediction)


def predict(fluid, exe, folder, form, feed):
    """Load an inference model in a fresh scope, and run it: (program, feeds, fetches, outputs)."""
    with fluid.scope_guard(fluid.Scope()):
        program, feeds, fetches = fluid.io.load_inference_model(folder, exe, *FORMS[form])
        outputs = exe.run(program, feed=feed, fetch_list=fetches)
    return program, feeds, [v.name for v in fetches], [np.asarray(out) for out in outputs]


def save_checkpoint(fluid, exe, main, folder, how):
    if how == "save":
        fluid.save(main, os.path.join(folder, how, "model"))
    else:
        filename = "everything" if how == "combined" else None
        fluid.io.save_persistables(exe, os.path.join(folder, how), main, filename)


def load_checkpoint(fluid, exe, main, folder, how):
    saved, function = LOADINGS[how]
    path = os.path.join(folder, saved, "model") if saved == "save" else os.path.join(folder, saved)
    if function == "load_persistables":
        fluid.io.load_persistables(exe, path, main, "everything" if saved == "combined" else None)
    elif function == "load":
        fluid.load(main, path, exe)
    else:
        fluid.io.set_program_state(main, fluid.io.load_program_state(path))


def train_and_save(fluid, network, recipe, folder):
    """Train five steps, save a checkpoint in each form, train five more: the losses of those."""
    exe = fluid.Executor(fluid.CPUPlace())
    with fluid.scope_guard(fluid.Scope()):
        model, _ = trained(fluid, exe, network, recipe)
        for how in CHECKPOINTS:
            save_checkpoint(fluid, exe, model.main, folder, how)
        return train(fluid, exe, model.main, model.loss, network, STEPS)


def resume(fluid, network, recipe, folder, how):
    """Build the network anew, load a checkpoint of step five, train five steps more: the losses of those."""
    exe = fluid.Executor(fluid.CPUPlace())
    with fluid.scope_guard(fluid.Scope()):
        model = Model(fluid, network, recipe)
        exe.run(model.startup)
        load_checkpoint(fluid, exe, model.main, folder, how)
        return train(fluid, exe, model.main, model.loss, network, STEPS)


def train_parsed(fluid, main, startup, network, loss):
    """Train the programs that two byte strings hold: the losses of five steps."""
    exe = fluid.Executor(fluid.CPUPlace())
    with fluid.scope_guard(fluid.Scope()):
        exe.run(fluid.Program.parse_from_string(startup))
        return train(fluid, exe, fluid.Program.parse_from_string(main), loss, network, 0)


def pack(name, files):
    """Write fixtures/models/NAME.tar.xz: path -> bytes, in the same bytes whenever the content is the same."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path in sorted(files):
            info = tarfile.TarInfo(path)
            info.size = len(files[path])
            archive.addfile(info, io.BytesIO(files[path]))
    with open(os.path.join(MODELS, name + ".tar.xz"), "wb") as f:
        f.write(lzma.compress(raw.getvalue(), preset=9 | lzma.PRESET_EXTREME))


def unpack(name):
    """What ``pack`` wrote: path -> bytes."""
    with tarfile.open(os.path.join(MODELS, name + ".tar.xz")) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive.getmembers()}


def write_files(files, folder):
    """Put path -> bytes, such as ``unpack`` returns, into a folder."""
    for path, data in files.items():
        target = os.path.join(folder, *path.split("/"))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "wb") as f:
            f.write(data)


def read_files(folder):
    """Undoes ``write_files``."""
    files = {}
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            with open(path, "rb") as f:
                files[os.path.relpath(path, folder).replace(os.sep, "/")] = f.read()
    return files


def array_bytes(array):
    """The array as the bytes of a .npy file."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def array_from(data):
    """Undoes ``array_bytes``."""
    return np.load(io.BytesIO(data))
