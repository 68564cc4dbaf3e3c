"""fluidlite: the Fluid API (PaddlePaddle 1.x) on NumPy.

`import fluidlite as paddle` and `import fluidlite.fluid as fluid` port a script; `install_as_paddle` runs it unchanged.
"""

from . import dataset, fluid, reader, utils
from .paddle_imports import install_as_paddle
from .reader import batch
from .version import __version__

__all__ = ["__version__", "batch", "dataset", "fluid", "install_as_paddle", "reader", "utils"]
