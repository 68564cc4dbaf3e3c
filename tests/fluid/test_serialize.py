"""Programs as Paddle's messages: what is read comes out again, and what is wrong is refused with its place."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fluidlite.fluid as fluid
from fluidlite.core.dtypes import VarType
from fluidlite.fluid import serialize
from fluidlite.fluid.serialize import missing_operators
from fluidlite.proto import schema, wire
from fluidlite.proto.files import ModelFileError

TYPES = {name: number for name, (number, _) in schema.ATTR_TYPES.items()}
FLOAT32 = st.floats(width=32, allow_nan=False)
TEXT = st.binary(max_size=12)
# Attribute type -> values of the field that holds it.
VALUES = {
    "INT": st.integers(-(2**31), 2**31 - 1),
    "FLOAT": FLOAT32,
    "STRING": TEXT,
    "BOOLEAN": st.booleans(),
    "LONG": st.integers(-(2**63), 2**63 - 1),
    "BLOCK": st.just(1),
}
VALUES |= {f"{name}S": st.lists(values, max_size=3) for name, values in VALUES.items()}


def message_with(ops=(), variables=(), blocks=1):
    message = schema.ProgramDesc()
    for index in range(blocks):
        message.blocks.add(idx=index, parent_idx=index - 1)
    for type, attrs in ops:
        op = message.blocks[0].ops.add(type=type.encode())
        for name, kind, value in attrs:
            attr = op.attrs.add(name=name.encode(), type=TYPES[kind])
            field = schema.ATTR_TYPES[kind][1]
            if kind.endswith("S"):
                getattr(attr, field).extend(value)
            else:
                setattr(attr, field, value)
    for name, shape in variables:
        variable = message.blocks[0].vars.add(name=name.encode(), persistable=False)
        variable.type.type = VarType.LOD_TENSOR
        variable.type.lod_tensor.tensor.data_type = VarType.FP32
        variable.type.lod_tensor.tensor.dims.extend(shape)
    return message


def parsed(message):
    return fluid.Program.parse_from_string(message.SerializeToString())


ATTRIBUTES = st.sampled_from(sorted(VALUES)).flatmap(lambda kind: st.tuples(st.just(kind), VALUES[kind]))


@given(
    st.lists(st.tuples(st.text("abc", min_size=1), ATTRIBUTES), max_size=6, unique_by=lambda item: item[0]),
    st.lists(st.integers(-1, 2**40), max_size=4),
)
def test_whatever_is_read_is_written_again_byte_for_byte(attrs, shape):
    message = message_with([("made_up", [(name, *attr) for name, attr in attrs])], [("x", shape)], blocks=2)
    data = message.SerializeToString()
    program = fluid.Program.parse_from_string(data)
    assert program.desc.serialize_to_string() == data
    assert program.clone().desc.serialize_to_string() == data
    assert program.global_block().var("x").shape == tuple(shape)
    assert [op.type for op in program.global_block().ops] == ["made_up"]


def test_attributes_are_plain_python_values():
    attrs = [
        ("a", "LONG", 2**40),
        ("b", "FLOATS", [0.5]),
        ("c", "STRINGS", [b"\xe4\xb8\xad", b"\xff"]),
        ("d", "BOOLEAN", True),
    ]
    op = parsed(message_with([("made_up", attrs)])).global_block().ops[0]
    assert op.all_attrs() == {"a": 2**40, "b": [0.5], "c": ["\u4e2d", "\\xff"], "d": True}
    assert "made_up" in str(op) and "\\xff" in op.to_string()


def test_a_change_is_written_and_the_width_of_a_number_stays():
    program = parsed(message_with([("made_up", [("a", "LONG", 1), ("b", "INT", 2)])], [("x", [-1])]))
    op = program.global_block().ops[0]
    op._set_attr("a", 3)
    op._set_attr("new", [1.5])
    program.global_block().var("x").persistable = True
    written = schema.ProgramDesc.FromString(program.desc.serialize_to_string()).blocks[0]
    assert [(a.name, a.type, a.l, a.i, list(a.floats)) for a in written.ops[0].attrs] == [
        (b"a", TYPES["LONG"], 3, 0, []),
        (b"b", TYPES["INT"], 0, 2, []),
        (b"new", TYPES["FLOATS"], 0, 0, [1.5]),
    ]
    assert written.vars[0].persistable


def test_a_negative_size_is_an_unknown_one_and_stays_in_the_file():
    data = message_with([], [("x", [-2, 3])]).SerializeToString()
    program = fluid.Program.parse_from_string(data)
    assert program.global_block().var("x").shape == (-1, 3)
    assert program.desc.serialize_to_string() == data


def test_fields_that_this_paddle_did_not_have_stay():
    unknown = bytes([0x82, 0x3F, 2]) + b"hi"  # field 1008, two bytes
    message = message_with([("made_up", [("a", "INT", 1)])], [("x", [2])])
    for part in (
        message,
        message.blocks[0],
        message.blocks[0].vars[0],
        message.blocks[0].ops[0],
        message.blocks[0].ops[0].attrs[0],
    ):
        part.MergeFromString(unknown)
    message.blocks[0].ops[0].attrs.add(name=b"later", type=16)
    data = message.SerializeToString()
    assert data.count(unknown) == 5
    program = fluid.Program.parse_from_string(data)
    assert program.desc.serialize_to_string() == data
    assert missing_operators(program) == ["made_up"]


def test_a_program_made_here_says_everything_that_paddle_wants_to_find():
    x = fluid.data("x", [None, 3])
    fluid.layers.scale(x, 2)
    message = schema.ProgramDesc.FromString(fluid.default_main_program().desc.serialize_to_string())
    op = message.blocks[0].ops[0]
    found = {attr.name.decode(): attr for attr in op.attrs}
    assert message.version.version == 1008005
    assert {"op_role", "op_role_var", "op_namescope", "op_callstack", "op_device"} <= set(found)
    assert (found["scale"].type, found["scale"].f) == (TYPES["FLOAT"], 2.0)
    assert b"test_serialize.py" in found["op_callstack"].strings[0]
    [input_] = [v for v in message.blocks[0].vars if v.name == b"x"]
    assert input_.need_check_feed and list(input_.type.lod_tensor.tensor.dims) == [-1, 3]


def test_a_value_that_the_attributes_type_cannot_hold_names_the_operator():
    x = fluid.data("x", [None, 3])
    fluid.layers.scale(x, 2.0)
    fluid.default_main_program().global_block().ops[0]._set_attr("scale", "two")
    with pytest.raises(ValueError, match=r"(?s)attribute scale cannot be saved.*'two'.*in operator scale\(X=x"):
        fluid.default_main_program().desc.serialize_to_string()


def test_an_error_names_the_line_that_paddle_noted():
    lines = [
        '  File "/lib/site-packages/paddle/fluid/layers/nn.py", line 3, in relu\n    helper()\n',
        '  File "train.py", line 41, in net\n    relu(x)\n',
        '  File "train.py", line 90, in <module>\n    net()\n',
    ]
    attrs = [("op_callstack", "STRINGS", [line.encode() for line in lines])]
    program = parsed(message_with([("relu", attrs)], [("x", [2]), ("y", [2])]))
    op = program.global_block().ops[0]
    op.inputs, op.outputs = {"X": ["x"]}, {"Out": ["y"]}
    with pytest.raises(fluid.core.EnforceNotMet, match="created at train.py:41"):
        fluid.Executor().run(program, fetch_list=["y"])


def test_a_parsed_program_runs_without_what_old_files_lack(exe):
    # No attributes at all, and neither Mask nor any other output but Out.
    message = message_with([("dropout", [("is_test", "BOOLEAN", True)]), ("softmax", [])], [("x", [-1, 2])])
    for name in ("y", "z"):
        message.blocks[0].vars.add().CopyFrom(message.blocks[0].vars[0])
        message.blocks[0].vars[-1].name = name.encode()
    for op, (x, out) in zip(message.blocks[0].ops, ("xy", "yz"), strict=True):
        op.inputs.add(parameter=b"X", arguments=[x.encode()])
        op.outputs.add(parameter=b"Out", arguments=[out.encode()])
    [z] = exe.run(parsed(message), feed={"x": np.zeros((1, 2), "float32")}, fetch_list=["z"])
    np.testing.assert_allclose(z, [[0.5, 0.5]])


def test_a_slot_with_too_many_variables_is_refused_when_the_program_runs(exe):
    message = message_with([("relu", [])], [("x", [-1, 2]), ("y", [-1, 2])])
    message.blocks[0].ops[0].inputs.add(parameter=b"X", arguments=[b"x"])
    message.blocks[0].ops[0].outputs.add(parameter=b"Out", arguments=[b"y", b"x"])
    with pytest.raises(fluid.core.EnforceNotMet, match=r"'Out' holds one variable, got \['y', 'x'\]\n.*relu"):
        exe.run(parsed(message), feed={"x": np.zeros((1, 2), "float32")}, fetch_list=["y"])


def test_a_program_that_is_too_long_for_a_message_is_not_saved(monkeypatch, tmp_path):
    x = fluid.data("x", [None, 2])
    fluid.layers.assign(np.ones(1000, "float32"))
    monkeypatch.setattr(serialize, "_LARGEST", 4000)  # 2 GB are more than a test should take
    with pytest.raises(ValueError, match="more than the 4,000 bytes .* belong in persistable variables"):
        fluid.default_main_program().desc.serialize_to_string()
    exe = fluid.Executor(fluid.CPUPlace())
    fluid.io.save_inference_model(str(tmp_path), ["x"], [x], exe)  # what it does not need is not in it


@pytest.mark.parametrize(
    ("ops", "listed"),
    [
        ([("relu", []), ("warp_ctc", []), ("roi_pool", []), ("roi_pool", [])], ["roi_pool", "warp_ctc"]),
        ([("softmax", [("axis", "STRING", b"last")])], ["softmax (with the attribute axis of type STRING, not INT)"]),
        ([("softmax", [("axis", "LONG", 1)])], []),
        ([("conv2d", [("fuse_relu", "BOOLEAN", True)])], ["conv2d (with fuse_relu=True)"]),
        ([("conv2d", [("use_cudnn", "BOOLEAN", True)])], []),
        ([("conv2d", [("data_format", "STRING", b"NCDHW")])], ["conv2d (with data_format='NCDHW')"]),
        ([("conv2d", [("data_format", "STRING", b"NHWC")])], []),
    ],
)
def test_what_fluidlite_lacks_is_listed(ops, listed):
    assert missing_operators(parsed(message_with(ops))) == listed


def test_a_parsed_program_that_cannot_run_lists_what_is_missing(exe):
    program = parsed(message_with([("relu", []), ("warp_ctc", []), ("roi_pool", []), ("roi_pool", [])]))
    with pytest.raises(fluid.core.EnforceNotMet, match="no operator 'roi_pool', 'warp_ctc'\n.*in operator warp_ctc"):
        exe.run(program)


def test_an_input_that_fluidlite_lacks_is_listed():
    message = message_with([("relu", [])])
    message.blocks[0].ops[0].inputs.add(parameter=b"Slope", arguments=[b"x"])
    assert missing_operators(parsed(message)) == ["relu (with the input Slope)"]


def broken_blocks():
    def with_blocks(change):
        message = message_with([("made_up", [("b", "BLOCK", 1)])], [("x", [2])], blocks=3)
        message.blocks[1].ops.add(type=b"inner").attrs.add(name=b"b", type=TYPES["BLOCK"], block_idx=2)
        change(message)
        return message

    def circle(message):
        message.blocks[2].ops.add(type=b"inner").attrs.add(name=b"b", type=TYPES["BLOCKS"], blocks_idx=[1])

    return {
        "no blocks": (schema.ProgramDesc(), "no blocks"),
        "a circle of parents": (with_blocks(lambda m: setattr(m.blocks[1], "parent_idx", 2)), "the parent 2"),
        "its own parent": (with_blocks(lambda m: setattr(m.blocks[1], "parent_idx", 1)), "the parent 1"),
        "wrong number": (with_blocks(lambda m: setattr(m.blocks[1], "idx", 7)), "says that it is block 7"),
        "gradient of none": (with_blocks(lambda m: setattr(m.blocks[1], "forward_block_idx", 9)), "gradient of"),
        "a circle of blocks": (with_blocks(circle), "block 1 is inside itself"),
        "no such block": (
            with_blocks(lambda m: setattr(m.blocks[0].ops[0].attrs[0], "block_idx", 3)),
            "names block 3 of 3",
        ),
        "a name twice": (message_with([], [("x", [2]), ("x", [2])]), "two variables 'x'"),
        "no data type": (
            with_blocks(lambda m: setattr(m.blocks[0].vars[0].type.lod_tensor.tensor, "data_type", 99)),
            "data type of the variable 'x' is 99",
        ),
        "no kind": (with_blocks(lambda m: setattr(m.blocks[0].vars[0].type, "type", -1)), "type of the variable"),
        "not UTF-8": (with_blocks(lambda m: setattr(m.blocks[0].vars[0], "name", b"\xff")), "not UTF-8"),
    }


@pytest.mark.parametrize("case", broken_blocks())
def test_a_program_that_contradicts_itself_is_refused(case):
    message, reason = broken_blocks()[case]
    with pytest.raises(ModelFileError, match=reason + r".*\(at byte [\d,]+\)"):
        parsed(message)


def test_every_truncation_is_read_or_refused_with_its_offset():
    data = message_with([("relu", [("axis", "INTS", [1, 2])])], [("x", [2, 3])]).SerializeToString()
    refused = 0
    for size in range(len(data)):
        try:
            fluid.Program.parse_from_string(data[:size])
        except ModelFileError as error:
            offset = int(re.search(r"at byte ([\d,]+)", str(error))[1].replace(",", ""))
            assert 0 <= offset <= size
            refused += 1
    assert refused == len(data)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data):
    try:
        program = fluid.Program.parse_from_string(data)
    except ModelFileError:
        return
    assert program.num_blocks >= 1 and str(program)


def test_the_offset_is_where_the_part_lies():
    message = message_with([("relu", []), ("tanh", [])], [("x", [2])])
    data = message.SerializeToString()
    found = wire.offset_of(data, "ProgramDesc", [("blocks", 0), ("ops", 1)])
    assert data[found:].startswith(message.blocks[0].ops[1].SerializeToString())
    assert wire.first_error(data, "ProgramDesc") is None
    size_of_block = data.index(message.blocks[0].SerializeToString()) - 1
    longer = data[:size_of_block] + bytes([data[size_of_block] + 1]) + data[size_of_block + 1 :]
    assert wire.first_error(longer, "ProgramDesc")[0] == 0


def test_only_bytes_are_parsed():
    with pytest.raises(TypeError, match="is bytes, got str"):
        fluid.Program.parse_from_string("text")


def test_training_a_program_that_has_no_parameters_warns():
    loss = fluid.layers.mean(fluid.layers.fc(fluid.data("x", [None, 3]), 1))
    program = fluid.Program.parse_from_string(fluid.default_main_program().desc.serialize_to_string())
    with pytest.warns(UserWarning, match="SGDOptimizer: the program has no Parameters, so nothing will be trained"):
        fluid.optimizer.SGD(0.1).minimize(program.global_block().var(loss.name))
