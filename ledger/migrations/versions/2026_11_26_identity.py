"""People who sign in, their sessions, passkeys and accounts elsewhere.

Revision: 2026_11_26_identity
Before it: 2026_11_25_replies
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from ledger.db import Json, UtcDateTime

revision = "2026_11_26_identity"
down_revision = "2026_11_25_replies"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Five tables."""
    op.create_table(
        "user_account",
        sa.Column("id", ID, nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("operator_id", ID, nullable=True),
        sa.Column("password_hash", sa.String(), nullable=False),
        sa.Column("totp_secret", sa.Text(), nullable=False),
        sa.Column("totp_step", sa.BigInteger(), nullable=False),
        sa.Column("recovery_codes", Json, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("signed_in_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["operator_id"], ["operator.id"], name=op.f("fk_user_account_operator_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_account")),
        sa.UniqueConstraint("email", name=op.f("uq_user_account_email")),
    )
    op.create_table(
        "user_session",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("agent", sa.String(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        *_of_a_user("user_session"),
        sa.UniqueConstraint("hash", name=op.f("uq_user_session_hash")),
    )
    op.create_index(op.f("ix_user_session_user_id"), "user_session", ["user_id"], unique=False)
    op.create_index(op.f("ix_user_session_expires_at"), "user_session", ["expires_at"], unique=False)
    op.create_table(
        "passkey",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("credential_id", sa.Text(), nullable=False),
        sa.Column("public_key", sa.Text(), nullable=False),
        sa.Column("sign_count", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("used_at", UtcDateTime(), nullable=True),
        *_of_a_user("passkey"),
        sa.UniqueConstraint("credential_id", name=op.f("uq_passkey_credential_id")),
    )
    op.create_index(op.f("ix_passkey_user_id"), "passkey", ["user_id"], unique=False)
    op.create_table(
        "provider_identity",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        *_of_a_user("provider_identity"),
        sa.UniqueConstraint("provider", "subject", name=op.f("uq_provider_identity_provider_subject")),
    )
    op.create_index(op.f("ix_provider_identity_user_id"), "provider_identity", ["user_id"], unique=False)
    op.create_table(
        "sign_in_attempt",
        sa.Column("id", ID, nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("user_id", ID, nullable=True),
        sa.Column("pending", sa.Text(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        *_of_a_user("sign_in_attempt"),
        sa.UniqueConstraint("hash", name=op.f("uq_sign_in_attempt_hash")),
    )
    op.create_index(op.f("ix_sign_in_attempt_user_id"), "sign_in_attempt", ["user_id"], unique=False)
    op.create_index(op.f("ix_sign_in_attempt_expires_at"), "sign_in_attempt", ["expires_at"], unique=False)


def _of_a_user(table: str) -> tuple[sa.ForeignKeyConstraint, sa.PrimaryKeyConstraint]:
    owner = sa.ForeignKeyConstraint(
        ["user_id"], ["user_account.id"], name=op.f(f"fk_{table}_user_id"), ondelete="CASCADE"
    )
    return owner, sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{table}"))


def downgrade() -> None:
    """None of them."""
    for table in ("sign_in_attempt", "provider_identity", "passkey", "user_session", "user_account"):
        op.drop_table(table)
