"""The scripts' headers are their signatures: what they declare is what they use."""

import re
from importlib.resources import files

import pytest

from asyncendpoints_core.store.redis import keys, lua_layout, script_parts, scripts

FOLDER = files("asyncendpoints_core.store") / "lua"
NAMES = sorted(
    entry.name.removesuffix(".lua") for entry in FOLDER.iterdir() if entry.name.endswith(".lua")
)
LIBRARIES = sorted(entry.name.removesuffix(".lua") for entry in (FOLDER / "lib").iterdir())
# Commands whose second argument is no key.
KEYLESS = {"TIME", "PUBLISH", "SPUBLISH"}


def header(name: str) -> dict[str, list[str]]:
    """Return the fields of a file's header."""
    return scripts.header(scripts.read(name))


def body(name: str) -> str:
    """Return a script with its parts of lua/lib and its constants, without comments."""
    text = scripts.read(name)
    parts = scripts.libraries(text, full=True).values()
    code = re.sub(r"--[^\n]*", "", "\n".join([*parts, text]))
    return lua_layout.expand(code, lua_layout.LAYOUTS)


def word(name: str) -> re.Pattern[str]:
    return re.compile(rf"\b{re.escape(scripts.local_name(name))}\b")


@pytest.mark.parametrize("name", NAMES)
def test_the_keys_declared_are_the_keys_used(name: str) -> None:
    declared, code = scripts.load(name, full=True).keys, body(name)
    unused = [key for key in declared if key != "meta" and not word(key).search(code)]
    assert unused == [] or "unpack(KEYS)" in code or "ipairs(KEYS)" in code
    undeclared = [
        name
        for name in map(scripts.local_name, set(keys.NAMES) - set(declared))
        if re.search(rf"\b{name}\b(?=[,)])", code)
    ]
    locals_ = set(re.findall(r"local ([\w, ]+?)\s*(?:=|\n)", code))
    named = {one.strip() for names in locals_ for one in names.split(",")}
    assert [key for key in undeclared if key not in named and f"'{key}'" not in code] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_key_is_never_made_of_text(name: str) -> None:
    for command, argument in re.findall(r"call\('([A-Z]+)', *([^,)]+)", body(name)):
        if command not in KEYLESS:
            assert re.fullmatch(r"\w+(\[[\w.]+\])*|unpack\(KEYS\)|unpack\(KEYS", argument.strip())
    assert "KEYS[" not in body(name)


@pytest.mark.parametrize("name", NAMES)
def test_the_fields_of_meta_declared_are_those_used(name: str) -> None:
    script = scripts.load(name)
    ignored = {"tick"}  # every script's time is never below it
    assert [f for f in script.meta if f not in ignored and not word(f).search(body(name))] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_header_documents_its_script(name: str) -> None:
    text = scripts.read(name)
    assert text.startswith(f"-- {name}: ")
    fields = scripts.header(text)
    assert fields["RETURNS"] or "bare" in fields.get("FLAGS", [])
    uses_arguments = "ARGV" in re.sub(r"--[^\n]*", "", text)
    assert ("ARGV" in fields) == uses_arguments


@pytest.mark.parametrize("name", NAMES)
def test_only_what_adds_jobs_logs_or_figures_may_be_refused_when_memory_is_full(name: str) -> None:
    script = scripts.load(name)
    adds = ("enqueue", "fire", "redrive", "settle_with_children", "write_logs", "record_figures")
    assert ("deny-oom" in script.flags) == (name in adds)
    if not script.flags:
        first = re.search(r"call\('(\w+)'", script.source)
        assert first is not None
        assert first[1] == "HDEL"  # a write that may be made then: more may follow it
    if "removes-first" in script.flags:
        writes = re.findall(r"call\('(H(?:SET|DEL)|Z(?:ADD|REM)\w*|DEL)'", scripts.read(name))
        assert writes[0] == "ZREM"  # such a write too
    if "read" in script.flags:
        assert not re.search(
            r"call\('(H(SET|DEL|INCRBY)|Z(ADD|REM)\w*|SET|R?PUSH|DEL)'", script.source
        )


def test_numbers_become_text_whole() -> None:
    # tostring() of Lua 5.1 keeps 14 digits; times have 13, claim numbers 16.
    for name in NAMES:
        assert "tostring" not in body(name)


@pytest.mark.parametrize("name", ["", "a{b}/c", "a b/c", "a*/c", "a/c\n"])
def test_a_name_that_would_break_the_hash_tag_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not the name"):
        keys.prefix(name)


@pytest.mark.parametrize("name", [*NAMES, *(f"lib/{library}" for library in LIBRARIES)])
def test_the_libraries_declared_are_those_used(name: str) -> None:
    code = re.sub(r"--[^\n]*", "", scripts.read(name))
    used = {one for one in LIBRARIES if re.search(rf"(?<![\w.']){one}(?=[.(\[)])", code)}
    fields = scripts.header(scripts.read(name))
    declared = {*fields.get("LIB", []), *fields.get("FEATURELIB", [])}
    assert declared == used - {name.removeprefix("lib/")}


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_library_returns_what_has_its_name(name: str) -> None:
    assert scripts.read(f"lib/{name}").endswith(f"\nreturn {name}\n")


