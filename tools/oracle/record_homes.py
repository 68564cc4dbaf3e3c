"""Record which layers each module of the real Paddle's fluid.layers offers.

    ORACLE/bin/python tools/oracle/record_homes.py

Writes tests/fixtures/homes.json.
"""

import os
import sys

import paddle.fluid.layers  # noqa: F401 - which imports the modules

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))
from oracle_harness import save_json  # noqa: E402

HOMES = "control_flow io learning_rate_scheduler loss metric_op nn ops rnn sequence_lod tensor"

if __name__ == "__main__":
    modules = {home: sys.modules["paddle.fluid.layers." + home] for home in HOMES.split()}
    save_json("homes", {home: sorted(module.__all__) for home, module in modules.items()})
