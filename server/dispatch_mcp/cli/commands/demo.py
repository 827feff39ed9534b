"""`dispatch-mcp demo`."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import anyio

from dispatch_mcp import configuration, errors, model
from dispatch_mcp.agents import bundled_files
from dispatch_mcp.cli import console
from dispatch_mcp.cli.demo import show

REGISTER = """\
Register it:
  Claude Code     claude mcp add dispatch -- uvx dispatch-mcp
                  (from this checkout: claude mcp add dispatch -- {program} serve)
  Claude Desktop  put this into claude_desktop_config.json, or see claude_config_example.json:
                  {{"mcpServers": {{"dispatch": {{"command": "{program}", "args": ["serve"]}}}}}}
Then ask your assistant: "Use dispatch to plan and run this with several agents: ..." """


def main(options: argparse.Namespace, _loaded: configuration.LoadedSettings) -> int:
    """Plays the demo; returns 0 when everything held."""
    repo = _repository(options.repo)
    with console.beside_json(options.json):
        facts = _perform(repo, quick=options.quick)
    if options.json:
        console.emit(facts)
    return console.OK


def _perform(repo: Path, *, quick: bool) -> dict[str, model.Json]:
    """Plays for whoever watches, and returns what held."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="dispatch-mcp-demo-") as home:
        console.say(f"dispatch-mcp demo on {repo}: no key, no network, nothing written there.", style="bold")
        play = show.Show(Path(home), repo, 0.0 if quick or not console.out.is_terminal else 0.8)
        _play(play)
    seconds = time.monotonic() - began
    console.say(f"\n{seconds:.1f} s. Nothing was lost and nothing finished was done twice.", style="bold green")
    console.say(REGISTER.format(program=_program()))
    return {**play.facts, "seconds": round(seconds, 2)}


def _play(play: show.Show) -> None:
    """Plays. Raises DispatchError when it takes too long."""
    try:
        anyio.run(play.perform)
    except* TimeoutError:
        raise errors.DispatchError(
            f"The demo did not end within {show.LIMIT_S:g} s.", hint="Try again with --quick."
        ) from None


def _program() -> str:
    checkout = bundled_files.shipped_folder("agents").parent
    script = checkout / ".venv" / "bin" / "dispatch-mcp"
    return str(script) if script.exists() else "dispatch-mcp"


def _repository(repo: str | None) -> Path:
    """Returns the repository to look at: the one asked for, this checkout, or the current directory."""
    choices = [Path(repo)] if repo else [bundled_files.shipped_folder("agents").parent, Path.cwd()]
    for choice in choices:
        if (choice / ".git").exists():
            return choice.resolve()
    raise errors.InputError(f"{str(choices[-1])!r} is not a git repository.", hint="Name one with --repo.")
