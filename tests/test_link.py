"""The slow link, and the race on it: download the weights, or fine-tune what a seed gives until it is nearly as good?

The link is exact on a clock that only the test moves, and never too fast on the real one. The race is a benchmark.
"""

import hashlib
import itertools
import random
import time
from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.nn import functional

from seeds import store
from seeds.data import Examples, digits
from seeds.extract import extract
from seeds.library.digits_recipe import forward, shifted
from seeds.library.training import rng
from seeds.subject import evaluate, one_thread, subject
from tests.link import PACKET_BYTES, TokenBucket, download, slow_link

START_S = 1000.0
BANDWIDTH_BPS = 2.0**20  # with packets of 1,024 bytes every time below is a sum of powers of two, and exact
PACKET = 1024
PACKET_S = 8 * PACKET / BANDWIDTH_BPS

STEPS, RATE = 300, 2e-3  # AdamW on all samples at a time, moved by up to a pixel; the rate of the subject's own recipe
SHARE = 0.95  # of the original's test accuracy, which fine-tuning has to reach
CHECKED_EVERY = 10  # steps between two looks at the test accuracy; stopping by it flatters fine-tuning


class FakeClock:
    """A clock that moves when someone sleeps, and then by `late_s` too far."""

    def __init__(self, late_s: float = 0.0) -> None:
        self.now_s, self.late_s = START_S, late_s

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, wait_s: float) -> None:
        self.now_s += wait_s + self.late_s


def test_a_transfer_takes_exactly_its_bits_divided_by_the_bandwidth():
    clock = FakeClock()
    bucket = TokenBucket(BANDWIDTH_BPS, clock, clock.sleep)

    for sent in range(1, 101):
        bucket.take(PACKET)
        assert clock.now_s - START_S == sent * PACKET_S


@pytest.mark.parametrize("late_packets", [0.25, 1.0, 7.5])
def test_a_sender_that_wakes_late_catches_up_but_never_runs_ahead(late_packets):
    """Lateness does not add up over the packets: the whole transfer is late once, by no more than one sleep."""
    clock = FakeClock(late_packets * PACKET_S)
    bucket = TokenBucket(BANDWIDTH_BPS, clock, clock.sleep)

    for sent in range(1, 101):
        bucket.take(PACKET)
        assert sent * PACKET_S <= clock.now_s - START_S <= sent * PACKET_S + clock.late_s


def test_a_sender_that_pauses_by_itself_may_use_the_time_it_lost():
    clock = FakeClock()
    bucket = TokenBucket(BANDWIDTH_BPS, clock, clock.sleep)
    clock.now_s += 10 * PACKET_S

    bucket.take(10 * PACKET)
    assert clock.now_s - START_S == 10 * PACKET_S
    bucket.take(PACKET)
    assert clock.now_s - START_S == 11 * PACKET_S


def test_a_real_download_is_complete_and_never_faster_than_the_link(tmp_path, record_property):
    """No upper bound on the time: a busy machine may take as long as it likes."""
    path = tmp_path / "file.bin"
    path.write_bytes(random.Random(0).randbytes(40 * PACKET_BYTES + 100))
    expected_s = 8 * path.stat().st_size / 1e6

    with slow_link(path, bandwidth_bps=1e6) as url:
        start = time.perf_counter()
        content = download(url)
        elapsed_s = time.perf_counter() - start

    assert content == path.read_bytes()
    assert elapsed_s >= 0.98 * expected_s, f"{expected_s / elapsed_s:.3f} times the bandwidth that was set"
    record_property("bandwidth_share", expected_s / elapsed_s)


# --- the race ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Tuned:
    """A fine-tuned model, the steps it took to reach the accuracy that was asked for (None: never), and its accuracy."""

    model: nn.Module
    steps: int | None
    accuracy: float


