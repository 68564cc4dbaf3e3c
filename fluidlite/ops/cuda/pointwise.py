"""Operators that work element by element, as CUDA C: a kernel for one of them, or for many in a row.

The formula of an operator (`fluidlite.ops.pointwise`) says what one element of its outputs is.  A
program is a list of such operators that hand values on to each other.  Its kernel reads each array once and writes what
is wanted of the results; what lies between stays in registers.

Beside the functions of C the texts of formulas use `larger` and `smaller` (of two numbers, NaN if one is), `sign`,
`quotient` and `remainder_of` (of integers, rounded towards 0; 0 for the divisor 0), `floored` and `modulus` (of
floating-point numbers, as in Python).
"""

import copy
import math
import re
from functools import partial
from typing import NamedTuple

import numpy as np

from ...core import operators
from ...core.operators import operator
from ...core.spec import Spec, formula_name
from ...core.traits import BOUND, Batch, Memory
from ..arrays.strides import in_sequence
from .index import address_of
from .launch import THREADS, blocks_for, launch, type_name

PRELUDE = """
template <class V> __device__ __forceinline__ V larger(V a, V b) { return a > b || a != a ? a : b; }
template <class V> __device__ __forceinline__ V smaller(V a, V b) { return a < b || a != a ? a : b; }
template <class V> __device__ __forceinline__ V sign(V a) { return a > V(0) ? V(1) : a < V(0) ? V(-1) : a; }
template <class V> __device__ __forceinline__ V quotient(V a, V b) {
    if (b == V(0)) return V(0);
    return V(-1) < V(0) && b == V(-1) ? V(0ull - (unsigned long long)a) : V(a / b);
}
template <class V> __device__ __forceinline__ V remainder_of(V a, V b) {
    return b == V(0) || V(-1) < V(0) && b == V(-1) ? V(0) : V(a % b);
}
template <class V> __device__ __forceinline__ V modulus(V a, V b) {
    const V rest = fmod(a, b);
    return rest == V(0) ? copysign(V(0), b) : (rest < V(0)) != (b < V(0)) ? rest + b : rest;
}
template <class V> __device__ __forceinline__ V floored(V a, V b) {
    if (b == V(0)) return a / b;
    const V rest = fmod(a, b);
    const V times = (a - rest) / b - V(rest != V(0) && (rest < V(0)) != (b < V(0)));
    if (times == V(0)) return copysign(V(0), a / b);
    const V whole = floor(times);
    return times - whole > V(0.5) ? whole + V(1) : whole;
}
template <class V, int N> struct alignas(sizeof(V) * N) Pack { V v[N]; };
// n / d for n < 2^31, where `factor` and `shift` stand for d.
__device__ __forceinline__ unsigned divided(unsigned n, unsigned factor, unsigned shift) {
    return (unsigned)(((unsigned long long)n * factor >> 32) + n) >> shift;
}
"""

# Bytes that a thread loads and stores at once.
_PACK = 16
_TOKENS = re.compile(r"[A-Za-z_]\w*|\d+\.?\d*(?:[eE][+-]?\d+)?")


class Formula(NamedTuple):
    """The formula of an operator, for tensors of given shapes and data types.

    Attributes:
        texts: output slot -> C, for the outputs that have an element for each of `shape`.
        shape: of the arrays that all others broadcast to.
        laid: name in the formula (X0 for the first of `X*`) -> the shape in which the input broadcasts.
        slots: the same name -> (input slot, place in it).
        copies: output slot -> (input slot, place), for the outputs that are copies of inputs.
    """

    texts: dict
    shape: tuple
    laid: dict
    slots: dict
    copies: dict


