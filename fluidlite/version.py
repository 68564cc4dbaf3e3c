"""The version of fluidlite."""

__version__ = "0.1.0"
