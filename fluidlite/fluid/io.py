"""Saving and loading models, parameters and checkpoints; readers under their Fluid names."""

import contextlib
import io
import os
import warnings

import numpy as np

from ..core.dtypes import VarType, dtype_name, var_type
from ..engine.arrays import host
from ..proto import pickles, tensor
from ..proto.files import ModelFileError, Source, reading, save_files
from ..reader import (
    ComposeNotAligned,
    batch,
    buffered,
    cache,
    chain,
    compose,
    firstn,
    map_readers,
    multiprocess_reader,
    shuffle,
    xmap_readers,
)
from . import framework, unique_name
from .compiler import CompiledProgram
from .executor import Executor, global_scope
from .framework import Parameter, Program, Variable
from .messages import described, did_you_mean
from .reader import DataLoader, PyReader

__all__ = [
    "save_vars",
    "save_params",
    "save_persistables",
    "load_vars",
    "load_params",
    "load_persistables",
    "save_inference_model",
    "load_inference_model",
    "save",
    "load",
    "load_program_state",
    "set_program_state",
    "get_program_parameter",
    "get_program_persistable_vars",
    "ModelFileError",
    "PyReader",
    "DataLoader",
    "batch",
    "cache",
    "map_readers",
    "buffered",
    "compose",
    "chain",
    "shuffle",
    "ComposeNotAligned",
    "firstn",
    "xmap_readers",
    "multiprocess_reader",
]

_MODEL = "__model__"
_COPY = "save_infer_model/scale_"  # what Paddle calls the copies of a saved model's outputs
# Saved beside the variables: how many random steps were taken, so that a resumed run draws the numbers that follow.
# Paddle takes it for a variable that no Program asks for.
_STEP = "@RANDOM_STEP@"


def is_parameter(var):
    """Whether a Variable is a Parameter."""
    return isinstance(var, Parameter)


def is_persistable(var):
    """Whether a Variable's value outlives a run."""
    return var.persistable and var.type == VarType.LOD_TENSOR


def is_belong_to_optimizer(var):
    """Whether a Variable belongs to the state of training beside the Parameters."""
    return is_persistable(var) and not is_parameter(var) and not var.need_check_feed


def get_program_parameter(program):
    """The Parameters of a Program.

    Args:
        program (Program): None for the default main program.
    Returns:
        list of Parameters.
    """
    return [v for v in _program(program).list_vars() if is_parameter(v)]


def get_program_persistable_vars(program):
    """The persistable Variables of a Program: parameters, optimizer state and statistics.

    Args:
        program (Program): None for the default main program.
    Returns:
        list of Variables.
    """
    return [v for v in _program(program).list_vars() if is_persistable(v)]


def get_parameter_value(para, executor):
    """The value of a Parameter in the global scope.

    Args:
        para (Parameter): which one.
        executor (Executor): kept for Fluid's scripts.
    Returns:
        numpy.ndarray
    Raises:
        TypeError: para is no Parameter.
        ValueError: it has no value.
    """
    _check_executor("get_parameter_value", executor)
    if not is_parameter(para):
        raise TypeError(f"get_parameter_value needs a Parameter, got {described(para)}")
    return np.array(_value(para))


def get_parameter_value_by_name(name, executor, program=None):
    """The value of the Parameter `name` in the global scope.

    Args:
        name (str): of the Parameter.
        executor (Executor): kept for Fluid's scripts.
        program (Program): whose Parameter; None for the default main program.
    Returns:
        numpy.ndarray
    Raises:
        TypeError: the variable is no Parameter.
        ValueError: there is no such variable, or it has no value.
    """
    return get_parameter_value(_program(program).global_block().var(name), executor)


