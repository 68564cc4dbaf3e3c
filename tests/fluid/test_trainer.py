"""Trainer and Inferencer: events, metrics, saved parameters, and checkpoints that survive a kill."""

import errno
import json
import os
import random
import re
import subprocess
import sys

import numpy as np
import pytest
from paths import ROOT

import fluidlite as paddle
import fluidlite.fluid as fluid
from fluidlite.dataset import digits
from fluidlite.fluid.io import ModelFileError

FEEDS = ["img", "label"]


def classifier():
    img = fluid.layers.data("img", [1, 28, 28])
    hidden = fluid.nets.simple_img_conv_pool(img, 4, 5, 2, 2, act="relu")
    hidden = fluid.layers.dropout(fluid.layers.batch_norm(hidden), 0.3)
    return fluid.layers.fc(hidden, 10, act="softmax")


def train_func():
    label = fluid.layers.data("label", [1], dtype="int64")
    prediction = classifier()
    loss = fluid.layers.mean(fluid.layers.cross_entropy(prediction, label))
    return [loss, fluid.layers.accuracy(prediction, label)]


def optimizer_func():
    return fluid.optimizer.Adam(fluid.layers.exponential_decay(0.002, 5, 0.9))


def trainer(**options):
    return fluid.Trainer(train_func, optimizer_func, place=fluid.CPUPlace(), **options)


@pytest.fixture(scope="module")
def samples():
    return list(digits.train(size=192)())


@pytest.fixture
def reader(samples):
    """Six minibatches, in another order in each epoch."""
    random.seed(3)
    return paddle.batch(paddle.reader.shuffle(lambda: iter(samples), 100), 32)


def values(scope):
    """All values in a scope that belong to a network, by name."""
    return {name: np.array(scope.find_var(name).get_tensor()) for name in sorted(scope.local_var_names())}


def assert_same_values(one, other):
    assert one.keys() == other.keys() and len(one) > 10
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)


class Recorder:
    """An event handler that notes events, and raises KeyboardInterrupt after a step that is given."""

    def __init__(self, interrupt=None):
        self.events, self.losses, self.interrupt = [], {}, interrupt

    def __call__(self, event):
        name = type(event).__name__.removesuffix("Event")
        self.events.append((name, event.epoch, *([event.step] if hasattr(event, "step") else [])))
        if isinstance(event, fluid.EndStepEvent):
            self.losses[event.epoch, event.step] = float(event.metrics[0])
            if (event.epoch, event.step) == self.interrupt:
                raise KeyboardInterrupt


def test_events_come_in_order_and_the_network_learns(reader):
    learner, recorder = trainer(), Recorder()
    before = learner.test(reader, FEEDS)
    learner.train(4, recorder, reader, FEEDS)
    epoch = [(name, step) for step in range(6) for name in ("BeginStep", "EndStep")]
    assert recorder.events == [
        event
        for number in range(4)
        for event in [
            ("BeginEpoch", number),
            *((name, number, step) for name, step in epoch),
            ("EndEpoch", number),
        ]
    ]
    loss, accuracy = learner.test(reader, FEEDS)
    assert type(loss) is float and loss < 0.8 * before[0] and accuracy > before[1]


def test_it_trains_as_the_executor_does(reader, exe):
    learner, recorder = trainer(), Recorder()
    learner.train(1, recorder, reader, FEEDS)
    outputs = train_func()
    optimizer_func().minimize(outputs[0])
    exe.run(fluid.default_startup_program())
    random.seed(3)
    feeder = fluid.DataFeeder(FEEDS, fluid.CPUPlace())
    losses = [float(exe.run(feed=feeder.feed(batch), fetch_list=outputs)[0]) for batch in reader()]
    assert list(recorder.losses.values()) == losses
    assert_same_values(values(learner.scope), values(fluid.global_scope()))


