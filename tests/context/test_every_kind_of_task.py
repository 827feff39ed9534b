"""A small project, and the file that each kind of task on it is about."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import temp_repository

from dispatch_mcp.context import git_log, pack_gatherer, packs

FILES = {
    "README.md": "# Parcel\n\nTracks parcels for small shops.\n\n## Installing\n\nRun `pip install parcel`.\n",
    "CHANGELOG.md": (
        "# Changelog\n\n## Unreleased\n\n- Nothing yet.\n\n## 1.2.0\n\n- Labels may be printed in batches.\n"
        "\n## 1.1.0\n\n- Carriers are asked again after a timeout.\n"
    ),
    "CONTRIBUTING.md": "# Contributing\n\nOpen a pull request and sign your commits.\n",
    "SECURITY.md": "# Security policy\n\nReport vulnerabilities by mail.\n",
    "LICENSE": "The MIT License\n\nCopyright (c) the authors\n",
    ".gitignore": "*.pyc\nbuild/\n",
    ".pre-commit-config.yaml": (
        "repos:\n  - repo: https://example.org/ruff-pre-commit\n    rev: v0.4.0\n    hooks:\n      - id: ruff\n"
    ),
    ".github/workflows/tests.yml": (
        "name: tests\non: [push]\njobs:\n  tests:\n    runs-on: ubuntu-latest\n    strategy:\n      matrix:\n"
        '        python-version: ["3.8", "3.9", "3.10"]\n    steps:\n      - uses: actions/checkout@v3\n'
        "      - uses: actions/setup-python@v4\n      - run: pytest\n"
    ),
    ".github/workflows/release.yml": (
        "name: release\non:\n  push:\n    tags: ['v*']\njobs:\n  publish:\n    runs-on: ubuntu-latest\n    steps:\n"
        "      - uses: actions/checkout@v3\n      - uses: pypa/gh-action-pypi-publish@release/v1\n"
    ),
    ".github/dependabot.yml": (
        "version: 2\nupdates:\n  - package-ecosystem: pip\n    schedule:\n      interval: weekly\n"
    ),
    "pyproject.toml": (
        '[project]\nname = "parcel"\nrequires-python = ">=3.8"\ndependencies = ["httpx>=0.24", "click>=8"]\n'
        'classifiers = ["Programming Language :: Python :: 3.8"]\n\n[tool.ruff]\nline-length = 100\n'
    ),
    "requirements-dev.txt": "pytest==7.4\nruff==0.4.0\n",
    "package.json": '{\n  "name": "parcel-web",\n  "dependencies": {"preact": "^10.0.0"}\n}\n',
    "Dockerfile": "FROM python:3.10-slim\nRUN pip install parcel\nEXPOSE 8000\n",
    "docker-compose.yml": "services:\n  web:\n    build: .\n    ports: ['8000:8000']\n  cache:\n    image: redis:7\n",
    "Makefile": "test:\n\tpytest\n\nserve:\n\tpython -m parcel serve\n",
    "docs/index.md": "# Documentation\n\nStart with the quickstart.\n",
    "docs/quickstart.md": "# Quickstart\n\nCreate a shipment and print its label.\n",
    "docs/faq.md": "# Frequently asked questions\n\n## Why is my parcel lost?\n\nAsk the carrier.\n",
    "docs/carriers.md": "# Carriers\n\nA carrier moves shipments. Rates are compared by weight.\n",
    "examples/print_labels.py": "from parcel import label\n\nprint(label.render('A1'))\n",
    "src/parcel/__init__.py": '__version__ = "1.2.0"\n',
    "src/parcel/shipment.py": (
        "from parcel import carrier\n\n\nclass Shipment:\n    def __init__(self, weight, address):\n"
        "        self.weight = weight\n        self.address = address\n\n"
        "    def dispatch(self):\n        return carrier.cheapest(self.weight).accept(self)\n\n"
        "    def cancel(self):\n        raise NotImplementedError\n"
    ),
    "src/parcel/carrier.py": (
        "RATES = {'north': 3, 'south': 4}\n\n\ndef cheapest(weight):\n"
        "    return min(RATES, key=lambda name: RATES[name] * weight)\n\n\n"
        "def ask_again(request, tries=3):\n    for _ in range(tries):\n        if answer := request():\n"
        "            return answer\n    raise TimeoutError\n"
    ),
    "src/parcel/label.py": "def render(code):\n    return f'<svg>{code}</svg>'\n\n\ndef batch(codes):\n    ...\n",
    "src/parcel/testing/__init__.py": "def fake_carrier(rate):\n    return {'fake': rate}\n",
    "src/parcel/templates/label.html": "<html><body class='label'>{{ code }}</body></html>\n",
    "src/parcel/static/label.css": ".label { color: black; border: 1px solid }\n",
    "tests/conftest.py": "import pytest\n\n\n@pytest.fixture\ndef shipment():\n    return object()\n",
    "tests/test_shipment.py": "def test_a_shipment_goes_to_the_cheapest_carrier(shipment):\n    assert shipment\n",
    "tests/test_carrier.py": "from parcel import carrier\n\n\ndef test_rates():\n    assert carrier.RATES\n",
    "dist/parcel/carrier.py": "def cheapest(weight):\n    return 'north'\n\n\ndef ask_again(request):\n    ...\n",
    "completions/parcel.bash": "_parcel() {\n  COMPREPLY=(dispatch cancel carrier)\n}\n",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for path, text in FILES.items():
        temp_repository.write(tmp_path / "parcel", path, text)
    return tmp_path / "parcel"


@pytest.fixture
def gatherer(tmp_path: Path) -> Iterator[pack_gatherer.Gatherer]:
    with pack_gatherer.Gatherer(tmp_path / "state") as opened:
        yield opened


def given_paths(pack: packs.Pack) -> set[str]:
    return {item.path for item in pack.chosen}


DOCUMENTS = [
    ("Add an entry to the changelog", "CHANGELOG.md"),
    ("Mention batches in the release notes of the changelog", "CHANGELOG.md"),
    ("FAQ on lost parcels", "docs/faq.md"),
    ("Explain in the readme how to install with pipx", "README.md"),
    ("Document how carriers are compared", "docs/carriers.md"),
    ("Fix a typo in the quickstart", "docs/quickstart.md"),
    ("Say in the contributing guide that commits are signed", "CONTRIBUTING.md"),
    ("Update the security policy", "SECURITY.md"),
]
CONFIGURATION = [
    ("Drop Python 3.8", "pyproject.toml"),
    ("Require httpx 0.27 in the dependencies", "pyproject.toml"),
    ("Upgrade preact in package.json", "package.json"),
    ("Bump ruff in the pre-commit hooks", ".pre-commit-config.yaml"),
    ("Ignore the build output in .gitignore", ".gitignore"),
    ("Use a newer base image in the Dockerfile", "Dockerfile"),
    ("Add a make target that serves the docs to the Makefile", "Makefile"),
    ("Pin the redis image of docker compose", "docker-compose.yml"),
]
CI = [
    ("Pin the action that publishes to PyPI", ".github/workflows/release.yml"),
    ("Run the tests workflow on pull requests, too", ".github/workflows/tests.yml"),
    ("Let dependabot update GitHub Actions monthly", ".github/dependabot.yml"),
]
TESTS = [
    ("Write a test that the cheapest carrier is taken", "tests/test_carrier.py"),
    ("Add a fixture for a heavy shipment to conftest", "tests/conftest.py"),
]
TEMPLATES = [
    ("Print the label in blue: change its CSS", "src/parcel/static/label.css"),
    ("Add the carrier to the HTML template of the label", "src/parcel/templates/label.html"),
    ("Extend the example that prints labels", "examples/print_labels.py"),
    ("Complete the new command in bash completions", "completions/parcel.bash"),
]
CODE = [
    ("Let a shipment be cancelled", "src/parcel/shipment.py"),
    ("Ask a carrier again after a timeout, with growing pauses", "src/parcel/carrier.py"),
    ("Render labels in batches", "src/parcel/label.py"),
]


@pytest.mark.parametrize(("task", "path"), [*DOCUMENTS, *CONFIGURATION, *CI, *TEMPLATES])
def test_the_file_that_a_task_is_about_is_given_whole(
    project: Path, gatherer: pack_gatherer.Gatherer, task: str, path: str
) -> None:
    pack = gatherer.pack(project, task)
    assert path in given_paths(pack)
    assert FILES[path].strip() in pack.text


@pytest.mark.parametrize(("task", "path"), [*TESTS, *CODE])
def test_of_code_the_definition_that_a_task_is_about_is_given_to_its_end(
    project: Path, gatherer: pack_gatherer.Gatherer, task: str, path: str
) -> None:
    pack = gatherer.pack(project, task)
    assert path in given_paths(pack)
    assert FILES[path].strip().split("\n")[-1] in pack.text


@pytest.mark.parametrize(("task", "path"), [*DOCUMENTS, *CI, *TESTS, *CODE])
def test_the_file_that_a_task_is_about_is_among_the_first_five(
    project: Path, gatherer: pack_gatherer.Gatherer, task: str, path: str
) -> None:
    assert path in gatherer.pack(project, task).ranked[:5]


@pytest.mark.parametrize(("task", "path"), CODE)
def test_a_task_about_source_gets_its_source_first(
    project: Path, gatherer: pack_gatherer.Gatherer, task: str, path: str
) -> None:
    assert gatherer.pack(project, task).ranked[0] == path


@pytest.mark.parametrize(
    ("task", "test"),
    [
        ("Let a shipment be cancelled", "tests/test_shipment.py"),
        ("Ask a carrier again after a timeout, with growing pauses", "tests/test_carrier.py"),
    ],
)
def test_tests_of_what_changes_are_named_but_not_given_unless_the_task_writes_tests(
    project: Path, gatherer: pack_gatherer.Gatherer, task: str, test: str
) -> None:
    pack = gatherer.pack(project, task)
    assert test in pack.also
    assert test not in given_paths(pack)
    assert test in given_paths(gatherer.pack(project, f"Write the missing tests: {task}"))


def test_a_task_that_adds_a_test_gets_the_end_of_the_likeliest_tests(
    project: Path, gatherer: pack_gatherer.Gatherer
) -> None:
    rates = "\n\n".join(f"def test_{at}():\n    assert price != weight\n" for at in range(80))
    end = "def test_zebra():\n" + "    assert giraffe == lion\n" * 5 + "    # the last line\n"
    temp_repository.write(project, "tests/test_carrier.py", f"from parcel import carrier\n\n\n{rates}\n\n{end}")
    pack = gatherer.pack(project, "Add a test of carrier rates", budget=700)
    assert "the last line" in pack.text
    assert "the last line" not in gatherer.pack(project, "Let carrier rates fall on Mondays", budget=700).text


@pytest.mark.parametrize(("task", "_"), CODE)
def test_copies_are_never_given_for_their_words(
    project: Path, gatherer: pack_gatherer.Gatherer, task: str, _: str
) -> None:
    pack = gatherer.pack(project, task)
    assert not any(path.startswith("dist/") for path in (*given_paths(pack), *pack.ranked))


def test_a_copy_that_is_asked_for_by_name_is_given(project: Path, gatherer: pack_gatherer.Gatherer) -> None:
    pack = gatherer.pack(project, "Look at the built carrier", ["file:dist/parcel/carrier.py"])
    assert "dist/parcel/carrier.py" in given_paths(pack)


def test_help_with_tests_that_a_package_offers_is_source(project: Path, gatherer: pack_gatherer.Gatherer) -> None:
    assert "src/parcel/testing/__init__.py" in gatherer.pack(project, "Let the fake carrier count its calls").ranked[:3]


def test_past_commits_say_what_such_tasks_touch(project: Path, gatherer: pack_gatherer.Gatherer) -> None:
    commits = [
        git_log.Commit("a" * 40, 1, "Support the newest interpreter", ("docker-compose.yml", "Makefile")),
        git_log.Commit("b" * 40, 2, "Cancel orders", ("src/parcel/shipment.py",)),
    ]
    history = pack_gatherer.PastCommits(commits)
    pack = gatherer.pack(project, "Support the interpreter of next year", past_commits=history)
    history.close()
    assert {"docker-compose.yml", "Makefile"} <= {*pack.ranked[:6]}


@pytest.mark.parametrize("task", ["zebra giraffe", "", "?!"])
def test_a_task_that_nothing_here_matches_gets_nothing_and_is_told_so(
    project: Path, gatherer: pack_gatherer.Gatherer, task: str
) -> None:
    pack = gatherer.pack(project, task)
    assert pack.chosen == ()
    assert pack.text == packs.NOTHING


STRANGE = [
    ("Deploy the kubernetes operator to the staging cluster", ["kubernetes", "operator", "staging", "cluster"]),
    ("Train a transformer on the radiology images of the hospital", ["radiology", "hospital"]),
]


@pytest.mark.parametrize(("task", "words"), STRANGE)
def test_where_hardly_anything_matches_little_is_given_and_the_words_that_stand_nowhere_are_named(
    project: Path, gatherer: pack_gatherer.Gatherer, task: str, words: list[str]
) -> None:
    for at in range(40):
        lines = "\n".join(f"def deployed_{at}_{line}(image):\n    return image\n" for line in range(40))
        temp_repository.write(project, f"src/parcel/extra_{at}.py", lines)
    pack = gatherer.pack(project, task)
    line = next(line for line in pack.text.split("\n") if line.startswith(packs.LITTLE))
    assert all(word in line for word in words)
    assert "image" not in line
    assert "deploy" not in line.lower().split(packs.LITTLE)[1]
    assert sum(item.tokens for item in pack.chosen) <= pack.budget // 5


@pytest.mark.parametrize(("task", "_"), [*DOCUMENTS, *CONFIGURATION, *TESTS, *TEMPLATES, *CODE])
def test_a_task_that_is_about_something_here_is_not_told_that_little_matches(
    project: Path, gatherer: pack_gatherer.Gatherer, task: str, _: str
) -> None:
    assert packs.LITTLE not in gatherer.pack(project, task).text


def test_a_pack_ends_when_nothing_more_is_worth_its_tokens(project: Path, gatherer: pack_gatherer.Gatherer) -> None:
    for at in range(40):
        lines = "\n".join(f"def unrelated_{at}_{line}(value):\n    return value\n" for line in range(40))
        temp_repository.write(project, f"src/parcel/extra_{at}.py", lines)
    pack = gatherer.pack(project, "Pin the action that publishes to PyPI")
    assert ".github/workflows/release.yml" in given_paths(pack)
    assert pack.tokens < pack.budget * 0.6


@pytest.mark.parametrize("budget", [200, 400, 1_000, 5_000])
@pytest.mark.parametrize(("task", "_"), [*DOCUMENTS[:2], *CONFIGURATION[:2], *CODE[:2]])
def test_no_kind_of_task_gets_more_than_its_budget(
    project: Path, gatherer: pack_gatherer.Gatherer, task: str, _: str, budget: int
) -> None:
    assert gatherer.pack(project, task, budget=budget).tokens <= budget
