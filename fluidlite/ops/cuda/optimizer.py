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
    in_place = all(address_of(made[name]) == address_of(given[sources[name]]) for name in outputs)
    # What stays as it is, need not be written.
    outputs = {name: one for name, one in outputs.items() if not in_place or one is not symbol(sources[name])}
    numbers = {name: one for name, one in outputs.items() if sources[name] in packed}
    over = {name: one for name, one in outputs.items() if name not in numbers}
    model = made[next(iter(over))]
    summed = _summed(ctx, over, given, model)
    if summed is None:
        return None
    over, sums, find = summed
    given = {**given, **sums}

    read = dict.fromkeys(names_of(*over.values(), *numbers.values()))
    elements = [name for name in read if name not in packed and given[name].size > 1]
    counts = [model.size] if ctx.counts is None else ctx.counts
    width = _width([*(made[name] for name in over), *(given[name] for name in elements)], counts)
    if width is None:
        return None
    kernel = _Kernel(model.dtype, read)
    if ctx.error_flag is not None and in_place:
        # A step that has met a bad value is not learnt from.
        kernel.parameter("const long long *error_flag", ctx.error_flag)
        kernel.add("CONSTANTS", "if (error_flag[0] != 0) return;")
    if packed.intersection(read):
        kernel.find_member(ctx, counts)
    for name in read:
        kernel.read(name, given[name], "elements" if name in elements else "numbers" if name in packed else "number")
    kernel.write(over, made)
    if numbers:
        kernel.write_numbers(ctx, numbers, made, [name for name in read if name in packed], len(counts))
    wide = model.size >= 1 << 30
    count = (np.int64 if wide else np.int32)(model.size // width)
    types = {"T": model.dtype, "I": "long long" if wide else "int", "WIDTH": width, "THREADS": THREADS}
    blocks = blocks_for(model.size // width)
    run = launch(ctx, kernel.code(), "update", blocks, THREADS, *kernel.given, count, **types)
    return in_sequence([find, run])


def _width(arrays, counts):
    """How many elements a thread takes at once of arrays, the first of which is written.

    Args:
        counts: how many elements belong to each parameter.
    Returns:
        int; None for arrays that no kernel takes.
    """
    type, size = arrays[0].dtype, arrays[0].size
    if type_name(type) is None or size == 0 or any(count % _TOGETHER for count in counts[:-1]):
        return None
    if any(array.dtype != type or not array.flags.c_contiguous for array in arrays):
        return None
    width = _PACK // type.itemsize
    return 1 if size % width or any(address_of(array) % _PACK for array in arrays) else width


class _Kernel:
    """The text of a kernel.

    Args:
        type: the data type that is called T.
        names: of what it reads.
    Attributes:
        given: what it is launched with, before the count.
    """

    def __init__(self, type, names):
        self.given = []
        self._parameters, self._ending = [], ""
        self._texts = {mark: [] for mark in ("CONSTANTS", "LOADS", "NAMES", "RULE", "STORES", "NUMBERS")}
        self._names, self._types = {name: name for name in names}, dict.fromkeys(names, type)

    def parameter(self, text, value):
        self._parameters.append(f"{text}, ")
        self.given.append(value)

    def add(self, mark, *lines):
        self._texts[mark] += lines

    def find_member(self, ctx, counts):
        """Tell which of several parameters an element belongs to."""
        place = "0"
        if len(counts) > 1:
            members = np.repeat(np.arange(len(counts), dtype=np.int32), counts)[::_TOGETHER]
            self.parameter("const int *members_of", ctx.xp.asarray(np.ascontiguousarray(members)))
            place = f"members_of[(place * WIDTH + k) / {_TOGETHER}]"
        self.add("NAMES", f"const int member = {place};")

    def read(self, name, array, kind):
        """Give a name to the element of an array, to its number for the parameter, or to its only number."""
        self.parameter(f"const {type_name(array.dtype)} *{name}_", array)
        if kind == "elements":
            self.add("LOADS", f"const Elements {name}_p = *(const Elements *)({name}_ + place * WIDTH);")
            self.add("NAMES", f"const T {name} = {name}_p.v[k];")
        elif kind == "numbers":
            self.add("NAMES", f"const T {name} = {name}_[member];")
        else:
            self.add("CONSTANTS", f"const T {name} = {name}_[0];")

    def write(self, outputs, arrays):
        """Compute outputs with an element for each of a parameter's."""
        for name in outputs:
            self.parameter(f"T *{name}_", arrays[name])
            self.add("LOADS", f"Elements {name}_p;")
            self.add("STORES", f"*(Elements *)({name}_ + place * WIDTH) = {name}_p;")
        self._compute("RULE", outputs, "{}_p.v[k]")

    def write_numbers(self, ctx, outputs, arrays, packed, members):
        """Compute outputs with a number for each parameter, of what is `packed` like that, when all else is done."""
        for name in outputs:
            self.parameter(f"{type_name(arrays[name].dtype)} *{name}_", arrays[name])
        self.add("NUMBERS", *(f"const T {name} = {name}_[member];" for name in packed))
        self._compute("NUMBERS", outputs, "{}_[member]")
        self.parameter("unsigned *done", ctx.xp.zeros(1, np.uint32))
        self.parameter("const int members", np.int32(members))
        self._ending = _ENDING

    def _compute(self, mark, outputs, place):
        statements, values, _ = c_text(outputs, self._names, self._types)
        self.add(mark, *statements, *(f"{place.format(name)} = {value};" for name, value in values.items()))

    def code(self):
        code = _CODE.replace("ENDING", self._ending).replace("PARAMETERS", "".join(self._parameters))
        for mark, lines in self._texts.items():
            code = code.replace(mark, "\n        ".join(lines))
        return PRELUDE + (LAST_BLOCK if self._ending else "") + code


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
    _rule.definition.variant("cuda")(partial(update, _rule))
