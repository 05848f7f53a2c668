"""The audit: untrained heads on one class and on two, what each fault adds, and perplexity over the share of pads.

findings of the audit -> [audit] -> figures
"""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from seeds.audit.findings import HeadsFinding, LedgerFinding, PadsFinding
from seeds.audit.heads import NEAR, extreme
from seeds.audit.ledger import MATERIAL
from seeds.figures.figure import (
    BLUE,
    GREEN,
    GREY,
    INK,
    MUTED,
    PURPLE,
    VERMILLION,
    Figure,
    Sheet,
    panels,
    sheet,
)
from seeds.figures.words import counted, listed, span
from seeds.hub import REVIEWS
from seeds.report.number import percent, power_of_ten

HEAD_CLAIMS = ("audit-original", "audit-before-training", "audit-accuracy")
LEDGER_CLAIMS = ("audit-accuracy", "audit-perplexity")
PAD_CLAIMS = ("audit-perplexity", "audit-worse-than-random")
HEAD_COLUMNS = ("subject", "body", "examples", "accuracy from (fraction)", "to (fraction)", "heads", "of heads")
LEDGER_COLUMNS = ("subject", "fault", "Shapley share", "low (95 %)", "high (95 %)", "unit", "runs", "material")
PAD_COLUMNS = ("subject", "weights", "run", "pads among counted tokens (share)", "cross-entropy (nats per token)", "perplexity")
BINS = np.linspace(0.0, 1.0, 51)
ARMS = {"assembled": (BLUE, "-"), "fresh": (GREY, "-."), "original": (GREEN, "--")}
OTHER = (PURPLE, ":")


def heads(found: Sequence[HeadsFinding]) -> Figure | None:
    """How many untrained heads have which accuracy, on one class and balanced; a row of panels per body. None without any."""
    if not found:
        return None
    with sheet("audit-heads", HEAD_COLUMNS, 0.8 + 1.55 * len(found)) as page:
        grid = panels(page.drawing, 2 * len(found), 2)
        for place, one in enumerate(found):
            left, right = grid[2 * place : 2 * place + 2]
            _bars(page, left, one, "one class", one.one_class, VERMILLION)
            _bars(page, right, one, "balanced", one.balanced, BLUE)
            left.set_ylabel(f"{'fresh body' if one.arm == 'fresh' else 'body from moments'}\nheads of {np.size(one.one_class)}")
        grid[0].set_title(f"{REVIEWS} reviews of one class, as in the report")
        grid[1].set_title(f"the same and {REVIEWS} of the other class")
        for panel in grid[-2:]:
            panel.set_xlabel("accuracy without training (bins of 0.02)")
        return page.figure(_spikes_title(found), _spikes_caption(found), _spikes_alt(found), HEAD_CLAIMS)


def _bars(page: Sheet, panel: Any, one: HeadsFinding, examples: str, accuracies: list[list[float]], colour: str) -> None:
    counts = np.histogram(np.ravel(accuracies), BINS)[0]
    for (low, high), heads in zip(pairwise(BINS.round(2).tolist()), counts.tolist(), strict=True):
        if heads:
            bar = panel.bar(low, heads, high - low, align="edge", color=colour)[0]
            page.put(bar, [(one.subject, one.arm, examples, low, high, heads, np.size(accuracies))])


