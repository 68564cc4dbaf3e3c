"""The on-disk formats."""