LAZY = {one: fields["LAZY"] for one in LIBRARIES if "LAZY" in (fields := header(f"lib/{one}"))}


@pytest.mark.parametrize("name", LAZY)
def test_what_a_lazy_library_does_unmade_is_one_of_its_functions(name: str) -> None:
    text = scripts.read(f"lib/{name}")
    assert [one for one in LAZY[name] if f"function {name}.{one}(" not in text] == []


@pytest.mark.parametrize("name", [*NAMES, *(f"lib/{library}" for library in LIBRARIES)])
def test_a_lazy_library_is_only_read_by_its_own_name(name: str) -> None:
    """Another name for it would go on to mean the library that is not made yet."""
    code = re.sub(r"--[^\n]*", "", scripts.read(name))
    for library, unmade in LAZY.items():
        if name == f"lib/{library}":
            continue
        assert not re.search(rf"(?m)^\s*{library}\.\w+(, [\w.]+)* = ", code)
        if unmade:
            assert not re.search(rf"[=(,] *{library} *([,)\n]|$)", code)


# These end jobs.
WITH_OUTBOX = {
    *("cancel", "claim", "fire", "promote", "quarantine", "reconcile", "release_worker"),
    *("settle", "settle_with_children", "step_action", "sweep"),
}


@pytest.mark.parametrize("name", NAMES)
def test_what_ends_jobs_writes_events_in_its_full_form_alone(name: str) -> None:
    plain, full = scripts.load(name), scripts.load(name, full=True)
    assert ("outbox" in scripts.feature_parts(scripts.read(name))) == (name in WITH_OUTBOX)
    assert ("function outbox.add" in full.source) == (name in WITH_OUTBOX)
    # The plain form has no further key, field of `meta`, or code.
    declared = scripts.header(scripts.read(name))
    wanted = keys.NAMES if declared["KEYS"] == ["all"] else tuple(declared["KEYS"])
    assert plain.keys == wanted
    assert list(plain.meta) == declared.get("META", [])
    assert "function outbox" not in plain.source


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_a_script_has_those_functions_of_its_libraries_that_it_names(name: str, full: bool) -> None:
    source = scripts.load(name, full=full).source
    named = set(re.findall(r"(?<![\w.])\w+\.\w+", source))
    for library, text in scripts.libraries(scripts.read(name), full=full).items():
        functions = set(re.findall(rf"^function ({library}\.\w+)\(", text, re.MULTILINE))
        assert {one for one in functions if f"function {one}(" in source} == functions & named


def test_the_common_calls_make_no_function_that_others_need() -> None:
    for name in ("enqueue", "claim", "settle"):
        assert "function record.waiting_line(" not in scripts.load(name).source


PART = """local part = {size = 2}
local function used(x)
  return x
end
local function unused(x)
  return used(x)
end
function part.first(x)
  return used(x)
end
function part.second(x)
  return part.third(x)
end
function part.third(x)
  return unused(x)
end
return part
"""


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("part.first(1)", {"used", "part.first"}),
        ("part.second(1)", {"used", "unused", "part.second", "part.third"}),
        ("part.firsts(1)", set()),
        ("local each = {part}", {"used", "unused", "part.first", "part.second", "part.third"}),
    ],
)
def test_of_a_part_what_nothing_names_is_left_out(body: str, left: set[str]) -> None:
    text = script_parts.prune({"part": PART}, body)["part"]
    assert set(re.findall(r"function ([\w.]+)\(", text)) == left


def test_a_part_that_is_one_function_is_kept() -> None:
    part = "local function part(x)\n  return x\nend\nreturn part\n"
    assert script_parts.prune({"part": part}, "part(1)\n") == {"part": part}


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_a_script_makes_every_library_that_is_one_function(name: str, full: bool) -> None:
    source = scripts.load(name, full=full).source
    for library, text in scripts.libraries(scripts.read(name), full=full).items():
        if f"local function {library}(" in text:
            assert f"function {library}(" in source


def test_a_part_that_is_made_at_once_needs_no_function_around_it() -> None:
    text = script_parts.define("part", PART, None, "gated > 0")
    assert text.startswith(
        "if gated > 0 then\npart = {first = false, second = false, third = false, size = 2}\n"
    )
    assert text.endswith("end\nend\n")
    assert "\nreturn part\n" not in text


def test_a_script_with_more_names_than_a_function_may_use_makes_its_parts_in_several() -> None:
    few, many = (
        "local " + ", ".join(f"v{at}" for at in range(count)) + " = unpack(KEYS)\n"
        for count in (script_parts.MAX_UPVALUES, script_parts.MAX_UPVALUES + 1)
    )
    for first, outer in ((few, True), (many, False)):
        body = f"return {first.removeprefix('local ').split(' =')[0]}\n"
        source = script_parts.compose(first, "", {"part": "do\npart = {}\nend\n"}, body)
        assert source.endswith(f"{body}end)()\n") == outer
