"""Formulas of operators say what their kernels compute, and the CUDA kernels that are made of them do so."""

from typing import NamedTuple

import numpy as np
import pytest
from gpu_runs import gpu, on_gpu, on_host
from nvidia import Sources, compiled

from fluidlite.core import operators
from fluidlite.core.spec import Spec
from fluidlite.engine.memory import Pool
from fluidlite.engine.plan.context import Context, Setting
from fluidlite.ops.cuda import pointwise
from fluidlite.ops.pointwise import Formula


class Case(NamedTuple):
    """An operator and what it is tried with: slot -> shape, array or list of these."""

    type: str
    inputs: dict
    attrs: dict = {}
    kind: str = "f"


FULL = (4, 3, 2, 8)
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, 3.0, -2.5, 6.0, 1e-20, 88.0, -88.0, 300.0, np.inf, -np.inf, np.nan]
# Operators whose general kernel gives NaN or another limit for what is not finite.
FINITE = {"round", "mish", "mish_grad"}
LOGICAL = ["logical_and", "logical_or", "logical_xor", "logical_not"]
# What is tried with tensors of other shapes.
APART = {
    "dot_grad",
    "where",
    "where_grad",
    "cast",
    "fake_dequantize_max_abs",
    "fill_constant",
    "fill_constant_batch_size_like",
    "increment",
    "kldiv_loss",
    "l1_norm_grad",
    "log_loss",
    "log_loss_grad",
    "mean_grad",
    "squared_l2_norm_grad",
    "sum",
    *LOGICAL,
}
SAME_SHAPE = [
    definition.type
    for definition in map(operators.find, operators.types())
    if isinstance(definition.formula, Formula) and definition.broadcasts is None and definition.type not in APART
]
# What takes matrices of one column.
OF_COLUMNS = {"teacher_student_sigmoid_loss", "teacher_student_sigmoid_loss_grad"}
COLUMN = (192, 1)
PAIRS = ["add", "sub", "mul", "max", "min", "pow", "div", "floordiv", "mod"]
COMPARISONS = ["less_than", "less_equal", "greater_than", "greater_equal", "equal", "not_equal"]


def numbers(shape, dtype, seed):
    """Numbers of a normal distribution, special ones strewn among the floating-point ones."""
    rng = np.random.default_rng(seed)
    if dtype.kind == "f":
        values = (2 * rng.standard_normal(shape)).astype(dtype)
        if values.size > 100:
            places = rng.permutation(values.size)[: 3 * len(SPECIAL)]
            values.reshape(-1)[places] = np.repeat(np.array(SPECIAL, dtype), 3)
        return values
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    return rng.integers(-5 if dtype.kind == "i" else 0, 6, shape).astype(dtype)


