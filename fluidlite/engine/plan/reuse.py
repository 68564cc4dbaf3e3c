"""What the plans of one schedule have in common, so that preparing one more for another batch is cheap.

Memory is handed out in the sizes of the largest batch yet.  Then layouts are the same for all of them, and what has the
same shape again, too (parameters and their gradients, and all that lies behind a pooling), has the same place: its
array serves again, and so does the function that was bound to such arrays.
"""

from operator import is_


class Fresh:
    """The same methods for a plan that is bound as if it were the only one."""

    def size(self, key, size):
        return size

    def array(self, key, place, make, *arguments):
        return make(*arguments)

    def call(self, key, arrays, others, pools, make, *arguments):
        return make(*arguments)


FRESH = Fresh()


class Reuse:
    """What was bound last.  It holds only while the memory of the executor does (see `unbind`)."""

    def __init__(self):
        self._sizes, self._arrays, self._calls = {}, {}, {}

    def unbind(self):
        """Give up all arrays."""
        self._arrays.clear()
        self._calls.clear()

    def size(self, key, size):
        """The most bytes that have been asked for under a key."""
        most = self._sizes.get(key, 0)
        if size > most:
            self._sizes[key] = most = size
        return most

    def array(self, key, place, make, *arguments):
        """The array at a place: `make(*arguments)` if the one that was last asked for under the key lay elsewhere."""
        found = self._arrays.get(key)
        if found is None or found[0] != place:
            found = self._arrays[key] = place, make(*arguments)
        return found[1]

    def call(self, key, arrays, others, pools, make, *arguments):
        """What `make(*arguments)` returns, which binds functions.

        Args:
            key: of what is bound.
            arrays: to which (arrays, and lists of them); they are not bound again if these are the same objects as the
                last time.
            others: what else it follows from, compared by value.
            pools: where it takes scratch, which must lie where it did.
        """
        arrays = [one for array in arrays for one in (array if isinstance(array, list) else (array,))]
        found = self._calls.get(key)
        if found is not None:
            old_arrays, old_others, old_free, result = found
            is_same = len(arrays) == len(old_arrays) and all(map(is_, arrays, old_arrays)) and others == old_others
            if is_same and old_free == [pool.free_blocks for pool in pools]:
                return result
        free = [pool.free_blocks for pool in pools]
        result = make(*arguments)
        self._calls[key] = arrays, others, free, result
        return result
