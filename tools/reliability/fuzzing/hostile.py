"""Hostile inputs made by hand, each for one idea: what a person who means harm would try first.

A function here gets a folder that holds a sound model (see `samples`) and spoils it; its name is the test's.
"""

import os
import pickle
import struct

import numpy as np

from fluidlite.proto import schema

from .mutations import tensor_head
from .samples import a_tensor


def _read(folder, name):
    with open(os.path.join(folder, name), "rb") as file:
        return file.read()


def _write(folder, name, data):
    path = os.path.join(folder, name)
    if os.path.lexists(path):
        os.unlink(path)
    with open(path, "wb") as file:
        file.write(data)


def _parameter(folder):
    """The name of a file with a parameter."""
    return sorted(name for name in os.listdir(folder) if name.startswith("fc_0.w"))[0]


def _change_program(folder, change, name="__model__"):
    program = schema.ProgramDesc()
    program.ParseFromString(_read(folder, name))
    change(program)
    _write(folder, name, program.SerializePartialToString())


def _rename(folder, new):
    """Call a parameter something else, everywhere in the program."""
    old = _parameter(folder).encode()

    def change(program):
        for block in program.blocks:
            for variable in block.vars:
                variable.name = new if variable.name == old else variable.name
            for op in block.ops:
                for slot in op.inputs:
                    slot.arguments[:] = [new if name == old else name for name in slot.arguments]

    _change_program(folder, change)


def a_parameter_called_after_a_file_outside(folder):
    _rename(folder, b"../secret")


def a_parameter_called_after_a_file_outside_by_its_full_path(folder):
    _rename(folder, os.path.join(os.path.dirname(folder), "secret").encode())


def a_parameter_called_after_a_device(folder):
    _rename(folder, b"/dev/zero")


def a_parameter_behind_a_linked_folder(folder):
    os.symlink("..", os.path.join(folder, "up"))
    _rename(folder, b"up/secret")


def a_parameter_called_nothing(folder):
    _rename(folder, b"")


def a_parameter_called_like_the_folder(folder):
    _rename(folder, b".")


def a_parameter_whose_name_holds_a_zero_byte(folder):
    _rename(folder, b"a\0b")


def a_parameter_with_a_name_of_a_megabyte(folder):
    _rename(folder, b"n" * (1 << 20))


def a_parameter_whose_name_is_not_text(folder):
    _rename(folder, b"\xff\xfe\xfd")


def a_parameter_whose_name_controls_the_terminal(folder):
    _rename(folder, b"\x1b[2J\x1b]0;owned\x07\r\n")


def a_parameter_called_like_the_staging_area(folder):
    _rename(folder, b".fluidlite-commit/__model__")


def a_parameter_called_like_the_model(folder):
    _rename(folder, b"__model__")


def a_parameter_that_is_a_pipe(folder):
    name = _parameter(folder)
    os.unlink(os.path.join(folder, name))
    os.mkfifo(os.path.join(folder, name))


def a_parameter_that_is_a_folder(folder):
    name = _parameter(folder)
    os.unlink(os.path.join(folder, name))
    os.mkdir(os.path.join(folder, name))


def a_parameter_that_is_an_endless_device(folder):
    name = _parameter(folder)
    os.unlink(os.path.join(folder, name))
    os.symlink("/dev/zero", os.path.join(folder, name))


def a_parameter_that_links_to_itself(folder):
    name = _parameter(folder)
    os.unlink(os.path.join(folder, name))
    os.symlink(name, os.path.join(folder, name))


def a_model_that_is_a_pipe(folder):
    os.unlink(os.path.join(folder, "__model__"))
    os.mkfifo(os.path.join(folder, "__model__"))


def a_model_that_is_a_folder(folder):
    os.unlink(os.path.join(folder, "__model__"))
    os.mkdir(os.path.join(folder, "__model__"))


def a_model_that_is_an_endless_device(folder):
    os.unlink(os.path.join(folder, "__model__"))
    os.symlink("/dev/zero", os.path.join(folder, "__model__"))


