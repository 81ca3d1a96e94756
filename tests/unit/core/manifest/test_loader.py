"""Files: every fault by field, file, line and column, with what to write instead."""

# ruff: noqa: E501 - in tables of one case a line, a fault is best read whole

import json
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncendpoints_core.common.faults import Fault, format_path
from asyncendpoints_core.manifest import Manifest, load
from asyncendpoints_core.manifest.yaml_reader import MAX_VALUES, read_documents
from support.manifest_fuzz import parse_damaged, read_damaged

HEAD = """\
apiVersion: asyncendpoints.io/v1alpha1
kind: AsyncEndpoint
metadata: {name: reports}
"""
GOOD = (
    HEAD
    + """\
spec:
  routes:
    - {path: "/reports/{customer}", job: build-report}
  worker: {handlers: reports.jobs}
"""
)


def read(tmp_path: Path, *texts: str | bytes, cluster: bool = False) -> Manifest:
    paths = []
    for index, text in enumerate(texts):
        path = tmp_path / f"{index}.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        paths.append(path)
    return load(paths, cluster=cluster)


def said(manifest: Manifest) -> list[str]:
    """Return the faults as printed, files by their name alone."""
    return [fault.render().replace(fault.file, Path(fault.file).stem) for fault in manifest.faults]


def test_a_good_file_has_no_fault(tmp_path: Path) -> None:
    manifest = read(tmp_path, GOOD)
    assert manifest.faults == ()
    assert [endpoint.key for endpoint in manifest.endpoints] == ["default/reports"]
    assert manifest.loaded[0].file == tmp_path / "0.yaml"


def test_one_file_needs_no_list(tmp_path: Path) -> None:
    manifest = read(tmp_path, GOOD)
    file = tmp_path / "0.yaml"
    assert load(file) == load(str(file)) == manifest


def test_several_files_and_documents(tmp_path: Path) -> None:
    other = GOOD.replace("name: reports", "name: other")
    third = GOOD.replace("{name: reports}", "{name: reports, namespace: shop}")
    manifest = read(tmp_path, f"# two\n---\n{GOOD}---\n{other}...\n---\n# end\n", third)
    assert said(manifest) == []
    assert [e.key for e in manifest.endpoints] == [
        "default/reports",
        "default/other",
        "shop/reports",
    ]


def test_json_is_yaml(tmp_path: Path) -> None:
    manifest = read(tmp_path, GOOD)
    text = json.dumps(manifest.endpoints[0].document(), indent=2)
    assert read(tmp_path, text).endpoints == manifest.endpoints


def test_a_byte_order_mark_and_windows_lines_are_fine(tmp_path: Path) -> None:
    text = b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode()
    assert read(tmp_path, text).faults == ()


def test_anchors_and_merge_keys_work(tmp_path: Path) -> None:
    text = HEAD + dedent("""\
        spec:
          routes:
            - &base {path: /a, job: x, headers: [X-A]}
            - {<<: *base, path: /b}
            - {<<: [*base], path: /c, headers: []}
          worker: {handlers: m}
    """)
    manifest = read(tmp_path, text)
    assert said(manifest) == []
    routes = manifest.endpoints[0].spec.routes
    assert [(r.path, r.job, r.headers) for r in routes] == [
        ("/a", "x", ("X-A",)),
        ("/b", "x", ("X-A",)),
        ("/c", "x", ()),
    ]


