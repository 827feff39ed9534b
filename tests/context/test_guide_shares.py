"""What of rules and knowledge documents is given in the room that they have together."""

from __future__ import annotations

from dispatch_mcp.context import assembly, context_query, packs
from dispatch_mcp.context.documents import file_shares, guide_shares
from dispatch_mcp.text import token_count

BUDGET = 2_000
INTEREST = file_shares.Interest(context_query.read("Apply discounts"), budget=BUDGET)
NAMES = ("Taxes", "Discounts", "Refunds", "Stock")


def guide(path: str, why: packs.Why, lines: int) -> packs.Item:
    """Returns a text of four sections with so many lines each."""
    text = "\n\n".join(f"## {name}\n\n" + "Words about nothing in particular.\n" * lines for name in NAMES)
    return packs.Item(f"rules:{path}", path, text.strip(), 0, why)


def offer(*guides: packs.Item, **addresses: str) -> assembly.KeyOffer:
    return guide_shares.offer(guides, INTEREST, knowledge_share=1 / 3, addresses=addresses)


def tokens(item: packs.Item) -> int:
    return token_count.count(item.text)


def test_what_is_short_is_given_whole_in_its_order() -> None:
    guides = (guide("mine", "knowledge", 1), guide("AGENTS.md", "rules", 1), guide("notes", "notes", 1))
    assert offer(*guides) == assembly.KeyOffer(guides)


def test_long_rules_have_what_knowledge_leaves_of_their_common_room() -> None:
    knowledge, rules = offer(guide("mine", "knowledge", 400), guide("AGENTS.md", "rules", 400)).pieces
    assert tokens(knowledge) <= BUDGET / 3
    assert BUDGET * 0.05 < tokens(rules) <= BUDGET * 0.15
    [alone] = offer(guide("AGENTS.md", "rules", 40)).pieces
    assert BUDGET * 0.2 < tokens(alone) <= BUDGET * 0.4


def test_of_a_long_document_that_can_be_read_elsewhere_only_what_matters_is_given_with_the_place() -> None:
    given = offer(guide("mine", "knowledge", 30), mine="the file mine.md")
    assert [name for name in NAMES if f"## {name}" in given.pieces[0].text] == ["Discounts"]
    assert given.pieces[0].text.endswith("[All of it: the file mine.md]")
    assert given.left_out == ()
    bare = offer(guide("mine", "knowledge", 30))
    assert len([name for name in NAMES if f"## {name}" in bare.pieces[0].text]) > 1
    assert [entry.key for entry in bare.left_out] == ["rules:mine"]


def test_the_rest_of_rules_is_a_file_of_the_workspace_and_empty_ones_are_left_out() -> None:
    empty = packs.Item("rules:CLAUDE.md", "CLAUDE.md", " ", 0, "rules")
    given = offer(guide("AGENTS.md", "rules", 400), empty)
    assert [piece.path for piece in given.pieces] == ["AGENTS.md"]
    assert [entry.key for entry in given.left_out] == ["file:AGENTS.md"]