def save_vars(executor, dirname, main_program=None, vars=None, predicate=None, filename=None):
    """Save the values of variables, from the global scope.

    The files are Paddle's.  A save that is interrupted leaves the folder's former files as they were.

    Args:
        executor (Executor): kept for Fluid's scripts.
        dirname (str): the folder; it is created.  None, without a filename, to get the bytes instead.
        main_program (Program): whose variables; None for the default one.
        vars (list): Variables to save; None for those that `predicate` accepts.
        predicate (callable): predicate(Variable) -> bool; None accepts all.
        filename (str): one file for all variables; None for a file each, called by the variable's name.
    Returns:
        bytes: what the one file would hold, if dirname is None; else None.
    Raises:
        TypeError: a wrong argument.
        ValueError: a variable has no value.
        ModelFileError: the names of variables cannot be those of files.
        OSError: the files cannot be written; none is changed then.
    """
    _check_executor("save_vars", executor)
    return _save(dirname, filename, _chosen(main_program, vars, predicate))


def save_params(executor, dirname, main_program=None, filename=None):
    """Save the Parameters of a Program, from the global scope.

    Args:
        executor (Executor): kept for Fluid's scripts.
        dirname (str): the folder; it is created.  None, without a filename, to get the bytes instead.
        main_program (Program): whose variables; None for the default one.
        filename (str): one file for all variables; None for a file each, called by the variable's name.
    Returns:
        bytes: what the one file would hold, if dirname is None; else None.
    Raises:
        as `save_vars`.
    """
    return save_vars(executor, dirname, main_program, None, is_parameter, filename)


def save_persistables(executor, dirname, main_program=None, filename=None):
    """Save all persistable variables of a Program, from the global scope: parameters, optimizer state and statistics.

    With `load_persistables`, training goes on as if it had not been interrupted: the number of random steps that were
    taken is saved, too, in a file of its own (not if dirname is None).

    Args:
        executor (Executor): kept for Fluid's scripts.
        dirname (str): the folder; it is created.  None, without a filename, to get the bytes instead.
        main_program (Program): whose variables; None for the default one.
        filename (str): one file for all variables; None for a file each, called by the variable's name.
    Returns:
        bytes: what the one file would hold, if dirname is None; else None.
    Raises:
        as `save_vars`.
    """
    _check_executor("save_persistables", executor)
    return _save(dirname, filename, _chosen(main_program, None, is_persistable), with_step=True)


def load_vars(executor, dirname, main_program=None, vars=None, predicate=None, filename=None):
    """Load values that `save_vars` saved, here or in Paddle, into the global scope.

    Args:
        executor (Executor): kept for Fluid's scripts.
        dirname (str): the folder.
        main_program (Program): whose variables; None for the default one.
        vars (list): Variables to load; None for those that `predicate` accepts.
        predicate (callable): predicate(Variable) -> bool; None accepts all.
        filename (str): the one file that holds these variables and no others; None for a file each.  If dirname is
            None, the bytes of such a file.
    Raises:
        TypeError: a wrong argument.
        ModelFileError: a file is missing, damaged, lacks a variable, or holds a value of another shape or dtype.
            No variable is changed then; for that, all values are held in memory beside the former ones.
    """
    _check_executor("load_vars", executor)
    _load(dirname, filename, _chosen(main_program, vars, predicate))


def load_params(executor, dirname, main_program=None, filename=None):
    """Load the Parameters of a Program, which `save_params` saved, here or in Paddle, into the global scope.

    Args:
        executor (Executor): kept for Fluid's scripts.
        dirname (str): the folder.
        main_program (Program): whose variables; None for the default one.
        filename (str): the one file that holds all variables, or its bytes; see `load_vars`.
    Raises:
        as `load_vars`.
    """
    load_vars(executor, dirname, main_program, None, is_parameter, filename)


def load_persistables(executor, dirname, main_program=None, filename=None):
    """Load all persistable variables of a Program, which `save_persistables` saved, here or in Paddle.

    They go to the global scope.  Random numbers go on where they were, if fluidlite saved the files.

    Args:
        executor (Executor): kept for Fluid's scripts.
        dirname (str): the folder.
        main_program (Program): whose variables; None for the default one.
        filename (str): the one file that holds all variables, or its bytes; see `load_vars`.
    Raises:
        as `load_vars`.
    """
    _check_executor("load_persistables", executor)
    _load(dirname, filename, _chosen(main_program, None, is_persistable), with_step=True)


