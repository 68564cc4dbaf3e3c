"""What `import paddle` finds first in a process that a script has spawned: it makes `paddle` mean fluidlite there.

The script's own process has the import hook, and does not come here.
"""

import importlib
import sys

import fluidlite
from fluidlite.porting import removed_names

del sys.modules[__name__]  # fluidlite takes the place of this module
fluidlite.install_as_paddle()
removed_names.put_back()
importlib.import_module(__name__)
