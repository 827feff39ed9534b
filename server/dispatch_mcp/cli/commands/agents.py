"""`dispatch-mcp agents`: what routing knows, what is odd about its files, and a person's trust in one of them."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio

from dispatch_mcp import configuration, errors, model
from dispatch_mcp.agents import bundled_files, catalog, loader
from dispatch_mcp.cli import catalog_arguments, console, person_acts
from dispatch_mcp.planning import typed_inputs
from dispatch_mcp.process import private_files
from dispatch_mcp.routing import learning
from dispatch_mcp.service import route_memory
from dispatch_mcp.text import escape, json_types

SHOWN = 90
"""Characters of a description in the list."""
MOST_WORDS = 30
"""Words that misled, the worst first, in the table."""


@dataclass(frozen=True, slots=True)
class FileFinding:
    """Something odd about an agent's file."""

    code: str
    agent: str
    path: str
    message: str

    def wire(self) -> dict[str, model.Json]:
        """Returns the finding as JSON."""
        return {"code": self.code, "agent": self.agent, "path": self.path, "message": self.message}


def main(options: argparse.Namespace, setup: configuration.LoadedSettings) -> int:
    """Lists, shows, checks or trusts agents, or what they taught; returns 1 when the check finds something."""
    return _ACTIONS[options.what](options, setup.settings)


def _list(options: argparse.Namespace, settings: configuration.Settings) -> int:
    catalogue = catalog_arguments.choose(settings, options.roster or options.name)
    if options.json:
        console.emit([_brief(catalogue, agent) for agent in catalogue.agents])
        return console.OK
    rows = [
        (agent.roster, catalogue.key(agent), _origin(agent), escape.one_line(agent.description, limit=SHOWN))
        for agent in sorted(catalogue.agents, key=lambda agent: (agent.roster, agent.name))
    ]
    if console.out.is_terminal:
        _show_by_roster(rows)
    else:
        console.show(("roster", "agent", "from", "for"), rows)
    waiting = sorted({agent.roster for agent in catalogue.agents} - {agent.roster for agent in catalogue.routable})
    if waiting:
        console.note(f"Only by name or --roster: {', '.join(waiting)}.")
    return console.OK


def _show_by_roster(rows: Sequence[tuple[str, str, str, str]]) -> None:
    """Prints agents below the name of their roster: beside each other the columns leave no room for sentences."""
    for roster, members in itertools.groupby(rows, key=lambda row: row[0]):
        console.say(roster, style="bold")
        for _, name, origin, purpose in members:
            console.say(f"  {name}{'' if origin == 'bundled' else f' ({origin})'}: {purpose}")


def _brief(catalogue: catalog.Catalog, agent: catalog.Agent) -> dict[str, model.Json]:
    return {
        "name": catalogue.key(agent),
        "roster": agent.roster,
        "layer": agent.layer,
        "trusted": agent.trusted,
        "routed": agent in catalogue.routable,
        "description": agent.description,
        "knowledge": agent.knowledge,
        "path": agent.path,
    }


def _origin(agent: catalog.Agent) -> str:
    return agent.layer if agent.trusted else f"{agent.layer}, not trusted"


def _show(options: argparse.Namespace, settings: configuration.Settings) -> int:
    if not options.name:
        raise errors.InputError("`agents show` needs the name of an agent.", hint="`dispatch-mcp agents` lists them.")
    agent = catalog_arguments.choose(settings, options.roster).agent(options.name)
    if options.json:
        console.emit({**agent.public(), "path": agent.path})
        return console.OK
    facts = {
        "agent": agent.qualified,
        "from": _origin(agent),
        "file": agent.path,
        "sha256": agent.sha256,
        "for": agent.description,
        "knowledge": agent.knowledge,
        "keywords": ", ".join(agent.keywords),
        "tools": "all of its session" if agent.tools is None and agent.trusted else ", ".join(agent.tools or ()),
        "model": agent.model,
        "notes": "; ".join(agent.notes),
    }
    for label, value in facts.items():
        if value:
            console.say(f"{label}: {value}")
    for line in typed_inputs.lines(agent.inputs):
        console.say(f"input: {line}")
    console.say(f"\n{agent.body}")
    return console.OK


def _lint(options: argparse.Namespace, settings: configuration.Settings) -> int:
    roster = options.roster or options.name
    catalogue = catalog_arguments.choose(settings, roster)
    report = list(findings(catalogue, _documents(roster)))
    if options.json:
        console.emit([finding.wire() for finding in report])
    else:
        for finding in report:
            console.say(f"{finding.path}: {finding.code}: {finding.message}", style="yellow")
        console.say(f"{len(catalogue.agents)} agents, {len(report)} finding{'' if len(report) == 1 else 's'}")
    return console.FAILED if report else console.OK


def _documents(roster: str | None) -> tuple[Path, ...]:
    """Returns the folders in which knowledge documents may lie: the product's, and those around a folder of agents."""
    product = bundled_files.shipped_folder("knowledgebase").parent
    if not roster or not Path(roster).is_dir():
        return (product,)
    folder = Path(roster).resolve()
    return (product, folder, *list(folder.parents)[:2])


