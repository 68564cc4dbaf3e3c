"""Selected rows: gradients that list the rows of a table that they change (`fluidlite.core.selected_rows`)."""

import numpy as np

from ..core.errors import EnforceNotMet
from ..core.operators import find, operator
from ..core.selected_rows import FirstRows, SelectedRows
from ..core.spec import Spec
from ..core.traits import BOUND, Kernel, Lod, Memory
from .arrays.rows import listed, merger

_NO_LOD = Lod(of="none")


def _width(table):
    return table.size // max(len(table), 1)


def _count(rows):
    return sum(one.size for one in rows)


@operator(
    "@rows_to_table",
    "Table, Rows*, Values*",
    "Out",
    infer=lambda attrs, table, rows, values: Spec(table.shape, values[0].dtype),
    kernel=Kernel(bind=True, shape_only="Table"),
    lod=_NO_LOD,
)
def rows_to_table(ctx, table, rows, values, out):
    """Out is the whole table: zeros where there are no rows."""
    add = _adder(ctx, rows, values, out)

    def step():
        out.fill(0)
        add()

    return step


@operator("@add_rows", "X, Rows*, Values*", "Out", kernel=BOUND, memory=Memory(inplace={"Out": "X"}), lod=_NO_LOD)
def table_and_rows(ctx, x, rows, values, out):
    """Out is X, to whose rows vectors are added."""
    add = _adder(ctx, rows, values, out)

    def step():
        if out is not x:
            ctx.xp.copyto(out, x)
        add()

    return step


def _adder(ctx, rows, values, table):
    if not _count(rows):
        return lambda: None
    table = table.reshape(len(table), -1)
    xp = ctx.xp
    rows, vectors, gather = listed(ctx, rows, values, _width(table))
    merge = merger(ctx, rows, vectors) if xp is np else None

    def add():
        gather()
        if merge is None:
            xp.add.at(table, rows, vectors)
        else:
            found, sums = merge()
            table[found] += sums

    return add


def infer_merged(attrs, rows, values):
    count = _count(rows)
    dtype = values[0].dtype
    return Spec((count,), rows[0].dtype), Spec((count, values[0].shape[-1]), dtype), Spec((1,), np.dtype("int64"))


@operator(
    "@merge_rows",
    "Rows*, Values*",
    "MergedRows, MergedValues, Count",
    infer=infer_merged,
    kernel=BOUND,
    lod=_NO_LOD,
)
def merge_rows(ctx, rows, values, merged_rows, merged_values, count):
    """Each row once: in order, or as listed if none is listed twice.  Behind them lies the first row, with zeros."""
    xp, size = ctx.xp, len(merged_rows)
    if not size:
        return lambda: count.fill(0)
    listed_rows, vectors, gather = listed(ctx, rows, values, merged_values.shape[1])
    merge = merger(ctx, listed_rows, vectors)

    def step():
        gather()
        found, sums = merge()
        if xp is np:
            used = len(found)
            source = (found, sums) if used < size else (listed_rows, vectors)
            count.fill(used)
            merged_rows[:used], merged_values[:used] = source
            merged_rows[used:], merged_values[used:] = found[0], 0
            return
        is_last = xp.ones(size, bool)
        xp.not_equal(found[1:], found[:-1], out=is_last[:-1])
        used = is_last.sum()
        count.fill(used)
        # Last rows first, in order.
        order = xp.argsort(xp.logical_not(is_last) * size + xp.arange(size))
        is_used = xp.arange(size) < used
        are_single = used == size
        xp.copyto(merged_rows, xp.where(are_single, listed_rows, xp.where(is_used, found[order], found[0])))
        zero = merged_values.dtype.type(0)
        xp.copyto(merged_values, xp.where(are_single, vectors, xp.where(is_used[:, None], sums[order], zero)))

    return step


