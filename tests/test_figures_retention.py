"""Retention and the ladder: the Pareto front, which intervals count, and the order of the rungs."""

import numpy as np

from seeds.figures import retention
from tests.drawn import words
from tests.figured import finding, made


def front(*sizes_and_kept: tuple[float, float]) -> list[tuple[float, float]]:
    rows = [finding("toy", f"pca:{i}", size, kept) for i, (size, kept) in enumerate(sizes_and_kept)]
    return [(p.size, p.kept) for p in retention.front(retention.points(rows))]


def test_the_front_has_whatever_nothing_beats():
    assert front((2, 0.9), (5, 0.4), (10, 0.6), (50, 0.1), (100, 0.1), (200, -0.2)) == [
        (2, 0.9),
        (10, 0.6),
        (100, 0.1),
        (200, -0.2),
    ]


def test_of_points_alike_one_is_on_the_front_and_ties_go_to_the_better():
    assert front((10, 0.5), (10, 0.5)) == [(10, 0.5)]
    assert front((10, 0.5), (10, 0.7)) == [(10, 0.7)]
    assert front((10, 0.5), (20, 0.5)) == [(20, 0.5)]
    assert front((3, 0.2)) == [(3, 0.2)]


def test_no_point_of_any_front_is_beaten():
    """On 200 random sets; and whatever is not on the front is beaten, or the twin of one that is."""
    draw = np.random.default_rng(0)
    for _ in range(200):
        every_one = [(float(a), float(b)) for a, b in draw.integers(1, 6, (7, 2))]
        best = front(*every_one)
        for one in set(every_one):
            beaten = any(a >= one[0] and b >= one[1] and (a, b) != one for a, b in every_one)
            assert (one in best) is not beaten


def test_the_csv_says_which_points_are_on_the_front():
    one = made("retention")
    at = one.columns.index("on the front")
    on = {(row[0], row[1]) for row in one.rows if row[at] == "yes"}
    assert on == {
        ("toy", "pca+vectors"), ("toy", "signs+vectors"), ("toy", "moments"),
        ("talk", "pca:8+noise+vectors"), ("talk", "signs+vectors"), ("talk", "moments:global"),
    }  # fmt: skip


def test_an_interval_is_only_given_where_a_row_judges_the_retention_itself():
    """`pca+vectors` is judged by what its components add: its row has an interval, of another quantity."""
    (row,) = [row for row in made("retention").rows if row[1] == "pca+vectors"]
    assert row[6:9] == (None, None, None)


def test_of_two_rows_on_one_seed_the_one_with_an_interval_is_drawn():
    raw = finding("toy", "moments", 130.5, 0.006, row="raw", value=0.01)
    judged = finding("toy", "moments", 130.5, 0.006, row="calibrated")
    for rows in ([raw, judged], [judged, raw]):
        assert [p.finding.row for p in retention.points(rows)] == ["calibrated"]


def test_rungs_are_sorted_by_bytes_and_say_how_much_smaller_to_the_last_digit_shown():
    """Numbers in words are never shortened as those of places are."""
    codecs = [
        "mimetic",
        "moments:global",
        "moments",
        "signs+vectors",
        "pca:8+noise+vectors",
        "permuted+vectors",
        "covariance+vectors",
    ]
    placed = {word.text: word.bottom for word in words(made("ladder")) if word.text in codecs}
    assert sorted(placed, key=lambda codec: -placed[codec]) == codecs
    assert {"0.989×", "15.2×", "0 bytes", "1,176×"} <= {word.text for word in words(made("ladder"))}
