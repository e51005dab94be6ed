"""Consent by OAuth 2.0 (RFC 6749, PKCE RFC 7636), the same words for every provider.

`begin` gives the address to send the person to and what must be kept on the server until they come back;
`finish` turns their return into credentials. What differs lives in `connectors/google/oauth.py` and
`connectors/microsoft/oauth.py`, opened only when asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from connectors.errors import Refused
from connectors.protocol import Endpoints

_MODULES = {"google": "connectors.google.oauth", "microsoft": "connectors.microsoft.oauth"}


@dataclass(frozen=True, slots=True)
class Consent:
    """Where to send the person, and what to remember meanwhile.

    url: the provider's consent page. pending: JSON holding state, PKCE verifier and redirect address; keep it on
    the server, bound to the browser's session, and use it once.
    """

    url: str
    pending: str


@dataclass(frozen=True, slots=True)
class Granted:
    """What the person granted.

    account: the provider's unchanging name of the account (Google ``sub``, Microsoft ``tid.oid``); never the
    e-mail address. secret: JSON for ``Credentials.secret``, ``""`` where only the identity was asked for. scopes: what
    was really granted. verified: the provider vouches that the address is this account's.
    """

    account: str
    email: str
    secret: str
    scopes: tuple[str, ...]
    verified: bool = False


def begin(
    provider: str, endpoints: Endpoints, redirect_uri: str, *, login_hint: str = "", identity_only: bool = False
) -> Consent:
    """Begin a consent. provider: ``google`` or ``microsoft``. identity_only: ask who it is and for no calendar, to sign
    in (OpenID Connect Core §3.1). Raises `Refused` for a provider without OAuth."""
    consent: Consent = _module(provider).begin(endpoints, redirect_uri, login_hint, identity_only=identity_only)
    return consent


def finish(provider: str, endpoints: Endpoints, pending: str, query: Mapping[str, str]) -> Granted:
    """End a consent with the parameters the provider sent back.

    Raises `Refused` (denied, wrong state, too few scopes, misconfigured client), `NeedsReconnect` (the code is no
    longer good: begin again), `Unreachable`, `ServerFault`, `Throttled`, `BadAnswer`.
    """
    granted: Granted = _module(provider).finish(endpoints, pending, query)
    return granted


def _module(provider: str) -> Any:
    if provider not in _MODULES:
        raise Refused(f"no OAuth for provider {provider!r}")
    return import_module(_MODULES[provider])