def an_empty_model(folder):
    _write(folder, "__model__", b"")


def a_model_that_is_no_program_but_a_tensor(folder):
    _write(folder, "__model__", a_tensor())


def a_model_whose_length_says_two_to_the_sixty(folder):
    _write(folder, "__model__", b"\x0a" + b"\x80" * 8 + b"\x10" + _read(folder, "__model__"))


def a_model_of_groups_inside_groups(folder):
    _write(folder, "__model__", _read(folder, "__model__") + b"\x4b" * 100_000)


def a_model_of_a_hundred_thousand_blocks(folder):
    _change_program(folder, lambda program: [program.blocks.add(idx=i + 1, parent_idx=i) for i in range(100_000)])


def operators_deep_inside_nested_blocks(folder):
    """Looking for a variable from block to block would take the product of their numbers."""

    def change(program):
        for index in range(10_000):
            inner = program.blocks.add(idx=index + 1, parent_idx=index)
        for _ in range(10_000):
            op = inner.ops.add(type=b"relu")
            op.inputs.add(parameter=b"X", arguments=[b"nowhere"])
            op.outputs.add(parameter=b"Out", arguments=[b"nowhere else"])

    _change_program(folder, change)


def a_block_inside_itself(folder):
    def change(program):
        op = program.blocks[0].ops.add(type=b"while")
        op.attrs.add(name=b"sub_block", type=8, block_idx=0)

    _change_program(folder, change)


def two_blocks_inside_each_other(folder):
    def change(program):
        for index in (1, 2):
            block = program.blocks.add(idx=index, parent_idx=0)
            op = block.ops.add(type=b"conditional_block")
            op.attrs.add(name=b"sub_block", type=8, block_idx=3 - index)

    _change_program(folder, change)


def two_blocks_that_are_each_others_parents(folder):
    def change(program):
        program.blocks.add(idx=1, parent_idx=2)
        program.blocks.add(idx=2, parent_idx=1)

    _change_program(folder, change)


def a_block_that_is_its_own_parent(folder):
    def change(program):
        program.blocks[0].parent_idx = 0

    _change_program(folder, change)


def five_thousand_operators(folder):
    def change(program):
        block = program.blocks[0]
        for _ in range(5_000):
            op = block.ops.add(type=b"relu")
            op.inputs.add(parameter=b"X", arguments=[b"image"])
            op.outputs.add(parameter=b"Out", arguments=[b"image"])

    _change_program(folder, change)


def the_same_inputs_in_many_operators(folder):
    """Listing an operator's inputs with all they are takes the product of the two numbers."""

    def change(program):
        block = program.blocks[0]
        names = [v.name for v in block.vars if v.persistable]
        for variable in block.vars:
            variable.type.lod_tensor.tensor.dims.extend([1] * 2000)
        for _ in range(5000):
            block.ops.add(type=b"sum").inputs.add(parameter=b"X", arguments=names)

    _change_program(folder, change)


def a_variable_of_a_hundred_thousand_dimensions(folder):
    def change(program):
        for variable in program.blocks[0].vars:
            if variable.name == _parameter(folder).encode():
                variable.type.lod_tensor.tensor.dims[:] = [1] * 100_000

    _change_program(folder, change)


def a_variable_as_large_as_the_sky(folder):
    def change(program):
        for variable in program.blocks[0].vars:
            variable.type.lod_tensor.tensor.dims[:] = [2**62] * 3

    _change_program(folder, change)


def a_variable_of_negative_size(folder):
    def change(program):
        for variable in program.blocks[0].vars:
            variable.type.lod_tensor.tensor.dims[:] = [-(2**62), -3]

    _change_program(folder, change)


