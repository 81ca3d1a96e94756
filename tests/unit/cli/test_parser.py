"""The command line: what it accepts, what it says of what it does not, and its page."""

import sys
import textwrap
from pathlib import Path

import pytest

from asyncendpoints_cli.command_line import command
from asyncendpoints_cli.errors import redact
from asyncendpoints_cli.main import main
from asyncendpoints_cli.parser import COMMANDS, build, metavar
from asyncendpoints_cli.run.handlers import load_handlers
from asyncendpoints_core import __version__
from asyncendpoints_core.errors import UsageError
from asyncendpoints_core.manifest import load
from asyncendpoints_core.process.settings import all_settings
from support.paths import ROOT


def refusal(*argv: str) -> str:
    with pytest.raises(UsageError) as caught:
        build().parse_args(argv)
    return str(caught.value)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["rum"], "unknown command rum; did you mean run? (see asyncendpoints --help)"),
        (
            ["run", "f", "--prot", "1"],
            "unknown option --prot; did you mean --port? (see asyncendpoints run --help)",
        ),
        (["run", "f", "--por", "1"], "unknown option --por; did you mean --port?"),
        (["run", "f", "--xyz"], "unknown option --xyz (see"),
        (["gateway", "endpoint.yaml"], "unexpected argument 'endpoint.yaml'; use --endpoint FILE"),
        (["run", "--endpoint", "f"], "unknown option --endpoint; name the FILE without it"),
        (["help"], "unknown command help; did you mean --help?"),
        (["version"], "unknown command version; did you mean --version?"),
        (["run"], "the following arguments are required: FILE"),
        (["run", "f", "--port"], "argument --port: expected one argument"),
        (["validate"], "required: FILE"),
        (["unpin"], "required: NAME"),
    ],
)
def test_a_wrong_command_line_is_one_line_that_helps(argv: list[str], said: str) -> None:
    message = refusal(*argv)
    assert said in message
    assert "\n" not in message


def test_main_prints_that_line_and_returns_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "x", "--prot"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("asyncendpoints: unknown option --prot")
    assert err.count("\n") == 1


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "asyncendpoints COMMAND --help" in capsys.readouterr().err


def test_the_example_of_the_help_is_an_endpoint_with_its_handler(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", sys.path[:])
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = textwrap.dedent(capsys.readouterr().out.partition("beside it:\n")[2])
    resource, _, rest = shown.partition("from asyncendpoints")
    code, _, _ = rest.partition("After")
    file = tmp_path / "hello.yaml"
    file.write_text(textwrap.dedent(resource))
    name = "jobs_of_the_help"
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(f"  from asyncendpoints{code}"))
    file.write_text(file.read_text().replace("handlers: jobs", f"handlers: {name}"))
    manifest = load([file])
    assert not manifest.faults
    registry = load_handlers(manifest.loaded[0].endpoint, tmp_path)
    assert registry is not None
    assert list(registry.handlers) == ["hello"]


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"asyncendpoints {__version__}\n"


@pytest.mark.parametrize("command", [command.name for command in COMMANDS])
def test_the_help_of_each_command_teaches(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*command.split(), "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "examples:" in text
    assert "--death-pipe" not in text
    assert all(len(line) <= 100 for line in text.splitlines())


def test_every_command_has_a_module() -> None:
    names = {each.name.partition(" ")[0] for each in COMMANDS}
    modules = {name.replace("-", "_"): command(name).__module__ for name in names}
    names = set(modules)
    assert modules == {name: f"asyncendpoints_cli.commands.{name}" for name in names}
    files = {file.stem for file in (ROOT / "cli/asyncendpoints_cli/commands").glob("[a-z]*.py")}
    assert files == names


@pytest.mark.parametrize("command", ["run", "gateway", "worker", "operator"])
def test_every_setting_with_a_flag_is_an_option_of_its_readers(command: str) -> None:
    given = ["f"] if command == "run" else []
    parsed = vars(build().parse_args([command, *given]))
    for setting in all_settings():
        reads = command in setting.about.readers.split() and bool(setting.about.flag)
        assert (setting.name in parsed) == reads, setting.name


def test_placeholders_say_what_a_value_is() -> None:
    flags = [each.about for each in all_settings() if each.about.flag]
    assert not [about.flag for about in flags if "-" in metavar(about.kind, about.flag)]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("redis://u:secret@h:1/0: gone", "redis://u:***@h:1/0: gone"),
        ("cannot reach redis://h:6379 (a@b)", "cannot reach redis://h:6379 (a@b)"),
        ("rediss://:p%40ss@h?password=x", "rediss://:***@h?password=***"),
        ("nothing secret", "nothing secret"),
    ],
)
def test_passwords_are_hidden_in_what_is_printed(line: str, shown: str) -> None:
    assert redact(line) == shown
