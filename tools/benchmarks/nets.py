"""The networks that bench.py times, written with Fluid's layers.

Every builder takes the module `fluid` and the image variable and returns the prediction, so that fluidlite and the real
Paddle 1.8.5 (whose Python is 3.7) run the very same code.  `torch_nets.py` and `jax_nets.py` hold their twins.
"""

from collections import namedtuple

# prediction: "probabilities", or "logits" where the tutorial leaves the softmax to its loss.
Net = namedtuple("Net", "build image batch optimizer prediction about")
Optimizer = namedtuple("Optimizer", "kind learning_rate momentum")

ADAM = Optimizer("Adam", 0.001, None)
SGD = Optimizer("SGD", 0.1, None)
MOMENTUM = Optimizer("Momentum", 0.1, 0.9)
# Fluid's models train ResNet-50 with 0.1 for batches of 256.
SLOW_MOMENTUM = Optimizer("Momentum", 0.025, 0.9)

DIGIT = (1, 28, 28)
COLOURED = (3, 32, 32)
PHOTOGRAPH = (3, 224, 224)


def softmax(fluid, image):
    return fluid.layers.fc(image, 10, act="softmax")


def mlp(fluid, image):
    hidden = fluid.layers.fc(image, 200, act="relu")
    hidden = fluid.layers.fc(hidden, 200, act="relu")
    return fluid.layers.fc(hidden, 10, act="softmax")


def cnn(fluid, image):
    hidden = fluid.nets.simple_img_conv_pool(image, 20, 5, 2, 2, act="relu")
    hidden = fluid.layers.batch_norm(hidden)
    hidden = fluid.nets.simple_img_conv_pool(hidden, 50, 5, 2, 2, act="relu")
    return fluid.layers.fc(hidden, 10, act="softmax")


def mxnet_mlp(fluid, image):
    hidden = fluid.layers.fc(image, 128, act="relu")
    hidden = fluid.layers.fc(hidden, 64, act="relu")
    return fluid.layers.fc(hidden, 10, act="softmax")


def mxnet_lenet(fluid, image):
    hidden = fluid.nets.simple_img_conv_pool(image, 20, 5, 2, 2, act="tanh")
    hidden = fluid.nets.simple_img_conv_pool(hidden, 50, 5, 2, 2, act="tanh")
    hidden = fluid.layers.fc(hidden, 500, act="tanh")
    return fluid.layers.fc(hidden, 10, act="softmax")


def torch_cnn(fluid, image):
    hidden = fluid.layers.conv2d(image, 10, 5, padding=2, act="relu")
    hidden = fluid.layers.pool2d(hidden, 2, "max", 1)
    hidden = fluid.layers.dropout(hidden, 0.2, dropout_implementation="upscale_in_train")
    hidden = fluid.layers.fc(hidden, 128, act="relu")
    return fluid.layers.fc(hidden, 10)


def torch_lenet5(fluid, image):
    hidden = fluid.layers.conv2d(image, 6, 5, padding=2, act="tanh")
    hidden = fluid.layers.pool2d(hidden, 2, "avg", 2)
    hidden = fluid.layers.conv2d(hidden, 16, 5, act="tanh")
    hidden = fluid.layers.pool2d(hidden, 2, "avg", 2)
    hidden = fluid.layers.conv2d(hidden, 120, 5, act="tanh")
    hidden = fluid.layers.fc(hidden, 84, act="tanh")
    return fluid.layers.fc(hidden, 10)


# Filters of each group of convolutions, and the dropout after each convolution.
VGG_GROUPS = [
    (64, [0.3, 0]),
    (128, [0.4, 0]),
    (256, [0.4, 0.4, 0]),
    (512, [0.4, 0.4, 0]),
    (512, [0.4, 0.4, 0]),
]


def vgg16(fluid, image):
    hidden = image
    for filters, dropouts in VGG_GROUPS:
        hidden = fluid.nets.img_conv_group(
            hidden,
            conv_num_filter=[filters] * len(dropouts),
            pool_size=2,
            pool_stride=2,
            conv_act="relu",
            conv_with_batchnorm=True,
            conv_batchnorm_drop_rate=dropouts,
        )
    hidden = fluid.layers.fc(fluid.layers.dropout(hidden, 0.5), 512)
    hidden = fluid.layers.batch_norm(hidden, act="relu")
    hidden = fluid.layers.fc(fluid.layers.dropout(hidden, 0.5), 512)
    return fluid.layers.fc(hidden, 10, act="softmax")


