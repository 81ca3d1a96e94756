"""The views of a gateway for one mount, which is a part of their links."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from asyncendpoints_gateway.views.jobs import JobViews
    from asyncendpoints_gateway.views.pages import Pages
    from asyncendpoints_gateway.views.responses import JobResponses
    from asyncendpoints_gateway.views.sse import EventView
    from asyncendpoints_gateway.views.submit import SubmitView


class Views(NamedTuple):
    """All views. `mount`: what the raw path of each of their requests begins with."""

    mount: str
    responses: JobResponses
    submit: SubmitView
    events: EventView
    jobs: JobViews
    pages: Pages
