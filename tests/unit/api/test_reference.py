"""The page about the API: every call is on it, and nothing on it comes from elsewhere."""

from __future__ import annotations

import re

import pytest

from api.app import description
from api.pages.reference import calls, kind_of
from ledger.db import Database
from tests.support.doors import open_doors


def test_every_call_is_on_the_page(sqlite: Database) -> None:
    answer = open_doors(sqlite).client.get("/api/docs")
    assert answer.status_code == 200
    for path, item in description()["paths"].items():
        for method in item:
            assert re.search(rf"<strong>{method.upper()}</strong> <code>{re.escape(path)}</code>", answer.text), path


def test_nothing_on_it_comes_from_elsewhere(sqlite: Database) -> None:
    answer = open_doors(sqlite).client.get("/api/docs")
    assert "<script" not in answer.text
    assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", answer.text)
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_wide_tables_are_reached_by_keyboard(sqlite: Database) -> None:
    page = open_doors(sqlite).client.get("/api/docs").text  # too large a page to ask axe at every run
    assert 0 < page.count('class="scroll"') == page.count('class="scroll" tabindex="0"')


def test_a_booking_is_told_field_by_field() -> None:
    path = "/api/v1/operators/{operator}/services/{service}/bookings"
    (found,) = (call for _, call in calls(description()) if (call.method, call.path) == ("POST", path))
    told = {(field.place, field.name.lower()): (field.kind, field.required) for field in found.fields}
    assert told["path", "operator"] == ("text", True)
    assert told["body", "start"] == ("date-time", True)
    assert told["body", "seats"] == ("whole number", False)
    assert ("header", "idempotency-key") in told
    assert {"201", "409", "422"} <= {status for status, _, _ in found.answers}


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": "string"}, "text"),
        ({"type": "string", "format": "date"}, "date"),
        ({"enum": ["auto", "ask"]}, "one of “auto”, “ask”"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "whole number"),
        ({"type": "array", "items": {"$ref": "#/components/schemas/Slot"}}, "list of Slot"),
        ({}, "anything"),
    ],
)
def test_kinds(schema: dict[str, object], kind: str) -> None:
    assert kind_of(schema) == kind
