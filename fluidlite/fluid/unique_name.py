"""Names for variables and layers that nobody named: `fc_0`, `fc_1`, `fc_0.tmp_2` ..."""

import contextlib
from collections import defaultdict

__all__ = ["generate", "switch", "guard"]


class UniqueNameGenerator:
    """Counts how often each key was asked for; every name starts with `prefix`."""

    def __init__(self, prefix=None):
        self.prefix = prefix or ""
        self.ids = defaultdict(int)

    def __call__(self, key):
        number = self.ids[key]
        self.ids[key] += 1
        return f"{self.prefix}{key}_{number}"


_generator = UniqueNameGenerator()


def generate(key):
    """A name that the current generator has not returned before.

    Args:
        key (str): what it starts with.
    Returns:
        str: the key and a number, such as "fc_0".
    """
    return _generator(key)


generate_with_ignorable_key = generate


def switch(new_generator=None):
    """Replace the current generator.

    Args:
        new_generator (UniqueNameGenerator): None for a fresh one.
    Returns:
        UniqueNameGenerator: the old one.
    """
    global _generator
    old = _generator
    _generator = new_generator or UniqueNameGenerator()
    return old


@contextlib.contextmanager
def guard(new_generator=None):
    """Count names afresh inside a `with` block.

    Args:
        new_generator: a prefix for every name (str or bytes), or a generator to use; None for a fresh one.
    """
    if isinstance(new_generator, bytes):
        new_generator = new_generator.decode()
    if isinstance(new_generator, str):
        new_generator = UniqueNameGenerator(new_generator)
    old = switch(new_generator)
    try:
        yield
    finally:
        switch(old)
