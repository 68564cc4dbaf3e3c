"""Gradient clipping: keeps gradients small before the update."""

import warnings

from ..core.dtypes import VarType
from . import layers
from .framework import OpRole, Parameter, default_main_program, name_scope

__all__ = [
    "set_gradient_clip",
    "ErrorClipByValue",
    "GradientClipByValue",
    "GradientClipByNorm",
    "GradientClipByGlobalNorm",
]


def _number(owner, name, value):
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{owner}: {name} must be a number, got {value!r}")
    return float(value)


def _bounds(owner, high, low):
    """(low, high) from `max` and `min`; without a `min` they lie around 0."""
    high = _number(owner, "max", high)
    if low is None and high <= 0:
        raise ValueError(f"{owner}: max must be positive when min is not given, got {high}")
    low = -high if low is None else _number(owner, "min", low)
    if low > high:
        raise ValueError(f"{owner}: min must not exceed max, got min={low} and max={high}")
    return low, high


class ErrorClipByValue:
    """Keeps the gradient of one Variable between two bounds while gradients flow back through it.

    Args:
        max (float): the upper bound.
        min (float): the lower bound; None for -max.
    """

    def __init__(self, max, min=None):
        self.min, self.max = _bounds("ErrorClipByValue", max, min)

    def __str__(self):
        return f"ByValue, min={self.min:f}, max={self.max:f}"

    def _append_clip_op(self, block, grad_name):
        block.append_op(
            type="clip", inputs={"X": grad_name}, outputs={"Out": grad_name}, attrs={"min": self.min, "max": self.max}
        )


def error_clip_callback(block, context):
    """Called after each operator that `append_backward` appends: clip its outputs where the user asked for it.

    Args:
        block (Block): whose last operator has just been appended.
        context (dict): name of a gradient -> name of its variable.
    """
    for grad_name in block.ops[-1].output_arg_names:
        variable = block._find_var_recursive(context.get(grad_name, ""))
        error_clip = getattr(variable, "error_clip", None)
        if error_clip is not None:
            error_clip._append_clip_op(block, grad_name)


class GradientClipBase:
    """What an optimizer's `grad_clip` must be.  Called with pairs of parameter and gradient, it returns such pairs.

    Args:
        need_clip (callable): takes a Parameter and returns whether its gradient is to be clipped; None for all.
    """

    def __init__(self, need_clip=None):
        if need_clip is not None and not callable(need_clip):
            raise TypeError(
                f"{type(self).__name__}: need_clip must be a function that takes a Parameter and returns a bool, "
                f"got {need_clip!r}"
            )
        self._need_clip_func = need_clip

    def __call__(self, params_grads):
        chosen = [
            (param, grad)
            for param, grad in params_grads
            if grad is not None and (self._need_clip_func is None or self._need_clip_func(param))
        ]
        with name_scope("gradient_clip"):
            return _replaced(params_grads, self._clip(chosen))

    def _clip(self, params_grads):
        """Append the operators; returns parameter name -> clipped gradient."""
        clipped = {}
        for param, grad in params_grads:
            with param.block.program._optimized_guard([param, grad]):
                clipped[param.name] = self._clip_one(grad)
        return clipped


class GradientClipByValue(GradientClipBase):
    """Moves every element of a gradient into a range.

    Args:
        max (float): the upper bound.
        min (float): the lower bound; None for -max.
        need_clip (callable): takes a Parameter and returns whether its gradient is to be clipped; None for all.
    """

    def __init__(self, max, min=None, need_clip=None):
        super().__init__(need_clip)
        self.min, self.max = _bounds("GradientClipByValue", max, min)

    def __str__(self):
        return f"Gradient Clip By Value, min = {self.min:f}, max={self.max:f}"

    def _clip_one(self, grad):
        return layers.clip(grad, self.min, self.max)


class GradientClipByNorm(GradientClipBase):
    """Scales every gradient whose Euclidean norm exceeds a limit down to that norm.

    Args:
        clip_norm (float): the limit.
        need_clip (callable): takes a Parameter and returns whether its gradient is to be clipped; None for all.
    """

    def __init__(self, clip_norm, need_clip=None):
        super().__init__(need_clip)
        self.clip_norm = _number("GradientClipByNorm", "clip_norm", clip_norm)

    def __str__(self):
        return f"Gradient Clip By Norm, clip_norm={self.clip_norm:f}"

    def _clip_one(self, grad):
        return layers.clip_by_norm(grad, self.clip_norm)


class GradientClipByGlobalNorm(GradientClipBase):
    """Scales all gradients together, so that the Euclidean norm of all their elements stays within a limit.

    Args:
        clip_norm (float): the limit.
        group_name (str): with `set_gradient_clip`, which parameters count together.
        need_clip (callable): takes a Parameter and returns whether its gradient is to be clipped; None for all.
    """

    def __init__(self, clip_norm, group_name="default_group", need_clip=None):
        super().__init__(need_clip)
        if not isinstance(group_name, str):
            raise TypeError(f"GradientClipByGlobalNorm: group_name must be a string, got {group_name!r}")
        self.clip_norm = _number("GradientClipByGlobalNorm", "clip_norm", clip_norm)
        self.group_name = group_name

    def __str__(self):
        return f"Gradient Clip By GlobalNorm, global_norm={self.clip_norm:f}"

    def _clip(self, params_grads):
        group, clipped = _Group(self.clip_norm), {}
        for pair in params_grads:
            with pair[0].block.program._optimized_guard(pair):
                group.add(pair[1])
        for pair in params_grads:
            with pair[0].block.program._optimized_guard(pair):
                clipped[pair[0].name] = group.scaled(pair[1])
        return clipped


