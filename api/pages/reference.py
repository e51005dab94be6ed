"""`/api/docs`: the API's document for people, without a script and without anything from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from api.pages.render import page

router = APIRouter(include_in_schema=False)

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Field:
    """A parameter, a header or a member of a body. place: ``path``, ``query``, ``header`` or ``body``."""

    name: str
    place: str
    kind: str
    required: bool
    about: str


@dataclass(frozen=True, slots=True)
class Call:
    """One operation. answers: status, what it means, and the kind of its content."""

    method: str
    path: str
    about: str
    fields: tuple[Field, ...]
    answers: tuple[tuple[str, str, str], ...]


@router.get("/api/docs")
def reference(request: Request) -> HTMLResponse:
    """Every call, by its part of the API."""
    document = request.app.openapi()
    parts: dict[str, list[Call]] = {}
    for part, call in calls(document):
        parts.setdefault(part, []).append(call)
    return page(request, "reference.html", "en", parts=parts, about=document["info"]["description"])


def calls(document: Mapping[str, Any]) -> Iterator[tuple[str, Call]]:
    """The operations of an OpenAPI 3.1 document with the tag that each has, in the document's order. Pure."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            part = next(iter(operation.get("tags", [])), "other")
            about = operation.get("description") or operation.get("summary", "")
            answers = tuple(_answers(operation["responses"], document))
            yield part, Call(method.upper(), path, about, tuple(_fields(operation, document)), answers)


def kind_of(schema: Schema) -> str:
    """A schema in a few words: ``text``, ``one of …``, ``list of Slot``. Pure."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "enum" in schema or "const" in schema:
        return "one of " + ", ".join(f"“{value}”" for value in schema.get("enum", [schema.get("const")]))
    for word in ("anyOf", "oneOf", "allOf"):
        if word in schema:
            kinds = [kind_of(one) for one in schema[word] if one.get("type") != "null"]
            return " or ".join(dict.fromkeys(kinds)) if word != "allOf" else kinds[0]
    if schema.get("type") == "array":
        return f"list of {kind_of(schema.get('items', {}))}"
    plain = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}
    return str(schema.get("format") or plain.get(str(schema.get("type")), schema.get("type") or "anything"))


def _fields(operation: Schema, document: Schema) -> Iterator[Field]:
    for given in operation.get("parameters", []):
        kind = kind_of(given["schema"])
        yield Field(given["name"], given["in"], kind, bool(given.get("required")), given.get("description", ""))
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    body = _resolved(body, document)
    for name, member in body.get("properties", {}).items():
        required = name in body.get("required", [])
        yield Field(name, "body", kind_of(member), required, member.get("description", ""))


def _answers(responses: Schema, document: Schema) -> Iterator[tuple[str, str, str]]:
    for status, told in responses.items():
        told = _resolved(told, document)
        for media, content in (told.get("content") or {"": {}}).items():
            kind = kind_of(content.get("schema", {})) if "json" in media else media
            yield status, told.get("description", ""), kind


def _resolved(schema: Schema, document: Schema) -> Schema:
    if "$ref" not in schema:
        return schema
    found: Any = document
    for step in str(schema["$ref"]).removeprefix("#/").split("/"):
        found = found[step]
    return found  # type: ignore[no-any-return]
