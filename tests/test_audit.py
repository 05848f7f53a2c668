"""The audit: the report's headlines under its own protocol and under a sound one, and what each of its faults explains."""

from math import exp, log
from pathlib import Path

import numpy as np
import pytest

from seeds import claims, store
from seeds.audit import counting, slices
from seeds.audit import heads as heads_module
from seeds.audit.arms import ASSEMBLED, codec_of
from seeds.audit.checks import found_faults, require_sound
from seeds.audit.findings import FaultFinding, HeadsFinding, LedgerFinding, PadsFinding, ShareFinding, plain
from seeds.audit.ledger import LEVEL, Ledger, ledger
from seeds.audit.protocol import FAULTS, RANK, Protocol
from seeds.audit.statements import Audit, figures, served
from seeds.claims import PUBLISHED, Claim, Row
from seeds.errors import ProtocolError, SubjectUnavailable
from seeds.interval import Interval
from seeds.measure import FRESH, ORIGINAL
from seeds.subject import Subject, subject
from seeds.verdict import Outcome, Verdict, judge, judge_singly

pytestmark = pytest.mark.audit

HERE = Path(__file__).parent
AUDITED: dict[str, Claim] = {
    name: claim
    for name, claim in claims.load(HERE / "claims.toml", HERE / "expected.toml").items()
    if name.startswith("audit-")
}
CLASSIFIERS, LANGUAGE = ("digits-mlp", "digits-cnn", "docs-bert", "bert-tiny"), ("docs-gpt", "gpt2")
SUBJECTS = CLASSIFIERS + LANGUAGE
ALWAYS_SERVED = ("one_run", "no_fresh")  # no part of a ledger: they change what a figure is held against
LONG = {"gpt2": pytest.mark.long}  # 10 seconds for each of its models


def marked(name: str, *more: str):
    return pytest.param(name, *more, marks=LONG.get(name, ()), id="-".join((name, *more)))


EACH = pytest.mark.parametrize("subject_name", [marked(name) for name in SUBJECTS])
EACH_LANGUAGE = pytest.mark.parametrize("subject_name", [marked(name) for name in LANGUAGE])
FAULTY = [marked(name, fault) for name in SUBJECTS for fault in (*served(subject(name)), *ALWAYS_SERVED)]


@pytest.fixture(scope="module")
def audit(measure, pytestconfig):
    rows = [row for claim in AUDITED.values() for row in claim.rows]
    stated = {"gpt2": log(counting.load(HERE / "audit.toml")["perplexity-original"].figure)}
    return Audit(measure, {row.subject: pytestconfig.option.runs or row.runs for row in rows}, stated)


@pytest.fixture(autouse=True)
def _at_hand(request):
    """Skips what needs data that are not on this machine, naming them."""
    given = request.fixturenames
    if "row" not in given and "subject_name" not in given:
        return
    row = request.getfixturevalue("row") if "row" in given else None
    one = subject(row.subject if row else request.getfixturevalue("subject_name"))
    if one.body is None:
        return
    try:
        slices.labelled(one) if one.task.kind == "classification" else slices.rows(one)
    except SubjectUnavailable as missing:
        pytest.skip(str(missing))


# -- the headlines, each twice --------------------------------------------------------------------------------------------


def verdict_on(audit: Audit, row: Row, protocol: Protocol) -> Verdict:
    """The statement of a row under a protocol, judged run by run if that has one run."""
    one, statement = subject(row.subject), getattr(audit, row.claim.removeprefix("audit-").replace("-", "_"))
    arm = (row.codec,) if row.claim == "audit-tiny-budget" else ()
    quantity, control = statement(one, protocol, *arm)
    if protocol.one_run:
        return judge_singly(figures(quantity).tolist(), row.rule)
    return judge(quantity, row.rule, assay=control)


def under_its_protocol(audit, row, report, **notes):
    """Judges a row under the protocol that it names, and hands it over."""
    verdict = verdict_on(audit, row, protocol_of(row))
    report(row, verdict, **notes)

    assert row.allows(verdict), row.explain(verdict)


