"""The second factor: codes of an authenticator (TOTP), each good once, and recovery codes for its loss."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import pyotp
import segno

from tradewright.domain.errors import Conflict, InvalidInput
from tradewright.domain.people import LoginRecord, TotpRequired
from tradewright.domain.people_stores import UserStore
from tradewright.runtime.clock import Clock
from tradewright.services.auth.throttle import Throttle, guess_of_code
from tradewright.services.encryption_service import EncryptionService, SealingContext

RECOVERY_CODES: Final = 10
_STEP_S: Final = 30
_DRIFT_STEPS: Final = 1
_CODE: Final = re.compile(r"[0-9]{6}")
_RECOVERY_BYTES: Final = 10


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What an authenticator needs to know; told once."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)
    image: str = field(repr=False)


class SecondFactor:
    """Enrols, checks and removes the second factors of users."""

    def __init__(
        self, users: UserStore, encryption: EncryptionService, throttle: Throttle, clock: Clock
    ) -> None:
        self._users = users
        self._encryption = encryption
        self._throttle = throttle
        self._clock = clock

    async def enrol(self, record: LoginRecord) -> Enrolment:
        """Begin: keep a new secret, which counts once a code of it was shown. ``Conflict`` where there is
        one that counts."""
        user = record.user
        if user.totp_enabled:
            raise Conflict("There is a second factor already: remove it before you set up another.")
        secret = pyotp.random_base32()
        sealed = self._encryption.seal(_context(user.id), {"secret": secret})
        await self._users.set_totp(user.id, sealed, enabled=False)
        uri = pyotp.TOTP(secret).provisioning_uri(name=user.username, issuer_name="tradewright")
        return Enrolment(secret, uri, segno.make(uri).svg_data_uri(scale=4))

    async def confirm(self, record: LoginRecord, code: str) -> tuple[str, ...]:
        """Make the enrolled secret count; the recovery codes, told once. ``Conflict`` where nothing waits to
        be confirmed, ``InvalidInput`` where the code is wrong."""
        if record.totp_secret is None or record.user.totp_enabled:
            raise Conflict("No second factor waits to be confirmed.")
        async with self._throttle.attempt(guess_of_code(record.user.id)) as attempt:
            step = self._step_of(record, code)
            if step is None or not await self._users.take_totp_step(record.user.id, step):
                attempt.fail()
                raise InvalidInput("The code is wrong.", {"totp": "is wrong, or the clocks differ"})
            attempt.succeed()
        codes = tuple(_new_recovery_code() for _ in range(RECOVERY_CODES))
        hashes = [_recovery_hash(record.user.id, each) for each in codes]
        await self._users.set_totp(record.user.id, record.totp_secret, enabled=True, recovery_hashes=hashes)
        return codes

    async def remove(self, user_id: str) -> None:
        """There is none any more."""
        await self._users.set_totp(user_id, None, enabled=False)

    async def check(self, record: LoginRecord, code: str | None) -> str | None:
        """Take the code where the user has a second factor, and say what it was: ``totp``, ``recovery``, or
        None where there is no second factor. ``TotpRequired`` where it is missing, wrong, or was used."""
        if not record.user.totp_enabled:
            return None
        if not code:
            raise TotpRequired("The code of the second factor is needed as well.")
        async with self._throttle.attempt(guess_of_code(record.user.id)) as attempt:
            kind = await self._taken(record, code)
            if kind is None:
                attempt.fail()
                raise TotpRequired("The code of the second factor is wrong, or was used before.")
            attempt.succeed()
        return kind

    async def _taken(self, record: LoginRecord, code: str) -> str | None:
        if _CODE.fullmatch(code):
            step = self._step_of(record, code)
            taken = step is not None and await self._users.take_totp_step(record.user.id, step)
            return "totp" if taken else None
        wanted = _recovery_hash(record.user.id, code)
        return "recovery" if await self._users.take_recovery_code(record.user.id, wanted) else None

    def _step_of(self, record: LoginRecord, code: str) -> int | None:
        """The time step whose code this is, looked for around now."""
        if record.totp_secret is None or not _CODE.fullmatch(code):
            return None
        secret = self._encryption.open(_context(record.user.id), record.totp_secret)["secret"]
        generator = pyotp.TOTP(secret)
        now_step = self._clock.now_ms() // 1000 // _STEP_S
        return _matching(generator, code, range(now_step - _DRIFT_STEPS, now_step + _DRIFT_STEPS + 1))


def _matching(generator: pyotp.TOTP, code: str, steps: Sequence[int]) -> int | None:
    fitting = [step for step in steps if hmac.compare_digest(generator.generate_otp(step), code)]
    return fitting[-1] if fitting else None


def _context(user_id: str) -> SealingContext:
    return SealingContext("totp", user_id, user_id)


def _new_recovery_code() -> str:
    text = base64.b32encode(secrets.token_bytes(_RECOVERY_BYTES)).decode().lower()
    return "-".join(text[start : start + 4] for start in range(0, len(text), 4))


def _recovery_hash(user_id: str, code: str) -> str:
    plain = "".join(letter for letter in code.lower() if letter.isalnum())
    return hashlib.sha256(f"{user_id}:{plain}".encode("utf-8", "surrogatepass")).hexdigest()
