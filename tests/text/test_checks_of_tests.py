"""How much files of tests check, before and after a change."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.text import file_states, languages
from dispatch_mcp.text.file_states import Checks

PYTHON = b"""import pytest


def test_a():
    assert a


async def test_b():
    with pytest.raises(ValueError):
        b()
"""


@pytest.mark.parametrize(
    ("path", "text", "checks"),
    [
        ("tests/test_a.py", PYTHON, Checks(4, 0, of_syntax=True)),
        ("tests/test_a.py", b"# def test_a():\n#    assert a\n", Checks(0, 0, of_syntax=True)),
        (
            "tests/test_a.py",
            b"@pytest.mark.skipif(True, reason='x')\ndef test_a():\n    assert a\n",
            Checks(2, 1, of_syntax=True),
        ),
        ("cart.spec.ts", b"it('adds', () => {\n  expect(add(1)).toBe(2)\n})\nit.only('x', y)\n", Checks(2, 1)),
        ("cart_test.go", b"func TestAdd(t *testing.T) {\n\tt.Fatal(1)\n\tt.Skip()\n}\n", Checks(2, 1)),
        ("src/test/java/CartTest.java", b"@Disabled\n@Test\nvoid adds() {\n  assertEquals(1, 1);\n}\n", Checks(2, 1)),
        ("tests/it.rs", b"#[ignore]\n#[tokio::test]\nfn adds() {\n    assert_eq!(1, 1);\n}\n", Checks(2, 1)),
        ("tests/empty_test.py", b"", Checks(0, 0, of_syntax=True)),
    ],
)
def test_lines_that_check_and_marks_that_skip_are_counted(path: str, text: bytes, checks: Checks) -> None:
    state = file_states.of_content(text, path, is_executable=True)
    assert (file_states.checks(state), file_states.is_counted(state)) == (checks, True)


@pytest.mark.parametrize(("path", "text"), [("src/cart.py", PYTHON), ("tests/data.bin", b"\0assert")])
def test_what_is_no_file_of_tests_is_not_counted(path: str, text: bytes) -> None:
    state = file_states.of_content(text, path)
    assert (file_states.checks(state), file_states.is_counted(state)) == (file_states.NO_CHECKS, False)


@pytest.mark.parametrize(
    ("pairs", "fewer"),
    [
        ([], False),
        ([(Checks(4, 0), Checks(4, 0))], False),
        ([(Checks(4, 0), Checks(3, 0))], True),
        ([(Checks(4, 0), Checks(5, 1))], True),
        ([(Checks(4, 0), Checks(0, 0)), (Checks(0, 0), Checks(4, 0))], False),
        ([(Checks(4, 1), Checks(4, 0)), (Checks(2, 0), Checks(2, 1))], False),
    ],
)
def test_files_are_weighed_together(pairs: list[tuple[Checks, Checks]], *, fewer: bool) -> None:
    assert file_states.are_fewer(pairs) is fewer


@given(st.binary(max_size=200))
def test_states_of_tests_are_the_same_whatever_they_count_and_count_what_was_read(data: bytes) -> None:
    state = file_states.of_content(data, "tests/test_a.py")
    older = state.partition(" #")[0]
    assert file_states.same(state, older)
    assert file_states.is_counted(state) is (b"\0" not in data)


@pytest.mark.parametrize(
    "path",
    [
        *("Makefile", "sub/GNUmakefile", "rules.mk", "package.json", "web/package.json", "tests/conftest.py"),
        *("pyproject.toml", "setup.cfg", "jest.config.ts", ".mocharc.json", "app/build.gradle.kts", "Cargo.toml"),
    ],
)
def test_recipes_of_tests_and_builds_are_known_by_their_names(path: str) -> None:
    assert languages.is_recipe(path)


@pytest.mark.parametrize("path", ["src/cart.py", "makefiles/README.md", "package.json.md", "jest.py", "conftest", ""])
def test_other_files_are_no_recipes(path: str) -> None:
    assert not languages.is_recipe(path)
