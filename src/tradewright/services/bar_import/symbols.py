"""Which rows of a table are imported under which symbol, and the instrument that a symbol names."""

from __future__ import annotations

from typing import Final

from tradewright.domain.errors import InvalidInput, UnknownMarket
from tradewright.domain.instruments import Instrument, InstrumentType, check_symbol
from tradewright.services.bar_import.source import shown
from tradewright.services.bar_import.table import Table

CRYPTO: Final = "crypto"
STOCKS: Final = "stocks"
_STOCK_CALENDAR: Final = "XNYS"
_STOCK_CURRENCY: Final = "USD"
_LISTED_MAX: Final = 10


def local_instrument(market: str, symbol: str) -> Instrument:
    """What a symbol says by itself; steps and limits are known to its venue alone.

    ``UnknownMarket`` or ``InvalidInput`` where it can't be the name of an instrument there.
    """
    if market not in (CRYPTO, STOCKS):
        raise UnknownMarket(f"There is no market of this name; there are {CRYPTO} and {STOCKS}.")
    check_symbol(symbol)
    if market == STOCKS:
        return Instrument(
            market=market,
            symbol=symbol,
            base=symbol,
            quote=_STOCK_CURRENCY,
            type="stock",
            calendar=_STOCK_CALENDAR,
        )
    pair, _, settlement = symbol.partition(":")
    base, slash, quote = pair.partition("/")
    if not (base and slash and quote) or "/" in quote:
        raise InvalidInput(
            f"In the market {CRYPTO} a symbol has the form BASE/QUOTE (BTC/USDT); {shown(symbol)} has not.",
            {"symbol": "not of the form BASE/QUOTE"},
        )
    return Instrument(market=market, symbol=symbol, base=base, quote=quote, type=_derivative_type(settlement))


def _derivative_type(settlement: str) -> InstrumentType:
    """From what follows the colon: a swap's ``USDT``, a future's ``USDT-240628``, an option's ``…-C``."""
    if not settlement:
        return "spot"
    if settlement.endswith(("-C", "-P")):
        return "option"
    return "future" if "-" in settlement else "swap"


def choose_symbols(table: Table, market: str, wanted: str | None) -> list[tuple[int | None, str]]:
    """The symbols to import from a table, each with its number in the table's column of symbols.

    ``wanted`` chooses one of several and may spell it otherwise (``BTCUSDT`` for ``BTC/USDT``), as
    long as just one of the file's symbols can be meant.
    """
    source = table.source
    if table.symbol is None:
        if wanted is None:
            raise source.error("there is no column for the symbol: say which it is, with --symbol.")
        return [(None, wanted)]
    if wanted is None:
        for index, name in enumerate(table.symbols):
            try:
                local_instrument(market, name)
            except InvalidInput as error:
                line = int(table.lines[(table.symbol == index).argmax()])
                raise source.error(
                    f"{error.message} Say which symbol is meant, with --symbol.", line
                ) from error
        return list(enumerate(table.symbols))
    exact = [index for index, name in enumerate(table.symbols) if name == wanted]
    similar = [index for index, name in enumerate(table.symbols) if _letters(name) == _letters(wanted)]
    found = exact or similar
    if len(found) != 1:
        names = ", ".join(shown(name) for name in table.symbols[:_LISTED_MAX])
        more = f" and {len(table.symbols) - _LISTED_MAX} more" if len(table.symbols) > _LISTED_MAX else ""
        many = "more than one symbol" if found else "no symbol"
        raise source.error(f"{many} in it can be {shown(wanted)}; there are {names}{more}.")
    return [(found[0], wanted)]


def _letters(symbol: str) -> str:
    return "".join(letter for letter in symbol.upper() if letter.isalnum())