@operator(
    "@zero_behind",
    "X, Count",
    "Out",
    infer=lambda attrs, x, count: x,
    kernel=BOUND,
    memory=Memory(inplace={"Out": "X"}),
    lod=_NO_LOD,
)
def zero_behind(ctx, x, count, out):
    """Out is X, with zeros behind the first rows."""
    xp = ctx.xp
    place = xp.arange(len(x))[:, None]
    return lambda: xp.copyto(out, xp.where(place < count, x, x.dtype.type(0)))


def infer_first_rows(attrs, x, count):
    return Spec((-1, *x.shape[1:]), x.dtype)


@operator("@first_rows", "X, Count", "Out", infer=infer_first_rows, kernel=Kernel(dynamic=True), lod=_NO_LOD)
def first_rows(ctx, x, count):
    return x[: int(count[0])]


def infer_stacked(attrs, rows, values):
    return Spec((_count(rows), values[0].shape[-1]), values[0].dtype)


@operator("@stack_rows", "Rows*, Values*", "Out", infer=infer_stacked, kernel=Kernel(bind=True), lod=_NO_LOD)
def stack_rows(ctx, rows, values, out):
    """Out is the vectors of all rows, as they are listed."""
    return _copies(ctx, values, out)


_HEIGHT = Spec((1,), np.dtype("int64"))


def infer_kept(attrs, table, rows, values):
    return Spec((_count(rows),), rows[0].dtype), infer_stacked(attrs, rows, values), _HEIGHT


@operator(
    "@keep_rows",
    "Table, Rows*, Values*",
    "RowsOut, ValuesOut, HeightOut",
    infer=infer_kept,
    kernel=Kernel(bind=True, shape_only="Table"),
    lod=_NO_LOD,
)
def keep_rows(ctx, table, rows, values, rows_out, values_out, height_out):
    """What a scope holds of selected rows, as they are listed."""
    copies = _copies(ctx, rows, rows_out), _copies(ctx, values, values_out)

    def step():
        for copy in copies:
            copy()
        height_out.fill(len(table))

    return step


def infer_first_kept(attrs, table, rows, values, count):
    return Spec((-1,), rows[0].dtype), Spec((-1, values[0].shape[-1]), values[0].dtype), _HEIGHT


@operator(
    "@keep_first_rows",
    "Table, Rows*, Values*, Count",
    "RowsOut, ValuesOut, HeightOut",
    infer=infer_first_kept,
    kernel=Kernel(dynamic=True),
    lod=_NO_LOD,
)
def keep_first_rows(ctx, table, rows, values, count):
    """What a scope holds of selected rows that were merged."""
    used = int(count[0])
    return rows[0][:used], values[0][:used], ctx.xp.full(1, len(table), np.int64)


def _copies(ctx, sources, out):
    found, first = [], 0
    for source in sources:
        count = source.size // max(out.size // max(len(out), 1), 1)
        found.append((out[first : first + count].reshape(source.shape), source))
        first += count

    def step():
        for target, source in found:
            ctx.xp.copyto(target, source)

    return step


def refuse_tensor(attrs, held):
    if not any(held.get("X", ())):
        raise EnforceNotMet(
            "its input X must be of the type SELECTED_ROWS, such as the gradient of an embedding with is_sparse=True"
        )
    return frozenset()


def _only_rows(ctx, x, out):
    raise EnforceNotMet("its input X must be of the type SELECTED_ROWS")


get_tensor_from_selected_rows = operator("get_tensor_from_selected_rows", "X!", "Out!", lod=_NO_LOD)(_only_rows)
merge_selected_rows = operator("merge_selected_rows", "X!", "Out!", lod=_NO_LOD)(_only_rows)


@get_tensor_from_selected_rows.rows_form("X", makes=refuse_tensor)
def get_tensor_of_rows(inputs, outputs, attrs, held):
    (x,), (out,) = inputs["X"], outputs["Out"]
    rows = held[x]
    if not rows.is_merged:
        return [("@stack_rows", rows.slots, {"Out": [out]}, {})], {}
    operators, rows = rows.merged()
    return operators, {out: FirstRows(rows.parts[0][1], rows.count)}


