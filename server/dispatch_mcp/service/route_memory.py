"""What routing remembers: past outcomes out of the store, and new ones into it.

Nothing here may stop the work: a store that cannot be read or written leaves routing without its past, and says so.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dispatch_mcp import errors, model
from dispatch_mcp.engine import run_view
from dispatch_mcp.model import records
from dispatch_mcp.process import computation
from dispatch_mcp.review import review_tasks
from dispatch_mcp.routing import learning, run_lessons
from dispatch_mcp.runs import task_isolation
from dispatch_mcp.store import sqlite_store

log = logging.getLogger(__name__)

LIMIT = 2_000
SUGGESTIONS = 64
"""Routes of this process that a later plan may turn out to correct."""

ALIKE = 0.5
LEAST_PART = 2
"""Words of a task, at least, for it to be a part of a request that has them all."""


def plain(text: str) -> str:
    """Returns the text as it is."""
    return text


@dataclass(slots=True)
class Memory:
    """The outcomes of one principal's routes; `redact` takes secrets out of what is kept.

    When it is off, nothing is kept and nothing is read.
    """

    store: sqlite_store.Store
    principal: str
    on: bool = True
    redact: Callable[[str], str] = plain
    history: learning.History = learning.NO_HISTORY
    _known: tuple[int, int] = (0, 0)
    _suggested: deque[tuple[frozenset[str], str]] = field(
        default_factory=lambda: deque[tuple[frozenset[str], str]](maxlen=SUGGESTIONS)
    )

    async def refresh(self) -> None:
        """Takes over what was learned or forgotten since the last time, by whichever process."""
        if not self.on:
            return
        try:
            await self._refresh()
        except errors.StoreError as trouble:
            log.warning("routing goes without what was learned: %s", trouble)

    async def _refresh(self) -> None:
        (many, newest), fresh = await self.store.new_lessons(self.principal, LIMIT, after=self._known[1])
        if (many, newest) == self._known:
            return
        grew = many == self._known[0] + len(fresh)
        if not grew:
            self.history, fresh = learning.NO_HISTORY, await self.store.learned(self.principal, LIMIT)
        base = self.history if self.history.past else learning.History()
        self.history = base.after(*(lesson.past for lesson in fresh), limit=LIMIT)
        self._known = (many, fresh[-1].no if fresh else newest)

    async def learn(self, lessons: Sequence[learning.Lesson]) -> None:
        """Keeps lessons without the secrets in their texts, and takes them to heart."""
        if not self.on or not lessons:
            return
        clean = [
            learning.Lesson(
                text=self.redact(lesson.text),
                agent=lesson.agent,
                outcome=lesson.outcome,
                weight=lesson.weight,
                run_id=lesson.run_id,
                task_id=lesson.task_id,
                at=lesson.at,
            )
            for lesson in lessons
        ]
        try:
            await self.store.learn(self.principal, clean)
        except errors.StoreError as trouble:
            log.warning("what %d tasks teach was not kept: %s", len(clean), trouble)
        await self.refresh()

    async def learn_from_run(self, run_id: str) -> None:
        """Keeps what the ends of all tasks of a run teach, each lesson once however often it is asked."""
        view = await self._view(run_id)
        if view is not None:
            await self.learn(await computation.apart(lessons_of_ends, view, view.rows.keys(), view.run.updated_at))

    async def learn_from_applying(self, run_id: str) -> None:
        """Keeps what it teaches that a person has taken over what a run had merged."""
        view = await self._view(run_id)
        if view is not None:
            await self.learn(lessons_of_applying(view))

    async def _view(self, run_id: str) -> run_view.RunView | None:
        """Returns a run of this principal; None for another's, and where it cannot be read."""
        if not self.on:
            return None
        try:
            return await run_view.load(self.store, run_id, self.principal)
        except errors.UnknownHandle:
            return None
        except errors.StoreError as trouble:
            log.warning("what run %s teaches was not kept: %s", run_id, trouble)
            return None

    def note_suggestion(self, text: str, agent: str) -> None:
        """Remembers what was answered, so that the agent of a plan is understood as a correction or a choice.

        `agent` is empty where several were offered.
        """
        words = learning.content(text)
        if self.on and words:
            self._suggested.append((words, agent))

    async def learn_corrections(self, tasks: Sequence[model.Task], agents: Collection[str], now: float) -> None:
        """Keeps what explicit agents say about routes that were asked for texts like these goals before.

        An agent that replaces the one that was named corrects it; one of several that were offered is a choice.
        """
        lessons: list[learning.Lesson] = []
        for task in tasks if self.on and self._suggested else ():
            suggestion = self._suggestion(task.goal) if task.agent in agents else None
            if task.agent and suggestion == "":
                lessons.append(lesson_of_choice(task.goal, task.agent, now))
            elif task.agent and suggestion and suggestion != task.agent:
                lessons.extend(lessons_of_replacement(task.goal, suggestion, task.agent, now))
        await self.learn(lessons)

    def _suggestion(self, goal: str) -> str | None:
        """Returns the agent that was named for a text like this, empty if several were offered, None if none was.

        A part of a request for which several were offered is like it.
        """
        words = learning.content(goal)
        for earlier_words, agent in reversed(self._suggested):
            is_part = not agent and len(words) >= LEAST_PART and words <= earlier_words
            if is_part or len(earlier_words & words) >= ALIKE * len(earlier_words | words):
                return agent
        return None


