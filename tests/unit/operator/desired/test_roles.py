"""Every field of the spec reaches the processes that read it: checked for each field."""

import re
from typing import Any

import pytest
import yaml

from asyncendpoints_core.resource import AsyncEndpoint, EndpointSpec
from asyncendpoints_core.resource.base import Record, Role
from asyncendpoints_core.resource.fields import Field, field_of, roles_of, walk
from asyncendpoints_operator.desired.config import FILE, config_map
from support.paths import ROOT
from support.resources import FULL, merge

SPEC = [field for field in walk() if field.path.startswith("spec.")]
CONTAINERS = {field.path for field in SPEC if not field.roles}
MARKED = [
    field
    for field in SPEC
    if field.roles and field.path.rpartition(".")[0] in CONTAINERS | {"spec"}
]
PROCESSES = {Role.GATEWAY, Role.WORKER}
ENDPOINT = AsyncEndpoint.parse(merge(FULL, {"metadata": {"uid": "u"}}))


def change(record: Record, steps: list[str]) -> Record:
    """Return a copy in which one field has its default value, or another than now."""
    name = steps[0].removesuffix("[]")
    attribute = next(
        a
        for a in type(record).model_fields
        if field_of(type(record), a) == field_of(type(record), name)
    )
    value: Any = getattr(record, attribute)
    if len(steps) == 1:
        info = type(record).model_fields[attribute]
        is_default = info.is_required() or value == info.default
        value = "changed" if is_default else info.default
    elif isinstance(value, tuple):
        value = (change(value[0], steps[1:]), *value[1:])
    else:
        value = change(value, steps[1:])
    return record.model_copy(update={attribute: value})


def mounted(endpoint: AsyncEndpoint, role: Role) -> tuple[str, Any]:
    """Return what the process reads; its labels are for people and policies."""
    manifest = config_map(endpoint, role)
    return manifest["metadata"]["name"], manifest["data"]


@pytest.mark.parametrize("field", SPEC, ids=lambda field: field.path)
def test_every_field_has_a_reader(field: Field) -> None:
    assert field.roles or field.record is not None


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@pytest.mark.parametrize("field", MARKED, ids=lambda field: field.path)
def test_a_changed_field_reaches_exactly_its_readers(field: Field) -> None:
    changed = change(ENDPOINT, field.path.split("."))
    assert isinstance(changed, AsyncEndpoint)
    assert changed != ENDPOINT
    reached = {role for role in PROCESSES if mounted(changed, role) != mounted(ENDPOINT, role)}
    assert reached == field.roles & PROCESSES


def test_a_field_without_a_mark_is_found() -> None:
    class Unmarked(Record):
        forgotten: int = 0

    assert roles_of(Unmarked, "forgotten") == frozenset()


@pytest.mark.parametrize("role", sorted(PROCESSES))
def test_a_process_reads_only_what_is_marked_for_it(role: Role) -> None:
    package = ROOT / role / f"asyncendpoints_{role}"
    source = "\n".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    for field in MARKED:
        path = field.path if field.owner is EndpointSpec else field.path.removeprefix("spec.")
        attributes = re.sub("([A-Z])", r"_\1", path).lower().replace("list", "list_")
        if re.search(rf"\b{re.escape(attributes)}\b", source):
            assert field.roles & {role, Role.STORE}, f"{path} does not reach the {role}"


def test_a_gateway_and_the_policy_have_the_same_definition_of_a_schedule() -> None:
    [_, data] = mounted(ENDPOINT, Role.GATEWAY)
    read = AsyncEndpoint.parse(
        merge(yaml.safe_load(data[FILE]), {"spec": {"worker": {"handlers": "a.b"}}})
    )
    assert read.spec.policy().schedules == ENDPOINT.spec.policy().schedules
    assert len(read.spec.schedules) == 1
