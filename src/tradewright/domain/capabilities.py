"""What a provider can do, as plugins declare it and the API lists it."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, TypeAlias

import msgspec


class Capability(StrEnum):
    """One feature of a provider."""

    OHLCV = "ohlcv"
    TICKER = "ticker"
    ORDER_BOOK = "order_book"
    TRADES = "trades"
    SPLITS = "splits"
    WATCH_OHLCV = "watch_ohlcv"
    WATCH_TICKER = "watch_ticker"
    WATCH_ORDER_BOOK = "watch_order_book"
    WATCH_TRADES = "watch_trades"
    WATCH_ORDERS = "watch_orders"
    WATCH_MY_TRADES = "watch_my_trades"
    WATCH_BALANCES = "watch_balances"
    WATCH_POSITIONS = "watch_positions"
    CREATE_ORDER = "create_order"
    CANCEL_ORDER = "cancel_order"
    CANCEL_ALL_ORDERS = "cancel_all_orders"
    EDIT_ORDER = "edit_order"
    FETCH_ORDER = "fetch_order"
    FETCH_OPEN_ORDERS = "fetch_open_orders"
    FETCH_CLOSED_ORDERS = "fetch_closed_orders"
    FETCH_MY_TRADES = "fetch_my_trades"
    FETCH_BALANCES = "fetch_balances"
    FETCH_POSITIONS = "fetch_positions"
    FETCH_FEES = "fetch_fees"
    SET_LEVERAGE = "set_leverage"


CredentialFieldName: TypeAlias = Literal[
    "api_key", "secret", "password", "uid", "wallet_address", "private_key"
]


class CredentialField(msgspec.Struct, frozen=True):
    """One field of a provider's key; ``secret`` ones are write-only."""

    name: CredentialFieldName
    secret: bool
    required: bool


class ProviderInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a plugin says of one provider before any instance of it exists."""

    provider: str
    name: str
    market: str
    plugin: str
    timeframes: tuple[str, ...]
    capabilities: tuple[Capability, ...]
    credential_fields: tuple[CredentialField, ...] = ()
    testnet: bool = False
    simulated: bool = False
