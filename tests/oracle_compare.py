"""Says in sentences how a program or array differs from what the real Paddle made of the same script."""

import numpy as np
from oracle_harness import DEVICE_ATTRS


def op_differences(got, want):
    """Differences of two lists of ``oracle_harness.dump_op``; operators may have attributes that Paddle's lack."""
    if [op["type"] for op in got] != [op["type"] for op in want]:
        return [f"operators {[op['type'] for op in got]}, Paddle has {[op['type'] for op in want]}"]
    found = []
    for i, (ours, theirs) in enumerate(zip(got, want)):  # noqa: B905
        where = f"operator {i}, {ours['type']}: "
        for side in ("inputs", "outputs"):
            if ours[side] != theirs[side]:
                found.append(where + f"{side} {ours[side]}, Paddle has {theirs[side]}")
        for name, value in theirs["attrs"].items():
            if name not in ours["attrs"]:
                if name in DEVICE_ATTRS:
                    continue
                found.append(where + f"no attribute {name}, Paddle has {value!r}")
            elif not same_attr(ours["attrs"][name], value):
                found.append(where + f"{name} is {ours['attrs'][name]!r}, Paddle has {value!r}")
    return found


def same_attr(ours, theirs):
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(same_attr, ours, theirs))
    if isinstance(theirs, float) and isinstance(ours, (int, float)):
        return np.isclose(ours, theirs, rtol=1e-6, atol=0, equal_nan=True)
    return ours == theirs


def var_differences(got, want, names):
    """Differences of two ``dump_program(...)["vars"]`` in the variables ``names``."""
    found = []
    for name in sorted(names):
        if name not in got:
            found.append("no variable " + name)
            continue
        for key, value in {"lod_level": 0, **want[name]}.items():
            if key == "lod_level" and "@GRAD" in name:
                continue  # nobody asks for it
            if got[name].get(key, 0) != value:
                found.append(f"{name}: {key} is {got[name].get(key, 0)}, Paddle has {value}")
    return found


def variables_of(ops):
    """Names that appear in the operators."""
    return {name for op in ops for side in ("inputs", "outputs") for names in op[side].values() for name in names}


def array_differences(got, want, rtol, atol):
    """Differences in names, shapes, dtypes and values of two dictionaries of arrays."""
    if set(got) != set(want):
        return [f"arrays {sorted(got)}, Paddle has {sorted(want)}"]
    found = []
    for name, value in want.items():
        ours = got[name]
        if ours.shape != value.shape or ours.dtype != value.dtype:
            found.append(f"{name}: {ours.shape} {ours.dtype}, Paddle has {value.shape} {value.dtype}")
        elif not np.allclose(ours, value, rtol=rtol, atol=atol, equal_nan=True):
            gap = np.abs(np.subtract(ours, value, dtype="float64"))
            worst = np.unravel_index(np.nanargmax(gap), gap.shape)
            found.append(f"{name}{list(map(int, worst))} is {ours[worst]!r}, Paddle has {value[worst]!r}")
    return found
