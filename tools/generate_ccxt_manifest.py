"""Write what CCXT says of its exchanges into a file that is read without importing CCXT.

`python tools/generate_ccxt_manifest.py` writes `src/tradewright/plugins/ccxt_manifest.json`;
with `--check` it writes nothing and fails when the file is not what it would write.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import sys
from pathlib import Path
from typing import Any, Final

import ccxt
import ccxt.async_support
import ccxt.pro

from tradewright.domain.timeframes import TIMEFRAMES
from tradewright.plugins._ccxt_sandbox import has_sandbox

MANIFEST: Final = Path(__file__).parents[1] / "src/tradewright/plugins/ccxt_manifest.json"

SERVED_BY_OWN_PLUGINS: Final = frozenset({"alpaca"})
"""Left out of the manifest, so that one plugin alone serves the provider: ours for Alpaca knows its stocks
as well, and never sends an order twice. Here rather than in the loader, where a plugin that claims a
provider of another one is refused as a whole, which is right for plugins that we don't know."""

CAPABILITIES: Final = {
    "ohlcv": "fetchOHLCV",
    "ticker": "fetchTicker",
    "order_book": "fetchOrderBook",
    "trades": "fetchTrades",
    "watch_ohlcv": "watchOHLCV",
    "watch_ticker": "watchTicker",
    "watch_order_book": "watchOrderBook",
    "watch_trades": "watchTrades",
    "watch_orders": "watchOrders",
    "watch_my_trades": "watchMyTrades",
    "watch_balances": "watchBalance",
    "watch_positions": "watchPositions",
    "create_order": "createOrder",
    "cancel_order": "cancelOrder",
    "cancel_all_orders": "cancelAllOrders",
    "edit_order": "editOrder",
    "fetch_order": "fetchOrder",
    "fetch_open_orders": "fetchOpenOrders",
    "fetch_closed_orders": "fetchCanceledAndClosedOrders fetchOrders fetchClosedOrders",
    "fetch_my_trades": "fetchMyTrades",
    "fetch_balances": "fetchBalance",
    "fetch_positions": "fetchPositions",
    "fetch_fees": "fetchTradingFee fetchTradingFees",
    "set_leverage": "setLeverage",
}
PUBLIC: Final = frozenset(list(CAPABILITIES)[:8])
CREDENTIAL_FIELDS: Final = {
    "apiKey": "api_key",
    "secret": "secret",
    "password": "password",
    "uid": "uid",
    "walletAddress": "wallet_address",
    "privateKey": "private_key",
}


def entry(provider: str) -> dict[str, Any]:
    """What the manifest says of one exchange.

    An exchange whose key needs a field that we don't have, or of whose key CCXT does not tell the fields,
    is listed with its public data alone.
    CCXT's "emulated" features (bars from trades and the like) do not count.
    """
    streams = provider in ccxt.pro.exchanges
    exchange = vars(ccxt.pro if streams else ccxt.async_support)[provider]()
    needed = [name for name, required in exchange.requiredCredentials.items() if required]
    usable = bool(needed) and all(name in CREDENTIAL_FIELDS for name in needed)
    able = [
        ours
        for ours, theirs in CAPABILITIES.items()
        if any(offers(exchange, one, needs_own=ours not in PUBLIC) for one in theirs.split())
        and (ours != "edit_order" or edits_natively(type(exchange)))
        and (streams or not ours.startswith("watch_"))
        and (usable or ours in PUBLIC)
    ]
    timeframes = [name for name in TIMEFRAMES if name in (exchange.timeframes or {})]
    result: dict[str, Any] = {"name": str(exchange.name)}
    result["timeframes"] = timeframes if {"ohlcv", "watch_ohlcv"} & set(able) else []
    result["capabilities"] = [name for name in able if timeframes or "ohlcv" not in name]
    result["credential_fields"] = [CREDENTIAL_FIELDS[name] for name in needed] if usable else []
    result["testnet"] = has_sandbox(type(exchange)())
    result["streams"] = streams
    result["ohlcv_limit"] = ohlcv_limit(exchange)
    result["ignores_since"] = "ohlcv" in result["capabilities"] and ignores_since(type(exchange))
    result["finds_by_client_id"] = "fetch_order" in able and finds_by_client_id(type(exchange))
    return result


