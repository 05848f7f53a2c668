"""The report's own file of results, with our figures in its fields, so that the two can be compared line by line.

    claims.json -> [published] -> reports/zero_shot_results.json

Names of fields, and what the report decides from them, are those of `research/zero_shot_results.json` and the script that
writes it in the audited repository. Figures are means over runs under the report's own protocol; `sound` holds the same
fields without its faults. A field is null where it was not measured. Two fields are ours: `runs`, and `stated_ppl`, which holds
the perplexity that is stated of an original whose weights are not at hand: under the report's protocol by the report itself,
under the sound one as published for its weights. `quality_ratio` is `assembled_ppl` over `original_ppl`, or over `stated_ppl`
where that is null: there it compares what we measured with what others did.
"""

import json
from collections.abc import Sequence

from seeds.claims import PUBLISHED, SOUND
from seeds.report.finding import Finding

REPOSITORY, COMMIT = "github.com/DJMcClellan1966/ML-ToolBox", "14ca8e8"  # of the report that is audited
URL = f"https://{REPOSITORY}/tree/{COMMIT}"
ACCURACY, PERPLEXITY = "audit-accuracy", "audit-perplexity"
BYTES_PER_VALUE, KB = 4, 1024
AS_IN_THE_REPORT = {"bert-tiny": ("BERT-tiny", "IMDB sentiment"), "gpt2": ("GPT-2", "WikiText-2 generation")}
PRESERVED_ACCURACY, PRESERVED_RATIO = 50.0, 5.0  # %, times: beyond them the report says that knowledge is preserved

Fields = dict[str, str | float | int | None]


def results(findings: Sequence[Finding]) -> bytes:
    """The file: a JSON object with one entry per subject, the report's verdict, and the sound figures."""
    content: dict[str, object] = dict(_entries(findings, PUBLISHED))
    content["verdict"] = _verdict(content)
    content["sound"] = _entries(findings, SOUND)
    return (json.dumps(content, indent=2, allow_nan=False) + "\n").encode()


def _entries(findings: Sequence[Finding], view: str) -> dict[str, Fields]:
    rows = [f for f in findings if f.view == view and f.claim in (ACCURACY, PERPLEXITY)]
    ordered = sorted(rows, key=lambda f: (f.subject not in AS_IN_THE_REPORT, f.claim, f.subject))
    return {f.subject.replace("-", "_"): _entry(f) for f in ordered}


def _entry(f: Finding) -> Fields:
    model, task = AS_IN_THE_REPORT.get(f.subject, (f.subject, "classification" if f.claim == ACCURACY else "generation"))
    smaller, size = _note(f, "times_smaller"), _note(f, "size_bytes")
    told: Fields = {"model": model, "params": _millions(smaller, size), "task": task}
    told |= _accuracies(f) if f.claim == ACCURACY else _perplexities(f)
    return told | {"seed_size_kb": size / KB if size else None, "compression": smaller, "runs": f.runs} | _stated(f)


def _accuracies(f: Finding) -> Fields:
    original, assembled = (_percent(_note(f, f"{arm}_accuracy")) for arm in ("original", "assembled"))
    retention = round(100 * assembled / original, 4) if original and assembled is not None else None
    return {"original_acc": original, "assembled_acc": assembled, "retention": retention}


def _perplexities(f: Finding) -> Fields:
    measured, stated, assembled = (_note(f, f"{which}_perplexity") for which in ("original", "stated", "assembled"))
    under = measured or stated
    ratio = float(f"{assembled / under:.6g}") if under and assembled is not None else None
    return {"original_ppl": measured, "assembled_ppl": assembled, "quality_ratio": ratio}


def _stated(f: Finding) -> Fields:
    return {"stated_ppl": _note(f, "stated_perplexity")} if f.claim == PERPLEXITY else {}


def _verdict(content: dict[str, object]) -> dict[str, bool | str | None]:
    """What the report would conclude from these figures, by its own rule."""
    bert, gpt = (_field(content, *place) for place in (("bert_tiny", "assembled_acc"), ("gpt2", "quality_ratio")))
    kept = (None if bert is None else bert > PRESERVED_ACCURACY, None if gpt is None else gpt < PRESERVED_RATIO)
    direction = None if None in kept else "compression" if any(kept) else "task_distillation"
    return {"bert_preserves_knowledge": kept[0], "gpt2_preserves_knowledge": kept[1], "research_direction": direction}


def _field(content: dict[str, object], subject: str, name: str) -> float | None:
    entry = content.get(subject)
    value = entry.get(name) if isinstance(entry, dict) else None
    return float(value) if isinstance(value, int | float) else None


def _note(f: Finding, name: str) -> float | None:
    value = f.notes.get(name)
    return float(value) if isinstance(value, int | float) else None


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 4)


def _millions(smaller: float | None, size: float | None) -> str | None:
    """Parameters as the report writes them: 4.4M, 124M."""
    if smaller is None or size is None:
        return None
    millions = smaller * size / BYTES_PER_VALUE / 1e6
    return f"{millions:.0f}M" if millions >= 100 else f"{millions:.2g}M"
