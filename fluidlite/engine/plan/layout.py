"""Which variables are stored batch-last.

Image operators are fastest on (H, C, W, N) storage: a row of an image is then one contiguous (C, W*N) matrix, and
elementwise work runs over long contiguous stretches.  Kernels never see that: they get the logical (N, C, H, W) view of
such a buffer.  Elementwise operators work on any strides and are fastest when all their arrays are stored alike.
"""


def batch_last(steps, specs):
    """The Values to store batch-last.

    Args:
        steps: the plan's steps, in the order of execution.
        specs: Value -> Spec.
    """
    # Persistable ones must stay C-contiguous.
    candidates = {value for value, spec in specs.items() if len(spec.shape) == 4 and not value.persistable}
    chosen, groups_of = set(), {}
    for step in steps:
        definition, attrs = step.definition, step.op.attrs
        if definition.elementwise:
            group = {*step.reads, *step.writes}
            for name in group & candidates:
                groups_of.setdefault(name, []).append(group)
        else:
            rigid = set(step.outputs) - definition.image - definition.strided
            candidates -= {name for slot in rigid for name in step.outputs[slot]}
        if attrs.get("data_format", attrs.get("data_layout")) != "NHWC":
            slots = {**step.inputs, **step.outputs}
            chosen |= {name for slot in definition.image for name in slots.get(slot, ())}
    chosen &= candidates
    waiting = list(chosen)
    while waiting:
        for group in groups_of.pop(waiting.pop(), ()):
            found = (group & candidates) - chosen
            chosen |= found
            waiting += found
    return chosen
