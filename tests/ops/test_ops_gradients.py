"""Gradients of the dense operators agree with finite differences in float64."""

import numpy as np
import pytest
from finite_differences import check

import fluidlite.fluid as fluid
from fluidlite.fluid import layers

SMOOTH = (
    "exp tanh sigmoid logsigmoid square sin cos atan softplus softsign tanh_shrink erf gelu swish mish stanh elu selu"
)
KINKED = (
    "relu relu6 leaky_relu abs brelu soft_relu hard_sigmoid hard_swish softshrink hard_shrink thresholded_relu "
    "ceil floor round sign"
)
POSITIVE = "log log1p sqrt rsqrt reciprocal"


@pytest.mark.parametrize("name", SMOOTH.split())
def test_smooth_functions(name):
    check(lambda t: getattr(layers, name)(t.normal(3, 4)))


@pytest.mark.parametrize("name", KINKED.split())
def test_functions_with_kinks(name):
    check(lambda t: getattr(layers, name)(layers.scale(t.apart(4, 5), 2.0)))


@pytest.mark.parametrize("name", POSITIVE.split())
def test_functions_of_positive_numbers(name):
    check(lambda t: getattr(layers, name)(t.uniform(0.3, 2, 3, 4)))


@pytest.mark.parametrize("name", ["asin", "acos"])
def test_functions_of_sines(name):
    check(lambda t: getattr(layers, name)(t.uniform(-0.9, 0.9, 3, 4)))


def test_gelu_approximated():
    check(lambda t: layers.gelu(t.normal(3, 4), approximate=True))


@pytest.mark.parametrize("factor", [-1.0, 0.5, 1.0, 1.7, 2.0, 3.0, 4.0])
def test_pow(factor):
    check(lambda t: layers.pow(t.uniform(0.3, 2, 3, 4), factor))


def test_clip():
    check(lambda t: layers.clip(t.apart(4, 5), -0.7, 0.9))


@pytest.mark.parametrize("mode", ["all", "channel", "element"])
def test_prelu(mode):
    def build(t):
        alpha = t.uniform(0.1, 0.5, *{"all": [1], "channel": [1, 3, 1, 1], "element": [1, 3, 2, 2]}[mode])
        x = t.apart(2, 3, 2, 2)
        block = fluid.default_main_program().global_block()
        result = block.create_var(name="result", dtype="float64")
        block.append_op("prelu", {"X": x, "Alpha": alpha}, {"Out": result}, {"mode": mode})
        return result

    check(build)


BROADCASTS = {
    "equal": ((2, 3), (2, 3), -1),
    "last": ((2, 3, 4), (4,), -1),
    "middle": ((2, 3, 4, 2), (3, 4), 1),
    "channel": ((2, 3, 2, 2), (3,), 1),
    "first": ((3, 2, 2), (3,), 0),
    "trailing_ones": ((2, 3, 4), (3, 1), 1),
    "one": ((2, 3), (1,), -1),
    "inner_one": ((2, 3, 4), (2, 1, 4), -1),
    "both": ((2, 1, 4), (2, 3, 1), -1),
    "x_smaller": ((4,), (2, 3, 4), -1),
}


@pytest.mark.parametrize("shapes", BROADCASTS.values(), ids=BROADCASTS)
@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "pow"])
def test_elementwise(name, shapes):
    x, y, axis = shapes
    check(lambda t: getattr(layers, "elementwise_" + name)(t.uniform(0.5, 2, *x), t.uniform(0.5, 2, *y), axis))


@pytest.mark.parametrize("shapes", BROADCASTS.values(), ids=BROADCASTS)
@pytest.mark.parametrize("name", ["max", "min"])
def test_elementwise_choices(name, shapes):
    x, y, axis = shapes
    check(lambda t: getattr(layers, "elementwise_" + name)(t.apart(*x), t.normal(*y), axis))


def test_the_same_variable_twice():
    def build(t):
        x = t.normal(3, 2)
        return layers.elementwise_mul(x, x)

    check(build)


