"""What a saved model says about its inputs and outputs: operators that a plan leaves out, since it feeds and fetches.

`feed` takes column `col` of the fed list X to the variable Out; `fetch` puts the variable X into column `col` of Out.
"""

from ..core.operators import operator


def _as_declared(attrs, x):
    return None


operator("feed", inputs="X", outputs="Out", attributes={"col": 0}, infer=_as_declared)(None)
operator("fetch", inputs="X", outputs="Out", attributes={"col": 0}, infer=_as_declared)(None)
