"""What a seed keeps without any training: the zero-shot claims of the report, one test each, on every subject."""

import numpy as np
import pytest

from seeds.measure import FRESH, ORIGINAL, PUBLISHED_ONLY
from seeds.subject import subject
from seeds.task import task
from seeds.verdict import judge

pytestmark = pytest.mark.zeroshot


@pytest.fixture
def one(row):
    return subject(row.subject)


@pytest.fixture(autouse=True)
def _data_at_hand(request):
    """Skips a row whose data set is not on this machine, naming it."""
    from seeds.errors import SubjectUnavailable

    if "row" in request.fixturenames:
        row = request.getfixturevalue("row")
        if subject(row.subject).body and row.codec != PUBLISHED_ONLY:
            pytest.skip(f"weights of {row.subject}; only its moments are published")
        try:
            task(row.data or subject(row.subject).task_name).splits()
        except SubjectUnavailable as missing:
            if subject(row.subject).body is None:
                raise
            pytest.skip(str(missing))


@pytest.mark.claim("zeroshot-accuracy")
def test_an_assembled_classifier_keeps_no_accuracy(row, one, measure, report):
    """Retention of accuracy stays under the margin; the original can do the task."""
    assembled = measure.knowledge(one, row.codec, row.runs, row.view)
    original = measure.knowledge(one, ORIGINAL, 1, row.view) if one.weights_path else None

    verdict = judge(assembled / original if original else assembled, row.rule, assay=original)
    report(row, verdict, **measure.size_notes(one, row.codec, row.runs), **measure.notes(one, row.codec, row.runs))

    assert row.allows(verdict), row.explain(verdict)


@pytest.mark.claim("zeroshot-perplexity")
def test_an_assembled_language_model_knows_nothing(row, one, measure, report):
    """Calibrated retention above a unigram stays under the margin; the original is far better than the unigram."""
    assembled = measure.knowledge(one, row.codec, row.runs)
    original = measure.nats_known(one)

    verdict = judge(assembled / original, row.rule, assay=original)
    report(row, verdict, **measure.size_notes(one, row.codec, row.runs), **measure.notes(one, row.codec, row.runs))

    assert row.allows(verdict), row.explain(verdict)


@pytest.mark.claim("zeroshot-louder-than-fresh")
def test_an_assembled_model_scores_worse_than_a_fresh_one(row, one, measure, report):
    """Uncalibrated cross-entropy, assembled minus fresh, exceeds the margin."""
    assembled = measure.cross_entropy(one, row.codec, row.runs, "raw", row.data)
    fresh = measure.cross_entropy(one, FRESH, row.runs, "raw", row.data)

    verdict = judge(assembled - fresh, row.rule)
    report(row, verdict, nats=float(assembled.scores.mean()), fresh_nats=float(fresh.scores.mean()))

    assert row.allows(verdict), row.explain(verdict)


@pytest.mark.claim("zeroshot-knows-less-than-fresh")
def test_an_assembled_model_knows_less_than_a_fresh_one(row, one, measure, report):
    """The same after calibration, on the scale of what the original knows."""
    assembled = measure.cross_entropy(one, row.codec, row.runs, "calibrated", row.data)
    fresh = measure.cross_entropy(one, FRESH, row.runs, "calibrated", row.data)
    original = measure.nats_known(one, row.data)

    verdict = judge((assembled - fresh) / original, row.rule, assay=original)
    report(row, verdict, calibrated_nats=float(assembled.scores.mean()), fresh_calibrated_nats=float(fresh.scores.mean()))

    assert row.allows(verdict), row.explain(verdict)


@pytest.mark.claim("zeroshot-gibberish")
def test_an_assembled_language_model_writes_gibberish(row, one, measure, report):
    """To the original, its samples are hardly likelier than random tokens, and far from the original's own."""
    random = measure.sample_nats(one, "random", row.runs)
    assembled = measure.sample_nats(one, row.codec, row.runs)
    own = measure.sample_nats(one, ORIGINAL, row.runs)

    verdict = judge((random - assembled) / (random - own), row.rule, assay=random - own)
    report(
        row,
        verdict,
        **{f"{k}_nats": float(v.scores.mean()) for k, v in (("random", random), ("assembled", assembled), ("own", own))},
    )

    assert row.allows(verdict), row.explain(verdict)


