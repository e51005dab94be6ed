"""Where the pages of the desk are."""

from __future__ import annotations

from fastapi import FastAPI

from api.desk import bookings, connections, line, pauses, reviews, start

ROUTERS = (start.router, bookings.router, line.router, reviews.router, pauses.router, connections.router)


def install(app: FastAPI) -> None:
    """The same pages behind both doors; whom they show what is decided by who is signed in."""
    for door in ("operator", "admin"):
        for router in ROUTERS:
            app.include_router(router, prefix=f"/{door}")
