"""Which files a text names, and which files of a workspace are meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.context.documents import file_mentions

PATHS = (
    *("CHANGES.md", "README.md", "LICENSE", "Makefile", "pyproject.toml", "setup.cfg", ".github/workflows/ci.yml"),
    *(
        "docs/faq.md",
        "docs/My File.md",
        "src/app/cart.py",
        "src/app/utils.py",
        "src/web/Cart.tsx",
        "tests/test_cart.py",
    ),
    *("web/[id]/(shop)/page.tsx", "a/__init__.py", "b/__init__.py", "c/__init__.py", "d/__init__.py"),
)


def meant(text: str) -> list[str]:
    """Returns the files that a text means, each once and in order."""
    names = file_mentions.FileNames(PATHS)
    mentions = file_mentions.of(text, ("/srv/shop",))
    return list(dict.fromkeys(path for mention in mentions for path in names.meant(mention)))


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("Add an entry to CHANGES.md", "CHANGES.md"),
        ("Add an entry to CHANGES.md.", "CHANGES.md"),
        ("changes.md lacks an entry", "CHANGES.md"),
        ("Say so in the README", "README.md"),
        ("Say so in the readme", "README.md"),
        ("Add a target to the Makefile", "Makefile"),
        ("Look at ./src/app/cart.py:12, it is slow", "src/app/cart.py"),
        ("Look at src/app/cart.py#L10-20", "src/app/cart.py"),
        ("`src/app/cart.py`'s total", "src/app/cart.py"),
        ("app/cart.py's total", "src/app/cart.py"),
        ("cart.py", "src/app/cart.py"),
        (r"src\app\cart.py", "src/app/cart.py"),
        ("/srv/shop/src/app/cart.py", "src/app/cart.py"),
        ("file:///srv/shop/docs/faq.md", "docs/faq.md"),
        ("修改src/app/cart.py文件", "src/app/cart.py"),
        ("Mend [the questions](docs/faq.md#prices)", "docs/faq.md"),
        ("Mend 'docs/My File.md'", "docs/My File.md"),
        ("Mend docs/My%20File.md", "docs/My File.md"),
        ("see @docs/faq.md", "docs/faq.md"),
        ("(setup.cfg)", "setup.cfg"),
        ("tests/test_cart.py::test_total[1-2] fails", "tests/test_cart.py"),
        ("the workflow .github/workflows/ci.yml", ".github/workflows/ci.yml"),
        ("web/[id]/(shop)/page.tsx, please", "web/[id]/(shop)/page.tsx"),
        ("**pyproject.toml**: drop 3.8", "pyproject.toml"),
    ],
)
def test_a_file_is_found_however_it_is_written(text: str, path: str) -> None:
    assert meant(text) == [path]


@pytest.mark.parametrize(
    "text",
    [
        "Fix the cart, e.g. its totals (v3.8)",
        "https://example.org/src/app/cart.py",
        "/etc/passwd and ~/CHANGES.md and ../CHANGES.md",
        "/srv/shopping/src/app/cart.py",
        "License the module; make it contributing",
        "faq",
        "",
        "." * 3_000,
        "../" * 2_000,
    ],
)
def test_what_names_no_file_of_the_workspace_means_none(text: str) -> None:
    assert meant(text) == []


def test_a_name_that_several_files_have_means_all_of_them() -> None:
    assert meant("a/__init__.py") == ["a/__init__.py"]
    assert len(meant("__init__.py")) > file_mentions.MOST_ALIKE


def test_lines_and_definitions_are_read_with_the_name() -> None:
    mentions = file_mentions.of("cart.py:12 and faq.md#L3-9 and utils.py#rounded and test_cart.py::test_total[1]")
    assert mentions[:4] == [
        file_mentions.Mention("cart.py", 12, 12),
        file_mentions.Mention("faq.md", 3, 9),
        file_mentions.Mention("utils.py", symbol="rounded"),
        file_mentions.Mention("test_cart.py", symbol="test_total"),
    ]


@given(
    st.sampled_from(PATHS), st.sampled_from(["Mend {}", "Mend `{}` now", 'Mend "{}".', "({})", "- {}\n- x", "{}:3 x"])
)
def test_every_path_is_found_in_every_sentence(path: str, sentence: str) -> None:
    written = path if " " not in path or "`" in sentence or '"' in sentence else f"'{path}'"
    assert path in meant(sentence.format(written))


@given(st.text(max_size=200))
def test_no_text_breaks_the_reading(text: str) -> None:
    assert set(meant(text)) <= set(PATHS)


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("CHANGES.rst", "CHANGES.md"),
        ("CHANGELOG.md", "CHANGES.md"),
        ("changes.md", "CHANGES.md"),
        ("README", "README.md"),
        ("licence.txt", "LICENSE"),
        (".github/workflows/ci.yaml", ".github/workflows/ci.yml"),
        ("src/web/cart.ts", "src/web/Cart.tsx"),
        ("src/app/carts.py", ""),
        ("src/app/cart.go", ""),
        ("docs/CHANGES.md", ""),
        ("new/file.py", ""),
    ],
)
def test_a_name_that_is_not_there_means_the_same_document_under_another_one_or_a_new_file(path: str, near: str) -> None:
    assert file_mentions.nearest(path, PATHS) == near
    names = file_mentions.FileNames(PATHS)
    assert names.nearest(path, lambda _: True) == near
    assert names.nearest(path, lambda other: other != near) == ""
