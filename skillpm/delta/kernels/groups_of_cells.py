"""Kernels of `skillpm.delta.codecs.shared.context_map`, their reference: groups of cells."""

import numpy as np

from skillpm.delta.kernels.kernel import I32, I64, OutI64, helper, kernel

FAR = 1 << 62
"""The price of merging with a group that is gone."""


@helper
def cost_of(rows: I64, one: int, other: int, tokens: int, weights: I32, prices: I64) -> int:
    """Return the cost of the counts of two groups together, of one if both are the same.

    `prices` are what a table and one of its tokens cost.
    """
    total, cost = 0, int(prices[0])
    for token in range(tokens):
        count = rows[one * tokens + token]
        if other != one:
            count += rows[other * tokens + token]
        if count:
            total += count
            cost += int(prices[1]) - int(weights[count])
    return cost + int(weights[total])


@helper
def nearest(joins: I64, cells: int, one: int) -> int:
    """Return the first group with which merging group `one` is cheapest."""
    best = 0
    for other in range(1, cells):
        if joins[one * cells + other] < joins[one * cells + best]:
            best = other
    return best


@helper
def refresh(joins: OutI64, partner: OutI64, alive: I64, one: int, gone: int, added: I64) -> None:
    """Enter what merging group `one` with each other group costs; group `gone` is part of it."""
    cells = partner.size
    for other in range(cells):
        joins[gone * cells + other] = joins[other * cells + gone] = FAR
    for other in range(cells):
        if not alive[other] or other == one:
            continue
        before = partner[other]
        least = joins[other * cells + before]
        joins[one * cells + other] = joins[other * cells + one] = added[other]
        if before in (one, gone):
            partner[other] = nearest(joins, cells, other)
        elif added[other] < least:
            partner[other] = one
    partner[one] = nearest(joins, cells, one)


@helper
def cheapest(joins: I64, partner: I64, alive: I64) -> int:
    """Return the first group whose merging with its partner is cheapest."""
    best, least = 0, FAR
    for cell in range(partner.size):
        join = joins[cell * partner.size + partner[cell]]
        if alive[cell] and join < least:
            best, least = cell, join
    return best


@helper
def begin(
    rows: I64, tokens: int, weights: I32, prices: I64,
    costs: OutI64, joins: OutI64, partner: OutI64, groups: OutI64,
) -> None:  # fmt: skip
    """Make each cell a group of its own."""
    cells = groups.size
    for one in range(cells):
        groups[one] = one
        costs[one] = cost_of(rows, one, one, tokens, weights, prices)
        for other in range(one):
            join = cost_of(rows, one, other, tokens, weights, prices) - costs[one] - costs[other]
            joins[one * cells + other] = joins[other * cells + one] = join
    for one in range(cells):
        partner[one] = nearest(joins, cells, one)


@kernel
def merge_groups(
    counts: I64, tokens: int, limit: int, weights: I32, prices: I64, groups: OutI64
) -> None:
    """Merge cells, with `counts` [cells · tokens], as `context_map` does.

    Writes the group of each cell [cells]. `weights` are c · log2(c) of counts.
    """
    cells = groups.size
    rows, joins = counts.copy(), np.full(cells * cells, FAR, dtype=np.int64)
    costs, partner = np.empty(cells, dtype=np.int64), np.empty(cells, dtype=np.int64)
    alive, added = np.ones(cells, dtype=np.int64), np.zeros(cells, dtype=np.int64)
    begin(rows, tokens, weights, prices, costs, joins, partner, groups)
    for left in range(cells, 1, -1):
        one = cheapest(joins, partner, alive)
        gone = partner[one]
        if left <= limit and joins[one * cells + gone] >= 0:
            break
        alive[gone] = 0
        for token in range(tokens):
            rows[one * tokens + token] += rows[gone * tokens + token]
        costs[one] = cost_of(rows, one, one, tokens, weights, prices)
        for cell in range(cells):
            if groups[cell] == gone:
                groups[cell] = one
            if alive[cell] and cell != one:
                price = cost_of(rows, one, cell, tokens, weights, prices)
                added[cell] = price - costs[one] - costs[cell]
        refresh(joins, partner, alive, one, gone, added)
