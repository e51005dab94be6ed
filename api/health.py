"""Is it alive, is it ready, what does it count. For machines."""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy.exc import SQLAlchemyError

from api.deps import Here
from api.problems import documented, problem
from ledger import observe
from ledger.migrate import is_current

router = APIRouter(tags=["health"])


@router.get("/livez", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def livez() -> Response:
    """The process answers."""
    return Response("ok\n", media_type="text/plain")


@router.get("/readyz", response_class=Response, responses={200: {"content": {"text/plain": {}}}, **documented(503)})
def readyz(here: Here) -> Response:
    """The database is there and has the tables that this version needs."""
    try:
        ready = is_current(here.database)
    except SQLAlchemyError:
        ready = False
    if not ready:
        return problem(503, "not_ready", "the database is away or not migrated")
    return Response("ready\n", media_type="text/plain")


@router.get("/metrics", response_class=Response, include_in_schema=False)
def metrics() -> Response:
    """Prometheus text format; no names, no addresses."""
    return Response(observe.exposition(), media_type=CONTENT_TYPE_LATEST)