def save_inference_model(
    dirname,
    feeded_var_names,
    target_vars,
    executor,
    main_program=None,
    model_filename=None,
    params_filename=None,
    export_for_deployment=True,
    program_only=False,
):
    """Save what is needed to compute `target_vars` from the fed variables: the pruned Program and its parameters.

    As in Paddle, the outputs are saved under the names of copies, "save_infer_model/scale_0.tmp_0" and so on (except
    those of bool, which Paddle cannot save); unlike there, `main_program` is left as it is.

    Args:
        dirname (str): the folder; it is created.
        feeded_var_names (list of str): names of the inputs.
        target_vars (list of Variable): the outputs.
        executor (Executor): kept for Fluid's scripts.
        main_program (Program): None for the default one; an optimizer in it is left out.
        model_filename (str): the Program's file; None for "__model__".  A folder in it is ignored, as in Paddle.
        params_filename (str): one file for all parameters, likewise; None for a file each.
        export_for_deployment (bool): False to save the whole Program, with its optimizer, and all its persistable
            variables; ".main_program" is then appended to the Program's file.
        program_only (bool): save no parameters.
    Returns:
        list of str: the names of the outputs.
    Raises:
        TypeError, ValueError: a wrong argument, an unknown name, an output that needs a variable that is not fed,
            or a parameter without a value.
        OSError: the files cannot be written; none is changed then.
    """
    if isinstance(feeded_var_names, str):
        feeded_var_names = [feeded_var_names]
    if not isinstance(feeded_var_names, (list, tuple)) or not all(isinstance(n, str) for n in feeded_var_names):
        raise TypeError(
            f"save_inference_model: feeded_var_names must be a list of names, got {described(feeded_var_names)}"
        )
    if isinstance(target_vars, Variable):
        target_vars = [target_vars]
    if not isinstance(target_vars, (list, tuple)) or not all(isinstance(v, Variable) for v in target_vars):
        raise TypeError(f"save_inference_model: target_vars must be a list of Variables, got {described(target_vars)}")
    if not target_vars:
        raise ValueError("save_inference_model: target_vars is empty, so there is nothing to save")
    _check_executor("save_inference_model", executor)
    from .serialize import add_feeds_and_fetches

    main = _program(main_program)
    for variable in target_vars:
        if not main.global_block().has_var(variable.name):
            raise ValueError(f"save_inference_model: the target {variable.name} is not part of the program")
    if export_for_deployment:
        program = _pruned(main, list(feeded_var_names), [v.name for v in target_vars])
        names = _copy_targets(program, target_vars)
        add_feeds_and_fetches(program, list(feeded_var_names), names)
    else:
        program = main.clone()
        names = _copy_targets(program, target_vars)
    model = os.path.basename(model_filename or _MODEL) + ("" if export_for_deployment else ".main_program")
    variables = [] if program_only else [v for v in program.list_vars() if is_persistable(v)]
    files = _value_files(variables, params_filename and os.path.basename(params_filename))
    if model in files:
        raise ValueError(f"save_inference_model: the program and values would both be saved as {model!r}")
    save_files(dirname, {model: [program.desc.serialize_to_string()], **files})
    return names


def _pruned(main, feeds, targets):
    """The part of a Program that computes the targets from the feeds."""
    program = main.clone(for_test=True)
    block = program.global_block()
    # A Program that was loaded says already what to feed and to fetch.
    block.ops = [op for op in block.ops if op.type not in ("feed", "fetch")]
    pruned = program._prune(targets, feeds)
    _check_inputs(main, pruned, feeds, targets)
    variables = pruned.global_block().vars
    for name in [*feeds, *targets]:
        if name not in variables:
            pruned.global_block()._clone_variable(main.global_block().var(name), False)
    return pruned