@pytest.mark.parametrize("dim", [None, 0, [0, 2], [-1], [0, 1, 2]])
@pytest.mark.parametrize("keep_dim", [False, True])
@pytest.mark.parametrize("name", ["sum", "mean", "max", "min", "prod"])
def test_reductions(name, dim, keep_dim):
    check(lambda t: getattr(layers, "reduce_" + name)(t.apart(2, 3, 2), dim, keep_dim))


def test_mean():
    check(lambda t: layers.mean(t.normal(2, 3, 2)))


MATMULS = {
    "matrices": ((2, 3), (3, 4), {}),
    "transposed": ((3, 2), (4, 3), {"transpose_x": True, "transpose_y": True, "alpha": 0.5}),
    "stacks": ((2, 2, 3), (2, 3, 4), {}),
    "stacks_transposed": ((2, 3, 2), (2, 4, 3), {"transpose_x": True, "transpose_y": True}),
    "stack_and_matrix": ((2, 2, 3), (3, 4), {"alpha": 2.0}),
    "stack_and_matrix_transposed": ((2, 3, 2), (4, 3), {"transpose_x": True, "transpose_y": True}),
    "matrix_and_stack": ((2, 3), (2, 3, 4), {}),
    "matrix_transposed_and_stack": ((3, 2), (2, 3, 4), {"transpose_x": True}),
    "vectors": ((3,), (3,), {}),
    "matrix_and_vector": ((2, 3), (3,), {}),
    "stack_and_vector": ((2, 2, 3), (3,), {}),
    "vector_and_matrix": ((3,), (3, 4), {}),
    "columns": ((3,), (1, 4), {"transpose_x": True}),
    "four_dimensions": ((2, 2, 2, 3), (2, 2, 3, 2), {}),
}


@pytest.mark.parametrize("case", MATMULS.values(), ids=MATMULS)
def test_matmul(case):
    x, y, arguments = case
    check(lambda t: layers.matmul(t.normal(*x), t.normal(*y), **arguments))


@pytest.mark.parametrize(
    "x, y, x_cols, y_cols",
    [((2, 3), (3, 2), 1, 1), ((2, 2, 3), (3, 2), 2, 1), ((2, 6), (2, 3, 2), 1, 2)],
)
def test_mul(x, y, x_cols, y_cols):
    check(lambda t: layers.mul(t.normal(*x), t.normal(*y), x_cols, y_cols))


def test_bmm_and_dot():
    check(lambda t: [layers.bmm(t.normal(2, 2, 3), t.normal(2, 3, 2)), layers.dot(t.normal(2, 3), t.normal(2, 3))])


ONE_INPUT = {
    "reshape": lambda x: layers.reshape(x, [0, -1]),
    "flatten": lambda x: layers.flatten(x, 2),
    "squeeze": lambda x: layers.squeeze(layers.unsqueeze(x, [1]), [1]),
    "unsqueeze": lambda x: layers.unsqueeze(x, [0, -1]),
    "transpose": lambda x: layers.transpose(x, [2, 0, 1]),
    "split": lambda x: layers.split(x, [1, 2], 1),
    "split_unused": lambda x: layers.split(x, 3, 1)[1],
    "unstack": lambda x: layers.unstack(x, 2),
    "expand": lambda x: layers.expand(x, [2, 1, 3]),
    "slice": lambda x: layers.slice(x, [0, 2], [1, -3], [9, -1]),
    "strided_slice": lambda x: layers.strided_slice(x, [1, 2], [2, 0], [-9, 4], [-1, 2]),
    "index": lambda x: x[0, 1:, -1],
    "index_steps": lambda x: x[:, ::-1, ::2],
    "reverse": lambda x: layers.reverse(x, [0, 2]),
    "cast": lambda x: layers.cast(x, "float64"),
    "assign": lambda x: layers.assign(x),
    "scale": lambda x: layers.scale(x, 2.5, 1.0, bias_after_scale=False),
    "cumsum": lambda x: layers.cumsum(x, 1),
    "cumsum_others": lambda x: layers.cumsum(x, 2, exclusive=True, reverse=True),
    "l2_normalize": lambda x: layers.l2_normalize(x, 1),
    "operators": lambda x: (2 - x) * 3 / (x * x + 1) - -x,
}


