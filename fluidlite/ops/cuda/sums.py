"""Sums of formulas: one launch for all that are sums over the same dimensions."""

from ...core.c_text import c_text
from ...core.formula import names_of, walk
from ..pointwise import SUMS_OF
from .launch import type_name
from .pointwise import PRELUDE
from .rows import work_on_rows

_SUMS = """
struct Sums { T v[COUNT]; };
__device__ inline Sums operator+(Sums x, Sums y) {
    for (int n = 0; n < COUNT; n++) x.v[n] += y.v[n];
    return x;
}
"""
# So many sums one launch finds at most: there is no room for more where threads of a row exchange them.
_MOST = 3


def sums_of(ctx, terms, arrays, shape):
    """A function that sums up expressions.

    Args:
        ctx: the operator's context.
        terms: name of an output -> Expression
        arrays: name -> array: inputs, in shapes that broadcast to `shape`, and outputs, which are all of one shape, of
            size 1 in the dimensions that are summed.
        shape: that of what is summed.
    Returns:
        a function without arguments; None where another kernel must serve.
    """
    names = sorted(names_of(*terms.values()), key=lambda name: arrays[name].size, reverse=True)
    dtypes = {name: arrays[name].dtype for name in names}
    if len(terms) > _MOST or None in map(type_name, dtypes.values()):
        return None
    if any(one.op == "total" for one in walk(*terms.values())):
        return None
    targets = {name: arrays[name] for name in terms}
    axes = [axis for axis, (n, m) in enumerate(zip(shape, arrays[next(iter(terms))].shape, strict=True)) if n != m]
    statements, texts, type = c_text(terms, {name: name for name in names}, dtypes)
    if type.kind != "f":
        return None
    addends = [f"sums.v[{n}] += {text};" for n, text in enumerate(texts.values())]
    code = f"""
    Sums sums = Sums();
    EACH({" ".join([*statements, *addends])})
    if (!row.complete(sums, Plus(), Sums())) return;
    if (row.is_first) {{ {" ".join(f"{name} = sums.v[{n}];" for n, name in enumerate(terms))} }}
    """
    return work_on_rows(
        ctx,
        "sums",
        code,
        shape,
        axes,
        {name: arrays[name] for name in names},
        targets,
        writes=" ".join(targets),
        parts=len(terms) * type.itemsize,
        type=type,
        before=PRELUDE + _SUMS.replace("COUNT", str(len(terms))),
    )


SUMS_OF["cuda"] = sums_of
