"""How often a visitor may knock: limits by address and by target, counted in Redis where the broker is Redis.

Two kinds. What costs a practice time (holds, bookings, places in line, consents begun) is counted at every request, with
`RATE_PER_MINUTE` as its measure. What is guessed (passwords, client links, keys) is counted only when it was wrong, so
whoever has the right one never notices. Nobody's account is ever locked: only the knocking is slowed down.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from fastapi import FastAPI, Request
from fastapi.responses import Response
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import MovingWindowRateLimiter
from redis.exceptions import RedisError
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.pages.render import language_of, page
from api.problems import problem
from ledger import clock, observe
from ledger.observe import Event
from ledger.settings import Settings

OWN_MACHINE = 10
"""Programs on this machine, and proxies that don't say for whom they ask, stand for many."""
SIGN_INS = (RateLimitItemPerMinute(30), RateLimitItemPerMinute(10, 5), RateLimitItemPerMinute(100, 60))
"""Wrong passwords: of one address; of one address for one user; for one user from anywhere, in an hour."""


@dataclass(frozen=True, slots=True)
class Rule:
    """name: one count for all routes of that name. share: of RATE_PER_MINUTE. target: path parameters that name what is
    wanted; it may be wanted twice as often by all together. guess: counts only what was wrong."""

    name: str
    share: float = 1.0
    target: tuple[str, ...] = ()
    guess: bool = False


_SERVICE = ("operator", "service")
_OF_SERVICE = "/api/v1/operators/{operator}/services/{service}"
RULES: dict[tuple[str, str], Rule] = {
    ("POST", f"{_OF_SERVICE}/holds"): Rule("hold", target=_SERVICE),
    ("POST", f"{_OF_SERVICE}/bookings"): Rule("book", target=_SERVICE),
    ("POST", "/{language}/{operator}/{service}"): Rule("book", target=_SERVICE),
    ("POST", f"{_OF_SERVICE}/waitlist"): Rule("wait", target=_SERVICE),
    ("POST", "/{language}/{operator}/{service}/waitlist"): Rule("wait", target=_SERVICE),
    ("POST", "/connect/{provider}"): Rule("consent", share=0.1),
    ("POST", "/login/{provider}"): Rule("consent", share=0.1),
    ("POST", "/login/passkey/options"): Rule("consent", share=0.1),
}
"""Counted at every request."""
_GUESSED = Rule("guess", guess=True)


class TooMany(Exception):
    """Too often. retry_after: seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"again in {retry_after} s")
        self.retry_after = retry_after


class Rates:
    """The counts of one deployment; without Redis those of this process. per_minute: 0 for no limits at all."""

    def __init__(self, storage_url: str, per_minute: int) -> None:
        self.per_minute = per_minute
        self._own = MovingWindowRateLimiter(MemoryStorage())
        self._shared = self._own
        if storage_url:
            self._shared = MovingWindowRateLimiter(_open(storage_url))

    def count(self, limit: RateLimitItem, *key: str) -> None:
        """One more. Raises `TooMany` when there were enough already."""
        if not self._ask("hit", limit, key):
            self._refuse(limit, key)

    def look(self, limit: RateLimitItem, *key: str) -> None:
        """Raises `TooMany` when there were enough already; counts nothing."""
        if not self._ask("test", limit, key):
            self._refuse(limit, key)

    def _ask(self, what: str, limit: RateLimitItem, key: tuple[str, ...]) -> Any:
        try:
            return getattr(self._shared, what)(limit, *key)
        except _errors_of(self._shared.storage) as error:
            # A broker that is away locks nobody out and lets nobody in for free: this process counts alone.
            observe.log.warning(Event.RATES_UNSTORED, error=type(error).__name__)
            return getattr(self._own, what)(limit, *key)

    def note(self, limit: RateLimitItem, *key: str) -> None:
        """One more, whatever there were."""
        self._ask("hit", limit, key)

    def _refuse(self, limit: RateLimitItem, key: tuple[str, ...]) -> None:
        observe.log.warning(Event.RATE_LIMITED, rule=key[0])
        left = self._ask("get_window_stats", limit, key).reset_time - clock.now().timestamp()
        raise TooMany(min(max(1, math.ceil(left)), int(limit.get_expiry())))


def rates_of(settings: Settings) -> Rates:
    """Redis when the broker is Redis, else this process's memory."""
    parts = urlsplit(settings.broker_url)
    shared = parts.scheme in ("redis", "rediss", "unix")
    return Rates(settings.broker_url if shared else "", settings.rate_per_minute)


async def limited(request: Request) -> None:
    """A dependency of every route. Costs one look into a table where nothing is counted. Raises `TooMany`."""
    rule = _rule_of(request)
    if rule is not None:
        await run_in_threadpool(_apply, request, rule)


