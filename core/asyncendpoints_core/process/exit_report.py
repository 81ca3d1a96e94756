"""The termination message of a worker that exits with an error: one line, `ErrorType: message`.

The kubelet provides a file in every container and reports its content in the pod's status. It is
all that the operator learns of a worker that could not register. Writer and reader may have
different versions, so the format must not change.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

from asyncendpoints_core.errors import StoreVersionError

TERMINATION_LOG: Final = Path("/dev/termination-log")
"""The kubelet's default file for the message (`terminationMessagePath`)."""
MAX_BYTES: Final = 2_048
"""The kubelet reads 4,096 bytes per container, and 12,288 per pod."""


def leave(error: BaseException, file: Path = TERMINATION_LOG) -> None:
    """Write the error to `file` if it exists, which it does in a pod only."""
    text = f"{type(error).__name__}: {' '.join(str(error).split())}"
    with contextlib.suppress(OSError):
        descriptor = os.open(file, os.O_WRONLY | os.O_TRUNC)
        try:
            os.write(descriptor, text.encode(errors="replace")[:MAX_BYTES])
        finally:
            os.close(descriptor)


def version_refused(message: str) -> str:
    """Return the message of a worker that refused the store's format, "" for other errors."""
    error_type, _, text = message.partition(": ")
    return text if error_type == StoreVersionError.__name__ else ""
