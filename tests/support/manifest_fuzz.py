"""Resource files made by damaging good ones: in their text, and in the values of their fields."""

import copy
import random
from collections.abc import Iterator
from typing import Any

import yaml
from pydantic import ValidationError

from asyncendpoints_core.manifest.loader import check
from asyncendpoints_core.manifest.yaml_reader import read_documents
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.resource.cluster import cluster_faults
from support.resources import FULL, HTTP_MODE, MINIMAL

SEEDS = (FULL, HTTP_MODE, MINIMAL)
VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, 2**63, 10**400, float("inf"), float("nan"), "", " ", "x", "\0", "é"),
    *(
        "\ud7ff",
        "x" * 5_000,
        "{a}",
        "/{a}/{a}",
        "/%zz",
        "http://[",
        "redis://:pw@[::1",
        "1Mi",
        "5m",
    ),
    *(
        "* * * * *",
        "99 * * * *",
        "Europe/Nowhere",
        "../../etc",
        "$ref",
        "(a+)+$",
        "\u202e",
        [],
    ),
    *({}, [[]], [None], {"": {}}, {"x": None}, {"$ref": "#"}, {"$ref": "http://x/y"}, ["a", "a"]),
    {"type": "object", "properties": {"a": {"$ref": "#/properties/a"}}},
    {"allOf": [{"$ref": "#"}, {"$ref": "#"}]},
    {"pattern": "("},
)
TOKENS = (
    *("\n", "\t", " ", ":", "- ", "#", "&a ", "*a", "!!python/object:os.system ", "!!binary ", "|"),
    *(">", "{", "}", "[", "]", "'", '"', "%YAML 1.1\n", "---\n", "...\n", "? ", "<<: *a", "\ufeff"),
    *("\x00", "\x85", "\u2028", "0x1F", "1_000", "12:30:45", "2001-01-01", "~", "yes", "@", "`"),
)


def damaged_value(chance: random.Random) -> dict[str, Any]:
    """Return a resource as the API server or a reader of YAML would."""
    value = copy.deepcopy(chance.choice(SEEDS))
    for _ in range(chance.randint(0, 3)):
        _damage_value(value, chance)
    return value


def damaged(chance: random.Random) -> str:
    """Return the text of a file."""
    value = damaged_value(chance)
    text = yaml.safe_dump(value, allow_unicode=True, default_flow_style=chance.random() < 0.3)
    for _ in range(chance.choice((0, 0, 1, 3))):
        at = chance.randrange(len(text) + 1)
        text = text[:at] + chance.choice(TOKENS) + text[at + chance.choice((0, 1, 5)) :]
    return text


def _damage_value(value: Any, chance: random.Random) -> None:
    """Replace, add, rename or remove something at a random place."""
    places = list(_places(value))
    parent, key = chance.choice(places)
    match chance.randrange(5):
        case 0 if isinstance(parent, dict):
            parent[chance.choice((f"{key}s", "", "x" * 300, "__class__", "model_config"))] = (
                parent.pop(key)
            )
        case 1:
            del parent[key]
        case 2:
            nested: Any = chance.choice(VALUES)
            for _ in range(chance.choice((1, 50))):
                nested = [nested] if chance.random() < 0.5 else {"a": nested}
            parent[key] = nested
        case 3:
            other, at = chance.choice(places)
            if at in other if isinstance(other, dict) else at < len(other):
                parent[key] = copy.deepcopy(other[at])
        case _:
            parent[key] = copy.deepcopy(chance.choice(VALUES))


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the containers in `value`, each with one of its keys."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


def read_damaged(seed: int) -> None:
    """Read a damaged file as `validate` does. Raises nothing unless there is a defect."""
    text = damaged(random.Random(seed))
    for document in read_documents(text, "x.yaml"):
        for cluster in (False, True):
            _, faults = check(document, cluster=cluster)
            for fault in faults:
                line = fault.render()
                assert "\n" not in line, line
                assert len(line) < 3_000, line
                assert "Traceback" not in line, line


def parse_damaged(seed: int) -> None:
    """Parse a damaged resource as the operator does. Raises nothing unless there is a defect."""
    try:
        endpoint = AsyncEndpoint.parse(damaged_value(random.Random(seed)))
    except ValidationError:
        return
    cluster_faults(endpoint)
    assert AsyncEndpoint.parse(endpoint.document()) == endpoint
