"""A Program as plain data, and back."""

from ..ops import registry
from ..proto.files import ModelFileError
from .framework import Block, Operator, Parameter, Program, Variable


def describe_program(program):
    """The Program as dicts, lists, strings and numbers."""
    return {
        "blocks": [
            {
                "parent": block.parent_idx,
                "vars": [_describe_variable(v) for v in block.vars.values()],
                "ops": [
                    {"type": o.type, "inputs": o.inputs, "outputs": o.outputs, "attrs": o.attrs} for o in block.ops
                ],
            }
            for block in program.blocks
        ],
        "random_seed": program.random_seed,
    }


def _describe_variable(variable):
    return {
        "name": variable.name,
        "type": int(variable.type),
        "shape": list(variable.shape),
        "dtype": int(variable.dtype),
        "persistable": variable.persistable,
        "stop_gradient": variable.stop_gradient,
        "lod_level": variable.lod_level,
        "is_data": variable.is_data,
        "need_check_feed": variable.need_check_feed,
        "parameter": isinstance(variable, Parameter),
        "trainable": getattr(variable, "trainable", False),
    }


def restore_program(description, path):
    """The Program that `describe_program` described.

    Raises:
        ModelFileError: the description, read from `path`, is incomplete, or uses operators that fluidlite lacks.
    """
    try:
        program = Program()
        program.random_seed = description["random_seed"]
        program.blocks = [Block(program, i, b["parent"]) for i, b in enumerate(description["blocks"])]
        for block, stored in zip(program.blocks, description["blocks"], strict=True):
            for item in stored["vars"]:
                _restore_variable(block, **item)
            for item in stored["ops"]:
                block.ops.append(Operator(block, item["type"], item["inputs"], item["outputs"], item["attrs"]))
        program.blocks[0]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise ModelFileError(f"{path} does not describe a Program: {type(error).__name__}: {error}") from None
    missing = sorted({op.type for block in program.blocks for op in block.ops if not registry.known(op.type)})
    if missing:
        raise ModelFileError(f"{path} uses operators that fluidlite lacks: {', '.join(missing)}")
    return program


def _restore_variable(block, name, shape, dtype, parameter, trainable, **flags):
    if parameter:
        variable = Parameter(block, shape=shape, dtype=dtype, name=name, trainable=trainable)
        variable.stop_gradient = flags["stop_gradient"]
    else:
        variable = Variable(block, name=name, shape=shape, dtype=dtype, **flags)
    block.vars[name] = variable
