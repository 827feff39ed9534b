from __future__ import annotations

import ast
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.text.counting import python_checks
from dispatch_mcp.text.reading import excerpts

SUITE = """
    from calc import add, mul


    def test_add():
        assert add(1, 2) == 3


    def test_mul():
        assert mul(2, 3) == 6
    """
ADD = "    assert add(1, 2) == 3\n"


def count(text: str) -> int | None:
    return python_checks.count(textwrap.dedent(text))


def changed(old: str, new: str) -> str:
    text = textwrap.dedent(SUITE)
    assert old in text
    return text.replace(old, new)


LOST: dict[str, str] = {
    "in a string": changed(f"def test_add():\n{ADD}", f'"""\ndef test_add():\n{ADD}"""\n'),
    "in a comment": changed(ADD, f"    #{ADD}    pass\n"),
    "after a return": changed(ADD, f"    return\n{ADD}"),
    "after a raise": changed(ADD, f"    raise SystemExit\n{ADD}"),
    "after a skip": changed(ADD, f'    pytest.skip("later")\n{ADD}'),
    "after a return that always happens": changed(ADD, f"    if True:\n        return\n{ADD}"),
    "below if False": changed(ADD, f"    if False:\n    {ADD}"),
    "below if not 1": changed(ADD, f"    if not 1:\n    {ADD}"),
    "below while 0": changed(ADD, f"    while 0:\n    {ADD}"),
    "else of if True": changed(ADD, f"    if True:\n        pass\n    else:\n    {ADD}"),
    "for each of nothing": changed(ADD, f"    for _ in ():\n    {ADD}"),
    "caught": changed(ADD, f"    try:\n    {ADD}    except AssertionError:\n        pass\n"),
    "caught with others": changed(ADD, f"    try:\n    {ADD}    except (ValueError, Exception):\n        pass\n"),
    "caught by all": changed(ADD, f"    try:\n    {ADD}    except:\n        print()\n"),
    "suppressed": changed(ADD, f"    with contextlib.suppress(AssertionError):\n    {ADD}"),
    "expected to fail": changed(ADD, f"    with pytest.raises(AssertionError):\n    {ADD}"),
    "or True": changed("== 3", "== 3 or True"),
    "a tuple": changed("assert add(1, 2) == 3", 'assert (add(1, 2) == 3, "sum")'),
    "constant": changed("assert add(1, 2) == 3", "assert 3 == 3"),
    "replaced later": f"{textwrap.dedent(SUITE)}\ndef test_add():\n    pass\n",
    "bound anew": f"{textwrap.dedent(SUITE)}\ntest_add = None\n",
    "removed later": f"{textwrap.dedent(SUITE)}\ndel test_add\n",
    "in a function that nobody calls": changed(ADD, f"    def inner():\n    {ADD}"),
    "without cases": changed("def test_add", '@pytest.mark.parametrize("a", [])\ndef test_add'),
    "renamed": changed("def test_add", "def check_add"),
    "after the module has ended": changed("def test_mul", "raise SystemExit\n\n\ndef test_mul"),
    "gone": changed(f"def test_add():\n{ADD}", ""),
}


@pytest.mark.parametrize("text", LOST.values(), ids=LOST)
def test_what_can_no_longer_fail_counts_less(text: str) -> None:
    ast.parse(text)
    assert (python_checks.count(text) or 0) < (count(SUITE) or 0)


KEPT: dict[str, str] = {
    "the same": textwrap.dedent(SUITE),
    "said otherwise": changed("assert add(1, 2) == 3", "assert 3 == add(1, 2), 'sum'"),
    "with cases": changed("def test_add", '@pytest.mark.parametrize("a", [1])\ndef test_add'),
    "in a loop": changed(ADD, f"    for _ in range(3):\n    {ADD}"),
    "under a condition": changed(ADD, f"    if mul:\n    {ADD}"),
    "in a block": changed(ADD, f"    with open('x'):\n    {ADD}"),
    "raised again": changed(ADD, f"    try:\n    {ADD}    except AssertionError:\n        raise\n"),
    "another error caught": changed(ADD, f"    try:\n    {ADD}    except OSError:\n        pass\n"),
    "tidied up": changed(ADD, f"    try:\n    {ADD}    finally:\n        mul(1, 1)\n"),
    "in a function that is called": changed(ADD, f"    def inner():\n    {ADD}    inner()\n"),
    "in a match": changed(ADD, f"    match mul:\n        case _:\n        {ADD}"),
    "asynchronous": changed("def test_add", "async def test_add"),
    "by unittest": changed("assert add(1, 2) == 3", "self.assertEqual(add(1, 2), 3)"),
    "of an error": changed(ADD, "    with pytest.raises(ValueError):\n        add()\n"),
    "in a class": changed(f"def test_add():\n{ADD}", f"class TestAdd:\n    def test_add(self):\n    {ADD}"),
    "in a case": changed(f"def test_add():\n{ADD}", f"class Add(Case):\n    def test_add(self):\n    {ADD}"),
    "more": f"{textwrap.dedent(SUITE)}\ndef test_more():\n    assert add(2, 2) == 4\n",
}


@pytest.mark.parametrize("text", KEPT.values(), ids=KEPT)
def test_what_can_still_fail_counts(text: str) -> None:
    assert (python_checks.count(text) or 0) >= (count(SUITE) or 0)


@pytest.mark.parametrize("text", ["def test(:", "\0", "x" * (excerpts.SOURCE.chars + 1), "(" * 5_000])
def test_what_is_no_python_is_not_counted(text: str) -> None:
    assert python_checks.count(text) is None


@given(st.text(alphabet=st.sampled_from("adeft:= ()\n\t'\"#[]0if"), max_size=120))
def test_no_text_breaks_the_count(text: str) -> None:
    assert (python_checks.count(text) or 0) >= 0


def test_the_suite_of_this_product_checks_something_in_every_file() -> None:
    files = sorted(Path(__file__).parent.glob("test_*.py"))
    assert [path.name for path in files if not python_checks.count(path.read_text("utf-8"))] == []


def steps(text: str) -> int:
    """Returns how many functions are called, or go on, while a file is counted."""
    calls, before = [0], sys.getprofile()

    def profile(_frame: object, event: str, _argument: object) -> None:
        calls[0] += event == "call"

    sys.setprofile(profile)
    try:
        assert python_checks.count(text)
    finally:
        sys.setprofile(before)
    return calls[0]


def test_how_deep_branches_lie_in_each_other_costs_nothing_more() -> None:
    first = "def test_a(x):\n    if x == 0:\n        assert f(x) == (1, 2, 3)\n"
    branches = [f" x == {at}:\n        assert f(x) == (1, 2, {at})\n" for at in range(1, 120)]
    flat, deep = (first + "".join(f"    {word}{branch}" for branch in branches) for word in ("if", "elif"))
    assert python_checks.count(flat) == python_checks.count(deep) == 121
    assert steps(deep) < 2 * steps(flat)


def test_an_inner_function_that_only_another_branch_hands_on_counts() -> None:
    assert (
        count("""
    def test_a(x):
        if x:
            def inner():
                assert x == 1
        run(inner)
    """)
        == 2
    )