def _copy_targets(program, targets):
    """Append a copy of each target, which is what Paddle fetches; returns their names.

    The outputs of a model that was loaded are such copies.
    """
    block, names = program.global_block(), []
    for number, target in enumerate(targets):
        name = target.name
        if target.dtype != VarType.BOOL and not name.startswith(_COPY):
            name = unique_name.generate(f"{_COPY}{number}.tmp")
            block.create_var(name=name, dtype=target.dtype, lod_level=target.lod_level)
            attrs = {"scale": 1.0, "bias": 0.0, "bias_after_scale": True}
            block.append_op("scale", {"X": target.name}, {"Out": name}, attrs)
        names.append(name)
    return names


def _check_inputs(main, pruned, feeds, targets):
    block = main.global_block()
    for name in feeds:
        if not block.has_var(name):
            raise ValueError(
                f"save_inference_model: there is no variable {name!r} to feed{did_you_mean(name, block.vars)}"
            )
    known = set(feeds)
    for op in pruned.global_block().ops:
        for name in op.input_arg_names:
            if name not in known and not pruned.global_block().var(name).persistable:
                raise ValueError(
                    f"save_inference_model: the targets need the variable {name!r}, which is not in feeded_var_names "
                    f"{list(feeds)}\n{op.describe()}"
                )
        known.update(op.output_arg_names)
    for name in targets:
        if name not in known and not block.var(name).persistable:
            raise ValueError(
                f"save_inference_model: the target {name} is neither fed nor computed (the operators of gradients and "
                "updates are left out)"
            )


def load_inference_model(dirname, executor, model_filename=None, params_filename=None, pserver_endpoints=None):
    """Load what `save_inference_model` saved, here or in Paddle; the parameters go to the global scope.

    Args:
        dirname (str): the folder.  None if the next two are the contents of the files (bytes).
        executor (Executor): kept for Fluid's scripts.
        model_filename (str or bytes): the Program's file; None for "__model__".
        params_filename (str or bytes): the file that holds all parameters; None if each has one of its own.
        pserver_endpoints (list of str): without effect: a Program that looks rows up on parameter servers is refused.
    Returns:
        [Program, names to feed (list of str), Variables to fetch (list)].
    Raises:
        TypeError: a wrong argument.
        ModelFileError: a file is missing or damaged, or the Program uses operators that fluidlite lacks; the message
            lists them all.
    """
    from .serialize import feeds_and_fetches, from_bytes, missing_operators

    _check_executor("load_inference_model", executor)
    if dirname is not None:
        model_filename = os.path.basename(model_filename or _MODEL)
        params_filename = params_filename and os.path.basename(params_filename)
    with _opened(dirname) as folder:
        if dirname is not None and not folder.has(model_filename):
            files = ", ".join(folder.names()[:5]) or "nothing"
            raise ModelFileError(
                f"there is no model file {os.path.join(dirname, model_filename)}; the folder holds {files} "
                "(model_filename names the model)"
            )
        with folder.open(model_filename) as source:
            path = source.path
            program = from_bytes(source.take(source.size, "the program"), path)
        missing = missing_operators(program)
        if missing:
            raise ModelFileError(f"{path} uses operators that fluidlite lacks: {', '.join(missing)}")
        block = program.global_block()
        feeds, fetches = feeds_and_fetches(program)
        for name in [*feeds, *fetches]:
            if not block.has_var(name):
                raise ModelFileError(f"{path} feeds or fetches the variable {name!r}, which it does not describe")
        values = _read_values(folder, params_filename, {v.name: v for v in program.list_vars() if is_persistable(v)})
    _assign(values)
    return [program, feeds, [block.var(name) for name in fetches]]


def save(program, model_path):
    """Save a Program and its values: `model_path`.pdparams (parameters), .pdopt (the rest of the state), .pdmodel.

    Args:
        program (Program): its persistable variables are saved from the global scope.
        model_path (str): folder and prefix of the files' names.
    Raises:
        ValueError: model_path has no prefix, or a variable has no value.
        OSError: the files cannot be written; none is changed then.
    """
    program = _program(program)
    folder, prefix = os.path.split(model_path)
    if not prefix:
        raise ValueError(f"save: model_path must end with a prefix for the files' names, got {model_path!r}")
    parameters = {v.name: host(_value(v).array) for v in program.list_vars() if is_parameter(v)}
    others = {v.name: host(_value(v).array) for v in program.list_vars() if is_belong_to_optimizer(v)}
    others[_STEP] = np.array([global_scope().step], np.int64)
    save_files(
        folder or os.curdir,
        {
            prefix + ".pdparams": pickles.pack(parameters),
            prefix + ".pdopt": pickles.pack(others),
            prefix + ".pdmodel": [program.desc.serialize_to_string()],
        },
    )


