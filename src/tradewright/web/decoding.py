"""The strict converters of query strings and of bodies: nothing unknown, nothing twice, no number that is
none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, TypeVar

import msgspec
from quart import request
from werkzeug.exceptions import UnsupportedMediaType

from tradewright.domain.errors import InvalidInput, MalformedInput
from tradewright.web.strict_json import parse_json

_WHOLE: Final = re.compile(r"-?(0|[1-9][0-9]{0,15})")
_PATH: Final = re.compile(r"^(?P<reason>.*?)(?: - at `\$\.?(?P<field>[^`]*)`)?$", re.DOTALL)

BODY_DEPTH_MAX: Final = 8

QueryT = TypeVar("QueryT", bound=msgspec.Struct)


def parse_query(kind: type[QueryT]) -> QueryT:
    """The request's query as the struct; ``InvalidInput`` names every field that is wrong."""
    return convert_query(kind, request.args.to_dict(flat=False))


async def parse_body(kind: type[QueryT]) -> QueryT:
    """The request's JSON body as the struct. ``UnsupportedMediaType`` where it is not sent as JSON, which
    also keeps out forms of foreign pages; ``MalformedInput`` where it is none; ``InvalidInput`` names every
    field that is wrong."""
    if request.mimetype != "application/json":
        raise UnsupportedMediaType("The body must be sent as application/json.")
    data = await request.get_data(as_text=False)
    assert isinstance(data, bytes)
    return convert_body(kind, data)


def convert_body(kind: type[QueryT], data: bytes) -> QueryT:
    """The JSON as the struct; as ``parse_body``."""
    given = parse_json(data, depth_max=BODY_DEPTH_MAX)
    if not isinstance(given, dict):
        raise MalformedInput("The body must be a JSON object.")
    known, required = _fields(kind)
    errors = {name: "unknown field" for name in given if name not in known}
    errors.update({name: "required" for name in required if name not in given})
    result = _converted(kind, {name: value for name, value in given.items() if name in known}, errors)
    if errors or result is None:
        raise InvalidInput("Some fields are wrong.", {_shown(name): why for name, why in errors.items()})
    return result


def convert_query(kind: type[QueryT], given: dict[str, list[str]]) -> QueryT:
    """The given values as the struct; ``InvalidInput`` names every field that is wrong."""
    whole_numbers = _whole_number_fields(kind)
    known, required = _fields(kind)
    errors = {name: "unknown parameter" for name in given if name not in known}
    errors.update({name: "required" for name in required if name not in given})
    values: dict[str, int | str] = {}
    for name, texts in given.items():
        if name in errors:
            continue
        if len(texts) > 1:
            errors[name] = "given more than once"
        elif name in whole_numbers and not _WHOLE.fullmatch(texts[0]):
            errors[name] = "must be a whole number"
        else:
            values[name] = int(texts[0]) if name in whole_numbers else texts[0]
    result = _converted(kind, values, errors)
    if errors or result is None:
        raise InvalidInput("Some parameters are wrong.", {_shown(name): why for name, why in errors.items()})
    return result


def _converted(kind: type[QueryT], values: Mapping[str, object], errors: dict[str, str]) -> QueryT | None:
    try:
        return msgspec.convert(values, kind, strict=True)
    except msgspec.ValidationError as error:
        match = _PATH.match(str(error))
        field = match["field"] if match else None
        if field:
            errors.setdefault(field, match["reason"] if match else str(error))
        elif not errors:
            errors["query"] = str(error)
        return None
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can spell and UTF-8 can't
        errors.setdefault(_half_letter_in(values), "must be text in UTF-8")
        return None


def _half_letter_in(values: Mapping[str, object]) -> str:
    """The field in which it stands."""
    return next((name for name, value in values.items() if not _is_utf8(value)), "query")


def _is_utf8(value: object) -> bool:
    try:
        msgspec.json.encode(value)
    except UnicodeEncodeError:
        return False
    return True


def _shown(name: str) -> str:
    """A parameter's name as it may go into an answer."""
    return name if name.isprintable() and len(name) <= 64 else "(unprintable)"


@lru_cache(maxsize=128)
def _fields(kind: type[msgspec.Struct]) -> tuple[frozenset[str], tuple[str, ...]]:
    listed = msgspec.structs.fields(kind)
    return frozenset(field.name for field in listed), tuple(f.name for f in listed if f.required)


@lru_cache(maxsize=128)
def _whole_number_fields(kind: type[msgspec.Struct]) -> frozenset[str]:
    info = msgspec.inspect.type_info(kind)
    if not isinstance(info, msgspec.inspect.StructType):
        raise TypeError(f"{kind} is no struct")
    return frozenset(field.name for field in info.fields if _is_whole(field.type))


def _is_whole(kind: msgspec.inspect.Type) -> bool:
    if isinstance(kind, msgspec.inspect.UnionType):
        return any(_is_whole(part) for part in kind.types)
    return isinstance(kind, msgspec.inspect.IntType)
