"""What belongs together, from what is known of it: each reason by itself, and all, whatever the order."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.errors import QueryError
from retrieval.grouping.clusters import (
    by_quality,
    connected_components,
    duplicate_groups,
    group_rows,
    parse_reasons,
)
from retrieval.grouping.similarity import (
    MAX_BRUTE_FORCE_HASHES,
    hamming_distance,
    mean_similarity,
    similar_hash_pairs,
)
from retrieval.types import GROUP_REASONS, FileAttributes

BUSY = 0x0F0F_3C3C_5A5A_F0F0  # half of the bits are set, as of a photo


def alike(value):
    """Return a likeness that is the same for all."""
    return lambda one, other: np.full(len(one), value, np.float32)


def of(matrix):
    return lambda one, other: np.asarray(matrix, np.float32)[one, other]


def image(name, content, **known):
    return FileAttributes(Path("/p") / name, content, segment=content, kind="image", **known)


def flip(looks, *bits):
    for bit in bits:
        looks ^= 1 << bit
    return looks


@given(st.integers(1, 12), st.data())
@settings(deadline=None)
def test_components_are_those_of_a_walk_along_the_links(count, data):
    row = st.integers(0, count - 1)
    links = data.draw(st.lists(st.tuples(row, row), max_size=15))
    pairs = np.array(links, np.int64).reshape(-1, 2)
    reach = np.eye(count, dtype=bool)
    reach[pairs[:, 0], pairs[:, 1]] = reach[pairs[:, 1], pairs[:, 0]] = True
    for _ in range(count):
        reach = reach @ reach
    walked = sorted({tuple(np.flatnonzero(near)) for near in reach})
    assert connected_components(count, [(pairs[:, 0], pairs[:, 1])]) == [list(rows) for rows in walked]


LOOKS = st.one_of(
    st.none(),
    st.builds(flip, st.just(BUSY), st.integers(0, 63), st.integers(0, 63)),
    st.integers(0, 2**64 - 1),
)
PICTURES = st.lists(  # looks, second, camera
    st.tuples(LOOKS, st.one_of(st.none(), st.integers(0, 12)), st.sampled_from([None, "A", "B"])),
    min_size=1,
    max_size=8,
)
PLACES = st.lists(  # stem, suffix, which picture
    st.tuples(st.sampled_from("abcd"), st.sampled_from([".jpg", ".png", ".cr2"]), st.integers(0, 7)),
    max_size=10,
    unique_by=lambda place: place[:2],
)


@given(PICTURES, PLACES, st.sets(st.integers(0, 60), max_size=5), st.data())
@settings(deadline=None, max_examples=200)
def test_the_same_groups_come_out_whatever_the_order(pictures, places, moments, data):
    facts = [
        FileAttributes(Path("/v.mp4"), 99, segment=100 + at, kind="video", start=float(at)) for at in moments
    ]
    for stem, suffix, which in places:
        which %= len(pictures)
        looks, second, camera = pictures[which]
        taken = None if second is None else f"2024-01-01T00:00:{second:02d}"
        facts.append(image(stem + suffix, which, perceptual_hash=looks, taken=taken, camera=camera))
    drawn = np.random.default_rng(data.draw(st.integers(0, 9))).random((200, 200))

    def likeness(facts):
        segments = np.array([each.segment for each in facts], np.int64)
        return lambda one, other: np.maximum(
            *(drawn[segments[a], segments[b]] for a, b in ((one, other), (other, one)))
        )

    order = data.draw(st.permutations(range(len(facts))))
    mixed = [facts[row] for row in order]
    after = {frozenset(order[row] for row in rows) for rows in group_rows(mixed, likeness(mixed))}
    assert after == {frozenset(rows) for rows in group_rows(facts, likeness(facts))}


def test_copies_are_one_content_and_moments_of_it_are_not():
    a, b, c = image("a.jpg", 1), image("b.jpg", 1), image("c.jpg", 2)
    assert group_rows([a, c, b], alike(0.0), ["copy"]) == [[0, 2], [1]]
    moments = [
        FileAttributes(Path("/p/v.mp4"), 3, segment=n, kind="video", start=100.0 * n) for n in range(3)
    ]
    assert group_rows(moments, alike(1.0)) == [[0], [1], [2]]
    assert group_rows([*moments, image("v.jpg", 4)], alike(1.0)) == [[0, 3], [1], [2]]


@pytest.mark.parametrize(
    ("one", "other", "likeness", "together"),
    [
        ("IMG_1.CR2", "img_1.jpg", -1.0, True),  # raw and JPEG
        ("IMG_1.HEIC", "IMG_1.MOV", np.nan, True),  # a live photo
        ("IMG_1.jpg", "IMG_1.png", 0.5, True),
        ("IMG_1.jpg", "IMG_1.png", 0.49, False),  # a photo and its mask
        ("IMG_1.CR2", "IMG_2.jpg", 1.0, False),
        ("IMG_1.CR2", "sub/IMG_1.jpg", 1.0, False),
    ],
)
def test_a_pair_shares_folder_and_stem(one, other, likeness, together):
    facts = [image(one, 1), replace(image(other, 2), kind="video" if "MOV" in other else "image")]
    assert (len(group_rows(facts, alike(likeness), ["pair"])) == 1) is together


def test_a_text_is_no_pair_of_a_picture():
    note = FileAttributes(Path("/p/a.md"), 2, segment=2, kind="text")
    assert group_rows([image("a.CR2", 1), note], alike(1.0)) == [[0], [1]]


@pytest.mark.parametrize(
    ("bits", "likeness", "together"),
    [(0, 0.16, True), (0, 0.14, False), (4, 0.44, True), (4, 0.42, False),
     (10, 0.86, True), (10, 0.84, False), (12, 1.0, False), (0, np.nan, False)],
)  # fmt: skip
def test_near_duplicates_are_near_by_hash_and_vector(bits, likeness, together):
    other = flip(BUSY, *range(0, 5 * bits, 5))
    facts = [image("a.jpg", 1, perceptual_hash=BUSY), image("b.jpg", 2, perceptual_hash=other)]
    assert (len(group_rows(facts, alike(likeness), ["near-duplicate"])) == 1) is together


def test_pictures_of_one_colour_must_have_equal_vectors():
    facts = [image("a.jpg", 1, perceptual_hash=0), image("b.jpg", 2, perceptual_hash=0)]
    assert group_rows(facts, alike(0.94), ["near-duplicate"]) == [[0], [1]]
    assert group_rows(facts, alike(0.96), ["near-duplicate"]) == [[0, 1]]


@pytest.mark.parametrize(
    ("second", "camera", "likeness", "together"),
    [(3, "A", 0.5, True), (4, "A", 1.0, False), (0, "B", 1.0, False),
     (1, None, 1.0, False), (1, "A", 0.49, False)],
)  # fmt: skip
def test_a_burst_is_of_one_camera_within_seconds_and_alike(second, camera, likeness, together):
    first = image("a.jpg", 1, taken="2024-05-01T23:59:58", camera="A")
    then = f"2024-05-02T00:00:{second - 2:02d}" if second > 1 else f"2024-05-01T23:59:{58 + second}"
    facts = [first, image("b.jpg", 2, taken=then, camera=camera)]
    assert (len(group_rows(facts, alike(likeness), ["burst"])) == 1) is together


def test_a_burst_goes_on_as_long_as_its_pictures_follow_each_other():
    facts = [image(f"{n}.jpg", n, taken=f"2024-05-01T00:00:{2 * n:02d}.5", camera="A") for n in range(20)]
    assert group_rows(facts, alike(0.9), ["burst"]) == [list(range(20))]
    assert group_rows([replace(each, taken="no time") for each in facts], alike(0.9), ["burst"])[0] == [0]


def test_moments_of_one_video_that_follow_each_other_are_one():
    starts = [0, 5, 15, 40]
    facts = [
        FileAttributes(
            Path("/v.mp4"), content, segment=10 * content + n, kind="video", start=start, end=start + 5
        )
        for content in (1, 2)
        for n, start in enumerate(starts)
    ]
    assert group_rows(facts, alike(0.0)) == [[0, 1, 2], [3], [4, 5, 6], [7]]


def test_the_best_leads():
    facts = [
        image("longer.jpg", 1, width=10, height=10, sharpness=2.1, size=5),
        image("b.jpg", 2, width=10, height=10, sharpness=2.1, size=5),
        image("a.jpg", 3, width=10, height=10, sharpness=4.0, size=5, offline=True),
        image("blurred.jpg", 4, width=10, height=10, sharpness=1.9, size=9),
        image("larger.jpg", 5, width=10, height=10, sharpness=2.1, size=6),
        image("wide.jpg", 6, width=11, height=10, sharpness=0.1),
        image("unknown.jpg", 7, size=100),
    ]
    assert [facts[row].path.name for row in by_quality(facts[:5])] == [
        "larger.jpg", "b.jpg", "longer.jpg", "blurred.jpg", "a.jpg"
    ]  # fmt: skip
    assert facts[by_quality(facts)[0]].path.name == "wide.jpg"
    assert [facts[row].path.name for row in by_quality(facts)[-2:]] == ["unknown.jpg", "a.jpg"]
    assert by_quality(facts[:1]) == [0]


def test_a_group_within_one_of_a_surer_reason_is_left_to_that():
    raw = image("x.cr2", 1, perceptual_hash=BUSY, size=50)
    jpeg = image("x.jpg", 2, perceptual_hash=BUSY, size=5)
    small = image("small.jpg", 3, perceptual_hash=BUSY, size=1)
    again = image("again.jpg", 3, perceptual_hash=BUSY, size=1)

    def reasons(facts, *by):
        return [(g.reason, len(g.files), g.size, g.waste) for g in duplicate_groups(facts, alike(1.0), by)]

    assert reasons([raw, jpeg], "near-duplicate") == []
    assert reasons([raw, jpeg], "near-duplicate", "pair") == [("pair", 2, 55, 5)]
    assert reasons([small, again], "near-duplicate") == []
    assert reasons([raw, jpeg, small, again], *reversed(GROUP_REASONS)) == [
        ("near-duplicate", 4, 57, 7), ("pair", 2, 55, 5), ("copy", 2, 2, 1)
    ]  # fmt: skip


def test_a_reason_that_files_have_not_is_refused():
    assert parse_reasons("burst") == {"burst"}
    with pytest.raises(QueryError, match=r"'frames'.*copy, pair, near-duplicate, burst"):
        parse_reasons(["copy", "frames"])


@pytest.mark.parametrize("count", [300, MAX_BRUTE_FORCE_HASHES + 500])
def test_near_hashes_are_those_of_comparing_all(count):
    draw = np.random.default_rng(1)
    hashes = draw.integers(0, 2**64, count, np.uint64)
    hashes[: count // 3] = hashes[0]
    for row in range(1, count // 3):
        for bit in draw.choice(64, draw.integers(0, 9), replace=False):
            hashes[row] ^= np.uint64(1) << np.uint64(bit)
    one, other = np.triu_indices(count, 1)
    bits = np.array([int(a ^ b).bit_count() for a, b in zip(hashes[one], hashes[other], strict=True)])
    assert (hamming_distance(hashes[one], hashes[other]) == bits).all()
    found = [
        pair
        for pairs in similar_hash_pairs(hashes)
        for pair in zip(*(side.tolist() for side in pairs), strict=True)
    ]
    assert len(found) == len(set(found))
    assert set(found) == set(zip(one[bits <= 10].tolist(), other[bits <= 10].tolist(), strict=True))


def test_what_is_usual_is_the_mean_cosine_of_different_pictures():
    vectors = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
    assert mean_similarity(vectors) == pytest.approx((0 + 0.6 + 0.8) / 3)
    assert mean_similarity(vectors[:1]) == 0
    assert mean_similarity(np.ones((5, 1), np.float32)) == 0.6  # never so much that nothing could be alike
    assert mean_similarity(np.array([[1.0], [-1.0]], np.float32)) == 0
