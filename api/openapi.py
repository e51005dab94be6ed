"""The OpenAPI 3.1 document: what FastAPI finds out by itself, with our problems in place of its own."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.problems import Problem, codes_by_status, documented

ANYWHERE = (413, 429, 503)
"""What any call of the JSON API may be answered."""


def describe(app: FastAPI) -> dict[str, Any]:
    """The document of an application; made once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags
        )
        _with_problems(made)
        app.openapi_schema = made
    return app.openapi_schema


def _with_problems(made: dict[str, Any]) -> None:
    schemas = made.setdefault("components", {}).setdefault("schemas", {})
    own = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(own.pop("$defs", {}))
    schemas["Problem"] = own
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    codes = codes_by_status()
    shared: dict[str, Any] = {}
    for path, item in made["paths"].items():
        for operation in item.values():
            answers = operation["responses"]
            if "422" in answers:
                answers["422"] = documented(422)[422]
            if path.startswith("/api/v1/"):
                for status, told in documented(*ANYWHERE).items():
                    answers.setdefault(str(status), told)
                operation["responses"] = {s: _shared(s, told, codes, shared) for s, told in answers.items()}
    made["components"]["responses"] = dict(sorted(shared.items()))


def _shared(status: str, told: dict[str, Any], codes: dict[int, list[str]], shared: dict[str, Any]) -> dict[str, Any]:
    """A reference to the one description of a problem with this status and the codes that it may have."""
    if "application/problem+json" not in told.get("content", {}):
        return told
    known = codes[int(status)]
    schema = {"allOf": [{"$ref": "#/components/schemas/Problem"}, {"properties": {"code": {"enum": known}}}]}
    shared[f"Problem{status}"] = {
        "description": f"{told['description']}: " + ", ".join(f"`{code}`" for code in known),
        "content": {"application/problem+json": {"schema": schema}},
    }
    return {"$ref": f"#/components/responses/Problem{status}"}