def fine_tune(model: nn.Module, labelled: Examples, wanted: float, rng_seed: int) -> Tuned:
    """AdamW until the test accuracy is the wanted one, or for all steps."""
    labels = labelled.labels
    assert labels is not None
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, fused=True)
    with rng(rng_seed):
        for step in range(STEPS + 1):
            if step % CHECKED_EVERY == 0 and (reached := accuracy(model, digits()["test"])) >= wanted:
                return Tuned(model, step, reached)
            optimizer.zero_grad()
            states, head = forward(model, shifted(labelled.inputs))
            functional.cross_entropy(head(states), labels).backward()
            optimizer.step()
    return Tuned(model, None, accuracy(model, digits()["test"]))


def accuracy(model: nn.Module, on: Examples) -> float:
    with torch.inference_mode():
        states, head = forward(model, on.inputs)
        return (head(states).argmax(1) == on.labels).double().mean().item()


def labelled(per_digit: int | None) -> Examples:
    """The first training examples of each digit, or all."""
    split = digits()["train"]
    assert split.labels is not None
    rows = [(split.labels == digit).nonzero()[:per_digit, 0] for digit in range(10)]
    return split[torch.cat(rows)]


@pytest.mark.benchmark(group="finetune-vs-download")
@pytest.mark.parametrize(
    ("codec", "per_digit"),
    [
        pytest.param("moments", 10, id="moments-100-labels"),
        pytest.param("pca:8+vectors", 10, id="components-100-labels"),
        pytest.param(None, 10, id="fresh-100-labels"),
        pytest.param("moments", None, id="moments-all-labels"),  # the control: the loop can get there
    ],
)
def test_the_time_of_fine_tuning_to_nearly_the_original(benchmark, codec, per_digit):
    """Never getting there is a result: then the time is that of all steps, and `reached` says "never" for that run."""
    one_thread()
    mlp, examples = subject("digits-mlp"), labelled(per_digit)
    original = mlp.original()
    seed = extract(original, codec) if codec else None
    wanted = SHARE * accuracy(original, digits()["test"])
    runs = itertools.count()
    outcomes = []

    def start() -> tuple[tuple, dict]:
        run = next(runs)
        return (mlp.assembled(seed, run) if seed else mlp.fresh(run), examples, wanted, run), {}

    benchmark.pedantic(lambda *given: outcomes.append(fine_tune(*given)), setup=start, rounds=3, warmup_rounds=1)

    benchmark.extra_info |= {
        "reached": ["never" if tuned.steps is None else f"after {tuned.steps} steps" for tuned in outcomes],
        "quality": [tuned.accuracy for tuned in outcomes],
        "quality_wanted": wanted,
        "labels": len(examples),
        "bytes": store.size_bytes(seed) if seed else 0,
        "threads": torch.get_num_threads(),
        "device": "cpu",
    }
    for tuned in outcomes:
        scored = evaluate(tuned.model.eval(), forward, mlp.task)
        assert scored.correct is not None
        assert tuned.accuracy == pytest.approx(scored.correct.mean()), "the accuracy of the loop is that of the project"
        assert tuned.accuracy >= (0.5 if tuned.steps is None else wanted), "nothing was learned"
        assert per_digit or tuned.steps, "with every label even this loop gets there"


@pytest.mark.benchmark(group="finetune-vs-download")
@pytest.mark.parametrize("megabits_per_s", [1, 5], ids="{}-Mbit-per-s".format)
def test_the_time_of_downloading_the_weights(benchmark, megabits_per_s):
    path = subject("digits-mlp").weights_path
    assert path is not None
    with slow_link(path, megabits_per_s * 1e6) as url:
        content = benchmark.pedantic(download, args=(url,), rounds=3)

    benchmark.extra_info |= {
        "bytes": len(content),
        "megabits_per_s": 8 * len(content) / benchmark.stats.stats.min / 1e6,
        "threads": 1,
        "device": "loopback",
    }
    assert hashlib.sha256(content).digest() == hashlib.sha256(path.read_bytes()).digest()
