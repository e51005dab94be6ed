"""`/embed.js`: the booking pages inside somebody's own site."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import FileResponse

from api.pages.render import STATIC

router = APIRouter(include_in_schema=False)


@router.get("/embed.js")
def embed() -> FileResponse:
    """The script that a site's owner puts into a page; it opens the booking page in a frame as high as its content."""
    headers = {"Cache-Control": "public, max-age=3600", "Cross-Origin-Resource-Policy": "cross-origin"}
    return FileResponse(STATIC / "embed.js", media_type="text/javascript", headers=headers)