def test_parallel_is_the_same(reader):
    one, other = trainer(), trainer(parallel=True)
    one.train(1, Recorder(), reader, FEEDS)
    random.seed(3)
    other.train(1, Recorder(), reader, FEEDS)
    assert_same_values(values(one.scope), values(other.scope))


def test_metrics_are_arrays_that_print_and_are_fetched_on_wish(reader):
    seen = []

    def handler(event):
        if isinstance(event, fluid.BeginStepEvent):
            event.fetch_metrics = event.step % 2 == 0
        if isinstance(event, fluid.EndStepEvent):
            seen.append(event.metrics)

    trainer().train(1, handler, reader, FEEDS)
    assert [len(metrics) for metrics in seen] == [2, 0] * 3
    loss, accuracy = seen[0]
    assert loss.shape == accuracy.shape == (1,) and loss.dtype == np.float32
    assert float("%f" % loss) == pytest.approx(loss[0], abs=1e-6)


def test_stop_ends_before_the_next_step_but_a_complete_epoch_is_announced(reader):
    for step, last in (2, ("EndStep", 1, 2)), (5, ("EndEpoch", 1)):
        learner, recorder = trainer(), Recorder()

        def handler(event, learner=learner, recorder=recorder, step=step):
            recorder(event)
            if isinstance(event, fluid.EndStepEvent) and (event.epoch, event.step) == (1, step):
                learner.stop()

        learner.train(3, handler, reader, FEEDS)
        assert recorder.events[-1] == last
        learner.train(1, recorder, reader, FEEDS)  # trains again
        assert recorder.events[-1] == ("EndEpoch", 0)


def test_a_handler_sees_the_trainers_program_and_scope(reader):
    learner, seen = trainer(), []

    def handler(event):
        seen.append((fluid.default_main_program(), fluid.global_scope()))

    learner.train(1, handler, reader, FEEDS)
    assert set(seen) == {(learner.train_program, learner.scope)}
    assert fluid.default_main_program() is not learner.train_program


@pytest.mark.parametrize("feed_order", [["label", "img"], {"img": 1, "label": 0}, None])
def test_feed_order_says_which_field_is_which(samples, feed_order):
    # None: in the order of their declaration, which is label first.
    def reversed_fields():
        yield [(label, img) for img, label in samples[:32]]

    by_order, by_name = trainer(), trainer()
    by_order.train(1, Recorder(), reversed_fields, feed_order)
    by_name.train(1, Recorder(), lambda: iter([samples[:32]]), FEEDS)
    assert_same_values(values(by_order.scope), values(by_name.scope))


def test_test_averages_over_minibatches_as_fluid_does():
    def ones():
        x = fluid.layers.data("x", [2])
        return [fluid.layers.mean(fluid.layers.fc(x, 1, param_attr=fluid.initializer.Constant(1))), x]

    batches = [[([1, 2],), ([3, 4],)], [([5, 6],)]]
    loss, rows = fluid.Trainer(ones, lambda: fluid.optimizer.SGD(0.1)).test(lambda: iter(batches), ["x"])
    assert type(loss) is float and loss == (5 + 11) / 2  # each minibatch counts the same, whatever its size
    np.testing.assert_array_equal(rows, [3.0, 4.0])  # the mean of the minibatches' first rows


def test_an_inferencer_predicts_with_saved_parameters(reader, tmp_path, samples):
    learner = trainer()
    learner.train(1, Recorder(), reader, FEEDS)
    learner.save_params(str(tmp_path / "params"))
    images = np.array([img for img, _ in samples[:9]]).reshape(-1, 1, 28, 28)
    inferencer = fluid.Inferencer(classifier, str(tmp_path / "params"), place=fluid.CPUPlace())
    [probabilities] = inferencer.infer({"img": images})
    assert probabilities.shape == (9, 10)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(probabilities, inferencer.infer({"img": images})[0])  # no dropout
    [tensor] = inferencer.infer({"img": images}, return_numpy=False)
    assert isinstance(tensor, fluid.LoDTensor)

    learner.save_inference_model(str(tmp_path / "model"), ["img", "label"], [1])
    exe = fluid.Executor(fluid.CPUPlace())
    program, feeds, fetches = fluid.io.load_inference_model(str(tmp_path / "model"), exe)
    labels = np.array([[label] for _, label in samples[:9]])
    [accuracy] = exe.run(program, dict(zip(feeds, [images, labels], strict=True)), fetches)
    assert float(accuracy) == pytest.approx(np.mean(probabilities.argmax(axis=1) == labels[:, 0]))


