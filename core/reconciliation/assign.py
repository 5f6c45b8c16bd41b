"""The whole statement at once: which line gets which invoice, so that all of it fits best (rule 8). Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

# Components up to this many cells are solved as a table; larger ones as a sparse graph.
_DENSE_CELLS = 250_000


def assign(edges: Mapping[int, Mapping[int, float]]) -> dict[int, int]:
    """Give lines to invoices, each at most once, so that the sum of their scores is the highest.

    `edges` is line → {invoice: score above 0}. What nothing connects is solved on its own, so that the time grows with
    the number of lines, and with more only inside a tangle. Returns line → invoice; ends the same for the same input.
    """
    chosen: dict[int, int] = {}
    for lines, invoices in _components(edges):
        if len(lines) == 1:
            (line,) = lines
            chosen[line] = max(edges[line].items(), key=lambda pair: (pair[1], -pair[0]))[0]
        elif len(invoices) == 1:
            (invoice,) = invoices
            chosen[max(lines, key=lambda line: (edges[line][invoice], -line))] = invoice
        else:
            chosen.update(_solve(edges, lines, invoices))
    return chosen


def _components(edges: Mapping[int, Mapping[int, float]]) -> list[tuple[list[int], list[int]]]:
    """Lines and invoices that hang together, each list sorted."""
    claims: dict[int, list[int]] = defaultdict(list)
    for line, row in edges.items():
        for invoice in row:
            claims[invoice].append(line)
    seen: set[int] = set()
    found = []
    for start in edges:
        if start in seen or not edges[start]:
            continue
        seen.add(start)
        lines, waiting = [], [start]
        invoices: set[int] = set()
        while waiting:
            line = waiting.pop()
            lines.append(line)
            for invoice in edges[line]:
                if invoice not in invoices:
                    invoices.add(invoice)
                    fresh = [other for other in claims[invoice] if other not in seen]
                    seen.update(fresh)
                    waiting.extend(fresh)
        found.append((sorted(lines), sorted(invoices)))
    return found


def _solve(edges: Mapping[int, Mapping[int, float]], lines: Sequence[int], invoices: Sequence[int]) -> dict[int, int]:
    import numpy as np  # noqa: PLC0415 - only workers solve tangles, and only when there is one.
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415
    from scipy.sparse import csr_array  # noqa: PLC0415
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching  # noqa: PLC0415

    columns = {invoice: place for place, invoice in enumerate(invoices)}
    if len(lines) * len(invoices) <= _DENSE_CELLS:
        table = np.zeros((len(lines), len(invoices)))
        for row, line in enumerate(lines):
            for invoice, score in edges[line].items():
                table[row, columns[invoice]] = score
        rows, places = linear_sum_assignment(table, maximize=True)
    else:
        # Every line has a place of its own, worth almost nothing, so that each can be given one.
        entries = [
            (score, row, columns[invoice]) for row, line in enumerate(lines) for invoice, score in edges[line].items()
        ] + [(1e-6, row, len(invoices) + row) for row in range(len(lines))]
        scores, at, to = zip(*entries, strict=True)
        graph = csr_array((scores, (at, to)), shape=(len(lines), len(invoices) + len(lines)))
        rows, places = min_weight_full_bipartite_matching(graph, maximize=True)
    return {
        lines[row]: invoices[place]
        for row, place in zip(rows.tolist(), places.tolist(), strict=True)
        if place < len(invoices) and invoices[place] in edges[lines[row]]
    }
