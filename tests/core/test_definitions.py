"""How operators are declared, and that a wrong declaration is an error that names the operator."""

import functools
import inspect

import numpy as np
import pytest

import fluidlite.engine.plan.shards  # noqa: F401 - which declares operators of its own
import fluidlite.fluid  # noqa: F401 - which declares all others
from fluidlite.core import operators
from fluidlite.core.attributes import LIBRARIES, Attribute, ignored, later, only, typed
from fluidlite.core.errors import DefinitionError, EnforceNotMet
from fluidlite.core.operators import describe, operator, variant
from fluidlite.core.spec import Spec
from fluidlite.core.traits import (
    BOUND,
    ELEMENTWISE,
    POINTWISE,
    About,
    Algebra,
    Batch,
    Kernel,
    Lod,
    Memory,
    Update,
    if_rows_stay,
)
from fluidlite.ops.pointwise import by_formula


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch):
    """What a test declares is gone after it."""
    monkeypatch.setattr(operators, "_registry", dict(operators._registry))
    monkeypatch.setattr(operators, "_described", dict(operators._described))


def copy(ctx, x, out):
    ctx.xp.copyto(out, x)


def test_there_are_at_most_ten_groups_of_keywords():
    assert len(operators._KEYWORDS) <= 10
    own = [name for name, one in inspect.signature(operator).parameters.items() if one.kind is one.KEYWORD_ONLY]
    assert set(own) <= set(operators._KEYWORDS)


def test_an_ordinary_operator():
    @operator(
        "halve",
        inputs="X",
        outputs="Out",
        attributes={"times": 1} | LIBRARIES,
        memory=POINTWISE | Memory(inplace={"Out": "X"}),
        about=About("activation", plain="half"),
    )
    def halve(ctx, x, out):
        ctx.xp.multiply(x, 0.5 ** ctx.attrs["times"], out=out)

    @halve.gradient(memory=POINTWISE, kernel=BOUND)
    def halve_grad(ctx, dout, dx):
        return functools.partial(ctx.xp.multiply, dout, 0.5 ** ctx.attrs["times"], out=dx)

    assert operators.find("halve") is halve and operators.find("halve_grad") is halve_grad
    assert halve.inplace == {"Out": "X"} and halve.elementwise and not halve.bind
    assert halve_grad.bind and halve_grad.gradient_of is halve and halve_grad.sums == {"X@GRAD"}
    assert halve.row_slots({}, {"X": [(4, 2)], "Out": [(4, 2)]}) == {"X", "Out"}
    assert halve.flops({}, {"X": [(4, 2)], "Out": [(4, 2)]}) == 8
    assert operators.about("halve").plain == "half" and operators.main_output("halve") == "Out"


def test_one_table_says_everything_about_attributes():
    definition = operator(
        "several",
        "X",
        "Out",
        attributes={
            "axis": typed(-1, "LONG"),
            "names": only([], type="STRINGS"),
            "kind": only("max", "avg"),
            "fast": ignored(True),
            "flatten": later(False),
            "alpha": 0.5,
        },
    )(copy)
    assert definition.attrs == {"axis": -1, "kind": "max", "alpha": 0.5}
    assert definition.all_attrs() == {"axis": -1, "names": [], "kind": "max", "fast": True, "alpha": 0.5}
    assert definition.unused == {"fast": True}
    types = {name: definition.attr_type(name, value) for name, value in definition.all_attrs().items()}
    assert types == {"axis": "LONG", "names": "STRINGS", "kind": "STRING", "fast": "BOOLEAN", "alpha": "FLOAT"}
    assert definition.refusal({"kind": "avg", "fast": False, "flatten": False}) is None
    assert "kind must be 'max' or 'avg', got 'sum'" in definition.refusal({"kind": "sum"})
    assert "flatten must be False, got True" in definition.refusal({"flatten": True})
    with pytest.raises(EnforceNotMet, match="kind must be"):
        operators.infer_specs(definition, {"kind": "sum"}, {"X": [Spec((2,), np.dtype("float32"))]})


def test_a_gradient_has_the_attributes_of_its_operator():
    forward = operator("limited", "X", "Out", attributes={"kind": only("max", "avg"), "fast": ignored(True)})(copy)
    backward = forward.gradient("X")(lambda ctx, x, dout, dx: None)
    assert backward.attrs == {"kind": "max"} and backward.unused == {"fast": True} and backward.refusal({"kind": "sum"})


