"""Programs as drawings and as text, for finding out what is wrong with them."""

import os
import re
import warnings

from ..core.dtypes import VarType, dtype_name
from ..core.spec import GRAD
from . import framework
from .framework import Block, Program

__all__ = ["draw_block_graphviz", "pprint_block_codes", "pprint_program_codes"]


def draw_block_graphviz(block, highlights=None, path="./temp.dot"):
    """Draw the operators and variables of a Block into a file.

    Args:
        block (Block): what to draw.
        highlights (list of str): regular expressions; operators and variables whose types and names begin with a match
            are conspicuous.
        path (str): the file, in Graphviz's language; beside it a PDF is made where the program `dot` is there.  If it
            ends in .svg, .png or .pdf, that picture alone.
    Raises:
        TypeError: an argument of the wrong type.
        ImportError: the package graphviz is missing.
    """
    if not isinstance(block, Block):
        raise TypeError(f"draw_block_graphviz needs a Block, such as program.global_block(), got {block!r}")
    if isinstance(highlights, str) or not all(isinstance(pattern, str) for pattern in highlights or ()):
        raise TypeError(f"highlights must be a list of regular expressions, got {highlights!r}")
    patterns = [re.compile(pattern) for pattern in highlights or ()]
    graph = framework.pictures.draw_block(block, lambda name: any(pattern.match(name) for pattern in patterns))
    stem, ending = os.path.splitext(path)
    if ending in (".svg", ".png", ".pdf"):
        framework.pictures.write(graph, path)
        return
    with open(path, "w", encoding="utf-8") as file:
        file.write(graph.source)
    import graphviz

    try:
        framework.pictures.write(graph, stem + ".pdf", hint=False)
    except graphviz.ExecutableNotFound:
        warnings.warn(
            f"{path} is written, but no {stem}.pdf: the program `dot` is missing (https://graphviz.org/download)",
            stacklevel=2,
        )


def pprint_program_codes(program_desc):
    """The variables and operators of a Program as text, a line each, without its gradients.

    Args:
        program_desc (Program): what to print.
    Returns:
        str
    Raises:
        TypeError: it is no Program.
    """
    if not isinstance(program_desc, Program):
        raise TypeError(f"pprint_program_codes needs a Program, got {program_desc!r}")
    return "\n".join(pprint_block_codes(block) for block in program_desc.blocks)


def pprint_block_codes(block_desc, show_backward=False):
    """The variables and operators of a Block as text, a line each.

    Args:
        block_desc (Block): what to print.
        show_backward (bool): with gradients, and the operators that read or write them.
    Returns:
        str
    Raises:
        TypeError: it is no Block.
    """
    if not isinstance(block_desc, Block):
        raise TypeError(f"pprint_block_codes needs a Block, got {block_desc!r}")
    variables = [v for v in block_desc.vars.values() if show_backward or GRAD not in v.name]
    ops = [op for op in block_desc.ops if show_backward or not _is_backward(op)]
    return (
        f"// block-{block_desc.idx}  parent-{block_desc.parent_idx}\n"
        f"// variables\n{_lines(_variable, variables)}\n\n// operators\n{_lines(_operator, ops)}\n"
    )


def _lines(text_of, things):
    return "\n".join(text_of(thing) for thing in things)


def _is_backward(op):
    slots = [*op.inputs, *op.outputs]
    return op.type.endswith("_grad") or any(GRAD in n for n in slots + op.input_arg_names + op.output_arg_names)


def _variable(variable):
    tensor = f"tensor(type={dtype_name(variable.dtype)}, shape={list(variable.shape)})"
    if variable.type is VarType.SELECTED_ROWS:
        return f"SelectedRows {variable.name} ({tensor})"
    level = f"level={variable.lod_level}, "
    if variable.type is VarType.LOD_TENSOR_ARRAY:
        return f"TensorArray {variable.name} ({level}{tensor})"
    if variable.type is not VarType.LOD_TENSOR:
        return f"{variable.type.name} {variable.name}"
    if variable.lod_level:
        return f"LoDTensor {variable.name} ({level}{tensor})"
    return f"Tensor {variable.name} ({tensor})"


def _operator(op):
    outputs = [_listed(names) for _, names in sorted(op.outputs.items()) if names]
    if op.type == "fill_constant":
        return f"{','.join(outputs)} = {op.attrs.get('value')} [shape={op.attrs.get('shape')}]"
    inputs = ", ".join(f"{slot}={_listed(names)}" for slot, names in sorted(op.inputs.items()) if names)
    attrs = ",".join(f"{name}={value}" for name, value in op.attrs.items() if name != "op_callstack")
    return f"{', '.join(outputs)} = {op.type}({inputs}) [{{{attrs}}}]"


def _listed(names):
    return names[0] if len(names) == 1 else str(names)
