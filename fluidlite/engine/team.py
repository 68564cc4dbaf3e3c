"""The threads that work beside the one that calls `Executor.run`."""

import os
import threading
from _thread import allocate_lock
from collections import deque

import numpy as np

# Elements that NumPy copies at a time where it needs operands aligned or alike; of its own 8192, part is out of the
# nearest cache when it is read (adding a number for each channel: 0.10 against 0.17 ns per element).
BUFFER = 1024


class Team:
    """A few threads that wait for work.

    NumPy gives up Python's global lock inside its loops and products, so threads that call it work at the same time.
    """

    def __init__(self):
        # The thread that an interrupt (KeyboardInterrupt) kept from releasing it can still acquire it.
        self._busy = threading.RLock()
        self._workers = []
        self._jobs = []  # those handed out, of which nobody has seen the end

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
        try:
            self._end(cancel=True)  # two interrupts in a row may have left jobs behind
            self._jobs = jobs = [_Job(task) for task in tasks[1:]]
            while len(self._workers) < len(jobs):
                self._workers.append(_Worker())
            for worker, job in zip(self._workers, jobs, strict=False):
                worker.give(job)
            try:
                tasks[0]()
                self._end()
            except BaseException:
                self._end(cancel=True)
                raise
        finally:
            self._busy.release()
        for job in jobs:
            if job.error is not None:
                raise job.error

    def _end(self, cancel=False):
        """Wait for the end of all jobs; with `cancel`, those that no worker has begun are not begun any more."""
        for worker, job in zip(self._workers, self._jobs, strict=False):
            if cancel:
                job.task = None
                worker.give(job)  # an interrupt may have come before it was handed out
            # An interrupt may fall behind `acquire`, so that is no proof of anything.
            while not job.ended:
                job.end.acquire()
        self._jobs = []


class _Job:
    """What one worker does in one run.  A worker that gets it again does nothing."""

    __slots__ = ("task", "error", "ended", "end")

    def __init__(self, task):
        self.task = task
        self.error = None
        self.ended = False
        self.end = allocate_lock()
        self.end.acquire()

    def __call__(self):
        task, self.task = self.task, None
        try:
            if task is not None:
                task()
        except BaseException as error:
            self.error = error
        self.ended = True
        if self.end.locked():
            self.end.release()


class _Worker:
    """One thread, and the jobs that wait for it."""

    def __init__(self):
        self._jobs = deque()
        self._go = allocate_lock()
        self._go.acquire()
        threading.Thread(target=self._work, name="fluidlite", daemon=True).start()

    def give(self, job):
        """Let the thread do a job; only one thread at a time may call this."""
        self._jobs.append(job)
        if self._go.locked():
            self._go.release()

    def _work(self):
        np.seterr(all="ignore")
        np.setbufsize(BUFFER)
        while True:
            self._go.acquire()
            while self._jobs:
                self._jobs.popleft()()


team = Team()

if hasattr(os, "register_at_fork"):
    # Threads do not survive a fork; the child starts its own.
    os.register_at_fork(after_in_child=team.__init__)
