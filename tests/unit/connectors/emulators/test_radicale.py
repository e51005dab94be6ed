"""The real Radicale as the demo uses it: users, calendars, data that outlives a restart."""

from __future__ import annotations

from pathlib import Path

import httpx

from connectors.emulators.radicale import free_port, start_radicale
from tests.support.servers import OtherClient, ics


def test_data_outlives_a_restart_on_the_same_port(tmp_path: Path) -> None:
    port = free_port()
    server = start_radicale(tmp_path, {"anna": "secret"}, port)
    assert server.url == f"http://127.0.0.1:{port}/"
    url = server.make_calendar("anna", "busy", title="Büsy & more", timezone="Europe/Berlin", color="#ff0000")
    client = OtherClient(url)
    client.put("a.ics", ics("a"))
    client.close()
    server.stop()
    server.stop()

    again = start_radicale(tmp_path, {"anna": "secret", "ben": "other"}, port)
    assert again.make_calendar("anna", "busy") == url
    client = OtherClient(url)
    assert client.names() == {"a.ics"}
    client.close()
    assert again.make_calendar("ben", "busy") == f"{again.url}ben/busy/"
    again.stop()


def test_users_see_only_their_own(tmp_path: Path) -> None:
    server = start_radicale(tmp_path, {"anna": "secret", "ben": "other"})
    url = server.make_calendar("anna", "busy")
    statuses = [
        httpx.request("PROPFIND", url, auth=auth, headers={"Depth": "0"}).status_code
        for auth in (("anna", "secret"), ("anna", "wrong"), ("ben", "other"))
    ]
    assert statuses == [207, 401, 403]
    server.stop()


def test_secrets_are_not_readable_by_others(tmp_path: Path) -> None:
    start_radicale(tmp_path, {"anna": "secret"}).stop()
    assert (tmp_path / "users").stat().st_mode & 0o077 == 0
