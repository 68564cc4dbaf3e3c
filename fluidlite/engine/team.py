"""The threads that work beside the one that calls `Executor.run`."""

import os
import threading
from _thread import allocate_lock

import numpy as np

# Elements that NumPy copies at a time where it needs operands aligned or alike; of its own 8192, part is out of the
# nearest cache when it is read (adding a number for each channel: 0.10 against 0.17 ns per element).
BUFFER = 1024


class Team:
    """A few threads that wait for work.

    NumPy gives up Python's global lock inside its loops and products, so threads that call it work at the same time.
    """

    def __init__(self):
        self._busy = allocate_lock()
        self._workers = []

    def run(self, tasks):
        """Call all functions, the first one in this thread and each other one in a thread of its own; wait for all.

        Where the team is at work for another caller already, this thread calls them one after the other.
        Raises:
            the exception of the first task that failed, after all have ended.
        """
        if len(tasks) == 1 or not self._busy.acquire(blocking=False):
            for task in tasks:
                task()
            return
        failures = []
        try:
            while len(self._workers) < len(tasks) - 1:
                self._workers.append(_Worker())
            workers = self._workers[: len(tasks) - 1]
            for worker, task in zip(workers, tasks[1:], strict=True):
                worker.start(task)
            try:
                tasks[0]()
            except BaseException as error:
                failures.append(error)
            for worker in workers:
                failures += worker.wait()
        finally:
            self._busy.release()
        if failures:
            raise failures[0]


class _Worker:
    """One thread, and the task that it is at (None while it waits)."""

    def __init__(self):
        self._task = None
        self._errors = []
        self._go, self._done = allocate_lock(), allocate_lock()
        self._go.acquire()
        threading.Thread(target=self._work, name="fluidlite", daemon=True).start()

    def start(self, task):
        self._errors = []
        self._task = task
        self._done.acquire(blocking=False)
        self._go.release()

    def wait(self):
        """Wait for the end of the task; returns the exceptions that there were, an interrupt of the wait among them."""
        interrupts = []
        # `_done` may still be open from the task before, and an interrupt may fall on either side of `acquire`.
        while self._task is not None:
            try:
                self._done.acquire()
            except BaseException as error:
                interrupts.append(error)
        return interrupts + self._errors

    def _work(self):
        np.seterr(all="ignore")
        np.setbufsize(BUFFER)
        while True:
            self._go.acquire()
            try:
                self._task()
            except BaseException as error:
                self._errors.append(error)
            self._task = None
            if self._done.locked():
                self._done.release()


team = Team()

if hasattr(os, "register_at_fork"):
    # Threads do not survive a fork; the child starts its own.
    os.register_at_fork(after_in_child=team.__init__)