def a_callstack_that_names_a_file_outside(folder):
    """Listings and messages show the line that made an operator; it is not read from wherever a model says."""
    secret = os.path.join(os.path.dirname(folder), "secret")

    def change(program):
        for op in program.blocks[0].ops:
            for attr in [attr for attr in op.attrs if attr.name == b"op_callstack"]:
                op.attrs.remove(attr)
            stack = op.attrs.add(name=b"op_callstack", type=5)
            stack.strings.extend([f'  File "{secret}", line 1, in <module>'.encode()])
            op.inputs.add(parameter=b"Nothing", arguments=[b"nothing"])

    _change_program(folder, change)


def a_callstack_that_names_an_endless_device(folder):
    def change(program):
        for op in program.blocks[0].ops:
            for attr in [attr for attr in op.attrs if attr.name == b"op_callstack"]:
                op.attrs.remove(attr)
            stack = op.attrs.add(name=b"op_callstack", type=5)
            stack.strings.extend([b'  File "/dev/zero", line 1, in <module>'])
            op.inputs.add(parameter=b"Nothing", arguments=[b"nothing"])

    _change_program(folder, change)


def a_role_that_is_text(folder):
    def change(program):
        for op in program.blocks[0].ops:
            for attr in op.attrs:
                if attr.name == b"op_role":
                    attr.type, attr.s = 2, b"forward"

    _change_program(folder, change)


def columns_that_are_text_and_numbers(folder):
    def change(program):
        block = program.blocks[0]
        feed = next(op for op in block.ops if op.type == b"feed")
        other = block.ops.add()
        other.CopyFrom(feed)
        for attr in other.attrs:
            if attr.name == b"col":
                attr.type, attr.s = 2, b"first"

    _change_program(folder, change)


def a_column_out_of_range(folder):
    def change(program):
        for op in program.blocks[0].ops:
            for attr in op.attrs:
                if attr.name == b"col":
                    attr.i = 2**31 - 1

    _change_program(folder, change)


def a_feed_into_a_variable_that_is_not_there(folder):
    def change(program):
        for op in program.blocks[0].ops:
            if op.type == b"feed":
                op.outputs[0].arguments[:] = [b"nowhere"]

    _change_program(folder, change)


def a_feed_into_nothing(folder):
    def change(program):
        for op in program.blocks[0].ops:
            if op.type in (b"feed", b"fetch"):
                del op.inputs[:], op.outputs[:]

    _change_program(folder, change)


def a_later_save_that_was_interrupted_and_holds_links(folder):
    os.mkdir(os.path.join(folder, ".fluidlite-commit"))
    os.symlink("../../secret", os.path.join(folder, ".fluidlite-commit", "__model__"))


def a_later_save_that_is_itself_a_link(folder):
    os.symlink("..", os.path.join(folder, ".fluidlite-commit"))


def _tensor(folder, data):
    _write(folder, _parameter(folder), data)


def a_tensor_of_two_to_the_sixty_elements(folder):
    _tensor(folder, tensor_head(desc=b"\x08\x05\x10" + b"\x80" * 8 + b"\x10"))


def a_tensor_whose_size_overflows(folder):
    _tensor(folder, tensor_head(desc=b"\x08\x05" + (b"\x10" + b"\x80" * 4 + b"\x10") * 2) + b"\0" * 100)


def a_tensor_of_negative_size(folder):
    _tensor(folder, tensor_head(desc=b"\x08\x05\x10" + b"\xff" * 9 + b"\x01") + b"\0" * 100)


def a_tensor_of_no_element_and_huge_size(folder):
    _tensor(folder, tensor_head(desc=b"\x08\x05\x10\x00\x10" + b"\xff" * 8 + b"\x7f"))


def a_tensor_with_two_to_the_sixty_lod_levels(folder):
    _tensor(folder, tensor_head(count=2**60) + b"\0" * 100)


def a_tensor_with_a_lod_level_of_two_to_the_sixty_bytes(folder):
    _tensor(folder, tensor_head(lod=[(2**60, [0, 1])]) + b"\0" * 100)


def a_tensor_whose_description_is_of_negative_size(folder):
    _tensor(folder, tensor_head(desc_size=-1) + b"\0" * 100)


