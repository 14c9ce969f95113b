"""`openapi.yaml`: what the operations declare, as OpenAPI 3.1. No route is named here.

`python -m gateway.openapi` writes the file; a test fails if it differs.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct, inspect

from gateway.auth.scopes import Scope
from gateway.call import MAX_IDEMPOTENCY_BYTES
from gateway.dialect import Dialect
from gateway.operation import CHANGING, AnyOperation, Nothing, NotOffered, Operation, PageMeta
from gateway.problem import TITLES
from gateway.schema import OR_NUMBER, bare, parts_of

FILE = Path(__file__).parent / "openapi.yaml"
REFERENCE = "#/components/schemas/{name}"
# Statuses after which a caller may try again and is told when.
WAITING = frozenset({429, 503})
# JSON of whatever kind its schema says.
Json = dict[str, Any]
# The status that a dialect gives for one of ours, and its description in the document.
Refusal = Callable[[int], tuple[int, Json]]
NO_CONTENT = 204
T = TypeVar("T")

_ABOUT = """\
Farebox' REST API: the public APIs of Lago and Nozle, whose clients work unmodified; usage is taken as CloudEvents and
as Stripe's meter events, too.

Every operation answers under each of the servers of its path, or of the document. Send a secret key as
`Authorization: Bearer sk_…`. A change may carry an `Idempotency-Key`: a POST with the same key and the same content
gets the same answer for 30 days, with the header `Idempotent-Replayed: true`; with other content it gets 409. Every
answer has an `X-Request-Id`. Whatever a caller sends is read or refused by its name: unknown fields with
`unknown_field`, fields that other systems know and Farebox does not offer with `not_available`.
"""

_IDEMPOTENCY_KEY: Json = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "maxLength": MAX_IDEMPOTENCY_BYTES},
    "description": "Makes a repeat safe: at most 255 bytes, valid for this route of the organization. A POST that was "
    "answered with a success gets the same answer for 30 days; a refused one may be corrected and sent again.",
}
_PARAMETER = re.compile(r"\{(\w+)\}")


def document(dialects: Sequence[Dialect]) -> Json:
    """The OpenAPI document of dialects.

    The last one takes all requests that no other claims; its servers are those of most paths.
    """
    main = dialects[-1]
    typed = [entry for dialect in dialects for entry in dialect.operations if isinstance(entry, Operation)]
    schemas = _schemas(typed, dialects)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Farebox", "version": "1", "description": _ABOUT},
        "servers": _servers(main),
        "security": [{"key": []}],
        "paths": _paths(dialects, main),
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "bearerFormat": "sk_… or pk_…"}},
            "parameters": {"IdempotencyKey": _IDEMPOTENCY_KEY},
            "responses": _refusals(dialects, main),
            "schemas": {name: schemas[name] for name in sorted(schemas)},
        },
    }


def _paths(dialects: Sequence[Dialect], main: Dialect) -> Json:
    """The operations of each path; offered ones first, the main dialect's before the others'."""
    paths: Json = {}
    for kind in (Operation, NotOffered):
        for dialect in reversed(dialects):
            for operation in dialect.operations:
                if not isinstance(operation, kind):
                    continue
                path = paths.setdefault(operation.path, {} if dialect.bases == main.bases else _elsewhere(dialect))
                described = _described_by(dialect, operation, main)
                _add(path.setdefault(operation.method.lower(), described), described)
    return {path: paths[path] for path in sorted(paths)}


def _elsewhere(dialect: Dialect) -> Json:
    return {"servers": _servers(dialect)}


def _servers(dialect: Dialect) -> list[Json]:
    return [{"url": base} for base in dialect.bases]


def _described_by(dialect: Dialect, operation: AnyOperation | NotOffered, main: Dialect) -> Json:
    refusal = _refusal_of(dialect, main)
    return _operation(operation, refusal) if isinstance(operation, Operation) else _absent(operation, refusal)


def _add(described: Json, further: Json) -> None:
    """Add the bodies, by their media types, and the statuses of another dialect's operation at the same path."""
    if described is further or described["operationId"] != further["operationId"]:
        return
    if "requestBody" in further and "requestBody" in described:
        described["requestBody"]["content"] |= further["requestBody"]["content"]
    responses = described["responses"]
    described["responses"] = {
        status: responses.get(status) or further["responses"][status]
        for status in sorted({*responses, *further["responses"]})
    }


