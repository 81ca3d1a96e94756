"""Completion of the command line in real shells."""

import subprocess
import sys
from pathlib import Path

import pytest

from asyncendpoints_cli.main import complete_kubectl, main
from support.screen import program

ALL = {"list", "get", "watch", "logs", "result", "cancel", "retry", "purge"}
BIN = Path(sys.executable).parent
PLAIN = {"TERM": "dumb", "PS1": "ready> "}


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (("jo",), {"jobs"}),
        (("jobs", ""), ALL),
        (("jobs", "list", "--st"), {"--state"}),
        (("jobs", "list", "--state", "Fa"), {"Failed"}),
        (("jobs", "list", "--state=Ca"), {"--state=Canceled"}),
        (("jobs", "list", "--tag=a"), set()),
        (("queue", "show", "-o", "j"), {"json"}),
        (("completion", "z"), {"zsh"}),
        (("run", "endpoint"), set()),
    ],
)
def test_words(
    words: tuple[str, ...], completed: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(("completion", "words", "--", *words)) == 0
    assert set(capsys.readouterr().out.split()) == completed


def test_the_plugin_of_kubectl(capsys: pytest.CaptureFixture[str]) -> None:
    assert complete_kubectl(("jobs", "can")) == 0
    assert capsys.readouterr().out == "cancel\n:4\n"
    complete_kubectl(("",))
    assert set(capsys.readouterr().out.split()) == {"jobs", "queue", "console", ":4"}


def run(*words: str | Path, text: str) -> str:
    """Run a shell that reads its commands from its input; return its output."""
    return subprocess.run(
        words, input=f"PATH={BIN}:$PATH\n{text}", capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize(
    ("words", "completed"),
    [("jobs can", "cancel"), ("jobs list --state = Fa", "Failed"), ("validate end", "")],
)
def test_bash(words: str, completed: str) -> None:
    count = len(words.split())
    script = f"""
    source <(asyncendpoints completion bash)
    COMP_WORDS=(asyncendpoints {words}) COMP_CWORD={count}
    _asyncendpoints
    echo "${{COMPREPLY[*]}}"
    """
    assert run("bash", text=script) == f"{completed}\n"


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("jobs can", {"cancel"}),
        ("jobs ", ALL),
        ("jobs list --state Fa", {"Failed"}),
        ("jobs list --state=Fa", {"--state=Failed"}),
        ("validate end", {"endpoint.yaml"}),
    ],
)
def test_fish(
    line: str, completed: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{BIN}:/usr/local/bin:/usr/bin:/bin")
    (tmp_path / "endpoint.yaml").touch()
    script = f"asyncendpoints completion fish | source; complete -C 'asyncendpoints {line}'"
    shown = subprocess.run(
        ["fish", "--no-config", "-c", script], capture_output=True, text=True, check=True
    ).stdout
    assert set(shown.split()) == completed


@pytest.mark.parametrize("loaded", ["sourced", "autoloaded"])
def test_zsh(loaded: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "endpoint.yaml").touch()
    setup = f"unsetopt zle_bracketed_paste; path=({BIN} $path); autoload -Uz compinit; "
    if loaded == "autoloaded":
        folder = tmp_path / "functions"
        folder.mkdir()
        main_script = run("bash", text="asyncendpoints completion zsh")
        (folder / "_asyncendpoints").write_text(main_script)
        setup += f"fpath=({folder} $fpath); compinit -u -D"
    else:
        setup += "compinit -u -D; source <(asyncendpoints completion zsh)"
    with program("zsh", "-f", "-i", env=PLAIN, columns=400) as shown:
        shown.shows("ready> ")
        shown.type(f"{setup}; PS1='set> '\n")
        shown.shows(r"[\r\n]set> ")
        for typed, completed in (
            ("asyncendpoints jobs can", "asyncendpoints jobs cancel "),
            ("asyncendpoints jobs list --state Sch", "asyncendpoints jobs list --state Scheduled "),
            ("asyncendpoints jobs list --state=Sch", "asyncendpoints jobs list --state=Scheduled "),
            ("asyncendpoints validate end", "asyncendpoints validate endpoint.yaml "),
        ):
            shown.type(f"{typed}\t")
            shown.shows(completed)
            shown.type("\x15")  # Ctrl-U empties the line
        shown.type("exit\n")
        shown.process.wait()
