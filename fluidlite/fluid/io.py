"""Saving and loading models, parameters and checkpoints; readers under their Fluid names."""

import os

import numpy as np

from ..ops.dtypes import VarType
from ..proto.files import ModelFileError, path_inside, read_arrays, read_program, write_arrays, write_program
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
from . import framework
from .compiler import CompiledProgram
from .executor import Executor, global_scope
from .framework import Parameter, Program, Variable
from .messages import described, did_you_mean
from .reader import DataLoader, PyReader
from .serialize import describe_program, restore_program

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
# Saved beside the variables: how many random steps were taken, so that a resumed run draws the numbers that follow.
_STEP = "@RANDOM_STEP@"


def is_parameter(var):
    """Whether a Variable is a Parameter."""
    return isinstance(var, Parameter)


def is_persistable(var):
    """Whether a Variable's value outlives a run."""
    return var.persistable and var.type == VarType.LOD_TENSOR


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


def save_vars(executor, dirname, main_program=None, vars=None, predicate=None, filename=None):
    """Save the values of variables, from the global scope.

    Args:
        executor (Executor): kept for Fluid's scripts.
        dirname (str): the folder; it is created.
        main_program (Program): whose variables; None for the default one.
        vars (list): Variables to save; None for those that `predicate` accepts.
        predicate (callable): predicate(Variable) -> bool; None accepts all.
        filename (str): one file for all variables; None for a file each, called by the variable's name.
    Raises:
        TypeError: a wrong argument.
        ValueError: a variable has no value.
    """
    _check_executor("save_vars", executor)
    chosen = _chosen(main_program, vars, predicate)
    _save(dirname, filename, {v.name: _value(v) for v in chosen})


def save_params(executor, dirname, main_program=None, filename=None):
    """Save the Parameters of a Program, from the global scope.

    Args:
        executor (Executor): kept for Fluid's scripts.
        dirname (str): the folder; it is created.
        main_program (Program): whose variables; None for the default one.
        filename (str): one file for all variables; None for a file each, called by the variable's name.
    Raises:
        TypeError: a wrong argument.
        ValueError: a variable has no value.
    """
    save_vars(executor, dirname, main_program, None, is_parameter, filename)


def save_persistables(executor, dirname, main_program=None, filename=None):
    """Save all persistable variables of a Program, from the global scope: parameters, optimizer state and statistics.

    With `load_persistables`, training goes on as if it had not been interrupted.

    Args:
        executor (Executor): kept for Fluid's scripts.
        dirname (str): the folder; it is created.
        main_program (Program): whose variables; None for the default one.
        filename (str): one file for all variables; None for a file each, called by the variable's name.
    Raises:
        TypeError: a wrong argument.
        ValueError: a variable has no value.
    """
    _check_executor("save_persistables", executor)
    values = {v.name: _value(v) for v in _chosen(main_program, None, is_persistable)}
    _save(dirname, filename, {**values, _STEP: np.array([global_scope().step], np.int64)})


def load_vars(executor, dirname, main_program=None, vars=None, predicate=None, filename=None):
    """Load values that `save_vars` saved into the global scope.

    Args:
        executor (Executor): kept for Fluid's scripts.
        dirname (str): the folder.
        main_program (Program): whose variables; None for the default one.
        vars (list): Variables to load; None for those that `predicate` accepts.
        predicate (callable): predicate(Variable) -> bool; None accepts all.
        filename (str): the one file that holds all variables; None for a file each.
    Raises:
        TypeError: a wrong argument.
        ModelFileError: a file is missing, damaged, lacks a variable, or holds a value of another shape or dtype.
            No variable is changed then.
    """
    _check_executor("load_vars", executor)
    _load(dirname, filename, _chosen(main_program, vars, predicate))


def load_params(executor, dirname, main_program=None, filename=None):
    """Load the Parameters of a Program, which `save_params` saved, into the global scope.

    Args:
        executor (Executor): kept for Fluid's scripts.
        dirname (str): the folder.
        main_program (Program): whose variables; None for the default one.
        filename (str): one file for all variables; None for a file each, called by the variable's name.
    Raises:
        ModelFileError: a file is missing, damaged, lacks a variable, or holds a value of another shape or dtype.
            No variable is changed then.
    """
    load_vars(executor, dirname, main_program, None, is_parameter, filename)


