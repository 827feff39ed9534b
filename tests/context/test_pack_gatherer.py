from __future__ import annotations

import random
import string
import threading
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dispatch_mcp.context import (
    context_query,
    file_index,
    git_log,
    index_search,
    pack_gatherer,
    packs,
    requirement_sources,
    search_scope,
)
from dispatch_mcp.process import safe_paths
from dispatch_mcp.text import token_count

pytestmark = pytest.mark.anyio

FILES = {
    "server/api/orders.py": "def list_orders(page):\n    return fetch(page)\n\n\ndef cancel_order(order):\n    ...\n",
    "server/api/users.py": (
        "class Users:\n    def find(self, name):\n        return name\n\n    def remove(self, name):\n        ...\n"
    ),
    "web/components/Orders.tsx": "export function OrderList(props: Props) {\n  return render(props.orders)\n}\n",
    "web/styles/orders.css": ".orders { color: red }\n",
    "db/migrations/001_orders.sql": "CREATE TABLE orders (\n  id integer\n);\n",
    "deploy/Dockerfile": "FROM scratch\nRUN orders\n",
    "docs/orders.md": "# Orders\n\nOrders are listed by page.\n",
    "tests/test_orders.py": (
        "from server.api import orders\n\n\ndef test_orders_are_listed():\n    orders.list_orders(1)\n"
    ),
    "AGENTS.md": "# Rules\n\nWrite short functions.\n",
    "CLAUDE.md": "Answer in English.\n",
}
SECRETS = {facet: f"CANARY_{facet}_{at}" for at, facet in enumerate(search_scope.FACETS)}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.fixture
def gatherer(tmp_path: Path) -> pack_gatherer.Gatherer:
    return pack_gatherer.Gatherer(tmp_path / "state")


def test_the_part_that_the_task_is_about_comes_first(project: Path, gatherer: pack_gatherer.Gatherer) -> None:
    with gatherer:
        pack = gatherer.pack(project, "List orders page by page")
    assert pack.ranked[0] == "server/api/orders.py"
    assert "def list_orders" in pack.text
    assert pack.tokens <= pack.budget


def test_a_function_comes_with_the_blank_lines_below_it_where_another_would_be_written(
    project: Path, gatherer: pack_gatherer.Gatherer
) -> None:
    large = "".join(f"    total = compute(total, {number})\n" for number in range(100))
    (project / "server/api/orders.py").write_text(f"{FILES['server/api/orders.py'][:46]}\n\ndef other():\n{large}")
    with gatherer:
        pack = gatherer.pack(project, "List orders page by page", budget=300)
    item = next(item for item in pack.items if "def list_orders" in item.text)
    assert (item.first, item.last) == (1, 4)


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("file:server/api/users.py", "def remove"),
        ("file:server/api/users.py#L2-3", "def find"),
        ("file:server/api/users.py#remove", "def remove"),
        ("file:server/api/users.py#Users", "class Users"),
        ("file:server/api/*.py", "class Users"),
        ("symbol:Users", "def remove"),
        ("symbol:users", "class Users"),
        ("symbol:Users.find", "def find"),
        ("structure:server", "api/users.py"),
        ("structure:", "deploy/Dockerfile"),
        ("pattern:list orders", "test_orders_are_listed"),
        ("rag:remove a user", "def remove"),
        ("rag:docs: orders by page", "Orders are listed by page."),
        ("rules:", "Answer in English."),
        ("rules:AGENTS.md", "Write short functions."),
        ("task:design", "use cursors"),
        ("server/api/users.py", "class Users"),
    ],
)
def test_what_a_key_names_is_in_the_pack(project: Path, gatherer: pack_gatherer.Gatherer, key: str, shown: str) -> None:
    sources = requirement_sources.Sources(handoffs={"design": "We use cursors, not pages."})
    with gatherer:
        pack = gatherer.pack(project, "unrelated zebra", [key], sources=sources)
    assert shown in pack.text
    assert not pack.unresolved
    assert all(item.why != "scored" for item in pack.chosen)


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("file:server/orders.py", "file:server/api/orders.py"),
        ("file:server/api/usres.py", "file:server/api/users.py"),
        ("file:server/api/users.py#fnd", "file:server/api/users.py#Users.find"),
        ("file:server/api/users.py#L900", "file:server/api/users.py"),
        ("symbol:list_order", "symbol:list_orders"),
        ("structure:servers", "structure:server"),
        ("rules:AGENT.md", "rules:AGENTS.md"),
        ("symbol:zzzzzz", ""),
        ("rag:zzzzzz", ""),
    ],
)
def test_a_key_that_names_nothing_is_returned_with_what_was_probably_meant(
    project: Path, gatherer: pack_gatherer.Gatherer, key: str, nearest: str
) -> None:
    with gatherer:
        pack = gatherer.pack(project, "list orders", [key])
    assert [(one.key, one.nearest) for one in pack.unresolved] == [(key, nearest)]
    assert f"{'not given' if pack.unresolved[0].why else 'not found'}: {key}" in pack.text


