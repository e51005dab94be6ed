"""A real Chromium, where it is installed; started for a module of tests and closed by it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
MISSING = "no Chromium here (Debian: chromium); `make browser` asks for one"
QUIET = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
_ASKED_FOR = os.environ.get("CI") or os.environ.get("BROWSER") == "required"
needs_chromium = pytest.mark.skipif(CHROMIUM is None and not _ASKED_FOR, reason=MISSING)
"""Says so where it is missing; in CI, and where it was asked for, the test fails then (ARCHITECTURE, convention 6)."""


@contextmanager
def open_chromium(*more: str) -> Iterator[Any]:
    """A browser of Playwright's. more: further switches of Chromium's."""
    assert CHROMIUM is not None, MISSING
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=[*QUIET, *more])
        yield browser
        browser.close()


def faults(tab: Any) -> list[str]:
    """What axe finds on the page, one line each."""
    axe = Path(pytest.importorskip("axe_core_python").__file__).parent / "axe.min.js"
    tab.evaluate(axe.read_text(encoding="utf-8"))
    found = tab.evaluate(
        "axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})"
    )
    return [f"{v['id']}: {n['html'][:160]}" for v in found["violations"] for n in v["nodes"]]
