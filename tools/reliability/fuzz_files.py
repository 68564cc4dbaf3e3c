"""Damage files of models and checkpoints in thousands of ways, and see that reading them fails well or succeeds.

    python tools/reliability/fuzz_files.py                                # 20,000 damaged files, on all cores
    python tools/reliability/fuzz_files.py --count 400 --seed 3 --hostile
    python tools/reliability/fuzz_files.py --seed 0 --only 1234 --keep /tmp/broken

A case is a sound folder (made by fluidlite here, or recorded from the real Paddle) with one file damaged at random:
at any byte, or where the format hurts (sizes, lengths, names, blocks, the steps of a pickle).  `--hostile` adds those
that were thought out by hand.  Every function that reads such a file gets it.  It may succeed, or raise ModelFileError
with one line that names the file.  It fails with any other exception, if the process dies, after 1 s of processor time
or 64 MB of memory beyond the files' size (asked for, even if never used), if it creates, changes or removes any file,
opens one outside of the folder, or runs or imports anything.  A failure is printed with its seed and index, which make
the same case again; `--keep` keeps the damaged folder.
"""

import argparse
import contextlib
import importlib
import io
import json
import os
import random
import selectors
import shutil
import signal
import sys
import tempfile
import time
import traceback
import types
from collections import Counter
from pathlib import Path

# One thread: a forked process has no others, and their stacks would count as memory.
os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", FLUIDLITE_SHARDS="1")
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from fuzzing import guard  # noqa: E402
from fuzzing.hostile import HOSTILE  # noqa: E402
from fuzzing.mutations import mutate  # noqa: E402
from fuzzing.samples import a_tensor, samples  # noqa: E402

import fluidlite.fluid as fluid  # noqa: E402
from fluidlite.__main__ import main as command_line  # noqa: E402

PATIENCE = 20.0  # seconds without a word from a worker, after which it hangs
LONGEST_MESSAGE = 4000
BROKEN, ITSELF = 99, "the tool itself is broken"  # exit status of a worker that met an error of its own
READ, REFUSED, FAILS = "reads it", "refuses it", "FAILS: "


_programs = {}  # sample -> the Program whose variables its files hold


class Refused(Exception):
    """The file was refused as it should be."""


def readers(sample, folder, damaged):
    """Everything that may be done with the files of a sample: (name, function without arguments) for each."""
    exe = fluid.Executor(fluid.CPUPlace())

    def at(name):
        return os.path.join(folder, name)

    def parsed_program():
        if sample.name not in _programs:
            _programs[sample.name] = fluid.Program.parse_from_string(sample.program)
        return _programs[sample.name]

    if sample.kinds.get(damaged) == "program" and os.path.isfile(at(damaged)):
        data, parsed = Path(at(damaged)).read_bytes(), []
        yield "parse_from_string", lambda: parsed.append(fluid.Program.parse_from_string(data))
        if parsed:
            yield "to_string", lambda: _shown(parsed[0])
            yield "serialize_to_string", lambda: parsed[0].desc.serialize_to_string()
            yield "clone", lambda: parsed[0].clone(for_test=True)
            yield "parse it again", lambda: _same(parsed[0])
    path = folder
    if sample.model is not None:
        yield (
            "load_inference_model",
            lambda: fluid.io.load_inference_model(folder, exe, sample.model, sample.params),
        )
        if sample.params is not None:
            contents = [Path(at(name)).read_bytes() for name in (sample.model, sample.params)]
            yield "load_inference_model of bytes", lambda: fluid.io.load_inference_model(None, exe, *contents)
    elif sample.prefix is not None:
        path, program = at(sample.prefix), parsed_program()
        yield "fluid.load", lambda: fluid.load(program, path, exe)
        yield "load_program_state", lambda: fluid.load_program_state(path)
    else:
        program = parsed_program()
        yield "load_persistables", lambda: fluid.io.load_persistables(exe, folder, program, sample.params)
        wanted = [v for v in program.list_vars() if v.persistable and v.name == damaged]
        if wanted:
            yield "load_vars", lambda: fluid.io.load_vars(exe, folder, program, vars=wanted)
        if sample.params is None:
            yield "fluid.load of a folder", lambda: fluid.load(program, folder, exe)
            yield "load_program_state of a folder", lambda: fluid.load_program_state(folder)
        else:
            variables = [
                v for v in program.list_vars() if v.persistable and v.type == fluid.core.VarDesc.VarType.LOD_TENSOR
            ]
            file = at(sample.params)
            yield "load_program_state of a file", lambda: fluid.load_program_state(file, variables)
    statuses = []
    yield "inspect", lambda: inspect(path, sample, statuses, [])
    yield "inspect --json", lambda: inspect(path, sample, statuses, ["--json"])


