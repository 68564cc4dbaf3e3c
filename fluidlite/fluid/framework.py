"""The graph: a Program holds Blocks, a Block holds Operators and the Variables that they read and write.

Nothing is computed here.  Appending an operator checks it against its definition, infers the shapes of its outputs,
and remembers the line of the user's script that asked for it.
"""

import contextlib
import functools
import linecache
import operator
import os
import sys

import numpy as np

from ..core import operators, selected_rows
from ..core.attributes import COMMON_ATTRS
from ..core.dtypes import VarType, dtype_name, numpy_dtype, var_type
from ..core.errors import EnforceNotMet
from ..core.regions import Region, RegionGradient
from ..core.spec import EMPTY, GRAD, Spec
from . import unique_name

__all__ = [
    "Program",
    "default_startup_program",
    "default_main_program",
    "program_guard",
    "name_scope",
    "Variable",
    "Parameter",
    "in_dygraph_mode",
    "device_guard",
]

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
# Blocks of `with` statements end in the library's code.
_NOT_THE_USERS = _PACKAGE, contextlib.__file__


class OpRole:
    """What an operator is for; stored in its attribute `op_role`, as Fluid does."""

    Forward = 0
    Backward = 1
    Optimize = 2
    RPC = 4
    Dist = 8
    LRSched = 16
    Loss = 256

    attr_name = "op_role"
    var_attr_name = "op_role_var"


def in_dygraph_mode():
    """False: fluidlite has no imperative mode."""
    return False


def convert_np_dtype_to_dtype_(np_dtype):
    """The VarType for a NumPy dtype or its name."""
    return var_type(np_dtype)


def grad_var_name(name):
    """The name of the gradient of the variable `name`."""
    return name + GRAD


# What works on Programs stands above them and is put here by the packages that know it: the module that turns Programs
# into bytes and back (`fluidlite.fluid.serialize`), and the one that draws them (`fluidlite.drawing`).
serialization = pictures = None


class UserFrame:
    """A line of the user's script.

    Args:
        filename (str), lineno (int), function (str): where it is.
        text (str): the line itself; None to read it from the file when it is shown.
    """

    __slots__ = ("filename", "lineno", "function", "_text")

    _known = {}  # a loop that appends operators does so from one line

    def __init__(self, filename, lineno, function, text=None):
        self.filename, self.lineno, self.function, self._text = filename, lineno, function, text

    @property
    def text(self):
        return linecache.getline(self.filename, self.lineno).strip() if self._text is None else self._text

    @classmethod
    def current(cls):
        """The innermost frame outside fluidlite, or None."""
        frame = sys._getframe(1)
        while frame is not None:
            code = frame.f_code
            if not code.co_filename.startswith(_NOT_THE_USERS):
                place = code.co_filename, frame.f_lineno, code.co_name
                found = cls._known.get(place)
                if found is None:
                    found = cls._known[place] = cls(*place)
                return found
            frame = frame.f_back
        return None

    def as_traceback(self):
        """The frame as a traceback shows it."""
        return f'  File "{self.filename}", line {self.lineno}, in {self.function}\n    {self.text}\n'

    def __str__(self):
        return f"{self.filename}:{self.lineno}" + (f": {self.text}" if self.text else "")