def a_tensor_whose_description_is_of_two_gigabytes(folder):
    _tensor(folder, tensor_head(desc_size=2**31 - 1) + b"\0" * 100)


def a_tensor_of_a_kind_that_is_no_number(folder):
    _tensor(folder, tensor_head(desc=b"\x08\x07\x10\x03") + b"\0" * 12)


def an_empty_tensor_file(folder):
    _tensor(folder, b"")


def a_file_of_a_hundred_thousand_empty_tensors(folder):
    _tensor(folder, tensor_head(desc=b"\x08\x05\x10\x00") * 100_000)


# name -> the beginning of a pickle; what is to be loaded stands behind it.
def _steps(name, steps):
    def spoil(folder):
        for end in (".pdparams", ".pdopt"):
            _write(folder, "m" + end, b"\x80\x02" + steps)

    spoil.__name__ = name
    return spoil


def _counted(code, form, number):
    return code + struct.pack(form, number)


PICKLES = [
    _steps("a_pickle_that_runs_a_command", b"cposix\nsystem\nX\x0d\0\0\0touch ../ownedq\0\x85R."),
    _steps("a_pickle_that_runs_python", b"cbuiltins\nexec\nX\x04\0\0\0pass\x85R."),
    _steps("a_pickle_that_calls_by_inst", b"(X\x04\0\0\0trueiposix\nsystem\n."),
    _steps("a_pickle_that_calls_by_obj", b"(cposix\nsystem\nX\x04\0\0\0trueo."),
    _steps("a_pickle_that_calls_by_newobj", b"cfuzz_canary\ntouched\n)\x81."),
    _steps("a_pickle_that_calls_by_stack_global", b"\x8c\x05posix\x8c\x06system\x93X\x04\0\0\0true\x85R."),
    _steps("a_pickle_that_calls_by_extension_code", b"\x82\x01)R."),
    _steps("a_pickle_that_imports_a_module", b"cthis\ns\n."),
    _steps("a_pickle_that_loads_a_file_with_numpy", b"cnumpy\nload\nX\x09\0\0\0../secret\x85R."),
    _steps("a_pickle_with_an_array_of_objects", b"}X\x01\0\0\0acnumpy\ndtype\nX\x02\0\0\0O8\x89\x88\x87Rs."),
    _steps("a_pickle_with_a_persistent_object", b"}X\x01\0\0\0aPnumber\ns."),
    _steps("a_pickle_with_a_memo_of_two_thousand_million", b"}r\xff\xff\xff\x7f."),
    _steps("a_pickle_with_a_memo_that_is_a_long_number", b"}p" + b"9" * 4000 + b"\n."),
    _steps("a_pickle_with_text_of_two_to_the_sixty_bytes", _counted(b"}\x8d", "<Q", 2**60)),
    _steps("a_pickle_with_bytes_of_two_to_the_sixty_three", _counted(b"}\x8e", "<Q", 2**63)),
    _steps("a_pickle_with_a_bytearray_of_two_to_the_forty", _counted(b"}\x96", "<Q", 2**40)),
    _steps("a_pickle_with_a_frame_of_two_to_the_sixty", _counted(b"\x95", "<Q", 2**60)),
    _steps("a_pickle_with_a_number_of_two_gigabytes", _counted(b"}\x8b", "<I", 2**31 - 1)),
    _steps("a_pickle_with_a_number_of_a_million_digits", b"}L" + b"9" * 1_000_000 + b"L\n."),
    _steps("a_pickle_of_lists_inside_lists", b"]" * 100_000 + b"a" * 99_999 + b"."),
    _steps("a_pickle_of_tuples_inside_tuples", b")" + b"\x85" * 100_000 + b"."),
    _steps("a_pickle_of_marks", b"(" * 100_000 + b"."),
    _steps("a_pickle_that_ends_at_once", b"."),
    _steps("a_pickle_of_nothing", b"N."),
    _steps("a_pickle_that_doubles_a_tuple_sixty_times", b"}(K\x01" + b"2\x86" * 60 + b"K\x01u."),
    _steps(
        "a_pickle_that_doubles_a_remembered_list_sixty_times",
        b"}X\x01\0\0\0a]q\0" + b"".join(b"](h%ch%ceq%c" % (i, i, i + 1) for i in range(60)) + b"s.",
    ),
    _steps("a_pickle_of_a_list_inside_itself", b"}X\x01\0\0\0a]q\0h\0as."),
    _steps(
        "a_pickle_with_an_array_of_two_to_the_sixty_elements",
        b"}X\x01\0\0\0acnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85C\x01b\x87R(K\x01\x8a\x08"
        + struct.pack("<q", 2**60)
        + b"\x85cnumpy\ndtype\nX\x02\0\0\0f4\x89\x88\x87R(K\x03X\x01\0\0\0<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
        b"\x89C\x04\0\0\0\0tbs.",
    ),
    _steps(
        "a_pickle_with_an_array_whose_shape_is_deeper_than_repr",
        b"}X\x01\0\0\0acnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85C\x01b\x87R(K\x01)"
        + b"\x85" * 10_000
        + b"cnumpy\ndtype\nX\x02\0\0\0f4\x89\x88\x87R(K\x03X\x01\0\0\0<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
        b"\x89C\x04\0\0\0\0tbs.",
    ),
    _steps(
        "a_pickle_with_an_array_of_sixty_thousand_dimensions",
        b"}X\x01\0\0\0acnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85C\x01b\x87R(K\x01("
        + b"K\x01" * 60_000
        + b"tcnumpy\ndtype\nX\x02\0\0\0f4\x89\x88\x87R(K\x03X\x01\0\0\0<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
        b"\x89C\x04\0\0\0\0tbs.",
    ),
]

