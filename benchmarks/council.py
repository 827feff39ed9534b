"""CPU time of choosing reviewers for a large change, and of dividing a very large one with a full account.

Prints a line a figure; exits 1 when one is over its bound or a line is lost. Times are process CPU, best of several.
"""

from __future__ import annotations

import gc
import math
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

from dispatch_mcp.agents import loader
from dispatch_mcp.review import diff_parts, injections, review_scope, reviewer_selection
from dispatch_mcp.text import unified_diff

REPEATS = 9
SELECT_BOUND_MS = 20.0
SPLIT_BOUND_MS = 2_000.0
AGENTS = Path(__file__).parents[1] / "agents"

LINES = (
    "    total = sum(line.price * line.amount for line in order.lines)",
    "    if customer.is_new and total > limit:",
    "        raise ValueError(f'too much for {customer.name}')",
    "    for order in Order.objects.filter(placed__month=month):",
    "        rows.append((order.number, order.total, order.customer_id))",
    "    return render(request, 'orders.html', {'rows': rows, 'page': page})",
    "def archive(order: Order, *, at: datetime) -> None:",
    '    """Moves an order out of the way."""',
    "    logger.info('archived %s', order.number)",
    "    with transaction.atomic():",
    "    # keep the number: invoices refer to it",
    "    self.cache.set(key, value, timeout=60)",
    "    response = client.get(f'/orders/{number}', headers=headers)",
    "class OrderView(View):",
    "    name = models.CharField(max_length=200, blank=True)",
)


def change(lines: int, files: int) -> str:
    """Returns a diff of so many lines in so many files, mixed as such diffs are."""
    rng = random.Random(7)
    out: list[str] = []
    each = lines // files
    for number in range(files):
        folder = rng.choice(("shop", "billing", "tests", "api"))
        path = f"{folder}/{'test_' if folder == 'tests' else ''}part_{number}.py"
        out += [f"diff --git a/{path} b/{path}", f"--- a/{path}", f"+++ b/{path}"]
        left = each - 3
        while left > 0:
            size = min(left, rng.randint(8, 60))
            body = [rng.choice("   ++++--") + rng.choice(LINES) for _ in range(size)]
            old, new = sum(line[0] in " -" for line in body), sum(line[0] in " +" for line in body)
            out += [f"@@ -{size},{old} +{size},{new} @@", *body]
            left -= size + 1
    return "\n".join(out)


def cpu_ms(step: Callable[[], object]) -> float:
    best = math.inf
    for _ in range(REPEATS):
        gc.collect()
        began = time.process_time()
        step()
        best = min(best, time.process_time() - began)
    return best * 1000


def selection(pool: reviewer_selection.Pool) -> bool:
    seen = review_scope.split_scope(unified_diff.parse(change(5_000, 40)))
    first = time.process_time()
    reviewer_selection.select(seen.diff, pool)
    cold = (time.process_time() - first) * 1000
    warm = cpu_ms(lambda: reviewer_selection.select(seen.diff, pool))
    parsing = cpu_ms(lambda: unified_diff.parse(change_text))
    over = warm > SELECT_BOUND_MS
    print(
        f"select, 5,000 lines   {warm:8.1f} ms  bound {SELECT_BOUND_MS:g}{' OVER' if over else ''}  (first {cold:.0f})"
    )
    print(f"parse, 5,000 lines    {parsing:8.1f} ms")
    return not over


def coverage() -> bool:
    whole = review_scope.split_scope(unified_diff.parse(change(50_000, 300))).diff
    spent = cpu_ms(lambda: diff_parts.split(whole))
    divided = diff_parts.split(whole)
    shown = {
        (one.path, line.mark, line.number, line.text)
        for part in divided.parts
        for one in unified_diff.parse(part.text).files
        for hunk in one.hunks
        for line in unified_diff.lines_with_numbers(hunk)
    }
    wanted = {
        (one.path, line.mark, line.number, line.text)
        for one in whole.files
        for hunk in one.hunks
        for line in unified_diff.lines_with_numbers(hunk)
    }
    named = sum(span.last - span.first + 1 for span in divided.unseen)
    over = spent > SPLIT_BOUND_MS or not (wanted <= shown or divided.unseen)
    print(
        f"split, 50,000 lines   {spent:8.1f} ms  bound {SPLIT_BOUND_MS:g}{' OVER' if over else ''}  "
        f"{len(divided.parts)} parts, {len(wanted & shown)} of {len(wanted)} lines shown, {named} named as unseen"
    )
    print(f"flags, 50,000 lines   {cpu_ms(lambda: injections.flags(whole)):8.1f} ms")
    return not over


if __name__ == "__main__":
    change_text = change(5_000, 40)
    shipped = loader.Source((loader.Folder(AGENTS, "bundled", nested=True),)).catalog()
    results = [selection(reviewer_selection.pool(shipped)), coverage()]
    sys.exit(0 if all(results) else 1)
