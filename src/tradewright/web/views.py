"""The pages: templates that carry no data of the server's; their scripts read all of it from the API.

What the program is made of is no such data: the page about it is written here, whole, for readers without
JavaScript as well.
"""

import asyncio
from typing import Final

from quart import Blueprint, Response, render_template
from quart_schema import hide

from tradewright.web.notices import Parts, installed_parts
from tradewright.web.peers import from_this_machine

PAGES: Final = {
    "dashboard": "/",
    "chart": "/chart",
    "data": "/data",
    "login": "/login",
    "register": "/register",
    "profile": "/profile",
    "credentials": "/credentials",
    "users": "/users",
    "faq": "/faq",
    "support": "/support",
    "api_docs": "/api/docs",
}
"""The template of each page, and its address."""


def build() -> Blueprint:
    """The blueprint of the pages.

    The pages expect the static folder of this package at ``/static/`` and the API at ``/api/v1``. They hold
    no inline script or style, so that they work under a policy that allows neither.
    """
    frontend_bp = Blueprint("frontend", __name__, template_folder="templates")

    for name, path in PAGES.items():
        _add_page(frontend_bp, name, path)
    _add_about(frontend_bp)
    return frontend_bp


def _add_page(blueprint: Blueprint, name: str, path: str) -> None:
    @hide
    async def page() -> str:
        return await render_template(f"{name}.html")

    blueprint.add_url_rule(path, name, page)


def _add_about(blueprint: Blueprint) -> None:
    @blueprint.get("/about")
    @hide
    async def about() -> str:
        return await render_template("about.html", parts=await _parts())

    @blueprint.get("/about/notices.txt")
    @hide
    async def notices() -> Response:
        return Response((await _parts()).text(), content_type="text/plain; charset=utf-8")


async def _parts() -> Parts:
    """What the program is made of; strangers are not told which versions to look for holes in."""
    parts = await asyncio.to_thread(installed_parts)
    return parts if from_this_machine() else parts.without_versions()
