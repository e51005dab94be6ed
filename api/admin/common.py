"""What the admin routes share."""

from __future__ import annotations

from typing import Any

from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict

from api.problems import documented
from api.wire import wire

CAUSE = "admin"
REFUSALS = documented(400, 401, 403, 404, 409, 422)


class In(BaseModel):
    """A body; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


def answer(value: Any, status: int = 200) -> JSONResponse:
    """JSON with instants as they are written on the wire."""
    return JSONResponse(wire(value), status)


def items(rows: list[dict[str, Any]], cursor: str = "") -> JSONResponse:
    """A page of a list; cursor: where the next begins, null at the end."""
    return answer({"items": rows, "cursor": cursor or None})