@pytest.mark.parametrize("name", ONE_INPUT)
def test_one_input(name):
    check(lambda t: ONE_INPUT[name](t.normal(2, 3, 4)))


def test_several_inputs():
    check(
        lambda t: [
            layers.concat([t.normal(2, 3), t.normal(2, 1)], 1),
            layers.stack([t.normal(2, 3), t.normal(2, 3)], 1),
            layers.sum([t.normal(2, 2), t.normal(2, 2), t.normal(2, 2)]),
        ]
    )


def test_gather():
    check(lambda t: layers.gather(t.normal(4, 2), t.declare(np.array([2, 0, 2])), overwrite=False))
    places = np.array([[0, 1], [2, 0], [0, 1]])
    check(lambda t: layers.gather_nd(t.normal(3, 2), t.constant(places)))


def test_scatter_updates():
    check(lambda t: layers.scatter(t.constant(np.ones((4, 2))), t.declare(np.array([2, 0])), t.normal(2, 2)))


@pytest.mark.parametrize("padding_idx", [None, 1])
def test_embedding(padding_idx):
    def build(t):
        ids = t.declare(np.array([[3, 1], [3, 0]]))
        table = t.normal(5, 2)
        block = fluid.default_main_program().global_block()
        out = block.create_var(name="out", dtype="float64")
        attrs = {"padding_idx": -1 if padding_idx is None else padding_idx}
        block.append_op("lookup_table_v2", {"W": table, "Ids": ids}, {"Out": out}, attrs)
        return out

    check(build)


@pytest.mark.parametrize("axis", [1, 2])
def test_layer_norm(axis):
    def build(t):
        x, shape = t.normal(2, 3, 4), [3, 4][axis - 1 :]
        scale, bias = t.normal(int(np.prod(shape))), t.normal(int(np.prod(shape)))
        block = fluid.default_main_program().global_block()
        y, mean, variance = (block.create_var(name=name, dtype="float64") for name in ("y", "mean", "variance"))
        inputs = {"X": x, "Scale": scale, "Bias": bias}
        block.append_op("layer_norm", inputs, {"Y": y, "Mean": mean, "Variance": variance}, {"begin_norm_axis": axis})
        return y

    check(build, rtol=1e-5)


def test_cross_entropy():
    labels = np.array([[0], [2], [1], [2]])
    check(lambda t: layers.cross_entropy(t.uniform(0.1, 0.9, 4, 3), t.declare(labels)))
    check(lambda t: layers.cross_entropy(t.uniform(0.1, 0.9, 4, 3), t.declare(labels), ignore_index=2))


def test_cross_entropy_with_soft_labels():
    soft = np.array([[0.2, 0.8], [1, 0], [0.5, 0.5]])
    check(lambda t: layers.cross_entropy(t.uniform(0.1, 0.9, 3, 2), t.constant(soft), soft_label=True))


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax_with_cross_entropy(axis):
    shape = [2, 3, 4]
    shape[axis] = 1
    labels = np.random.default_rng(3).integers(0, 2, shape)
    check(lambda t: layers.softmax_with_cross_entropy(t.normal(2, 3, 4), t.declare(labels), axis=axis))
    check(lambda t: layers.softmax_with_cross_entropy(t.normal(2, 3, 4), t.declare(labels), ignore_index=1, axis=axis))


def test_softmax_with_cross_entropy_with_soft_labels():
    soft = np.array([[0.2, 0.8], [1, 0], [0.5, 0.5]])
    check(lambda t: layers.softmax_with_cross_entropy(t.normal(3, 2), t.constant(soft), soft_label=True))