@pytest.mark.claim("zeroshot-no-features")
def test_a_seed_holds_no_transferable_features(row, one, measure, report):
    """A linear probe gains no more from the assembled body than from a fresh one, as a share of the original's gain."""
    fresh = measure.probe(one, FRESH, row.runs)
    assembled = measure.probe(one, row.codec, row.runs)
    original = measure.probe(one, ORIGINAL, row.runs)

    verdict = judge((assembled - fresh) / (original - fresh), row.rule, assay=original - fresh)
    report(
        row,
        verdict,
        **{k: float(v.scores.mean()) for k, v in (("fresh", fresh), ("assembled", assembled), ("original", original))},
    )

    assert row.allows(verdict), row.explain(verdict)


@pytest.mark.claim("zeroshot-structure")
def test_components_add_nothing_to_moments(row, one, measure, report):
    """The largest PCA seed of the asked size retains no more than moments do."""
    codec = measure.largest_pca(one, row.factor)
    original = measure.knowledge(one, ORIGINAL, 1)
    moments = measure.knowledge(one, "moments+vectors", row.runs)
    components = measure.knowledge(one, codec, 1) if codec else None

    verdict = judge((components - moments) / original if components else None, row.rule, assay=original)
    report(row, verdict, **(measure.size_notes(one, codec, 1) if codec else {}))

    assert row.allows(verdict), row.explain(verdict)


@pytest.mark.claim("zeroshot-ladder")
def test_no_description_of_the_weights_makes_a_model_that_knows(row, one, measure, report):
    """Calibrated retention stays under the margin, whichever of the weights' properties the assembled model shares."""
    assembled = measure.knowledge(one, row.codec, row.runs)
    original = measure.nats_known(one)

    verdict = judge(assembled / original, row.rule, assay=original)
    report(row, verdict, **measure.size_notes(one, row.codec, row.runs), **measure.notes(one, row.codec, row.runs))

    assert row.allows(verdict), row.explain(verdict)


# -- controls: each could fail, and would make every verdict above worthless ------------------------------------------------


@pytest.mark.parametrize("subject_name", ["digits-mlp", "digits-cnn", "docs-bert", "docs-gpt"])
def test_the_exact_codec_keeps_everything(subject_name, measure):
    """The line itself loses nothing: extracted exactly, stored and assembled, a model scores what the original does."""
    one = subject(subject_name)
    (original,), (assembled,) = (measure.evaluations(one, arm, 1) for arm in (ORIGINAL, "exact"))
    np.testing.assert_array_equal(assembled.nats, original.nats)


@pytest.mark.parametrize("subject_name", ["digits-mlp", "digits-cnn", "docs-bert", "docs-gpt"])
def test_another_run_is_another_model_and_the_same_run_the_same(subject_name, measure):
    """Runs are independent draws: an ignored rng_seed would make every interval over runs too narrow."""
    one = subject(subject_name)
    first, second, again = (measure.model(one, "moments", run).state_dict() for run in (0, 1, 0))
    matrices = [name for name, weight in first.items() if weight.ndim > 1]
    assert all((first[name] == again[name]).all() for name in first)
    assert all((first[name] != second[name]).float().mean() > 0.99 for name in matrices)


@pytest.mark.parametrize("subject_name", ["digits-mlp", "digits-cnn", "docs-bert", "docs-gpt"])
def test_an_assembled_model_has_the_moments_of_the_original(subject_name, measure):
    """Each drawn matrix has the original's mean and standard deviation within five standard errors of its size."""
    one = subject(subject_name)
    original, assembled = measure.model(one, ORIGINAL, 0).state_dict(), measure.model(one, "moments", 0).state_dict()
    for name, weight in original.items():
        if weight.ndim > 1:
            std, count = weight.double().std(), weight.numel()
            assert (assembled[name].double().mean() - weight.double().mean()).abs() < 5 * std / count**0.5, name
            assert (assembled[name].double().std() / std - 1).abs() < 5 / (2 * count) ** 0.5, name
