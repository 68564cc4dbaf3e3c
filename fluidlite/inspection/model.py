"""What a saved model holds, found without reading all values: its Program, parameters and the state of its files."""

import functools
import math
import os
from dataclasses import dataclass, field

from ..core import operators
from ..core.dtypes import dtype_name, numpy_dtype
from ..fluid.messages import did_you_mean
from ..fluid.serialize import feeds_and_fetches, from_bytes, missing_operators
from ..proto.files import ModelFileError, reading
from ..proto.pickles import read_state
from ..proto.tensor import read_header
from .layers import is_parameter, layers, role
from .text import counted

_MODEL = "__model__"
# What fluid.save appends to a prefix, and the combined parameters of the Paddle that followed.
_PROGRAM, _PICKLES, _COMBINED = ".pdmodel", (".pdparams", ".pdopt"), ".pdiparams"
_TENSOR, _PICKLE = b"\0", b"\x80"  # how files begin: with a tensor's version, a pickle's protocol
_STEP = "@RANDOM_STEP@"  # what fluidlite saves beside the variables: see fluid/io.py


@dataclass
class Stored:
    """An array in a file: its name (None where the file says none and no Program tells), shape, dtype and bytes."""

    name: str | None
    file: str
    shape: tuple
    dtype: str
    bytes: int


@dataclass
class Model:
    """What was found.

    Attributes:
        path (str): what was asked for.
        program (Program): None where there are only parameters; `program_file` is its path.
        version (int): of the Paddle that wrote the Program, as its message says it; 0 if it does not.
        inputs, outputs (list of Variable): what to feed and to fetch.
        layers (list of Layer): see `fluidlite.inspection.layers`.
        operators (dict): type -> number of operators.
        roles (dict): 'forward', 'backward' or 'optimize' -> number of operators.
        lacking (list of str): what fluidlite has no operator for.
        declared (dict): name -> Variable that must have a stored value.
        stored (list of Stored): what the parameter files hold.
        files (dict): path -> bytes of every file of the model.
        params_file (str): where one file for all parameters was found without being named.
        missing (list of str): the variables for which no file holds a value.
        surplus, different, damaged (list of str): what else is wrong with the files.
        unread (set of str): the variables of the damaged files.
    """

    path: str
    program: object = None
    program_file: str | None = None
    version: int = 0
    inputs: list = field(default_factory=list)
    outputs: list = field(default_factory=list)
    layers: list = field(default_factory=list)
    operators: dict = field(default_factory=dict)
    roles: dict = field(default_factory=dict)
    lacking: list = field(default_factory=list)
    declared: dict = field(default_factory=dict)
    stored: list = field(default_factory=list)
    files: dict = field(default_factory=dict)
    params_file: str | None = None
    missing: list = field(default_factory=list)
    surplus: list = field(default_factory=list)
    different: list = field(default_factory=list)
    damaged: list = field(default_factory=list)
    unread: set = field(default_factory=set)

    @property
    def loads(self):
        """Whether fluidlite can load and run it."""
        return not (self.lacking or self.missing or self.different or self.damaged)

    @property
    def parameters(self):
        """The names of the variables that the layers read and do not change."""
        return [name for name, statistic in self._read_by_layers.items() if not statistic]

    @property
    def statistics(self):
        """The names of the variables that the layers read and change: running means."""
        return [name for name, statistic in self._read_by_layers.items() if statistic]

    @property
    def other_state(self):
        """The names of the other variables that have values, such as an optimizer's."""
        names = [*self.declared, *self.by_name]
        return list(dict.fromkeys(name for name in names if name not in self._read_by_layers))

    @functools.cached_property
    def _read_by_layers(self):
        return {v.name: v.name in layer.statistics for layer in self.layers for v in layer.parameters}

    @functools.cached_property
    def by_name(self):
        """name -> Stored."""
        return {item.name if item.name is not None else index: item for index, item in enumerate(self.stored)}

    def count(self, variable):
        """How many numbers a Variable holds; those of unknown size, as its file says."""
        return self.extent(variable.name)[1]

    def extent(self, name):
        """(dtype, numbers, bytes) of a value: as declared, or as stored where the size is not declared."""
        variable, item = self.declared.get(name), self.by_name.get(name)
        if variable is None or min(variable.shape, default=0) < 0:
            if item is None:
                return dtype_name(variable.dtype), 0, 0
            return item.dtype, math.prod(item.shape), item.bytes
        count = math.prod(variable.shape)
        dtype = dtype_name(variable.dtype)
        return dtype, count, count * itemsize(variable.dtype)


