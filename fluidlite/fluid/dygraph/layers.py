"""The class that imperative networks derive from."""

from ...core.dtypes import VarType
from .base import refused

__all__ = ["Layer"]


class Layer:
    """What networks derive from that run imperatively; it can be made, and its parts raise RuntimeError when used.

    Args:
        name_scope (str): kept, and without effect.
        dtype: of parameters; kept, and without effect.
    """

    def __init__(self, name_scope=None, dtype=VarType.FP32):
        self._full_name, self._dtype = name_scope or type(self).__name__.lower(), dtype
        self.training = True

    def full_name(self):
        """The name (str)."""
        return self._full_name

    def train(self):
        """Note that it is to be trained."""
        self.training = True

    def eval(self):
        """Note that it is to predict."""
        self.training = False

    def __call__(self, *inputs, **kwargs):
        raise refused(type(self).__name__)

    def __getattr__(self, name):
        if name in _IMPERATIVE:
            raise refused(f"Layer.{name}")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


_IMPERATIVE = frozenset([
    "add_parameter", "add_sublayer", "backward", "clear_gradients", "create_parameter", "create_variable", "forward",
    "load_dict", "named_parameters", "named_sublayers", "parameters", "register_forward_post_hook",
    "register_forward_pre_hook", "set_dict", "state_dict", "sublayers",
])  # fmt: skip


def refusing_layers(module, names):
    """Classes derived from Layer that raise RuntimeError when they are made."""

    def refuse(self, *args, **kwargs):
        raise refused(type(self).__name__)

    doc = "Raises RuntimeError: fluidlite runs nothing imperatively."
    return [type(name, (Layer,), {"__init__": refuse, "__doc__": doc, "__module__": module}) for name in names]
