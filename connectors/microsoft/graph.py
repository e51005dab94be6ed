"""Microsoft Graph over HTTP: addresses, headers, errors, paging, batches (PROVIDERS B2, B8, B9).

Links from Graph are absolute and are followed as given. Inside this program they always carry the production
hosts; `Rewrite` sends them elsewhere at the last moment when settings name another root (national clouds, emulator).
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import lru_cache
from ssl import SSLContext
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

import httpx

from connectors.errors import (
    AddressRefused,
    BadAnswer,
    Conflict,
    ConnectorError,
    Gone,
    NeedsReconnect,
    Refused,
    ServerFault,
    SyncTokenExpired,
    Throttled,
    Unreachable,
)
from connectors.protocol import Endpoints, Turns

GRAPH = "https://graph.microsoft.com"
"""Where Graph lives; every link in a sync token carries this host."""
LOGIN = "https://login.microsoftonline.com"
"""Where people sign in; MSAL sees this authority and no other."""
API = GRAPH + "/v1.0"
"""Base of every call."""
PREFER = 'IdType="ImmutableId", outlook.timezone="UTC", odata.maxpagesize=100'
"""Wanted on each call: ids that survive a move, instants in UTC."""
BATCH_LIMIT = 20
"""Graph refuses more requests in one ``$batch``."""
PER_MAILBOX = 3
"""Calls at the same time; Outlook throttles the fifth of one app and mailbox. One below: a call whose answer we gave up
waiting for may still be counted there."""

_MAX_BYTES = 64 * 1024 * 1024
_GATE_PATIENCE = 120.0

Row = dict[str, Any]
"""One JSON object of Graph."""


class Tokens(Protocol):
    """Where access tokens come from."""

    def access_token(self) -> str:
        """A token that should still be good."""
        ...

    def refresh(self) -> str:
        """A new token, whatever the old one says."""
        ...


@lru_cache(maxsize=1)
def _tls() -> SSLContext:
    return httpx.create_ssl_context(trust_env=False)


class Rewrite(httpx.BaseTransport):
    """Sends the two known hosts where settings say, and refuses every other one."""

    def __init__(self, targets: Mapping[str, str]) -> None:
        self._targets = {source: httpx.URL(target) for source, target in targets.items()}
        self._inner = httpx.HTTPTransport(
            verify=_tls(), trust_env=False, limits=httpx.Limits(max_connections=8, max_keepalive_connections=4)
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Raises `AddressRefused` for a host that isn't in the map."""
        target = self._targets.get(f"{request.url.scheme}://{request.url.netloc.decode('ascii')}")
        if target is None:
            raise AddressRefused(f"{request.url.host} is not Microsoft")
        request.url = request.url.copy_with(scheme=target.scheme, host=target.host, port=target.port)
        return self._inner.handle_request(request)

    def close(self) -> None:
        """Close connections."""
        self._inner.close()


def open_http(endpoints: Endpoints, *, timeout: float = 30.0) -> httpx.Client:
    """An HTTP client that reaches Graph and the login service, and nothing else. timeout: seconds."""
    targets = {GRAPH: endpoints.microsoft_graph_root.rstrip("/"), LOGIN: endpoints.microsoft_authority.rstrip("/")}
    return httpx.Client(
        transport=Rewrite(targets),
        trust_env=False,
        timeout=httpx.Timeout(timeout, connect=min(timeout, 10.0)),
        follow_redirects=False,
    )


_gates: dict[str, threading.BoundedSemaphore] = {}
_gates_lock = threading.Lock()