def test_a_trainer_begins_with_saved_parameters(reader, tmp_path):
    one = trainer()
    one.train(2, Recorder(), reader, FEEDS)
    random.seed(3)
    first = trainer()
    first.train(1, Recorder(), reader, FEEDS)
    first.save_params(str(tmp_path / "params"))
    second = trainer(param_path=str(tmp_path / "params"))
    second.train(1, Recorder(), reader, FEEDS)
    assert_same_values(values(one.scope), values(second.scope))
    with pytest.warns(UserWarning, match="no folder .*nowhere; training begins with fresh parameters"):
        trainer(param_path=str(tmp_path / "nowhere"))


@pytest.fixture
def config(tmp_path):
    """Makes CheckpointConfigs for one folder."""
    return lambda **options: fluid.CheckpointConfig(str(tmp_path / "checkpoints"), **options)


def read(*path):
    with open(os.path.join(*path)) as file:
        return file.read()


def test_checkpoints_are_folders_as_fluids(reader, config, tmp_path):
    settings = config(max_num_checkpoints=2, epoch_interval=2, step_interval=3)
    learner, saved = trainer(checkpoint_config=settings), {}

    def handler(event):
        if isinstance(event, fluid.BeginStepEvent) and os.path.isdir(settings.checkpoint_dir):
            saved[event.epoch, event.step] = sorted(os.listdir(settings.checkpoint_dir))
        if isinstance(event, fluid.EndEpochEvent) and event.epoch == 2:
            newest = os.path.join(settings.checkpoint_dir, "checkpoint_3")
            names = {v.name for v in learner.train_program.list_vars() if v.persistable}
            assert names < set(os.listdir(os.path.join(newest, "__model__")))
            assert os.path.exists(os.path.join(newest, "__model__", "_SUCCESS"))
            assert read(newest, "trainer_0", "epoch_id") == "2" and read(newest, "trainer_0", "step_id") == "3"

    learner.train(3, handler, reader, FEEDS)
    expected = {(0, step): ["checkpoint_0"] for step in (1, 2, 3)}
    expected |= {(0, step): ["checkpoint_0", "checkpoint_1"] for step in (4, 5)}
    expected |= {(1, step): ["checkpoint_0", "checkpoint_1"] for step in range(6)}
    expected |= {(2, 0): ["checkpoint_0", "checkpoint_1"]}
    expected |= {(2, step): ["checkpoint_1", "checkpoint_2"] for step in (1, 2, 3)}
    expected |= {(2, step): ["checkpoint_2", "checkpoint_3"] for step in (4, 5)}
    assert saved == expected
    assert os.listdir(settings.checkpoint_dir) == []  # training has ended


@pytest.mark.parametrize(
    "interrupt, saved_at", [((0, 0), (0, 0)), ((0, 1), (0, 0)), ((1, 4), (1, 3)), ((1, 5), (1, 3))]
)
def test_training_goes_on_after_the_last_checkpoint(reader, config, interrupt, saved_at):
    whole = Recorder()
    undisturbed = trainer()
    undisturbed.train(2, whole, reader, FEEDS)

    random.seed(3)
    after = (interrupt[0], interrupt[1] + 1) if interrupt == saved_at else interrupt
    with pytest.raises(KeyboardInterrupt):
        trainer(checkpoint_config=config(step_interval=3)).train(2, Recorder(after), reader, FEEDS)
    random.seed(77)  # the new process knows nothing of the old one's state
    resumed, recorder = trainer(checkpoint_config=config(step_interval=3)), Recorder()
    resumed.train(2, recorder, reader, FEEDS)

    following = [step for step in whole.losses if step > saved_at]
    assert recorder.losses == {step: whole.losses[step] for step in following}
    assert recorder.events[:2] == [("BeginEpoch", saved_at[0]), ("BeginStep", *following[0])]
    assert_same_values(values(resumed.scope), values(undisturbed.scope))