def cases():
    """(Case, dtype) of every operator with a formula, for numbers of several types."""
    for type in SAME_SHAPE:
        slots = [slot.name for slot in operators.find(type).inputs if not slot.optional or slot.name[:2] == "DD"]
        yield Case(type, dict.fromkeys(slots, COLUMN if type in OF_COLUMNS else FULL))
    for approximate in (False, True):
        yield Case("gelu", {"X": FULL}, {"approximate": approximate})
        yield Case("gelu_grad", {"X": FULL, "Out@GRAD": FULL}, {"approximate": approximate})
    for alpha in (0.02, 1.5):
        yield Case("leaky_relu", {"X": FULL}, {"alpha": alpha})
    yield Case("hard_swish_grad", {"X": FULL, "Out@GRAD": FULL}, {"threshold": 5.0, "offset": 2.0, "scale": 7.0})
    for factor in (0.0, 1.0, 2.0, 3.0, -1.0, 0.5, 1.7, -2.0):
        yield Case("pow", {"X": FULL}, {"factor": factor})
        yield Case("pow_grad", {"X": FULL, "Out@GRAD": FULL}, {"factor": factor})
    yield Case("pow", {"X": FULL, "FactorTensor": np.array([2.5])})
    yield Case("pow_grad", {"X": FULL, "FactorTensor": np.array([2.5]), "Out@GRAD": FULL})
    limits = {"Min": np.array([-1.5]), "Max": np.array([0.75])}
    for more, attrs in (({}, {"min": -0.5, "max": 1.25}), (limits, {})):
        yield Case("clip", {"X": FULL, **more}, attrs)
        yield Case("clip_grad", {"X": FULL, **more, "Out@GRAD": FULL}, attrs)
    for mode, shape in (("all", (1,)), ("channel", (1, 3, 1, 1)), ("element", (1, 3, 2, 8))):
        yield Case("prelu", {"X": FULL, "Alpha": shape}, {"mode": mode})
        yield Case("prelu_grad", {"X": FULL, "Alpha": shape, "Out@GRAD": FULL}, {"mode": mode})
    for axis, shape in ((-1, FULL), (-1, (8,)), (1, (3,)), (0, (4, 3)), (1, (3, 1)), (-1, (4, 1, 2, 1)), (-1, (1,))):
        for name in PAIRS:
            for kind in "fi" if name != "pow" else "f":
                yield Case(f"elementwise_{name}", {"X": FULL, "Y": shape}, {"axis": axis}, kind)
        for name in ["add", "sub", "mul", "max", "min", "pow", "div"]:
            definition = operators.find(f"elementwise_{name}_grad")
            shapes = {slot.name: shape if slot.name == "Y" else FULL for slot in definition.inputs}
            yield Case(definition.type, shapes, {"axis": axis})
        for name in ["add", "sub", "mul", "div"]:
            definition = operators.find(f"elementwise_{name}_grad_grad")
            shapes = {slot.name: shape if slot.name in ("Y", "DDY") else FULL for slot in definition.inputs}
            yield Case(definition.type, shapes, {"axis": axis})
        for name in COMPARISONS:
            yield Case(name, {"X": FULL, "Y": shape}, {"axis": axis})
    yield Case("elementwise_sub", {"X": (8,), "Y": FULL})
    for name in COMPARISONS:
        yield Case(name, {"X": FULL, "Y": FULL}, kind="i")
    for name in LOGICAL[:-1]:
        yield Case(name, {"X": FULL, "Y": (2, 8)}, kind="b")
    yield Case("logical_not", {"X": FULL}, kind="b")
    for attrs in (
        {"scale": 0.1, "bias": 0.3},
        {"scale": -1.5, "bias": -2.0, "bias_after_scale": False},
        {"scale": 1.0, "bias": 2.5},
        {"scale": 3.0},
        {"scale": 0.0},
        {},
    ):
        yield Case("scale", {"X": FULL}, attrs)
        yield Case("scale", {"X": FULL}, attrs, "i")
    yield Case("scale", {"X": FULL, "ScaleTensor": np.array([0.7])}, {"bias": 0.3})
    yield Case("minus", {"X": FULL, "Y": FULL})
    for count in (1, 2, 5):
        yield Case("sum", {"X": [FULL] * count})
        yield Case("sum", {"X": [FULL] * count}, kind="i")
    yield Case("increment", {"X": (1,)}, {"step": 2.0})
    yield Case("increment", {"X": (1,)}, {"step": 2.0}, "i")
    yield Case("assign", {"X": FULL})
    for kind in "fi":
        for target in (0, 2, 3, 5, 6, 20):
            yield Case("cast", {"X": np.linspace(0, 100, 192).reshape(FULL)}, {"out_dtype": target}, kind)
    yield Case("cast", {"X": FULL}, {"out_dtype": 5}, "b")
    for dtype, value in ((0, 1.0), (2, -7.0), (3, 5e9), (5, 0.1), (6, 0.1), (5, np.inf), (6, -np.inf), (6, np.nan)):
        yield Case("fill_constant", {}, {"shape": [3, 5], "dtype": dtype, "value": value})
        yield Case("fill_any_like", {"X": FULL}, {"dtype": dtype, "value": value})
    yield Case("fill_constant", {}, {"shape": [3], "dtype": 3, "str_value": "-9223372036854775808"})
    yield Case("fill_constant", {"ValueTensor": np.array([2.5], "f4")}, {"shape": [3, 2], "dtype": 5})
    yield Case("fill_constant_batch_size_like", {"Input": FULL}, {"shape": [-1, 3], "dtype": 5, "value": 1e-7})
    yield Case("fill_zeros_like", {"X": FULL})
    yield Case("fake_dequantize_max_abs", {"X": FULL, "Scale": np.array([0.8])})
    yield Case("fake_channel_wise_dequantize_max_abs", {"X": FULL, "Scales": [(4,)]}, {"quant_bits": [8]})
    for attrs in ({"dim": [1, -1]}, {"dim": [0], "keep_dim": True}, {"reduce_all": True}):
        axes = tuple(range(4)) if "reduce_all" in attrs else tuple(attrs["dim"])
        reduced = {(1, -1): (4, 2), (0,): (1, 3, 2, 8)}.get(axes, (1,))
        for name in ("sum", "mean", "max", "min", "prod"):
            definition = operators.find(f"reduce_{name}_grad")
            shapes = {slot.name: FULL if slot.name == "X" else reduced for slot in definition.inputs}
            yield Case(definition.type, shapes, attrs)
    yield Case("mean_grad", {"X": FULL, "Out@GRAD": (1,)})
    yield Case("squared_l2_norm_grad", {"X": FULL, "Out@GRAD": (1,)})
    condition = np.arange(192).reshape(FULL) % 3 > 0
    yield Case("where", {"Condition": condition, "X": FULL, "Y": FULL})
    yield Case("where", {"Condition": condition, "X": FULL, "Y": FULL}, kind="i")
    yield Case("where_grad", {"Condition": condition, "X": FULL, "Y": FULL, "Out@GRAD": FULL})
    yield Case("dot_grad", {"X": (12, 16), "Y": (12, 16), "Out@GRAD": (12, 1)})
    yield Case("l1_norm_grad", {"X": FULL, "Out@GRAD": (1,)})
    channel = dict.fromkeys(("Scale", "Bias", "SavedMean", "SavedVariance"), (3,))
    yield Case("@normalize", {"X": FULL, **channel}, {"data_layout": "NCHW"})
    yield Case("@normalize", {"X": (4, 2, 8, 3), **channel}, {"data_layout": "NHWC"})
    vectors = {"Scale": (3,), "Bias": (3,)}
    yield Case("affine_channel", {"X": FULL, **vectors})
    yield Case("affine_channel", {"X": (4, 2, 8, 3), **vectors}, {"data_layout": "NHWC"})
    yield Case("affine_channel_grad", {"X": FULL, "Scale": (3,), "Out@GRAD": FULL})
    logits = {"X": FULL, "Label": FULL}
    yield Case("sigmoid_cross_entropy_with_logits", logits, {"ignore_index": 1})
    yield Case("sigmoid_cross_entropy_with_logits_grad", {**logits, "Out@GRAD": FULL}, {"ignore_index": 1})
    for kind in ("downgrade_in_infer", "upscale_in_train"):
        attrs = {"dropout_prob": 0.3, "dropout_implementation": kind}
        mask = np.arange(192, dtype=np.uint8).reshape(FULL) % 3 // 2
        yield Case("dropout_grad", {"Mask": mask, "Out@GRAD": FULL}, attrs)
        yield Case("dropout_grad", {"Mask": mask, "Out@GRAD": FULL}, {**attrs, "is_test": True})
    yield Case("label_smooth", {"X": FULL}, {"epsilon": 0.1})
    yield Case("label_smooth", {"X": FULL, "PriorDist": (1, 8)}, {"epsilon": 0.1})
    yield Case("label_smooth_grad", {"Out@GRAD": FULL}, {"epsilon": 0.1})
    yield Case("log_loss", {"Predicted": (50, 1), "Labels": (50, 1)})
    yield Case("log_loss_grad", {"Predicted": (50, 1), "Labels": (50, 1), "Loss@GRAD": (50, 1)})
    yield Case("kldiv_loss", {"X": FULL, "Target": FULL}, {"reduction": "none"})
    for reduction in ("none", "mean", "batchmean"):
        slots = {"Target": FULL, "X": FULL, "Loss@GRAD": FULL if reduction == "none" else (1,)}
        yield Case("kldiv_loss_grad", slots, {"reduction": reduction})
    for slots in ({}, {"InsideWeight": FULL, "OutsideWeight": FULL}):
        yield Case("smooth_l1_loss", {"X": FULL, "Y": FULL, **slots}, {"sigma": 1.7})
        yield Case("smooth_l1_loss_grad", {"Diff": FULL, "Out@GRAD": (4, 1), **slots}, {"sigma": 1.7})
    two = {"X": FULL, "Scales": [(3,), np.array([0.4])]}
    yield Case("fake_channel_wise_dequantize_max_abs", two, {"quant_bits": [8, 6]})


