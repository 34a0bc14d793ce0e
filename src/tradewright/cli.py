"""``tradewright``: the command line.

Exit codes: 0 done, 1 refused or failed with a sentence that says why, 2 a setting or an argument is wrong.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tradewright import __version__
from tradewright.commands.db import db
from tradewright.commands.user import user
from tradewright.config import BaseConfig, load_config
from tradewright.domain.errors import ConfigError, InvalidInput, TradewrightError
from tradewright.domain.instruments import InstrumentKey, check_identifier, check_symbol
from tradewright.domain.timeframes import TIMEFRAMES

if TYPE_CHECKING:
    from tradewright.domain.backfills import BackfillJob
    from tradewright.services.backfill.command import WantedHistory
    from tradewright.services.bar_import import ImportProgress, ImportSummary


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tradewright")
def cli() -> None:
    """A self-hosted trading platform. Settings come from TRADEWRIGHT_… variables and a TOML file."""


cli.add_command(db)
cli.add_command(user)


@cli.command()
@click.option("--host", help="Address to listen on (TRADEWRIGHT_HOST, default 127.0.0.1).")
@click.option("--port", type=click.IntRange(0, 65535), help="Port (TRADEWRIGHT_PORT, default 8000).")
def serve(host: str | None, port: int | None) -> None:
    """Serve the pages and the API until Ctrl-C."""
    # Imported here: `import` and `--help` need no web server, and start faster without it.
    from tradewright.app_extensions.data_dir import DataDirInUse
    from tradewright.server import AddressInUse
    from tradewright.server import serve as run_server

    config = load_config()
    config.host = config.host if host is None else host
    config.port = config.port if port is None else port
    try:
        sys.exit(run_server(config))
    except (DataDirInUse, AddressInUse) as error:
        raise click.ClickException(str(error)) from None


@cli.command("import")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--market", required=True, help="The market: crypto or stocks.")
@click.option("--provider", required=True, help="The provider under which the bars are kept.")
@click.option("--symbol", help="The symbol; needed unless the files have a symbol column.")
@click.option(
    "--timeframe", default="1m", show_default=True, type=click.Choice(list(TIMEFRAMES)), help="Of the bars."
)
@click.option("--sparse", is_flag=True, help="Vouch only for the rows, not for the minutes between them.")
@click.option("--complete", is_flag=True, help="Vouch for stretches of more than a day without a row, too.")
@click.option("--replace", is_flag=True, help="Let the files win over stored bars that differ.")
def import_command(
    files: Sequence[Path],
    market: str,
    provider: str,
    symbol: str | None,
    timeframe: str,
    sparse: bool,
    complete: bool,
    replace: bool,
) -> None:
    """Import bars from CSV (plain, gzipped or zipped) and Parquet files.

    All files are imported, or none. May run beside the server, which sees the bars at once.
    """
    from tradewright.services.bar_import import format_summary

    config = load_config()
    config.validate()
    how = {"sparse": sparse, "complete": complete, "replace": replace}
    summary = asyncio.run(_import(config, files, market, provider, symbol, timeframe, **how))
    click.echo(format_summary(summary))


async def _import(
    config: BaseConfig,
    files: Sequence[Path],
    market: str,
    provider: str,
    symbol: str | None,
    timeframe: str,
    *,
    sparse: bool,
    complete: bool,
    replace: bool,
) -> ImportSummary:
    from tradewright.app import open_stores
    from tradewright.app_extensions.data_dir import prepare_data_dir
    from tradewright.plugins import PluginLoader
    from tradewright.services.bar_import import import_files

    known = {info.provider: info for info in PluginLoader().providers(market)}
    if provider in known and known[provider].simulated:
        raise InvalidInput("The simulated exchange makes its own bars: choose another provider.")
    prepare_data_dir(config.data_dir)
    async with open_stores(config) as (bars, instruments):
        with ExitStack() as stack:
            return await import_files(
                files,
                market=market,
                provider=provider,
                symbol=symbol,
                timeframe=timeframe,
                sparse=sparse,
                complete=complete,
                replace=replace,
                bars=bars,
                instruments=instruments,
                progress=_ProgressBars(stack),
            )


@cli.command()
@click.option("--market", help="The market: crypto or stocks.")
@click.option("--provider", help="Where the bars come from.")
@click.option("--symbol", help="Whose bars.")
@click.option("--start", help="From when on: a date (2024-01-31, 2024-01-31T12:00) in UTC, or epoch ms.")
@click.option("--end", help="Until when, in the same form; now where it is left out.")
@click.option("--newest-first", is_flag=True, help="Fetch the newest bars first.")
@click.option("--resume", metavar="ID", help="Take up a backfill that was left, or watch one.")
@click.option("--cancel", metavar="ID", help="Cancel a backfill, whichever process works at it, and end.")
@click.option("--list", "listed", is_flag=True, help="Show the newest backfills and end.")
def backfill(
    market: str | None,
    provider: str | None,
    symbol: str | None,
    start: str | None,
    end: str | None,
    newest_first: bool,
    resume: str | None,
    cancel: str | None,
    listed: bool,
) -> None:
    """Fetch history from a provider: what is missing of a range, and nothing twice.

    Where a server runs on the same database, it does the work, within its own rate limits, and this
    command shows how far it is. Ctrl-C leaves the backfill to the server, or to be taken up again.
    """
    from tradewright.app_extensions.data_dir import prepare_data_dir

    config = load_config()
    config.validate()
    if sum(map(bool, (resume, cancel, listed))) > 1:
        raise click.UsageError("Only one of --resume, --cancel and --list can be given.")
    wanted = (
        None if resume or cancel or listed else _wanted(market, provider, symbol, start, end, newest_first)
    )
    prepare_data_dir(config.data_dir)
    if listed:
        asyncio.run(_list_backfills(config))
    elif cancel:
        click.echo(asyncio.run(_cancel_backfill(config, cancel)))
    else:
        _run_backfill(config, wanted or resume or "")


def _wanted(
    market: str | None,
    provider: str | None,
    symbol: str | None,
    start: str | None,
    end: str | None,
    newest_first: bool,
) -> WantedHistory:
    """What the options ask for; a usage error names those that are missing or can't be read."""
    from tradewright.services.backfill.command import WantedHistory, read_time_ms

    def time_ms(option: str, text: str) -> int:
        try:
            return read_time_ms(text)
        except ValueError:
            problem = f"{text!r} is neither a date (2024-01-31, 2024-01-31T12:00) nor epoch ms."
            raise click.BadParameter(problem, param_hint=option) from None

    if market is None or provider is None or symbol is None or start is None:
        raise click.UsageError("--market, --provider, --symbol and --start must be given.")
    key = InstrumentKey(
        check_identifier("market", market), check_identifier("provider", provider), check_symbol(symbol)
    )
    end_ms = None if end is None else time_ms("--end", end)
    return WantedHistory(key, time_ms("--start", start), end_ms, newest_first)