def test_a_handoff_that_was_not_handed_in_is_left_to_the_caller(
    project: Path, gatherer: pack_gatherer.Gatherer
) -> None:
    with gatherer:
        pack = gatherer.pack(project, "list orders", ["task:design"])
    assert pack.tasks == ("design",)
    assert not pack.unresolved


def test_rules_come_in_their_order_and_before_everything_else(project: Path, gatherer: pack_gatherer.Gatherer) -> None:
    sources = requirement_sources.Sources(
        knowledge={"databases": "Index foreign keys."}, notes="Yesterday we stopped at tests."
    )
    with gatherer:
        pack = gatherer.pack(project, "list orders", ["file:server/api/users.py", "rules:"], sources=sources)
    rules = [item.path for item in pack.of(*packs.READ_FIRST)]
    assert rules == ["databases", "AGENTS.md", "CLAUDE.md", "continuity notes"]
    assert [item.path for item in pack.items][: len(rules)] == rules


def test_what_was_asked_for_and_does_not_fit_is_cut_and_its_rest_is_named(
    project: Path, gatherer: pack_gatherer.Gatherer
) -> None:
    (project / "server/api/long.py").write_text("".join(f"value_{at} = {at}\n" for at in range(2_000)))
    with gatherer:
        pack = gatherer.pack(project, "list orders", ["file:server/api/long.py"], budget=1_000)
    item = next(item for item in pack.items if item.path == "server/api/long.py" and item.first)
    assert (item.first, item.text.split("\n")[0]) == (1, "value_0 = 0")
    assert "file:server/api/long.py" in {one.key for one in pack.left_out}
    assert pack.tokens <= 1_000


def test_what_is_left_out_can_be_fetched_by_its_key(project: Path, gatherer: pack_gatherer.Gatherer) -> None:
    body = "\n\n".join(f"def list_orders_{at}(page):\n" + "    step(page)\n" * 30 for at in range(30))
    (project / "server/api/many.py").write_text(body)
    with gatherer:
        pack = gatherer.pack(project, "list orders of a page", budget=800)
        assert pack.left_out
        again = gatherer.pack(project, "zebra", [pack.left_out[0].key], budget=3_000)
    assert [item.key for item in again.chosen] == [pack.left_out[0].key]
    assert abs(again.chosen[0].tokens - pack.left_out[0].tokens) < 0.5 * pack.left_out[0].tokens


