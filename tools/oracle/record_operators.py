"""Record what the real Paddle declares of every operator: attributes, slots, and the gradient it makes.

    CPU_NUM=1 OMP_NUM_THREADS=1 ORACLE/bin/python tools/oracle/record_operators.py

Writes tests/fixtures/operators.json, a line for each operator type:

    attrs: name -> [type, default], or [type] for one that has to be given
    inputs, outputs: slots, marked with * if they hold several variables and with ? if they may be empty
    grads: the operators of the gradient as [type, inputs, outputs], where slots map to what they hold if every variable
        of the forward operator is named like its slot; left out where there are none
    seconds: type of an operator in grads, if it is no other operator's, too -> the operators of its own gradient

The attributes that every operator has stand in the line of the type "".
"""

import json
import os
import re
import signal
import sys

from paddle.fluid import Program, core
from paddle.fluid.framework import OpProtoHolder

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))
from oracle_harness import plain, save_json  # noqa: E402

TYPES = [
    "INT",
    "FLOAT",
    "STRING",
    "INTS",
    "FLOATS",
    "STRINGS",
    "BOOLEAN",
    "BOOLEANS",
    "BLOCK",
    "LONG",
    "BLOCKS",
    "LONGS",
]
# What an attribute without a default is set to, so that the others get theirs: a data type, a kind of pooling ...
GIVEN = {
    "INT": 5,
    "LONG": 1,
    "FLOAT": 1.0,
    "STRING": "max",
    "BOOLEAN": False,
    "INTS": [1],
    "FLOATS": [1.0],
    "LONGS": [1],
}
GIVEN["STRINGS"] = [""]
MARKS = {(False, False): "", (True, False): "*", (False, True): "?", (True, True): "*?"}


def slots(declared):
    return [slot.name + MARKS[slot.duplicable, slot.dispensable] for slot in declared]


def with_defaults(desc, types):
    """Let Paddle fill in the attributes of an operator; returns the names of those that have no default."""
    required = set()
    while True:
        try:
            desc.check_attrs()
            return required
        except core.EnforceNotMet as error:
            missing = re.search(r"Attribute '(\w+)' is required", str(error))
            if not missing:  # but a value given here that does not suit the operator: what follows has no default set
                return required
            name = missing.group(1)
            required.add(name)
            if types[name] not in GIVEN:
                return required
            desc._set_attr(name, GIVEN[types[name]])


def gradients(desc, *places):
    """What Paddle makes as the gradient, asked for in a process of its own: for some operators that is its end.

    Args:
        places: in the gradient, of an operator whose gradient is wanted, and so on.
    """
    reading, writing = os.pipe()
    if not os.fork():
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        os.close(sys.stderr.fileno())
        try:
            for place in places:
                made, _ = core.get_grad_op_desc(desc, set(), [])
                desc = made[place]
            made, _ = core.get_grad_op_desc(desc, set(), [])
            os.write(writing, json.dumps([gradient(op) for op in made]).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    os.wait()
    return json.loads(text or "[]")


def gradient(op):
    return [
        op.type(),
        {name: op.input(name) for name in sorted(op.input_names()) if op.input(name)},
        {name: op.output(name) for name in sorted(op.output_names()) if op.output(name)},
    ]


def describe(type, proto):
    types = {attr.name: TYPES[attr.type] for attr in proto.attrs}
    entry = {"inputs": slots(proto.inputs), "outputs": slots(proto.outputs)}
    program = Program()  # which owns what follows
    desc = program.global_block().desc.append_op()
    desc.set_type(type)
    required = with_defaults(desc, types)
    entry["attrs"] = {
        name: [kind] if name in required or not desc.has_attr(name) else [kind, plain(desc.attr(name))]
        for name, kind in types.items()
    }
    for slot in proto.inputs:
        desc.set_input(slot.name, [slot.name])
    for slot in proto.outputs:
        desc.set_output(slot.name, [slot.name])
    grads = gradients(desc)
    if grads:
        entry["grads"] = grads
    seconds = {grad[0]: gradients(desc, place) for place, grad in enumerate(grads) if grad[0].endswith("_grad")}
    if any(seconds.values()):
        entry["seconds"] = {type: made for type, made in seconds.items() if made}
    return entry


def main():
    entries = {type: describe(type, proto) for type, proto in sorted(OpProtoHolder.instance().op_proto_map.items())}
    common = {name: value for name, value in entries["relu"]["attrs"].items() if name.startswith("op_")}
    for entry in entries.values():
        entry["attrs"] = {name: value for name, value in entry["attrs"].items() if name not in common}
    save_json("operators", {"": {"attrs": common}, **entries})
    print(len(entries), "operators")


if __name__ == "__main__":
    main()
