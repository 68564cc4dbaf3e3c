"""What a saved model says about its inputs and outputs: operators that a plan leaves out, since it feeds and fetches.

`feed` takes column `col` of the fed list X to the variable Out; `fetch` puts the variable X into column `col` of Out.
"""

from ..core.operators import describe, operator
from ..core.traits import About


def _as_declared(attrs, x):
    return None


# What feeds, fetches and files need, and no layer.
describe("save", "save_combine", "load", "load_combine", "print", "assert", about=About("plumbing"))
operator("feed", inputs="X", outputs="Out", attributes={"col": 0}, infer=_as_declared, about=About("plumbing"))(None)
operator("fetch", inputs="X", outputs="Out", attributes={"col": 0}, infer=_as_declared, about=About("plumbing"))(None)
