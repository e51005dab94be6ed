"""The booking pages inside somebody's own site. Covers: api.pages.embed."""

from __future__ import annotations

import pytest

from ledger.db import Database
from tests.support.doors import open_doors


def test_the_script_may_be_used_from_any_site(sqlite: Database) -> None:
    answer = open_doors(sqlite).client.get("/embed.js")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert "data-service" in answer.text


@pytest.mark.parametrize(("dest", "framed"), [("iframe", True), ("document", False), (None, False)])
def test_only_a_page_in_a_frame_tells_its_height(sqlite: Database, dest: str | None, framed: bool) -> None:
    client = open_doors(sqlite).client
    answer = client.get("/en/anna/talk", headers={"Sec-Fetch-Dest": dest} if dest else {})
    assert ("/static/frame.js" in answer.text) is framed
    assert "frame-ancestors *" in answer.headers["content-security-policy"]
    assert "Sec-Fetch-Dest" in answer.headers["vary"]


def test_what_is_behind_the_login_is_in_no_frame(sqlite: Database) -> None:
    answer = open_doors(sqlite).client.get("/login")
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