def _shown(program):
    program.to_string(True, True)
    for op in program.global_block().ops[:100]:
        op.describe()  # what an error message shows of it


def _same(program):
    """Writing a Program and reading it again changes nothing."""
    written = program.desc.serialize_to_string()
    again = fluid.Program.parse_from_string(written)
    if again.to_string(True, True) != program.to_string(True, True):
        raise AssertionError("it is another Program after writing and reading")


def inspect(path, sample, statuses, form):
    """Run the command; for programs and for a terminal, it must come to the same conclusion."""
    arguments = ["inspect", path, *form]
    if sample.prefix is None:
        arguments += ["--model-filename", sample.model] if sample.model else []
        arguments += ["--params-filename", sample.params] if sample.params else []
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        statuses.append(command_line(arguments))
    printed, said = out.getvalue(), err.getvalue()
    if statuses[-1] != statuses[0] or statuses[0] not in (0, 1, 2):
        raise AssertionError(f"inspect ends with {statuses}")
    if "\x1b" in printed + said:
        raise AssertionError("inspect prints control characters")
    if printed and form:
        json.loads(printed)
    if statuses[0] == 2:
        if said.count("\n") != 1:
            raise AssertionError(f"inspect says more or less than one line: {said[:200]!r}")
        raise Refused(said)


def read_all(sample, folder, damaged):
    """Do everything with the files of a folder: (name, outcome, seconds, bytes of memory) for each."""
    size = sum(os.lstat(path).st_size for path in guard.snapshot(folder) if path.startswith(folder + os.sep))
    found = []
    for name, function in readers(sample, folder, damaged):
        seconds = peak = 0
        try:
            with fluid.scope_guard(fluid.Scope()), fluid.unique_name.guard():
                outcome, seconds, peak = guard.check(lambda f=function, n=name: _outcome(f, folder, n), folder, size)
        except guard.Found as error:
            outcome = f"{FAILS}{error}"
        except BaseException as error:
            outcome = f"{FAILS}{_described(error)}"
        found.append((name, outcome, seconds, peak))
    return found


def _outcome(function, folder, name):
    try:
        function()
        return READ
    except fluid.io.ModelFileError as error:
        message = str(error)
        if _chain_has(error, MemoryError):
            raise guard.Found("asked for more memory than the file warrants") from None
        if "\n" in message or len(message) > LONGEST_MESSAGE:
            raise guard.Found(f"a message of {len(message):,} characters: {message[:120]!r}") from None
        if folder not in message and not name.startswith("parse") and not name.endswith("bytes"):
            raise guard.Found(f"the message does not name the file: {message[:200]!r}") from None
    except Refused:
        pass
    return REFUSED


def _chain_has(error, kind):
    while error is not None:
        if isinstance(error, kind):
            return True
        error = error.__context__
    return False


