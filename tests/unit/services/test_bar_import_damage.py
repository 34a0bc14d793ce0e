"""Files that were damaged at random are taken or refused in one sentence; nothing else comes of them."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest

from tests.unit.services.import_desk import (
    Desk,
    columns_of,
    csv_of,
    dump_of,
    parquet_of,
    with_symbols,
    zip_of,
)
from tradewright.domain.bars import impossible_rows
from tradewright.domain.errors import BarFileError

SOUND = {
    "plain.csv": csv_of(range(30)).encode(),
    "symbols.csv": with_symbols(("BTC/USDT", range(5)), ("ETH/USDT", range(5))).encode(),
    "packed.csv.gz": gzip.compress(csv_of(range(30)).encode(), mtime=0),
    "dump.zip": zip_of(a__csv=dump_of(range(20)), b__csv=dump_of(range(30, 40))),
    "packed.parquet": parquet_of(columns_of(range(30))),
    "plain.parquet": parquet_of({"symbol": ["BTC/USDT"] * 30, **columns_of(range(30))}, compression="none"),
}
INSERTED = (b"\n", b",", b'"', b"-", b"\x00", b"9" * 20, b"\xff\xff", b"\r", b";", b"nan", b"1e400")


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Return the content with a few bytes changed, cut out or put in."""
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 5))):
        at = chance.randrange(len(changed))
        match chance.randrange(4):
            case 0:
                changed[at] = chance.randrange(256)
            case 1:
                changed[at] ^= 1 << chance.randrange(8)
            case 2:
                del changed[at : at + chance.randrange(1, 20)]
            case _:
                changed[at:at] = chance.choice(INSERTED)
    return bytes(changed)


@pytest.mark.parametrize("name", SOUND)
async def test_damage_is_refused_in_one_sentence(tmp_path: Path, name: str) -> None:
    chance = random.Random(name)
    refused = 0
    for _ in range(150):
        desk = Desk(tmp_path)
        file = desk.file(name, damaged(SOUND[name], chance))
        with_column = name in ("symbols.csv", "plain.parquet")
        try:
            await desk.take(file, symbol=None if with_column else "BTC/USDT")
        except BarFileError as error:
            refused += 1
            message = error.message
        else:
            message = f"{file}: taken"
            assert not impossible_rows(await desk.stored()).any()
        assert message.startswith(str(file))
        assert "\n" not in message
        assert message.endswith("taken") or await desk.is_empty()
    assert refused > 75, "most damage is noticed"
