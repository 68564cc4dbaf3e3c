"""What a plan knows before any kernel is bound is data: which steps, in which order, and where each Value lies."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_programs import COMPUTE, FUZZ, IMAGES, build, new_script

import fluidlite.fluid as fluid
from fluidlite.core.spec import Spec
from fluidlite.drawing import draw
from fluidlite.engine.device import sketch
from fluidlite.engine.memory import Memory
from fluidlite.engine.plan.placement import POOL, SHARED, Placement
from fluidlite.engine.plan.plan import Settings
from fluidlite.fluid import layers


def prepared(fetches, shapes, place="cpu", shards=None):
    """The settings for the current Program, what is known for feeds of some shapes, and where that is placed."""
    block, memory = fluid.default_main_program().global_block(), Memory(sketch(place))
    feeds = {name: Spec(shape, block.var(name).spec.dtype) for name, shape in shapes.items()}
    names = [variable.name for variable in fetches]
    plans = Settings(block.ops, block.vars, feeds, names, None, memory, threads=2, shards=shards)
    found = plans.prepared(list(feeds.values()))
    pools = memory.pools(found.threads)
    placement = Placement(found.schedule, found.inference.specs, found.lane_specs, found.counts, pools, plans.enabled)
    return plans, found, placement.run(found.region.inputs)


@settings(max_examples=40, **FUZZ)
@given(st.randoms(), IMAGES, st.integers(3, 10), st.sampled_from([1, 2, 3]))
def test_values_that_are_needed_at_the_same_time_never_overlap(rng, shape, moves, shards):
    with new_script():
        fetches = build(rng, shape, moves, COMPUTE)[-1:]
        _, found, placement = prepared(fetches, {"x": (4, *shape), "z": (4, *shape)}, shards=shards)
        first = found.schedule.first
        for lane in [placement.whole, *placement.lanes]:
            lives = [
                (lane.thread, place.storage, first.get(value, -1), lane.last[value])
                for value, place in lane.places.items()
                if place.kind in (POOL, SHARED) and value in first
            ]
            for number, (thread, one, start, end) in enumerate(lives):
                for other_thread, other, other_start, other_end in lives[:number]:
                    together = start <= other_end and other_start <= end
                    if together and thread == other_thread and one is not other:
                        (size, chunk, at), (other_size, other_chunk, other_at) = one.block, other.block
                        is_apart = at + size <= other_at or other_at + other_size <= at
                        assert chunk != other_chunk or is_apart


def network():
    x = fluid.data("x", [None, 8])
    hidden = layers.fc(x, 8, act="relu")
    loss = layers.mean(layers.fc(hidden, 1))
    fluid.optimizer.SGD(0.1).minimize(loss)
    return loss


def test_a_program_is_lowered_once_for_all_batches():
    loss = network()
    plans, found, _ = prepared([loss], {"x": (4, 8)})
    again = plans.prepared([Spec((6, 8), np.dtype("float32"))])
    assert again.region is found.region and again.schedule is found.schedule
    assert {spec.shape[0] for value, spec in again.inference.specs.items() if value.name == "x"} == {6}


def test_a_batch_whose_shapes_coincide_with_others_is_lowered_anew():
    loss = network()
    plans, found, _ = prepared([loss], {"x": (4, 8)})
    # Images of eight rows look like the weights, so nothing may be concluded from shapes that are equal.
    assert plans.prepared([Spec((8, 8), np.dtype("float32"))]).region is not found.region


def test_a_variable_that_becomes_persistable_after_a_run_is_kept(exe):
    x = fluid.data("x", [None, 2])
    doubled = layers.scale(x, 2.0)
    out = layers.scale(doubled, 3.0)
    feed = {"x": np.ones((1, 2), "float32")}
    exe.run(feed=feed, fetch_list=[out])
    assert fluid.global_scope().find_var(doubled.name) is None
    doubled.persistable = True
    exe.run(feed=feed, fetch_list=[out])
    np.testing.assert_array_equal(fluid.global_scope().find_var(doubled.name).get_tensor(), [[2.0, 2.0]])


@pytest.mark.parametrize("place", ["cpu", "gpu"])
def test_the_picture_of_a_plan_shows_what_the_place_runs(place):
    image = fluid.data("image", [None, 3, 8, 8])
    hidden = layers.conv2d(image, 4, 3)
    out = layers.tanh(layers.scale(layers.sigmoid(hidden), 2.0))
    source = draw(fluid.default_main_program(), "ops", {"image": [4, 3, 8, 8]}, [out.name], place=place).source
    # On a GPU operators of one element each become one launch, and images stay as they are.
    assert ("pointwise" in source) is (place == "gpu")
    assert ("batch last" in source) is (place == "cpu")
