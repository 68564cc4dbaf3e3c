"""Programs as the real Paddle writes them: read, written and built by fluidlite, they mean the same."""

import functools
import re

import oracle_models as models
import pytest
from oracle_descriptions import CALLSTACK, differences, meaning
from oracle_harness import load_json

import fluidlite.fluid as fluid
from fluidlite.core.dtypes import VarType
from fluidlite.proto import schema

pytest_plugins = ["oracle_live"]

SCHEMA = load_json("models/schema")
CONTROL_FLOW = ("control_flow/main", "control_flow/startup")
DESCRIPTIONS = (*CONTROL_FLOW, "attributes", "variables")
# Fluid's schedules that branch; fluidlite computes the same rates without blocks inside blocks.
BRANCHING = ("adam_piecewise", "adam_warmup", "adam_cycle")


@functools.cache
def recorded(archive):
    return models.unpack(archive)


def parsed(data):
    return schema.ProgramDesc.FromString(data)


def real_programs():
    """(archive, path) of every ProgramDesc that the real Paddle wrote, training programs of each network once."""
    for name in DESCRIPTIONS:
        yield "descriptions", name
    for network in models.NETWORKS:
        yield network, "separate/__model__"
        yield network, "optimized/model"
        for which in ("main", "startup", "test"):
            yield "programs", f"{network}/adam_l2_exponential/{which}"
    for recipe in BRANCHING:
        yield "programs", f"convolutional_neural_network/{recipe}/main"
    yield "legacy", "combined/__model__"
    yield "checkpoints", "adam/save/model.pdmodel"
    yield "tensors", "program"


REAL_PROGRAMS = list(real_programs())


def test_fields_of_messages():
    types = {name: [list(field) for field in schema.fields(name)] for name in schema.MESSAGES}
    # Defaults are text in our table.
    assert sorted(types) == sorted(SCHEMA["messages"])
    for name, fields in SCHEMA["messages"].items():
        expected = [[*field[:4], None if field[4] is None else str(field[4]).lower()] for field in fields]
        assert sorted(types[name]) == sorted(expected), name
    assert SCHEMA["package"] == schema.PACKAGE and SCHEMA["syntax"] == "proto2"


def test_types_of_attributes():
    assert {name: number for name, (number, _) in schema.ATTR_TYPES.items()} == SCHEMA["enums"]["AttrType"]
    fields = {name for _, _, _, name, _ in schema.fields("OpDesc.Attr")} - {"name", "type"}
    assert {field for _, field in schema.ATTR_TYPES.values()} == fields


def test_types_of_variables():
    # SIZE_T is the type of no variable.  Later versions of Paddle have more types, with higher numbers.
    expected = {name: number for name, number in SCHEMA["enums"]["VarType.Type"].items() if name != "SIZE_T"}
    ours = {kind.name: kind.value for kind in VarType}
    assert {name: ours.pop(name, None) for name in expected} == expected
    assert all(number > 21 for name, number in ours.items() if name != "SIZE_T")


@pytest.mark.parametrize("archive, path", REAL_PROGRAMS)
def test_a_real_program_is_written_as_it_was_read(archive, path):
    data = recorded(archive)[path]
    again = fluid.Program.parse_from_string(data).desc.serialize_to_string()
    assert differences(meaning(parsed(again)), meaning(parsed(data))) == []
    # Also what differs from its default only in being set.
    assert parsed(again) == parsed(data)
    assert again == data


@pytest.mark.parametrize("archive, path", REAL_PROGRAMS)
def test_what_a_program_shows_is_what_the_file_says(archive, path):
    data = recorded(archive)[path]
    program, described = fluid.Program.parse_from_string(data), meaning(parsed(data))
    assert program.num_blocks == len(described["blocks"])
    for block, expected in zip(program.blocks, described["blocks"], strict=True):
        assert (block.idx, block.parent_idx, block.forward_block_idx) == (
            expected["idx"],
            expected["parent"],
            expected["forward"],
        )
        assert sorted(block.vars) == sorted(expected["vars"])
        for name, stored in expected["vars"].items():
            variable = block.var(name)
            assert variable.type == stored["type"] and variable.persistable == stored["persistable"]
            if "tensor" in stored:
                assert (variable.dtype, list(variable.shape), variable.lod_level) == stored["tensor"]
        assert [op.type for op in block.ops] == [op["type"] for op in expected["ops"]]
        for op, stored in zip(block.ops, expected["ops"], strict=True):
            assert (op.inputs, op.outputs) == (stored["inputs"], stored["outputs"])
            assert op.attr_names == list(stored["attrs"])
            for name, (kind, value) in stored["attrs"].items():
                if kind == "BLOCK":
                    assert op.attr(name) is program.block(value) and op.attr(name).id == value
                elif kind == "BLOCKS":
                    assert op.attr(name) == [program.block(index) for index in value]
                elif kind not in ("STRING", "STRINGS"):
                    assert op.attr(name) == value, (op.type, name)