DTYPES = {"f": ("float32", "float64"), "i": ("int32", "int64"), "b": ("bool",)}
CASES = [(case, np.dtype(dtype)) for case in cases() for dtype in DTYPES[case.kind]]


def test_every_formula_is_tried():
    tried = {case.type for case, _ in CASES}
    assert {type for type in operators.types() if operators.find(type).formula is not None} == tried


def arrays_of(case, dtype, seed=0):
    """Inputs (slot -> list of arrays) and their specs."""
    found = {}
    for slot, wanted in case.inputs.items():
        found[slot] = []
        for one in wanted if isinstance(wanted, list) else [wanted]:
            seed += 1
            if isinstance(one, np.ndarray):
                array = one if slot in ("ValueTensor", "Mask", "Condition") else one.astype(dtype)
            else:
                array = numbers(one, dtype, seed)
                if case.type in FINITE:
                    array[~np.isfinite(array)] = 0.25
            found[slot].append(array)
    return found, {slot: [Spec(a.shape, a.dtype) for a in arrays] for slot, arrays in found.items()}


def general(case, inputs, specs):
    """What the general kernel gives: output slot -> array."""
    definition = operators.find(case.type)
    attrs = {**definition.attrs, **case.attrs}
    outputs = {slot: found[0] for slot, found in operators.infer_specs(definition, attrs, specs).items()}
    arguments = []
    for slot in definition.inputs:
        arrays = inputs.get(slot.name, [])
        arguments.append(arrays if slot.many else arrays[0] if arrays else None)
    results = {slot: np.zeros(spec.shape, spec.dtype) for slot, spec in outputs.items()}
    call = definition.kernel(Context(Setting(), attrs, Pool()), *arguments, *results.values())
    if definition.bind:
        call()
    return results


