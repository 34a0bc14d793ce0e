"""``tradewright db rotate-key``: renews the operator's secrets while the server runs."""

from __future__ import annotations

import asyncio
import sys

import click

from tradewright.config import load_config


@click.command("rotate-key")
@click.option("--finish", is_flag=True, help="Remove the keys that nothing needs any more.")
@click.option("--signing", is_flag=True, help="Renew the secret that signs tokens, not the encryption key.")
@click.option("--key-stdin", is_flag=True, help="Read the new key from standard input instead of making one.")
def rotate_key(finish: bool, signing: bool, key_stdin: bool) -> None:
    """Renew the encryption key, and seal everything anew under it.

    May run beside the server, and may be ended at any moment and called again.
    """
    from tradewright.app_extensions import key_rotation
    from tradewright.app_extensions.data_dir import prepare_data_dir

    if finish and key_stdin:
        raise click.UsageError("Only one of --finish and --key-stdin can be given.")
    config = load_config()
    config.validate()
    prepare_data_dir(config.data_dir)
    new = sys.stdin.readline(2_048).strip() if key_stdin else None
    if signing:
        done = key_rotation.rotate_signing_secret(config, new=new, finish=finish)
    else:
        done = asyncio.run(key_rotation.rotate_key(config, new=new, finish=finish))
    if done.began:
        click.echo("A new key stands in front of the old one; keep a copy of secrets.toml.")
    if done.report is not None:
        click.echo(f"{done.report.resealed} sealed anew, {done.report.current} were already.")
        for name in done.report.unreadable:
            click.echo(f"can't be opened with any key of the ring, and stays as it is: {name}", err=True)
    if done.finished:
        click.echo("The older keys are gone.")
    elif done.report is None or done.report.complete:
        click.echo("Done. When no server needs the older key any more, remove it with --finish.")
    else:
        raise SystemExit(1)