class Gate:
    """At most `PER_MAILBOX` calls at a time for one account: in this process, and by `turns` in all of them.

    Raises `Throttled` after two minutes.
    """

    def __init__(self, account: str, turns: Turns | None = None) -> None:
        with _gates_lock:
            self._semaphore = _gates.setdefault(account, threading.BoundedSemaphore(PER_MAILBOX))
        self._turns = turns

    def run(self, call: Callable[[], Answer]) -> Answer:
        """Make one call when there is room."""
        # The turn first: it may be kept between calls, and whoever keeps one must never wait for those who wait for it.
        with nullcontext() if self._turns is None else self._turns():
            return self._run(call)

    def close(self) -> None:
        """No more calls; idempotent."""
        if self._turns is not None:
            self._turns.close()

    def _run(self, call: Callable[[], Answer]) -> Answer:
        if not self._semaphore.acquire(timeout=_GATE_PATIENCE):
            raise Throttled("too many calls to this mailbox at once", retry_after=5.0)
        try:
            return call()
        finally:
            self._semaphore.release()


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it came. body: empty where there was none or it wasn't JSON. code: Graph's, in lower case."""

    status: int
    headers: Mapping[str, str]
    body: Row
    code: str = ""
    message: str = ""

    @property
    def etag(self) -> str:
        """``@odata.etag`` of the object in the body."""
        return str(self.body.get("@odata.etag", ""))

    def error(self) -> ConnectorError:
        """What this answer means, as the error to raise."""
        return error_of(self)


def segment(text: str) -> str:
    """A path segment; ids may hold ``/ + =``."""
    return quote(text, safe="")


def query(**parameters: str) -> str:
    """A query string with spaces as ``%20``; ``_`` at the front of a name stands for ``$``."""
    return "&".join(
        f"{'$' + name[1:] if name.startswith('_') else name}={quote(value, safe='')}"
        for name, value in parameters.items()
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by ``Retry-After``: a number, or an HTTP date measured against the answer's own ``Date``."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    if value.isdigit():
        return float(value)
    try:
        until = parsedate_to_datetime(value)
        return max(0.0, (until - parsedate_to_datetime(headers.get("date", ""))).total_seconds())
    except (TypeError, ValueError):
        return None


_EXPIRED = ("syncstatenotfound", "resyncrequired", "syncstateinvalid")


def error_of(answer: Answer) -> ConnectorError:
    """Translate (PROVIDERS B9). HTTP status first, then the code, whose case isn't stable.

    A refusal without Graph's own code was said by something in between: it proves nothing, least of all an absence.
    """
    status, code = answer.status, answer.code
    detail = f"{status} {code or 'without a code'}: {answer.message[:200]}".rstrip(": ")
    if code in _EXPIRED:
        return SyncTokenExpired(detail, status=status)
    if status in (429, 509):
        return Throttled(detail, status=status, retry_after=retry_after(answer.headers))
    if status in (409, 412) or code == "errorconcurrentitemsave":
        return Conflict(detail, status=status)
    if status >= 500 or status in (408, 423):
        return ServerFault(detail, status=status)
    if status == 401:
        return NeedsReconnect(detail, status=status)
    if not code and 400 <= status < 500:
        return Unreachable(detail, status=status)
    if status == 404 and code == "mailboxnotenabledforrestapi":
        return Refused(detail, status=status)
    if status in (404, 410):
        return Gone(detail, status=status)
    if 400 <= status < 500:
        return Refused(detail, status=status)
    return BadAnswer(detail, status=status)


class GraphClient:
    """Calls Graph for one account. Reads and writes alike: an answer that isn't a success raises, unless accepted."""

    def __init__(self, http: httpx.Client, tokens: Tokens, gate: Gate) -> None:
        self._http = http
        self._tokens = tokens
        self._gate = gate

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        accept: frozenset[int] = frozenset(),
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One call. path: below `API`, or an absolute link of Graph's. accept: statuses ≥ 300 to hand back.

        A 401 refreshes the token once and repeats; Graph did nothing then. Raises `Unreachable` when an answer got
        lost: the outcome of a write is unknown.
        """
        url = path if path.startswith("https://") else API + path
        if f"{urlsplit(url).scheme}://{urlsplit(url).netloc}" != GRAPH:
            raise AddressRefused(f"a link of Graph leads to {urlsplit(url).netloc}")
        content = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        answer = self._send(method, url, content, headers or {}, self._tokens.access_token())
        if answer.status == 401:
            answer = self._send(method, url, content, headers or {}, self._tokens.refresh())
        if 200 <= answer.status < 300 or (answer.status in accept and answer.code):
            return answer
        raise answer.error()

    def get(self, path: str) -> Row:
        """One object. Raises `Gone` for 404."""
        return self.call("GET", path).body

    def pages(self, path: str) -> Iterator[Row]:
        """Every row of a listing, over all its pages."""
        link: str | None = path
        while link:
            body = self.get(link)
            yield from rows(body)
            link = body.get("@odata.nextLink")

    def batch(self, paths: Sequence[str]) -> list[Row | None]:
        """Many reads in few requests, in the order asked; None for what isn't there (404).

        Raises the first other failure; a throttled part throttles all.
        """
        found: list[Row | None] = []
        for start in range(0, len(paths), BATCH_LIMIT):
            part = paths[start : start + BATCH_LIMIT]
            if len(part) == 1:
                answer = self.call("GET", part[0], accept=frozenset({404}))
                found.append(None if answer.status == 404 else answer.body)
                continue
            asked = [
                {"id": str(n), "method": "GET", "url": path, "headers": {"Prefer": PREFER}}
                for n, path in enumerate(part)
            ]
            body = self.call("POST", "/$batch", {"requests": asked}).body
            found += _unpack(body, len(part))
        return found

    def _send(self, method: str, url: str, content: bytes | None, headers: Mapping[str, str], token: str) -> Answer:
        sent = {
            "Authorization": f"Bearer {token}",
            "Accept": "application/json",
            "Prefer": PREFER,
            "client-request-id": str(uuid.uuid4()),
            **({"Content-Type": "application/json"} if content is not None else {}),
            **headers,
        }
        request = self._http.build_request(method, url, content=content, headers=sent)
        try:
            return self._gate.run(lambda: _read(self._http.send(request, stream=True)))
        except httpx.InvalidURL as error:
            raise BadAnswer(f"Graph sent a link that is none: {error}") from error
        except httpx.HTTPError as error:
            raise Unreachable(f"{type(error).__name__}: {error}") from error


def _read(response: httpx.Response) -> Answer:
    """Read an answer within bounds.

    Raises `Unreachable` if a success can't be parsed: something between us and Graph broke it.
    """
    try:
        parts, size = [], 0
        for part in response.iter_bytes():
            size += len(part)
            if size > _MAX_BYTES:
                raise BadAnswer("an answer of Graph is too large")
            parts.append(part)
    finally:
        response.close()
    status = response.status_code
    body: object
    try:
        body = json.loads(b"".join(parts)) if parts else {}
    except ValueError as error:
        if 200 <= status < 300 and status != 202:
            raise Unreachable(f"{status} with a broken body", status=status) from error
        body = {}
    return _answer(status, {name.lower(): value for name, value in response.headers.items()}, body)


def _answer(status: int, headers: Mapping[str, str], body: object) -> Answer:
    if not isinstance(body, dict):
        if 200 <= status < 300:
            raise BadAnswer(f"{status}, and not an object", status=status)
        body = {}
    fault = body.get("error")
    if status < 300 or not isinstance(fault, dict):
        return Answer(status, headers, body)
    return Answer(status, headers, body, str(fault.get("code") or "").lower(), str(fault.get("message") or ""))


def rows(body: Row) -> list[Row]:
    """``value`` of a listing. Raises `BadAnswer`."""
    value = body.get("value")
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise BadAnswer("a listing of Graph without rows")
    return value


def _unpack(body: Row, count: int) -> list[Row | None]:
    """Answers of a ``$batch`` come in any order."""
    found: list[Row | None] = [None] * count
    seen = set()
    responses = body.get("responses")
    for item in responses if isinstance(responses, list) else ():
        try:
            number, status = int(item["id"]), int(item["status"])
        except (KeyError, TypeError, ValueError) as error:
            raise BadAnswer("a batch answer without id or status") from error
        headers = {str(name).lower(): str(value) for name, value in (item.get("headers") or {}).items()}
        answer = _answer(status, headers, item.get("body") or {})
        if 200 <= status < 300 and 0 <= number < count:
            found[number] = answer.body
        elif status != 404 or not answer.code:
            raise answer.error()
        seen.add(number)
    if seen != set(range(count)):
        raise BadAnswer("a batch answer lacks parts")
    return found