def load_persistables(executor, dirname, main_program=None, filename=None):
    """Load all persistable variables of a Program, which `save_persistables` saved, into the global scope.

    Args:
        executor (Executor): kept for Fluid's scripts.
        dirname (str): the folder.
        main_program (Program): whose variables; None for the default one.
        filename (str): one file for all variables; None for a file each, called by the variable's name.
    Raises:
        ModelFileError: a file is missing, damaged, lacks a variable, or holds a value of another shape or dtype.
            No variable is changed then.
    """
    _check_executor("load_persistables", executor)
    path = path_inside(dirname, filename or _STEP)
    step = read_arrays(path).get(_STEP) if filename is not None or os.path.exists(path) else None
    _load(dirname, filename, _chosen(main_program, None, is_persistable))
    if step is not None:
        global_scope().step = int(step[0])


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

    Args:
        dirname (str): the folder; it is created.
        feeded_var_names (list of str): names of the inputs.
        target_vars (list of Variable): the outputs.
        executor (Executor): kept for Fluid's scripts.
        main_program (Program): None for the default one; an optimizer in it is left out.
        model_filename (str): the Program's file; None for "__model__".
        params_filename (str): one file for all parameters; None for a file each.
        export_for_deployment (bool): must be True.
        program_only (bool): save no parameters.
    Returns:
        list of str: the names of the outputs.
    Raises:
        TypeError, ValueError: a wrong argument, an unknown name, an output that needs a variable that is not fed,
            or a parameter without a value.
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
    if not export_for_deployment:
        raise ValueError(
            "save_inference_model: export_for_deployment=False is not supported; fluid.save saves a training program"
        )
    _check_executor("save_inference_model", executor)
    program = _program(main_program)
    for variable in target_vars:
        if not program.global_block().has_var(variable.name):
            raise ValueError(f"save_inference_model: the target {variable.name} is not part of the program")
    pruned = program.clone(for_test=True)._prune(target_vars, feeded_var_names)
    targets = [v.name for v in target_vars]
    _check_inputs(program, pruned, feeded_var_names, targets)
    block = pruned.global_block()
    for name in [*feeded_var_names, *targets]:
        if name not in block.vars:
            block.vars[name] = program.global_block().var(name)
    description = {**describe_program(pruned), "feeds": list(feeded_var_names), "fetches": targets}
    values = {} if program_only else {v.name: _value(v) for v in block.vars.values() if is_persistable(v)}
    if values:
        _save(dirname, params_filename, values)
    write_program(path_inside(dirname, model_filename or _MODEL), description)
    return targets