def _schemas(operations: Sequence[AnyOperation], dialects: Iterable[Dialect]) -> Json:
    """The schemas by name; a caller's object may have only the listed keys."""
    answers = _components(
        [PageMeta, *map(_problem_body, dialects), *(operation.answer_type for operation in operations)]
    )
    bodies = _components([kind for operation in operations for kind in _body_kinds(operation)])
    for name, schema in bodies.items():
        if answers.get(name, schema) != schema:
            raise ValueError(f"two Structs are called {name}")
        if name not in answers and schema.get("type") == "object":
            schema["additionalProperties"] = False
    return {**bodies, **answers}


def _body_kinds(operation: AnyOperation) -> list[type]:
    """The Structs that its bodies are, or are lists of."""
    kinds = [*operation.bodies.values(), operation.body_schema or operation.body_type]
    return [kind for listed in kinds for kind in get_args(listed) or (listed,)]


def _components(kinds: Iterable[type]) -> Json:
    structs = [kind for kind in kinds if issubclass(kind, Struct) and kind is not Nothing]
    found: dict[str, type] = {}
    for struct in structs:
        if found.setdefault(struct.__name__, struct) is not struct:
            raise ValueError(f"two Structs are called {struct.__name__}")
    components: Json = _settled(msgspec.json.schema_components(found.values(), ref_template=REFERENCE)[1])
    for struct in _reached(structs):
        refused = _refused(struct)
        if refused:
            schema = components[struct.__name__]
            schema["description"] = " ".join((schema.get("description", ""), refused)).strip()
    return components


def _reached(structs: Iterable[type[Struct]]) -> set[type[Struct]]:
    """The Structs and all Structs that they contain."""
    found: set[type[Struct]] = set()
    waiting = list(structs)
    while waiting:
        struct = waiting.pop()
        if struct not in found:
            found.add(struct)
            kinds = (kind for part in parts_of(struct) for kind in part.kinds)
            inner = (bare(kind.item_type) if isinstance(kind, inspect.ListType) else kind for kind in kinds)
            waiting += [kind.cls for kind in inner if isinstance(kind, inspect.StructType)]
    return found


def _refused(struct: type[Struct]) -> str:
    """A sentence about the keys that other systems know and a Struct does not offer."""
    not_offered, fixed = getattr(struct, "NOT_OFFERED", ()), getattr(struct, "FIXED", {})
    sentences = []
    if not_offered:
        sentences.append(f"Not offered: {', '.join(f'`{name}`' for name in sorted(not_offered))}.")
    if fixed:
        known = (f"`{name}: {msgspec.json.encode(value).decode()}`" for name, value in sorted(fixed.items()))
        sentences.append(f"Always: {', '.join(known)}.")
    return " ".join(sentences)


def _settled(schema: T) -> T:
    """A schema with its notes applied: for example, a decimal that may be written as text or as number."""
    if isinstance(schema, list):
        return cast("T", [_settled(inner) for inner in schema])
    if not isinstance(schema, dict):
        return schema
    settled: Json = {name: _settled(inner) for name, inner in schema.items() if name != OR_NUMBER}
    if OR_NUMBER in schema:
        settled["type"] = [settled["type"], "number"]
    return cast("T", settled)


def _problem_body(dialect: Dialect) -> type:
    body: type = get_type_hints(dialect.render_problem)["return"]
    return body


def _operation(operation: AnyOperation, refusal: Refusal) -> Json:
    responses = {}
    for status in operation.statuses:
        told, reference = refusal(status)
        responses[str(told)] = _success(operation) if status == operation.status else reference
    described: Json = {
        "operationId": _identity(operation.method, operation.path),
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": _parameters(operation),
        "responses": {status: responses[status] for status in sorted(responses)},
    }
    if operation.description:
        described["description"] = operation.description
    if operation.scope is Scope.NONE:
        described["security"] = []
    elif operation.permission:
        described["x-farebox-scope"] = operation.permission
    if operation.body_type is not Nothing:
        described["requestBody"] = {"required": True, "content": _bodies(operation)}
    return described


def _bodies(operation: AnyOperation) -> Json:
    if operation.bodies:
        return {media_type: {"schema": _schema(kind)} for media_type, kind in operation.bodies.items()}
    return _content(_body(operation))


def _absent(operation: NotOffered, refusal: Refusal) -> Json:
    told = dict(refusal(status) for status in (400, 401, 403, 429, 500, 501, 503))
    return {
        "operationId": _identity(operation.method, operation.path),
        "summary": f"Not offered: {operation.reason}",
        "tags": [operation.tag],
        "parameters": [_path_parameter(name, {"type": "string"}) for name in _names(operation.path)],
        "responses": {str(status): told[status] for status in sorted(told)},
    }


