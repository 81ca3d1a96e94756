"""Watches one kind of object with kopf, and passes every event on as a plain manifest.

This is the only module that imports kopf. kopf runs in a thread and event loop of its own for each
kind, because it cancels all other tasks of its loop when it exits, and an error in one watch (a
kind or a namespace that was deleted) ends all watches of that kopf. Its handlers only convert
events; finalizers, annotations, Events, peering and scanning are not used.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import kopf
from aiohttp import ClientSession, TCPConnector, TraceConfig, TraceRequestEndParams

from asyncendpoints_core.resource import API_VERSION, KIND
from asyncendpoints_operator.desired.naming import CHILD_KINDS, FIELD_MANAGER, Kind, Manifest
from asyncendpoints_operator.kube.client import PLURALS, Cluster
from asyncendpoints_operator.kube.compact import compact
from asyncendpoints_operator.kube.kopf_memories import no_memories

log = logging.getLogger("asyncendpoints.operator")

MANAGED_SELECTOR: Final = f"app.kubernetes.io/managed-by={FIELD_MANAGER}"
"""Selects child objects and pods; endpoints do not have a label of the operator."""
_IDENTITY: Any = "asyncendpoints"
"""For kopf's peering. Without it, kopf looks up the user name, which may not exist in a pod."""
_CONNECT_SECONDS: Final = 10.0
_STOP_SECONDS: Final = 10.0
_RETRY_SECONDS: Final = (0.5, 1.0, 2.0, 4.0)
"""The pauses between attempts of one request; then the watch ends."""
_PAGE: Final = 20
_EVENTS: Final = 10
"""How many objects of a first list, and of events, kopf holds at a time: a whole one has 15 KB."""

# The end of a watch is logged here, in one line; kopf logs a line for each attempt, and a traceback
# at each of its levels.
for _name in (
    "core.reactor.running",
    "core.reactor.orchestration",
    "core.reactor.activities",
    "core.reactor.observation",
    "core.engines.activities",
    "cogs.clients.watching",
):
    logging.getLogger(f"kopf._{_name}").setLevel(logging.CRITICAL)


WATCHED: Final = (Kind(API_VERSION, KIND, optional=True), Kind("v1", "Pod"), *CHILD_KINDS)


