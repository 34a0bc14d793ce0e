"""The composition root: the only place where concrete stores, buses and services meet.

``create_app`` makes objects and does no I/O. What has a beginning and an end is opened, in one place
and in order, before the server serves, and closed in reverse after it.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final, cast

from quart import Quart
from quart_schema import HttpSecurityScheme, QuartSchema

from tradewright import __version__
from tradewright.app_extensions import init_app_extensions
from tradewright.app_extensions.operator_secrets import OperatorSecrets
from tradewright.app_extensions.people import People, people_of
from tradewright.app_extensions.provider_options import check_provider_options
from tradewright.app_extensions.readiness import Readiness
from tradewright.app_extensions.redis_manager import RedisManager
from tradewright.app_extensions.stores import StoreSet, stores_of
from tradewright.config import BaseConfig
from tradewright.domain.people import Registration
from tradewright.domain.people_stores import PeopleStores
from tradewright.domain.ports import (
    BarStore,
    Cache,
    InstrumentStore,
    Leases,
    MessageBus,
    UserCredentialSource,
)
from tradewright.plugins import PluginLoader
from tradewright.runtime.clock import Clock, SystemClock
from tradewright.runtime.finishing import Finisher
from tradewright.runtime.metrics import Metrics
from tradewright.services.adjusted_bars import AdjustedBars
from tradewright.services.auth.passwords import PasswordCost
from tradewright.services.auth.socket_accounts import SocketAccounts
from tradewright.services.auth_service import AuthService, AuthSettings
from tradewright.services.authentication import Authenticator
from tradewright.services.backfill.stream import BackfillStream
from tradewright.services.backfill_manager import BackfillManager
from tradewright.services.bar_export import BarExporter
from tradewright.services.cache_manager import CacheManager
from tradewright.services.call_limits import CallLimits, CallQuotas
from tradewright.services.coverage import CoverageService
from tradewright.services.data_orchestrator import DataOrchestrator
from tradewright.services.encryption_service import EncryptionService
from tradewright.services.feeds.live_bar_writer import LiveBarWriter
from tradewright.services.market_service import MarketService
from tradewright.services.streaming_manager import StreamingManager
from tradewright.services.subscription_registry import SubscriptionLimits, SubscriptionRegistry
from tradewright.services.subscription_service import StreamSource, SubscriptionService
from tradewright.services.user.vault import CredentialVault
from tradewright.services.user_service import UserService
from tradewright.storage.memory_bus import MemoryBus
from tradewright.storage.memory_cache import MemoryCache
from tradewright.storage.memory_call_counter import MemoryCallCounter
from tradewright.storage.memory_leases import MemoryLeases
from tradewright.web import views
from tradewright.web.blueprints import (
    audit,
    auth,
    backfills,
    coverage,
    credentials,
    market,
    operations,
    user,
    users,
)
from tradewright.web.middleware.authentication import SCHEME, install_authentication, is_insider
from tradewright.web.middleware.call_limits import install_address_limits, install_user_limits
from tradewright.web.middleware.error_handler import install_error_handler
from tradewright.web.middleware.finishing import install_finishing
from tradewright.web.middleware.guards import host_check, install_guards, socket_check
from tradewright.web.middleware.headers import api_headers, install_headers
from tradewright.web.middleware.warm_history import WarmAnswers, WarmHistory
from tradewright.web.models import DependencyState
from tradewright.web.openapi import StrictOpenAPIProvider
from tradewright.web.peers import ForwardedPeers
from tradewright.web.ws.connections import WebSocketConnections
from tradewright.web.ws.endpoint import LiveSockets

_log = logging.getLogger(__name__)

BODY_BYTES_MAX: Final = 64 * 1024
BODY_DEADLINE_S: Final = 10


@dataclass(kw_only=True)
class Adapters:
    """What an application stands on. Tests and embedders replace what they like; the rest is made from
    the configuration."""

    clock: Clock = field(default_factory=SystemClock)
    loader: PluginLoader | None = None
    stores: StoreSet | None = None
    cache: Cache | None = None
    bus: MessageBus | None = None
    people: People | None = None
    password_cost: PasswordCost | None = None
    leases: Leases | None = None
    authenticator: Authenticator | None = None


@dataclass(kw_only=True)
class Engine:
    """The services of market data, as the server and the commands beside it use them."""

    stores: StoreSet
    redis: RedisManager | None
    cache: CacheManager
    metrics: Metrics
    loader: PluginLoader
    markets: MarketService
    orchestrator: DataOrchestrator
    backfills: BackfillManager


@dataclass(kw_only=True)
class Services:
    """Everything that ``create_app`` made, for the server, the tests, and nobody else."""

    engine: Engine
    people: People
    secrets: OperatorSecrets
    encryption: EncryptionService
    auth: AuthService
    user: UserService
    calls: CallLimits
    bars: AdjustedBars
    warm: WarmAnswers
    backfill_stream: BackfillStream
    live_bars: LiveBarWriter
    streaming: StreamingManager
    subscriptions: SubscriptionService
    registry: SubscriptionRegistry
    connections: WebSocketConnections
    changes: Finisher = field(default_factory=lambda: Finisher("changes"))

    @property
    def markets(self) -> MarketService:
        """The engine's market service."""
        return self.engine.markets

    @property
    def orchestrator(self) -> DataOrchestrator:
        """The engine's orchestrator."""
        return self.engine.orchestrator

    @property
    def backfills(self) -> BackfillManager:
        """The engine's backfills."""
        return self.engine.backfills

    async def open_databases(self) -> None:
        """Open them, which may be done again; ConfigError and StorageUnavailable say why one can't be."""
        self.secrets.open()
        await self.engine.stores.open()
        await self.people.open()
        await self.encryption.check_canary(self.people.stores.canary)


