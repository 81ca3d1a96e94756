"""The handlers of the pages: what each shows, read as the API reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from aiohttp import web

from asyncendpoints_console.access import Role
from asyncendpoints_console.api import actions, queries
from asyncendpoints_console.pages import charts, sorting
from asyncendpoints_console.pages.render import ASSETS, Pages, asset, shown_text
from asyncendpoints_console.reading import failures, figures, jobs, overview, schedules, webhooks
from asyncendpoints_console.reading.run_times import run_times
from asyncendpoints_console.refusals import Refusal
from asyncendpoints_console.site import ROLE, Site
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.states import State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeAlias

    from asyncendpoints_console.api.call import Call
    from asyncendpoints_console.target import Target
    from asyncendpoints_core.store.figures import Point

    Lines: TypeAlias = Mapping[str, Callable[[Point], float | None]]

TOP_FAILURES: Final = 5
MOST_FAILURES: Final = 10_000
"""How many failures are counted where a person asks for more."""
_ABOUT: Final = ("filter", "schedule", "webhook", "delivery")
PAGE: Final = 50


_QUEUED, _RUNNING = list(State).index(State.QUEUED), list(State).index(State.IN_PROGRESS)
_WAITING: Final[Lines] = {
    "queued": lambda point: point.jobs[_QUEUED],
    "running": lambda point: point.jobs[_RUNNING],
}
_ENDS: Final[Lines] = {
    "finished": lambda point: point.finishes / overview.STEP_SECONDS,
    "failed": lambda point: point.failures / overview.STEP_SECONDS,
}


@dataclass(frozen=True, slots=True)
class Views:
    """The pages of one listener."""

    site: Site
    pages: Pages

    def _page(
        self, request: web.Request, template: str, target: Target | None = None, **values: Any
    ) -> web.Response:
        common = {
            "role": request[ROLE].value,
            "locked": self._locked(request, target),
            "here": None if target is None else _target_context(target),
            "section": "",
        }
        return self.pages.page(template, common | values)

    def _locked(self, request: web.Request, target: Target | None) -> bool:
        read_only = self.site.read_only or (target is not None and target.read_only)
        return read_only or request[ROLE] is not Role.OPERATE

    def _table(
        self,
        call: Call,
        section: str,
        columns: Mapping[str, sorting.Column],
        **rows: Sequence[Mapping[str, Any]],
    ) -> web.Response:
        """Return the page of a section, with its rows, by their name, as the query orders them."""
        order = sorting.order(call.query, columns)
        shown = {name: order.rows(each) for name, each in rows.items()}
        return self._page(
            call.request, f"{section}.html", call.target, section=section, order=order, **shown
        )

    async def overview(self, request: web.Request) -> web.Response:
        """The figures of every endpoint."""
        shown = []
        targets = list(self.site.targets())
        read = await overview.with_figures(targets)
        for target, (item, found) in zip(targets, read, strict=True):
            more: dict[str, Any] = {**_target_context(target), "failures": []}
            more["locked"] = self._locked(request, target)
            if item["reachable"]:
                if not target.figures_only:
                    most = await failures.failures(target, messages=failures.MESSAGES)
                    more |= {"failures": _causes(most["items"])[:TOP_FAILURES], "failed": most}
                more["chart"] = charts.over_time(found, overview.STEP_SECONDS, _WAITING)
                more["ends"] = charts.over_time(found, overview.STEP_SECONDS, _ENDS)
            shown.append(item | more)
        order = sorting.order(request.query, sorting.OVERVIEW)
        return self._page(request, "overview.html", endpoints=order.rows(shown), order=order)

    async def asset(self, request: web.Request) -> web.Response:
        """A file of the pages."""
        name = request.match_info["file"]
        if name not in ASSETS:
            raise Refusal("not-found", "there is nothing at this path")
        return web.Response(text=asset(name), content_type=ASSETS[name])

    async def log_out(self, request: web.Request) -> web.Response:
        """The form that ends the session."""
        page = self._page(request, "logout.html")
        # With no-referrer browsers send a form with "Origin: null", as those of other sites do.
        page.headers["Referrer-Policy"] = "same-origin"
        return page

    async def jobs(self, call: Call) -> web.Response:
        """The jobs that match the filters of the query."""
        query, target = call.query, call.target
        queries.check_once(query)
        end, name = queries.id_end(query), query.get("job", "")
        if ids.parse(end) is not None:
            return web.Response(
                status=303, headers={"Location": f"{_target_context(target)['page']}/jobs/{end}"}
            )
        found = await _jobs(call, end)
        stats = await target.store.stats()
        _, running = await target.store.action(None)
        named = name if name in overview.job_names(target, stats) else ""
        kept = [*queries.filters(query), *([("id", end)] if end else [])]
        order = sorting.order(query, sorting.JOBS)
        return self._page(
            call.request,
            "jobs.html",
            target,
            section="jobs",
            jobs=order.rows(found["items"]),
            order=order,
            query={name: value for name, value in kept if name != "tag"},
            tags=[value for name, value in kept if name == "tag"],
            counts={state.value: stats.counts[state] for state in State},
            names=sorted(stats.by_name),
            named=named,
            ran=await run_times(target, named) if named else None,
            paused=stats.paused_jobs,
            action=None if running is None else actions.view(running),
            **_other_pages(call, [*kept, *order.parameter], found["nextCursor"]),
        )

    async def job(self, call: Call) -> web.Response:
        """One job; `?show=input` and `?show=result` read those."""
        target, job_id = call.target, call.job_id
        shown = await jobs.one(target, job_id)
        show = call.query.get("show", "") if target.bodies else ""
        texts: dict[str, str | None] = {"input": None, "result": None}
        if show == "input":
            _, request = await jobs.body(target, job_id)
            call.record("read-body", job=shown["id"])
            texts["input"] = shown_text(request.body)
        elif show == "result" and shown["state"] == State.COMPLETED.value:
            _, value = await jobs.result(target, job_id)
            call.record("read-result", job=shown["id"])
            texts["result"] = shown_text(value.body)
        stats = await target.store.stats()
        return self._page(
            call.request,
            "job.html",
            target,
            section="jobs",
            job=shown,
            bodies=target.bodies,
            logs=await target.store.read_logs(job_id) if target.bodies else (),
            bars=charts.timeline(shown, stats.now_ms),
            **texts,
        )

    async def workers(self, call: Call) -> web.Response:
        """The registered workers."""
        found = await overview.workers(call.target)
        return self._table(call, "workers", sorting.WORKERS, workers=found["items"])

    async def schedules(self, call: Call) -> web.Response:
        """The schedules of the resource."""
        found = await schedules.schedules(call.target)
        return self._table(call, "schedules", sorting.SCHEDULES, schedules=found["items"])

    async def webhooks(self, call: Call) -> web.Response:
        """The webhooks of the resource, and deliveries to them by state and webhook."""
        query, target = call.query, call.target
        queries.check_once(query)
        found = await webhooks.webhooks(target)
        state, webhook = queries.delivery_state(query), query.get("webhook", "")
        page = await webhooks.deliveries(target, state, PAGE, queries.cursor(query), webhook)
        kept = [("state", state.value), *([("webhook", webhook)] if webhook else [])]
        order = sorting.order(query, sorting.WEBHOOKS)
        return self._page(
            call.request,
            "webhooks.html",
            target,
            section="webhooks",
            webhooks=order.rows(found["items"]),
            order=order,
            counts={"pending": found["pending"], "dead": found["dead"]},
            chosen=state.value,
            webhook=webhook,
            deliveries=page["items"],
            **_other_pages(call, [*kept, *order.parameter], page["nextCursor"]),
        )

    async def scaling(self, call: Call) -> web.Response:
        """Demand and workers over time, and why their number was changed."""
        step_s = queries.step(call.query)
        found = await call.target.store.read_figures(step_s)
        return self._page(
            call.request,
            "scaling.html",
            call.target,
            section="scaling",
            step=step_s,
            last=found.points[-1] if found.points else None,
            scaling=figures.scaling(found.scaling, found.now_ms),
            steps=[figures.step(each) for each in reversed(found.steps)],
            charts=[
                (title, charts.over_time(found, step_s, lines), unit)
                for title, unit, lines in _scaling_charts(step_s)
            ],
        )

    async def failures(self, call: Call) -> web.Response:
        """Failures by job and error: of the newest, or with `?all=1` of many more, once."""
        more = call.query.get("all") == "1"
        found = await failures.failures(
            call.target,
            most=MOST_FAILURES if more else failures.EXAMINED,
            messages=failures.MESSAGES,
        )
        order = sorting.order(call.query, sorting.FAILURES)
        found["items_"] = order.rows(found.pop("items"))  # not the method of the same name
        return self._page(
            call.request,
            "failures.html",
            call.target,
            section="failures",
            failures=found,
            more=more,
            order=order,
        )

    async def audit(self, call: Call) -> web.Response:
        """What was changed."""
        records = [_audited(record) for record in call.site.audit.records(call.target.key)]
        return self._table(call, "audit", sorting.AUDIT, records=records)

    def refused(self, request: web.Request, refusal: Refusal) -> web.Response | None:
        """Return a refusal as a page, None for a program's request."""
        if request.path.startswith("/api/") or "text/html" not in request.headers.get("Accept", ""):
            return None
        if refusal.status == 401:
            return self.pages.login("" if request.path != "/login" else refusal.detail)
        if ROLE not in request:
            return None
        again = refusal.status == 503
        response = self._page(
            request, "refused.html", title=refusal.title, detail=refusal.detail, again=again
        )
        response.set_status(refusal.status)
        return response


