"""The report's other figures: what its sizes are made of, three slips of arithmetic, and a PCA of noise."""

import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given
from hypothesis import strategies as st
from scipy.stats import chi2, mannwhitneyu
from torch import Tensor

from seeds import store
from seeds.assemble import assemble
from seeds.audit import counting as audit
from seeds.audit import noise
from seeds.audit.counting import BINARY, COUNTED, DECIMAL, KB, counting, factor, perplexity_ratio, slips, stored_components
from seeds.codecs import moments_parts
from seeds.errors import SeedError
from seeds.extract import extract
from seeds.moments import Moments
from seeds.pca import column_pca
from seeds.seed import Entry
from seeds.subject import subject
from tests.strategies import ORDINARY, bits, weights

pytestmark = pytest.mark.audit

AUDIT = Path(__file__).parent / "audit.toml"
HALF_ULP = 2.0**-24  # of float32, and of the grid that components lie on
FLOAT64 = 2.0**-53  # relative rounding error
LEVEL = 1e-4  # of a statistical test with a fixed generator: how rarely it would fail for other numbers
DRAWS, COPIES, RANK = 150, 8, 3  # pairs of PCAs that are compared, rows and components of each


@pytest.fixture(scope="module")
def stated():
    return audit.load(AUDIT)


@pytest.fixture(scope="module")
def counted(stated):
    return {name: counting(name, stated) for name in COUNTED}


def shapes(name):
    return [entry.shape for entry in subject(name).published_seed().entries]


# Sizes.


@pytest.mark.parametrize("name", COUNTED)
def test_the_stated_ratios_follow_from_the_stated_sizes(name, stated, counted):
    """Float32 weights over the stated size, in KB of 1,024 bytes; with 1,000 they would not."""
    size, ratio = stated[f"seed-size-{name}"], stated[f"seed-ratio-{name}"]
    assert ratio.allows(counted[name].weights_bytes / float(size.figure) / KB)
    assert not ratio.allows(counted[name].weights_bytes / float(size.figure) / 1000)


@pytest.mark.parametrize("name", COUNTED)
def test_almost_all_of_a_stated_size_is_components(name, counted):
    """At least 95 % of it is never read by the assembly, and never more than all of it."""
    found = counted[name]
    assert found.components_share >= 0.95
    assert found.components_bytes <= found.stated_bytes[0]
    counted_bytes = found.components_bytes + found.moments_bytes
    assert tuple(counted_bytes + rest for rest in found.unexplained_bytes) == found.stated_bytes
    assert found.unexplained_bytes[0] > 0, "the moments have room, too"


@pytest.mark.parametrize("change", [-1, 1], ids=["one fewer", "one more"])
@pytest.mark.parametrize("name", COUNTED)
def test_no_other_number_of_components_fits(name, change, stated, counted):
    """One fewer leaves a tenth unexplained, one more is larger than the whole."""
    rank, least_side = int(stated["components"].figure) + change, int(stated["least-side"].figure)
    share = stored_components(shapes(name), rank, least_side) / counted[name].stated_bytes[1]
    assert not 0.95 <= share <= 1.0


@pytest.mark.parametrize("name", COUNTED)
def test_a_stated_size_has_no_room_for_what_decoding_needs(name, counted):
    """Neither scores nor row means of the matrices fit into what the components leave over."""
    found = counted[name]
    left = found.stated_bytes[1] - found.components_bytes
    assert found.scores_bytes > left
    assert found.means_bytes > left


def test_no_guess_at_the_rest_fits_both_sizes(counted):
    """Names, widths of numbers, singular values and shapes, as raw numbers or as a pickled dict: all miss.

    The sizes are stated to 10 and to 102 bytes. The same pickled dict is close to both and is neither.
    """
    misses = {name: {layout.name: layout.misses_bytes for layout in counted[name].layouts} for name in COUNTED}
    assert len({frozenset(found) for found in misses.values()}) == 1
    assert not [layout for layout in misses[COUNTED[0]] if not any(misses[name][layout] for name in COUNTED)]
    nearest = min(misses[COUNTED[0]], key=lambda layout: max(abs(misses[name][layout]) for name in COUNTED))
    assert nearest.startswith("pickled dict, names with prefix")
    for name in COUNTED:
        assert abs(misses[name][nearest]) < 0.02 * (counted[name].stated_bytes[0] - counted[name].components_bytes)


