"""What every store of backfill jobs must do, as checks that run over any implementation.

::

    @asynccontextmanager
    async def open_store(name: str) -> AsyncIterator[BackfillJobStore]:
        ...  # empty at the first use of a name; where the store is durable, as it was left after that

    await check_backfill_job_store(open_store, durable=True)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, TypeAlias

import msgspec

from tradewright.domain.backfills import BackfillJob, JobLease, JobReport
from tradewright.domain.ports import BackfillJobStore

OpenJobStore: TypeAlias = Callable[[str], AbstractAsyncContextManager[BackfillJobStore]]
JobCheck: TypeAlias = Callable[[BackfillJobStore], Awaitable[None]]

NOW: Final = 1_700_000_000_000
LEASE: Final = 8_000
_HALF: Final = JobReport(progress=0.5, bars=700, missing_ms=60_000, error="The venue is down.")


def job(number: int, *, created_ms: int | None = None) -> BackfillJob:
    """A new job at a provider of its own; those with higher numbers are newer unless ``created_ms`` says
    otherwise."""
    created_ms = NOW + number if created_ms is None else created_ms
    return BackfillJob(
        id=f"job-{number:04d}",
        market="crypto",
        provider=f"venue {number}",
        symbol="BTC/USDT; DROP TABLE x; --'",
        start=number * 60_000,
        end=(number + 10) * 60_000,
        newest_first=number % 2 == 1,
        created_ms=created_ms,
        updated_ms=created_ms,
    )


async def put(store: BackfillJobStore, *numbers: int) -> None:
    """Add jobs of these numbers."""
    for number in numbers:
        assert await store.add(job(number), open_max=1_000, kept_max=1_000)


async def claimed(
    store: BackfillJobStore, owner: str = "one", *, now_ms: int = NOW, job_id: str | None = None
) -> tuple[BackfillJob, JobLease]:
    """A claim that succeeds."""
    found = await store.claim(owner, now_ms=now_ms, lease_ms=LEASE, job_id=job_id)
    assert found is not None, "a job that is free can be claimed"
    return found


async def check_keeping(store: BackfillJobStore) -> None:
    """Jobs come back as they were given, and unknown ones not at all."""
    await put(store, 1, 2)
    assert await store.get("job-0001") == job(1)
    assert await store.get("job-0002") == job(2)
    assert await store.get("nobody") is None
    assert await store.cancel("nobody", now_ms=NOW) is None


async def check_pages(store: BackfillJobStore) -> None:
    """The newest come first, page by page, those of one moment in some order and each once."""
    assert await store.newest(5) == ()
    await put(store, *range(5))
    for number in (7, 6, 5):
        assert await store.add(job(number, created_ms=NOW + 4), open_max=99, kept_max=99)
    everything = await store.newest(100)
    assert [each.created_ms - NOW for each in everything] == [4, 4, 4, 4, 3, 2, 1, 0]
    paged: list[BackfillJob] = []
    while page := await store.newest(3, before=paged[-1].position if paged else None):
        assert len(page) <= 3
        paged += page
    assert tuple(paged) == everything


async def check_bounds(store: BackfillJobStore) -> None:
    """Too many open jobs are refused, and of the finished ones the oldest are forgotten."""
    for number in range(3):
        assert await store.add(job(number), open_max=3, kept_max=1)
    assert not await store.add(job(3), open_max=3, kept_max=1)
    assert await store.get("job-0003") is None
    for number in range(3):
        await store.cancel(f"job-{number:04d}", now_ms=NOW)
    assert await store.add(job(4), open_max=3, kept_max=1)
    assert [each.id for each in await store.newest(9)] == ["job-0004", "job-0002"]


async def check_claiming(store: BackfillJobStore) -> None:
    """The oldest free job is claimed first; none twice while its lease lasts."""
    assert await store.claim("one", now_ms=NOW, lease_ms=LEASE) is None
    await put(store, 2, 1, 3)
    first, lease = await claimed(store, "one")
    assert (first.id, first.state, first.updated_ms) == ("job-0001", "running", NOW)
    assert (lease.job_id, lease.owner) == ("job-0001", "one")
    second, _ = await claimed(store, "two", job_id="job-0003")
    assert second.id == "job-0003"
    assert await store.claim("two", now_ms=NOW, lease_ms=LEASE, job_id="job-0001") is None
    assert await store.claim("two", now_ms=NOW, lease_ms=LEASE, job_id="nobody") is None
    assert (await claimed(store, "two"))[0].id == "job-0002"
    assert await store.claim("three", now_ms=NOW + LEASE - 1, lease_ms=LEASE) is None


async def check_reports(store: BackfillJobStore) -> None:
    """An owner's report is kept and renews its lease."""
    await put(store, 1)
    _, lease = await claimed(store)
    later = NOW + LEASE - 1
    assert await store.report(lease, _HALF, now_ms=later, lease_ms=LEASE)
    expected = msgspec.structs.replace(
        job(1),
        state="running",
        progress=0.5,
        bars=700,
        missing_ms=60_000,
        error="The venue is down.",
        updated_ms=later,
    )
    assert await store.get("job-0001") == expected
    assert await store.claim("two", now_ms=later + LEASE - 1, lease_ms=LEASE) is None
    assert await store.report(lease, _HALF, now_ms=later + 10 * LEASE, lease_ms=LEASE), (
        "a lease that ended and that nobody took is still its owner's"
    )


