from __future__ import annotations

import functools
import json
import random
from pathlib import Path
from typing import Any

import anyio
import fake_provider
import pytest
from fake_provider import done, script
from rogue_processes import DEADLINES_S, until
from worker_conformance import FakeContext, MemoryBlobs, WorkerConformance

from dispatch_mcp import errors, model, prices, worker_setup
from dispatch_mcp.engine import task_kinds
from dispatch_mcp.model import AttemptState, WorkerKind, ports, transitions, work_order
from dispatch_mcp.planning import forecast
from dispatch_mcp.workers import file_tools, provider_errors
from dispatch_mcp.workers.anthropic import api_login, api_worker

pytestmark = pytest.mark.anyio

READ = {"tool": "read_file", "input": {"path": "notes.txt"}}
SECRET = "a secret of the workspace"
NO_FILES = file_tools.FileAccess(lambda _root: [], lambda _root, path: path)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    (folder / "notes.txt").write_text("first line\nsecond line\n")
    (folder / ".env").write_text(SECRET)
    (folder / "src").mkdir()
    (folder / "src" / "app.py").write_text("def start():\n    return 'started'\n")
    return folder


def make(
    fake: fake_provider.Provider,
    *,
    silence_s: float = 20.0,
    clock: float = 1_000.0,
    price: forecast.Price = prices.dollars,
    **settings: Any,
) -> api_worker.AnthropicWorker:
    return api_worker.AnthropicWorker(
        api_login.Login.from_env(fake.env()),
        task_kinds.brief,
        price,
        worker_setup.file_access(),
        settings=api_worker.ApiSettings(silence_s=silence_s, **settings),
        clock=lambda: clock,
    )


def work(workspace: Path, *steps: dict[str, Any], **more: Any) -> work_order.WorkOrder:
    fields = {name: more.pop(name) for name in ("files", "acceptance") if name in more}
    task = model.Task(id="t1", do=f"Work. {script(*steps)}", **fields)
    return work_order.WorkOrder("run-1", task, more.pop("attempt", 1), WorkerKind.API, workspace=str(workspace), **more)


async def carried_out(
    worker: ports.Worker, asked: work_order.WorkOrder, ctx: FakeContext | None = None
) -> model.Outcome:
    with anyio.fail_after(120):
        return await worker.carry_out(ctx or FakeContext(attempt=asked.attempt), asked)


class TestAnthropicWorkerConforms(WorkerConformance):
    @pytest.fixture
    def worker(self, provider: fake_provider.Provider) -> ports.Worker:
        return make(provider)

    @pytest.fixture
    def succeeding(self, workspace: Path) -> work_order.WorkOrder:
        return work(workspace, READ, done())

    @pytest.fixture
    def failing(self, workspace: Path) -> work_order.WorkOrder:
        return work(workspace, {"error": 400})

    @pytest.fixture
    def hanging(self, workspace: Path) -> work_order.WorkOrder:
        return work(workspace, {"hang": True})


async def test_a_handoff_and_the_whole_answer_come_back_and_cost_what_the_provider_charges(
    provider: fake_provider.Provider, workspace: Path
) -> None:
    outcome = await carried_out(make(provider), work(workspace, READ, done(decisions_made=["as said"])))
    assert outcome.state is AttemptState.SUCCEEDED
    assert outcome.unverified
    assert outcome.handoff.completed_work == "It is done."
    assert outcome.handoff.decisions_made == ("as said",)
    assert outcome.output == "The whole answer."
    assert outcome.usage.cost_usd == pytest.approx(provider.booked(), abs=1e-9)
    assert outcome.usage.output_tokens == sum(
        fake_provider.used(one["reply"]).output_tokens for one in provider.requests()
    )


