"""`paddle.v2`, whose readers, data sets and plots Fluid's first scripts use: fluidlite's own, under these names, too.

The other API that Paddle had there (`paddle.v2.layer`, `paddle.v2.trainer`, ...) came before Fluid.
"""

from ..porting import paddle_imports

paddle_imports.install_v2()

from .. import batch, dataset, fluid, reader  # noqa: E402
from ..utils import plot  # noqa: E402

__all__ = ["batch", "dataset", "fluid", "plot", "reader"]
