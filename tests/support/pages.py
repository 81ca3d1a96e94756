"""Reading pages of documentation: their code blocks and commands, to be run."""

import re
import shlex
import subprocess
from pathlib import Path


def blocks(page: Path, language: str) -> list[str]:
    """Return the code blocks of one language."""
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def commands(page: Path) -> list[str]:
    """Return the `$ …` lines of a page's console blocks, whole and without comments."""
    text = "\n".join(re.sub(r"\\\n *", "", block) for block in blocks(page, "console"))
    lines = [line.strip() for line in text.splitlines()]
    return [line.removeprefix("$ ").split("    # ")[0] for line in lines if line.startswith("$ ")]


def curl(command: str, url: str, folder: Path) -> str:
    """Run a page's curl command against `url`, in `folder`; return what it printed."""
    words = [word.replace("http://127.0.0.1:8080", url) for word in shlex.split(command)]
    done = subprocess.run(
        [*words, "-sS", "--max-time", "60"], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout
