"""Checks of results against what a route declares about them (`result.check`)."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.errors import MalformedBody
from asyncendpoints_core.resource.routes import media_type_of
from asyncendpoints_core.resource.schemas import (
    CompiledSchema,
    compile_schema,
    parse_json,
    validate,
)
from asyncendpoints_worker.handlers.results import InvalidResult

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from asyncendpoints_core.jobs.records import Result
    from asyncendpoints_core.resource import Route

_SHOWN: Final = 5  # violations in the message


@dataclass(frozen=True, slots=True)
class ResultCheck:
    """What the results of one job must be."""

    media_type: str
    schema: CompiledSchema | None

    def check(self, result: Result) -> Result:
        """Return `result`; raises InvalidResult, whose message quotes none of its values."""
        given = media_type_of(result.content_type)
        if given != self.media_type:
            raise InvalidResult(f"the result is {given}, but the route declares {self.media_type}")
        if self.schema is None:
            return result
        try:
            faults = validate(self.schema, parse_json(result.body))
        except MalformedBody as error:
            message = str(error).replace("the body", "the result")
            raise InvalidResult(message) from None
        if faults:
            listed = "; ".join(f"{pointer} {detail}" for pointer, detail in faults[:_SHOWN])
            raise InvalidResult(f"the result does not match the route's schema: {listed}")
        return result


NO_CHECKS: Final[Mapping[str, ResultCheck]] = MappingProxyType({})


def result_checks(routes: Iterable[Route]) -> Mapping[str, ResultCheck]:
    """Return the checks by job name. All routes of a job that are checked declare the same."""
    return {
        route.job: ResultCheck(
            route.result.media_type,
            None if route.result.schema_ is None else compile_schema(route.result.schema_),
        )
        for route in routes
        if route.result is not None and route.result.check
    }
