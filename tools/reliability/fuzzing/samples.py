"""Models and checkpoints to damage: made by fluidlite on the spot, and recorded from the real Paddle."""

import os
import pickle
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import fluidlite.fluid as fluid

FIXTURES = Path(__file__).resolve().parents[3] / "tests" / "fixtures" / "models"


@dataclass
class Sample:
    """A folder of files that belong together.

    Attributes:
        name (str): for reports.
        files (dict): name in the folder -> bytes.
        kinds (dict): name of a file that may be damaged -> its kind: "program", "tensor" or "pickle".
        model (str): the file that `load_inference_model` reads, or None.
        params (str): the file of all parameters, or None where each has its own.
        prefix (str): that of `fluid.save`, or None.
        program (bytes): of the Program whose variables `load_vars` and `fluid.load` load, or None.
        loads (bool): whether fluidlite has all its operators.
    """

    name: str
    files: dict
    kinds: dict
    model: str | None = None
    params: str | None = None
    prefix: str | None = None
    program: bytes | None = None
    loads: bool = True


def samples():
    """All samples, the same ones in every run (list of Sample)."""
    return [*_made_here(), *_recorded()]


def _files(folder):
    paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def _convolutions():
    image = fluid.data("image", [None, 1, 8, 8])
    label = fluid.data("label", [None, 1], "int64")
    hidden = fluid.layers.batch_norm(fluid.layers.conv2d(image, 3, 3, act="relu"))
    hidden = fluid.layers.pool2d(hidden, 2, "max", 2)
    return image, fluid.layers.fc(fluid.layers.dropout(hidden, 0.5), 4, act="softmax"), label


def _words():
    words = fluid.data("words", [None, 5], "int64")
    label = fluid.data("label", [None, 1], "int64")
    hidden = fluid.layers.reshape(fluid.embedding(words, [20, 4]), [-1, 20])
    hidden = fluid.layers.concat([hidden, fluid.layers.fc(hidden, 3, act="tanh")], axis=1)
    return words, fluid.layers.fc(hidden, 2, act="softmax"), label


def _made_here():
    for build in (_convolutions, _words):
        main, startup = fluid.Program(), fluid.Program()
        main.random_seed = startup.random_seed = 7
        name = build.__name__.strip("_")
        with (
            fluid.program_guard(main, startup),
            fluid.unique_name.guard(),
            fluid.scope_guard(fluid.Scope()),
            tempfile.TemporaryDirectory() as folder,
        ):
            fed, prediction, label = build()
            loss = fluid.layers.mean(fluid.layers.cross_entropy(prediction, label))
            fluid.optimizer.Adam(0.01).minimize(loss)
            exe = fluid.Executor(fluid.CPUPlace())
            exe.run(startup)
            within = {part: os.path.join(folder, part) for part in ("separate", "combined", "state", "one", "saved")}
            inference = [[fed.name], [prediction], exe, main]
            fluid.io.save_inference_model(within["separate"], *inference)
            fluid.io.save_inference_model(within["combined"], *inference, "model", "params")
            fluid.io.save_persistables(exe, within["state"], main)
            fluid.io.save_persistables(exe, within["one"], main, "everything")
            fluid.save(main, os.path.join(within["saved"], "m"))
            state = fluid.load_program_state(os.path.join(within["saved"], "m"))
            files = {part: _files(path) for part, path in within.items()}
        program = main.desc.serialize_to_string()
        tensors = {n: "tensor" for n in files["separate"] if n != "__model__"}
        yield Sample(f"{name}, a file each", files["separate"], {"__model__": "program", **tensors}, "__model__")
        kinds = {"model": "program", "params": "tensor"}
        yield Sample(f"{name}, one file", files["combined"], kinds, "model", "params")
        kinds = {n: "tensor" for n in files["state"]}
        yield Sample(f"{name}, persistables", files["state"], kinds, program=program)
        kinds = {"everything": "tensor"}
        yield Sample(f"{name}, persistables in one file", files["one"], kinds, params="everything", program=program)
        kinds = {"m.pdparams": "pickle", "m.pdopt": "pickle", "m.pdmodel": "program"}
        yield Sample(f"{name}, fluid.save", files["saved"], kinds, prefix="m", program=program)
        later = _as_later_versions_pickle(state)
        yield Sample(f"{name}, later pickles", later, {n: "pickle" for n in later}, prefix="m", program=program)


def _as_later_versions_pickle(state):
    """Values in pickles as Paddle 2 makes them: of later protocols, in pieces, under other names."""
    state = dict(sorted(state.items()))
    parameters = list(state)[: len(state) // 2]
    first = state.pop(parameters[0])
    pieces = np.array_split(first.reshape(-1), 2)
    state.update({f"{parameters[0]}@@.{place}": piece for place, piece in enumerate(pieces)})
    names = {f"layer.{name}": name for name in parameters[1:]}
    there = {layer: state.pop(name) for layer, name in names.items()}
    there["StructuredToParameterName@@"] = names
    there.update({name: state.pop(name) for name in list(state) if name.startswith(parameters[0] + "@@")})
    slices = [f"{parameters[0]}@@.{place}" for place in range(len(pieces))]
    there["UnpackBigParamInfor@@"] = {parameters[0]: {"OriginShape": first.shape, "slices": slices}}
    rest = {**state, "LR_Scheduler": {"last_epoch": 3, "last_lr": 0.1}}
    return {"m.pdparams": pickle.dumps(there, 4), "m.pdopt": pickle.dumps(rest, 5)}


def _recorded():
    for archive, part, model, params in (
        ("mobilenet", "separate", "__model__", None),
        ("resnet", "combined", "__model__", "params"),
        ("legacy", "combined", "__model__", "params"),
        ("descriptions", "control_flow", "main", None),
    ):
        path = FIXTURES / f"{archive}.tar.xz"
        if not path.exists():
            continue
        with tarfile.open(path) as tar:
            members = [m for m in tar.getmembers() if m.isfile() and m.name.startswith(part + "/")]
            files = {m.name.removeprefix(part + "/"): tar.extractfile(m).read() for m in members}
        kinds = {model: "program"}
        if archive != "descriptions":
            kinds.update({n: "tensor" for n in files if n != model})
        yield Sample(f"Paddle's {archive}, {part}", files, kinds, model, params, loads=archive != "descriptions")
    path = FIXTURES / "checkpoints.tar.xz"
    if path.exists():
        with tarfile.open(path) as tar:
            files = {m.name: tar.extractfile(m).read() for m in tar.getmembers() if m.isfile()}
        for name in files:
            if name == "adam/save/model.pdparams":
                stem = name.removesuffix(".pdparams")
                found = {os.path.basename(n): data for n, data in files.items() if os.path.splitext(n)[0] == stem}
                kinds = {n: "program" if n.endswith(".pdmodel") else "pickle" for n in found}
                prefix = os.path.basename(stem)
                program = found.get(f"{prefix}.pdmodel")
                yield Sample(f"Paddle's {stem}", found, kinds, prefix=prefix, program=program)


def a_tensor(shape=(3,), value=1.0):
    """The file of a tensor, as Paddle writes it."""
    from .mutations import tensor_head

    sizes = b"".join(b"\x10" + bytes([size]) for size in shape)
    return tensor_head(desc=b"\x08\x05" + sizes) + np.full(shape, value, "<f4").tobytes()