@pytest.mark.parametrize(
    ("of", "wanted"),
    [
        (None, {"Out": "X", "Mask": "X"}),
        ("Y", {"Out": "Y", "Mask": "Y"}),
        ("none", {"Out": None, "Mask": None}),
        ({"Mask": "none"}, {"Out": "X", "Mask": None}),
        ({"Out": "Y"}, {"Out": "Y", "Mask": "X"}),
    ],
)
def test_where_outputs_take_their_level_of_detail_from(of, wanted):
    definition = operator("pick", "X, Y!", "Out, Mask!", lod=Lod(of=of))(None)
    assert definition.lod == definition.lod_sources({}, {}) == wanted


def test_a_level_of_detail_that_depends_on_shapes_or_is_computed():
    definition = operator("pick", "X, Y!", "Out, Mask!", lod=Lod(of=if_rows_stay))(None)
    assert definition.lod_sources({}, {"X": [(2, 3)], "Out": [(2, 6)]}) == {"Out": "X", "Mask": "X"}
    assert definition.lod_sources({}, {"X": [(2, 3)], "Out": [(3, 2)]}) == {"Out": None, "Mask": "X"}
    definition = operator("renew", "X", "Out", lod=Lod(of=lambda attrs, shapes: list))(None)
    assert definition.lod_sources({}, {}) == {"Out": list}


def test_what_overwrites_an_input_has_its_level_of_detail():
    definition = operator(
        "update", "Param, Moment", "ParamOut, MomentOut", memory=Memory(inplace={"MomentOut": "Moment"})
    )
    assert definition(None).lod == {"ParamOut": "Param", "MomentOut": "Moment"}


def test_the_level_of_detail_of_gradients():
    forward = operator("affine", "X, Scale, Bias", "Out")(lambda ctx, x, scale, bias, out: None)
    backward = forward.gradient("Scale")(lambda ctx, scale, dout, dx, dscale, dbias: None)
    assert backward.lod == {"X@GRAD": "Out@GRAD", "Scale@GRAD": "Scale", "Bias@GRAD": None}


def test_groups_are_joined_and_never_changed():
    joined = POINTWISE | Memory(inplace={"Out": "X"}, pointwise=False)
    assert (joined.elementwise, joined.pointwise, joined.inplace, joined.view) == (True, False, {"Out": "X"}, {})
    assert not POINTWISE.inplace
    with pytest.raises(AttributeError, match="cannot be changed"):
        POINTWISE.elementwise = False
    with pytest.raises(TypeError):
        POINTWISE | Kernel(bind=True)
    assert repr(Kernel(bind=True)) == "Kernel(bind=True)"


