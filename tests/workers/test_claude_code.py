from __future__ import annotations

import json
import os
import random
import signal
import string
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
import rogue_processes
import thoroughness
from claude_double import Double, asked, result
from worker_conformance import FakeContext, WorkerConformance

from dispatch_mcp import model, prices
from dispatch_mcp.engine import outcome_redaction, task_kinds
from dispatch_mcp.model import AttemptState, WorkerKind, transitions, work_order
from dispatch_mcp.process import child_environment
from dispatch_mcp.text import redaction
from dispatch_mcp.workers import attempt_scope
from dispatch_mcp.workers.claude import claude_program, claude_worker, command_line, stream_rows

pytestmark = pytest.mark.anyio

FULL = os.environ.get("DISPATCH_MCP_CHAOS") == "full"
NOISE = (100 if FULL else 20) * 1_000_000
R10_S = 1.0 if FULL else 120.0
SECRET = "-".join(("sk", "ant", "api03", "abcdefghijklmnopqrstuvwxyz012345"))


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


@pytest.fixture
def claude(tmp_path: Path) -> Double:
    return Double(tmp_path / "bin")


def make(claude: Double, home: Path, *, env: dict[str, str] | None = None, **more: Any) -> claude_worker.ClaudeWorker:
    variables = {"PATH": f"{claude.folder}{os.pathsep}{os.environ['PATH']}", **(env or {})}
    policy = child_environment.ChildPolicy(variables, **more.pop("policy", {}))
    settings = claude_worker.ClaudeSettings(**more.pop("settings", {}))
    return claude_worker.ClaudeWorker(
        home / "state",
        policy,
        task_kinds.brief,
        prices.dollars,
        settings=settings,
        clock=lambda: 1_900_000_000.0,
        **more,
    )


def work(workspace: Path, **more: Any) -> work_order.WorkOrder:
    task = model.Task(id="t1", do=more.pop("goal", "Do the work."))
    return work_order.WorkOrder(
        "run-1", task, more.pop("attempt", 1), WorkerKind.CLAUDE, workspace=str(workspace), **more
    )


async def carried_out(
    worker: claude_worker.ClaudeWorker | outcome_redaction.RedactingWorker,
    asked_for: work_order.WorkOrder,
    ctx: FakeContext | None = None,
) -> model.Outcome:
    with anyio.fail_after(120):
        return await worker.carry_out(ctx or FakeContext(attempt=asked_for.attempt), asked_for)


def flag(call: dict[str, Any], name: str) -> str:
    return next(word.removeprefix(f"{name}=") for word in call["argv"] if word.startswith(f"{name}="))


class TestClaudeWorkerConforms(WorkerConformance):
    @pytest.fixture
    def worker(self, claude: Double, tmp_path: Path) -> claude_worker.ClaudeWorker:
        self.claude, self.home = claude, tmp_path
        return make(claude, tmp_path)

    @pytest.fixture
    def succeeding(self, workspace: Path) -> work_order.WorkOrder:
        return work(workspace)

    @pytest.fixture
    def failing(self, workspace: Path) -> work_order.WorkOrder:
        return work(workspace, model="no such model")

    @pytest.fixture
    def hanging(self, workspace: Path, claude: Double) -> work_order.WorkOrder:
        claude.plays({"rows": asked(1), "sleep_s": 900})
        return work(workspace)

    async def at_work(self, ctx: FakeContext) -> None:
        await rogue_processes.until(lambda: bool(self.claude.calls))

    async def assert_nothing_left(self) -> None:
        assert rogue_processes.survivors(call["pid"] for call in self.claude.calls) == []


async def test_success_brings_the_structured_handoff_and_the_bill(
    claude: Double, tmp_path: Path, workspace: Path
) -> None:
    claude.plays({"rows": [*asked(1), *asked(2), result(total_cost_usd=0.125)]})
    outcome = await carried_out(make(claude, tmp_path), work(workspace))
    assert outcome.state is AttemptState.SUCCEEDED
    assert outcome.unverified
    assert outcome.handoff.decisions_made == ("as said",)
    assert outcome.output == "The whole answer."
    assert outcome.usage.cost_usd == 0.125
    assert (outcome.usage.input_tokens, outcome.usage.output_tokens) == (2_000, 2_000)
    assert not (tmp_path / "state" / "runs" / "run-1").exists()


API = {"subtype": "success", "is_error": True, "terminal_reason": "api_error", "structured_output": None}


