"""One process's share of the deployment, opened from its settings."""

from __future__ import annotations

from pathlib import Path

from ledger import messages
from ledger.db import Database
from ledger.settings import Settings
from workers.opening import endpoints, handlers, open_world, reactions


def test_every_message_has_exactly_one_who_does_it() -> None:
    outside, inside = set(handlers()), set(reactions())
    assert outside | inside == set(messages.KINDS.values())
    assert not outside & inside
    assert outside >= {messages.PullCalendar, messages.PushEvent, messages.LookForEvent, messages.SendMail}


def test_a_world_is_what_the_settings_name(sqlite: Database, tmp_path: Path) -> None:
    settings = Settings(
        database_url=sqlite.engine.url.render_as_string(hide_password=False),
        mail_url=f"file:{tmp_path}/mail",
        mail_from="desk@practice.example",
        base_url="https://book.practice.example",
        secret_key="0123456789abcdef",
        google_client_id="an id",
        google_api_root="http://127.0.0.1:1",
        microsoft_tenant="common",
        allow_private_networks=True,
    )
    world = open_world(settings)
    assert world.terms.organizer("tag") == "desk+tag@practice.example"
    assert world.terms.base_url == "https://book.practice.example"
    sealed = world.vault.seal("secret", "here")
    assert world.vault.open(sealed, "here") == "secret"
    assert world.accounts.endpoints == endpoints(settings)
    assert world.accounts.endpoints.google_client_id == "an id"
    assert world.accounts.endpoints.allow_private_networks
    with world.database.reading() as tx:
        assert tx.exec_driver_sql("SELECT count(*) FROM outbox_message").scalar() == 0
    world.close()
    world.close()


def test_endpoints_know_every_provider_setting() -> None:
    settings = Settings(
        google_api_root="g1", google_oauth_root="g2", google_client_id="g3", google_client_secret="g4",
        microsoft_graph_root="m1", microsoft_authority="m2", microsoft_client_id="m3", microsoft_client_secret="m4",
        microsoft_tenant="m5",
    )  # fmt: skip
    known = endpoints(settings)
    assert {getattr(known, name) for name in known.__slots__} == {
        False, "g1", "g2", "g3", "g4", "m1", "m2", "m3", "m4", "m5",
    }  # fmt: skip
