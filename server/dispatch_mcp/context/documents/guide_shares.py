"""What of the texts that guide the work is given: all of each, or its outline and the sections that matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from dispatch_mcp.context import assembly, packs, part_choice
from dispatch_mcp.context.documents import document_parts, file_shares
from dispatch_mcp.text import token_count

_SHARE: Final = 0.4
"""Share of the budget that rules and a knowledge document may take together."""
_RULES_SHARE: Final = 0.15
"""What rules may take however long the knowledge document is."""
_LEAST_WORTH: Final = 0.25
"""Sections of a long knowledge document that say less of the task than this share of the best one are left out, if its
reader can look them up; rules count whatever a task is about."""


def offer(
    guides: Sequence[packs.Item],
    interest: file_shares.Interest,
    *,
    knowledge_share: float,
    addresses: Mapping[str, str],
) -> assembly.KeyOffer:
    """Returns what is given of each text, in the same order, with where the rest is; empty ones are left out.

    `knowledge_share` of the budget is what a knowledge document may take; `addresses` are where all of it can be read.
    """
    extracts = [
        document_parts.extract(
            guide.text,
            room - part_choice.cost(guide.path, ""),
            interest.query.terms,
            interest.rarity,
            least=_LEAST_WORTH if guide.path in addresses else 0.0,
        )
        for guide, room in zip(guides, _rooms(guides, interest.budget, knowledge_share), strict=True)
    ]
    pairs = list(zip(guides, extracts, strict=True))
    return assembly.KeyOffer(
        tuple(_item(guide, extract, addresses.get(guide.path, "")) for guide, extract in pairs if extract.text.strip()),
        left_out=tuple(
            _rest(guide, extract)
            for guide, extract in pairs
            if not extract.is_whole and not addresses.get(guide.path)  # where the rest of those is stands below them
        ),
    )


def _rooms(guides: Sequence[packs.Item], budget: int, knowledge_share: float) -> list[int]:
    """Returns the tokens that each text may take: knowledge has its share, rules and notes what that leaves."""
    costs = [part_choice.cost(guide.path, guide.text) for guide in guides]
    is_knowledge = [guide.why == "knowledge" for guide in guides]
    knowledge = [cost for cost, is_one in zip(costs, is_knowledge, strict=True) if is_one]
    rules = [cost for cost, is_one in zip(costs, is_knowledge, strict=True) if not is_one]
    most = token_count.fair_share(knowledge, int(budget * knowledge_share))
    expense = sum(min(cost, most) for cost in knowledge)
    rest = token_count.fair_share(rules, max(int(budget * _RULES_SHARE), int(budget * _SHARE) - expense))
    return [most if is_one else rest for is_one in is_knowledge]


def _item(guide: packs.Item, extract: document_parts.Extract, address: str) -> packs.Item:
    """Returns the extract of a text with where all of it can be read."""
    is_named = address and not extract.is_whole
    return replace(guide, text=f"{extract.text}\n\n[All of it: {address}]" if is_named else extract.text)


def _rest(guide: packs.Item, extract: document_parts.Extract) -> packs.LeftOut:
    """Returns what is left out of a text, by the key by which it can be read."""
    key = f"file:{guide.path}" if guide.why == "rules" else guide.key
    return packs.LeftOut(key, max(1, token_count.count(guide.text) - token_count.count(extract.text)))
