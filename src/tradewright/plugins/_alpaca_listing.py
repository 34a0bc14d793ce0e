"""What Alpaca lists, kept for an hour: stocks and pairs with their rules."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from tradewright.domain.errors import CredentialsRequired, InvalidInput, NetworkPluginError, PluginError
from tradewright.domain.instruments import Instrument, OrderType, check_symbol
from tradewright.plugins import _alpaca_parse as parse
from tradewright.plugins._alpaca_client import ApiClient
from tradewright.plugins._alpaca_errors import NAME, malformed, unknown_symbol
from tradewright.runtime.clock import Clock

LIFETIME_S: Final = 3_600.0
RETRY_S: Final = 60.0

STOCK_ORDERS: Final[tuple[OrderType, ...]] = ("market", "limit", "stop", "stop_limit")
CRYPTO_ORDERS: Final[tuple[OrderType, ...]] = ("market", "limit", "stop_limit")
FRACTION_STEP: Final = Decimal("0.000000001")

PUBLIC_PAIRS: Final = tuple(
    f"{base}/USD"
    for base in (
        *("AAVE", "AVAX", "BAT", "BCH", "BTC", "CRV", "DOGE", "DOT", "ETH", "GRT", "LINK", "LTC", "PEPE"),
        *("SHIB", "SKY", "SOL", "SUSHI", "TRUMP", "UNI", "USDC", "USDT", "XRP", "XTZ", "YFI"),
    )
)
"""What is looked for without a key: the list of assets needs one, the market data of pairs does not."""


class Listing:
    """The instruments, read once however many ask, and anew after an hour."""

    def __init__(self, api: ApiClient, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._known: dict[str, Instrument] = {}
        self._until_s: float | None = None
        self._reading: asyncio.Task[None] | None = None

    async def all(self) -> Sequence[Instrument]:
        """Everything, by symbol; without a key the pairs alone."""
        await self._ready()
        return tuple(self._known.values())

    async def find(self, symbol: str) -> Instrument:
        """One instrument; ``UnknownSymbol``, and ``CredentialsRequired`` for a stock without a key."""
        if parse.is_stock(symbol) and not self._api.has_key:
            raise CredentialsRequired(
                f"{NAME} gives its stocks to key holders alone, and the operator has set no key."
            )
        await self._ready()
        try:
            return self._known[symbol]
        except KeyError:
            raise unknown_symbol() from None

    async def pair_named(self, plain: str) -> str:
        """``BTC/USD`` for ``BTCUSD``, as some answers of the trading host have it."""
        await self._ready()
        return next((name for name in self._known if "/" in name and name.replace("/", "") == plain), plain)

    async def close(self) -> None:
        """Stop reading."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait((self._reading,))

    async def _ready(self) -> None:
        if self._until_s is not None and self._clock.monotonic() < self._until_s:
            return
        if self._reading is None:
            self._reading = asyncio.create_task(self._read(), name="alpaca/listing")
            self._reading.add_done_callback(self._was_read)
        # Not cancelled with the caller: one's deadline is no reason to begin again for the others.
        reading = self._reading
        await asyncio.wait((reading,))
        if reading.cancelled():
            raise NetworkPluginError(f"The connection to {NAME} is closed.")
        reading.result()

    def _was_read(self, task: asyncio.Task[None]) -> None:
        self._reading = None
        if not task.cancelled():
            task.exception()  # every waiting caller has it; this only marks it as seen

    async def _read(self) -> None:
        try:
            found = await (self._assets() if self._api.has_key else self._public_pairs())
            if not found:
                raise malformed("it lists nothing at all")
        except PluginError as error:
            if not self._known:
                raise
            _log.warning("alpaca: keeping the old list of assets: %s", error.message)
            self._until_s = self._clock.monotonic() + RETRY_S
        else:
            self._known = {each.symbol: each for each in sorted(found, key=lambda each: each.symbol)}
            self._until_s = self._clock.monotonic() + LIFETIME_S

    async def _assets(self) -> list[Instrument]:
        answers = [
            await self._api.get("trading", "/v2/assets", {"status": "active", "asset_class": asset_class})
            for asset_class in ("us_equity", "crypto")
        ]
        # Eleven thousand of them take long enough to be noticed by everybody else on the loop.
        return await asyncio.to_thread(_instruments, answers)

    async def _public_pairs(self) -> list[Instrument]:
        answer = await self._api.get(
            "data", "/v1beta3/crypto/us/latest/trades", {"symbols": ",".join(PUBLIC_PAIRS)}
        )
        served = parse.table(parse.table(answer, "the latest trades").get("trades"), "the latest trades")
        return [_pair({"symbol": symbol}, tradable=True) for symbol in PUBLIC_PAIRS if symbol in served]


_log = logging.getLogger(__name__)


def _instruments(answers: Sequence[object]) -> list[Instrument]:
    found = (_instrument(row) for answer in answers for row in parse.rows(answer, "the list of assets"))
    return [each for each in found if each is not None]


def _instrument(row: object) -> Instrument | None:
    """An asset as an instrument; None for what we don't trade or can't name."""
    if not isinstance(row, Mapping) or not isinstance(row.get("symbol"), str):
        return None
    try:
        check_symbol(row["symbol"])
    except InvalidInput:
        return None
    tradable = row.get("status") == "active" and row.get("tradable") is True
    match row.get("class"), parse.is_stock(row["symbol"]):
        case "us_equity", True:
            return _stock(row, tradable=tradable)
        case "crypto", False:
            return _pair(row, tradable=tradable)
        case _:
            return None


def _stock(row: Mapping[str, Any], *, tradable: bool) -> Instrument:
    """Prices move by a cent from one dollar on and by a hundredth of it below; which of both holds for a
    stock is not listed, but nearly all that trade below a dollar trade over the counter."""
    fractional = row.get("fractionable") is True
    return Instrument(
        market="stocks",
        symbol=row["symbol"],
        base=row["symbol"],
        quote="USD",
        type="stock",
        active=tradable,
        price_tick=Decimal("0.0001") if row.get("exchange") == "OTC" else Decimal("0.01"),
        amount_step=FRACTION_STEP if fractional else Decimal(1),
        min_amount=FRACTION_STEP if fractional else Decimal(1),
        order_types=STOCK_ORDERS,
        calendar="XNYS",
        name=row["name"] if isinstance(row.get("name"), str) and row["name"] else None,
    )


def _pair(row: Mapping[str, Any], *, tradable: bool) -> Instrument:
    base, _, quote = row["symbol"].partition("/")
    return Instrument(
        market="crypto",
        symbol=row["symbol"],
        base=base,
        quote=quote,
        active=tradable,
        price_tick=_step(row.get("price_increment")),
        amount_step=_step(row.get("min_trade_increment")),
        min_amount=_step(row.get("min_order_size")),
        order_types=CRYPTO_ORDERS,
        name=row["name"] if isinstance(row.get("name"), str) and row["name"] else None,
    )


def _step(value: object) -> Decimal | None:
    if not isinstance(value, str | Decimal | int) or isinstance(value, bool):
        return None
    try:
        step = Decimal(value)
    except InvalidOperation:
        return None
    return step if step.is_finite() and step > 0 else None
