"""Private PostgreSQL and Redis servers for one test run, on free ports, gone when it ends.

Both listen on loopback only, want a password made for the run, and keep their files in a directory
that is removed with them. The kernel tells them to stop should the runner be killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
ATTEMPTS = 3  # another program may take a port between our looking and the server's binding
SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


class ServerError(Exception):
    """A private server could not be started; the message says why."""


@dataclass(frozen=True, slots=True)
class Server:
    """How one server is started on a port, asked whether it answers, and stopped."""

    name: str
    home: Path
    command: Callable[[int], list[str]]
    answers: Callable[[int], bool]
    stop_signal: signal.Signals
    user: str | None


@contextlib.contextmanager
def private_servers() -> Iterator[dict[str, str]]:
    """Start both servers and yield the variables that tell the tests where they are."""
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tradewright-test-")))
        directory.chmod(0o711)  # the unprivileged user has to reach its own directory inside
        postgres_url = stack.enter_context(private_postgres(directory / "postgres")).url
        redis_url = stack.enter_context(_redis(directory / "redis"))
        yield {
            "TRADEWRIGHT_TEST_POSTGRES_URL": postgres_url,
            "TRADEWRIGHT_TEST_REDIS_URL": redis_url,
        }


def postgres_program(name: str) -> str | None:
    """Return the newest installed PostgreSQL program of that name, or None.

    Debian keeps the server's programs out of PATH, and what is in PATH may be a wrapper.
    """
    installed = list(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    if installed:
        return str(max(installed, key=lambda path: int(path.parts[4]) if path.parts[4].isdigit() else 0))
    return shutil.which(name)


class PrivatePostgres:
    """A PostgreSQL server of one's own, to be frozen, killed and started again on its port."""

    def __init__(self, server: Server, port: int, process: subprocess.Popen[bytes], url: str) -> None:
        self.url = url
        self._server = server
        self._port = port
        self._process = process

    def freeze(self) -> None:
        """Stop every process of the server, as a machine does that is out of memory or time."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        self._signal_all(signal.SIGCONT)

    def kill(self) -> None:
        """End every process without a word, and return when all of them are gone."""
        gone = self._processes()
        self._signal_all(signal.SIGKILL)
        self._process.wait()
        # What is left of them keeps the shared memory, and the server would not start.
        _wait_until(lambda: not any(Path(f"/proc/{each}").exists() for each in gone))

    def stop_immediately(self) -> None:
        """What `pg_ctl stop -m immediate` does."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait()

    def launch(self) -> None:
        """Start it again and return at once.

        For the main thread alone: the kernel stops the server when the thread ends that started it.
        """
        self._process = _spawn(self._server, self._port, self._server.home / "log")

    def start(self) -> None:
        """Start it again and return when it answers."""
        self.launch()
        self.wait()

    def wait(self) -> None:
        """Return when it answers, after `launch`."""
        if not _wait_until_it_answers(self._server, self._process, self._port):
            raise ServerError("PostgreSQL did not start again.")

    def end(self) -> None:
        """Stop it for good, frozen or not."""
        if self._process.poll() is None:
            self.thaw()
        _stop(self._process, self._server.stop_signal)

    def _processes(self) -> list[int]:
        # Each process of a server leads a group of its own, so they are found as its children.
        postmaster = self._process.pid
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text(encoding="ascii")
        return [postmaster, *map(int, children.split())]

    def _signal_all(self, what: signal.Signals) -> None:
        for each in self._processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, what)


