# ruff: noqa: S608 -- fixed text, put together once
"""Time that waits for the line's turn, wishes found by index, places counted in blocks, offers of unconfirmed seats.

Revision: 2026_11_26_line
Before it: 2026_11_26_services
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import sqlalchemy as sa
from alembic import op

from ledger.db import UtcDateTime

revision = "2026_11_26_line"
down_revision = "2026_11_26_services"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# A place in line is counted, and an entry is found, by what these keep: whoever writes an entry, and however.
COUNT_IN = """
    INSERT INTO line_count (service_id, level, priority, block, waiting)
    VALUES (NEW.service_id, 1, NEW.priority, NEW.id >> 6, 1), (NEW.service_id, 2, NEW.priority, NEW.id >> 12, 1),
           (NEW.service_id, 3, NEW.priority, NEW.id >> 18, 1)
    ON CONFLICT (service_id, level, priority, block) DO UPDATE SET waiting = line_count.waiting + 1;
"""
COUNT_OUT = """
    UPDATE line_count SET waiting = waiting - 1 WHERE service_id = OLD.service_id AND priority = OLD.priority
       AND level = 1 AND block = OLD.id >> 6;
    UPDATE line_count SET waiting = waiting - 1 WHERE service_id = OLD.service_id AND priority = OLD.priority
       AND level = 2 AND block = OLD.id >> 12;
    UPDATE line_count SET waiting = waiting - 1 WHERE service_id = OLD.service_id AND priority = OLD.priority
       AND level = 3 AND block = OLD.id >> 18;
"""
SQLITE = {
    "waitlist_joins": f"AFTER INSERT ON waitlist_entry WHEN NEW.status = 'waiting' BEGIN {COUNT_IN} END",
    "waitlist_goes": f"AFTER DELETE ON waitlist_entry WHEN OLD.status = 'waiting' BEGIN {COUNT_OUT} END",
    "waitlist_waits": "AFTER UPDATE OF status, priority ON waitlist_entry WHEN NEW.status = 'waiting'"
    f" AND (OLD.status <> 'waiting' OR OLD.priority <> NEW.priority) BEGIN {COUNT_IN}"
    " UPDATE wish_key SET rank = -NEW.priority WHERE entry_id = NEW.id; END",
    "waitlist_leaves": "AFTER UPDATE OF status, priority ON waitlist_entry WHEN OLD.status = 'waiting'"
    f" AND (NEW.status <> 'waiting' OR OLD.priority <> NEW.priority) BEGIN {COUNT_OUT}"
    " DELETE FROM wish_key WHERE entry_id = OLD.id AND NEW.status <> 'waiting'; END",
}
POSTGRES = f"""
CREATE FUNCTION waitlist_counted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.status = NEW.status AND OLD.priority = NEW.priority THEN
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' AND OLD.status = 'waiting' THEN {COUNT_OUT} END IF;
    IF TG_OP <> 'DELETE' AND NEW.status = 'waiting' THEN {COUNT_IN} END IF;
    IF TG_OP = 'UPDATE' AND NEW.status = 'waiting' THEN
        UPDATE wish_key SET rank = -NEW.priority WHERE entry_id = NEW.id;
    ELSIF TG_OP = 'UPDATE' AND OLD.status = 'waiting' THEN
        DELETE FROM wish_key WHERE entry_id = OLD.id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER waitlist_counted AFTER INSERT OR DELETE OR UPDATE OF status, priority ON waitlist_entry
    FOR EACH ROW EXECUTE FUNCTION waitlist_counted();