async def check_takeover(store: BackfillJobStore) -> None:
    """A lease that ended goes to who asks next, and its old owner can say nothing any more."""
    await put(store, 1)
    _, old = await claimed(store, "one")
    taken, new = await claimed(store, "two", now_ms=NOW + LEASE)
    assert new.token > old.token
    assert taken.state == "running"
    await _refused(store, old, taken)
    _, again = await claimed(store, "one", now_ms=NOW + 2 * LEASE)
    assert again.token > new.token
    await _refused(store, old, (await store.get("job-0001")) or taken)
    assert await store.report(again, _HALF, now_ms=NOW, lease_ms=LEASE)


async def _refused(store: BackfillJobStore, lease: JobLease, stored: BackfillJob) -> None:
    assert not await store.report(lease, _HALF, now_ms=NOW, lease_ms=LEASE), "an old token's report"
    assert await store.settle(lease, _HALF, "done", now_ms=NOW) is None, "an old token's end"
    assert await store.get(stored.id) == stored, "what an old token says changes nothing"


async def check_settling(store: BackfillJobStore) -> None:
    """A settled job is free at once where it is queued, and otherwise nobody's for good."""
    await put(store, 1, 2)
    _, lease = await claimed(store)
    released = await store.settle(lease, _HALF, "queued", now_ms=NOW + 5)
    assert released is not None
    assert (released.state, released.progress, released.updated_ms) == ("queued", 0.5, NOW + 5)
    again, lease = await claimed(store, "two")
    assert (again.id, again.missing_ms) == ("job-0001", 60_000)
    done = JobReport(progress=1.0, bars=1_400, missing_ms=60_000)
    finished = await store.settle(lease, done, "done", now_ms=NOW + 6)
    assert finished == await store.get("job-0001")
    assert finished is not None
    assert (finished.state, finished.progress, finished.bars, finished.error) == ("done", 1.0, 1_400, None)
    await _refused(store, lease, finished)
    assert (await store.cancel("job-0001", now_ms=NOW + 9)) == finished, "what is finished stays so"
    assert (await claimed(store, now_ms=NOW + 10 * LEASE))[0].id == "job-0002"
    assert await store.claim("one", now_ms=NOW + 10 * LEASE, lease_ms=LEASE) is None


async def check_cancelling(store: BackfillJobStore) -> None:
    """An open job is cancelled whoever works at it, who learns of it at the next report."""
    await put(store, 1, 2)
    _, lease = await claimed(store)
    for number in (1, 2):
        cancelled = await store.cancel(f"job-{number:04d}", now_ms=NOW + 3)
        assert cancelled == await store.get(f"job-{number:04d}")
        assert cancelled is not None
        assert (cancelled.state, cancelled.updated_ms) == ("cancelled", NOW + 3)
    await _refused(store, lease, (await store.get("job-0001")) or job(1))
    assert await store.claim("two", now_ms=NOW + 10 * LEASE, lease_ms=LEASE) is None


