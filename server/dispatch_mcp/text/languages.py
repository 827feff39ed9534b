"""What a file's name says about it: its language, and whether it is source, a test, documentation or something else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal

_Code = Literal["python", "script", "go", "rust", "typed", "c", "ruby", "php", "shell", "sql"]
Language = Literal[_Code, "markdown", "rst", "asciidoc", ""]
Role = Literal["source", "test", "docs", "example", "copy", "other"]

_EXTENSIONS: Mapping[Language, str] = {
    "python": "py pyi pyx",
    "script": "js jsx mjs cjs ts tsx mts cts vue svelte",
    "go": "go",
    "rust": "rs",
    "typed": "java kt kts scala cs swift groovy dart",
    "c": "c h cc cpp cxx hpp hh hxx m mm",
    "ruby": "rb rake",
    "php": "php",
    "shell": "sh bash zsh",
    "sql": "sql",
    "markdown": "md markdown mdx",
    "rst": "rst",
    "asciidoc": "adoc asciidoc",
}
_LANGUAGES: Mapping[str, Language] = {
    extension: language for language, extensions in _EXTENSIONS.items() for extension in extensions.split()
}
_CODE = frozenset(_EXTENSIONS) - {"markdown", "rst", "asciidoc"}
_PROSE = frozenset({"md", "markdown", "mdx", "rst", "txt", "adoc"})


def below(*folders: str) -> str:
    """Returns the expression for a path below one of the folders, whose names may be expressions."""
    return rf"(?:^|/)(?:{'|'.join(folders)})/"


_TEST_FOLDERS = (
    *("tests?", "__tests__", "__mocks__", "specs?", "testdata", "test[-_]data", "fixtures?", "e2e", "t"),
    *("unit[-_]?tests?", "integration[-_]tests?", "acceptance", "testing[-_]resources", r"test[-_]\w+"),
    *("testutils?", "testhelpers?", "testsupport", "testlib", "testkit"),
)
_TEST_FILES = (
    r"(?:^|/)(?:test_[^/]*|conftest|tests?)\.\w+$",  # test_cart.py, conftest.py, tests.py
    r"[-_.](?:tests?|spec|test-d|e2e)\.\w+$",  # cart_test.go, cart.spec.ts
    r"[A-Za-z0-9](?:Tests?|Spec)\.\w+$",  # CartTest.java
)
# A package may offer its users help with their tests in `testing`; at the root it is where a project's own tests lie.
_TEST_PLACE = re.compile("|".join((below(*_TEST_FOLDERS), r"^testing/", *_TEST_FILES)))
_COPY_PLACE = re.compile(
    below("deno_dist", "dist", "vendor(?:ed)?", "_vendor", "third[-_]party", "node_modules", "__generated__"),
)
_COMPLETION = re.compile(below("completions?", "complete"), re.IGNORECASE)
_DOCS_PLACE = re.compile(
    below("docs?", "documentation", "website", "man", "manual", "changelogs?", "news(?:fragments)?"), re.IGNORECASE
)
_EXAMPLE_FOLDERS = (
    *("_?examples?", "samples?", "demos?", "docs_src", "tutorials?", "benchmarks?", "bench", "playground", "www"),
    "contrib/dev",
)
_EXAMPLE_PLACE = re.compile(below(*_EXAMPLE_FOLDERS), re.IGNORECASE)


_RECIPE_NAMES = """
makefile gnumakefile cmakelists.txt justfile taskfile.yml taskfile.yaml rakefile gemfile dockerfile package.json
deno.json deno.jsonc composer.json phpunit.xml phpunit.xml.dist conftest.py sitecustomize.py pytest.ini tox.ini
mypy.ini noxfile.py setup.cfg setup.py pyproject.toml ruff.toml cargo.toml build.rs go.mod pom.xml mix.exs build.sbt
.rspec .coveragerc .pytest.ini pytest.toml usercustomize.py
"""
_RECIPES = frozenset(_RECIPE_NAMES.split())
_RECIPE_ENDS = (".mk", ".gradle", ".gradle.kts", ".pth")
_RECIPE_STEMS = frozenset(
    {"jest.config", "vitest.config", "vite.config", "karma.conf", "playwright.config", "cypress.config"}
    | {"eslint.config", "babel.config", ".mocharc", ".eslintrc"}
)


def is_recipe(path: str) -> bool:
    """Returns whether runners of tests, builds and checks read from a file what they are to do, as its name says."""
    name = path.rpartition("/")[2].lower()
    return name in _RECIPES or name.endswith(_RECIPE_ENDS) or name.rpartition(".")[0] in _RECIPE_STEMS


def extension(path: str) -> str:
    """Returns the lower-case extension of a path without its dot, or an empty text."""
    name = path.rpartition("/")[2]
    return name.rpartition(".")[2].lower() if "." in name[1:] else ""


def language(path: str) -> Language:
    """Returns the language that a path's extension stands for; empty when its parts cannot be told apart."""
    return _LANGUAGES.get(extension(path), "")


@lru_cache(maxsize=65536)
def role(path: str) -> Role:
    """Returns what a file is for, as its path says; a `copy` is made from others here, or comes from elsewhere."""
    if _COPY_PLACE.search(path):
        return "copy"
    if _TEST_PLACE.search(path):
        return "test"
    if _EXAMPLE_PLACE.search(path):
        return "example"
    kind = language(path)
    if extension(path) in _PROSE or _DOCS_PLACE.search(path):
        return "docs"
    return "source" if kind in _CODE and kind and not _COMPLETION.search(path) else "other"


_TEST_NAMES: Mapping[Language, tuple[str, ...]] = {
    "python": ("test_{}.*", "{}_test.*"),
    "script": ("{}.test.*", "{}.spec.*"),
    "go": ("{}_test.*",),
    "typed": ("{}Test.*", "{}Tests.*"),
    "ruby": ("test_{}.*", "{}_spec.*"),
    "php": ("{}Test.*",),
    **dict.fromkeys(("rust", "c", "shell"), ("test_{}.*", "{}_test.*")),
}


def test_globs(path: str) -> tuple[str, ...]:
    """Returns globs for what the tests of a source file are usually called, in any folder; none for other files."""
    stem = _stem(path)
    if role(path.rpartition("/")[2]) != "source" or not re.fullmatch(r"[\w.+-]+", stem):
        return ()
    return tuple(f"**/{name.format(stem)}" for name in _TEST_NAMES.get(language(path), ()))


# Marks stand apart from the name, or begin with a capital: `latest` and `contest` are names.
_TEST_MARKS = re.compile(
    r"(?i:^(?:tests?|unit|it)[-_.]+)"  # test_cart
    r"|(?i:[-_.](?:tests?|spec|test-d|e2e|unit|internal))$"  # cart_test, cart-e2e
    r"|(?<=[A-Za-z0-9])(?:Tests?|Spec)$"  # CartTest
)


@lru_cache(maxsize=65536)
def subject(path: str) -> str:
    """Returns the stem of the file that a test file is probably about, in lower case, no underscores around it."""
    stem = path.rpartition("/")[2].partition(".")[0] if path.endswith((".d.ts", ".spec.ts")) else _stem(path)
    return _TEST_MARKS.sub("", _TEST_MARKS.sub("", stem)).strip("_-").lower()


def _stem(path: str) -> str:
    name = path.rpartition("/")[2]
    return name.rpartition(".")[0] if "." in name[1:] else name
