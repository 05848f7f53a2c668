"""How small a seed is: the report's size claim, on bytes that lie on a disk."""

import pytest
import torch

from seeds import store
from seeds.extract import extract
from seeds.quantity import Counted
from seeds.subject import subject
from seeds.verdict import judge

FLOAT32_BYTES = 4


@pytest.mark.zeroshot
@pytest.mark.claim("seed-size")
def test_a_seed_is_a_hundred_times_smaller(row, measure, report, tmp_path):
    """Bytes of the float32 weights over bytes of the written file; the control is that the file gives the seed back."""
    seed = measure.seed(subject(row.subject), row.codec)
    size = store.save(seed, tmp_path / "seed")
    assert (tmp_path / "seed").stat().st_size == size
    assert store.to_bytes(store.load(tmp_path / "seed")) == store.to_bytes(seed)

    original = FLOAT32_BYTES * seed.parameters
    verdict = judge(Counted(original / size), row.rule)
    report(row, verdict, size_bytes=size, header_bytes=store.header_bytes(seed), original_bytes=original)

    assert row.allows(verdict), row.explain(verdict)


@pytest.mark.parametrize("codec", ["pca:1", "pca:4", "pca:4+noise", "pca:6+vectors"])
def test_a_seed_holds_as_many_components_as_its_codec_says(codec):
    """And as many scores of each row: one more would keep more than is said, and weigh more. A smaller matrix has fewer."""
    rank = int(codec.removeprefix("pca:")[0])
    state = {"large": torch.randn(12, 9), "kernel": torch.randn(8, 3, 2, 2), "small": torch.randn(3, 9)}
    for entry in extract(state, codec).entries:
        kept = min(rank, 3) if entry.name == "small" else rank
        assert entry.parts["components"].shape == (kept, state[entry.name][0].numel())
        assert entry.parts["scores"].shape == (entry.shape[0], kept)
