"""Settings: from the environment and from the TOML file that ``TRADEWRIGHT_CONFIG`` names.

The environment wins.

The only module that reads the environment. A wrong setting is reported together with all other
wrong ones, each in a sentence that says what to do.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
import stat
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Final, get_args
from urllib.parse import urlsplit

from tradewright.domain.capabilities import CredentialFieldName
from tradewright.domain.credentials import Credentials
from tradewright.domain.errors import ConfigError

PREFIX: Final = "TRADEWRIGHT_"
MIN_SECRET_LENGTH: Final = 32
_KNOWN_SECRETS: Final = ("changeme", "change-me", "secret", "default", "password", "example", "insecure")
_LOG_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")
_LOOPBACK_NAMES: Final = ("localhost", "localhost.localdomain", "ip6-localhost")


def secret_ring(text: str) -> tuple[str, ...]:
    """The keys that a secret holds, separated by commas: the first is used for what is new, those behind it
    for what was made under them."""
    return tuple(key.strip() for key in text.split(","))


def default_data_dir(environ: Mapping[str, str]) -> Path:
    """Where data is kept unless ``TRADEWRIGHT_DATA_DIR`` says otherwise: the user's own data directory.

    ``ValueError`` where the user has none.
    """
    base = environ.get("XDG_DATA_HOME")
    if not base:
        try:
            base = str(Path(environ.get("HOME") or Path.home()) / ".local" / "share")
        except RuntimeError:
            raise ValueError("is not set, and this user has no home directory: give a directory.") from None
    return Path(base) / "tradewright"


@dataclass(kw_only=True)
class BaseConfig:
    """All settings with their defaults. Make one by ``load_config`` and call ``validate`` before use."""

    env: ClassVar[str] = ""

    host: str = "127.0.0.1"
    port: int = 8000
    data_dir: Path = field(default_factory=lambda: default_data_dir(os.environ))
    database_url: str | None = field(default=None, repr=False)
    auth_database_url: str | None = field(default=None, repr=False)
    user_configs_database_url: str | None = field(default=None, repr=False)
    redis_url: str | None = field(default=None, repr=False)
    jwt_secret: str | None = field(default=None, repr=False)
    encryption_key: str | None = field(default=None, repr=False)
    registration: str = "closed"
    require_login: bool = False
    public_url: str | None = None
    trusted_proxies: tuple[str, ...] = ()
    ws_max_per_address: int = 100
    rate_limit: int = 60
    log_level: str = "INFO"
    log_format: str = "human"
    providers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)

    env_was_said: bool = True
    unreadable: tuple[str, ...] = ()
    """Sentences about settings that could not even be parsed; ``validate`` reports them with the rest."""

    @property
    def listens_on_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        if self.host.lower() in _LOOPBACK_NAMES:
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def shared_prefix(self) -> str:
        """Names what servers on one database share in a Redis, apart from what others keep there."""
        url = urlsplit(self.database_url or "")
        database = f"{url.hostname}:{url.port}{url.path}" if self.database_url else str(self.data_dir)
        return f"tradewright:{hashlib.blake2b(database.encode(), digest_size=8).hexdigest()}"

    def validate(self) -> None:
        """Raise ``ConfigError`` with one sentence for each wrong setting; say nothing when all are right."""
        problems = [*self.unreadable, *self._general_problems(), *self._environment_problems()]
        if problems:
            raise ConfigError(problems)

    def _general_problems(self) -> list[str]:
        problems: list[str] = []

        def require(ok: bool, name: str, advice: str) -> None:
            if not ok:
                problems.append(f"{PREFIX}{name} {advice}")

        require(bool(self.host.strip()), "HOST", "is empty: give an address to listen on, such as 127.0.0.1.")
        require(0 <= self.port <= 65535, "PORT", "must be between 1 and 65535 (or 0 for any free port).")
        require(
            self.registration in ("open", "invite", "closed"),
            "REGISTRATION",
            "must be open, invite or closed.",
        )
        require(self.log_level in _LOG_LEVELS, "LOG_LEVEL", f"must be one of {', '.join(_LOG_LEVELS)}.")
        require(self.log_format in ("human", "json"), "LOG_FORMAT", "must be human or json.")
        require(
            1 <= self.ws_max_per_address <= 100_000, "WS_MAX_PER_ADDRESS", "must be between 1 and 100000."
        )
        require(1 <= self.rate_limit <= 1_000_000, "RATE_LIMIT", "must be between 1 and 1000000.")
        problems += self._data_dir_problems()
        problems += self._address_problems()
        for name in ("JWT_SECRET", "ENCRYPTION_KEY"):
            value = getattr(self, name.lower())
            if value is not None and any(len(key) < MIN_SECRET_LENGTH for key in secret_ring(value)):
                problems.append(
                    f"{PREFIX}{name} is shorter than {MIN_SECRET_LENGTH} characters: "
                    "give a long random one, or leave it out and the server makes its own."
                )
        return problems

    def _data_dir_problems(self) -> list[str]:
        try:
            mode = self.data_dir.stat().st_mode
        except FileNotFoundError:
            return []  # it is made at the first start
        except OSError as error:
            return [f"{PREFIX}DATA_DIR {self.data_dir} can't be used ({error.strerror}): choose another."]
        if stat.S_ISDIR(mode):
            return []
        return [f"{PREFIX}DATA_DIR names a file ({self.data_dir}): give a directory."]

    def provider_options(self) -> Mapping[str, Mapping[str, object]]:
        """What reaches each provider's plugin: its table without the key."""
        return {
            provider: {name: value for name, value in _table(table).items() if name != "credentials"}
            for provider, table in self.providers.items()
        }

    def operator_credentials(self) -> dict[str, Credentials]:
        """The operator's own keys, with which data that needs one is fetched for everybody."""
        tables = ((provider, _table(table).get("credentials")) for provider, table in self.providers.items())
        return {provider: Credentials(fields) for provider, fields in tables if fields}

    def _url_problems(self) -> list[str]:
        kinds = {
            **{
                name: (value, ("postgresql", "postgres"), "postgresql://user@host/database")
                for name, value in (
                    ("DATABASE_URL", self.database_url),
                    ("AUTH_DATABASE_URL", self.auth_database_url),
                    ("USER_CONFIGS_DATABASE_URL", self.user_configs_database_url),
                )
            },
            "REDIS_URL": (self.redis_url, ("redis", "rediss"), "redis://host:6379/0"),
        }
        return [
            f"{PREFIX}{name} must be an address such as {example}."  # never the value: it may hold a password
            for name, (value, schemes, example) in kinds.items()
            if value is not None and not _is_url(value, schemes)
        ]

    def _credential_problems(self) -> list[str]:
        known = get_args(CredentialFieldName)
        problems = []
        for provider, table in self.providers.items():
            fields = _table(table).get("credentials", {})
            if not isinstance(fields, Mapping):
                problems.append(f"[providers.{provider}.credentials] must be a table.")
                continue
            problems += [
                f"[providers.{provider}.credentials] {name} must be one of {', '.join(known)}, with a text."
                for name, value in fields.items()
                if name not in known or not isinstance(value, str) or not value
            ]
        return problems

    def _address_problems(self) -> list[str]:
        problems = [*self._url_problems(), *self._credential_problems()]
        if self.public_url is not None and not _is_origin(self.public_url):
            problems.append(
                f"{PREFIX}PUBLIC_URL must be an origin such as https://trade.example.com, without a path."
            )
        for proxy in self.trusted_proxies:
            try:
                everybody = ipaddress.ip_network(proxy).prefixlen == 0
            except ValueError:
                problems.append(
                    f"{PREFIX}TRUSTED_PROXIES holds {proxy!r}, which is no address or network: "
                    "list them like 10.0.0.1,192.168.1.0/24."
                )
                continue
            if everybody:
                problems.append(
                    f"{PREFIX}TRUSTED_PROXIES holds {proxy!r}, which is everybody: anyone could claim any "
                    "address. List the proxies alone."
                )
        for provider, table in self.providers.items():
            if not re.fullmatch(r"[a-z0-9][a-z0-9_]{0,39}", provider) or not isinstance(table, Mapping):
                problems.append(
                    f"[providers.{provider}] in the configuration file must be a table under a provider's id."
                )
        return problems

    def _environment_problems(self) -> list[str]:
        return []


