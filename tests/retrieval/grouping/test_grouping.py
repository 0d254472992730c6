"""Tests of grouping files by reason: copy, pair, near-duplicate and burst."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.errors import QueryError
from retrieval.grouping.clusters import duplicate_groups, group_rows, parse_reasons
from retrieval.grouping.pairs import connected_components
from retrieval.grouping.quality import by_quality
from retrieval.grouping.similarity import (
    MAX_BRUTE_FORCE_HASHES,
    FileComparison,
    hamming_distance,
    mean_similarity,
    nearest_hash_pairs,
    similar_hash_pairs,
)
from retrieval.types import GROUP_REASONS, FileAttributes

PHOTO_HASH = 0x0F0F_3C3C_5A5A_F0F0  # half of the bits are set, as in the hash of a photo


class Pixels:
    """A comparison of pixels by the contents of files; by default all show the same image."""

    def __init__(self, show_the_same=lambda one, other: True):
        self.show_the_same = show_the_same

    def rank(self, one, others):
        return list(range(len(others)))


def constant_similarity(value, pixels=None):
    """Return a comparison with the same similarity for all pairs."""
    return FileComparison(lambda left, right: np.full(len(left), value, np.float32), pixels or Pixels())


def image(name, content, **attributes):
    return FileAttributes(Path("/p") / name, content, segment=content, kind="image", **attributes)


def flip_bits(perceptual_hash, *bits):
    for bit in bits:
        perceptual_hash ^= 1 << bit
    return perceptual_hash


@given(st.integers(1, 12), st.data())
@settings(deadline=None)
def test_connected_components_equal_the_transitive_closure(count, data):
    node = st.integers(0, count - 1)
    links = data.draw(st.lists(st.tuples(node, node), max_size=15))
    pairs = np.array(links, np.int64).reshape(-1, 2)
    reachable = np.eye(count, dtype=bool)
    reachable[pairs[:, 0], pairs[:, 1]] = reachable[pairs[:, 1], pairs[:, 0]] = True
    for _ in range(count):
        reachable = reachable @ reachable
    expected = sorted({tuple(np.flatnonzero(row)) for row in reachable})
    assert connected_components(count, [(pairs[:, 0], pairs[:, 1])]) == [list(rows) for rows in expected]


HASHES = st.one_of(
    st.none(),
    st.builds(flip_bits, st.just(PHOTO_HASH), st.integers(0, 63), st.integers(0, 63)),
    st.integers(0, 2**64 - 1),
)
IMAGES = st.lists(  # perceptual hash, second, camera
    st.tuples(HASHES, st.one_of(st.none(), st.integers(0, 12)), st.sampled_from([None, "A", "B"])),
    min_size=1,
    max_size=8,
)
PATHS = st.lists(  # stem, suffix, index of the image
    st.tuples(st.sampled_from("abcd"), st.sampled_from([".jpg", ".png", ".cr2"]), st.integers(0, 7)),
    max_size=10,
    unique_by=lambda path: path[:2],
)


@given(IMAGES, PATHS, st.sets(st.integers(0, 60), max_size=5), st.data())
@settings(deadline=None, max_examples=200)
def test_groups_do_not_depend_on_the_order_of_files(images, paths, scenes, data):
    files = [
        FileAttributes(Path("/v.mp4"), 99, segment=100 + start, kind="video", start=float(start))
        for start in scenes
    ]
    for stem, suffix, number in paths:
        number %= len(images)
        perceptual_hash, second, camera = images[number]
        taken = None if second is None else f"2024-01-01T00:00:{second:02d}"
        files.append(
            image(stem + suffix, number, perceptual_hash=perceptual_hash, taken=taken, camera=camera)
        )
    random = np.random.default_rng(data.draw(st.integers(0, 9))).random((200, 200))

    def similarity(files):
        segments = np.array([file.segment for file in files], np.int64)
        return FileComparison(
            lambda left, right: np.maximum(
                random[segments[left], segments[right]], random[segments[right], segments[left]]
            ),
            Pixels(),
        )

    order = data.draw(st.permutations(range(len(files))))
    shuffled = [files[row] for row in order]
    groups = {frozenset(order[row] for row in rows) for rows in group_rows(shuffled, similarity(shuffled))}
    assert groups == {frozenset(rows) for rows in group_rows(files, similarity(files))}


def test_copies_share_a_content_and_scenes_of_a_video_are_not_copies():
    a, b, c = image("a.jpg", 1), image("b.jpg", 1), image("c.jpg", 2)
    assert group_rows([a, c, b], constant_similarity(0.0), ["copy"]) == [[0, 2], [1]]
    scenes = [FileAttributes(Path("/p/v.mp4"), 3, segment=n, kind="video", start=100.0 * n) for n in range(3)]
    assert group_rows(scenes, constant_similarity(1.0)) == [[0], [1], [2]]
    assert group_rows([*scenes, image("v.jpg", 4)], constant_similarity(1.0)) == [[0, 3], [1], [2]]


@pytest.mark.parametrize(
    ("name", "other_name", "similarity", "grouped"),
    [
        ("IMG_1.CR2", "img_1.jpg", -1.0, True),  # raw and JPEG
        ("IMG_1.HEIC", "IMG_1.MOV", np.nan, True),  # a Live Photo
        ("IMG_1.jpg", "IMG_1.png", 0.5, True),
        ("IMG_1.jpg", "IMG_1.png", 0.49, False),  # a photo and its mask
        ("IMG_1.CR2", "IMG_2.jpg", 1.0, False),
        ("IMG_1.CR2", "sub/IMG_1.jpg", 1.0, False),
        ("IMG_1", "IMG_1.jpg", -1.0, True),
        ("IMG_1.", "IMG_1.CR2", 1.0, False),
        (".CR2", ".jpg", 1.0, False),
    ],
)
def test_pair_shares_folder_and_stem(name, other_name, similarity, grouped):
    other = replace(image(other_name, 2), kind="video" if "MOV" in other_name else "image")
    files = [image(name, 1), other]
    assert (len(group_rows(files, constant_similarity(similarity), ["pair"])) == 1) is grouped


def test_text_and_image_are_not_a_pair():
    note = FileAttributes(Path("/p/a.md"), 2, segment=2, kind="text")
    assert group_rows([image("a.CR2", 1), note], constant_similarity(1.0)) == [[0], [1]]


@pytest.mark.parametrize(
    ("bits", "similarity", "grouped"),
    [(0, -0.14, True), (0, -0.16, False), (4, 0.26, True), (4, 0.24, False),
     (10, 0.86, True), (10, 0.84, False), (12, 1.0, False), (0, np.nan, False)],
)  # fmt: skip
def test_near_duplicates_have_near_hashes_and_vectors(bits, similarity, grouped):
    other_hash = flip_bits(PHOTO_HASH, *range(0, 5 * bits, 5))
    files = [image("a.jpg", 1, perceptual_hash=PHOTO_HASH), image("b.jpg", 2, perceptual_hash=other_hash)]
    assert (len(group_rows(files, constant_similarity(similarity), ["near-duplicate"])) == 1) is grouped


def test_near_duplicates_of_one_color_need_a_higher_similarity():
    files = [image("a.jpg", 1, perceptual_hash=0), image("b.jpg", 2, perceptual_hash=0)]
    assert group_rows(files, constant_similarity(0.94), ["near-duplicate"]) == [[0], [1]]
    assert group_rows(files, constant_similarity(0.96), ["near-duplicate"]) == [[0, 1]]


@pytest.mark.parametrize(
    ("second", "camera", "similarity", "grouped"),
    [(3, "A", 0.5, True), (4, "A", 1.0, False), (0, "B", 1.0, False),
     (1, None, 1.0, False), (1, "A", 0.49, False)],
)  # fmt: skip
def test_burst_needs_one_camera_short_gaps_and_similar_images(second, camera, similarity, grouped):
    first = image("a.jpg", 1, taken="2024-05-01T23:59:58", camera="A")
    taken = f"2024-05-02T00:00:{second - 2:02d}" if second > 1 else f"2024-05-01T23:59:{58 + second}"
    files = [first, image("b.jpg", 2, taken=taken, camera=camera)]
    assert (len(group_rows(files, constant_similarity(similarity), ["burst"])) == 1) is grouped


def test_burst_has_no_maximum_duration():
    files = [image(f"{n}.jpg", n, taken=f"2024-05-01T00:00:{2 * n:02d}.5", camera="A") for n in range(20)]
    assert group_rows(files, constant_similarity(0.9), ["burst"]) == [list(range(20))]
    assert group_rows(
        [replace(file, taken="no time") for file in files], constant_similarity(0.9), ["burst"]
    )[0] == [0]


def test_consecutive_scenes_of_a_video_are_grouped():
    starts = [0, 5, 15, 40]
    files = [
        FileAttributes(
            Path("/v.mp4"), content, segment=10 * content + n, kind="video", start=start, end=start + 5
        )
        for content in (1, 2)
        for n, start in enumerate(starts)
    ]
    assert group_rows(files, constant_similarity(0.0)) == [[0, 1, 2], [3], [4, 5, 6], [7]]


def test_files_are_sorted_by_quality():
    files = [
        image("longer.jpg", 1, width=10, height=10, sharpness=2.1, size=5),
        image("b.jpg", 2, width=10, height=10, sharpness=2.1, size=5),
        image("a.jpg", 3, width=10, height=10, sharpness=4.0, size=5, offline=True),
        image("blurred.jpg", 4, width=10, height=10, sharpness=1.9, size=9),
        image("larger.jpg", 5, width=10, height=10, sharpness=2.1, size=6),
        image("wide.jpg", 6, width=11, height=10, sharpness=0.1),
        image("unknown.jpg", 7, size=100),
    ]
    assert [files[row].path.name for row in by_quality(files[:5])] == [
        "larger.jpg", "b.jpg", "longer.jpg", "blurred.jpg", "a.jpg"
    ]  # fmt: skip
    assert files[by_quality(files)[0]].path.name == "wide.jpg"
    assert [files[row].path.name for row in by_quality(files)[-2:]] == ["unknown.jpg", "a.jpg"]
    assert by_quality(files[:1]) == [0]


def test_group_is_omitted_if_a_more_certain_reason_covers_it():
    raw = image("x.cr2", 1, perceptual_hash=PHOTO_HASH, size=50)
    jpeg = image("x.jpg", 2, perceptual_hash=PHOTO_HASH, size=5)
    small = image("small.jpg", 3, perceptual_hash=PHOTO_HASH, size=1)
    copy = image("copy.jpg", 3, perceptual_hash=PHOTO_HASH, size=1)

    def summaries(files, *by):
        groups = duplicate_groups(files, constant_similarity(1.0), by)
        return [(group.reason, len(group.files), group.size, group.waste) for group in groups]

    assert summaries([raw, jpeg], "near-duplicate") == []
    assert summaries([raw, jpeg], "near-duplicate", "pair") == [("pair", 2, 55, 5)]
    assert summaries([small, copy], "near-duplicate") == []
    assert summaries([raw, jpeg, small, copy], *reversed(GROUP_REASONS)) == [
        ("near-duplicate", 4, 57, 7), ("pair", 2, 55, 5), ("copy", 2, 2, 1)
    ]  # fmt: skip


def test_unknown_reason_is_rejected():
    assert parse_reasons("burst") == {"burst"}
    with pytest.raises(QueryError, match=r"'frames'.*copy, pair, near-duplicate, burst"):
        parse_reasons(["copy", "frames"])


@pytest.mark.parametrize("count", [300, MAX_BRUTE_FORCE_HASHES + 500])
def test_similar_hash_pairs_equal_an_exhaustive_comparison(count):
    draw = np.random.default_rng(1)
    hashes = draw.integers(0, 2**64, count, np.uint64)
    hashes[: count // 3] = hashes[0]
    for row in range(1, count // 3):
        for bit in draw.choice(64, draw.integers(0, 9), replace=False):
            hashes[row] ^= np.uint64(1) << np.uint64(bit)
    left, right = np.triu_indices(count, 1)
    bits = np.array([int(a ^ b).bit_count() for a, b in zip(hashes[left], hashes[right], strict=True)])
    assert (hamming_distance(hashes[left], hashes[right]) == bits).all()
    found = [
        pair
        for pairs in similar_hash_pairs(hashes)
        for pair in zip(*(side.tolist() for side in pairs), strict=True)
    ]
    assert len(found) == len(set(found))
    assert set(found) == set(zip(left[bits <= 10].tolist(), right[bits <= 10].tolist(), strict=True))


def test_mean_similarity_is_the_mean_cosine_of_different_images():
    vectors = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
    assert mean_similarity(vectors) == pytest.approx((0 + 0.6 + 0.8) / 3)
    assert mean_similarity(vectors[:1]) == 0
    assert (
        mean_similarity(np.ones((5, 1), np.float32)) == 0.6
    )  # limited, so that similar images can still exceed it
    assert mean_similarity(np.array([[1.0], [-1.0]], np.float32)) == 0


def test_near_duplicates_are_linked_to_the_best_and_not_to_each_other():
    """In a pan each frame is like the next, and the first and the last share nothing."""
    files = [
        image(f"{n:02d}.jpg", n, perceptual_hash=flip_bits(PHOTO_HASH, *range(3 * n)), size=100 - n, width=9)
        for n in range(12)
    ]

    def near(one, other):
        return abs(files[one].content - files[other].content) <= 3

    groups = duplicate_groups(files, constant_similarity(1.0, Pixels(near)), ["near-duplicate"])
    assert sorted([file.content for file in group.files] for group in groups) == [
        [0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]
    ]  # fmt: skip
    assert all(near(group.files[0].content, file.content) for group in groups for file in group.files)


def test_leader_is_first_even_if_it_is_not_the_best_of_its_group():
    """The image that is linked to all others leads, also where its group orders them differently."""
    leader = image("a.jpg", 1, perceptual_hash=PHOTO_HASH, width=9, height=9, sharpness=6.0, size=1)
    blurred = image("b.jpg", 2, perceptual_hash=PHOTO_HASH, width=9, height=9, sharpness=4.0, size=9)
    sharpest = image("c.jpg", 3, perceptual_hash=PHOTO_HASH, width=9, height=9, sharpness=10.0, size=0)
    files = [leader, blurred, sharpest]
    linked = Pixels(lambda one, other: 2 not in (one, other))
    (group,) = duplicate_groups(files, constant_similarity(1.0, linked), ["near-duplicate"])
    assert group.files == (leader, blurred)
    assert [files[row] for row in by_quality(files[:2])] == [blurred, leader]


def test_images_with_other_pixels_are_not_near_duplicates():
    files = [image(f"{n}.png", n, perceptual_hash=PHOTO_HASH) for n in range(9)]
    different = Pixels(lambda one, other: False)
    assert duplicate_groups(files, constant_similarity(1.0, different), ["near-duplicate"]) == []
    pages = [replace(file, frames=2) for file in files]
    assert duplicate_groups(pages, constant_similarity(1.0), ["near-duplicate"]) == []


def test_number_of_pixel_comparisons_is_linear():
    """Frames of a fixed camera: all hashes are similar, and either no pair or every pair shows the same."""
    draw, count = np.random.default_rng(2), 3_000
    hashes = [flip_bits(PHOTO_HASH, *draw.choice(64, 5, replace=False).tolist()) for _ in range(count)]
    files = [image(f"{n}.jpg", n, perceptual_hash=hash_) for n, hash_ in enumerate(hashes)]
    for shown, most in ((False, 4 * count), (True, 1.1 * count)):
        calls = []
        pixels = Pixels(lambda one, other, shown=shown, calls=calls: bool(calls.append(one)) or shown)
        groups = duplicate_groups(files, constant_similarity(1.0, pixels), ["near-duplicate"])
        assert len(calls) <= most
        assert [len(group.files) for group in groups] == ([count] if shown else [])


@pytest.mark.parametrize("count", [400, MAX_BRUTE_FORCE_HASHES + 400])
def test_nearest_hash_pairs_contain_every_hash_with_its_nearest(count):
    draw = np.random.default_rng(3)
    hashes = draw.integers(0, 2**64, count, np.uint64)
    hashes[: count // 2] = [
        flip_bits(PHOTO_HASH, *draw.choice(64, 5, replace=False).tolist()) for _ in range(count // 2)
    ]
    for row in range(0, count // 2, 2):  # each has one that differs in a bit
        hashes[row + 1] = hashes[row] ^ np.uint64(1 << int(draw.integers(64)))
    hashes.sort()
    one, other = nearest_hash_pairs(hashes, 8)
    assert len(one) == len({*zip(one.tolist(), other.tolist(), strict=True)})
    assert (one < other).all() and (hamming_distance(hashes[one], hashes[other]) <= 10).all()
    bits = hamming_distance(hashes[one], hashes[other])
    assert len({*one[bits <= 1].tolist(), *other[bits <= 1].tolist()}) >= 0.9 * (count // 2)
    if count > MAX_BRUTE_FORCE_HASHES:
        assert len(one) <= 16 * count


@pytest.mark.parametrize(
    ("kept", "redundant"),
    [
        ("Album/IMG_1.jpg", "Phone backup/IMG_1.jpg"),
        ("Trips/2019 Paris, with all our friends/IMG_1.jpg", "Backup/a.jpg"),
        ("Album/IMG_1.jpg", "WhatsApp Images/IMG_1.jpg"),
        ("Album/long name.jpg", ".Trash-1000/a.jpg"),
        ("Album/IMG_1.jpg", "export/a.jpg"),
        ("Album/IMG_1.jpg", "Old_Copies/a.jpg"),
        ("Album/IMG_1.jpg", "Album/IMG_1 (1).jpg"),
        ("Album/IMG_1 of the house.jpg", "Album/IMG_1 copy.jpg"),
        ("My backup/Album/IMG_1.jpg", "My backup/Downloads/a.jpg"),
        ("Goldfish/exporter/backupper.jpg", "old/a.jpg"),  # parts of words are no marks
    ],
)
def test_copy_in_a_folder_of_copies_is_redundant(kept, redundant):
    files = [image(redundant, 1, size=9, modified=1), image(kept, 1, size=9, modified=2)]
    (group,) = duplicate_groups(files, constant_similarity(0.0), ["copy"])
    assert [file.path for file in group.redundant] == [Path("/p") / redundant]


def test_older_file_and_file_with_metadata_are_kept():
    dated = image("dated longer.jpg", 1, size=5, taken="2020-01-01T00:00:00", camera="A", modified=9)
    large = image("large.jpg", 2, size=9, modified=5)
    older, newer = image("older longer.jpg", 3, size=5, modified=1), image("newer.jpg", 4, size=5, modified=2)
    files = [newer, older, large, dated]
    assert [files[row] for row in by_quality(files)] == [dated, large, older, newer]


def test_larger_image_in_a_folder_of_copies_is_not_redundant():
    album = image("album/a.jpg", 1, perceptual_hash=PHOTO_HASH, width=100, height=80, size=10)
    backup = image("backup/a.jpg", 2, perceptual_hash=PHOTO_HASH, width=400, height=320, size=90)
    (group,) = duplicate_groups([backup, album], constant_similarity(1.0), ["near-duplicate"])
    assert (group.files, group.redundant, group.waste) == ((album, backup), (), 0)
