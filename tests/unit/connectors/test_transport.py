"""The HTTP client against servers on loopback that behave well, badly and maliciously."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from connectors.errors import AddressRefused, BadAnswer, Unreachable
from connectors.transport import Http, basic, digest, may_share_credentials

Reply = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers by path from `Server.replies`; notes everything."""

    protocol_version = "HTTP/1.1"
    timeout = 10

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def handle_one_request(self) -> None:
        try:
            self.raw_requestline = self.rfile.readline(65537)
            if not self.raw_requestline or not self.parse_request():
                self.close_connection = True
                return
            self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            server: Any = self.server
            server.seen.append((self.command, self.path, dict(self.headers.items()), self.body, self.client_address[1]))
            server.replies.get(self.path, lambda h: h.answer(404))(self)
        except OSError:
            self.close_connection = True

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    scheme = "http"

    def __init__(self) -> None:
        self.replies: dict[str, Reply] = {}
        self.seen: list[tuple[str, str, dict[str, str], bytes, int]] = []
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.server_address[1]}{path}"


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.shutdown()
    running.server_close()


@pytest.fixture
def http() -> Http:
    return Http(allow_private=True, timeout=5)


def redirect(to: str, status: int = 302) -> Reply:
    return lambda h: h.answer(status, Location=to)


def ok(body: bytes = b"hello", **headers: str) -> Reply:
    return lambda h: h.answer(200, body, **headers)


# --- addresses -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "https://127.0.0.1/",
        "https://localhost/",
        "https://[::1]/",
        "https://2130706433/",
        "https://[::ffff:127.0.0.1]/",
        "http://example.org/",
        "ftp://example.org/",
        "file:///etc/passwd",
        "//example.org/",
        "https:///path",
        "https://.example.org/",
        "https://a..b/",
        "not a url",
        "",
    ],
)
def test_addresses_refused_by_default(url: str) -> None:
    with pytest.raises(AddressRefused):
        Http().request("GET", url)


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest/", "http://8.8.8.8/", "http://0.0.0.0/"])
def test_addresses_refused_even_where_private_ones_are_allowed(url: str) -> None:
    with pytest.raises(AddressRefused):
        Http(allow_private=True).request("GET", url, auth=basic("a", "b"))


def test_the_guard_holds_on_a_redirect(server: Server, http: Http) -> None:
    server.replies["/"] = redirect("http://169.254.169.254/latest/meta-data/")
    with pytest.raises(AddressRefused):
        http.request("GET", server.url())


def test_private_permission_is_not_shared_with_clients_that_lack_it(server: Server, http: Http) -> None:
    server.replies["/"] = ok()
    assert http.request("GET", server.url()).status == 200
    with pytest.raises(AddressRefused):
        Http().request("GET", server.url())


