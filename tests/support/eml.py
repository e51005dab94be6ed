"""Stored messages, as they would arrive."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parents[1] / "data" / "mail"
MAIL_FROM = "bookings@svc.example"
TAG = "k7q2m4x9d3f6h8j1n5p0r2t4v6"
UID = "bk4f0c2a9e71@svc.example"
SENT = "<0f1e2d3c4b5a69788796a5b4c3d2e1f001234567@svc.example>"
"""Message-ID of the invitation that the stored messages answer to."""


def load(name: str) -> bytes:
    """One message of ``tests/data/mail`` with CRLF."""
    return (FOLDER / f"{name}.eml").read_bytes().replace(b"\n", b"\r\n")
