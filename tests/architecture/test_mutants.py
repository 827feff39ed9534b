"""The small wrong changes by which tests are measured: of every kind there is, and none that nobody could notice."""

from __future__ import annotations

import sys

import pytest
import source

sys.path.insert(0, str(source.REPOSITORY / "scripts"))
import mutants
import small_changes


def made(text: str) -> set[str]:
    """Returns the texts that come of the changes of a module, without the function around them."""
    whole = f"def f(a, b):\n    {text}\n".encode()
    return {mutant.made_in(whole).decode().partition("\n    ")[2].rstrip("\n") for mutant in mutants.of(whole)}


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("return a < b", {"return (a <= b)", "return (a >= b)", "return None"}),
        ("return a is b", {"return (a is not b)", "return None"}),
        ("return a and b", {"return ((a) or (b))", "return ((a))", "return ((b))", "return None"}),
        ("return not a", {"return (a)", "return None"}),
        ("return 3", {"return 4", "return None"}),
        ("return 'x'", {"return 'Xx'", "return None"}),
        ("return 'a sentence for people'", {"return None"}),
        ("return a + b", {"return (a - b)", "return None"}),
        ("a(b)", {"pass"}),
        ("log.debug(b)", set[str]()),
        ("a.b = b", {"pass"}),
        ("c = a(b, c, d=b)", {"c = a(c, b, d=b)", "c = a(b, c)"}),
        ("c = min(a, b)", {"c = max(a, b)"}),
        ("if a: raise b", {"if (not (a)): raise b", "if a: pass"}),
        ("a += b", {"a -= b", "pass"}),
        (
            "c = 'DELETE FROM t WHERE a = ? AND b < ? ORDER BY c DESC LIMIT 3'",
            {
                "c = 'DELETE FROM t WHERE (a = ? OR 1) AND b < ? ORDER BY c DESC LIMIT 3'",
                "c = 'DELETE FROM t WHERE a = ? AND (b < ? OR 1) ORDER BY c DESC LIMIT 3'",
                "c = 'DELETE FROM t WHERE a = ? AND b <= ? ORDER BY c DESC LIMIT 3'",
                "c = 'DELETE FROM t WHERE a = ? AND b < ? LIMIT 3'",
                "c = 'DELETE FROM t WHERE a = ? AND b < ? ORDER BY c LIMIT 3'",
                "c = 'DELETE FROM t WHERE a = ? AND b < ? ORDER BY c DESC'",
            },
        ),
    ],
)
def test_a_line_is_changed_in_every_way_that_there_is(text: str, changes: set[str]) -> None:
    assert made(text) == changes


def test_docstrings_annotations_and_decorators_are_left_alone() -> None:
    function = b'    @b(1)\n    def f(self, a: "x" = 1) -> "y":\n        """F."""\n'
    text = b'"""A module."""\nclass A:\n    """A class."""\n' + function
    assert [(mutant.before, mutant.function) for mutant in mutants.of(text)] == [("1", None)]


def test_a_change_is_known_by_its_line_and_the_outermost_function_around_it() -> None:
    text = b"class A:\n    def f(self):\n        def g():\n            return 7\n        self.g = g\n"
    assert {(mutant.line, mutant.function) for mutant in mutants.of(text)} == {(4, "A.f"), (5, "A.f")}


def test_every_module_of_the_store_can_be_changed_in_its_own_text_alone() -> None:
    for path in sorted((source.REPOSITORY / "server" / "dispatch_mcp" / "store").glob("[a-z]*.py")):
        text = path.read_bytes()
        for mutant in mutants.of(text)[::25]:
            assert text[mutant.start : mutant.end] == mutant.before.encode()
            assert mutant.made_in(text).startswith(text[: mutant.start])


def test_each_change_that_is_listed_has_one_place_in_its_module() -> None:
    package = source.REPOSITORY / "server" / "dispatch_mcp"
    counts = [
        (change, (package / change.file).read_text("utf-8").count(change.before)) for change in small_changes.CHANGES
    ]
    assert [change for change, count in counts if count != 1] == []
