"""What fluidlite builds and computes for cases of ``oracle_control_flow``, beside what was recorded of them.

Where the real Paddle's gradients are wrong, finite differences of its own forward pass are what counts.
"""

import functools

import numpy as np
from oracle_compare import array_differences, op_differences, var_differences
from oracle_control_flow import CASES, dump_blocks, load, run_case
from oracle_harness import with_lod

import fluidlite.fluid as fluid

# Of these the real Paddle leaves the linear path to one of two results out, as if it had no gradient.
LEFT_OUT = {"cond_captures"}


class Recorded:
    """The cases of one fixture."""

    def __init__(self, fixture):
        self.files = load(fixture)
        self.names = [name for name in self.files if "/" not in name]
        self.differentiated = [name for name in self.names if CASES[name].grad]

    def structure(self, name):
        return self.files[name][0]

    def arrays(self, name, *kinds):
        return of_kind(self.files[name][1], *kinds)

    def has_lods(self, name):
        """Whether sequences are fed."""
        return bool(self.arrays(name, "levels:"))

    def gradients(self, name):
        """The real Paddle's gradients, but the function's own where those are wrong or missing."""
        truth = {key.replace("true:", "grad:"): value for key, value in self.arrays(name, "true:").items()}
        return {**truth, **self.arrays(name, "grad:")}

    def program(self, name, which):
        return fluid.Program.parse_from_string(self.files[f"{name}/{which}"])

    def check_values(self, name):
        kinds = "out:", "lod:", "state:"
        close(of_kind(ran(name)[1], *kinds), self.arrays(name, *kinds))

    def check_gradients(self, name):
        got, want = of_kind(ran(name)[1], "grad:"), self.gradients(name)
        for key, value in want.items():
            # What the loss does not depend on may have no gradient.
            if not value.any():
                got.setdefault(key, value)
        close(got, want, tolerance=5e-4)

    def check_blocks(self, name):
        """Those of the forward pass."""
        got, want = ran(name)[0], self.structure(name)
        assert got["outputs"] == want["outputs"], f"outputs {got['outputs']}, Paddle has {want['outputs']}"
        nothing(op_differences(got["startup"], want["startup"]))
        assert len(got["blocks"]) == len(want["blocks"]), (
            f"{len(got['blocks'])} blocks, Paddle has {len(want['blocks'])}"
        )
        for ours, theirs, count in zip(got["blocks"], want["blocks"], want["forward"], strict=False):
            same_block(dict(ours, ops=ours["ops"][:count]), dict(theirs, ops=theirs["ops"][:count]))

    def check_blocks_of_gradients(self, name):
        for ours, theirs in zip(ran(name)[0]["blocks"], self.structure(name)["blocks"], strict=True):
            same_block(ours, theirs)

    def check_reading(self, name):
        """A program that the real Paddle serialized."""
        blocks = dump_blocks(self.program(name, "main"))
        for ours, theirs in zip(blocks, self.structure(name)["blocks"], strict=True):
            same_place(ours, theirs)
            nothing(op_differences(ours["ops"], theirs["ops"]))

    def check_replay(self, exe, name):
        """A program that the real Paddle serialized, gradients and all."""
        main = self.program(name, "main")
        exe.run(self.program(name, "startup"))
        for variable, value in self.arrays(name, "param:").items():
            fluid.global_scope().find_var(variable[len("param:") :]).get_tensor().set(value, fluid.CPUPlace())
        for step in range(self.structure(name)["steps"]):
            feed = {key.split(":", 2)[2]: value for key, value in self.arrays(name, f"feed:{step}:").items()}
            for key, levels in self.arrays(name, f"levels:{step}:").items():
                fed = key.split(":", 2)[2]
                feed[fed] = with_lod(fluid, feed[fed], levels)
            wanted = self.arrays(name, f"out:{step}:")
            if name not in LEFT_OUT:
                wanted.update(of_kind(self.gradients(name), f"grad:{step}:"))
            fetches = {key: fetched_as(key) for key in wanted if main.global_block().has_var(fetched_as(key))}
            values = exe.run(main, feed=feed, fetch_list=list(fetches.values()), return_numpy=not self.has_lods(name))
            for key, value in zip(fetches, values, strict=True):
                value = value if value is None else np.array(value)
                if value is None and not wanted[key].any():
                    continue
                close({key: value}, {key: wanted[key]}, tolerance=5e-4)


@functools.cache
def ran(name):
    return run_case(fluid, CASES[name])


def close(got, want, tolerance=2e-5):
    nothing(array_differences(got, want, rtol=tolerance, atol=tolerance / 10))


def of_kind(arrays, *kinds):
    return {key: value for key, value in arrays.items() if key.startswith(kinds)}


def fetched_as(key):
    kind, _, name = key.split(":", 2)
    return name + "@GRAD" if kind == "grad" else name


def nothing(differences):
    assert not differences, "\n".join(differences)


def same_place(ours, theirs):
    for key in ("parent", "forward"):
        assert ours[key] == theirs[key], f"{key} block {ours[key]}, Paddle has {theirs[key]}"


def same_block(ours, theirs):
    same_place(ours, theirs)
    nothing(op_differences(ours["ops"], theirs["ops"]))
    sides = [op[side] for op in theirs["ops"] for side in ("inputs", "outputs")]
    names = {name for side in sides for names in side.values() for name in names}
    nothing(var_differences(ours["vars"], theirs["vars"], names & set(theirs["vars"])))