# What is said of an operator from `X` and the list `Z` to `Out` -> what the error says.
FLAT = {"memory": Memory(inplace={"Out": "X"}), "update": Update(flat="X")}
WRONG = {
    "an unknown keyword": ({"colour": "red"}, "no keyword 'colour'; there are attributes, infer, formula, kernel"),
    "a trait without its group": ({"bind": True}, "no keyword 'bind'; it is a trait of kernel="),
    "no group": ({"kernel": True}, "kernel must be a Kernel"),
    "another group": ({"kernel": Memory()}, "kernel must be a Kernel"),
    "an unknown trait": ({"kernel": Kernel(bound=True)}, "Kernel has no trait 'bound'; it has bind"),
    "a trait that nothing reads": ({"kernel": Kernel(side_effect=True)}, "Kernel has no trait 'side_effect'"),
    "slots: shape_only": ({"kernel": Kernel(shape_only="Out")}, "shape_only names 'Out', which must be one of X, Z"),
    "slots: shape_from": ({"kernel": Kernel(shape_from="Out")}, "shape_from names 'Out', which must be one of X, Z"),
    "slots: chooses": ({"kernel": Kernel(chooses="X")}, "chooses names 'X', which must be one of Z"),
    "values of a shape": (
        {"kernel": Kernel(shape_only="X", shape_from="X")},
        "shape_from and shape_only contradict",
    ),
    "slots: image": ({"memory": Memory(image="X Y")}, "image names 'Y'"),
    "slots: strided": ({"memory": Memory(strided="X")}, "strided names 'X'"),
    "slots: inplace, of what": ({"memory": Memory(inplace={"Y": "X"})}, "inplace names 'Y'"),
    "slots: inplace, into what": ({"memory": Memory(inplace={"Out": "Y"})}, "inplace names 'Y'"),
    "slots: view": ({"memory": Memory(view={"Out": "Y"})}, "view names 'Y'"),
    "slots: rows": ({"batch": Batch(rows="X Y")}, "rows names 'Y'"),
    "slots: sums": ({"batch": Batch(rows="X", sums="X")}, "sums names 'X'"),
    "slots: stacks": ({"batch": Batch(stacks="Y")}, "stacks names 'Y'"),
    "slots: flat": ({**FLAT, "update": Update(flat="X Y")}, "flat names 'Y'"),
    "slots: packed": ({**FLAT, "update": Update(flat="X", packed="Y")}, "packed names 'Y'"),
    "a formula beside a kernel": ({"formula": lambda X: X}, "its formula is its kernel, too: declare it with"),
    "slots: lod, of what": ({"lod": Lod(of={"Y": "X"})}, "lod names 'Y'"),
    "slots: lod, reads": ({"lod": Lod(reads="Y")}, "reads names 'Y'"),
    "slots: lod, from what": ({"lod": Lod(of="Y")}, "lod names 'Y', which must be one of X, Z, none"),
    "slots: main": ({"about": About(main="Y")}, "main names 'Y'"),
    "a view of a list": ({"memory": Memory(view={"Out": "Z"})}, "'Out' and 'Z' is a list"),
    "memory of a shape": (
        {"kernel": Kernel(shape_only="X"), "memory": Memory(inplace={"Out": "X"})},
        "the memory of 'X', of which only the shape is used",
    ),
    "rows and their sum": ({"batch": Batch(rows="X Out", sums="Out")}, "'Out' cannot hold both rows and sums"),
    "sums of nothing": ({"batch": Batch(sums="Out")}, "sums means nothing without rows"),
    "flat, not in place": ({"update": Update(flat="X")}, "flat means nothing without inplace for every output"),
    "packed alone": (FLAT | {"update": Update(packed="X")}, "packed means nothing without flat"),
    "flat and packed": (FLAT | {"update": Update(flat="X", packed="X")}, "flat and packed contradict"),
    "pointwise alone": ({"memory": Memory(pointwise=True)}, "pointwise means nothing without elementwise"),
    "broadcasts of nothing": (
        {"algebra": Algebra(broadcasts=lambda attrs, shapes: {})},
        "broadcasts means nothing without a formula",
    ),
    "elementwise and an image": ({"memory": ELEMENTWISE | Memory(image="X")}, "elementwise and image contradict"),
    "elementwise and strided": ({"memory": ELEMENTWISE | Memory(strided="Out")}, "elementwise and strided contradict"),
    "image and strided": ({"memory": Memory(image="X Out", strided="Out")}, "image and strided contradict"),
    "random and constant": ({"kernel": Kernel(random=True, constant=True)}, "random and constant contradict"),
    "a default that is no value": (
        {"attributes": {"mode": Attribute("all", values=("channel", "element"))}},
        "the default of the attribute 'mode', 'all', is none of its values ('channel', 'element')",
    ),
    "an unknown type": ({"attributes": {"axis": typed(0, "INT64")}}, "the attribute 'axis' has the type 'INT64'"),
    "a type that is shown": ({"attributes": {"axis": typed(0, "INT")}}, "need not be given the type INT"),
    "a type of something else": (
        {"attributes": {"axis": typed(0.5, "LONG")}},
        "the attribute 'axis' cannot have the type LONG with the default 0.5",
    ),
    "a list for one": (
        {"attributes": {"axis": only([], [1], type="LONG")}},
        "the attribute 'axis' cannot have the type LONG with the default []",
    ),
}


def three(ctx, x, z, out):
    return None


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_declaration_names_the_operator(case):
    groups, message = WRONG[case]
    with pytest.raises(DefinitionError) as raised:
        operator("wrong", inputs="X, Z*", outputs="Out", **groups)(three)
    assert str(raised.value).startswith("the operator 'wrong' is declared wrongly: ")
    assert message in str(raised.value)
    assert not operators.known("wrong")


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        (lambda X, Y: X + Y, "asks for 'Y', which must be one of X, Z, alpha, attrs, in_batch, specs"),
        (lambda X, dOut: dOut, "asks for 'dOut'"),
        ("X + 1", "must be a function of symbols, got 'X + 1'"),
    ],
)
def test_a_wrong_formula_names_the_operator(formula, message):
    with pytest.raises(DefinitionError, match="the operator 'wrong' is declared wrongly: its formula") as raised:
        by_formula(
            operator("wrong", "X, Z*", "Out", attributes={"alpha": 1.0}, formula=formula, kernel=Kernel(bind=True))
        )
    assert message in str(raised.value)
    assert not operators.known("wrong")


def test_the_same_declaration_without_what_is_wrong():
    assert operator("wrong", inputs="X, Z*", outputs="Out")(three).rows is None


@pytest.mark.parametrize(
    ("inputs", "outputs", "memory", "message"),
    [
        ("X", "Out*", Memory(inplace={"Out": "X"}), "has the list 'Out' take over the one variable in 'X'"),
        ("X*", "Out*", Memory(view={"Out": "X"}), "'Out' and 'X' is a list"),
        ("X, Y", "A, B", Memory(view={"A": "X", "B": "Y"}), "view can be of one output, got A, B"),
        ("X, X", "Out", Memory(), "it names a slot twice: X, X"),
    ],
)
def test_slots_that_cannot_be(inputs, outputs, memory, message):
    with pytest.raises(DefinitionError, match="the operator 'wrong'.*" + message):
        operator("wrong", inputs, outputs, memory=memory)(None)


