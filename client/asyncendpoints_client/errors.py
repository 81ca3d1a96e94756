"""What the client raises.

ClientError
├── ConnectionFailed        no response (also a ConnectionError)
├── DeadlineExceeded        the deadline or a timeout has passed (also a TimeoutError)
├── UnexpectedResponse      something answered that is not a gateway
└── Problem                 the gateway refused: RFC 9457, one class for each problem type
    ├── MalformedBody, InvalidHeader, InvalidQuery                    400
    ├── Unauthorized                                                  401
    ├── Forbidden, Refused                                            403; Refused: any 4xx, 5xx
    ├── NotFound                                                      404
    ├── MethodNotAllowed                                              405
    ├── JobFailed, JobCanceled, JobFinal, NotRetryable, DuplicateJob  409
    ├── JobGone                                                       410, or 404 of a job
    ├── BodyTooLarge                                                  413
    ├── UriTooLong                                                    414
    ├── UnsupportedMediaType                                          415
    ├── InvalidBody, InvalidKey, IdempotencyMismatch                  422
    ├── QueueFull                                                     429
    │   └── KeyQueueFull
    ├── HeadersTooLarge                                               431
    ├── InternalError                                                 500
    ├── NotImplementedByServer                                        501
    ├── StoreUnavailable                                              503
    └── VersionNotSupported                                           505
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asyncendpoints_client.jobs import JobError

if TYPE_CHECKING:
    from collections.abc import Mapping

URN: Final = "urn:asyncendpoints:problem:"


class ClientError(Exception):
    """The base of every error of this client.

    `id` is the job's id where it is known. `idempotency_key` is the key of a submission: submit
    again with it, and the same request becomes one job at most.
    """

    def __init__(
        self, message: str, *, id: str | None = None, idempotency_key: str | None = None
    ) -> None:
        super().__init__(message)
        self.id = id  # the name in the job's JSON
        self.idempotency_key = idempotency_key


class ConnectionFailed(ClientError, ConnectionError):
    """No response came, and sending again is of no use or could do harm."""


class DeadlineExceeded(ClientError, TimeoutError):
    """The deadline or the timeout has passed; the job, if there is one, continues."""


class UnexpectedResponse(ClientError):
    """A response that no gateway sends: check the URL, and proxies before the gateway."""

    def __init__(self, message: str, status: int, **known: Any) -> None:
        super().__init__(message, **known)
        self.status = status


class Problem(ClientError):
    """The gateway refused the request (RFC 9457).

    `name` is the last part of its type; `retry_after` is in seconds, None if not given; `members`
    are all members of the document.
    """

    def __init__(
        self,
        name: str,
        status: int,
        detail: str,
        *,
        retry_after: float | None = None,
        members: Mapping[str, Any] | None = None,
        **known: Any,
    ) -> None:
        super().__init__(f"{status} {name}: {detail}", **known)
        self.name = name
        self.status = status
        self.detail = detail
        self.retry_after = retry_after
        self.members = dict(members or {})


class MalformedBody(Problem):
    """The body cannot be read."""


class InvalidHeader(Problem):
    """A header is not valid."""


class InvalidQuery(Problem):
    """The path or the query is not valid."""


class Unauthorized(Problem):
    """The token is missing or not valid."""


class Forbidden(Problem):
    """This is not allowed, for example listing jobs."""


class Refused(Problem):
    """The application that serves the endpoint refused the request, with a status of its choice."""


class NotFound(Problem):
    """No route has this path."""


class MethodNotAllowed(Problem):
    """The path has other methods."""


class _HasJobError(Problem):
    @property
    def error(self) -> JobError:
        """The job's error: code, message, retryable."""
        return JobError.parse(self.members.get("error")) or JobError(self.name, self.detail, False)


class JobFailed(_HasJobError):
    """The job failed and has no result; see `error`."""


class JobCanceled(_HasJobError):
    """The job was canceled and has no result."""


class JobFinal(Problem):
    """The job has ended, so it cannot be canceled."""


class NotRetryable(Problem):
    """The job is neither Failed nor Canceled."""


class DuplicateJob(Problem):
    """An equal job exists; `id` is its id."""


class JobGone(Problem):
    """The job has been removed, or there never was one with this id."""


class BodyTooLarge(Problem):
    """The body exceeds the gateway's limit."""


class UriTooLong(Problem):
    """The path and the query are too long."""


class UnsupportedMediaType(Problem):
    """The route takes another media type, usually JSON."""


class InvalidBody(Problem):
    """The body does not match the route's schema."""

    @property
    def errors(self) -> list[dict[str, str]]:
        """The positions: `{"pointer": "#/a", "detail": …}` each."""
        return list(self.members.get("errors") or [])


class InvalidKey(Problem):
    """The value that is the job's key is not valid."""


class IdempotencyMismatch(Problem):
    """The idempotency key belongs to another request."""


class QueueFull(Problem):
    """The queue's limit is reached; see `retry_after`."""


class KeyQueueFull(QueueFull):
    """The queue's limit for the job's key is reached."""


class HeadersTooLarge(Problem):
    """The request's headers are too large."""


class InternalError(Problem):
    """An internal error of the gateway."""


class NotImplementedByServer(Problem):
    """The gateway does not know the method or the transfer coding."""


class StoreUnavailable(Problem):
    """The gateway cannot reach its store."""


class VersionNotSupported(Problem):
    """The HTTP version is not supported."""


PROBLEMS: Final[Mapping[str, type[Problem]]] = {
    "malformed-body": MalformedBody,
    "invalid-header": InvalidHeader,
    "invalid-query": InvalidQuery,
    "unauthorized": Unauthorized,
    "forbidden": Forbidden,
    "refused": Refused,
    "not-found": NotFound,
    "job-not-found": JobGone,
    "method-not-allowed": MethodNotAllowed,
    "job-failed": JobFailed,
    "job-canceled": JobCanceled,
    "job-final": JobFinal,
    "not-retryable": NotRetryable,
    "duplicate-job": DuplicateJob,
    "job-gone": JobGone,
    "body-too-large": BodyTooLarge,
    "uri-too-long": UriTooLong,
    "unsupported-media-type": UnsupportedMediaType,
    "invalid-body": InvalidBody,
    "invalid-key": InvalidKey,
    "idempotency-mismatch": IdempotencyMismatch,
    "queue-full": QueueFull,
    "key-queue-full": KeyQueueFull,
    "headers-too-large": HeadersTooLarge,
    "internal": InternalError,
    "not-implemented": NotImplementedByServer,
    "store-unavailable": StoreUnavailable,
    "version-not-supported": VersionNotSupported,
}
"""The class of each problem type of the gateway; an unknown one is `Problem` itself."""
