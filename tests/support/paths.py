"""Where things are in the checkout."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
GOLDEN = TESTS / "unit" / "operator" / "desired" / "golden"
KUBE = TESTS / "support" / "kube"
