"""Writes the browser's types of the wire messages from the server's own definitions.

    python tools/generate_protocol_types.py            writes protocol.d.ts
    python tools/generate_protocol_types.py --check    fails when the file is not what would be written

``tradewright.web.protocol`` names the messages of the socket, ``CLIENT_MESSAGES`` and ``SERVER_MESSAGES``,
and ``tradewright.web.models`` the answers over HTTP, ``HTTP_MODELS``, with those of what is stored in
``tradewright.web.coverage_models`` and of people in
``tradewright.web.account_models`` and ``tradewright.web.user_models``.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import msgspec

from tradewright.web import account_models, coverage_models, models, protocol, user_models

Schema: TypeAlias = Mapping[str, object]

OUTPUT = Path(__file__).parents[1] / "src/tradewright/web/static/assets/js/modules/net/protocol.d.ts"
HEADER = """\
// Written by tools/generate_protocol_types.py from the server's definitions. Do not edit.
"""
REFERENCE = "#/{name}"
SIMPLE = {"integer": "number", "number": "number", "string": "string", "boolean": "boolean", "null": "null"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the file, or compare it; 0 when it is right afterwards."""
    parser = argparse.ArgumentParser(description="Generate the browser's types of the wire messages.")
    parser.add_argument("--check", action="store_true", help="fail when the file is stale, write nothing")
    options = parser.parse_args(arguments)
    wanted = render()
    if options.check:
        current = OUTPUT.read_text(encoding="utf-8") if OUTPUT.exists() else ""
        if current == wanted:
            return 0
        print(f"{OUTPUT.name} is stale: run python tools/generate_protocol_types.py", file=sys.stderr)
        return 1
    OUTPUT.write_text(wanted, encoding="utf-8")
    return 0


def render() -> str:
    """The declarations of every message and model, and of whatever they refer to."""
    groups = {
        "ClientMessage": protocol.CLIENT_MESSAGES,
        "ServerMessage": protocol.SERVER_MESSAGES,
    }
    answers = [
        *models.HTTP_MODELS,
        *coverage_models.COVERAGE_MODELS,
        *account_models.ACCOUNT_MODELS,
        *user_models.USER_MODELS,
    ]
    wanted = [model for group in groups.values() for model in group] + answers
    _, components = msgspec.json.schema_components(wanted, ref_template=REFERENCE)
    declarations = [declaration(name, schema) for name, schema in sorted(components.items())]
    unions = [
        f"export type {name} = {' | '.join(sorted(_name_of(member) for member in members))};\n"
        for name, members in groups.items()
    ]
    return "\n".join([HEADER, *declarations, *unions])


def declaration(name: str, schema: Schema) -> str:
    """One named type with its description as a comment."""
    text = _comment(schema.get("description"))
    if schema.get("type") == "object" and "properties" in schema:
        return f"{text}export interface {name} {{\n{_fields(schema)}}}\n"
    return f"{text}export type {name} = {typescript(schema)};\n"


def typescript(schema: Schema) -> str:
    """The TypeScript for a JSON Schema as msgspec writes them.

    Raises:
        ValueError: the schema uses something that no message needed so far.
    """
    if "$ref" in schema:
        return str(schema["$ref"]).removeprefix("#/")
    if "anyOf" in schema:
        return " | ".join(typescript(_schema(option)) for option in _list(schema["anyOf"]))
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in _list(schema["enum"]))
    if "const" in schema:
        return json.dumps(schema["const"])
    kind = schema.get("type")
    if isinstance(kind, list):
        return " | ".join(SIMPLE[one] for one in kind)
    if kind == "array":
        return _array(schema)
    if kind == "object":
        return _object(schema)
    if isinstance(kind, str) and kind in SIMPLE:
        return SIMPLE[kind]
    if not schema:
        return "unknown"
    raise ValueError(f"no TypeScript is known for {schema!r}")


def _array(schema: Schema) -> str:
    if "prefixItems" in schema:
        return f"[{', '.join(typescript(_schema(item)) for item in _list(schema['prefixItems']))}]"
    items = schema.get("items")
    inner = typescript(_schema(items)) if items is not None else "unknown"
    return f"({inner})[]" if " | " in inner else f"{inner}[]"


def _object(schema: Schema) -> str:
    if "properties" in schema:
        return f"{{ {_fields(schema).strip()} }}"
    values = schema.get("additionalProperties")
    inner = typescript(_schema(values)) if isinstance(values, Mapping) else "unknown"
    return f"Record<string, {inner}>"


def _fields(schema: Schema) -> str:
    required = _list(schema.get("required", []))
    lines = []
    for name, field in _schema(schema["properties"]).items():
        mark = "" if name in required else "?"
        lines.append(f"  {name}{mark}: {typescript(_schema(field))};\n")
    return "".join(lines)


def _comment(description: object) -> str:
    if not isinstance(description, str):
        return ""
    lines = [line.strip() for line in description.strip().splitlines()]
    body = "".join(f" * {line}".rstrip() + "\n" for line in lines)
    return f"/**\n{body} */\n"


def _name_of(model: type) -> str:
    return model.__name__


def _schema(value: object) -> Schema:
    if not isinstance(value, Mapping):
        raise TypeError(f"a schema was expected, there was {value!r}")
    return value


def _list(value: object) -> Sequence[object]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise TypeError(f"a list was expected, there was {value!r}")
    return value


if __name__ == "__main__":
    sys.exit(main())