def test_a_reader_that_shuffles_with_numpy_goes_on_too(samples, config):
    def reader():
        order = np.random.permutation(len(samples))
        yield from ([samples[i] for i in order[start : start + 32]] for start in range(0, len(samples), 32))

    np.random.seed(1)
    undisturbed = trainer()
    undisturbed.train(2, Recorder(), reader, FEEDS)
    np.random.seed(1)
    with pytest.raises(KeyboardInterrupt):
        trainer(checkpoint_config=config(step_interval=2)).train(2, Recorder((1, 4)), reader, FEEDS)
    np.random.seed(2)
    resumed = trainer(checkpoint_config=config())
    resumed.train(2, Recorder(), reader, FEEDS)
    assert_same_values(values(resumed.scope), values(undisturbed.scope))


def interrupted(config, reader, step=(1, 4), **options):
    """A folder with the checkpoints of a training run that was interrupted; returns its path."""
    settings = config(step_interval=1, **options)
    with pytest.raises(KeyboardInterrupt):
        trainer(checkpoint_config=settings).train(2, Recorder(step), reader, FEEDS)
    return settings.checkpoint_dir


def test_a_checkpoint_without_its_mark_does_not_count(reader, config):
    """As Fluid left them when it was killed while it saved."""
    folder = interrupted(config, reader)
    assert sorted(os.listdir(folder)) == ["checkpoint_7", "checkpoint_8", "checkpoint_9"]
    os.remove(os.path.join(folder, "checkpoint_9", "__model__", "_SUCCESS"))
    recorder = Recorder((1, 3))
    with pytest.raises(KeyboardInterrupt):
        trainer(checkpoint_config=config(step_interval=1)).train(2, recorder, reader, FEEDS)
    assert recorder.events[1] == ("BeginStep", 1, 3)
    recorder = Recorder()
    trainer(checkpoint_config=config(step_interval=1)).train(2, recorder, reader, FEEDS)
    assert recorder.events[1] == ("BeginStep", 1, 3)
    assert os.listdir(folder) == ["checkpoint_9"]


def test_what_a_kill_left_behind_is_cleaned_up(reader, config):
    folder = interrupted(config, reader)
    for name in ".checkpoint_unfinished", ".checkpoint_removed":
        os.makedirs(os.path.join(folder, name, "__model__"))
    trainer(checkpoint_config=config(step_interval=1)).train(2, Recorder(), reader, FEEDS)
    assert os.listdir(folder) == []


def test_other_files_in_the_folder_are_left_alone(reader, config):
    folder = config().checkpoint_dir
    for name in "checkpoint_5", "checkpoint_best", "checkpoint_07", "data":
        os.makedirs(os.path.join(folder, name))
    interrupted(config, reader, max_num_checkpoints=1)
    mine = ["checkpoint_07", "checkpoint_5", "checkpoint_best", "data"]
    assert sorted(os.listdir(folder)) == sorted([*mine, "checkpoint_15"])
    trainer(checkpoint_config=config()).train(2, Recorder(), reader, FEEDS)
    assert sorted(os.listdir(folder)) == mine


def test_a_checkpoint_of_fluid_has_no_random_state(reader, config):
    folder = interrupted(config, reader)
    os.remove(os.path.join(folder, "checkpoint_9", "trainer_0", "random_state"))
    recorder = Recorder()
    trainer(checkpoint_config=config()).train(2, recorder, reader, FEEDS)
    assert recorder.events[1] == ("BeginStep", 1, 4)


