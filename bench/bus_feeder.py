"""Publishes messages for readers of another process, so that the time of those is theirs alone.

    python -m bench.bus_feeder URL PREFIX

Each line of its input, a number of channels and of messages, lets it publish so many, in turn on each of the
channels; it answers with a line when Redis has taken all.
"""

from __future__ import annotations

import sys

from redis import Redis

MESSAGE = b"m" * 200
PIECE = 1_000


def channel(prefix: str, number: int) -> str:
    """The name on the wire of one of the channels."""
    return f"{prefix}:bus:{number}"


def main(url: str, prefix: str) -> None:
    """Feed until the input ends."""
    client = Redis.from_url(url)
    for line in sys.stdin:
        channels, messages = map(int, line.split())
        for first in range(0, messages, PIECE):
            with client.pipeline(transaction=False) as pipeline:
                for number in range(first, min(first + PIECE, messages)):
                    pipeline.publish(channel(prefix, number % channels), MESSAGE)
                pipeline.execute()
        print("done", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
