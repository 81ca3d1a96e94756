"""The Lua scripts: one file a verb, its header read as its signature, completed with lua/lib.

A header is the comment lines at the top. `KEYS:` are the keys the script may touch, by their names
in keys.py (`all`: every one), and `META:` the fields of the hash `meta` it reads: both become Lua
locals (`:` turns to `_`). `LIB:` names the parts of lua/lib it uses; each returns a table of
functions, or one function, and becomes the local of its name. `FEATURES:`, `FEATURELIB:` and
`FEATUREMETA:` are keys, parts and fields of `meta` that only features need (see Script); such a
part is nil in the plain script. A script has only those functions of a part that something in it
names (script_parts.py). A part with `IF:` is nil where that does not hold. A part with
`LAZY:` is made when it is first used, since to make functions is most of what a short call costs;
until then the functions that are listed do nothing and return 0.
`FLAGS:` is `read` (writes nothing), `deny-oom` (refused while memory is full), `removes-first` (its
first write is one that full memory allows), `bare` (runs without a store) or absent. Names in
capitals in a header are layouts of record_layout.py or message_layout.py; lua_layout.py lists what
`layout.…` is.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import Final

import msgspec

from asyncendpoints_core.jobs import policy, records
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store import actions, deliveries
from asyncendpoints_core.store.redis import lua_layout, script_parts
from asyncendpoints_core.store.redis.error_replies import EMPTY, FEATURE, PLAIN, VERSION
from asyncendpoints_core.store.redis.keys import GROUPS, NAMES

# A store is of the first until a feature that older programs do not know is used: what jobs carry,
# uniqueness. Older scripts are refused from then on. docs/adr/0012-features-and-old-scripts.md
FIRST_SCHEMA: Final = 1
SCHEMA: Final = 2

# The names in Redis stay as they are for the data there; scripts use the words of both stores.
_LOCAL_NAMES: Final = {
    "left": "deregistered",
    "gone": "tombstones",
    "idem": "idempotency",
    "idemexp": "idempotency_ends",
    "bell": "doorbell",
    "winfo": "worker_info",
    "lastclaim": "last_claims",
    "solo_until": "exclusive_until",
    "outbox": "unsent_events",
    "deliveries": "delivery_records",
    "actions": "action_fields",
    "logs": "log_records",
    "pauses": "pause_fields",
}

_WORD = re.compile(r"\w+")
_LOCAL = re.compile(r"^local (?:function )?([\w, ]+)", re.MULTILINE)
# Numbers that scripts have from Python.
_SHARED: Final = (
    (actions, "MAX_PASSES"),
    (deliveries, "BROKEN_AFTER MAX_DEAD MAX_DROPPED MAX_EVENT_BYTES MAX_EVENT_ERROR_BYTES"),
    (deliveries, "MAX_RECEIVERS RESULT_KEPT_MS"),
    (policy, "CLIENT_RECEIVERS"),
    (records, "MAX_ATTEMPTS_KEPT MAX_JOB_WEBHOOKS MAX_RELEASES"),
)
_CONSTANTS: Final = {
    **{name: str(number) for number, name in enumerate(State.__members__)},
    **{name: str(vars(module)[name]) for module, names in _SHARED for name in names.split()},
}
_CONSTANT = re.compile(rf"\b(?:{'|'.join(_CONSTANTS)})\b")
_COMMENT = re.compile(r"^ *--.*\n", re.MULTILINE)
_FIELD = re.compile(r"-- ([A-Z]+): ?(.*)")
_FOLDER = files("asyncendpoints_core.store") / "lua"

LOCALS: Final = """local call, floor = redis.call, math.floor
local spack, sunpack, ssub, sbyte = struct.pack, struct.unpack, string.sub, string.byte
local band = bit.band
"""
# The harmless first write: a script that has written may go on writing when memory is full.
_ALLOW_OOM = "call('HDEL', meta, '')\n"
_CHECK = f"""if M[1] ~= '{FIRST_SCHEMA}' and M[1] ~= '{SCHEMA}' then
  return redis.error_reply(M[1] and '{VERSION} ' .. M[1] or '{EMPTY} no store here')
end
"""
_CHECK_PLAIN = (
    _CHECK
    + f"""if M[1] == '{SCHEMA}' then
  return redis.error_reply('{FEATURE} the full script is needed')
end
"""
)
_CHECK_FULL = (
    _CHECK
    + f"""if M[1] == '{FIRST_SCHEMA}' then
  return redis.error_reply('{PLAIN} no feature is in use')