class Variable:
    """A named tensor of a Program: its shape and data type are known, its value is not.

    Attributes:
        name (str): unique in its block.
        shape (tuple of int): -1 where the size is known only when the Program runs (the batch).
        dtype (VarType): of its elements.
        persistable (bool): whether the value outlives a run; parameters and statistics do.
        stop_gradient (bool): whether no gradient flows through it.
        lod_level (int): number of levels of sequence information (0: a plain tensor).
        type (VarType): the kind of variable, usually LOD_TENSOR.
        block (Block): where it lives.
        stored (VarDesc or None): the message that it was read from.
    """

    def __init__(
        self,
        block,
        type=VarType.LOD_TENSOR,
        name=None,
        shape=None,
        dtype=None,
        lod_level=None,
        capacity=None,
        persistable=None,
        error_clip=None,
        stop_gradient=False,
        is_data=False,
        need_check_feed=False,
        belong_to_optimizer=False,
        **kwargs,
    ):
        self.block = block
        self.name = name if name is not None else unique_name.generate("_generated_var")
        self.type = type if isinstance(type, VarType) else VarType(type)
        self._describe(
            None if shape is None else _checked_shape(shape, self.name), None if dtype is None else var_type(dtype)
        )
        self.lod_level = 0 if lod_level is None else _checked_levels(lod_level, self.name)
        self._persistable = bool(persistable)
        self.stop_gradient = stop_gradient
        self.error_clip = error_clip
        self.is_data = is_data
        self.need_check_feed = need_check_feed
        self.belong_to_optimizer = belong_to_optimizer
        self.op = None
        self.stored = None

    @property
    def persistable(self):
        """Whether the value outlives a run (bool); may be set at any time."""
        return self._persistable

    @persistable.setter
    def persistable(self, wanted):
        if wanted != self._persistable:
            self._persistable = bool(wanted)
            self.block.program._changed()

    @property
    def shape(self):
        return () if self._shape is None else self._shape

    @property
    def dtype(self):
        return VarType.FP32 if self._dtype is None else self._dtype

    def _describe(self, shape, dtype):
        self._shape, self._dtype, self._spec = shape, dtype, None

    @property
    def spec(self):
        if self._spec is None:
            self._spec = Spec(self.shape, numpy_dtype(self.dtype))
        return self._spec

    @property
    def holds_array(self):
        """Whether it holds a list of tensors, each of them as `spec` says."""
        return self.type == VarType.LOD_TENSOR_ARRAY

    @property
    def grad_name(self):
        """The name of this variable's gradient."""
        return grad_var_name(self.name)

    def _set_error_clip(self, error_clip):
        self.error_clip = error_clip

    def to_string(self, throw_on_error=False, with_details=False):
        """A line that describes the variable; `with_details` adds what matters to few."""
        kind = "persist " if self.persistable else ""
        if isinstance(self, Parameter):
            kind += "trainable param" if self.trainable else "param"
        else:
            kind += "var"
        text = f"{kind} {self.name} : {self.type.name}"
        if self._shape is not None or self._dtype is not None:
            text += f".shape({', '.join(map(str, self.shape))}).dtype({dtype_name(self.dtype)})"
        text += f".stop_gradient({self.stop_gradient})"
        if self.lod_level or with_details:
            text += f".lod_level({self.lod_level})"
        if with_details and self.error_clip is not None:
            text += f".error_clip({self.error_clip})"
        return text

    def __str__(self):
        return self.to_string(True, True)

    __repr__ = __str__

    def __bool__(self):
        raise TypeError(
            f"the variable {self.name} has no value while the Program is built, so it cannot be used in "
            "'if', 'while', 'and', 'or' or 'not'; fetch it with Executor.run first"
        )

    def __iter__(self):
        raise TypeError(f"the variable {self.name} cannot be iterated over while the Program is built")

    def __array__(self, *args, **kwargs):
        raise TypeError(f"the variable {self.name} has no value while the Program is built; fetch it with Executor.run")


class Parameter(Variable):
    """A persistable Variable that an optimizer may update.

    Attributes:
        trainable (bool), regularizer, optimize_attr ({'learning_rate': factor}), do_model_average, need_clip.
    """

    def __init__(self, block, shape, dtype, type=VarType.LOD_TENSOR, **kwargs):
        name = kwargs.get("name")
        if shape is None or dtype is None:
            raise ValueError(f"the parameter {name} needs a shape and a dtype, got {shape} and {dtype}")
        shape = _checked_shape(shape, name)
        if not shape or any(size <= 0 for size in shape):
            raise ValueError(f"every dimension of the parameter {name} must be positive, got shape {shape}")
        self.trainable = kwargs.pop("trainable", True)
        self.optimize_attr = kwargs.pop("optimize_attr", {"learning_rate": 1.0})
        self.regularizer = kwargs.pop("regularizer", None)
        self.gradient_clip_attr = kwargs.pop("gradient_clip_attr", None)
        self.do_model_average = kwargs.pop("do_model_average", None)
        self.need_clip = kwargs.pop("need_clip", True)
        self.is_distributed = False
        super().__init__(block, type=type, shape=shape, dtype=dtype, persistable=True, **kwargs)


def _checked_shape(shape, name):
    if isinstance(shape, (tuple, list)):
        for size in shape:
            if type(size) is not int or size < -1:
                break
        else:
            return tuple(shape)
    try:
        if isinstance(shape, (str, bytes)):
            raise TypeError
        dims = tuple(-1 if size is None else size.__index__() for size in shape)
    except (TypeError, AttributeError):
        raise TypeError(
            f"the shape of {name} must be a list of integers (None or -1: unknown), got {shape!r}"
        ) from None
    if any(size < -1 for size in dims):
        raise ValueError(f"the shape of {name} must hold sizes, or -1 for an unknown one, got {list(dims)}")
    return dims


def _checked_levels(count, name):
    try:
        return int(operator.index(count))
    except TypeError:
        raise TypeError(f"lod_level of {name} must be an int, got {count!r}") from None


_PLAIN = frozenset([bool, int, float, str, type(None)])


