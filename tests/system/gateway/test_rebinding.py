"""A name server that changes its answers gains nothing: webhooks with the system's resolver."""

import json
import shutil
import subprocess
import sys
from typing import Any

import pytest

from support.http.rebinding import LOOPBACK, RECEIVER
from support.paths import ROOT

ALONE = ("unshare", "--map-root-user", "--net", "--mount")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What came of the tries of support/http/rebinding.py."""
    if shutil.which("ip") is None or subprocess.run([*ALONE, "true"], check=False).returncode:
        pytest.skip("no network namespace can be made here")
    done = subprocess.run(
        [*ALONE, sys.executable, "-m", "support.http.rebinding", tmp_path_factory.mktemp("names")],
        cwd=ROOT / "tests", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_each_try_resolves_once_and_connects_to_what_it_judged(found: dict[str, Any]) -> None:
    turns = found["turns.hooks.test"]
    assert turns["queries"] == len(turns["tries"]) == 3
    assert turns["connections"] == {RECEIVER: 1}
    first, *later = turns["tries"]
    assert first == [200, ""]
    assert later == [[0, f"the address is refused: {LOOPBACK}, which is loopback"]] * 2


@pytest.mark.parametrize(("name", "refused"), [("mixed", LOOPBACK), ("inner", "10.0.0.1")])
def test_one_refused_address_refuses_all(found: dict[str, Any], name: str, refused: str) -> None:
    one = found[f"{name}.hooks.test"]
    assert one["connections"] == {}
    assert all(status == 0 and refused in problem for status, problem in one["tries"])


def test_the_next_address_is_tried_when_nobody_listens_on_the_first(found: dict[str, Any]) -> None:
    order = found["order.hooks.test"]
    assert order["tries"] == [[200, ""]] * 3
    assert order["connections"] == {RECEIVER: 3}
    assert order["queries"] == 3
