"""The one HTTP client: time-outs, size limits, guarded addresses, explicit credentials.

Blocking, thread-safe, without cookies and without a look at the environment (proxies, netrc). Connections are
kept alive and shared by all clients of a process that have the same guard.
"""

from __future__ import annotations

import contextlib
import math
import os
import ssl
import threading
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpcore
import httpx

from connectors.addresses import CLOCK, GuardedBackend, Resolve, check, literal, resolve, within
from connectors.errors import AddressRefused, BadAnswer, Unreachable

Auth = httpx.Auth
"""How a request is signed; see `basic` and `digest`."""

USER_AGENT = "slotledger/0.1"
MAX_BYTES = 64 * 1024 * 1024
MAX_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Asking twice changes nothing, so these may follow any redirect and may be sent again over a fresh connection.
READS = frozenset({"GET", "HEAD", "OPTIONS", "PROPFIND", "REPORT"})
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Response:
    """An answer, whole. url: where it came from, after redirects. content: decoded."""

    status: int
    headers: httpx.Headers
    content: bytes
    url: str

    @property
    def etag(self) -> str:
        """The ETag header as sent, ``""`` if there is none."""
        etag: str = self.headers.get("etag", "")
        return etag


def basic(username: str, password: str) -> Auth:
    """HTTP Basic (RFC 7617), sent with the first request: some servers never ask (Yahoo)."""
    return httpx.BasicAuth(username, password)


def digest(username: str, password: str) -> Auth:
    """HTTP Digest (RFC 7616). Holds a nonce: use one in one thread."""
    return httpx.DigestAuth(username, password)


def origin(url: httpx.URL) -> tuple[str, str, int]:
    """Scheme, host and port, which together say whose secrets may be sent (RFC 6454)."""
    return url.scheme, url.host.lower(), url.port or _PORTS.get(url.scheme, 0)


def may_share_credentials(given: httpx.URL, other: httpx.URL, siblings: frozenset[str] = frozenset()) -> bool:
    """May credentials given for one address be sent to another?

    Same origin; the https of the same host; a sub-domain of the given host; or two hosts of a domain in
    ``siblings`` (iCloud's pNN hosts). Never from https to http.
    """
    if origin(given) == origin(other):
        return True
    if other.scheme != "https":
        return False
    a, b = given.host.lower(), other.host.lower()
    if a == b or (b.endswith("." + a) and "." in a):
        return True
    return any(within(a, domain) and within(b, domain) for domain in siblings)


def callable_url(url: str, *, allow_private: bool) -> httpx.URL:
    """The address without user name and fragment, if it may be called as far as one can see without resolving names.

    Raises `AddressRefused`.
    """
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError) as exc:
        raise AddressRefused("this is no address") from exc
    if parsed.scheme not in _PORTS or not all(parsed.host.removesuffix(".").split(".")):
        raise AddressRefused("only https addresses can be called")
    if parsed.scheme == "http" and not allow_private:
        raise AddressRefused(f"{parsed.host} must be called by https")
    check(parsed.host, literal(parsed.host), public=True, private=allow_private)
    return parsed.copy_with(userinfo=b"", fragment=None)


@cache
def _trust() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)


def _open_pool(public: bool, private: bool, resolver: Resolve, trust: ssl.SSLContext) -> httpcore.ConnectionPool:
    return httpcore.ConnectionPool(
        ssl_context=trust,
        max_connections=64,
        max_keepalive_connections=16,
        keepalive_expiry=30.0,
        network_backend=GuardedBackend(public=public, private=private, resolve=resolver),
    )


# One pool per guard: an open connection says nothing about what another guard would allow.
_pools: dict[tuple[bool, bool], httpcore.ConnectionPool] = {}
_pools_lock = threading.Lock()


def _shared_pool(public: bool, private: bool) -> httpcore.ConnectionPool:
    with _pools_lock:
        if (public, private) not in _pools:
            _pools[public, private] = _open_pool(public, private, resolve, _trust())
        return _pools[public, private]


# A forked worker must not talk over its parent's sockets.
os.register_at_fork(after_in_child=_pools.clear)


