"""Operators that change the shape of a tensor, or take it apart and put it together."""

import math
from functools import partial

import numpy as np

from ..core import lod
from ..core.attributes import MKLDNN, ignored
from ..core.dtypes import numpy_dtype
from ..core.errors import EnforceNotMet
from ..core.operators import none, operator
from ..core.spec import Spec, parse_slots
from ..core.traits import BOUND, ELEMENTWISE, About, Batch, Kernel, Lod, Memory, axis_unless_last, if_rows_stay, sizes
from .arrays.indexing import add_at, index_check, put_rows
from .arrays.strides import in_sequence, sum_into
from .linalg import size_of
from .pointwise import by_formula
from .reduce import axis_of


def known_values(spec):
    """The numbers in a tensor that determines a shape, as a list, if the plan knows them; else None."""
    value = getattr(spec, "value", None)
    return None if value is None else value.ravel().tolist()


def given(numbers, tensor, tensors):
    """Numbers from an attribute, or from a tensor that holds them, or from one tensor for each.

    A number that is not known yet is None, or, when `tensor` holds them all, the whole result.
    """
    if tensor is not None:
        return known_values(tensor)
    if not tensors:
        return list(numbers)
    # Beside tensors, the attribute keeps the numbers that were given as such, and -1 for the others.
    numbers = numbers if len(numbers) == len(tensors) else [-1] * len(tensors)
    found = []
    for number, spec in zip(numbers or [-1] * len(tensors), tensors, strict=True):
        values = known_values(spec)
        found.append(values[0] if values is not None else number if number != -1 else None)
    return found


def copy_in_order(ctx, x, out):
    """Copy the elements of x, in order, to `out` of another shape, which is contiguous."""
    ctx.xp.copyto(out.reshape(x.shape), x)


def with_x_shape(infer):
    """Shape inference of Out and of XShape, which keeps the shape of X for the gradient behind a 0."""

    def infer_both(attrs, x, *rest):
        return infer(attrs, x, *rest), Spec((0, *x.shape), x.dtype)

    return infer_both


def infer_from_x_shape(attrs, x_shape, dout):
    return Spec(x_shape.shape[1:], dout.dtype)


def rows_of_reshape(attrs, shapes):
    x, out = shapes["X"][0], shapes["Out"][0]
    return {"X", "Out", "XShape"} if x[:1] and x[:1] == out[:1] else None


def rows_beside_axis(*slots):
    """Rows in `slots` of an operator that works along the attribute `axis`, unless that is the first dimension."""

    def rows(attrs, shapes):
        rank = max(len(shape) for name in slots for shape in shapes.get(name, ()))
        return set(slots) if attrs["axis"] % rank else None

    return rows


def reshaping(
    type,
    infer,
    inputs="X",
    attributes=None,
    keeps="XShape",
    details=None,
    lod_of=if_rows_stay,
    lod_of_gradient=None,
):
    """An operator whose Out is X in another shape, and its gradient.

    Fluid has most of them twice: the older operator's gradient reads X and other slots (`keeps`) to learn a shape, that
    of the newer one reads XShape, an output made for it.
    """
    x, *others = parse_slots(inputs)

    def kernel(ctx, x, *rest):
        copy_in_order(ctx, x, rest[len(others)])

    definition = operator(
        type,
        inputs=inputs,
        outputs="Out, XShape!" if keeps == "XShape" else "Out",
        attributes=attributes,
        infer=with_x_shape(infer) if keeps == "XShape" else infer,
        kernel=Kernel(constant=True, shape_from=" ".join(slot.name for slot in others)),
        memory=Memory(view={"Out": "X"}, inplace={"Out": "X"}),
        batch=Batch(rows=rows_of_reshape),
        lod=Lod(of=lod_of),
        about=About(details=details),
    )(kernel)

    @definition.gradient(
        shapes=keeps,
        infer=infer_from_x_shape if keeps == "XShape" else None,
        memory=Memory(view={"X@GRAD": "Out@GRAD"}),
        lod=Lod(of="XShape" if keeps == "XShape" else lod_of_gradient),
    )
    def gradient(ctx, *arrays):
        *_, dout, dx = arrays
        copy_in_order(ctx, dout, dx)

    return gradient


def infer_reshape(attrs, x, shape_tensor, shape_tensors):
    wanted = given(attrs["shape"], shape_tensor, shape_tensors)
    if wanted is None:
        return Spec((-1,) * shape_tensor.shape[0], x.dtype)
    if None in wanted:
        sizes = [x.shape[axis] if size == 0 and axis < len(x.shape) else size for axis, size in enumerate(wanted)]
        return Spec(tuple(-1 if size is None else size for size in sizes), x.dtype)
    got = f"X has shape {list(x.shape)} and cannot take the shape {wanted}"
    if wanted.count(-1) > 1 or any(size < -1 for size in wanted):
        raise EnforceNotMet(f"{got}: one dimension may be -1, the others are positive, or 0 to keep that of X")
    if any(size == 0 and axis >= len(x.shape) for axis, size in enumerate(wanted)):
        raise EnforceNotMet(f"{got}: a 0 stands for the same dimension of X, which has {len(x.shape)}")
    shape = [x.shape[axis] if size == 0 else size for axis, size in enumerate(wanted)]
    total = size_of(x.shape)
    if -1 in wanted and total >= 0:
        rest = math.prod(size for axis, size in enumerate(shape) if wanted[axis] != -1)
        if rest == 0 or total % rest:
            raise EnforceNotMet(f"{got}: {total} elements are no multiple of {rest}")
        shape[wanted.index(-1)] = total // rest
    elif total >= 0 and math.prod(shape) != total:
        raise EnforceNotMet(f"{got}: it holds {total} elements, not {math.prod(shape)}")
    return Spec(tuple(shape), x.dtype)