@given(
    st.text(alphabet=st.sampled_from("list order page cancel users.py#L/:*é\n"), max_size=120),
    st.lists(
        st.sampled_from(
            ["file:server/api/users.py", "rules:", "symbol:Users", "structure:", "rag:orders", "file:no", "é" * 90]
        ),
        max_size=4,
    ),
    st.integers(packs.LEAST_BUDGET, 3_000),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_pack_is_over_its_budget(project: Path, tmp_path: Path, text: str, keys: list[str], budget: int) -> None:
    with pack_gatherer.Gatherer(tmp_path / "state") as gatherer:
        pack = gatherer.pack(project, text, keys, budget=budget)
    assert pack.tokens <= budget


@pytest.mark.parametrize("facet", search_scope.FACETS)
def test_an_excluded_part_of_the_project_is_listed_by_path_only(
    project: Path, gatherer: pack_gatherer.Gatherer, facet: search_scope.Facet
) -> None:
    with gatherer:
        pack = gatherer.pack(project, "orders list page", scope=search_scope.SearchScope(excludes=(facet,)))
    paths = {item.path for item in pack.chosen} | set(pack.also) | set(pack.ranked)
    assert not [path for path in paths if facet in search_scope.of(path)]
    likely = {"server/api/orders.py", "web/components/Orders.tsx", "db/migrations/001_orders.sql"}
    assert {path for path in likely if facet in search_scope.of(path)} <= set(pack.withheld)


def test_a_saving_compares_with_the_named_files_whole_and_with_nothing_when_none_is_named(
    project: Path, gatherer: pack_gatherer.Gatherer
) -> None:
    assert gatherer.pack(project, "Round the total of a cart").whole == 0
    path = next(file for file in sorted(project.rglob("*.py")) if file.stat().st_size)
    name = path.relative_to(project).as_posix()
    pack = gatherer.pack(project, "Round the total of a cart", [f"file:{name}"])
    given = [item for item in pack.items if item.path == name]
    assert pack.whole == token_count.count(packs.render(given, ())) <= pack.tokens


def test_an_explicit_path_wins_over_what_is_excluded(project: Path, gatherer: pack_gatherer.Gatherer) -> None:
    scope = search_scope.SearchScope(excludes=("frontend",))
    with gatherer:
        pack = gatherer.pack(project, "orders", ["file:web/components/Orders.tsx"], scope=scope)
    assert "OrderList" in pack.text
    assert "web/components/Orders.tsx" not in pack.withheld


def test_no_string_of_an_excluded_part_gets_into_any_pack(tmp_path: Path) -> None:
    rng = random.Random(7)
    words = ["order", "user", "page", "list", "token", "cache", "theme", "index", "deploy", "report"]
    root = tmp_path / "project"
    for name in FILES:
        for copy in range(4):
            path = root / name.replace(".", f"{copy}.", 1) if "." in name else root / f"{name}.{copy}"
            path.parent.mkdir(parents=True, exist_ok=True)
            marks = " ".join(SECRETS[facet] for facet in search_scope.of(path.relative_to(root).as_posix()))
            names = ("_".join((*rng.choices(words, k=2), *rng.choices(string.ascii_lowercase, k=2))) for _ in range(6))
            body = "\n".join(f"def {name}():  # {marks}\n    return '{rng.choice(words)} {marks}'" for name in names)
            path.write_text(body)
    leaks = 0
    forms = ("rag:{}", "symbol:{}", "pattern:{}", "structure:", "rag:docs: {}", "file:**/*", "CANARY {}", "rules:")
    with pack_gatherer.Gatherer(tmp_path / "state") as gatherer:
        for turn in range(120):
            excluded = tuple(rng.sample(search_scope.FACETS, rng.randint(1, 4)))
            keys = [rng.choice(forms).format(rng.choice(words)) for _ in range(3)]
            text = f"{rng.choice(words)} {rng.choice(words)} CANARY {SECRETS[excluded[0]]}"
            pack = gatherer.pack(
                root,
                text,
                keys,
                budget=rng.choice((400, 2_000, 8_000)),
                scope=search_scope.SearchScope(excludes=excluded),
            )
            shown = pack.text + " ".join(item.key for item in pack.left_out)
            leaks += sum(SECRETS[facet] in shown.replace(text, "") for facet in excluded)
            assert pack.tokens <= pack.budget, turn
    assert leaks == 0


async def test_many_tasks_may_gather_at_once(project: Path, tmp_path: Path) -> None:
    found: list[packs.Pack] = []

    async def one(at: int) -> None:
        found.append(await gatherer.gather(project, f"list orders {at}"))

    with pack_gatherer.Gatherer(tmp_path / "state") as gatherer, anyio.fail_after(120):
        async with anyio.create_task_group() as tasks:
            for at in range(12):
                tasks.start_soon(one, at)
    assert {pack.ranked[0] for pack in found} == {"server/api/orders.py"}


def test_a_pack_is_the_same_again(project: Path, tmp_path: Path) -> None:
    texts: set[str] = set()
    for at in range(3):
        with pack_gatherer.Gatherer(tmp_path / f"state{at}") as gatherer:
            texts |= {gatherer.pack(project, "List orders by page", ["rules:"]).text for _ in range(2)}
    assert len(texts) == 1


def test_a_workspace_that_is_no_folder_is_refused(tmp_path: Path, gatherer: pack_gatherer.Gatherer) -> None:
    with gatherer, pytest.raises(safe_paths.Refused):
        gatherer.pack(tmp_path / "nowhere", "x")


def test_an_empty_workspace_gives_an_empty_pack(tmp_path: Path, gatherer: pack_gatherer.Gatherer) -> None:
    (tmp_path / "empty").mkdir()
    with gatherer:
        assert gatherer.pack(tmp_path / "empty", "anything").chosen == ()
        assert gatherer.pack(tmp_path / "empty", "").text == packs.NOTHING


def test_an_index_stays_open_for_few_workspaces_and_opens_again_for_others(tmp_path: Path) -> None:
    roots = [tmp_path / f"project{at}" for at in range(pack_gatherer.KEPT_OPEN + 3)]
    for at, root in enumerate(roots):
        root.mkdir()
        (root / "app.py").write_text(f"def serve_{at}():\n    return {at}\n")
    with pack_gatherer.Gatherer(tmp_path / "state") as gatherer:
        for _ in range(2):
            for at, root in enumerate(roots):
                assert f"def serve_{at}" in gatherer.pack(root, "serve it").text


def test_a_refresh_says_what_it_took(project: Path, gatherer: pack_gatherer.Gatherer) -> None:
    with gatherer:
        first = gatherer.refresh(project)
        assert (first.read, first.removals) == (len(FILES), 0)
        (project / "CLAUDE.md").unlink()
        again = gatherer.refresh(project)
        assert (again.files, again.read, again.removals) == (len(FILES) - 1, 0, 1)


def test_a_pack_shows_a_file_as_it_is_now(project: Path, gatherer: pack_gatherer.Gatherer) -> None:
    with gatherer:
        gatherer.pack(project, "list orders")
        (project / "server/api/orders.py").write_text("def list_invoices(page):\n    return page\n")
        pack = gatherer.pack(project, "list invoices", ["file:server/api/orders.py"])
    assert "list_invoices" in pack.text
    assert "list_orders(page)" not in pack.text


@pytest.mark.parametrize(("budget", "granted"), [(0, packs.LEAST_BUDGET), (10**9, packs.MOST_BUDGET), (700, 700)])
def test_a_budget_is_kept_within_its_bounds(
    project: Path, gatherer: pack_gatherer.Gatherer, budget: int, granted: int
) -> None:
    with gatherer:
        assert gatherer.pack(project, "list orders", budget=budget).budget == granted


def test_commits_that_are_handed_in_replace_those_of_the_workspace(
    project: Path, gatherer: pack_gatherer.Gatherer
) -> None:
    commits = [git_log.Commit("a" * 40, 1, "Charge the card", ("server/api/users.py",))]
    history = pack_gatherer.PastCommits(commits)
    with gatherer:
        without = gatherer.pack(project, "Charge the card")
        pack = gatherer.pack(project, "Charge the card", past_commits=history)
    history.close()
    assert "server/api/users.py" not in without.ranked
    assert pack.ranked[0] == "server/api/users.py"


def test_an_index_that_is_damaged_while_it_is_open_is_built_anew(
    project: Path, tmp_path: Path, gatherer: pack_gatherer.Gatherer
) -> None:
    with gatherer:
        before = gatherer.pack(project, "list orders page")
        file_index.place(tmp_path / "state", project).write_bytes(b"no database" * 1_000)
        assert gatherer.pack(project, "list orders page").text == before.text


async def test_packing_beside_the_event_loop_gives_the_same_pack(
    project: Path, gatherer: pack_gatherer.Gatherer
) -> None:
    with gatherer, anyio.fail_after(120):
        beside = await gatherer.gather(project, "cancel an order", ["symbol:Users"], budget=900)
        assert beside == gatherer.pack(project, "cancel an order", ["symbol:Users"], budget=900)


def test_tests_of_what_changes_are_named_and_not_given(project: Path, gatherer: pack_gatherer.Gatherer) -> None:
    with gatherer:
        pack = gatherer.pack(project, "list orders page")
    assert "tests/test_orders.py" in pack.also
    assert "tests/test_orders.py" not in {item.path for item in pack.chosen}


@pytest.mark.parametrize(
    ("task", "path", "text"),
    [
        ("Write a test that orders are listed by page", "tests/test_orders.py", "test_orders_are_listed"),
        ("Document in the guide how orders are listed", "docs/orders.md", "Orders are listed by page."),
        ("Change the colour of the orders in the CSS styles", "web/styles/orders.css", "color: red"),
        ("Pin the base image in the Dockerfile", "deploy/Dockerfile", "FROM scratch"),
    ],
)
def test_what_a_task_is_about_is_given_whatever_kind_of_file_it_is(
    project: Path, gatherer: pack_gatherer.Gatherer, task: str, path: str, text: str
) -> None:
    with gatherer:
        pack = gatherer.pack(project, task)
    assert path in {item.path for item in pack.chosen}
    assert text in pack.text
    assert path in pack.ranked[:3]


def test_what_needs_no_index_is_given_without_one(project: Path, gatherer: pack_gatherer.Gatherer) -> None:
    sources = requirement_sources.Sources(
        handoffs={"design": "We use cursors."}, notes="Yesterday we stopped at tests.", texts=("db/migrations/",)
    )
    keys = ["rules:", "file:server/api/orders.py", "task:design", "symbol:Users", "rag:orders"]
    with gatherer:
        pack = gatherer.plain(project, "As docs/orders.md says, list orders", keys, sources=sources)
    assert [item.path for item in pack.items] == [
        *("AGENTS.md", "CLAUDE.md", "continuity notes"),
        *("server/api/orders.py", "handoff of design", "docs/orders.md"),
    ]
    assert not pack.unresolved
    assert not (gatherer.state_dir / "context").exists()


def test_without_an_index_a_long_file_shows_its_beginning_within_the_budget(
    project: Path, gatherer: pack_gatherer.Gatherer
) -> None:
    (project / "long.txt").write_text("".join(f"line {at} says something\n" for at in range(3_000)))
    with gatherer:
        pack = gatherer.plain(project, "Mend long.txt", budget=1_000)
    assert pack.tokens <= 1_000
    assert pack.items[0].text.startswith("line 0 says")
    assert [entry.key for entry in pack.left_out] == ["file:long.txt"]


def test_a_text_that_is_no_unicode_finds_what_its_other_words_find(
    project: Path, gatherer: pack_gatherer.Gatherer
) -> None:
    with gatherer:
        pack = gatherer.pack(project, "List \ud800 orders\0", ["symbol:\udce6", "rag:orders \ud800"])
    assert pack.ranked[0] == "server/api/orders.py"
    assert pack.text.encode("utf-8")


async def test_a_text_that_is_no_unicode_may_name_a_file_however_the_pack_is_made(
    project: Path, gatherer: pack_gatherer.Gatherer
) -> None:
    text, keys = "\udce6 Mend \ud800", ["file:server/api/orders.py", "file:\udce6.py"]
    with gatherer:
        made = [gatherer.plain(project, text, keys), await gatherer.gather(project, text, keys)]
    for pack in made:
        assert pack.items[0].path == "server/api/orders.py"
        assert pack.text.encode("utf-8")


def test_packs_that_wait_while_everything_is_closed_are_not_made(project: Path, tmp_path: Path) -> None:
    gatherer = pack_gatherer.Gatherer(tmp_path / "state")
    assert gatherer.pack(project, "Show the total").text
    gatherer.close()
    with pytest.raises(safe_paths.Refused, match="the server ends"):
        gatherer.pack(project, "Show the total")
    gatherer.close()


def test_a_pack_that_is_being_made_holds_up_no_close(project: Path, tmp_path: Path) -> None:
    gatherer, is_begun, is_closed = pack_gatherer.Gatherer(tmp_path / "state"), threading.Event(), threading.Event()

    class SlowHistory(pack_gatherer.PastCommits):
        def votes(self, query: context_query.Query) -> index_search.Votes:
            is_begun.set()
            is_closed.wait()
            return super().votes(query)

    work = threading.Thread(target=gatherer.pack, args=(project, "Show"), kwargs={"past_commits": SlowHistory([])})
    work.start()
    is_begun.wait()
    gatherer.close()
    is_closed.set()
    work.join()