def test_no_proxy_of_the_environment_is_used(server: Server, http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1/")
    server.replies["/"] = ok()
    assert http.request("GET", server.url()).content == b"hello"


# --- redirects and credentials -------------------------------------------------------------------------------------------


def test_credentials_follow_within_the_origin(server: Server, http: Http) -> None:
    server.replies |= {"/a": redirect("/b", 301), "/b": ok()}
    answer = http.request("PROPFIND", server.url("/a"), content=b"<x/>", auth=basic("anna", "pw"))
    assert answer.url == server.url("/b")
    assert [(seen[0], seen[3]) for seen in server.seen] == [("PROPFIND", b"<x/>")] * 2
    assert all(seen[2]["Authorization"] == "Basic YW5uYTpwdw==" for seen in server.seen)


@pytest.mark.parametrize("headers", [None, {"authorization": "Bearer token"}])
def test_credentials_never_go_to_a_stranger(server: Server, http: Http, headers: dict[str, str] | None) -> None:
    server.replies |= {"/a": redirect(server.url("/b", host="localhost")), "/b": ok()}
    auth = None if headers else basic("anna", "pw")
    with pytest.raises(AddressRefused, match="localhost"):
        http.request("GET", server.url("/a"), auth=auth, headers=headers)
    assert [seen[1] for seen in server.seen] == ["/a"]


def test_without_credentials_a_redirect_may_lead_anywhere_allowed(server: Server, http: Http) -> None:
    server.replies |= {"/a": redirect(server.url("/b", host="localhost")), "/b": ok()}
    assert http.request("GET", server.url("/a")).url == server.url("/b", host="localhost")


@pytest.mark.parametrize(
    ("given", "other", "expected"),
    [
        ("https://a.test/", "https://a.test/x", True),
        ("https://a.test/", "https://a.test:443/x", True),
        ("https://a.test/", "https://dav.a.test/", True),
        ("http://a.test/", "https://a.test/", True),
        ("https://a.test/", "http://a.test/", False),
        ("https://dav.a.test/", "https://a.test/", False),
        ("https://a.test/", "https://nota.test/", False),
        ("https://caldav.icloud.com/", "https://p42-caldav.icloud.com:443/", True),
        ("https://caldav.icloud.com/", "https://p42-caldav.icloud.com.evil.test/", False),
        ("https://caldav.icloud.com/", "http://p42-caldav.icloud.com/", False),
        ("https://test/", "https://a.test/", False),
    ],
)
def test_who_may_share_credentials(given: str, other: str, expected: bool) -> None:
    assert may_share_credentials(httpx.URL(given), httpx.URL(other), frozenset({"icloud.com"})) is expected


def test_redirects_in_circles_end(server: Server, http: Http) -> None:
    server.replies["/a"] = redirect("/a")
    with pytest.raises(BadAnswer, match="circles"):
        http.request("GET", server.url("/a"))
    assert len(server.seen) == 6


def test_writes_follow_only_307_and_308_of_the_same_origin(server: Server, http: Http) -> None:
    server.replies |= {"/new": ok(), "/307": redirect("/new", 307), "/302": redirect("/new", 302)}
    server.replies["/away"] = redirect(server.url("/new", host="localhost"), 308)
    assert http.request("PUT", server.url("/307"), content=b"x").status == 200
    assert http.request("PUT", server.url("/302"), content=b"x").status == 302
    assert http.request("PUT", server.url("/away"), content=b"x").status == 308


def test_a_redirect_can_be_left_alone(server: Server, http: Http) -> None:
    server.replies["/a"] = redirect("/b")
    assert http.request("GET", server.url("/a"), follow=False).headers["location"] == "/b"


def test_digest_answers_a_challenge(server: Server, http: Http) -> None:
    def challenge(h: Handler) -> None:
        if "Authorization" in h.headers:
            h.answer(200, b"in")
        else:
            h.answer(401, WWW_Authenticate='Digest realm="r", nonce="n", qop="auth"')

    server.replies["/"] = challenge
    assert http.request("GET", server.url(), auth=digest("anna", "pw")).content == b"in"
    assert 'username="anna"' in server.seen[1][2]["Authorization"]


def test_user_and_password_in_an_address_are_not_sent(server: Server, http: Http) -> None:
    server.replies["/"] = ok()
    http.request("GET", server.url().replace("//", "//anna:pw@"))
    assert "Authorization" not in server.seen[0][2]


def test_cookies_are_forgotten(server: Server, http: Http) -> None:
    server.replies["/"] = ok(Set_Cookie="session=anna")
    http.request("GET", server.url())
    http.request("GET", server.url())
    assert "Cookie" not in server.seen[1][2]


# --- limits --------------------------------------------------------------------------------------------------------------


def test_a_body_has_a_length_and_no_chunks(server: Server, http: Http) -> None:
    server.replies["/"] = lambda h: h.answer(201)
    http.request("PUT", server.url(), content=b"12345", headers={"If-None-Match": "*"})
    headers = server.seen[0][2]
    assert headers["Content-Length"] == "5"
    assert "Transfer-Encoding" not in headers
    assert headers["If-None-Match"] == "*"


def test_too_much_is_a_bad_answer(server: Server) -> None:
    server.replies["/"] = ok(b"x" * 5000)
    assert len(Http(allow_private=True, max_bytes=5000).request("GET", server.url()).content) == 5000
    with pytest.raises(BadAnswer, match="4999"):
        Http(allow_private=True, max_bytes=4999).request("GET", server.url())


def test_a_packed_bomb_is_not_unpacked(server: Server) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    assert len(bomb) < 60_000
    server.replies["/"] = ok(bomb, Content_Encoding="gzip")
    with pytest.raises(BadAnswer):
        Http(allow_private=True, max_bytes=100_000).request("GET", server.url())


def test_packed_answers(server: Server, http: Http) -> None:
    server.replies["/whole"] = ok(gzip.compress(b"hello" * 1000), Content_Encoding="gzip")
    server.replies["/cut"] = ok(gzip.compress(bytes(range(256)) * 100)[:-20], Content_Encoding="gzip")
    server.replies["/false"] = ok(b"hello", Content_Encoding="gzip")
    server.replies["/other"] = ok(b"hello", Content_Encoding="br")
    assert http.request("GET", server.url("/whole")).content == b"hello" * 1000
    with pytest.raises(Unreachable):
        http.request("GET", server.url("/cut"))
    for path in ("/false", "/other"):
        with pytest.raises(BadAnswer):
            http.request("GET", server.url(path))


def test_a_body_that_ends_early_is_no_answer(server: Server, http: Http) -> None:
    def cut(h: Handler) -> None:
        h.answer(200, b"half", Content_Length="100")
        h.close_connection = True

    server.replies["/"] = cut
    with pytest.raises(Unreachable):
        http.request("GET", server.url())


def test_silence_has_an_end(server: Server) -> None:
    server.replies["/"] = lambda h: time.sleep(3)
    began = time.monotonic()
    with pytest.raises(Unreachable):
        Http(allow_private=True, timeout=0.3).request("GET", server.url())
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("part", ["head", "body"])
def test_dripping_has_an_end(server: Server, part: str) -> None:
    def drip(h: Handler) -> None:
        if part == "body":
            h.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(100):
            h.wfile.write(b"X")
            time.sleep(0.05)

    server.replies["/"] = drip
    began = time.monotonic()
    with pytest.raises(Unreachable):
        Http(allow_private=True, timeout=0.4, total=0.6).request("GET", server.url())
    assert time.monotonic() - began < 3


def test_nobody_there_is_unreachable(http: Http) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1"):
        http.request("GET", f"http://127.0.0.1:{port}/")


def test_something_else_than_http_is_unreachable(server: Server, http: Http) -> None:
    def mail(h: Handler) -> None:
        h.wfile.write(b"220 mail.test ESMTP\r\n")
        h.close_connection = True

    server.replies["/"] = mail
    with pytest.raises(Unreachable):
        http.request("GET", server.url())


def test_a_header_that_would_split_the_request_is_refused(server: Server, http: Http) -> None:
    with pytest.raises(BadAnswer):
        http.request("GET", server.url(), headers={"X-Test": "a\r\nHost: evil.test"})
    assert server.seen == []


# --- connections ---------------------------------------------------------------------------------------------------------


def test_connections_are_kept_and_shared(server: Server) -> None:
    server.replies["/"] = ok()
    for _ in range(5):
        Http(allow_private=True).request("GET", server.url())
    assert len({port for *_, port in server.seen}) == 1


def _dies_after_one(h: Handler) -> None:
    """Promises to stay and hangs up as the next request arrives."""
    h.answer(200, b"hello")
    h.rfile.readline()
    h.close_connection = True


def test_a_dead_kept_connection_costs_a_read_nothing_and_a_write_is_not_repeated(server: Server) -> None:
    http = Http(allow_private=True, resolver=lambda host, port: ["127.0.0.1"])
    server.replies |= {"/dies": _dies_after_one, "/": ok()}
    http.request("GET", server.url("/dies"))
    assert http.request("GET", server.url()).status == 200
    http.request("GET", server.url("/dies"))
    http.request("GET", server.url("/dies"))
    with pytest.raises(Unreachable):
        http.request("PUT", server.url(), content=b"x")
    http.close()


def test_many_threads_share_one_client(server: Server, http: Http) -> None:
    server.replies["/"] = lambda h: h.answer(200, h.body)
    results: list[bool] = []

    def ask(number: int) -> None:
        for step in range(20):
            body = f"{number}-{step}".encode()
            results.append(http.request("REPORT", server.url(), content=body).content == body)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 160


# --- TLS -----------------------------------------------------------------------------------------------------------------


class Tls:
    """An https server for ``calendar.test`` with a certificate of its own making."""

    def __init__(self, folder: Path) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "calendar.test")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("calendar.test")]), critical=False)
            .sign(key, hashes.SHA256())
        )
        cert, private = folder / "cert.pem", folder / "key.pem"
        cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        self.trust = ssl.create_default_context(cafile=str(cert))
        self.server = Server()
        self.server.scheme = "https"
        self.asked_for: list[str | None] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, private)
        context.sni_callback = lambda sock, name, ctx: self.asked_for.append(name)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)

    def client(self, address: str = "127.0.0.1", trust: ssl.SSLContext | None = None) -> Http:
        return Http(allow_private=True, timeout=5, resolver=lambda host, port: [address], trust=trust or self.trust)


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[Tls]:
    made = Tls(tmp_path)
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_host_sni_and_certificate_keep_the_name_while_the_socket_goes_to_the_checked_address(tls: Tls) -> None:
    tls.server.replies["/"] = ok()
    http = tls.client()
    assert http.request("GET", tls.server.url(host="calendar.test")).content == b"hello"
    assert tls.server.seen[0][2]["Host"] == f"calendar.test:{tls.server.server_address[1]}"
    assert tls.asked_for == ["calendar.test"]
    http.close()


def test_a_certificate_for_another_name_is_not_accepted(tls: Tls) -> None:
    http = tls.client()
    with pytest.raises(Unreachable, match=r"(?i)certificate"):
        http.request("GET", tls.server.url(host="other.test"))
    assert tls.server.seen == []
    http.close()


def test_a_certificate_of_an_unknown_issuer_is_not_accepted(tls: Tls) -> None:
    http = tls.client(trust=httpx.create_ssl_context(trust_env=False))
    with pytest.raises(Unreachable, match=r"(?i)certificate"):
        http.request("GET", tls.server.url(host="calendar.test"))
    http.close()


def test_https_never_redirects_to_plain_http(tls: Tls) -> None:
    tls.server.replies["/"] = redirect("http://calendar.test/")
    http = tls.client()
    with pytest.raises(AddressRefused, match="plain http"):
        http.request("GET", tls.server.url(host="calendar.test"))
    http.close()


def test_a_name_that_resolves_to_metadata_is_refused(tls: Tls) -> None:
    http = tls.client(address="169.254.169.254")
    with pytest.raises(AddressRefused):
        http.request("GET", "https://calendar.test/")
    http.close()