class DevelopmentConfig(BaseConfig):
    """On one's own machine. Secrets make themselves; only this machine may connect unless it was said."""

    env = "development"

    def _environment_problems(self) -> list[str]:
        if self.env_was_said or self.listens_on_loopback or not self.host:
            return []
        advice = f"say {PREFIX}ENV=production (or development, on a network that you trust) as well."
        return [f"{PREFIX}HOST opens the server to other machines: {advice}"]


@dataclass(kw_only=True)
class TestingConfig(BaseConfig):
    """For tests: like development, on any free port."""

    __test__ = False  # pytest takes classes of such names for tests
    env = "testing"
    port: int = 0


class ProductionConfig(BaseConfig):
    """Reachable by others: secrets come from outside, and none of them is a default."""

    env = "production"

    def _environment_problems(self) -> list[str]:
        problems = []
        for name, value in (("JWT_SECRET", self.jwt_secret), ("ENCRYPTION_KEY", self.encryption_key)):
            if value is None:
                problems.append(
                    f"{PREFIX}{name} is not set: production needs it from the environment; "
                    "`openssl rand -base64 48` makes a good one."
                )
            elif any(_is_guessable(key) for key in secret_ring(value)):
                problems.append(
                    f"{PREFIX}{name} is a known or repetitive value: make a random one with "
                    "`openssl rand -base64 48`."
                )
        if set(secret_ring(self.jwt_secret or "")) & set(secret_ring(self.encryption_key or "")) - {""}:
            problems.append(f"{PREFIX}JWT_SECRET and {PREFIX}ENCRYPTION_KEY are equal: make two.")
        return problems


