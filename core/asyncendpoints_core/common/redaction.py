"""Removes the passwords from URLs that are shown."""

import re
from typing import Final

from asyncendpoints_core.common.faults import one_line

_USERINFO: Final = re.compile(r"(://[^:/?#@]*:)(.*)@", re.DOTALL)
_PASSWORD_ALONE: Final = re.compile(r"([?&][^=&#]*(?:password|secret|token)[^=&#]*=)[^&#]*", re.I)


def redact_url(url: str) -> str:
    """Return `url`, which may be invalid, with its passwords replaced by ***.

    Everything up to the last "@" counts as the password, because one that is not percent-encoded
    may contain any character. A user name without a password is kept.
    """
    hidden = _USERINFO.sub(r"\1***@", url)
    return one_line(_PASSWORD_ALONE.sub(r"\1***", hidden))
