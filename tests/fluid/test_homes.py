"""Layers are found in the modules from which scripts of Fluid import them."""

import importlib

import pytest
from oracle_harness import load_json

from fluidlite.fluid import layers

HOMES = load_json("homes")


@pytest.mark.parametrize("home", HOMES)
def test_a_module_has_the_layers_that_paddles_has(home):
    module = importlib.import_module("fluidlite.fluid.layers." + home)
    there = [name for name in HOMES[home] if hasattr(layers, name)]
    assert [name for name in there if getattr(module, name, None) is not getattr(layers, name)] == []


def test_what_layers_consist_of_is_found_but_nothing_else():
    assert callable(layers.control_flow.lod_tensor_to_array)
    with pytest.raises(AttributeError, match="'fluidlite.fluid.layers.nn' has no attribute 'no_such_layer'"):
        layers.nn.no_such_layer  # noqa: B018
