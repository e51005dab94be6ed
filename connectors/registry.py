"""Provider name → connector. A further provider is one file and one line here.

Classes are imported when first opened, so that a process pays only for the providers that it talks to.
"""

from __future__ import annotations

from importlib import import_module
from typing import cast

from connectors.errors import Refused
from connectors.protocol import Connector, Credentials, Endpoints, SaveSecret, TakeTurns

PROVIDERS = {
    "caldav": ("connectors.caldav.connector", "CalDavConnector"),
    "google": ("connectors.google.connector", "GoogleConnector"),
    "microsoft": ("connectors.microsoft.connector", "MicrosoftConnector"),
    "ics": ("connectors.ics", "IcsConnector"),
    "memory": ("connectors.memory", "MemoryConnector"),
}
"""Where each provider's class is; all are made by ``Class(credentials, endpoints, save_secret)``."""
BOUNDED = frozenset({"microsoft"})
"""Those that bound how many calls one account may have under way; their classes want ``take_turns``, too."""


def open_connector(
    credentials: Credentials,
    endpoints: Endpoints,
    save_secret: SaveSecret | None = None,
    take_turns: TakeTurns | None = None,
) -> Connector:
    """The connector of an account; nothing is sent yet. Close it, or use it as a context manager.

    save_secret: see `SaveSecret`. take_turns: see `Turns`; without it only this process's calls are counted. Raises
    `Refused` for an unknown provider.
    """
    try:
        module, name = PROVIDERS[credentials.provider]
    except KeyError:
        raise Refused(f"there is no provider {credentials.provider!r}") from None
    more = {"take_turns": take_turns} if credentials.provider in BOUNDED else {}
    made = getattr(import_module(module), name)(credentials, endpoints, save_secret or _forget, **more)
    return cast(Connector, made)


def _forget(secret: str) -> None:
    """For callers who know that nothing rotates."""
