"""asyncendpoints webhook-secret: the secret of a receiver that clients name."""

import io
import time
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook

from asyncendpoints_cli.main import main
from asyncendpoints_gateway.webhooks.signing import parse_secrets, secret_for, signature
from support.http.receiver import SECRET


def test_it_prints_what_verifies_requests_to_that_origin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "secrets"
    file.write_text(f"{SECRET}\n{SECRET[:-4]}AAAA\n")
    url = "HTTPS://Hooks.example.com:443/path"
    assert main(["webhook-secret", url, "--secrets", str(file)]) == 0
    printed = capsys.readouterr().out.split()
    assert len(set(printed)) == 2
    secrets = [
        secret_for(each, "https://hooks.example.com") for each in parse_secrets(file.read_text())
    ]
    now = int(time.time())
    for secret in printed:
        headers = {
            "webhook-id": "msg_1",
            "webhook-timestamp": str(now),
            "webhook-signature": signature(secrets, "msg_1", now, b"{}"),
        }
        assert Webhook(secret).verify(b"{}", headers) == {}
    monkeypatch.setattr("sys.stdin", io.StringIO(SECRET))
    assert main(["webhook-secret", "https://hooks.example.com"]) == 0
    assert capsys.readouterr().out.split() == printed[:1]


@pytest.mark.parametrize(
    ("origin", "secrets", "said"),
    [
        ("hooks.example.com", SECRET, "ORIGIN must be a URL"),
        ("https://hooks.example.com", "abc", "does not begin with whsec_"),
        ("https://hooks.example.com", "", "contains no secret"),
        ("https://hooks.example.com", None, "cannot be read"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    origin: str,
    secrets: str | None,
    said: str,
) -> None:
    file = tmp_path / "secrets"
    if secrets is not None:
        file.write_text(secrets)
    assert main(["webhook-secret", origin, "--secrets", str(file)]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert said in err