class Watcher:
    """Runs kopf in a thread, once. In the caller's loop, it calls `put` or `remove` for each
    event, and `ended` when it ended without `stop`: events may have been missed. It calls `begun`
    when it watches a namespace, or the cluster, after it has listed it: at the start, and after
    the API server has lost the history. What was deleted before is not reported by any event.
    """

    def __init__(
        self,
        cluster: Cluster,
        kind: Kind,
        namespaces: Sequence[str],
        put: Callable[[Manifest], None],
        remove: Callable[[Manifest], None],
        ended: Callable[[], None],
        begun: Callable[[], None],
    ) -> None:
        self._cluster, self._kind, self._namespaces = cluster, kind, namespaces
        self._put, self._remove, self._ended, self._begun = put, remove, ended, begun
        self._listed: set[str] = set()  # the paths of lists that no watch has followed yet
        self._watched: set[str] = set()
        self._loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        self._stopping: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None  # kopf's
        self._sessions: list[ClientSession] = []  # of kopf; a new one for each login
        self._thread = threading.Thread(target=self._run, name=f"watch-{kind.kind}", daemon=True)

    @property
    def alive(self) -> bool:
        """Whether it is watching."""
        return self._thread.is_alive()

    @property
    def complete(self) -> bool:
        """Whether it has begun to watch everything."""
        return len(self._watched) >= max(1, len(self._namespaces))

    def start(self) -> None:
        """Start watching."""
        self._thread.start()

    async def stop(self) -> None:
        """Stop kopf and wait for its thread; a later event of it is dropped."""
        self._stop.set()
        if self._stopping is not None:
            loop, stopping = self._stopping
            with contextlib.suppress(RuntimeError):  # closed: it has ended
                loop.call_soon_threadsafe(stopping.set)
        await asyncio.to_thread(self._thread.join, _STOP_SECONDS)

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            asyncio.run(self._watch())
        except (Exception, asyncio.CancelledError) as raised:
            error = raised
        if self._stop.is_set():
            return
        log.info("the watch of %s ended and is restarted: %s", self._kind.kind, _brief(error))
        self._loop.call_soon_threadsafe(self._ended)

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_log_exception)
        # For short lookups by the client; each more thread takes memory.
        loop.set_default_executor(ThreadPoolExecutor(max_workers=1))
        # For a threading.Event, kopf would wait in the loop's executor, which a loop that ends by
        # an error waits for: the watch would never be restarted.
        stopping = asyncio.Event()
        self._stopping = loop, stopping
        if self._stop.is_set():
            stopping.set()
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry)(self._login)
        settings, kind = _settings(), self._kind
        group, _, version = kind.api_version.rpartition("/")
        resource = (group, version, PLURALS[kind.kind])
        kopf.on.event(*resource, registry=registry, id=PLURALS[kind.kind])(self._handle)
        if kind.kind != KIND:
            settings.watching.label_selectors[resource] = MANAGED_SELECTOR
        try:
            await kopf.operator(
                registry=registry,
                settings=settings,
                identity=_IDENTITY,
                **no_memories(),
                standalone=True,
                clusterwide=not self._namespaces,
                namespaces=self._namespaces,
                stop_flag=stopping,
            )
        finally:
            # kopf does so where it ends by itself, and not where it is cancelled.
            for session in self._sessions:
                await session.close()

    async def _handle(self, type: str | None, event: Any, **_: Any) -> None:  # noqa: A002 - kopf's
        kind = self._kind
        manifest: Manifest = {
            **event["object"],
            "apiVersion": kind.api_version,
            "kind": kind.kind,
        }
        if not self._stop.is_set():
            act = self._remove if type == "DELETED" else self._put
            self._loop.call_soon_threadsafe(act, compact(manifest))

    async def _login(self, **_: Any) -> kopf.AiohttpSession:
        """Return a session with the current credentials of the operator's own connection.

        kopf's own has no limit of connections: it would open one for each API group at the start.
        """
        info = kopf.ConnectionInfo(**await self._cluster.credentials())
        streams = max(1, len(self._namespaces))
        trace = TraceConfig()
        trace.on_request_end.append(self._note)
        session = ClientSession(
            connector=TCPConnector(limit=streams + 1, ssl=info.as_ssl_context()),
            headers=info.as_http_headers(),
            proxy=info.proxy_url,
            trust_env=bool(info.trust_env),
            trace_configs=[trace],
        )
        self._sessions = [each for each in self._sessions if not each.closed] + [session]
        return kopf.AiohttpSession(
            server=info.server, aiohttp_session=session, expiration=info.expiration
        )

    async def _note(
        self, _session: ClientSession, _context: object, request: TraceRequestEndParams
    ) -> None:
        """Note a response to kopf: to a list, or to the watch that continues it."""
        path = request.url.path
        if request.response.status != 200:
            return
        if "watch" not in request.url.query:
            self._listed.add(path)
        elif path in self._listed:
            self._listed.discard(path)
            self._watched.add(path)
            self._loop.call_soon_threadsafe(self._begun)


def _brief(error: BaseException | None) -> str:
    text = str(error.args[0] or "") if error is not None and error.args else ""
    return text or type(error).__name__


def _log_exception(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what asyncio would log with a traceback: a task of kopf that ended with its watch."""
    error = context.get("exception")
    log.debug("in a watch: %s: %r", context.get("message"), error)
    if isinstance(error, AssertionError) and "handle" in context:
        # A callback of kopf (1.45) that fails where it should cancel a request, which kopf then
        # waits for without end: the watch would seem to run, without any event.
        for task in asyncio.all_tasks(loop):
            task.cancel()


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.watching.connect_timeout = _CONNECT_SECONDS
    settings.watching.server_timeout = 300
    settings.watching.chunk_size = _PAGE
    settings.queueing.worker_limit = _EVENTS
    settings.queueing.idle_timeout = 0.01
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = _RETRY_SECONDS
    settings.networking.trust_env = True
    return settings
