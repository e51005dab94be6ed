"""The page that is committed is the page that the matrix would write."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scenario.matrix import report
from tests.scenario.matrix.axes import LIVED

PAGE = Path(__file__).parents[3] / "docs" / "scenarios.md"
GREEN = {cell.name: report.PASSED for cell in LIVED}


def test_the_committed_page_names_these_cells_and_demands_all_green() -> None:
    assert PAGE.read_text(encoding="utf-8") == report.page(GREEN), "run `make scenarios` and commit docs/scenarios.md"


@pytest.fixture
def junit(tmp_path: Path) -> Path:
    """Results in which the first cell failed and the second is missing."""
    broken, _, *rest = LIVED
    cases = [f'<testcase name="test_cell[{broken.name}]"><failure/></testcase>']
    cases += [f'<testcase name="test_cell[{cell.name}]"/>' for cell in rest]
    path = tmp_path / "results.xml"
    path.write_text(f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>")
    return path


def test_what_failed_or_was_not_run_is_marked_and_fails(junit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = junit.parent / "scenarios.md"
    assert report.main(str(junit), str(target)) == 1
    written = target.read_text(encoding="utf-8")
    assert (written.count(report.FAILED), written.count(report.NOT_RUN)) == (1, 1)
    assert f"{len(LIVED) - 2} passed" in written
    assert capsys.readouterr().err.splitlines() == [f"not green: {cell.name}" for cell in LIVED[:2]]


def test_all_green_is_well(junit: Path) -> None:
    cases = "".join(f'<testcase name="test_cell[{cell.name}]"/>' for cell in LIVED)
    junit.write_text(f"<testsuite>{cases}</testsuite>")
    assert report.main(str(junit), str(junit.parent / "scenarios.md")) == 0