async def test_what_all_attempts_of_an_agent_share_comes_first_and_is_cached(
    provider: fake_provider.Provider, workspace: Path
) -> None:
    asked = work(workspace, READ, done(), agent_prompt="You are the reviewer.", effort="high", model="opus")
    await carried_out(make(provider), asked)
    first, second = (one["body"] for one in provider.requests())
    assert first["system"] == second["system"]
    assert first["tools"] == second["tools"]
    assert first["system"][0]["text"].startswith("You are the reviewer.")
    assert first["system"][-1]["cache_control"] == {"type": "ephemeral"}
    assert "cache_control" in second["messages"][-1]["content"][-1]
    assert sum(json.dumps(one).count("cache_control") for one in (second["system"], second["messages"])) == 2
    assert first["model"] == "claude-opus-5-5"
    assert first["output_config"]["effort"] == "high"
    assert first["stream"]


@pytest.mark.promise("R11")
@pytest.mark.parametrize(
    ("step", "kind", "retryable"),
    [
        ({"error": 400}, "bad_request", False),
        ({"error": 401}, "not_logged_in", False),
        ({"error": 402, "type": "billing_error"}, "billing", False),
        ({"error": 403}, "no_permission", False),
        ({"error": 404}, "unknown_model", False),
        ({"error": 408, "type": "timeout_error"}, "timeout", True),
        ({"error": 409, "type": "conflict_error"}, "conflict", True),
        ({"error": 413}, "too_large", False),
        ({"error": 422, "type": "invalid_request_error"}, "bad_request", False),
        ({"error": 429}, transitions.RATE_LIMIT, True),
        ({"error": 429, "code": "enforced_spend_limit_reached"}, "billing", False),
        ({"error": 500}, "server_error", True),
        ({"error": 503, "type": "api_error"}, "server_error", True),
        ({"error": 529}, transitions.RATE_LIMIT, True),
        ({"text": "a b c d e f g h", "mid_error": "overloaded_error"}, transitions.RATE_LIMIT, True),
        ({"text": "a b c d e f g h", "mid_error": "api_error"}, "server_error", True),
        ({"text": "a b c d e f g h", "cut": True}, "cut_off", True),
        ({"text": "a b c d e f g h", "ends_at": "message_delta"}, "cut_off", True),
        ({"text": "a b c d e f g h", "ends_at": "message_start"}, "cut_off", True),
        ({"text": "I will not", "stop_reason": "refusal"}, "refusal", False),
        ({"text": "and so on", "stop_reason": "max_tokens"}, "max_tokens", True),
        ({"text": "full", "stop_reason": "model_context_window_exceeded"}, "context_full", False),
        ({"text": "no JSON"}, "no_handoff", True),
        ({"json": {"answer": "and nothing else"}}, "no_handoff", True),
        ({"json": {**fake_provider.HANDOFF, "completed_work": ""}}, "no_handoff", True),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_every_way_to_fail_has_a_name_and_says_whether_to_try_again(
    provider: fake_provider.Provider, workspace: Path, step: dict[str, Any], kind: str, *, retryable: bool
) -> None:
    outcome = await carried_out(make(provider), work(workspace, step))
    assert outcome.state is AttemptState.FAILED
    assert (outcome.error_kind, outcome.retryable) == (kind, retryable)
    assert outcome.error
    assert len(provider.requests()) == 1


@pytest.mark.promise("R11")
async def test_no_answer_and_no_provider_are_failures_of_their_own(
    provider: fake_provider.Provider, workspace: Path
) -> None:
    silent = await carried_out(make(provider, silence_s=0.3), work(workspace, {"hang": True}))
    assert (silent.error_kind, silent.retryable) == ("timeout", True)
    gone = api_worker.AnthropicWorker(
        api_login.Login("key", "", "http://127.0.0.1:9"),
        task_kinds.brief,
        prices.dollars,
        NO_FILES,
    )
    outcome = await carried_out(gone, work(workspace, done()))
    assert (outcome.error_kind, outcome.retryable) == ("no_connection", True)


@pytest.mark.promise("R11")
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "999999"}, provider_errors.LONGEST_ASKED_S),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:17:00 GMT"}, 20.0),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
async def test_the_wait_that_a_provider_asks_for_is_told_within_bounds(
    provider: fake_provider.Provider, workspace: Path, headers: dict[str, str], seconds: float | None
) -> None:
    outcome = await carried_out(make(provider), work(workspace, {"error": 429, "headers": headers}))
    assert outcome.retry_after_s == seconds


