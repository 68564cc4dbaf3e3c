"""fluidlite: the Fluid API (PaddlePaddle 1.x) on NumPy.

`import fluidlite as paddle` and `import fluidlite.fluid as fluid` port a script; `install_as_paddle` runs it unchanged.
"""

# ruff: noqa: E402
from .engine import blas

blas.import_numpy()  # before any other module does
del blas

from typing import TYPE_CHECKING

from . import fluid, reader
from .lazy import Later, on_demand
from .porting.paddle_imports import install_as_paddle
from .reader import batch
from .version import __version__

__all__ = ["__version__", "batch", "compat", "dataset", "fluid", "install_as_paddle", "reader", "utils", "v2"]

fluid.framework.pictures = Later("fluidlite.drawing")

__getattr__, __dir__ = on_demand(__name__, {"compat": [], "dataset": [], "utils": [], "v2": []})

if TYPE_CHECKING:  # for editors, which do not look behind __getattr__
    from . import compat, dataset, utils, v2