def _plain(value):
    """Attribute values as plain Python: NumPy scalars and arrays, tuples and enums do not belong into a Program."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, VarType):
        return int(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _blocks(attrs):
    """The attributes that are Blocks, or lists of them: name -> list of Blocks."""
    found = {}
    for name, value in attrs.items():
        if type(value) not in _PLAIN:
            blocks = value if isinstance(value, list) else [value]
            if blocks and isinstance(blocks[0], Block):
                found[name] = blocks
    return found


def _in_program(attrs, program):
    """Attributes with each Block replaced by the one of its number in another Program."""
    found = {name: [program.blocks[block.idx] for block in blocks] for name, blocks in _blocks(attrs).items()}
    return {**attrs, **{name: blocks if isinstance(attrs[name], list) else blocks[0] for name, blocks in found.items()}}


def _shown(value):
    """The value of an attribute as text; a Block is only named."""
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    return f"block {value.idx}" if isinstance(value, Block) else repr(value)


def _plain_values(attrs):
    return {name: value if type(value) in _PLAIN else _plain(value) for name, value in attrs.items()}


def _names(value):
    """Slot contents (a Variable, a name, or a list of them) -> list of names."""
    if value is None:
        return []
    if not isinstance(value, (list, tuple)):
        value = [value]
    names = []
    for item in value:
        if isinstance(item, Variable):
            item = item.name
        elif not isinstance(item, str):
            raise TypeError(f"expected a Variable or its name, got {item!r} of type {type(item).__name__}")
        names.append(item)
    return names


class Operator:
    """One step of a computation: a type, named slots of input and output variables, and attributes.

    Attributes:
        type (str): the operator type, e.g. "relu".
        inputs, outputs (dict): slot name -> list of variable names.
        attrs (dict): attribute name -> plain Python value, or the Block that the operator runs.
        callstack (UserFrame or None): the user's line that created it.
        stored (OpDesc or None): the message that it was read from.
    """

    __slots__ = ("block", "type", "inputs", "outputs", "attrs", "callstack", "stored", "__weakref__")

    def __init__(self, block, type, inputs=None, outputs=None, attrs=None, callstack=None, stored=None):
        self.block = block
        self.type = type
        self.inputs = {slot: _names(value) for slot, value in (inputs or {}).items()}
        self.outputs = {slot: _names(value) for slot, value in (outputs or {}).items()}
        self.attrs = {name: value for name, value in _plain_values(attrs).items() if value is not None} if attrs else {}
        self.callstack = callstack
        self.stored = stored

    def input(self, name):
        """Names of the variables in an input slot."""
        return list(self.inputs.get(name, ()))

    def output(self, name):
        """Names of the variables in an output slot."""
        return list(self.outputs.get(name, ()))

    @property
    def desc(self):
        """The operator itself, for scripts that write `op.desc.attr(name)`."""
        return self

    @property
    def input_names(self):
        return list(self.inputs)

    @property
    def output_names(self):
        return list(self.outputs)

    @property
    def input_arg_names(self):
        return [name for names in self.inputs.values() for name in names]

    @property
    def output_arg_names(self):
        return [name for names in self.outputs.values() for name in names]

    @property
    def attr_names(self):
        return list(self.attrs)

    def has_attr(self, name):
        return name in self.attrs

    def attr(self, name):
        """The value of an attribute; raises KeyError when the operator has none of that name."""
        return self.attrs[name]

    def all_attrs(self):
        """A copy of the attributes."""
        return dict(self.attrs)

    @property
    def sub_blocks(self):
        """The Blocks that the operator runs (list)."""
        return [block for blocks in _blocks(self.attrs).values() for block in blocks]

    def _block_attr(self, name):
        """The Block in an attribute."""
        return self.attrs[name]

    def _block_attr_id(self, name):
        """The number of the Block in an attribute."""
        return self.attrs[name].idx

    def _set_attr(self, name, value):
        self.attrs[name] = _plain(value)
        self.block.program._changed()

    def _rename_input(self, old, new):
        self.inputs = {slot: [new if n == old else n for n in names] for slot, names in self.inputs.items()}
        self.block.program._changed()

    def _rename_output(self, old, new):
        self.outputs = {slot: [new if n == old else n for n in names] for slot, names in self.outputs.items()}
        self.block.program._changed()

    def infer(self):
        """Check the operator and set the shapes and data types of its outputs."""
        variable_named = self.block._var_recursive
        find = self.block._find_described
        read = {
            slot: [variable for name in names if (variable := find(name)) is not None]
            for slot, names in self.inputs.items()
        }
        inputs = {slot: [variable.spec for variable in found] for slot, found in read.items()}
        definition = operators.find(self.type)
        specs = operators.infer_specs(definition, self.attrs, inputs)
        for slot, found in specs.items():
            names = self.outputs.get(slot, ())
            if len(names) > len(found):
                raise EnforceNotMet(f"its output {slot!r} holds {len(found)} variables, got {names}")
            for name, spec in zip(names, found, strict=False):
                if name == EMPTY or spec is None:
                    continue
                variable = variable_named(name)
                if not isinstance(variable, Parameter):
                    variable._describe(tuple(spec.shape), var_type(spec.dtype))
        self._infer_types(definition, read)
        # Of few gradients the real Paddle says how many levels they have: `Lod.levels` names them.
        if definition.region is None and (definition.gradient_of is None or definition.lod_levels is not None):
            self._infer_lod_levels(definition, inputs, specs)

    def _infer_types(self, definition, read):
        """Set which outputs are selected rows, given the variables in the input slots."""
        held = {slot: [one.type is VarType.SELECTED_ROWS for one in found] for slot, found in read.items()}
        if definition.region is not None or definition.selected_rows is None and not any(map(any, held.values())):
            return
        for slot in selected_rows.made(definition, self.attrs, held):
            for name in self.outputs.get(slot, ()):
                if name != EMPTY:
                    self.block._var_recursive(name).type = VarType.SELECTED_ROWS

    def _infer_lod_levels(self, definition, inputs, outputs):
        """Set how many levels of detail the outputs have."""
        find = self.block._find_var_recursive
        levels = {
            slot: [variable.lod_level for name in names if (variable := find(name)) is not None]
            for slot, names in self.inputs.items()
        }
        if definition.lod_levels is None and not any(any(found) for found in levels.values()):
            return
        shapes = {
            slot: [spec.shape for spec in specs if spec is not None] for slot, specs in (inputs | outputs).items()
        }
        sources = definition.lod_sources(self.attrs, shapes) if definition.gradient_of is None else {}
        if definition.lod_levels is not None:
            counts = definition.lod_levels(self.attrs, levels)
            sources = {**sources, **counts}
        for slot, source in sources.items():
            if isinstance(source, int):
                level = source
            elif callable(source):
                level = len(source({name: [[[0]] * count for count in counts] for name, counts in levels.items()}))
            elif levels.get(source):
                level = levels[source][0]
            else:
                continue
            for name in self.outputs.get(slot, ()):
                if name != EMPTY:
                    self.block._var_recursive(name).lod_level = level

    def describe(self):
        """The operator with its variables' shapes, and the user's line: the tail of every error message."""

        def slots(names_of):
            for slot, names in names_of.items():
                for name in names:
                    found = self.block._find_var_recursive(name)
                    kind = f" {list(found.shape)} {found.dtype.name.lower()}" if found is not None else ""
                    yield f"{slot}={name}{kind}"

        lines = [f"  in operator {self.type}({', '.join(slots(self.inputs))})"]
        if self.callstack is not None:
            lines.append(f"  created at {self.callstack}")
        return "\n".join(lines)

    def to_string(self, throw_on_error=False, skip_op_callstack=True):
        """The operator as a line of pseudo-code, with all its attributes.

        Args:
            throw_on_error (bool): without effect; kept for Fluid's scripts.
            skip_op_callstack (bool): whether to leave out the user's line that asked for it.
        Returns:
            str
        """
        text = self._code(self.attrs.items() if self.attrs else ())
        return text if skip_op_callstack or self.callstack is None else f"{text}  // {self.callstack}"

    def _code(self, attrs):
        outs = ", ".join(f"{slot}={names}" for slot, names in self.outputs.items())
        ins = ", ".join(f"{slot}={names}" for slot, names in self.inputs.items())
        words = [f"inputs={{{ins}}}"]
        attrs = sorted(attrs, key=operator.itemgetter(0))
        words += [f"{name} = {_shown(value)}" for name, value in attrs if name != "op_callstack"]
        return f"{{{outs}}} = {self.type}({', '.join(words)})"

    def _telling_attrs(self):
        """The attributes (name, value) that say more than that nothing special was asked for."""
        hidden, defaults = set(COMMON_ATTRS), {}
        if operators.known(self.type):
            definition = operators.find(self.type)
            hidden.update(definition.unused)
            defaults = definition.all_attrs()
        return [
            (name, value)
            for name, value in self.attrs.items()
            if name not in hidden and not (name in defaults and defaults[name] == value)
        ]

    __str__ = to_string

    def __repr__(self):
        return self.to_string()


class Block:
    """A list of operators and the variables that live among them.

    Attributes:
        ops (list of Operator), vars (dict: name -> Variable), program (Program), idx (int).
        parent_idx (int): the Block around it; -1 for none.
        forward_block_idx (int): the Block whose gradient it computes; -1 for none.
        stored (BlockDesc or None): the message that it was read from.
    """

    def __init__(self, program, idx, parent_idx=-1):
        self.program = program
        self.idx = idx
        self.parent_idx = parent_idx
        self.forward_block_idx = -1
        self.vars = {}
        self.ops = []
        self.stored = None

    @property
    def id(self):
        """Its number, for scripts that write `op.attr("sub_block").id`."""
        return self.idx

    def has_var(self, name):
        return name in self.vars

    def var(self, name):
        """The Variable `name` of this block; raises ValueError when there is none."""
        if not isinstance(name, str):
            raise TypeError(f"the name of a variable must be a string, got {name!r}")
        try:
            return self.vars[name]
        except KeyError:
            raise ValueError(f"there is no variable {name!r} in block {self.idx}") from None

    def _blocks_in_sight(self):
        """The Blocks whose Variables this one's operators see, in the order in which they are asked for a name.

        These are the Block itself, those around it, and, as gradients need what was computed, the one whose gradient
        it computes.
        """
        seen, waiting = set(), [self.idx]
        while waiting:
            index = waiting.pop()
            if index >= 0 and index not in seen:
                seen.add(index)
                block = self.program.blocks[index]
                waiting += [block.parent_idx, block.forward_block_idx]
                yield block

    def _find_var_recursive(self, name):
        found = self.vars.get(name)
        if found is None and self.parent_idx >= 0:
            found = next((block.vars[name] for block in self._blocks_in_sight() if name in block.vars), None)
        return found

    def _find_described(self, name):
        """The Variable that says what an operator of this Block finds under a name, or None.

        Gradients that a block of a gradient is given, turn by turn, are like the variables that they are the gradients
        of: around it a Variable of the same name may be stacked, or there may be none.
        """
        if self.forward_block_idx >= 0 and name.endswith(GRAD) and name not in self.vars:
            found = self._find_var_recursive(name.removesuffix(GRAD))
            if found is not None:
                return found
        return self._find_var_recursive(name)

    def _var_recursive(self, name):
        found = self._find_var_recursive(name)
        if found is None:
            raise ValueError(f"there is no variable {name!r} in block {self.idx} or the blocks around it")
        return found

    def all_parameters(self):
        """The Parameters of this block, in the order of creation."""
        return [v for v in self.vars.values() if isinstance(v, Parameter)]

    iter_parameters = all_parameters

    def create_var(self, *args, **kwargs):
        """Add a Variable, or return the one of that name; the arguments are those of `Variable` after `block`."""
        name = kwargs.get("name")
        if name is not None and name in self.vars:
            return self._existing(self.vars[name], kwargs)
        variable = Variable(self, *args, **kwargs)
        self.vars[variable.name] = variable
        self.program._changed()
        return variable

    def _existing(self, variable, wanted):
        levels = wanted.get("lod_level")
        if levels is not None and _checked_levels(levels, variable.name) != variable.lod_level:
            raise ValueError(
                f"the variable {variable.name} exists with lod_level {variable.lod_level} and cannot be created again "
                f"with lod_level {levels}"
            )
        shape, dtype = wanted.get("shape"), wanted.get("dtype")
        if shape is not None:
            shape = _checked_shape(shape, variable.name)
            if variable._shape is not None and shape != variable._shape:
                raise ValueError(
                    f"the variable {variable.name} exists with shape {list(variable.shape)} and cannot be created "
                    f"again with shape {list(shape)}"
                )
            variable._describe(shape, variable._dtype)
        if dtype is not None:
            dtype = var_type(dtype)
            if variable._dtype is not None and dtype != variable._dtype:
                raise ValueError(
                    f"the variable {variable.name} exists with dtype {variable.dtype.name} and cannot be created "
                    f"again with dtype {dtype.name}"
                )
            variable._describe(variable._shape, dtype)
        variable.persistable = bool(wanted.get("persistable") or variable.persistable)
        return variable

    def create_parameter(self, *args, **kwargs):
        """Add a Parameter to the program's global block, and its initializer's operator if one is given."""
        block = self.program.global_block()
        initializer = kwargs.pop("initializer", None)
        parameter = Parameter(block, *args, **kwargs)
        shared = block.vars.get(parameter.name)
        if shared is not None:
            if shared.shape != parameter.shape or shared.dtype != parameter.dtype:
                raise ValueError(
                    f"the parameter {parameter.name} is shared by name, but it exists with shape {list(shared.shape)} "
                    f"{shared.dtype.name} and is now asked for with {list(parameter.shape)} {parameter.dtype.name}"
                )
            return shared
        block.vars[parameter.name] = parameter
        self.program._changed()
        if initializer is not None:
            initializer(parameter, self)
        return parameter

    def append_op(self, type=None, inputs=None, outputs=None, attrs=None, stop_gradient=False, **kwargs):
        """Add an operator at the end.

        Args:
            type: the operator type.
            inputs, outputs: slot name -> Variable, variable name, or a list of them.
            attrs: attribute name -> value; defaults come from the operator's definition.
            stop_gradient: without effect, as in Fluid outside of its imperative mode.
        Raises:
            EnforceNotMet: the operator is unknown or its inputs do not fit; the message names the user's line.
        """
        return self._insert_op(len(self.ops), type, inputs, outputs, attrs, **kwargs)

    def prepend_op(self, type=None, inputs=None, outputs=None, attrs=None, **kwargs):
        """Add an operator at the beginning; the arguments are those of `append_op`."""
        return self._insert_op(0, type, inputs, outputs, attrs, **kwargs)

    _prepend_op = prepend_op

    def _insert_op(self, index, type=None, inputs=None, outputs=None, attrs=None):
        op = Operator(self, type, inputs, outputs, None, UserFrame.current())
        try:
            definition = operators.find(type)
            _check_slots(definition, op)
            op.attrs = _plain_values(definition.attrs)
            if attrs:
                op.attrs.update(_plain_values({name: value for name, value in attrs.items() if value is not None}))
            self.program._mark_role(op)
            op.infer()
        except EnforceNotMet as error:
            raise EnforceNotMet(f"{error}\n{op.describe()}") from None
        for name in op.output_arg_names:
            variable = self._find_var_recursive(name)
            if variable is not None:
                variable.op = op
        self.ops.insert(index, op)
        self.program._changed()
        return op

    def _remove_op(self, index):
        del self.ops[index]
        self.program._changed()

    def _remove_var(self, name):
        del self.vars[name]
        self.program._changed()

    def _rename_var(self, name, new_name):
        variable = self.vars.pop(name)
        variable.name = new_name
        self.vars[new_name] = variable
        for op in self.ops:
            op._rename_input(name, new_name)
            op._rename_output(name, new_name)
        return variable

    def _prune(self, needed, feeds=frozenset()):
        """Keep the operators, and what they name, that compute the variables `needed`, given the `feeds` (sets)."""
        kept = []
        for op in reversed(self.ops):
            if needed.intersection(op.output_arg_names) - feeds:
                needed.update(op.input_arg_names)
                kept.append(op)
                region = operators.find(op.type).region if operators.known(op.type) else None
                if isinstance(region, Region):
                    for block in op.sub_blocks:
                        block._prune(set(region.left(op.outputs, op.attrs)))
        self.ops = kept[::-1]
        used = needed.union(*(op.output_arg_names for op in kept))
        self.vars = {name: v for name, v in self.vars.items() if name in used}

    def _clone_variable(self, variable, force_persistable=True):
        """A Variable like one of another program, in this block."""
        return self.create_var(
            name=variable.name,
            shape=variable._shape,
            dtype=variable._dtype,
            type=variable.type,
            lod_level=variable.lod_level,
            persistable=force_persistable or variable.persistable,
            is_data=variable.is_data,
            need_check_feed=variable.need_check_feed,
        )

    def to_string(self, throw_on_error=False, with_details=False):
        """The block's variables and operators, a line each.

        Args:
            throw_on_error (bool): without effect; kept for Fluid's scripts.
            with_details (bool): with every attribute, default or not, and the user's line of each operator.
        Returns:
            str
        """
        lines = [f"{{ // block {self.idx}"]
        lines += ["    " + v.to_string(throw_on_error, with_details) for v in self.vars.values()]
        part = None
        for op in self.ops:
            role = op.attrs.get(OpRole.attr_name, 0)
            before, part = part, _part(role if isinstance(role, int) else 0)
            if part != before:
                lines += ["", f"    // {part}"]
            code = op.to_string(throw_on_error, False) if with_details else op._code(op._telling_attrs())
            lines.append("    " + code)
        return "\n".join(lines + ["}"])

    __str__ = to_string

    def __repr__(self):
        return self.to_string()


def _part(role):
    """Which part of training an operator with this role belongs to."""
    if role & OpRole.LRSched:
        return "learning rate"
    return "update" if role & OpRole.Optimize else "backward" if role & OpRole.Backward else "forward"


@functools.cache
def _slots(definition):
    """The input slots and the output slots of an operator's definition, by name."""
    return tuple({slot.name: slot for slot in slots} for slots in (definition.inputs, definition.outputs))