@pytest.mark.promise("R11")
async def test_a_rate_limit_that_never_ends_becomes_a_failure(
    provider: fake_provider.Provider, workspace: Path
) -> None:
    worker = make(provider)
    for status, kind in ((429, "rate_limited"), (529, "overloaded")):
        asked = work(workspace, {"error": status}, attempt=31)
        assert (await carried_out(worker, asked)).error_kind == kind


@pytest.mark.parametrize("end", [{"cut": True}, {"ends_at": "message_delta"}], ids=["broken", "closed"])
async def test_what_a_broken_answer_used_is_counted(
    provider: fake_provider.Provider, workspace: Path, end: dict[str, Any]
) -> None:
    outcome = await carried_out(make(provider), work(workspace, {"text": "a b c d e f g h", **end}))
    (asked,) = provider.requests()
    assert outcome.usage.input_tokens == fake_provider.used(asked["reply"]).input_tokens
    assert outcome.usage.output_tokens >= 2
    assert outcome.usage.cost_usd


async def test_a_deadline_says_what_was_used_until_then(provider: fake_provider.Provider, workspace: Path) -> None:
    outcome = model.Outcome(state=AttemptState.FAILED)
    for timeout_s in DEADLINES_S:
        provider.reset()
        outcome = await carried_out(make(provider), work(workspace, READ, {"hang": True}, timeout_s=timeout_s))
        assert outcome.state is AttemptState.TIMED_OUT
        assert outcome.usage.cost_usd == pytest.approx(provider.booked())
        if outcome.usage.cost_usd:
            break
    assert outcome.usage.cost_usd


async def test_the_next_attempt_goes_on_behind_the_last_finished_turn(
    provider: fake_provider.Provider, workspace: Path
) -> None:
    ctx = FakeContext()
    first = work(workspace, READ, {"error": 500, "times": 1, **done()})
    failed = await carried_out(make(provider), first, ctx)
    assert failed.error_kind == "server_error"
    again = work(workspace, attempt=2, last_error=failed.error, last_beat=ctx.beats[-1])
    outcome = await carried_out(make(provider), again, FakeContext(attempt=2, blobs=ctx.blobs))
    assert outcome.state is AttemptState.SUCCEEDED
    assert [len(one["body"]["messages"]) for one in provider.requests()] == [1, 3, 3]
    assert (failed.usage.cost_usd or 0.0) + (outcome.usage.cost_usd or 0.0) == pytest.approx(provider.booked())


async def test_what_a_killed_server_had_used_is_added_by_the_next_attempt(
    provider: fake_provider.Provider, workspace: Path
) -> None:
    ctx = FakeContext()
    with anyio.fail_after(120):
        async with anyio.create_task_group() as group:
            group.start_soon(make(provider).carry_out, ctx, work(workspace, READ, {"hang": True}))
            await until(lambda: bool(ctx.beats) and len(ctx.beats[-1].get("api", {}).get("turns", ())) == 2)
            group.cancel_scope.cancel()
    provider.rules({"match": {"user": "Work"}, "steps": [{}, done()]})
    again = work(workspace, attempt=2, last_beat=ctx.beats[-1])
    outcome = await carried_out(make(provider), again, FakeContext(attempt=2, blobs=ctx.blobs))
    assert outcome.state is AttemptState.SUCCEEDED
    assert outcome.usage.cost_usd == pytest.approx(provider.booked())


