"""``tradewright``: the command line.

Exit codes: 0 done, 1 refused or failed with a sentence that says why, 2 a setting or an argument is wrong.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tradewright import __version__
from tradewright.config import BaseConfig, load_config
from tradewright.domain.errors import ConfigError, InvalidInput, TradewrightError
from tradewright.domain.timeframes import TIMEFRAMES

if TYPE_CHECKING:
    from tradewright.services.bar_import import ImportProgress, ImportSummary


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tradewright")
def cli() -> None:
    """A self-hosted trading platform. Settings come from TRADEWRIGHT_… variables and a TOML file."""


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
@click.option("--replace", is_flag=True, help="Let the files win over stored bars that differ.")
def import_command(
    files: Sequence[Path],
    market: str,
    provider: str,
    symbol: str | None,
    timeframe: str,
    sparse: bool,
    replace: bool,
) -> None:
    """Import bars from CSV (plain, gzipped or zipped) and Parquet files.

    All files are imported, or none. May run beside the server, which sees the bars at once.
    """
    from tradewright.services.bar_import import format_summary

    config = load_config()
    config.validate()
    summary = asyncio.run(
        _import(config, files, market, provider, symbol, timeframe, sparse=sparse, replace=replace)
    )
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
                replace=replace,
                bars=bars,
                instruments=instruments,
                progress=_ProgressBars(stack),
            )


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
