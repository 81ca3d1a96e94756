"""Endpoints in code on the command line: export, run, and validate --handlers."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from asyncendpoints_cli.main import main
from asyncendpoints_worker.handlers import modules
from support.cli import Command, ask, eventually, final

Once = Callable[..., tuple[int, str, str]]

CODE = """\
from pydantic import BaseModel

from asyncendpoints import Endpoint

ep = Endpoint("shop", worker={"concurrency": 2}, retry={"max_retries": 1})

class Order(BaseModel):
    y: int
    note: str = "no"

@ep.post("/orders")
def place_order(order: Order) -> Order:
    return Order(y=order.y * 2)

@ep.put("/texts")
def store_text(text: str) -> str:
    return text.upper()
"""
FILE = """\
---
# Deployed by GitOps.
apiVersion: asyncendpoints.io/v1alpha1
kind: AsyncEndpoint
metadata:
    name: shop
    labels: {team: "a"}   # ours
spec:
    routes:
      # Old.
      - path: /gone
        job: gone
      - path: "/orders"
        job: renamed
        headers: [X-Tenant]   # kept
    worker:
        image: registry.example.com/shop:7   # set by CI
        handlers: shop
        concurrency: 9
    timeouts: {executionSeconds: 60}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "shop.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    return tmp_path


@pytest.fixture
def once(folder: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Once]:
    """The command in this process, with what it imported from the folder forgotten again."""

    def run(*words: str) -> tuple[int, str, str]:
        status = main(words)
        modules.forget([folder])
        return status, *capfd.readouterr()

    yield run
    modules.forget([folder])


def test_the_exported_file_says_what_the_code_says(folder: Path, once: Once) -> None:
    status, out, err = once("export", "shop:ep", "--image", "shop:1")
    assert (status, err) == (0, "")
    spec = yaml.safe_load(out)["spec"]
    assert spec["worker"] == {"concurrency": 2, "handlers": "shop", "image": "shop:1"}
    assert spec["routes"][0]["schema"]["properties"]["y"]["type"] == "integer"
    assert once("export", "shop:ep", "-o", "shop.yaml") == (0, "", "wrote shop.yaml\n")
    assert once("validate", "shop.yaml", "--handlers") == (
        0,
        "shop.yaml: default/shop is valid\n",
        "",
    )
    assert once("export", "shop:ep", "-o", "shop.yaml", "--check") == (0, "", "")
    text = (folder / "shop.yaml").read_text()
    assert once("export", "shop:ep", "-o", "shop.yaml") == (0, "", "")
    assert (folder / "shop.yaml").read_text() == text


def test_a_file_that_kubectl_cannot_annotate_is_named(folder: Path, once: Once) -> None:
    code = CODE + "\nfrom typing import Literal\n"
    code += f"Word = Literal[{', '.join(repr('w' * 60 + str(n)) for n in range(400))}]\n"
    for name in "abcdefghijkl":
        code += f"\n@ep.post('/{name}')\ndef {name}(word: Word) -> None: ...\n"
    (folder / "shop.py").write_text(code)
    status, _, err = once("export", "shop:ep", "-o", "shop.yaml")
    assert status == 0
    assert "more than 256 KiB: apply it with kubectl apply --server-side -f shop.yaml" in err


