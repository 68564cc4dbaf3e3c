#!/usr/bin/env bash
# Runs the tests that need a GPU, on the fake one, and those that need NVIDIA's compiler or cuDNN's front end: in an
# environment of its own, with CuPy from the package index, and with nothing compiled before.
#
#     tests/fake_gpu/ci.sh [FOLDER]    keeps the environment and what is compiled in a folder, for the next time
set -euo pipefail
if ! command -v "${CXX:-g++}" >/dev/null; then
    echo "The fake GPU needs g++, which is not here: the tests on it did not run." >&2
    exit 1
fi
folder=$(realpath -m "${1:-$(mktemp -d)}")
[ $# -gt 0 ] || trap 'rm -rf "$folder"' EXIT
cd "$(dirname "$0")/../.."
python3 -m venv "$folder/venv"
export PATH="$folder/venv/bin:$PATH" FAKE_GPU_CACHE="$folder/cache"
if ! pip install -q -e . 'cupy-cuda12x>=14' nvidia-cuda-nvrtc-cu12 'pytest>=8' 'pytest-xdist>=3.5' 'hypothesis>=6.100' ||
    ! pip install -q --no-deps 'nvidia-cudnn-frontend>=1.14'; then # what that one asks for is 700 MB, and not used
    echo "CuPy, or what else it takes, cannot be installed: the tests on the fake GPU did not run." >&2
    exit 1
fi
# Where these are not there, tests are skipped.
python -c 'import cudnn; from cupy_backends.cuda.libs import nvrtc; nvrtc.getVersion()'
python tests/fake_gpu -c 'import cupy; assert cupy.cuda.runtime.getDeviceCount() == 1'
set -x
pytest -n auto -q -m nvidia
python tests/fake_gpu -m pytest -n auto -q -m gpu --ignore tests/ops/cuda
# What kernels touch beside their arrays shows.
FAKE_GPU_GUARD=1 python tests/fake_gpu -m pytest -n auto -q -m gpu tests/ops/cuda
# Work waits in its stream until something synchronises with it: a synchronisation that is missing shows.
FAKE_GPU_STREAMS=lazy python tests/fake_gpu -m pytest -n auto -q -m gpu tests/engine/gpu/test_gpu.py
