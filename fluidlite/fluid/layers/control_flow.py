"""Counting, comparing, and what runs only if, or as long as, a condition holds."""

import contextlib
import functools

from ...core.dtypes import VarType, dtype_name
from ..framework import Variable, default_main_program
from ..layer_helper import LayerHelper
from ..messages import described
from .checks import append, check_dtype, check_variable, documented, number, truth
from .manipulation import cast
from .math import logical_and, logical_not
from .rank import lod_rank_table, max_sequence_len, reorder_lod_tensor_by_rank  # noqa: F401
from .tensor import assign, fill_constant
from .utils import assert_same_structure, flatten, map_structure

__all__ = [
    "elementwise_equal",
    "increment",
    "is_empty",
    "less_than",
    "cond",
    "while_loop",
    "While",
    "case",
    "switch_case",
    "Switch",
    "reorder_lod_tensor_by_rank",
]

_COMPARISONS = {
    "less_equal": "x <= y",
    "greater_than": "x > y",
    "greater_equal": "x >= y",
    "equal": "x == y",
    "not_equal": "x != y",
}


def _compare(type, x, y, cond, **attrs):
    check_variable(type, "x", x)
    check_variable(type, "y", y)
    if cond is not None:
        check_dtype(type, "cond", cond, "b")
    out = append(type, {"X": x, "Y": y}, attrs, dtype="bool", out=cond)
    out.stop_gradient = True
    return out


def _declare_comparison(type, formula):
    def layer(x, y, cond=None):
        return _compare(type, x, y, cond)

    doc = f"""Whether {formula}, element by element.

    Args:
        x, y (Variable): tensors of one data type and one shape, or of shapes that broadcast.
        cond (Variable): bool, where to write the result; None for a new Variable.
    Returns:
        bool Variable, without gradient.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the shapes do not broadcast, or the data types differ.
    """
    return documented(type, doc, layer)


for _type, _formula in _COMPARISONS.items():
    globals()[_type] = _declare_comparison(_type, _formula)
__all__ += list(_COMPARISONS)


def is_empty(x, cond=None):
    """Whether a tensor has no elements.

    Args:
        x (Variable): tensor of numbers.
        cond (Variable): bool, where to write the result; None for a new Variable.
    Returns:
        bool Variable of shape [1], without gradient.
    Raises:
        TypeError: a wrong argument.

    Example:
        nothing_chosen = fluid.layers.is_empty(fluid.layers.where(mask))
    """
    check_dtype("is_empty", "x", x, "fi")
    if cond is not None:
        check_dtype("is_empty", "cond", cond, "b")
        return append("is_empty", {"X": x}, out=cond)
    return append("is_empty", {"X": x}, dtype="bool", stop_gradient=True)


def less_than(x, y, force_cpu=None, cond=None):
    """Whether x < y, element by element.

    Args:
        x, y (Variable): tensors of one data type and one shape, or of shapes that broadcast.
        force_cpu (bool): without effect.
        cond (Variable): bool, where to write the result; None for a new Variable.
    Returns:
        bool Variable, without gradient.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the shapes do not broadcast, or the data types differ.
    """
    attrs = {} if force_cpu is None else {"force_cpu": truth("less_than", "force_cpu", force_cpu)}
    return _compare("less_than", x, y, cond, **attrs)


def increment(x, value=1.0, in_place=True):
    """Add a number to a tensor of one element.

    Args:
        x (Variable): tensor of one number.
        value (float): what to add.
        in_place (bool): write the result to x.
    Returns:
        Variable of the shape and dtype of x; x itself with in_place.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: x has several elements.
    """
    check_dtype("increment", "x", x, "fi")
    attrs = {"step": number("increment", "value", value)}
    return append("increment", {"X": x}, attrs, out=x if in_place else None)


@contextlib.contextmanager
def _block():
    """A new Block inside the current one, to which layers append until the `with` block ends."""
    program = default_main_program()
    around = program.current_block_idx
    try:
        yield program._create_block()
    finally:
        program.current_block_idx = around


def _captures_and_results(block, known=()):
    """The names of the variables around a Block that it reads before it writes them, and of those that it writes.

    It is given the values of the `known` ones in another way.
    """
    read, written = {}, dict.fromkeys(known)
    for op in block.ops:
        read.update(dict.fromkeys(name for name in op.input_arg_names if name not in written))
        written.update(dict.fromkeys(op.output_arg_names))
    around = block.program.block(block.parent_idx)
    return tuple([name for name in names if around._find_var_recursive(name) is not None] for names in (read, written))