def test_one_file_with_many_faults_reports_all_of_them(tmp_path: Path) -> None:
    text = dedent("""\
        apiVersion: asyncendpoints.io/v1alpha1
        kind: AsyncEndpoint
        metadata: {name: reports, namespce: x}
        spec:
          routes:
            - path: /a/{b}
              job: on
              methods: POST
            - {path: "/a/{c}", job: 1.10}
            - path: {customer}
              job: y
              methods: [GET, post]
            - {path: "/b/", job: x, schema: {type: objct, properties: {a: {minimum: "1"}}}}
            - {path: /c, job: z}
            - {path: /c, job: z}
          gateway:
            replicas: "2"
            maxBodyBytes: 1Mi
            max_waiters: 5
            auth: {tokens: {}}
          worker:
            image: 5
          retry: {maxRetrys: 3, maxSeconds: 5m, multiplier: 3, multiplier: 3}
          suspend: yes
          maxDepth: 5
          redis: redis://:pw@host/0
          retention:
          autoscaling: {minReplicas: 30, targetWaitSecond: 1}
          timeouts: {leaseSeconds: .inf, executionSeconds: 0}
          onDelete: purge
    """)
    assert said(read(tmp_path, text)) == [
        "0:3:27: metadata.namespce: unknown field; did you mean namespace?",
        "0:7:12: spec.routes[0].job: on is true for some YAML parsers and text for others; "
        'write "on" in quotes, or true',
        '0:8:16: spec.routes[0].methods: must be a list, but is the text "POST"; write [POST]',
        '0:9:29: spec.routes[1].job: must be text, but is the number 1.10; write "1.10"',
        "0:10:13: spec.routes[2].path: must be text, but unquoted braces are a mapping; "
        'write "{customer}"',
        "0:11:12: spec.routes[2].job: y is true for some YAML parsers and text for others; "
        'write "y" in quotes, or true',
        "0:12:17: spec.routes[2].methods[0]: must be one of POST, PUT, PATCH, DELETE, "
        'but is the text "GET"',
        "0:12:22: spec.routes[2].methods[1]: must be one of POST, PUT, PATCH, DELETE, "
        'but is the text "post"; did you mean POST?',
        '0:13:14: spec.routes[3].path: must not end with "/": a trailing slash never '
        'matches; write "/b"',
        "0:13:44: spec.routes[3].schema.type: must be array, boolean, integer, null, number, "
        "object or string",
        "0:13:77: spec.routes[3].schema.properties.a.minimum: must be of type number",
        "0:15:14: spec.routes[5].path: POST conflicts with spec.routes[4] (/c)",
        '0:17:15: spec.gateway.replicas: must be a whole number, but is the text "2"; '
        "write 2 without quotes",
        '0:18:19: spec.gateway.maxBodyBytes: must be a whole number, but is the text "1Mi"; '
        "write 1048576",
        "0:19:5: spec.gateway.max_waiters: unknown field; did you mean maxWaiters?",
        "0:20:12: spec.gateway.auth.tokens: set one of secretRef, file",
        "0:21:3: spec.worker: set one of handlers, http",
        '0:22:12: spec.worker.image: must be text, but is the number 5; write "5"',
        "0:23:11: spec.retry.maxRetrys: unknown field; did you mean maxRetries?",
        '0:23:37: spec.retry.maxSeconds: must be a number, but is the text "5m"; write 300',
        "0:23:56: spec.retry.multiplier: duplicate key; first in line 23",
        "0:24:12: spec.suspend: yes is true for some YAML parsers and text for others; "
        'write "yes" in quotes, or true',
        "0:25:3: spec.maxDepth: unknown field; it belongs in spec.queue or spec.limits.keys[]",
        "0:26:10: spec.redis: must be a mapping (name: value), but is text",
        "0:27:13: spec.retention: must be a mapping (name: value), but has no value; "
        "without one, leave the field out",
        "0:28:3: spec.autoscaling.maxReplicas: must be at least minReplicas (30), but is 20",
        "0:28:34: spec.autoscaling.targetWaitSecond: unknown field; "
        "did you mean targetWaitSeconds?",
        "0:29:28: spec.timeouts.leaseSeconds: .inf is not a JSON number",
        "0:29:52: spec.timeouts.executionSeconds: must be at least 0.1, but is 0",
        '0:30:13: spec.onDelete: must be one of Keep, Purge, but is the text "purge"; '
        "did you mean Purge?",
    ]


BODY = "  routes: [{path: /a, job: x}]\n  worker: {handlers: m}\n"

