"""What a file of a change is written in, by its name alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.text import diff_languages


@pytest.mark.parametrize(
    ("path", "language"),
    [
        ("src/app.py", "python"),
        ("src/App.PY", "python"),
        ("a/b.test.tsx", "typescript"),
        ("types.d.ts", "typescript"),
        ("Dockerfile", "docker"),
        ("docker/Dockerfile.dev", "docker"),
        ("web.dockerfile", "docker"),
        ("Containerfile", "docker"),
        ("Makefile", "make"),
        ("Jenkinsfile", "groovy"),
        ("Gemfile", "ruby"),
        (".env", "ini"),
        ("deploy/.env.ini", "ini"),
        (".py", ""),
        (".gitignore", ""),
        ("LICENSE", ""),
        ("py", ""),
        ("makefile/notes", ""),
        ("archive.tar", ""),
        ("", ""),
    ],
)
def test_a_name_stands_for_a_language_or_for_none(path: str, language: str) -> None:
    assert diff_languages.language(path) == language


@given(st.sampled_from(sorted(diff_languages.LANGUAGES)), st.from_regex(r"[a-c]{1,5}", fullmatch=True), st.booleans())
def test_neither_folder_nor_capitals_matter_to_an_extension(extension: str, stem: str, capital: object) -> None:
    name = f"{stem}.{extension.upper() if capital else extension}"
    assert diff_languages.language(name) == diff_languages.LANGUAGES[extension]
    assert diff_languages.language(f"docs/{stem}/{name}") == diff_languages.LANGUAGES[extension]


def test_what_has_no_behaviour_of_its_own_is_among_the_languages() -> None:
    languages = {*diff_languages.LANGUAGES.values(), *diff_languages.NAMED.values(), ""}
    assert languages > diff_languages.NOT_CODE