def test_other_losses():
    half = np.array([[0.0], [1.0], [1.0]])
    check(lambda t: layers.square_error_cost(t.normal(3, 2), t.normal(3, 2)))
    check(lambda t: layers.sigmoid_cross_entropy_with_logits(t.normal(3, 1), t.constant(half), 0, normalize=True))
    check(lambda t: layers.log_loss(t.uniform(0.1, 0.9, 3, 1), t.constant(half)))
    check(lambda t: layers.huber_loss(t.apart(5, 1), t.normal(5, 1), 0.7))
    check(lambda t: layers.smooth_l1(t.apart(3, 4), t.normal(3, 4), sigma=2.0))
    check(lambda t: layers.kldiv_loss(t.normal(3, 2), t.constant(np.full((3, 2), 0.5)), "batchmean"))
    check(lambda t: layers.margin_rank_loss(t.constant(half * 2 - 1), t.normal(3, 1), t.normal(3, 1)))
    check(lambda t: layers.rank_loss(t.constant(half), t.normal(3, 1), t.normal(3, 1)))
    check(lambda t: layers.mse_loss(t.normal(3, 2), t.normal(3, 2)))


def test_top_k_goes_back_to_the_chosen():
    def build(t):
        values, indices = layers.topk(t.apart(3, 5), 2)
        values.stop_gradient = False
        return values

    check(build)


def test_image_gradients_do_not_depend_on_how_images_are_stored():
    def build(t):
        image = layers.transpose(t.normal(2, 4, 3, 3), [0, 2, 1, 3])
        biased = layers.elementwise_add(layers.relu(image), t.normal(3), axis=1)
        return layers.reduce_mean(layers.elementwise_mul(biased, biased), [2, 3])

    check(build)


def test_shuffle_channel():
    check(lambda t: layers.shuffle_channel(t.normal(2, 6, 2, 3), 3))


def test_group_norm_without_shift():
    check(lambda t: layers.group_norm(t.normal(2, 4, 3, 2), 2))


@pytest.mark.parametrize("kind", ["max", "avg"])
def test_adaptive_pooling_to_uneven_windows(kind):
    check(lambda t: layers.adaptive_pool2d(t.apart(2, 3, 5, 7), [3, 2], kind))


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge"])
def test_pad2d(mode):
    check(lambda t: layers.pad2d(t.normal(2, 2, 3, 4), [1, 2, 0, 3], mode))


@pytest.mark.parametrize("align", [dict(), dict(align_corners=False, align_mode=0), dict(align_corners=False)])
def test_resize_bilinear(align):
    check(lambda t: layers.resize_bilinear(t.normal(2, 2, 3, 4), [5, 3], **align))


def test_lrn():
    check(lambda t: layers.lrn(t.normal(2, 4, 2, 3), n=3, alpha=0.3))


def test_conv2d_transpose():
    def build(t):
        x, w, bias = t.normal(2, 4, 3, 2), t.normal(4, 3, 3, 3), t.normal(6)
        block = fluid.default_main_program().global_block()
        result = block.create_var(name="result", dtype="float64")
        attrs = {"strides": [2, 1], "paddings": [1, 0], "groups": 2, "output_size": [6, 4]}
        inputs = {"Input": x, "Filter": w, "Bias": bias}
        block.append_op("conv2d_transpose", inputs, {"Output": result}, attrs)
        return result

    check(build)


@pytest.mark.parametrize("dim, power_iters", [(0, 0), (1, 0), (0, 60), (1, 60)])
def test_spectral_norm(dim, power_iters):
    """The singular vectors are constant, or converge to those by which the largest singular value has this gradient."""

    def build(t):
        weight = t.normal(3, 2, 2)
        height, width = [(3, 4), (2, 6)][dim]
        inputs = {"Weight": weight, "U": t.constant(np.ones(height)), "V": t.constant(np.linspace(1, 2, width))}
        block = fluid.default_main_program().global_block()
        result = block.create_var(name="result", dtype="float64")
        block.append_op("spectral_norm", inputs, {"Out": result}, {"dim": dim, "power_iters": power_iters})
        return result

    check(build)