def load(program, model_path, executor=None, var_list=None):
    """Load values into the global scope, from files that fluidlite or Paddle saved.

    Args:
        program (Program): whose variables to load.
        model_path (str): as given to `save`; or a folder or a file that `save_persistables` and the like made.
        executor (Executor): kept for Fluid's scripts.
        var_list (list of Variable): load only these; needed for a file, which does not say what it holds.
    Raises:
        TypeError, ValueError: a wrong argument.
        LookupError: a variable of var_list is not in the Program.
        ModelFileError: a file is missing or damaged, or lacks a variable.  No variable is changed then.
    """
    if executor is not None:
        _check_executor("load", executor)
    program = _program(program)
    known = {v.name for v in program.list_vars()}
    for variable in var_list or ():
        if variable.name not in known:
            raise LookupError(f"load: the variable {variable.name} of var_list is not in the program")
    form, folder, name = _saved_as(model_path)
    if form == "file" and var_list is None:
        raise ValueError(f"load: var_list must say which variables the file {model_path} holds")
    chosen = get_program_persistable_vars(program) if var_list is None else list(var_list)
    if form == "state":
        with reading(folder) as files:
            state = _read_state(files, name)
        _assign_state(chosen, state, os.path.join(folder, name), with_step=var_list is None)
        return
    if form == "folder" and var_list is None:
        with reading(folder) as files:
            names = set(files.names())
        chosen = [v for v in chosen if v.name in names]
        unused = sorted(names.difference([_STEP], (v.name for v in chosen)))
        if unused:
            states = [name for name in unused if name.endswith(".pdparams")]
            hint = f"; load {os.path.join(folder, states[0].removesuffix('.pdparams'))!r} instead" if states else ""
            warnings.warn(f"load: the program has no variables for the files {unused} of {folder}{hint}", stacklevel=2)
    _load(folder, name, chosen, with_step=var_list is None)


def load_program_state(model_path, var_list=None):
    """The values in files that fluidlite or Paddle saved, by name.

    Args:
        model_path (str): as given to `save`; or a folder or a file that `save_persistables` and the like made.
        var_list (list of Variable): return only these; needed for a file, which does not say what it holds.
    Returns:
        dict: variable name -> numpy.ndarray.  What is saved beside the variables is in it, too: fluidlite's
            "@RANDOM_STEP@", the "LR_Scheduler" of Paddle 2.
    Raises:
        ValueError: var_list is missing.
        ModelFileError: a file is missing or damaged, or lacks a variable.
    """
    form, folder, name = _saved_as(model_path)
    with reading(folder) as files:
        if form == "state":
            state = _read_state(files, name)
            names = state if var_list is None else [v.name for v in var_list]
            missing = [wanted for wanted in names if wanted not in state]
            if missing:
                raise ModelFileError(f"{os.path.join(folder, name)}.pdparams and .pdopt lack {', '.join(missing)}")
            return {wanted: state[wanted] for wanted in names}
        if var_list is not None:
            wanted = {v.name: v for v in var_list}
        elif form == "folder":
            wanted = dict.fromkeys(file for file in files.names() if file != _MODEL)
        else:
            raise ValueError(f"load_program_state: var_list must say which variables the file {model_path} holds")
        return {variable: array for variable, (array, _) in _read_values(files, name, wanted).items()}


