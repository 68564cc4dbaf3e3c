"""What layer functions share: naming, parameters, the bias and the activation."""

import copy

from ..core import operators
from ..core.dtypes import numpy_dtype
from . import unique_name
from .framework import Parameter, Variable, default_main_program, default_startup_program
from .initializer import Constant, Xavier
from .messages import described, did_you_mean
from .param_attr import ParamAttr

__all__ = ["LayerHelper"]


class LayerHelper:
    """Appends the operators of one layer to the default programs.

    Args:
        layer_type (str): the first part of every generated name.
        kwargs: the layer's arguments; `name`, `input`, `act`, `param_attr` and `bias_attr` are understood.
    """

    def __init__(self, layer_type, **kwargs):
        self.layer_type = layer_type
        self.kwargs = kwargs
        self.name = kwargs.get("name") or unique_name.generate(layer_type)

    @property
    def main_program(self):
        return default_main_program()

    @property
    def startup_program(self):
        return default_startup_program()

    def append_op(self, *args, **kwargs):
        """Append an operator to the current block of the main program; see `Block.append_op`."""
        return self.main_program.current_block().append_op(*args, **kwargs)

    def multiple_input(self, input_param_name="input"):
        """The layer's input as a list of Variables; raises TypeError naming the layer for anything else."""
        inputs = self.kwargs.get(input_param_name)
        if not isinstance(inputs, (list, tuple)):
            inputs = [inputs]
        for variable in inputs:
            if not isinstance(variable, Variable):
                raise TypeError(
                    f"{self.layer_type}: {input_param_name} must be a Variable or a list of them, "
                    f"got {described(variable)}"
                )
        return list(inputs)

    def input(self, input_param_name="input"):
        """The layer's only input; raises ValueError when there are several."""
        inputs = self.multiple_input(input_param_name)
        if len(inputs) != 1:
            raise ValueError(f"{self.layer_type} takes one input, got {len(inputs)}")
        return inputs[0]

    def input_dtype(self, input_param_name="input"):
        """The data type that all inputs share; raises ValueError when they differ."""
        inputs = self.multiple_input(input_param_name)
        dtypes = {variable.dtype for variable in inputs}
        if len(dtypes) > 1:
            found = ", ".join(f"{v.name} {v.dtype.name.lower()}" for v in inputs)
            raise ValueError(f"{self.layer_type}: all inputs must have one data type, got {found}")
        return inputs[0].dtype

    @property
    def param_attr(self):
        return ParamAttr._to_attr(self.kwargs.get("param_attr"))

    @property
    def bias_attr(self):
        return ParamAttr._to_attr(self.kwargs.get("bias_attr"))

    def multiple_param_attr(self, length):
        """A ParamAttr for each of `length` inputs, from one or from as many."""
        attrs = self.param_attr
        if not isinstance(attrs, (list, tuple)):
            attrs = [attrs]
        if len(attrs) == 1:
            attrs = list(attrs) + [copy.deepcopy(attrs[0]) for _ in range(length - 1)]
        if len(attrs) != length:
            raise ValueError(f"{self.layer_type}: {len(attrs)} param_attr for {length} inputs")
        return attrs

    def iter_inputs_and_params(self, input_param_name="input"):
        """Pairs of (input Variable, ParamAttr)."""
        inputs = self.multiple_input(input_param_name)
        return zip(inputs, self.multiple_param_attr(len(inputs)), strict=True)

    def create_parameter(self, attr, shape, dtype=None, is_bias=False, default_initializer=None, **kwargs):
        """A Parameter in the main program and its initialiser in the startup program; None for a False attr.

        The default initialiser is Xavier for weights and zero for a bias.
        """
        if attr is False:
            return None
        attr = ParamAttr() if attr is None else attr
        name = attr.name or unique_name.generate(f"{self.name}.{'b' if is_bias else 'w'}")
        initializer = attr.initializer
        if initializer is None:
            if default_initializer is None:
                if numpy_dtype(dtype).kind != "f" and not is_bias:
                    raise TypeError(
                        f"{self.layer_type}: a parameter of dtype {numpy_dtype(dtype)} needs an initializer of its own"
                    )
                default_initializer = Constant(0.0) if is_bias else Xavier()
            initializer = default_initializer
        arguments = {**attr._to_kwargs(), "name": name, "shape": shape, "dtype": dtype}
        self.startup_program.global_block().create_parameter(initializer=initializer, **arguments)
        return self.main_program.global_block().create_parameter(**arguments)

    def get_parameter(self, name):
        """The Parameter `name` of the main program; raises ValueError when there is none."""
        parameter = self.main_program.global_block().var(name)
        if not isinstance(parameter, Parameter):
            raise ValueError(f"the variable {name} is not a parameter")
        return parameter

    def create_variable_for_type_inference(self, dtype, stop_gradient=False, shape=None):
        """A temporary Variable, named after the layer."""
        return self.create_variable(
            name=unique_name.generate(f"{self.name}.tmp"),
            dtype=dtype,
            shape=shape,
            persistable=False,
            stop_gradient=stop_gradient,
        )

    create_tmp_variable = create_variable_for_type_inference

    def create_variable(self, *args, **kwargs):
        """A Variable in the current block of the main program."""
        return self.main_program.current_block().create_var(*args, **kwargs)

    def create_global_variable(self, persistable=False, *args, **kwargs):
        """A Variable in the global block of the main program."""
        return self.main_program.global_block().create_var(*args, persistable=persistable, **kwargs)

    def create_or_get_global_variable(self, name, *args, **kwargs):
        """The global Variable `name`, and whether it had to be created."""
        block = self.main_program.global_block()
        if block.has_var(name):
            return block.var(name), False
        return self.create_global_variable(*args, name=name, **kwargs), True

    def set_variable_initializer(self, var, initializer):
        """Initialise a persistable Variable in the startup program."""
        block = self.startup_program.global_block()
        created = block.create_var(name=var.name, type=var.type, dtype=var.dtype, shape=var.shape, persistable=True)
        initializer(created, block)

    def append_bias_op(self, input_var, dim_start=1, dim_end=None):
        """Add a bias of the shape input_var.shape[dim_start:dim_end]; returns input_var when bias_attr is False."""
        attr = self.bias_attr
        if attr is False:
            return input_var
        bias = self.create_parameter(attr, list(input_var.shape[dim_start:dim_end]), input_var.dtype, is_bias=True)
        out = self.create_variable_for_type_inference(input_var.dtype)
        self.append_op(
            type="elementwise_add",
            inputs={"X": [input_var], "Y": [bias]},
            outputs={"Out": [out]},
            attrs={"axis": dim_start},
        )
        return out

    def append_activation(self, input_var):
        """Apply the layer's `act`: None, the name of an activation, or a dict of its 'type' and attributes."""
        act = self.kwargs.get("act")
        if act is None:
            return input_var
        if isinstance(act, str):
            act = {"type": act}
        elif not isinstance(act, dict) or "type" not in act:
            hint = f"; write {act.__name__!r}" if hasattr(act, "__name__") else ""
            raise TypeError(f"{self.layer_type}: act must be the name of an activation, got {described(act)}{hint}")
        attrs = dict(act)
        if not operators.known(attrs["type"]):
            raise ValueError(
                f"{self.layer_type}: there is no activation {attrs['type']!r}"
                f"{did_you_mean(attrs['type'], operators.types())}"
            )
        if self.kwargs.get("use_cudnn") and "use_cudnn" in operators.find(attrs["type"]).unused:
            attrs["use_cudnn"] = True
        out = self.create_variable_for_type_inference(input_var.dtype)
        self.append_op(type=attrs.pop("type"), inputs={"X": [input_var]}, outputs={"Out": [out]}, attrs=attrs)
        return out
