"""Process settings: where each comes from, what is refused, and that no password is shown."""

import re
from pathlib import Path

import pytest

from asyncendpoints_core.common.redaction import redact_url
from asyncendpoints_core.errors import UsageError
from asyncendpoints_core.process.settings import Settings, all_settings, load, read_url


def test_defaults() -> None:
    assert load({}, {}) == Settings()
    assert (Settings().http_host, Settings().http_port) == ("127.0.0.1", 8080)
    assert Settings().redis_source() is None


def test_flag_beats_variable_beats_default() -> None:
    environ = {"ASYNCENDPOINTS_HTTP_PORT": "9001", "ASYNCENDPOINTS_LOG_LEVEL": "DEBUG"}
    assert load({}, environ).http_port == 9001
    assert load({"http_port": "9002", "log_level": None}, environ).http_port == 9002
    assert load({"http_port": 9002, "log_level": None}, environ).log_level == "debug"


def test_the_environment_is_the_processes_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYNCENDPOINTS_HTTP_HOST", "::1")
    assert load().http_host == "::1"


def test_an_empty_variable_is_not_set_and_an_unknown_one_is_ignored() -> None:
    environ = {
        "ASYNCENDPOINTS_HTTP_PORT": "",
        "ASYNCENDPOINTS_SERVICE_HOST": "10.0.0.1",
        "ASYNCENDPOINTS_PORT_8080_TCP": "tcp://10.0.0.1:8080",
    }
    assert load({}, environ) == Settings()


def test_a_service_link_is_not_a_port() -> None:
    # A Service called asyncendpoints-http, in a pod that does not switch these variables off.
    environ = {"ASYNCENDPOINTS_HTTP_PORT": "tcp://10.0.0.1:80"}
    assert load({}, environ).http_port == 8080
    with pytest.raises(UsageError):
        load({"http_port": "tcp://10.0.0.1:80"}, {})


def test_every_kind_is_read() -> None:
    found = load(
        {},
        {
            "ASYNCENDPOINTS_ADMIN_PORT": "0",
            "ASYNCENDPOINTS_ENDPOINT_FILE": "/etc/asyncendpoints/endpoint.yaml",
            "ASYNCENDPOINTS_RELOAD": "True",
            "ASYNCENDPOINTS_LOG_FORMAT": "json",
            "ASYNCENDPOINTS_INSTALLATION_ID": "0f3a-1",
            "ASYNCENDPOINTS_HTTP_TARGET": "http://127.0.0.1:3000/x",
            "ASYNCENDPOINTS_METRICS_FROM": '[{"podSelector": {}}]',
            "ASYNCENDPOINTS_WEBHOOK_ALLOW": "Localhost:9000, [0::1]:9001,[FD00:0::00A]:9002",
            "ASYNCENDPOINTS_WEBHOOK_PORTS": "8443, 9443",
            "ASYNCENDPOINTS_WEBHOOK_ALLOW_PRIVATE_CIDRS": "10.0.0.0/8,fd00::/8",
        },
    )
    assert found.admin_port == 0
    assert found.endpoint_file == Path("/etc/asyncendpoints/endpoint.yaml")
    assert found.reload is True
    assert found.log_format == "json"
    assert found.installation_id == "0f3a-1"
    assert found.http_target == "http://127.0.0.1:3000/x"
    assert found.metrics_from == ({"podSelector": {}},)
    assert found.webhook_allow == ("localhost:9000", "[::1]:9001", "[fd00::a]:9002")
    assert found.webhook_ports == (8443, 9443)
    assert found.webhook_allow_private_cidrs == ("10.0.0.0/8", "fd00::/8")
    assert load({"reload": True}, {}).reload is True


