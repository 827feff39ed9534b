"""Plain cases of one function run in one item, each with an empty home, and each failure has the name of its row."""

from __future__ import annotations

from pathlib import Path

import case_tables
import pytest

pytest_plugins = ["pytester"]

CASES = """
import pytest

rows = pytest.mark.parametrize("number", [1, 2, 3])

@pytest.fixture
def house():
    return 7

@rows
def test_plain(number):
    assert number

@pytest.mark.parametrize(("left", "right"), [(1, 1), (2, 3)])
@rows
def test_of_two_tables(number, left, right):
    assert number

@rows
def test_of_a_fixture(number, house, tmp_path):
    assert number

@pytest.mark.parametrize("house", [1, 2], indirect=True)
def test_of_an_indirect_fixture(house):
    assert house

@pytest.mark.parametrize("number", [pytest.param(1, marks=pytest.mark.xfail), 2])
def test_of_rows_that_fail(number):
    assert number == 2

@pytest.mark.filterwarnings("ignore")
@rows
def test_marked(number):
    assert number

@rows
async def test_of_a_loop(number):
    assert number

def test_alone():
    pass

class TestOfClass:
    @rows
    def test_method(self, number):
        assert number
"""


def test_only_rows_without_fixtures_and_ways_to_run_of_their_own_are_joined(pytester: pytest.Pytester) -> None:
    items = pytester.getitems(CASES)
    names = [item.name for item in case_tables.joined(items, ())]
    assert [name for name in names if "[" not in name] == ["test_plain", "test_of_two_tables", "test_alone"]
    assert len(names) == 3 + 3 + 2 + 2 + 3 + 3 + 3


def test_a_fixture_that_every_test_of_a_module_has_keeps_its_rows_apart(pytester: pytest.Pytester) -> None:
    module = (
        "import pytest\n@pytest.fixture(autouse=True)\ndef clean():\n    yield\n"
        + CASES.partition("@pytest.fixture")[0]
    )
    module += "@rows\ndef test_plain(number):\n    assert number\n"
    items = pytester.getitems(module)
    assert len(case_tables.joined(items, ())) == 3
    assert len(case_tables.joined(items, ("clean",))) == 1


def test_a_joined_table_calls_all_of_its_rows_and_names_those_that_fail(pytester: pytest.Pytester) -> None:
    module = (
        "import pytest\n@pytest.mark.parametrize('number', [1, 2, 3, 4])\ndef test_it(number):\n    assert number % 2\n"
    )
    pytester.makeconftest(
        "import case_tables\ndef pytest_collection_modifyitems(items):\n    items[:] = case_tables.joined(items, ())\n"
    )
    pytester.makepyfile(module)
    result = pytester.runpytest("-p", "no:randomly", "-p", "no:cacheprovider")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*2 of 4 rows failed*", "*in the row [[]2]*", "*in the row [[]4]*"])


def test_rows_begin_with_an_empty_home() -> None:
    seen: list[list[str]] = []

    def call() -> None:
        seen.append(sorted(path.name for path in Path.home().iterdir()))
        (Path.home() / "state").mkdir()
        (Path.home() / "settings.toml").touch()

    case_tables.run([("a", call), ("b", call)])
    assert seen == [[], []]
    assert list(Path.home().iterdir()) == []


def test_a_row_that_is_skipped_hides_no_failure_and_a_table_of_such_rows_is_skipped() -> None:
    def skip() -> None:
        pytest.skip("not here")

    def fail() -> None:
        pytest.fail("wrong")

    case_tables.run([("a", skip), ("b", lambda: None)])
    with pytest.raises(pytest.skip.Exception):
        case_tables.run([("a", skip), ("b", skip)])
    with pytest.raises(BaseExceptionGroup, match="1 of 2 rows") as failure:
        case_tables.run([("a", skip), ("b", fail)])
    assert failure.value.exceptions[0].__notes__ == ["in the row [b]"]
