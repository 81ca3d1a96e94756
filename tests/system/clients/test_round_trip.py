"""Types in code → a resource in YAML → `asyncendpoints run` → OpenAPI → a typed client, with the
idioms of FastAPI's users: each has to arrive in the types of the client, and as checks.
"""

import json
import shutil
from pathlib import Path

import pytest
from openapi_spec_validator import validate

from support.cli import Command, ask
from support.clients.typescript import output
from support.npm import program
from support.paths import ROOT

CLIENTS = ROOT / "tests" / "support" / "clients"
COMPILE = (
    *("--strict", "--skipLibCheck", "--target", "es2022", "--module", "nodenext"),
    *("--lib", "es2022,dom,dom.iterable"),
)
# What the annotation of each route refuses, as the gateway does before there is a job.
REFUSED = {
    "/orders/acme": {"sku": "TEA", "count": 1},  # Annotated, Field(pattern)
    "/counts": {"n": 0},  # Annotated in an alias, Field(ge)
    "/unions": {"value": [1]},  # int | str | None
    "/pages": {"items": ["x"], "total": 1},  # Page[Item]
    "/aliases": {"unit_price": "1"},  # the alias is unitPrice
    "/pets": {"pet": {"kind": "cow"}},  # Field(discriminator)
    "/enums": {"colour": "blue"},  # Enum
    "/trees": {"children": [{"children": 1}]},  # a model in itself
}


@pytest.mark.timeout(300)  # it runs compilers
async def test_each_idiom_arrives_in_the_client(project: Path, tmp_path: Path) -> None:
    shutil.copy(CLIENTS / "idioms.py", tmp_path)
    export = ("export", "idioms:ep", "--image", "idioms:1", "-o", "idioms.yaml")
    with Command(*export, cwd=tmp_path) as command:
        assert command.wait() == 0
    with Command("run", "idioms.yaml", "--port", "0", "--admin-port", "0", cwd=tmp_path) as run:
        (url,) = run.ready()
        for path, body in REFUSED.items():
            refused = ask(url + path, "POST", json.dumps(body), Content_Type="application/json")
            assert (refused.status, refused.json["type"].rpartition(":")[2]) == (
                422,
                "invalid-body",
            ), path
        document = ask(f"{url}/openapi.json")
        validate(document.json)
        (project / "idioms.json").write_bytes(document.body)
        generator = (program("openapi-typescript"), "idioms.json", "-o", "idioms-schema.ts")
        await output(*generator, folder=project)
        shutil.copy(CLIENTS / "idioms.ts", project)
        (project / "node.d.ts").write_text("declare const process: { argv: string[] };\n")
        await output(program("tsc"), *COMPILE, "idioms.ts", "node.d.ts", folder=project)
        shown = json.loads(await output("node", "idioms.js", url, folder=project))
    assert shown == {
        "sku": "tea",
        "count": 3,
        "value": "x",
        "names": ["a", "last"],
        "total": 3,
        "lives": 9,
        "colour": "red",
        "depth": 2,
        "compiled": "function",
    }