"""

SHAPE = ("service_id", "weekdays", "first_hour", "last_hour", "seats", "duration_minutes", "member_id")


def upgrade() -> None:
    op.create_table(
        "turn",
        sa.Column("id", ID, nullable=False),
        sa.Column("operator_id", ID, nullable=False),
        sa.Column("service_id", ID, nullable=True),
        sa.Column("starts_at", UtcDateTime(), nullable=False),
        sa.Column("ends_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["operator_id"], ["operator.id"], name=op.f("fk_turn_operator_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_turn")),
    )
    op.create_index(op.f("ix_turn_operator_id"), "turn", ["operator_id"], unique=False)
    op.create_index(op.f("ix_turn_service_id"), "turn", ["service_id"], unique=False)
    shapes = op.create_table(
        "wish_shape",
        sa.Column("id", ID, nullable=False),
        sa.Column("service_id", ID, nullable=False),
        sa.Column("weekdays", sa.Integer(), nullable=False),
        sa.Column("first_hour", sa.Integer(), nullable=False),
        sa.Column("last_hour", sa.Integer(), nullable=False),
        sa.Column("seats", sa.Integer(), nullable=False),
        sa.Column("duration_minutes", sa.Integer(), nullable=False),
        sa.Column("member_id", ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["service_id"], ["service.id"], name=op.f("fk_wish_shape_service_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_wish_shape")),
        sa.UniqueConstraint(
            "service_id",
            "weekdays",
            "first_hour",
            "last_hour",
            "seats",
            "duration_minutes",
            "member_id",
            name=op.f("uq_wish_shape"),
        ),
    )
    keys = op.create_table(
        "wish_key",
        sa.Column("entry_id", ID, nullable=False),
        sa.Column("key", sa.BigInteger(), nullable=False),
        sa.Column("shape_id", ID, nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["entry_id"], ["waitlist_entry.id"], name=op.f("fk_wish_key_entry_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["shape_id"], ["wish_shape.id"], name=op.f("fk_wish_key_shape_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("entry_id", "key", name=op.f("pk_wish_key")),
    )
    op.create_index("ix_wish_key_line", "wish_key", ["shape_id", "key", "rank", "entry_id"], unique=False)
    counts = op.create_table(
        "line_count",
        sa.Column("service_id", ID, autoincrement=False, nullable=False),
        sa.Column("level", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("priority", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("block", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("waiting", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("service_id", "level", "priority", "block", name=op.f("pk_line_count")),
    )
    op.create_index(
        "ix_booking_no_show",
        "booking",
        ["operator_id"],
        unique=False,
        sqlite_where=sa.text("status = 'no_show'"),
        postgresql_where=sa.text("status = 'no_show'"),
    )
    op.create_index(
        "ix_waitlist_entry_last_date",
        "waitlist_entry",
        ["last_date"],
        unique=False,
        sqlite_where=sa.text("status = 'waiting'"),
        postgresql_where=sa.text("status = 'waiting'"),
    )
    for column in (
        sa.Column("calendar_entry", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("uid", sa.String(), nullable=False, server_default=""),
        sa.Column("organizer_tag", sa.String(), nullable=False, server_default=""),
        sa.Column("sequence", sa.Integer(), nullable=False, server_default="0"),
    ):
        op.add_column("waitlist_entry", column)
    op.add_column("offer", sa.Column("booking_id", sa.String(length=32), nullable=True))
    op.add_column("slot_event", sa.Column("no_show", sa.Boolean(), nullable=False, server_default=sa.false()))
    _file_who_waits(shapes, keys, counts)
    if op.get_bind().dialect.name == "sqlite":
        for name, text in SQLITE.items():
            op.execute(f"CREATE TRIGGER {name} {text}")
    else:
        op.execute(POSTGRES)


def _file_who_waits(shapes: sa.Table, keys: sa.Table, counts: sa.Table) -> None:
    """Who waits already is found and counted as whoever joins from now on (`booking/wishes.py`, as it was then)."""
    entry = sa.table(
        "waitlist_entry",
        *(sa.column(name) for name in ("id", "service_id", "status", "weekdays", "between_start", "between_end")),
        *(sa.column(name) for name in ("seats", "duration_minutes", "member_id")),
        *(sa.column(name) for name in ("priority", "first_date", "last_date")),
        sa.column("wish_start", UtcDateTime()),
    )
    tx = op.get_bind()
    known: dict[tuple[int, ...], int] = {}
    counted: dict[tuple[int, ...], int] = {}
    filed = []
    for row in tx.execute(sa.select(entry).where(entry.c.status == "waiting").order_by(entry.c.id)).all():
        hours = (row.weekdays, row.between_start // 60, -(-row.between_end // 60))
        hours = (0, 0, 0) if row.wish_start is not None else hours
        shape = (row.service_id, *hours, row.seats, row.duration_minutes, row.member_id or 0)
        if shape not in known:
            made = sa.insert(shapes).values(dict(zip(SHAPE, shape, strict=True))).returning(shapes.c.id)
            known[shape] = tx.execute(made).scalar_one()
        filed += [
            {"entry_id": row.id, "key": key, "shape_id": known[shape], "rank": -row.priority}
            for key in _keys(row.wish_start, row.first_date, row.last_date)
        ]
        for level in (1, 2, 3):
            block = (row.service_id, level, row.priority, row.id >> 6 * level)
            counted[block] = counted.get(block, 0) + 1
    for at in range(0, len(filed), 1000):
        tx.execute(sa.insert(keys), filed[at : at + 1000])
    rows = [
        dict(zip(("service_id", "level", "priority", "block"), block, strict=True)) | {"waiting": waiting}
        for block, waiting in counted.items()
    ]
    for at in range(0, len(rows), 1000):
        tx.execute(sa.insert(counts), rows[at : at + 1000])


def _keys(start: datetime | None, first: str, last: str) -> list[int]:
    if start is not None:
        return [-1 - (start - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)]
    low, high = date.fromisoformat(first).toordinal(), date.fromisoformat(last).toordinal() + 1
    keys, length = [], 0
    while low < high:
        if low & 1:
            keys.append(length << 32 | low)
            low += 1
        if high & 1:
            high -= 1
            keys.append(length << 32 | high)
        low, high, length = low >> 1, high >> 1, length + 1
    return keys


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for name in SQLITE:
            op.execute(f"DROP TRIGGER {name}")
    else:
        op.execute("DROP TRIGGER waitlist_counted ON waitlist_entry")
        op.execute("DROP FUNCTION waitlist_counted()")
    op.drop_column("slot_event", "no_show")
    op.drop_column("offer", "booking_id")
    op.drop_index("ix_waitlist_entry_last_date", "waitlist_entry")
    op.drop_index("ix_booking_no_show", "booking")
    for column in ("sequence", "organizer_tag", "uid", "calendar_entry"):
        op.drop_column("waitlist_entry", column)
    for table in ("line_count", "wish_key", "wish_shape", "turn"):
        op.drop_table(table)
