"""What every HTTP session of a plugin keeps to."""

from __future__ import annotations

from typing import Any

import aiohttp


def keep_to_addresses(session: aiohttp.ClientSession) -> None:
    """Have the session send every request, websockets included, to its own address alone.

    By itself aiohttp follows redirects, with all headers that were made for the venue, the key among them,
    and tells whatever socket it ends at what is meant for the venue's. An answer that points elsewhere is now
    an answer like any other.
    """
    request = type(session)._request

    async def direct(*arguments: Any, **named: Any) -> Any:
        return await request(session, *arguments, **{**named, "allow_redirects": False})

    # Every method of a session comes to this one, and the library forbids classes of one's own.
    vars(session)["_request"] = direct