def test_a_guess_is_counted_as_its_name_says():
    """By hand: a matrix `m.a` with two components and a vector `m.b`, both with moments."""
    entries = [Entry("a", (2, 3), "float32", "moments", moments_parts(Moments(0.0, 1.0, 6)))]
    entries += [Entry("b", (4,), "float32", "moments", moments_parts(Moments(0.0, 1.0, 4)))]
    sizes = {layout.name: layout.size_bytes for layout in audit.layouts(entries, "m", 2, 2, (0, 0))}
    assert sizes["no names, float32 moments"] == 2 * 4 * 2
    assert sizes["names with prefix, float64 moments, float32 singular values, int64 shapes"] == 6 + 2 * 8 * 2 + 4 * 2 + 8 * 3
    array = np.zeros((2, 3), np.float32)
    tensors = {"m.a": {"mean": 0.0, "std": 1.0, "components": array}, "m.b": {"mean": 0.0, "std": 1.0}}
    assert sizes["pickled dict, names with prefix"] == len(pickle.dumps(tensors, 4)) - array.nbytes
    tensors = {"a": {"mean": 0.0, "std": 1.0, "shape": (2, 3), "components": array}}
    tensors["b"] = {"mean": 0.0, "std": 1.0, "shape": (4,), "components": None}
    full = "pickled dict, names, shapes, None for other components"
    assert sizes[full] == len(pickle.dumps(tensors, 4)) - array.nbytes


@pytest.mark.parametrize(("low", "high", "misses"), [(90, 99, 1), (90, 100, 0), (100, 110, 0), (101, 110, -1)])
def test_a_guess_fits_to_the_byte_or_not(low, high, misses):
    """Both bounds belong to the range; a miss is signed: too small is negative."""
    assert audit._layout("any", 100, (low, high)).misses_bytes == misses


@pytest.mark.parametrize("name", COUNTED)
def test_a_seed_of_moments_alone_holds_no_components(name, counted):
    """All that the report's assembly reads fits into a file of nothing but header, 20 times smaller than stated or more."""
    seed = subject(name).published_seed()
    assert stored_components(shapes(name), 0, 1) == 0
    assert store.header_bytes(seed) == store.size_bytes(seed) == counted[name].moments_seed_bytes
    assert 20 * counted[name].moments_seed_bytes <= counted[name].stated_bytes[0]


@pytest.mark.parametrize("name", COUNTED)
def test_a_seed_that_can_be_decoded_is_larger_and_leaves_the_stated_range(name, stated, counted):
    """With scores and means it is more than twice the stated size, and no longer a hundred times smaller."""
    found = counted[name]
    assert found.usable_factor > 2
    assert 1 < found.usable_ratio < stated["smaller-least"].figure
    assert found.weights_bytes / found.stated_bytes[1] > stated["smaller-least"].figure


def test_the_size_of_a_usable_seed_is_that_of_a_written_file(counted, stated, tmp_path):
    """Random weights of BERT-tiny's shapes, extracted and written: arrays have the same bytes, headers differ by decimals."""
    rank, published = int(stated["components"].figure), subject("bert-tiny").published_seed()
    generator = torch.Generator().manual_seed(0)
    state = {entry.name: 0.1 * torch.randn(entry.shape, generator=generator) for entry in published.entries}
    written = extract(state, f"pca:{rank}")
    size = store.save(written, tmp_path / "seed")
    assert size - store.header_bytes(written) == counted["bert-tiny"].usable_bytes - store.header_bytes(
        audit.usable_seed(published, rank)
    )

    blank = audit.usable_seed(extract(state, "moments"), rank)  # with the same numbers for vectors
    matrices = sum(entry.method == "pca" for entry in blank.entries)
    # a captured share that ends in zeros is written without them; safetensors pads the header to 8 bytes
    assert abs(size - store.size_bytes(blank)) <= 2 * matrices + 8
    assert {name: tensor.shape for name, tensor in assemble(store.load(tmp_path / "seed")).items()} == {
        entry.name: entry.shape for entry in published.entries
    }


