"""fluidlite: the Fluid API (PaddlePaddle 1.x) on NumPy.

`import fluidlite as paddle` and `import fluidlite.fluid as fluid` port a script.
"""

from . import dataset, fluid, reader, utils
from .reader import batch
from .version import __version__

__all__ = ["__version__", "batch", "dataset", "fluid", "reader", "utils"]