def set_program_state(program, state_dict):
    """Set persistable variables of a Program, in the global scope.

    Args:
        program (Program): whose variables to set.
        state_dict (dict): variable name -> array, such as `load_program_state` returns.  A warning lists the names
            that the Program does not have.
    Raises:
        ModelFileError: an array does not fit its variable; none is set then.
    """
    variables = {v.name: v for v in get_program_persistable_vars(program)}
    unused = [name for name in state_dict if name not in variables and name != _STEP]
    chosen = [v for name, v in variables.items() if name in state_dict]
    _assign_state(chosen, state_dict, "the given state", with_step=True)
    if unused:
        warnings.warn(f"set_program_state: the program has no variables {unused}", stacklevel=2)


def _program(program):
    program = framework.default_main_program() if program is None else program
    if isinstance(program, CompiledProgram):
        program = program._program
    if not isinstance(program, Program):
        raise TypeError(f"expected a Program, got {type(program).__name__}")
    return program


def _check_executor(function, executor):
    if not isinstance(executor, Executor):
        raise TypeError(f"{function} needs an Executor, got {described(executor)}")


def _chosen(main_program, variables, predicate):
    """The Variables to save or load, by name; what holds no tensor (a reader, the holder of feeds) is left out."""
    program = _program(main_program)
    if variables is None:
        found = [v for v in program.list_vars() if predicate is None or predicate(v)]
    else:
        found = [program.global_block().var(v) if isinstance(v, str) else v for v in variables]
    for variable in found:
        if not isinstance(variable, Variable):
            raise TypeError(f"vars must be a list of Variables, got {variable!r}")
        if variable.type == VarType.SELECTED_ROWS:
            raise ValueError(f"the variable {variable.name} is of type SELECTED_ROWS: tensors alone are saved")
    return [v for v in found if v.type == VarType.LOD_TENSOR]


def _value(variable):
    """The LoDTensor of a variable in the global scope."""
    found = global_scope().find_var(variable.name)
    if found is None or found.get_tensor().array is None:
        raise ValueError(
            f"the variable {variable.name} has no value to save; run the startup program first, or load it"
        )
    return found.get_tensor()


def _value_files(variables, filename):
    """The files for the values of variables: name -> buffers."""
    packed = {v.name: tensor.pack(host(value.array), value.lod()) for v in variables for value in [_value(v)]}
    if filename is None or not packed:
        return packed
    return {filename: [buffer for name in sorted(packed) for buffer in packed[name]]}


def _save(dirname, filename, variables, with_step=False):
    filename = filename if filename is None else os.fspath(filename)
    if not variables:
        warnings.warn("there are no variables to save", stacklevel=3)
        return None
    if dirname is None and filename is None:
        [buffers] = _value_files(variables, "memory").values()
        return b"".join(buffers)
    if dirname is None:
        raise TypeError(f"the file {filename!r} needs a dirname to be saved in")
    files = _value_files(variables, filename)
    if with_step:
        files[(filename or "") + _STEP] = tensor.pack(np.array([global_scope().step], np.int64))
    save_files(dirname, files)
    return None


class _GivenBytes:
    """Stands for a folder where the contents of files are given instead of their names."""

    def open(self, data):
        if not isinstance(data, bytes):
            raise TypeError(f"without a dirname, files are given as bytes, got {described(data)}")
        return Source(io.BytesIO(data), len(data), "the given bytes")


def _opened(dirname):
    return contextlib.nullcontext(_GivenBytes()) if dirname is None else reading(dirname)


def _load(dirname, filename, variables, with_step=False):
    """Set variables in the global scope from files: all of them, or none where something is wrong."""
    step = None
    filename = filename if filename is None else os.fspath(filename)
    variables = list(variables)
    if not variables and dirname is not None and not os.path.exists(dirname):
        return  # as in Fluid, a Program without variables looks for no files
    with _opened(dirname) as folder:
        values = _read_values(folder, filename, {v.name: v for v in variables})
        name = (filename or "") + _STEP if dirname is not None else None
        if with_step and name is not None and folder.has(name):
            with folder.open(name) as source:
                step = _checked_step(_read_value(source, _STEP, None)[0], source.path)
    _assign(values)
    if step is not None:
        global_scope().step = step


