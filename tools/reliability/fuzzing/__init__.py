"""What fuzz_files.py damages, how, and what it watches meanwhile."""