def _described(error):
    """The exception with the last line of fluidlite that it came from."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if os.sep + "fluidlite" + os.sep in f.filename]
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno} in {frames[-1].name}" if frames else ""
    text = " ".join(str(error).split())[:150]
    return f"{type(error).__name__}{where}: {text}"


class Bench:
    """The samples, and folders in which they are damaged and made whole again."""

    def __init__(self, scratch, seed):
        self.samples = samples()
        self.by_name = {sample.name: sample for sample in self.samples}
        self.scratch, self.seed = scratch, seed
        self.folders = {}

    def folder(self, sample, base):
        """A sound copy of a sample in a new folder `base`, beside a file that is nobody's business."""
        folder = os.path.join(base, "model")
        for name, data in sample.files.items():
            path = os.path.join(folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            Path(path).write_bytes(data)
        Path(base, "secret").write_bytes(a_tensor((108, 4)))
        return folder

    def case(self, index):
        """(sample, name of the file, name of the mutation, damaged bytes) of a random case."""
        rng = random.Random(f"{self.seed} {index}")
        sample = rng.choice(self.samples)
        kind = rng.choice(sorted(set(sample.kinds.values())))
        name = rng.choice(sorted(n for n, k in sample.kinds.items() if k == kind))
        mutation, data = mutate(rng, kind, sample.files[name])
        return sample, name, mutation, data

    def run(self, case):
        """Run a case, an index or the name of a hostile one; returns what it was, and the results of `read_all`."""
        if isinstance(case, str):
            base = os.path.join(self.scratch, "hostile")
            folder = self.place(case, base)
            sample = self.by_name[HOSTILE[case][0]]
            results = read_all(sample, folder, sample.model)
            shutil.rmtree(base)
            return "by hand", results
        sample, name, mutation, data = self.case(case)
        folder = self.folders.get(sample.name)
        if folder is None:
            folder = self.folder(sample, os.path.join(self.scratch, str(len(self.folders))))
            self.folders[sample.name] = folder
        path = Path(folder, name)
        path.write_bytes(data)
        results = read_all(sample, folder, name)
        path.write_bytes(sample.files[name])
        return f"{sample.kinds[name]}: {mutation}", results

    def place(self, case, base):
        """Put the files of a case into a new folder; returns it."""
        if isinstance(case, str):
            sample, spoil = HOSTILE[case]
            folder = self.folder(self.by_name[sample], base)
            spoil(folder)
            return folder
        sample, name, _, data = self.case(case)
        folder = self.folder(sample, base)
        Path(folder, name).write_bytes(data)
        return folder


class Worker:
    """A forked process that runs cases in turn and says so through a pipe."""

    def __init__(self, bench, cases):
        self.cases = cases  # those that it has not finished
        self.heard = time.monotonic()
        self.pipe, writer = os.pipe()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.pipe)
            status = 1
            try:
                _work(bench, cases, writer)
                status = 0
            except BaseException:
                traceback.print_exc()
                status = BROKEN
            finally:
                os._exit(status)
        os.close(writer)
        self.text = b""

    def messages(self):
        """The lines that arrived; None at the end."""
        data = os.read(self.pipe, 1 << 16)
        if not data:
            return None
        self.heard = time.monotonic()
        *lines, self.text = (self.text + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def end(self):
        """Wait for the process; returns how it died, or None."""
        os.close(self.pipe)
        _, status = os.waitpid(self.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        if code == -signal.SIGPROF:
            return f"it does not end: more than {guard.ENDLESS} s of processor time"
        if code == BROKEN:
            return ITSELF
        return None if code == 0 else f"the process died: {signal.Signals(-code).name if code < 0 else code}"


def _work(bench, cases, writer):
    canary = types.ModuleType("fuzz_canary")  # what a pickle must not call
    canary.touched = lambda *_: os.truncate(os.path.join(bench.scratch, "canary"), 0)
    sys.modules["fuzz_canary"] = canary
    bench.scratch = os.path.join(bench.scratch, str(os.getpid()))
    bench.folders = {}
    os.mkdir(bench.scratch)
    guard.limit_process()
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        for sample in bench.samples:  # what is imported at first use is imported now
            folder = bench.folder(sample, os.path.join(bench.scratch, "whole"))
            for _, function in readers(sample, folder, sample.model):
                try:
                    function()
                except (fluid.io.ModelFileError, Refused):
                    if sample.loads:
                        raise
            shutil.rmtree(os.path.dirname(folder))
        for name in ("difflib", "linecache", "warnings", "encodings.idna"):
            importlib.import_module(name)
        guard.install()
        for case in cases:
            started = time.perf_counter()
            kind, results = bench.run(case)
            message = {"case": case, "kind": kind, "results": results, "seconds": time.perf_counter() - started}
            os.write(writer, json.dumps(message).encode() + b"\n")
    shutil.rmtree(bench.scratch)


def run_cases(bench, cases, jobs, deadline):
    """Run the cases in as many processes; yields a dict for each."""
    selector = selectors.DefaultSelector()

    def start(cases):
        if cases:
            worker = Worker(bench, cases)
            selector.register(worker.pipe, selectors.EVENT_READ, worker)

    for job in range(jobs):
        start(cases[job::jobs])
    try:
        while selector.get_map():
            for key, _ in selector.select(timeout=0.5):
                worker = key.data
                messages = worker.messages()
                if messages is None:
                    selector.unregister(worker.pipe)
                    reason = worker.end()
                    if reason is ITSELF:
                        raise RuntimeError(f"{reason}; see above")
                    if reason is not None and worker.cases:
                        yield {
                            "case": worker.cases[0],
                            "kind": "?",
                            "results": [["?", FAILS + reason, 0, 0]],
                            "seconds": 0,
                        }
                        start(worker.cases[1:])
                    continue
                for message in messages:
                    worker.cases = worker.cases[1:]
                    yield message
            for key in list(selector.get_map().values()):
                worker = key.data
                if time.monotonic() - worker.heard > PATIENCE:
                    os.kill(worker.pid, signal.SIGKILL)
                    worker.heard = time.monotonic()
            if time.monotonic() > deadline:
                return
    finally:
        for key in list(selector.get_map().values()):
            os.kill(key.data.pid, signal.SIGKILL)
            key.data.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000, help="number of random cases (default: 20000)")
    parser.add_argument("--first", type=int, default=0, metavar="INDEX", help="begin with this one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, metavar="INDEX", help="run this random case")
    parser.add_argument("--hostile", action="store_true", help="run those that were thought out by hand, too")
    parser.add_argument("--seconds-limit", type=float, default=float("inf"), help="stop after so many seconds")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--keep", metavar="DIR", help="keep the folders that fail in here")
    parser.add_argument("--json", metavar="FILE", help="write every result to a file")
    options = parser.parse_args()
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="fuzz-files-", dir=memory) as scratch:
        Path(scratch, "canary").write_bytes(b"sound")
        bench = Bench(scratch, options.seed)
        cases = (
            [options.only] if options.only is not None else list(range(options.first, options.first + options.count))
        )
        if options.hostile:
            cases = [*HOSTILE, *cases]
        started = time.monotonic()
        results = list(run_cases(bench, cases, options.jobs, started + options.seconds_limit))
        if Path(scratch, "canary").read_bytes() != b"sound":
            print("A pickle called what it named.")
            return 1
        report(bench, results, len(cases), time.monotonic() - started)
        failed = [result for result in results if _failures(result)]
        if options.keep:
            for result in failed:
                base = os.path.join(options.keep, f"seed-{options.seed}-{result['case']}")
                shutil.rmtree(base, ignore_errors=True)
                bench.place(result["case"], base)
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1))
    return 1 if failed or len(results) < min(len(cases), 1) else 0