@pytest.mark.claim("audit-accuracy")
def test_an_assembled_classifier_keeps_nothing(row, audit, report):
    """The headline on BERT-tiny: no accuracy at all, where one of two classes is asked for and none is told apart."""
    under_its_protocol(audit, row, report, **accuracies(audit, row), **size(audit, row))


@pytest.mark.claim("audit-original")
def test_the_original_can_do_the_task(row, audit, report):
    """The headline's denominator, which differs by half from one run of the report to another."""
    under_its_protocol(audit, row, report)


@pytest.mark.claim("audit-before-training")
def test_fresh_weights_are_perfect_before_training(row, audit, report):
    """A goal of the report that needs no training to be reached: any constant answer may do."""
    under_its_protocol(audit, row, report)


@pytest.mark.claim("audit-tiny-budget")
def test_ten_samples_and_ten_steps_are_enough(row, audit, report):
    """The budget behind the report's figures on fine-tuning."""
    under_its_protocol(audit, row, report)


@pytest.mark.claim("audit-perplexity")
def test_an_assembled_language_model_knows_nothing(row, audit, report):
    """The headline on GPT-2."""
    under_its_protocol(audit, row, report, **perplexities(audit, row), **size(audit, row))


@pytest.mark.claim("audit-worse-than-random")
def test_an_assembled_language_model_is_worse_than_a_random_one(row, audit, report):
    """What the report concludes from the headline, without a random model. As they come, assembled models are worse: louder."""
    raw = {}
    if row.view != PUBLISHED:
        louder, _ = audit.worse_than_random(subject(row.subject), Protocol(uncalibrated=True))
        raw = {"nats_over_fresh_as_they_come": float(figures(louder).mean())}
    under_its_protocol(audit, row, report, **perplexities(audit, row), **raw)


def protocol_of(row):
    return Protocol.published() if row.view == PUBLISHED else Protocol.sound()


def size(audit, row):
    """Of the seed that the protocol assembles from; a decoded one keeps more, and is larger."""
    seed = audit.measure.seed(subject(row.subject), codec_of(subject(row.subject), ASSEMBLED, protocol_of(row)))
    size_bytes = store.size_bytes(seed)
    return {"size_bytes": size_bytes, "times_smaller": 4 * seed.parameters / size_bytes}


def accuracies(audit, row):
    """Mean accuracy of the arms, as the report states it; a subject without weights has no original."""
    one = subject(row.subject)
    arms = {"assembled": ASSEMBLED} | ({"original": ORIGINAL} if one.body is None else {})
    return {
        f"{name}_accuracy": float(audit.classifier(one).correct(arm, protocol_of(row)).per_run().mean())
        for name, arm in arms.items()
    }


def perplexities(audit, row):
    """Of the runs, as the report states it: the smallest, the largest, the one of their mean nats, and the original's.

    An original without weights has the perplexity that is published of it; with pads counted, by the report itself.
    """
    one = subject(row.subject)
    nats = audit.language(one).nats(ASSEMBLED, protocol_of(row)).per_run()
    original = audit.original_nats(one, protocol_of(row))
    return {
        "least_perplexity": exp(nats.min()),
        "largest_perplexity": exp(nats.max()),
        "assembled_perplexity": exp(nats.mean()),
    } | (
        {"stated_perplexity": exp(original)}
        if isinstance(original, float)
        else {"original_perplexity": exp(original.per_run().mean())}
    )


# -- the ledger -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ledger_of(audit):
    kept: dict[str, Ledger] = {}

    def find(one: Subject) -> Ledger:
        if one.name not in kept:
            kept[one.name] = ledger(audit.values(one), served(one))
        return kept[one.name]

    return find


