"""Which workers this process has, made from the settings and the environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dispatch_mcp import configuration, errors, prices, workers_present
from dispatch_mcp.context import file_listing, safe_read
from dispatch_mcp.engine import outcome_redaction, task_kinds
from dispatch_mcp.model import WorkerKind, ports
from dispatch_mcp.planning import agent_choice
from dispatch_mcp.text import redaction
from dispatch_mcp.workers import command, file_tools, scripted
from dispatch_mcp.workers.anthropic import agent_chooser as agent_choosing
from dispatch_mcp.workers.anthropic import api_login
from dispatch_mcp.workers.anthropic import api_worker as anthropic_api
from dispatch_mcp.workers.claude import claude_worker as claude_code

_KEYS = frozenset({"ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"})


def server_workers(
    settings: configuration.Settings, env: Mapping[str, str], redactor: redaction.Redactor
) -> ports.Workers:
    """Returns the workers that this process can carry out itself; `env` is what children may get parts of."""
    commands = command.CommandWorker(
        settings.commands(),
        settings.home,
        settings.child_policy(env),
        grace_s=settings.grace_s,
        output_cap=settings.output_cap_bytes,
        inline_chars=settings.inline_output_chars,
        how_to_allow=settings.how_to_allow,
        trusted_folders=settings.trusted_repositories,
    )
    workers: dict[WorkerKind, ports.Worker] = {
        WorkerKind.COMMAND: outcome_redaction.RedactingWorker(commands, redactor),
        WorkerKind.SCRIPTED: scripted.ScriptedWorker(),
    }
    there = workers_present.workers_here(settings, env)
    if there.key:
        workers[WorkerKind.API] = outcome_redaction.RedactingWorker(api_worker(settings, env), redactor)
    if there.claude:
        workers[WorkerKind.CLAUDE] = outcome_redaction.RedactingWorker(claude_worker(settings, env), redactor)
    return workers


def api_worker(settings: configuration.Settings, env: Mapping[str, str]) -> ports.Worker:
    """Returns the worker that talks to the API with the key of the environment."""
    limits = anthropic_api.ApiSettings(max_turns=settings.worker_turns, in_flight=settings.api_in_flight)
    return anthropic_api.AnthropicWorker(
        api_login.Login.from_env(env), task_kinds.brief, prices.dollars, file_access(), settings=limits
    )


def agent_chooser(
    settings: configuration.Settings, env: Mapping[str, str], redactor: redaction.Redactor
) -> agent_choice.Chooser | None:
    """Returns what has a small model choose agents; None where the settings do not say so, or without a key."""
    login = api_login.Login.from_env(env)
    if settings.route_with != "model" or not login:
        return None
    worker = anthropic_api.AnthropicWorker(login, task_kinds.brief, prices.dollars, file_access())
    return agent_choosing.AgentChooser(worker, prices.dollars, redactor.redact).choose


def claude_worker(settings: configuration.Settings, env: Mapping[str, str]) -> ports.Worker:
    """Returns the worker that runs Claude Code, with the environment's key or the user's login."""
    variables = {name: value for name, value in env.items() if settings.claude_uses_key or name not in _KEYS}
    choices = claude_code.ClaudeSettings(settings.claude_program, settings.worker_turns, settings.worker_commands)
    return claude_code.ClaudeWorker(
        settings.home, settings.child_policy(variables), task_kinds.brief, prices.dollars, settings=choices
    )


def file_access() -> file_tools.FileAccess:
    """Returns how a model looks at the files of a workspace."""
    return file_tools.FileAccess(_paths, _text)


def _paths(root: Path) -> list[str]:
    return sorted(file_listing.scan(root))


def _text(root: Path, path: str) -> str:
    with safe_read.Root(root) as folder:
        data = folder.read(path).data
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise errors.InputError(f"{path!r} is no UTF-8 text.") from None
