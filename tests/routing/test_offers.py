"""What a model is offered: five to choose from, everybody's name, and never who must not do it."""

from __future__ import annotations

import name_lines
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.agents import bundled_files, catalog, loader, rosters
from dispatch_mcp.routing import confidence, offers, router

SHIPPED = loader.Source(
    (loader.Folder(bundled_files.shipped_folder("agents"), "bundled", nested=True),), scope=frozenset[str]()
).catalog()
READS = ("Read", "Grep")
WRITES = ("Read", "Edit", "Write")


def agent(name: str, description: str, **more: object) -> catalog.Agent:
    return catalog.Agent.model_validate({"name": name, "description": description, "sha256": name, **more})


def team(*agents: catalog.Agent, **more: object) -> catalog.Catalog:
    return catalog.merge(agents, words=loader.words(), **more)  # type: ignore[arg-type] - test sugar


def shown(route: router.Route) -> list[str]:
    return [choice.agent for choice in route.offer.choices]


@pytest.mark.parametrize("request_", ["Make it nicer", "2+2", "Fix the login", "thanks", "Write a sonnet"])
def test_every_name_of_a_roster_of_sixty_is_offered(request_: str) -> None:
    route = router.route(request_, SHIPPED)
    assert sorted(route.offer.names) == sorted(SHIPPED.keys)
    assert len(route.offer.choices) == offers.FIVE


def test_of_hundreds_the_likeliest_and_the_groups_are_named() -> None:
    hundreds = team(
        *(agent(f"{kind}-{n}", f"Handles {kind} number {n}.") for kind in ("tea", "rye") for n in range(90))
    )
    offer = router.route("Handle tea number 17", hundreds).offer
    assert len(offer.names) == offers.FIVE + offers.NEXT
    assert {group.split()[0] for group in offer.groups} >= {"tea", "rye"}


GROUPS = ("tea", "rye", "oat", "fig", "nut")


@pytest.mark.parametrize("request_", ["zzz", "Who can help us tomorrow?", "Việc này của ai?"])
def test_where_nobody_is_likely_every_group_of_hundreds_is_seen(request_: str) -> None:
    known = team(*(agent(f"{group}-{n}", f"Handles lot {n}.") for group in GROUPS for n in range(40)))
    names = router.route(request_, known).offer.names
    counts = [sum(name.startswith(group) for name in names) for group in GROUPS]
    assert min(counts) >= 4


@given(
    st.lists(st.tuples(st.floats(-5, 5), st.sampled_from(GROUPS)), min_size=1, max_size=120),
)
def test_spreading_loses_and_repeats_nobody_and_keeps_the_order_within_a_group(rows: list[tuple[float, str]]) -> None:
    logits, groups = [row[0] for row in rows], [row[1] for row in rows]
    order = sorted(range(len(rows)), key=lambda place: -logits[place])
    spread = offers.spread(order, logits, groups)
    assert sorted(spread) == sorted(order)
    for group in GROUPS:
        assert [p for p in spread if groups[p] == group] == [p for p in order if groups[p] == group]


def test_whom_the_words_choose_is_named_among_the_others_although_the_technology_is_another() -> None:
    gardens = (agent(f"garden-{n}", f"Handles bed {n}.") for n in range(80))
    golang = agent("golang-pro", "Goroutines, channels and deadlocks.")
    route = router.route("Teach a Python developer why her goroutines deadlock on a channel", team(golang, *gardens))
    assert route.specialist is None
    assert "golang-pro" not in shown(route)
    assert route.offer.rest[0] == "golang-pro"


def test_who_is_named_after_a_technology_that_nobody_mentions_stands_behind_the_others() -> None:
    names = (
        "rust-expert",
        "django-expert",
        "vue-expert",
        "crisis",
        "budget",
        "schedule",
        *(f"bed-{n}" for n in range(5)),
    )
    rest = router.route("zzz", team(*(agent(name, "Helps.") for name in names))).offer.rest
    assert rest[-3:] == ("rust-expert", "django-expert", "vue-expert") or set(rest[-3:]) <= set(names[:3])