async def check_races(store: BackfillJobStore) -> None:
    """Of many who claim at once each gets another job, and nobody's is another's."""
    await put(store, *range(10))
    found = await asyncio.gather(
        *(store.claim(f"owner {number}", now_ms=NOW, lease_ms=LEASE) for number in range(15))
    )
    leases = [claim[1] for claim in found if claim is not None]
    assert sorted(lease.job_id for lease in leases) == [f"job-{number:04d}" for number in range(10)]
    reports = await asyncio.gather(
        *(store.report(lease, _HALF, now_ms=NOW, lease_ms=LEASE) for lease in leases)
    )
    assert all(reports)


async def check_one_owner_for_each_provider(store: BackfillJobStore) -> None:
    """While an owner works for a provider, nobody else gets a job of it; the owner does."""
    for number in (1, 2, 3):
        shared = msgspec.structs.replace(job(number), provider="shared")
        assert await store.add(shared, open_max=9, kept_max=9)
    await put(store, 4)
    _, lease = await claimed(store, "one")
    assert await store.claim("two", now_ms=NOW, lease_ms=LEASE, job_id="job-0002") is None
    assert (await claimed(store, "two"))[0].id == "job-0004", "other providers are free"
    assert (await claimed(store, "one"))[0].id == "job-0002"
    assert await store.settle(lease, _HALF, "done", now_ms=NOW) is not None
    assert await store.claim("two", now_ms=NOW, lease_ms=LEASE) is None, "the other job is still at work"
    await store.cancel("job-0002", now_ms=NOW)
    assert (await claimed(store, "two"))[0].id == "job-0003"
    assert (await claimed(store, "three", now_ms=NOW + LEASE, job_id="job-0003"))[0].id == "job-0003"


async def check_provider_races(store: BackfillJobStore) -> None:
    """Of many owners who claim jobs of one provider at once, one gets any."""
    for number in range(10):
        shared = msgspec.structs.replace(job(number), provider="shared")
        assert await store.add(shared, open_max=99, kept_max=99)
    found = await asyncio.gather(
        *(store.claim(f"owner {number % 5}", now_ms=NOW, lease_ms=LEASE) for number in range(10))
    )
    assert len({claim[1].owner for claim in found if claim is not None}) == 1


async def check_servers(store: BackfillJobStore) -> None:
    """A server is known until it leaves or its lease ends, whatever other servers do."""
    assert not await store.attended(now_ms=NOW)
    await store.leave("nobody")
    for server in ("one", "two"):
        await store.attend(server, now_ms=NOW, lease_ms=LEASE)
    await store.leave("one")
    assert await store.attended(now_ms=NOW + LEASE - 1)
    assert not await store.attended(now_ms=NOW + LEASE)
    await store.attend("two", now_ms=NOW + LEASE, lease_ms=LEASE)
    assert await store.attended(now_ms=NOW + 2 * LEASE - 1)
    await store.attend("one", now_ms=NOW + 3 * LEASE, lease_ms=LEASE)
    await store.leave("one")
    assert not await store.attended(now_ms=NOW)


async def check_jobs_survive_restart(open_store: OpenJobStore) -> None:
    """Jobs and their leases are there after the store was closed and opened."""
    async with open_store("restart") as store:
        await put(store, 1, 2)
        _, lease = await claimed(store)
        assert await store.report(lease, _HALF, now_ms=NOW + 1, lease_ms=LEASE)
        before = await store.newest(9)
    async with open_store("restart") as store:
        assert await store.newest(9) == before, "after a restart"
        assert await store.report(lease, _HALF, now_ms=NOW + 2, lease_ms=LEASE), "after a restart"


JOB_STORE_CHECKS: Final[tuple[JobCheck, ...]] = (
    check_keeping,
    check_pages,
    check_bounds,
    check_claiming,
    check_reports,
    check_takeover,
    check_settling,
    check_cancelling,
    check_races,
    check_one_owner_for_each_provider,
    check_provider_races,
    check_servers,
)


async def check_backfill_job_store(open_store: OpenJobStore, *, durable: bool) -> None:
    """Run all checks, each on a store of its own name."""
    for check in JOB_STORE_CHECKS:
        async with open_store(check.__name__) as store:
            await check(store)
    if durable:
        await check_jobs_survive_restart(open_store)
