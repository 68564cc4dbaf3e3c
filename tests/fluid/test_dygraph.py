"""`fluid.dygraph`: names that packages look at; what would run imperatively says that it does not."""

import pytest

from fluidlite import fluid

# Those of Paddle 1.8.5, without what traces or translates imperative code.
NAMES = """
BCELoss BatchNorm BilinearTensorProduct Conv2D Conv2DTranspose Conv3D Conv3DTranspose CosineDecay DataParallel Dropout
Embedding ExponentialDecay GRUUnit GroupNorm InstanceNorm InverseTimeDecay L1Loss LambdaDecay Layer LayerList LayerNorm
Linear LinearLrWarmup MSELoss MultiStepDecay NCE NLLLoss NaturalExpDecay NoamDecay PRelu ParallelEnv ParameterList
PiecewiseDecay PolynomialDecay Pool2D ReduceLROnPlateau Sequential SpectralNorm StepDecay TreeConv disable_dygraph
disable_imperative enable_dygraph enable_imperative enabled grad guard load_dygraph no_grad prepare_context
save_dygraph to_variable
"""


def test_names():
    assert sorted(fluid.dygraph.__all__) == NAMES.split()
    assert all(hasattr(fluid.dygraph, name) for name in fluid.dygraph.__all__)


def test_it_is_not_enabled():
    assert fluid.dygraph.enabled() is False
    assert fluid.disable_dygraph() is None and fluid.dygraph.enabled() is False


@pytest.mark.parametrize(
    "name", sorted({*NAMES.split()} - {"Layer", "enabled", "no_grad", "disable_dygraph", "disable_imperative"})
)
def test_what_runs_imperatively_says_that_it_does_not(name):
    with pytest.raises(RuntimeError, match="only builds Programs and runs them; write it with fluid.layers"):
        getattr(fluid.dygraph, name)(1, 2)


def test_a_class_derived_from_layer_can_be_made_and_not_called():
    class Net(fluid.dygraph.Layer):
        def __init__(self):
            super().__init__("net")
            self.size = 3

    net = Net()
    net.eval()
    assert (net.full_name(), net.size, net.training) == ("net", 3, False)
    for use in (lambda: net(1), lambda: net.parameters(), lambda: net.create_parameter([3])):
        with pytest.raises(RuntimeError, match="runs imperatively"):
            use()
    assert not hasattr(net, "nothing")


def test_layers_of_its_own_are_layers():
    assert issubclass(fluid.dygraph.nn.Conv2D, fluid.dygraph.Layer)


def test_no_grad_leaves_functions_and_blocks_as_they_are():
    with fluid.dygraph.no_grad():
        assert fluid.dygraph.no_grad(len)([1]) == 1