async def _list_backfills(config: BaseConfig) -> None:
    from tradewright.app import open_backfills
    from tradewright.services.backfill.command import line

    async with open_backfills(config) as manager:
        for job in await manager.newest(50):
            click.echo(line(job))


async def _cancel_backfill(config: BaseConfig, job_id: str) -> str:
    from tradewright.app import open_backfills
    from tradewright.services.backfill.command import summary

    async with open_backfills(config) as manager:
        return summary(await manager.cancel(job_id))


def _run_backfill(config: BaseConfig, wanted: WantedHistory | str) -> None:
    """Work until it has ended or the user ends it; what was fetched until then is kept."""
    from tradewright.services.backfill.command import summary

    begun: list[BackfillJob] = []
    try:
        job = asyncio.run(_backfill(config, wanted, begun))
    except (KeyboardInterrupt, asyncio.CancelledError):
        for left in begun:
            click.echo(
                "\nLeft; what was fetched is kept. A server on this database goes on with it, and so does:\n"
                f"  tradewright backfill --resume {left.id}\nTo end it for good:\n"
                f"  tradewright backfill --cancel {left.id}",
                err=True,
            )
        sys.exit(1)
    if job.state != "done":
        click.echo(f"tradewright: {summary(job)}", err=True)
        sys.exit(1)
    click.echo(summary(job))


async def _backfill(config: BaseConfig, wanted: WantedHistory | str, begun: list[BackfillJob]) -> BackfillJob:
    from tradewright.app import open_backfills
    from tradewright.runtime.clock import SystemClock
    from tradewright.services.backfill.command import ask_for, follow

    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    clock = SystemClock()
    async with open_backfills(config) as manager:
        job = await ask_for(manager, wanted, clock)
        begun.append(job)
        if await manager.attended():
            click.echo("A server on this database does the work; this command only watches.", err=True)
        with click.progressbar(length=1_000, label=f"{job.provider} {job.symbol}", file=sys.stderr) as bar:
            said: set[str] = set()

            def show(job: BackfillJob) -> None:
                bar.update(max(0, round(job.progress * 1_000) - bar.pos))
                if job.open and job.error and job.error not in said:
                    said.add(job.error)
                    click.echo(f"\n{job.error} It is tried again.", err=True)

            return await follow(manager, job, clock, show)


@cli.command()
def doctor() -> None:
    """Say what a server of these settings would stand on: disk, database, cache, plugins.

    Exit code 1 where something is missing without which it can't serve.
    """
    config = load_config()
    config.validate()
    sys.exit(asyncio.run(_doctor(config)))


async def _doctor(config: BaseConfig) -> int:
    from tradewright.commands.doctor import examine

    worst = 0
    async for finding in examine(config):
        click.echo(f"{finding.state:<9} {finding.name}: {finding.detail}")
        worst = max(worst, int(finding.state == "broken"))
    return worst


class _ProgressBars:
    """A bar on standard error for each phase of an import, as it begins."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._phase = ""
        self._done = 0

    def __call__(self, progress: ImportProgress) -> None:
        if progress.phase != self._phase:
            self._stack.close()
            self._phase, self._done = progress.phase, 0
            self._bar = self._stack.enter_context(
                click.progressbar(length=progress.total, label=progress.phase.capitalize(), file=sys.stderr)
            )
        self._bar.update(progress.done - self._done)
        self._done = progress.done


def main() -> None:
    """The entry point: every refusal is a sentence, and no refusal is a stack trace."""
    try:
        cli()
    except ConfigError as error:
        for problem in error.problems:
            click.echo(f"tradewright: {problem}", err=True)
        sys.exit(2)
    except TradewrightError as error:
        click.echo(f"tradewright: {error.message}", err=True)
        for field, reason in getattr(error, "fields", {}).items():
            click.echo(f"  {field}: {reason}", err=True)
        sys.exit(1)
