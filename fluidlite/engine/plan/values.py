"""Values: what the steps of a plan hand on to each other."""

from ...core.spec import EMPTY


class Value:
    """One version of a variable, as a plan knows it; each is one object, compared by identity.

    A Program may write a variable several times, with different shapes even.  Each write but the first makes another
    version.  Persistable variables are one Value each, with their place in the scope.  What a pass makes of a Value is
    a Value of its own with a `role`.

    Attributes:
        name (str): the variable.
        version (int): which write of the variable made it; 0 for the first, and for what is fed.
        persistable (bool): it lives in the scope, beyond the run.
        of (Value): what it was made of by a pass; None for a version of a variable.
        role (str): what it is to that: "parts" (one addend from each shard), "joined" (the rows of all shards),
            "chosen" (behind the choice of maxima), or the word by which a decomposition calls its temporary.
    """

    __slots__ = ("name", "version", "persistable", "of", "role")

    def __init__(self, name, version=0, persistable=False, of=None, role=None):
        self.name, self.version, self.persistable = name, version, persistable
        self.of, self.role = of, role

    def derived(self, role):
        """What a pass makes of it."""
        return Value(self.name, self.version, of=self, role=role)

    def __str__(self):
        if self.of is not None:
            return f"{self.of} ({self.role})"
        return f"{self.name}#{self.version}" if self.version else self.name

    def __repr__(self):
        return f"<value {self}>"


def values(slots):
    """The Values in some slots (slot -> list of Value or EMPTY), in order."""
    return [value for names in slots.values() for value in names if value is not EMPTY]
