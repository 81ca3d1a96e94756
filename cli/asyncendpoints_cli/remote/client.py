"""Requests to the operations API of a console on this machine, and where that console is."""

from __future__ import annotations

import http.client
import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import quote, urlencode, urlsplit

from asyncendpoints_cli.remote.cluster import ClusterTarget
from asyncendpoints_console import runtime_file
from asyncendpoints_core import __version__
from asyncendpoints_core.common.faults import one_line
from asyncendpoints_core.errors import AsyncEndpointsError, UsageError
from asyncendpoints_core.process.settings import load

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

TIMEOUT_SECONDS: Final = 30.0
PAGE: Final = 500
PORTS: Final = {"http": 80, "https": 443}


class ApiError(AsyncEndpointsError):
    """The console refused a request or could not be reached. `code` is that of the problem."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class Client:
    """One console."""

    def __init__(self, url: str, token: str, location: str = "") -> None:
        """Use the console at `url`, which people know as `location`.

        Raises UsageError for a URL that cannot be one.
        """
        parts = urlsplit(url)
        if parts.scheme not in PORTS or not parts.hostname or parts.path.strip("/"):
            raise UsageError(f"--url: must be like http://127.0.0.1:9091, not {url!r}")
        self.url = url.rstrip("/")
        self.location = location or self.url
        self._token = token
        secure = parts.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        port = parts.port or PORTS[parts.scheme]
        self._connection = kind(parts.hostname, port, timeout=TIMEOUT_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def get(self, path: str, **query: str | int | Sequence[str] | None) -> Any:
        """Return the JSON at a path below /api/v1."""
        given = {name: value for name, value in query.items() if value not in (None, "", ())}
        parameters = f"?{urlencode(given, doseq=True)}" if given else ""
        return json.loads(self._request("GET", path + parameters)[1])

    def download(self, path: str) -> tuple[str, bytes]:
        """Return the media type and the bytes of a body."""
        headers, body = self._request("GET", path)
        return headers.get("Job-Content-Type", ""), body

    def change(self, method: str, path: str, value: object = None) -> Any:
        """Make a change, with a JSON body if there is a value; return the answer's JSON, None if
        there is none.
        """
        body = self._request(method, path, None if value is None else json.dumps(value))[1]
        return json.loads(body) if body else None

    @contextmanager
    def stream(self, path: str, headers: Mapping[str, str]) -> Iterator[Iterator[bytes]]:
        """Yield the lines of a stream of events, which ends with the connection."""
        response = self._open("GET", path, None, {"Accept": "text/event-stream", **headers})
        try:
            with self._reachable():
                yield iter(response.readline, b"")
        finally:
            self._connection.close()

    def _request(
        self, method: str, path: str, sent: str | None = None
    ) -> tuple[http.client.HTTPMessage, bytes]:
        with self._reachable():
            response = self._open(method, path, sent, {})
            return response.headers, response.read()

    def _open(
        self, method: str, path: str, sent: str | None, more: Mapping[str, str]
    ) -> http.client.HTTPResponse:
        """Send a request and return its response. Raises ApiError for a problem."""
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Content-Type": "application/json",
            "Console-User": os.environ.get("USER", ""),
            **more,
        }
        with self._reachable():
            self._connection.request(method, f"/api/v1{path}", sent, headers)
            response = self._connection.getresponse()
            if response.status < 300:
                return response
            body = response.read()
        raise _refused(response.status, body, path)

    @contextmanager
    def _reachable(self) -> Iterator[None]:
        try:
            yield
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            why = one_line(str(error)) or type(error).__name__
            raise ApiError(f"the console at {self.location} cannot be reached: {why}") from None


def _refused(status: int, body: bytes, path: str) -> ApiError:
    """Return the error for a problem of the console."""
    try:
        problem = json.loads(body)
        code, detail = str(problem["type"]).rpartition("/")[2], str(problem.get("detail", ""))
    except (ValueError, KeyError, TypeError):
        return ApiError(f"this is not a console of asyncendpoints: it answered {status}")
    code = code.rpartition(":")[2]
    if status == 401:
        return ApiError("the token is not valid: set $ASYNCENDPOINTS_CONSOLE_TOKEN", code)
    if code == "not-found":
        return ApiError(f"{path} does not exist there; this command needs {__version__}", code)
    return ApiError(one_line(detail) or code, code)


@contextmanager
def connect_by(options: Namespace) -> Iterator[Client]:
    """Yield the console that the options and settings of a command name."""
    target = _cluster_target(options)
    if target is not None:
        with target.open() as (url, token), Client(url, token, target.location) as client:
            yield client
        return
    settings = load({"console_url": options.console_url})
    with connect(settings.console_url, settings.console_token) as client:
        yield client


def _cluster_target(options: Namespace) -> ClusterTarget | None:
    """Return the endpoint of a cluster that the options name, None for a console elsewhere."""
    if not (options.kubectl or options.namespace or options.context):
        return None
    if options.console_url:
        raise UsageError("--url and an endpoint of a cluster exclude each other")
    namespace, _, name = (options.endpoint or "").rpartition("/")
    if namespace and options.namespace not in (None, namespace):
        raise UsageError(f"-e names namespace {namespace}, -n {options.namespace}")
    return ClusterTarget(namespace or options.namespace, name or None, options.context)


def connect(url: str | None, token: str | None) -> Client:
    """Return the client of the console at `url`, else of the only `run` on this machine."""
    if url is not None:
        token = token or _known_token(url)
        if token is None:
            raise UsageError("--url needs a token: set $ASYNCENDPOINTS_CONSOLE_TOKEN")
        return Client(url, token)
    where = runtime_file.folder(os.environ)
    found = runtime_file.consoles(where)
    if not found:
        raise UsageError(
            f"no `asyncendpoints run` of this user is running (looked in {where}); start one, or "
            "give --url and $ASYNCENDPOINTS_CONSOLE_TOKEN"
        )
    if len(found) > 1:
        urls = ", ".join(each.url for each in found)
        raise UsageError(f"several consoles run on this machine ({urls}): choose one with --url")
    return Client(found[0].url, found[0].operate_token)


def _known_token(url: str) -> str | None:
    """Return the token of the console at `url` if it runs on this machine."""
    for running in runtime_file.consoles(runtime_file.folder(os.environ)):
        if running.url == url.rstrip("/"):
            return running.operate_token
    return None


class Endpoint:
    """One endpoint of a console."""

    def __init__(self, client: Client, namespace: str, name: str) -> None:
        self.client = client
        self.key = f"{namespace}/{name}"
        self._path = f"/endpoints/{quote(namespace, safe='')}/{quote(name, safe='')}"

    def get(self, path: str = "", **query: str | int | Sequence[str] | None) -> Any:
        """Return the JSON at a path below the endpoint's."""
        return self.client.get(self._path + path, **query)

    def download(self, path: str) -> tuple[str, bytes]:
        """Return the media type and the bytes of a body below the endpoint's path."""
        return self.client.download(self._path + path)

    def stream(
        self, path: str, headers: Mapping[str, str]
    ) -> AbstractContextManager[Iterator[bytes]]:
        """Yield the lines of a stream of events below the endpoint's path."""
        return self.client.stream(self._path + path, headers)

    def change(self, method: str, path: str, value: object = None) -> Any:
        """Make a change below the endpoint's path."""
        return self.client.change(method, self._path + path, value)

    def jobs(
        self, filters: Mapping[str, str | Sequence[str] | None], limit: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield the jobs that match, at most `limit` of them, page by page."""
        cursor, left = None, limit
        while left is None or left > 0:
            size = PAGE if left is None else min(PAGE, left)
            page = self.get("/jobs", **filters, limit=size, cursor=cursor)
            yield from page["items"]
            left = None if left is None else left - len(page["items"])
            cursor = page["nextCursor"]
            if cursor is None:
                return


def endpoint_of(client: Client, wanted: str | None) -> Endpoint:
    """Return the endpoint called `wanted` (NAME or NAMESPACE/NAME), else the only one."""
    keys = [(item["namespace"], item["name"]) for item in client.get("/endpoints")["items"]]
    if wanted is not None:
        namespace, _, name = wanted.rpartition("/")
        found = [key for key in keys if key[1] == name and namespace in ("", key[0])]
    else:
        found = keys
    if len(found) == 1:
        return Endpoint(client, *found[0])
    known = ", ".join("/".join(key) for key in keys) or "none"
    if found:
        raise UsageError(f"several endpoints ({known}): choose one with -e NAMESPACE/NAME")
    raise UsageError(f"there is no endpoint {wanted or ''} at {client.location}; it has: {known}")
