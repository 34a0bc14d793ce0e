"""``tradewright user``: what the operator does with accounts, beside the server or without it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar, get_args

import click

from tradewright.config import load_config
from tradewright.domain.people import Role

if TYPE_CHECKING:
    from tradewright.domain.people import User
    from tradewright.services.auth_service import AuthService

ResultT = TypeVar("ResultT")
_PASSWORD_LENGTH_MAX = 1_024


@click.group()
def user() -> None:
    """Make accounts, help people who can't log in, and shut people out."""


@user.command()
@click.argument("name")
@click.option("--email", required=True, help="Their e-mail address.")
@click.option(
    "--role", type=click.Choice(get_args(Role)), help="What they may do; the first user is administrator."
)
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
def create(name: str, email: str, role: Role | None, password_stdin: bool) -> None:
    """Make the account NAME, whatever the server lets strangers do."""
    from tradewright.services.auth.registration import Applicant
    from tradewright.services.auth.visits import Visit

    password = _read_password(password_stdin)

    async def work(auth: AuthService) -> User:
        given = role or ("trader" if await auth.registration.has_users() else "admin")
        applicant = Applicant(email=email, username=name, password=password)
        return await auth.add_user(applicant, given, Visit(agent="command line"))

    made = _run(work)
    click.echo(f"{made.username} may log in as {made.role}.")


@user.command()
@click.argument("login")
@click.option("--password-stdin", is_flag=True, help="Read the new password from standard input.")
@click.option("--keep-totp", is_flag=True, help="Leave the second factor as it is.")
def reset(login: str, password_stdin: bool, keep_totp: bool) -> None:
    """Give the user LOGIN (name or address) a new password.

    Ends all their sessions and API tokens, and removes the second factor.
    """
    from tradewright.services.auth.visits import Visit

    password = _read_password(password_stdin)

    async def work(auth: AuthService) -> User:
        found = await auth.find_user(login)
        await auth.reset_password(found.id, password, Visit(agent="command line"), keep_totp=keep_totp)
        return found

    click.echo(f"{_run(work).username} has a new password; every session of theirs has ended.")


@user.command()
@click.argument("login")
@click.option("--role", type=click.Choice(get_args(Role)), default="admin", show_default=True)
def promote(login: str, role: Role) -> None:
    """Give the user LOGIN another role."""
    from tradewright.services.auth.visits import Visit

    async def work(auth: AuthService) -> User:
        found = await auth.find_user(login)
        return await auth.administration.set_role(found.id, role, None, Visit(agent="command line"))

    changed = _run(work)
    click.echo(f"{changed.username} is {changed.role} now.")


@user.command()
@click.argument("login")
def disable(login: str) -> None:
    """Shut the user LOGIN out: every session of theirs ends, and no API token of theirs is taken until they
    are let in again."""
    click.echo(f"{_set_disabled(login, True).username} can't log in any more.")


@user.command()
@click.argument("login")
def enable(login: str) -> None:
    """Let the user LOGIN in again, and the programs that have an API token of theirs."""
    click.echo(f"{_set_disabled(login, False).username} can log in again.")


@user.command("list")
def list_users() -> None:
    """Show every user: name, address, role, and what is special about them."""

    async def work(auth: AuthService) -> list[User]:
        found: list[User] = []
        while page := await auth.administration.users(after=found[-1].id if found else None):
            found += page
        return found

    for each in _run(work):
        special = [text for text, on in (("disabled", each.disabled), ("totp", each.totp_enabled)) if on]
        click.echo("\t".join([each.username, each.email, each.role, ",".join(special)]).rstrip())


@user.command()
def verify() -> None:
    """Check that no event of the audit log was changed or removed.

    Exit code 1 where one was. That the newest ones are missing can't be seen.
    """

    async def work(auth: AuthService) -> int | None:
        return await auth.first_broken_event()

    broken = _run(work)
    if broken is not None:
        raise click.ClickException(f"The audit log was tampered with at event {broken}, or before it.")
    click.echo("The audit log is as it was written.")


def _set_disabled(login: str, disabled: bool) -> User:
    from tradewright.services.auth.visits import Visit

    async def work(auth: AuthService) -> User:
        found = await auth.find_user(login)
        return await auth.administration.set_disabled(found.id, disabled, None, Visit(agent="command line"))

    return _run(work)


def _run(work: Callable[[AuthService], Awaitable[ResultT]]) -> ResultT:
    from tradewright.app import open_accounts
    from tradewright.app_extensions.data_dir import prepare_data_dir

    config = load_config()
    config.validate()
    prepare_data_dir(config.data_dir)

    async def run() -> ResultT:
        async with open_accounts(config) as auth:
            return await work(auth)

    return asyncio.run(run())


def _read_password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.read(_PASSWORD_LENGTH_MAX).rstrip("\r\n")
    found: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return found
