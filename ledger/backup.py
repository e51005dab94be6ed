"""Everything in one file, and back: a zip with ``manifest.json`` and a ``TABLE.jsonl`` for each table, a row a line.

It belongs to neither database: what was saved from one can be restored into the other. Values are JSON; instants are
RFC 3339, bytes base64. Secrets stay sealed: without the SECRET_KEY they are of no use. It is read in one transaction,
so it is one moment of the service, which may run meanwhile.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import zipfile
from collections.abc import Callable, Iterator
from datetime import datetime
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.util import CommandError
from sqlalchemy.dialects.postgresql import JSONB

from ledger import catalog
from ledger.db import Database, Tx, UtcDateTime, after_given_ids
from ledger.migrate import migrate, revision_of
from ledger.tables import Deployment

FORMAT = "slotledger-backup/1"
BATCH = 500
Progress = Callable[[int, int], None]
"""``(done, total)`` rows."""
_KINDS: dict[str, sa.types.TypeEngine[Any]] = {
    "instant": UtcDateTime(), "json": sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql"), "bytes": sa.LargeBinary(), "bool": sa.Boolean(), "plain": sa.types.NullType(),
}  # fmt: skip

_ENDED = frozenset({"user_session", "sign_in_attempt"})
"""Not restored: one that was ended or used since would be good again."""


class BackupError(Exception):
    """It can't be saved or restored; nothing was changed."""


def save(database: Database, path: Path, *, now: datetime, progress: Progress | None = None) -> int:
    """Write a new file (0600), whole or not at all. Returns how many rows. Raises `BackupError`, OSError."""
    aside = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")  # nobody's but ours
    if path.exists():
        raise BackupError(f"{path} is there already")
    try:
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            with database.reading() as tx, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                rows = _save(tx, archive, now, progress)
            file.flush()
            os.fsync(file.fileno())
        os.link(aside, path)  # unlike rename it fails where somebody was faster
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except FileExistsError:
        raise BackupError(f"{path} is there already") from None
    finally:
        aside.unlink(missing_ok=True)
    return rows


def restore(database: Database, path: Path, *, now: datetime, progress: Progress | None = None) -> int:
    """Fill an empty database, then bring it to this version's tables. Returns how many rows. Raises `BackupError`.

    What was settled stays settled; nobody is signed in. Events that are made from now on get keys of their own: ids of slots are given again
    that were given after the backup, and an event of those may still stand in somebody's calendar.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            manifest = _manifest(archive)
            _prepare(database, manifest, now)
            with database.transaction() as tx:
                rows = _restore(tx, archive, manifest, progress)
                for name in _ENDED & {told["name"] for told in manifest["tables"]}:
                    tx.execute(sa.delete(sa.table(name)))
    except (zipfile.BadZipFile, ValueError, KeyError) as error:
        raise BackupError(f"{path} is damaged: {error}") from None
    migrate(database, now=now)
    with database.transaction() as tx:
        tx.execute(sa.update(Deployment).values(generation=Deployment.generation + 1))
    return rows


# --- saving -------------------------------------------------------------------------------------------------------


def _save(tx: Tx, archive: zipfile.ZipFile, now: datetime, progress: Progress | None) -> int:
    revision = revision_of(tx)
    known = catalog.tables()
    there = set(sa.inspect(tx).get_table_names()) - {"alembic_version"}
    if not revision or there != {table.name for table in known}:
        raise BackupError("the database has not the tables of this version; run `slotledger migrate` first")
    known = [t for t in known if not t.info.get("derived")]  # the database's triggers keep those, or they run out
    counts = {t.name: tx.execute(sa.select(sa.func.count()).select_from(t)).scalar_one() for t in known}
    total, done = sum(counts.values()), 0
    for table in known:
        found = tx.execute(sa.select(table), execution_options={"yield_per": BATCH})
        with (
            found,
            archive.open(f"{table.name}.jsonl", "w", force_zip64=True) as raw,
            TextIOWrapper(raw, "utf-8") as file,
        ):
            for row in found:
                file.write(json.dumps(_written(row._mapping), ensure_ascii=False) + "\n")
                done += 1
                if progress is not None and (done % BATCH == 0 or done == total):
                    progress(done, total)
    tables = [{"name": t.name, "rows": counts[t.name], "columns": {c.name: _kind(c) for c in t.c}} for t in known]
    manifest = {"format": FORMAT, "revision": revision, "made_at": now.isoformat(), "tables": tables}
    archive.writestr("manifest.json", json.dumps(manifest, indent=1))
    return done


def _kind(column: sa.Column[Any]) -> str:
    kinds = {UtcDateTime: "instant", sa.JSON: "json", sa.LargeBinary: "bytes", sa.Boolean: "bool"}
    return next((name for kind, name in kinds.items() if isinstance(column.type, kind)), "plain")


def _written(row: Any) -> dict[str, Any]:
    return {str(name): _as_json(value) for name, value in row.items()}


def _as_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


# --- restoring ----------------------------------------------------------------------------------------------------


def _manifest(archive: zipfile.ZipFile) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads(archive.read("manifest.json"))
    if manifest["format"] != FORMAT:
        raise BackupError(f"this is {manifest['format']}, and this version reads {FORMAT}")
    return manifest


def _prepare(database: Database, manifest: dict[str, Any], now: datetime) -> None:
    """Tables as they were when it was saved, with nothing in them."""
    with database.reading() as tx:
        names = [name for name in sa.inspect(tx).get_table_names() if name not in ("alembic_version", "deployment")]
        full = [n for n in names if tx.execute(sa.select(sa.literal(1)).select_from(sa.table(n)).limit(1)).first()]
        here = revision_of(tx)
    if full:
        raise BackupError(f"the database is not empty ({full[0]} has rows); restore into a new one")
    if here not in ("", manifest["revision"]):
        raise BackupError(
            f"the backup has tables of {manifest['revision']}, the database those of {here}; use a new one"
        )
    try:
        migrate(database, now=now, to=manifest["revision"])
    except CommandError:
        raise BackupError(f"the backup was made by another, newer version ({manifest['revision']})") from None


def _restore(tx: Tx, archive: zipfile.ZipFile, manifest: dict[str, Any], progress: Progress | None) -> int:
    total, done = sum(table["rows"] for table in manifest["tables"]), 0
    tx.execute(sa.delete(sa.table("deployment")))
    for told in manifest["tables"]:
        columns = [sa.column(name, _KINDS[kind]) for name, kind in told["columns"].items()]
        table = sa.table(told["name"], *columns)
        count = 0
        for batch in _batches(archive, told):
            tx.execute(sa.insert(table), batch)
            count += len(batch)
            if progress is not None:
                progress(done + count, total)
        if count != told["rows"]:
            raise BackupError(f"the file is damaged: {told['name']} has {count} of {told['rows']} rows")
        done += count
        if "id" in told["columns"]:
            after_given_ids(tx, told["name"])
    return done


def _batches(archive: zipfile.ZipFile, told: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    with archive.open(f"{told['name']}.jsonl") as file:
        for line in file:
            row = json.loads(line)
            batch.append({name: _read(row[name], kind) for name, kind in told["columns"].items()})
            if len(batch) == BATCH:
                yield batch
                batch = []
    if batch:
        yield batch


def _read(value: Any, kind: str) -> Any:
    if value is None:
        return None
    if kind == "instant":
        return datetime.fromisoformat(value)
    return base64.b64decode(value) if kind == "bytes" else value