end
"""
)
# Never below the last tick, so that time does not step back with the machine's clock.
_TIME = """local T = call('TIME')
local us = T[1] * 1000000 + T[2]
local now = math.max(math.floor(us / 1000), tick)
us = math.max(us, now * 1000)
"""


class Script(msgspec.Struct, frozen=True):
    """One script, ready to run: `keys` in the order in which they are passed.

    Where a header has `FEATURES:` there are two. The plain one is for a store that uses no feature,
    the `full` one for all others; each refuses the other's store before it writes. `full` is None
    for a script that runs on both.
    """

    name: str
    keys: tuple[str, ...]
    meta: tuple[str, ...]
    flags: frozenset[str]
    source: str
    sha: str
    full: bool | None = None


def header(text: str) -> dict[str, list[str]]:
    """Return the fields of a file's header, each as its words; of a group of keys, the keys."""
    fields: dict[str, list[str]] = {}
    last = None
    for line in text.splitlines():
        if not line.startswith("--"):
            break
        match = _FIELD.match(line)
        if match:
            last = match[1]
            fields[last] = match[2].split()
        elif last is not None and line.startswith("--   "):
            fields[last] += line[2:].split()
    for field in fields.keys() & {"KEYS", "FEATURES"}:
        fields[field] = [key for word in fields[field] for key in GROUPS.get(word, (word,))]
    return fields


def read(name: str) -> str:
    """Return the text of lua/`name`.lua."""
    return (_FOLDER / f"{name}.lua").read_text("utf-8")


def local_name(key: str) -> str:
    """Return the Lua local that holds a key's full name, or the value of a field of `meta`."""
    return _LOCAL_NAMES.get(key, key.replace(":", "_"))


def libraries(text: str, *, full: bool = False) -> dict[str, str]:
    """Return the parts of lua/lib that a file uses, by name, each after those it uses itself."""
    found: dict[str, str] = {}
    fields = header(text)
    for name in (*fields.get("LIB", ()), *(fields.get("FEATURELIB", ()) if full else ())):
        part = read(f"lib/{name}")
        found |= libraries(part, full=full)
        found[name] = part
    return found


def feature_parts(text: str) -> set[str]:
    """Return the parts of lua/lib that a file, or what it uses, has in its full script only."""
    parts = (text, *libraries(text).values())
    return {name for part in parts for name in header(part).get("FEATURELIB", ())}


def complete(text: str, layouts: lua_layout.Tables) -> str:
    """Return a file's Lua with layouts, states and limits as literals, without its comments.

    A number costs nothing; a local that functions use costs each call of the script.
    """
    code = lua_layout.expand(_COMMENT.sub("", text), layouts)
    return _CONSTANT.sub(lambda name: _CONSTANTS[name[0]], code)


@cache
def load(name: str, *, full: bool = False) -> Script:
    """Return the script of a verb, the full one where there are two."""
    return build(name, lua_layout.LAYOUTS, full=full)


def build(name: str, layouts: lua_layout.Tables, *, full: bool = False) -> Script:
    """Return the script of a verb for records of other layouts than today's."""
    text = read(name)
    fields = header(text)
    featured = "FEATURES" in fields
    full = full and featured
    keys = NAMES if fields["KEYS"] == ["all"] else tuple(fields["KEYS"])
    meta = tuple(fields.get("META", ()))
    if full:
        keys += tuple(key for key in fields.get("FEATURES", ()) if key not in keys)
        meta += tuple(fields.get("FEATUREMETA", ()))
    flags = frozenset(fields.get("FLAGS", ()))
    unknown = set(keys) - set(NAMES)
    if unknown or keys[0] != "meta" or (meta[:1] != ("tick",) and "bare" not in flags):
        raise ValueError(f"lua/{name}.lua: bad header")
    parts = [f"local {', '.join(map(local_name, keys))} = unpack(KEYS)\n"]
    parts.append(LOCALS)
    if not flags & {"read", "deny-oom", "removes-first"}:
        parts.append(_ALLOW_OOM)
    if meta:
        wanted = ", ".join(f"'{field}'" for field in ("schema", *meta))
        parts.append(f"local M = call('HMGET', meta, {wanted})\n")
        check = (_CHECK_FULL if full else _CHECK_PLAIN) if featured else _CHECK
        parts.append("" if "bare" in flags else check)
        values = ", ".join(f"tonumber(M[{i + 2}]) or 0" for i in range(len(meta)))
        parts.append(f"local {', '.join(map(local_name, meta))} = {values}\n{_TIME}")
    source = _with_parts("".join(parts), text, layouts, full=full)
    sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
    return Script(name, keys, meta, flags, source, sha, full if featured else None)


def _with_parts(first: str, text: str, layouts: lua_layout.Tables, *, full: bool) -> str:
    """Return a script: its first lines, the parts of lua/lib that its file uses, and that."""
    code, parts = complete(text, layouts), libraries(text, full=full)
    headers = {name: header(part) for name, part in parts.items()}
    used = script_parts.prune({n: complete(part, layouts) for n, part in parts.items()}, code)
    made = {
        name: script_parts.define(
            name, part, headers[name].get("LAZY"), " ".join(headers[name].get("IF", ()))
        )
        for name, part in used.items()
    }
    absent = [] if full else sorted(feature_parts(text))
    inner = f"local {', '.join(absent)}\n" if absent else ""
    inner += script_parts.LAZY if any("LAZY" in fields for fields in headers.values()) else ""
    return script_parts.compose(first, inner, made, code)
