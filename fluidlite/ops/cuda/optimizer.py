"""Kernels for GPUs made of the formulas of update rules: one launch for all parameters of an optimizer.

Each thread computes the new values of some elements, and the last block the numbers of which each parameter has its
own.  Sums over whole tensors are found by a launch before.
"""

from functools import partial

import numpy as np

from ...core.c_text import c_text
from ...core.formula import names_of, substituted, symbol, walk
from ..arrays.strides import in_sequence
from ..updates import RULES
from .index import address_of
from .launch import THREADS, blocks_for, launch, type_name
from .pointwise import PRELUDE
from .rows import LAST_BLOCK
from .sums import sums_of

_CODE = r"""
struct alignas(WIDTH * sizeof(T)) Elements { T v[WIDTH]; };

extern "C" __global__ void __launch_bounds__(THREADS) update(PARAMETERS const I count)
{
    CONSTANTS
    for (I place = (I)blockIdx.x * THREADS + threadIdx.x; place < count; place += (I)gridDim.x * THREADS) {
        LOADS
        for (int k = 0; k < WIDTH; k++) {
            NAMES
            RULE
        }
        STORES
    }
    ENDING
}
"""

# The last block of all to end writes what the others have read.
_ENDING = r"""
    if (!is_last_block(done, gridDim.x)) return;
    for (int member = threadIdx.x; member < members; member += THREADS) { NUMBERS }
"""

# Bytes that a thread loads at once, where addresses allow it.
_PACK = 16
# Members of a group begin at multiples of so many elements.
_TOGETHER = 16


