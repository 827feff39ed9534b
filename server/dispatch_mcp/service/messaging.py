"""Messages between the agents of a run, and the edits of its plan that requests among them ask for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dispatch_mcp import errors, model
from dispatch_mcp.engine import run_view
from dispatch_mcp.model import problems
from dispatch_mcp.runs import message_rules
from dispatch_mcp.service import answers, handles
from dispatch_mcp.store import sqlite_store


@dataclass(frozen=True, slots=True)
class Messaging:
    """Posts and hands out the messages of one principal's runs."""

    store: sqlite_store.Store
    handles: handles.Handles
    clock: Callable[[], float]

    async def send(self, message: model.Message) -> answers.MessagesAnswer:
        """Posts a message between agents of a run. Raises InputError if nobody of that name takes part."""
        view = await self.handles.run(message.run_id)
        names = message_rules.recipients(view.plan.tasks)
        if message.recipient not in names:
            near = problems.nearest(message.recipient, names)
            fix = f"Did you mean {near!r}?" if near else f"Write to one of {problems.in_backticks(sorted(names))}."
            raise errors.InputError(f"Nobody in this run is called {message.recipient[:80]!r}.", hint=fix)
        note = message.model_copy(update={"run_id": view.run.id, "at": self.clock()})
        number = await self.store.send(note)
        return answers.MessagesAnswer(run_id=view.run.id, sent=number, proposed_edits=proposals(view, [note]))

    async def inbox(self, handle: str, recipient: str) -> answers.MessagesAnswer:
        """Returns the unread messages for a recipient and marks them as read."""
        run_id = await self.handles.run_id(handle)
        await self.store.run(run_id, principal=self.handles.principal)
        messages = await self.store.inbox(run_id, recipient or message_rules.ORCHESTRATOR, mark_read=True)
        return answers.MessagesAnswer(run_id=run_id, messages=tuple(note for note in messages if not note.read))


def proposals(view: run_view.RunView, messages: Sequence[model.Message]) -> tuple[dict[str, model.Json], ...]:
    """Returns the edits of the plan that requests for change ask for."""
    if not any(note.kind == "request" for note in messages):
        return ()
    return message_rules.proposals(messages, view.plan.tasks, view.states)