def _details_of_reshape(attrs, shapes):
    return ["to " + sizes(attrs["shape"])]


_QUANTIZER = {"use_quantizer": ignored(False)}

_SHAPES = "X, Shape?!, ShapeTensor*?!"

reshaping(
    "reshape",
    infer_reshape,
    _SHAPES,
    {"shape": []},
    "X, Out, Shape, ShapeTensor",
    _details_of_reshape,
    lod_of_gradient="none",
)
reshape2_grad = reshaping("reshape2", infer_reshape, _SHAPES, {"shape": []} | _QUANTIZER, "XShape", _details_of_reshape)


@reshape2_grad.gradient(shapes="Out@GRAD", gives="Out@GRAD", memory=Memory(view={"DDOut": "DDX"}))
def reshape2_grad_grad(ctx, dout, ddx, ddout):
    copy_in_order(ctx, ddx, ddout)


def infer_flatten(attrs, x):
    axis = attrs["axis"]
    if not 0 <= axis <= len(x.shape):
        raise EnforceNotMet(f"axis must lie in [0, {len(x.shape)}] for X of shape {list(x.shape)}, got {axis}")
    return Spec((size_of(x.shape[:axis]), size_of(x.shape[axis:])), x.dtype)


def lod_of_flattened(attrs, shapes):
    # An open number of rows stays open, but does not stay the same, if other dimensions join it.
    return if_rows_stay(attrs, shapes) if math.prod(shapes["X"][0][1 : attrs["axis"]]) == 1 else {"Out": "none"}


for _type, _keeps in (("flatten", "X"), ("flatten2", "XShape")):
    reshaping(_type, infer_flatten, attributes={"axis": 1}, keeps=_keeps, lod_of=lod_of_flattened)


def infer_flatten_range(attrs, x):
    rank = len(x.shape)
    start, stop = (axis_of({"axis": attrs[name]}, x) for name in ("start_axis", "stop_axis"))
    if start > stop:
        raise EnforceNotMet(f"start_axis must not lie behind stop_axis, got {start} and {stop} of {rank} dimensions")
    return Spec((*x.shape[:start], size_of(x.shape[start : stop + 1]), *x.shape[stop + 1 :]), x.dtype)


reshaping("flatten_contiguous_range", infer_flatten_range, attributes={"start_axis": 1, "stop_axis": 1})


def infer_squeeze(attrs, x):
    rank = len(x.shape)
    for axis in attrs["axes"]:
        if not -rank <= axis < rank:
            raise EnforceNotMet(f"axes must lie in [{-rank}, {rank}) for X of shape {list(x.shape)}, got {axis}")
        if x.shape[axis] not in (1, -1):
            raise EnforceNotMet(f"only dimensions of size 1 can be squeezed, got axis {axis} of shape {list(x.shape)}")
    axes = {axis % rank for axis in attrs["axes"]} or {axis for axis, size in enumerate(x.shape) if size == 1}
    shape = tuple(size for axis, size in enumerate(x.shape) if axis not in axes)
    return Spec(shape, x.dtype)


for _type, _keeps in (("squeeze", "X"), ("squeeze2", "XShape")):
    reshaping(_type, infer_squeeze, attributes={"axes": []}, keeps=_keeps)


def infer_unsqueeze(attrs, x, axes_tensor, axes_tensors):
    shape = list(x.shape)
    axes = given([] if axes_tensors else attrs["axes"], axes_tensor, axes_tensors)
    if axes is None or None in axes:
        added = axes_tensor.shape[0] if axes is None else len(axes)
        return Spec((-1,) * (len(shape) + added), x.dtype)
    for axis in axes:
        rank = len(shape) + 1
        if not -rank <= axis < rank:
            raise EnforceNotMet(f"axes must lie in [{-rank}, {rank}) for X of shape {list(x.shape)}, got {axis}")
        shape.insert(axis % rank, 1)
    return Spec(tuple(shape), x.dtype)


for _type, _keeps in (("unsqueeze", "X"), ("unsqueeze2", "XShape")):
    reshaping(_type, infer_unsqueeze, "X, AxesTensor?!, AxesTensorList*?!", {"axes": []}, _keeps)


def infer_transpose(attrs, x):
    axes = attrs["axis"]
    if sorted(axes) != list(range(len(x.shape))):
        raise EnforceNotMet(
            f"the permutation must name each of the {len(x.shape)} dimensions of X {list(x.shape)} once, got {axes}"
        )
    return Spec(tuple(x.shape[axis] for axis in axes), x.dtype)


