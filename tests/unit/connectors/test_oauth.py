"""The neutral words of a consent: who is asked for which provider, and nobody for another."""

from __future__ import annotations

import subprocess
import sys

import pytest

from connectors import oauth
from connectors.errors import Refused
from connectors.protocol import Endpoints

BACK = "https://slots.example/back"


def test_each_provider_has_its_own_page() -> None:
    endpoints = Endpoints(google_client_id="us")
    consent = oauth.begin("google", endpoints, BACK, login_hint="ben@practice.example")
    assert consent.url.startswith("https://accounts.google.com/o/oauth2/v2/auth?")
    assert "login_hint=ben%40practice.example" in consent.url
    assert "login_hint" not in oauth.begin("google", endpoints, BACK).url
    with pytest.raises(Refused):
        oauth.finish("google", endpoints, consent.pending, {"state": "wrong", "code": "c"})


@pytest.mark.parametrize("provider", ["caldav", "", "GOOGLE"])
def test_others_have_none(provider: str) -> None:
    with pytest.raises(Refused):
        oauth.begin(provider, Endpoints(), BACK)
    with pytest.raises(Refused):
        oauth.finish(provider, Endpoints(), "{}", {})


def test_only_the_asked_providers_library_is_loaded() -> None:
    program = """
import sys
from connectors import oauth
from connectors.protocol import Endpoints
assert not {"msal", "google.auth", "connectors.google.oauth"} & set(sys.modules)
oauth.begin("google", Endpoints(google_client_id="us"), "https://slots.example/back")
assert "connectors.google.oauth" in sys.modules
assert not {"msal", "connectors.microsoft.oauth"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
