"""`executor._fetch_var`, with which packages of Fluid's time read parameters."""

import numpy as np
import pytest

from fluidlite import fluid
from fluidlite.fluid.executor import _fetch_var


def test_it_reads_a_parameter_by_name_and_as_variable(exe):
    weight = fluid.layers.create_parameter([2, 3], "float32", default_initializer=fluid.initializer.Constant(2.0))
    exe.run(fluid.default_startup_program())
    np.testing.assert_array_equal(_fetch_var(weight.name), np.full((2, 3), 2, "float32"))
    np.testing.assert_array_equal(_fetch_var(weight), np.full((2, 3), 2, "float32"))
    assert isinstance(_fetch_var(weight.name, fluid.global_scope(), return_numpy=False), fluid.LoDTensor)


def test_what_it_reads_is_a_copy(exe):
    weight = fluid.layers.create_parameter([1], "float32", default_initializer=fluid.initializer.Constant(2.0))
    exe.run(fluid.default_startup_program())
    _fetch_var(weight.name)[:] = 5
    assert _fetch_var(weight.name) == 2


def test_a_variable_that_is_not_there():
    with pytest.raises(AssertionError, match="no variable 'nothing'"):
        _fetch_var("nothing", fluid.Scope())