def _check_slots(definition, op):
    for given, slots, kind in zip((op.inputs, op.outputs), _slots(definition), ("input", "output"), strict=True):
        for name, values in given.items():
            if name not in slots:
                raise EnforceNotMet(f"it has no {kind} {name!r}, only {list(slots)}")
            if len(values) > 1 and not slots[name].many:
                raise EnforceNotMet(f"its {kind} {name!r} holds one variable, got {values}")
    if isinstance(definition.region, RegionGradient):
        return  # which names the gradients of what a block writes, also those that nobody needs
    for name, values in op.inputs.items():
        for value in values:
            if value != EMPTY and op.block._find_described(value) is None:
                raise EnforceNotMet(f"its input {name!r} names {value!r}, which is no variable of this program")


class Program:
    """A computation: blocks of operators and variables.

    `fluid.default_main_program()` and `fluid.default_startup_program()` are the ones that layers write to; use
    `program_guard` to write to others.  `version` grows with every change, so that prepared plans can be kept.
    """

    _default_seed = 0

    def __init__(self):
        self.blocks = [Block(self, 0)]
        self.current_block_idx = 0
        self.version = 0
        self._seed = self._default_seed
        self._role = OpRole.Forward
        self._role_vars = []
        self._loaders = []  # data loaders that feed this program without being iterated over
        self._stored = None  # the ProgramDesc that it was read from
        self._gradient_passes = 0  # how often gradients were appended

    @property
    def random_seed(self):
        """The seed of every random operator that has none of its own (int).

        Random numbers depend on this seed, on the operator and on the step, so a script gives the same numbers
        whenever it runs; choose another seed to get others.
        """
        return self._seed

    @random_seed.setter
    def random_seed(self, seed):
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
            raise ValueError(f"Program.random_seed must be an integer, got {seed!r}")
        self._seed = int(seed)
        self._changed()

    def global_seed(self, seed=0):
        """Set the `random_seed` of this Program, and of every Program made afterwards.

        Args:
            seed (int): the seed.
        Raises:
            ValueError: seed is no integer.
        """
        self.random_seed = seed
        Program._default_seed = self._seed

    @property
    def num_blocks(self):
        return len(self.blocks)

    def _changed(self):
        self.version += 1

    def global_block(self):
        """The first Block."""
        return self.blocks[0]

    def block(self, index):
        """The Block number `index`."""
        return self.blocks[index]

    def current_block(self):
        """The Block that layers append to."""
        return self.blocks[self.current_block_idx]

    def _create_block(self, parent_idx=None):
        parent = self.current_block_idx if parent_idx is None else parent_idx
        self.blocks.append(Block(self, len(self.blocks), parent))
        self.current_block_idx = len(self.blocks) - 1
        return self.current_block()

    def _rollback(self):
        self.current_block_idx = self.current_block().parent_idx

    def list_vars(self):
        """Iterate over the Variables of all blocks."""
        for block in self.blocks:
            yield from block.vars.values()

    def _all_ops(self):
        """Iterate over the Operators; those of the Blocks that an Operator runs follow it."""
        seen, waiting = {0}, [iter(self.blocks[0].ops)]
        while waiting:
            op = next(waiting[-1], None)
            if op is None:
                waiting.pop()
                continue
            yield op
            inside = [block for block in op.sub_blocks if block.idx not in seen]
            seen.update(block.idx for block in inside)
            waiting += [iter(block.ops) for block in reversed(inside)]

    def all_parameters(self):
        """The Parameters of all blocks."""
        return [v for v in self.list_vars() if isinstance(v, Parameter)]

    def _mark_role(self, op):
        op.attrs.setdefault(OpRole.attr_name, self._role)
        if self._role_vars:
            op.attrs.setdefault(OpRole.var_attr_name, list(self._role_vars))
        if _name_scopes.names:
            op.attrs.setdefault("op_namescope", _name_scopes.path())

    @contextlib.contextmanager
    def _role_guard(self, role, variables=()):
        old = self._role, self._role_vars
        self._role, self._role_vars = role, _names(list(variables))
        try:
            yield
        finally:
            self._role, self._role_vars = old

    def _optimized_guard(self, param_and_grads):
        """Operators appended inside update the given [parameter, gradient]."""
        return self._role_guard(OpRole.Optimize, param_and_grads)

    def _lr_schedule_guard(self, is_with_opt=False):
        """Operators appended inside compute a learning rate."""
        return self._role_guard(OpRole.LRSched | (OpRole.Optimize if is_with_opt else 0))

    def _backward_role_guard(self):
        """Operators appended inside compute gradients."""
        return self._role_guard(OpRole.Backward)

    def clone(self, for_test=False):
        """A copy that shares no Variable with this Program (values live in a Scope and are shared by name).

        Args:
            for_test (bool): drop the gradient and update operators, and switch dropout and batch_norm to inference.
        Returns:
            Program
        """
        copy = Program()
        copy._seed = self._seed
        copy._loaders = list(self._loaders)
        copy._stored = self._stored
        copy._gradient_passes = self._gradient_passes
        copy.blocks = [Block(copy, block.idx, block.parent_idx) for block in self.blocks]
        for source, block in zip(self.blocks, copy.blocks, strict=True):
            block.forward_block_idx, block.stored = source.forward_block_idx, source.stored
            ops = source.ops
            if for_test:
                training = OpRole.Backward | OpRole.Optimize | OpRole.LRSched
                ops = [op for op in ops if not op.attrs.get(OpRole.attr_name, 0) & training]
            used = {name for op in ops for name in op.input_arg_names + op.output_arg_names}
            for variable in source.vars.values():
                if not for_test or variable.name in used or variable.is_data:
                    block.vars[variable.name] = _copied(variable, block)
            for op in ops:
                duplicate = Operator(block, op.type, op.inputs, op.outputs, op.attrs, op.callstack, op.stored)
                duplicate.attrs = _in_program(duplicate.attrs, copy)
                if for_test and "is_test" in duplicate.attrs:
                    duplicate.attrs["is_test"] = True
                block.ops.append(duplicate)
                for name in duplicate.output_arg_names:
                    if name in block.vars:
                        block.vars[name].op = duplicate
        if for_test:
            copy._drop_unused_blocks()
        return copy

    def _prune(self, targets, feeds=()):
        """A copy with only the operators that the `targets` (Variables or names) need, given the `feeds` (names)."""
        copy = self.clone()
        copy.global_block()._prune(set(_names(list(targets))), set(feeds))
        copy._drop_unused_blocks()
        copy._changed()
        return copy

    def _drop_unused_blocks(self):
        """Remove the Blocks that no operator runs, and number the others anew."""
        if len(self.blocks) == 1:
            return
        used = {0, *(block.idx for op in self._all_ops() for block in op.sub_blocks)}
        number = {old: new for new, old in enumerate(sorted(used))}
        self.blocks = [self.blocks[index] for index in number]
        for block in self.blocks:
            block.idx = number[block.idx]
            block.parent_idx = number.get(block.parent_idx, -1)
            block.forward_block_idx = number.get(block.forward_block_idx, -1)

    @property
    def desc(self):
        """The Program as Paddle's message: `desc.serialize_to_string()` is what `__model__` holds."""
        return ProgramDesc(self)

    @staticmethod
    def parse_from_string(binary_str):
        """The Program that a serialised ProgramDesc describes.

        Args:
            binary_str (bytes): as `Program.desc.serialize_to_string()` returns it, here or in Paddle.  Operators that
                fluidlite lacks are kept; running them raises.
        Returns:
            Program: without Parameters (they are persistable Variables) and with `random_seed` as new, since the
            format says neither.
        Raises:
            TypeError: binary_str is no bytes.
            ModelFileError: it is no complete, consistent ProgramDesc; the message gives the offset.
        """
        return serialization.from_bytes(binary_str)

    def to_string(self, throw_on_error=False, with_details=False):
        """The Program as text: each block's variables and operators, a line each.

        Args:
            throw_on_error (bool): without effect; kept for Fluid's scripts.
            with_details (bool): with every attribute, default or not, and the user's line of each operator.
        Returns:
            str
        """
        return "\n".join(block.to_string(throw_on_error, with_details) for block in self.blocks)

    def __str__(self):
        return self.to_string(True)

    def __repr__(self):
        return f"<Program of {sum(len(block.ops) for block in self.blocks)} operators>"

    def _repr_svg_(self):
        """The picture of its layers, for Jupyter; None where it cannot be drawn, and Jupyter shows the text."""
        return pictures.as_svg(self)


