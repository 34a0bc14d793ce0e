"""Where a request comes from, as far as logins, limits and the audit log want to know."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Visit:
    """``address`` is the peer's, or what a trusted proxy says; ``local`` says that the request was made on
    this machine by nobody who speaks for others; ``device`` is the cookie of a browser that logged in before.
    """

    address: str = ""
    agent: str = ""
    request_id: str = ""
    local: bool = False
    device: str | None = None

    @property
    def network(self) -> str:
        """What one household or machine has at will: the address, of IPv6 its first 64 bits."""
        return network_of(self.address)


@lru_cache(maxsize=1024)
def network_of(address: str) -> str:
    """What one household or machine has at will of this address, which may be none."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((int(parsed), 64), strict=False).network_address)
    return str(parsed)
