"""Agents as values: reading an agent file, and merging layers into one catalogue with provenance.

Layers, weakest first: bundled < user < plugin < project < configured. A file of a project or plugin is used for
routing but holds no rights until its SHA-256 is approved: `tools`, `model` and the like stay empty, what it asks for
is in `asked`, and it never replaces a trusted agent of the same name (promise S7).
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import PurePath
from typing import Literal

from pydantic import Field

from dispatch_mcp import errors, model
from dispatch_mcp.agents import agent_groups, frontmatter, rosters
from dispatch_mcp.model import problems
from dispatch_mcp.text import lexicon
from dispatch_mcp.text.reading import excerpts

Layer = Literal["bundled", "user", "plugin", "project", "configured"]

LAYERS: tuple[Layer, ...] = ("bundled", "user", "plugin", "project", "configured")
UNTRUSTED: frozenset[Layer] = frozenset({"plugin", "project"})
HOST_ROSTER = "host"
"""The agent types that the host brings along; one of them does what no specialist claims."""

_NAME = re.compile(r"[^\w.-]+")
_PRIVILEGES = ("tools", "disallowed_tools", "model", "permission_mode", "mcp_servers", "hooks", "isolation", "effort")
_EXAMPLE = re.compile(r"<example>(?:(?!<example>).)*?</example>", re.DOTALL)
_SAID = re.compile(r"^[ \t]*+user:\s*+[\"'\u201c\u2018](.+?)[\"'\u201d\u2019][ \t\r]*+$", re.MULTILINE)
_EXAMPLES_LEFT = re.compile(r"(?<!\s)\s*+(?:Specifically[^.\n:]{0,40}|Examples?\s*+):\s*+$")
_PRIORITIES = {"low": -10, "medium": 0, "normal": 0, "high": 20, "highest": 40, "critical": 40}
_KNOWN = frozenset(
    (
        *("name", "description", "tools", "model", "keywords", "examples", "triggers", "knowledge", "priority"),
        *("domain", "capabilities", "receives", "excludes", "fallback", "inputs", "aliases", "color"),
    )
)

Header = dict[str, model.Json]


class Agent(model.Value):
    """One agent's definition. `body` is its role text; `asked` the rights that its file asks for.

    `folder` is where its file lies in the roster, empty for its root.

    `tools` is None when the agent may use all that its session has. Rights are what is granted: all empty when the
    agent is not trusted. `examples` are requests that belong to it, from `examples`, `triggers` and the
    `<example>` blocks of its description.
    """

    name: str
    description: str = ""
    body: str = ""
    roster: str = ""
    folder: str = ""
    layer: Layer = "configured"
    path: str = ""
    sha256: str = ""
    trusted: bool = True
    tools: tuple[str, ...] | None = None
    disallowed_tools: tuple[str, ...] = ()
    model: str = ""
    effort: str = ""
    permission_mode: str = ""
    isolation: str = ""
    asked: Header = Field(default_factory=dict)
    keywords: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    knowledge: str = ""
    priority: int = 0
    domain: str = ""
    capabilities: tuple[str, ...] = ()
    receives: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    fallback: bool = False
    inputs: Header = Field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    extra: Header = Field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def qualified(self) -> str:
        """Returns `roster/name`."""
        return f"{self.roster}/{self.name}" if self.roster else self.name

    def public(self) -> dict[str, model.Json]:
        """Returns the definition without empty fields and without the path on this machine."""
        fields = self.model_dump(mode="json", exclude_defaults=True, exclude={"path"})
        return {**fields, "trusted": self.trusted}


def read_agent(
    text: str,
    *,
    path: str,
    layer: Layer,
    roster: str = "",
    folder: str = "",
    approved: Collection[str] = (),
    sha256: str = "",
) -> Agent:
    """Returns the agent that a file's text defines; whatever is odd about the file is in `notes`.

    Any text gives an agent: broken front matter is read line by line, a missing name comes from the file's name, a
    missing description from the first paragraph. `sha256` is the digest of the file's bytes when the caller has it.
    """
    digest = sha256 or hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    header, body, notes = frontmatter.read_front_matter(excerpts.AGENT_FILE.of(text))
    if len(text) > excerpts.AGENT_FILE.chars:
        notes.append(f"only the first {excerpts.AGENT_FILE.chars} characters are read")
    trusted = layer not in UNTRUSTED or digest in approved
    prose = frontmatter.text(header.get("description"))
    requests = tuple(match.strip() for match in _SAID.findall(prose))
    description = _EXAMPLES_LEFT.sub("", _EXAMPLE.sub("", prose).strip()).strip()
    if not description:
        description = _first_paragraph(body)
        notes.append("no description; its first paragraph stands in")
    return Agent(
        name=_name(frontmatter.text(header.get("name")), path, notes),
        description=description,
        body=body,
        roster=roster,
        folder=folder,
        layer=layer,
        path=path,
        sha256=digest,
        trusted=trusted,
        asked={name: header[name] for name in _PRIVILEGES if name in header},
        **(_rights(header) if trusted else {}),
        **_routing_keys(header, requests, notes),
        extra={name: value for name, value in header.items() if _is_extra(name, value)},
        notes=tuple(notes),
    )


def _is_extra(name: str, value: model.Json) -> bool:
    """Returns whether a key is kept as it is: one that is not known, and `triggers` with weights (reviewers)."""
    has_weights = name == "triggers" and isinstance(value, dict)
    return has_weights or (name not in _KNOWN and name not in _PRIVILEGES)


def _name(value: str, path: str, notes: list[str]) -> str:
    """Returns the name letter for letter, as the host knows it; what cannot be printed is not part of any."""
    name = "".join(letter if letter.isprintable() else " " for letter in value).strip()[:100]
    if name:
        return name
    notes.append("no name; the file's name stands in")
    return _plain(PurePath(path).stem) or "agent"


def _plain(name: str) -> str:
    """Returns a name without blanks and slashes, as files are called and as earlier versions have called agents."""
    return _NAME.sub("-", name).strip("-.")[:100]


def _first_paragraph(body: str) -> str:
    blocks = (block.strip() for block in body.split("\n\n"))
    return next((block[:600] for block in blocks if block and not block.startswith(("#", "---", "```"))), "")


def _rights(header: Mapping[str, model.Json]) -> dict[str, model.Json]:
    tools = header.get("tools")
    model_name = frontmatter.text(header.get("model")).strip()
    return {
        "tools": None if tools in (None, "", "*") else frontmatter.strings(tools),
        "disallowed_tools": frontmatter.strings(header.get("disallowed_tools")),
        "model": "" if model_name == "inherit" else model_name,
        "effort": frontmatter.text(header.get("effort")),
        "permission_mode": frontmatter.text(header.get("permission_mode")),
        "isolation": frontmatter.text(header.get("isolation")),
    }


def _routing_keys(header: Mapping[str, model.Json], requests: Sequence[str], notes: list[str]) -> dict[str, model.Json]:
    examples = (
        *frontmatter.lines(header.get("examples")),
        *frontmatter.lines(header.get("triggers")),
        *requests,
    )
    inputs = header.get("inputs")
    if inputs is not None and not isinstance(inputs, dict):
        notes.append("`inputs` is not a mapping and is left out")
    return {
        "keywords": frontmatter.strings(header.get("keywords")),
        "examples": tuple(dict.fromkeys(examples)),
        "knowledge": frontmatter.text(header.get("knowledge")),
        "priority": _priority(header.get("priority"), notes),
        "domain": frontmatter.text(header.get("domain")),
        "capabilities": frontmatter.strings(header.get("capabilities")),
        "receives": frontmatter.strings(header.get("receives")),
        "excludes": frontmatter.strings(header.get("excludes")),
        "fallback": frontmatter.text(header.get("fallback")).lower() in {"true", "yes", "1"},
        "inputs": inputs if isinstance(inputs, dict) else {},
        "aliases": frontmatter.strings(header.get("aliases")),
    }


def _priority(value: model.Json, notes: list[str]) -> int:
    word = frontmatter.text(value).strip().lower()
    if word in _PRIORITIES:
        return _PRIORITIES[word]
    try:
        number = float(word or 0)
    except ValueError:
        number = math.nan
    if math.isfinite(number) and abs(number) <= 1000:
        return round(number)
    notes.append(f"priority {word[:40]!r} is no number and counts as 0")
    return 0


@dataclass(frozen=True, slots=True)
class Stranger:
    """A file in a folder of agents that is none, and why."""

    path: str
    why: str


@dataclass(frozen=True, eq=False)
class Catalog:
    """All agents after merging, sorted by name and roster; the same for every order of the files.

    `scope` are the rosters that take part in routing, None for all. `shadowed` are agents that one of a stronger
    layer replaces. `missing` are knowledge paths that are named but not there. `declarations` are the rosters that say
    when they take part; `signs` is what the workspace shows. `strangers` are files in their folders that are no agents.
    """

    agents: tuple[Agent, ...] = ()
    scope: frozenset[str] | None = None
    shadowed: tuple[Agent, ...] = ()
    missing: frozenset[str] = frozenset()
    words: lexicon.Lexicon = lexicon.EMPTY
    declarations: tuple[rosters.Roster, ...] = ()
    signs: rosters.Signs = rosters.NO_SIGNS
    strangers: tuple[Stranger, ...] = ()

    @cached_property
    def names(self) -> frozenset[str]:
        """Returns every name under which `find` knows an agent without doubt."""
        return frozenset(self._by_name)

    @cached_property
    def routable(self) -> tuple[Agent, ...]:
        """Returns the agents that take part in routing."""
        if self.scope is None:
            return self.agents
        return tuple(agent for agent in self.agents if agent.roster in self.scope)

    @cached_property
    def general(self) -> Agent | None:
        """Returns who does ordinary work that no specialist claims; None where only specialists take part."""
        return next((agent for agent in self.routable if agent.roster == HOST_ROSTER and agent.fallback), None)

    @property
    def general_name(self) -> str:
        """Returns the shortest name of `general`; an empty text for nobody."""
        return self.key(self.general) if self.general else ""

    @cached_property
    def off(self) -> tuple[rosters.Roster, ...]:
        """Returns the rosters that take part only by name, and would if somebody named them."""
        present = {agent.roster for agent in self.agents}
        waiting = present - (present if self.scope is None else self.scope)
        return tuple(roster for roster in self.declarations if roster.name in waiting and not roster.internal)

    @cached_property
    def with_siblings(self) -> Catalog:
        """Returns the catalogue in which the rosters also take part that divide the same roles with those that do."""
        if self.scope is None:
            return self
        groups = {roster.group for roster in self.declarations if roster.group and roster.name in self.scope}
        siblings = {roster.name for roster in self.off if roster.group in groups}
        return replace(self, scope=self.scope | siblings) if siblings else self

    @cached_property
    def switched_on(self) -> dict[str, str]:
        """Returns the rosters that the workspace switches on, each with what in it does."""
        return {
            roster.name: evidence
            for roster in self.declarations
            if not roster.always and (evidence := roster.evidence(self.signs))
        }

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """Returns the name of the group of each agent in `routable`: its roster, or the part of a large one."""
        places = [
            agent_groups.GroupPlace(
                agent.name, agent.roster, agent.folder, frontmatter.text(agent.extra.get("category"))
            )
            for agent in self.routable
        ]
        return tuple(agent_groups.names(places))

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """Returns the shortest unambiguous names of `routable`: the name, or `roster/name` where it repeats."""
        return tuple(self.key(agent) for agent in self.routable)

    def key(self, agent: Agent) -> str:
        """Returns the shortest name that means this agent and no other."""
        return agent.name if self._by_name.get(agent.name) is agent else agent.qualified

    def find(self, name: str) -> Agent | None:
        """Returns the agent of that name, `roster/name` or alias; None when there is none or more than one."""
        return self._by_name.get(name)

    def agent(self, name: str) -> Agent:
        """Returns the agent of that name.

        Raises:
            UnknownHandle: nobody has the name, or several have it.
        """
        agent = self.find(name)
        if agent is not None:
            return agent
        same = [agent.qualified for agent in self.agents if agent.name == name]
        if same:
            raise errors.UnknownHandle(
                f"{name!r} is the name of {len(same)} agents.", hint=f"Use one of {problems.in_backticks(same)}."
            )
        near = problems.nearest(name[:100], sorted(self.names))
        raise errors.UnknownHandle(
            f"There is no agent {name[:100]!r}.", hint=f"Did you mean {near!r}?" if near else "List the agents first."
        )

    def roster(self, name: str) -> Catalog:
        """Returns the catalogue of one roster or group of rosters alone, with agents that stronger layers replaced.

        The name can also be that of a group of those who take part (`groups`).

        Raises:
            UnknownHandle: there is no such roster.
        """
        if name in self._rosters:
            return self._rosters[name]
        everyone = (*self.agents, *self.shadowed)
        parts = {name, *(roster.name for roster in self.declarations if roster.group == name)}
        members = [agent for agent in everyone if agent.roster in parts]
        members = members or [agent for agent, group in zip(self.routable, self.groups, strict=True) if group == name]
        if not members:
            names = sorted({agent.roster for agent in everyone if agent.roster})
            raise errors.UnknownHandle(
                f"There is no roster {name[:100]!r}.",
                hint=f"Rosters: {problems.in_backticks(names)}." if names else "",
            )
        alone = merge(members, words=self.words, missing=self.missing, signs=self.signs)
        self._rosters[name] = alone
        return alone

    @cached_property
    def rosters(self) -> dict[str, int]:
        """Returns the number of agents by roster, replaced ones included."""
        counts: dict[str, int] = {}
        for agent in (*self.agents, *self.shadowed):
            counts[agent.roster] = counts.get(agent.roster, 0) + 1
        return dict(sorted(counts.items()))

    @cached_property
    def _rosters(self) -> dict[str, Catalog]:
        return {}

    @cached_property
    def _by_name(self) -> dict[str, Agent]:
        namesakes: dict[str, list[Agent]] = {}
        for agent in self.agents:
            for name in {agent.name, agent.qualified}:
                namesakes.setdefault(name, []).append(agent)
        own_names = frozenset(agent.name for agent in self.agents)
        for agent in self.agents:
            for alias in {*agent.aliases, _plain(agent.name)} - own_names:
                namesakes.setdefault(alias, []).append(agent)
        by_name = {name: self._preferred(same) for name, same in namesakes.items()}
        return {name: agent for name, agent in by_name.items() if agent is not None}

    def _preferred(self, same: Sequence[Agent]) -> Agent | None:
        """Returns the one that a bare name means: the only one in scope, else the only trusted one."""
        for fits in (self._in_scope, _is_trusted):
            fitting = [agent for agent in same if fits(agent)]
            if len(fitting) == 1:
                return fitting[0]
            same = fitting or same
        return same[0] if len(same) == 1 else None

    def _in_scope(self, agent: Agent) -> bool:
        return self.scope is None or agent.roster in self.scope


EMPTY = Catalog()


def merge(
    agents: Iterable[Agent],
    *,
    words: lexicon.Lexicon = lexicon.EMPTY,
    scope: Collection[str] | None = None,
    missing: Collection[str] = (),
    declarations: Iterable[rosters.Roster] = (),
    signs: rosters.Signs = rosters.NO_SIGNS,
) -> Catalog:
    """Returns the catalogue of these agents: stronger layers replace agents of the same name.

    Within one layer names may repeat in different rosters; in the same roster the one with the smaller path stays.
    An agent that is not trusted replaces nobody and is replaced by a trusted one of its own roster only.
    """
    # Trusted ones come first whatever their layer: of two with the same roster and name the first one stays (S7).
    by_strength = sorted(
        agents,
        key=lambda agent: (not agent.trusted, LAYERS.index(agent.layer), agent.roster, agent.path, agent.sha256),
    )
    strongest: dict[str, int] = {}
    for agent in by_strength:
        if agent.trusted:
            strongest[agent.name] = LAYERS.index(agent.layer)
    by_qualified: dict[str, Agent] = {}
    losers: list[Agent] = []
    for agent in by_strength:
        weaker = agent.trusted and LAYERS.index(agent.layer) < strongest[agent.name]
        if weaker or agent.qualified in by_qualified:
            losers.append(agent)
        else:
            by_qualified[agent.qualified] = agent
    return Catalog(
        agents=tuple(sorted(by_qualified.values(), key=lambda agent: (agent.name, agent.roster))),
        scope=None if scope is None else frozenset(scope),
        shadowed=tuple(losers),
        missing=frozenset(missing),
        words=words,
        declarations=tuple(sorted(declarations, key=lambda roster: roster.name)),
        signs=signs,
    )


def _is_trusted(agent: Agent) -> bool:
    return agent.trusted
