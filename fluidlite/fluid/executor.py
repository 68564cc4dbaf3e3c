"""Running Programs."""

import operator
import os
import sys
import threading
import warnings
from functools import partial

import numpy as np

from ..core.errors import EnforceNotMet
from ..core.lod import joined
from ..core.spec import Spec
from ..core.tensor_array import TensorArray
from ..engine.arrays import host, is_on_gpu, on_gpu
from ..engine.places import CPUPlace
from ..engine.scope import Scope
from ..engine.tensors import LoDTensor
from . import framework
from .compiler import CompiledProgram
from .framework import Program, Variable
from .messages import described, did_you_mean

__all__ = ["Executor", "global_scope", "scope_guard"]

_scopes = [Scope()]
_PLANS_KEPT = 32
_NO_SETTINGS = ("", None)  # those of a Program that is not compiled


def global_scope():
    """The Scope that `Executor.run` uses when it is given none."""
    return _scopes[-1]


class scope_guard:
    """Makes `scope` the global scope inside a `with` block.

    Raises:
        TypeError: scope is not a Scope.
    """

    def __init__(self, scope):
        if not isinstance(scope, Scope):
            raise TypeError(f"scope_guard needs a fluid.Scope, got {scope!r}")
        self._scope = scope

    def __enter__(self):
        _scopes.append(self._scope)

    def __exit__(self, *exception):
        _scopes.pop()


class FetchedArray(np.ndarray):
    """A fetched array; if it has one element, it also serves where a number is wanted, and so do its parts.

    Fluid's losses have the shape (1,), and its scripts write `loss[0]` as well as `"%f" % loss`, and
    `for row in prediction: print("%.2f" % row)`; NumPy no longer converts such arrays to numbers.
    """

    def _number(self):
        if self.size != 1:
            raise TypeError(f"only an array of one element converts to a number, not one of shape {list(self.shape)}")
        return self.item()

    def __float__(self):
        return float(self._number())

    def __int__(self):
        return int(self._number())

    def __complex__(self):
        return complex(self._number())

    def __index__(self):
        return operator.index(self._number())

    def __format__(self, spec):
        return format(self._number(), spec) if spec else str(self)

    def __round__(self, digits=None):
        return round(self._number(), digits)

    def __array_wrap__(self, array, context=None, return_scalar=False):
        # NumPy 1 does not say whether it wants a scalar.
        return array[()] if return_scalar or array.ndim == 0 else array.view(FetchedArray)

    def __repr__(self):
        return repr(self.view(np.ndarray))

    def __reduce__(self):
        return self.view(np.ndarray).__reduce__()


