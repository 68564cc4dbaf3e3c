"""Nested structures of Variables: lists, tuples and dictionaries in one another."""

__all__ = ["flatten", "pack_sequence_as", "map_structure", "assert_same_structure", "is_sequence"]


def is_sequence(value):
    """Whether `value` is a structure: a list, a tuple or a dict."""
    return isinstance(value, (list, tuple, dict))


def _parts(structure):
    # Fluid orders what is in a dict by its keys.
    return [structure[key] for key in sorted(structure)] if isinstance(structure, dict) else list(structure)


def flatten(nest):
    """What is in a structure, in order (list); a value that is none becomes a list of itself."""
    if not is_sequence(nest):
        return [nest]
    return [item for part in _parts(nest) for item in flatten(part)]


def pack_sequence_as(structure, flat_sequence):
    """A structure like another one, of other values.

    Args:
        structure: lists, tuples and dicts.
        flat_sequence (list): what `flatten` would return of the result.
    Raises:
        ValueError: flat_sequence has more or fewer values than the structure.
    """
    wanted = len(flatten(structure))
    if wanted != len(flat_sequence):
        raise ValueError(f"the structure holds {wanted} values, got {len(flat_sequence)}")
    return _packed(structure, iter(flat_sequence))


def _packed(structure, items):
    if not is_sequence(structure):
        return next(items)
    parts = [_packed(part, items) for part in _parts(structure)]
    if isinstance(structure, dict):
        found = dict(zip(sorted(structure), parts, strict=True))
        return type(structure)((key, found[key]) for key in structure)
    return type(structure)(*parts) if hasattr(structure, "_fields") else type(structure)(parts)


def map_structure(func, *structure):
    """`func` of the values that stand at the same place in all structures, as a structure like the first one."""
    return pack_sequence_as(structure[0], [func(*items) for items in zip(*map(flatten, structure), strict=True)])


def assert_same_structure(nest1, nest2, check_types=True):
    """Raise unless two structures are nested alike.

    Args:
        nest1, nest2: the structures.
        check_types (bool): whether a list is something else than a tuple, and whether dicts need the same keys.
    Raises:
        ValueError: they are nested in different ways.
        TypeError: only their types or keys differ.
    """
    if not _nested_alike(nest1, nest2):
        raise ValueError(f"{_outline(nest1)} and {_outline(nest2)} are not nested alike")
    if check_types and not _same_types(nest1, nest2):
        raise TypeError(f"{_outline(nest1)} and {_outline(nest2)} are of different types, or have different keys")


def _nested_alike(one, other):
    if not is_sequence(one) or not is_sequence(other):
        return is_sequence(one) == is_sequence(other)
    return len(one) == len(other) and all(map(_nested_alike, _parts(one), _parts(other)))


def _same_types(one, other):
    if not is_sequence(one):
        return True
    if type(one) is not type(other) or isinstance(one, dict) and set(one) != set(other):
        return False
    return all(map(_same_types, _parts(one), _parts(other)))


def _outline(nest):
    """A structure as text, each Variable only by its name."""
    if isinstance(nest, dict):
        return "{" + ", ".join(f"{key!r}: {_outline(nest[key])}" for key in sorted(nest)) + "}"
    if is_sequence(nest):
        inside = ", ".join(map(_outline, nest))
        return f"[{inside}]" if isinstance(nest, list) else f"({inside},)"
    return str(getattr(nest, "name", nest))
