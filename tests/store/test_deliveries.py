"""To whom the messages of a run have come, as events of the run."""

from __future__ import annotations

from pathlib import Path

import pytest
import store_setup

from dispatch_mcp import errors, model
from dispatch_mcp.model import records
from dispatch_mcp.store import sqlite_store

pytestmark = pytest.mark.anyio


async def posted(store: sqlite_store.Store, recipient: str, text: str = "hello") -> int:
    return await store.send(
        model.Message(run_id="run", sender="x", recipient=recipient, kind="warning", text=text, at=5.0)
    )


async def test_mail_is_what_was_sent_in_its_order_and_what_became_of_it(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.fan("a", "b")) as (store, _):
        first, second = await posted(store, "a", "one"), await posted(store, "all", "two \ud800 \0")
        deliveries = [
            records.Delivery(first, "a", "brief", 1),
            records.Delivery(second, "a", "brief", 1),
            records.Delivery(second, "b", "told"),
        ]
        await store.deliver("run", deliveries)
        mail = await store.mail("run")
        assert [(note.id, note.recipient, note.at, note.read) for note in mail.messages] == [
            (first, "a", 5.0, False),
            (second, "all", 5.0, False),
        ]
        assert list(mail.deliveries) == deliveries
    assert store_setup.faults(tmp_path) == []


async def test_a_message_that_is_sent_is_an_event_that_says_who_writes_to_whom_and_not_what(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.fan("a")) as (store, _):
        number = await posted(store, "a", "a secret matter")
        *_, event = await store.events("run")
        assert event.kind == "message_sent"
        assert event.data == {"id": number, "kind": "warning", "sender": "x", "recipient": "a", "followed": True}


async def test_deliveries_are_events_of_the_task_that_read_one_for_each_way(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.fan("a")) as (store, _):
        numbers = [await posted(store, "a"), await posted(store, "a")]
        await store.deliver("run", [records.Delivery(number, "a", "turn", 2) for number in numbers])
        *_, event = await store.events("run")
        assert (event.kind, event.task_id, event.attempt) == ("message_delivered", "a", 2)
        assert event.data == {"ids": numbers, "means": "turn"}


async def test_recording_a_delivery_moves_no_task_and_no_revision(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.fan("a")) as (store, owner):
        number = await posted(store, "a")
        before = await store.run("run", principal=records.LOCAL)
        await store.deliver("run", [records.Delivery(number, "a", "inbox")])
        after = await store.run("run", principal=records.LOCAL)
        assert (after.revision, after.counts) == (before.revision, before.counts)
        await store_setup.drive(store, "run", owner)
        assert [event.seq for event in await store.events("run")] == list(range(1, len(await store.events("run")) + 1))


async def test_recording_nothing_writes_nothing(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.fan("a")) as (store, _):
        before = await store.data_version(), len(await store.events("run"))
        await store.deliver("run", [])
        assert (await store.data_version(), len(await store.events("run"))) == before


async def test_a_run_that_nobody_writes_in_has_no_mail_and_a_strange_one_cannot_be_written_to(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.fan("a")) as (store, _):
        assert await store.mail("run") == records.Mail((), ())
        assert await store.mail("nothing") == records.Mail()
        with pytest.raises(errors.UnknownHandle, match="There is no run 'nothing'"):
            await store.deliver("nothing", [records.Delivery(1, "a", "told")])


async def test_messages_from_before_deliveries_were_recorded_count_as_read(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.fan("a")) as (store, _):
        store_setup.raw(
            tmp_path,
            "INSERT INTO message (run, sender, recipient, kind, text, at, read) "
            "VALUES (1, 'x', 'a', 'warning', 'y', 1, 0)",
        )
        new = await posted(store, "a")
        assert {note.id: note.read for note in (await store.mail("run")).messages} == {1: True, new: False}
