"""What must hold of any codec, yours too: name it in the environment and pytest runs these properties on it.

CODEC=topk:5 PYTHONPATH=mine pytest -p topk docs/examples/test_codec.py

Hypothesis draws state dicts: matrices, kernels, vectors and scalars of every float dtype, integers, empty tensors, ties.
"""

import contextlib
import os
from dataclasses import replace

import pytest
import torch
from hypothesis import given

from seeds import store
from seeds.assemble import assemble
from seeds.codecs import decode, parse
from seeds.draw import Draw
from seeds.errors import SeedError
from seeds.extract import extract
from seeds.seed import Entry, Seed
from tests.strategies import all_bits, states

CODEC = os.environ.get("CODEC", "int8")


@given(states())
def test_a_file_gives_the_seed_back(state):
    """Written, read and written again: the same bytes, and the same weights."""
    seed = extract(state, CODEC)
    loaded = store.from_bytes(store.to_bytes(seed))
    assert store.to_bytes(loaded) == store.to_bytes(seed)
    assert all_bits(assemble(loaded)) == all_bits(assemble(seed))


@given(states())
def test_assembled_weights_fit_the_model(state):
    """Every name, shape and dtype, and nothing that is not finite."""
    assembled = assemble(extract(state, CODEC))
    assert {name: (t.shape, t.dtype) for name, t in assembled.items()} == {n: (t.shape, t.dtype) for n, t in state.items()}
    assert all(bool(torch.isfinite(t).all()) for t in assembled.values())


@given(states())
def test_weights_do_not_change_while_they_are_read(state):
    """Nor does the seed when it is assembled; and one rng_seed gives one set of weights."""
    before = all_bits(state)
    seed = extract(state, CODEC)
    assert all_bits(assemble(seed, rng_seed=7)) == all_bits(assemble(seed, rng_seed=7))
    assert all_bits(state) == before


@given(states())
def test_only_a_codec_that_draws_depends_on_the_rng_seed(state):
    """`draws` decides how many runs a row takes: a codec that draws and does not say so is judged by one run."""
    seed = extract(state, CODEC)
    if not parse(CODEC).draws:
        assert all_bits(assemble(seed, rng_seed=0)) == all_bits(assemble(seed, rng_seed=1))


@given(states())
def test_parts_of_another_form_are_refused(state):
    """A file may hold anything: a part too few, too many, too long or of another dtype is a `SeedError`, and no crash."""
    for entry in filled(extract(state, CODEC)):
        wrong = [{}, {**entry.parts, "more": torch.ones(2)}]
        for name, part in entry.parts.items():
            wrong.append({**entry.parts, name: torch.cat([part.reshape(-1), part.reshape(-1)[:1]])})
            wrong.append({**entry.parts, name: part.to(torch.complex64)})
        for parts in wrong:
            with pytest.raises(SeedError):
                decode(replace(entry, parts=parts), {}, Draw(0, entry.name))


@given(states())
def test_nonsense_in_a_part_is_refused_or_harmless(state):
    """The smallest and the largest numbers, in a form that fits: no other error, and nothing that is not finite."""
    for entry in filled(extract(state, CODEC)):
        for name, part in entry.parts.items():
            limits = torch.finfo(part.dtype) if part.is_floating_point() else torch.iinfo(part.dtype)
            for value in (limits.min, limits.max):
                parts = {**entry.parts, name: torch.full_like(part, value)}
                with contextlib.suppress(SeedError):
                    assert torch.isfinite(decode(replace(entry, parts=parts), {}, Draw(0, entry.name))).all()


def filled(seed: Seed) -> list[Entry]:
    """Entries of floats that have parts of their own, and something in them."""
    return [e for e in seed.entries if e.parts and 0 not in e.shape and getattr(torch, e.dtype).is_floating_point]


def test_weights_that_are_not_finite_are_refused():
    """A NaN would spread through every statistic unseen."""
    with pytest.raises(SeedError):
        extract({"weight": torch.tensor([[1.0, float("nan")], [0.0, 2.0]])}, CODEC)
