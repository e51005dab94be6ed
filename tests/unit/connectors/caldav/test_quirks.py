"""The table of services, and that it agrees with what python-caldav's probes have seen."""

from __future__ import annotations

import subprocess
import sys

import pytest

from connectors.caldav.quirks import GENERIC, SERVICES, SIBLINGS, service_at, service_of_mail, weaker


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("caldav.icloud.com", "iCloud"),
        ("P42-CalDAV.iCloud.com.", "iCloud"),
        ("apidata.googleusercontent.com", "Google"),
        ("dav.mailbox.org", "mailbox.org"),
        ("evilicloud.com", "CalDAV"),
        ("127.0.0.1", "CalDAV"),
    ],
)
def test_a_service_is_known_by_its_host(host: str, name: str) -> None:
    assert service_at(host).name == name


def test_a_service_is_known_by_its_addresses() -> None:
    assert service_of_mail("me.com").url == "https://caldav.icloud.com/"
    assert service_of_mail("GMAIL.com").refusal
    assert service_of_mail("example.org") is GENERIC


def test_every_service_says_where_its_facts_are_from_and_is_reached_by_https() -> None:
    for service in SERVICES:
        assert service.source, service.name
        assert service.hosts, service.name
        assert service.refusal or service.url.startswith("https://"), service.name
        assert service.sync_token in ("", "absent", "untrusted"), service.name
        if service.url:
            assert service_at(service.url.split("/")[2].partition(":")[0]) is service


def test_siblings_are_domains_of_services() -> None:
    assert all(service_at(domain) is not GENERIC for domain in SIBLINGS)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("trusted", "", "trusted"),
        ("trusted", "untrusted", "untrusted"),
        ("absent", "untrusted", "absent"),
        ("trusted", "trusted", "trusted"),
        ("", "", "absent"),
    ],
)
def test_the_weaker_judgement_counts(a: str, b: str, expected: str) -> None:
    assert weaker(a, b) == expected
    assert weaker(b, a) == expected


def test_the_table_agrees_with_the_probes_of_python_caldav() -> None:
    """In a process of its own: importing caldav swaps urllib3 for the whole interpreter."""
    script = (
        "import json, caldav.compatibility_hints as h;"
        "names = dict(gmx='GMX', posteo='Posteo', robur='Robur', purelymail='Purelymail', ox='mailbox.org', yahoo='Yahoo',"
        " icloud='iCloud', infomaniak='Infomaniak');"
        "bad = lambda d, k: d.get(k, {}).get('support', 'full') if isinstance(d.get(k, {}), dict) else 'full';"
        "print(json.dumps({v: [bad(getattr(h, k), 'sync-token'), bad(getattr(h, k), 'sync-token.invalid-token')]"
        " for k, v in names.items()}))"
    )
    import json

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    probed: dict[str, list[str]] = json.loads(done.stdout)
    ours = {service.name: service.sync_token for service in SERVICES}
    for name, (sync, wrong_token) in probed.items():
        expected = "untrusted" if wrong_token == "broken" else ""
        if sync in ("unsupported", "ungraceful", "fragile"):
            expected = "absent"
        assert ours[name] == expected, name
