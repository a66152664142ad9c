"""One-to-one matching of reference events with estimates, for `minirsed.scoring` (which specifies it).

Events are numbered through all files; an edge (r, e) says that reference r and estimate e may be paired. Edges
are listed reference by reference, estimates ascending: list order is part of the official definition. A matching
is a dict {reference: estimate}.
"""

import numpy as np

BLOCK_PAIRS = 1 << 20  # pairs compared at a time: bounds memory to some 50 MB, however many events a file has


def near_pairs(ref, est, collar_s, evaluate_onset, evaluate_offset, percentage_of_length):
    """Pairs of one file that meet the time conditions; returns r and e, (n_near,) int each, ordered as edges.

    `ref` and `est` have `row` (ascending number of the file), `onset_s` and `offset_s`, (n_events,) arrays.
    """
    first_est = np.searchsorted(est.row, ref.row, side="left")
    n_est = np.searchsorted(est.row, ref.row, side="right") - first_est  # estimates in the file of each reference
    before = np.concatenate([[0], np.cumsum(n_est)])  # (n_ref + 1,) pairs of all references before this one
    n_blocks = 1 + int(before[-1]) // BLOCK_PAIRS
    edges = np.searchsorted(before[:-1], np.arange(n_blocks + 1) * BLOCK_PAIRS)
    near_r, near_e = [], []
    for start, stop in zip(edges[:-1], edges[1:], strict=True):  # blocks of whole references
        r = np.repeat(np.arange(start, stop), n_est[start:stop])
        first = np.repeat(first_est[start:stop] - before[start:stop], n_est[start:stop])
        e = np.arange(before[start], before[stop]) + first
        near = np.ones(len(r), bool)
        if evaluate_onset:
            near &= np.abs(ref.onset_s[r] - est.onset_s[e]) <= collar_s
        if evaluate_offset:
            length_s = ref.offset_s[r] - ref.onset_s[r]
            offset_collar_s = np.maximum(collar_s, percentage_of_length * length_s)
            near &= np.abs(ref.offset_s[r] - est.offset_s[e]) <= offset_collar_s
        near_r.append(r[near])
        near_e.append(e[near])
    return np.concatenate(near_r), np.concatenate(near_e)


def match_greedy(edges):
    """References in list order each take the first free estimate in list order."""
    pairs, taken = {}, set()
    for r, e in edges:
        if r not in pairs and e not in taken:
            pairs[r] = e
            taken.add(e)
    return pairs


def match_optimal(edges):
    """Largest matching, by Hopcroft and Karp (1973), leaving over the same events as sed_eval 0.2.1.

    Starts from the official greedy pass: estimates in the order in which they first appear among the edges, each
    takes its first free reference. Alternating paths then enlarge the matching, shortest first, searched in the
    official order: which of several largest matchings is taken decides which events are left for substitutions.
    """
    references_of = {}  # estimate → references, ascending
    for r, e in edges:
        references_of.setdefault(e, []).append(r)
    pairs = {}
    for e, references in references_of.items():
        r = next((r for r in references if r not in pairs), None)
        if r is not None:
            pairs[r] = e
    while len(pairs) < len(references_of):
        ends, reached_from, entered_by = _layers(references_of, pairs)
        if not ends:
            break
        for r in ends:
            _augment(r, reached_from, entered_by, pairs)
    return pairs


def _layers(references_of, pairs):
    """Breadth-first alternating search from the free estimates to the nearest free references.

    Returns `ends`, the free references of the last layer; `reached_from`, reference → estimates of the layer
    before it; `entered_by`, estimate → the reference that it is paired with, None for a free one.
    """
    paired = set(pairs.values())
    entered_by = {e: None for e in references_of if e not in paired}
    reached_from, ends, layer = {}, [], list(entered_by)
    while layer and not ends:
        found = {}
        for e in layer:
            for r in references_of[e]:
                if r not in reached_from:
                    found.setdefault(r, []).append(e)
        reached_from.update(found)
        ends = [r for r in found if r not in pairs]
        layer = [pairs[r] for r in found if r in pairs]
        entered_by.update((pairs[r], r) for r in found if r in pairs)
    return ends, reached_from, entered_by


def _augment(end, reached_from, entered_by, pairs):
    """Walk back from a free reference to a free estimate, each vertex once; if one is found, flip the path."""
    path = [[end, iter(reached_from[end]), None]]  # reference, estimates left to try, the one being tried
    while path:
        r, untried, _ = path[-1]
        e = next((e for e in untried if e in entered_by), None)
        if e is None:
            path.pop()  # dead end: the reference before this one tries its next estimate
            continue
        path[-1][2] = e
        previous = entered_by.pop(e)
        if previous is None:
            pairs.update((r, e) for r, _, e in path)
            return
        path.append([previous, iter(reached_from[previous]), None])