class Http:
    """An HTTP client.

    allow_private: may loopback and private networks be called, and only there plain http. timeout: seconds for
    one step (connect, read, write). total: seconds for one request with its redirects. max_bytes: of a decoded
    body. siblings: domains whose hosts may share credentials. resolver, trust: for tests with names and
    certificates of their own.
    """

    def __init__(
        self,
        *,
        allow_private: bool = False,
        timeout: float = 20.0,
        total: float = 120.0,
        max_bytes: int = MAX_BYTES,
        user_agent: str = USER_AGENT,
        siblings: frozenset[str] = frozenset(),
        resolver: Resolve = resolve,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._allow_private = allow_private
        self._timeout, self._total, self._max_bytes = timeout, total, max_bytes
        self._user_agent, self._siblings = user_agent, siblings
        self._own: dict[bool, httpcore.ConnectionPool] = {}
        if resolver is not resolve or trust is not None:
            for public in (True, False):
                self._own[public] = _open_pool(public, allow_private, resolver, trust or _trust())

    def close(self) -> None:
        """Close what is this client's alone; the shared connections stay open. Idempotent."""
        for pool in self._own.values():
            pool.close()

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        auth: Auth | None = None,
        follow: bool = True,
        timeout: float | None = None,
    ) -> Response:
        """One request and its whole answer, whatever its status.

        follow: reads follow redirects anywhere the guard allows, writes only 307 and 308 of the same origin;
        otherwise the redirect itself is returned. timeout: of one step, instead of the client's. Raises
        `Unreachable` (a write's outcome is then unknown), `AddressRefused`, also where a redirect would carry
        credentials to a stranger, and `BadAnswer` for too much or wrongly coded content.
        """
        given = target = self._parsed(url)
        signed = auth is not None or "authorization" in {name.lower() for name in headers or ()}
        step = self._timeout if timeout is None else timeout
        CLOCK.deadline = time.monotonic() + max(self._total, step)
        try:
            for _ in range(MAX_REDIRECTS + 1):
                answer = self._signed(method, target, headers, content, auth, step)
                location = answer.headers.get("location", "")
                if not follow or answer.status not in REDIRECTS or not location:
                    return answer
                following = self._joined(target, location)
                if method not in READS and (answer.status not in (307, 308) or origin(target) != origin(following)):
                    return answer
                if target.scheme == "https" and following.scheme != "https":
                    raise AddressRefused(f"{target.host} redirects from https to plain http")
                if signed and not may_share_credentials(given, following, self._siblings):
                    raise AddressRefused(
                        f"{target.host} redirects to {following.host}; give that address if it is meant"
                    )
                target = following
        finally:
            CLOCK.deadline = math.inf
        raise BadAnswer(f"{given.host} redirects in circles")

    def _parsed(self, url: str) -> httpx.URL:
        return callable_url(url, allow_private=self._allow_private)

    def _joined(self, base: httpx.URL, location: str) -> httpx.URL:
        try:
            return self._parsed(str(base.join(location)))
        except httpx.InvalidURL as exc:
            raise BadAnswer(f"{base.host} redirects to something that is no address") from exc

    def _signed(
        self,
        method: str,
        url: httpx.URL,
        headers: Mapping[str, str] | None,
        content: bytes | None,
        auth: Auth | None,
        step: float,
    ) -> Response:
        request = httpx.Request(
            method, url, headers={"User-Agent": self._user_agent, **(headers or {})}, content=content
        )
        if auth is None:
            return self._exchange(request, step)
        flow = auth.sync_auth_flow(request)
        with contextlib.closing(flow):
            request = next(flow)
            while True:
                answer = self._exchange(request, step)
                try:
                    request = flow.send(httpx.Response(answer.status, headers=answer.headers, request=request))
                except StopIteration:
                    return answer

    def _exchange(self, request: httpx.Request, step: float) -> Response:
        """One request, repeated once if it is a read and a kept connection turned out to be dead."""
        fresh: list[str] = []

        def trace(name: str, _: Mapping[str, Any]) -> None:
            if name == "connection.connect_tcp.started":
                fresh.append(name)

        try:
            try:
                return self._sent(request, step, trace)
            except (httpcore.RemoteProtocolError, httpcore.NetworkError):
                if fresh or request.method not in READS:
                    raise
                return self._sent(request, step, trace)
        except httpcore.LocalProtocolError as exc:
            raise BadAnswer("this request can't be put in HTTP") from exc
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as exc:
            raise Unreachable(f"{request.url.host}: {exc or type(exc).__name__}") from exc

    def _sent(self, request: httpx.Request, step: float, trace: Any) -> Response:
        url = request.url
        core = httpcore.Request(
            request.method,
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.content,
            extensions={"timeout": dict.fromkeys(("connect", "read", "write", "pool"), step), "trace": trace},
        )
        public = url.scheme == "https"
        pool = self._own[public] if self._own else _shared_pool(public, self._allow_private)
        answer = pool.handle_request(core)
        headers = httpx.Headers(answer.headers)
        try:
            content = self._body(answer, headers)
        finally:
            answer.close()
        return Response(answer.status, headers, content, str(url))

    def _body(self, answer: httpcore.Response, headers: httpx.Headers) -> bytes:
        """The decoded body, bounded before it is unpacked."""
        coding = headers.get("content-encoding", "identity").strip().lower()
        if coding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise BadAnswer(f"an answer coded as {coding!r} was not asked for")
        unpack = None if coding in ("", "identity") else zlib.decompressobj(wbits=47)
        parts: list[bytes] = []
        size = received = 0
        for chunk in answer.iter_stream():
            received += len(chunk)
            if unpack is not None:
                try:
                    chunk = unpack.decompress(chunk, self._max_bytes - size + 1)
                except zlib.error as exc:
                    raise BadAnswer("the answer can't be unpacked") from exc
            size += len(chunk)
            if size > self._max_bytes:
                raise BadAnswer(f"an answer of more than {self._max_bytes} bytes")
            parts.append(chunk)
        if unpack is not None and received and not unpack.eof:
            raise Unreachable("the packed answer ended early")
        return b"".join(parts)