def findings(catalogue: catalog.Catalog, documents: tuple[Path, ...]) -> Iterator[FileFinding]:
    """Yields what is odd: files read leniently, missing descriptions and knowledge documents, replaced agents."""
    for agent in catalogue.agents:
        for note in agent.notes:
            code = "no_description" if note.startswith("no description") else "read_leniently"
            yield FileFinding(code, agent.qualified, agent.path, note)
        if agent.knowledge and not any(_there(folder, agent.knowledge) for folder in documents):
            message = f"the knowledge document {agent.knowledge!r} is not there"
            yield FileFinding("no_knowledge", agent.qualified, agent.path, message)
    for stranger in catalogue.strangers:
        yield FileFinding("no_agent", "", stranger.path, f"{stranger.why}; the host does not know it as an agent")
    by_name = {agent.name: agent for agent in catalogue.agents}
    for agent in catalogue.shadowed:
        instead = by_name.get(agent.name)
        message = f"is replaced by {instead.path if instead else 'another file of its roster'}"
        yield FileFinding("duplicate", agent.qualified, agent.path, message)


def _there(folder: Path, name: str) -> bool:
    try:
        return (folder / name.lstrip("/")).is_file()
    except (OSError, ValueError):
        return False


def _trust(options: argparse.Namespace, settings: configuration.Settings) -> int:
    """Approves the content of one file; a change of the file takes the approval away."""
    person_acts.refuse(person_acts.PersonAct.TRUST, settings.home)
    agent = _untrusted(settings, options.name)
    if options.sha256:
        if options.sha256 != agent.sha256:
            raise errors.InputError(
                f"{agent.path!r} has the digest {agent.sha256}, not {options.sha256[:80]!r}.",
                hint="Read the file again before you approve it.",
            )
    elif not _approved_by_hand(agent):
        raise errors.NotAllowed(f"{agent.qualified} was not approved.", hint="Nothing has changed.")
    _remember(settings.trusted_agents, agent.sha256)
    answer = {"agent": agent.qualified, "path": agent.path, "sha256": agent.sha256, "trusted": True}
    if options.json:
        console.emit(answer)
    else:
        console.say(f"{agent.qualified} is trusted as long as {agent.path} stays as it is.", style="green")
    return console.OK


def _untrusted(settings: configuration.Settings, name: str | None) -> catalog.Agent:
    catalogue = loader.Source.from_settings(settings).catalog()
    waiting = [agent for agent in (*catalogue.agents, *catalogue.shadowed) if not agent.trusted]
    matches = [agent for agent in waiting if name in (agent.name, agent.qualified, agent.path)]
    if len(matches) == 1:
        return matches[0]
    names = ", ".join(agent.qualified for agent in waiting[:20])
    raise errors.UnknownHandle(
        f"{name!r} names {len(matches)} agents that are not trusted." if name else "`agents trust` needs a name.",
        hint=f"Not trusted: {names}." if names else "Every agent is trusted.",
    )


def _approved_by_hand(agent: catalog.Agent) -> bool:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise errors.NotAllowed(
            "Trust is a person's decision, and there is no terminal to ask at.",
            hint=f"Read {agent.path} and approve it with --sha256 {agent.sha256}.",
        )
    console.note(f"{agent.path} asks for: {json.dumps(agent.asked, ensure_ascii=False) or 'nothing'}")
    console.note("Approve this file as it is? [y/N] ")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _remember(path: Path, digest: str) -> None:
    """Adds a digest to the file of approved ones, in one step and for its owner's eyes."""
    digests = sorted({*_remembered(path), digest})
    private_files.write(path, json.dumps({"sha256": digests}, indent=2))


def _remembered(path: Path) -> list[str]:
    """Returns the digests in the file. Raises ConfigError for a file that this program did not write."""
    if not path.exists():
        return []
    try:
        document: model.Json = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as wrong:
        raise errors.ConfigError(f"{str(path)!r} is not JSON: {wrong}.", hint="Correct or move it first.") from wrong
    digests = document.get("sha256") if json_types.is_object(document) else document
    return [digest for digest in digests if isinstance(digest, str)] if json_types.is_list(digests) else []


def _misroutes(options: argparse.Namespace, settings: configuration.Settings) -> int:
    """Shows the words that led requests to agents which were the wrong ones."""
    lessons = anyio.run(route_memory.lessons, settings.home)
    words = learning.misleading([lesson.past for lesson in lessons])
    if options.name:
        words = [word for word in words if word.agent == options.name]
    if options.json:
        console.emit([{"agent": w.agent, "word": w.word, "wrong": w.wrong, "right": w.right} for w in words])
        return console.OK
    rows = [(word.agent, word.word, str(word.wrong), str(word.right)) for word in words[:MOST_WORDS]]
    if rows:
        console.show(("agent", "word", "went badly", "went well"), rows)
    else:
        console.say(f"No word misleads in {len(lessons)} known outcomes.")
    return console.OK


def _forget(options: argparse.Namespace, settings: configuration.Settings) -> int:
    """Deletes everything that outcomes taught."""
    count = anyio.run(route_memory.forget, settings.home)
    if options.json:
        console.emit({"forgotten": count})
    else:
        console.say(f"Forgot {count} outcome{'' if count == 1 else 's'} of past routes.")
    return console.OK


_ACTIONS: dict[str, Callable[[argparse.Namespace, configuration.Settings], int]] = {
    "list": _list,
    "show": _show,
    "lint": _lint,
    "trust": _trust,
    "misroutes": _misroutes,
    "forget": _forget,
}