def _read_values(folder, filename, wanted):
    """Values from a file each, or all from one file: name -> (array, LoD).

    Args:
        wanted (dict): name -> the Variable that the value must fit, or None.
    """
    if filename is None and isinstance(folder, _GivenBytes):
        raise TypeError("without a dirname, the values must be given as bytes")
    if not wanted:
        return {}
    values = {}
    if filename is not None:
        with folder.open(filename) as source:
            for name in sorted(wanted):
                if not source.left:
                    raise source.error(f"the file ends after {len(values)} variables; {name} should be the next")
                source.part = f"the variable {name}"
                values[name] = _read_value(source, name, wanted[name])
                source.part = None
            source.end(f"the last of {len(wanted)} variables; the file holds others")
        return values
    for name, variable in wanted.items():
        if not folder.has(name):
            hint = did_you_mean(name, folder.names()) or "; if one file holds all, give its filename"
            raise ModelFileError(f"{folder.path} has no file for the variable {name}{hint}")
        with folder.open(name) as source:
            values[name] = _read_value(source, name, variable)
            source.end(f"the variable {name}")
    return values


def _read_value(source, name, variable):
    header = tensor.read_header(source)
    if variable is not None:
        _check_fits(variable, header.shape, header.dtype, source.path)
    return tensor.read_values(source, header), header.lod


def _check_fits(variable, shape, dtype, origin):
    # A variable may be declared without a shape or a data type.
    wanted = shape if variable._shape is None else variable.shape
    fits = len(wanted) == len(shape) and all(a in (-1, b) for a, b in zip(wanted, shape, strict=True))
    try:
        found = var_type(dtype)
    except TypeError:
        found = None
    if not fits or found is None or variable._dtype not in (None, found):
        raise ModelFileError(
            f"{origin} holds {variable.name} with shape {list(shape)} and dtype {dtype}, but the program declares "
            f"shape {list(wanted)} and dtype {dtype_name(variable.dtype)}"
        )


def _checked_step(array, origin):
    if not isinstance(array, np.ndarray) or array.shape != (1,) or array.dtype.kind != "i" or array[0] < 0:
        raise ModelFileError(f"{origin} holds no number of steps under the name {_STEP}")
    return int(array[0])


def _saved_as(model_path):
    """How the values at a path were saved: ("state", folder, prefix), ("folder", it, None), ("file", folder, name)."""
    prefix = model_path = os.fspath(model_path)
    for suffix in (".pdparams", ".pdopt", ".pdmodel"):
        prefix = prefix.removesuffix(suffix)
    folder, name = os.path.split(prefix)
    folder = folder or os.curdir
    with reading(folder) as files:
        if files.has(name + ".pdparams"):
            return "state", folder, name
        if os.path.isdir(model_path):
            return "folder", model_path, None
        name = os.path.basename(model_path)
        if files.has(name):
            return "file", folder, name
    raise ModelFileError(f"there is no file {prefix}.pdparams, and no folder or file {model_path}")


def _read_state(files, prefix):
    state = {}
    for suffix in (".pdparams", ".pdopt"):
        if suffix == ".pdparams" or files.has(prefix + suffix):
            with files.open(prefix + suffix) as source:
                state.update(pickles.read_state(source))
    return state


def _assign_state(variables, state, origin, with_step):
    """Set variables in the global scope from arrays by name: all of them, or none where one does not fit."""
    values = {}
    for variable in variables:
        value = state.get(variable.name)
        if not isinstance(value, np.ndarray):
            found = "no value" if value is None else f"{described(value)}, which is no array,"
            raise ModelFileError(f"{origin} holds {found} for the variable {variable.name}")
        _check_fits(variable, value.shape, value.dtype, origin)
        values[variable.name] = value, []
    step = _checked_step(state[_STEP], origin) if with_step and _STEP in state else None
    _assign(values)
    if step is not None:
        global_scope().step = step


def _assign(values):
    for name in list(values):
        array, lod = values.pop(name)  # so that each is in memory only a moment twice
        value = global_scope().var(name).get_tensor()
        value.set(array)
        value.keep_lod(lod)
