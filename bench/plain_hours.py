"""A Quart route that selects rows of hours and encodes them, and does nothing else, under uvicorn."""

from __future__ import annotations

import sqlite3
import sys

import msgspec
import uvicorn
from quart import Quart, Response, request

SELECT = (
    "SELECT time, open, high, low, close, volume FROM bars WHERE series_id = ? AND time >= ? AND time < ?"
)

app = Quart(__name__)
_connection = sqlite3.connect(sys.argv[2])


@app.get("/hours")
async def hours() -> Response:
    """The hours of a series in a range."""
    asked = tuple(int(request.args[name]) for name in ("series", "start", "end"))
    rows = _connection.execute(SELECT, asked).fetchall()
    return Response(msgspec.json.encode({"bars": rows}), content_type="application/json")


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
