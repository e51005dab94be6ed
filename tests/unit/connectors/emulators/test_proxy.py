"""The fault proxy's machinery: passing through, rules, counting, going away."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from connectors.emulators.faults import status
from connectors.emulators.proxy import FaultProxy
from connectors.emulators.radicale import RunningServer
from tests.support.servers import OtherClient, ics, radicale


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with radicale() as running:
        yield running


@pytest.fixture
def proxy(server: RunningServer) -> Iterator[FaultProxy]:
    with FaultProxy(server.url, seed=1) as running:
        yield running


def ask(proxy: FaultProxy, method: str = "PROPFIND", path: str = "anna/") -> int:
    return httpx.request(method, proxy.url + path, auth=("anna", "secret")).status_code


def test_what_no_rule_matches_is_passed_through(server: RunningServer, proxy: FaultProxy) -> None:
    url = server.make_calendar("anna", "through")
    client = OtherClient(proxy.through(url))
    client.put("é x.ics", ics("a"))
    assert client.names() == {"é x.ics"}
    assert client.get("é x.ics") is not None
    client.delete("é x.ics")
    assert client.get("é x.ics") is None
    client.close()


def test_rules_choose_by_method_path_body_number_and_count(proxy: FaultProxy) -> None:
    proxy.add(status(418), method="PROPFIND|PUT", path="/anna/$", nth=2, count=2)
    assert [ask(proxy) for _ in range(4)] == [207, 418, 418, 207]
    proxy.add(status(419), method="OPTIONS")
    assert ask(proxy, "OPTIONS") == 419
    proxy.add(status(420), body=b"magic")
    assert httpx.put(proxy.url, content=b"some magic").status_code == 420
    proxy.clear()
    assert ask(proxy, "OPTIONS") == 200


def test_chances_come_from_the_seed(server: RunningServer) -> None:
    runs = []
    for _ in range(2):
        with FaultProxy(server.url, seed=7) as proxy:
            proxy.add(status(500), probability=0.5)
            runs.append([ask(proxy) for _ in range(12)])
    assert runs[0] == runs[1]
    assert set(runs[0]) == {207, 500}


def test_the_log_counts_bytes_as_they_are_on_the_wire(proxy: FaultProxy) -> None:
    proxy.add(status(404, b"gone"))
    httpx.request("REPORT", proxy.url + "x", content=b"12345", headers={"A": "b"})
    (seen,) = proxy.log
    assert (seen.method, seen.path, seen.body, seen.status) == ("REPORT", "/x", b"12345", 404)
    head = "REPORT /x HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in seen.headers.items()) + "\r\n"
    assert seen.up == len(head) + 5
    assert seen.down == len(b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\ngone")
    proxy.forget_log()
    assert proxy.log == []


def test_away_and_back_on_the_same_port(proxy: FaultProxy) -> None:
    url = proxy.url
    proxy.away()
    proxy.away()
    with pytest.raises(httpx.ConnectError):
        ask(proxy)
    proxy.back()
    assert proxy.url == url
    assert ask(proxy) == 207
