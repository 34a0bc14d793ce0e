"""Which passwords are guessed first.

No list of leaked passwords, but the rules by which people make them: a word that everybody takes, keys that
lie side by side, a year, one letter again and again, and these in a row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from typing import Final

_WORDS: Final = frozenset(
    [
        "abc",
        "access",
        "account",
        "admin",
        "administrator",
        "alpha",
        "amazing",
        "america",
        "andrew",
        "angel",
        "animal",
        "anna",
        "anthony",
        "apple",
        "arsenal",
        "ashley",
        "asshole",
        "autumn",
        "baby",
        "bailey",
        "banana",
        "barcelona",
        "baseball",
        "basketball",
        "batman",
        "beach",
        "bear",
        "beautiful",
        "berlin",
        "binance",
        "bitcoin",
        "blink",
        "blue",
        "boomer",
        "bonjour",
        "boss",
        "brandon",
        "broker",
        "butterfly",
        "buster",
        "bull",
        "canada",
        "captain",
        "change",
        "changeme",
        "charlie",
        "cheese",
        "chelsea",
        "chicago",
        "chicken",
        "chocolate",
        "chris",
        "coffee",
        "coin",
        "coinbase",
        "company",
        "computer",
        "cookie",
        "corvette",
        "cowboy",
        "crypto",
        "dallas",
        "daniel",
        "david",
        "default",
        "demo",
        "dennis",
        "diamond",
        "dog",
        "dogecoin",
        "dolphin",
        "donald",
        "dragon",
        "eagle",
        "easy",
        "elephant",
        "england",
        "enter",
        "ethereum",
        "exchange",
        "facebook",
        "falcon",
        "family",
        "ferrari",
        "finance",
        "fish",
        "flower",
        "football",
        "forever",
        "freedom",
        "friend",
        "friends",
        "fuck",
        "gandalf",
        "garden",
        "george",
        "ginger",
        "girl",
        "god",
        "golden",
        "google",
        "guest",
        "guitar",
        "hacker",
        "hammer",
        "hannah",
        "happy",
        "harley",
        "heaven",
        "hello",
        "hockey",
        "home",
        "honey",
        "house",
        "hunter",
        "iloveyou",
        "instagram",
        "internet",
        "jackson",
        "james",
        "january",
        "jasmine",
        "jennifer",
        "jessica",
        "jesus",
        "jordan",
        "joseph",
        "joshua",
        "juli",
        "june",
        "justin",
        "killer",
        "king",
        "kitten",
        "kraken",
        "ladybug",
        "lakers",
        "legend",
        "leon",
        "letmein",
        "liberty",
        "linkedin",
        "little",
        "liverpool",
        "login",
        "london",
        "lord",
        "love",
        "lovely",
        "lover",
        "lucky",
        "maggie",
        "manager",
        "market",
        "martin",
        "master",
        "matrix",
        "matthew",
        "me",
        "merlin",
        "michael",
        "michelle",
        "mickey",
        "miller",
        "million",
        "mine",
        "monday",
        "money",
        "monkey",
        "monster",
        "mother",
        "mountain",
        "music",
        "mustang",
        "my",
        "naruto",
        "nascar",
        "new",
        "nicole",
        "ninja",
        "nothing",
        "number",
        "oliver",
        "one",
        "orange",
        "paris",
        "pass",
        "passw",
        "passwd",
        "password",
        "patrick",
        "peanut",
        "people",
        "pepper",
        "phoenix",
        "player",
        "please",
        "pokemon",
        "police",
        "porsche",
        "prince",
        "princess",
        "private",
        "purple",
        "qwerty",
        "rabbit",
        "rainbow",
        "ranger",
        "rich",
        "robert",
        "root",
        "samsung",
        "sample",
        "secret",
        "secure",
        "server",
        "service",
        "sexy",
        "shadow",
        "sister",
        "snoopy",
        "soccer",
        "software",
        "sophie",
        "spring",
        "star",
        "starwars",
        "summer",
        "sun",
        "sunday",
        "sunshine",
        "super",
        "superman",
        "sweet",
        "system",
        "taylor",
        "team",
        "temp",
        "tennis",
        "test",
        "tester",
        "testing",
        "thomas",
        "thunder",
        "tiger",
        "time",
        "tinkerbell",
        "trade",
        "trader",
        "trading",
        "travel",
        "trust",
        "trustno",
        "tucker",
        "twitter",
        "unknown",
        "user",
        "victory",
        "wallet",
        "warrior",
        "welcome",
        "whatever",
        "william",
        "winner",
        "winter",
        "wizard",
        "wolf",
        "word",
        "work",
        "world",
        "yankees",
        "yellow",
        "you",
        "zaq",
    ]
)
_ROWS: Final = ("qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiopü", "yxcvbnm", "azertyuiop", "1234567890")
_SPOKEN: Final = str.maketrans(
    {"0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t", "@": "a", "$": "s"}
)
_SEPARATORS: Final = re.compile(r"(?![@$])[\W_]+")  # those two are read as letters
_PIECES_MAX: Final = 4
_CONTEXT_MIN: Final = 4
_FREE_MIN: Final = 8


def is_guessable(password: str, context: Iterable[str] = ()) -> bool:
    """Whether somebody who guesses would come to it soon. ``context`` are words that belong to the account
    or the product: what is left of the password without them must still be long, and not guessable."""
    lowered = password.lower()
    if len(set(lowered)) < 5 or _is_made_of_known_pieces(lowered):
        return True
    for word in (each.lower() for each in context):
        if len(word) >= _CONTEXT_MIN and word in lowered:
            rest = lowered.replace(word, "")
            if len(rest) < _FREE_MIN or _is_made_of_known_pieces(rest):
                return True
    return False


def _is_made_of_known_pieces(lowered: str) -> bool:
    plain = _SEPARATORS.sub("", lowered)
    return _pieces(plain) <= _PIECES_MAX or _repeats(plain)


def _pieces(text: str) -> int:
    """Of how few known pieces the text can be put together; many where it can't."""
    never = len(text) + _PIECES_MAX + 1
    fewest = [0] + [never] * len(text)
    for end in range(1, len(text) + 1):
        fewest[end] = min(
            (fewest[start] + 1 for start in range(end) if fewest[start] < never and _known(text[start:end])),
            default=never,
        )
    return fewest[-1]


@lru_cache(maxsize=4_096)
def _known(piece: str) -> bool:
    spoken = piece.translate(_SPOKEN)
    return (
        piece in _WORDS or spoken in _WORDS or piece.isdecimal() or len(set(piece)) == 1 or _is_a_run(piece)
    )


def _is_a_run(piece: str) -> bool:
    if len(piece) < 3:
        return False
    steps = {ord(b) - ord(a) for a, b in pairwise(piece)}
    return steps in ({1}, {-1}) or any(piece in row or piece in row[::-1] for row in _ROWS)


def _repeats(text: str) -> bool:
    """Whether a part of at most half its length is all there is."""
    return text != "" and text in (text + text)[1:-1]
