"""``tradewright db``: what is done to the databases as a whole."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from tradewright.commands.rotate_key import rotate_key
from tradewright.config import load_config


@click.group()
def db() -> None:
    """Bring the databases up to date, back them up, restore them, and renew what seals them."""


db.add_command(rotate_key)


@db.command()
def migrate() -> None:
    """Bring every database up to date, as a start of the server does, and say what was done."""
    from tradewright.app_extensions.data_dir import prepare_data_dir
    from tradewright.app_extensions.migrate_all import migrate_all

    config = load_config()
    config.validate()
    prepare_data_dir(config.data_dir)

    async def run() -> None:
        async for line in migrate_all(config):
            click.echo(line)

    asyncio.run(run())


@db.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def backup(file: Path) -> None:
    """Write the databases of the data directory into FILE, each as it is at one moment.

    May run beside the server. The secrets are not in it: keep a copy of secrets.toml elsewhere.
    """
    from tradewright.app_extensions.backups import back_up, elsewhere

    config = load_config()
    config.validate()
    for line in elsewhere(config):
        click.echo(line, err=True)
    made = back_up(config, file)
    for each in made.files:
        click.echo(f"{each.name}: {each.bytes:,} bytes")
    click.echo(
        f"Written to {file}. The secrets are not in it: without the encryption key of this server, stored "
        "keys can't be read from it."
    )


@db.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def restore(file: Path) -> None:
    """Put the databases of a backup in the place of those in the data directory.

    Refused while a server runs on it. What was there is kept beside it. Everybody has to log in again.
    """
    from tradewright.app_extensions.backups import restore as put_back
    from tradewright.app_extensions.data_dir import DataDirInUse, prepare_data_dir

    config = load_config()
    config.validate()
    prepare_data_dir(config.data_dir)
    try:
        done = asyncio.run(put_back(config, file))
    except DataDirInUse as error:
        raise click.ClickException(str(error)) from None
    for name in done.restored:
        click.echo(f"{name}: restored")
    for name in done.untouched:
        click.echo(f"{name}: not in the backup, left as it is")
    if done.aside is not None:
        click.echo(f"What was there before is in {done.aside}; remove it when you need it no more.")
