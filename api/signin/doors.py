"""Where the pages to sign in are."""

from __future__ import annotations

from fastapi import FastAPI

from api.signin import account, pages, passkeys, providers, routes


def install(app: FastAPI) -> None:
    """The sign-in page, everybody's own account, and what is answered where one may not pass."""
    pages.install(app)
    app.include_router(routes.router)
    app.include_router(passkeys.router)  # before the providers: its word stands where their names do
    app.include_router(providers.router)
    for door in ("operator", "admin"):
        app.include_router(account.router, prefix=f"/{door}")
        app.include_router(providers.linking, prefix=f"/{door}")
        app.include_router(passkeys.own, prefix=f"/{door}")
