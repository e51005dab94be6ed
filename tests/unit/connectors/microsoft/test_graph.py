"""Graph over HTTP: addresses, errors, retries, batches, and the mailbox's gate."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

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
from connectors.microsoft.graph import (
    API,
    BATCH_LIMIT,
    Answer,
    Gate,
    GraphClient,
    error_of,
    open_http,
    query,
    retry_after,
    segment,
)
from tests.support.microsoft import MicrosoftWorld, microsoft_world


class Token:
    """A token source that counts."""

    def __init__(self, *tokens: str) -> None:
        self.tokens = list(tokens)
        self.refreshed = 0

    def access_token(self) -> str:
        return self.tokens[0]

    def refresh(self) -> str:
        self.refreshed += 1
        if len(self.tokens) > 1:
            self.tokens.pop(0)
        return self.tokens[0]


@pytest.fixture
def world() -> Iterator[MicrosoftWorld]:
    with microsoft_world() as world:
        yield world


@contextmanager
def opened(
    world: MicrosoftWorld, *tokens: str, account: str = "somebody", timeout: float = 10.0
) -> Iterator[GraphClient]:
    with open_http(world.endpoints, timeout=timeout) as http:
        yield GraphClient(http, Token(*(tokens or (world.token(),))), Gate(account))


def test_ids_and_queries_are_quoted() -> None:
    assert segment("a/b+c=") == "a%2Fb%2Bc%3D"
    assert query(_filter="ep/id eq 'x y'", startDateTime="2027-01-01T00:00:00Z") == (
        "$filter=ep%2Fid%20eq%20%27x%20y%27&startDateTime=2027-01-01T00%3A00%3A00Z"
    )


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "17"}, 17.0),
        ({"retry-after": "Mon, 23 Nov 2026 12:00:30 GMT", "date": "Mon, 23 Nov 2026 12:00:00 GMT"}, 30.0),
        ({"retry-after": "Mon, 23 Nov 2026 11:00:00 GMT", "date": "Mon, 23 Nov 2026 12:00:00 GMT"}, 0.0),
        ({"retry-after": "Mon, 23 Nov 2026 12:00:30 GMT"}, None),
        ({"retry-after": "soon"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "ErrorInvalidRequest", Refused),
        (401, "InvalidAuthenticationToken", NeedsReconnect),
        (403, "ErrorAccessDenied", Refused),
        (404, "ErrorItemNotFound", Gone),
        (404, "MailboxNotEnabledForRESTAPI", Refused),
        (408, "", ServerFault),
        (409, "ErrorConcurrentItemSave", Conflict),
        (410, "SYNCSTATENOTFOUND", SyncTokenExpired),
        (410, "resyncRequired", SyncTokenExpired),
        (400, "SyncStateNotFound", SyncTokenExpired),
        (410, "ErrorItemNotFound", Gone),
        (410, "", Unreachable),
        (404, "", Unreachable),
        (400, "", Unreachable),
        (403, "", Unreachable),
        (412, "", Conflict),
        (412, "ErrorIrresolvableConflict", Conflict),
        (423, "", ServerFault),
        (429, "", Throttled),
        (401, "", NeedsReconnect),
        (429, "ApplicationThrottled", Throttled),
        (500, "UnknownError", ServerFault),
        (503, "ErrorConcurrentItemSave", Conflict),
        (503, "serviceNotAvailable", ServerFault),
        (507, "", ServerFault),
        (509, "", Throttled),
        (302, "", BadAnswer),
    ],
)
def test_what_an_answer_means(status: int, code: str, kind: type[ConnectorError]) -> None:
    error = error_of(Answer(status, {}, {}, code.lower(), "said"))
    assert type(error) is kind
    assert error.status == status


def test_only_microsoft_is_reachable(world: MicrosoftWorld) -> None:
    with open_http(world.endpoints) as http:
        for url in (
            "https://example.com/",
            "http://graph.microsoft.com/v1.0/me",
            world.emulator.graph_root + "/v1.0/me",
        ):
            with pytest.raises(AddressRefused):
                http.get(url)
    assert world.control.requests() == []


def test_a_link_to_another_host_gets_no_token(world: MicrosoftWorld) -> None:
    with opened(world) as client:
        for link in ("https://graph.microsoft.com.evil.example/v1.0/me", "https://user@evil.example/v1.0/me"):
            with pytest.raises(AddressRefused):
                client.get(link)
    assert world.control.requests() == []


def test_a_refused_token_is_refreshed_once(world: MicrosoftWorld) -> None:
    with open_http(world.endpoints) as http:
        tokens = Token("stale", world.token())
        assert GraphClient(http, tokens, Gate("a")).get("/me")["mail"]
        assert tokens.refreshed == 1
        hopeless = Token("stale")
        with pytest.raises(NeedsReconnect):
            GraphClient(http, hopeless, Gate("a")).get("/me")
        assert hopeless.refreshed == 1


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"action": "status", "status": 429, "code": "TooManyRequests", "retry_after": "7"}, Throttled),
        ({"action": "status", "status": 503}, ServerFault),
        ({"action": "close"}, Unreachable),
        ({"action": "hang"}, Unreachable),
        ({"action": "truncate"}, Unreachable),
        ({"action": "html"}, Unreachable),
        ({"action": "invalid_json"}, Unreachable),
    ],
)
def test_faults_become_the_tree(world: MicrosoftWorld, fault: dict[str, object], kind: type[ConnectorError]) -> None:
    world.control.add_fault(**fault)  # type: ignore[arg-type]
    with opened(world, timeout=1.0) as client, pytest.raises(kind) as caught:
        client.get("/me")
    with opened(world) as client:
        assert client.get("/me")["mail"], "and the next call works"
    if isinstance(caught.value, Throttled):
        assert caught.value.retry_after == 7.0


def test_a_404_that_graph_did_not_say_proves_nothing(world: MicrosoftWorld) -> None:
    with opened(world) as client:
        for path in ("/me/events/nowhere", "/subscriptions/nowhere"):
            world.control.add_fault("invalid_json", path="nowhere")
            with pytest.raises(Unreachable):
                client.call("GET", path, accept=frozenset({404}))
            with pytest.raises(Gone):
                client.get(path)


def test_a_slow_answer_is_waited_for(world: MicrosoftWorld) -> None:
    world.control.add_fault("slow", seconds=0.4)
    with opened(world) as client:
        assert client.get("/me")["mail"]


def test_pages_are_followed_as_given(world: MicrosoftWorld) -> None:
    for number in range(7):
        world.control.create_event(f"{number}", f"2027-03-01T{number:02}:00", f"2027-03-01T{number:02}:30")
    with opened(world) as client:
        asked = f"/me/calendarView?{query(startDateTime='2027-02-01T00:00:00Z', endDateTime='2027-04-01T00:00:00Z', _top='3')}"
        assert [row["subject"] for row in client.pages(asked)] == [str(number) for number in range(7)]
    assert len(world.paths()) == 3


def test_a_batch_keeps_the_order_and_its_limit(world: MicrosoftWorld) -> None:
    ids = [world.control.create_event(f"{n}", "2027-03-01T09:00", "2027-03-01T10:00") for n in range(BATCH_LIMIT + 3)]
    ids[5] = "nowhere"
    with opened(world) as client:
        found = client.batch([f"/me/events/{segment(one)}" for one in ids])
    assert [row["subject"] if row else None for row in found] == [
        None if n == 5 else f"{n}" for n in range(BATCH_LIMIT + 3)
    ]
    assert world.paths() == ["POST /v1.0/$batch"] * 2


def test_one_throttled_part_throttles_the_batch(world: MicrosoftWorld) -> None:
    world.control.add_fault("status", path="/me$", nth=2, status=429, code="TooManyRequests", retry_after="4")
    with opened(world) as client, pytest.raises(Throttled) as caught:
        client.batch(["/me", "/me", "/me"])
    assert caught.value.retry_after == 4.0


def test_never_more_than_three_at_once_for_one_mailbox(world: MicrosoftWorld) -> None:
    world.control.set_switch("latency_seconds", 0.03)
    failed: list[BaseException] = []
    token = world.token()

    def work() -> None:
        try:
            with opened(world, token, account="shared") as client:
                for _ in range(2):
                    client.get("/me")
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failed == []
    assert 1 < world.control.most_at_once() <= 3


def test_a_turn_is_opened_around_each_call_and_closed_once(world: MicrosoftWorld) -> None:
    seen: list[str] = []

    class Turns:
        @contextmanager
        def __call__(self) -> Iterator[None]:
            seen.append("in")
            yield
            seen.append("out")

        def close(self) -> None:
            seen.append("closed")

    gate = Gate("limited", Turns())
    with open_http(world.endpoints) as http:
        client = GraphClient(http, Token(world.token()), gate)
        client.get("/me")
        client.get("/me")
    gate.close()
    assert seen == ["in", "out"] * 2 + ["closed"]


def test_every_call_says_what_it_wants(world: MicrosoftWorld) -> None:
    with opened(world) as client:
        client.get("/me")
    (asked,) = world.control.requests()
    assert 'IdType="ImmutableId"' in asked["headers"]["prefer"]
    assert asked["headers"]["client-request-id"]
    assert API.startswith("https://")
    assert httpx.URL(API).host == "graph.microsoft.com"
