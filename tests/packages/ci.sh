#!/usr/bin/env bash
# Runs the tests with packages of Fluid's time, from the package index, in an environment of its own.
#
#     tests/packages/ci.sh [FOLDER]    keeps the environment in a folder, for the next time
set -euo pipefail
folder=$(realpath -m "${1:-$(mktemp -d)}")
[ $# -gt 0 ] || trap 'rm -rf "$folder"' EXIT
cd "$(dirname "$0")/../.."
python3 -m venv "$folder/venv"
export PATH="$folder/venv/bin:$PATH"
# Setups of that time import pkg_resources, which setuptools had up to version 80; Paddle2ONNX writes truth values into
# fields for integers, which protobuf took up to version 3.
if ! pip install -q -e . 'pytest>=8' 'hypothesis>=6.100' 'setuptools<81' wheel 'protobuf<4' six onnxruntime ||
    ! pip install -q --no-deps --no-build-isolation jieba==0.42.1 paddle2onnx==0.5.1; then
    echo "Packages of Fluid's time cannot be installed: the tests with them did not run." >&2
    exit 1
fi
set -x
pytest -q -m packages tests/packages