def _is_origin(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # unbalanced brackets, a port that is none
        return False
    rest = parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc
    return parts.scheme in ("http", "https") and bool(parts.hostname) and port != 0 and not rest


def _table(value: object) -> Mapping[str, Any]:
    """A table of the file; one that is none is reported elsewhere."""
    return value if isinstance(value, Mapping) else {}


def _is_url(url: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_guessable(secret: str) -> bool:
    lowered = secret.lower()
    return len(set(secret)) < 10 or any(known in lowered for known in _KNOWN_SECRETS)


_ENVIRONMENTS: Final[dict[str, type[BaseConfig]]] = {
    config.env: config for config in (DevelopmentConfig, ProductionConfig, TestingConfig)
}


def load_config(environ: Mapping[str, str] | None = None) -> BaseConfig:
    """The settings as the environment and the file have them.

    Raises ``ConfigError`` only where the file or the environment's name can't be used at all;
    everything else that is wrong is kept for ``validate``.
    """
    environ = os.environ if environ is None else environ
    values, problems = _read_file(environ.get(PREFIX + "CONFIG"))
    known = {item.name for item in fields(BaseConfig)} - {"providers", "env_was_said", "unreadable"}
    providers = values.pop("providers", {})
    if not isinstance(providers, Mapping):
        problems.append("[providers] in the configuration file must hold a table for each provider.")
        providers = {}
    env_in_file = values.pop("env", None)
    problems += [
        f"{name} in the configuration file is no setting: remove it or correct its name."
        for name in sorted(set(values) - known)
    ]
    for variable in sorted(environ):
        name = variable.removeprefix(PREFIX).lower()
        if not variable.startswith(PREFIX) or name.startswith("test_") or name in ("config", "env"):
            continue
        if name not in known:
            problems.append(f"{variable} is no setting: remove it or correct its name.")
        else:
            values[name] = environ[variable]

    env = environ.get(PREFIX + "ENV") or env_in_file
    if env is not None and not (isinstance(env, str) and env in _ENVIRONMENTS):
        problems.append(f"{PREFIX}ENV must be development, production or testing.")
        env = None
    parsed: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known:
            continue
        try:
            parsed[name] = _PARSERS.get(name, _text)(value)
        except ValueError as error:
            problems.append(f"{PREFIX}{name.upper()} {error}")
    if "data_dir" not in parsed:
        try:
            parsed["data_dir"] = default_data_dir(environ)
        except ValueError as error:
            parsed["data_dir"] = Path("/")
            problems.append(f"{PREFIX}DATA_DIR {error}")
    return _ENVIRONMENTS[env or "development"](
        **parsed, providers=dict(providers), env_was_said=env is not None, unreadable=tuple(problems)
    )


def _read_file(path: str | None) -> tuple[dict[str, Any], list[str]]:
    if not path:
        return {}, []
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8")), []
    except OSError as error:
        return {}, [f"{PREFIX}CONFIG names {path}, which can't be read ({error.strerror}): correct the path."]
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        return {}, [f"{PREFIX}CONFIG names {path}, which is not valid TOML: {error}."]


def _text(value: object) -> str | None:
    if not isinstance(value, str):
        raise ValueError("must be text.")  # noqa: TRY004  one kind of error for every wrong setting
    if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise ValueError("must be text in UTF-8.")
    return value.strip() or None


def _required_text(value: object) -> str:
    return _text(value) or ""


def _whole_number(value: object) -> int:
    text = str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not re.fullmatch(r"-?[0-9]{1,9}", text):
        raise ValueError("must be a whole number.")
    return int(text)


def _boolean(value: object) -> bool:
    choices = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False, "": False}
    try:
        return choices[str(value).strip().lower()]
    except KeyError:
        raise ValueError("must be true or false.") from None


def _path(value: object) -> Path:
    text = _text(value)
    if text is None:
        raise ValueError("is empty: give a directory, or leave it out.")
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:
        raise ValueError(f"names a home directory that there is not ({text}): give a directory.") from None


def _listed(value: object) -> tuple[str, ...]:
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise ValueError("must be a list of addresses, separated by commas.")
    return tuple(item.strip() for item in items if item.strip())


_PARSERS: Final[dict[str, Callable[[object], object]]] = {
    "host": _required_text,
    "port": _whole_number,
    "data_dir": _path,
    "require_login": _boolean,
    "trusted_proxies": _listed,
    "ws_max_per_address": _whole_number,
    "rate_limit": _whole_number,
    "registration": _required_text,
    "log_level": lambda value: _required_text(value).upper(),
    "log_format": _required_text,
}
