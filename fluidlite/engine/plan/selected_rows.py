"""Gradients that are selected rows: steps that make or read them become steps on their parts (`core.selected_rows`).

That is done before everything else, so whatever a plan does to its steps, it does to ordinary arrays.
"""

from ...core import selected_rows
from ...core.errors import EnforceNotMet
from ...core.selected_rows import FirstRows, SelectedRows
from ..scope import PART
from .steps import BEFORE
from .values import Value


def lowered(steps, wanted, is_block):
    """The steps without selected rows.

    Args:
        steps: in order.
        wanted: Values that somebody reads behind them.
        is_block (bool): they are those of a block inside, out of which tables come as a whole.
    Raises:
        EnforceNotMet: an operator does not take selected rows, or somebody wants them as they are.
    """
    if not any(_makes(step) for step in steps):
        return steps
    work = _Work(set(wanted), is_block)
    for step in steps:
        work.add(step)
    return work.steps


def _makes(step):
    form = step.definition.selected_rows
    return form is not None and not form.reads and bool(form.makes(step.attrs, {}))


class _Work:
    """The steps that were lowered so far.

    Args:
        wanted, is_block: see `lowered`.
    """

    def __init__(self, wanted, is_block):
        self.wanted, self.is_block = wanted, is_block
        self.steps = []
        self.held = {}  # Value -> what is behind it, of those without an array

    def add(self, step):
        held = {value: self.held[value] for value in step.reads if value in self.held}
        form = step.definition.selected_rows
        if step.definition.region is not None:
            # A block reads tables.
            for value in held:
                self.as_array(step, value)
            self.steps.append(step)
            return
        slots = {
            slot: [isinstance(self.held.get(value), SelectedRows) for value in values]
            for slot, values in step.inputs.items()
            if slot != BEFORE
        }
        try:
            made = selected_rows.made(step.definition, step.attrs, slots)
        except EnforceNotMet as error:
            raise EnforceNotMet(f"{error}\n{step.op.describe()}") from None
        found = None
        if form is not None and (made or self._may_take(step, form, held)):
            found = form.lower(step.inputs, step.outputs, step.attrs, held)
        if found is None:
            for value in held:
                self.as_array(step, value)
            self.steps.append(step)
            return
        operators, behind = found
        self.steps += [step.like(*one) for one in operators]
        self.held.update(behind)
        for value, one in behind.items():
            self._leave(step, value, one)

    @staticmethod
    def _may_take(step, form, held):
        """Whether all that is held in the step's inputs is where its form takes it."""
        places = {value: form.reads if isinstance(one, SelectedRows) else form.zeros for value, one in held.items()}
        return bool(held) and all(
            slot in places[value] for slot, values in step.inputs.items() for value in values if value in held
        )

    def as_array(self, step, value):
        """Let a Value have the array that it stands for, once."""
        one = self.held.pop(value)
        if isinstance(one, FirstRows):
            self.steps.append(step.like("@first_rows", {"X": [one.values], "Count": [one.count]}, {"Out": [value]}, {}))
        else:
            inputs = {"Table": [one.table], **one.slots}
            self.steps.append(step.like("@rows_to_table", inputs, {"Out": [value]}, {}))

    def _leave(self, step, value, one):
        """See to it that somebody finds a Value behind the plan."""
        if isinstance(one, SelectedRows) and value.persistable:
            self._keep(step, value, one)
        elif value in self.wanted or value.persistable:
            if isinstance(one, SelectedRows) and not self.is_block:
                raise EnforceNotMet(
                    f"{value.name} is of the type SELECTED_ROWS and cannot be fetched: fetch "
                    f"fluid.layers.get_tensor_from_selected_rows of it\n{step.op.describe()}"
                )
            self.as_array(step, value)

    def _keep(self, step, value, rows):
        """Write selected rows to a persistable variable, and the parts that have names of their own in a scope."""
        rows_out, height_out = (Value(value.name + PART + part, persistable=True) for part in ("ROWS", "HEIGHT"))
        outputs = {"RowsOut": [rows_out], "ValuesOut": [value], "HeightOut": [height_out]}
        type, count = "@keep_rows", {}
        if rows.is_merged:
            operators, rows = rows.merged()
            self.steps += [step.like(*one) for one in operators]
            type, count = "@keep_first_rows", {"Count": [rows.count]}
        self.steps.append(step.like(type, {"Table": [rows.table], **rows.slots, **count}, outputs, {}))