def test_only_large_matrices_have_components():
    """Vectors, and matrices with a short side, have none; one with fewer rows than the rank has as many as rows."""
    assert stored_components([(200,), (99, 200), (100, 100, 100)], 10, 100) == 0
    assert stored_components([(100, 200), (300, 100)], 10, 100) == 4 * 10 * (200 + 100)
    assert stored_components([(4, 200)], 10, 1) == 4 * 4 * 200


def test_only_subjects_whose_seeds_the_report_weighs_are_counted(stated):
    with pytest.raises(SeedError, match="'digits-mlp'; allowed: bert-tiny, gpt2"):
        counting("digits-mlp", stated)


# Arithmetic.


def test_ten_trillion_is_a_ratio_and_not_the_perplexity(stated):
    """The exact perplexity is thousands of times the figure in words, which is its ratio to the original's, to a per cent."""
    words = float(stated["perplexity-in-words"].figure)
    assert perplexity_ratio(stated) == pytest.approx(words, rel=0.01)
    slip = slips(stated)[0]
    assert slip.least == slip.most == words
    assert slip.is_off_by > 3000


@pytest.mark.parametrize(("place", "least"), [(1, 999), (2, 166)], ids=["KB for GB", "3 KB for 500 MB"])
def test_stated_units_contradict_the_stated_factor(place, least, stated):
    """The units alone put both far beyond the upper end of what is claimed, a thousand times."""
    slip = slips(stated)[place]
    assert slip.most == stated["smaller-most"].figure
    assert slip.found > slip.most
    assert slip.is_off_by > least


def test_the_factor_of_a_million_and_the_other_are_decimal(stated):
    """166,667 and a million are of powers of a thousand; with powers of 1,024 both are larger, so no choice of units helps."""
    gigabytes = stated["weights-in-words"], stated["seed-in-words"]
    megabytes = stated["sent-weights"], stated["sent-seed"]
    assert [slip.found for slip in slips(stated)[1:]] == [factor(*gigabytes, DECIMAL), factor(*megabytes, DECIMAL)]
    assert factor(*gigabytes, DECIMAL) == 10**6
    assert factor(*gigabytes, BINARY) == 2**20
    assert round(factor(*megabytes, DECIMAL)) == 166_667
    assert round(factor(*megabytes, BINARY)) == 170_667


def test_the_reports_own_seed_of_500_megabytes_is_not_3_kilobytes(stated, counted):
    """GPT-2's weights are 500 MB to a per cent, and its stated seed is a thousand times what is said to be sent for them."""
    assert counted["gpt2"].weights_bytes == pytest.approx(float(stated["sent-weights"].figure) * DECIMAL["MB"], rel=0.01)
    assert stated["seed-size-gpt2"].figure > 1000 * stated["sent-seed"].figure


def test_a_factor_within_the_stated_range_is_no_slip():
    """The control: 1 anywhere between both ends, more on either side."""
    off = [audit.Slip("", "", found, 100, 1000, "times").is_off_by for found in (50, 100, 500, 1000, 2000)]
    assert off == [2, 1, 1, 1, 2]


# Every figure is read from one file.


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [("108.59", "108.585", "108.595"), ("3311.10", "3311.095", "3311.105"), ("10", "9.5", "10.5"), ("2e3", "1500", "2500")],
)
def test_decimals_say_how_exactly_a_figure_is_stated(text, low, high, tmp_path):
    (tmp_path / "one.toml").write_text(f'[one]\nsays = "a size"\nfigure = {text}\nunit = "KB"\n')
    one = audit.load(tmp_path / "one.toml")["one"]
    assert [str(float(bound)) for bound in one.bounds] == [str(float(low)), str(float(high))]
    assert one.allows(float(text))
    assert not one.allows(float(high) * 1.01)