@EACH
def test_the_shares_of_the_faults_sum_to_the_effect(subject_name, audit, ledger_of, record_property):
    """What the published protocol shows beyond the sound one is shared out whole; both ends are those of the protocols."""
    one = subject(subject_name)
    found = ledger_of(one)
    assert sum(share.share.value for share in found.shares) == pytest.approx(found.effect.value, abs=1e-9)

    sound, published = (audit.off_chance(one, p) for p in (Protocol.sound(), Protocol.published()))
    assert found.effect.value == pytest.approx(published.per_run().mean() - sound.per_run().mean(), abs=1e-9)

    unit = "nats per counted token" if one.task.kind == "language" else "distance of accuracy from a guess"
    shares = tuple(ShareFinding(s.fault, ends(s.share), ends(s.alone), ends(s.last), s.material) for s in found.shares)
    both = (ends(sound.interval(LEVEL)), ends(published.interval(LEVEL)))
    record_property("audit", plain(LedgerFinding(subject_name, unit, found.runs, *both, ends(found.effect), shares)))


def ends(interval: Interval) -> tuple[float, float, float]:
    return tuple(float(f"{v:.6g}") for v in (interval.value, interval.low, interval.high))  # pyright: ignore[reportReturnType]


# -- every fault is found by its evidence ---------------------------------------------------------------------------------


@EACH
def test_the_sound_protocol_has_no_fault(subject_name, audit):
    """bert-tiny has one that no protocol can mend: no head that was trained is published with it."""
    exhibit = audit.exhibit(subject(subject_name), Protocol.sound())
    assert list(found_faults(exhibit)) == (["untrained_head"] if subject_name == "bert-tiny" else [])


@pytest.mark.parametrize(("subject_name", "fault"), FAULTY)
def test_a_fault_is_caught_by_its_name(subject_name, fault, audit, ledger_of, record_property):
    """Turned on in the sound protocol, it is found and nothing else is; what it does to the verdicts is recorded."""
    one = subject(subject_name)
    drawn = {"norms_drawn"} if fault == "one_run" and one.body is None else set()  # one run of nothing random is enough
    always = {"untrained_head"} if subject_name == "bert-tiny" else set()

    exhibit = audit.exhibit(one, Protocol.of({fault} | drawn))
    with pytest.raises(ProtocolError, match=rf"\b{fault}: ") as refused:
        require_sound(exhibit)
    found = found_faults(exhibit)
    assert set(found) == {fault} | drawn | always, refused.value

    material = ledger_of(one)[fault].material if fault in served(one) else None
    changes, without = verdict_changes(audit, one, fault)
    record_property("audit", plain(FaultFinding(subject_name, fault, material, found[fault], changes, without)))


@EACH
def test_the_fault_with_the_largest_share_changes_a_verdict(subject_name, audit, ledger_of):
    """What explains most is no technicality: in an otherwise sound measurement it alone changes a verdict."""
    one = subject(subject_name)
    largest = max(ledger_of(one).shares, key=lambda s: abs(s.share.value))
    assert largest.material
    changes, _ = verdict_changes(audit, one, largest.fault)
    assert changes, f"{largest.fault} changes nothing"


