"""The tests of docs/testing.md and of the examples, docs/fastapi.md's too, run as by readers."""

import re
import subprocess
import sys
from pathlib import Path

from support.paths import ROOT


def test_the_tests_of_the_page_and_of_the_examples_pass(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "code-first.md").read_text()
    code = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0]
    (tmp_path / "shop.py").write_text(code)
    page = (ROOT / "docs" / "testing.md").read_text()
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", page, re.DOTALL)):
        (tmp_path / f"test_page{number}.py").write_text(block)
    examples = [str(ROOT / "examples" / name) for name in ("reports", "fastapi")]
    folders = " ".join((f"pythonpath={tmp_path}", *examples))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", folders),
            *("-o", "asyncio_mode=auto", "-c", "/dev/null", str(tmp_path), *examples),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "13 passed" in done.stdout
