"""What a plan does to its steps before it binds them: one function for each idea, in one list.

None of them is ever visible in the Program, each can be switched off by its name, and none changes a result by more
than rounding.
"""

ALL = frozenset({"prune", "batch_last", "in_place", "shards", "flat"})


def enabled(switches):
    """The passes to use: all but those in `switches`, words such as "-shards"; "none" for none at all.

    Raises:
        ValueError: a word names no pass.
    """
    chosen = ALL
    for word in switches.replace(",", " ").split():
        if word == "none":
            chosen = frozenset()
        elif word[1:] in ALL and word[0] in "+-":
            chosen = chosen | {word[1:]} if word[0] == "+" else chosen - {word[1:]}
        else:
            raise ValueError(f"{word!r} is no switch: write none, or + or - and one of {', '.join(sorted(ALL))}")
    return chosen


def prune(steps, is_persistable, wanted):
    """Keep the steps that a wanted value, a persistable variable or a side effect depends on."""
    needed, kept = set(wanted), []
    for step in reversed(steps):
        persistable = any(is_persistable(name) for name in step.writes)
        if step.definition.side_effect or persistable or not needed.isdisjoint(step.writes):
            kept.append(step)
            needed.update(step.reads)
    return kept[::-1]


def stages(steps, inference, is_persistable, wanted):
    """Operators that declare stages become them."""
    result = []
    for step in steps:
        make = step.definition.make_stages
        if make is None:
            result.append(step)
        else:
            result += [step.like(*made) for made in make(step.inputs, step.outputs, step.attrs)]
    return result


def rewrite(steps, inference, is_persistable, wanted, enabled):
    """Apply the passes."""
    for name, function in REWRITES:
        if name is None or name in enabled:
            steps = function(steps, inference, is_persistable, wanted)
            inference.run(steps)
    return steps


REWRITES = [(None, stages)]