def formula_of(definition, attrs, inputs, outputs):
    """The Formula of an operator, or None if it has none for such tensors.

    Args:
        definition: the OperatorDef.
        attrs: its attributes.
        inputs: slot -> list of Spec.
        outputs: slot -> list of Spec, of the outputs that are wanted.
    """
    if definition.formula is None:
        return None
    specs = {formula_name(slot): found for slot, found in {**inputs, **outputs}.items() if found}
    texts = definition.formula(attrs, specs)
    wanted = {slot: texts.get(formula_name(slot)) for slot in outputs if outputs[slot]} if texts else {}
    if not wanted or None in wanted.values():
        return None
    many = {slot.name for slot in definition.inputs if slot.many}
    slots = {}
    for slot, found in inputs.items():
        if slot not in definition.shape_only:
            for place in range(len(found)):
                slots[f"{formula_name(slot)}{place if slot in many else ''}"] = slot, place
    read = {token for text in wanted.values() for token in _TOKENS.findall(text)}
    slots = {name: where for name, where in slots.items() if name in read}
    found = [inputs[slot][place] for slot, place in slots.values()]
    if any(type_name(spec.dtype) is None for spec in [*found, *(outputs[slot][0] for slot in wanted)]):
        return None
    shapes = {name: specs[name][0].shape for name in specs}
    shapes |= {name: inputs[slot][place].shape for name, (slot, place) in slots.items()}
    if definition.broadcasts is not None:
        shapes |= definition.broadcasts(attrs, shapes)
    laid = {name: _laid(shapes[name]) for name in [*slots, *map(formula_name, wanted)]}
    shape = np.broadcast_shapes(*laid.values())
    size = math.prod(shape)
    texts = {slot: text for slot, text in wanted.items() if outputs[slot][0].size == size}
    if size == 0 or not texts:
        return None
    copies = {
        slot: slots[text]
        for slot, text in texts.items()
        if text in slots and inputs[slots[text][0]][slots[text][1]][:2] == outputs[slot][0][:2]
    }
    return Formula(texts, shape, {name: laid[name] for name in slots}, slots, copies)


def _laid(shape):
    return () if math.prod(shape) == 1 else tuple(shape)


class Member(NamedTuple):
    """An operator of a program.  The values that members hand on have numbers, those of the program's inputs first.

    Attributes:
        type, attrs: of the operator.
        inputs, outputs: slot -> numbers of values; None for what is only read for its shape, or not computed.
        input_specs, output_specs: slot -> list of Spec.
    """

    type: str
    attrs: dict
    inputs: dict
    outputs: dict
    input_specs: dict
    output_specs: dict

    @property
    def formula(self):
        outputs = {
            slot: [spec for spec, number in zip(specs, self.outputs[slot], strict=True) if number is not None]
            for slot, specs in self.output_specs.items()
        }
        return formula_of(operators.find(self.type), self.attrs, self.input_specs, outputs)


def _assignments(member):
    """The statements that compute a member's values."""
    formula = member.formula
    names = {name: f"v{member.inputs[slot][place]}" for name, (slot, place) in formula.slots.items()}
    for slot, text in formula.texts.items():
        (number,), dtype = member.outputs[slot], member.output_specs[slot][0].dtype
        text = _TOKENS.sub(lambda match: names.get(match[0], match[0]), text)
        *statements, value = text.split(";")
        before = "".join(f"{statement.strip()}; " for statement in statements)
        compute = f"{before}v{number} = {value.strip()};"
        yield f"{type_name(dtype)} v{number}; {{ {compute} }}"


class _Layout(NamedTuple):
    """How a kernel runs through its arrays: as few dimensions as possible, the slowest first.

    Attributes:
        sizes: of the dimensions.
        strides: for each array, its strides in elements.
        pack: how many neighbouring elements a thread takes at once.
        wide: whether positions need 64 bits.
    """

    sizes: tuple
    strides: tuple
    pack: int
    wide: bool