def read_model(path, model_filename=None, params_filename=None):
    """Find out what a model holds.

    Args:
        path (str): a folder that save_inference_model, save_params, save_persistables or save_vars wrote; a file of
            such a folder; or the prefix given to fluid.save.
        model_filename, params_filename (str): as given to `save_inference_model`; None: found by their usual names.
    Returns:
        Model
    Raises:
        ModelFileError: there is nothing to read, the Program's file is damaged, or it is no file of a model.
    """
    model = Model(path)
    if os.path.isdir(path):
        with reading(path) as folder:
            _read_folder(model, folder, model_filename, params_filename)
        return model
    parent, name = os.path.split(path)
    parent = parent or os.curdir
    if not os.path.isdir(parent):
        raise ModelFileError(f"there is no file or folder {path}")
    with reading(parent) as folder:
        prefix = _prefix(folder, name)
        if prefix is not None:
            _read_prefix(model, folder, prefix, params_filename)
        elif os.path.lexists(path):
            _read_file(model, folder, name, params_filename)
        else:
            raise ModelFileError(f"there is no file or folder {path}{did_you_mean(name, _names(parent))}")
    return model


def _prefix(folder, name):
    """The prefix of the files of fluid.save that `name` stands for, or None."""
    ends = (_PROGRAM, *_PICKLES, _COMBINED)
    for end in ends:
        if name.endswith(end):
            return name.removesuffix(end)
    return name if name and any(folder.has(name + end) for end in ends) else None


def _read_folder(model, folder, model_filename, params_filename):
    names = _names(folder.path)
    if model_filename is not None and not folder.has(model_filename):
        raise ModelFileError(f"{folder.path} has no file {model_filename}{did_you_mean(model_filename, names)}")
    if model_filename is not None or _MODEL in names:
        _read_program(model, folder, model_filename or _MODEL)
        _read_parameters(model, folder, params_filename)
        return
    programs = [name for name in names if name.endswith(_PROGRAM)]
    if len(programs) == 1:
        _read_prefix(model, folder, programs[0].removesuffix(_PROGRAM), params_filename)
        return
    if params_filename is not None:
        _read_tensors(model, folder, params_filename)
        return
    starts = {name: _start(folder, name) for name in names if folder.has(name)}
    tensors = [name for name, start in starts.items() if start == _TENSOR]
    others = [name for name, start in starts.items() if start not in (_TENSOR, _PICKLE)]
    if len(others) == 1 and _is_program(folder, others[0]):
        _read_program(model, folder, others[0])
        _read_parameters(model, folder, None)
        return
    for name in tensors:
        _read_tensors(model, folder, name)
    if not tensors:
        found = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "") if names else "nothing"
        raise ModelFileError(
            f"{folder.path} has no file {_MODEL} and no files of parameters; it holds {found} "
            "(--model-filename names the program's file)"
        )


def _read_file(model, folder, name, params_filename):
    start = _start(folder, name)
    if start == _TENSOR:
        _read_tensors(model, folder, name)
    elif start == _PICKLE:
        _read_pickle(model, folder, name)
    else:
        _read_program(model, folder, name)
        if params_filename is not None or any(_has(folder, parameter) for parameter in model.declared):
            _read_parameters(model, folder, params_filename)
        else:  # a program by itself
            model.missing = sorted(model.declared)


def _read_prefix(model, folder, prefix, params_filename):
    if folder.has(prefix + _PROGRAM):
        _read_program(model, folder, prefix + _PROGRAM)
    combined = params_filename or prefix + _COMBINED
    if params_filename is not None or folder.has(combined):
        _read_tensors(model, folder, combined, sorted(model.declared) if model.program is not None else None)
    else:
        for end in _PICKLES:
            if folder.has(prefix + end):
                _read_pickle(model, folder, prefix + end)
    if not model.files:
        raise ModelFileError(f"there is no file {os.path.join(folder.path, prefix)}{_PROGRAM} or {_PICKLES[0]}")
    if model.program is not None:
        _compare(model)


def _read_program(model, folder, name):
    with folder.open(name) as source:
        path = source.path
        model.files[path] = source.size
        program = from_bytes(source.take(source.size, "the program"), path)
    model.program_file = path
    model.version = _version(program)
    _describe(model, program)


def model_of(program, path):
    """The Model of a Program without files, such as the one that the script `path` builds."""
    model = Model(path)
    _describe(model, program)
    return model


def _describe(model, program):
    model.program = program
    model.layers = layers(program)
    model.lacking = missing_operators(program)
    for block in program.blocks:
        for op in block.ops:
            if not operators.is_left_out(op.type):
                model.operators[op.type] = model.operators.get(op.type, 0) + 1
                model.roles[role(op)] = model.roles.get(role(op), 0) + 1
    model.declared = {v.name: v for v in program.list_vars() if is_parameter(v)}
    variables = program.global_block().vars
    feeds, fetches = feeds_and_fetches(program)
    model.inputs = [variables[name] for name in feeds if name in variables]
    model.outputs = [variables[name] for name in fetches if name in variables]
    model.different += [
        f"{model.program_file} feeds or fetches the variable {name!r}, which it does not declare"
        for name in [*feeds, *fetches]
        if name not in variables
    ]
    if not feeds and not fetches:  # a training program
        written = {name for block in program.blocks for op in block.ops for name in op.output_arg_names}
        read = dict.fromkeys(name for block in program.blocks for op in block.ops for name in op.input_arg_names)
        needed = [variables[name] for name in read if name in variables and name not in written]
        model.inputs = [v for v in needed if not v.persistable]
        ends = {v.name: v for layer in model.layers for v in layer.outputs if not v.persistable}
        model.outputs = [v for name, v in ends.items() if name not in read]


