"""Trainer: the training loop of Fluid 0.13 to 1.0, with events and checkpoints.

See https://github.com/PaddlePaddle/book, 02.recognize_digits, and the Checkpoint user guide of FluidDoc.
"""

import contextlib
import os
import warnings

import numpy as np

from . import checkpoint, core, framework, io, unique_name
from .data_feeder import DataFeeder
from .executor import Executor, scope_guard
from .framework import Program, Variable
from .messages import described
from .optimizer import Optimizer

__all__ = [
    "Trainer",
    "BeginEpochEvent",
    "EndEpochEvent",
    "BeginStepEvent",
    "EndStepEvent",
    "CheckpointConfig",
]


class BeginEpochEvent:
    """An epoch is about to begin.

    Attributes:
        epoch (int): its number, from 0.
    """

    def __init__(self, epoch_id):
        self.epoch = epoch_id


class EndEpochEvent:
    """An epoch has ended.

    Attributes:
        epoch (int): its number, from 0.
    """

    def __init__(self, epoch_id):
        self.epoch = epoch_id


class BeginStepEvent:
    """A step is about to begin.

    Attributes:
        epoch (int): the epoch's number, from 0.
        step (int): the step's number in the epoch, from 0.
        fetch_metrics (bool): whether to fetch what `train_func` returned; a handler may set it to False.
    """

    def __init__(self, epoch_id, step_id):
        self.epoch = epoch_id
        self.step = step_id
        self.fetch_metrics = True


class EndStepEvent:
    """A step has ended.

    Attributes:
        epoch (int): the epoch's number, from 0.
        step (int): the step's number in the epoch, from 0.
        metrics (list): the values of what `train_func` returned, as `Executor.run` returns them; empty if the handler
            of BeginStepEvent did not want them.
    """

    def __init__(self, epoch_id, step_id, metrics):
        self.epoch = epoch_id
        self.step = step_id
        self.metrics = metrics


class CheckpointConfig:
    """When and where a Trainer saves checkpoints.

    One is saved after every step whose number in its epoch is a multiple of `step_interval` (0 is one), in every epoch
    whose number is a multiple of `epoch_interval`.  What the handler of the step's EndStepEvent changes is in it.

    Args:
        checkpoint_dir (str): the folder; it should be used by one training run only.  None for the working folder.
        max_num_checkpoints (int): how many are kept.
        epoch_interval, step_interval (int): see above.
    Raises:
        TypeError, ValueError: an argument is no path, or no whole number of at least 1.
    """

    def __init__(self, checkpoint_dir=None, max_num_checkpoints=3, epoch_interval=1, step_interval=10):
        self.checkpoint_dir = os.getcwd() if checkpoint_dir is None else os.fspath(checkpoint_dir)
        self.max_num_checkpoints = _positive("max_num_checkpoints", max_num_checkpoints)
        self.epoch_interval = _positive("epoch_interval", epoch_interval)
        self.step_interval = _positive("step_interval", step_interval)

    def _wants(self, epoch_id, step_id):
        return epoch_id % self.epoch_interval == 0 and step_id % self.step_interval == 0


