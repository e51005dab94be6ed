"""The reference Connector: does exactly what the Protocol says, on a `MemoryServer`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from connectors.errors import CalendarGone, Conflict, Gone, NeedsReconnect, SyncTokenExpired
from connectors.ical.objects import render_entry, update_entry
from connectors.memory_server import Collection, MemoryServer
from connectors.model import (
    Calendar,
    ChangeSet,
    Entry,
    ETag,
    Event,
    Found,
    Href,
    KnownETags,
    Period,
    Progress,
    Quirks,
    SyncToken,
    Written,
)
from connectors.protocol import Channel, Credentials, Endpoints, SaveSecret


class MemoryConnector:
    """One opened account of a `MemoryServer`, found by ``credentials.url``, or given."""

    provider = "memory"

    def __init__(
        self,
        credentials: Credentials,
        endpoints: Endpoints | None = None,
        save_secret: SaveSecret | None = None,
        *,
        server: MemoryServer | None = None,
    ) -> None:
        del endpoints, save_secret
        name = credentials.url.removeprefix("memory:")
        if server is None and name not in MemoryServer.servers:
            raise CalendarGone(f"no server {name}")
        self._server = server or MemoryServer.servers[name]
        self._secret = credentials.secret

    def __enter__(self) -> MemoryConnector:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing to close."""

    def calendars(self) -> Sequence[Calendar]:
        """All calendars of the server."""
        with _Call(self, "calendars", "") as server:
            return [collection.calendar for collection in server.collections.values()]

    def changes(
        self,
        calendar: Calendar,
        since: SyncToken | None,
        window: Period,
        known: KnownETags,
        *,
        quirks: Quirks,
        progress: Progress | None = None,
    ) -> ChangeSet:
        """See `Connector.changes`. Everything is listed if there is no token, or the server has none."""
        del quirks
        with _Call(self, "changes", calendar.href) as server:
            collection = server.collection(calendar)
            token = SyncToken("memory", f"{server.epoch}:{server.version}") if server.sync_tokens else None
            if since is not None and token is not None:
                return self._since(collection, since, token, window)
            hrefs = list(collection.objects)
            if server.empty:
                server.empty -= 1
                hrefs = []
            etags = known() if token is None else {}
            changed = [
                server.parsed(collection, href, window)
                for href in hrefs
                if token is not None or etags.get(href) != collection.objects[href].etag
            ]
        if progress is not None:
            progress(len(changed), len(changed))
        return ChangeSet(tuple(changed), (), frozenset(hrefs), token)

    def _since(self, collection: Collection, since: SyncToken, token: SyncToken, window: Period) -> ChangeSet:
        server = self._server
        epoch, _, version = since.value.partition(":")
        if since.kind != "memory" or epoch != str(server.epoch):
            raise SyncTokenExpired(status=403)
        touched = [href for href, at in collection.log.items() if at > int(version)]
        return ChangeSet(
            tuple(server.parsed(collection, href, window) for href in touched if href in collection.objects),
            tuple(href for href in touched if href not in collection.objects),
            None,
            token,
        )

    def fetch(self, calendar: Calendar, href: Href, window: Period) -> Event:
        """See `Connector.fetch`."""
        with _Call(self, "fetch", calendar.href) as server:
            collection = server.collection(calendar)
            if href not in collection.objects:
                raise Gone(f"no object {href}", status=404)
            return server.parsed(collection, href, window)

    def find(self, calendars: Sequence[Calendar], entry_key: str, uid: str, window: Period) -> Found | None:
        """See `Connector.find`."""
        del entry_key
        with _Call(self, "find", ",".join(calendar.href for calendar in calendars)) as server:
            for collection in [server.collection(calendar) for calendar in calendars]:
                for href in collection.objects:
                    event = server.parsed(collection, href, window)
                    if event.uid == uid:  # a copy has our key too, but another UID
                        return Found(collection.calendar.href, event)
            return None

    def create(self, calendar: Calendar, entry: Entry, *, quirks: Quirks) -> Written:
        """See `Connector.create`."""
        del quirks
        with _Call(self, "create", calendar.href) as server:
            collection = server.collection(calendar)
            href = f"{calendar.href}{entry.key}.ics"
            if href in collection.objects:
                return Written(href, collection.objects[href].etag, adopted=True)
            if entry.key in collection.graves:
                raise Gone(f"{entry.key} was deleted", status=410)
            server.store(collection, href, render_entry(entry))
            return Written(href, collection.objects[href].etag)

    def update(self, calendar: Calendar, entry: Entry, href: Href, etag: ETag, *, quirks: Quirks) -> Written:
        """See `Connector.update`."""
        del quirks
        with _Call(self, "update", calendar.href) as server:
            collection = server.collection(calendar)
            if href not in collection.objects:
                raise Gone(f"no object {href}", status=404)
            stored = collection.objects[href]
            if etag and etag != stored.etag:
                raise Conflict(f"{href} is at {stored.etag}", status=412)
            server.store(collection, href, update_entry(stored.raw, entry))
            return Written(href, collection.objects[href].etag)

    def delete(self, calendar: Calendar, href: Href, etag: ETag = "") -> None:
        """See `Connector.delete`."""
        with _Call(self, "delete", calendar.href) as server:
            collection = server.collection(calendar)
            if href not in collection.objects:
                return
            if etag and etag != collection.objects[href].etag:
                raise Conflict(f"{href} is at {collection.objects[href].etag}", status=412)
            server.remove(calendar, href)

    def selftest(self, calendar: Calendar, *, write: bool) -> Quirks:
        """See `Connector.selftest`."""
        with _Call(self, "selftest", calendar.href) as server:
            server.collection(calendar)
            kept = True if write else None
            return Quirks("trusted" if server.sync_tokens else "absent", if_none_match=kept, etag_on_put=kept)

    def watch(self, calendar: Calendar, *, channel_id: str, secret: str, address: str, expires_at: datetime) -> Channel:
        """See `Watching.watch`; changes call ``server.on_change(channel, secret)``."""
        del address
        with _Call(self, "watch", calendar.href) as server:
            server.collection(calendar)
            channel = Channel(channel_id, f"memory:{calendar.href}", expires_at)
            server.channels[channel_id] = (channel, calendar.href, secret)
            return channel

    def renew(self, channel: Channel, expires_at: datetime) -> Channel | None:
        """See `Watching.renew`."""
        with _Call(self, "renew", "") as server:
            if channel.id not in server.channels:
                return None
            renewed = replace(channel, expires_at=expires_at)
            _, href, secret = server.channels[channel.id]
            server.channels[channel.id] = (renewed, href, secret)
            return renewed

    def unwatch(self, channel: Channel) -> None:
        """See `Watching.unwatch`."""
        with _Call(self, "unwatch", "") as server:
            server.channels.pop(channel.id, None)


class _Call:
    """One call at the server: logged, failing if the test wants it, alone while it works."""

    def __init__(self, connector: MemoryConnector, name: str, href: Href) -> None:
        self.server, self.secret, self.name, self.href = connector._server, connector._secret, name, href

    def __enter__(self) -> MemoryServer:
        self.server.calls.append((self.name, self.href))
        self.server.take_failure(self.name, after=False)
        if self.server.password and self.secret != self.server.password:
            raise NeedsReconnect(status=401)
        self.server.lock.acquire()
        return self.server

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self.server.lock.release()
        if kind is None:
            self.server.take_failure(self.name, after=True)