@contextlib.contextmanager
def conditional_block(condition, is_scalar=True):
    """What layers append inside runs only if the `condition` holds; without `is_scalar`, if no input is empty."""
    around = default_main_program().current_block()
    with _block() as block:
        yield
    captures, results = _captures_and_results(block)
    around.append_op(
        "conditional_block",
        {"Cond": condition, "Input": captures},
        {"Out": results, "Scope": around.create_var(type=VarType.STEP_SCOPES)},
        {"sub_block": block, "is_scalar_condition": is_scalar},
    )


def cond(pred, true_fn=None, false_fn=None, name=None):
    """What one of two functions returns: `true_fn` if a condition holds when the Program runs, else `false_fn`.

    Both functions are called once, now, and their layers are put into Blocks of the Program of which each run runs one.
    They may read all variables around them; variables that they write with `assign` keep their values where the other
    function runs.

    Args:
        pred (Variable): bool, of one element.
        true_fn (callable): without arguments; returns Variables in lists, tuples and dicts, or None.  None: nothing is
            to be done.
        false_fn (callable): likewise; it returns as many Variables, nested alike, of the same data types.
        name (str): without effect, as in Fluid.
    Returns:
        Variables, nested like those that false_fn returns; None if the functions return None.
    Raises:
        TypeError: a wrong argument, or a function returns something else than Variables.
        ValueError: what the two functions return is not nested alike.

    .. code-block:: python

        doubled = fluid.layers.cond(fluid.layers.less_than(x, limit), lambda: x * 2.0, lambda: x)
    """
    check_dtype("cond", "pred", pred, "b")
    if not isinstance(name, (str, type(None))):
        raise TypeError(f"cond: name must be a string, got {described(name)}")
    for argument, function in (("true_fn", true_fn), ("false_fn", false_fn)):
        if function is not None and not callable(function):
            raise TypeError(f"cond: {argument} must be callable, got {described(function)}")
    if_true = None if true_fn is None else _branch(pred, "true_fn", true_fn)
    if_false = None if false_fn is None else _branch(logical_not(pred), "false_fn", false_fn)
    if if_true is None and if_false is None:
        return None
    if if_true is None or if_false is None:
        nothing, something = ("true_fn", "false_fn") if if_true is None else ("false_fn", "true_fn")
        raise ValueError(f"cond: {something} returns Variables and {nothing} returns None; both must return as many")
    try:
        assert_same_structure(if_true, if_false, check_types=False)
    except ValueError as error:
        raise ValueError(f"cond: true_fn and false_fn must return as many Variables, nested alike; {error}") from None
    mask = cast(pred, "int32")
    return map_structure(functools.partial(_selected, mask), if_false, if_true)


def _branch(condition, argument, function):
    """What a function returns, under condition, in variables of the current Block; None if it returns None."""
    around = default_main_program().current_block()
    with conditional_block(condition):
        returned = function()
        if returned is None:
            return None
        for item in flatten(returned):
            if not isinstance(item, Variable):
                raise TypeError(f"cond: {argument} must return Variables, got {described(item)}")
        return map_structure(lambda var: assign(var, _like(var, around)), returned)


def _like(variable, block):
    return block.create_var(dtype=variable.dtype, shape=variable.shape, type=variable.type)


def _selected(mask, if_false, if_true):
    out = _like(if_false, default_main_program().current_block())
    append("select_input", {"Mask": mask, "X": [if_false, if_true]}, out=out)
    out._describe(if_false.shape, if_false.dtype)  # as in Paddle, also where the other one has another shape
    return out


class While:
    """A loop: what layers append in its block runs again and again, as long as a condition holds.

    Args:
        cond (Variable): bool, of shape [1].  The block has to write it, or the loop never ends.
        is_test (bool): whether no gradients will be wanted, so that no turn's values need to be kept.
        name (str): without effect, as in Fluid.
    Raises:
        TypeError: a wrong argument.

    .. code-block:: python

        i, n = fluid.layers.fill_constant([1], "int64", 0), fluid.layers.fill_constant([1], "int64", 10)
        running = fluid.layers.less_than(i, n)
        with fluid.layers.While(running).block():
            fluid.layers.increment(i)
            fluid.layers.less_than(i, n, cond=running)
    """

    def __init__(self, cond, is_test=False, name=None):
        _check_condition("While", "cond", cond)
        self.cond_var, self.is_test = cond, bool(is_test)

    @contextlib.contextmanager
    def block(self):
        """The block, for a `with` statement."""
        around = default_main_program().current_block()
        with _block() as block:
            yield
        captures, results = _captures_and_results(block, [self.cond_var.name])
        around.append_op(
            "while",
            {"Condition": self.cond_var, "X": captures},
            {"Out": results, "StepScopes": around.create_var(type=VarType.STEP_SCOPES)},
            {"sub_block": block, "is_test": self.is_test},
        )