async def lessons(home: Path) -> list[learning.Lesson]:
    """Returns what outcomes have taught routing, from the store in `home`."""
    async with sqlite_store.open_store(home, begins=False) as store:
        return await store.learned(records.LOCAL)


async def forget(home: Path) -> int:
    """Deletes what outcomes have taught routing and returns how many there were."""
    async with sqlite_store.open_store(home, begins=False) as store:
        return await store.forget(records.LOCAL)


def lesson_of_choice(goal: str, agent: str, now: float) -> learning.Lesson:
    """Returns the lesson of an agent that was chosen among several; nobody was wrong before."""
    return learning.Lesson(goal, agent, "rerouted", at=now)


def lessons_of_replacement(goal: str, before: str, after: str, now: float) -> list[learning.Lesson]:
    """Returns the two lessons of an agent that the user replaced."""
    return [
        learning.Lesson(goal, before, "corrected", at=now),
        learning.Lesson(goal, after, "rerouted", at=now),
    ]


def lessons_of_edits(before: Sequence[model.Task], after: Sequence[model.Task], now: float) -> list[learning.Lesson]:
    """Returns what edits of a plan say that gave a task to another agent."""
    agents = {(task.id, task.goal): task.agent for task in before}
    return [
        lesson
        for task in after
        if task.agent and (old := agents.get((task.id, task.goal))) and old != task.agent
        for lesson in lessons_of_replacement(task.goal, old, task.agent, now)
    ]


def lessons_of_ends(view: run_view.RunView, task_ids: Collection[str], now: float) -> list[learning.Lesson]:
    """Returns what the ends of these tasks teach, and of those that they judge.

    Simulations teach nothing, nor do rounds of the council about their reviewers.
    """
    if view.run.dry_run or review_tasks.places(view.plan.tasks):
        return []
    ends = _ends(view)
    return ends.lessons(ends.related(task_ids), now)


def lessons_of_applying(view: run_view.RunView) -> list[learning.Lesson]:
    """Returns what it teaches that a person has taken over what the run had merged."""
    own = {row.id for row in view.tasks if task_isolation.is_own(view.spec(row.id), row.worker)}
    return _ends(view, own).lessons(own, view.run.updated_at)


def lessons_of_block(view: run_view.RunView, owners: Collection[str], now: float) -> list[learning.Lesson]:
    """Returns what it teaches that a round of the council has blocked files of these tasks of a run."""
    return [
        learning.Lesson(task.goal, task.agent, "failed", learning.FAILED, view.run.id, task.id, now)
        for task in view.plan.tasks
        if task.id in owners and task.agent
    ]


def _ends(view: run_view.RunView, taken_over: Collection[str] = ()) -> run_lessons.Ends:
    tasks = [
        view.specs[row.id].model_copy(update={"agent": view.agent_of(row)}) if row.stand_ins else view.specs[row.id]
        for row in view.tasks
    ]
    return run_lessons.Ends(view.run.id, tasks, view.rows, taken_over)
