"""Every provider has the calls of the Protocol, with its parameters by their names."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime
from importlib import import_module

import pytest

from connectors.memory import MemoryConnector
from connectors.protocol import Channel, Connector, Credentials, Endpoints, Watching
from connectors.registry import PROVIDERS

CALLS = [name for name, value in vars(Connector).items() if inspect.isfunction(value) and not name.startswith("_")]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_provider_has_every_call(provider: str) -> None:
    module, name = PROVIDERS[provider]
    made = getattr(import_module(module), name)
    assert made.provider == provider
    for call in CALLS:
        theirs = inspect.signature(getattr(made, call)).parameters
        ours = inspect.signature(getattr(Connector, call)).parameters
        for parameter in ours.values():
            assert theirs[parameter.name].kind == parameter.kind, (call, parameter)
        assert all(p.default is not inspect.Parameter.empty for n, p in theirs.items() if n not in ours), call
    assert {"__enter__", "__exit__"} <= set(dir(made))


def test_calls_are_seven_and_those_for_opening() -> None:
    assert set(CALLS) == {
        "calendars",
        "changes",
        "fetch",
        "find",
        "create",
        "update",
        "delete",
        "selftest",
        "close",
    }


def test_watching_is_seen_by_its_calls() -> None:
    assert issubclass(MemoryConnector, Watching)
    assert not isinstance(object(), Watching)
    assert Channel("a", "b", datetime(2027, 1, 1, tzinfo=UTC)).id == "a"


def test_production_endpoints_are_public_ones() -> None:
    endpoints = Endpoints()
    assert not endpoints.allow_private_networks
    assert all(
        value.startswith("https://")
        for name, value in vars_of(endpoints).items()
        if name.endswith(("root", "authority")) and value
    )
    assert Credentials("ics").secret == ""


def vars_of(endpoints: Endpoints) -> dict[str, str]:
    return {name: getattr(endpoints, name) for name in endpoints.__slots__}