@pytest.mark.parametrize(
    ("flags", "environ", "message"),
    [
        ({"http_port": "x"}, {}, '--port: must be a number from 0 to 65535, not "x"'),
        ({"http_port": 65536}, {}, '--port: must be a number from 0 to 65535, not "65536"'),
        ({"http_port": "-1"}, {}, '--port: must be a number from 0 to 65535, not "-1"'),
        ({"http_port": "٣"}, {}, '--port: must be a number from 0 to 65535, not "٣"'),
        ({}, {"ASYNCENDPOINTS_ADMIN_PORT": "1e3"}, "ASYNCENDPOINTS_ADMIN_PORT: must be a number"),
        ({"log_level": "loud"}, {}, "--log-level: must be one of debug, info, warning, error"),
        ({}, {"ASYNCENDPOINTS_LOG_FORMAT": "xml"}, "ASYNCENDPOINTS_LOG_FORMAT: must be one of"),
        ({}, {"ASYNCENDPOINTS_RELOAD": "maybe"}, "ASYNCENDPOINTS_RELOAD: must be true or false"),
        ({"redis_url": "host:pw"}, {}, "--redis: must be a URL, such as redis://"),
        ({"http_target": "x"}, {}, "--http-target: must be a URL, such as http://"),
        ({"callback_host": "0.0.0.0"}, {}, "--callback-host: must be one host name or address to"),
        ({"callback_host": "a:80"}, {}, "--callback-host: must be host names without a port"),
        ({"http_host": " "}, {}, "--host: must not be empty"),
        ({"allowed_hosts": ["a:80"]}, {}, "--allowed-host: must be host names without a port"),
        ({}, {"ASYNCENDPOINTS_ALLOWED_HOSTS": "a,,b"}, "must be host names without a port"),
        (
            {},
            {"ASYNCENDPOINTS_WEBHOOK_CA_BUNDLE": "/none.pem"},
            'ASYNCENDPOINTS_WEBHOOK_CA_BUNDLE: no such file or directory ("/none.pem")',
        ),
        (
            {},
            {"ASYNCENDPOINTS_WEBHOOK_CA_BUNDLE": "-----BEGIN CERTIFICATE-----\nx"},
            "ASYNCENDPOINTS_WEBHOOK_CA_BUNDLE: must be certificates in PEM, or a file with them",
        ),
        (
            {},
            {"ASYNCENDPOINTS_INSTALLATION_ID": "a}b"},
            "ASYNCENDPOINTS_INSTALLATION_ID: must be 1",
        ),
        ({}, {"ASYNCENDPOINTS_POD_UID": "a" * 64}, "ASYNCENDPOINTS_POD_UID: must be 1 to 63"),
        ({"log_level": "a\nb"}, {}, 'not "a b"'),
        ({}, {"ASYNCENDPOINTS_METRICS_FROM": "monitoring"}, "METRICS_FROM: must be a JSON list of"),
        ({}, {"ASYNCENDPOINTS_METRICS_FROM": "[1]"}, 'must be a JSON list of objects, not "[1]"'),
        ({"webhook_allow": ["host"]}, {}, "--webhook-allow: must be HOST:PORT such as 127.0.0.1"),
        ({"webhook_allow": ["a b:80"]}, {}, "--webhook-allow: must be HOST:PORT"),
        ({"webhook_allow": ["[1:2]:80"]}, {}, "--webhook-allow: must be HOST:PORT"),
        ({"webhook_allow": ["a:99999"]}, {}, "--webhook-allow: must be ports from 1 to 65535"),
        ({}, {"ASYNCENDPOINTS_WEBHOOK_PORTS": "443,0"}, 'ports from 1 to 65535, not "0"'),
        ({}, {"ASYNCENDPOINTS_WEBHOOK_DENY_CIDRS": "10.0.0.1/8"}, "must be CIDR blocks such as"),
    ],
)
def test_bad_values_are_one_clear_line(
    flags: dict[str, object], environ: dict[str, str], message: str
) -> None:
    with pytest.raises(UsageError) as error:
        load(flags, environ)
    assert message in str(error.value)
    assert "pw" not in str(error.value)
    assert "\n" not in str(error.value)