def test_the_line_of_the_script_is_the_one_that_called_a_layer():
    program = fluid.Program.parse_from_string(recorded("vgg")["separate/__model__"])
    [fc] = [op for op in program.global_block().ops if op.type == "mul" and op.input("Y") == ["fc_1.w_0"]]
    assert fc.callstack.filename == "oracle_models.py" and fc.callstack.function == "vgg"


# Attributes that Paddle does not give to operators which it appends without Python: nothing is said with these.
SAYS_NOTHING = {"op_namescope": ("STRING", "/"), "op_role_var": ("STRINGS", []), "str_value": ("STRING", "")}
# Where an operator was made, and a hint for pipelines over several devices.
NOT_COMPARED = (CALLSTACK, "op_device")


def comparable(op):
    """An operator's description without what may differ from process to process, or in nothing but its form."""
    attrs = {name: value for name, value in op["attrs"].items() if name not in NOT_COMPARED}
    if "op_namescope" in attrs:
        # Optimizers are counted for as long as the process lives.
        kind, scope = attrs["op_namescope"]
        attrs["op_namescope"] = kind, re.sub(r"_\d+/", "/", scope)
    # Paddle lists a slot that holds nothing, too.
    inputs, outputs = ({slot: names for slot, names in op[side].items() if names} for side in ("inputs", "outputs"))
    return {**op, "inputs": inputs, "outputs": outputs, "attrs": attrs}


def built_differences(got, want):
    """How a program that fluidlite built differs from Paddle's."""
    for block, expected in zip(got["blocks"], want["blocks"], strict=True):
        block["ops"] = [comparable(op) for op in block["ops"]]
        expected["ops"] = [comparable(op) for op in expected["ops"]]
        for op, other in zip(block["ops"], expected["ops"], strict=False):
            for name, value in SAYS_NOTHING.items():
                if name not in other["attrs"] and op["attrs"].get(name) == value:
                    del op["attrs"][name]
    return differences(got, want)


@functools.cache
def built(network, recipe):
    return models.Model(fluid, network, recipe)


@pytest.mark.parametrize("which", ["main", "startup", "test"])
@pytest.mark.parametrize("network, recipe", [pair for pair in models.BUILT if pair[1] not in BRANCHING])
def test_a_program_is_described_as_paddle_describes_it(network, recipe, which):
    data = getattr(built(network, recipe), which).desc.serialize_to_string()
    expected = recorded("programs")[f"{network}/{recipe}/{which}"]
    found = built_differences(meaning(parsed(data)), meaning(parsed(expected)))
    if recipe == "sgd_natural_clip":
        # Paddle marks the operators of the norm of all gradients with the last parameter, fluidlite with the first.
        found = [line for line in found if "attribute op_role_var" not in line]
    assert found == []


def live_files(data, again, tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.write_bytes(again)
    theirs.write_bytes(data)
    return ours, theirs


@pytest.mark.parametrize("archive, path", REAL_PROGRAMS)
def test_paddle_accepts_what_fluidlite_writes_of_its_program(oracle, tmp_path, archive, path):
    data = recorded(archive)[path]
    again = fluid.Program.parse_from_string(data).desc.serialize_to_string()
    ours, theirs = live_files(data, again, tmp_path)
    assert oracle("same_program", ours=ours, theirs=theirs) == []


def live_losses(oracle, tmp_path, name, main, startup, network, loss):
    paths = tmp_path / f"{name}_main", tmp_path / f"{name}_startup"
    paths[0].write_bytes(main)
    paths[1].write_bytes(startup)
    return oracle("losses", main=paths[0], startup=paths[1], network=network, loss=loss)


def test_paddle_trains_blocks_in_blocks_that_fluidlite_wrote_again(oracle, tmp_path):
    files = recorded("descriptions")
    real = [files[name] for name in CONTROL_FLOW]
    ours = [fluid.Program.parse_from_string(data).desc.serialize_to_string() for data in real]
    loss = files["control_flow/loss.txt"].decode()
    expected = live_losses(oracle, tmp_path, "real", *real, "softmax_regression", loss)
    assert live_losses(oracle, tmp_path, "ours", *ours, "softmax_regression", loss) == expected


@pytest.mark.parametrize("network, recipe", models.BUILT)
def test_paddle_trains_what_fluidlite_built(oracle, tmp_path, network, recipe):
    """The programs that fluidlite builds give the real Paddle the losses that its own give it."""
    real = [recorded("programs")[f"{network}/{recipe}/{which}"] for which in ("main", "startup")]
    model = built(network, recipe)
    ours = [program.desc.serialize_to_string() for program in (model.main, model.startup)]
    expected = live_losses(oracle, tmp_path, "real", *real, network, model.loss.name)
    assert live_losses(oracle, tmp_path, "ours", *ours, network, model.loss.name) == pytest.approx(expected, rel=1e-6)
