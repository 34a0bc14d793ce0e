"""The tree keeps the rules of the house, and each rule is able to fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.architecture import house
from tests.architecture.house import LONG, PACKAGE, ROOT, Rule, parse, snippet

SOURCES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
ALL = [*SOURCES, *TESTS, *sorted((ROOT / "tools").glob("*.py")), *sorted((ROOT / "bench").glob("*.py"))]

RULES_OF_THE_PACKAGE: list[Rule] = [
    house.broad_excepts,
    house.hidden_time_and_chance,
    house.environment_reads,
    house.nameless_tasks,
    house.unbounded_stores,
    house.loose_dicts,
]
RULES_OF_ALL_CODE: list[Rule] = [house.vague_names, house.missing_docstrings, house.too_long]
RULES_OF_TESTS: list[Rule] = [house.skipped_tests, house.mocks]


def _findings(rule: Rule, paths: list[Path]) -> list[str]:
    return [finding for path in paths for finding in rule(parse(path))]


@pytest.mark.parametrize("rule", RULES_OF_THE_PACKAGE, ids=lambda rule: rule.__name__)
def test_the_package_keeps(rule: Rule) -> None:
    assert len(SOURCES) > 10
    assert _findings(rule, SOURCES) == []


@pytest.mark.parametrize("rule", RULES_OF_ALL_CODE, ids=lambda rule: rule.__name__)
def test_all_code_keeps(rule: Rule) -> None:
    assert _findings(rule, ALL) == []


@pytest.mark.parametrize("rule", RULES_OF_TESTS, ids=lambda rule: rule.__name__)
def test_the_tests_keep(rule: Rule) -> None:
    assert _findings(rule, TESTS) == []


def test_the_list_of_long_code_holds_nothing_that_became_short() -> None:
    long = {name for path in ALL for name, _, length, limit in house.lengths(parse(path)) if length > limit}
    assert set(LONG) <= long
    assert all(len(reason) > 20 for reason in LONG.values())


BAD: list[tuple[Rule, str]] = [
    (house.broad_excepts, "try:\n    f()\nexcept Exception:\n    pass"),
    (house.broad_excepts, "try:\n    f()\nexcept:\n    pass"),
    (house.broad_excepts, "try:\n    f()\nexcept (OSError, BaseException):\n    pass"),
    (house.broad_excepts, "import contextlib\nwith contextlib.suppress(Exception):\n    f()"),
    (house.hidden_time_and_chance, "import time\nt = time.time()"),
    (house.hidden_time_and_chance, "from time import time as now\nt = now()"),
    (house.hidden_time_and_chance, "from datetime import UTC, datetime\nt = datetime.now(UTC)"),
    (house.hidden_time_and_chance, "import datetime as dt\nt = dt.datetime.utcnow()"),
    (house.hidden_time_and_chance, "import random\nx = random.random()"),
    (house.hidden_time_and_chance, "from random import shuffle\nshuffle([1])"),
    (house.hidden_time_and_chance, "import uuid\nx = uuid.uuid4()"),
    (house.hidden_time_and_chance, "import asyncio\nasync def f():\n    await asyncio.sleep(1)"),
    (house.environment_reads, "import os\nx = os.environ['HOME']"),
    (house.environment_reads, "import os\nx = os.environ.get('HOME')"),
    (house.environment_reads, "from os import getenv\nx = getenv('HOME')"),
    (house.nameless_tasks, "task = asyncio.create_task(f())"),
    (house.nameless_tasks, "asyncio.create_task(f(), name='f')"),
    (house.nameless_tasks, "task = asyncio.get_running_loop().create_task(f())"),
    (house.nameless_tasks, "task = asyncio.ensure_future(f())"),
    (house.unbounded_stores, "import asyncio\nq = asyncio.Queue()"),
    (house.unbounded_stores, "from asyncio import Queue\nq = Queue(maxsize=0)"),
    (house.unbounded_stores, "from functools import lru_cache\n@lru_cache(maxsize=None)\ndef f(x): ..."),
    (house.loose_dicts, "def f(x: dict[str, Any]) -> None: ..."),
    (house.loose_dicts, "def f() -> list[dict]: ..."),
    (house.loose_dicts, "async def f(*, x: 'Mapping[str, Any] | None') -> int: ..."),
    (house.missing_docstrings, "x = 1"),
    (house.too_long, "def f():\n" + "    x = 1\n" * house.FUNCTION_LINES_MAX),
    (house.too_long, "x = 1\n" * (house.FILE_LINES_MAX + 1)),
    (house.skipped_tests, "import pytest\n@pytest.mark.skip\ndef test_x(): ..."),
    (house.skipped_tests, "import pytest\ndef test_x():\n    pytest.importorskip('redis')"),
    (house.mocks, "from unittest.mock import Mock"),
    (house.mocks, "from unittest import mock"),
]

GOOD: list[tuple[Rule, str]] = [
    (house.broad_excepts, "try:\n    f()\nexcept (OSError, ValueError):\n    pass"),
    (house.hidden_time_and_chance, "import random\nx = random.Random(7).random()"),
    (house.hidden_time_and_chance, "from datetime import UTC, datetime\nt = datetime.fromtimestamp(0, UTC)"),
    (house.hidden_time_and_chance, "async def f(clock):\n    await clock.sleep(1)\n    return clock.time()"),
    (house.hidden_time_and_chance, "import asyncio\nasync def f():\n    await asyncio.sleep(0)"),
    (house.environment_reads, "import os\nx = os.path.join('a', 'b')"),
    (house.nameless_tasks, "task = asyncio.create_task(f(), name='f')"),
    (house.unbounded_stores, "import asyncio\nq = asyncio.Queue(100)"),
    (house.unbounded_stores, "from functools import lru_cache\n@lru_cache(maxsize=8)\ndef f(x): ..."),
    (house.loose_dicts, "def f(x: dict[str, int]) -> Mapping[str, str]: ..."),
    (house.missing_docstrings, '"""What it knows."""'),
    (house.too_long, "def f():\n" + "    x = 1\n" * (house.FUNCTION_LINES_MAX - 1)),
    (house.skipped_tests, "import pytest\n@pytest.mark.golden\ndef test_x(): ..."),
    (house.mocks, "import unittest"),
]


@pytest.mark.parametrize(("rule", "source"), BAD)
def test_a_rule_sees_what_it_forbids(rule: Rule, source: str) -> None:
    assert list(rule(snippet(source)))


@pytest.mark.parametrize(("rule", "source"), GOOD)
def test_a_rule_lets_good_code_pass(rule: Rule, source: str) -> None:
    assert list(rule(snippet(source))) == []


@pytest.mark.parametrize("place", ["web/utils.py", "services/helpers/x.py", "common.py", "_util.py"])
def test_a_vague_name_is_seen(place: str) -> None:
    assert list(house.vague_names(snippet("", place)))
    assert list(house.vague_names(snippet("", "services/market_service.py"))) == []


def test_the_places_of_exceptions_are_excepted_only_there() -> None:
    source = "try:\n    f()\nexcept Exception:\n    pass"
    assert list(house.broad_excepts(snippet(source, "runtime/tasks.py"))) == []
    assert list(house.broad_excepts(snippet(source, "web/tasks.py")))
