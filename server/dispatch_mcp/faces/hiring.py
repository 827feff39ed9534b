"""Which workers this process has, made from the settings and the environment."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from dispatch_mcp import config, errors, prices
from dispatch_mcp.context import listing, reading
from dispatch_mcp.core import hands, redaction
from dispatch_mcp.core.model import WorkerKind
from dispatch_mcp.engine import hosting, redacting
from dispatch_mcp.workers import anthropic_api, claude_code, claude_program, command, contract, scripted, toolbox

_KEYS = frozenset({"ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"})


def server_workers(settings: config.Settings, env: Mapping[str, str], redactor: redaction.Redactor) -> contract.Workers:
    """Returns the workers that this process can carry out itself; `env` is what children may get parts of."""
    commands = command.CommandWorker(
        settings.commands(),
        settings.home,
        settings.child_policy(env),
        grace_s=settings.grace_s,
        output_cap=settings.output_cap_bytes,
        inline_chars=settings.inline_output_chars,
    )
    workers: dict[WorkerKind, contract.Worker] = {
        WorkerKind.COMMAND: redacting.Worker(commands, redactor),
        WorkerKind.SCRIPTED: scripted.ScriptedWorker(),
    }
    there = hands_here(settings, env)
    if there.key:
        workers[WorkerKind.API] = redacting.Worker(api_worker(settings, env), redactor)
    if there.claude:
        workers[WorkerKind.CLAUDE] = redacting.Worker(claude_worker(settings, env), redactor)
    return workers


def hands_here(settings: config.Settings, env: Mapping[str, str], *, chat: bool = True) -> hands.Hands:
    """Returns who can work here; `chat` is whether an assistant calls."""
    preferred = None if settings.default_worker == "auto" else WorkerKind(settings.default_worker)
    return hands.Hands(
        chat=chat,
        subagents="CLAUDECODE" in env,
        key=bool(anthropic_api.Login.of(env)),
        claude=claude_program.find(settings.claude_program, env.get("PATH", "")) or "",
        preferred=preferred,
    )


async def claude_version(settings: config.Settings) -> str:
    """Returns what the installed Claude Code calls its version; an empty string when it does not answer."""
    program = hands_here(settings, os.environ).claude
    env = settings.child_policy(os.environ).environment()
    with tempfile.TemporaryDirectory() as folder:
        return await claude_program.version(program, env, Path(folder) / "version") if program else ""


def api_worker(settings: config.Settings, env: Mapping[str, str]) -> contract.Worker:
    """Returns the worker that talks to the API with the key of the environment."""
    chosen = anthropic_api.Settings(max_turns=settings.worker_turns, in_flight=settings.api_in_flight)
    sight = toolbox.Sight(_paths, _text)
    return anthropic_api.AnthropicWorker(
        anthropic_api.Login.of(env), hosting.brief, prices.dollars, sight, settings=chosen
    )


def claude_worker(settings: config.Settings, env: Mapping[str, str]) -> contract.Worker:
    """Returns the worker that runs Claude Code, with the environment's key or the user's login."""
    kept = {name: value for name, value in env.items() if settings.claude_uses_key or name not in _KEYS}
    chosen = claude_code.Settings(settings.claude_program, settings.worker_turns, settings.worker_commands)
    return claude_code.ClaudeWorker(
        settings.home, settings.child_policy(kept), hosting.brief, prices.dollars, settings=chosen
    )


def _paths(root: Path) -> list[str]:
    return sorted(listing.scan(root))


def _text(root: Path, path: str) -> str:
    with reading.Root(root) as opened:
        data = opened.read(path).data
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise errors.InputError(f"{path!r} is no UTF-8 text.") from None
