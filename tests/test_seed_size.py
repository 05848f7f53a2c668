"""How small a seed is: the report's size claim, on bytes that lie on a disk."""

import pytest

from seeds import store
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