class _Group:
    """Gradients that are scaled together: first `add` all of them, then ask for each one `scaled`."""

    def __init__(self, clip_norm):
        self.clip_norm = clip_norm
        self.limit = None
        self.squares = []
        self.factor = None

    def make_limit(self, dtype):
        self.limit = layers.fill_constant(shape=[1], dtype=dtype, value=self.clip_norm)

    def add(self, grad):
        if grad.type is VarType.SELECTED_ROWS:
            grad = layers.get_tensor_from_selected_rows(layers.merge_selected_rows(grad))
        self.squares.append(layers.reduce_sum(layers.square(grad)))

    def scaled(self, grad):
        if self.factor is None:
            norm = layers.sqrt(layers.sums(self.squares))
            if self.limit is None:
                self.make_limit(norm.dtype)
            self.factor = layers.elementwise_div(self.limit, layers.elementwise_max(self.limit, norm))
        return layers.elementwise_mul(grad, self.factor)


def _replaced(params_grads, clipped):
    """The pairs with their clipped gradients; the operators in between are marked as working on those."""
    marks = {
        (param.name, grad.name): [param.name, clipped[param.name].name]
        for param, grad in params_grads
        if param.name in clipped
    }
    for block in {param.block for param, _ in params_grads}:
        for op in block.ops:
            # The operators that computed the gradient keep naming the gradient that they computed.
            if op.attrs.get(OpRole.attr_name) == OpRole.Optimize:
                mark = marks.get(tuple(op.attrs.get(OpRole.var_attr_name, ())))
                if mark is not None:
                    op._set_attr(OpRole.var_attr_name, mark)
    return [(param, clipped.get(param.name, grad)) for param, grad in params_grads]


def set_gradient_clip(clip, param_list=None, program=None):
    """Clip the gradients of a Program's parameters; an optimizer's `grad_clip` replaces this.

    Call it after the network is built and before `minimize`.

    Args:
        clip (GradientClipBase): how to clip.
        param_list (list): Parameters or their names; None for all. As in Fluid 1.8, nothing is clipped unless every
            parameter that is trained has a clip, and if clips differ, that of the last parameter by name counts.
        program (Program): None for `default_main_program()`.
    Raises:
        TypeError: clip is no gradient clip, or param_list holds something else than parameters.
    """
    warnings.warn(
        "set_gradient_clip is deprecated in Fluid 1.8; give the optimizer a grad_clip instead",
        DeprecationWarning,
        stacklevel=2,
    )
    if not isinstance(clip, GradientClipBase):
        raise TypeError(
            f"set_gradient_clip: clip must be a gradient clip such as GradientClipByNorm(1.0), got {clip!r}"
        )
    block = (default_main_program() if program is None else program).global_block()
    for item in block.all_parameters() if param_list is None else param_list:
        param = block.var(item) if isinstance(item, str) else item
        if not isinstance(param, Parameter):
            raise TypeError(f"set_gradient_clip: param_list must hold Parameters or their names, got {item!r}")
        param.gradient_clip_attr = clip


def append_gradient_clip_ops(params_grads):
    """Clip gradients as `set_gradient_clip` asked.

    Args:
        params_grads (list of (Parameter, Variable)): a gradient may be None.
    Returns:
        list of (Parameter, Variable): the gradients to use.
    """
    pairs = [(param, grad) for param, grad in params_grads if grad is not None]
    without = [param.name for param, _ in pairs if param.gradient_clip_attr is None]
    if len(without) == len(pairs):
        return params_grads
    if without:
        warnings.warn(
            f"no gradient is clipped, because set_gradient_clip left out {', '.join(without)}, as in Fluid 1.8; "
            "give the optimizer a grad_clip with need_clip instead",
            stacklevel=4,
        )
        return params_grads
    chosen = pairs[-1][0].gradient_clip_attr
    if any(str(param.gradient_clip_attr) != str(chosen) for param, _ in pairs):
        warnings.warn(
            f"set_gradient_clip gave parameters different clips; as in Fluid 1.8, all gradients are clipped by that of "
            f"{pairs[-1][0].name}, the last by name: {chosen}",
            stacklevel=4,
        )
    groups, clipped = {}, {}
    with name_scope("gradient_clip"):
        for param, grad in pairs:
            clip = param.gradient_clip_attr
            if isinstance(clip, GradientClipByGlobalNorm):
                with param.block.program._optimized_guard([param, grad]):
                    _add_to_group(groups, clip, grad)
        for param, grad in pairs:
            with param.block.program._optimized_guard([param, grad]):
                if isinstance(chosen, GradientClipByGlobalNorm):
                    clipped[param.name] = groups[chosen.group_name].scaled(grad)
                else:
                    clipped[param.name] = chosen._clip_one(grad)
        return _replaced(params_grads, clipped)


def _add_to_group(groups, clip, grad):
    if clip.group_name not in groups:
        groups[clip.group_name] = _Group(clip.clip_norm)
        groups[clip.group_name].make_limit(grad.dtype)
    group = groups[clip.group_name]
    if group.clip_norm != clip.clip_norm:
        raise ValueError(
            f"all clips of the group {clip.group_name!r} must have the same clip_norm, "
            f"got {group.clip_norm} and {clip.clip_norm}"
        )
    group.add(grad)
