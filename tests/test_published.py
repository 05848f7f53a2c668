"""Our figures under the names of the report's own file: the same fields, and nothing in them that was not found."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from seeds.claims import PUBLISHED, SOUND
from seeds.report import claims_file, published
from seeds.report.finding import Finding
from tests.writers import CLAIMS, finding

ROOT = Path(__file__).parents[1]
CLASSIFIER = ["model", "params", "task", "original_acc", "assembled_acc", "retention", "seed_size_kb", "compression"]
LANGUAGE = ["model", "params", "task", "original_ppl", "assembled_ppl", "quality_ratio", "seed_size_kb", "compression"]


def audited(claim: str, subject: str, view: str, **notes: float) -> Finding:
    return replace(finding(CLAIMS[claim], 0), subject=subject, view=view, notes=notes, runs=8)


BERT = audited("audit-accuracy", "bert-tiny", PUBLISHED, assembled_accuracy=0.7137512, size_bytes=4720, times_smaller=3716.88)
GPT = audited("audit-perplexity", "gpt2", PUBLISHED, assembled_perplexity=4e15, stated_perplexity=3200.0, size_bytes=2048)
ACCURACIES = {"assembled_accuracy": 0.6, "original_accuracy": 0.8}
DOCS = audited("audit-accuracy", "docs-bert", SOUND, **ACCURACIES, size_bytes=1024, times_smaller=2)


def written(*findings: Finding) -> dict:
    return json.loads(published.results(findings))


def test_the_fields_are_those_of_the_report_in_its_order():
    told = written(GPT, BERT)
    assert list(told) == ["bert_tiny", "gpt2", "verdict", "sound"]
    assert list(told["bert_tiny"]) == [*CLASSIFIER, "runs"]
    assert list(told["gpt2"]) == [*LANGUAGE, "runs", "stated_ppl"]
    assert list(told["verdict"]) == ["bert_preserves_knowledge", "gpt2_preserves_knowledge", "research_direction"]


def test_figures_are_in_the_units_of_the_report():
    """Percent, KB of 1,024 bytes, and names as it writes them."""
    told = written(BERT, GPT, DOCS)
    assert [told["bert_tiny"][name] for name in ("model", "params", "task")] == ["BERT-tiny", "4.4M", "IMDB sentiment"]
    assert (told["bert_tiny"]["assembled_acc"], told["bert_tiny"]["seed_size_kb"]) == (71.3751, 4720 / 1024)
    assert told["gpt2"]["quality_ratio"] == 1.25e12
    assert told["sound"] == {"docs_bert": told["sound"]["docs_bert"]}
    assert told["sound"]["docs_bert"]["retention"] == pytest.approx(75.0)


def test_what_is_not_at_hand_is_null():
    told = written(BERT, audited("audit-perplexity", "gpt2", PUBLISHED))
    assert (told["bert_tiny"]["original_acc"], told["bert_tiny"]["retention"]) == (None, None)
    assert (told["gpt2"]["original_ppl"], told["gpt2"]["quality_ratio"], told["gpt2"]["params"]) == (None, None, None)


def test_a_perplexity_that_was_only_stated_is_not_called_the_originals():
    """It stands in a field of its own, and the ratio is over it where nothing was measured."""
    told = written(GPT)["gpt2"]
    assert (told["original_ppl"], told["stated_ppl"], told["quality_ratio"]) == (None, 3200.0, 1.25e12)
    measured = written(replace(GPT, notes=GPT.notes | {"original_perplexity": 40.0}))["gpt2"]
    assert (measured["original_ppl"], measured["stated_ppl"], measured["quality_ratio"]) == (40.0, 3200.0, 1e14)


@pytest.mark.parametrize(
    ("accuracy", "perplexity", "verdict"),
    [
        (0.0, 4e15, (False, False, "task_distillation")),
        (0.501, 4e15, (True, False, "compression")),
        (0.5, 3200.0 * 4.99, (False, True, "compression")),
    ],
)
def test_the_verdict_is_by_the_reports_own_rule(accuracy, perplexity, verdict):
    """Over 50 % knowledge is preserved, whatever a guess would score; or below 5 times the perplexity."""
    bert = replace(BERT, notes=BERT.notes | {"assembled_accuracy": accuracy})
    gpt = replace(GPT, notes=GPT.notes | {"assembled_perplexity": perplexity})
    assert tuple(written(bert, gpt)["verdict"].values()) == verdict


def test_without_its_subjects_there_is_no_verdict():
    assert written(DOCS)["verdict"] == {
        "bert_preserves_knowledge": None, "gpt2_preserves_knowledge": None, "research_direction": None,
    }  # fmt: skip


def test_the_stored_file_is_made_of_the_stored_rows():
    stored = claims_file.read(ROOT / "reports").findings
    assert (ROOT / "reports" / "zero_shot_results.json").read_bytes() == published.results(stored)
