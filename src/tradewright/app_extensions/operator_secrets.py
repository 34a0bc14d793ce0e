"""The operator's secrets as services ask for them: from the environment, or from a file that may be renewed
while the server runs."""

from __future__ import annotations

import logging
import os

from tradewright.app_extensions.data_dir import SECRETS_FILE, load_secrets, read_secrets
from tradewright.config import BaseConfig, secret_ring
from tradewright.domain.errors import ConfigError
from tradewright.services.key_ring import SecretSource

_log = logging.getLogger(__name__)


class OperatorSecrets:
    """``jwt`` signs, ``encryption`` seals. Nothing is read before the first use, or ``open``."""

    def __init__(self, config: BaseConfig) -> None:
        self._config = config
        self._path = config.data_dir / SECRETS_FILE
        self._looked_at: tuple[int, int, int] | None = None
        self._rings: tuple[tuple[str, ...], tuple[str, ...]] | None = None
        self.jwt: SecretSource = _Ring(self, 0)
        self.encryption: SecretSource = _Ring(self, 1)

    @property
    def in_file(self) -> bool:
        """Whether one of them is in the file, which then is looked at for changes."""
        return not (self._config.jwt_secret and self._config.encryption_key)

    def open(self) -> None:
        """Read the secrets, and make the file where it is needed and missing; ``ConfigError`` where it can't
        be."""
        self.rings()

    def rings(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Both rings as they are now: a changed file is read again, and one that can't be read is left
        until it can."""
        state = self._state() if self.in_file else None
        if self._rings is None or (state is not None and state != self._looked_at):
            self._read(state)
        assert self._rings is not None
        return self._rings

    def _read(self, state: tuple[int, int, int] | None) -> None:
        config = self._config
        if self._rings is None:
            found = load_secrets(config)
            texts = found.jwt_secret, found.encryption_key
            state = self._state() if self.in_file else None
        else:
            try:
                jwt_secret, encryption_key = read_secrets(self._path)
            except ConfigError as error:
                _log.error("The secrets stay as they were: %s", error.message)
                self._looked_at = state
                return
            texts = config.jwt_secret or jwt_secret, config.encryption_key or encryption_key
        self._looked_at = state
        self._rings = secret_ring(texts[0]), secret_ring(texts[1])

    def _state(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size


class _Ring:
    def __init__(self, secrets: OperatorSecrets, place: int) -> None:
        self._secrets = secrets
        self._place = place

    def ring(self) -> tuple[str, ...]:
        return self._secrets.rings()[self._place]
