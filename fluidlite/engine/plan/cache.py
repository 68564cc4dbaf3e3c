"""Which plans an executor keeps."""

from collections import OrderedDict


class Cache:
    """Keeps what was used last, up to a number of entries.

    Args:
        most (int): how many entries.
    """

    def __init__(self, most):
        self._most = most
        self._entries = OrderedDict()

    def get(self, key, make=None):
        """The entry of a key; where there is none, `make()` makes it, or it is None."""
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        elif make is not None:
            entry = self._entries[key] = make()
            if len(self._entries) > self._most:
                self._entries.popitem(last=False)
        return entry

    def __len__(self):
        return len(self._entries)

    def values(self):
        """The entries, the one that was used last at the end."""
        return list(self._entries.values())

    def clear(self):
        self._entries.clear()