def _check_condition(layer, argument, condition):
    if not isinstance(condition, Variable) or condition.dtype != VarType.BOOL or condition.shape not in ((1,), ()):
        got = described(condition)
        if isinstance(condition, Variable):
            got += f" and dtype {dtype_name(condition.dtype)}"
        raise TypeError(f"{layer}: {argument} must be a bool Variable of shape [1], got {got}")


def while_loop(cond, body, loop_vars, is_test=False, name=None):
    """Repeat a function on Variables as long as a condition on them holds when the Program runs.

    The functions are called now, once or twice each, and their layers are put into a Block of the Program.  They may
    read all variables around them.

    Args:
        cond (callable): gets the loop_vars and returns a bool Variable of shape [1].
        body (callable): gets the loop_vars and returns their next values, as many and nested alike.
        loop_vars (list or tuple): Variables, or lists, tuples and dicts of them.
        is_test (bool): whether no gradients will be wanted, so that no turn's values need to be kept.
        name (str): without effect, as in Fluid.
    Returns:
        list or tuple: the loop_vars, which the loop changes in place.  As in Fluid they are changed one after the
            other, so that a body that only swaps two of them leaves the same value in both; compute one of them anew.
    Raises:
        TypeError: a wrong argument, or a function returns something else than Variables.
        ValueError: there are no loop_vars, or body returns more, fewer, or otherwise nested ones.

    .. code-block:: python

        i, n = fluid.layers.fill_constant([1], "int64", 0), fluid.layers.fill_constant([1], "int64", 10)
        (i,) = fluid.layers.while_loop(lambda i: fluid.layers.less_than(i, n), lambda i: [i + 1], [i])
    """
    for argument, function in (("cond", cond), ("body", body)):
        if not callable(function):
            raise TypeError(f"while_loop: {argument} must be callable, got {described(function)}")
    if not isinstance(loop_vars, (list, tuple)):
        raise TypeError(f"while_loop: loop_vars must be a list or tuple, got {described(loop_vars)}")
    if not loop_vars:
        raise ValueError("while_loop: loop_vars must not be empty")
    for var in flatten(loop_vars):
        check_variable("while_loop", "each of loop_vars", var)
    running = cond(*loop_vars)
    _check_condition("while_loop", "what cond returns", running)
    with While(running, is_test, name).block():
        following = body(*loop_vars)
        if not isinstance(following, (list, tuple)):
            following = [following]
        try:
            assert_same_structure(following, loop_vars, check_types=False)
        except ValueError as error:
            raise ValueError(
                f"while_loop: body must return as many Variables as there are loop_vars, nested alike; {error}"
            ) from None
        for var in flatten(following):
            check_variable("while_loop", "what body returns", var)
        still_running = cond(*following)
        for value, var in zip(flatten(following), flatten(loop_vars), strict=True):
            assign(value, var)
        assign(still_running, running)
    return loop_vars


def case(pred_fn_pairs, default=None, name=None):
    """What the first of some functions returns whose condition holds when the Program runs.

    Args:
        pred_fn_pairs (list or tuple): tuples (bool Variable of one element, callable without arguments), see `cond`.
        default (callable): where no condition holds; None for the last one of pred_fn_pairs.
        name (str): without effect, as in Fluid.
    Returns:
        Variables, nested as the functions return them.
    Raises:
        TypeError: a wrong argument.
        ValueError: pred_fn_pairs is empty and there is no default, or what the functions return is not nested alike.
    """
    if not isinstance(pred_fn_pairs, (list, tuple)):
        raise TypeError(f"case: pred_fn_pairs must be a list or tuple, got {described(pred_fn_pairs)}")
    pairs = [_pair("case", "pred_fn_pairs", pair) for pair in pred_fn_pairs]
    for pred, _ in pairs:
        check_variable("case", "the first of each of pred_fn_pairs", pred)
    if default is None and pairs:
        *pairs, (_, default) = pairs
    return _chosen("case", pairs[::-1], default)


