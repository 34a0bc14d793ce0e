"""Runs the application under uvicorn: one socket, one line that says so, and a drained end."""

from __future__ import annotations

import asyncio
import errno
import gc
import socket
from collections.abc import Callable
from typing import Any, Final

import uvicorn
import uvloop

from tradewright.app import Services, create_app, services_of
from tradewright.app_extensions import configure_logging
from tradewright.app_extensions.backups import finish_restore
from tradewright.app_extensions.data_dir import DataDirLock, Secrets, load_secrets, prepare_data_dir
from tradewright.config import BaseConfig
from tradewright.web.http_transport import BoundedHttpProtocol
from tradewright.web.protocol import MESSAGE_BYTES_MAX
from tradewright.web.ws.transport import LiveSocketProtocol

DRAIN_S: Final = 2.0
SHUTDOWN_S: Final = 8
COLLECTED_AT: Final = 10_000
"""So many new objects that can hold others; Python's own default is 700."""


class AddressInUse(Exception):
    """Another program listens on the address."""


class DrainingServer(uvicorn.Server):
    """Tells every client that the server is going before uvicorn closes their sockets."""

    def __init__(self, config: uvicorn.Config, services: Services, banner: str) -> None:
        super().__init__(config)
        self._services = services
        self._banner = banner

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the databases, then the application, then serve; raises what ``open_databases`` does."""
        # First and by itself: from the application's lifespan the error would come as a stack trace.
        await self._services.open_databases()
        await super().startup(sockets)
        if self.started and not self.should_exit:
            spare_the_collector()
            await self._tell_setup_token()
            print(self._banner, flush=True)  # noqa: T201  the one line a person waits for

    async def _tell_setup_token(self) -> None:
        """Where anybody could be the first to register, only who reads this may."""
        token = await self._services.auth.registration.new_setup_token()
        if token is not None:
            print(  # noqa: T201  for the operator's eyes; the log may go elsewhere
                "There is no account yet. Register the administrator within 15 minutes, at /register, "
                f"with this set-up token: {token}",
                flush=True,
            )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:  # no new connection while the old ones are sent away
            server.close()
        await self._services.connections.drain(DRAIN_S)
        await super().shutdown(sockets)


def spare_the_collector() -> None:
    """Let the garbage collector pass over what is there for as long as the server is, and look less often at
    what comes: one answer of a thousand bars makes more tuples than it would otherwise wait for."""
    gc.freeze()
    gc.set_threshold(COLLECTED_AT)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there; ``AddressInUse`` says in a sentence why there is none."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except (OSError, ValueError) as error:  # ValueError: text that can't be a host's name
        listener.close()
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise AddressInUse(
                f"Port {port} on {host} is taken by another program: choose another TRADEWRIGHT_PORT."
            ) from None
        why = getattr(error, "strerror", None) or "no name of a host"
        raise AddressInUse(f"Can't listen on {host} port {port} ({why}): correct TRADEWRIGHT_HOST.") from None
    listener.setblocking(False)
    return listener


def serve(config: BaseConfig) -> int:
    """Serve until a signal comes; the process's exit code.

    Raises ``ConfigError``, ``DataDirInUse``, ``AddressInUse`` and ``StorageUnavailable`` before anything
    is served.
    """
    config.validate()
    configure_logging(config)
    prepare_data_dir(config.data_dir)
    with DataDirLock(config.data_dir):
        finish_restore(config.data_dir)
        listener = listen(config.host, config.port)
        secrets = load_secrets(config)
        app = create_app(config)
        banner = _banner(config, listener, secrets)
        server = DrainingServer(uvicorn_config(config, app), services_of(app), banner)
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(server.serve(sockets=[listener]))
        except KeyboardInterrupt:
            pass
        finally:
            listener.close()
    return 0 if server.started else 3


def uvicorn_config(config: BaseConfig, app: Callable[..., Any]) -> uvicorn.Config:
    """Uvicorn's settings for the application."""
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        http=BoundedHttpProtocol,
        ws=LiveSocketProtocol,
        ws_max_size=MESSAGE_BYTES_MAX,
        ws_ping_interval=20,
        ws_ping_timeout=25,
        ws_per_message_deflate=False,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=SHUTDOWN_S,
        proxy_headers=False,  # the application reads them itself, under any server
    )


def _banner(config: BaseConfig, listener: socket.socket, secrets: Secrets) -> str:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    line = f"tradewright serves on http://{shown}:{port} (data in {config.data_dir}, Ctrl-C stops it)"
    if secrets.made_at is not None:
        line = f"Made new secrets in {secrets.made_at}; keep a copy of that file.\n{line}"
    return line
