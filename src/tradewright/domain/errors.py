"""Every error that may cross a layer, each with a stable ``code``.

::

    TradewrightError
    ├── ConfigError                        a setting is wrong
    ├── InvalidInput                       a value is out of range or not allowed
    │   ├── MalformedInput                 what was sent could not be read at all
    │   ├── UnknownTimeframe
    │   └── BarFileError                   a file of bars can't be taken as it is
    ├── NotFound
    │   ├── UnknownMarket
    │   ├── UnknownProvider
    │   └── UnknownSymbol
    ├── NotAllowed
    │   ├── LoginRequired
    │   └── CredentialsRequired
    ├── Conflict
    ├── LimitExceeded                      the caller asked for too much, too often
    │   └── TooManySubscriptions           one more does not fit, however long the caller waits
    ├── StorageUnavailable                 our own database does not answer
    └── DataSourceError                    data could not be had
        └── PluginError                    a venue failed or refused
            ├── AuthenticationPluginError
            ├── NetworkPluginError         the venue was not reached
            │   └── TimeoutPluginError
            ├── RateLimitPluginError
            ├── MalformedAnswerPluginError
            └── PluginFeatureNotSupportedError

How a code becomes an HTTP status or a WebSocket message is known to ``web`` alone.
Messages are sentences for the person who reads them and hold no secret.
"""

from __future__ import annotations

from collections.abc import Mapping

from tradewright.domain.intervals import NO_INTERVALS, IntervalSet

__all__ = [
    "AuthenticationPluginError",
    "BarFileError",
    "ConfigError",
    "Conflict",
    "CredentialsRequired",
    "DataSourceError",
    "InvalidInput",
    "LimitExceeded",
    "LoginRequired",
    "MalformedAnswerPluginError",
    "MalformedInput",
    "NetworkPluginError",
    "NotAllowed",
    "NotFound",
    "PluginError",
    "PluginFeatureNotSupportedError",
    "RateLimitPluginError",
    "StorageUnavailable",
    "TimeoutPluginError",
    "TooManySubscriptions",
    "TradewrightError",
    "UnknownMarket",
    "UnknownProvider",
    "UnknownSymbol",
    "UnknownTimeframe",
]


class TradewrightError(Exception):
    """The root of our errors; ``code`` is stable and machine-readable, ``message`` is for people."""

    code = "internal_error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ConfigError(TradewrightError):
    """One or more settings are wrong; ``problems`` holds a sentence for each."""

    code = "config_error"

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class InvalidInput(TradewrightError):
    """A value is out of range or not allowed; ``fields`` maps each bad field to its reason."""

    code = "invalid_value"

    def __init__(self, message: str, fields: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.fields = dict(fields or {})


class MalformedInput(InvalidInput):
    """What was sent is not of the form that was promised (not JSON, not UTF-8, …)."""

    code = "malformed"


class UnknownTimeframe(InvalidInput):
    """The timeframe is none of ours, or none that the provider can serve."""

    code = "unknown_timeframe"


class BarFileError(InvalidInput):
    """A file of bars can't be imported as it is; the message names the file and the line."""

    code = "bar_file_error"


class NotFound(TradewrightError):
    """The thing is not there, or not the caller's."""

    code = "not_found"


class UnknownMarket(NotFound):
    """No plugin serves this market."""

    code = "unknown_market"


class UnknownProvider(NotFound):
    """No plugin serves this provider in this market."""

    code = "unknown_provider"


class UnknownSymbol(NotFound):
    """The provider does not list this symbol."""

    code = "unknown_symbol"


class NotAllowed(TradewrightError):
    """The caller may not do this."""

    code = "forbidden"


class LoginRequired(NotAllowed):
    """There is no valid token, and this needs one."""

    code = "unauthorized"


class CredentialsRequired(NotAllowed):
    """The provider gives this data to key holders only and the operator configured no key."""

    code = "credentials_required"


class Conflict(TradewrightError):
    """The request contradicts what is there."""

    code = "conflict"


class LimitExceeded(TradewrightError):
    """The caller asked for too much or too often; try again after ``retry_after_s``."""

    code = "rate_limited"

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TooManySubscriptions(LimitExceeded):
    """A connection watches as much as it may: one view must end before another can begin."""

    code = "too_many_subscriptions"


class StorageUnavailable(TradewrightError):
    """Our own database did not answer in time or refused."""

    code = "storage_unavailable"


class DataSourceError(TradewrightError):
    """Data could not be had from one of its sources."""

    code = "data_source_error"


class PluginError(DataSourceError):
    """A venue failed, or refused a request that we consider right.

    ``retry_after_s`` is the time the venue asked us to stay away, where it said so.
    """

    code = "provider_error"

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class AuthenticationPluginError(PluginError):
    """The venue did not accept the key, or the key may not do this."""

    code = "provider_authentication_failed"


class NetworkPluginError(PluginError):
    """The venue was not reached, or is not serving (maintenance, 5xx)."""

    code = "provider_unavailable"


class TimeoutPluginError(NetworkPluginError):
    """The venue did not answer in time; for a write, its outcome is unknown."""

    code = "provider_timeout"


class RateLimitPluginError(PluginError):
    """The venue told us that we ask too often."""

    code = "provider_rate_limited"


class MalformedAnswerPluginError(PluginError):
    """The venue answered something that can't be what it promised. Of bars, ``unknown`` is where there were
    some, as far as that could be read."""

    code = "provider_malformed_answer"

    def __init__(
        self, message: str, retry_after_s: float | None = None, *, unknown: IntervalSet = NO_INTERVALS
    ) -> None:
        super().__init__(message, retry_after_s)
        self.unknown = unknown


class PluginFeatureNotSupportedError(PluginError):
    """The provider has no such feature."""

    code = "feature_not_supported"