_ARRAY = np.ones(3, "float32")

PICKLES += [
    _steps("a_pickle_of_" + what, pickle.dumps(state, 2)[2:])
    for what, state in {
        "names_that_are_lists": {"a": _ARRAY, "StructuredToParameterName@@": {"a": []}},
        "names_that_are_numbers": {"a": _ARRAY, 3: _ARRAY, "StructuredToParameterName@@": {"a": 4}},
        "names_that_are_nothing": {"a": _ARRAY, "StructuredToParameterName@@": {"a": None}},
        "pieces_that_are_to_fill_the_sky": {
            "a": _ARRAY,
            "UnpackBigParamInfor@@": {"b": {"OriginShape": (2**62, 2**62), "slices": ["a"]}},
        },
        "pieces_of_no_shape": {"a": _ARRAY, "UnpackBigParamInfor@@": {"b": {"OriginShape": ("x",), "slices": ["a"]}}},
        "pieces_of_different_kinds": {
            "a": _ARRAY,
            "c": np.ones(3, "complex128"),
            "UnpackBigParamInfor@@": {"b": {"OriginShape": (6,), "slices": ["a", "c"]}},
        },
        "pieces_that_are_not_there": {"UnpackBigParamInfor@@": {"b": {"OriginShape": (), "slices": ["a", "a"]}}},
        "a_list_of_arrays": [_ARRAY],
        "arrays_in_lists": {"fc_0.w_0": [_ARRAY]},
        "a_step_that_is_text": {"@RANDOM_STEP@": "many"},
        "a_step_beyond_all": {"@RANDOM_STEP@": np.array([2**63 - 1])},
        "a_name_that_controls_the_terminal": {"\x1b[2J\r\n": _ARRAY},
        "a_name_of_a_megabyte": {"n" * (1 << 20): _ARRAY},
    }.items()
]

_MODELS = [
    function
    for name, function in list(globals().items())
    if callable(function) and not name.startswith("_") and getattr(function, "__module__", None) == __name__
]

# The test's name -> (the sample that is spoiled, the function that does it).
HOSTILE = {
    **{function.__name__: ("convolutions, a file each", function) for function in _MODELS},
    **{function.__name__: ("convolutions, fluid.save", function) for function in PICKLES},
}