@pytest.mark.parametrize("kept", [{"turns": ["0" * 64]}, {"turns": "x"}, {"turns": [1]}, [], "x", {"usage": {"x": 1}}])
async def test_what_cannot_be_read_of_the_last_attempt_is_begun_anew(
    provider: fake_provider.Provider, workspace: Path, kept: Any
) -> None:
    asked = work(workspace, done(), attempt=2, last_beat={"api": kept})
    assert (await carried_out(make(provider), asked)).state is AttemptState.SUCCEEDED


async def test_another_place_means_another_conversation(provider: fake_provider.Provider, workspace: Path) -> None:
    ctx = FakeContext()
    await carried_out(make(provider), work(workspace, READ, {"error": 500}), ctx)
    elsewhere = workspace / "src"
    again = work(elsewhere, done(), attempt=2, last_error="it broke", last_beat=ctx.beats[-1])
    await carried_out(make(provider), again, FakeContext(attempt=2, blobs=ctx.blobs))
    assert len(provider.requests()[-1]["body"]["messages"]) == 1


async def test_a_longer_answer_gets_more_room_the_next_time(provider: fake_provider.Provider, workspace: Path) -> None:
    ctx = FakeContext()
    cut = {"text": "and so on", "stop_reason": "max_tokens"}
    await carried_out(make(provider), work(workspace, cut), ctx)
    again = work(workspace, cut, attempt=2, last_error="cut off", last_beat=ctx.beats[-1])
    await carried_out(make(provider), again, FakeContext(attempt=2, blobs=ctx.blobs))
    assert [one["body"]["max_tokens"] for one in provider.requests()] == [32_000, 64_000]


@pytest.mark.promise("S9", "S18")
@pytest.mark.parametrize(
    ("ceiling", "kind"),
    [(model.TaskLimits(tokens=600), "token_budget"), (model.TaskLimits(dollars=0.002), "budget")],
)
async def test_a_request_that_would_go_over_the_ceiling_is_counted_and_never_sent(
    provider: fake_provider.Provider, workspace: Path, ceiling: model.TaskLimits, kind: str
) -> None:
    outcome = await carried_out(make(provider), work(workspace, done(), ceiling=ceiling))
    assert (outcome.error_kind, outcome.retryable) == (kind, True)
    assert (provider.requests(), provider.counted()) == ([], 1)


@pytest.mark.promise("S9", "S18")
async def test_the_room_of_an_answer_is_what_the_ceiling_leaves(
    provider: fake_provider.Provider, workspace: Path
) -> None:
    asked = work(workspace, READ, done(), ceiling=model.TaskLimits(tokens=8_000))
    outcome = await carried_out(make(provider), asked)
    assert outcome.state is AttemptState.SUCCEEDED
    rooms = [one["body"]["max_tokens"] for one in provider.requests()]
    assert rooms[1] < rooms[0] < 8_000


@pytest.mark.promise("S18")
async def test_an_answer_cut_off_at_the_ceiling_is_no_answer_that_needs_more_room(
    provider: fake_provider.Provider, workspace: Path
) -> None:
    ctx = FakeContext()
    cut = {"text": "and so on", "stop_reason": "max_tokens"}
    outcome = await carried_out(make(provider), work(workspace, cut, ceiling=model.TaskLimits(tokens=8_000)), ctx)
    assert outcome.error_kind == "token_budget"
    again = work(workspace, cut, attempt=2, last_error="stopped", last_beat=ctx.beats[-1])
    await carried_out(make(provider), again, FakeContext(attempt=2, blobs=ctx.blobs))
    assert provider.requests()[-1]["body"]["max_tokens"] == 32_000


