"""A process under callgrind, which counts its instructions. Needs valgrind."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


class Callgrind:
    """Runs a command; it writes its counts to a file in `folder` when it is asked."""

    def __init__(
        self, command: Sequence[str], folder: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self._folder, self._asked = folder, 0
        self._process = subprocess.Popen(
            ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/counts", *command],
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def count(self) -> int:
        """Return the instructions since the last call."""
        self._asked += 1
        command = ["callgrind_control", "-d", str(self._process.pid)]
        subprocess.run(command, check=True, capture_output=True)
        lines = (self._folder / f"counts.{self._asked}").read_text().splitlines()
        [total] = [line for line in lines if line.startswith("totals:")]
        return int(total.split()[1])

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