def _copied(variable, block):
    copy = object.__new__(type(variable))
    copy.__dict__.update(variable.__dict__)
    copy.block = block
    copy.op = None
    return copy


class ProgramDesc:
    """What Fluid's scripts find as `Program.desc`."""

    def __init__(self, program):
        self._program = program

    def serialize_to_string(self):
        """The Program as a serialised ProgramDesc (bytes), which Paddle reads as well.

        Raises:
            ValueError: an attribute's value does not fit its type.
        """
        return serialization.to_bytes(self._program)

    def num_blocks(self):
        return self._program.num_blocks


class _NameScopes:
    """The stack of `name_scope`s; a name used twice at one level gets a number."""

    def __init__(self):
        self.names = []
        self.used = [{}]

    def path(self):
        return "/" + "".join(name + "/" for name in self.names)

    def enter(self, prefix):
        counts = self.used[-1]
        number = counts.get(prefix, 0)
        counts[prefix] = number + 1
        self.names.append(prefix if number == 0 else f"{prefix}_{number}")
        self.used.append({})

    def leave(self):
        self.names.pop()
        self.used.pop()


_name_scopes = _NameScopes()


@contextlib.contextmanager
def name_scope(prefix=None):
    """Group the operators that are created inside a `with` block, for debugging and drawing.

    Args:
        prefix (str): the name of the group; groups nest.
    """
    if not isinstance(prefix, str) or not prefix:
        raise TypeError(f"name_scope needs a non-empty string, got {prefix!r}")
    _name_scopes.enter(prefix)
    try:
        yield
    finally:
        _name_scopes.leave()