class Trainer:
    """Builds a network with its optimizer and trains it, telling an event handler of every epoch and step.

        def train_func():
            x = fluid.layers.data("x", [13])
            y = fluid.layers.data("y", [1])
            return fluid.layers.mean(fluid.layers.square_error_cost(fluid.layers.fc(x, 1), y))

        trainer = fluid.Trainer(train_func, lambda: fluid.optimizer.SGD(0.01))
        trainer.train(5, lambda event: None, paddle.batch(paddle.dataset.uci_housing.train(), 20), ["x", "y"])

    With a CheckpointConfig whose folder holds a checkpoint, training goes on where that was saved.

    Args:
        train_func (callable): builds the network and returns the loss, a Variable of shape [1], or a list of Variables
            with the loss first.
        optimizer_func (callable): returns an Optimizer.
        param_path (str): a folder that `save_params` made, to begin with its values.  If it is not there, training
            begins with fresh values, as in Fluid, and a warning says so.
        place: CPUPlace or CUDAPlace; None for the first GPU if there is one.
        parallel (bool): without effect: all cores are used in any case, with the same numbers.
        checkpoint_config (CheckpointConfig): None to save no checkpoints.
    Attributes:
        train_program, test_program, startup_program (Program): what was built; test_program has no optimizer.
        train_func_outputs (list of Variable): what `train_func` returned.
        scope (Scope): the parameters and the state of training.
    Raises:
        TypeError: an argument, or what a function returned, is of another type.
        ModelFileError: the files in param_path or the checkpoint do not fit the network, or are damaged.
    """

    def __init__(self, train_func, optimizer_func, param_path=None, place=None, parallel=False, checkpoint_config=None):
        if checkpoint_config is not None and not isinstance(checkpoint_config, CheckpointConfig):
            raise TypeError(
                f"Trainer: checkpoint_config must be a CheckpointConfig, got {described(checkpoint_config)}"
            )
        _check_callable("Trainer", "train_func", train_func)
        _check_callable("Trainer", "optimizer_func", optimizer_func)
        self.place = _default_place() if place is None else place
        self.parallel = parallel
        self.checkpoint_cfg = checkpoint_config
        self.scope = core.Scope()
        self.startup_program, self.train_program = Program(), Program()
        self.train_func_outputs = []
        self._stopped = False
        self._exe = Executor(self.place)
        self._build(train_func, optimizer_func)
        self._checkpoints = self._position = None
        with self._environment():
            self._exe.run(self.startup_program)
            self._load_params(param_path)
            if checkpoint_config is not None:
                self._checkpoints = checkpoint.Checkpoints(
                    checkpoint_config.checkpoint_dir, checkpoint_config.max_num_checkpoints
                )
                self._position = self._checkpoints.load(self._exe, self.train_program)

    def stop(self):
        """End the training before the next step; no more events follow, but that of an epoch that is complete."""
        self._stopped = True

    def train(self, num_epochs, event_handler, reader=None, feed_order=None):
        """Train, on from the checkpoint if one was found.

        While the handler runs, the default Programs and the global scope are the Trainer's.  In an epoch that was
        interrupted, the reader is called anew, with Python's and NumPy's global random generators as they were when it
        began, and what belongs to steps that were taken is read and passed over.  A handler is called again for the
        beginning of that epoch, and for steps that were taken after the checkpoint.  When training has ended or was
        stopped, its checkpoints are deleted; the last EndEpochEvent is the moment to save the parameters.

        Args:
            num_epochs (int): how many epochs, together with those before the checkpoint.
            event_handler (callable): called with a BeginEpochEvent, a BeginStepEvent and an EndStepEvent for each step,
                and an EndEpochEvent, for each epoch.
            reader (callable): returns an iterator over minibatches, lists of samples, as `fluidlite.batch` does.
            feed_order (list or dict): names of the variables in the order of a sample's fields, or from names to places
                in that order; None for the network's data variables as they were declared.
        Raises:
            TypeError: an argument has another type.
            ValueError: a name in feed_order is not known, or the reader ends before the checkpoint's step.
        """
        _check_callable("Trainer.train", "event_handler", event_handler)
        _check_callable("Trainer.train", "reader", reader)
        if isinstance(num_epochs, bool) or not isinstance(num_epochs, (int, np.integer)):
            raise TypeError(f"Trainer.train: num_epochs must be a whole number, got {described(num_epochs)}")
        self._stopped = False
        start, self._position = self._position, None
        if start is not None and start.epoch_id >= num_epochs:
            warnings.warn(
                f"nothing is left to train: the checkpoint in {self.checkpoint_cfg.checkpoint_dir} was saved in epoch "
                f"{start.epoch_id} (from 0), and num_epochs is {num_epochs}; delete it to begin anew",
                stacklevel=2,
            )
            self._position = start
            return
        with self._environment():
            feeder = DataFeeder(_feed_variables(self.train_program, feed_order), self.place)
            for epoch_id in range(start.epoch_id if start else 0, num_epochs):
                self._train_epoch(epoch_id, start, event_handler, reader, feeder)
                start = None
                if self._stopped:
                    break
        if self._checkpoints is not None:
            self._checkpoints.clear()

    def test(self, reader, feed_order=None):
        """The mean over a reader's minibatches of what `train_func` returned.

        Args:
            reader (callable): returns an iterator over minibatches, lists of samples.
            feed_order (list or dict): as in `train`.
        Returns:
            list: a float for each; for a Variable whose first row has several elements, the mean of that row, an array
                of float64, as in Fluid.  Scripts make one array of them, which NumPy does of numbers alone.
        Raises:
            TypeError: an argument has another type.
            ValueError: a name in feed_order is not known, or there are no minibatches.
        """
        _check_callable("Trainer.test", "reader", reader)
        feeder = DataFeeder(_feed_variables(self.test_program, feed_order), self.place)
        names = [variable.name for variable in self.train_func_outputs]
        sums, count = [0.0] * len(names), 0
        for minibatch in reader():
            values = self._exe.run(self.test_program, feeder.feed(minibatch), names, scope=self.scope)
            rows = [np.asarray(value, np.float64)[0] for value in map(np.atleast_1d, values)]
            sums = [total + row for total, row in zip(sums, rows, strict=True)]
            count += 1
        if not count:
            raise ValueError("Trainer.test: the reader yields no minibatches")
        return [np.asarray(total / count).item() if np.size(total) == 1 else total / count for total in sums]

    def save_params(self, param_path):
        """Save all persistable variables: parameters, optimizer state and statistics.

        `Inferencer` and `Trainer(param_path=...)` load them.

        Args:
            param_path (str): the folder; it is created.
        Raises:
            OSError: the files cannot be written; none is changed then.
        """
        with self._environment():
            io.save_persistables(self._exe, param_path, self.train_program)

    def save_inference_model(self, param_path, feeded_var_names, target_var_indexes):
        """Save what is needed to compute some of `train_func`'s outputs: see `fluid.io.save_inference_model`.

        Args:
            param_path (str): the folder; it is created.
            feeded_var_names (list of str): names of the inputs.
            target_var_indexes (list of int): which of `train_func`'s outputs.
        Raises:
            IndexError: `train_func` returned fewer Variables.
            TypeError, ValueError, OSError: as `fluid.io.save_inference_model`.
        """
        outputs = self.train_func_outputs
        for index in target_var_indexes:
            if not -len(outputs) <= index < len(outputs):
                raise IndexError(
                    f"save_inference_model: target_var_indexes holds {index}, but train_func returned {len(outputs)} "
                    f"Variables: {[variable.name for variable in outputs]}"
                )
        targets = [outputs[index] for index in target_var_indexes]
        with self._environment():
            io.save_inference_model(param_path, feeded_var_names, targets, self._exe)

    def _build(self, train_func, optimizer_func):
        with framework.program_guard(self.train_program, self.startup_program), unique_name.guard():
            outputs = train_func()
            self.train_func_outputs = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
            if not self.train_func_outputs or not all(isinstance(v, Variable) for v in self.train_func_outputs):
                raise TypeError(
                    "Trainer: train_func must return the loss, a Variable, or a list of Variables with the loss first, "
                    f"got {described(outputs)}"
                )
            self.test_program = self.train_program.clone(for_test=True)
            optimizer = optimizer_func()
            if not isinstance(optimizer, Optimizer):
                raise TypeError(f"Trainer: optimizer_func must return an Optimizer, got {described(optimizer)}")
            optimizer.minimize(self.train_func_outputs[0])

    def _load_params(self, param_path):
        if param_path is None:
            return
        if not os.path.isdir(param_path):
            warnings.warn(
                f"Trainer: there is no folder {param_path}; training begins with fresh parameters", stacklevel=3
            )
            return
        io.load_persistables(self._exe, param_path, self.train_program)

    def _train_epoch(self, epoch_id, start, event_handler, reader, feeder):
        if start is None or start.random_state is None:
            random_state = checkpoint.random_state() if self._checkpoints is not None else None
        else:
            random_state = start.random_state
            checkpoint.set_random_state(random_state)
        taken = start.step_id + 1 if start is not None else 0
        step_id = -1
        event_handler(BeginEpochEvent(epoch_id))
        for step_id, minibatch in enumerate(reader()):
            if self._stopped:
                return
            if step_id < taken:
                continue
            begin = BeginStepEvent(epoch_id, step_id)
            event_handler(begin)
            fetches = self.train_func_outputs if begin.fetch_metrics else []
            metrics = self._exe.run(self.train_program, feeder.feed(minibatch), fetches)
            event_handler(EndStepEvent(epoch_id, step_id, metrics))
            if self._checkpoints is not None and self.checkpoint_cfg._wants(epoch_id, step_id):
                position = checkpoint.Position(epoch_id, step_id, random_state)
                self._checkpoints.save(self._exe, self.train_program, position)
        if step_id + 1 < taken:
            raise ValueError(
                f"Trainer.train: the checkpoint in {self.checkpoint_cfg.checkpoint_dir} was saved after {taken} steps "
                f"of epoch {epoch_id}, but now the reader yields only {step_id + 1} minibatches; delete the checkpoint "
                "to begin anew"
            )
        event_handler(EndEpochEvent(epoch_id))

    @contextlib.contextmanager
    def _environment(self):
        with framework.program_guard(self.train_program, self.startup_program), scope_guard(self.scope):
            yield


def _default_place():
    return core.CUDAPlace(0) if core.is_compiled_with_cuda() else core.CPUPlace()


def _feed_variables(program, feed_order):
    """The Variables of a Program in the order of a sample's fields."""
    block = program.global_block()
    if feed_order is None:
        return [variable for variable in block.vars.values() if variable.is_data]
    if isinstance(feed_order, dict):
        if sorted(feed_order.values()) != list(range(len(feed_order))):
            raise ValueError(
                f"feed_order must number the names from 0 to {len(feed_order) - 1}, each once, got {feed_order}"
            )
        feed_order = sorted(feed_order, key=feed_order.get)
    if not isinstance(feed_order, (list, tuple)):
        raise TypeError(f"feed_order must be a list of names, a dict or None, got {described(feed_order)}")
    return [block.var(name) for name in feed_order]


def _check_callable(caller, argument, value):
    if not callable(value):
        raise TypeError(f"{caller}: {argument} must be a function, got {described(value)}")


def _positive(argument, value):
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"CheckpointConfig: {argument} must be a whole number, got {described(value)}")
    if value < 1:
        raise ValueError(f"CheckpointConfig: {argument} must be at least 1, got {value}")
    return int(value)
