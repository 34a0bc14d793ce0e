"""The composition root: the only place where concrete stores, buses and services meet.

``create_app`` makes objects and does no I/O. What has a beginning and an end is opened, in one place
and in order, before the server serves, and closed in reverse after it.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from quart import Quart
from quart_schema import QuartSchema

from tradewright import __version__
from tradewright.app_extensions import init_app_extensions
from tradewright.app_extensions.readiness import BarsReadiness
from tradewright.config import BaseConfig
from tradewright.domain.errors import ConfigError, TradewrightError
from tradewright.domain.ports import BarStore, InstrumentStore, MessageBus
from tradewright.plugins import PluginLoader
from tradewright.runtime.clock import Clock, SystemClock
from tradewright.services.data_orchestrator import DataOrchestrator
from tradewright.services.market_service import MarketService
from tradewright.services.streaming_manager import StreamingManager
from tradewright.services.subscription_registry import SubscriptionLimits, SubscriptionRegistry
from tradewright.services.subscription_service import SubscriptionService
from tradewright.storage.memory_bus import MemoryBus
from tradewright.storage.sqlite import SQLiteBarStore, SQLiteDatabase, SQLiteInstrumentStore
from tradewright.web import views
from tradewright.web.blueprints import market, operations
from tradewright.web.middleware.error_handler import install_error_handler
from tradewright.web.middleware.guards import install_guards
from tradewright.web.middleware.headers import install_headers
from tradewright.web.models import DependencyState
from tradewright.web.openapi import StrictOpenAPIProvider
from tradewright.web.ws import blueprint as ws
from tradewright.web.ws.connections import WebSocketConnections

_log = logging.getLogger(__name__)

BARS_FILE: Final = "bars.sqlite3"
BODY_BYTES_MAX: Final = 64 * 1024
BODY_DEADLINE_S: Final = 10


@dataclass(kw_only=True)
class Adapters:
    """What an application stands on. Tests and embedders replace what they like; the rest is made from
    the configuration."""

    clock: Clock = field(default_factory=SystemClock)
    loader: PluginLoader | None = None
    bars: BarStore | None = None
    instruments: InstrumentStore | None = None
    bus: MessageBus | None = None


@dataclass(kw_only=True)
class Services:
    """Everything that ``create_app`` made, for the server, the tests, and nobody else."""

    loader: PluginLoader
    markets: MarketService
    orchestrator: DataOrchestrator
    streaming: StreamingManager
    subscriptions: SubscriptionService
    registry: SubscriptionRegistry
    connections: WebSocketConnections
    database: SQLiteDatabase | None = None
    """What ``create_app`` made for the stores that it was not given."""

    async def open_database(self) -> None:
        """Open it, which may be done again; ConfigError and StorageUnavailable say why it can't be."""
        if self.database is None:
            return
        try:
            await self.database.open()
        except TradewrightError:
            await self.database.close()
            raise


@asynccontextmanager
async def open_stores(config: BaseConfig) -> AsyncIterator[tuple[BarStore, InstrumentStore]]:
    """The stores of bars and instruments as the configuration names them, for a command that works
    beside the server."""
    database = SQLiteDatabase(config.data_dir / BARS_FILE)
    try:
        await database.open()
        yield SQLiteBarStore(database), SQLiteInstrumentStore(database)
    finally:
        await database.close()


def create_app(config: BaseConfig, adapters: Adapters | None = None) -> Quart:
    """The application, made but not yet opened; ``services_of`` tells its services."""
    adapters = adapters or Adapters()
    app = Quart("tradewright.web", static_folder="static", static_url_path="/static")
    app.config.update(MAX_CONTENT_LENGTH=BODY_BYTES_MAX, BODY_TIMEOUT=BODY_DEADLINE_S)
    init_app_extensions(app, config)

    database: SQLiteDatabase | None = None
    if adapters.bars is None or adapters.instruments is None:
        database = SQLiteDatabase(config.data_dir / BARS_FILE)
    bars = adapters.bars or SQLiteBarStore(_present(database))
    instruments = adapters.instruments or SQLiteInstrumentStore(_present(database))
    services = _services(config, adapters, bars, instruments)
    services.database = database
    app.extensions["tradewright"] = services

    _install_web(app, config, services, bars, adapters.clock)
    _install_lifespan(app, services)
    return app


