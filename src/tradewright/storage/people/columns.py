"""How values are kept that databases disagree about."""

from __future__ import annotations

from sqlalchemy import Dialect, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

from tradewright.domain.people import storable


class StoredText(TypeDecorator[str]):
    """Any text, whoever gave it: a letter that can't be kept is replaced, so that it fails nothing."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else storable(value)


class StoredId(StoredText):
    """A random id, or another key, ordered by its code points whatever the language of the database."""

    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        return dialect.type_descriptor(Text(collation="C") if dialect.name == "postgresql" else Text())
