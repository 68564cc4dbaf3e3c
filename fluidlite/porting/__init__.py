"""What makes old code run: the import of `paddle`, names that were removed since, hints for old scripts."""
