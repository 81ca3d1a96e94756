"""The records between gateway, store and worker."""

import inspect

import msgspec
import pytest

from asyncendpoints_core.jobs import records

RECORDS = [
    found
    for _, found in inspect.getmembers(records, inspect.isclass)
    if issubclass(found, msgspec.Struct) and found.__module__ == records.__name__
]


@pytest.mark.parametrize("record", RECORDS)
def test_the_garbage_collector_does_not_track_a_record(record: type[msgspec.Struct]) -> None:
    assert not record.__struct_config__.gc
    assert record.__struct_config__.frozen, "a field that can be set could refer back"
