"""Selected rows: a gradient that lists the rows of a table that it changes, and what is to be added to each.

In a Program it is a variable of the type SELECTED_ROWS.  A plan has no array for it, but ordinary ones for its parts:
the numbers of rows as they were looked up, in any shape, and a vector for each of them.  A row may come several times,
in one part or in several: its vectors add up.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from .errors import EnforceNotMet


class SelectedRows(NamedTuple):
    """What lies behind a variable of the type SELECTED_ROWS.

    Attributes:
        parts: (Value with the numbers of rows, Value with the vectors) pairs.
        table: the Value of the table, of which only the shape matters.
        is_merged (bool): Fluid would hold each row once here; plans need not, where that makes no difference.
        count: the Value that tells how many rows there are, behind which are others of zeros; None for all.
    """

    parts: list
    table: Any
    is_merged: bool = False
    count: Any = None

    @property
    def slots(self):
        """The slots of operators that read it."""
        return {"Rows": [rows for rows, _ in self.parts], "Values": [values for _, values in self.parts]}

    def of(self, role):
        """Others of the same rows: a new Value for the vectors of each part."""
        return self._replace(
            parts=[(rows, values.derived(f"{role} {n}")) for n, (rows, values) in enumerate(self.parts)]
        )

    def merged(self):
        """Each row once, rows of zeros behind them: (list of operators that find them, SelectedRows).

        An operator is (type, inputs, outputs, attributes), as in a decomposition.
        """
        if self.count is not None:
            return [], self
        first = self.parts[0][1]
        rows, values, count = (first.derived(role) for role in ("merged rows", "merged", "count"))
        made = {"MergedRows": [rows], "MergedValues": [values], "Count": [count]}
        return [("@merge_rows", self.slots, made, {})], self._replace(
            parts=[(rows, values)], is_merged=True, count=count
        )


class FirstRows(NamedTuple):
    """A tensor whose number of rows is found out while a plan runs: the first ones of `values`, behind which are zeros.

    Attributes:
        values, count: Values.
    """

    values: Any
    count: Any


class RowsForm(NamedTuple):
    """What becomes of an operator that reads or makes selected rows.

    Attributes:
        reads: the slots in which they may be.
        makes: `makes(attrs, held)` gives the output slots in which they are then, given input slot -> list of bool.
        lower: see `OperatorDef.rows_form`.
        zeros: the slots in which FirstRows may be: rows of zeros change nothing.
    """

    reads: frozenset
    makes: Callable
    lower: Callable
    zeros: frozenset


def made(definition, attrs, held):
    """The output slots of an operator that are of the type SELECTED_ROWS.

    Args:
        definition (OperatorDef), attrs: of the operator.
        held: input slot -> list of bool, whether a variable is of that type.
    Raises:
        EnforceNotMet: the operator does not take selected rows there; the message does not name it.
    """
    form = definition.selected_rows
    for slot, found in held.items():
        if any(found) and (form is None or slot not in form.reads):
            raise EnforceNotMet(
                f"its input {slot} is of the type SELECTED_ROWS, the gradient of a layer with is_sparse=True, which "
                f"{definition.type} does not take, as in Fluid; let that layer have is_sparse=False"
            )
    return form.makes(attrs, held) if form is not None else frozenset()