@contextlib.contextmanager
def private_postgres(home: Path, settings: Mapping[str, str] | None = None) -> Iterator[PrivatePostgres]:
    """Start a server whose files are in `home`, which is made, with more `settings` than it needs."""
    user = _unprivileged_user()
    password = secrets.token_hex(16)
    data, password_file = home / "data", home / "password"
    home.mkdir(mode=0o700)
    password_file.write_text(password, encoding="utf-8")
    if user:
        shutil.chown(home, user)
        shutil.chown(password_file, user)
    _make_cluster(data, password_file, user)

    def command(port: int) -> list[str]:
        all_settings = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": home,
            "fsync": "off",
            # Loaded once, at the start: who upgrades PostgreSQL on this machine during a run puts a library
            # in its place that may not fit the server any more, and each connection would load that one.
            "shared_preload_libraries": "plpgsql",
            **(settings or {}),
        }
        options = [part for name, value in all_settings.items() for part in ("-c", f"{name}={value}")]
        return [_required("postgres"), "-D", str(data), *options]

    def answers(port: int) -> bool:
        probe = [_required("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
        return subprocess.run(probe, check=False).returncode == 0

    server = Server("PostgreSQL", home, command, answers, signal.SIGINT, user)
    with _serving(server) as (port, process):
        url = f"postgresql://tradewright:{password}@127.0.0.1:{port}/postgres"
        postgres = PrivatePostgres(server, port, process, url)
        try:
            yield postgres
        finally:
            postgres.end()


def _make_cluster(data: Path, password_file: Path, user: str | None) -> None:
    names = ["-D", str(data), "-U", "tradewright", f"--pwfile={password_file}"]
    options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]
    made = subprocess.run(
        [_required("initdb"), *names, *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=data.parent,
        user=user,
        group=_group(user),
        extra_groups=[] if user else None,
    )
    if made.returncode:
        raise ServerError(f"initdb failed:\n{made.stdout}")


@contextlib.contextmanager
def _redis(home: Path) -> Iterator[str]:
    password = secrets.token_hex(16)
    with _serving(_redis_server(home, password)) as (port, _):
        yield f"redis://:{password}@127.0.0.1:{port}/0"


def _redis_server(home: Path, password: str, more: Sequence[str] = ()) -> Server:
    settings = home / "redis.conf"
    home.mkdir(mode=0o700)

    def command(port: int) -> list[str]:
        lines = ["bind 127.0.0.1", f"port {port}", f"requirepass {password}", f"dir {home}"]
        settings.write_text("\n".join([*lines, 'save ""', "appendonly no", *more, ""]), encoding="utf-8")
        return ["redis-server", str(settings)]

    def answers(port: int) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                connection.sendall(f"AUTH {password}\r\n".encode())
                return connection.recv(16).startswith(b"+OK")
        except OSError:
            return False

    return Server("Redis", home, command, answers, signal.SIGTERM, None)


@contextlib.contextmanager
def _serving(server: Server) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    log = server.home / "log"
    for _ in range(ATTEMPTS):
        port = free_port()
        process = _spawn(server, port, log)
        try:
            if _wait_until_it_answers(server, process, port):
                yield port, process
                return
        finally:
            _stop(process, server.stop_signal)
    raise ServerError(f"{server.name} did not start:\n{log.read_text('utf-8', 'replace')}")


def _spawn(server: Server, port: int, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            server.command(port),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=server.home,
            user=server.user,
            group=_group(server.user),
            extra_groups=[] if server.user else None,
            start_new_session=True,  # the terminal's Ctrl-C is for the runner, which stops the server after
            preexec_fn=lambda: _die_with_parent(server.stop_signal),
        )


def _wait_until_it_answers(server: Server, process: subprocess.Popen[bytes], port: int) -> bool:
    _wait_until(lambda: process.poll() is not None or server.answers(port))
    return process.poll() is None and server.answers(port)


def _wait_until(condition: Callable[[], bool]) -> None:
    """Return when the condition holds, or after a while."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and not condition():
        time.sleep(0.05)


def _stop(process: subprocess.Popen[bytes], stop_signal: signal.Signals) -> None:
    if process.poll() is None:
        process.send_signal(stop_signal)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _die_with_parent(stop_signal: signal.Signals) -> None:
    ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, stop_signal, 0, 0, 0)


def _unprivileged_user() -> str | None:
    """Return whom PostgreSQL, which refuses to run as root, shall run as; None for ourselves."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _group(user: str | None) -> int | None:
    return pwd.getpwnam(user).pw_gid if user else None


def free_port() -> int:
    """Return a port of the loopback on which nothing listens just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _required(name: str) -> str:
    program = postgres_program(name)
    if program is None:
        raise ServerError(f"PostgreSQL's {name} is not installed.")
    return program


class OwnRedis:
    """A Redis that one test has for itself, to be killed, frozen and started again on the same port.

    What does not wait may be called while the test's event loop runs.
    """

    def __init__(self, home: Path, settings: Sequence[str] = (), password: str | None = None) -> None:
        self._password = password or secrets.token_hex(16)
        self._server = _redis_server(home, self._password, settings)
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it serves, the password included."""
        return f"redis://:{self._password}@127.0.0.1:{self._port}/0"

    def start(self) -> None:
        """Start it, without waiting until it answers."""
        self._process = _spawn(self._server, self._port, self._server.home / "log")

    def start_and_wait(self) -> None:
        """Start it and wait until it answers."""
        for _ in range(ATTEMPTS):
            self.start()
            if self._process and _wait_until_it_answers(self._server, self._process, self._port):
                return
        raise ServerError("A Redis of a test's own did not start.")

    def kill(self) -> None:
        """Make it end at once, its connections with it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Stop it: it keeps its connections and takes new ones, and answers none."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def own_redis() -> Iterator[OwnRedis]:
    """Start a Redis for one user alone; it is gone with its files afterwards, whatever was done to it."""
    with tempfile.TemporaryDirectory(prefix="tradewright-test-") as directory:
        redis = OwnRedis(Path(directory) / "redis")
        try:
            redis.start_and_wait()
            yield redis
        finally:
            redis.kill()
