"""What a task may be about: source, or one of the other kinds of files, and which of them its words usually mean."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Final, Literal, get_args

from dispatch_mcp.context import context_query, fitted_weights
from dispatch_mcp.text import languages

FileKind = Literal["source", "test", "docs", "changelog", "dependencies", "ci", "configuration", "example"]
KINDS: Final[tuple[FileKind, ...]] = get_args(FileKind)

_CHANGELOG_NAMES = (
    *("changes", "changelog", "(?:version[-_ ]?)?history", "what'?s[-_ ]?new", "news", "releases?"),
    "release[-_ ]?notes",
)
_CHANGELOG_FOLDERS = ("changelogs?", "changes", "newsfragments", "news", r"changelog\.d", r"\.changeset")
_CHANGELOG = re.compile(
    rf"(?:^|/)(?:{'|'.join(_CHANGELOG_NAMES)})[^/]*$|(?:^|/)(?:{'|'.join(_CHANGELOG_FOLDERS)})/[^/]+$", re.IGNORECASE
)
_CI_PLACES = (
    *(r"\.(?:github|circleci|buildkite|woodpecker|forgejo)/", r"\.cirrus\.", r"\.?(?:travis|appveyor|gitlab-ci)\."),
    *(r"\.?drone\.", r"\.?azure-pipelines", "jenkinsfile", r"\.?(?:codecov|readthedocs)\.ya?ml$", r"renovate\.json"),
)
_CI = re.compile(rf"^(?:{'|'.join(_CI_PLACES)})", re.IGNORECASE)
_REQUIREMENTS = r"(?>[^/]*?requirements)[^/]*\.(?:txt|in)"  # the first is enough: looking at each takes quadratic time
_DEPENDENCY_FILES = (
    *(r"pyproject\.toml", r"setup\.(?:py|cfg)", _REQUIREMENTS, "pipfile", r"tox\.ini"),
    *(r"requirements/[^/]+\.(?:txt|in)", r"constraints[^/]*\.txt", r"environment\.ya?ml", r"noxfile\.py"),
    *(r"package\.json", r"pnpm-workspace\.yaml", r"go\.(?:mod|work)", r"cargo\.toml", "gemfile", r"[^/]+\.gemspec"),
    *(r"pom\.xml", r"[^/]*\.gradle(?:\.kts)?", r"libs\.versions\.toml", r"composer\.json", r"[^/]+\.(?:cs|fs)proj"),
    *(r"[^/]+\.props", r"package\.swift", r"pubspec\.yaml", r"mix\.exs"),
)
_DEPENDENCIES = re.compile(rf"(?:^|/)(?:{'|'.join(_DEPENDENCY_FILES)})$", re.IGNORECASE)
_BY_ROLE: Mapping[languages.Role, FileKind] = {
    "source": "source",
    "test": "test",
    "docs": "docs",
    "example": "example",
    "copy": "configuration",
    "other": "configuration",
}


@lru_cache(maxsize=65536)
def of(path: str) -> FileKind:
    """Returns the kind of a file, as its path says."""
    role = languages.role(path)
    if _CI.search(path):
        return "ci"
    if _DEPENDENCIES.search(path):
        return "dependencies"
    if role in {"docs", "other"} and _CHANGELOG.search(path):
        return "changelog"
    return _BY_ROLE[role]


_kind_words = cache(fitted_weights.kind_words)


def is_of_tasks(stem: str) -> bool:
    """Returns whether a stem, such as `add` or `support`, is one that tasks of any project have and no subject."""
    return stem in _kind_words()


BODY: Final = 0.3
"""What a word of a task counts that is not in its first sentence."""


def chances(query: context_query.Query) -> dict[FileKind, float]:
    """Returns how probable it is that a task is about files of each kind, by its words; they add up to 1."""
    weights = _kind_words()
    title = {context_query.stem(word) for word in query.title}
    scores = list(weights["*"])
    for term in query.terms:
        if (row := weights.get(term)) is not None:
            share = 1.0 if term in title else BODY
            scores = [score + share * weight for score, weight in zip(scores, row, strict=True)]
    most = max(scores)
    odds = [math.exp(score - most) for score in scores]
    total = sum(odds)
    return {kind: value / total for kind, value in zip(KINDS, odds, strict=True)}