def test_host_names_are_given_several_times_or_separated_by_commas() -> None:
    assert load({"allowed_hosts": ["A.example", "b,*"]}, {}).allowed_hosts == (
        "a.example",
        "b",
        "*",
    )
    assert load({}, {"ASYNCENDPOINTS_ALLOWED_HOSTS": "a, ::1"}).allowed_hosts == ("a", "::1")
    assert load({}, {}).allowed_hosts == ()


def test_every_bad_value_is_reported() -> None:
    with pytest.raises(UsageError) as error:
        load({"http_port": "x", "log_level": "y"}, {"ASYNCENDPOINTS_RELOAD": "z"})
    assert len(str(error.value).splitlines()) == 3


def test_the_url_comes_from_the_file_at_each_connect(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("redis://:one@h\n")
    found = load({}, {"ASYNCENDPOINTS_REDIS_URL_FILE": str(file)})
    source = found.redis_source()
    assert source is not None
    assert source() == "redis://:one@h"
    file.write_text("redis://:two@h")
    assert source() == "redis://:two@h"
    file.unlink()
    with pytest.raises(UsageError, match="no such file"):
        source()


def test_which_url_wins(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("redis://file")
    environ = {"ASYNCENDPOINTS_REDIS_URL": "redis://variable"}

    def url(flags: dict[str, object]) -> str:
        source = load(flags, environ).redis_source()
        assert source is not None
        return source()

    assert url({}) == "redis://variable"
    environ["ASYNCENDPOINTS_REDIS_URL_FILE"] = str(file)
    assert url({}) == "redis://file"
    assert url({"redis_url": "redis://flag"}) == "redis://flag"


@pytest.mark.parametrize("data", [b"", b"no url", b"redis://a\nredis://b", b"redis://\xff"])
def test_files_that_hold_no_url(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "url").write_bytes(data)
    with pytest.raises(UsageError) as error:
        read_url(tmp_path / "url")
    assert str(error.value).startswith(str(tmp_path / "url"))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("redis://:pw@h:6379/0", "redis://:***@h:6379/0"),
        ("redis://user:pw@h", "redis://user:***@h"),
        ("redis://user@h", "redis://user@h"),
        ("rediss://:p@s/s:w@h/0", "rediss://:***@h/0"),
        ("redis+sentinel://:pw@a:1,b:2/main/0", "redis+sentinel://:***@a:1,b:2/main/0"),
        ("unix://u:pw@/run/redis.sock", "unix://u:***@/run/redis.sock"),
        ("redis://h/0?password=pw&db=1", "redis://h/0?password=***&db=1"),
        ("redis://h?sentinel_password=pw", "redis://h?sentinel_password=***"),
        ("redis://:pw\n@h", "redis://:***@h"),
        ("no url at all", "no url at all"),
        ("", ""),
    ],
)
def test_passwords_are_never_shown(url: str, shown: str) -> None:
    assert redact_url(url) == shown


SERVICE_LINKS = re.compile(r"ASYNCENDPOINTS_(SERVICE_.*|PORT|PORT_\d+_.*)")


def test_no_variable_is_one_that_a_service_link_sets() -> None:
    # Those of a Service called asyncendpoints; see also test_a_service_link_is_not_a_port.
    for one in all_settings():
        assert re.fullmatch(r"ASYNCENDPOINTS_[A-Z]+(_[A-Z]+)*", one.env)
        assert not SERVICE_LINKS.fullmatch(one.env)
        assert not one.env.endswith(("_SERVICE_HOST", "_SERVICE_PORT"))


def test_settings_are_described_and_distinct() -> None:
    every = all_settings()
    assert [one.name for one in every] == [*Settings.__dataclass_fields__]
    for names in ([one.env for one in every], [one.about.flag for one in every if one.about.flag]):
        assert len(names) == len(set(names))
    for one in every:
        assert one.about.description.endswith(".")
        assert one.default_text
        readers = {"run", "gateway", "worker", "operator", "console", "jobs", "queue"}
        assert set(one.about.readers.split()) <= readers
        assert (one.about.kind == "number") == (one.about.unit != "")