def test_a_checkpoint_comes_before_param_path(reader, config, tmp_path):
    fresh = trainer()
    fresh.save_params(str(tmp_path / "params"))
    interrupted(config, reader)
    resumed = trainer(checkpoint_config=config(), param_path=str(tmp_path / "params"))
    weights = values(resumed.scope)
    assert any(not np.array_equal(value, weights[name]) for name, value in values(fresh.scope).items())


@pytest.mark.parametrize(
    "file, content, words",
    [
        ("trainer_0/step_id", b"three", r"step_id: this is no int: b'three' \(at byte 0\)"),
        ("trainer_0/random_state", b"[1]", "random_state: this is no dict"),
        ("__model__/fc_0.b_0", b"\0\0\0", "fc_0.b_0"),
        ("__model__/fc_0.b_0", None, "no file for the variable fc_0.b_0"),
    ],
)
def test_a_damaged_checkpoint_is_refused_with_a_way_out(reader, config, file, content, words):
    folder = interrupted(config, reader)
    path = os.path.join(folder, "checkpoint_9", file)
    os.remove(path)
    if content is not None:
        with open(path, "wb") as damaged:
            damaged.write(content)
    with pytest.raises(ModelFileError, match="cannot resume from .*checkpoint_9: ") as refused:
        trainer(checkpoint_config=config())
    assert re.search(words, str(refused.value))
    assert "without all folders checkpoint_N, from the beginning" in str(refused.value)


def test_training_that_has_come_too_far_says_so(reader, config, samples):
    folder = interrupted(config, reader)
    with pytest.warns(UserWarning, match=r"nothing is left to train: .* epoch 1 \(from 0\), and num_epochs is 1"):
        trainer(checkpoint_config=config()).train(1, Recorder(), reader, FEEDS)
    assert "checkpoint_9" in os.listdir(folder)
    with pytest.raises(ValueError, match="after 4 steps of epoch 1, but now the reader yields only 1 minibatches"):
        trainer(checkpoint_config=config()).train(2, Recorder(), lambda: iter([samples[:32]]), FEEDS)
    assert "checkpoint_9" in os.listdir(folder)


def test_a_failing_save_leaves_the_checkpoints_that_are_there(reader, config, monkeypatch):
    folder = interrupted(config, reader)

    def full(*_):
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr("fluidlite.proto.files._write", full)
    with pytest.raises(OSError, match="no space left"):
        trainer(checkpoint_config=config(step_interval=1)).train(2, Recorder(), reader, FEEDS)
    monkeypatch.undo()
    recorder = Recorder()
    trainer(checkpoint_config=config()).train(2, recorder, reader, FEEDS)
    assert recorder.events[1] == ("BeginStep", 1, 4)
    assert os.listdir(folder) == []


def test_the_position_is_plain_text(reader, config):
    folder = interrupted(config, reader)
    state = json.loads(read(folder, "checkpoint_9", "trainer_0", "random_state"))
    assert set(state) == {"python", "numpy"}


