"""What can go wrong between a client and its server, as actions for `FaultProxy`.

::

    with FaultProxy(server.url) as proxy:
        proxy.add(commit_then_close(), method="PUT", count=1)
        ...
        assert [seen.method for seen in proxy.log] == ["PUT", "GET"]
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

from lxml import etree

from connectors.emulators.proxy import Action, Answer, Exchange, FaultProxy, Rule, Seen

__all__ = [
    "Action",
    "Answer",
    "Exchange",
    "FaultProxy",
    "Rule",
    "Seen",
    "accept_bad_token",
    "change_body",
    "close_before_commit",
    "commit_then_close",
    "commit_then_hang",
    "commit_then_status",
    "drop_header",
    "empty_listing",
    "garbage",
    "hang_before_commit",
    "html",
    "redirect",
    "status",
    "strip_etag",
    "teapot",
    "truncate_body",
    "truncate_sync",
    "weak_etag",
]


def status(
    code: int, body: bytes = b"", *, retry_after: str | int | None = None, content_type: str = "text/plain"
) -> Action:
    """Answer with a status at once; the server never hears of the request. retry_after: seconds or an HTTP date."""
    headers = [("Content-Type", content_type)]
    if retry_after is not None:
        headers.append(("Retry-After", str(retry_after)))
    return lambda exchange: exchange.reply(Answer(code, headers, body))


def html(code: int = 200) -> Action:
    """Answer with somebody's login page."""
    return status(
        code, b"<!DOCTYPE html><html><body><p>Welcome<br>please log in</body></html>", content_type="text/html"
    )


def garbage(code: int = 207) -> Action:
    """Answer with bytes that are nothing."""
    return status(code, b"\x00\x01\xfe\xff<<<>>not xml", content_type="application/xml")


def empty_listing(*, with_collection: bool = False) -> Action:
    """A valid multistatus without any member, as of a server that lost sight of its data."""

    def act(exchange: Exchange) -> None:
        own = (
            f"<d:response><d:href>{exchange.path}</d:href><d:propstat><d:prop/>"
            "<d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>"
            if with_collection
            else ""
        )
        exchange.reply(_multistatus(own.encode()))

    return act


def redirect(url: str, code: int = 302) -> Action:
    """Send the client elsewhere."""
    return lambda exchange: exchange.reply(Answer(code, [("Location", url)]))


def commit_then_close() -> Action:
    """The server does it, the client gets a reset connection."""

    def act(exchange: Exchange) -> None:
        exchange.forward()
        exchange.reset()

    return act


def commit_then_hang(seconds: float = 60.0) -> Action:
    """The server does it, the client hears nothing."""

    def act(exchange: Exchange) -> None:
        exchange.forward()
        exchange.hang(seconds)

    return act


def commit_then_status(code: int = 500) -> Action:
    """The server does it and the client is told that it failed."""

    def act(exchange: Exchange) -> None:
        exchange.forward()
        exchange.reply(Answer(code, [("Content-Type", "text/plain")], b"failed"))

    return act


def hang_before_commit(seconds: float = 60.0) -> Action:
    """Nothing happens and nothing is said."""
    return lambda exchange: exchange.hang(seconds)


def close_before_commit() -> Action:
    """Nothing happens, the connection is reset."""
    return lambda exchange: exchange.reset()


def truncate_body(share: float = 0.5, *, honest_length: bool = True) -> Action:
    """Send a part of the body. honest_length: the promised length is the whole one, so HTTP itself notices."""

    def act(exchange: Exchange) -> None:
        answer = exchange.forward().unpacked()
        cut = answer.body[: int(len(answer.body) * share)]
        exchange.reply(answer.with_body(cut), declared=len(answer.body) if honest_length else None)
        if honest_length:
            exchange.reset()

    return act


def strip_etag() -> Action:
    """Answer without the ETag header (RFC 4791 §5.3.4 allows it after PUT)."""
    return lambda exchange: exchange.reply(exchange.forward().without("etag"))


def weak_etag() -> Action:
    """Answer with a weak ETag header."""

    def act(exchange: Exchange) -> None:
        answer = exchange.forward()
        answer.headers = [(k, "W/" + v if k.lower() == "etag" else v) for k, v in answer.headers]
        exchange.reply(answer)

    return act


def drop_header(name: str) -> Action:
    """Hide a request header from the server, as one does that ignores it."""

    def act(exchange: Exchange) -> None:
        exchange.headers = {k: v for k, v in exchange.headers.items() if k.lower() != name.lower()}
        exchange.reply(exchange.forward())

    return act


def change_body(change: Callable[[bytes], bytes]) -> Action:
    """Rewrite what the server answers."""

    def act(exchange: Exchange) -> None:
        answer = exchange.forward().unpacked()
        exchange.reply(answer.with_body(change(answer.body)))

    return act


def teapot() -> Action:
    """Removed members come with 418 instead of 404 (Infomaniak)."""
    return change_body(lambda body: body.replace(b" 404 Not Found", b" 418 I'm a teapot"))


def accept_bad_token() -> Action:
    """A refused sync token is answered with an empty 207 (DAViCal, SOGo, OX)."""

    def act(exchange: Exchange) -> None:
        answer = exchange.forward()
        if answer.status >= 400:
            answer = _multistatus(b"<d:sync-token>urn:never-issued</d:sync-token>")
        exchange.reply(answer)

    return act


def truncate_sync(size: int) -> Action:
    """Cut sync-collection answers into pages, with 507 for the collection on all but the last (RFC 6578 §3.6)."""
    waiting: dict[str, etree._Element] = {}

    def act(exchange: Exchange) -> None:
        asked = etree.fromstring(exchange.body).findtext("{DAV:}sync-token") or ""
        if asked in waiting:
            page = deepcopy(waiting[asked])
        else:
            answer = exchange.forward().unpacked()
            if answer.status != 207:
                return exchange.reply(answer)
            page = etree.fromstring(answer.body)
        members, token = page.findall("{DAV:}response"), page.find("{DAV:}sync-token")
        if len(members) > size and token is not None:
            rest = deepcopy(page)
            for member in rest.findall("{DAV:}response")[:size]:
                rest.remove(member)
            for member in members[size:]:
                page.remove(member)
            cut = etree.SubElement(page, "{DAV:}response")
            etree.SubElement(cut, "{DAV:}href").text = exchange.path
            etree.SubElement(cut, "{DAV:}status").text = "HTTP/1.1 507 Insufficient Storage"
            token.text = f"urn:page:{len(waiting)}"
            waiting[token.text] = rest
        return exchange.reply(Answer(207, [("Content-Type", "application/xml")], etree.tostring(page)))

    return act


def _multistatus(inner: bytes) -> Answer:
    body = b'<?xml version="1.0"?><d:multistatus xmlns:d="DAV:">' + inner + b"</d:multistatus>"
    return Answer(207, [("Content-Type", "application/xml; charset=utf-8")], body)
