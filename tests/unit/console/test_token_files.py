"""The tokens of a console in a pod: read from mounted files, which change under it."""

from pathlib import Path

import pytest

from asyncendpoints_console.access import Access, Role
from asyncendpoints_console.refusals import Refusal
from asyncendpoints_console.token_files import CHECK_SECONDS, MAX_TOKEN_BYTES, TokenFiles
from asyncendpoints_core.common.time_source import ManualClock


def test_missing_empty_and_oversized_files_are_no_tokens(tmp_path: Path) -> None:
    clock = ManualClock()
    tokens = TokenFiles(tmp_path / "console", clock)
    assert tokens() == {}
    (tmp_path / "console").mkdir()
    (tmp_path / "console" / "view").write_text("\n")
    (tmp_path / "console" / "operate").write_bytes(b"x" * (MAX_TOKEN_BYTES + 1))
    clock.advance(1_000 * CHECK_SECONDS)
    assert tokens() == {}


def test_a_new_token_takes_effect_and_ends_the_sessions_of_the_old_one(tmp_path: Path) -> None:
    clock = ManualClock()
    (tmp_path / "view").write_text("first\n")
    access = Access(TokenFiles(tmp_path, clock), clock)
    session, link = access.log_in("first"), access.new_link(Role.VIEW)
    assert access.role(None, session) is Role.VIEW
    assert access.role_of_token("first") is Role.VIEW
    (tmp_path / "view").write_text("second")
    assert access.role_of_token("second") is None  # not read again yet
    clock.advance(1_000 * CHECK_SECONDS)
    assert access.role_of_token("second") is Role.VIEW
    assert access.role_of_token("first") is None
    with pytest.raises(Refusal):
        access.role(None, session)
    assert access.use_link(link) is None
    (tmp_path / "view").unlink()
    clock.advance(1_000 * CHECK_SECONDS)
    with pytest.raises(Refusal):
        access.role("Bearer second", None)