@pytest.mark.parametrize(
    "text", ['says = "a"\nfigure = 1', 'says = "a"\nfigure = "1"\nunit = ""', 'says = "a"\nfigure = 0\nunit = ""']
)
def test_a_figure_that_is_no_figure_is_refused_by_name(text, tmp_path):
    (tmp_path / "one.toml").write_text(f"[one]\n{text}\n")
    with pytest.raises(SeedError, match="figure 'one'"):
        audit.load(tmp_path / "one.toml")


def test_every_line_of_the_page_has_a_name_of_its_own(stated):
    lines = audit.figures(stated) + noise.figures()
    assert len({line.name for line in lines}) == len(lines)
    assert all(math.isfinite(line.found) and line.says and line.unit for line in lines)


# A PCA of one weight vector and noise.


@st.composite
def noisy(draw, kinds=(*ORDINARY, "any")):
    """A vector of 16 to 576 weights, 3 to 8 copies, a std of 2**-16 to 2**16 of the largest weight, a generator's seed."""
    vector = draw(weights(smallest_side=4, kinds=kinds)).reshape(-1)
    std = 2.0 ** draw(st.integers(-16, 16)) * (vector.abs().max().item() or 1.0)
    return vector, draw(st.integers(3, 8)), std, draw(st.integers(0, 2**32 - 1))


def rounding(noise_alone: Tensor, largest: float) -> np.ndarray:
    """How far float64 may turn each component, given the magnitude of the largest weight: grows with it. (copies - 1,)

    Adding, averaging and centring leave a few FLOAT64 of the largest value in each entry of both matrices. A component is
    rows.T @ left / s: the left vectors turn by the Gram matrix's change over the gap to the next eigenvalue (Davis and
    Kahan), the rows by their own change. The grid of float32 adds HALF_ULP in each entry.
    """
    rows = noise_alone.numpy()
    copies, values = rows.shape
    lengths = np.linalg.svd(rows - rows.mean(0), compute_uv=False)[: copies - 1]
    entries = 2 * (copies + 4) * FLOAT64 * (largest + np.abs(rows).max()) * math.sqrt(rows.size)
    squares = np.append(lengths, 0.0) ** 2
    gaps = np.array([np.abs(np.delete(squares, k) - squares[k]).min() for k in range(copies - 1)])
    gram = 2 * lengths[0] * entries + 64 * values * FLOAT64 * squares[0]
    return 4 * (gram / gaps * lengths[0] + entries) / lengths + 3 * math.sqrt(values) * HALF_ULP


@pytest.mark.roundtrip
@given(noisy())
def test_the_components_of_noisy_copies_are_those_of_the_noise(drawn):
    """Up to sign and the rounding of float64, whatever the vector: centring removed it."""
    vector, copies, std, seed = drawn
    rank = copies - 1
    rows = noise.noisy_copies(vector, copies, std, np.random.default_rng(seed))
    alone = noise.noise_rows(copies, len(vector), std, np.random.default_rng(seed))
    allowed = rounding(alone, vector.abs().max().item())
    assume(allowed.max() < 0.01)  # two directions of the noise that hold nearly the same variance are no two directions
    one, other = (column_pca(matrix, rank).components.double() for matrix in (rows, alone))
    signs = (one * other).sum(1, keepdim=True).sign()
    turned = (one - signs * other).norm(dim=1).numpy()
    assert (turned <= allowed).all(), f"turned by {turned}, allowed {allowed}"