@asynccontextmanager
async def open_stores(config: BaseConfig) -> AsyncIterator[tuple[BarStore, InstrumentStore]]:
    """The stores of bars and instruments as the configuration names them, for a command that works
    beside the server."""
    stores = stores_of(config, SystemClock())
    try:
        await stores.open()
        yield stores.bars, stores.instruments
    finally:
        await stores.close()


@asynccontextmanager
async def open_backfills(config: BaseConfig) -> AsyncIterator[BackfillManager]:
    """A manager of backfills that works beside the server, on the same stores; it is not started."""
    engine = make_engine(config, Adapters())
    async with AsyncExitStack() as stack:
        stack.push_async_callback(engine.stores.close)
        await engine.stores.open()
        stack.push_async_callback(engine.cache.close)
        stack.push_async_callback(engine.markets.close)
        stack.push_async_callback(engine.backfills.close)
        yield engine.backfills


@asynccontextmanager
async def open_accounts(config: BaseConfig) -> AsyncIterator[AuthService]:
    """The accounts as the configuration names them, for a command that works beside the server; nothing runs
    in the background."""
    clock, secrets = SystemClock(), OperatorSecrets(config)
    secrets.open()
    people = people_of(config, clock)
    encryption = EncryptionService(secrets.encryption)
    accounts = make_auth(config, people.stores, secrets, encryption, clock)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(people.close)
        await people.open()
        await encryption.check_canary(people.stores.canary)
        stack.push_async_callback(accounts.close)
        yield accounts


def create_app(config: BaseConfig, adapters: Adapters | None = None) -> Quart:
    """The application, made but not yet opened; ``services_of`` tells its services."""
    adapters = adapters or Adapters()
    app = Quart("tradewright.web", static_folder="static", static_url_path="/static")
    app.config.update(MAX_CONTENT_LENGTH=BODY_BYTES_MAX, BODY_TIMEOUT=BODY_DEADLINE_S)
    init_app_extensions(app, config)
    services = _services(config, adapters)
    app.extensions["tradewright"] = services

    _install_web(app, config, services, adapters.clock)
    _install_lifespan(app, services)
    return app


def services_of(app: Quart) -> Services:
    """The services of an application that ``create_app`` made."""
    services: Services = app.extensions["tradewright"]
    return services