def guessed_wrong(request: Request) -> None:
    """A key or link was given that opens nothing. For those who answer so."""
    rates, rule = _rates(request), _rule_of(request)
    if rates.per_minute and rule is not None and rule.guess:
        rates.note(_measure(rates, rule, _address(request)), rule.name, _address(request))


class WrongKeys:
    """Counts the keys and links that opened nothing, by how they were answered. Plain ASGI."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def watched(message: Message) -> None:
            # 404 with a valid key is no guess: only where the address itself is the key.
            if message["type"] == "http.response.start" and message["status"] in (401, 404):
                path = getattr(scope.get("route"), "path", "")
                if message["status"] == (404 if "{token}" in path else 401):
                    await run_in_threadpool(guessed_wrong, Request(scope))
            await send(message)

        await self.app(scope, receive, watched)


def sign_in(request: Request, email: str) -> None:
    """Before a password is looked at. Raises `TooMany`."""
    rates = _rates(request)
    if rates.per_minute:
        for limit, key in _sign_in_keys(request, email):
            rates.look(limit, *key)


def sign_in_failed(request: Request, email: str) -> None:
    """It was wrong, or there is no such user: both count."""
    rates = _rates(request)
    if rates.per_minute:
        for limit, key in _sign_in_keys(request, email):
            rates.note(limit, *key)


def install(app: FastAPI) -> None:
    """What is answered to who knocks too often: a problem to machines, a page to people."""

    @app.exception_handler(TooMany)
    def _too_many(request: Request, error: TooMany) -> Response:
        headers = {"Retry-After": str(error.retry_after)}
        if request.scope["path"].startswith("/api/"):
            return problem(429, "too_many_requests", "too many requests from here; wait a little", headers=headers)
        return page(
            request, "slower.html", language_of(request), status=429, headers=headers | {"Cache-Control": "no-store"}
        )


def _rule_of(request: Request) -> Rule | None:
    path = getattr(request.scope.get("route"), "path", "")
    rule = RULES.get((request.method, path))
    by_key = request.scope["path"].startswith(("/api/v1/admin/", "/operator/bookings/", "/admin/bookings/"))
    if rule is None and (by_key or "{token}" in path):
        return _GUESSED
    return rule


def _apply(request: Request, rule: Rule) -> None:
    rates = _rates(request)
    if not rates.per_minute:
        return
    address = _address(request)
    limit = _measure(rates, rule, address)
    if rule.guess:
        rates.look(limit, rule.name, address)
        return
    rates.count(limit, rule.name, address)
    if rule.target:
        wanted = "/".join(str(request.path_params.get(name, "")) for name in rule.target)
        rates.count(_measure(rates, rule, address, 2), rule.name, "of", wanted)


def _measure(rates: Rates, rule: Rule, address: str, times: int = 1) -> RateLimitItem:
    own = OWN_MACHINE if _is_own(address) else 1
    return RateLimitItemPerMinute(max(1, int(rates.per_minute * rule.share * own * times)))


def _sign_in_keys(request: Request, email: str) -> list[tuple[RateLimitItem, tuple[str, ...]]]:
    address, user = _address(request), hashlib.sha256(email.strip().lower().encode(errors="replace")).hexdigest()[:32]
    keys = (("login", address), ("login", address, user), ("login", "of", user))
    return list(zip(SIGN_INS, keys, strict=True))


def _rates(request: Request) -> Rates:
    rates: Rates = request.app.state.rates
    return rates


def _address(request: Request) -> str:
    """Whose request it is; of IPv6 the network, of which every home has one. Behind a trusted proxy it is the client's."""
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network(f"{address}/64", strict=False)) if not address.is_loopback else str(address)
    return str(address)


def _is_own(address: str) -> bool:
    return address.startswith("127.") or address == "::1"


def _open(broker_url: str) -> RedisStorage:
    """The broker's Redis, with a namespace of our own in it."""
    parts = urlsplit(broker_url)
    query = dict(parse_qsl(parts.query))
    prefix = f"{query.pop('namespace', 'slotledger')}:rates"
    scheme = {"unix": "redis+unix"}.get(parts.scheme, parts.scheme)
    # urlunsplit would leave out the slashes before an empty host, which a socket's address needs.
    url = f"{scheme}://{parts.netloc}{parts.path}" + (f"?{urlencode(query)}" if query else "")
    return RedisStorage(url, key_prefix=prefix, socket_timeout=2, socket_connect_timeout=2)


def _errors_of(storage: Any) -> tuple[type[Exception], ...]:
    return (RedisError,) if isinstance(storage, RedisStorage) else ()
