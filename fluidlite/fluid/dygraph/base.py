"""Whether Programs are built or run imperatively (never), and the error of what would run imperatively."""

from contextlib import nullcontext

__all__ = [
    "disable_dygraph",
    "disable_imperative",
    "enable_dygraph",
    "enable_imperative",
    "enabled",
    "grad",
    "guard",
    "no_grad",
    "to_variable",
]


def refused(name):
    """The error of something that would run imperatively."""
    return RuntimeError(
        f"fluid.dygraph.{name} runs imperatively, and fluidlite only builds Programs and runs them; write it with "
        "fluid.layers and fluid.Executor"
    )


def refusing(name):
    """A function that only raises RuntimeError."""

    def refuse(*args, **kwargs):
        raise refused(name)

    refuse.__name__ = refuse.__qualname__ = name
    refuse.__doc__ = "Raises RuntimeError: fluidlite runs nothing imperatively."
    return refuse


def enabled():
    """Whether operators run at once (bool): False."""
    return False


def no_grad(func=None):
    """Without effect where nothing runs imperatively, as in Fluid.

    Args:
        func: the function that it decorates; None for a context.
    Returns:
        the function, or a context.
    """
    return nullcontext() if func is None else func


def disable_dygraph():
    """Without effect: nothing runs imperatively."""


guard, to_variable, grad, enable_dygraph = map(refusing, ["guard", "to_variable", "grad", "enable_dygraph"])
enable_imperative, disable_imperative = enable_dygraph, disable_dygraph
