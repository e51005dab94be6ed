"""Mails as their readers see them, in a real Chromium: nothing overflows, links can be read, and the pictures of the docs.

The pictures are written only when asked for: ``make screenshots``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

import pytest

from booking.i18n import LANGUAGES
from booking.letters import About
from tests.support.chromium import needs_chromium, open_chromium
from tests.support.correspondence import Correspondence, Sent
from tests.support.databases import migrated
from tests.support.pictures import with_palette

PICTURES = os.environ.get("SCREENSHOTS", "")
LARGEST = 120_000
"""Octets of a picture."""
pytestmark = [pytest.mark.browser, pytest.mark.timeout(600), needs_chromium]
NOON = datetime.fromisoformat("2026-11-23T12:00:00Z")
SHEETS: dict[str, tuple[About, ...]] = {
    "booking": (About.BOOKED, About.MOVED, About.MOVED_BY_CLIENT, About.REMINDER, About.ATTENDANCE),
    "asking": (About.PENDING, About.APPROVED, About.DECLINED, About.EXPIRED, About.PROPOSAL, About.COUNTER_DECLINED),
    "endings": (
        About.CANCELLED_BY_CLIENT, About.CANCELLED_BY_OPERATOR, About.CANCELLED_BY_ADMIN, About.CANCELLED_UNCONFIRMED,
        About.NO_SHOW,
    ),
    "waiting": (About.WAITLISTED, About.OFFER, About.OFFER_EXPIRED, About.PROMOTED, About.LEFT_LINE),
}  # fmt: skip
"""Kinds in English that share a picture."""


@pytest.fixture(scope="module")
def mails(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Sent]]:
    """Everything that is mailed, by language."""
    found: dict[str, list[Sent]] = {}
    for language in LANGUAGES:
        folder = tmp_path_factory.mktemp(language)
        with migrated("sqlite", folder) as database:
            found[language] = Correspondence(database, folder, NOON, language).everything().sent()
    return found


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with open_chromium() as browser:
        yield browser


def first(mails: list[Sent], about: About, audience: str = "client") -> Sent:
    return next(mail for mail in mails if mail.about is about and mail.audience == audience)


def opened(chromium: Any, html: str, *, width: int = 640, dark: bool = False, scale: float = 1.0) -> Any:
    """A tab with a mail in it. Nothing may be loaded from anywhere."""
    context = chromium.new_context(
        viewport={"width": width, "height": 400},
        color_scheme="dark" if dark else "light",
        device_scale_factor=scale,
        java_script_enabled=True,
    )
    tab = context.new_page()
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.set_content(html, wait_until="load")
    assert asked == []
    return tab


@pytest.mark.parametrize(("width", "dark"), [(320, False), (640, True)], ids=["small", "dark"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_mail_fits_and_can_be_read(
    chromium: Any, mails: dict[str, list[Sent]], language: str, width: int, dark: bool
) -> None:
    seen: set[tuple[About, str]] = set()
    tab = opened(chromium, "<p>", width=width, dark=dark)
    for mail in mails[language]:
        if (mail.about, mail.audience) in seen:
            continue
        seen.add((mail.about, mail.audience))
        tab.set_content(mail.html)
        assert tab.evaluate("document.documentElement.scrollWidth") <= width, mail
        poor = tab.evaluate(CONTRAST)
        assert poor == [], (mail, poor)
    tab.context.close()


CONTRAST = """() => {
  const rgb = c => { const m = c.match(/[0-9.]+/g).map(Number); return m.length > 3 && m[3] === 0 ? null : m.slice(0, 3); };
  const light = c => { const [r, g, b] = c.map(v => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = e => { while (e) { const c = rgb(getComputedStyle(e).backgroundColor); if (c) return c; e = e.parentElement; } return [255, 255, 255]; };
  const poor = [];
  for (const e of document.body.querySelectorAll('*')) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.data.replace(/[\\s\\u00a0]/g, ''));
    if (!own) continue;
    const a = light(rgb(getComputedStyle(e).color)), b = light(behind(e));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push([e.textContent.trim().slice(0, 40), ratio]);
  }
  return poor;
}"""
"""Texts with less contrast than WCAG 2.2 asks for (1.4.3, level AA)."""


def sheet(mails: list[Sent], *, columns: int) -> str:
    """Several mails side by side, each in a frame of its own."""
    frames = "".join(
        f'<figure><figcaption>{mail.about}</figcaption><iframe srcdoc="{escape(mail.html)}"></iframe></figure>'
        for mail in mails
    )
    return (
        "<!doctype html><style>body{margin:0;background:#dfe3e8;font:14px sans-serif;display:grid;gap:12px;padding:12px;"
        f"grid-template-columns:repeat({columns},380px);align-items:start}}figure{{margin:0}}figcaption{{padding:0 0 4px;color:#333}}"
        "iframe{width:380px;border:0;display:block;border-radius:8px}</style>"
        f"{frames}<script>for(const f of document.querySelectorAll('iframe'))f.onload=()=>"
        "{f.style.height=f.contentDocument.documentElement.scrollHeight+'px'}</script>"
    )


@pytest.mark.skipif(not PICTURES, reason="`make screenshots` writes the pictures")
def test_the_pictures_of_the_docs(chromium: Any, mails: dict[str, list[Sent]]) -> None:
    folder = Path(PICTURES) / "mails"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()

    def keep(name: str, html: str, **options: Any) -> None:
        tab = opened(chromium, html, **options)
        tab.wait_for_function("[...document.querySelectorAll('iframe')].every(f => f.style.height)")
        (folder / f"{name}.png").write_bytes(with_palette(tab, tab.screenshot(full_page=True)))
        tab.context.close()

    english = mails["en"]
    for name, kinds in SHEETS.items():
        keep(f"kinds-{name}", sheet([first(english, about) for about in kinds], columns=3), width=1200)
    told = (About.BOOKED, About.PENDING, About.COUNTER, About.CANCELLED_BY_CLIENT, About.PROMOTED, About.WORDS)
    keep("kinds-operator", sheet([first(english, about, "operator") for about in told], columns=3), width=1200)
    booked = [first(mails[language], About.BOOKED) for language in LANGUAGES if language != "en"]
    keep("languages", sheet(booked, columns=3), width=1200)
    keep("dark", first(english, About.BOOKED).html, dark=True)
    keep("arabic", first(mails["ar"], About.REMINDER).html)
    keep("arabic-dark-phone", first(mails["ar"], About.OFFER).html, width=360, dark=True)
    keep("phone", first(english, About.PROPOSAL).html, width=360)
    keep("../mail", first(english, About.BOOKED).html)  # the README's
    sizes = {path.name: path.stat().st_size for path in folder.glob("*.png")}
    assert len(sizes) <= 12
    assert not {name: size for name, size in sizes.items() if size >= LARGEST}