def all_rows(attrs, held):
    """Out is of the type SELECTED_ROWS where all of X is."""
    found = held.get("X", ())
    return {"Out"} if found and all(found) else frozenset()


@merge_selected_rows.rows_form("X", makes=lambda attrs, held: refuse_tensor(attrs, held) or {"Out"})
def merge_of_rows(inputs, outputs, attrs, held):
    return [], {outputs["Out"][0]: held[inputs["X"][0]]._replace(is_merged=True)}


@find("assign").rows_form("X", makes=all_rows)
def assign_rows(inputs, outputs, attrs, held):
    return [], {outputs["Out"][0]: held[inputs["X"][0]]}


@find("sum").rows_form("X", makes=all_rows)
def sum_of_rows(inputs, outputs, attrs, held):
    """Rows behind rows; where tables are among what is added up, one of these, to whose rows vectors are added."""
    rows = [held[value] for value in inputs["X"] if value in held]
    tables = [value for value in inputs["X"] if value not in held]
    (out,) = outputs["Out"]
    parts = [part for one in rows for part in one.parts]
    if not tables:
        return [], {out: SelectedRows(parts, rows[0].table, is_merged=True)}
    operators = []
    if len(tables) > 1:
        operators.append(("sum", {"X": tables}, {"Out": [out.derived("tables")]}, attrs))
        tables = operators[0][2]["Out"]
    slots = rows[0]._replace(parts=parts).slots
    return [*operators, ("@add_rows", {"X": tables, **slots}, {"Out": [out]}, {})], {}


def _each(type):
    """An operator on each vector, which leaves zeros as they are."""

    def lower(inputs, outputs, attrs, held):
        (x,), (out,) = inputs["X"], outputs["Out"]
        rows = held[x]
        if isinstance(rows, FirstRows):
            values = rows.values.derived(type)
            return [(type, {"X": [rows.values]}, {"Out": [values]}, attrs)], {out: rows._replace(values=values)}
        operators, rows = rows.merged() if rows.is_merged else ([], rows)
        made = rows.of(type)
        for (_, before), (_, after) in zip(rows.parts, made.parts, strict=True):
            operators.append((type, {"X": [before]}, {"Out": [after]}, attrs))
        return operators, {out: made}

    find(type).rows_form("X", makes=all_rows, zeros="X")(lower)


_each("square")
_each("sqrt")


@find("reduce_sum").rows_form(zeros="X")
def sum_of_first_rows(inputs, outputs, attrs, held):
    if not attrs["reduce_all"]:
        return None
    return [("reduce_sum", {"X": [held[inputs["X"][0]].values]}, outputs, attrs)], {}


def scalar_times_rows(attrs, held):
    return {"Out"} if held.get("X") == [True] else frozenset()


@find("elementwise_mul").rows_form("X", makes=scalar_times_rows)
def rows_times_number(inputs, outputs, attrs, held):
    rows = held[inputs["X"][0]]
    made = rows.of("scaled")
    operators = [
        ("elementwise_mul", {"X": [before], "Y": inputs["Y"]}, {"Out": [after]}, attrs)
        for (_, before), (_, after) in zip(rows.parts, made.parts, strict=True)
    ]
    return operators, {outputs["Out"][0]: made}


def _clipped(type):
    def lower(inputs, outputs, attrs, held):
        operators, rows = held[inputs["X"][0]].merged()
        made = rows.of("clipped")
        ((_, before),), ((_, after),) = rows.parts, made.parts
        clipped = after.derived("all")
        operators.append((type, {**inputs, "X": [before]}, {"Out": [clipped]}, attrs))
        operators.append(("@zero_behind", {"X": [clipped], "Count": [rows.count]}, {"Out": [after]}, {}))
        return operators, {outputs["Out"][0]: made}

    find(type).rows_form("X", makes=all_rows)(lower)


_clipped("clip")
_clipped("clip_by_norm")