def convolved(fluid, x, filters, size, stride, act=None, bias=False):
    """Convolution and batch normalisation, as residual networks have them."""
    x = fluid.layers.conv2d(x, filters, size, stride=stride, padding=size // 2, bias_attr=None if bias else False)
    return fluid.layers.batch_norm(x, act=act)


def resnet32(fluid, image):
    layers = fluid.layers
    hidden = convolved(fluid, image, 16, 3, 1, act="relu")
    for filters, first_stride in (16, 1), (32, 2), (64, 2):
        for stride in [first_stride, 1, 1, 1, 1]:
            branch = convolved(fluid, hidden, filters, 3, stride, act="relu")
            branch = convolved(fluid, branch, filters, 3, 1, bias=True)
            shortcut = hidden if hidden.shape[1] == filters else convolved(fluid, hidden, filters, 1, stride)
            hidden = layers.elementwise_add(branch, shortcut, act="relu")
    hidden = layers.pool2d(hidden, 8, "avg", 1)
    return layers.fc(hidden, 10, act="softmax")


# Of each stage of ResNet-50: filters of the 3x3 convolutions, blocks, and the stride of the first of them.
RESNET50_STAGES = [(64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)]


def resnet50(fluid, image):
    layers = fluid.layers
    hidden = convolved(fluid, image, 64, 7, 2, act="relu")
    hidden = layers.pool2d(hidden, 3, "max", 2, 1)
    for filters, blocks, first_stride in RESNET50_STAGES:
        for stride in [first_stride] + [1] * (blocks - 1):
            branch = convolved(fluid, hidden, filters, 1, 1, act="relu")
            branch = convolved(fluid, branch, filters, 3, stride, act="relu")
            branch = convolved(fluid, branch, 4 * filters, 1, 1)
            shortcut = hidden
            if hidden.shape[1] != 4 * filters:
                shortcut = convolved(fluid, hidden, 4 * filters, 1, stride)
            hidden = layers.elementwise_add(branch, shortcut, act="relu")
    hidden = layers.pool2d(hidden, pool_type="avg", global_pooling=True)
    return layers.fc(hidden, 1000, act="softmax")


NETS = {
    "cnn": Net(cnn, DIGIT, 64, ADAM, "probabilities", "CNN of the Fluid tutorial"),
    "cnn256": Net(cnn, DIGIT, 256, ADAM, "probabilities", "CNN of the Fluid tutorial"),
    "mlp": Net(mlp, DIGIT, 64, ADAM, "probabilities", "MLP of the Fluid tutorial, 200-200"),
    "softmax": Net(softmax, DIGIT, 64, ADAM, "probabilities", "softmax regression of the Fluid tutorial"),
    "mxnet_mlp": Net(mxnet_mlp, DIGIT, 100, SGD, "probabilities", "MLP of MXNet's tutorial, 128-64"),
    "mxnet_lenet": Net(mxnet_lenet, DIGIT, 100, SGD, "probabilities", "LeNet of MXNet's tutorial, tanh, fc 500"),
    "torch_cnn": Net(torch_cnn, DIGIT, 100, ADAM, "logits", "CNN of a PyTorch tutorial, stride-1 pool, dropout"),
    "torch_lenet5": Net(torch_lenet5, DIGIT, 100, ADAM, "logits", "LeNet5 of a PyTorch tutorial, average pool"),
    "vgg16": Net(vgg16, COLOURED, 64, ADAM, "probabilities", "VGG16 with batch norm of Fluid's book, 32x32x3"),
    "resnet32": Net(resnet32, COLOURED, 128, MOMENTUM, "probabilities", "ResNet-32 of Fluid's book, 32x32x3"),
    "resnet50": Net(resnet50, PHOTOGRAPH, 64, SLOW_MOMENTUM, "probabilities", "ResNet-50 of Fluid's models, 224x224x3"),
}
# Not for a CPU, unless they are asked for.
LARGE = {"resnet50"}


def build(fluid, net, train):
    """Build a network in the default Programs.

    Args:
        fluid: the module `fluidlite.fluid` or `paddle.fluid`.
        net (str): a key of NETS.
        train (bool): with loss, accuracy and optimizer; or the prediction alone.
    Returns:
        (program, fetch_list): the Program to run, and the Variables to fetch from it.
    """
    kind = NETS[net]
    image = fluid.data("image", [None] + list(kind.image), "float32")
    prediction = kind.build(fluid, image)
    main = fluid.default_main_program()
    if not train:
        return main.clone(for_test=True), [prediction]
    label = fluid.data("label", [None, 1], "int64")
    if kind.prediction == "logits":
        cost = fluid.layers.softmax_with_cross_entropy(prediction, label)
    else:
        cost = fluid.layers.cross_entropy(prediction, label)
    loss = fluid.layers.mean(cost)
    accuracy = fluid.layers.accuracy(prediction, label)
    optimizer_of(fluid, kind.optimizer).minimize(loss)
    return main, [loss, accuracy]


def optimizer_of(fluid, wanted):
    """Fluid's optimizer for an Optimizer of the table."""
    if wanted.kind == "Momentum":
        return fluid.optimizer.Momentum(wanted.learning_rate, wanted.momentum)
    return getattr(fluid.optimizer, wanted.kind)(wanted.learning_rate)


def gemm_flops(program, batch):
    """Floating point operations of a Program's matrix products, convolutions included, in one run.

    Args:
        program: a Program of fluidlite or Paddle; its gradients count, its elementwise operators do not.
        batch (int): stands for the -1 in the variables' shapes.
    Returns:
        int, two for each multiplication and its addition.
    """
    return sum(products_of(op, program.global_block(), batch) for op in program.global_block().ops)


def elements(variable, batch):
    """How many numbers a variable holds."""
    total = 1
    for size in variable.shape:
        total *= batch if size == -1 else size
    return total


def products_of(op, block, batch):
    """Floating point operations of the matrix products of one operator; 0 for one that has none."""
    kind = op.type[: -len("_grad")] if op.type.endswith("_grad") else op.type
    if kind in ("conv2d", "depthwise_conv2d"):
        output = op.input("Output@GRAD")[0] if op.type != kind else op.output("Output")[0]
        filters, channels, height, width = block.var(op.input("Filter")[0]).shape
        product = 2 * elements(block.var(output), batch) * channels * height * width
    elif kind == "mul":
        weight = block.var(op.input("Y")[0])
        rows = elements(block.var(op.input("X")[0]), batch) // weight.shape[0]
        product = 2 * rows * elements(weight, batch)
    elif kind in ("lstm", "gru"):
        rows = elements(block.var(op.input("Input")[0]), batch) // block.var(op.input("Input")[0]).shape[1]
        product = 2 * rows * elements(block.var(op.input("Weight")[0]), batch)
        return product if op.type == kind else 2 * product
    else:
        return 0
    products = 1 if op.type == kind else sum(len(op.output(slot)) for slot in op.output_names)
    return product * products
