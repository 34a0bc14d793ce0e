"""Real servers on one Redis, one database and one venue share what they follow."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.applications import running_app
from tests.support.together import bars_of, together
from tests.unit.services.streaming_viewer import Viewer
from tools.private_servers import OwnRedis

pytestmark = pytest.mark.alone

TAKEOVER_S = 5.0
NOTICE_S = 1.0
"""What a message, a busy machine and looking at it may take beside that."""


async def test_one_connection_serves_all_and_a_killed_server_is_followed(
    tmp_path: Path, own_redis: OwnRedis, postgres_url: str
) -> None:
    async with together(tmp_path, own_redis, postgres_url) as house:
        keeper, other = house.units
        house.add_clients(1, keeper)
        await house.all_moved(30)
        house.add_clients(119, keeper)
        house.add_clients(80, other)
        async with running_app(
            tmp_path / "here",
            redis_url=own_redis.url,
            database_url=house.settings["TRADEWRIGHT_DATABASE_URL"],
            providers={"binance": house.venue.provider_options()},
        ) as app:
            service, viewers = app.services.subscriptions, [Viewer() for _ in range(50)]
            for number, viewer in enumerate(viewers):
                connection = service.connect(viewer, f"bot {number}")
                await service.open(connection, await service.subscribe(connection, bars_of("1m")))
            await house.all_moved(30)
            await house.until(lambda: all(v.updates for v in viewers), 10, "updates in this process")
            assert house.upstream == house.most_upstream == 1, "for 250 views in three processes"
            assert {viewer.epoch for viewer in viewers} == {house.clients[0].viewer.epoch}
            assert not app.services.streaming.kept_feeds
        assert [violation for viewer in viewers for violation in viewer.violations] == []
        keeper.kill()
        took_s = await house.until(lambda: house.upstream == 0, 2, "its connection ends")
        took_s += await house.until(lambda: house.upstream == 1, TAKEOVER_S + NOTICE_S, "takeover")
        survivors = [client for client in house.clients if client.home is other]
        took_s += await house.all_moved(TAKEOVER_S + NOTICE_S, survivors)
        assert took_s <= TAKEOVER_S + NOTICE_S
        await house.all_moved(20)
        await house.all_whole()
        assert len(house.epochs) == 1
        assert house.most_upstream == 1
        assert house.violations == []
        keeper.start()
        await keeper.ready()