@pytest.mark.parametrize(
    ("text", "words", "short"),
    [
        ("database tables: SQL, indexes", 3, "database tables: SQL"),
        ("Flutter framework for mobile apps", 3, "Flutter framework"),
        ("internationalization responsibilities everywhere", 2, "internationalizati"),
        ("one", 5, "one"),
        ("anything", 0, ""),
        ("", 5, ""),
    ],
)
def test_what_an_agent_is_for_is_shortened_between_words(text: str, words: int, short: str) -> None:
    assert offers.first_words(text, words) == short


@pytest.mark.parametrize(
    ("description", "words"),
    [
        ("Use to review code - naming, errors, tests.", "review code: naming, errors, tests"),
        ("Use this agent when you need to write SQL. Examples follow.", "write SQL"),
        ("Specialist for gateway-server.", "gateway-server"),
        ("MUST BE USED for Django models; also views", "Django models"),
        ("", ""),
        ("Use to " + "measure, " * 40 + "weigh", "measure, " * (offers.MOST_WORDS - 1) + "measure…"),
    ],
)
def test_what_an_agent_is_for_is_said_without_the_preamble(description: str, words: str) -> None:
    assert offers.about(description) == words


@given(st.text(max_size=400))
def test_what_an_agent_is_for_takes_at_most_twelve_words(description: str) -> None:
    assert len(offers.about(description).split()) <= offers.MOST_WORDS


NAMES = st.lists(st.from_regex(r"[a-z]{1,4}(-[a-z]{1,4}){0,3}", fullmatch=True), unique=True, max_size=30)


@given(NAMES)
def test_names_in_one_line_can_all_be_read_back(names: list[str]) -> None:
    text = offers.line(names)
    assert sorted(name_lines.read_back(text)) == sorted(names)
    assert len(text) <= len(" ".join(names))


def test_what_names_share_is_written_once() -> None:
    names = ["eng-api-pro", "eng-db-pro", "eng-web-pro", "qa-pro", "boss"]
    assert offers.line(names) == "(eng-(api db web) qa)-pro boss"


def test_a_name_with_blanks_or_brackets_of_its_own_stands_in_quotes() -> None:
    names = ["eng-a", "eng-b", "Data Wizard", "eng-c", "(beta) tester", "100% sure"]
    assert offers.line(names) == 'eng-(a b c) "Data Wizard" "(beta) tester" "100% sure"'


@pytest.mark.parametrize(
    "request_",
    [
        "Fix the crash in the parser",
        "please implement parser support",
        "We need to rename the parser",
        "Sửa lỗi parser",
    ],
)
def test_a_task_that_writes_never_goes_to_an_agent_that_cannot(request_: str) -> None:
    reader = agent("parser-analyst", "Knows the parser, its crash reports and its names.", tools=READS)
    other = agent("janitor", "Sweeps.", tools=WRITES)
    route = router.route(request_, team(reader, other))
    assert route.specialist != "parser-analyst"
    assert "parser-analyst" not in shown(route)
    assert "parser-analyst" in route.offer.names


@pytest.mark.parametrize("request_", ["Review the parser", "audit the parser, please", "Can you look over the parser?"])
def test_a_review_never_goes_to_a_builder(request_: str) -> None:
    builder = agent("parser-dev", "Builds the parser.", tools=WRITES)
    reviewer = agent("critic", "Reviews changes.", tools=READS)
    route = router.route(request_, team(builder, reviewer))
    assert route.specialist != "parser-dev"
    assert shown(route) == ["critic"]


def test_nobody_is_named_where_all_are_unsuited() -> None:
    route = router.route("Fix the parser", team(agent("parser-analyst", "Knows the parser.", tools=READS)))
    assert route.specialist is None
    assert route.strategy == "human"


@pytest.mark.parametrize(
    ("request_", "right"),
    [
        ("The Rust service leaks memory", "rust-pro"),
        ("The service in src/main.rs leaks memory", "rust-pro"),
        ("The Django service leaks memory", "python-pro"),
        ("Der Dienst in Go verliert Speicher", "golang-pro"),
    ],
)
def test_a_technology_that_is_named_rules_the_others_out(request_: str, right: str) -> None:
    same = "Services and their memory leaks, Speicher und Dienst."
    known = team(*(agent(name, same, tools=WRITES) for name in ("golang-pro", "python-pro", "rust-pro")))
    route = router.route(request_, known)
    assert route.ranked[0].name == right
    assert shown(route) == [right]


