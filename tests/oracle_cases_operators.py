"""Cases of operators that no layer of Fluid 1.8 appends, but programs of other times contain. See ``oracle_cases``."""

import functools

from oracle_harness import case as any_case
from oracle_harness import variants as any_variants

case = functools.partial(any_case, fixture="cases_operators")
variants = functools.partial(any_variants, fixture="cases_operators")

SHAPES = {
    "reshape": dict(shape=[0, -1]),
    "flatten": dict(axis=2),
    "squeeze": dict(axes=[2]),
    "unsqueeze": dict(axes=[0, 3]),
    "transpose": dict(axis=[1, 0, 3, 2]),
    "flatten2": dict(axis=0),
}


@variants("operator", {type: dict(type=type, attrs=attrs) for type, attrs in SHAPES.items()})
def _(t, type, attrs):
    outputs = "Out XShape" if type.endswith("2") else "Out"
    return t.op(type, {"X": t.feed("x", t.randn(2, 3, 1, 4), [2, 3, 1, 4])}, outputs, **attrs)


@variants("cross_entropy_v1", {"hard": {}, "ignore": dict(ignore_index=1)})
def _(t, **attrs):
    x = t.layers.softmax(t.x(4, 3))
    return t.op("cross_entropy", {"X": x, "Label": t.integers("label", 3, 4, 1)}, "Y", **attrs)


FC = {
    "plain": dict(columns=3),
    "relu": dict(columns=3, activation_type="relu"),
    "images": dict(shape=(2, 3, 2, 2), columns=4, in_num_col_dims=1),
    "rows_of_rows": dict(shape=(2, 3, 5), columns=4, in_num_col_dims=2, activation_type="relu"),
    "padded": dict(columns=3, padding_weights=True, activation_type="relu"),
}


@variants("fused_fc", FC, grad=False)
def _(t, columns, shape=(3, 5), **attrs):
    x = t.x(*shape)
    rows = 1
    for size in shape[attrs.get("in_num_col_dims", 1) :]:
        rows *= size
    spare = 4 if attrs.get("padding_weights") else 0
    w = t.feed("w", t.randn(rows + spare, columns + spare), [rows + spare, columns + spare])
    bias = t.feed("bias", t.randn(columns), [columns])
    return t.op("fc", {"Input": x, "W": w, "Bias": bias}, "Out", **attrs)


FUSED = {
    "relu_of_sum": dict(functor_list=["relu", "elementwise_add"]),
    "sum_with_relu": dict(functor_list=["elementwise_add", "relu"]),
    "scaled_sum": dict(functor_list=["scale", "elementwise_add"], scale=0.3),
    "product_scaled": dict(functor_list=["elementwise_mul", "scale"], scale=0.3),
    "with_tanh": dict(functor_list=["elementwise_mul", "tanh"]),
    "kept": dict(functor_list=["relu", "elementwise_add"], save_intermediate_out=True),
}


@variants("fused_elementwise", FUSED, grad=False)
def _(t, **attrs):
    x, y = t.feed("x", t.randn(2, 3, 4), [2, 3, 4]), t.feed("y", t.randn(3), [3])
    return t.op("fused_elemwise_activation", {"X": x, "Y": y}, "Out IntermediateOut", axis=1, **attrs)


@case("split_into_sizes_from_tensors")
def _(t):
    x = t.x(2, 5)
    sizes = [t.layers.fill_constant([1], "int32", size) for size in (2, 3)]
    block = t.fluid.default_main_program().global_block()
    parts = [block.create_var(name="part_%d" % number, dtype="float32") for number in range(2)]
    inputs = {"X": x, "SectionsTensorList": sizes}
    block.append_op(type="split", inputs=inputs, outputs={"Out": parts}, attrs={"axis": 1, "sections": [2, 3]})
    return parts
