"""The admin API (INTERFACE §5): everything that a dashboard or a script may do, behind a token."""

from fastapi import APIRouter

from api.admin import bookings, books, calendars, line, machinery, pauses, privacy, record, reviews, tokens, webhooks

router = APIRouter(prefix="/api/v1/admin", tags=["admin"])
for each in (books, bookings, line, pauses, reviews, calendars, machinery, webhooks, privacy, tokens, record):
    router.include_router(each.router)
