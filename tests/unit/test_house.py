"""The house rules that imports can't say (ARCHITECTURE, convention 8)."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("connectors", "ledger", "sync", "booking", "workers", "api")
MODULES = sorted(
    path
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if "/migrations/" not in path.as_posix() and path.name != "__init__.py"
)


def names(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def calls(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            yield node.lineno, ast.unparse(node)


@pytest.mark.parametrize(
    ("pattern", "allowed"),
    [
        (r"\.commit$", {"ledger/db.py"}),
        (r"(^|\.)os\.(environ|getenv)$", {"ledger/settings.py"}),
        (r"(^|\.)datetime\.(now|utcnow|today)$", {"ledger/clock.py"}),
        (r"^time\.time$", set()),
    ],
)
def test_one_place_only(pattern: str, allowed: set[str]) -> None:
    found = [
        f"{names(path)}:{line} {text}"
        for path in MODULES
        if names(path) not in allowed and "/emulators/" not in names(path)
        for line, text in calls(path)
        if re.search(pattern, text)
    ]
    assert not found, found


def test_every_public_name_says_what_it_is() -> None:
    silent = []
    for path in MODULES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if not ast.get_docstring(tree):
            silent.append(names(path))
        for node in tree.body:
            if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
                continue
            members = node.body if isinstance(node, ast.ClassDef) else []
            for each in (node, *members):
                if not isinstance(each, ast.FunctionDef | ast.ClassDef) or each.name.startswith("_"):
                    continue
                if not ast.get_docstring(each) and not _is_overload(each):
                    silent.append(f"{names(path)}:{each.lineno} {each.name}")
    assert not silent, silent


def _is_overload(node: ast.FunctionDef | ast.ClassDef) -> bool:
    return any("overload" in ast.unparse(d) or ".setter" in ast.unparse(d) for d in node.decorator_list)


def test_every_module_has_its_tests() -> None:
    """A module `room/name.py` is tested in `tests/**/test_name*.py`, or named in a test file's docstring as ``Covers:``."""
    tests = sorted((ROOT / "tests").rglob("test_*.py"))
    texts = "\n".join(p.read_text(encoding="utf-8") for p in tests)
    stems = {p.stem.removeprefix("test_") for p in tests}
    untested = []
    for path in MODULES:
        dotted = names(path).removesuffix(".py").replace("/", ".")
        last = dotted.rpartition(".")[2]
        imported = f"import {last}" in texts or f"from {dotted} import" in texts or dotted in texts
        if last not in stems and not imported:
            untested.append(dotted)
    assert not untested, untested


def test_files_stay_small() -> None:
    long = {names(p): n for p in MODULES if (n := len(p.read_text(encoding="utf-8").splitlines())) > 480}
    assert not long, long


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    return listed.stdout.split() if listed.returncode == 0 else []


def test_no_registry_host_in_the_lock() -> None:
    for lock in ("requirements.lock", "requirements-test.lock"):
        text = (ROOT / lock).read_text(encoding="utf-8")
        assert "://" not in text
        assert "--hash=sha256:" in text


def test_only_what_belongs_is_tracked() -> None:
    files = tracked()
    if not files:
        pytest.skip("no git checkout")
    assert not [f for f in files if f.startswith(("var/", ".venv/")) or f.endswith((".mo", ".pyc", ".db"))]
    assert "uv.lock" not in files
