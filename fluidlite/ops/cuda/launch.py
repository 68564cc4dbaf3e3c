"""CUDA C kernels beside an operator's general kernel: `@definition.variant("cuda")`.

The source of a family's kernels is a string in the family's file, beside the general kernels that they are tested
against.  It is compiled by NVRTC, which has no standard headers; macros stand for what depends on data types.
"""

from functools import partial

import numpy as np

from ...core.c_text import TYPE_NAMES

# Threads of a block, where nothing asks for another number.
THREADS = 256
# Blocks of a grid whose threads take one element after the other (a grid-stride loop): all cards are full with these.
_MOST_BLOCKS = 4096


def type_name(dtype):
    """The name of a NumPy dtype in CUDA C (str); None for types that kernels do not take."""
    return TYPE_NAMES.get(np.dtype(dtype).name)


def blocks_for(count, threads=THREADS):
    """How many blocks of so many threads take `count` elements in a grid-stride loop."""
    return max(1, min(-(-count // threads), _MOST_BLOCKS))


def launch(ctx, code, name, blocks, threads, *arguments, shared=0, **macros):
    """A function that launches a kernel.

    Args:
        ctx: the kernel's context.
        code (str): CUDA C source.
        name (str): of an `extern "C" __global__` function in it.
        blocks, threads: of the grid, and of a block: numbers or tuples of up to three.
        arguments: device arrays (their addresses; None for none), and numbers: a Python int is passed as `long long`, a
            Python float as `double`, a NumPy number as what it is.
        shared: bytes of dynamic shared memory.
        macros: what the source is compiled with: name -> number, str, or dtype (its name in CUDA C).
    """
    defines = []
    for macro, value in sorted(macros.items()):
        if isinstance(value, (type, np.dtype)):
            value = type_name(value)
        defines.append((macro, str(int(value) if isinstance(value, bool) else value)))
    function = ctx.function(code, name, defines)
    passed = tuple(_passed(ctx, one) for one in arguments)
    return partial(function, _three(blocks), _three(threads), passed, shared_mem=shared)


def _passed(ctx, argument):
    if argument is None:
        return ctx.null
    return (
        np.int64(argument) if type(argument) is int else np.float64(argument) if type(argument) is float else argument
    )


def defined(code, defines):
    """The source with its macros (pairs of a name and what it stands for) in front."""
    return "".join(f"#define {macro} {text}\n" for macro, text in defines) + code


def _three(sizes):
    return tuple(sizes) if isinstance(sizes, (tuple, list)) else (int(sizes),)
