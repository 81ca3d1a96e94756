"""The walks through the code in docs/architecture.md, and the files that something real passes."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from support.paths import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text()
FILE = re.compile(r"`([\w/]+\.py)`")


def steps(walk: str) -> str:
    """Return the lines of the list alone: other paragraphs are about what is beside the way."""
    return "\n".join(line for line in walk.splitlines() if re.match(r"\d+\. | ", line))


@contextmanager
def traced(
    files: set[str], product: re.Pattern[str], skips: Callable[[FrameType], bool] = lambda _: False
) -> Iterator[None]:
    """Add the files whose functions are called in this thread, without those that `skips`.

    `product` finds the files that count; its group is how the page names them.
    """

    def called(frame: FrameType, event: str, _: Any) -> None:
        found = product.search(frame.f_code.co_filename) if event == "call" else None
        if found is not None and not skips(frame):
            files.add(found[1])

    sys.setprofile(called)
    try:
        yield
    finally:
        sys.setprofile(None)
