"""What Microsoft posts to our hook."""

from __future__ import annotations

import json

import pytest

from connectors.errors import BadAnswer
from connectors.microsoft.hooks import Notification, notifications, validation_answer


def test_the_handshake_repeats_the_token() -> None:
    assert validation_answer({"validationToken": "a b<c>"}) == "a b<c>"
    assert validation_answer({}) is None
    assert validation_answer({"validationToken": ""}) is None
    assert validation_answer({"validationToken": "x" * 5000}) is None


def test_items() -> None:
    body = {
        "value": [
            {
                "subscriptionId": "s1",
                "clientState": "secret",
                "changeType": "updated",
                "resource": "Users/u/Events/e",
                "resourceData": {"@odata.type": "#Microsoft.Graph.Event", "id": "e"},
            },
            {"subscriptionId": "s2", "clientState": None, "lifecycleEvent": "missed"},
            {"clientState": "secret"},
            "nonsense",
        ]
    }
    assert notifications(json.dumps(body)) == (
        Notification("s1", "secret", "updated", "", "e"),
        Notification("s2", "", "", "missed", ""),
    )


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"value": 3}', b"\xff\xfe", b'"value"'])
def test_anything_else_is_refused(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        notifications(body)


def test_the_secret_is_compared() -> None:
    assert Notification("s", "geheim-ö").comes_with("geheim-ö")
    assert not Notification("s", "geheim").comes_with("other")
    assert not Notification("s", "").comes_with("")