def transpose(ctx, x, out, x_shape=None):
    return partial(ctx.xp.copyto, out, x.transpose(ctx.attrs["axis"]))


def transpose_grad(ctx, *arrays):
    *_, dout, dx = arrays
    return partial(ctx.xp.copyto, dx.transpose(ctx.attrs["axis"]), dout)


_TRANSPOSE = {
    "inputs": "X",
    "attributes": {"axis": [], "data_format": "AnyLayout", "use_quantizer": ignored(False)} | MKLDNN,
    "kernel": BOUND,
    "about": About(details=lambda attrs, shapes: ["axes " + ", ".join(map(str, attrs["axis"]))]),
    "batch": Batch(rows=lambda attrs, shapes: None if attrs["axis"][0] else {"X", "Out", "XShape"}),
    "lod": Lod(of={"Out": "none"}),
}
operator("transpose", outputs="Out", infer=infer_transpose, **_TRANSPOSE)(transpose).gradient(
    shapes="X, Out", kernel=BOUND, lod=Lod(of="none")
)(transpose_grad)
operator("transpose2", outputs="Out, XShape!", infer=with_x_shape(infer_transpose), **_TRANSPOSE)(transpose).gradient(
    shapes="XShape", infer=infer_from_x_shape, kernel=BOUND, lod=Lod(of="XShape")
)(transpose_grad)


def joined(shapes, axis, what):
    """The shape of tensors laid one behind the other along `axis`."""
    rank = len(shapes[0])
    result = list(shapes[0])
    for number, shape in enumerate(shapes[1:], 1):
        for dimension in range(rank):
            n, m = result[dimension], shape[dimension] if len(shape) == rank else None
            if dimension == axis and m is not None:
                result[dimension] = -1 if n < 0 or m < 0 else n + m
            elif m is None or (n != m and n >= 0 and m >= 0):
                raise EnforceNotMet(
                    f"{what} must agree in all dimensions but {axis}: "
                    f"number 0 has shape {list(shapes[0])}, number {number} {list(shape)}"
                )
            else:
                result[dimension] = max(n, m)
    return tuple(result)


def pieces(array, axis, sizes):
    """Views of consecutive parts of `array` along `axis`."""
    found, start = [], 0
    for size in sizes:
        found.append(array[(slice(None),) * axis + (slice(start, start + size),)])
        start += size
    return found


def axis_from(attrs, x, axis_tensor):
    """The dimension of X that the attribute `axis` or else a tensor names; None if its value is not known yet."""
    if axis_tensor is None:
        return axis_of(attrs, x)
    value = known_values(axis_tensor)
    return None if value is None else axis_of({"axis": int(value[0])}, x)


def axis_between(whole, parts):
    """The dimension along which shapes, laid one behind the other, make the `whole` one; the last if it is but one."""
    differing = (axis for part in parts for axis, size in enumerate(part) if size != whole[axis])
    return next(differing, len(whole) - 1)


def copies(ctx, targets, sources):
    """A function that copies each source to its target, skipping targets that are None."""
    pairs = zip(targets, sources, strict=True)
    return in_sequence([partial(ctx.xp.copyto, t, s) for t, s in pairs if t is not None])


def infer_concat(attrs, xs, axis_tensor):
    axis = axis_from(attrs, xs[0], axis_tensor)
    for spec in xs:
        if spec.dtype != xs[0].dtype:
            raise EnforceNotMet(f"all inputs must have one data type, got {xs[0].dtype} and {spec.dtype}")
    if axis is None:
        return Spec((-1,) * len(xs[0].shape), xs[0].dtype)
    return Spec(joined([spec.shape for spec in xs], axis, "the inputs"), xs[0].dtype)


def lod_of_joined(attrs, shapes):
    """That of the first one; but if rows are joined, the sequences of all, provided that all have some."""
    joins_rows = attrs["axis"] % len(shapes["X"][0]) == 0
    if shapes.get("AxisTensor"):
        joins_rows = axis_between(shapes["Out"][0], shapes["X"]) == 0
    return lod_of_joined_rows if joins_rows else "X"


def lod_of_joined_rows(lods):
    if not all(lods["X"]):
        return lods["X"][0]
    levels = [len(lod) for lod in lods["X"]]
    if len(set(levels)) > 1:
        raise EnforceNotMet(f"the inputs have {levels} LoD levels; those whose rows are joined have equally many")
    return lod.joined(lods["X"])


@operator(
    "concat",
    inputs="X*, AxisTensor?!",
    outputs="Out",
    attributes={"axis": 0, "use_quantizer": ignored(False)} | MKLDNN,
    infer=infer_concat,
    kernel=Kernel(bind=True, constant=True, shape_from="AxisTensor"),
    batch=Batch(rows=rows_beside_axis("X", "Out")),
    lod=Lod(of=lod_of_joined),
    about=About(details=axis_unless_last),
)
def concat(ctx, xs, axis_tensor, out):
    axis = axis_between(out.shape, [x.shape for x in xs])
    return copies(ctx, pieces(out, axis, [x.shape[axis] for x in xs]), xs)


