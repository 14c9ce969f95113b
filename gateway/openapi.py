"""`openapi.yaml`: what the operations declare, as OpenAPI 3.1. No route is named here.

`python -m gateway.openapi` writes the file; a test fails if it differs.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast, get_type_hints

import msgspec
from msgspec import Struct, inspect

from gateway.auth.scopes import Scope
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
T = TypeVar("T")

_ABOUT = """\
Farebox' REST API: the public APIs of Lago and Nozle, whose clients work unmodified.

Every operation answers under each of the servers below. Send a secret key as `Authorization: Bearer sk_…`. A change
may carry an `Idempotency-Key`: the same key with the same content gets the same answer, with other content 409. Every
answer has an `X-Request-Id`. Whatever a caller sends is read or refused by its name: unknown fields with
`unknown_field`, fields that other systems know and Farebox does not offer with `not_available`.
"""

_PARAMETER = re.compile(r"\{(\w+)\}")


def document(dialects: Sequence[Dialect]) -> Json:
    """The OpenAPI document of dialects."""
    operations = [operation for dialect in dialects for operation in dialect.operations]
    typed = [operation for operation in operations if isinstance(operation, Operation)]
    missing = [operation for operation in operations if isinstance(operation, NotOffered)]
    schemas = _schemas(typed, dialects)
    paths: Json = {}
    for operation in typed:
        paths.setdefault(operation.path, {}).setdefault(operation.method.lower(), _operation(operation))
    for absent in missing:
        paths.setdefault(absent.path, {}).setdefault(absent.method.lower(), _absent(absent))
    return {
        "openapi": "3.1.0",
        "info": {"title": "Farebox", "version": "1", "description": _ABOUT},
        "servers": [{"url": base} for dialect in dialects for base in dialect.bases],
        "security": [{"key": []}],
        "paths": {path: paths[path] for path in sorted(paths)},
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "bearerFormat": "sk_… or pk_…"}},
            "responses": _refusals(dialects),
            "schemas": {name: schemas[name] for name in sorted(schemas)},
        },
    }


def _schemas(operations: Sequence[AnyOperation], dialects: Iterable[Dialect]) -> Json:
    """The schemas by name; a caller's object takes no keys other than those listed."""
    answers = _components(
        [PageMeta, *map(_problem_body, dialects), *(operation.answer_type for operation in operations)]
    )
    bodies = _components([operation.body_schema or operation.body_type for operation in operations])
    for name, schema in bodies.items():
        if answers.get(name, schema) != schema:
            raise ValueError(f"two Structs are called {name}")
        if name not in answers and schema.get("type") == "object":
            schema["additionalProperties"] = False
    return {**bodies, **answers}


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
    """What a Struct says about keys that other systems know, in words for people."""
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


def _operation(operation: AnyOperation) -> Json:
    described: Json = {
        "operationId": _identity(operation.method, operation.path),
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": _parameters(operation),
        "responses": {str(status): _response(operation, status) for status in operation.statuses},
    }
    if operation.description:
        described["description"] = operation.description
    if operation.scope is Scope.NONE:
        described["security"] = []
    if operation.body_type is not Nothing:
        described["requestBody"] = {"required": True, "content": _content(_body(operation))}
    return described


def _absent(operation: NotOffered) -> Json:
    return {
        "operationId": _identity(operation.method, operation.path),
        "summary": f"Not offered: {operation.reason}",
        "tags": [operation.tag],
        "parameters": [_path_parameter(name, {"type": "string"}) for name in _names(operation.path)],
        "responses": {str(status): _refusal(status) for status in (400, 401, 403, 429, 500, 501, 503)},
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
    if operation.method in CHANGING:
        described.append({"name": "Idempotency-Key", "in": "header", "required": False, "schema": {"type": "string"}})
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


def _response(operation: AnyOperation, status: int) -> Json:
    if status != operation.status:
        return _refusal(status)
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
    info = inspect.type_info(kind)
    if isinstance(info, inspect.StructType):
        return {"$ref": REFERENCE.format(name=kind.__name__)}
    return msgspec.json.schema(kind)


def _wrapped(schema: Json, root: str, *, is_closed: bool) -> Json:
    if not root:
        return schema
    wrapped: Json = {"type": "object", "properties": {root: schema}, "required": [root]}
    return {**wrapped, "additionalProperties": False} if is_closed else wrapped


def _refusal(status: int) -> Json:
    return {"$ref": f"#/components/responses/{status}"}


def _refusals(dialects: Sequence[Dialect]) -> Json:
    """Every refusal once; operations refer to refusals by their status."""
    (body, *_) = [_problem_body(dialect) for dialect in dialects]
    return {str(status): _described(status, body) for status in TITLES}


def _described(status: int, body: type) -> Json:
    content = {"application/problem+json": {"schema": {"$ref": REFERENCE.format(name=body.__name__)}}}
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
