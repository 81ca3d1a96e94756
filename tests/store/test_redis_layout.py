"""The layout table alone decides where a field stands: for Python and for Lua."""

import asyncio
import dataclasses
import sys
from pathlib import Path

import pytest

from asyncendpoints_core.store import record_layout
from asyncendpoints_core.store.layout_fields import Bits, Field, Group, Layout, Optional, Part
from asyncendpoints_core.store.redis import lua_layout, scripts
from asyncendpoints_core.store.redis.python_layout import CorruptRecord, arranger, reader
from support.golden import check_golden
from support.paths import ROOT
from support.redis.backend import RedisBackend
from support.store.written import stored, write_records

GOLDEN = Path(__file__).parent / "golden" / "records.yaml"
ALTERED = ROOT / "tests" / "support" / "store" / "altered_layout.py"
# With optional fields: a number, one of variable length, and more flags than one byte has room for.
EXTENDED = Layout(
    fields=(Field("format", 1), Field("flags", 1), Field("seq", 5), Field("name_size", 1)),
    bits=(
        Bits("priority", 0, 2, most=2),
        Bits("has_parent", 2),
        Bits("has_tags", 3),
        Bits("has_more", 7),
        Bits("has_schedule", 4, of="more"),
        Bits("locked", 0, of="more"),
    ),
    optional=(
        Optional(Field("more", 1), "has_more"),
        Optional(Field("parent", 16, "bytes"), "has_parent"),
        Optional(Field("tags_size", 2), "has_tags"),
        Optional(Field("schedule", 6), "has_schedule"),
    ),
    parts=(Part("tags", "tags_size"), Part("name", "name_size")),
    tail="rest",
)

# How a script writes and reads such a record.
CODEC = """
local function write(r)
  r.format, r.flags = layout.FORMAT, r.priority * layout.EXTENDED.unit.priority
  r.more = r.locked and layout.EXTENDED.mask.locked or nil
  r.tags_size, r.name_size = r.tags ~= '' and #r.tags or nil, #r.name
  local more = optional.write(r, layout.EXTENDED.optional)
  return spack(layout.EXTENDED.format, layout.EXTENDED.fields(r)) .. more
    .. layout.EXTENDED.join{name = r.name, tags = r.tags} .. r.rest
end

local function read(s)
  local r = {}
  layout.EXTENDED.fields(r) = sunpack(layout.EXTENDED.format, s)
  local at = optional.read(r, layout.EXTENDED.optional, s, layout.EXTENDED.size + 1)
  r.priority = band(r.flags, layout.EXTENDED.mask.priority) / layout.EXTENDED.unit.priority
  r.locked = band(r.more or 0, layout.EXTENDED.mask.locked) > 0
  local tags_size, name_size = r.tags_size, r.name_size
  local tags_at = at + layout.EXTENDED.before.tags
  local name_at = at + layout.EXTENDED.before.name
  r.tags = ssub(s, tags_at, tags_at + (tags_size or 0) - 1)
  r.name = ssub(s, name_at, name_at + name_size - 1)
  r.rest = ssub(s, at + layout.EXTENDED.parts_size)
  return r
end
"""


async def test_the_bytes_are_those_of_the_first_release(redis_url: str) -> None:
    backend = RedisBackend(redis_url)
    await backend.open()
    await write_records(backend)
    check_golden(GOLDEN, [await stored(backend)])
    await backend.close()


async def test_a_field_that_moves_in_the_table_moves_everywhere(redis_url: str) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, ALTERED, redis_url)
    assert await process.wait() == 0


@pytest.mark.parametrize(
    ("given", "size"),
    [
        ({}, 8),
        ({"parent": b"p" * 16}, 24),
        ({"tags": b"blue,green"}, 20),
        ({"locked": True}, 9),
        ({"schedule": 1 << 40, "parent": b"q" * 16, "tags": b"t", "locked": True}, 34),
    ],
)
async def test_optional_fields_take_room_only_where_they_are(
    redis_url: str, given: dict[str, object], size: int
) -> None:
    layouts = {"EXTENDED": EXTENDED}
    absent = {"parent": "nil", "schedule": "nil", "tags": "''", "locked": "false"}
    shown = absent | {name: lua_literal(value) for name, value in given.items()}
    fields = ", ".join(f"{name} = {value}" for name, value in shown.items())
    backend = RedisBackend(redis_url)
    records = f"""{scripts.LOCALS}
    local optional = (function() {scripts.read("lib/optional")} end)()
    {CODEC}
    local s = write({{priority = 2, seq = 7, name = 'report', rest = 'r', {fields}}})
    local r = read(s)
    return {{s, write(r), r.parent or '', r.tags, r.schedule or 0, r.name .. r.rest}}"""
    source = scripts.complete(records, layouts)
    data, again, parent, tags, schedule, named = await backend.redis.eval(source, 0)
    await backend.close()
    assert len(data) == size + len(b"reportr")
    assert again == data
    assert (parent, tags) == (given.get("parent", b""), given.get("tags", b""))
    assert (schedule, named) == (given.get("schedule", 0), b"reportr")
    values = reader(EXTENDED, "priority seq parent tags schedule locked name rest")(data)
    assert values == (
        2,
        7,
        given.get("parent"),
        given.get("tags", b""),
        given.get("schedule"),
        given.get("locked", False),
        b"report",
        b"r",
    )


def lua_literal(value: object) -> str:
    return f"'{value.decode()}'" if isinstance(value, bytes) else str(value).lower()


def test_a_flag_that_means_nothing_is_not_read_over() -> None:
    read = reader(EXTENDED, "priority name")
    plain = bytes([161, 1]) + bytes(5) + b"\x02ab"
    assert read(plain) == (1, b"ab")
    with pytest.raises(CorruptRecord):
        read(bytes([161, 1 | 1 << 5]) + plain[2:])
    with pytest.raises(CorruptRecord):
        read(plain[:-1])


def test_parts_are_arranged_as_the_table_orders_them() -> None:
    assert arranger(EXTENDED, "rest name tags")(b"3", b"2", b"1") == (b"1", b"2", b"3")


def test_a_group_whose_fields_are_apart_is_an_error() -> None:
    groups = (Group("near", "seq flags"), Group("apart", "format seq"))
    layout = dataclasses.replace(EXTENDED, groups=groups)
    assert [field.name for field in layout.span("near")] == ["flags", "seq"]
    for name in ("apart", "missing"):
        with pytest.raises(ValueError, match="not fields that stand together"):
            layout.span(name)


def test_a_record_is_never_joined_without_one_of_its_fields() -> None:
    layouts = {"X": EXTENDED}
    text = "layout.X.join{format, flags, seq = s, name_size, name, tags}"
    assert lua_layout.expand(text, layouts) == "format .. flags .. s .. name_size .. tags .. name"
    with pytest.raises(ValueError, match="not every fixed field"):
        lua_layout.expand("layout.X.join{format, flags, name}", layouts)


def test_what_is_copied_from_one_record_to_another_is_the_same_there() -> None:
    assert record_layout.JOB.span("made") == record_layout.RUN.span("made")
    assert record_layout.HELD.span("claim") == record_layout.RUN.span("claim")
