"""The checkpoints of a Trainer: folders `checkpoint_0`, `checkpoint_1` ... of which the newest is resumed from.

As in Fluid, each holds the variables in `__model__`, beside them a file `_SUCCESS`, and the position in `trainer_0`.
A checkpoint is written under another name and renamed when it is complete, and renamed again before it is deleted: a
folder called `checkpoint_N` is complete at any moment.
"""

import contextlib
import json
import os
import re
import shutil
import time
from typing import Any, NamedTuple

import numpy as np

from ..proto.files import ModelFileError, reading, save_files
from . import io

_MODEL, _TRAINER, _SUCCESS = "__model__", "trainer_0", "_SUCCESS"
_UNFINISHED, _REMOVED = ".checkpoint_unfinished", ".checkpoint_removed"


class Position(NamedTuple):
    """How far training has come.

    Attributes:
        epoch_id, step_id (int): of the last step that was taken.
        random_state: `random_state()` of the moment before the epoch began; None if it is not known.
    """

    epoch_id: int
    step_id: int
    random_state: Any = None


def random_state():
    """The states of Python's and NumPy's global random generators, from which readers draw the order of samples."""
    import random  # here, because it imports hashlib and so OpenSSL

    return {"python": random.getstate(), "numpy": np.random.get_state(legacy=False)}


def set_random_state(state):
    """Continue Python's and NumPy's global random generators from a `random_state()`."""
    import random

    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    np.random.set_state(state["numpy"])


class Checkpoints:
    """The checkpoints in one folder, which belongs to one training run at a time.

    Args:
        folder (str): where they are; it is created with the first one.
        most (int): how many to keep.
    """

    def __init__(self, folder, most):
        self._folder, self._most = folder, most

    def save(self, exe, program, position):
        """Add a checkpoint of a Program's variables in the global scope, and delete those that are too old.

        Args:
            exe (Executor): as `fluid.io.save_persistables` takes it.
            program (Program): whose persistable variables.
            position (Position): where training is to go on.
        Raises:
            OSError: it cannot be written; those that are there stay.
        """
        unfinished = os.path.join(self._folder, _UNFINISHED)
        shutil.rmtree(unfinished, ignore_errors=True)
        io.save_persistables(exe, os.path.join(unfinished, _MODEL), program)
        files = {
            f"{_MODEL}/{_SUCCESS}": time.ctime(),
            f"{_TRAINER}/epoch_id": str(position.epoch_id),
            f"{_TRAINER}/step_id": str(position.step_id),
            f"{_TRAINER}/random_state": json.dumps(position.random_state, default=np.ndarray.tolist),
        }
        save_files(unfinished, {name: [text.encode()] for name, text in files.items()})
        os.rename(unfinished, self._path(max(self._taken(), default=-1) + 1))
        for serial in self._complete()[: -self._most]:
            self._remove(serial)

    def load(self, exe, program):
        """Set a Program's variables in the global scope from the newest checkpoint.

        Args:
            exe (Executor): as `fluid.io.load_persistables` takes it.
            program (Program): whose persistable variables.
        Returns:
            Position: where training is to go on; None if there is no checkpoint.
        Raises:
            ModelFileError: the checkpoint is damaged, or of another network.
        """
        complete = self._complete()
        if not complete:
            return None
        path = self._path(complete[-1])
        try:
            with reading(os.path.join(path, _TRAINER)) as files:
                position = Position(
                    _json(files, "epoch_id", int),
                    _json(files, "step_id", int),
                    _json(files, "random_state", dict) if files.has("random_state") else None,  # not in Fluid's
                )
            io.load_persistables(exe, os.path.join(path, _MODEL), program)
        except ModelFileError as error:
            raise ModelFileError(
                f"cannot resume from {path}: {error}\nWithout that folder training resumes from the checkpoint before "
                "it; without all folders checkpoint_N, from the beginning"
            ) from error
        return position

    def clear(self):
        """Delete all checkpoints, the oldest first."""
        for serial in self._complete():
            self._remove(serial)
        for name in (_UNFINISHED, _REMOVED):
            shutil.rmtree(os.path.join(self._folder, name), ignore_errors=True)

    def _path(self, serial):
        return os.path.join(self._folder, f"checkpoint_{serial}")

    def _taken(self):
        """The numbers that files and folders have in their names, in ascending order."""
        names = os.listdir(self._folder) if os.path.isdir(self._folder) else []
        matches = [re.fullmatch(r"checkpoint_(0|[1-9]\d*)", name) for name in names]
        return sorted(int(match[1]) for match in matches if match)

    def _complete(self):
        """The numbers of the checkpoints, in ascending order."""
        return [n for n in self._taken() if os.path.isfile(os.path.join(self._path(n), _MODEL, _SUCCESS))]

    def _remove(self, serial):
        removed = os.path.join(self._folder, _REMOVED)
        shutil.rmtree(removed, ignore_errors=True)
        os.rename(self._path(serial), removed)
        shutil.rmtree(removed, ignore_errors=True)


def _json(files, name, kind):
    with files.open(name) as source:
        text = source.take(source.size, "the value")
        with contextlib.suppress(ValueError):
            value = json.loads(text)
            if isinstance(value, kind):
                return value
        raise source.error(f"this is no {kind.__name__}: {text[:40]!r}", 0)