def update(rule, ctx, *arrays):
    """A function that computes the new values of a Rule.

    Args:
        rule: the Rule.
        ctx: the operator's context.
        arrays: its inputs and outputs.
    Returns:
        a function without arguments; None where the general kernel must serve.
    """
    outputs, given, made = rule.arguments(ctx, arrays)
    packed, sources = rule.definition.packed, rule.definition.inplace
    old = {name: address_of(given[sources[name]]) for name in made}
    in_place = all(address_of(array) == old[name] for name, array in made.items())
    # What stays as it is, need not be written.
    outputs = {name: one for name, one in outputs.items() if not in_place or one is not symbol(sources[name])}
    numbers = {name: one for name, one in outputs.items() if sources[name] in packed}
    outputs = {name: one for name, one in outputs.items() if name not in numbers}
    model = made[next(iter(outputs))]
    type, size = model.dtype, model.size
    if type_name(type) is None or size == 0:
        return None
    summed = _summed(ctx, outputs, given, model)
    if summed is None:
        return None
    outputs, sums, find = summed
    given = {**given, **sums}

    read = dict.fromkeys(names_of(*outputs.values(), *numbers.values()))
    elements = {name: given[name] for name in read if name not in packed and given[name].size > 1}
    alike = [*elements.values(), *(made[name] for name in outputs)]
    counts = [size] if ctx.counts is None else ctx.counts
    if any(array.dtype != type or not array.flags.c_contiguous for array in alike):
        return None
    if any(count % _TOGETHER for count in counts[:-1]):
        return None
    width = _PACK // type.itemsize
    if size % width or any(address_of(array) % _PACK for array in alike):
        width = 1

    kernel = _Kernel(read, type)
    if ctx.flaw is not None and in_place:
        # A step that has met a bad value is not learnt from.
        kernel.parameter("const long long *flaw", ctx.flaw)
        kernel.add("CONSTANTS", "if (flaw[0] != 0) return;")
    for name in read:
        kernel.parameter(f"const {type_name(given[name].dtype)} *{name}_", given[name])
        if name in elements:
            kernel.add("LOADS", f"const Elements {name}_p = *(const Elements *)({name}_ + place * WIDTH);")
            kernel.add("NAMES", f"const T {name} = {name}_p.v[k];")
        elif name in packed:
            kernel.add("NAMES", f"const T {name} = {name}_[member];")
        else:
            kernel.add("CONSTANTS", f"const T {name} = {name}_[0];")
    for name in (*outputs, *numbers):
        kernel.parameter(f"{type_name(made[name].dtype)} *{name}_", made[name])
    for name in outputs:
        kernel.add("LOADS", f"Elements {name}_p;")
        kernel.add("STORES", f"*(Elements *)({name}_ + place * WIDTH) = {name}_p;")
    kernel.compute("RULE", outputs, "{}_p.v[k]")
    if any(name in packed for name in read):
        member = "0"
        if len(counts) > 1:
            members = np.repeat(np.arange(len(counts), dtype=np.int32), counts)[::_TOGETHER]
            kernel.parameter("const int *members_of", ctx.xp.asarray(np.ascontiguousarray(members)))
            member = f"members_of[(place * WIDTH + k) / {_TOGETHER}]"
        kernel.texts["NAMES"].insert(0, f"const int member = {member};")
    code = PRELUDE + _CODE
    if numbers:
        for name in read:
            if name in packed:
                kernel.add("NUMBERS", f"const T {name} = {name}_[member];")
        kernel.compute("NUMBERS", numbers, "{}_[member]")
        kernel.parameter("unsigned *done", ctx.xp.zeros(1, np.uint32))
        kernel.parameter("const int members", np.int32(len(counts)))
        code = LAST_BLOCK + code.replace("ENDING", _ENDING)
    code = code.replace("ENDING", "").replace("PARAMETERS", "".join(f"{one}, " for one in kernel.parameters))
    for mark, lines in kernel.texts.items():
        code = code.replace(mark, "\n        ".join(lines))
    wide = size >= 1 << 30
    count = (np.int64 if wide else np.int32)(size // width)
    types = {"T": type, "I": "long long" if wide else "int", "WIDTH": width, "THREADS": THREADS}
    run = launch(ctx, code, "update", blocks_for(size // width), THREADS, *kernel.given, count, **types)
    return in_sequence([find, run])


class _Kernel:
    """The parts of a kernel's text.

    Attributes:
        parameters: of the kernel, and `given`, what it is launched with.
        texts: mark in the kernel -> lines.
    """

    def __init__(self, names, type):
        self.parameters, self.given = [], []
        self.texts = {mark: [] for mark in ("CONSTANTS", "LOADS", "NAMES", "RULE", "STORES", "NUMBERS")}
        self._names, self._types = {name: name for name in names}, dict.fromkeys(names, type)

    def parameter(self, text, value):
        self.parameters.append(text)
        self.given.append(value)

    def add(self, mark, *lines):
        self.texts[mark] += lines

    def compute(self, mark, outputs, place):
        """Write the values of outputs into their places."""
        statements, values, _ = c_text(outputs, self._names, self._types)
        self.add(mark, *statements, *(f"{place.format(name)} = {value};" for name, value in values.items()))


def _summed(ctx, outputs, given, model):
    """What finds the sums over whole tensors that a formula is made of.

    Args:
        outputs: output -> Expression
        given: input -> array
        model: an array like those that are summed.
    Returns:
        (outputs in which symbols stand for sums, these as arrays of one element, the function that finds them); None
        where the general kernel must serve.
    """
    totals = [one for one in walk(*outputs.values()) if one.op == "total"]
    if not totals:
        return outputs, {}, None
    terms = {f"sum{n}": one.args[0] for n, one in enumerate(totals)}
    if any(all(given[name].shape != model.shape for name in names_of(term)) for term in terms.values()):
        return None
    sums = {name: ctx.scratch((1,) * model.ndim, model.dtype) for name in terms}
    find = sums_of(ctx, terms, {**given, **sums}, model.shape)
    changes = {one: symbol(name) for name, one in zip(sums, totals, strict=True)}
    found = {name: substituted(one, changes) for name, one in outputs.items()}
    return None if find is None else (found, sums, find)


for _rule in RULES:
    _rule.definition.form("cuda")(partial(update, _rule))
