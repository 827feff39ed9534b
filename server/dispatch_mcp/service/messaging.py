"""Messages between the agents of a run: what becomes of them, and the edits of its plan that requests ask for."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

from dispatch_mcp import errors, model
from dispatch_mcp.engine import run_view
from dispatch_mcp.model import problems, records, short_ids
from dispatch_mcp.runs import message_rules
from dispatch_mcp.service import answers, handles
from dispatch_mcp.store import sqlite_store

log = logging.getLogger(__name__)

MOST_LINES: Final = 20
"""Messages that an answer about a run tells of; the next one tells of the others."""

NOTES_CHARS: Final = 2_000
"""Characters of all messages in an answer about a run; what is longer is cut, and read whole where `notes_at` says."""

LEAST_CHARS: Final = 40
"""Characters of a cut message that are worth telling."""

MOST_READERS: Final = 20
"""Tasks that an answer names for each fate of a message."""

MOST_NAMES: Final = 5
"""Readers that an answer names for each message."""


Note = TypeVar("Note", model.Message, answers.MessageLine)
"""A message as it was sent, or as an answer tells of it."""


class News(NamedTuple):
    """What an answer about a run says of messages: those to pass on to what is out, and those that came too late.

    `deliveries` are the records of the assistant's being told. `notes_at` is where all messages of the run stand whole,
    empty where they stand here; what is left out for want of room waits for the next answer. `active` are all
    tasks that there is something to pass on to, `late` those that ended without having read a message.
    """

    pass_on: tuple[answers.MessageLine, ...] = ()
    unread: tuple[answers.MessageLine, ...] = ()
    deliveries: tuple[records.Delivery, ...] = ()
    notes_at: str = ""
    active: tuple[str, ...] = ()
    late: tuple[str, ...] = ()

    @property
    def chars(self) -> int:
        """How many characters the messages take in an answer."""
        return sum(_size(line) for line in (*self.pass_on, *self.unread))


def news(view: run_view.RunView, mail: records.Mail, *, again: bool = False, room: int = NOTES_CHARS) -> News:
    """Returns what there is to say in `room` characters.

    With `again` also what the assistant was told before and may have lost.
    """
    if not mail.messages:
        return News()
    tasks, rows = view.plan.tasks, view.rows
    to_pass_on = message_rules.to_pass_on(mail, tasks, rows, again=again)
    too_late = message_rules.too_late(mail, tasks, rows)
    lines = cut([_line(waiting) for waiting in (*to_pass_on, *too_late)][:MOST_LINES], room)
    pass_on, unread = to_pass_on[: len(lines)], too_late[: max(0, len(lines) - len(to_pass_on))]
    is_whole = [line.text for line in lines] == [waiting.message.text for waiting in (*to_pass_on, *too_late)]
    return News(
        tuple(lines[: len(pass_on)]),
        tuple(lines[len(pass_on) :]),
        # No answer comes after the end: who did not read, and where it stands, is said of all of them now.
        (
            *_deliveries(pass_on, "host"),
            *_deliveries(too_late if view.run.state in model.RUN_FINAL else unread, "told"),
        ),
        "" if is_whole else notes_at(view.run.id),
        _readers(to_pass_on),
        _readers(too_late),
    )


def notes_at(run_id: str) -> str:
    """Returns where all messages of a run stand whole."""
    return f"dispatch://runs/{short_ids.short(run_id)}/messages"


def cut(notes: Sequence[Note], room: int) -> list[Note]:
    """Returns as many of these notes as fit into `room` characters, from the first on, each cut to its share."""
    visible: list[Note] = []
    for place, note in enumerate(notes):
        bare = _size(note.model_copy(update={"text": ""}))
        room -= bare
        share = max(LEAST_CHARS, room // (len(notes) - place))
        if room < LEAST_CHARS:
            break
        short = note.model_copy(update={"text": _shortened(note.text, min(share, room))})
        room -= _size(short) - bare
        visible.append(short)
    return visible


def _size(note: model.Message | answers.MessageLine) -> int:
    return len(note.model_dump_json(exclude_defaults=True)) + 1


def _shortened(text: str, limit: int) -> str:
    """Returns a text that takes at most `limit` characters in an answer, cut at its end."""
    short, end = text, min(len(text), limit - 1)
    while (excess := len(json.dumps(short, ensure_ascii=False)) - 2 - limit) > 0:
        short = f"{text[:end].rstrip()}…" if end > 0 else ""
        end -= max(1, excess // 6)  # what a character may become when it is escaped
    return short


def _deliveries(lines: Iterable[message_rules.UnreadMessage], means: records.Means) -> Iterator[records.Delivery]:
    for message, readers in lines:
        for reader in readers:
            yield records.Delivery(message.id, reader, means)


def _line(waiting: message_rules.UnreadMessage) -> answers.MessageLine:
    message, readers = waiting
    more = (f"{len(readers) - MOST_NAMES} more",) if len(readers) > MOST_NAMES else ()
    names = (*readers[:MOST_NAMES], *more)
    return answers.MessageLine(sender=message.sender, to=names, kind=message.kind, text=message.text)


def _readers(lines: Iterable[message_rules.UnreadMessage]) -> tuple[str, ...]:
    """Returns whom these messages are for, each once."""
    return tuple(dict.fromkeys(reader for line in lines for reader in line.readers))


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
