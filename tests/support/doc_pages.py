"""The pages in docs/ as tests read them: their shell blocks and links."""

import re
from dataclasses import dataclass

_BLOCK = re.compile(
    r"^(?:<!-- by hand: (?P<why>[^\n]*?) -->\n)?```sh\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
_FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """One ```sh block. `by_hand`: why no test runs it; None if one does."""

    page: str
    line: int
    text: str
    by_hand: str | None


def shell_blocks(text: str, page: str) -> list[Block]:
    """Return the shell blocks of a page in their order."""
    return [
        Block(page, text.count("\n", 0, found.start("text")) + 1, found["text"], found["why"])
        for found in _BLOCK.finditer(text)
    ]


def fences(text: str) -> list[tuple[str, str]]:
    """Return (language, text) of every fenced block; "" is no language."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def links(text: str) -> list[str]:
    """Return the targets of a page's links, except for other sites."""
    found = _LINK.findall(_FENCE.sub("", text))
    return [link for link in found if "://" not in link]


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    headings = _HEADING.findall(_FENCE.sub("", text))
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