@pytest.mark.promise("S18")
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.slice(2)
async def test_an_attempt_stops_between_turns_before_it_could_go_over_whatever_it_was_given(
    provider: fake_provider.Provider, workspace: Path, seed: int
) -> None:
    dice = random.Random(seed)
    (workspace / "notes.txt").write_text("a line of words\n" * dice.choice((1, 40, 900)))
    turns = [{**READ, "usage": usage_of(dice)} for _ in range(dice.randint(1, 12))]
    if dice.random() < 0.5:
        dollars, tokens = 10 ** dice.uniform(-2.5, -0.5), None
    else:
        dollars, tokens = None, round(10 ** dice.uniform(3.3, 5.5))
    ceiling = model.TaskLimits(dollars=dollars, tokens=tokens)
    name = dice.choice(("haiku", "sonnet", "opus"))
    outcome = await carried_out(make(provider), work(workspace, *turns, done(), model=name, ceiling=ceiling))
    assert outcome.error_kind in ("", "budget", "token_budget")
    assert outcome.usage.cost_usd == pytest.approx(provider.booked())
    replies = [fake_provider.used(one["reply"]) for one in provider.requests()]
    assert outcome.usage.tokens == sum(reply.tokens for reply in replies)
    if dollars is not None:
        assert provider.booked() <= dollars + max_price(provider)
    if tokens is not None:
        assert outcome.usage.tokens <= tokens + max((reply.tokens for reply in replies), default=0)


def usage_of(dice: random.Random) -> dict[str, int]:
    """What a provider says that an answer used: parts of the prompt from the cache, and another one into it."""
    return {
        "input_tokens": dice.randint(1, 500),
        "output_tokens": dice.randint(1, 900),
        "cache_read_input_tokens": dice.choice((0, 20_000)),
        "cache_creation_input_tokens": dice.choice((0, 3_000)),
    }


def max_price(provider: fake_provider.Provider) -> float:
    """Returns the price of the dearest answer."""
    return max((provider.booked([one]) for one in provider.requests()), default=0.0)


@pytest.mark.promise("S18")
async def test_a_long_prompt_whose_answer_is_dearer_is_priced_as_such(
    provider: fake_provider.Provider, workspace: Path
) -> None:
    def tiered(_name: str | None, usage: model.Usage) -> float:
        prompt = usage.input_tokens + usage.cache_write_tokens + usage.cache_read_tokens
        return (prompt + 5 * usage.output_tokens) * (1e-6 if prompt <= 100 else 5e-6)

    worker = make(provider, price=tiered)
    await carried_out(worker, work(workspace, done(), ceiling=model.TaskLimits(dollars=0.1)))
    (request,) = provider.requests()
    usage = fake_provider.used(request["reply"])
    prompt = usage.tokens - usage.output_tokens
    assert request["body"]["max_tokens"] == pytest.approx((0.1 - prompt * 5e-6) / 25e-6, abs=1)


@pytest.mark.promise("S18")
async def test_a_ceiling_of_dollars_needs_a_price_and_one_of_tokens_does_not(
    provider: fake_provider.Provider, workspace: Path
) -> None:
    name = "claude-of-the-future"
    refused = work(workspace, done(), model=name, ceiling=model.TaskLimits(dollars=5.0, tokens=90_000))
    outcome = await carried_out(make(provider), refused)
    assert (outcome.error_kind, outcome.retryable) == ("no_price", False)
    assert name in outcome.error
    assert (provider.requests(), provider.counted()) == ([], 0)
    await carried_out(make(provider), work(workspace, done(), model=name, ceiling=model.TaskLimits(tokens=90_000)))
    assert len(provider.requests()) == 1


async def test_an_attempt_leaves_word_of_what_it_has_used_itself(
    provider: fake_provider.Provider, workspace: Path
) -> None:
    ctx = FakeContext()
    outcome = await carried_out(make(provider), work(workspace, READ, done()), ctx)
    word = [beat[ports.SPENT] for beat in ctx.beats if ports.SPENT in beat]
    assert model.Usage.model_validate(word[-1]) == outcome.usage.model_copy(update={"seconds": 0.0})
    last_beat = {"api": {"usage": {"output_tokens": 5_000}}}
    again = FakeContext(attempt=2)
    outcome = await carried_out(make(provider), work(workspace, done(), attempt=2, last_beat=last_beat), again)
    assert outcome.usage.output_tokens > 5_000 > again.beats[-1][ports.SPENT]["output_tokens"]


