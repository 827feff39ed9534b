"""Technologies by name: languages, frameworks, databases, clouds and platforms, of which a project uses one or two.

Two of one family exclude each other: who knows only Rust is not asked about Python. A framework stands for its
language.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterable, Mapping
from typing import Final

Families = Mapping[str, frozenset[str]]
"""The technologies by family."""

# Per family its technologies, each with its other names behind a colon. Those with a capital are common words: they
# count only so written.
_FAMILIES: Final[Mapping[str, tuple[str, ...]]] = {
    "language": (
        *("python: .py", "javascript: typescript js ts node nodejs node.js .js .ts .tsx .jsx", "java: .java", "perl"),
        *(
            "kotlin: .kt",
            "golang: Go .go go.mod",
            "rust: Rust rustlang .rs Cargo.toml",
            "ruby: .rb",
            "php: .php",
            "lua",
        ),
        *("csharp: c# .cs .net dotnet", "cpp: c++ .cpp", "swift: Swift swiftui .swift", "scala: .scala", "haskell"),
        *("elixir: .ex", "dart: .dart", "clojure"),
    ),
    "front end": (
        *("react: React reactjs next.js nextjs", "vue: Vue vuejs nuxt", "angular: Angular", "svelte: sveltekit"),
    ),
    "web framework": (
        *("django", "flask", "fastapi", "rails: Rails", "laravel", "symfony", "springboot: spring-boot Spring"),
        *("express.js: expressjs", "nestjs"),
    ),
    "database": (
        *("postgres: postgresql", "mysql: mariadb", "mongodb: mongo", "sqlite", "oracle", "mssql", "cassandra"),
        *("dynamodb", "neo4j", "redis", "elasticsearch: opensearch", "clickhouse", "snowflake", "bigquery"),
    ),
    "cloud": ("aws", "azure", "gcp", "cloudflare", "vercel", "heroku"),
    "platform": (
        *("ios: iphone ipad", "android", "flutter", "react-native", "electron", "unity", "unreal", "wordpress"),
        *("shopify", "salesforce"),
    ),
}
_CAPITAL: Final = frozenset(
    ("go", "rust", "swift", "react", "rails", "spring", "oracle", "unity", "unreal", "electron")
)
_IMPLIED: Final = {
    "django": "python",
    "flask": "python",
    "fastapi": "python",
    "rails": "ruby",
    "laravel": "php",
    "symfony": "php",
    "springboot": "java",
    "express.js": "javascript",
    "nestjs": "javascript",
    "react": "javascript",
    "vue": "javascript",
    "angular": "javascript",
    "svelte": "javascript",
    "flutter": "dart",
    "react-native": "javascript",
    "ios": "swift",
    "wordpress": "php",
}
_BY_FILE: Final = {
    "pyproject.toml": "python",
    "package.json": "javascript",
    "Gemfile": "ruby",
    "composer.json": "php",
    "pom.xml": "java",
    "build.gradle": "java",
    "go.mod": "go.mod",
    "Cargo.toml": "Cargo.toml",
}
_BETWEEN = re.compile(r"[\s,;:!?()\[\]{}\"'`]+")
_SUFFIX = re.compile(r"\.\w+$")


def _table() -> dict[str, tuple[str, str]]:
    rows: dict[str, tuple[str, str]] = {}
    for family, members in _FAMILIES.items():
        for name, _, more in (member.partition(":") for member in members):
            rows.update(dict.fromkeys((name, *more.split()), (family, name)))
    return rows


_NAMES: Final = _table()
_FAMILY_OF: Final = {technology: family for family, technology in _NAMES.values()}


@functools.lru_cache(maxsize=4096)
def in_text(source: str) -> Families:
    """Returns the technologies that a text names, by name or by a file of theirs."""
    words = [word.strip("./-") if word[:1] != "." else word for word in _BETWEEN.split(source)]
    return families(name for at, word in enumerate(words) for name in _forms(word, is_first=at == 0))


@functools.lru_cache(maxsize=4096)
def in_name(name: str) -> Families:
    """Returns the technologies in a name such as `golang-pro`, whatever its capitals."""
    words = re.split(r"[-_ ]+", name.lower())
    pairs = [*words, *map("-".join, itertools.pairwise(words))]
    return families(form for word in pairs for form in (word, word.capitalize()))


def of_project(packages: Iterable[str], files: Iterable[str]) -> Families:
    """Returns the technologies of a project with these packages, by name, and these files at its root."""
    return families((*packages, *(_BY_FILE.get(name, "") for name in files)))


def families(names: Iterable[str]) -> Families:
    """Returns technologies by family, and the languages that they stand for."""
    members: dict[str, set[str]] = {}
    for name in names:
        if name in _NAMES:
            family, technology = _NAMES[name]
            members.setdefault(family, set()).add(technology)
            language = _IMPLIED.get(technology)
            if language:
                members.setdefault(_FAMILY_OF[language], set()).add(language)
    return {family: frozenset(values) for family, values in members.items()}


def differ(own: Families, needs: Families) -> bool:
    """Returns whether somebody of these technologies is wrong where others of the same family are needs."""
    return any(own[family].isdisjoint(needs[family]) for family in own.keys() & needs.keys())


def _forms(word: str, *, is_first: bool) -> Iterable[str]:
    """Returns what a word of a text may be called in the table; a common one needs a capital inside a sentence."""
    suffix = _SUFFIX.search(word)
    lower = word.lower()
    is_common = lower in _CAPITAL and (is_first or word == lower)
    return ("" if is_common else lower, "" if is_first else word, suffix[0] if suffix else "")