def _check_inputs(program, pruned, feeds, targets):
    block = program.global_block()
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
    """Load what `save_inference_model` saved; the parameters go to the global scope.

    Args:
        dirname (str): the folder.
        executor (Executor): kept for Fluid's scripts.
        model_filename, params_filename (str): as given to `save_inference_model`.
        pserver_endpoints: must be None.
    Returns:
        [Program, names to feed (list of str), Variables to fetch (list)].
    Raises:
        ModelFileError: a file is missing or damaged, or uses operators that fluidlite lacks.
    """
    if pserver_endpoints is not None:
        raise ValueError("load_inference_model: parameter servers are not supported; leave pserver_endpoints None")
    _check_executor("load_inference_model", executor)
    if not os.path.isdir(dirname):
        raise ModelFileError(f"there is no folder {dirname}")
    path = path_inside(dirname, model_filename or _MODEL)
    if not os.path.exists(path):
        files = ", ".join(sorted(os.listdir(dirname))[:5]) or "nothing"
        raise ModelFileError(
            f"there is no model file {path}; the folder holds {files} (model_filename names the model)"
        )
    description = read_program(path)
    program = restore_program(description, path)
    block = program.global_block()
    _load(dirname, params_filename, [v for v in block.vars.values() if is_persistable(v)])
    try:
        feeds, fetches = list(description["feeds"]), [block.var(name) for name in description["fetches"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path} does not say what to feed and to fetch: {error}") from None
    return [program, feeds, fetches]


def save(program, model_path):
    """Save a Program and its values: `model_path`.pdparams (parameters), .pdopt (the rest of the state), .pdmodel.

    Args:
        program (Program): its persistable variables are saved from the global scope.
        model_path (str): folder and prefix of the files' names.
    Raises:
        ValueError: model_path has no prefix, or a variable has no value.
    """
    program = _program(program)
    if not os.path.basename(model_path):
        raise ValueError(f"save: model_path must end with a prefix for the files' names, got {model_path!r}")
    variables = [v for v in program.list_vars() if is_persistable(v)]
    parameters = {v.name: _value(v) for v in variables if is_parameter(v)}
    others = {v.name: _value(v) for v in variables if not is_parameter(v)}
    write_arrays(model_path + ".pdparams", parameters)
    write_arrays(model_path + ".pdopt", {**others, _STEP: np.array([global_scope().step], np.int64)})
    write_program(model_path + ".pdmodel", describe_program(program))


def load(program, model_path, executor=None, var_list=None):
    """Load what `save` saved into the global scope.

    Args:
        program (Program): whose variables to load.
        model_path (str): as given to `save`.
        executor (Executor): kept for Fluid's scripts.
        var_list (list of Variable): load only these.
    Raises:
        ModelFileError: a file is missing or damaged, or lacks a variable.
    """
    state = load_program_state(model_path)
    chosen = list(var_list) if var_list is not None else get_program_persistable_vars(program)
    _assign(chosen, state, model_path)
    if var_list is None and _STEP in state:
        global_scope().step = int(state[_STEP][0])


def load_program_state(model_path, var_list=None):
    """The values that `save` saved, as name -> array.

    Args:
        model_path (str): as given to `save`.
        var_list (list of Variable): return only these.
    Returns:
        dict: variable name -> numpy.ndarray.
    Raises:
        ModelFileError: a file is missing or damaged, or lacks a variable.
    """
    state = read_arrays(model_path + ".pdparams")
    if os.path.exists(model_path + ".pdopt"):
        state.update(read_arrays(model_path + ".pdopt"))
    if var_list is not None:
        names = [v.name for v in var_list]
        missing = [name for name in names if name not in state]
        if missing:
            raise ModelFileError(f"{model_path}.pdparams and .pdopt lack {', '.join(missing)}")
        state = {name: state[name] for name in names}
    return state


def set_program_state(program, state_dict):
    """Set persistable variables of a Program, in the global scope.

    Args:
        program (Program): whose variables to set.
        state_dict (dict): variable name -> array, such as `load_program_state` returns; names that the Program does
            not have are ignored.
    Raises:
        ModelFileError: an array does not fit its variable; none is set then.
    """
    chosen = [v for v in get_program_persistable_vars(program) if v.name in state_dict]
    _assign(chosen, state_dict, "the given state")


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
    program = _program(main_program)
    if variables is None:
        return [v for v in program.list_vars() if predicate is None or predicate(v)]
    found = [program.global_block().var(v) if isinstance(v, str) else v for v in variables]
    for variable in found:
        if not isinstance(variable, Variable):
            raise TypeError(f"vars must be a list of Variables, got {variable!r}")
    return found


def _value(variable):
    found = global_scope().find_var(variable.name)
    array = found.get_tensor().array if found is not None else None
    if array is None:
        raise ValueError(
            f"the variable {variable.name} has no value to save; run the startup program first, or load it"
        )
    return np.asarray(array)


def _save(dirname, filename, values):
    if filename is not None:
        write_arrays(path_inside(dirname, filename), values)
        return
    os.makedirs(dirname, exist_ok=True)
    for name, value in values.items():
        write_arrays(path_inside(dirname, name), {name: value})


def _load(dirname, filename, variables):
    if filename is not None:
        path = path_inside(dirname, filename)
        _assign(variables, read_arrays(path), path)
        return
    if variables and not os.path.isdir(dirname):
        raise ModelFileError(f"there is no folder {dirname} to load variables from")
    values = {}
    for variable in variables:
        path = path_inside(dirname, variable.name)
        if not os.path.exists(path):
            hint = did_you_mean(variable.name, os.listdir(dirname)) or "; if one file holds all, give its filename"
            raise ModelFileError(f"{dirname} has no file for the variable {variable.name}{hint}")
        values.update(read_arrays(path))
    _assign(variables, values, dirname)


def _assign(variables, values, origin):
    """Set the variables in the global scope; all of them, or none where one does not fit."""
    for variable in variables:
        value = values.get(variable.name)
        if value is None:
            raise ModelFileError(f"{origin} holds no value for the variable {variable.name}")
        spec = variable.spec
        fits = len(spec.shape) == value.ndim and all(a in (-1, b) for a, b in zip(spec.shape, value.shape, strict=True))
        if not fits or spec.dtype != value.dtype:
            raise ModelFileError(
                f"{origin} holds {variable.name} with shape {list(value.shape)} and dtype {value.dtype}, but the "
                f"program declares shape {list(spec.shape)} and dtype {spec.dtype}"
            )
    for variable in variables:
        global_scope().var(variable.name).get_tensor().set(values[variable.name])
