"""Opens a process's world, and says which handler belongs to which message."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from booking.reactions import react
from booking.terms import Terms
from connectors.mail.imip import open_outgoing
from connectors.protocol import Endpoints
from ledger import clock as ledger_clock
from ledger import messages
from ledger.db import Database, Tx, open_database
from ledger.messages import Message
from ledger.outbox import Leased
from ledger.settings import Settings
from ledger.vault import Vault
from sync.accounts import Accounts
from sync.channels import close_channel, open_channel
from sync.looks import look_for_event
from sync.pull import pull_calendar
from sync.push import push_event
from sync.sweep import sweep_event
from workers.leases import LeaseKeeper
from workers.mail import send_mail
from workers.webhooks import catch_up_webhook, send_webhook
from workers.world import Handler, Reaction, World


def open_world(
    settings: Settings, *, database: Database | None = None, clock: Callable[[], datetime] = ledger_clock.now
) -> World:
    """Open everything that the settings name. database: one that is open already; `close` closes it all the same."""
    database = database or open_database(settings.database_url)
    vault = Vault(settings.secret_key, settings.secret_key_old)
    return World(
        settings=settings,
        database=database,
        vault=vault,
        accounts=Accounts(database, vault, endpoints(settings), hooks_of(settings)),
        outgoing=open_outgoing(settings.mail_url),
        terms=Terms(settings.base_url, settings.mail_from),
        clock=clock,
        leases=LeaseKeeper(database, clock),
        handlers=handlers(),
        reactions=reactions(),
    )


def endpoints(settings: Settings) -> Endpoints:
    """The providers' addresses and our application identities there."""
    return Endpoints(
        allow_private_networks=settings.allow_private_networks,
        google_client_id=settings.google_client_id,
        google_client_secret=settings.google_client_secret,
        google_api_root=settings.google_api_root,
        google_oauth_root=settings.google_oauth_root,
        microsoft_client_id=settings.microsoft_client_id,
        microsoft_client_secret=settings.microsoft_client_secret,
        microsoft_tenant=settings.microsoft_tenant,
        microsoft_graph_root=settings.microsoft_graph_root,
        microsoft_authority=settings.microsoft_authority,
    )


def hooks_of(settings: Settings) -> str:
    """Our public address if providers can call us there: they insist on TLS, but for emulators on this machine."""
    callable_there = settings.base_url.startswith("https://") or settings.allow_private_networks
    return settings.base_url if callable_there else ""


def handlers() -> dict[type[Message], Handler]:
    """Who speaks to the outside."""

    def for_sync(handle: Callable[..., None]) -> Handler:
        return lambda world, leased: handle(world.accounts, leased, clock=world.clock)

    return {
        messages.PullCalendar: for_sync(pull_calendar),
        messages.PushEvent: for_sync(push_event),
        messages.LookForEvent: for_sync(look_for_event),
        messages.SweepEvent: for_sync(sweep_event),
        messages.OpenChannel: for_sync(open_channel),
        messages.CloseChannel: for_sync(close_channel),
        messages.SendMail: send_mail,
        messages.SendWebhook: send_webhook,
    }


def reactions() -> dict[type[Message], Reaction]:
    """What is done inside the ledger: by booking, but for one."""

    def reaction(world: World, tx: Tx, leased: Leased) -> None:
        react(tx, leased.message, terms=world.terms, now=world.clock(), cause=leased.cause)

    elsewhere = set(handlers())
    booking = {kind: reaction for kind in messages.KINDS.values() if kind not in elsewhere}
    return {**booking, messages.CatchUpWebhook: catch_up_webhook}
