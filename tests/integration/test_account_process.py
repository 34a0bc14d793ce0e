"""Accounts of the program as a user runs it: the set-up token, the command line, a wrong key."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import msgspec
from click.testing import CliRunner, Result

from tests.support.accounts import PASSWORD
from tests.support.processes import environment, run_command, serving
from tradewright.cli import cli
from tradewright.domain.errors import ConfigError, TradewrightError

PEOPLE_EVERYWHERE = {"TRADEWRIGHT_HOST": "0.0.0.0", "TRADEWRIGHT_ENV": "development"}


def post(url: str, body: object, **headers: str) -> tuple[int, Any]:
    """The status and the decoded answer."""
    sent = {"Content-Type": "application/json", **{name.replace("_", "-"): v for name, v in headers.items()}}
    request = urllib.request.Request(url, msgspec.json.encode(body), sent, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, msgspec.json.decode(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, msgspec.json.decode(error.read())


def somebody(name: str, **more: str) -> dict[str, str]:
    return {"email": f"{name}@example.com", "username": name, "password": PASSWORD, **more}


def command(data_dir: Path, *arguments: str, said: str = "") -> Result:
    """The same as a command line of its own, in this process."""
    return CliRunner().invoke(cli, arguments, input=said, env=environment(data_dir))


def test_where_others_reach_it_the_first_user_needs_what_the_server_said(tmp_path: Path) -> None:
    with serving(tmp_path, **PEOPLE_EVERYWHERE) as server:
        url = server.url.replace("0.0.0.0", "127.0.0.1") + "/api/v1/auth/register"
        found = re.search(r"set-up token: (\S+)", server.said)
        assert found is not None
        assert post(url, somebody("eve"))[1]["code"] == "registration_closed"
        assert post(url, somebody("eve", setup_token="x" * 43))[0] == 403
        status, made = post(url, somebody("anna", setup_token=found[1]))
        assert (status, made["user"]["role"]) == (201, "admin")
        assert post(url, somebody("eve", setup_token=found[1]))[0] == 403


def test_on_this_machine_nobody_needs_one_but_a_proxy_is_not_this_machine(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        assert "set-up token" not in server.said
        url = f"{server.url}/api/v1/auth/register"
        assert post(url, somebody("eve"), X_Forwarded_For="127.0.0.1")[0] == 403
        assert post(url, somebody("eve"), Forwarded="for=127.0.0.1")[0] == 403
        assert post(url, somebody("eve"), Origin="https://evil.example")[0] == 403
        assert post(url, somebody("anna"))[0] == 201


def test_a_wrong_encryption_key_is_refused_in_one_sentence(tmp_path: Path) -> None:
    assert command(tmp_path, "user", "list").exit_code == 0
    path = tmp_path / "secrets.toml"
    right = path.read_text()
    path.write_text(re.sub(r'encryption_key = "[^"]+"', f'encryption_key = "{"wrong-" * 8}"', right))
    refused = run_command(tmp_path, "serve", "--port", "0")
    assert refused.returncode == 2
    assert "is not the key with which this database was sealed" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    assert isinstance(command(tmp_path, "user", "list").exception, ConfigError)
    path.write_text(right)
    assert command(tmp_path, "user", "list").exit_code == 0


def test_the_operator_makes_and_helps_users(tmp_path: Path) -> None:
    def refusal(*arguments: str, said: str = "") -> str:
        error = command(tmp_path, *arguments, said=said).exception
        assert isinstance(error, TradewrightError)
        return f"{error.message} {getattr(error, 'fields', '')}"

    def create(name: str, said: str = PASSWORD) -> tuple[tuple[str, ...], str]:
        return ("user", "create", name, "--email", f"{name}@example.com", "--password-stdin"), said

    arguments, said = create("anna")
    assert command(tmp_path, *arguments, said=said).output == "anna may log in as admin.\n"
    assert "12 characters" in refusal(*create("bob")[0], said="x")
    arguments, said = create("berta")
    assert "as trader" in command(tmp_path, *arguments, said=said).output
    assert "has this user name" in refusal(*arguments, said=said)
    assert "is admin now" in command(tmp_path, "user", "promote", "berta").output
    assert command(tmp_path, "user", "disable", "ANNA").exit_code == 0
    assert "last administrator" in refusal("user", "disable", "berta")
    assert sorted(command(tmp_path, "user", "list").output.splitlines()) == [
        "anna\tanna@example.com\tadmin\tdisabled",
        "berta\tberta@example.com\tadmin",
    ]
    with serving(tmp_path) as server:
        login = f"{server.url}/api/v1/auth/login"
        assert post(login, {"login": "anna", "password": PASSWORD})[0] == 401
        assert command(tmp_path, "user", "enable", "anna").exit_code == 0, "beside the server"
        assert post(login, {"login": "anna", "password": PASSWORD})[0] == 200
        new = "quite another 7 phrase"
        assert command(tmp_path, "user", "reset", "anna", "--password-stdin", said=new + "\n").exit_code == 0
        assert post(login, {"login": "anna", "password": PASSWORD})[0] == 401
        assert post(login, {"login": "anna", "password": new})[0] == 200
    assert "no such user" in refusal("user", "reset", "nobody", "--password-stdin", said=new)
    assert "as it was written" in command(tmp_path, "user", "verify").output
