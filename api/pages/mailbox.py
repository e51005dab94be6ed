"""The demo's mailbox: everything it would have sent, to read (INTERFACE §1). Exists in the demo only."""

from __future__ import annotations

from email import message_from_bytes, policy
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from api.deps import Here, Site
from api.pages.render import language_of, page
from api.wire import wire
from booking.errors import NotFound
from connectors.mail.folder import MailFolder, StoredMail

router = APIRouter(prefix="/demo", include_in_schema=False)


@router.get("/mail.json")
def listing(here: Here) -> Response:
    """Every mail, newest last."""
    return JSONResponse([wire(_row(mail)) for mail in _folder(here).listing()])


@router.get("/mail")
def mailbox(request: Request, here: Here) -> Response:
    """The same for people, newest first."""
    return page(request, "mails.html", language_of(request), mails=_folder(here).listing())


@router.get("/mail/{mail_id}.eml")
def source(mail_id: str, here: Here) -> Response:
    """The message as it was sent."""
    return Response(_raw(here, mail_id), media_type="message/rfc822")


@router.get("/mail/{mail_id}/html")
def html_part(mail_id: str, here: Here) -> Response:
    """Its HTML, for the frame: no script, no other source."""
    parts = _parts(_raw(here, mail_id))
    policy_header = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
    return HTMLResponse(parts["html"], headers={"Content-Security-Policy": policy_header})


@router.get("/mail/{mail_id}")
def one(request: Request, mail_id: str, here: Here) -> Response:
    """One mail: HTML, text, the calendar part, headers."""
    raw = _raw(here, mail_id)
    found = next(m for m in _folder(here).listing() if m.id == mail_id)
    return page(request, "mail.html", language_of(request), mail=found, parts=_parts(raw))


def _row(mail: StoredMail) -> dict[str, Any]:
    return {
        "id": mail.id, "at": mail.at, "from": mail.sender, "to": mail.recipient, "subject": mail.subject,
        "message_id": mail.message_id, "method": mail.method, "uid": mail.uid, "sequence": mail.sequence,
        "partstat": mail.partstat,
    }  # fmt: skip


def _folder(here: Site) -> MailFolder:
    return MailFolder.from_url(here.settings.mail_url)


def _raw(here: Site, mail_id: str) -> bytes:
    raw = _folder(here).read(mail_id)
    if raw is None:
        raise NotFound("there is no such mail")
    return raw


def _parts(raw: bytes) -> dict[str, str]:
    message = message_from_bytes(raw, policy=policy.default)
    found = {"text": "", "html": "", "ics": "", "headers": ""}
    names = {"text/plain": "text", "text/html": "html", "text/calendar": "ics"}
    for part in message.walk():
        name = names.get(part.get_content_type())
        if name and not found[name]:
            content = part.get_content()
            found[name] = content if isinstance(content, str) else content.decode("utf-8", "replace")
    found["headers"] = "\n".join(f"{key}: {value}" for key, value in message.items())
    return found
