"""What a layer's `param_attr` and `bias_attr` may say about a parameter."""

from .initializer import Initializer
from .regularizer import WeightDecayRegularizer

__all__ = ["ParamAttr"]


class ParamAttr:
    """How a layer should create a parameter.

    Args:
        name (str): its name; parameters of one name are one parameter. None generates a name from the layer's.
        initializer (Initializer): of its first value; None takes the layer's choice, Xavier for weights and zero for
            a bias.
        learning_rate (float): multiplies the optimizer's learning rate for this parameter.
        regularizer (WeightDecayRegularizer): replaces the optimizer's `regularization` for this parameter.
        trainable (bool): whether optimizers update it.
        do_model_average (bool): whether ModelAverage includes it.
    Raises:
        TypeError: an argument has another type.
    """

    def __init__(
        self,
        name=None,
        initializer=None,
        learning_rate=1.0,
        regularizer=None,
        trainable=True,
        do_model_average=True,
    ):
        for argument, value, accepted in (
            ("name", name, (str, type(None))),
            ("initializer", initializer, (Initializer, type(None))),
            ("learning_rate", learning_rate, (float, int)),
            ("regularizer", regularizer, (WeightDecayRegularizer, type(None))),
            ("trainable", trainable, bool),
            ("do_model_average", do_model_average, bool),
        ):
            if not isinstance(value, accepted):
                kinds = accepted if isinstance(accepted, tuple) else (accepted,)
                names = " or ".join("None" if kind is type(None) else kind.__name__ for kind in kinds)
                raise TypeError(f"ParamAttr: {argument} must be {names}, got {type(value).__name__} {value!r}")
        self.name = name or None
        self.initializer = initializer
        self.learning_rate = learning_rate
        self.regularizer = regularizer
        self.trainable = trainable
        self.do_model_average = do_model_average

    @staticmethod
    def _to_attr(arg):
        """A ParamAttr (or a list of them) from what users pass; False, for no parameter, stays False.

        None and True stand for the defaults, a string for a name, an initializer or regularizer for itself.
        """
        if isinstance(arg, (list, tuple)):
            return [ParamAttr._to_attr(item) for item in arg]
        if isinstance(arg, ParamAttr) or arg is False:
            return arg
        if arg is None or arg is True:
            return ParamAttr()
        if isinstance(arg, str):
            return ParamAttr(name=arg)
        if isinstance(arg, Initializer):
            return ParamAttr(initializer=arg)
        if isinstance(arg, WeightDecayRegularizer):
            return ParamAttr(regularizer=arg)
        raise TypeError(
            "a parameter attribute must be a ParamAttr, a name, a bool, an initializer or a regularizer, "
            f"got {type(arg).__name__} {arg!r}"
        )

    def _to_kwargs(self, with_initializer=False):
        """The arguments of `Block.create_parameter`."""
        kwargs = {
            "name": self.name,
            "optimize_attr": {"learning_rate": self.learning_rate},
            "regularizer": self.regularizer,
            "trainable": self.trainable,
            "do_model_average": self.do_model_average,
        }
        if with_initializer:
            kwargs["initializer"] = self.initializer
        return kwargs
