"""Who receives what (docs/rules.md#information-scoping): parts of a project as facets and globs of paths."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, get_args

from dispatch_mcp.text import languages, path_globs

Facet = Literal["frontend", "backend", "database", "infrastructure", "docs", "tests"]
"""Parts of a project as their owners speak of them."""
FACETS: Final[tuple[Facet, ...]] = get_args(Facet)
ALIASES: Final[Mapping[str, Facet]] = {
    "ui": "frontend",
    "server": "backend",
    "api": "backend",
    "db": "database",
    "infra": "infrastructure",
    "ops": "infrastructure",
    "devops": "infrastructure",
    "documentation": "docs",
    "doc": "docs",
    "test": "tests",
}

_FRONTEND_FOLDERS = (
    *("front-?end", "client", "ui", "webapp", "components?", "pages", "styles?", "css", "public", "static", "assets"),
    *("widgets", "storybook"),
)
_FRONTEND_FILES = r"\.(?:css|scss|sass|less|styl|html?|jsx|tsx|vue|svelte|astro)$"
_FRONTEND = re.compile(f"{_FRONTEND_FILES}|{languages.below(*_FRONTEND_FOLDERS)}", re.IGNORECASE)
_DATABASE_FOLDERS = (
    *("migrations?", "alembic", "db", "database", "databases", "schemas?", "seeds", "prisma", "models", "entities"),
)
_DATABASE_FILES = (
    r"\.(?:sql|prisma|dbml|ddl)$",
    r"(?:^|/)(?:schema|models?|migrate|database|db|seeds?)\.\w+$",  # models.py, schema.rb
)
_DATABASE = re.compile("|".join((languages.below(*_DATABASE_FOLDERS), *_DATABASE_FILES)), re.IGNORECASE)
_INFRASTRUCTURE_FOLDERS = (
    *(r"\.github", r"\.gitlab", r"\.circleci", r"\.buildkite", "infra(?:structure)?", "terraform", "ansible", "k8s"),
    *("deploy(?:ment|ments)?", "kubernetes", "helm", "charts", "docker", "ops", "ci", "nginx", "packaging"),
)
_INFRASTRUCTURE_NAMES = (
    *("dockerfile[^/]*", r"[^/]*compose[^/]{0,40}\.ya?ml", "makefile", "procfile", "jenkinsfile", "vagrantfile"),
    *(
        r"\.gitlab-ci\.yml",
        r"\.travis\.yml",
        r"azure-pipelines\.ya?ml",
        r"fly\.toml",
        r"vercel\.json",
        r"netlify\.toml",
    ),
    *(r"nginx[^/]*\.conf", r"serverless\.ya?ml"),
)
_INFRASTRUCTURE_FILES = (
    r"\.(?:tf|tfvars|hcl|nomad|bicep|dockerfile)$",
    rf"(?:^|/)(?:{'|'.join(_INFRASTRUCTURE_NAMES)})$",
)
_INFRASTRUCTURE = re.compile(
    "|".join((languages.below(*_INFRASTRUCTURE_FOLDERS), *_INFRASTRUCTURE_FILES)), re.IGNORECASE
)
_SERVER_SIDE = re.compile(
    languages.below("back-?end", "server", "api", "services?", "controllers?", "handlers?", "routes", "middlewares?"),
    re.IGNORECASE,
)
_BROWSER_LANGUAGES = frozenset({"script", ""})


@lru_cache(maxsize=65536)
def of(path: str) -> frozenset[Facet]:
    """Returns the facets that a file belongs to, as its path says; none for a file that could be anybody's."""
    role = languages.role(path)
    facets: set[Facet] = set()
    if role == "docs":
        facets.add("docs")
    if role == "test":
        facets.add("tests")
    if _FRONTEND.search(path) and not _SERVER_SIDE.search(path):
        facets.add("frontend")
    if _DATABASE.search(path):
        facets.add("database")
    if _INFRASTRUCTURE.search(path):
        facets.add("infrastructure")
    if role == "source" and not facets & {"frontend", "infrastructure"}:
        language = languages.language(path)
        if _SERVER_SIDE.search(path) or (language not in _BROWSER_LANGUAGES and language not in {"sql", "shell"}):
            facets.add("backend")
    return frozenset(facets)


@dataclass(frozen=True, slots=True)
class SearchScope:
    """What an agent receives and never receives: facets by name, and globs of paths relative to the workspace.

    With an empty `receives` everything is received but what `excludes` names. A file of no facet is withheld only by a
    glob.
    """

    receives: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()

    def allows(self, path: str) -> bool:
        """Returns whether the agent may see the file."""
        if not self.receives and not self.excludes:
            return True
        if any(_means(entry, path) for entry in self.excludes):
            return False
        if not self.receives or any(_means(entry, path) for entry in self.receives):
            return True
        return not of(path) and not all(facet(entry) is None for entry in self.receives)


EVERYTHING: Final = SearchScope()


def facet(entry: str) -> Facet | None:
    """Returns the facet of that name, in any case and by its short names, or None."""
    name = entry.strip().lower()
    name = ALIASES.get(name, name)
    return next((candidate for candidate in FACETS if candidate == name), None)


@lru_cache(maxsize=65536)
def _means(entry: str, path: str) -> bool:
    meaning = facet(entry)
    if meaning is not None:
        return meaning in of(path)
    pattern = entry.strip().removeprefix("./").rstrip("/")
    return bool(pattern) and any(path_globs.matches(glob, path) for glob in (pattern, f"{pattern}/**"))


def unknown(entries: Iterable[str]) -> tuple[str, ...]:
    """Returns the entries that are neither a facet nor look like a path or glob."""
    return tuple(entry for entry in entries if facet(entry) is None and not re.search(r"[*/.?\[]", entry))
