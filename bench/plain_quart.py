"""The obvious program: a Quart route that turns bars into JSON at each request, under uvicorn."""

from __future__ import annotations

import sys

import uvicorn
from quart import Quart, Response, jsonify

from bench.generated import minute_bars

BARS = 1_000

app = Quart(__name__)
_rows = minute_bars(BARS).rows()


@app.get("/bars")
async def bars() -> Response:
    """Every bar, at each request anew."""
    return jsonify({"bars": _rows})


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