def strided(array):
    """The same numbers, stored in another order and with gaps."""
    buffer = np.zeros([2 * size for size in array.shape[::-1]], array.dtype)
    view = buffer[tuple(slice(None, None, 2) for _ in array.shape)].transpose()
    view[...] = array
    return view


def as_program(chosen, layout):
    """One program of many operators, each with arrays of its own: what `launch_program` takes, and what is wanted."""
    members, inputs, laid, results, wanted = [], [], [], [], []
    for case, dtype in chosen:
        definition = operators.find(case.type)
        attrs = {**definition.attrs, **case.attrs}
        arrays, specs = arrays_of(case, dtype)
        with np.errstate(all="ignore"):
            outputs = general(case, arrays, specs)
        output_specs = {slot: [Spec(array.shape, array.dtype)] for slot, array in outputs.items()}
        formula = pointwise.formula_of(definition, attrs, specs, output_specs)
        read = {slot: [None] * len(found) for slot, found in arrays.items()}
        for name, (slot, place) in formula.slots.items():
            read[slot][place] = len(inputs)
            inputs.append(layout(arrays[slot][place]))
            laid.append(formula.laid[name])
        made = {slot: [None] for slot in formula.texts}
        specs_of_made = {slot: output_specs[slot] for slot in made}
        members.append(pointwise.Member(case.type, attrs, read, made, specs, specs_of_made))
        for slot in made:
            results.append((made[slot], outputs[slot]))
            wanted.append((case, dtype, slot, outputs[slot]))
    for count, (number, _) in enumerate(results, len(inputs)):
        number[0] = count
    outputs = [layout(np.zeros_like(array)) for _, array in results]
    return members, inputs, laid, outputs, [number for (number,), _ in results], formula.shape, wanted


def alike():
    """The cases in lists of those whose kernels run over one shape, with numbers of one type."""
    shapes = {}
    for case, dtype in CASES:
        definition = operators.find(case.type)
        attrs = {**definition.attrs, **case.attrs}
        _, specs = arrays_of(case, dtype)
        outputs = operators.infer_specs(definition, attrs, specs)
        formula = pointwise.formula_of(definition, attrs, specs, outputs)
        assert formula is not None, case
        shapes.setdefault((formula.shape, dtype), []).append((case, dtype))
    return [found[start : start + 60] for found in shapes.values() for start in range(0, len(found), 60)]


def check(found, case, dtype, slot, wanted):
    assert found.dtype == wanted.dtype
    tolerance = {"rtol": 2e-5, "atol": 2e-6} if dtype == np.float32 else {"rtol": 1e-12, "atol": 1e-13}
    if wanted.dtype.kind != "f":
        tolerance = {"rtol": 0, "atol": 0}
    np.testing.assert_allclose(found, wanted, **tolerance, err_msg=f"{case} {dtype} {slot}")


@pytest.mark.gpu
@pytest.mark.parametrize("layout", [np.copy, strided], ids=["contiguous", "strided"])
def test_formulas_say_what_general_kernels_compute(layout):
    """All operators run in a few kernels, with each its own arrays."""
    device = gpu()
    context = Context(Setting(device), {}, Pool(device))
    for chosen in alike():
        *program, wanted = as_program(chosen, lambda array: on_gpu(layout(array)))
        with device.active():
            pointwise.launch_program(context, *program)()
        for array, expected in zip(map(on_host, program[3]), wanted, strict=True):
            check(array, *expected)


# CUDA's sinf and cosf reduce large arguments in double precision.
DOUBLE_INSIDE = {"sin", "cos", "sin_grad", "cos_grad"}


@pytest.mark.nvidia
def test_all_formulas_compile_for_a_gpu_and_float32_stays_float32():
    device = Sources()
    context = Context(Setting(device), {}, Pool())
    single = []  # whether nothing but float32 is asked for
    for chosen in alike():
        chosen = [(case, dtype) for case, dtype in chosen if case.type not in DOUBLE_INSIDE]
        *program, wanted = as_program(chosen, np.copy)
        arrays = [*program[1], *program[3]]
        single.append(all(array.dtype != np.float64 for array in arrays))
        assert pointwise.launch_program(context, *program) is not None
    assert sum(single) > 5 and not all(single)
    for source, is_single in zip(device.sources, single, strict=True):
        assert not (is_single and ".f64" in compiled(source, "compute_80")), source
