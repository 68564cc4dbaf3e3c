"""Where the parts of the checkout lie."""

from pathlib import Path

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
TOOLS = ROOT / "tools"
FIXTURES = TESTS / "fixtures"
