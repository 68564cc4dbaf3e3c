import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from fluidlite.engine import blas

LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "CPU_NUM")


@pytest.fixture
def unlimited(monkeypatch):
    for name in LIMITS:
        monkeypatch.delenv(name, raising=False)


def test_cores_are_those_that_the_process_may_use(unlimited):
    if hasattr(os, "sched_getaffinity"):
        assert 1 <= blas.cores() <= len(os.sched_getaffinity(0))


@pytest.mark.parametrize("name", LIMITS)
def test_cores_respect_the_environment(unlimited, monkeypatch, name):
    monkeypatch.setattr(blas, "_available", lambda: 8)
    monkeypatch.setattr(blas, "_quota", lambda: None)
    assert blas.cores() == 8
    monkeypatch.setenv(name, "3")
    assert blas.cores() == 3
    monkeypatch.setenv(name, "100")
    assert blas.cores() == 8
    for nonsense in ("", "0", "-1", "many"):
        monkeypatch.setenv(name, nonsense)
        assert blas.cores() == 8


def test_omp_num_threads_may_name_a_number_for_each_level(unlimited, monkeypatch):
    monkeypatch.setattr(blas, "_available", lambda: 8)
    monkeypatch.setattr(blas, "_quota", lambda: None)
    monkeypatch.setenv("OMP_NUM_THREADS", "4,2")
    assert blas.cores() == 4


def test_cores_respect_the_quota_of_every_control_group_around(tmp_path):
    (tmp_path / "jobs" / "one").mkdir(parents=True)
    (tmp_path / "membership").write_text("0::/jobs/one\n")
    arguments = str(tmp_path), str(tmp_path / "membership")
    limits = {"jobs/one": "max 100000", "jobs": "150000 50000"}
    for folder, text in limits.items():
        (tmp_path / folder / "cpu.max").write_text(text)
    assert blas._quota.__wrapped__(*arguments) == 3
    (tmp_path / "jobs/one/cpu.max").write_text("20000 100000")
    assert blas._quota.__wrapped__(*arguments) == 1
    assert blas._quota.__wrapped__(str(tmp_path), str(tmp_path / "nowhere")) is None


def test_threads_of_the_blas_are_set_and_restored():
    before = blas.set_threads(1)
    try:
        if not blas._controls():
            pytest.skip("this NumPy's BLAS has no threads to set")
        assert blas.set_threads(2) == 1
        with blas.single_threaded:
            assert blas.set_threads(1) == 1
        assert blas.set_threads(1) == 2
    finally:
        blas.set_threads(before)


def test_products_of_several_threads_agree_with_those_of_one():
    a = np.random.default_rng(0).standard_normal((200, 300)).astype("float32")
    expected, found = a @ a.T, [None] * 4
    with blas.single_threaded:

        def multiply(number):
            found[number] = a @ a.T

        workers = [threading.Thread(target=multiply, args=(number,)) for number in range(len(found))]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    for product in found:
        np.testing.assert_allclose(product, expected, rtol=1e-5, atol=1e-4)


ZEN5 = """processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 26
model name\t: AMD EPYC 9655
flags\t\t: fpu avx2 avx512f avx512dq avx512cd avx512bw avx512vl avx512_vnni

processor\t: 1
"""


@pytest.mark.parametrize(
    "text, expected",
    [
        (ZEN5, True),
        (ZEN5.replace(": 26", ": 25"), False),
        (ZEN5.replace("AuthenticAMD", "GenuineIntel"), False),
        (ZEN5.replace("avx512bw ", ""), False),
        ("", False),
        ("Processor\t: ARMv8\n", False),
    ],
)
def test_the_processor_whose_kernels_are_overlooked_is_recognised(tmp_path, text, expected):
    (tmp_path / "cpuinfo").write_text(text)
    assert blas._is_zen5.__wrapped__(str(tmp_path / "cpuinfo")) is expected
    assert blas._is_zen5.__wrapped__(str(tmp_path / "nowhere")) is False


@pytest.mark.parametrize(
    "zen5, given, seen", [(True, None, "SkylakeX"), (True, "Haswell", "Haswell"), (False, None, "None")]
)
def test_numpy_is_imported_with_the_kernels_of_the_processor(tmp_path, zen5, given, seen):
    (tmp_path / "numpy.py").write_text("import os; print(os.environ.get('OPENBLAS_CORETYPE'))")
    # The module by itself: the package would import the real NumPy.
    script = f"""
import importlib.util, os
spec = importlib.util.spec_from_file_location("blas", {blas.__file__!r})
blas = importlib.util.module_from_spec(spec)
spec.loader.exec_module(blas)
blas._is_zen5 = lambda: {zen5}
blas.import_numpy()
print(os.environ.get("OPENBLAS_CORETYPE"))
"""
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_CORETYPE"}
    environment["PYTHONPATH"] = str(tmp_path)
    if given:
        environment["OPENBLAS_CORETYPE"] = given
    ended = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert ended.stdout.split() == [seen, str(given)], ended.stderr


def test_the_kernels_in_use_are_told(monkeypatch):
    with blas.single_threaded:
        found = blas.kernels()
    assert set(found) == {"library", "version", "kernels", "threads", "overlooked"}
    assert found["threads"] == 1
    monkeypatch.setattr(blas, "_kernels", lambda library: "Haswell")
    monkeypatch.setattr(blas, "_is_zen5", lambda: False)
    assert not blas.kernels()["overlooked"]
    if found["library"]:
        monkeypatch.setattr(blas, "_is_zen5", lambda: True)
        assert blas.kernels()["overlooked"]
    monkeypatch.setattr(blas, "_libraries", lambda: [])
    assert blas.kernels()["library"] is None


def has_avx512():
    return os.path.exists("/proc/cpuinfo") and "avx512vl" in open("/proc/cpuinfo").read(4096)


@pytest.mark.skipif(not has_avx512(), reason="needs AVX-512")
@pytest.mark.parametrize("thread_running", [False, True])
def test_an_openblas_that_is_loaded_already_chooses_again(thread_running):
    script = f"""
import os, threading, time
import numpy as np
from fluidlite.engine import blas

if blas.kernels()["kernels"] != "Haswell" or not hasattr(blas._libraries()[0].dynlib, "gotoblas_dynamic_init"):
    print("skip")
    raise SystemExit
del os.environ["OPENBLAS_CORETYPE"]
blas._is_zen5 = lambda: True
if {thread_running}:
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
factors = [np.random.default_rng(0).standard_normal(shape).astype(dtype)
           for dtype in ("float32", "float64") for shape in ((3, 5), (64, 784), (513, 257), (50, 2000))]
before = [np.matmul(factor, factor.T) for factor in factors]
blas.import_numpy()
after = [np.matmul(factor, factor.T) for factor in factors]
for one, other in zip(before, after):
    assert np.abs(one - other).max() < 16 * np.finfo(one.dtype).eps * np.abs(one).max()
print(blas.kernels()["kernels"], blas.kernels()["overlooked"], os.environ.get("OPENBLAS_CORETYPE"))
"""
    environment = {**os.environ, "OPENBLAS_CORETYPE": "Haswell"}
    ended = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    if ended.stdout.split() == ["skip"]:
        pytest.skip("this BLAS cannot choose again")
    assert ended.stdout.split() == ["Haswell" if thread_running else "SkylakeX", str(thread_running), "None"], (
        ended.stderr
    )
