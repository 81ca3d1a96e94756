"""The conditions that exist only while they apply. Pure."""

from asyncendpoints_core import __version__
from asyncendpoints_core.common.faults import format_path
from asyncendpoints_core.manifest.job_names import unmatched
from asyncendpoints_operator.kube.pod_state import VERSION_UNSUPPORTED
from asyncendpoints_operator.status import finding as c
from asyncendpoints_operator.status.finding import Finding, join
from asyncendpoints_operator.status.observed import Observed, QueueReason


def warnings(observed: Observed) -> list[Finding]:
    """Return the conditions that exist only while they apply."""
    queue, found = observed.queue, []
    if queue.reachable and queue.durable is False:
        text = (
            "persistence is off in this Redis: a restart loses every job. Turn AOF on "
            "(appendonly yes), or refuse such a Redis with spec.redis.durability: strict"
        )
        found.append(Finding(c.QUEUE_NOT_DURABLE, "True", "PersistenceOff", text))
    elif queue.reachable and queue.durable is None:
        text = "the server does not report its persistence settings"
        found.append(Finding(c.QUEUE_NOT_DURABLE, "Unknown", "NotReadable", text))
    if queue.shared:
        text = (
            "this endpoint has no Redis user of its own on the operator's Redis: namespaces are "
            "not isolated from each other there"
        )
        found.append(Finding(c.QUEUE_SHARED, "True", "AclOff", text))
    if observed.outdated:
        found.append(Finding(c.FEATURES_HELD, "True", "OlderWorkers", _describe_outdated(observed)))
    names = [each for each in unmatched(observed.spec) if each.certain] if observed.spec else []
    if names:
        text = join(f"{format_path(each.location)}: {each.message}" for each in names)
        found.append(Finding(c.JOBS_UNMATCHED, "True", "NoSuchJob", text))
    if observed.unsupported:
        text = describe_unsupported(observed)
        found.append(Finding(VERSION_UNSUPPORTED, "True", "OtherFormat", text))
    return found


def _describe_outdated(observed: Observed) -> str:
    """Describe how many workers keep a feature from being used, and what to do about it."""
    count = observed.outdated
    who = "1 worker is" if count == 1 else f"{count} workers are"
    return (
        f"{who} of a version that does not support a feature in use: submissions that need it are "
        "answered 503, and settings that need it wait, until the last of them is gone; "
        f"{_how_to_replace(observed)}"
    )


def describe_unsupported(observed: Observed) -> str:
    """Describe which format workers refuse, as they reported it, and what to do about it."""
    if observed.queue.reason is QueueReason.NEWER_FORMAT:
        fix = "upgrade the operator, which cannot read it either"
    else:
        fix = _how_to_replace(observed)
    count = len(observed.unsupported)
    who = "1 worker refuses" if count == 1 else f"{count} workers refuse"
    return f"{who} jobs: {join(sorted(set(observed.unsupported)))}; {fix}"


def _how_to_replace(observed: Observed) -> str:
    """Say how workers of an older version are replaced."""
    if observed.spec and observed.spec.worker.http is not None:
        return "the operator replaces their container with its own current version"
    return f"build the worker image on asyncendpoints/worker:{__version__}"
