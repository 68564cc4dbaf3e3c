"""A folder on the `sys.path` of scripts that `python -m fluidlite run` runs; see `paddle` in it."""
