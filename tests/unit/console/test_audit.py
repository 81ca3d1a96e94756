"""The audit: how many records are kept, and what each says."""

import logging

import pytest

from asyncendpoints_console.access import Role
from asyncendpoints_console.audit import KEPT, MAX_USER, Audit
from asyncendpoints_core.common.time_source import ManualClock


def test_the_last_thousand_records_of_an_endpoint_are_kept() -> None:
    audit = Audit(ManualClock())
    for number in range(1_001):
        audit.record("demo/reports", "cancel", Role.OPERATE, "ada", job=str(number))
    audit.record("demo/mails", "pause", Role.OPERATE, "")
    records = audit.records("demo/reports")
    assert len(records) == KEPT == 1_000
    assert (records[0]["job"], records[-1]["job"]) == ("1000", "1")
    assert [record["action"] for record in audit.records("demo/mails")] == ["pause"]
    assert audit.records("demo/other") == []


def test_a_record_is_a_structured_log_line_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    logging.getLogger("asyncendpoints").propagate = True
    audit = Audit(ManualClock())
    made = audit.record(
        *("demo/reports", "purge", Role.OPERATE, "ada\n" + "x" * 200), count=7, filter='{"job":"a"}'
    )
    assert made == {
        "time": made["time"],
        "role": "operate",
        "claimedUser": ("ada " + "x" * 200)[:MAX_USER],
        "action": "purge",
        "count": 7,
        "filter": '{"job":"a"}',
    }
    [line] = caplog.records
    fields = vars(line)
    assert line.getMessage() == "purge by operate on demo/reports"
    assert (fields["action"], fields["role"], fields["count"]) == ("purge", "operate", 7)
    assert fields["claimed_user"] == made["claimedUser"]
    assert fields["target_filter"] == '{"job":"a"}'