async def test_a_pause_is_gone_on_with_and_endless_turns_end(provider: fake_provider.Provider, workspace: Path) -> None:
    paused = work(workspace, {"text": "a moment", "stop_reason": "pause_turn"}, done(), model="inherit")
    assert (await carried_out(make(provider), paused)).state is AttemptState.SUCCEEDED
    asked = provider.requests()[-1]["body"]
    assert (asked["model"], asked["messages"][-1]["role"]) == ("claude-sonnet-5-5", "assistant")
    assert "cache_control" not in json.dumps(asked["messages"][-1])
    endless = work(workspace, *[READ] * 9)
    outcome = await carried_out(make(provider, max_turns=3), endless)
    assert (outcome.error_kind, outcome.retryable) == ("max_turns", True)


async def test_at_most_so_many_requests_are_under_way(provider: fake_provider.Provider, workspace: Path) -> None:
    worker = make(provider, in_flight=3)
    async with anyio.create_task_group() as group:
        for number in range(12):
            asked = work(workspace, {"delay": 0.02, **done(answer=str(number))})
            group.start_soon(functools.partial(carried_out, worker, asked))
    assert provider.health()["most_in_flight"] == 3


async def test_without_a_key_or_with_an_unknown_model_nothing_is_asked(
    provider: fake_provider.Provider, workspace: Path
) -> None:
    sight = NO_FILES
    keyless = api_worker.AnthropicWorker(api_login.Login(), task_kinds.brief, prices.dollars, sight)
    assert (await carried_out(keyless, work(workspace, done()))).error_kind == "not_logged_in"
    unknown = work(workspace, done(), model="--model=evil")
    assert (await carried_out(make(provider), unknown)).error_kind == "unknown_model"
    assert provider.requests() == []


def test_a_login_does_not_show_its_key() -> None:
    assert "hidden" not in repr(api_login.Login("hidden", "hidden"))


async def test_a_bug_of_ours_is_not_taken_for_the_providers(provider: fake_provider.Provider, workspace: Path) -> None:
    def broken(_name: str | None, usage: model.Usage) -> float:
        raise ZeroDivisionError if usage.input_tokens else errors.WorkerError

    worker = api_worker.AnthropicWorker(api_login.Login.from_env(provider.env()), task_kinds.brief, broken, NO_FILES)
    with pytest.raises((ZeroDivisionError, errors.WorkerError, ExceptionGroup)):
        await worker.carry_out(FakeContext(), work(workspace, done()))


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


class _Seen:
    """What the model was answered by its tools."""

    def __init__(self, provider: fake_provider.Provider) -> None:
        (self.blocks,) = [
            message["content"]
            for message in provider.requests()[-1]["body"]["messages"]
            if message["role"] == "user" and message["content"][0]["type"] == "tool_result"
        ]

    @property
    def texts(self) -> list[str]:
        return [block["content"] for block in self.blocks]

    @property
    def refused(self) -> list[bool]:
        return [bool(block.get("is_error")) for block in self.blocks]


async def used(fake: fake_provider.Provider, workspace: Path, *calls: tuple[str, dict[str, Any]], **more: Any) -> _Seen:
    steps = [{"tools": [{"tool": name, "input": given} for name, given in calls]}, done()]
    outcome = await carried_out(make(fake), work(workspace, *steps, **more))
    assert outcome.state is AttemptState.SUCCEEDED
    return _Seen(fake)


