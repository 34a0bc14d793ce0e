"""What readers ask, and how their answers are judged."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter, deque
from collections.abc import Sequence
from typing import Final

from tests.support.engine_walk.answers import Judge, Known, Question
from tests.support.engine_walk.engine import Engine
from tests.support.engine_walk.watch import Watch
from tests.support.engine_walk.world import World
from tradewright.domain.instruments import InstrumentKey
from tradewright.domain.timeframes import DAY_MS, HOUR_MS, MINUTE_MS, ONE_MINUTE, TIMEFRAMES, Timeframe
from tradewright.services.data_orchestrator import BarsAnswer

SETTLE_ROUNDS: Final = 12
UNANSWERED_MAX: Final = 4
ASKED_MAX: Final = 12
KNOCKS_MAX: Final = 3
HOLE_MS: Final = 100 * MINUTE_MS
LEFT_ALONE_MS: Final = 600_000
"""How long bars are not asked for again that did not come though there are some."""
LEAP_MS: Final = 8_000 * MINUTE_MS
"""How far beyond an empty page one read may give up."""


class Readers:
    """Ask one engine and check what it answers."""

    def __init__(self, world: World, watch: Watch, counts: Counter[str], chance: random.Random) -> None:
        self._world = world
        self._watch = watch
        self._counts = counts
        self._chance = chance
        self._asked: deque[Question] = deque(maxlen=ASKED_MAX)
        self.unanswered: deque[Question] = deque(maxlen=UNANSWERED_MAX)
        """What was left open while the venue was disturbed."""

    # Questions

    def question(self) -> Question:
        """Anything anywhere, or something that was asked before."""
        if self._asked and self._chance.random() < 0.3:
            return self._chance.choice(self._asked)
        question = self._new_question()
        self._asked.append(question)
        return question

    def _new_question(self) -> Question:
        chance, now_ms = self._chance, self._world.clock.now_ms()
        timeframe = self._timeframe()
        key = self._world.second if chance.random() < 0.15 else self._world.main
        limit = chance.choice((1, 5, 50, 300))
        somewhere = chance.randrange(self._world.start_ms - DAY_MS, now_ms + HOUR_MS)
        match chance.randrange(4):
            case 0:
                return Question(key, timeframe, None, None, limit)
            case 1:
                return Question(key, timeframe, None, somewhere, limit)
            case 2:
                return Question(key, timeframe, somewhere, None, limit)
        end = somewhere + chance.randrange(0, 3 * limit + 1) * timeframe.length_ms
        return Question(key, timeframe, somewhere, end, limit)

    def rivals(self, readers: int) -> list[Question]:
        """About the same time, so that they want the same pages."""
        chance = self._chance
        middle = chance.randrange(self._world.start_ms, self._world.clock.now_ms())
        return [self.around(self._world.main, middle, self._timeframe()) for _ in range(readers)]

    def around(self, key: InstrumentKey, time_ms: int, timeframe: Timeframe) -> Question:
        """A stretch that holds the time."""
        before, after = (self._chance.randrange(1, 80) for _ in range(2))
        start, end = timeframe.shift(timeframe.floor(time_ms), -before), time_ms + after * timeframe.length_ms
        return Question(key, timeframe, max(0, start), end, 300)

    def _timeframe(self) -> Timeframe:
        names = ("1m", "1m", "1m", "3m", "5m", "30m", "1h", "4h", "1d", "1w")
        return TIMEFRAMES[self._chance.choice(names)]

    # Answers

    async def ask(self, engine: Engine, questions: Sequence[Question], *, calm: bool) -> None:
        """Ask all at once. ``calm`` says that the venue is well."""
        await asyncio.gather(*(self.read(engine, each, calm=calm) for each in questions))
        step = self._watch.take_step()
        if len(questions) > 1 and step.pages:
            self._counts["pages wanted by several"] += step.pages
        if calm and not engine.busy:
            left = {key.timeframe: len(times) for key, times in self._watch.pending.items() if times}
            assert not left, f"given by the venue, and kept by nobody: {left}"
            self._counts["pages kept for certain"] += step.pages

    async def read(self, engine: Engine, question: Question, *, calm: bool) -> Judge:
        """Ask one question."""
        before_ms = self._world.clock.now_ms()
        known = self._known(question)
        answer = await self._get(engine, question)
        judge = Judge(self._world, self._counts, question, answer, before_ms)
        try:
            judge.check(known)
            if calm:
                await self._check_reasons(engine, question, answer, judge)
            elif judge.unknown:
                self.unanswered.append(question)
        except AssertionError as wrong:
            wrong.add_note(f"{question} at {before_ms}: {answer}")
            raise
        return judge

    async def _get(self, engine: Engine, question: Question) -> BarsAnswer:
        return await engine.orchestrator.get_bars(
            question.instrument.series(question.timeframe),
            start_ms=question.start_ms,
            end_ms=question.end_ms,
            limit=question.limit,
        )

    async def read_or_fail(self, engine: Engine, question: Question) -> None:
        """Ask one question of an engine that is being killed: what it answers all the same is right."""
        before_ms = self._world.clock.now_ms()
        answer = await self._get(engine, question)
        Judge(self._world, self._counts, question, answer, before_ms).check_bars()
        self._counts["answers of the dying"] += 1

    def _known(self, question: Question) -> Known:
        native = question.instrument.series(question.timeframe)
        minutes = question.instrument.series(ONE_MINUTE)
        return Known(self._watch.knows(minutes), self._watch.knows(native), self._world.clock.now_ms())

    async def _check_reasons(
        self, engine: Engine, question: Question, answer: BarsAnswer, judge: Judge
    ) -> None:
        """A healthy venue leaves out nothing but what lies near where it had nothing to say."""
        if any(problem.code == "provider_timeout" for problem in answer.problems):
            self._counts["answers out of time"] += 1
            return
        assert not answer.problems, f"a healthy venue, and yet {answer.problems}"
        for gap in answer.gaps:
            if gap.reason != "not_fetched":
                continue
            known = self._in_a_hole(question, gap.start, gap.end)
            known = known or await self._silent(engine, question, gap.start, gap.end)
            assert known, f"{gap} has no reason"
            self._counts["gaps with a reason"] += 1

    def _in_a_hole(self, question: Question, start: int, end: int) -> bool:
        """Whether it is part of a stretch without trades that is longer than what is asked for before the
        first bar: from its end alone nobody can tell what it is."""
        timeframe, times = question.timeframe, self._world.minutes(question.instrument).time
        first = max(0, int(times.searchsorted(start, "left")) - 1)
        last = min(len(times), int(times.searchsorted(end, "right")) + 1)
        edges = [0, *times[first:last].tolist()]
        return any(
            high - low > HOLE_MS and timeframe.floor(low) <= start and end <= timeframe.ceil(high)
            for low, high in itertools.pairwise(edges)
        )

    async def _silent(self, engine: Engine, question: Question, start: int, end: int) -> bool:
        """Whether an empty page was noted near there, or came just now for it; of the last minutes, which are
        asked for again in any case, none is noted. Or the venue gave bars there that can't be right."""
        for key, first, last in self._watch.step.empty:
            if key.instrument == question.instrument and first < end and start < last:
                return True
        since_ms = self._world.clock.now_ms() - LEFT_ALONE_MS
        if self._watch.untold_of(question.instrument, since_ms).clip(start, end):
            return True
        series = question.instrument.series(question.timeframe), question.instrument.series(ONE_MINUTE)
        for key in series:
            if await engine.bars.empty_answers(key, max(0, start - LEAP_MS), end + LEAP_MS):
                return True
        return False

    async def knock(self, engine: Engine) -> None:
        """A venue that was left alone and is well again is found so by whoever asks next."""
        for _ in range(KNOCKS_MAX):
            newest = Question(self._world.main, ONE_MINUTE, None, None, 5)
            problems = (await self.read(engine, newest, calm=False)).problems
            if not problems:
                return
            await self._watch.calls.ended()  # a backfill may have been the one who asks
        raise AssertionError(f"more than a minute after its end a venue is still left alone: {problems}")

    async def settle(self, engine: Engine) -> None:
        """A venue that is well again answers in the end everything that was left open, with what silence it
        has in it looked at twice."""
        while self.unanswered:
            question = self.unanswered.popleft()
            for _ in range(SETTLE_ROUNDS):
                judge = await self.read(engine, question, calm=True)
                if not judge.unknown:
                    break
                await engine.pass_time(660)
            assert not judge.unknown, f"{question} is never answered: {judge.unknown.items[:3]}"
            self._counts["questions completed after healing"] += 1