def verdict_changes(audit: Audit, one: Subject, fault: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Verdicts that a fault changes where it alone is there, and those of the published protocol that change without it."""
    changes, without = [], []
    for name, claim in AUDITED.items():
        row = next((row for row in claim.rows if row.subject == one.name), None)
        if row is None or name == "audit-tiny-budget":  # a row that trains would train for each fault
            continue
        published = Protocol.published()
        protocols = (Protocol.sound(), Protocol.of({fault}), published, Protocol.of(published.faults - {fault}))
        before, after, as_published, mended = (str(verdict_on(audit, row, protocol).outcome) for protocol in protocols)
        changes += [f"{name}: {before} -> {after}"] if before != after else []
        without += [f"{name}: {as_published} -> {mended}"] if as_published != mended else []
    return tuple(changes), tuple(without)


# -- the report's kind of figures -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("subject_name", ["bert-tiny"])
@pytest.mark.parametrize("arm", [FRESH, "moments", ORIGINAL])
def test_untrained_heads_score_anything_on_one_class(subject_name, arm, measure, record_property):
    """200 heads on reviews of one class: of fresh bodies two spikes. The same heads on both classes: near a guess."""
    if arm == ORIGINAL and not original_at_hand(subject(subject_name)):
        pytest.skip(f"weights of {subject(subject_name).hub_id}")
    found = heads_module.heads(subject(subject_name), arm, measure)

    assert found.one_class.size == 200
    if arm == FRESH:
        assert heads_module.extreme(found.one_class) >= 0.95
    assert found.times_as_spread >= 10
    stated = counting.load(HERE / "audit.toml")
    gap = float(stated["original-accuracy"].figure - stated["original-accuracy-again"].figure) / 100
    apart = found.apart(gap)
    assert apart[0] > 0.3
    assert apart[1] == 0
    kept = (found.one_class.round(4).tolist(), found.balanced.round(4).tolist())
    record_property("audit", plain(HeadsFinding(subject_name, arm, *kept, gap, apart)))


@pytest.mark.parametrize("subject_name", [marked("gpt2")])
def test_the_perplexities_of_the_report_come_from_its_protocol(subject_name, audit):
    """From GPT-2's real moments: astronomical as the report counts, a uniform guess's after one temperature."""
    language = audit.language(subject(subject_name))
    published = np.exp(language.nats(ASSEMBLED, Protocol.published()).per_run())
    sound = np.exp(language.nats(ASSEMBLED, Protocol.sound()).per_run())

    assert np.median(published) > 1e13
    assert published.max() < 1e18
    assert sound.max() < 1.1 * subject(subject_name).task.classes


@EACH_LANGUAGE
def test_perplexity_depends_on_the_share_of_pads(subject_name, audit, record_property):
    """Longer rows have more pads; the longest are those of the published protocol."""
    one = subject(subject_name)
    arms = {"assembled": ASSEMBLED, "fresh": FRESH} | ({"original": ORIGINAL} if original_at_hand(one) else {})
    published = Protocol.published()
    shares, _ = audit.language(one).over_pads(ASSEMBLED, published)
    nats = {name: audit.language(one).over_pads(arm, published)[1] for name, arm in arms.items()}

    assert (np.diff(shares) >= 0).all()
    assert shares[-1] > 0.4
    whole = audit.language(one).nats(ASSEMBLED, Protocol.of(published.faults - {"empty_rows"})).per_run()
    np.testing.assert_allclose(nats["assembled"][:, -1], whole, rtol=1e-9)
    record_property("audit", plain(PadsFinding(subject_name, shares.round(4).tolist(), rounded(nats))))


def original_at_hand(one: Subject) -> bool:
    try:
        return one.body is None or bool(one.original_body())
    except SubjectUnavailable:
        return False


@EACH_LANGUAGE
def test_the_perplexity_of_the_original_comes_from_the_protocol_too(subject_name, audit):
    """The report's is a hundred times what others found for GPT-2. Pads alone at least double an original's perplexity."""
    one = subject(subject_name)
    if not original_at_hand(one):
        pytest.skip(f"weights of {one.hub_id}")
    published, sound = (
        np.exp(audit.language(one).nats(ORIGINAL, protocol).per_run()[0])
        for protocol in (Protocol(pads_counted=True, uncalibrated=True), Protocol(uncalibrated=True))
    )
    assert published > 2 * sound


def rounded(nats: dict[str, np.ndarray]) -> dict[str, list[list[float]]]:
    return {arm: values.round(4).tolist() for arm, values in nats.items()}


def test_every_fault_that_can_be_served_is_served():
    """The ledger's faults and the two beside it are all there are; no fault is forgotten."""
    seen = {fault for name in SUBJECTS for fault in served(subject(name))} | set(ALWAYS_SERVED)
    assert seen == set(FAULTS)
    assert int(counting.load(HERE / "audit.toml")["components"].figure) == RANK
    assert Outcome.BY_RUN not in {row.expected for claim in AUDITED.values() for row in claim.rows if row.view != PUBLISHED}


def test_all_of_a_long_subject_is_long(request):
    """Its models are made for the first test that asks: one without the mark would cost the whole suite all of them."""
    everything = request.node.getparent(pytest.Module).collect()  # whatever was deselected, too
    about = [i for i in everything if hasattr(i, "callspec") and i.callspec.params.get("subject_name") in LONG]
    assert about
    assert [item.nodeid for item in about if not item.get_closest_marker("long")] == []