class Executor:
    """Runs Programs on a place.

    The first run of a Program with feeds of new shapes prepares a plan; later runs replay it.

    Args:
        place: CPUPlace (the default) or CUDAPlace.
    Raises:
        TypeError: place is not a place.
        RuntimeError: the place needs CuPy or a GPU that is not there.
    """

    def __init__(self, place=None):
        self.place = CPUPlace() if place is None else place
        if not isinstance(self.place, CPUPlace):
            raise TypeError(f"Executor needs a place such as fluid.CPUPlace(), got {place!r}")
        from ..engine.memory import Memory
        from ..engine.plan.cache import Cache

        self._memory = Memory(self.place.device)
        self._plans, self._lowered = Cache(_PLANS_KEPT), Cache(_PLANS_KEPT)
        self._lock = threading.Lock()
        self._closed = False

    def close(self):
        """Give up the prepared plans and their memory; the executor runs nothing afterwards."""
        with self._lock:
            self._plans.clear()
            self._lowered.clear()
            self._memory = None
            self._closed = True

    def run(
        self,
        program=None,
        feed=None,
        fetch_list=None,
        feed_var_name="feed",
        fetch_var_name="fetch",
        scope=None,
        return_numpy=True,
        use_program_cache=False,
        return_merged=True,
        use_prune=False,
    ):
        """Run a Program once.

        Args:
            program (Program or CompiledProgram): None for `default_main_program()`.
            feed (dict): variable name -> array, LoDTensor, list or number.  A list of such dicts, as data loaders yield
                for several places, is joined along the batch.
            fetch_list (list): Variables or names of those whose values to return.
            feed_var_name, fetch_var_name (str): without effect; kept for Fluid's scripts.
            scope (Scope): holds the parameters; None for `global_scope()`.
            return_numpy (bool): return NumPy arrays, or LoDTensors.
            use_program_cache (bool): without effect; plans are always kept.
            return_merged (bool): with data parallelism, whether results come joined; False adds a leading dimension
                for the one place that there is.
            use_prune (bool): run only what the fetch list needs: no parameter is updated unless an optimizer's
                operators are fetched.
        Returns:
            list of arrays, in the order of fetch_list; those of one element have the shape (1,) where Fluid's have, and
            convert to numbers.  None stands for an array without elements, and for one that no operator has written,
            since the block that does so was not run.
        Raises:
            TypeError: an argument of the wrong type.
            ValueError: a fed array of the wrong shape or dtype.
            EnforceNotMet: a variable has no value, an operator refuses its input, a fed LoD does not fit its rows (a
                ValueError, too), or what is fetched as LoDTensor has no elements.
            RuntimeError: a list is fed to a variable with a lod_level, or what is fetched as NumPy array has a LoD.
            EOFException: a data loader with iterable=False has no more batches.
        """
        program = framework.default_main_program() if program is None else program
        settings = _NO_SETTINGS
        if isinstance(program, CompiledProgram):
            settings = program._settings()
            program = program._program
        if not isinstance(program, Program):
            raise TypeError(f"Executor.run needs a Program or a CompiledProgram, got {described(program)}")
        scope = global_scope() if scope is None else scope
        if not isinstance(scope, Scope):
            raise TypeError(f"scope must be a fluid.Scope, got {type(scope).__name__}")
        block = program.global_block()
        if program._loaders:
            feed = _with_loaded(feed, program._loaders)
        arrays, lods = ({}, {}) if feed is None else _fed_arrays(feed, block)
        fetches = tuple(_fetch_names(fetch_list))
        with self._lock:
            if self._closed:
                raise RuntimeError("this Executor is closed; make a new one")
            plan = self._plan(program, block, scope, arrays, lods, fetches, use_prune, settings)
            try:
                results = plan.run(arrays.values(), on_device=not return_numpy)
            except (EnforceNotMet, ZeroDivisionError) as error:
                _tell_of_nothing(arrays, error)
                raise
            levels = plan.lods
        if not return_numpy:
            for name, array, lod in zip(fetches, results, levels, strict=True):
                if array is None or not isinstance(array, TensorArray) and not array.size and not lod:
                    raise EnforceNotMet(
                        f"the fetched variable {name!r} has no elements, or no operator has written it, so that it is "
                        "no LoDTensor; with return_numpy=True you get None"
                    )
            return [_lod_tensor(*result) for result in zip(results, levels, strict=True)]
        if any(levels):
            name, lod = next((name, lod) for name, lod in zip(fetches, levels, strict=True) if lod)
            raise RuntimeError(
                f"the fetched variable {name!r} has the LoD {[list(level) for level in lod]!r:.80}, which a NumPy "
                "array cannot keep; with return_numpy=False you get LoDTensors"
            )
        if not return_merged:
            return [array[np.newaxis] if array is not None and array.size else None for array in results]
        return [_fetched(array) for array in results]

    def _plan(self, program, block, scope, arrays, lods, fetches, use_prune, settings):
        # The ids are not used again while the settings of a plan hold what they are of.
        asked = (id(program), program.version, id(scope), scope.generation, fetches, use_prune, settings)
        key = asked, tuple([(name, array.shape, array.dtype, lods.get(name)) for name, array in arrays.items()])
        plan = self._plans.get(key)
        if plan is not None:
            return plan
        # What prepares plans is imported when the first one is.
        from ..engine.plan.plan import Plan

        ranks = tuple([(name, len(array.shape), array.dtype) for name, array in arrays.items()])
        feeds = {name: _feed_spec(block.vars[name], array, lods.get(name)) for name, array in arrays.items()}
        settings_of = partial(self._settings, program, block, scope, feeds, fetches, use_prune, settings)
        lowered = self._lowered.get((asked, ranks), settings_of)
        return self._plans.get(key, partial(Plan, lowered, feeds.values()))

    def _settings(self, program, block, scope, feeds, fetches, use_prune, settings):
        for item in fetches:
            if item not in block.vars:
                raise ValueError(
                    f"the fetch list asks for {item!r}, which is no variable of this program"
                    + (did_you_mean(item, block.vars) or "; was another Program meant? Executor.run(program, ...)")
                )
        ops = program._prune(fetches, feeds).global_block().ops if use_prune else block.ops
        switches, most = settings
        from ..engine import blas
        from ..engine.plan import passes, shards
        from ..engine.plan.plan import Settings

        made = Settings(
            ops,
            block.vars,
            feeds,
            fetches,
            scope,
            self._memory,
            program.random_seed,
            passes.enabled(f"{os.environ.get('FLUIDLITE_PASSES', '')} {switches}"),
            min(blas.cores(), most or sys.maxsize),
            shards.wanted(os.environ.get("FLUIDLITE_SHARDS", "")),
        )
        made.program = program
        return made

    def infer_from_dataset(self, *args, **kwargs):
        """Raises RuntimeError: Fluid's file-based datasets are not part of fluidlite."""
        raise RuntimeError("fluidlite has no file-based datasets; feed batches to Executor.run instead")

    train_from_dataset = infer_from_dataset


