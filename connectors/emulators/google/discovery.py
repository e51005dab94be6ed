"""Google's own discovery document as the measure of requests and answers (PROVIDERS G6)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from googleapiclient.discovery_cache import get_static_doc

from connectors.emulators.google.answers import ApiError, Json

_TYPES: dict[str, type] = {"string": str, "boolean": bool, "object": dict, "array": list}
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
# The document has no enums for body fields; these are from its descriptions (PROVIDERS A3, A9).
ENUMS = {
    "status": {"confirmed", "tentative", "cancelled"},
    "transparency": {"opaque", "transparent"},
    "visibility": {"default", "public", "private", "confidential"},
    "eventType": {"default", "outOfOffice", "focusTime", "workingLocation", "birthday", "fromGmail"},
    "responseStatus": {"needsAction", "declined", "tentative", "accepted"},
    "accessRole": {"none", "freeBusyReader", "reader", "writerWithoutPrivateAccess", "writer", "owner"},
}


@lru_cache(maxsize=1)
def document() -> Json:
    """The document of the installed client library."""
    loaded: Json = json.loads(get_static_doc("calendar", "v3"))
    return loaded


@dataclass(frozen=True, slots=True)
class Method:
    """One API method. id: like ``calendar.events.list``."""

    id: str
    http: str
    pattern: re.Pattern[str]
    parameters: Json
    scopes: frozenset[str]
    answers: str
    takes: str


@lru_cache(maxsize=1)
def methods() -> tuple[Method, ...]:
    """Every method of the API."""
    found = []
    for resource in document()["resources"].values():
        for method in resource["methods"].values():
            path = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", method["path"])
            found.append(
                Method(
                    method["id"],
                    method["httpMethod"],
                    re.compile("/calendar/v3/" + path),
                    method.get("parameters", {}),
                    frozenset(method["scopes"]),
                    method.get("response", {}).get("$ref", ""),
                    method.get("request", {}).get("$ref", ""),
                )
            )
    return tuple(found)


def route(http: str, path: str) -> tuple[Method, dict[str, str]] | None:
    """The method that a request asks for, with its path parameters decoded."""
    for method in methods():
        if method.http == http and (match := method.pattern.fullmatch(path)):
            return method, {name: unquote(value) for name, value in match.groupdict().items()}
    return None


def checked_query(method: Method, query: Sequence[tuple[str, str]]) -> Json:
    """Query parameters with their types. Raises `ApiError` 400 for one that the method doesn't have (rule G-1)."""
    found: Json = {}
    for name, text in query:
        spec = method.parameters.get(name)
        if spec is None:
            if name in document()["parameters"]:
                continue  # alt, key, prettyPrint, …
            raise ApiError(400, "badRequest", f"Unknown name {name!r}: no such parameter", location=name)
        value = _parameter(name, spec, text)
        if spec.get("repeated"):
            found.setdefault(name, []).append(value)
        elif name in found:
            raise ApiError(400, "badRequest", f"{name} is given twice", location=name)
        else:
            found[name] = value
    return found


def _parameter(name: str, spec: Json, text: str) -> object:
    kind = spec.get("type")
    if kind == "boolean":
        if text not in ("true", "false"):
            raise ApiError(400, "invalidParameter", f"Invalid boolean value: {text!r}", location=name)
        return text == "true"
    if kind == "integer":
        low, high = int(spec.get("minimum", -(2**31))), int(spec.get("maximum", 2**31))
        if not re.fullmatch(r"-?\d+", text) or not low <= int(text) <= high:
            raise ApiError(400, "invalidParameter", f"Invalid integer value: {text!r}", location=name)
        return int(text)
    if spec.get("format") == "date-time" and not _RFC3339.fullmatch(text):
        raise ApiError(400, "badRequest", "Bad Request", location=name)
    if "enum" in spec and text not in spec["enum"]:
        raise ApiError(400, "invalidParameter", f"Invalid string value: {text!r}", location=name)
    return text


def faults_of(value: object, schema: str) -> list[str]:
    """What is wrong with a value by a schema's name, unknown fields included; empty if nothing is."""
    return list(_walk(value, {"$ref": schema}, "$"))


def _walk(value: Any, schema: Json, path: str) -> Iterator[str]:
    if "$ref" in schema:
        schema = document()["schemas"][schema["$ref"]]
    kind = schema.get("type", "")
    if not _fits(value, kind):
        yield f"{path}: {kind} expected"
        return
    if kind == "string":
        form = schema.get("format")
        if form == "date-time" and not _RFC3339.fullmatch(value):
            yield f"{path}: not RFC 3339"
        if form == "date" and not re.fullmatch(r"\d{4}-\d\d-\d\d", value):
            yield f"{path}: not a date"
        if form == "int64" and not re.fullmatch(r"-?\d+", value):
            yield f"{path}: int64 is a decimal string"
    if kind == "array":
        for number, item in enumerate(value):
            yield from _walk(item, schema["items"], f"{path}[{number}]")
    if kind == "object":
        yield from _walk_object(value, schema, path)


def _fits(value: object, kind: str) -> bool:
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return kind not in _TYPES or isinstance(value, _TYPES[kind])


def _walk_object(value: Json, schema: Json, path: str) -> Iterator[str]:
    properties, more = schema.get("properties", {}), schema.get("additionalProperties")
    for name, item in value.items():
        if name in properties:
            yield from _walk(item, properties[name], f"{path}.{name}")
        elif more:
            yield from _walk(item, more, f"{path}.{name}")
        else:
            yield f"{path}.{name}: unknown field"
        if name in ENUMS and isinstance(item, str) and item not in ENUMS[name] and not path.endswith("properties"):
            yield f"{path}.{name}: {item!r} is not one of its values"
