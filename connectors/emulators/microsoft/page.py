"""A small page to play the operator by hand: ``GET /``."""

from __future__ import annotations

import html
from datetime import datetime, timedelta
from urllib.parse import parse_qsl

from connectors.emulators.microsoft.control import Control
from connectors.emulators.microsoft.store import Account, Store, StoredEvent
from connectors.emulators.microsoft.times import local_of, span, zone_of
from connectors.emulators.microsoft.wire import Fault, Reply, Request

_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:0 auto;max-width:66rem;padding:1.2rem;color:#1b1b1b;background:#f7f7f8}
h1{font-size:1.35rem;margin:.2rem 0}h2{font-size:1.05rem;margin:1.6rem 0 .4rem}p{margin:.3rem 0;color:#555}
table{border-collapse:collapse;width:100%;background:#fff;border-radius:6px;overflow:hidden}
td,th{padding:.4rem .6rem;text-align:left;border-bottom:1px solid #eee;vertical-align:top}th{font-weight:600;color:#555}
td:nth-child(2){min-width:11rem}form{display:inline-block;margin:0 .3rem .2rem 0}input,select,button{font:inherit;padding:.15rem .4rem}
input[type=datetime-local]{width:12.5rem}button{border:1px solid #888;border-radius:4px;background:#fff;cursor:pointer}
.own{border-left:4px solid #0a6cbd}.note{color:#777;font-size:.85em}
"""
_COMING = timedelta(days=60)


class Page:
    """Lists calendars and events; its forms do what an operator does in a calendar app."""

    def __init__(self, store: Store, control: Control) -> None:
        self._store = store
        self._control = control

    def handle(self, request: Request) -> Reply:
        """``GET /`` and ``POST /_ui/ACTION``. Raises `Fault`."""
        if not request.segments:
            body = self._html(request.query.get("said", "")).encode()
            return Reply(200, body, {"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store"})
        if request.segments == ("favicon.ico",):
            return Reply(204)
        if request.method != "POST" or len(request.segments) != 2:
            raise Fault(404, "NoSuchPage", request.path)
        said = ""
        try:
            self._do(request.segments[1], dict(parse_qsl(request.raw.decode())))
        except (Fault, ValueError, KeyError) as error:
            said = f"?said={html.escape(type(error).__name__)}"
        return Reply(303, None, {"Location": "/" + said})

    def _do(self, action: str, form: dict[str, str]) -> None:
        control, event = self._control, form.get("event", "")
        if action == "create":
            start = datetime.fromisoformat(form["start"])
            end = start + timedelta(minutes=int(form.get("minutes") or 60))
            control.create_event(
                form.get("subject") or "Busy",
                start,
                end,
                account=form.get("account", ""),
                calendar=form.get("calendar", ""),
                show_as=form.get("show", ""),
            )
        elif action == "move":
            stored = self._store.seen(event, lagging=False)
            if stored is None:
                raise Fault(404, "NoSuchEvent", event)
            first, last = span(stored.content)
            start = datetime.fromisoformat(form["start"])
            control.move_event(event, start, start + (last - first))
        elif action == "calendar":
            control.move_to_calendar(event, form["calendar"])
        elif action == "category":
            names = [name.strip() for name in form.get("categories", "").split(",")]
            control.set_fields(event, {"categories": [name for name in names if name]})
        elif action == "delete":
            control.delete_event(event)
        elif action == "decline":
            control.decline(event, form["attendee"])
        else:
            raise Fault(404, "NoSuchAction", action)

    def _html(self, said: str) -> str:
        parts = ["<!doctype html><html lang=en><meta charset=utf-8><title>Outlook, emulated</title>"]
        parts.append(f"<meta name=viewport content='width=device-width'><style>{_STYLE}</style>")
        parts.append("<h1>Outlook calendar, emulated</h1>")
        parts.append("<p>Play the operator: what you do here, the product learns as from Microsoft 365.</p>")
        if said:
            parts.append(f"<p role=alert><b>That didn't work: {html.escape(said)}</b></p>")
        for account in self._store.accounts.values():
            parts.append(self._account(account))
        return "".join(parts) + "</html>"

    def _account(self, account: Account) -> str:
        calendars = self._store.calendars_of(account.oid)
        options = "".join(f"<option value='{html.escape(c.id)}'>{html.escape(c.name)}</option>" for c in calendars)
        now = self._store.instant()
        start = (now.astimezone(zone_of(account.zone)) + timedelta(days=1)).replace(minute=0).strftime("%Y-%m-%dT%H:%M")
        parts = [f"<h2>{html.escape(account.name)} &lt;{html.escape(account.email)}&gt;</h2>"]
        parts.append(
            f"<form method=post action=/_ui/create><input type=hidden name=account value='{html.escape(account.email)}'>"
            f"<input name=subject aria-label=Subject placeholder=Subject> <input type=datetime-local name=start "
            f"aria-label=Start value={start}> <input name=minutes aria-label=Minutes size=3 value=60> min "
            f"<select name=show aria-label='Show as'><option>busy<option>tentative<option>free<option>oof</select> "
            f"<select name=calendar aria-label=Calendar>{options}</select> <button>Create</button></form>"
        )
        events = [e for e in self._store.all_seen(account.oid, lagging=False) if not e.deleted]
        for calendar in calendars:
            held = [e for e in events if e.calendar == calendar.id and (e.recurring or span(e.content)[1] > now)]
            near = sorted((e for e in held if span(e.content)[0] < now + _COMING), key=lambda e: span(e.content)[0])
            rows = "".join(self._row(event, account, options) for event in near)
            parts.append(f"<h2>{html.escape(calendar.name)} <span class=note>{len(near)} coming</span></h2>")
            parts.append(f"<table><tr><th>When<th>What<th>Do</tr>{rows}</table>")
        return "".join(parts)

    def _row(self, event: StoredEvent, account: Account, options: str) -> str:
        content, hidden = event.content, f"<input type=hidden name=event value='{html.escape(event.key)}'>"
        start, end = (instant.astimezone(zone_of(account.zone)) for instant in span(content))
        when = start.strftime("%a %d %b %Y") if content.get("isAllDay") else f"{start:%a %d %b %Y %H:%M}–{end:%H:%M}"
        local = local_of(content["start"]) if event.recurring else start
        notes = [str(content.get("showAs") or ""), "series" if event.recurring else "", *content.get("categories", ())]
        guests = [str(g["emailAddress"]["address"]) for g in content.get("attendees") or ()]
        declines = "".join(
            f"<form method=post action=/_ui/decline>{hidden}<input type=hidden name=attendee value='{html.escape(g)}'>"
            f"<button>{html.escape(g)} declines</button></form>"
            for g in guests
        )
        return (
            f"<tr class='{'own' if event.properties else ''}'><td>{when}<td>{html.escape(str(content.get('subject')))}"
            f"<div class=note>{html.escape(' · '.join(n for n in notes if n))}</div><td>"
            f"<form method=post action=/_ui/move>{hidden}<input type=datetime-local name=start aria-label='New start' "
            f"value={local:%Y-%m-%dT%H:%M}><button>Move</button></form>"
            f"<form method=post action=/_ui/calendar>{hidden}<select name=calendar aria-label=Calendar>{options}</select>"
            f"<button>Drag there</button></form>"
            f"<form method=post action=/_ui/category>{hidden}<input name=categories aria-label=Categories size=9 "
            f"value='{html.escape(','.join(content.get('categories', ())))}'><button>Tag</button></form>"
            f"<form method=post action=/_ui/delete>{hidden}<button>Delete</button></form>{declines}</tr>"
        )