def _lod_tensor(array, lod):
    """The LoDTensor, or for a tensor array the list of those, that a user gets."""
    if not isinstance(array, TensorArray):
        return LoDTensor(array, lod)
    return [LoDTensor() if entry is None else LoDTensor(entry.array, entry.lod) for entry in array.entries]


def _fetched(array):
    """What a user gets for an array, which may be None, or a tensor array."""
    if isinstance(array, TensorArray):
        return [None if entry is None else _fetched(np.array(host(entry.array))) for entry in array.entries]
    if array is None or not array.size:
        return None
    return array.view(FetchedArray) if array.ndim else array


def _fetch_var(name, scope=None, return_numpy=True):
    """The value of a variable of a scope: packages of Fluid's time read parameters with it.

    Args:
        name: the name, or the Variable.
        scope (Scope): None for the global one.
        return_numpy (bool): an array rather than the LoDTensor.
    Returns:
        np.ndarray or LoDTensor.
    Raises:
        AssertionError: the scope has no variable of that name.
    """
    name = name.name if isinstance(name, Variable) else name
    variable = (global_scope() if scope is None else scope).find_var(name)
    if variable is None:
        raise AssertionError(f"the scope has no variable {name!r}; has the startup program run?")
    tensor = variable.get_tensor()
    return np.array(tensor) if return_numpy else tensor


def _fetch_names(fetch_list):
    if fetch_list is None:
        return []
    if isinstance(fetch_list, (Variable, str)):
        fetch_list = [fetch_list]
    if not isinstance(fetch_list, (list, tuple)):
        raise TypeError(f"fetch_list must be a list of Variables or names, got {type(fetch_list).__name__}")
    for item in fetch_list:
        if not isinstance(item, (Variable, str)):
            raise TypeError(f"fetch_list must hold Variables or names, got {described(item)}")
    return [item.name if isinstance(item, Variable) else item for item in fetch_list]


def _with_loaded(feed, loaders):
    """The feed, and beside it the next batch of each loader whose variables it does not hold."""
    feed = dict(_joined(feed) if isinstance(feed, (list, tuple)) else feed or {})
    for loader in loaders:
        if not feed.keys() >= set(loader.names):
            feed.update(_joined(loader.next_feeds()))
    return feed


