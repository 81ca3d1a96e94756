"""Receivers that clients name for their jobs, by the header Job-Webhook."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncendpoints_core.resource.receiver_urls import Pattern, parse_pattern, parse_url
from asyncendpoints_gateway.http.problems import Problem

if TYPE_CHECKING:
    from asyncendpoints_core.resource.receiver_urls import ReceiverUrl
    from asyncendpoints_core.resource.webhooks import WebhookRequests


@dataclass(frozen=True, slots=True)
class AllowedReceivers:
    """The origins that clients' receivers may have; none: the header is refused."""

    patterns: tuple[Pattern, ...] = ()

    @classmethod
    def of(cls, requests: WebhookRequests | None) -> AllowedReceivers:
        """Return what a resource allows."""
        return cls(tuple(map(parse_pattern, () if requests is None else requests.allow)))

    def allow(self, url: ReceiverUrl) -> bool:
        """Return whether events may be sent to a URL."""
        return any(pattern.matches(url) for pattern in self.patterns)

    def read(self, header: str) -> str:
        """Return the URL in Job-Webhook in the one form in which it is compared and kept.

        Raises Problem.
        """
        if not self.patterns:
            raise _refused("this endpoint does not accept it (spec.webhookRequests)")
        try:
            url = parse_url(header)
        except ValueError as error:
            raise _refused(str(error)) from None
        if not self.allow(url):
            raise _refused("the endpoint does not allow this origin")
        return url.url


def _refused(why: str) -> Problem:
    return Problem("invalid-header", f"Job-Webhook: {why}")