def make_engine(
    config: BaseConfig, adapters: Adapters, user_credentials: UserCredentialSource | None = None
) -> Engine:
    """The services of market data, made but not yet opened; ``ConfigError`` where a setting is wrong."""
    clock, metrics = adapters.clock, Metrics()
    loader = adapters.loader or PluginLoader()
    check_provider_options(config, loader)
    stores = adapters.stores or stores_of(config, clock)
    redis = None
    if config.redis_url:
        redis = RedisManager(config.redis_url, clock, metrics.cache, metrics.bus, prefix=config.shared_prefix)
    cache = CacheManager(
        adapters.cache or (redis.cache if redis else MemoryCache(clock)), clock, metrics.cache
    )
    markets = MarketService(
        loader,
        stores.instruments,
        clock,
        provider_options=config.provider_options(),
        operator_credentials=config.operator_credentials(),
        user_credentials=user_credentials,
    )
    orchestrator = DataOrchestrator(markets, stores.bars, clock, cache)
    backfills = BackfillManager(markets, orchestrator.venue, stores.bars, stores.jobs, clock)
    orchestrator.repair = backfills.repair
    return Engine(
        stores=stores,
        redis=redis,
        cache=cache,
        metrics=metrics,
        loader=loader,
        markets=markets,
        orchestrator=orchestrator,
        backfills=backfills,
    )


def _services(config: BaseConfig, adapters: Adapters) -> Services:
    clock = adapters.clock
    people = adapters.people or people_of(config, clock)
    stores = people.stores
    secrets = OperatorSecrets(config)
    encryption = EncryptionService(secrets.encryption)
    vault = CredentialVault(stores, encryption, clock)
    engine = make_engine(config, adapters, vault)
    own = UserService(stores, vault, engine.markets, clock)
    bus = adapters.bus or (engine.redis.bus if engine.redis else MemoryBus())
    bars = AdjustedBars(engine.orchestrator, engine.markets, engine.stores.instruments, clock)
    own_bus = MemoryBus()
    backfill_stream = BackfillStream(engine.backfills, own_bus, clock)
    leases = adapters.leases or (engine.redis.leases if engine.redis else MemoryLeases(clock))
    live_bars = LiveBarWriter(engine.stores.bars, clock, engine.metrics.live_bars)
    streaming = StreamingManager(
        engine.markets,
        engine.orchestrator,
        bus,
        leases,
        clock,
        sink=live_bars,
        metrics=engine.metrics.feeds,
    )
    if engine.redis and bus is engine.redis.bus:
        engine.redis.bus.on_publish_lost(streaming.tell_all)
    registry = SubscriptionRegistry(SubscriptionLimits(connections_per_address=config.ws_max_per_address))
    subscriptions = SubscriptionService(
        bus,
        streaming,
        bars,
        registry,
        clock,
        own={"backfills": StreamSource(backfill_stream, own_bus)},
    )
    accounts = make_auth(config, stores, secrets, encryption, clock, adapters.password_cost, own, bus)
    return Services(
        engine=engine,
        people=people,
        secrets=secrets,
        encryption=encryption,
        auth=accounts,
        user=own,
        calls=_call_limits(config, engine, clock),
        bars=bars,
        warm=WarmAnswers(clock),
        backfill_stream=backfill_stream,
        live_bars=live_bars,
        streaming=streaming,
        subscriptions=subscriptions,
        registry=registry,
        connections=WebSocketConnections(
            subscriptions,
            registry,
            clock,
            authenticator=adapters.authenticator or SocketAccounts(accounts),
            login_first=config.require_login,
        ),
    )


def _call_limits(config: BaseConfig, engine: Engine, clock: Clock) -> CallLimits:
    """In memory, and among all servers where there is Redis."""
    together = engine.redis.call_counter if engine.redis else None
    quotas = CallQuotas.of_rate(config.rate_limit)
    return CallLimits(MemoryCallCounter(clock).take_now, clock, quotas, together)


def make_auth(
    config: BaseConfig,
    stores: PeopleStores,
    secrets: OperatorSecrets,
    encryption: EncryptionService,
    clock: Clock,
    password_cost: PasswordCost | None = None,
    user: UserService | None = None,
    bus: MessageBus | None = None,
) -> AuthService:
    """The accounts of a server of this configuration; neither their stores nor they are opened. Without
    ``user`` nothing runs for anybody that would have to end with them."""

    async def forget_user(user_id: str) -> None:
        await stores.credentials.delete_all(user_id)
        await stores.preferences.delete(user_id)

    alone = config.listens_on_loopback and config.public_url is None and not config.trusted_proxies
    # In production somebody may stand in front who says nothing of it, and then everybody is on this machine.
    alone = alone and config.env != "production"
    settings = AuthSettings(
        registration=cast(Registration, config.registration),
        trusts_loopback=alone,
        password_cost=password_cost or PasswordCost(),
    )
    forget, shut_out = (forget_user, None) if user is None else (user.forget, user.shut_out)
    return AuthService(stores, secrets.jwt, encryption, clock, settings, forget, bus=bus, shut_out=shut_out)


