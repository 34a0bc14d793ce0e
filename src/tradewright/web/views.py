"""The pages: templates that carry no data of their own; their scripts read everything from the API."""

from quart import Blueprint, render_template
from quart_schema import hide

from tradewright import __version__


def build() -> Blueprint:
    """The blueprint of the pages.

    The pages expect the static folder of this package at ``/static/`` and the API at ``/api/v1``. They hold
    no inline script or style, so that they work under a policy that allows neither.
    """
    frontend_bp = Blueprint("frontend", __name__, template_folder="templates")

    @frontend_bp.app_context_processor
    def page_context() -> dict[str, str]:
        return {"version": __version__}

    @frontend_bp.get("/")
    @hide
    async def dashboard() -> str:
        return await render_template("dashboard.html")

    @frontend_bp.get("/chart")
    @hide
    async def chart() -> str:
        return await render_template("chart.html")

    @frontend_bp.get("/data")
    @hide
    async def data() -> str:
        return await render_template("data.html")

    @frontend_bp.get("/api/docs")
    @hide
    async def api_docs() -> str:
        return await render_template("api_docs.html")

    return frontend_bp
