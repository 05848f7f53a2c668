"""The report's other figures: what its sizes are made of, three slips of arithmetic, and a PCA of noise."""

import math
from pathlib import Path

import pytest
import torch

from seeds import store
from seeds.assemble import assemble
from seeds.audit import counting as audit
from seeds.audit import noise
from seeds.audit.counting import BINARY, COUNTED, DECIMAL, KB, counting, factor, perplexity_ratio, slips, stored_components
from seeds.audit.findings import FiguresFinding, plain
from seeds.errors import SeedError
from seeds.extract import extract
from seeds.subject import subject

pytestmark = pytest.mark.audit

AUDIT = Path(__file__).parent / "audit.toml"


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
    [("12.34", "12.335", "12.345"), ("7654.10", "7654.095", "7654.105"), ("10", "9.5", "10.5"), ("2e3", "1500", "2500")],
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


def test_every_line_of_the_page_has_a_name_of_its_own(stated, record_property):
    lines = audit.figures(stated) + noise.figures()
    record_property("audit", plain(FiguresFinding("report", [line.row for line in lines])))
    assert len({line.name for line in lines}) == len(lines)
    assert all(math.isfinite(line.found) and line.says and line.unit for line in lines)