def _fed_arrays(feed, block):
    """The feed without the names that the program does not know: name -> array, and name -> LoD where there is one."""
    if isinstance(feed, (list, tuple)):
        feed = _joined(feed)
    if not isinstance(feed, dict):
        raise TypeError(f"feed must be a dict from variable names to arrays, got {described(feed)}")
    arrays, lods = {}, {}
    for name, value in feed.items():
        if not isinstance(name, str):
            hint = f"; write {name.name!r}" if isinstance(name, Variable) else ""
            raise TypeError(f"the keys of feed must be names of variables, got {described(name)}{hint}")
        variable = block.vars.get(name)
        if variable is None:
            warnings.warn(
                f"the fed variable {name!r} is not part of the program and is ignored{did_you_mean(name, block.vars)}",
                stacklevel=3,
            )
        elif type(value) is np.ndarray:
            arrays[name] = value
        else:
            arrays[name] = _as_array(variable, value)
            if isinstance(value, LoDTensor) and value.offsets:
                if not value.has_valid_recursive_sequence_lengths():
                    raise EnforceNotMet(
                        f"the tensor fed to {name!r} has the LoD {value.lod()!r:.80}, which does not fit its shape "
                        f"{value.shape()}"
                    )
                lods[name] = value.offsets
    return arrays, lods


def _joined(feeds):
    if not all(isinstance(part, dict) for part in feeds) or not feeds:
        raise TypeError(
            "a feed that is a list must hold dicts from variable names to arrays; "
            "fluid.DataFeeder(feed_list=[...], place=place).feed(samples) makes a feed of a list of samples"
        )
    if len(feeds) == 1:
        return feeds[0]
    return {name: _behind_each_other([part[name] for part in feeds]) for name in feeds[0]}


def _behind_each_other(parts):
    array = np.concatenate([np.asarray(part) for part in parts])
    lods = [part.lod() for part in parts if isinstance(part, LoDTensor)]
    return LoDTensor(array, joined(lods)) if any(lods) and len(lods) == len(parts) else array


def _as_array(variable, value):
    if isinstance(value, LoDTensor):
        if value.array is None:
            raise ValueError(f"the tensor fed to {variable.name!r} has no value")
        return value.array
    if isinstance(value, np.ndarray):
        return value
    if is_on_gpu(value):
        return on_gpu(value)
    if variable.lod_level and isinstance(value, list):
        raise RuntimeError(
            f"a list is fed to {variable.name!r}, which has lod_level {variable.lod_level}: it does not say where its "
            "sequences begin; feed a LoDTensor, as fluid.create_lod_tensor makes them, with the LoD, or an array"
        )
    wanted = variable.spec.dtype
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "biuf" or (array.dtype.kind == "f" and wanted.kind != "f" and array.size):
            raise ValueError
    except ValueError:
        raise ValueError(
            f"the value fed to {variable.name!r} must be numbers of dtype {wanted} in a rectangular shape like "
            f"{list(variable.shape)}, got {described(value)}"
        ) from None
    return array.astype(wanted).reshape(array.shape or (1,))


def _tell_of_nothing(arrays, error):
    """Raise EnforceNotMet if what has failed was fed an array without elements, which not all operators take."""
    for name, array in arrays.items():
        if not isinstance(array, TensorArray) and not array.size:
            raise EnforceNotMet(
                f"{error}\n  the array fed to {name!r} has no elements, its shape is {list(array.shape)}: leave such "
                "batches out"
            ) from error


def _feed_spec(variable, array, lod):
    """What the plan is prepared for; raises ValueError when the array does not fit the variable."""
    wanted = variable.spec
    if not np.can_cast(array.dtype, wanted.dtype, "same_kind") or (
        variable.need_check_feed and array.dtype.kind == "f" and array.dtype != wanted.dtype
    ):
        raise ValueError(
            f"the data type of the fed variable {variable.name!r} must be {wanted.dtype.name!r}, but received "
            f"{array.dtype.name!r}; convert it with .astype({wanted.dtype.name!r})"
        )
    fits = len(array.shape) == len(wanted.shape) and all(
        want in (-1, got) for want, got in zip(wanted.shape, array.shape, strict=False)
    )
    if variable.need_check_feed and not fits:
        raise ValueError(
            f"the fed variable {variable.name!r} should have {len(wanted.shape)} dimensions and the shape "
            f"{list(wanted.shape)} (-1: any size), but received the shape {list(array.shape)}"
        )
    return Spec(array.shape, wanted.dtype, None, lod)
