"""Cases of operators that are one step of a recurrence, or follow one.  See ``oracle_cases``."""

import functools

import numpy as np
from oracle_harness import case as any_case
from oracle_harness import variants as any_variants

case = functools.partial(any_case, fixture="cases_cells")
variants = functools.partial(any_variants, fixture="cases_cells")


@variants(
    "gru_unit",
    {
        "plain": {},
        "no_bias": dict(bias_attr=False),
        "origin": dict(origin_mode=True),
        "one_row": dict(rows=1),
        "other_activations": dict(activation="relu", gate_activation="identity"),
        "one_wide": dict(size=1),
        "origin_no_bias": dict(origin_mode=True, bias_attr=False, rows=5),
    },
)
def _(t, rows=3, size=4, **kwargs):
    x, hidden = t.feed("x", t.randn(rows, 3 * size)), t.feed("hidden", t.randn(rows, size))
    return t.layers.gru_unit(x, hidden, 3 * size, **kwargs)[0]


@case("gru_unit_all", grad=False)
def _(t):
    x, hidden = t.feed("x", t.randn(3, 6)), t.feed("hidden", t.randn(3, 2))
    return t.layers.gru_unit(x, hidden, 6)


@variants(
    "gru_unit_operator",
    {
        "%s_%s" % (a, g): dict(activation=a, gate_activation=g, origin_mode=a > g)
        for a, g in ((0, 1), (1, 2), (2, 3), (3, 0), (2, 2))
    },
)
def _(t, **attrs):
    inputs = {"Input": t.x(3, 9), "HiddenPrev": t.y(3, 3), "Weight": t.feed("w", t.randn(3, 9), [3, 9])}
    inputs["Bias"] = t.feed("b", t.randn(1, 9), [1, 9])
    block = t.fluid.default_main_program().global_block()
    made = {slot: block.create_var(name=slot, dtype="float32") for slot in ("Gate", "ResetHiddenPrev", "Hidden")}
    block.append_op(type="gru_unit", inputs=inputs, outputs=made, attrs=attrs)
    return made["Hidden"]


@variants(
    "lstm_unit",
    {
        "plain": {},
        "forget_bias": dict(forget_bias=1.0),
        "no_bias": dict(bias_attr=False),
        "one_row": dict(rows=1),
        "one_wide": dict(size=1, features=2),
        "named": dict(name="mine"),
    },
)
def _(t, rows=3, size=4, features=5, **kwargs):
    x, hidden, cell = (t.feed(name, t.randn(rows, n)) for name, n in (("x", features), ("h", size), ("c", size)))
    return t.layers.lstm_unit(x, hidden, cell, **kwargs)


@case("lstm_unit_large_gates")
def _(t):
    """Where gates saturate."""
    inputs = {"X": t.feed("x", t.randn(3, 8) * np.float32(60)), "C_prev": t.y(3, 2)}
    block = t.fluid.default_main_program().global_block()
    made = {slot: block.create_var(name=slot, dtype="float32") for slot in ("C", "H")}
    block.append_op(type="lstm_unit", inputs=inputs, outputs=made, attrs={"forget_bias": -1.0})
    return made["C"], made["H"]


@variants(
    "gather_tree",
    {
        "plain": dict(steps=4, batch=2, beams=3),
        "one_step": dict(steps=1, batch=2, beams=2),
        "one_beam": dict(steps=3, batch=1, beams=1),
        "long": dict(steps=9, batch=3, beams=5),
    },
    grad=False,
)
def _(t, steps, batch, beams):
    ids = t.feed("ids", t.rng.randint(0, 90, (steps, batch, beams)).astype("int64"))
    parents = t.feed("parents", t.rng.randint(0, beams, (steps, batch, beams)).astype("int64"))
    return t.layers.gather_tree(ids, parents)