def offers(exchange: Any, feature: str, *, needs_own: bool) -> bool:
    """Whether CCXT says that the exchange has the feature, and has code for it. Of the general methods
    that stand for missing ones only the one that picks a symbol's fees out of all fees does its work."""
    if exchange.has.get(feature) is not True:
        return False
    if not needs_own or (feature == "fetchTradingFee" and exchange.has.get("fetchTradingFees") is True):
        return True
    name = exchange.un_camel_case(feature)
    own: bool = getattr(type(exchange), name) is not getattr(ccxt.async_support.Exchange, name)
    return own


def edits_natively(kind: type[Any]) -> bool:
    """Whether its way of editing is its own, and no cancellation with a new order behind."""
    if kind.edit_order is ccxt.async_support.Exchange.edit_order:
        return False
    calls = (node for node in ast.walk(method(kind, "edit_order")) if isinstance(node, ast.Attribute))
    return not any(node.attr in ("cancel_order", "cancelOrder") for node in calls)


def finds_by_client_id(kind: type[Any]) -> bool:
    """Whether its ``fetch_order`` reads a client order id from the parameters."""
    if kind.fetch_order is ccxt.async_support.Exchange.fetch_order:
        return False
    for node in ast.walk(method(kind, "fetch_order")):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
            continue
        reads = node.func.attr.startswith("safe_") and isinstance(node.args[0], ast.Name)
        if reads and node.args[0].id.startswith("params"):  # type: ignore[attr-defined]
            texts = (one.value for one in ast.walk(node) if isinstance(one, ast.Constant))
            if "clientOrderId" in texts:
                return True
    return False


def ignores_since(kind: type[Any]) -> bool:
    """Whether its ``fetch_ohlcv`` does not tell the exchange from when on bars are wanted, but at most sorts
    out those of the answer."""
    code = method(kind, "fetch_ohlcv")
    calls = [node for node in ast.walk(code) if isinstance(node, ast.Call)]
    sorting = {
        id(argument)
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and call.func.attr in ("parse_ohlcvs", "filter_by_since_limit")
        for argument in call.args
    }
    named = (node for node in ast.walk(code) if isinstance(node, ast.Name) and node.id == "since")
    return all(id(node) in sorting for node in named)


def method(kind: type[Any], name: str) -> ast.Module:
    """The method's code without its remarks."""
    source = inspect.getsource(vars(kind).get(name) or getattr(kind, name))
    return ast.parse(f"class _:\n{source}")


def ohlcv_limit(exchange: Any) -> int | None:
    """How many bars one call gives, where CCXT knows."""
    for kind in ("spot", "swap", "default"):
        features = (exchange.features or {}).get(kind) or {}
        features = features.get("linear", features) or {}
        limit = (features.get("fetchOHLCV") or {}).get("limit")
        if isinstance(limit, int) and limit > 0:
            return limit
    return None


def manifest() -> str:
    """The file's text."""
    head = json.dumps({"ccxt": ccxt.__version__})[:-1]
    lines = (
        f"{json.dumps(name)}:{json.dumps(entry(name), separators=(',', ':'), ensure_ascii=False)}"
        for name in sorted(set(ccxt.exchanges) - SERVED_BY_OWN_PLUGINS)
    )
    return head + ',"exchanges":{\n' + ",\n".join(lines) + "\n}}\n"


def main() -> int:
    """Write or check; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail when the file is stale")
    parser.add_argument("--manifest", type=Path, default=MANIFEST)
    arguments = parser.parse_args()
    text = manifest()
    if not arguments.check:
        arguments.manifest.write_text(text, encoding="utf-8")
        return 0
    if arguments.manifest.read_text(encoding="utf-8") == text:
        return 0
    print(f"{arguments.manifest} does not say what CCXT {ccxt.__version__} says of its exchanges.")
    print("Run `python tools/generate_ccxt_manifest.py`.")
    return 1


if __name__ == "__main__":
    sys.exit(main())