ONE_FAULT = [
    # the text below `spec:`, and what is said
    (BODY + "  retrys: {}", "7:3: spec.retrys: unknown field; did you mean retry?"),
    (BODY + "  retry: []", "7:10: spec.retry: must be a mapping (name: value), but is a list"),
    (BODY + "  replicas: 1.5", "7:13: spec.replicas: must be a whole number, but is the number 1.5"),
    (BODY + "  replicas: true", "7:13: spec.replicas: must be a whole number, but is true"),
    (BODY + "  replicas: 1001", "7:13: spec.replicas: must be at most 1000, but is 1001"),
    (BODY + "  replicas: 0x7d1", "7:13: spec.replicas: must be at most 1000, but is 0x7d1"),
    (
        BODY + "  suspend: 'true'",
        '7:12: spec.suspend: must be true or false, but is the text "true"; write true without quotes',
    ),
    (BODY + "  suspend: 1", "7:12: spec.suspend: must be true or false, but is the number 1"),
    (
        BODY + "  timeouts: {executionSeconds: 10m}",
        '7:32: spec.timeouts.executionSeconds: must be a number, but is the text "10m"; write 600',
    ),
    (
        BODY + "  timeouts: {executionSeconds: '10'}",
        '7:32: spec.timeouts.executionSeconds: must be a number, but is the text "10"; '
        "write 10 without quotes",
    ),
    (
        BODY + "  timeouts: {executionSeconds: 1:30}",
        '7:32: spec.timeouts.executionSeconds: must be a number, but is the text "1:30"',
    ),
    (
        BODY + "  timeouts: {executionSeconds: 1e999}",
        "7:32: spec.timeouts.executionSeconds: 1e999 is not a JSON number",
    ),
    (
        BODY + "  replicas: 2026-01-01",
        '7:13: spec.replicas: must be a whole number, but is the text "2026-01-01"',
    ),
    (
        BODY + "  className: Blue",
        '7:14: spec.className: must be lower-case letters, digits and "-", starting and ending '
        "with a letter or digit",
    ),
    (
        BODY + "  className: null-x\n  className: b",
        "8:3: spec.className: duplicate key; first in line 7",
    ),
    (BODY + "  8080: 1", '7:3: spec["8080"]: keys must be text: write "8080"|7:3: spec.8080: keys must be text: write "8080"'),
    (BODY + "  on: {}", '7:3: spec.on: on is true for some YAML parsers and text for others; write "on" in quotes'),
    (BODY + "  ? [a]\n  : b", "7:5: spec: keys must be text, not a list or mapping"),
    (BODY + "  retry: !mine {}", "7:10: spec.retry: the tag !mine is not supported"),
    (BODY + "  retry: !!python/name:os.system {}", "7:10: spec.retry: the tag !!python/name:os.system is not supported"),
    (BODY + "  replicas: !!int x", '7:13: spec.replicas: "x" is not a valid !!int'),
    (BODY + "  autoscaling: {minReplicas: 3, maxReplicas: 2}", "7:46: spec.autoscaling.maxReplicas: must be at least minReplicas (3), but is 2"),
    (BODY + "  redis: {url: 'redis://:pw@h'}", "7:16: spec.redis.url: must not contain a user or password; use secretRef for a URL with credentials"),
    (BODY + "  redis: {url: 'redis://h', secretRef: {name: a}}", "7:10: spec.redis: set only one of url, secretRef|7:3: spec.redis: set only one of url, secretRef"),
    (BODY + "  queue: {maxBytes: 2000}", "7:10: spec.queue: maxBytes (2000) must be at least gateway.maxBodyBytes (1048576), or bodies of that size would never be accepted"),
    ("  routes: [{path: /a, job: x}]", "4:1: spec.worker: required field is missing"),
    ("  worker: {handlers: m}", "4:1: spec.routes: required field is missing"),
    ("  routes: []\n  worker: {handlers: m}", "5:11: spec.routes: must have at least 1 item, but has 0"),
    ("  routes: [{path: /a}]\n  worker: {handlers: m}", "5:12: spec.routes[0].job: required field is missing"),
    ("  routes: {path: /a, job: x}\n  worker: {handlers: m}", '5:11: spec.routes: must be a list, but is a mapping; start each item with "- "'),
    ("  routes: [/a]\n  worker: {handlers: m}", '5:12: spec.routes[0]: must be a mapping (name: value), but is the text "/a"'),
    ("  routes: [{path: /a, job: x}]\n  worker: {handlers: m, http: {port: 80}}", "6:3: spec.worker: set only one of handlers, http"),
    ("  routes: [{path: /a, job: x}]\n  worker: {handlers: m, env: [{name: A, value: 010}]}", '6:48: spec.worker.env[0].value: must be text, but is the number 010; write "010"'),
    ("  routes: [{path: /a, job: x}]\n  worker: {handlers: m, annotations: {a.b/c: 1}}", '6:46: spec.worker.annotations["a.b/c"]: must be text, but is the number 1; write "1"'),
    ("  routes: [{path: /a, job: ~}]\n  worker: {handlers: m}", "5:28: spec.routes[0].job: must be text, but has no value"),
    ("  routes: [{path: /a, job: {a: b}}]\n  worker: {handlers: m}", "5:28: spec.routes[0].job: must be text, but is a mapping"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "want"), ONE_FAULT)