@pytest.mark.roundtrip
@given(st.sampled_from((2, 4, 8)), st.integers(8, 64), st.integers(0, 2**32 - 1), st.integers(0, 40))
@example(2, 8, 0, 0)
def test_where_sums_are_exact_the_vector_leaves_no_trace_at_all(copies, values, seed, exponent):
    """Whole numbers, a power of two of copies: sums and means round nothing, and every bit of the components is the noise's."""
    generator = np.random.default_rng(seed)
    alone = torch.from_numpy(generator.integers(-(2**10), 2**10, (copies, values))).double()
    vector = torch.from_numpy(generator.integers(-(2**exponent), 2**exponent + 1, values)).double()
    found, expected = column_pca(alone + vector, copies - 1), column_pca(alone, copies - 1)
    assert bits(found.components) == bits(expected.components)
    assert bits(found.scores) == bits(expected.scores)


@pytest.mark.roundtrip
@given(noisy(kinds=ORDINARY))
def test_explained_variances_are_those_of_the_noise(drawn):
    """Twice the vector changes none of them, twice the noise makes each four times as large."""
    vector, copies, std, seed = drawn
    rank = copies - 1

    def variances(scale, std):
        rows = noise.noisy_copies(scale * vector.double(), copies, std, np.random.default_rng(seed))
        return noise.explained_variances(column_pca(rows, rank)).numpy()

    once = variances(1, std)
    # Weyl: a singular value moves by no more than the matrix does, here by a few FLOAT64 of the largest weight in each entry;
    # the scores lie on a grid of HALF_ULP of the largest of them; the Gram matrix mixes neighbours by rounding only
    largest = vector.abs().max().item() / std
    entries = 2 * (copies + 4) * FLOAT64 * (2 * largest + 6) * math.sqrt(copies * len(vector))
    allowed = 8 * (entries + math.sqrt(copies) * HALF_ULP) * once.max()
    np.testing.assert_allclose(variances(2, std), once, rtol=0, atol=allowed)
    np.testing.assert_allclose(variances(1, 2 * std), 4 * once, rtol=0, atol=4 * allowed)


def test_the_variance_in_all_components_is_the_variance_of_the_noise():
    """(copies - 1) * values deviations of std**2: the sum lies within the chi-squared interval, whatever the vector."""
    vector, copies, std, rng = network(), 8, 0.01, np.random.default_rng(0)
    found = column_pca(noise.noisy_copies(vector, copies, std, rng), copies - 1)
    free = (copies - 1) * len(vector)
    total = noise.explained_variances(found).sum().item() * (copies - 1) / std**2
    low, high = chi2.ppf([LEVEL / 2, 1 - LEVEL / 2], free)
    assert low <= total <= high


@given(noisy(kinds=ORDINARY))
def test_the_whole_vector_is_in_the_mean_and_the_mean_is_as_large(drawn):
    """The mean differs from the vector by the mean of the noise alone, and takes as many bytes as the weights."""
    vector, copies, std, seed = drawn
    found = column_pca(noise.noisy_copies(vector, copies, std, np.random.default_rng(seed)), 1)
    drawn_mean = noise.noise_rows(copies, len(vector), std, np.random.default_rng(seed)).mean(0)
    largest = vector.abs().max().item() + 6 * std
    # the mean is cast to float32; float64 leaves less than a millionth of that
    np.testing.assert_allclose(found.mean.double() - drawn_mean, vector.double(), rtol=0, atol=1.01 * HALF_ULP * largest)
    assert found.mean.nbytes == vector.float().nbytes


def network() -> Tensor:
    """All weights of a trained network in one vector: 26,122 values."""
    return noise.flattened(subject(noise.SUBJECT).original().state_dict().values())


def test_a_seed_of_noisy_copies_is_larger_than_the_weights():
    """The mean alone is as large as the weights; the components, which hold none of them, come on top."""
    found = noise.read(network(), 16, 0.01, 4, np.random.default_rng(0))
    assert found.mean_bytes == found.weights_bytes
    assert found.components_bytes > found.rank * found.weights_bytes
    assert found.noise_alignment > 1 - 1e-6  # components are float32
    assert found.variance_ratio == pytest.approx(1, abs=1e-6)
    # the mean of 16 draws of the noise, over the root mean square of the weights
    expected = 0.01 / 4 / network().square().mean().sqrt().item()
    assert found.mean_error == pytest.approx(expected, rel=4 / math.sqrt(2 * found.values))
    # a random subspace holds chi2(rank) / values of any vector
    assert found.vector_share < chi2.ppf(1 - LEVEL, found.rank) / found.values