async def test_a_looking_agent_lists_searches_and_reads(provider: fake_provider.Provider, workspace: Path) -> None:
    seen = await used(
        provider,
        workspace,
        ("list_files", {}),
        ("list_files", {"glob": "src/**/*.py"}),
        ("search_files", {"text": "STARTED"}),
        ("read_file", {"path": "notes.txt", "first_line": 2}),
        ("read_file", {"path": str(workspace / "src" / "app.py"), "last_line": 1}),
    )
    assert seen.texts == [
        "notes.txt\nsrc/app.py",
        "src/app.py",
        "src/app.py:2: return 'started'",
        "2\tsecond line",
        "1\tdef start():",
    ]
    assert not any(seen.refused)


@pytest.mark.promise("S4")
async def test_no_path_leads_out_of_the_workspace_or_to_secrets(
    provider: fake_provider.Provider, workspace: Path
) -> None:
    outside = workspace.parent / "outside.txt"
    outside.write_text(SECRET)
    (workspace / "link.txt").symlink_to(outside)
    (workspace / "folder").symlink_to(workspace.parent)
    (workspace / "id_rsa").write_text(SECRET)
    paths = [
        "../outside.txt",
        str(outside),
        "link.txt",
        "folder/outside.txt",
        ".env",
        "id_rsa",
        ".git/config",
        "~/.ssh/x",
    ]
    calls = [("read_file", {"path": path}) for path in paths]
    seen = await used(provider, workspace, *calls, ("search_files", {"text": "secret of"}), ("list_files", {}))
    assert SECRET not in json.dumps(seen.texts)
    assert seen.refused == [True] * len(paths) + [False, False]
    assert ".env" not in seen.texts[-1]


@pytest.mark.promise("S8")
async def test_a_looking_agent_has_no_tool_that_changes_anything(
    provider: fake_provider.Provider, workspace: Path
) -> None:
    seen = await used(
        provider, workspace, ("write_file", {"path": "new.txt", "text": "x"}), ("delete_file", {"path": "notes.txt"})
    )
    assert seen.refused == [True, True]
    names = {tool["name"] for tool in provider.requests()[0]["body"]["tools"]}
    assert names == {"list_files", "search_files", "read_file"}
    assert names_in(workspace) == [".env", "notes.txt", "src"]


@pytest.mark.promise("S8")
async def test_a_changing_agent_changes_files_in_its_own_directory_only(
    provider: fake_provider.Provider, workspace: Path
) -> None:
    (workspace / "inner").mkdir()
    (workspace / "out").symlink_to(workspace.parent)
    seen = await used(
        provider,
        workspace,
        ("write_file", {"path": "inner/deep/new.py", "text": "x = 1\n"}),
        ("edit_file", {"path": "notes.txt", "old": "second", "new": "2nd"}),
        ("edit_file", {"path": "notes.txt", "old": "line", "new": "row"}),
        ("delete_file", {"path": "src/app.py"}),
        ("write_file", {"path": "../evil.txt", "text": "x"}),
        ("write_file", {"path": "out/evil.txt", "text": "x"}),
        ("write_file", {"path": ".git/hooks/post-commit", "text": "x"}),
        ("write_file", {"path": ".claude/settings.json", "text": "x"}),
        ("write_file", {"path": ".env", "text": "x"}),
        ("delete_file", {"path": "src"}),
        directory=str(workspace),
    )
    assert seen.refused == [False, False, True, False, True, True, True, True, True, True]
    assert (workspace / "inner" / "deep" / "new.py").read_text() == "x = 1\n"
    assert (workspace / "notes.txt").read_text() == "first line\n2nd line\n"
    assert not (workspace / "src" / "app.py").exists()
    assert (workspace / ".env").read_text() == SECRET
    assert names_in(workspace.parent) == ["workspace"]


async def test_only_declared_files_can_be_changed(provider: fake_provider.Provider, workspace: Path) -> None:
    seen = await used(
        provider,
        workspace,
        ("write_file", {"path": "src/app.py", "text": "ok"}),
        ("write_file", {"path": "notes.txt", "text": "no"}),
        directory=str(workspace),
        files=("src/**",),
    )
    assert seen.refused == [False, True]


