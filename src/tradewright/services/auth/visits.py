"""Where a request comes from, as far as logins, limits and the audit log want to know."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass


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
        try:
            address = ipaddress.ip_address(self.address.partition("%")[0])
        except ValueError:
            return self.address[:64]
        if isinstance(address, ipaddress.IPv6Address):
            if address.ipv4_mapped is not None:
                return str(address.ipv4_mapped)
            return str(ipaddress.ip_network((int(address), 64), strict=False).network_address)
        return str(address)