def overlaps(rows_of_a_draw, seed):
    """Overlap of the components of two independent draws, DRAWS times."""
    rng = np.random.default_rng(seed)
    one = [column_pca(rows_of_a_draw(rng), RANK).components for _ in range(2 * DRAWS)]
    return [noise.overlap(a, b) for a, b in zip(one[::2], one[1::2], strict=True)]


def test_components_of_two_draws_are_no_more_aligned_than_random_ones():
    """The same weights twice, other noise: principal angles are those of random subspaces (rank sums at level 1e-4).

    The control, by the same test: a direction in which the rows really differ, and which holds no more variance than the
    noise does as a whole, is found in both draws.
    """
    vector = network()[::16]  # 1,633 of the weights: random subspaces of that size overlap in 0.0018 on average
    direction = torch.ones(len(vector), dtype=torch.float64) / math.sqrt(len(vector))
    std = 0.01

    def copies(rng):
        return noise.noisy_copies(vector, COPIES, std, rng)

    def planted(rng):
        away = torch.from_numpy(rng.standard_normal((COPIES, 1)))
        return copies(rng) + away * std * math.sqrt(len(vector)) * direction

    rng = np.random.default_rng(2)
    pairs = [[noise.random_components(RANK, len(vector), rng) for _ in range(2)] for _ in range(DRAWS)]
    random = [noise.overlap(a, b) for a, b in pairs]
    assert np.mean(random) == pytest.approx(RANK / len(vector), rel=0.15), "the reference itself"
    assert mannwhitneyu(overlaps(copies, 1), random, alternative="greater").pvalue > LEVEL
    assert mannwhitneyu(overlaps(planted, 1), random, alternative="greater").pvalue < LEVEL


@given(noisy(kinds=ORDINARY))
def test_a_direction_in_which_rows_really_differ_is_the_first_component(drawn):
    """The control: the method finds structure where there is some, and loses it only where all rows share it."""
    vector, copies, std, seed = drawn
    rows = noise.noisy_copies(vector, copies, std, np.random.default_rng(seed))
    direction = torch.from_numpy(np.random.default_rng([seed, 1]).standard_normal(len(vector)))
    direction /= direction.norm()
    away = torch.linspace(-1, 1, copies, dtype=torch.float64)[:, None]
    length = 100 * std * math.sqrt(len(vector))
    found = column_pca(rows + length * away * direction, 1).components[0].double()
    # the noise has length std * sqrt(values) a row, a hundredth of the planted step: it turns the component by about as much
    assert abs(found @ direction) > 0.999


def test_without_centring_the_first_direction_would_be_the_vector():
    """The control: it is the centring that removes it. And then one direction is the vector, with all its values."""
    vector = network()[::16]
    rows = noise.noisy_copies(vector, COPIES, 0.01, np.random.default_rng(0))
    first = torch.linalg.svd(rows, full_matrices=False).Vh[0]
    assert abs(first @ vector / vector.norm()) > 0.99
    assert abs(column_pca(rows, 1).components[0].double() @ vector / vector.norm()) < 0.1  # 4 of 1 / sqrt(1,633)


@pytest.mark.parametrize(("copies", "std"), [(1, 0.1), (4, 0.0), (4, -1.0), (4, math.nan)])
def test_copies_without_noise_or_company_are_refused(copies, std):
    with pytest.raises(SeedError, match="allowed: 2 or more of a vector, above 0"):
        noise.noisy_copies(torch.ones(3), copies, std, np.random.default_rng(0))
    with pytest.raises(SeedError, match="allowed: 1 to copies - 1"):
        noise.read(torch.ones(3), 3, 0.1, 3, np.random.default_rng(0))