def test_an_existing_file_keeps_what_the_code_does_not_say(folder: Path, once: Once) -> None:
    file = folder / "shop.yaml"
    file.write_text(FILE)
    status, _, err = once("export", "shop:ep", "-o", "shop.yaml", "--check")
    assert status == 1
    assert "shop.yaml: spec.routes[1].job differs from the code" in err
    assert "shop.yaml: spec.worker.concurrency differs from the code" in err
    assert "spec.routes[0] (/gone) has no function in the code; --prune removes it" in err
    assert file.read_text() == FILE

    assert once("export", "shop:ep", "-o", "shop.yaml")[0] == 0
    text = file.read_text()
    for line in (
        "---\n# Deployed by GitOps.\n",
        '    labels: {team: "a"}   # ours\n',
        "      # Old.\n      - path: /gone\n",
        '      - path: "/orders"\n        job: place-order\n        headers: [X-Tenant]   # kept\n',
        "        image: registry.example.com/shop:7   # set by CI\n        handlers: shop\n",
        "        concurrency: 2\n",
        "    timeouts: {executionSeconds: 60}\n",
    ):
        assert line in text
    routes = yaml.safe_load(text)["spec"]["routes"]
    assert [route["path"] for route in routes] == ["/gone", "/orders", "/texts"]
    assert '"y":' in text  # a word that YAML 1.1 reads as true
    assert once("export", "shop:ep", "-o", "shop.yaml", "--check")[0] == 0

    status, _, err = once("export", "shop:ep", "-o", "shop.yaml", "--prune")
    assert (status, err.count("removed")) == (0, 1)
    assert [route["path"] for route in yaml.safe_load(file.read_text())["spec"]["routes"]] == [
        "/orders",
        "/texts",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("shop",), "shop: write MODULE:NAME, such as jobs:ep"),
        (("shop:eq",), "shop:eq: eq is not an Endpoint of shop; did you mean shop:ep?"),
        (("nothing:ep",), "nothing:ep: cannot import nothing: ModuleNotFoundError"),
        (("shop:ep", "--check"), "--check and --prune need a file: -o FILE"),
        (("shop:ep", "-o", "no.yaml", "--check"), "no.yaml: no such file; write it without"),
        (("shop:ep", "-o", "other.yaml"), 'other.yaml: has no AsyncEndpoint named "shop"'),
        (("split:ep",), "workers import split, which does not import split_more; import it there"),
    ],
)
def test_mistakes_are_one_line(
    folder: Path, once: Once, words: tuple[str, ...], message: str
) -> None:
    (folder / "other.yaml").write_text(FILE.replace("name: shop", "name: other"))
    (folder / "split.py").write_text("from asyncendpoints import Endpoint\nep = Endpoint('s')\n")
    more = "from split import ep\n@ep.post('/more')\ndef more() -> None: ...\n"
    (folder / "split_more.py").write_text(more)
    (folder / "app.py").write_text("import split_more\nfrom split import ep\n")
    if words == ("split:ep",):
        words = ("app:ep",)
    status, out, err = once("export", *words)
    assert (status, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1


def test_run_serves_an_endpoint_in_code_and_reloads_it(folder: Path) -> None:
    with Command("run", "shop:ep", "--port", "0", "--admin-port", "0", "--reload") as run:
        (url,) = run.ready()

        def doubled(body: str) -> tuple[int, bytes]:
            answer = ask(f"{url}/orders", "POST", body, Content_Type="application/json")
            if answer.status != 202:
                return answer.status, answer.body
            job = final(url + answer.headers["Location"])
            return 202, ask(url + job["links"]["result"]).body

        assert doubled('{"y": 2}') == (202, b'{"y":4,"note":"no"}')
        assert doubled('{"y": "2"}')[0] == 422
        (folder / "shop.py").write_text(CODE.replace("order.y * 2", "order.y * 5"))
        run.said("shop: reloaded")
        eventually(lambda: doubled('{"y": 2}') == (202, b'{"y":10,"note":"no"}'))
        (folder / "shop.py").write_text(CODE.replace('"/orders"', '"orders"'))
        run.said("the changed files have faults and are not applied")
        assert 'must start with "/"' in run.err
        assert doubled('{"y": 2}')[0] == 202


HAND = """\
apiVersion: asyncendpoints.io/v1alpha1
kind: AsyncEndpoint
metadata: {name: hand}
spec:
  routes:
    - path: "/orders"   # first
      job: place-order
    - {path: /none, job: none}
  worker: {handlers: shop}
"""


def test_validate_handlers_compares_and_writes_schemas(folder: Path, once: Once) -> None:
    file = folder / "hand.yaml"
    file.write_text(HAND)
    assert once("validate", "hand.yaml")[0] == 0
    status, out, err = once("validate", "hand.yaml", "--handlers")
    assert (status, out) == (2, "")
    assert [line.split(": ")[1] for line in err.splitlines()] == [
        "spec.routes[0].schema",
        "spec.routes[0].result",
        "spec.routes[1].job",
    ]
    assert once("validate", "hand.yaml", "--fix")[0] == 2
    assert file.read_text() == HAND
    status, out, err = once("validate", "hand.yaml", "--handlers", "--fix")
    assert (status, out) == (2, "hand.yaml: wrote the schemas of 1 route\n")
    assert 'spec.routes[1].job: shop has no @handler("none")' in err
    text = file.read_text()
    assert '- path: "/orders"   # first\n      job: place-order\n      schema:' in text
    file.write_text(text.replace("    - {path: /none, job: none}\n", ""))
    assert once("validate", "hand.yaml", "--handlers")[0] == 0


def test_init_writes_a_project_whose_tests_pass(folder: Path, once: Once) -> None:
    (folder / "shop.py").unlink()
    (folder / "README.md").write_text("mine")
    status, out, err = once("init", "--name", "greetings")
    assert (status, err) == (0, "")
    assert (folder / "README.md").read_text() == "mine"
    assert out.startswith("wrote jobs.py\nwrote test_jobs.py\nNext:\n")
    assert "asyncendpoints run jobs:ep --reload" in out
    status, text, _ = once("export", "jobs:ep")
    assert status == 0
    spec = yaml.safe_load(text)["spec"]
    assert [route["job"] for route in spec["routes"]] == ["greet"]
    test: dict[str, Any] = {}
    exec((folder / "test_jobs.py").read_text(), test)  # noqa: S102 - written by the command
    for name in ("test_a_greeting", "test_a_body_that_does_not_fit"):
        test[name]()
    status, _, err = once("init", ".", "--name", "again")
    assert status == 2
    assert "jobs.py: exists already; name another folder" in err
    (folder / "half").mkdir()
    (folder / "half" / "test_jobs.py").touch()
    assert once("init", "half")[0] == 2
    assert not (folder / "half" / "jobs.py").exists()
    assert once("init", "new", "--name", "Wrong Name")[0] == 2
    assert not (folder / "new").exists()
    assert "Next, in My App:" in once("init", "My App")[1]
    assert 'Endpoint("my-app"' in (folder / "My App" / "jobs.py").read_text()


def test_validate_checks_an_endpoint_in_code(once: Once, folder: Path) -> None:
    (folder / "shop.py").write_text(CODE)
    assert once("validate", "shop:ep") == (0, "shop:ep: default/shop is valid\n", "")
    assert "did you mean shop:ep?" in once("validate", "shop:eq")[2]
    status, _, err = once("validate", "--cluster", "shop:ep")
    assert (status, "asyncendpoints export shop:ep" in err) == (2, True)
    twice = CODE + '\n@ep.put("/orders")\ndef change_order(order: Order) -> None: ...\n'
    (folder / "twice.py").write_text(twice)
    status, out, err = once("validate", "twice:ep")
    assert (status, out) == (2, "")
    places = [n + 1 for n, line in enumerate(twice.splitlines()) if '"/orders")' in line]
    assert len(places) == 2
    for line in places:
        assert f"twice.py:{line}" in err
