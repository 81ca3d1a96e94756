"""What a worker that ends by a fault leaves for the kubelet: one line, kind and sentence.

The kubelet makes a file in every container and shows what is in it as the message of the
container's end. It is all that the operator learns of a worker that may not even register. Writer
and reader may be of different versions, so the form `Kind: sentence` stays what it is.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

from asyncendpoints_core.errors import StoreVersionError

TERMINATION_LOG: Final = Path("/dev/termination-log")
"""Where the kubelet takes a message from unless a pod says otherwise (`terminationMessagePath`)."""
MAX_BYTES: Final = 2_048
"""The kubelet takes 4,096 of a container, and 12,288 of all in a pod."""


def leave(error: BaseException, file: Path = TERMINATION_LOG) -> None:
    """Write the error into `file` if that is there: outside a pod it is not, and none is made."""
    text = f"{type(error).__name__}: {' '.join(str(error).split())}"
    with contextlib.suppress(OSError):
        descriptor = os.open(file, os.O_WRONLY | os.O_TRUNC)
        try:
            os.write(descriptor, text.encode(errors="replace")[:MAX_BYTES])
        finally:
            os.close(descriptor)


def version_refused(message: str) -> str:
    """Return the sentence of a worker that refused the format of its store, "" of any other."""
    kind, _, sentence = message.partition(": ")
    return sentence if kind == StoreVersionError.__name__ else ""