def _install_web(app: Quart, config: BaseConfig, services: Services, clock: Clock) -> None:
    install_headers(app, config)
    install_guards(app, config)
    install_finishing(app, services.changes)
    install_address_limits(app, services.calls)
    install_authentication(app, services.auth, require_login=config.require_login)
    install_user_limits(app, services.calls)
    install_error_handler(app)
    engine = services.engine
    bars, markets = engine.stores.bars, engine.markets
    app.register_blueprint(market.build(markets, services.bars, services.warm))
    covered, exporter = CoverageService(bars, markets, clock), BarExporter(bars, markets, clock)
    app.register_blueprint(coverage.build(covered, exporter))
    app.register_blueprint(backfills.build(engine.backfills))
    app.register_blueprint(auth.build(services.auth))
    app.register_blueprint(users.build(services.auth))
    app.register_blueprint(audit.build(services.auth))
    app.register_blueprint(user.build(services.user, services.auth.has_proved_lately))
    app.register_blueprint(credentials.build(services.user))
    app.register_blueprint(
        operations.build(
            __version__,
            _dependencies(services, clock),
            engine.metrics,
            is_insider=partial(is_insider, services.auth),
        )
    )
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
        security_schemes={SCHEME: HttpSecurityScheme(scheme="bearer", bearer_format="JWT, or an API token")},
    )
    app.asgi_app = LiveSockets(  # type: ignore[method-assign]
        app.asgi_app, services.connections, admits=socket_check(config)
    )
    if not config.require_login:
        app.asgi_app = WarmHistory(  # type: ignore[method-assign]
            app.asgi_app,
            services.warm,
            allowed=host_check(config),
            headers=api_headers(config),
            counts=services.calls.take_here,
        )
    if config.trusted_proxies:
        app.asgi_app = ForwardedPeers(app.asgi_app, config.trusted_proxies)  # type: ignore[method-assign]


def _dependencies(services: Services, clock: Clock) -> Callable[[], Awaitable[Sequence[DependencyState]]]:
    """What ``/readyz`` tells; the server serves without what is optional."""
    engine = services.engine
    checks = {"bars": engine.stores.bars.check, **services.people.checks}
    needed = {name: Readiness(check, clock) for name, check in checks.items()}

    async def dependencies() -> Sequence[DependencyState]:
        problems = {name: await readiness.problem() for name, readiness in needed.items()}
        states = [
            DependencyState(name=name, ok=problem is None, detail=problem or "")
            for name, problem in problems.items()
        ]
        if engine.redis is not None:
            problem = await engine.redis.problem()
            states.append(
                DependencyState(name="redis", ok=problem is None, detail=problem or "", required=False)
            )
        # A broken plugin is told, but the server serves without it.
        broken = "; ".join(f"{plugin.name}: {plugin.reason}" for plugin in engine.loader.broken)
        return [*states, DependencyState(name="plugins", ok=True, detail=broken)]

    return dependencies


def _install_lifespan(app: Quart, services: Services) -> None:
    stack = AsyncExitStack()

    @app.before_serving
    async def open_everything() -> None:
        engine = services.engine
        stack.push_async_callback(engine.stores.close)
        stack.push_async_callback(services.people.close)
        await services.open_databases()
        stack.push_async_callback(engine.cache.close)
        if engine.redis is not None:
            await engine.redis.open()
            stack.push_async_callback(engine.redis.close)
        services.auth.start()
        stack.push_async_callback(services.auth.close)
        engine.markets.start()
        stack.push_async_callback(engine.markets.close)
        services.user.start()
        stack.push_async_callback(services.user.close)
        stack.push_async_callback(engine.orchestrator.close)
        stack.push_async_callback(services.bars.close)
        engine.backfills.start()
        stack.push_async_callback(engine.backfills.close)
        services.live_bars.start()
        stack.push_async_callback(services.live_bars.close)
        stack.push_async_callback(services.streaming.close)
        stack.push_async_callback(services.backfill_stream.close)
        stack.push_async_callback(services.subscriptions.close)
        stack.push_async_callback(services.connections.close)
        stack.push_async_callback(services.changes.close)

    @app.after_serving
    async def close_everything() -> None:
        await stack.aclose()
