"""What each setting means, what it can be, and whether what it names is there."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from dispatch_mcp import configuration, model, workers_present
from dispatch_mcp.agents import loader
from dispatch_mcp.alerts import channels
from dispatch_mcp.model import bounds
from dispatch_mcp.process import program_path
from dispatch_mcp.review import reviewer_selection

MEANINGS: Mapping[str, tuple[str, str]] = {
    "home": ("The folder of the state: runs, plans, settings. Only as a flag or in the environment.", "/data/dispatch"),
    "workspace": ("The project that the work is about.", "/users/ann/shop"),
    "allow_commands": (
        "Commands that tasks may start, word by word; `*` stands for any word.",
        '[["pytest", "-q", "*"]]',
    ),
    "allow_read_only_git": ("Whether tasks may start git commands that only read.", "false"),
    "pass_env": ("Variables that workers and commands receive besides the plainest.", '["JAVA_HOME"]'),
    "agent_dirs": ("Folders with agent files of your own, before the shipped ones.", '["~/agents"]'),
    "trusted_repositories": ("Repositories whose own programs (hooks, filters) git may start.", '["~/shop"]'),
    "trusted_agents": ("The file that remembers which agent files of projects you trust.", "~/trusted.json"),
    "default_worker": ("Who does tasks that name nobody.", "claude"),
    "max_parallel": ("Attempts at work at the same time in one run.", "8"),
    "lease_minutes": ("Minutes after which an assignment that nobody reports is handed out again.", "60"),
    "task_timeout_s": ("Seconds that a task of the server's own workers may take, unless it says otherwise.", "900"),
    "grace_s": ("Seconds between asking a program to end and ending it.", "5"),
    "output_cap_bytes": ("Bytes of a command's output that are kept.", "4194304"),
    "inline_output_chars": (
        "Characters of a result that stand in the answer itself; more is read by its address.",
        "4096",
    ),
    "direct_from": ("Confidence from which a routed task is simply done.", "0.97"),
    "review_from": ("Confidence from which it is done, and reviewed while others go on.", "0.8"),
    "supervise_from": ("Confidence from which it is done under supervision; below it a person chooses.", "0.5"),
    "route_with": ("Whether words alone choose an agent, or a small model where no assistant does.", "model"),
    "reviews": ("When the council looks: once at the end, after each task, or never.", "each"),
    "review_policy": ("Which work is reviewed and what a person decides first.", "strict"),
    "unproven_runs": ("How a run ends whose work nobody proved.", "partial"),
    "council_inconclusive_blocks": ("Whether a council that decides nothing blocks.", "false"),
    "council_quorum": ("Whether all reviewers must answer, or one is enough.", "any"),
    "council_devils_advocate": ("Whether a unanimous PASS is challenged once.", "false"),
    "council_rounds": ("Rounds of a review before it is left to you.", "2"),
    "council_reviewers": ("Reviewers that sit in every round.", '["security-sentinel"]'),
    "depth": ("How deep this server stands below others; handed down, not set.", "1"),
    "depth_limit": ("How deep servers below workers may go.", "1"),
    "max_dollars": ("The most that any run may cost.", "5"),
    "max_tokens": ("The most tokens that any run may use.", "2000000"),
    "max_minutes": ("The most minutes that any run may take.", "90"),
    "max_attempts": ("The most attempts of any run.", "50"),
    "max_tasks": ("The most tasks of any run.", "40"),
    "max_fan_out": ("The most tasks that may wait for one.", "10"),
    "claude_program": ("Claude Code, if it is not the `claude` on the path.", "/opt/claude/bin/claude"),
    "claude_uses_key": ("Whether headless Claude Code is given the key of the environment, or your login.", "false"),
    "worker_commands": ("Whether headless Claude Code may run the commands that you allow.", "true"),
    "worker_turns": ("Turns of a model in one attempt.", "30"),
    "api_in_flight": ("Requests to the API at the same time.", "4"),
    "handle_wait_s": (
        "Seconds that an answer waits for what its tasks should read; what takes longer is read by reference.",
        "0.5",
    ),
    "context_wait_s": (
        "Seconds that a brief which is read waits for a large project to be searched; then it goes with what there is.",
        "3",
    ),
    "worker_context_wait_s": (
        "The same for workers of the server, which nobody waits for.",
        "120",
    ),
    "context_tokens": ("Tokens of your project that each task is given to read.", "8000"),
    "learn": ("Whether routing learns from what became of its choices.", "false"),
    "hooks": ("What the hooks of the Claude Code plugin do.", "report"),
    "notify": ("How you are told of your runs: by your desktop, a program of yours, or a webhook.", "desktop"),
    "notify_command": (
        "The program for `command`, word by word; it reads JSON, and only this setting allows it.",
        '["/users/ann/bin/tell"]',
    ),
    "notify_url": ("The URL for `webhook`: https, or http on this machine.", "https://example.com/runs"),
    "notify_on": ("Of what you are told.", '["failed", "waiting"]'),
    "warn_at": ("The share of a ceiling from which a run counts as near it.", "0.5"),
    "engine": ("What drives runs: this server, or a Temporal server and workers on many hosts.", "temporal"),
    "temporal_queue": ("With what the names of the queues begin from which hosts take work.", "gpu-agents"),
    "temporal_per_second": ("The most attempts that begin in a second on a queue, whichever hosts take them.", "20"),
    "temporal_read_only": ("Whether this host takes only work that changes no files.", "true"),
    "temporal_blobs": (
        "A bucket through which hosts get work that share no disk with the process that drives runs; empty: they do.",
        "s3://our-agents/dispatch",
    ),
    "temporal_slots": ("Attempts of each kind that a process which drives runs through Temporal takes itself.", "0"),
    "log_level": ("What is written to the log on stderr.", "info"),
}
"""What each setting means, and an example of it."""


@dataclass(frozen=True, slots=True)
class SettingTrouble:
    """A setting that cannot be used as it is, and what to do."""

    setting: str
    message: str
    fix: str


@cache
def _schema() -> Mapping[str, model.Json]:
    return configuration.Settings.model_json_schema()


def possible(name: str) -> str:
    """Returns what a setting can be: its choices, its range, or its kind."""
    schema = _schema()
    field: Mapping[str, model.Json] = schema["properties"][name]
    kinds: Sequence[Mapping[str, model.Json]] = field.get("anyOf", ())
    field = next((kind for kind in kinds if kind.get("type") != "null"), field)
    if "$ref" in field:
        field = schema["$defs"][str(field["$ref"]).rpartition("/")[2]]
    if "enum" in field:
        return ", ".join(map(str, field["enum"]))
    return bounds.span(configuration.Settings.model_fields[name]) or (
        "a path" if field.get("format") == "path" else _KINDS.get(str(field.get("type")), "")
    )


_KINDS = {"boolean": "true, false", "array": "a list", "string": "a text", "number": "a number", "integer": "a number"}


def default(name: str) -> str:
    """Returns the default of a setting, empty where it depends on the machine or nothing is set."""
    field = configuration.Settings.model_fields[name]
    if field.is_required() or field.default is None:
        return ""
    value: model.Json = field.default
    return json.dumps(value)


def troubles(settings: configuration.Settings) -> Iterator[SettingTrouble]:
    """Yields what settings name that is not there: programs, folders, reviewers, commands, workers."""
    yield from _programs(settings)
    yield from _ways_of_telling(settings)
    for name, folders in (
        ("agent_dirs", settings.agent_dirs),
        ("trusted_repositories", settings.trusted_repositories),
    ):
        for folder in folders:
            if not folder.is_dir():
                yield SettingTrouble(name, f"{str(folder)!r} is no folder", "Correct the path, or remove it.")
    there = workers_present.workers_here(settings, os.environ)
    if there.preferred is not None and (reason := there.missing(there.preferred)):
        yield SettingTrouble(
            "default_worker", f"{there.preferred.value!r} cannot work here: {reason}", "Set it to auto."
        )
    if settings.council_reviewers:
        pool = reviewer_selection.pool(loader.Source.from_settings(settings).catalog())
        names = {agent.name for agent in (*pool.always, *pool.choice, *pool.own)}
        for name in settings.council_reviewers:
            if name not in names:
                yield SettingTrouble(
                    "council_reviewers", f"{name!r} is no reviewer", f"There are: {', '.join(sorted(names))}."
                )


def _ways_of_telling(settings: configuration.Settings) -> Iterator[SettingTrouble]:
    path = os.environ.get("PATH", "")
    if settings.notify == "desktop" and not channels.desktop_program(path):
        yield SettingTrouble(
            "notify", "nothing here shows notifications", "Install notify-send, or take command or webhook."
        )
    if settings.notify == "command" and program_path.find(settings.notify_command[0], path) is None:
        yield SettingTrouble(
            "notify_command", f"{settings.notify_command[0]!r} is no program", "Name an absolute path."
        )


def _programs(settings: configuration.Settings) -> Iterator[SettingTrouble]:
    path = os.environ.get("PATH", "")
    program = settings.claude_program
    if program and program_path.find(program, path) is None:
        yield SettingTrouble("claude_program", f"{program!r} is no program", "Name an absolute path, or remove it.")
    for command in settings.allow_commands:
        if command and "*" not in command[0] and program_path.find(command[0], path) is None:
            words = command[0].split()
            fix = f"Write each word apart: {json.dumps(words)}." if words[1:] else "Install it, or remove the entry."
            yield SettingTrouble("allow_commands", f"{command[0]!r} is not on the path", fix)
