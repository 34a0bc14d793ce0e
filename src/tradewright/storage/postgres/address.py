"""Where a server is, and how it may be named without its password."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tradewright.domain.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Address:
    """A server's URL; ``place`` is what people may see of it: host, port and database."""

    url: str = field(repr=False)
    place: str

    @classmethod
    def of(cls, url: str) -> Address:
        """The address that ``url`` names; ``ConfigError``, without the URL, where it is none."""
        try:
            parts = urlsplit(url)
        except ValueError:
            raise ConfigError(["The database URL can't be read: check its host and its brackets."]) from None
        if parts.scheme not in ("postgresql", "postgres"):
            raise ConfigError(["The database URL must begin with postgresql://."])
        return cls(url, parts.netloc.rpartition("@")[2] + parts.path)
