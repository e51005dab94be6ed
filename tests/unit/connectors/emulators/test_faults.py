"""Each fault does what it says, to a client that is not ours."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import httpx
import pytest

from connectors.emulators import faults
from connectors.emulators.proxy import FaultProxy
from connectors.emulators.radicale import RunningServer
from tests.support.servers import OtherClient, ics, radicale

SYNC = (
    '<sync-collection xmlns="DAV:"><sync-token>{}</sync-token><sync-level>1</sync-level>'
    "<prop><getetag/></prop></sync-collection>"
)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with radicale() as running:
        yield running


class Bench:
    """A calendar behind a proxy, with a raw client through it and one beside it."""

    def __init__(self, server: RunningServer, proxy: FaultProxy, name: str) -> None:
        url = server.make_calendar("anna", name)
        self.proxy = proxy
        self.url = proxy.through(url)
        self.beside = OtherClient(url)
        self.client = httpx.Client(auth=("anna", "secret"), trust_env=False, timeout=5)

    def put(self, name: str = "a.ics", **headers: str) -> httpx.Response:
        return self.client.put(self.url + name, content=ics("a"), headers=headers)

    def sync(self, token: str = "") -> httpx.Response:
        return self.client.request("REPORT", self.url, content=SYNC.format(token), headers={"Depth": "0"})


@pytest.fixture
def bench(server: RunningServer, request: pytest.FixtureRequest) -> Iterator[Bench]:
    with FaultProxy(server.url) as proxy:
        made = Bench(server, proxy, re.sub(r"\W", "-", request.node.name))
        yield made
        made.client.close()
        made.beside.close()


def test_statuses(bench: Bench) -> None:
    bench.proxy.add(faults.status(503, b"busy", retry_after=7))
    answer = bench.put()
    assert (answer.status_code, answer.content, answer.headers["Retry-After"]) == (503, b"busy", "7")
    assert bench.beside.names() == set()


@pytest.mark.parametrize("fault", [faults.commit_then_close(), faults.commit_then_hang(0.2)])
def test_committed_without_an_answer(bench: Bench, fault: faults.Action) -> None:
    bench.proxy.add(fault)
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        bench.put()
    assert bench.beside.names() == {"a.ics"}


def test_committed_and_called_a_failure(bench: Bench) -> None:
    bench.proxy.add(faults.commit_then_status(502))
    assert bench.put().status_code == 502
    assert bench.beside.names() == {"a.ics"}


@pytest.mark.parametrize("fault", [faults.hang_before_commit(0.2), faults.close_before_commit()])
def test_neither_committed_nor_answered(bench: Bench, fault: faults.Action) -> None:
    bench.proxy.add(fault)
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        bench.put()
    assert bench.beside.names() == set()


def test_a_hanging_request_does_not_keep_the_proxy(server: RunningServer) -> None:
    proxy = FaultProxy(server.url)
    proxy.add(faults.hang_before_commit(60))
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(proxy.url, timeout=0.2)
    began = time.monotonic()
    proxy.stop()
    assert time.monotonic() - began < 5


def test_bodies_cut_short(bench: Bench) -> None:
    bench.put()
    bench.proxy.add(faults.truncate_body(0.5), count=1)
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        bench.client.get(bench.url + "a.ics")
    bench.proxy.add(faults.truncate_body(0.5, honest_length=False))
    whole = bench.beside.get("a.ics")
    assert whole is not None
    assert bench.client.get(bench.url + "a.ics").content == whole[: len(whole) // 2]


def test_etags_lost_and_weakened(bench: Bench) -> None:
    bench.proxy.add(faults.strip_etag(), count=1)
    assert "etag" not in bench.put().headers
    bench.proxy.add(faults.weak_etag())
    assert bench.put().headers["etag"].startswith('W/"')


def test_a_header_that_the_server_never_sees(bench: Bench) -> None:
    bench.put()
    assert bench.put(**{"If-None-Match": "*"}).status_code == 412
    bench.proxy.add(faults.drop_header("If-None-Match"))
    assert bench.put(**{"If-None-Match": "*"}).status_code == 204


def test_nonsense_instead_of_an_answer(bench: Bench) -> None:
    bench.proxy.add(faults.html(), count=1)
    assert b"log in" in bench.sync().content
    bench.proxy.add(faults.garbage(), count=1)
    assert bench.sync().content.startswith(b"\x00")
    bench.proxy.add(faults.redirect("http://other.test/"), count=1)
    assert bench.sync().headers["location"] == "http://other.test/"


def test_empty_listings_are_valid(bench: Bench) -> None:
    bench.put()
    for with_collection, expected in ((False, 0), (True, 1)):
        bench.proxy.add(faults.empty_listing(with_collection=with_collection), count=1)
        answer = bench.client.request("PROPFIND", bench.url, headers={"Depth": "1"})
        assert answer.status_code == 207
        assert answer.text.count("<d:response>") == expected


def test_a_wrong_token_is_accepted_and_a_right_one_still_works(bench: Bench) -> None:
    assert bench.sync("urn:x-invalid").status_code == 403
    bench.proxy.add(faults.accept_bad_token())
    answer = bench.sync("urn:x-invalid")
    assert answer.status_code == 207
    assert "sync-token" in answer.text
    bench.put()
    assert "a.ics" in bench.sync().text


def test_removed_members_as_teapots(bench: Bench) -> None:
    bench.put()
    token = re.findall(r"<sync-token>(.*?)</sync-token>", bench.sync().text)[0]
    bench.beside.delete("a.ics")
    assert " 404 " in bench.sync(token).text
    bench.proxy.add(faults.teapot())
    text = bench.sync(token).text
    assert " 418 I'm a teapot" in text
    assert " 404 " not in text


def test_truncated_sync_hands_out_every_member_once(bench: Bench) -> None:
    for number in range(7):
        bench.beside.put(f"{number}.ics", ics(str(number)))
    final = re.findall(r"<sync-token>(.*?)</sync-token>", bench.sync().text)[0]
    bench.proxy.add(faults.truncate_sync(3))
    token, members, pages = "", [], 0
    while True:
        text = bench.sync(token).text
        pages += 1
        members += re.findall(r"(\d)\.ics", text)
        (token,) = re.findall(r"<(?:\w+:)?sync-token>(.*?)</", text)
        assert ("507" in text) is (token != final)
        if token == final:
            break
    assert sorted(members) == list("0123456")
    assert pages == 3
