"""What a file's name says about it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch_mcp.text import languages

_NAMES = st.text("abxyz_-", min_size=1, max_size=6)
_FOLDERS = st.lists(_NAMES, max_size=3).map(lambda names: "".join(f"{name}/" for name in names))


@pytest.mark.parametrize(
    ("path", "extension", "language"),
    [
        ("a.py", "py", "python"),
        ("typing/a.pyi", "pyi", "python"),
        ("web/App.TSX", "tsx", "script"),
        ("web/app.d.ts", "ts", "script"),
        ("web/Cart.vue", "vue", "script"),
        ("cmd/main.go", "go", "go"),
        ("src/lib.rs", "rs", "rust"),
        ("src/Main.kt", "kt", "typed"),
        ("src/Main.swift", "swift", "typed"),
        ("src/ring.hpp", "hpp", "c"),
        ("lib/tasks/a.rake", "rake", "ruby"),
        ("index.php", "php", "php"),
        ("bin/run.zsh", "zsh", "shell"),
        ("db/001.sql", "sql", "sql"),
        ("README.md", "md", "markdown"),
        ("docs/index.rst", "rst", "rst"),
        ("a.tar.gz", "gz", ""),
        ("Makefile", "", ""),
        (".bashrc", "", ""),
        (".env.py", "py", "python"),
        ("v1.2/notes", "", ""),
        ("ends-with-a-dot.", "", ""),
    ],
)
def test_the_extension_says_the_language(path: str, extension: str, language: str) -> None:
    assert languages.extension(path) == extension
    assert languages.language(path) == language


@settings(max_examples=50)
@given(_FOLDERS, _NAMES, st.sampled_from(["py", "go", "rs", "md", "unheard-of"]))
def test_neither_the_folder_nor_the_case_of_an_extension_matters_to_the_language(
    folder: str, name: str, extension: str
) -> None:
    language = languages.language(f"{name}.{extension}")
    assert languages.language(f"{folder}{name}.{extension.upper()}") == language
    assert languages.language(f"{folder}.d/{name}.{extension}") == language


@pytest.mark.parametrize(
    ("path", "role"),
    [
        ("src/cart.py", "source"),
        ("src/latest.py", "source"),
        ("src/contest.go", "source"),
        ("src/testing.py", "source"),
        ("src/specification/a.rb", "source"),
        ("src/attestation/a.rb", "source"),
        ("src/news.py", "source"),
        ("src/documents.ts", "source"),
        ("src/examples.py", "source"),
        ("queries/a.sql", "source"),
        ("tests/cart.py", "test"),
        ("test/cart.js", "test"),
        ("src/__tests__/cart.js", "test"),
        ("src/__mocks__/cart.js", "test"),
        ("spec/models/cart.rb", "test"),
        ("testdata/cart.json", "test"),
        ("test-data/cart.json", "test"),
        ("fixtures/cart.yaml", "test"),
        ("t/cart.t", "test"),
        ("src/unit_tests/cart.py", "test"),
        ("src/integration-tests/cart.py", "test"),
        ("src/test_support/cart.py", "test"),
        ("src/test_cart.py", "test"),
        ("src/conftest.py", "test"),
        ("shop/tests.py", "test"),
        ("pkg/cart_test.go", "test"),
        ("web/cart.spec.ts", "test"),
        ("web/cart.test.tsx", "test"),
        ("web/cart-e2e.js", "test"),
        ("web/cart.test-d.ts", "test"),
        ("src/CartTest.java", "test"),
        ("src/CartTests.cs", "test"),
        ("src/CartSpec.scala", "test"),
        ("examples/tests/cart.py", "test"),
        ("examples/cart.py", "example"),
        ("_examples/cart.go", "example"),
        ("Samples/cart.cs", "example"),
        ("benchmarks/cart.py", "example"),
        ("docs_src/cart.py", "example"),
        ("contrib/dev/cart.sh", "example"),
        ("contrib/cart.sh", "source"),
        ("docs/cart.py", "docs"),
        ("Documentation/cart.c", "docs"),
        ("man/cart.1", "docs"),
        ("news/123.bugfix", "docs"),
        ("src/README.md", "docs"),
        ("notes.TXT", "docs"),
        ("guide.adoc", "docs"),
        ("Makefile", "other"),
        ("pyproject.toml", "other"),
        ("a/b.json", "other"),
    ],
)
def test_the_path_says_what_a_file_is_for(path: str, role: str) -> None:
    assert languages.role(path) == role


@pytest.mark.parametrize(
    ("test", "source"),
    [
        ("tests/test_cart.py", "shop/cart.py"),
        ("tests/tests-cart.py", "shop/cart.py"),
        ("tests/unit_cart.py", "shop/cart.py"),
        ("pkg/cart_test.go", "pkg/cart.go"),
        ("pkg/cart_internal_test.go", "pkg/cart.go"),
        ("web/cart.test.tsx", "web/cart.tsx"),
        ("web/cart.spec.ts", "web/cart.ts"),
        ("web/cart.test-d.ts", "web/cart.d.ts"),
        ("web/cart-e2e.js", "web/cart.js"),
        ("src/CartTest.java", "src/Cart.java"),
        ("src/CartTests.cs", "src/Cart.cs"),
        ("src/CartSpec.scala", "src/Cart.scala"),
        ("src/Http2Test.java", "src/Http2.java"),
        ("src/HTTPTest.java", "src/HTTP.java"),
        ("spec/cart_spec.rb", "app/models/cart.rb"),
        ("tests/test_cart_unit.py", "shop/_cart.py"),
        ("tests/test_latest.py", "shop/latest.py"),
        ("tests/test_spec.py", "shop/spec.py"),
    ],
)
def test_a_test_file_is_about_the_source_file_of_its_name(test: str, source: str) -> None:
    assert languages.role(test) == "test"
    assert languages.role(source) == "source"
    assert languages.subject(test) == languages.subject(source) != ""


@pytest.mark.parametrize("name", ["latest", "contest", "fastest", "protest", "workunit", "openspec", "unit", "spec"])
def test_a_name_that_only_ends_like_a_mark_keeps_its_end(name: str) -> None:
    assert languages.subject(f"src/{name}.py") == name
    assert languages.subject(f"src/{name.title()}.java") == name


@settings(max_examples=50)
@given(_FOLDERS, st.text("abxyz", min_size=1, max_size=8))
def test_marks_of_a_test_change_nothing_about_its_subject(folder: str, name: str) -> None:
    for path in (f"test_{name}.py", f"{name}_test.go", f"{name}.spec.ts", f"{name.title()}Test.java", f"{name}.py"):
        assert languages.subject(folder + path) == name


@settings(max_examples=50)
@given(_FOLDERS, _NAMES)
def test_a_path_below_a_folder_is_recognised_wherever_that_folder_stands(folder: str, name: str) -> None:
    pattern = re.compile(languages.below("api", "v[0-9]+"))
    assert pattern.search(f"{folder}api/{name}.py")
    assert pattern.search(f"{folder}v12/deep/{name}.py")
    assert not pattern.search(f"{folder}{name}/my-api.d/{name}.py")
    assert not pattern.search(f"{folder}api")


@pytest.mark.parametrize(
    ("path", "globs"),
    [
        ("out/node.py", ("**/test_node.*", "**/node_test.*")),
        ("/shop/tests/cmd/main.go", ("**/main_test.*",)),
        ("web/Cart.vue", ("**/Cart.test.*", "**/Cart.spec.*")),
        ("src/Main.kt", ("**/MainTest.*", "**/MainTests.*")),
        ("tests/test_node.py", ()),
        ("docs/index.md", ()),
        ("db/001.sql", ()),
        ("out/*.py", ()),
        ("out/{name}.py", ()),
    ],
)
def test_the_tests_of_a_source_file_have_usual_names(path: str, globs: tuple[str, ...]) -> None:
    assert languages.test_globs(path) == globs
    assert all(languages.role(glob.replace("*", "x")) == "test" for glob in globs)
