"""Near duplicates: copies are known, whatever was made alike in them; what is new is not."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from seeds.duplicates import CONTAINMENT, Shingles, shingles

PARAGRAPH = """Compute the median along the specified axis of a numpy array with 1024 rows. Given a vector V of length 17,
the median is the middle value of a sorted copy of V when the length is odd, and the average of the 2 middle values
otherwise. Returns a numpy scalar of dtype float64 if the axis is None, see np.percentile for other quantiles."""
FRESH = """Draw the nodes of a graph with spring forces between neighbours. Edges pull their ends together while all other
pairs repel each other, until the layout settles or fifty rounds have passed. Positions may be given as a start."""
WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu"]

texts = st.lists(st.sampled_from(WORDS), min_size=3, max_size=60)


def seen(*paragraphs: str, size: int = 200_000) -> Shingles:
    found = Shingles(np.zeros(size, dtype=bool))
    for paragraph in paragraphs:
        found.add(paragraph)
    return found


def test_a_copied_paragraph_is_known_with_other_digits_names_and_layout():
    """Numbers, library names, case, punctuation and line breaks make no difference at all."""
    copies = [
        PARAGRAPH,
        PARAGRAPH.replace("1024", "3").replace("17", "250000").replace("64", "32").replace("2 middle", "4 middle"),
        PARAGRAPH.replace("numpy", "pandas").replace("np.", "pd."),
        PARAGRAPH.upper().replace("\n", "\n\n    ").replace(",", ";"),
    ]
    assert [seen(PARAGRAPH).containment(copy) for copy in copies] == [1.0] * 4


def test_a_copy_with_some_other_sentences_is_known():
    """Half of the trigrams are enough: a changed first sentence does not hide the rest, nor does a library of two words."""
    library = seen(PARAGRAPH, FRESH)
    tail = PARAGRAPH[PARAGRAPH.index("Given") :]
    for copy in ("Quite another beginning for it. " + tail, tail, PARAGRAPH.replace("numpy", "scikit-learn")):
        assert library.containment(copy) >= CONTAINMENT
        assert library.knows(copy)


def test_a_fresh_paragraph_is_not_known():
    """Other words in the same style share next to nothing; of an empty filter nothing is known."""
    assert not seen(PARAGRAPH).knows(FRESH)
    assert seen(PARAGRAPH).containment(FRESH) < 0.1
    assert Shingles().containment(PARAGRAPH) == 0.0


def test_a_filter_that_is_filled_as_intended_takes_few_fresh_trigrams_for_seen():
    """All four bits of a trigram must be set: with 30 % of the bits set by other texts, that is 1 % of the trigrams."""
    library = Shingles(np.random.default_rng(0).random(200_000) < 0.3)
    assert library.containment(FRESH) < 0.15  # of 38 trigrams; six or more have a probability below 1e-6


def test_a_text_too_short_for_a_trigram_counts_as_known():
    """Nothing can be said about two words, so they are not fit for a test set."""
    assert all(Shingles().knows(text) for text in ("", "?!", "mean", "two words"))
    assert not Shingles().knows("now three words")


@given(st.lists(texts, min_size=1, max_size=8))
def test_what_was_added_is_never_forgotten(paragraphs):
    """A Bloom filter has no false negatives, however full it is."""
    joined = [" ".join(words) for words in paragraphs]
    for size in (64, 200_000):
        library = seen(*joined, size=size)
        assert all(library.containment(text) == 1.0 for text in joined)


@given(st.lists(st.text(min_size=1), min_size=1, max_size=4))
def test_any_text_at_all_can_be_added_and_is_known_then(paragraphs):
    """Also scripts, signs and digits that have no words."""
    library = seen(*paragraphs, size=20_000)
    assert all(library.containment(text) == 1.0 for text in paragraphs)


@given(texts, texts, st.integers(0, 60))
def test_texts_that_share_half_of_their_trigrams_are_known(first, second, cut):
    """A Jaccard similarity of one half or more, by its definition on sets, is always found."""
    copy = " ".join(first[:cut] + second)
    for text in (copy, " ".join(first)):
        for other in (copy, " ".join(first)):
            one, two = set(shingles(text)), set(shingles(other))
            if len(one & two) >= 0.5 * len(one | two):
                assert seen(text).knows(other)


@given(st.lists(st.integers(0, 2000), min_size=12, max_size=40, unique=True))
def test_texts_without_a_common_trigram_are_not_known(numbers):
    """A filter with one bit in a thousand set does not take fresh texts for known ones."""

    def written(values: list[int]) -> str:
        return " ".join("".join(chr(ord("a") + int(digit)) for digit in str(value)) for value in values)

    half = len(numbers) // 2
    # at most 4 * 18 of 200,000 bits are set: four chance hits for one trigram have a probability below 2e-14
    assert seen(written(numbers[:half])).containment(written(numbers[half:])) == 0.0


def test_a_packed_filter_is_the_same_filter(tmp_path):
    """Bits written as bytes come back, as the shipped file has them."""
    from safetensors.numpy import save_file

    library = seen(PARAGRAPH, size=80_000)
    save_file({"bits": np.packbits(library.bits)}, tmp_path / "bits.safetensors")
    loaded = Shingles.load(tmp_path / "bits.safetensors")
    assert np.array_equal(loaded.bits, library.bits)
    assert loaded.knows(PARAGRAPH)
    assert not loaded.knows(FRESH)