def _failures(result):
    return [(name, outcome.removeprefix(FAILS)) for name, outcome, *_ in result["results"] if outcome.startswith(FAILS)]


def report(bench, results, wanted, seconds):
    """Print what became of the cases."""
    outcomes = {}
    for result in results:
        counts = outcomes.setdefault(result["kind"].rstrip("+"), Counter())
        for _, outcome, *_ in result["results"]:
            counts[outcome if outcome in (READ, REFUSED) else "FAILS"] += 1
    print(f"{'damage':<36}{READ:>12}{REFUSED:>12}{'fails':>8}")
    for kind, counts in sorted(outcomes.items()):
        print(f"{kind:<36}{counts[READ]:>12,}{counts[REFUSED]:>12,}{counts['FAILS']:>8,}")
    done = [(r["case"], *item) for r in results for item in r["results"]]
    if done:
        slowest = max(done, key=lambda item: item[3])
        largest = max(done, key=lambda item: item[4])
        print(f"slowest: {slowest[3]:.3f} s ({slowest[1]}, case {slowest[0]})")
        print(f"most memory beyond the start: {largest[4] / 2**20:.1f} MB ({largest[1]}, case {largest[0]})")
    failures = {}
    for result in results:
        for name, reason in _failures(result):
            kind = reason.split(": ")[0] if reason.split(" ")[0].endswith(("Error", "Exception")) else reason[:40]
            failures.setdefault((name, kind), []).append((result["case"], reason))
    for (name, _), found in sorted(failures.items(), key=lambda item: -len(item[1])):
        case, reason = found[0]
        print(f"\n{len(found):,} x {name}: {reason}\n    seed {bench.seed}, cases {[c for c, _ in found[:5]]}")
    bad = sum(1 for result in results if _failures(result))
    print(f"\n{len(results):,} of {wanted:,} cases in {seconds:.0f} s, {len(done):,} readings; {bad:,} cases fail")


if __name__ == "__main__":
    sys.exit(main())