def _pair(layer, argument, pair):
    if not isinstance(pair, tuple) or len(pair) != 2 or not callable(pair[1]):
        raise TypeError(f"{layer}: {argument} must hold tuples of two, the second callable, got {described(pair)}")
    return pair


def _chosen(layer, pairs, default):
    """`cond` in `cond`: the last of the functions whose condition holds, else the default."""
    if default is None:
        raise ValueError(f"{layer}: there is no function to choose")
    if not callable(default):
        raise TypeError(f"{layer}: default must be callable, got {described(default)}")
    for pred, function in pairs:
        default = functools.partial(cond, pred, function, default)
    return default()


def switch_case(branch_index, branch_fns, default=None, name=None):
    """What the function of a number returns that is known when the Program runs.

    Args:
        branch_index (Variable): int32, int64 or uint8, of shape [1]: the number.
        branch_fns (dict, list or tuple): number -> callable without arguments, see `cond`; or tuples of number and
            callable, or callables, which count from 0.
        default (callable): for any other number; None for the function of the largest number.
        name (str): without effect, as in Fluid.
    Returns:
        Variables, nested as the functions return them.
    Raises:
        TypeError: a wrong argument.
        ValueError: a number appears twice, or there are no functions.
    """
    check_dtype("switch_case", "branch_index", branch_index, "iu")
    if not isinstance(branch_fns, (dict, list, tuple)):
        raise TypeError(f"switch_case: branch_fns must be a dict, list or tuple, got {described(branch_fns)}")
    if isinstance(branch_fns, dict):
        branch_fns = list(branch_fns.items())
    elif all(map(callable, branch_fns)):
        branch_fns = list(enumerate(branch_fns))
    functions = {}
    for key, function in (_pair("switch_case", "branch_fns", pair) for pair in branch_fns):
        if isinstance(key, bool) or not isinstance(key, int):
            raise TypeError(f"switch_case: the keys of branch_fns must be int, got {described(key)}")
        if key in functions:
            raise ValueError(f"switch_case: the number {key} has two functions in branch_fns")
        functions[key] = function
    if default is None and functions:
        default = functions.pop(max(functions))
    if branch_index.dtype != VarType.INT64:
        branch_index = cast(branch_index, "int64")
    pairs = [
        (equal(branch_index, fill_constant([1], "int64", key)), function)  # noqa: F821
        for key, function in sorted(functions.items())
    ]
    return _chosen("switch_case", pairs, default)


class Switch:
    """Runs the block of the first condition that holds.

    Args:
        name (str): without effect, as in Fluid.

    .. code-block:: python

        with fluid.layers.Switch() as switch:
            with switch.case(step < limit):
                fluid.layers.assign(fast, rate)
            with switch.default():
                fluid.layers.assign(slow, rate)
    """

    def __init__(self, name=None):
        self._open = False
        self._none_before = None

    def __enter__(self):
        self._open = True
        return self

    def __exit__(self, *error):
        self._open = False

    def case(self, condition):
        """The block that runs if the `condition` (a bool Variable of shape [1]) holds and none before it, for `with`.

        Raises:
            TypeError: the condition is no bool Variable.
            ValueError: the Switch is not open.
        """
        check_dtype("Switch.case", "condition", condition, "b")
        if not self._open:
            raise ValueError("Switch.case must be called inside of `with Switch() as switch`")
        none, none_before = logical_not(condition), self._none_before
        self._none_before = none if none_before is None else logical_and(none_before, none)
        return conditional_block(condition if none_before is None else logical_and(none_before, condition))

    def default(self):
        """The block that runs if no condition holds, for `with`.

        Raises:
            ValueError: there is no case before it.
        """
        if self._none_before is None:
            raise ValueError("Switch.default must come after at least one Switch.case")
        return conditional_block(self._none_before)


def elementwise_equal(x, y, name=None):
    """Whether corresponding elements are equal.

    Args:
        x, y (Variable): tensors of one dtype, in shapes that broadcast.
        name (str): the first part of generated names.
    Returns:
        bool Variable.
    Raises:
        TypeError: x or y is no Variable.
        EnforceNotMet: the shapes do not fit.
    """
    check_variable("elementwise_equal", "x", x)
    check_variable("elementwise_equal", "y", y)
    helper = LayerHelper("elementwise_equal", name=name)
    return append("equal", {"X": x, "Y": y}, {"force_cpu": False}, "bool", helper=helper, stop_gradient=True)