def _parameters(operation: AnyOperation) -> list[Json]:
    path = _fields(operation.path_type)
    described = [_path_parameter(name, path.get(name, {"type": "string"})) for name in _names(operation.path)]
    query = _fields(operation.query_type)
    needed = _needed(operation.query_type)
    for name, schema in query.items():
        # Lists are written as `a[]=1&a[]=2`.
        written = f"{name}[]" if schema.get("type") == "array" else name
        described.append({"name": written, "in": "query", "required": name in needed, "schema": schema})
    if operation.method in CHANGING and not operation.is_event and not operation.shows_secret:
        described.append({"$ref": "#/components/parameters/IdempotencyKey"})
    return described


def _path_parameter(name: str, schema: Json) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _names(path: str) -> list[str]:
    return _PARAMETER.findall(path)


def _fields(struct: type[Struct]) -> Json:
    """The schemas of a Struct's fields; all of them are plain, like parameters."""
    (schema,) = _settled(msgspec.json.schema_components([struct])[1]).values()
    properties: Json = schema.get("properties", {})
    return properties


def _needed(struct: type[Struct]) -> set[str]:
    return {part.name for part in parts_of(struct) if part.is_required}


def _body(operation: AnyOperation) -> Json:
    kind = operation.body_schema or operation.body_type
    schema = _schema(kind)
    wrapped = _wrapped(schema, operation.root, is_closed=True)
    return {"anyOf": [wrapped, schema]} if operation.is_root_optional else wrapped


def _success(operation: AnyOperation) -> Json:
    if operation.status == NO_CONTENT:
        return {"description": "Success"}
    if operation.media_type != "application/json":
        return {"description": "Success", "content": {operation.media_type: {"schema": {"type": "string"}}}}
    schema = _schema(operation.answer_type)
    if operation.is_list:
        meta = REFERENCE.format(name=PageMeta.__name__)
        schema = {
            "type": "object",
            "properties": {operation.answer_root: {"type": "array", "items": schema}, "meta": {"$ref": meta}},
            "required": [operation.answer_root, "meta"],
        }
    elif operation.answer_root:
        wrapped = _wrapped(schema, operation.answer_root, is_closed=False)
        schema = {"anyOf": [wrapped, schema]} if operation.is_bare_answered_bare else wrapped
    return {"description": "Success", "content": _content(schema)}


def _schema(kind: type) -> Json:
    if get_origin(kind) is list:
        return {"type": "array", "items": _schema(get_args(kind)[0])}
    info = inspect.type_info(kind)
    if isinstance(info, inspect.StructType):
        return {"$ref": REFERENCE.format(name=kind.__name__)}
    return msgspec.json.schema(kind)


def _wrapped(schema: Json, root: str, *, is_closed: bool) -> Json:
    if not root:
        return schema
    wrapped: Json = {"type": "object", "properties": {root: schema}, "required": [root]}
    return {**wrapped, "additionalProperties": False} if is_closed else wrapped


def _refusal_of(dialect: Dialect, main: Dialect) -> Refusal:
    """The status that a dialect gives for one of ours, and the component that describes it."""
    prefix = "" if _problem_body(dialect) is _problem_body(main) else f"{dialect.name}_"

    def refusal(status: int) -> tuple[int, Json]:
        told = dialect.statuses.get(status, status)
        return told, {"$ref": f"#/components/responses/{prefix}{told}"}

    return refusal


def _refusals(dialects: Sequence[Dialect], main: Dialect) -> Json:
    """Every refusal once in the form of each dialect; operations refer to them by their status."""
    found: Json = {}
    for dialect in reversed(dialects):
        for status in TITLES:
            told, reference = _refusal_of(dialect, main)(status)
            name = reference["$ref"].rpartition("/")[2]
            found.setdefault(name, _described(told, _problem_body(dialect), dialect.problem_media_type))
    return found


def _described(status: int, body: type, media_type: str) -> Json:
    content = {media_type: {"schema": {"$ref": REFERENCE.format(name=body.__name__)}}}
    described: Json = {"description": TITLES[status], "content": content}
    if status in WAITING:
        described["headers"] = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
    return described


def _content(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _identity(method: str, path: str) -> str:
    words = [re.sub(r"[{}.]+", "_", segment).strip("_") for segment in path.strip("/").split("/")]
    return "_".join([method.lower(), *words]).replace("-", "_")


def text(dialects: Sequence[Dialect]) -> str:
    """The document, as it is committed."""
    import yaml

    return str(yaml.safe_dump(document(dialects), sort_keys=False, allow_unicode=True, width=120))


def main() -> None:
    """Write the file."""
    from gateway.dialects import DIALECTS

    FILE.write_text(text(DIALECTS), encoding="utf-8")
    sys.stdout.write(f"{FILE}\n")


if __name__ == "__main__":
    main()
