"""What Graph does where nobody knows for certain, as switches; the product must survive every position."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Switches:
    """Positions (rule numbers: PROVIDERS G3; every one rests on reports or on nothing, see the README).

    transaction: a repeated transaction id gives the ``same`` event (201), is ``refuse``d, or is ``ignore``d (M-4).
    duplicate_status, duplicate_names_event: how it is refused. transaction_outlives: is it known after deletion?
    if_match: are PATCH and DELETE with another etag refused with 412 (M-9).
    deleted_answers: status of GET for a deleted event, 404 or 200 (M-12). second_delete: 404 or 403.
    exceptions: ``full`` or ``minimal`` in a delta (M-3). move_back: ``removed`` or ``changed`` after A → B → A (M-13).
    outside_window: changed events that were never in a delta's window come as ``removed`` or not at all (``silent``).
    lag_seconds: how long listings and deltas lag behind writes (M-10); lag_on_get: single reads too.
    replay: share of known rows a later delta repeats; empty_page: a delta begins with an empty page.
    expired: an expired delta answers 410 with a ``code`` or with a ``location``.
    subscription_minutes: longest life. duplicate_subscription: status 409 or 201. other_calendars_notify,
    http_hooks: are notification addresses without TLS taken. mailbox_wide: does /me/events cover every calendar.
    deleted_in_events: does /me/events list Deleted Items. spread: are a series' rows split over pages.
    concurrent: calls at a time before 429 (M-8). latency_seconds: how long each call takes. page_size: rows of a
    page where Prefer doesn't say. text_bodies: are bodies given back as they were written, or as HTML.
    """

    transaction: str = "refuse"
    duplicate_status: int = 409
    duplicate_names_event: bool = True
    transaction_outlives: bool = False
    if_match: bool = True
    deleted_answers: int = 404
    second_delete: int = 404
    exceptions: str = "full"
    move_back: str = "removed"
    outside_window: str = "removed"
    lag_seconds: float = 0.0
    lag_on_get: bool = False
    replay: float = 0.0
    empty_page: bool = False
    expired: str = "code"
    subscription_minutes: int = 10_080
    duplicate_subscription: int = 409
    other_calendars_notify: bool = False
    http_hooks: bool = True
    mailbox_wide: bool = True
    deleted_in_events: bool = False
    spread: bool = False
    concurrent: int = 4
    latency_seconds: float = 0.0
    page_size: int = 10
    text_bodies: bool = False