def test_a_technology_of_the_workspace_rules_the_others_out_where_the_text_is_silent() -> None:
    pair = [agent(name, "Services and their memory leaks.") for name in ("python-pro", "rust-pro")]
    signs = rosters.Signs(files=frozenset({"Cargo.toml"}))
    assert shown(router.route("The service leaks memory", team(*pair, signs=signs))) == ["rust-pro"]
    assert router.route("The Python service leaks memory", team(*pair, signs=signs)).ranked[0].name == "python-pro"
    assert len(shown(router.route("The service leaks memory", team(*pair)))) == 2


def test_files_of_a_task_name_its_technology() -> None:
    pair = team(*(agent(name, "Services and their memory leaks.") for name in ("python-pro", "rust-pro")))
    route = router.route("The service leaks memory", pair, hints=router.Hints(files=("app/main.py",)))
    assert shown(route) == ["python-pro"]


def test_a_request_with_two_domains_names_both() -> None:
    known = team(
        agent("web", "Web pages, forms and CSS in the browser.", keywords=["css", "form"]),
        agent("db", "Database tables, SQL queries and migrations.", keywords=["sql", "table"]),
    )
    route = router.route("Add a table for orders with an SQL migration, and style the order form with CSS", known)
    assert {part.agent for part in route.offer.parts} == {"web", "db"}
    assert not route.sure
    assert confidence.strategy(route.confidence, route.readiness, confidence.Bands()) != "human"
    assert route.strategy == "supervised"


def test_equals_are_called_a_tie_and_neither_is_sure() -> None:
    same = "Handles widgets and gadgets."
    route = router.route("Fix the widgets and gadgets", team(agent("a", same), agent("b", same)))
    assert set(route.offer.tie) == {"a", "b"}
    assert route.confidence < 0.5


WORD = st.sampled_from(["widgets", "sprockets", "flanges", "css", "sql", "kubernetes", "login"])


@given(WORD, st.sampled_from(["the {}", "Look at the {} again", "{}!", "Hmm, {}?"]))
def test_a_single_matched_word_is_never_sure(word: str, frame: str) -> None:
    known = team(agent("one", f"Everything about {word}."), agent("two", "Gardens."))
    assert router.route(frame.format(word), known).confidence < router.SURE


@given(st.lists(WORD, min_size=1, max_size=4, unique=True))
def test_a_user_s_agent_never_loses_to_a_shipped_one_on_equal_words(words: list[str]) -> None:
    about = f"Handles {', '.join(words)}."
    ours = agent("ours", about, layer="bundled", roster="x", body="Long role text. " * 50, keywords=words)
    theirs = agent("theirs", about, layer="user", roster="user")
    others = [agent(f"other-{n}", f"Gardens, kitchens and number {n}.", layer="bundled", roster="x") for n in range(5)]
    assert router.route(f"Change the {' and the '.join(words)}", team(ours, theirs, *others)).ranked[0].name == "theirs"


@pytest.mark.parametrize(
    "request_",
    [
        "Parse the header lines of the export",
        "Rename get_total() to total()",
        "Sort the entries in src/report.py by date",
        "Write a script that renames files",
    ],
)
def test_programming_that_no_specialist_claims_goes_to_the_general_agent(request_: str) -> None:
    route = router.route(request_, SHIPPED)
    assert route.ranked[0].name == "general-purpose"
    assert route.confidence >= 0.4


def test_the_general_agent_is_among_those_to_choose_from_and_named_for_the_rest() -> None:
    for request_ in ("Water the ficus", "Something is odd", "Quarterly figures"):
        route = router.route(request_, SHIPPED)
        assert "general-purpose" in shown(route)
        assert route.general == "general-purpose"


@pytest.mark.parametrize("request_", ["Review the ficus", "Audit the quarterly figures", "Please look over the note"])
def test_the_general_agent_who_builds_is_not_named_for_a_review(request_: str) -> None:
    route = router.route(request_, SHIPPED)
    assert not route.general
    assert "general-purpose" not in [choice.agent for choice in route.offer.choices]


def test_an_offer_names_the_rosters_that_are_off() -> None:
    offer = router.route("Plan the launch campaign", SHIPPED).offer
    assert {"business", "growth", "backend", "data"} <= set(offer.off)
