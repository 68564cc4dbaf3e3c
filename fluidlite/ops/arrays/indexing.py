"""Elements that arrays of indices name: whether there are such, and reading and writing them.

Where NumPy and CuPy differ, the difference is here: CuPy takes indices that are out of bounds modulo the size and says
nothing, a mask as an index makes it wait for the GPU, and of several values for one element it writes any.
"""

import numpy as np

from ...core.errors import EnforceNotMet


def refusal(ctx, values, message, tell=None):
    """A function that refuses bad `values` (bind time only).

    Args:
        values: integers.
        message (str): what is wrong, with "{value}" for the first bad value.
        tell: `tell(wrong)` gives a message of its own where the values can be looked at at once.
    Returns:
        a function of `wrong`, a mask over the values; it raises EnforceNotMet if anything in it is True.  A GPU notes
        the value instead, and the error comes when something is fetched.
    """
    xp = ctx.xp
    if xp is np:

        def refuse(wrong):
            if wrong.any():
                value = int(values[np.unravel_index(wrong.argmax(), wrong.shape)])
                raise EnforceNotMet(tell(wrong) if tell else message.format(value=value))

        return refuse
    if values.size == 0:
        return lambda wrong: None
    error_flag, number = ctx.check(message)

    def note(wrong):
        first = xp.argmax(wrong)
        new = xp.logical_and(wrong.any(), error_flag[0] == 0)
        xp.copyto(error_flag[1], xp.take(values, first), where=new)
        xp.copyto(error_flag[0], number, where=new)

    return note


def index_check(ctx, index, size, what):
    """A function that raises EnforceNotMet for indices outside [0, size) (bind time only)."""
    xp = ctx.xp

    def tell(wrong):
        position = int(wrong.argmax())
        value = int(index.reshape(-1)[position])
        return f"{what} number {position} is {value}, which does not lie in [0, {size})"

    refuse = refusal(ctx, index, f"{what} {{value}} does not lie in [0, {size})", tell)
    return lambda: refuse(xp.logical_or(index < 0, index >= size))


def take(xp, source, index, axis, out):
    """out = the elements of `source` along `axis` (None: of all) that `index` names; all of them exist."""
    if xp is np:
        # Other modes have NumPy write to a buffer first.
        np.take(source, index, axis, out, mode="clip")
    else:
        xp.take(source, index, axis, out)


def put_along_axis(xp, target, index, values, axis):
    """Write values to the places along `axis` that `index` names: what `take_along_axis` would read."""
    places = []
    for other, size in enumerate(target.shape):
        shape = [1] * target.ndim
        shape[other] = -1
        places.append(xp.arange(size).reshape(shape))
    places[axis] = index
    target[tuple(places)] = values


def add_at(xp, target, index, values):
    """target[index] += values, also where an element is named several times."""
    if xp is not np and target.dtype == np.int64:
        # A GPU adds unsigned numbers alone in one go; the bits of the sums are the same.
        target, values = target.view(np.uint64), values.astype(np.int64).view(np.uint64)
    xp.add.at(target, index, values)


def put_rows(xp, target, index, rows):
    """target[index[i]] = rows[i] for every i in turn: the last row for an element stays."""
    if xp is np:
        target[index] = rows
        return
    last = xp.full(len(target), -1, np.int32)
    xp.maximum.at(last, index, xp.arange(len(index), dtype=np.int32))
    chosen = xp.take(rows, xp.maximum(last, 0), axis=0)
    fill_rows(xp, target, last >= 0, chosen)


def fill_rows(xp, target, mask, rows):
    """target[mask] = rows[mask], for rows like the target or a number."""
    if xp is np:
        target[mask] = rows[mask] if isinstance(rows, np.ndarray) else rows
    else:
        xp.copyto(target, rows, where=mask.reshape(-1, *[1] * (target.ndim - 1)))
