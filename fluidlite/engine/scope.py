"""Values: tensors, and the scopes that hold them by name between runs."""

from ..core.errors import EnforceNotMet
from .tensors import LoDTensor, LoDTensorArray, SelectedRows

# Between the name of a variable of the type SELECTED_ROWS and that of one of its parts (`SelectedRows.parts`).
PART = "@PART@"


class ScopeVariable:
    """A named place for a value in a Scope."""

    __slots__ = ("name", "tensor", "_array", "_selected")

    def __init__(self, name):
        self.name = name
        self.tensor = LoDTensor()
        self._array = None
        self._selected = None

    def get_tensor(self):
        """Its LoDTensor."""
        return self.tensor

    def get_lod_tensor_array(self):
        """Its LoDTensorArray."""
        if self._array is None:
            self._array = LoDTensorArray()
        return self._array

    def get_selected_rows(self):
        """Its SelectedRows; a variable without a value becomes one of that type.

        Raises:
            EnforceNotMet: its value is a tensor.
        """
        if self._selected is None:
            if self.tensor.array is not None:
                raise EnforceNotMet(f"the variable {self.name!r} holds a tensor, no SelectedRows: use get_tensor()")
            self._selected = SelectedRows()
            self.tensor = self._selected.get_tensor()
        return self._selected

    def part(self, name):
        """The ScopeVariable `name` of a part of its SelectedRows."""
        found = ScopeVariable(name)
        found.tensor = self.get_selected_rows().parts[name.partition(PART)[2]]
        return found


class Scope:
    """Values by name.  A scope made by `new_scope` finds its parent's values too.

    Attributes:
        step (int): how many runs in this scope drew random numbers; the numbers of the next run depend on it.
    """

    def __init__(self, parent=None):
        self._parent = parent
        self._vars = {}
        self._kids = []
        self.step = 0
        self._erasures = 0

    def var(self, name):
        """The variable `name`, created here if neither this scope nor its parents hold it."""
        found = self.find_var(name)
        if found is None and PART in name:
            return self.var(name.partition(PART)[0]).part(name)
        if found is None:
            found = self._vars[name] = ScopeVariable(name)
        return found

    def find_var(self, name):
        """The variable `name` of this scope or its parents, or None."""
        scope = self
        while scope is not None:
            found = scope._vars.get(name)
            if found is not None:
                return found
            scope = scope._parent
        base, _, part = name.partition(PART)
        if part and (found := self.find_var(base)) is not None:
            return found.part(name)
        return None

    def erase(self, names):
        """Forget the variables `names` of this scope."""
        for name in [names] if isinstance(names, str) else names:
            self._vars.pop(name, None)
        self._erasures += 1

    @property
    def generation(self):
        """Grows when variables of this scope or its parents are erased, so that no plan bound to them is used again."""
        return self._erasures + (self._parent.generation if self._parent is not None else 0)

    def local_var_names(self):
        """Names of the variables that this scope itself holds (list of str)."""
        return list(self._vars)

    def new_scope(self):
        """A scope inside this one."""
        kid = Scope(self)
        self._kids.append(kid)
        return kid

    def drop_kids(self):
        """Forget the scopes made by `new_scope`."""
        self._kids.clear()