async def _jobs(call: Call, end: str) -> dict[str, Any]:
    """Return the page of jobs that the query names; `end`: of those whose ids end so."""
    state, only = queries.state(call.query), queries.only(call.query)
    cursor = queries.cursor(call.query)
    if end:
        return await jobs.page_with_id_end(call.target, state, only, end, cursor)
    return await jobs.page(call.target, state, only, PAGE, cursor)


def _causes(groups: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the messages of groups of failures, the most frequent first."""
    found = [{**group, **cause} for group in groups for cause in group["messages"]]
    return failures.most_frequent(found)


def _scaling_charts(step_s: int) -> tuple[tuple[str, str, Lines], ...]:
    return (
        ("Workers", "", {"wanted": lambda p: p.wanted, "ready": lambda p: p.workers}),
        ("Demand", "jobs", {"demand": lambda p: p.demand}),
        (
            *("Starts and ends", "rate"),
            {
                "started": lambda p: p.starts / step_s,
                "finished": lambda p: p.finishes / step_s,
                "failed": lambda p: p.failures / step_s,
            },
        ),
        (
            *("Wait before the start", "seconds"),
            {
                "median": lambda p: figures.seconds_of(p.wait_p50_ms),
                "95 %": lambda p: figures.seconds_of(p.wait_p95_ms),
            },
        ),
    )


def _other_pages(
    call: Call, kept: Sequence[tuple[str, str]], cursor: str | None
) -> dict[str, str | None]:
    """Return the queries of the first page of a listing, unless this is it, and of the next one."""
    return {
        "first": "?" + urlencode(kept) if call.query.get("cursor") else None,
        "next": "?" + urlencode([*kept, ("cursor", cursor)]) if cursor else None,
    }


def _target_context(target: Target) -> Mapping[str, Any]:
    return {
        "figures_only": target.figures_only,
        "namespace": target.namespace,
        "name": target.name,
        "page": f"/e/{quote(target.key)}",
        "api": jobs.path_of(target),
    }


def _audited(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return an audit record with the jobs that it links to, and the rest of what it is about."""
    about = {name: record[name] for name in ("job", "created", *_ABOUT) if name in record}
    linked = [text for text in (about.get("job"), about.get("created")) if text and ids.parse(text)]
    others = [text for text in about.values() if text not in linked]
    return {**record, "jobs": linked, "about": " ".join(others)}
