"""Every provider opens in the same way, lazily."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import import_module

import pytest

from connectors.errors import Refused
from connectors.protocol import Connector, Credentials, Endpoints
from connectors.registry import PROVIDERS, open_connector


def test_caldav_opens_without_a_request() -> None:
    with open_connector(Credentials("caldav", "https://nowhere.invalid/", "a", "b"), Endpoints()) as connector:
        assert connector.provider == "caldav"


def test_an_unknown_provider_is_refused() -> None:
    with pytest.raises(Refused, match="carrier-pigeon"):
        open_connector(Credentials("carrier-pigeon"), Endpoints())


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_provider_has_the_calls_of_the_protocol_and_the_same_constructor(provider: str) -> None:
    module, name = PROVIDERS[provider]
    made = getattr(import_module(module), name)
    assert made.provider == provider
    for call, promised in inspect.getmembers(Connector, inspect.isfunction):
        if call.startswith("_"):
            continue
        wanted = [p.name for p in inspect.signature(promised).parameters.values()]
        assert [p.name for p in inspect.signature(getattr(made, call)).parameters.values()] == wanted, call
    first = list(inspect.signature(made).parameters.values())[:3]
    assert [p.name for p in first] == ["credentials", "endpoints", "save_secret"]


def test_nothing_is_imported_before_it_is_opened() -> None:
    script = "import sys, connectors.registry; print(sorted(m for m in sys.modules if m.startswith('connectors.')))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(["connectors." + m for m in ("errors", "model", "protocol", "registry")])