async def test_an_agents_own_tools_narrow_what_its_place_allows(
    provider: fake_provider.Provider, workspace: Path
) -> None:
    await used(
        provider, workspace, ("read_file", {"path": "notes.txt"}), directory=str(workspace), tools=("Read", "Bash")
    )
    names = [tool["name"] for tool in provider.requests()[0]["body"]["tools"]]
    assert names == ["read_file"]


@pytest.mark.parametrize(
    "given", [{}, {"path": 1}, {"path": "notes.txt", "first_line": "2"}, [], "notes.txt", {"path": "no-such-file"}]
)
async def test_input_that_is_no_input_is_answered_not_raised(
    provider: fake_provider.Provider, workspace: Path, given: Any
) -> None:
    assert (await used(provider, workspace, ("read_file", given))).refused == [True]


async def test_windows_line_ends_survive_an_edit(provider: fake_provider.Provider, workspace: Path) -> None:
    (workspace / "dos.txt").write_bytes(b"one\r\ntwo\r\nthree\r\n")
    call = ("edit_file", {"path": "dos.txt", "old": "one\ntwo", "new": "1\n2"})
    await used(provider, workspace, call, directory=str(workspace))
    assert (workspace / "dos.txt").read_bytes() == b"1\r\n2\r\nthree\r\n"


def test_blobs_of_the_tests_refuse_unknown_digests() -> None:
    with pytest.raises(errors.UnknownHandle):
        MemoryBlobs().get("0")


@pytest.mark.promise("R21")
async def test_a_conversation_that_had_come_to_its_end_when_its_server_died_is_not_asked_again(
    provider: fake_provider.Provider, workspace: Path
) -> None:
    ctx = FakeContext()
    first = await carried_out(make(provider), work(workspace, READ, done()), ctx)
    again = work(workspace, attempt=2, last_beat=ctx.beats[-1])
    second = await carried_out(make(provider), again, FakeContext(attempt=2, blobs=ctx.blobs))
    assert len(provider.requests()) == 2
    assert (second.handoff, second.output) == (first.handoff, first.output)
    assert second.usage.cost_usd == pytest.approx(provider.booked())


@pytest.mark.parametrize("ending", [{"last_error": "It was not accepted."}, {"sent_back": 1}])
async def test_a_conversation_whose_end_was_not_enough_is_asked_again(
    provider: fake_provider.Provider, workspace: Path, ending: dict[str, Any]
) -> None:
    ctx = FakeContext()
    await carried_out(make(provider), work(workspace, done()), ctx)
    provider.rules({"match": {"user": "Work"}, "steps": [done(), done()]})
    again = work(workspace, done(), attempt=2, last_beat=ctx.beats[-1], **ending)
    await carried_out(make(provider), again, FakeContext(attempt=2, blobs=ctx.blobs))
    requests = provider.requests()
    assert len(requests) == 2
    assert len(requests[1]["body"]["messages"]) == (1 if "sent_back" in ending else 3)


@pytest.mark.parametrize("refusals", [{1}, {2}, {1, 2}, {3}])
async def test_turns_that_cannot_be_kept_for_a_while_break_nothing_off_and_are_kept_later(
    provider: fake_provider.Provider, workspace: Path, refusals: set[int]
) -> None:
    class Full(MemoryBlobs):
        puts = 0

        def put(self, data: bytes) -> str:
            self.puts += 1
            if self.puts in refusals:
                raise errors.StoreUnavailable("the disk is full")
            return super().put(data)

    ctx = FakeContext(blobs=Full())
    outcome = await carried_out(make(provider), work(workspace, READ, READ, done()), ctx)
    assert outcome.state is AttemptState.SUCCEEDED
    assert len(provider.requests()) == 3
    again = work(workspace, attempt=2, last_beat=ctx.beats[-1])
    repeat = await carried_out(make(provider), again, FakeContext(attempt=2, blobs=ctx.blobs))
    assert repeat.output == outcome.output
    assert len(provider.requests()) == 3