def test_each_fault_has_its_place_and_its_fix(tmp_path: Path, text: str, want: str) -> None:
    found = said(read(tmp_path, HEAD + "spec:\n" + text + "\n"))
    assert len(found) == 1
    assert found[0] in [f"0:{option}" for option in want.split("|")]


SYNTAX = [
    (
        "a: {path: /a/{b}, x: 1}",
        "1:14",
        'quote values with braces: path: "/reports/{customer}"',
    ),
    ("a:\n  b: {customer}/x", "2:16", "quote the whole value"),
    ("a:\n\tb: 1", "2:1", "indent with spaces instead of tabs"),
    ("a:\n  b: 1\n \tc: 2", "3:2", "instead of tabs"),
    ("a: b: c", "1:5", 'second ":" on a line'),
    ("a: @x", "1:4", "quote the value"),
    ("a: `x`", "1:4", "quote the value"),
    ("cron: * * * * *", "1:8", "quote the value"),
    ("a: {cron: */5 * * * *}", "1:12", "quote the value"),
    ("a: 'x", "1:6", "missing closing bracket or quote"),
    ("a: [1, 2", "1:9", "missing closing bracket or quote"),
    ("a: *x", "1:4", "undefined alias"),
    ("a: &x [*x]", "1:4", "recursive alias"),
    ("a: &x {<<: *x}", "1:4", "recursive alias"),
    ("a: {<<: 1}", "1:9", '"<<" requires a mapping'),
    ("a: 'it's'", "1:8", "quote the whole value"),
    ("a: x\n  b: 1\n c: 2", "2:4", "invalid YAML"),
    ("a: \x01", "1:4", "U+0001 is not allowed"),
    ("[" * 3_000, "1:1", "nests too deep"),
    ("- x", "1:1", "must be an AsyncEndpoint: a mapping with apiVersion, kind"),
    ("text", "1:1", "must be an AsyncEndpoint: a mapping with apiVersion, kind"),
]


@pytest.mark.parametrize(("text", "place", "hint"), SYNTAX)
def test_text_that_is_not_yaml_has_a_hint(tmp_path: Path, text: str, place: str, hint: str) -> None:
    found = said(read(tmp_path, text))
    (line,) = [line for line in found if line.startswith(f"0:{place}: ")]
    assert any(option in line for option in hint.split("|"))


def test_a_fault_in_one_document_does_not_hide_those_of_the_next(tmp_path: Path) -> None:
    bad = GOOD.replace("worker:", "wroker:").replace("reports}", "other}")
    manifest = read(tmp_path, f"a: b: c\n---\n{GOOD}---\n{bad}", "a: [\n", GOOD)
    assert said(manifest) == [
        '0:1:5: invalid YAML: second ":" on a line; quote a value with ": " or start a new line',
        "0:14:1: spec.worker: required field is missing",
        "0:17:3: spec.wroker: unknown field; did you mean worker?",
        "1:2:1: invalid YAML: missing closing bracket or quote",
        f'2:3:18: metadata.name: duplicate endpoint "default/reports", first defined in {tmp_path / "0.yaml"}:5',
    ]
    assert [loaded.endpoint.name for loaded in manifest.loaded] == ["reports"]


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("kind: AsyncEndpoint\n", "0:1:1: apiVersion: required field is missing"),
        ("apiVersion: asyncendpoints.io/v1alpha1\n", "0:1:1: kind: required field is missing"),
        ("apiVersion: v1\nkind: ConfigMap\n", "0:1:13: apiVersion: must be asyncendpoints.io/v1alpha1"),
        (GOOD.replace("v1alpha1", "v1"), "0:1:13: apiVersion: must be asyncendpoints.io/v1alpha1"),
        (GOOD.replace("kind: A", "kind: a"), "0:2:7: kind: must be AsyncEndpoint"),
        (GOOD.replace("{name: reports}", "{}"), "0:3:1: metadata.name: required field is missing"),
        (GOOD.replace("{name: reports}", "reports"), "0:3:11: metadata: must be a mapping"),
        (GOOD.replace("name: reports", "name: Reports"), "0:3:18: metadata.name: must be lower-case"),
        (GOOD.replace("name: reports", "name: 1"), '0:3:18: metadata.name: must be text, but is the number 1; write "1"'),
        (GOOD + "specs: {}\n", "0:8:1: specs: unknown field; did you mean spec?"),
    ],
)  # fmt: skip
def test_what_is_not_an_endpoint_is_reported(tmp_path: Path, text: str, want: str) -> None:
    assert said(read(tmp_path, text))[0].startswith(want)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes("a: b\nc: é\n".encode("latin-1"))
    (tmp_path / "utf16.yaml").write_bytes(GOOD.encode("utf-16"))
    (tmp_path / "empty.yaml").write_text("# nothing\n---\n")
    (tmp_path / "large.yaml").write_bytes(b"#" * 5_000_000)
    names = ["latin.yaml", "utf16.yaml", "empty.yaml", "large.yaml", "none.yaml", "."]
    faults = load([tmp_path / name for name in names]).faults
    assert [(fault.line, fault.column, fault.message) for fault in faults] == [
        (2, 4, "is not UTF-8 text; save it as UTF-8"),
        (1, 1, "is not UTF-8 text; save it as UTF-8"),
        (0, 0, "does not contain an AsyncEndpoint"),
        (0, 0, "must be at most 4194304 bytes"),
        (0, 0, "no such file"),
        (0, 0, f"is a directory; name its files, such as {tmp_path / 'empty.yaml'}"),
    ]