def _version(program):
    stored = program._stored
    return stored.version.version if stored is not None else 0


def _read_parameters(model, folder, params_filename):
    """The parameters of a folder with a Program: a file each, or the file that holds all of them."""
    names = sorted(model.declared)
    if params_filename is not None:
        _read_tensors(model, folder, params_filename, names)
    else:
        own = [name for name in names if _has(folder, name)]
        parts = {name.partition("/")[0] for name in own}
        others = [name for name in _names(folder.path) if name not in parts and folder.has(name)]
        others = [name for name in others if os.path.join(folder.path, name) not in model.files]
        tensors = [name for name in others if _start(folder, name) == _TENSOR] if names and not own else []
        if len(tensors) == 1:
            model.params_file = os.path.join(folder.path, tensors[0])
            _read_tensors(model, folder, tensors[0], names)
            others.remove(tensors[0])
        for name in own:
            _read_tensors(model, folder, name, [name])
        model.surplus += [
            f"{os.path.join(folder.path, name)} belongs to no variable of the program"
            for name in others
            if not name.endswith(_STEP)
        ]
    _compare(model)


def _compare(model):
    """Note what the Program declares and the files do not hold, or hold otherwise."""
    found = {item.name: item for item in model.stored}
    for name, variable in sorted(model.declared.items()):
        item = found.pop(name, None)
        if item is None:
            if name not in model.unread:
                model.missing.append(name)
            continue
        # A variable may be declared without a shape or a data type.
        shape = item.shape if variable._shape is None else variable.shape
        dtype = item.dtype if variable._dtype is None else dtype_name(variable.dtype)
        fits = len(shape) == len(item.shape) and all(a in (-1, b) for a, b in zip(shape, item.shape, strict=True))
        if not fits or dtype != item.dtype:
            model.different.append(
                f"{item.file} holds {name} as {item.dtype} {list(item.shape)}, and the program declares "
                f"{dtype} {list(shape)}"
            )
    model.surplus += [
        f"{item.file} holds {name}, which the program does not declare" for name, item in found.items() if name != _STEP
    ]


def _read_tensors(model, folder, file, names=None):
    """Note the tensors of a file, which hold the variables `names` in this order; None: what it holds is not known."""
    left = list(names or ())[::-1]
    first = len(model.stored)
    try:
        with folder.open(file) as source:
            path = source.path
            model.files[path] = source.size
            while source.left and (left or names is None):
                header = read_header(source)
                source.seek(source.offset + header.nbytes)
                name = left.pop() if left else None
                model.stored.append(Stored(name, path, header.shape, header.dtype.name, header.nbytes))
            if source.left:
                number = counted(len(names), "variable")
                model.different.append(f"{path} goes on behind the {number} of the program: {source.left:,} bytes")
    except ModelFileError as error:
        model.damaged.append(str(error))
        model.unread.update(left)
    if names is None and len(model.stored) == first + 1:  # a file of its own bears the variable's name
        model.stored[first].name = file


def _read_pickle(model, folder, file):
    """Note the arrays of a file of fluid.save."""
    try:
        with folder.open(file) as source:
            path = source.path
            model.files[path] = source.size
            arrays = read_state(source)
    except ModelFileError as error:
        model.damaged.append(str(error))
        model.unread.update(model.declared)
        return
    for name, value in arrays.items():
        if hasattr(value, "dtype"):
            model.stored.append(Stored(str(name), path, value.shape, value.dtype.name, value.nbytes))


def itemsize(dtype):
    """The bytes of an element; 0 where arrays cannot have this type."""
    try:
        return numpy_dtype(dtype).itemsize
    except TypeError:
        return 0


def _names(folder):
    """The names in a folder, without those of a save that goes on there."""
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith(".fluidlite-"))
    except OSError as error:
        raise ModelFileError(f"cannot read {folder}: {error.strerror}") from None


def _has(folder, name):
    """Whether a folder has a file for the variable `name`, whatever that is."""
    try:
        return folder.has(name)
    except ModelFileError:  # no name of a file
        return False


def _start(folder, name):
    """The first byte of a file, which tells what it is: a Program starts with neither `_TENSOR` nor `_PICKLE`."""
    with folder.open(name) as source:
        return source.take(min(1, source.left), "the first byte")


def _is_program(folder, name):
    try:
        with folder.open(name) as source:
            from_bytes(source.take(source.size, "the program"))
    except ModelFileError:
        return False
    return True