def services_of(app: Quart) -> Services:
    """The services of an application that ``create_app`` made."""
    services: Services = app.extensions["tradewright"]
    return services


def _present(database: SQLiteDatabase | None) -> SQLiteDatabase:
    assert database is not None
    return database


def check_provider_options(config: BaseConfig, loader: PluginLoader) -> None:
    """``ConfigError`` where a table ``[providers.<id>]`` names no provider or holds what can't be used."""
    problems: list[str] = []
    for provider, options in config.providers.items():
        kinds = {
            loader.plugin_class(market, provider)
            for market in loader.markets()
            for info in loader.providers(market)
            if info.provider == provider
        }
        if not kinds:
            problems.append(f"[providers.{provider}] names no provider: correct its id or remove the table.")
        for kind in kinds:
            problems += kind.option_problems(provider, options)
    if problems:
        raise ConfigError(problems)


def _services(
    config: BaseConfig, adapters: Adapters, bars: BarStore, instruments: InstrumentStore
) -> Services:
    clock = adapters.clock
    loader = adapters.loader or PluginLoader()
    check_provider_options(config, loader)
    bus = adapters.bus or MemoryBus()
    markets = MarketService(loader, instruments, clock, provider_options=config.providers)
    orchestrator = DataOrchestrator(markets, bars, clock)
    streaming = StreamingManager(markets, orchestrator, bus, clock)
    registry = SubscriptionRegistry(SubscriptionLimits(connections_per_address=config.ws_max_per_address))
    subscriptions = SubscriptionService(bus, streaming, orchestrator, registry, clock)
    connections = WebSocketConnections(subscriptions, registry, clock)
    return Services(
        loader=loader,
        markets=markets,
        orchestrator=orchestrator,
        streaming=streaming,
        subscriptions=subscriptions,
        registry=registry,
        connections=connections,
    )


def _install_web(app: Quart, config: BaseConfig, services: Services, bars: BarStore, clock: Clock) -> None:
    install_headers(app, config)
    install_guards(app, config)
    install_error_handler(app)

    readiness = BarsReadiness(bars, clock)

    async def dependencies() -> Sequence[DependencyState]:
        problem = await readiness.problem()
        state = DependencyState(name="bars", ok=problem is None, detail=problem or "")
        return [state, *_plugin_states(services.loader)]

    app.register_blueprint(market.build(services.markets, services.orchestrator))
    app.register_blueprint(operations.build(__version__, dependencies))
    app.register_blueprint(ws.build(services.connections))
    app.register_blueprint(views.build())
    QuartSchema(
        app,
        openapi_path="/api/v1/openapi.json",
        redoc_ui_path=None,
        scalar_ui_path=None,
        swagger_ui_path=None,
        info={"title": "tradewright", "version": __version__},
        conversion_preference="msgspec",
        openapi_provider_class=StrictOpenAPIProvider,
    )


def _plugin_states(loader: PluginLoader) -> list[DependencyState]:
    """A broken plugin is told, but the server serves without it."""
    broken = [f"{plugin.name}: {plugin.reason}" for plugin in loader.broken]
    return [DependencyState(name="plugins", ok=True, detail="; ".join(broken))]


def _install_lifespan(app: Quart, services: Services) -> None:
    stack = AsyncExitStack()

    @app.before_serving
    async def open_everything() -> None:
        await services.open_database()
        if services.database is not None:
            stack.push_async_callback(services.database.close)
        services.markets.start()
        stack.push_async_callback(services.markets.close)
        stack.push_async_callback(services.orchestrator.close)
        stack.push_async_callback(services.streaming.close)
        stack.push_async_callback(services.subscriptions.close)
        stack.push_async_callback(services.connections.close)

    @app.after_serving
    async def close_everything() -> None:
        await stack.aclose()
