"""Errors that users meet."""

import sys


class EnforceNotMet(ValueError):
    """A check failed while a Program was built or run: wrong shapes, types, values, or variables without a value."""


class DefinitionError(ValueError):
    """The definition of an operator contradicts itself, or says something that nothing could ever read."""


class Stopped(Exception):
    """Ends a command that cannot do its work; the message says why."""

    status = 2

    def show(self, program):
        """Say on the standard error why the command `program` has ended."""
        print(f"{program}: {self}", file=sys.stderr)