def test_a_cluster_requires_an_image_and_a_short_name(tmp_path: Path) -> None:
    text = GOOD.replace("name: reports", "name: " + "r" * 51)
    assert read(tmp_path, text).faults == ()
    assert said(read(tmp_path, text, cluster=True)) == [
        "0:3:18: metadata.name: has 51 characters, but at most 50 are allowed: the names of "
        "Services are derived from it",
        "0:7:11: spec.worker: image is required in a cluster",
    ]


def test_later_checks_find_the_place_of_a_field(tmp_path: Path) -> None:
    loaded = read(tmp_path, GOOD).loaded[0]
    fault = loaded.fault(("spec", "worker", "handlers"), "no module reports.jobs")
    assert (
        fault.render()
        == f"{tmp_path / '0.yaml'}:7:22: spec.worker.handlers: no module reports.jobs"
    )


def test_aliases_cannot_grow_without_limit(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    found = said(read(tmp_path, "\n".join(lines)))
    assert f"more than {MAX_VALUES} values" in found[-1]


def test_yaml_values_are_those_of_kubectl() -> None:
    text = "[true, False, null, ~, '', 0644, 0o644, 0x1F, 1_000, 1e3, .5, 1:30, 2026-01-01, '1', \"on\"]"
    (document,) = read_documents(text, "x")
    assert document.value == [
        True, False, None, None, "", 420, 420, 31, 1000, 1000.0, 0.5, "1:30", "2026-01-01", "1", "on",
    ]  # fmt: skip
    assert document.faults == []


@given(st.text(max_size=60))
def test_no_text_breaks_the_reader(text: str) -> None:
    for document in read_documents(text, "x"):
        for fault in document.faults:
            assert "\n" not in fault.render()
            assert 1 <= fault.line <= text.count("\n") + text.count("\r") + 200


def test_faults_stay_on_one_line() -> None:
    fault = Fault(("a", "b\nc", 0), "bad\r\nvalue \x1b[31m", "f.yaml", 1, 2)
    assert fault.render() == 'f.yaml:1:2: a["b c"][0]: bad value  [31m'


def test_paths_are_written_as_people_write_them() -> None:
    assert format_path(("spec", "routes", 0, "schema", "$defs", "a.b/c")) == (
        'spec.routes[0].schema.$defs["a.b/c"]'
    )
    assert format_path(()) == ""


def test_an_unknown_field_like_no_other_is_reported_with_the_known_ones(tmp_path: Path) -> None:
    text = GOOD + "  redis: {hots: a, qwerty: 1}\n"
    assert said(read(tmp_path, text)) == [
        "0:8:11: spec.redis.hots: unknown field; the known fields are durability, "
        "leaveQueue, secretRef, url",
        "0:8:20: spec.redis.qwerty: unknown field; the known fields are durability, "
        "leaveQueue, secretRef, url",
    ]


def test_damaged_resources_have_faults_but_no_exception() -> None:
    """The long form is in tests/hostile."""
    for seed in range(25):
        read_damaged(seed)
        parse_damaged(seed)


@pytest.mark.parametrize("text", ["redis://:s3cret@h/0", "s3cret" * 20])
def test_a_long_text_or_a_url_is_not_repeated(tmp_path: Path, text: str) -> None:
    faults = said(read(tmp_path, GOOD + f'  webhooks: "{text}"\n'))
    assert len(faults) == 1
    assert text not in faults[0]
    assert faults[0].endswith('; start each item with "- "')
