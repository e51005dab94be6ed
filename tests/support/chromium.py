"""A real Chromium, where it is installed; started for a module of tests and closed by it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
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