_main_program = Program()
_startup_program = Program()


def default_main_program():
    """The Program that layers append to."""
    return _main_program


def default_startup_program():
    """The Program that initialises parameters; run it once before the main program."""
    return _startup_program


def switch_main_program(program):
    """Make `program` the default main program; returns the old one."""
    global _main_program
    old, _main_program = _main_program, program
    return old


def switch_startup_program(program):
    """Make `program` the default startup program; returns the old one."""
    global _startup_program
    old, _startup_program = _startup_program, program
    return old


@contextlib.contextmanager
def program_guard(main_program, startup_program=None):
    """Let layers write to other Programs inside a `with` block.

    Args:
        main_program (Program): receives the operators of layers.
        startup_program (Program): receives the initialisers of parameters; None leaves the default one.
    """
    for argument, program in (("main_program", main_program), ("startup_program", startup_program)):
        if not isinstance(program, Program) and not (program is None and argument == "startup_program"):
            raise TypeError(f"{argument} of program_guard must be a Program, got {program!r}")
    old_main = switch_main_program(main_program)
    old_startup = switch_startup_program(startup_program) if startup_program is not None else None
    try:
        yield
    finally:
        switch_main_program(old_main)
        if old_startup is not None:
            switch_startup_program(old_startup)


@contextlib.contextmanager
def device_guard(device=None):
    """Accepted for Fluid's sake, without effect: a Program runs where its Executor's place says.

    Args:
        device: None, "cpu" or "gpu" (with an optional ":index"); anything else raises ValueError.
    """
    if device is not None and device.split(":")[0] not in ("cpu", "gpu"):
        raise ValueError(f"device_guard knows 'cpu', 'gpu' or None, got {device!r}")
    yield