@pytest.mark.slice(3)
@pytest.mark.promise("R11")
@pytest.mark.parametrize(
    ("play", "kind", "retryable"),
    [
        ({"rows": [result(**API, api_error_status=400)], "exit": 1}, "bad_request", False),
        ({"rows": [result(**API, api_error_status=401)], "exit": 1}, "not_logged_in", False),
        ({"rows": [result(**API, api_error_status=403)], "exit": 1}, "no_permission", False),
        ({"rows": [result(**API, api_error_status=404)], "exit": 1}, "unknown_model", False),
        ({"rows": [result(**API, api_error_status=429)], "exit": 1}, transitions.RATE_LIMIT, True),
        ({"rows": [result(**API, api_error_status=529)], "exit": 1}, transitions.RATE_LIMIT, True),
        ({"rows": [result(**API, api_error_status=500)], "exit": 1}, "server_error", True),
        ({"rows": [result(**API)], "exit": 1}, "no_connection", True),
        ({"rows": [result(**API, result="You have hit your usage limit")], "exit": 1}, transitions.RATE_LIMIT, True),
        ({"rows": [result(is_error=True, terminal_reason="prompt_too_long")], "exit": 1}, "prompt_too_long", False),
        (
            {"rows": [result(subtype="error_max_turns", is_error=True, terminal_reason="max_turns")], "exit": 1},
            "max_turns",
            True,
        ),
        ({"rows": [result(is_error=True, terminal_reason="budget_exhausted")], "exit": 1}, "budget", True),
        ({"rows": [result(structured_output=None)]}, "no_handoff", True),
        ({"rows": [result(structured_output={"answer": "only"})]}, "no_handoff", True),
        ({"rows": [result(structured_output=None, stop_reason="refusal")]}, "refusal", False),
        (
            {"rows": [result(subtype="error_during_execution", is_error=True, terminal_reason="aborted_tools")]},
            "interrupted",
            True,
        ),
        ({"rows": []}, "no_result", True),
        ({"rows": [{"type": "system", "subtype": "init"}], "exit": 143}, "no_result", True),
        ({"rows": [], "signal": int(signal.SIGHUP)}, "no_result", True),
        ({"rows": [], "signal": int(signal.SIGKILL)}, "no_result", True),
        ({"rows": [], "exit": 1, "stderr": "error: unknown option '--max-turns=60'"}, "bad_call", False),
        ({"rows": [result()], "exit": 1}, "interrupted", True),
        ({"rows": [result(terminal_reason="something_new")]}, "interrupted", True),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_every_row_of_the_table_of_results(
    claude: Double, tmp_path: Path, workspace: Path, play: dict[str, Any], kind: str, *, retryable: bool
) -> None:
    claude.plays(play)
    outcome = await carried_out(make(claude, tmp_path), work(workspace))
    assert outcome.state is AttemptState.FAILED
    assert (outcome.error_kind, outcome.retryable) == (kind, retryable)
    assert outcome.error
    assert len(claude.calls) == 1


async def test_the_last_result_row_counts_and_noise_between_is_passed_over(
    claude: Double, tmp_path: Path, workspace: Path
) -> None:
    early = result(structured_output=None, total_cost_usd=0.1)
    claude.plays({"rows": [early, ["no", "row"], "words", {"type": "unheard"}, result(total_cost_usd=0.2)]})
    outcome = await carried_out(make(claude, tmp_path), work(workspace))
    assert outcome.state is AttemptState.SUCCEEDED
    assert outcome.usage.cost_usd == 0.2


async def test_what_it_was_not_allowed_is_told_as_an_open_question(
    claude: Double, tmp_path: Path, workspace: Path
) -> None:
    denied = [{"tool_name": "Bash"}, {"tool_name": "Write"}, {"tool_name": "Bash"}]
    claude.plays({"rows": [result(permission_denials=denied)]})
    outcome = await carried_out(make(claude, tmp_path), work(workspace))
    assert outcome.handoff.open_questions == ("Not allowed here, so not done: Bash, Write (3 times).",)


@pytest.mark.parametrize(
    ("rows", "text", "seconds"),
    [
        ([], "Claude AI usage limit reached|1900000120", 120.0),
        ([{"type": "rate_limit_event", "rate_limit_info": {"resetsAt": 1_900_000_060}}], "wait", 60.0),
        ([], "usage limit reached|1000000000", None),
    ],
)
async def test_a_limit_that_says_when_it_ends_holds_until_then(
    claude: Double, tmp_path: Path, workspace: Path, *, rows: list[Any], text: str, seconds: float | None
) -> None:
    claude.plays({"rows": [*rows, result(**API, api_error_status=429, result=text)], "exit": 1})
    outcome = await carried_out(make(claude, tmp_path), work(workspace))
    assert (outcome.error_kind, outcome.retry_after_s) == (transitions.RATE_LIMIT, seconds)


# -- how it is called


async def test_the_call_is_lean_closed_and_bounded(claude: Double, tmp_path: Path, workspace: Path) -> None:
    asked_for = work(
        workspace,
        agent_prompt="You are the reviewer.",
        model="opus",
        effort="high",
        ceiling=model.TaskLimits(dollars=1.5),
        timeout_s=60.0,
    )
    claude.plays(
        {
            "rows": [result()],
            "python": "print(json.dumps({'system': pathlib.Path([a for a in sys.argv "
            "if a.startswith('--system-prompt-file=')][0].split('=', 1)[1]).read_text()}), file=sys.stderr); "
            "(here / 'system').write_text(pathlib.Path([a for a in sys.argv if "
            "a.startswith('--system-prompt-file=')][0].split('=', 1)[1]).read_text())",
        }
    )
    await carried_out(make(claude, tmp_path, settings={"max_turns": 12}), asked_for)
    (call,) = claude.calls
    for word in ("-p", "--output-format=stream-json", "--safe-mode", "--restricted", "--strict-mcp-config"):
        assert word in call["argv"]
    assert flag(call, "--permission-mode") == "dontAsk"
    assert flag(call, "--tools") == flag(call, "--allowedTools") == "Read,Glob,Grep"
    assert flag(call, "--model") == "claude-opus-5-5"
    assert flag(call, "--effort") == "high"
    assert (flag(call, "--max-turns"), flag(call, "--max-budget-usd")) == ("12", "1.500000")
    assert flag(call, "--setting-sources") == ""
    assert (claude.folder / "system").read_text().startswith("You are the reviewer.")
    assert "## GOAL\nDo the work." in call["stdin"]
    assert call["cwd"] == str(workspace)


async def test_flags_that_the_installed_version_does_not_know_are_left_out() -> None:
    call = command_line.ClaudeCall("s", False, "claude-haiku-5-5", {}, "low", ("Read",), "/system", 5)
    assert not {"--safe-mode", "--restricted", "--effort=low"} & set(command_line.arguments(call, ()))
    assert command_line.flags_in("  --model <m>  -p, --print  --effort <level>") == {"--model", "--print", "--effort"}


@pytest.mark.promise("S8")
@pytest.mark.parametrize(
    ("own", "tools", "commands", "given"),
    [
        (False, None, True, "Read,Glob,Grep"),
        (False, ("Bash", "Edit", "Read"), True, "Read"),
        (False, (), True, "Read,Glob,Grep"),
        (True, None, True, "Read,Glob,Grep,Edit,Write"),
        (True, ("Read", "Edit", "Bash"), False, "Read,Edit"),
        (True, ("Read", "Edit", "Bash(git *)"), True, "Read,Edit,Bash"),
        (True, ("*",), True, "Read,Glob,Grep,Edit,Write,Bash"),
        (True, ("WebFetch", "mcp__other"), True, "Read,Glob,Grep"),
    ],
)
async def test_tools_follow_from_the_place_the_agent_and_the_settings(
    claude: Double,
    tmp_path: Path,
    workspace: Path,
    *,
    own: bool,
    tools: Any,
    commands: bool,
    given: str,
) -> None:
    asked_for = work(workspace, tools=tools, directory=str(workspace) if own else "")
    await carried_out(make(claude, tmp_path, settings={"commands": commands}), asked_for)
    assert flag(claude.calls[0], "--tools") == given


@pytest.mark.promise("S9", "S18")
@pytest.mark.parametrize(
    ("ceiling", "kind"),
    [(model.TaskLimits(tokens=9_000), "token_budget"), (model.TaskLimits(dollars=0.05), "budget")],
)
async def test_a_process_at_its_ceiling_is_stopped_with_its_bill_and_its_session(
    claude: Double, tmp_path: Path, workspace: Path, ceiling: model.TaskLimits, kind: str
) -> None:
    claude.plays({"rows": [*asked(1, tokens=2_500), *asked(2, tokens=2_500)], "sleep_s": 900})
    ctx = FakeContext()
    outcome = await carried_out(make(claude, tmp_path), work(workspace, ceiling=ceiling), ctx)
    assert (outcome.state, outcome.error_kind, outcome.retryable) == (AttemptState.FAILED, kind, True)
    assert outcome.usage.tokens == 10_000
    assert outcome.usage.cost_usd == pytest.approx(prices.dollars("sonnet", outcome.usage))
    assert rogue_processes.survivors(call["pid"] for call in claude.calls) == []
    claude.plays({"rows": [result()]})
    await carried_out(make(claude, tmp_path), work(workspace, attempt=2, last_error="x", last_beat=ctx.beats[-1]))
    assert flag(claude.calls[-1], "--resume") == ctx.beats[-1]["session_id"]


async def test_a_process_that_has_finished_above_its_ceiling_is_believed(
    claude: Double, tmp_path: Path, workspace: Path
) -> None:
    claude.plays({"rows": [*asked(1, tokens=9_000), result()], "sleep_s": 0.5})
    outcome = await carried_out(make(claude, tmp_path), work(workspace, ceiling=model.TaskLimits(tokens=9_000)))
    assert outcome.state is AttemptState.SUCCEEDED


@pytest.mark.promise("S18")
async def test_what_a_ceiling_leaves_bounds_the_answers_too_and_too_little_starts_nothing(
    claude: Double, tmp_path: Path, workspace: Path
) -> None:
    worker = make(claude, tmp_path)
    for ceiling in (model.TaskLimits(), model.TaskLimits(dollars=50.0, tokens=10**7)):
        await carried_out(worker, work(workspace, ceiling=ceiling))
        assert command_line.MAX_ANSWER not in claude.calls[-1]["env"]
    await carried_out(worker, work(workspace, ceiling=model.TaskLimits(dollars=0.1)))
    assert 5_000 < int(claude.calls[-1]["env"][command_line.MAX_ANSWER]) < 10_000
    refused = await carried_out(worker, work(workspace, ceiling=model.TaskLimits(dollars=0.005)))
    assert (refused.error_kind, refused.usage.tokens, len(claude.calls)) == ("budget", 0, 3)


@pytest.mark.promise("S18")
async def test_dollars_that_nobody_can_count_start_nothing(claude: Double, tmp_path: Path, workspace: Path) -> None:
    unknown = {"model": "claude-of-the-future", "ceiling": model.TaskLimits(dollars=5.0)}
    outcome = await carried_out(make(claude, tmp_path), work(workspace, **unknown))
    assert (outcome.error_kind, outcome.retryable, claude.calls) == ("no_price", False, [])
    counted = {**unknown, "ceiling": model.TaskLimits(tokens=90_000)}
    await carried_out(make(claude, tmp_path), work(workspace, **counted))
    assert len(claude.calls) == 1


@pytest.mark.promise("R21")
async def test_a_fault_of_ours_after_the_process_ended_leaves_its_result_to_the_next_attempt(
    claude: Double, tmp_path: Path, workspace: Path
) -> None:
    class Broken(FakeContext):
        """A context whose beats fail once the process has said what it cost."""

        def beat(self, **details: Any) -> None:
            if details.get("claude", {}).get("cost"):
                raise ZeroDivisionError
            super().beat(**details)

    claude.plays({"rows": [*asked(1), result(total_cost_usd=0.5)]})
    ctx = Broken()
    with pytest.raises((ZeroDivisionError, ExceptionGroup)):
        await carried_out(make(claude, tmp_path), work(workspace), ctx)
    again = work(workspace, attempt=2, last_error="The claude worker crashed", last_beat=ctx.beats[-1])
    outcome = await carried_out(make(claude, tmp_path), again)
    assert (outcome.state, outcome.output) == (AttemptState.SUCCEEDED, "The whole answer.")
    assert (len(claude.calls), outcome.usage.tokens) == (1, 0)


def injections() -> list[str]:
    """Returns 200 texts that try to become a flag, a second argument, a shell word or the end of something."""
    rng = random.Random(5)
    seeds = [
        *("--dangerously-skip-permissions", "-p", "--", "--model=evil", "--mcp-config={}", "--resume", "-c", "--bare"),
        *("--tools=Bash", "--allowedTools Bash", "--settings={}", "--add-dir /", "--permission-mode=bypassPermissions"),
        *("; rm -rf /", "$(touch x)", "`id`", "| sh", "&& env", "> out", "'", '"', "\\", "\n--verbose", "\t-d", "{}"),
        *(
            "@/etc/passwd",
            "/etc/passwd",
            "~",
            "$HOME",
            "%s",
            "*",
            "?",
            "!!",
            "#",
            "\x1b[2J",
            "\u202e--",
            "\uff0d\uff0dflag",
        ),
    ]
    letters = string.ascii_letters + string.punctuation + " \n\t"
    while len(seeds) < 200:
        tail = "".join(rng.choice(letters) for _ in range(rng.randrange(1, 40)))
        seeds.append(rng.choice(("--", "-", "", "=", " -")) + tail)
    return seeds[:200]


@pytest.mark.chaos  # all 200 texts in full, each fourth else
@pytest.mark.promise("S5")
async def test_no_text_of_a_task_becomes_an_argument(claude: Double, tmp_path: Path, workspace: Path) -> None:
    worker = make(claude, tmp_path)
    await carried_out(worker, work(workspace))
    plain = claude.calls[0]["argv"]
    known = {word.partition("=")[0] for word in plain}
    texts = injections() if thoroughness.FULL else injections()[::4]
    side_by_side = anyio.CapacityLimiter(4)

    async def carry_out(number: int, text: str) -> None:
        task = model.Task(id=f"t{number}", do=text, constraints=(text,), inputs={"text": text})
        asked_for = replace(
            work(workspace, attempt=2, last_error=text, agent_prompt=text, effort=text),
            task=task,
            tools=(f"x{text}", "Read"),
            messages=(model.Message(run_id="r", sender=text, recipient="t1", kind="information", text=text),),
        )
        async with side_by_side:
            await carried_out(worker, asked_for)

    async with anyio.create_task_group() as group:
        for number, text in enumerate(texts):
            group.start_soon(carry_out, number, text)
    calls = claude.calls[1:]
    assert len(calls) == len(texts)
    assert [call["argv"] for call in calls if {word.partition("=")[0] for word in call["argv"]} - known] == []
    assert {flag(call, "--tools") for call in calls} == {"Read"}
    changing = {"--session-id", "--system-prompt-file", "--tools", "--allowedTools"}
    fixed = [word for word in plain if word.partition("=")[0] not in changing]
    for call in calls:
        assert [word for word in call["argv"] if word.partition("=")[0] not in changing] == fixed


@pytest.mark.promise("S8")
async def test_the_child_learns_only_what_it_needs(claude: Double, tmp_path: Path, workspace: Path) -> None:
    given = {
        "ANTHROPIC_API_KEY": SECRET,
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:1",
        "CLAUDE_CONFIG_DIR": str(tmp_path / "config"),
        "AWS_SECRET_ACCESS_KEY": "no",
        "GITHUB_TOKEN": "no",
        "DATABASE_URL": "no",
        "CLAUDECODE": "1",
        "CLAUDE_CODE_MESSAGING_SOCKET": "no",
        "CLAUDE_CODE_MESSAGING_TOKEN": "no",
        "CLAUDE_CODE_SESSION_ID": "no",
        "DISPATCH_MCP_HOME": "no",
        "LD_PRELOAD": "",
        "HOME": str(tmp_path),
        "LC_ALL": "C.UTF-8",
    }
    asked_for = work(workspace, ceiling=model.TaskLimits(dollars=0.75))
    await carried_out(make(claude, tmp_path, env=given), asked_for)
    env = claude.calls[0]["env"]
    kept = {"ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "CLAUDE_CONFIG_DIR", "HOME", "LC_ALL", "PATH"}
    ours = {*child_environment.FIXED, *command_line.FIXED, child_environment.DEPTH, child_environment.BUDGET}
    ours |= {command_line.MAX_ANSWER}
    assert set(env) == kept | ours
    assert (env[child_environment.DEPTH], env[child_environment.BUDGET]) == ("1", "0.750000")


@pytest.mark.promise("S18")
async def test_a_worker_at_the_depth_limit_starts_nothing(claude: Double, tmp_path: Path, workspace: Path) -> None:
    outcome = await carried_out(make(claude, tmp_path, policy={"depth": 2, "depth_limit": 2}), work(workspace))
    assert (outcome.error_kind, outcome.retryable) == ("depth_limit", False)
    assert claude.calls == []


@pytest.mark.promise("S10")
async def test_no_secret_leaves_the_worker_with_its_outcome_or_beat(
    claude: Double, tmp_path: Path, workspace: Path
) -> None:
    claude.plays(
        {"rows": [result(result=SECRET, structured_output={**result()["structured_output"], "answer": SECRET})]}
    )
    ctx = FakeContext()
    guarded = outcome_redaction.RedactingWorker(make(claude, tmp_path), redaction.Redactor())
    outcome = await carried_out(guarded, work(workspace), ctx)
    assert SECRET not in outcome.model_dump_json() + json.dumps(ctx.beats)
    claude.plays(
        {"rows": [result(**API, result=f"bad key {SECRET}", api_error_status=401)], "exit": 1, "stderr": SECRET}
    )
    assert SECRET not in (await carried_out(guarded, work(workspace))).model_dump_json()


async def test_without_the_program_or_a_workspace_the_refusal_says_what_to_do(
    claude: Double, tmp_path: Path, workspace: Path
) -> None:
    gone = make(claude, tmp_path, settings={"program": "no-such-claude"})
    assert (await carried_out(gone, work(workspace))).error_kind == "no_program"
    homeless = await carried_out(make(claude, tmp_path), work(workspace / "nowhere"))
    assert (homeless.error_kind, claude.calls) == ("no_workspace", [])


def test_the_program_is_found_as_configured_on_the_path_and_never_in_the_workspace(
    claude: Double, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(claude.folder)
    assert claude_program.find("", path) == str(claude.program)
    assert claude_program.find(str(claude.program), "") == str(claude.program)
    assert claude_program.find("other", path) is None
    monkeypatch.chdir(claude.folder)
    assert claude_program.find("claude", f".{os.pathsep}") is None


# -- sessions and money


async def test_the_next_attempt_resumes_the_session_and_pays_only_the_difference(
    claude: Double, tmp_path: Path, workspace: Path
) -> None:
    ctx = FakeContext()
    turns = result(subtype="error_max_turns", is_error=True, terminal_reason="max_turns", total_cost_usd=0.061)
    claude.plays({"rows": [turns], "exit": 1}, {"rows": [result(total_cost_usd=0.184)]})
    worker = make(claude, tmp_path)
    first = await carried_out(worker, work(workspace), ctx)
    again = work(workspace, attempt=2, last_error=first.error, last_beat=ctx.beats[-1])
    second = await carried_out(worker, again)
    assert flag(claude.calls[0], "--session-id") == flag(claude.calls[1], "--resume")
    assert "Go on with the task" in claude.calls[1]["stdin"]
    assert "Do the work" not in claude.calls[1]["stdin"]
    assert (first.usage.cost_usd, second.usage.cost_usd) == (0.061, pytest.approx(0.123))


async def test_a_deadline_interrupts_first_counts_what_was_used_and_is_resumed(
    claude: Double, tmp_path: Path, workspace: Path
) -> None:
    heeds = "import signal; signal.signal(signal.SIGINT, lambda *_: (print(json.dumps({'type': 'x'})), sys.exit(0)))"
    ready = tmp_path / "ready"
    claude.plays({"rows": asked(1), "python": f"{heeds}; pathlib.Path({str(ready)!r}).touch()", "sleep_s": 900})
    ctx = FakeContext()
    worker = make(claude, tmp_path)
    first = model.Outcome(state=AttemptState.FAILED)
    for timeout_s in rogue_processes.DEADLINES_S:
        first = await carried_out(worker, work(workspace, timeout_s=timeout_s), ctx)
        assert first.state is AttemptState.TIMED_OUT
        if ready.exists():
            break
    claude.plays({"rows": [*asked(2), result(total_cost_usd=9.0)]})
    assert first.usage.cost_usd == pytest.approx(
        prices.dollars("sonnet", model.Usage(input_tokens=1000, output_tokens=1000))
    )
    second = await carried_out(worker, work(workspace, attempt=2, last_error=first.error, last_beat=ctx.beats[-1]))
    assert flag(claude.calls[-1], "--resume") == flag(claude.calls[-2], "--session-id")
    assert second.usage.cost_usd == first.usage.cost_usd  # by its own requests: nobody knows what the session had cost


async def test_a_request_that_never_ended_counts_with_its_prompt(
    claude: Double, tmp_path: Path, workspace: Path
) -> None:
    claude.plays({"rows": [*asked(1), *asked(2, tokens=500, ended=False)], "exit": 143})
    outcome = await carried_out(make(claude, tmp_path), work(workspace))
    assert (outcome.usage.input_tokens, outcome.usage.output_tokens) == (1_500, 1_001)


async def test_an_unknown_model_has_tokens_and_no_price(claude: Double, tmp_path: Path, workspace: Path) -> None:
    claude.plays({"rows": asked(1, model="somebody-elses-model"), "exit": 143})
    outcome = await carried_out(make(claude, tmp_path), work(workspace))
    assert (outcome.usage.input_tokens, outcome.usage.cost_usd) == (1_000, None)


@pytest.mark.parametrize(
    ("told", "first", "second"),
    [
        ("No conversation found with session ID: x", "--resume", "--session-id"),
        ("Error: Session ID x is already in use.", "--session-id", "--resume"),
    ],
)
async def test_a_session_that_is_gone_or_there_already_is_no_failure(
    claude: Double, tmp_path: Path, workspace: Path, *, told: str, first: str, second: str
) -> None:
    claude.plays({"rows": [], "exit": 1, "stderr": told}, {"rows": [result()]})
    beat = claude_worker.ResumableSession("0c9a2f4e-0000-4000-8000-000000000000", str(workspace)).to_detail()
    resumed = work(workspace, attempt=2, last_beat=beat) if first == "--resume" else work(workspace)
    outcome = await carried_out(make(claude, tmp_path), resumed)
    assert outcome.state is AttemptState.SUCCEEDED
    assert flag(claude.calls[0], first)
    assert flag(claude.calls[1], second)


@pytest.mark.parametrize(
    "kept", [{}, {"session": "--evil"}, {"session": 7}, "x", {"session": "a" * 36, "directory": 1}]
)
async def test_a_beat_that_names_no_session_begins_a_new_one(
    claude: Double, tmp_path: Path, workspace: Path, kept: Any
) -> None:
    await carried_out(make(claude, tmp_path), work(workspace, attempt=2, last_beat={"claude": kept}))
    assert flag(claude.calls[0], "--session-id")


async def test_another_place_or_a_prompt_that_was_too_long_means_a_new_session(
    claude: Double, tmp_path: Path, workspace: Path
) -> None:
    elsewhere = claude_worker.ResumableSession("0c9a2f4e-0000-4000-8000-000000000000", "/elsewhere").to_detail()
    ctx = FakeContext(attempt=2)
    claude.plays({"rows": [result(is_error=True, terminal_reason="prompt_too_long")], "exit": 1}, {"rows": [result()]})
    worker = make(claude, tmp_path)
    await carried_out(worker, work(workspace, attempt=2, last_beat=elsewhere), ctx)
    await carried_out(worker, work(workspace, attempt=3, last_beat=ctx.beats[-1]))
    ids = [flag(call, "--session-id") for call in claude.calls]
    assert len(set(ids)) == 2


# -- when the server dies


PLAY = """
import json, sys
from pathlib import Path
import anyio
from dispatch_mcp import prices
from dispatch_mcp import model
from dispatch_mcp.model import WorkerKind, work_order
from dispatch_mcp.process import child_environment
from dispatch_mcp.engine import task_kinds
from dispatch_mcp.workers.claude import claude_worker

class Ctx:
    run_id, task_id, attempt, last_beat, blobs = "run-1", "t1", 1, {}, None
    details = {}
    def beat(self, **details):
        if details:
            self.details.update(details)
            Path(sys.argv[1], "beat").write_text(json.dumps(self.details))

async def main(folder, path, timeout):
    policy = child_environment.ChildPolicy({"PATH": path})
    worker = claude_worker.ClaudeWorker(Path(folder) / "state", policy, task_kinds.brief, prices.dollars)
    task = model.Task(id="t1", goal="Do the work.")
    asked = work_order.WorkOrder("run-1", task, 1, WorkerKind.CLAUDE, workspace=str(Path(folder) / "workspace"),
                            timeout_s=float(timeout) or None)
    before = peak()
    outcome = await worker.carry_out(Ctx(), asked)
    Path(folder, "report").write_text(json.dumps({"grown": peak() - before, "state": outcome.state.value}))

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

prices.dollars("sonnet", model.Usage(output_tokens=1))
anyio.run(main, *sys.argv[1:])
"""
"""Plays a server that carries out one attempt."""


def server(claude: Double, folder: Path, timeout_s: float = 0) -> list[str]:
    path = f"{claude.folder}{os.pathsep}{os.environ['PATH']}"
    return [sys.executable, "-c", PLAY, str(folder), path, str(timeout_s)]


@pytest.fixture
def served(claude: Double, tmp_path: Path, workspace: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that plays the server, with a forking Claude Code below it that ignores TERM."""
    forking = f"sys.argv[1:] = [{str(tmp_path / 'pids')!r}]\nexec({rogue_processes.FORKING!r})"
    claude.plays({"rows": asked(1), "python": forking})
    with subprocess.Popen(server(claude, tmp_path), stdin=subprocess.DEVNULL) as process:
        yield process
        process.kill()


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


@needs_proc
@pytest.mark.promise("R10")
async def test_nothing_that_spends_money_survives_the_server_and_the_next_attempt_adds_its_bill(
    claude: Double, tmp_path: Path, workspace: Path, served: subprocess.Popen[bytes]
) -> None:
    with anyio.fail_after(120):
        pids = await rogue_processes.pids_in(tmp_path / "pids", rogue_processes.FORKED)
    served.kill()
    with anyio.fail_after(R10_S):
        await rogue_processes.all_dead(pids)
    beat = json.loads((tmp_path / "beat").read_text())
    claude.plays({"rows": [*asked(2), result(total_cost_usd=5.0)]})
    second = await carried_out(make(claude, tmp_path), work(workspace, attempt=2, last_beat=beat))
    each = prices.dollars("sonnet", model.Usage(input_tokens=1000, output_tokens=1000)) or 0.0
    assert second.usage.cost_usd == pytest.approx(2 * each)
    assert flag(claude.calls[-1], "--resume") == beat["session_id"]
    assert not (tmp_path / "state" / "runs" / "run-1").exists()


@needs_proc
@pytest.mark.promise("R10")
async def test_a_hung_forking_worker_is_dead_at_its_deadline(claude: Double, tmp_path: Path, workspace: Path) -> None:
    forking = f"sys.argv[1:] = [{str(tmp_path / 'pids')!r}]\nexec({rogue_processes.FORKING!r})"
    claude.plays({"rows": [], "python": forking})
    pids: list[int] = []
    for timeout_s in rogue_processes.DEADLINES_S:
        outcome = await carried_out(make(claude, tmp_path), work(workspace, timeout_s=timeout_s))
        assert outcome.state is AttemptState.TIMED_OUT
        if pids := rogue_processes.read_pids(tmp_path / "pids"):
            break
    assert pids
    assert rogue_processes.survivors(pids) == []


@needs_proc
@pytest.mark.promise("R10")
async def test_noise_is_capped_and_the_result_behind_it_still_counts(
    claude: Double, tmp_path: Path, workspace: Path
) -> None:
    shouting = f"for _ in range({NOISE // 1000}): print('x' * 999)\nprint(json.dumps({result()!r}))"
    claude.plays({"python": shouting})
    with anyio.fail_after(120):
        await anyio.run_process(server(claude, tmp_path), stdout=None, stderr=None)
    report = json.loads((tmp_path / "report").read_text())
    assert report["state"] == "succeeded"
    assert report["grown"] < 50_000_000


async def test_a_cancelled_attempt_leaves_its_bill_and_none_of_its_words(
    claude: Double, tmp_path: Path, workspace: Path
) -> None:
    claude.plays({"rows": [*asked(1), {"type": "user", "text": SECRET}], "sleep_s": 900, "stderr": SECRET})
    worker = make(claude, tmp_path)
    folder = attempt_scope.folder_of(tmp_path / "state", work(workspace))
    with anyio.fail_after(120):
        async with anyio.create_task_group() as group:
            group.start_soon(worker.carry_out, FakeContext(), work(workspace))
            await rogue_processes.until(lambda: SECRET.encode() in claude_code_output(folder))
            group.cancel_scope.cancel()
    assert {path.name for path in folder.iterdir()} == {"pid", "exit", "stdout"}
    assert SECRET.encode() not in claude_code_output(folder)
    claude.plays({"rows": [result()]})
    outcome = await carried_out(worker, work(workspace, attempt=2))
    assert outcome.usage.cost_usd == pytest.approx(0.012 + 0.25)


def claude_code_output(folder: Path) -> bytes:
    return (folder / "stdout").read_bytes() if (folder / "stdout").exists() else b""


async def left_behind(claude: Double, home: Path, workspace: Path, *rows: Any, exit_code: int = 0) -> Path:
    """Leaves what an attempt leaves whose server was killed when its process had just ended."""
    folder = attempt_scope.folder_of(home / "state", work(workspace))
    folder.mkdir(parents=True)
    (folder / "stdout").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "stderr").touch()
    (folder / "pid").write_text('{"pid": 999999999, "started": "0"}')
    ended = {"exit_code": exit_code, "signal": None, "cause": "gone", "truncated": False, "seconds": 1.0, "errno": 0}
    (folder / "exit").write_text(json.dumps(ended))
    return folder


async def test_a_result_that_was_finished_when_the_server_died_is_not_paid_for_again(
    claude: Double, tmp_path: Path, workspace: Path
) -> None:
    folder = await left_behind(claude, tmp_path, workspace, *asked(1), result(total_cost_usd=0.5))
    outcome = await carried_out(make(claude, tmp_path), work(workspace, attempt=2))
    assert outcome.state is AttemptState.SUCCEEDED
    assert outcome.usage.cost_usd == pytest.approx(0.012)
    assert claude.calls == []
    assert not folder.exists()


async def test_a_finished_result_of_another_place_is_only_paid_for(
    claude: Double, tmp_path: Path, workspace: Path
) -> None:
    await left_behind(claude, tmp_path, workspace, *asked(1), result(total_cost_usd=0.5))
    here = work(workspace, attempt=2, directory=str(workspace))
    outcome = await carried_out(make(claude, tmp_path), here)
    assert len(claude.calls) == 1
    assert outcome.usage.cost_usd == pytest.approx(0.012 + 0.25)


async def test_a_watchdog_that_died_too_leaves_at_least_what_was_said(
    claude: Double, tmp_path: Path, workspace: Path
) -> None:
    folder = await left_behind(claude, tmp_path, workspace, *asked(1))
    (folder / "exit").write_text("{")
    outcome = await carried_out(make(claude, tmp_path), work(workspace, attempt=2))
    assert outcome.usage.input_tokens == 1_000 + 100


def test_rows_that_are_cut_or_enormous_are_passed_over() -> None:
    long = b'{"type": "result", "result": "' + b"x" * stream_rows.MAX_LINE + b'"}'
    text = b"\n".join([long, b'{"type": "resu', b"{}", b"[1]", b"\xff\xfe", json.dumps(result()).encode()])
    said = stream_rows.read(text)
    assert said.total == 0.25
    assert stream_rows.read(b"").result == {}
