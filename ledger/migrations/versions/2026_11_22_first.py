"""The first tables.

Revision: 2026_11_22_first
Before it: nothing
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from ledger.db import UtcDateTime

revision = "2026_11_22_first"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")

# P1 in the database's own words. The equality of operators is written as a range, so that no extension is needed.
NO_OVERLAP = """
ALTER TABLE slot ADD CONSTRAINT slot_overlap EXCLUDE USING gist (
    int8range(operator_id, operator_id, '[]') WITH &&,
    tstzrange(block_start, block_end) WITH &&
) WHERE (taken > 0)
"""
SQLITE_NO_OVERLAP = """
CREATE TRIGGER slot_overlap_{event} AFTER {event} ON slot WHEN NEW.taken > 0
BEGIN
    SELECT RAISE(ABORT, 'slot_overlap') WHERE EXISTS (
        SELECT 1 FROM slot other
        WHERE other.operator_id = NEW.operator_id AND other.id <> NEW.id AND other.taken > 0
          AND other.block_end > NEW.block_start AND other.block_start < NEW.block_end
    );
END
"""


def upgrade() -> None:
    op.create_table(
        "api_token",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.Column("revoked_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_token")),
        sa.UniqueConstraint("hash", name=op.f("uq_api_token_hash")),
    )
    op.create_table(
        "delivery",
        sa.Column("id", ID, nullable=False),
        sa.Column("message_id", sa.String(), nullable=False),
        sa.Column("booking_id", sa.String(), nullable=False),
        sa.Column("operator_id", ID, nullable=False),
        sa.Column("audience", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("recipient", sa.String(), nullable=False),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("uid", sa.String(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("message", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("handed_over_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery")),
        sa.UniqueConstraint("message_id", name=op.f("uq_delivery_message_id")),
    )
    op.create_index(op.f("ix_delivery_booking_id"), "delivery", ["booking_id"], unique=False)
    op.create_table(
        "deployment",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deployment")),
    )
    op.create_table(
        "idempotency_key",
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("body_hash", sa.String(length=64), nullable=False),
        sa.Column("booking_id", sa.String(length=32), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_idempotency_key")),
    )
    op.create_index(op.f("ix_idempotency_key_created_at"), "idempotency_key", ["created_at"], unique=False)
    op.create_table(
        "operator",
        sa.Column("id", ID, nullable=False),
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("timezone", sa.String(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("ledger_version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operator")),
        sa.UniqueConstraint("slug", name=op.f("uq_operator_slug")),
    )
    op.create_table(
        "outbox_message",
        sa.Column("id", ID, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("body", JSON, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("merges", sa.Boolean(), nullable=False),
        sa.Column("line", sa.String(), nullable=False),
        sa.Column("automation", sa.String(), nullable=False),
        sa.Column("operator_id", ID, nullable=True),
        sa.Column("service_id", ID, nullable=True),
        sa.Column("slot_id", ID, nullable=True),
        sa.Column("booking_id", sa.String(), nullable=True),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("not_before", UtcDateTime(), nullable=False),
        sa.Column("leased_until", UtcDateTime(), nullable=True),
        sa.Column("lease", sa.String(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("settled_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox_message")),
    )
    op.create_index(
        "ix_outbox_message_due",
        "outbox_message",
        ["not_before", "id"],
        unique=False,
        sqlite_where=sa.text("state IN ('waiting', 'queued', 'running')"),
        postgresql_where=sa.text("state IN ('waiting', 'queued', 'running')"),
    )
    op.create_index(
        "ix_outbox_message_line",
        "outbox_message",
        ["line", "id"],
        unique=False,
        sqlite_where=sa.text("state IN ('waiting', 'queued', 'running')"),
        postgresql_where=sa.text("state IN ('waiting', 'queued', 'running')"),
    )
    op.create_index(
        "uq_outbox_message_key",
        "outbox_message",
        ["key"],
        unique=True,
        sqlite_where=sa.text("NOT merges"),
        postgresql_where=sa.text("NOT merges"),
    )
    op.create_index(
        "uq_outbox_message_merging_key",
        "outbox_message",
        ["key"],
        unique=True,
        sqlite_where=sa.text("merges AND state = 'waiting'"),
        postgresql_where=sa.text("merges AND state = 'waiting'"),
    )
    op.create_table(
        "pause",
        sa.Column("id", ID, nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("automations", JSON, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("made_by", sa.String(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("until", UtcDateTime(), nullable=True),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pause")),
    )
    op.create_table(
        "review",
        sa.Column("id", ID, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("operator_id", ID, nullable=False),
        sa.Column("connection_id", ID, nullable=True),
        sa.Column("slot_id", ID, nullable=True),
        sa.Column("booking_id", sa.String(), nullable=True),
        sa.Column("detail", JSON, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("resolved_at", UtcDateTime(), nullable=True),
        sa.Column("resolved_by", sa.String(), nullable=False),
        sa.Column("choice", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review")),
    )
    op.create_index(
        "uq_review_open_key",
        "review",
        ["key"],
        unique=True,
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_table(
        "timeline_entry",
        sa.Column("id", ID, nullable=False),
        sa.Column("booking_id", sa.String(), nullable=False),
        sa.Column("operator_id", ID, nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("audience", sa.String(), nullable=False),
        sa.Column("detail", JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_timeline_entry")),
    )
    op.create_index(op.f("ix_timeline_entry_booking_id"), "timeline_entry", ["booking_id"], unique=False)
    op.create_table(
        "connection",
        sa.Column("id", ID, nullable=False),
        sa.Column("operator_id", ID, nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("username", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("voice", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("state_detail", sa.Text(), nullable=False),
        sa.Column("state_since", UtcDateTime(), nullable=False),
        sa.Column("last_success_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["operator_id"], ["operator.id"], name=op.f("fk_connection_operator_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_connection")),
    )
    op.create_index(op.f("ix_connection_operator_id"), "connection", ["operator_id"], unique=False)
    op.create_table(
        "pause_item",
        sa.Column("id", ID, nullable=False),
        sa.Column("pause_id", ID, nullable=False),
        sa.Column("scope_key", sa.String(), nullable=False),
        sa.Column("automation", sa.String(), nullable=False),
        sa.Column("until", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["pause_id"], ["pause.id"], name=op.f("fk_pause_item_pause_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pause_item")),
    )
    op.create_index("ix_pause_item_scope", "pause_item", ["scope_key", "automation"], unique=False)
    op.create_table(
        "service",
        sa.Column("id", ID, nullable=False),
        sa.Column("operator_id", ID, nullable=False),
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("spec", JSON, nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["operator_id"], ["operator.id"], name=op.f("fk_service_operator_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service")),
        sa.UniqueConstraint("operator_id", "slug", name=op.f("uq_service_operator_id_slug")),
    )
    op.create_table(
        "slot",
        sa.Column("id", ID, nullable=False),
        sa.Column("operator_id", ID, nullable=False),
        sa.Column("service_id", ID, nullable=False),
        sa.Column("starts_at", UtcDateTime(), nullable=False),
        sa.Column("ends_at", UtcDateTime(), nullable=False),
        sa.Column("block_start", UtcDateTime(), nullable=False),
        sa.Column("block_end", UtcDateTime(), nullable=False),
        sa.Column("capacity", sa.Integer(), nullable=False),
        sa.Column("taken", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "block_start <= starts_at AND starts_at < ends_at AND ends_at <= block_end", name=op.f("ck_slot_times")
        ),
        sa.CheckConstraint("taken >= 0 AND taken <= capacity", name=op.f("ck_slot_seats")),
        sa.ForeignKeyConstraint(["operator_id"], ["operator.id"], name=op.f("fk_slot_operator_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_slot")),
    )
    op.create_index(
        "ix_slot_operator_taken",
        "slot",
        ["operator_id", "block_end"],
        unique=False,
        sqlite_where=sa.text("taken > 0"),
        postgresql_where=sa.text("taken > 0"),
    )
    op.create_index(op.f("ix_slot_service_id"), "slot", ["service_id"], unique=False)
    op.create_table(
        "booking",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("token", sa.String(), nullable=False),
        sa.Column("operator_id", ID, nullable=False),
        sa.Column("service_id", ID, nullable=False),
        sa.Column("slot_id", ID, nullable=False),
        sa.Column("seats", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("waits_for", sa.String(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.Column("starts_at", UtcDateTime(), nullable=False),
        sa.Column("ends_at", UtcDateTime(), nullable=False),
        sa.Column("client_name", sa.String(), nullable=False),
        sa.Column("client_email", sa.String(), nullable=False),
        sa.Column("client_timezone", sa.String(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("answers", JSON, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("uid", sa.String(), nullable=False),
        sa.Column("organizer_tag", sa.String(), nullable=False),
        sa.Column("voice", sa.String(), nullable=False),
        sa.Column("invited", sa.Boolean(), nullable=False),
        sa.Column("waitlist_entry_id", ID, nullable=True),
        sa.Column("attendance_confirmed_at", UtcDateTime(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["operator_id"], ["operator.id"], name=op.f("fk_booking_operator_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["service_id"], ["service.id"], name=op.f("fk_booking_service_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_booking")),
        sa.UniqueConstraint("organizer_tag", name=op.f("uq_booking_organizer_tag")),
        sa.UniqueConstraint("token", name=op.f("uq_booking_token")),
        sa.UniqueConstraint("uid", name=op.f("uq_booking_uid")),
    )
    op.create_index(op.f("ix_booking_client_email"), "booking", ["client_email"], unique=False)
    op.create_index(op.f("ix_booking_operator_id"), "booking", ["operator_id"], unique=False)
    op.create_index("ix_booking_service_starts", "booking", ["service_id", "starts_at"], unique=False)
    op.create_index(op.f("ix_booking_slot_id"), "booking", ["slot_id"], unique=False)
    op.create_table(
        "calendar",
        sa.Column("id", ID, nullable=False),
        sa.Column("connection_id", ID, nullable=False),
        sa.Column("operator_id", ID, nullable=False),
        sa.Column("href", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("timezone", sa.String(), nullable=False),
        sa.Column("writable", sa.Boolean(), nullable=False),
        sa.Column("transparent", sa.Boolean(), nullable=False),
        sa.Column("busy", sa.Boolean(), nullable=False),
        sa.Column("availability", sa.Boolean(), nullable=False),
        sa.Column("bookings", sa.Boolean(), nullable=False),
        sa.Column("all_day_blocks", sa.Boolean(), nullable=False),
        sa.Column("tentative_blocks", sa.Boolean(), nullable=False),
        sa.Column("unanswered_blocks", sa.Boolean(), nullable=False),
        sa.Column("quirks", JSON, nullable=False),
        sa.Column("token_kind", sa.String(), nullable=False),
        sa.Column("token_value", sa.Text(), nullable=False),
        sa.Column("window_start", UtcDateTime(), nullable=True),
        sa.Column("window_end", UtcDateTime(), nullable=True),
        sa.Column("tz_version", sa.String(), nullable=False),
        sa.Column("pulled_at", UtcDateTime(), nullable=True),
        sa.Column("due_at", UtcDateTime(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.Column("shrink_accepted", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["connection_id"], ["connection.id"], name=op.f("fk_calendar_connection_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["operator_id"], ["operator.id"], name=op.f("fk_calendar_operator_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calendar")),
        sa.UniqueConstraint("connection_id", "href", name=op.f("uq_calendar_connection_id_href")),
    )
    op.create_index("ix_calendar_due_at", "calendar", ["due_at"], unique=False)
    op.create_index(op.f("ix_calendar_operator_id"), "calendar", ["operator_id"], unique=False)
    op.create_table(
        "seat",
        sa.Column("id", ID, nullable=False),
        sa.Column("slot_id", ID, nullable=False),
        sa.Column("operator_id", ID, nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("seats", sa.Integer(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["slot_id"], ["slot.id"], name=op.f("fk_seat_slot_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_seat")),
        sa.UniqueConstraint("holder", name=op.f("uq_seat_holder")),
    )
    op.create_index(op.f("ix_seat_slot_id"), "seat", ["slot_id"], unique=False)
    op.create_table(
        "waitlist_entry",
        sa.Column("id", ID, nullable=False),
        sa.Column("token", sa.String(), nullable=False),
        sa.Column("operator_id", ID, nullable=False),
        sa.Column("service_id", ID, nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("accept", sa.String(), nullable=False),
        sa.Column("seats", sa.Integer(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("wish_start", UtcDateTime(), nullable=True),
        sa.Column("first_date", sa.String(length=10), nullable=False),
        sa.Column("last_date", sa.String(length=10), nullable=False),
        sa.Column("weekdays", sa.Integer(), nullable=False),
        sa.Column("between_start", sa.Integer(), nullable=False),
        sa.Column("between_end", sa.Integer(), nullable=False),
        sa.Column("client_name", sa.String(), nullable=False),
        sa.Column("client_email", sa.String(), nullable=False),
        sa.Column("client_timezone", sa.String(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("answers", JSON, nullable=False),
        sa.Column("booking_id", sa.String(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["operator_id"], ["operator.id"], name=op.f("fk_waitlist_entry_operator_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["service_id"], ["service.id"], name=op.f("fk_waitlist_entry_service_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_waitlist_entry")),
        sa.UniqueConstraint("token", name=op.f("uq_waitlist_entry_token")),
    )
    op.create_index(op.f("ix_waitlist_entry_client_email"), "waitlist_entry", ["client_email"], unique=False)
    op.create_index(op.f("ix_waitlist_entry_operator_id"), "waitlist_entry", ["operator_id"], unique=False)
    op.create_table(
        "busy",
        sa.Column("id", ID, nullable=False),
        sa.Column("operator_id", ID, nullable=False),
        sa.Column("remote_event_id", ID, nullable=False),
        sa.Column("calendar_id", ID, nullable=False),
        sa.Column("starts_at", UtcDateTime(), nullable=False),
        sa.Column("ends_at", UtcDateTime(), nullable=False),
        sa.Column("freed", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["calendar_id"], ["calendar.id"], name=op.f("fk_busy_calendar_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["operator_id"], ["operator.id"], name=op.f("fk_busy_operator_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_busy")),
    )
    op.create_index(op.f("ix_busy_calendar_id"), "busy", ["calendar_id"], unique=False)
    op.create_index("ix_busy_operator_end", "busy", ["operator_id", "ends_at", "starts_at"], unique=False)
    op.create_index(op.f("ix_busy_remote_event_id"), "busy", ["remote_event_id"], unique=False)
    op.create_table(
        "offer",
        sa.Column("id", ID, nullable=False),
        sa.Column("entry_id", ID, nullable=False),
        sa.Column("slot_id", ID, nullable=False),
        sa.Column("starts_at", UtcDateTime(), nullable=False),
        sa.Column("ends_at", UtcDateTime(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["entry_id"], ["waitlist_entry.id"], name=op.f("fk_offer_entry_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_offer")),
    )
    op.create_index(op.f("ix_offer_entry_id"), "offer", ["entry_id"], unique=False)
    op.create_table(
        "opening",
        sa.Column("id", ID, nullable=False),
        sa.Column("operator_id", ID, nullable=False),
        sa.Column("remote_event_id", ID, nullable=False),
        sa.Column("calendar_id", ID, nullable=False),
        sa.Column("starts_at", UtcDateTime(), nullable=False),
        sa.Column("ends_at", UtcDateTime(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("seats", sa.Integer(), nullable=True),
        sa.Column("fresh", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["calendar_id"], ["calendar.id"], name=op.f("fk_opening_calendar_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["operator_id"], ["operator.id"], name=op.f("fk_opening_operator_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_opening")),
    )
    op.create_index(op.f("ix_opening_calendar_id"), "opening", ["calendar_id"], unique=False)
    op.create_index("ix_opening_operator_end", "opening", ["operator_id", "ends_at", "starts_at"], unique=False)
    op.create_index(op.f("ix_opening_remote_event_id"), "opening", ["remote_event_id"], unique=False)
    op.create_table(
        "remote_event",
        sa.Column("id", ID, nullable=False),
        sa.Column("calendar_id", ID, nullable=False),
        sa.Column("href", sa.Text(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("uid_hash", sa.String(length=64), nullable=False),
        sa.Column("slot_event_id", ID, nullable=True),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["calendar_id"], ["calendar.id"], name=op.f("fk_remote_event_calendar_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_remote_event")),
        sa.UniqueConstraint("calendar_id", "href", name=op.f("uq_remote_event_calendar_id_href")),
    )
    op.create_index(op.f("ix_remote_event_slot_event_id"), "remote_event", ["slot_event_id"], unique=False)
    op.create_table(
        "slot_event",
        sa.Column("id", ID, nullable=False),
        sa.Column("slot_id", ID, nullable=False),
        sa.Column("operator_id", ID, nullable=False),
        sa.Column("service_id", ID, nullable=False),
        sa.Column("calendar_id", ID, nullable=True),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("uid", sa.String(), nullable=False),
        sa.Column("wanted", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("starts_at", UtcDateTime(), nullable=False),
        sa.Column("ends_at", UtcDateTime(), nullable=False),
        sa.Column("words", JSON, nullable=False),
        sa.Column("grace_seconds", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("href", sa.Text(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("pushed_version", sa.Integer(), nullable=False),
        sa.Column("pushed_start", UtcDateTime(), nullable=True),
        sa.Column("pushed_end", UtcDateTime(), nullable=True),
        sa.Column("confirmed_at", UtcDateTime(), nullable=True),
        sa.Column("missing_since", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["calendar_id"], ["calendar.id"], name=op.f("fk_slot_event_calendar_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["operator_id"], ["operator.id"], name=op.f("fk_slot_event_operator_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_slot_event")),
        sa.UniqueConstraint("key", name=op.f("uq_slot_event_key")),
        sa.UniqueConstraint("slot_id", name=op.f("uq_slot_event_slot_id")),
    )
    op.create_index(op.f("ix_slot_event_calendar_id"), "slot_event", ["calendar_id"], unique=False)
    op.create_index(op.f("ix_slot_event_operator_id"), "slot_event", ["operator_id"], unique=False)
    waiting = sa.text("status = 'waiting'")
    op.create_index(
        "ix_waitlist_line",
        "waitlist_entry",
        ["service_id", sa.text("priority DESC"), "id"],
        sqlite_where=waiting,
        postgresql_where=waiting,
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(NO_OVERLAP)
    else:
        for event in ("INSERT", "UPDATE"):
            op.execute(SQLITE_NO_OVERLAP.format(event=event))


def downgrade() -> None:
    op.drop_table("api_token")
    op.drop_index(op.f("ix_slot_event_operator_id"), table_name="slot_event")
    op.drop_index(op.f("ix_slot_event_calendar_id"), table_name="slot_event")
    op.drop_table("slot_event")
    op.drop_index(op.f("ix_remote_event_slot_event_id"), table_name="remote_event")
    op.drop_table("remote_event")
    op.drop_index(op.f("ix_opening_remote_event_id"), table_name="opening")
    op.drop_index("ix_opening_operator_end", table_name="opening")
    op.drop_index(op.f("ix_opening_calendar_id"), table_name="opening")
    op.drop_table("opening")
    op.drop_index(op.f("ix_offer_entry_id"), table_name="offer")
    op.drop_table("offer")
    op.drop_index(op.f("ix_busy_remote_event_id"), table_name="busy")
    op.drop_index("ix_busy_operator_end", table_name="busy")
    op.drop_index(op.f("ix_busy_calendar_id"), table_name="busy")
    op.drop_table("busy")
    op.drop_index(op.f("ix_waitlist_entry_operator_id"), table_name="waitlist_entry")
    op.drop_index(op.f("ix_waitlist_entry_client_email"), table_name="waitlist_entry")
    op.drop_table("waitlist_entry")
    op.drop_index(op.f("ix_seat_slot_id"), table_name="seat")
    op.drop_table("seat")
    op.drop_index(op.f("ix_calendar_operator_id"), table_name="calendar")
    op.drop_index("ix_calendar_due_at", table_name="calendar")
    op.drop_table("calendar")
    op.drop_index(op.f("ix_booking_slot_id"), table_name="booking")
    op.drop_index("ix_booking_service_starts", table_name="booking")
    op.drop_index(op.f("ix_booking_operator_id"), table_name="booking")
    op.drop_index(op.f("ix_booking_client_email"), table_name="booking")
    op.drop_table("booking")
    op.drop_index(op.f("ix_slot_service_id"), table_name="slot")
    op.drop_index(
        "ix_slot_operator_taken",
        table_name="slot",
        sqlite_where=sa.text("taken > 0"),
        postgresql_where=sa.text("taken > 0"),
    )
    op.drop_table("slot")
    op.drop_table("service")
    op.drop_index("ix_pause_item_scope", table_name="pause_item")
    op.drop_table("pause_item")
    op.drop_index(op.f("ix_connection_operator_id"), table_name="connection")
    op.drop_table("connection")
    op.drop_index(op.f("ix_timeline_entry_booking_id"), table_name="timeline_entry")
    op.drop_table("timeline_entry")
    op.drop_index(
        "uq_review_open_key",
        table_name="review",
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )
    op.drop_table("review")
    op.drop_table("pause")
    op.drop_index(
        "uq_outbox_message_merging_key",
        table_name="outbox_message",
        sqlite_where=sa.text("merges AND state = 'waiting'"),
        postgresql_where=sa.text("merges AND state = 'waiting'"),
    )
    op.drop_index(
        "uq_outbox_message_key",
        table_name="outbox_message",
        sqlite_where=sa.text("NOT merges"),
        postgresql_where=sa.text("NOT merges"),
    )
    op.drop_index(
        "ix_outbox_message_line",
        table_name="outbox_message",
        sqlite_where=sa.text("state IN ('waiting', 'queued', 'running')"),
        postgresql_where=sa.text("state IN ('waiting', 'queued', 'running')"),
    )
    op.drop_index(
        "ix_outbox_message_due",
        table_name="outbox_message",
        sqlite_where=sa.text("state IN ('waiting', 'queued', 'running')"),
        postgresql_where=sa.text("state IN ('waiting', 'queued', 'running')"),
    )
    op.drop_table("outbox_message")
    op.drop_table("operator")
    op.drop_index(op.f("ix_idempotency_key_created_at"), table_name="idempotency_key")
    op.drop_table("idempotency_key")
    op.drop_table("deployment")
    op.drop_index(op.f("ix_delivery_booking_id"), table_name="delivery")
    op.drop_table("delivery")