def _strides(array, laid, shape):
    """The strides, in elements, of an array that broadcasts to `shape`; None where no kernel takes them."""
    size = array.dtype.itemsize
    view = array if array.shape == laid else array.reshape(laid)
    if any(stride % size or stride < 0 for stride in view.strides):
        return None
    found = [stride // size if count > 1 else 0 for count, stride in zip(view.shape, view.strides, strict=True)]
    return [0] * (len(shape) - len(laid)) + found


def _layout(shape, arrays, laid, outputs):
    """The _Layout of arrays that lie in the shapes `laid`, of which the last `outputs` are written; None if none."""
    strides = [_strides(array, lies, shape) for array, lies in zip(arrays, laid, strict=True)]
    if None in strides:
        return None
    order = sorted((d for d, size in enumerate(shape) if size > 1), key=lambda d: -strides[-1][d])
    sizes, columns = [], []  # `columns`: for each dimension the strides of all arrays
    for size, column in ((shape[d], [one[d] for one in strides]) for d in order):
        if sizes and all(slow == fast * size for slow, fast in zip(columns[-1], column, strict=True)):
            sizes[-1] *= size
            columns[-1] = column
        else:
            sizes.append(size)
            columns.append(column)
    if not sizes:
        sizes, columns = [1], [[1] * len(arrays)]
    strides = tuple(zip(*columns, strict=True))
    # Without packs, a position is at most the largest offset.
    reach = max(sum((n - 1) * s for n, s in zip(sizes, one, strict=True)) for one in strides)
    wide = max(reach, math.prod(sizes)) >= 1 << 31
    pack = max(1, _PACK // max(array.dtype.itemsize for array in arrays))
    for number, (array, one) in enumerate(zip(arrays, strides, strict=True)):
        is_output = number >= len(arrays) - outputs
        aligned = address_of(array) % (pack * array.dtype.itemsize) == 0 and not any(s % pack for s in one[:-1])
        if one[-1] != 1 and (is_output or one[-1] != 0) or one[-1] == 1 and not aligned:
            pack = 1
    if len(sizes) > 1 and sizes[-1] % pack or sizes[-1] < pack:
        pack = 1
    return _Layout(tuple(sizes), strides, pack, wide)


def _dense(sizes):
    """The strides of a contiguous array."""
    return tuple(math.prod(sizes[d + 1 :]) for d in range(len(sizes)))


def _positions(layout):
    """Where the elements of pack number i lie.

    Returns:
        (list of statements that split i, for each array its place in C, parameter name -> number)
    """
    sizes, strides, pack, wide = layout
    number, last = (np.uint64 if wide else np.uint32), len(sizes) - 1
    index = "unsigned long long" if wide else "unsigned"
    dense, places, strided = _dense(sizes), [], {}
    for n, one in enumerate(strides):
        terms = []
        if one == dense:
            terms.append(f"i * {pack}")
        else:
            for d, stride in enumerate(one):
                term = f"i{d} * {pack}" if d == last else f"i{d}"
                if stride > 1:
                    strided[f"w{n}_{d}"] = number(stride)
                    terms.append(f"{term} * w{n}_{d}")
                elif stride == 1:
                    terms.append(term)
        places.append(" + ".join(terms) or "0")
    used = {token for place in places for token in _TOKENS.findall(place)}
    parameters, statements = {}, []
    if used & {f"i{d}" for d in range(last + 1)}:
        statements.append(f"{index} i0 = i;")
        for d in range(last, 0, -1):
            size = sizes[d] // pack if d == last else sizes[d]
            parameters[f"n{d}"] = number(size)
            quotient = f"i0 / n{d}"
            if not wide:
                shift = (size - 1).bit_length()
                factor = ((1 << shift) - size << 32) // size + 1
                parameters |= {f"f{d}": np.uint32(factor), f"s{d}": np.uint32(shift)}
                quotient = f"divided(i0, f{d}, s{d})"
            place = f", i{d} = i0 - q{d} * n{d}" if f"i{d}" in used else ""
            statements.append(f"const {index} q{d} = {quotient}{place}; i0 = q{d};")
    return statements, places, {**parameters, **strided}


_KERNEL = """
__device__ __forceinline__ void element({values}) {{
    {body}
}}
extern "C" __global__ void __launch_bounds__({threads}) pointwise({parameters}) {{
    const {index} step = ({index})gridDim.x * blockDim.x, first = ({index})blockIdx.x * blockDim.x + threadIdx.x;
    for ({index} i = first; i < count; i += step) {{
        {loop}
    }}
    {rest}
}}
"""


def _source(statements, types, results, layout):
    """The CUDA C of a kernel, and the numbers to pass to it behind the arrays.

    Args:
        statements: compute the values v0, v1, ... from those of the inputs.
        types: the dtypes of the inputs, then of the outputs.
        results: for each output, the number of its value.
        layout: the _Layout.
    """
    pack, total = layout.pack, math.prod(layout.sizes)
    index = "unsigned long long" if layout.wide else "unsigned"
    number = np.uint64 if layout.wide else np.uint32
    inputs = len(types) - len(results)
    names = [type_name(dtype) for dtype in types]
    split, places, parameters = _positions(layout)
    parameters = {"count": number(total // pack), "total": number(total), **parameters}
    loads, stores, packed, alone = [], [], [], []
    for n, (name, place, strides) in enumerate(zip(names, places, layout.strides, strict=True)):
        kind = f"Pack<{name}, {pack}>"
        if pack == 1 or strides[-1] == 0:
            packed.append(f"p{n}[{place}]")
        elif n < inputs:
            loads.append(f"const {kind} a{n} = *(const {kind}*)(p{n} + {place});")
            packed.append(f"a{n}.v[k]")
        else:
            loads.append(f"{kind} a{n};")
            stores.append(f"*({kind}*)(p{n} + {place}) = a{n};")
            packed.append(f"a{n}.v[k]")
        alone.append(f"p{n}[i]" if any(strides) else f"p{n}[0]")
    work = f"for (int k = 0; k < {pack}; k++) element({', '.join(packed)});"
    rest = ""
    if pack > 1 and total % pack:
        rest = f"for ({index} i = count * {pack} + first; i < total; i += step) element({', '.join(alone)});"
    code = PRELUDE + _KERNEL.format(
        values=", ".join(
            [f"const {names[n]} v{n}" for n in range(inputs)]
            + [f"{name}& r{n}" for n, name in enumerate(names[inputs:])]
        ),
        body="\n    ".join([*statements, *(f"r{n} = v{value};" for n, value in enumerate(results))]),
        threads=THREADS,
        parameters=", ".join(
            [f"{'const ' if n < inputs else ''}{name}* p{n}" for n, name in enumerate(names)]
            + [f"const {index} {name}" for name in parameters]
        ),
        index=index,
        loop="\n        ".join([*split, *loads, f'_Pragma("unroll") {work}', *stores]),
        rest=rest,
    )
    return code, list(parameters.values())


def launch_program(ctx, members, inputs, laid, outputs, results, shape):
    """A function that runs the kernel of a program; None where the arrays have strides that no kernel takes.

    Args:
        ctx: the kernel's context.
        members: the program, a list of Member.
        inputs, outputs: the arrays.
        laid: the shapes in which the inputs broadcast.
        results: for each output, the number of its value.
        shape: what all inputs broadcast to.
    """
    arrays = [*inputs, *outputs]
    layout = _layout(shape, arrays, [*laid, *[shape] * len(outputs)], len(outputs))
    if layout is None:
        return None
    statements = [one for member in members for one in _assignments(member)]
    code, numbers = _source(statements, [array.dtype for array in arrays], results, layout)
    blocks = blocks_for(math.prod(layout.sizes) // layout.pack)
    return launch(ctx, code, "pointwise", blocks, THREADS, *arrays, *numbers)


def _specs(arrays):
    return [Spec(array.shape, array.dtype) for array in arrays if array is not None]


def _listed(argument):
    return argument if isinstance(argument, list) else [argument]


def _bound(definition, ctx, arguments):
    """A function that runs the general kernel."""
    return definition.kernel(ctx, *arguments) if definition.bind else partial(definition.kernel, ctx, *arguments)


def formula_variant(definition):
    """The kernel for GPUs of an operator with a formula; what the formula does not give is left to the general one."""

    def kernel(ctx, *arguments):
        count = len(definition.inputs)
        inputs = {
            slot.name: [array for array in _listed(argument) if array is not None]
            for slot, argument in zip(definition.inputs, arguments[:count], strict=True)
        }
        outputs = {slot.name: array for slot, array in zip(definition.outputs, arguments[count:], strict=True)}
        if any(isinstance(array, list) for array in outputs.values()):
            return None
        input_specs = {slot: _specs(arrays) for slot, arrays in inputs.items()}
        output_specs = {slot: _specs([array]) for slot, array in outputs.items()}
        formula = formula_of(definition, ctx.attrs, input_specs, output_specs)
        if formula is None:
            return None
        others = [None if slot in formula.texts else array for slot, array in outputs.items()]
        steps = []
        if any(array is not None for array in others):
            steps.append(_bound(definition, ctx, [*arguments[:count], *others]))
        # A copy onto itself is done.
        done = {slot for slot, (source, place) in formula.copies.items() if inputs[source][place] is outputs[slot]}
        written = {slot: output_specs[slot] for slot in formula.texts if slot not in done}
        formula = formula_of(definition, ctx.attrs, input_specs, written)
        if formula is not None:
            numbers = {slot: [None] * len(arrays) for slot, arrays in inputs.items()}
            for number, (slot, place) in enumerate(formula.slots.values()):
                numbers[slot][place] = number
            results = {slot: [len(formula.slots) + number] for number, slot in enumerate(written)}
            steps.append(
                launch_program(
                    ctx,
                    [Member(definition.type, ctx.attrs, numbers, results, input_specs, written)],
                    [inputs[slot][place] for slot, place in formula.slots.values()],
                    list(formula.laid.values()),
                    [outputs[slot] for slot in written],
                    [number for (number,) in results.values()],
                    formula.shape,
                )
            )
        return None if None in steps else in_sequence(steps)

    return kernel


@operator(
    "@pointwise",
    inputs="X*?",
    outputs="Out*",
    attributes={"members": (), "laid": (), "shape": (), "results": (), "specs": ()},
    infer=lambda attrs, xs: list(attrs["specs"]),
    kernel=BOUND,
    memory=Memory(elementwise=True, inplace={"Out": "X"}),
    batch=Batch(rows=lambda attrs, shapes: None),
)
def pointwise(ctx, xs, outs):
    """The operators of a program one after the other; the attributes are what `launch_program` takes."""
    values, steps = dict(enumerate(xs)), []
    for member in ctx.attrs["members"]:
        definition = operators.find(member.type)
        own = copy.copy(ctx)
        own.attrs = member.attrs
        arguments = []
        for slot in definition.inputs:
            specs, numbers = member.input_specs.get(slot.name, ()), member.inputs.get(slot.name, ())
            arrays = [values.get(number, _unread(spec)) for spec, number in zip(specs, numbers, strict=True)]
            arguments.append(arrays if slot.many else arrays[0] if arrays else None)
        for slot in definition.outputs:
            array = None
            if slot.name in member.outputs:
                ((number,), (spec,)) = member.outputs[slot.name], member.output_specs[slot.name]
                array = values[number] = ctx.scratch(spec.shape, spec.dtype)
            arguments.append(array)
        steps.append(_bound(definition, own, arguments))
    # Not before the end, for an output may lie where an input does.
    for out, number in zip(outs, ctx.attrs["results"], strict=True):
        steps.append(partial(ctx.xp.copyto, out, values[number]))
    return in_sequence(steps)


def _unread(spec):
    """What stands for an input of which only the shape is used."""
    return np.broadcast_to(np.zeros((), spec.dtype), spec.shape)


@pointwise.variant("cuda")
def pointwise_cuda(ctx, xs, outs):
    attrs = ctx.attrs
    return launch_program(ctx, attrs["members"], xs, attrs["laid"], outs, attrs["results"], attrs["shape"])


for _type in operators.types():
    _definition = operators.find(_type)
    if _definition.formula is not None:
        _definition.variants.setdefault("cuda", formula_variant(_definition))
