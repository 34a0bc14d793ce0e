"""Access tokens with letters of them changed at random: whether any is taken, or breaks anything."""

from __future__ import annotations

import base64
import random
from dataclasses import dataclass

from tests.support.accounts import People
from tradewright.domain.people import InvalidToken

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=\x00é"


@dataclass
class Damage:
    """What became of the damaged tokens; ``taken`` are those that were let in."""

    refused: int = 0
    same: int = 0
    """Base64 has spare bits at its end: another spelling of the same bytes is the same token."""
    taken: int = 0


async def damage(tokens: int, seed: int) -> Damage:
    """Try so many; an error other than ``InvalidToken`` is raised."""
    people = People()
    await people.add()
    token = (await people.login()).granted.access_token
    chance = random.Random(seed)
    original = _bytes_of(token)
    done = Damage()
    for _ in range(tokens):
        damaged = list(token)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.choice(_LETTERS)
        text = "".join(damaged)
        if _bytes_of(text) == original:
            done.same += 1
            continue
        try:
            await people.auth.authenticate(text)
        except InvalidToken:
            done.refused += 1
        else:
            done.taken += 1
    await people.auth.authenticate(token)
    return done


def _bytes_of(token: str) -> list[bytes | None]:
    return [_decoded(part) for part in token.split(".")]


def _decoded(part: str) -> bytes | None:
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        return None