@concat.gradient(shapes="X, AxisTensor", kernel=BOUND)
def concat_grad(ctx, xs, axis_tensor, dout, dxs):
    axis = axis_between(dout.shape, [x.shape for x in xs])
    return copies(ctx, dxs, pieces(dout, axis, [x.shape[axis] for x in xs]))


def infer_split(attrs, x, axis_tensor, section_tensors):
    axis = axis_from(attrs, x, axis_tensor)
    sections = given(attrs["sections"], None, section_tensors)
    if axis is None:
        return ([Spec((-1,) * len(x.shape), x.dtype)] * (len(sections) or attrs["num"]),)
    total = x.shape[axis]
    if None in sections:
        known = [-1 if size is None else size for size in sections]
        return ([Spec((*x.shape[:axis], size, *x.shape[axis + 1 :]), x.dtype) for size in known],)
    if not sections:
        if total >= 0 and total % attrs["num"]:
            raise EnforceNotMet(
                f"dimension {axis} of X {list(x.shape)} cannot be split into {attrs['num']} equal parts"
            )
        sections = [total // attrs["num"] if total >= 0 else -1] * attrs["num"]
    elif total >= 0:
        if sections.count(-1) == 1:
            sections[sections.index(-1)] = total - sum(sections) - 1
        if sum(sections) != total or min(sections) < 0:
            raise EnforceNotMet(f"the sections {sections} do not add up to dimension {axis} of X {list(x.shape)}")
    return ([Spec((*x.shape[:axis], size, *x.shape[axis + 1 :]), x.dtype) for size in sections],)


def lod_of_parts(attrs, shapes):
    splits_rows = attrs["axis"] % len(shapes["X"][0]) == 0
    if shapes.get("AxisTensor"):
        splits_rows = axis_between(shapes["X"][0], shapes["Out"]) == 0
    return "none" if splits_rows else "X"


@operator(
    "split",
    inputs="X, AxisTensor?!, SectionsTensorList*?!",
    outputs="Out*",
    attributes={"axis": 0, "num": 0, "sections": []},
    infer=infer_split,
    kernel=Kernel(bind=True, constant=True, shape_from="AxisTensor SectionsTensorList"),
    batch=Batch(rows=rows_beside_axis("X", "Out")),
    lod=Lod(of=lod_of_parts),
)
def split(ctx, x, axis_tensor, sections, outs):
    axis = axis_between(x.shape, [out.shape for out in outs])
    return copies(ctx, outs, pieces(x, axis, [out.shape[axis] for out in outs]))


@split.gradient_program
def split_grad(inputs, outputs, attrs):
    # dX is the gradients of the parts, joined again.
    douts = [name + "@GRAD" for name in outputs["Out"]]
    names = {"X": douts, "AxisTensor": inputs.get("AxisTensor", [])}, {"Out": [inputs["X"][0] + "@GRAD"]}
    return [("concat", *names, attrs)]


def infer_stack(attrs, xs):
    rank = len(xs[0].shape) + 1
    axis = attrs["axis"]
    if not -rank <= axis < rank:
        raise EnforceNotMet(f"axis must lie in [{-rank}, {rank}) for inputs of shape {list(xs[0].shape)}, got {axis}")
    axis %= rank
    single = [(*spec.shape[:axis], 1, *spec.shape[axis:]) for spec in xs]
    return Spec(joined(single, axis, "the inputs"), xs[0].dtype)


@operator(
    "stack",
    inputs="X*",
    outputs="Y",
    attributes={"axis": 0},
    infer=infer_stack,
    kernel=Kernel(bind=True, constant=True),
    batch=Batch(rows=rows_beside_axis("X", "Y")),
)
def stack(ctx, xs, y):
    return copies(ctx, list(ctx.xp.moveaxis(y, ctx.attrs["axis"], 0)), xs)


def infer_unstacked(attrs, dy):
    axis = axis_of(attrs, dy)
    return ([Spec(dy.shape[:axis] + dy.shape[axis + 1 :], dy.dtype)] * dy.shape[axis],)


@stack.gradient(infer=infer_unstacked, kernel=BOUND, lod=Lod(of="none"))
def stack_grad(ctx, dy, dxs):
    return copies(ctx, dxs, list(ctx.xp.moveaxis(dy, ctx.attrs["axis"], 0)))


def infer_unstack(attrs, x):
    axis = axis_of(attrs, x)
    if x.shape[axis] >= 0 and x.shape[axis] != attrs["num"]:
        raise EnforceNotMet(f"dimension {axis} of X {list(x.shape)} cannot be unstacked into {attrs['num']} parts")
    return ([Spec(x.shape[:axis] + x.shape[axis + 1 :], x.dtype)] * attrs["num"],)


@operator(
    "unstack",
    inputs="X",
    outputs="Y*",
    attributes={"axis": 0, "num": 0},
    infer=infer_unstack,
    kernel=BOUND,
    lod=Lod(of="none"),
)
def unstack(ctx, x, ys):
    return copies(ctx, ys, list(ctx.xp.moveaxis(x, ctx.attrs["axis"], 0)))


def infer_restacked(attrs, dys):
    axis = attrs["axis"] % (len(dys[0].shape) + 1)
    return Spec((*dys[0].shape[:axis], len(dys), *dys[0].shape[axis:]), dys[0].dtype)


@unstack.gradient(infer=infer_restacked, kernel=BOUND)
def unstack_grad(ctx, dys, dx):
    return copies(ctx, list(ctx.xp.moveaxis(dx, ctx.attrs["axis"], 0)), dys)


def infer_repeated(attrs, x, times):
    """Shape inference of X repeated along each dimension; `times` may have more numbers than X has dimensions."""
    shape = (1,) * (len(times) - len(x.shape)) + tuple(x.shape)
    times = [1] * (len(shape) - len(times)) + times
    for count in times:
        if count is not None and count < 0:
            raise EnforceNotMet(f"X of shape {list(x.shape)} cannot be repeated {times} times")
    return Spec(tuple(-1 if n < 0 or t is None else n * t for n, t in zip(shape, times, strict=True)), x.dtype)


def infer_expand(attrs, x, times_tensor, times_tensors):
    times = given(attrs["expand_times"], times_tensor, times_tensors)
    times = [None] * len(x.shape) if times is None else times
    if len(times) != len(x.shape):
        raise EnforceNotMet(
            f"expand_times must have one number for each of the {len(x.shape)} dimensions of X, got {times}"
        )
    return infer_repeated(attrs, x, times)


def infer_tile(attrs, x, times_tensor, times_tensors):
    times = given(attrs["repeat_times"], times_tensor, times_tensors)
    return infer_repeated(attrs, x, [None] * times_tensor.shape[0] if times is None else times)


def infer_broadcast(attrs, x, shape):
    """Shape inference of X broadcast to `shape`, where -1 keeps the dimension of X."""
    padded = (1,) * (len(shape) - len(x.shape)) + tuple(x.shape)
    sizes = [n if m == -1 else m for n, m in zip(padded, shape, strict=False)]
    if len(padded) != len(shape) or any(
        n not in (1, m) and None is not m and min(n, m) >= 0 for n, m in zip(padded, sizes, strict=True)
    ):
        raise EnforceNotMet(f"X of shape {list(x.shape)} cannot be repeated to the shape {shape}")
    return Spec(tuple(-1 if size is None else size for size in sizes), x.dtype)


def infer_expand_v2(attrs, x, shape_tensor, shape_tensors):
    shape = given(attrs["shape"], shape_tensor, shape_tensors)
    return infer_broadcast(attrs, x, [None] * shape_tensor.shape[0] if shape is None else shape)


def infer_expand_as_v2(attrs, x, y):
    return infer_broadcast(attrs, x, list(attrs["target_shape"]) if y is None else list(y.shape))


def infer_expand_as(attrs, x, target):
    fits = len(x.shape) == len(target.shape) and all(
        n < 0 or m < 0 or m % n == 0 for n, m in zip(x.shape, target.shape, strict=True)
    )
    if not fits:
        raise EnforceNotMet(
            f"every dimension of target_tensor {list(target.shape)} must be a multiple of that of X {list(x.shape)}"
        )
    return Spec(target.shape, x.dtype)


def repeated(x, out):
    """`x` and `out` as views in which every dimension of `out` is (times, size) and `x` has times 1."""
    x_shape, out_shape = [], []
    for n, m in zip((1,) * (out.ndim - x.ndim) + x.shape, out.shape, strict=True):
        x_shape += [1, n]
        out_shape += [m // n if n else 1, n]
    return x.reshape(x_shape), out.reshape(out_shape)


def repeat(ctx, x, *rest):
    x, out = repeated(x, rest[-1])
    return partial(ctx.xp.copyto, out, x)


def repeat_grad(ctx, x, *rest):
    # dX is the sum of the gradients of its repetitions.
    *_, dout, dx = rest
    dx, dout = repeated(dx, dout)
    return sum_into(ctx, dout, dx)


for _type, _slots, _attrs, _infer in (
    ("expand", "ExpandTimes?!, expand_times_tensor*?!", {"expand_times": []}, infer_expand),
    ("tile", "RepeatTimes?!, repeat_times_tensor*?!", {"repeat_times": []}, infer_tile),
    ("expand_v2", "Shape?!, expand_shapes_tensor*?!", {"shape": []}, infer_expand_v2),
    ("expand_as", "target_tensor!", {}, infer_expand_as),
    ("expand_as_v2", "Y?!", {"target_shape": []}, infer_expand_as_v2),
):
    _names = " ".join(slot.name for slot in parse_slots(_slots))
    _definition = operator(
        _type,
        inputs="X, " + _slots,
        outputs="Out",
        attributes=_attrs,
        infer=_infer,
        kernel=Kernel(bind=True, **{"shape_only" if _type.startswith("expand_as") else "shape_from": _names}),
        lod=Lod(of="none" if _type.startswith("expand_as") else if_rows_stay),
    )(repeat)
    _gradient = _definition.gradient(shapes="X " + _names, kernel=BOUND, lod=Lod(of="none"))(repeat_grad)
    if _type == "expand":
        _gradient.gradient_by_forward()


# The end of a slice that goes on to the end.
_NO_END = 10000000


def bounds(size, start, end):
    """Where a slice of a dimension of `size` begins and ends; negative numbers count from the end."""
    start, end = (position + size if position < 0 else position for position in (start, end))
    return min(max(start, 0), size), min(max(end, 0), size)


def infer_slice(attrs, x, *tensors):
    """Shape inference of slices; `tensors`: the slots of tensors that hold all of a bound, then those of lists."""
    names = ("starts", "ends", "strides")[: len(tensors) // 2]
    chosen = [given(attrs[name], *slots) for name, *slots in zip(names, tensors, tensors[len(names) :], strict=False)]
    shape = list(x.shape)
    unknown = [None] * len(attrs["axes"])
    chosen = [numbers or unknown for numbers in chosen] + [[1] * len(unknown)] * (3 - len(chosen))
    for axis, start, end, stride in zip(attrs["axes"], *chosen, strict=True):
        if not -len(shape) <= axis < len(shape):
            raise EnforceNotMet(f"axes must lie within the {len(shape)} dimensions of Input {shape}, got {axis}")
        if stride == 0:
            raise EnforceNotMet(f"a stride of 0 leads nowhere, got it for dimension {axis} of Input {list(x.shape)}")
        if shape[axis] < 0:
            continue
        if None in (start, end, stride):
            shape[axis] = -1
            continue
        end = behind(attrs, axis, start, end)
        size = len(range(*range_slice(shape[axis], start, end, stride).indices(shape[axis])))
        if not size:
            by = f" by {stride}" if stride != 1 else ""
            raise EnforceNotMet(
                f"the slice from {start} to {end}{by} of dimension {axis} of Input {list(x.shape)} is empty"
            )
        shape[axis] = size
    return Spec(without(shape, attrs["decrease_axis"]), x.dtype)


def without(shape, axes):
    """`shape` less the dimensions that an index took away; (1,) rather than nothing."""
    return tuple(size for axis, size in enumerate(shape) if axis not in axes) or (1,)


def part(ctx, x, starts, ends, strides):
    """The part of `x` between the bounds, in the dimensions that the attribute `axes` names."""
    index = [slice(None)] * x.ndim
    for axis, start, end, stride in zip(ctx.attrs["axes"], starts, ends, strides, strict=True):
        end = behind(ctx.attrs, axis, start, end)
        index[axis] = range_slice(x.shape[axis], start, end, stride)
    return x[tuple(index)]


def behind(attrs, axis, start, end):
    """The end of a slice: behind a tensor that is an index comes the same plus one, which is 0 for the last element."""
    return _NO_END if (start, end) == (-1, 0) and axis in attrs["decrease_axis"] else end


def range_slice(size, start, end, stride):
    """A Python slice with Fluid's meaning: a negative end counts from the end, one below that is the beginning."""
    if stride > 0:
        return slice(*bounds(size, start, end), stride)
    start = min(start + size if start < 0 else start, size - 1)
    end = max(end + size if end < 0 else end, -1)
    return slice(start, None if end < 0 else end, stride)


def numbers(attribute, tensor, tensors):
    """The arguments of a slice while the Program runs: from an attribute, from a tensor, or from one for each."""
    if tensor is not None:
        return tensor.ravel().tolist()
    return [array.item() for array in tensors] if tensors else attribute


def cut(ctx, x, tensors, copy):
    """A function that calls `copy(part of x)`; the part is found once if no tensor gives its bounds."""
    names = ("starts", "ends", "strides")[: len(tensors) // 2]
    slots = list(zip(names, tensors, tensors[len(names) :], strict=False))

    def found():
        bounds = [numbers(ctx.attrs[name], *arrays) for name, *arrays in slots]
        return part(ctx, x, *bounds, *[[1] * len(ctx.attrs["axes"])] * (3 - len(bounds)))

    if any(array is not None and len(array) for array in tensors):
        return lambda: copy(found())
    return partial(copy, found())


def copy_part(ctx, x, *rest):
    *tensors, out = rest
    return cut(ctx, x, tensors, lambda source: ctx.xp.copyto(out.reshape(source.shape), source))


def copy_part_grad(ctx, *rest):
    # dX = dOut in the part that was copied, 0 elsewhere.
    *tensors, x, dout, dx = rest
    copy = cut(ctx, dx, tensors, lambda target: ctx.xp.copyto(target, dout.reshape(target.shape)))
    return in_sequence([partial(dx.fill, 0), copy])


def rows_of_slice(attrs, shapes):
    rank = len(shapes["Input"][0])
    return None if any(axis % rank == 0 for axis in attrs["axes"]) else {"Input", "Out"}


def lod_beside_slice(attrs, shapes):
    return "none" if rows_of_slice(attrs, shapes) is None else "Input"


def slicing(type, bounds, constant=False, lod_of=None):
    """A slice operator; each of its bounds is an attribute, or comes from a tensor, or from one for each axis.

    Returns:
        the OperatorDef of its gradient.
    """
    tensors = [name.capitalize() + "Tensor" for name in bounds] + [name.capitalize() + "TensorList" for name in bounds]
    marked = [name + ("*?!" if name.endswith("List") else "?!") for name in tensors]
    attrs = {"axes": [], "infer_flags": [], "decrease_axis": [], **{name: [] for name in bounds}}
    definition = operator(
        type,
        inputs=", ".join(["Input", *marked]),
        outputs="Out",
        attributes=attrs,
        infer=infer_slice,
        kernel=Kernel(bind=True, constant=constant, shape_from=" ".join(tensors)),
        batch=Batch(rows=rows_of_slice),
        lod=Lod(of=lod_of),
    )(copy_part)
    return definition.gradient(", ".join(tensors), shapes="Input", kernel=BOUND, lod=Lod(of="none"))(copy_part_grad)


slicing("slice", ["starts", "ends"], constant=True, lod_of=lod_beside_slice).gradient_by_forward()
slicing("strided_slice", ["starts", "ends", "strides"])


def infer_reverse(attrs, x):
    for axis in attrs["axis"]:
        axis_of({"axis": axis}, x)
    return x


@operator(
    "reverse", inputs="X", outputs="Out", attributes={"axis": []}, infer=infer_reverse, kernel=BOUND, lod=Lod(of="none")
)
def reverse(ctx, x, out):
    return partial(ctx.xp.copyto, out, ctx.xp.flip(x, tuple(ctx.attrs["axis"])))


@reverse.gradient_program
def reverse_grad(inputs, outputs, attrs):
    names = {"X": [outputs["Out"][0] + "@GRAD"]}, {"Out": [inputs["X"][0] + "@GRAD"]}
    return [("reverse", *names, {"axis": attrs["axis"]})]


def infer_gather(attrs, x, index):
    if len(index.shape) not in (1, 2) or (len(index.shape) == 2 and index.shape[1] not in (1, -1)):
        raise EnforceNotMet(f"Index must have the shape [n] or [n, 1], got {list(index.shape)}")
    return Spec((index.shape[0], *x.shape[1:]), x.dtype)


@operator(
    "gather",
    inputs="X, Index!",
    outputs="Out",
    attributes={"overwrite": True},
    infer=infer_gather,
    kernel=BOUND,
    lod=Lod(of="none"),
)
def gather(ctx, x, index, out):
    check = index_check(ctx, index, len(x), "index")
    return in_sequence([check, partial(ctx.xp.take, x, index.reshape(-1), axis=0, out=out)])


@gather.gradient("Index", shapes="X")
def gather_grad(ctx, index, x, dout, dx):
    # A row that was taken several times gets the last gradient, or with overwrite=False their sum.
    dx.fill(0)
    (put_rows if ctx.attrs["overwrite"] else add_at)(ctx.xp, dx, index.reshape(-1), dout)


def infer_gather_nd(attrs, x, index):
    depth = index.shape[-1]
    if depth > len(x.shape):
        raise EnforceNotMet(f"Index {list(index.shape)} gives {depth} coordinates for X of shape {list(x.shape)}")
    return Spec(index.shape[:-1] + x.shape[depth:], x.dtype)


def coordinates(ctx, index, shape):
    """A tuple of index arrays, one for each coordinate that `index` gives, and what checks them against `shape`."""
    found = tuple(index[..., axis] for axis in range(index.shape[-1]))
    checks = [
        index_check(ctx, positions, shape[axis], f"coordinate {axis} of index") for axis, positions in enumerate(found)
    ]
    return found, checks


@operator("gather_nd", inputs="X, Index!", outputs="Out", infer=infer_gather_nd, kernel=BOUND)
def gather_nd(ctx, x, index, out):
    places, checks = coordinates(ctx, index, x.shape)
    return in_sequence([*checks, lambda: ctx.xp.copyto(out, x[places])])


@gather_nd.gradient("Index", shapes="X", kernel=BOUND)
def gather_nd_grad(ctx, index, x, dout, dx):
    places, checks = coordinates(ctx, index, dx.shape)
    return in_sequence([partial(dx.fill, 0), *checks, partial(add_at, ctx.xp, dx, places, dout)])


def infer_scatter(attrs, x, ids, updates):
    if x.shape[1:] != updates.shape[1:]:
        raise EnforceNotMet(
            f"Updates must have rows like X, of shape {list(x.shape[1:])}, but their shape is {list(updates.shape)}"
        )
    return x


@operator(
    "scatter",
    inputs="X, Ids!, Updates",
    outputs="Out",
    attributes={"overwrite": True},
    infer=infer_scatter,
    kernel=BOUND,
    lod=Lod(of="none"),
)
def scatter(ctx, x, ids, updates, out):
    xp = ctx.xp
    ids = ids.reshape(-1)
    check = index_check(ctx, ids, len(x), "id")

    def step():
        check()
        xp.copyto(out, x)
        if ctx.attrs["overwrite"]:
            put_rows(xp, out, ids, updates)
        else:
            # The rows named are replaced by the sums of their updates.
            out[ids] = 0
            add_at(xp, out, ids, updates)

    return step


def infer_scatter_grad(attrs, ids, updates, dout):
    return dout, updates


@scatter.gradient("Ids", shapes="Updates", infer=infer_scatter_grad, lod=Lod(of="none"))
def scatter_grad(ctx, ids, updates, dout, dx, dupdates):
    # dUpdates = dOut at the rows named; dX is all of dOut, as in Fluid, the replaced rows included.
    if dupdates is not None:
        ctx.xp.take(dout, ids.reshape(-1), axis=0, out=dupdates)
    if dx is not None:
        ctx.xp.copyto(dx, dout)


def infer_cast(attrs, x):
    return Spec(x.shape, numpy_dtype(attrs["out_dtype"]))


cast = by_formula(
    operator(
        "cast",
        inputs="X",
        outputs="Out",
        attributes={"in_dtype": -1, "out_dtype": -1},
        infer=infer_cast,
        formula=lambda X: X,
        kernel=Kernel(constant=True),
        memory=ELEMENTWISE,
        about=About(flops=none),
    )
)


@cast.gradient_program
def cast_grad(inputs, outputs, attrs):
    names = {"X": [outputs["Out"][0] + "@GRAD"]}, {"Out": [inputs["X"][0] + "@GRAD"]}
    return [("cast", *names, {"in_dtype": attrs["out_dtype"], "out_dtype": attrs["in_dtype"]})]


assign = by_formula(
    operator(
        "assign",
        inputs="X",
        outputs="Out",
        formula=lambda X: X,
        kernel=Kernel(constant=True, for_arrays="@assigned_array"),
        memory=Memory(elementwise=True, inplace={"Out": "X"}),
        about=About(flops=none),
    )
)


@assign.gradient_program
def assign_grad(inputs, outputs, attrs):
    return [("assign", {"X": [outputs["Out"][0] + "@GRAD"]}, {"Out": [inputs["X"][0] + "@GRAD"]}, {})]


@operator(
    "shape",
    inputs="Input",
    outputs="Out!",
    infer=lambda attrs, x: Spec((len(x.shape),), np.dtype(np.int32)),
    kernel=Kernel(shape_only="Input", bind=True, constant=True),
    lod=Lod(of="none"),
)
def shape(ctx, x, out):
    sizes = ctx.xp.asarray(x.shape, out.dtype)
    return partial(ctx.xp.copyto, out, sizes)


@operator(
    "size",
    inputs="Input",
    outputs="Out!",
    infer=lambda attrs, x: Spec((1,), np.dtype(np.int64)),
    kernel=Kernel(shape_only="Input", bind=True, constant=True),
    lod=Lod(of="none"),
)
def size(ctx, x, out):
    return partial(out.fill, x.size)


def infer_part(attrs, xs):
    """The columns that are taken from each matrix: (where they begin, how many there are, X's Spec)."""
    first = xs[0]
    if any(len(x.shape) != 2 for x in xs) or any(
        min(n, m) >= 0 and n != m for x in xs for n, m in zip(x.shape, first.shape, strict=True)
    ):
        raise EnforceNotMet(f"X must be matrices of one shape, got {[list(x.shape) for x in xs]}")
    columns, start, length = first.shape[1], attrs["start_index"], attrs["length"]
    if not -columns <= start < columns:
        raise EnforceNotMet(f"start_index must lie in [{-columns}, {columns}), got {start}")
    start %= columns
    length = columns - start if length < 0 else length
    if start + length > columns:
        raise EnforceNotMet(f"{length} columns from {start} on do not lie within {columns} columns")
    return start, length, first


def infer_partial_concat(attrs, xs):
    _, length, x = infer_part(attrs, xs)
    return Spec((x.shape[0], len(xs) * length), x.dtype)


def infer_partial_sum(attrs, xs):
    _, length, x = infer_part(attrs, xs)
    return Spec((x.shape[0], length), x.dtype)


def parts(ctx, arrays):
    """The columns of each array that count; None where there is no array."""
    there = [array for array in arrays if array is not None]
    start, length, _ = infer_part(ctx.attrs, there)
    return [None if array is None else array[:, start : start + length] for array in arrays]


_PART = {"start_index": 0, "length": -1}


@operator("partial_concat", "X*", "Out", attributes=_PART, infer=infer_partial_concat, kernel=BOUND, lod=Lod(of="none"))
def partial_concat(ctx, xs, out):
    """Some columns of each matrix beside each other."""
    return partial(ctx.xp.concatenate, parts(ctx, xs), axis=1, out=out)


@partial_concat.gradient(shapes="X")
def partial_concat_grad(ctx, xs, dout, dxs):
    found = parts(ctx, dxs)
    width = dout.shape[1] // len(dxs)
    for number, (dx, part) in enumerate(zip(dxs, found, strict=True)):
        if dx is not None:
            dx.fill(0)
            ctx.xp.copyto(part, dout[:, number * width : (number + 1) * width])


@operator("partial_sum", "X*", "Out", attributes=_PART | MKLDNN, infer=infer_partial_sum, lod=Lod(of="none"))
def partial_sum(ctx, xs, out):
    """The sum of some columns of each matrix."""
    first, *others = parts(ctx, xs)
    ctx.xp.copyto(out, first)
    for part in others:
        ctx.xp.add(out, part, out=out)


@partial_sum.gradient(shapes="X")
def partial_sum_grad(ctx, xs, dout, dxs):
    for dx, part in zip(dxs, parts(ctx, dxs), strict=True):
        if dx is not None:
            dx.fill(0)
            ctx.xp.copyto(part, dout)
