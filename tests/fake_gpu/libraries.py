"""Builds the stand-ins for CUDA's libraries from libraries/*.cpp, once for each version of the sources."""

import importlib.metadata
import os
import tempfile
from pathlib import Path

from device_code import HERE, INCLUDE, CompileError, cache_folder, digest, keep, machine_flags, run_compiler, toolchain

SOURCES = HERE / "libraries"

# By the CUDA version that a CuPy is for: the version that the stand-ins tell, and the names that they go by.
VERSIONS = {
    12: (12090, ["libcuda.so.1", "libcudart.so.12", "libnvrtc.so.12", "libcublasLt.so.12", "libcublas.so.12"]),
    13: (13000, ["libcuda.so.1", "libcudart.so.13", "libnvrtc.so.13", "libcublasLt.so.13", "libcublas.so.13"]),
}


def cuda_version():
    """The major CUDA version that this Python's CuPy is for, or None without a CuPy."""
    for version in VERSIONS:
        try:
            importlib.metadata.version(f"cupy-cuda{version}x")
        except importlib.metadata.PackageNotFoundError:
            continue
        return version
    return None


def build(version):
    """Compiles the libraries if the cache has not got them.

    Args:
        version: CUDA's major version, a key of VERSIONS.

    Returns:
        Path: of the folder that plays the CUDA toolkit: its lib/ has the libraries under the real ones' names, and
            libemulator.so, which does their work; its include/ has the headers that kernels may ask for.

    Raises:
        CompileError: with the compiler's messages.
    """
    number, names = VERSIONS[version]
    files = sorted(SOURCES.iterdir())
    texts = [file.read_text() for file in [*files, Path(__file__)]]
    folder = cache_folder() / "cuda" / digest(toolchain(), str(number), *texts)
    library = folder / "lib"
    if (library / names[-1]).exists():
        return folder
    # Beside what is linked, so that $ORIGIN is right; the last library is the one that says that all are there.
    flags = ["-std=c++17", "-O2", "-fPIC", "-shared", f"-DEMULATED_VERSION={number}", "-Wl,-rpath,$ORIGIN"]
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        core = [file for file in files if file.suffix == ".cpp" and file.stem != "cublas"]
        run_compiler(*flags, *core, "-Wl,-soname,libemulator.so", "-ldl", "-pthread", "-o", work / "libemulator.so")
        for name in names:
            # The real libraries' symbols have versions, and what is linked against them asks for these.
            (work / "versions").write_text(f"{name} {{ global: cu*; nv*; local: *; }};")
            source = SOURCES / "cublas.cpp" if "cublas." in name else work / "empty.cpp"
            (work / "empty.cpp").touch()
            fast = [flag for flag in machine_flags() if flag.startswith("-m")]
            link = ["-Wl,--no-as-needed", work / "libemulator.so", f"-Wl,-soname,{name}"]
            link.append(f"-Wl,--version-script,{work / 'versions'}")
            run_compiler(*flags, "-O3", *fast, source, *link, "-o", work / name)
        for name in ["libemulator.so", *names]:
            keep(work / name, library / name)
    if not (folder / "include").exists():
        (folder / "include").symlink_to(INCLUDE)
    return folder


def environment(version):
    """The variables with which a Python process, and those that it starts, find the stand-ins.

    Args:
        version: CUDA's major version.

    Returns:
        dict: names and values; to be laid over the process's environment.
    """
    folder = build(version)
    paths = [str(HERE / "startup"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        "PYTHONPATH": os.pathsep.join(paths),
        "FAKE_GPU_HOME": str(HERE),
        "FAKE_GPU_CACHE": str(cache_folder()),
        "FAKE_GPU_LIBRARIES": os.pathsep.join(
            str(folder / "lib" / name) for name in ["libemulator.so", *VERSIONS[version][1]]
        ),
        "CUDA_PATH": str(folder),
        # CUB's kernels are machine code in CuPy's wheel; without it, CuPy compiles its own.
        "CUPY_ACCELERATORS": "",
        "CUPY_CACHE_DIR": str(cache_folder() / "cupy"),
    }


__all__ = ["VERSIONS", "CompileError", "build", "cuda_version", "environment"]