@pytest.mark.thorough
def test_killed_at_random_moments_it_ends_with_the_same_parameters():
    tool = os.path.join(ROOT, "tools", "reliability", "kill_trainer.py")
    done = subprocess.run([sys.executable, tool, "--kills", "6"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("6 kills, ") and "bit for bit" in done.stdout


def loss_of(shape):
    return lambda: fluid.layers.mean(fluid.layers.fc(fluid.layers.data("x", shape), 1))


@pytest.mark.parametrize(
    "make, error, words",
    [
        (lambda: fluid.Trainer(lambda: 3, optimizer_func), TypeError, "train_func must return the loss.* got int 3"),
        (lambda: fluid.Trainer(lambda: [], optimizer_func), TypeError, "train_func must return the loss"),
        (lambda: fluid.Trainer(loss_of([2]), lambda: None), TypeError, "optimizer_func must return an Optimizer"),
        (lambda: fluid.Trainer(train_func, optimizer_func()), TypeError, "optimizer_func must be a function, got Adam"),
        (lambda: fluid.Trainer(None, optimizer_func), TypeError, "train_func must be a function, got NoneType None"),
        (lambda: trainer(checkpoint_config="folder"), TypeError, "must be a CheckpointConfig, got str 'folder'"),
        (lambda: fluid.CheckpointConfig(step_interval=0), ValueError, "step_interval must be at least 1, got 0"),
        (lambda: fluid.CheckpointConfig(max_num_checkpoints=2.0), TypeError, "must be a whole number, got float 2.0"),
        (lambda: trainer().train(1, Recorder()), TypeError, "reader must be a function, got NoneType None"),
        (lambda: trainer().train("1", print, list), TypeError, "num_epochs must be a whole number, got str '1'"),
        (lambda: trainer().train(1, None, list), TypeError, "event_handler must be a function"),
        (lambda: trainer().train(1, print, list, ["image"]), ValueError, "image"),
        (lambda: trainer().train(1, print, list, {"img": 1, "label": 2}), ValueError, "number the names from 0 to 1"),
        (lambda: trainer().train(1, print, list, "img"), TypeError, "feed_order must be a list of names"),
        (lambda: trainer().test(list, FEEDS), ValueError, "the reader yields no minibatches"),
        (lambda: trainer().save_inference_model("x", ["img"], [2]), IndexError, "holds 2, but train_func returned 2"),
        (lambda: fluid.Inferencer(None, "x"), TypeError, "infer_func must be a function, got NoneType None"),
        (lambda: fluid.Inferencer(lambda: None, "x"), TypeError, "infer_func must return the prediction"),
        (lambda: fluid.Inferencer(classifier, "nowhere"), ModelFileError, "no folder nowhere"),
    ],
)
def test_mistakes_are_explained(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_inputs_that_are_no_dict_are_refused(tmp_path):
    learner = fluid.Trainer(loss_of([2]), lambda: fluid.optimizer.SGD(0.1))
    learner.save_params(str(tmp_path))
    inferencer = fluid.Inferencer(loss_of([2]), str(tmp_path))
    with pytest.raises(ValueError, match="needs a dict from variable names to arrays, got ndarray"):
        inferencer.infer(np.ones((1, 2), "float32"))


@pytest.mark.parametrize(
    "statement",
    [
        "from fluidlite.fluid import Trainer, Inferencer, CheckpointConfig",
        "from fluidlite.fluid.trainer import *; from fluidlite.fluid.inferencer import *",
        "from fluidlite.fluid.contrib.trainer import *; from fluidlite.fluid.contrib.inferencer import *",
        "from fluidlite.fluid.contrib import Trainer, Inferencer, CheckpointConfig",
        "import fluidlite.fluid as fluid; Trainer = fluid.contrib.trainer.Trainer; "
        "Inferencer = fluid.contrib.inferencer.Inferencer; CheckpointConfig = fluid.contrib.CheckpointConfig",
    ],
)
def test_it_is_found_where_each_version_of_fluid_had_it(statement):
    names = {}
    exec(statement, names)
    for name in "Trainer", "Inferencer", "CheckpointConfig":
        assert names[name] is getattr(fluid, name)


def test_scripts_of_all_those_versions_run_as_they_are(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(
        "import fluidlite; fluidlite.install_as_paddle()\n"
        "import paddle.fluid as fluid\n"
        "try:\n"
        "    from paddle.fluid.contrib.trainer import *\n"
        "    from paddle.fluid.contrib.inferencer import *\n"
        "except ImportError:\n"
        "    from paddle.fluid.trainer import *\n"
        "    from paddle.fluid.inferencer import *\n"
        "import paddle.fluid.trainer, paddle.fluid.inferencer\n"
        "assert Trainer is fluid.Trainer is paddle.fluid.trainer.Trainer is fluid.contrib.Trainer\n"
        "assert Inferencer is paddle.fluid.inferencer.Inferencer and EndStepEvent is fluid.EndStepEvent\n"
    )
    subprocess.run([sys.executable, script], check=True)