def ledger(found: Sequence[LedgerFinding]) -> Figure | None:
    """Each fault's share of the way from the sound figure to the published one; a panel per subject. None without ledgers."""
    if not found:
        return None
    most = max(len(one.shares) for one in found)
    rows = -(-len(found) // 2)
    with sheet("audit-ledger", LEDGER_COLUMNS, 0.9 + (0.85 + 0.17 * most) * rows) as page:
        grid = panels(page.drawing, len(found), 2, sharex=False, sharey=False)
        for panel, one in zip(grid, found, strict=True):
            _shares(page, panel, one)
            panel.set_ylim(len(one.shares) - most - 0.6, len(one.shares) - 0.4)  # lines as far apart in every panel
        dots = [grid[0].plot([], [], shape, color=colour, label=label)[0] for colour, shape, label in (
            (VERMILLION, "s", f"material: surely more than {100 * MATERIAL:g} % of the way"), (MUTED, "o", "not material"),
        )]  # fmt: skip
        page.drawing.legend(handles=dots, loc="outside lower center", ncols=2)
        return page.figure(_ledger_title(found), _ledger_caption(found), _ledger_alt(found), LEDGER_CLAIMS)


def _shares(page: Sheet, panel: Any, one: LedgerFinding) -> None:
    panel.axvline(0, color=INK, linewidth=0.8)
    for place, s in enumerate(reversed(one.shares)):
        row = (one.subject, s.fault, *s.share, one.unit, one.runs, "yes" if s.material else "no")
        look = {"colour": VERMILLION, "marker": "s"} if s.material else {"colour": MUTED, "marker": "o"}
        page.dot(panel, (s.share[0], place), (s.share[1], s.share[2]), row, upright=False, **look)
    panel.set_yticks(range(len(one.shares)), [s.fault.replace("_", " ") for s in reversed(one.shares)])
    panel.set_title(f"{one.subject}\n{one.sound[0]:.3g} sound, {one.published[0]:.3g} published", fontsize=8.5)
    panel.set_xlabel(one.unit, fontsize=8)


def pads(found: Sequence[PadsFinding]) -> Figure | None:
    """Perplexity over the share of pads among the counted tokens, a line per run, a panel per subject; None without any."""
    if not found:
        return None
    with sheet("audit-pads", PAD_COLUMNS, 3.3) as page:
        grid = panels(page.drawing, len(found), 2, sharey=False)
        for panel, one in zip(grid, found, strict=True):
            for arm, runs in one.nats.items():
                colour, line = ARMS.get(arm, OTHER)
                for run, nats in enumerate(runs):
                    rows = [
                        (one.subject, arm, run, *each) for each in zip(one.shares, nats, np.exp(nats).tolist(), strict=True)
                    ]
                    look = {"color": colour, "linestyle": line, "marker": "o", "markersize": 2.5}
                    drawn = panel.plot(one.shares, [row[5] for row in rows], label=None if run else arm, **look)[0]
                    page.put(drawn, rows)
            runs = max(map(len, one.nats.values()))
            panel.set(yscale="log", title=f"{one.subject}, {counted(runs, 'run')}", xlabel="pads among counted tokens (share)")
            panel.minorticks_off()
            panel.yaxis.set_major_formatter(lambda perplexity, _: power_of_ten(round(np.log10(perplexity))))
        grid[0].set_ylabel("perplexity, pads counted")
        fullest = max(zip(grid, found, strict=True), key=lambda drawn: len(drawn[1].nats))[0]
        page.drawing.legend(*fullest.get_legend_handles_labels(), loc="outside lower center", ncols=len(ARMS))
        return page.figure(_pads_title(found), _pads_caption(found), _pads_alt(found), PAD_CLAIMS)


# -- words ----------------------------------------------------------------------------------------------------------------


def _spikes_title(found: Sequence[HeadsFinding]) -> str:
    one_class, balanced = (np.concatenate([np.ravel(getattr(f, name)) for f in found]) for name in ("one_class", "balanced"))
    told = f"On one class {percent(extreme(one_class))} of {len(one_class)} untrained heads score within {100 * NEAR:g} %"
    return f"{told} of 0 or 1; on balanced reviews {percent(extreme(balanced))}"


def _spikes_caption(found: Sequence[HeadsFinding]) -> str:
    n = listed([f"{np.size(f.one_class)} heads on {len(f.one_class)} bodies ({f.arm})" for f in found])
    return (
        "A head that was never trained mostly names one class: on reviews of one class that makes two spikes, at nothing and "
        f"at everything, and on balanced ones it is a guess. {found[0].subject}: {n}, each on {REVIEWS} and {2 * REVIEWS} "
        "reviews."
    )


def _spikes_alt(found: Sequence[HeadsFinding]) -> str:
    told = []
    for f in found:
        one_class, balanced = np.array(f.one_class), np.array(f.balanced)
        told.append(
            f"{f.arm}: {percent(float(np.mean(one_class <= NEAR)))} of heads near 0 and "
            f"{percent(float(np.mean(one_class >= 1 - NEAR)))} near 1 on one class, "
            f"{balanced.min():.2f} to {balanced.max():.2f} balanced"
        )
    return f"Histograms of the accuracies of untrained heads. {'; '.join(told)}."


def _ledger_title(found: Sequence[LedgerFinding]) -> str:
    largest = Counter(max(one.shares, key=lambda s: abs(s.share[0])).fault.replace("_", " ") for one in found)
    told = listed([f"{fault} in {networks}" for fault, networks in largest.most_common()])
    return f"The fault with the largest mean share of the way: {told} of {counted(len(found), 'network')}"


def _ledger_caption(found: Sequence[LedgerFinding]) -> str:
    return (
        "To the right of zero a fault pushes the figure up, to the left down; shares of one network add up to the way from the "
        f"sound figure to the published one. Shapley values over all combinations of faults, {span([f.runs for f in found])} "
        "runs each, 95 % intervals over runs."
    )


def _ledger_alt(found: Sequence[LedgerFinding]) -> str:
    told = []
    for one in found:
        parts = [f"{s.fault.replace('_', ' ')} {s.share[0]:+.3g}" for s in one.shares if s.material]
        told.append(f"{one.subject} ({one.unit}): {listed(parts) or 'none'}")
    return f"Dots with intervals: the share of each fault, a panel for each network. Material ones: {'; '.join(told)}."


def _pads_title(found: Sequence[PadsFinding]) -> str:
    told = []
    for one in found:
        change = np.array([np.array(run)[-1] - np.array(run)[0] for run in one.nats.get("assembled", [])])
        if len(change):
            up = int((change > 0).sum())
            told.append(
                f"{one.subject} up in {up} and down in {len(change) - up} runs, by up to {np.exp(abs(change).max()):,.3g} times"
            )
    return f"More pads move the perplexity of the same assembled weights: {listed(told)}" if told else "Perplexity over pads"


def _pads_caption(found: Sequence[PadsFinding]) -> str:
    ends = [share for one in found for share in (one.shares[0], one.shares[-1])]
    return (
        f"Each line is one run of the same weights on the same text, padded to more and more: from {percent(min(ends))} to "
        f"{percent(max(ends))} of the counted tokens are pads. A perplexity that counts them can be moved either way; single "
        "runs, so no intervals."
    )


def _pads_alt(found: Sequence[PadsFinding]) -> str:
    told = []
    for one in found:
        arms = [f"{arm} {np.exp(np.min(runs)):.3g} to {np.exp(np.max(runs)):.3g}" for arm, runs in one.nats.items()]
        told.append(f"{one.subject}: {listed(arms)}")
    return f"Lines of perplexity over the share of pads, a panel for each network. {'; '.join(told)}."
