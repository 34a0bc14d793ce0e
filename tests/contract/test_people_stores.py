"""Every kind of stores of people against the suite that is shipped."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.support.people import in_files, in_memory, on_server
from tests.support.postgres_schemas import execute
from tradewright.runtime.ids import SYSTEM_RANDOM
from tradewright.testing.people_stores import PEOPLE_CHECKS, OpenPeople, PeopleCheck


@pytest.fixture(scope="module")
def people_files(tmp_path_factory: pytest.TempPathFactory) -> OpenPeople:
    """How to open stores in files."""
    return in_files(tmp_path_factory.mktemp("people"))


@pytest.fixture(scope="module")
def people_on_server(postgres_url: str) -> Iterator[OpenPeople]:
    """How to open stores on a server."""
    schema = f"test_{SYSTEM_RANDOM.getrandbits(48):012x}"
    yield on_server(postgres_url, schema)
    asyncio.run(execute(postgres_url, f"DROP SCHEMA IF EXISTS {schema} CASCADE"))


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def open_people(request: pytest.FixtureRequest) -> OpenPeople:
    """How to open stores of one kind."""
    if request.param == "memory":
        return in_memory
    found: OpenPeople = request.getfixturevalue(
        "people_files" if request.param == "sqlite" else "people_on_server"
    )
    return found


@pytest.mark.parametrize("check", PEOPLE_CHECKS, ids=lambda check: check.__name__)
async def test_promises(open_people: OpenPeople, check: PeopleCheck) -> None:
    async with open_people(check.__name__) as people:
        await check(people)
