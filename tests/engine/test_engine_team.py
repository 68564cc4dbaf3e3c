"""The threads beside the one that runs a plan, and what interrupts, forks and several callers do to them."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import fluidlite.fluid as fluid
from fluidlite.engine.team import Team
from fluidlite.fluid import layers


@pytest.fixture
def team():
    return Team()


def test_all_functions_run_at_the_same_time(team):
    barrier = threading.Barrier(3, timeout=10)
    for _ in range(3):
        team.run([barrier.wait] * 3)


def test_the_first_function_runs_in_the_calling_thread_and_the_others_in_the_same_ones_each_time(team):
    seen = [[], [], []]
    for _ in range(3):
        team.run([lambda found=found: found.append(threading.get_ident()) for found in seen])
    assert [len(set(found)) for found in seen] == [1, 1, 1]
    assert seen[0][0] == threading.get_ident()
    assert len({found[0] for found in seen}) == 3


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_a_failure_is_raised_after_all_have_ended(team, failing):
    ended = []

    def task(number):
        if number == failing:
            raise KeyError(number)
        time.sleep(0.02)
        ended.append(number)

    for _ in range(2):
        with pytest.raises(KeyError):
            team.run([lambda number=number: task(number) for number in range(3)])
        known = list(ended)
        time.sleep(0.03)
        assert ended == known
        ended.clear()
    team.run([lambda number=number: ended.append(number) for number in range(3)])
    assert sorted(ended) == [0, 1, 2]


def test_of_several_failures_the_first_function_tells(team):
    def fail(number):
        raise KeyError(number)

    with pytest.raises(KeyError, match="1"):
        team.run([lambda: None, lambda: fail(1), lambda: fail(2)])


def test_while_the_team_is_at_work_other_callers_do_theirs_themselves(team):
    threads = []

    def inside():
        other = threading.Thread(target=lambda: team.run([lambda: threads.append(threading.get_ident())] * 2))
        other.start()
        other.join(10)

    team.run([inside, lambda: None])
    assert len(threads) == 2 and len(set(threads)) == 1


def network(width=20):
    x = fluid.data("x", [None, 20], "float64")
    loss = layers.mean(layers.square(layers.fc(layers.batch_norm(layers.fc(x, width, act="tanh")), 1)))
    feed = {"x": np.random.RandomState(0).standard_normal((9, 20))}
    return loss, feed


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs signals")
def test_an_interrupt_at_any_time_leaves_the_executor_in_order(exe, monkeypatch):
    """The learning rate is 0, so that every run that goes through gives the same."""
    monkeypatch.setenv("FLUIDLITE_SHARDS", "2")
    loss, feed = network()
    fluid.optimizer.SGD(0.0).minimize(loss)
    exe.run(fluid.default_startup_program())
    wanted = exe.run(feed=feed, fetch_list=[loss])[0]

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    rng = np.random.RandomState(0)
    interrupts, end = 0, time.monotonic() + 2
    try:
        while time.monotonic() < end:
            try:
                signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-5, 2e-3))
                for _ in range(100):
                    assert exe.run(feed=feed, fetch_list=[loss])[0] == wanted
            except KeyboardInterrupt:
                interrupts += 1
    finally:
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert interrupts > 10
    assert exe.run(feed=feed, fetch_list=[loss])[0] == wanted


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # a process with threads forks
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_runs_plans_even_if_another_thread_did_so_meanwhile(exe, monkeypatch):
    monkeypatch.setenv("FLUIDLITE_SHARDS", "2")
    loss, feed = network()
    program, scope = fluid.default_main_program(), fluid.global_scope()
    exe.run(fluid.default_startup_program())
    wanted = exe.run(feed=feed, fetch_list=[loss])[0]
    other, stop = fluid.Executor(), threading.Event()

    def work():
        while not stop.is_set():
            other.run(program, feed, [loss], scope=scope)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(10):
            child = os.fork()
            if child == 0:
                signal.alarm(20)  # rather than hang
                os._exit(int(exe.run(program, feed, [loss], scope=scope)[0] != wanted))
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        thread.join()


def test_executors_of_several_threads_train_as_if_they_were_alone(monkeypatch):
    monkeypatch.setenv("FLUIDLITE_SHARDS", "2")
    building = threading.Lock()

    def train(seed, found):
        main, startup, scope = fluid.Program(), fluid.Program(), fluid.Scope()
        main.random_seed = startup.random_seed = seed
        with building, fluid.program_guard(main, startup), fluid.unique_name.guard():
            loss, feed = network()
            fluid.optimizer.Adam(0.01).minimize(loss)
        exe = fluid.Executor()
        exe.run(startup, scope=scope)
        found[seed] = [float(exe.run(main, feed, [loss], scope=scope)[0]) for _ in range(50)]

    alone, together = {}, {}
    for seed in (1, 2, 3):
        train(seed, alone)
    threads = [threading.Thread(target=train, args=(seed, together)) for seed in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


def test_one_executor_serves_several_threads_until_it_is_closed(exe, monkeypatch):
    monkeypatch.setenv("FLUIDLITE_SHARDS", "2")
    loss, feed = network()
    program, scope = fluid.default_main_program(), fluid.global_scope()
    exe.run(fluid.default_startup_program())
    wanted = exe.run(feed=feed, fetch_list=[loss])[0]
    found, errors, started = [], [], threading.Barrier(4)

    def work():
        started.wait()
        try:
            while True:
                found.append(exe.run(program, feed, [loss], scope=scope)[0] == wanted)
        except RuntimeError as error:
            errors.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    started.wait()
    time.sleep(0.1)
    exe.close()
    for thread in threads:
        thread.join(10)
    assert all(found) and errors == ["this Executor is closed; make a new one"] * 3


def test_a_process_ends_while_a_daemon_thread_runs_plans():
    script = """
import threading, time
import numpy as np
import fluidlite.fluid as fluid
x = fluid.data("x", [None, 20])
out = fluid.layers.fc(x, 2000)
exe = fluid.Executor()
exe.run(fluid.default_startup_program())
arguments = fluid.default_main_program(), {"x": np.ones((500, 20), "float32")}, [out]
scope = fluid.global_scope()
def work():
    while True:
        exe.run(*arguments, scope=scope)
threading.Thread(target=work, daemon=True).start()
time.sleep(0.2)
print("the end")
"""
    environment = {**os.environ, "FLUIDLITE_SHARDS": "2"}
    ended = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (0, "the end\n"), ended.stderr
