"""Messages between the agents of a run: what becomes of them, and the edits of its plan that requests ask for."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from dispatch_mcp import errors, model
from dispatch_mcp.engine import run_view
from dispatch_mcp.model import problems, records
from dispatch_mcp.runs import message_rules
from dispatch_mcp.service import answers, handles
from dispatch_mcp.store import sqlite_store

log = logging.getLogger(__name__)

MOST_LINES: Final = 10
"""Messages of each kind that an answer about a run tells of; the next one tells of the others."""

MOST_READERS: Final = 20
"""Tasks that an answer names for each fate of a message."""


class News(NamedTuple):
    """What an answer about a run says of messages: those to pass on to what is out, and those that came too late.

    `deliveries` are the records of the assistant's being told.
    """

    pass_on: tuple[answers.MessageLine, ...] = ()
    unread: tuple[answers.MessageLine, ...] = ()
    deliveries: tuple[records.Delivery, ...] = ()


def news(view: run_view.RunView, mail: records.Mail, *, again: bool = False) -> News:
    """Returns what there is to say; with `again` also what the assistant was told before and may have lost."""
    if not mail.messages:
        return News()
    tasks, rows = view.plan.tasks, view.rows
    pass_on = message_rules.to_pass_on(mail, tasks, rows, again=again)[:MOST_LINES]
    unread = message_rules.too_late(mail, tasks, rows)[:MOST_LINES]
    deliveries = (*_deliveries(pass_on, "host"), *_deliveries(unread, "told"))
    return News(tuple(map(_line, pass_on)), tuple(map(_line, unread)), deliveries)


def _deliveries(lines: Iterable[message_rules.Waiting], means: records.Means) -> Iterator[records.Delivery]:
    for message, readers in lines:
        for reader in readers:
            yield records.Delivery(message.id, reader, means)


def _line(waiting: message_rules.Waiting) -> answers.MessageLine:
    message, readers = waiting
    text = message.text
    if len(text) > message_rules.MAX_TEXT:
        text = f"{text[: message_rules.MAX_TEXT]} [cut from {len(text)} characters]"
    return answers.MessageLine(sender=message.sender, to=readers[:MOST_READERS], kind=message.kind, text=text)


def addressees(lines: Iterable[answers.MessageLine]) -> tuple[str, ...]:
    """Returns whom these messages were for, each once."""
    return tuple(dict.fromkeys(reader for line in lines for reader in line.to))


@dataclass(frozen=True, slots=True)
class Messaging:
    """Posts and hands out the messages of one principal's runs."""

    store: sqlite_store.Store
    handles: handles.Handles
    clock: Callable[[], float]

    async def send(self, message: model.Message) -> answers.MessagesAnswer:
        """Posts a message between agents of a run, and says when whom it is for will read it, or that they cannot.

        Raises:
            InputError: nobody of that name takes part.
        """
        view = await self.handles.run(message.run_id)
        _refuse_strangers(view, message.recipient)
        note = message.model_copy(update={"run_id": view.run.id, "at": self.clock()})
        number = await self.store.send(note)
        fates = message_rules.fates(note, view.plan.tasks, view.rows)
        await self.store.deliver(view.run.id, message_rules.said_at_once(number, fates))
        return answers.MessagesAnswer(
            run_id=view.run.id,
            sent=number,
            reaches={fate.value: tuple(readers[:MOST_READERS]) for fate, readers in fates.items()},
            proposed_edits=proposals(view, [note]),
        )

    async def inbox(self, handle: str, recipient: str) -> answers.MessagesAnswer:
        """Returns the unread messages for a task, an agent or the orchestrator, and marks them as read.

        Raises:
            InputError: nobody of that name takes part.
        """
        view = await self.handles.look(handle)
        name = recipient or message_rules.ORCHESTRATOR
        _refuse_strangers(view, name)
        if name == message_rules.ORCHESTRATOR:
            messages = await self.store.inbox(view.run.id, name)
            unread = [message for message in messages if not message.read]
            marking = self.store.mark_read([message.id for message in unread]) if unread else None
        else:
            unread, deliveries = message_rules.inbox(await self.store.mail(view.run.id), name, view.plan.tasks)
            marking = self.store.deliver(view.run.id, deliveries)
        if marking is not None:
            await _marked(marking)
        return answers.MessagesAnswer(run_id=view.run.id, messages=tuple(unread))


async def _marked(marking: Awaitable[None]) -> None:
    """Marks messages as read if the store can be written; if not, they are read all the same, and once more."""
    try:
        await marking
    except (errors.StoreBusy, errors.StoreUnavailable) as trouble:
        log.warning("messages stay unread: %s", trouble)


def _refuse_strangers(view: run_view.RunView, name: str) -> None:
    """Raises InputError if nobody of that name takes part in a run."""
    names = message_rules.recipients(view.plan.tasks)
    if name not in names:
        near = problems.nearest(name, names)
        fix = f"Did you mean {near!r}?" if near else f"Write to one of {problems.in_backticks(sorted(names))}."
        raise errors.InputError(f"Nobody in this run is called {name[:80]!r}.", hint=fix)


def proposals(view: run_view.RunView, messages: Sequence[model.Message]) -> tuple[dict[str, model.Json], ...]:
    """Returns the edits of the plan that requests for change ask for."""
    if not any(note.kind == "request" for note in messages):
        return ()
    return message_rules.proposals(messages, view.plan.tasks, view.states)