@pytest.mark.parametrize("type", ["relu", "relu_grad", "@join"])
def test_a_type_is_declared_once(type):
    before = operators.find(type)
    with pytest.raises(DefinitionError, match=f"the operator '{type}'.*there is one already"):
        operator(type, "X", "Out")(copy)
    assert operators.find(type) is before


def test_a_gradient_is_declared_once():
    with pytest.raises(DefinitionError, match="'relu_grad'.*there is one already"):
        operators.find("relu").gradient("Out")(lambda ctx, out, dout, dx: None)


def test_what_is_described_as_lacking_is_not_declared():
    describe("quantum_mul", about=About("product"))
    assert operators.about("quantum_mul").family == "product" and operators.about("unheard_of").family == ""
    with pytest.raises(DefinitionError, match="'quantum_mul'.*fluidlite lacks"):
        operator("quantum_mul", "X", "Out")(copy)


@pytest.mark.parametrize(
    ("reads", "groups", "message"),
    [
        ("Y", {}, "it names 'Y', which must be one of X, Out"),
        ("X", {"shapes": "Y"}, "it names 'Y'"),
        ("X", {"gives": "Y"}, "it names 'Y'"),
        ("X", {"of": "Y"}, "it names 'Y'"),
        ("X", {"slots": {"Y": "DY"}}, "it names 'Y'"),
        ("X", {"shapes": "X"}, "it names a slot twice: X X"),
        ("X", {"colour": "red"}, "no keyword 'colour'"),
        ("X", {"bind": True}, "no keyword 'bind'; it is a trait of kernel="),
        ("X", {"kernel": Kernel(shape_only="X")}, "names in `shapes`"),
        ("X", {"memory": Memory(inplace={"X@GRAD": "Out"})}, "inplace names 'Out'"),
        ("X", {"batch": Batch(rows="X", sums="Out")}, "sums names 'Out'"),
        ("X", {"formula": lambda dOut: dOut}, "its formula is its kernel, too: declare it with"),
        ("", {}, "must take 3 arguments: ctx, Out@GRAD, X@GRAD"),
    ],
)
def test_a_wrong_gradient_names_itself(reads, groups, message):
    forward = operator("forward", "X", "Out")(copy)
    with pytest.raises(DefinitionError) as raised:
        forward.gradient(reads, **groups)(lambda ctx, x, dout, dx: None)
    assert str(raised.value).startswith("the operator 'forward_grad' is declared wrongly: ")
    assert message in str(raised.value)


def test_a_gradient_with_nothing_to_compute():
    forward = operator("forward", "X!", "Out")(copy)
    with pytest.raises(DefinitionError, match="'forward_grad'.*'forward' has no input with a gradient"):
        forward.gradient("X")


@pytest.mark.parametrize(
    "kernel",
    [
        copy,
        lambda ctx, *arrays: None,
        lambda ctx, x, out, spare=None: None,
        functools.partial(lambda number, ctx, x, out: None, 2),
        functools.partial(lambda ctx, x, out, number: None, number=2),
        np.copyto,
        None,
    ],
)
@pytest.mark.parametrize("groups", [{}, {"kernel": BOUND}])
def test_a_kernel_takes_a_context_and_an_array_for_each_slot(kernel, groups):
    assert operator("fits", "X", "Out", **groups)(kernel).kernel is kernel


@pytest.mark.parametrize(
    "kernel",
    [
        lambda ctx, x: None,
        lambda ctx, x, y, out: None,
        lambda ctx, x, y, out, *others: None,
        functools.partial(copy, None),
        functools.partial(lambda ctx, x, out, number: None, 2, number=3),
        "copy",
    ],
)
@pytest.mark.parametrize("groups", [{}, {"kernel": BOUND}])
def test_a_kernel_that_cannot_be_called(kernel, groups):
    with pytest.raises(DefinitionError, match="the operator 'unfit'.*must take 3 arguments: ctx, X, Out"):
        operator("unfit", "X", "Out", **groups)(kernel)


def test_kernels_for_devices():
    definition = operator("several", "X", "Out")(copy)
    with pytest.raises(DefinitionError, match="the operator 'several'.*must take 3 arguments.*'cuda'"):
        definition.variant("cuda")(lambda ctx, x: None)
    definition.variant("cuda")(copy)
    with pytest.raises(DefinitionError, match="the operator 'several'.*has a variant for 'cuda' already"):
        definition.variant("cuda")(copy)
    with pytest.raises(EnforceNotMet, match="no operator 'unheard_of'"):
        variant("cuda", "unheard_of")(copy)
