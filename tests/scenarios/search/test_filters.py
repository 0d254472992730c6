"""Filters on metadata, sidecars and labels return exactly the segments that match."""

import os
import shutil
import sqlite3
from contextlib import closing

import numpy as np
import pytest

from indexer.decode.versions import METADATA_VERSION
from indexer.store.analyses import outdated_contents
from retrieval import Library, SearchOptions
from retrieval.catalog.filter_sql import distance_km, find_allowed, where_clause
from retrieval.catalog.reader import Catalog
from retrieval.errors import LibraryVersionMismatch
from retrieval.query.filters import build_filters, merge_filters
from tests.support.catalog import downgrade_catalog
from tests.support.files import draw_image, write_text
from tests.support.metadata_files import exif, gps, jpeg, write_file, xmp

RED = 0.999992


def names(hits):
    return sorted(hit.path.name for hit in hits)


def query_plan(db, run):
    """Return the steps of the plan of the last statement that `run` executes."""
    statements = []
    db.set_trace_callback(statements.append)
    run()
    db.set_trace_callback(None)
    return [row["detail"] for row in db.execute(f"EXPLAIN QUERY PLAN {statements[-1]}")]


@pytest.fixture
def photos(tmp_path, index, place, toy):
    """Index photos with metadata and open their library."""
    folder = tmp_path / "photos"
    shot = {0x9003: "2022:06:30 18:00:00", 0xA434: "EF50mm f/1.8 STM"}
    canon = exif({0x010F: "Canon", 0x0110: "Canon EOS 80D", 0x0112: 6}, shot, gps(48.8584, 2.2945))
    write_file(folder / "eiffel.jpg", jpeg((60, 40), (250, 0, 0), ["Paris", "Été"], exif=canon))
    nikon = exif({0x010F: "NIKON CORPORATION", 0x0110: "NIKON D70", 0x4746: 3}, gps=gps(48.86, 2.34))
    write_file(folder / "Trips" / "louvre.jpg", jpeg((80, 40), (240, 0, 0), ["paris", "art"], exif=nikon))
    phone = exif({0x010F: "Apple", 0x0110: "iPhone 6"}, gps=gps(-16.5, 179.99))
    write_file(folder / "Trips" / "fiji.jpg", jpeg((40, 40), (230, 0, 0), exif=phone))
    write_file(folder / "plain.jpg", jpeg((30, 60), (220, 0, 0)))
    index(folder)
    with Library.open(place, embedder=toy) as opened:
        yield opened


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"camera": "canon"}, ["eiffel.jpg"]),
        ({"camera": "nikon*"}, ["louvre.jpg"]),
        ({"camera": "*6"}, ["fiji.jpg"]),
        ({"camera": "D7?"}, []),  # a pattern matches the complete name
        ({"camera": "*D7?"}, ["louvre.jpg"]),
        ({"camera": ["iphone", "80D"]}, ["eiffel.jpg", "fiji.jpg"]),
        ({"camera": "%"}, []),
        ({"camera": "_"}, []),
        ({"lens": "50mm"}, ["eiffel.jpg"]),
        ({"near": "48.86,2.34"}, ["louvre.jpg"]),
        ({"near": "48.86,2.34,5km"}, ["eiffel.jpg", "louvre.jpg"]),
        ({"near": "-16.5,-179.99,5km"}, ["fiji.jpg"]),  # across the antimeridian
        ({"near": "-16.5,-179.99,2km"}, []),
        ({"near": "90,0,4600km"}, ["eiffel.jpg", "louvre.jpg"]),  # the circle contains a pole
        ({"near": "0,0,20100km"}, ["eiffel.jpg", "fiji.jpg", "louvre.jpg"]),
        ({"tag": "PARIS"}, ["eiffel.jpg", "louvre.jpg"]),
        ({"tag": ["paris", "art"]}, ["louvre.jpg"]),
        ({"tag": "été"}, ["eiffel.jpg"]),
        ({"tag": "ÉTÉ"}, ["eiffel.jpg"]),
        ({"tag": "pari"}, []),
        ({"rating": 3}, ["louvre.jpg"]),
        ({"rating": 4}, []),
        ({"size": "60x1"}, ["louvre.jpg"]),  # as displayed: the first is 40 x 60
        ({"size": "0.002MP"}, ["eiffel.jpg", "louvre.jpg"]),
        ({"orientation": "portrait"}, ["eiffel.jpg", "plain.jpg"]),
        ({"orientation": "landscape"}, ["louvre.jpg"]),
        ({"orientation": "square"}, ["fiji.jpg"]),
        ({"date": "2022"}, ["eiffel.jpg"]),
        ({"date": "..2022-06"}, ["eiffel.jpg"]),
        ({"date": "2022-07..2022"}, []),
        ({"under": ["Trips", "nowhere"]}, ["fiji.jpg", "louvre.jpg"]),
        ({"under": "Trips", "tag": "paris", "orientation": "landscape", "rating": 1}, ["louvre.jpg"]),
    ],
)
def test_filter_returns_exactly_the_matching_images(photos, filters, expected):
    hits = photos.search("red", kind="image", options=SearchOptions(**filters))
    assert names(hits) == expected
    assert [hit.score for hit in hits] == pytest.approx([RED] * len(expected), abs=1e-4)
    assert (
        names(photos.search("red", options=SearchOptions(**filters))) == expected
    )  # keywords have no segments


def test_filters_from_iterators_apply_to_each_alternative(photos):
    options = SearchOptions(camera=iter(["NIKON*"]))
    assert names(photos.search("red | blue", kind=iter(["image"]), options=options)) == ["louvre.jpg"]
    assert not photos.search("red | blue", kind=iter(["text"]))


def test_similar_accepts_the_same_filters(photos, tmp_path):
    assert names(photos.similar(tmp_path / "photos" / "plain.jpg", options=SearchOptions(tag="paris"))) == [
        "eiffel.jpg",
        "louvre.jpg",
    ]


def test_command_accepts_every_filter(photos, tmp_path, clew):
    place = ("--library", tmp_path / "built")
    assert clew("index", tmp_path / "photos", "--model", "builtin", *place).exit_code == 0
    for options, found in (
        ("--camera Canon* --date 2022..2024 --orientation portrait", "eiffel.jpg"),
        ("--near -16.5,179.99,5km --size 40x40", "fiji.jpg"),
        ("--tag paris --tag art --rating 3 --under nowhere --under Trips", "louvre.jpg"),
        ("--lens EF* --camera nothing --camera canon", "eiffel.jpg"),
    ):
        done = clew("red", "--paths", *options.split(), *place)
        assert [line.rpartition("/")[2] for line in done.stdout.splitlines()] == [found]
        assert clew("red", "--tag", "nothing", *options.split(), *place).exit_code == 1
    wrong = clew("red", "--near", "Paris", *place)
    assert (wrong.exit_code, "Invalid place" in wrong.output) == (2, True)


def test_filter_by_index_equals_filter_by_row(photos):
    catalog = photos._catalog
    everything = [(int(id_), 1.0) for id_ in catalog.allowed_ids(build_filters())]
    for fields in (
        {"camera": "*o*"}, {"lens": "50"}, {"near": "48.86,2.34,5km"}, {"tag": "paris"}, {"rating": 1},
        {"size": "40x40"}, {"orientation": "portrait"}, {"date": "2022"}, {"under": "Trips"},
    ):  # fmt: skip
        filters = build_filters(options=SearchOptions(**fields))
        by_index = catalog.allowed_ids(filters).tolist()
        assert 0 < len(by_index) < len(everything)
        assert by_index == [hit.id for hit in catalog.hits(everything, "toy", filters)]


@pytest.mark.parametrize(
    ("filters", "index_"),
    [
        ({"camera": "canon"}, "contents_by_camera (camera=?)"),
        ({"lens": "50"}, "contents_by_lens (lens=?)"),
        ({"near": "1,2,3km"}, "contents_by_place (latitude>? AND latitude<?)"),
        ({"rating": 3}, "contents_by_rating (rating>?)"),
        ({"size": "9x9"}, "contents_by_size (width>?)"),
        ({"tag": "x"}, "keywords_by_name (name=?)"),
        ({"tag": "x"}, "SEARCH tags USING PRIMARY KEY (name=?)"),
        ({"date": "2022"}, "files_by_time (time>? AND time<?)"),
    ],
)
def test_filter_uses_its_index(photos, filters, index_):
    catalog = photos._catalog
    plan = query_plan(
        catalog.db, lambda: catalog.allowed_ids(build_filters("image", SearchOptions(**filters)))
    )
    assert any(index_ in step for step in plan)
    assert {step.split()[1] for step in plan if step.startswith("SCAN")} <= {
        "names",
        "c",
    }  # names: a CTE; c: captions


def test_radius_filter_equals_distance_for_all_places_on_earth(tmp_path, index, place):
    index(write_text(tmp_path / "p" / "a.txt", "red").parent)
    db = sqlite3.connect(place / "catalogue.sqlite")
    generator = np.random.default_rng(3)
    latitudes = np.degrees(np.arcsin(generator.uniform(-1, 1, 3_000)))
    longitudes = generator.uniform(-180, 180, 3_000)
    places = list(zip(latitudes.tolist(), longitudes.tolist(), strict=True))
    places += [(90.0, 0.0), (-90.0, 77.0), (0.0, 180.0), (0.0, -180.0), (89.99, 179.9), (-89.9, -0.1)]
    rows = [(n.to_bytes(2, "big"), *at) for n, at in enumerate(places)]
    db.executemany("INSERT INTO contents (hash, decoder, latitude, longitude) VALUES (?, 'x', ?, ?)", rows)
    db.create_function("kilometres", 4, distance_km, deterministic=True)
    for center in [*places[:40], *places[-6:]]:
        for radius in (0.5, 60.0, 900.0, 9_000.0, 20_100.0):
            test, values = where_clause(
                build_filters(options=SearchOptions(near=f"{center[0]:.6f},{center[1]:.6f},{radius}km")),
                per_row=False,
            )
            inner = test[test.index("WHERE") + 6 : -1]
            rows = db.execute(f"SELECT latitude, longitude FROM contents WHERE {inner}", values).fetchall()
            rounded = (float(f"{center[0]:.6f}"), float(f"{center[1]:.6f}"))
            assert sorted(rows) == sorted(at for at in places if distance_km(*at, *rounded) <= radius)
    db.close()


def test_metadata_is_shared_by_an_image_its_sidecar_and_its_captions(tmp_path, index, place, toy):
    folder = tmp_path / "photos"
    draw_image(folder / "dog.png", (250, 0, 0))
    draw_image(folder / "dogs.png", (250, 9, 0))
    metadata = xmp(
        ("dc:subject", ["Rex"]),
        xmp_Rating="4",
        xmp_CreateDate="2020-05-05",
        exif_GPSLatitude="10,0N",
        exif_GPSLongitude="20,0E",
    )
    write_file(folder / "dog.xmp", metadata)
    write_text(folder / "dog.txt", "red dog")
    write_file(
        folder / "cat.jpg",
        jpeg((40, 20), iptc=["Tom"], exif=exif({0x0110: "EOS"}, {0x9003: "2019:01:01 00:00:00"})),
    )
    write_file(folder / "cat.jpg.xmp", xmp(xmp_CreateDate="2001-01-01", tiff_Model="other"))
    write_text(folder / "cat.jpg.txt", "red cat")
    index(folder)
    with Library.open(place, embedder=toy) as library:
        for filters in (
            {"tag": "rex"},
            {"rating": 4},
            {"near": "10,20"},
            {"date": "2020"},
            {"tag": "Rex", "rating": 1},
        ):
            assert names(library.search("red", options=SearchOptions(**filters))) == ["dog.png"]
            assert names(library.search("red", kind="image", options=SearchOptions(**filters))) == ["dog.png"]
            assert names(library.search("red", kind="text", options=SearchOptions(**filters))) == ["dog.png"]
        assert names(library.search("red", kind="text", options=SearchOptions(camera="EOS"))) == ["cat.jpg"]
        assert names(library.search("red", kind="text", options=SearchOptions(tag="tom", date="2019"))) == [
            "cat.jpg"
        ]
        assert (
            library.search("red", options=SearchOptions(date="2001")) == []
        )  # the EXIF time of the image has precedence
        assert library.search("red", options=SearchOptions(date="2020"))[0].time == "2020-05-05T00:00:00"
    (folder / "dog.xmp").unlink()
    index(folder)
    with Library.open(place, embedder=toy) as library:
        assert library.search("red", options=SearchOptions(tag="rex")) == []
        assert library.search("red", options=SearchOptions(rating=1)) == []


def test_sidecar_that_is_added_later_is_applied(tmp_path, index, place, toy):
    folder = tmp_path / "photos"
    draw_image(folder / "dog.png", (250, 0, 0))
    write_text(folder / "dog.txt", "red dog")
    index(folder)
    write_file(folder / "dog.xmp", xmp(("dc:subject", ["Rex"]), xmp_CreateDate="2020-05-05"))
    index(folder)
    with Library.open(place, embedder=toy) as library:
        assert [
            h.time for h in library.search("red", kind="text", options=SearchOptions(tag="rex", date="2020"))
        ] == ["2020-05-05T00:00:00"]
        assert names(library.search("red", kind="image", options=SearchOptions(date="2020"))) == ["dog.png"]


@pytest.fixture
def dated_photo(tmp_path, index):
    """Index a photo last written in 2010, with a sidecar of 2001; return both paths."""
    image = draw_image(tmp_path / "photos" / "dog.png", (250, 0, 0))
    sidecar = image.with_suffix(".xmp")
    write_file(sidecar, xmp(xmp_CreateDate="2001-02-03"))
    os.utime(image, (1_270_000_000, 1_270_000_000))
    index(image.parent)
    return image, sidecar


def _year(place, toy):
    with Library.open(place, embedder=toy) as library:
        (hit,) = library.search("red", kind="image")
        return hit.time[:4]


def test_date_of_a_sidecar_lasts_until_it_is_deleted(dated_photo, index, place, toy):
    assert _year(place, toy) == "2001"
    dated_photo[1].unlink()
    index()
    assert _year(place, toy) == "2010"


def test_date_of_a_sidecar_lasts_until_the_date_is_removed(dated_photo, index, place, toy):
    write_file(dated_photo[1], xmp(("dc:subject", ["Rex"])))
    index()
    assert _year(place, toy) == "2010"


def test_date_of_a_sidecar_ends_if_only_a_copy_elsewhere_is_left(dated_photo, index, place, toy):
    image, sidecar = dated_photo
    copy = draw_image(image.parent / "copies" / "cat.png", (0, 250, 0)).with_suffix(".xmp")
    copy.write_bytes(sidecar.read_bytes())
    sidecar.unlink()
    index()
    with Library.open(place, embedder=toy) as library:
        years = {hit.path.name: hit.time[:4] for hit in library.search("red", kind="image")}
    assert years == {"dog.png": "2010", "cat.png": "2001"}


def test_date_of_a_returned_sidecar_applies_to_a_new_image(dated_photo, index, place, toy):
    image, _ = dated_photo
    image.unlink()
    index()
    draw_image(image, (240, 0, 0))
    index()
    assert _year(place, toy) == "2001"


def test_label_applies_to_its_segment_only(photos, place):
    (first,) = photos.search("red", kind="image", options=SearchOptions(camera="canon"))
    db = sqlite3.connect(place / "catalogue.sqlite")
    db.execute("INSERT INTO tags VALUES (?, 'Tower', 0.9)", (first.id,))
    db.commit()
    db.close()
    assert photos.search("red", options=SearchOptions(tag="tower")) == [first]
    assert photos.search("red", options=SearchOptions(tag=["tower", "Paris"])) == [first]
    assert photos.search("red", options=SearchOptions(tag=["tower", "art"])) == []


def test_copy_without_a_sidecar_does_not_match_its_metadata(tmp_path, index, place, toy):
    folder = tmp_path / "photos"
    draw_image(folder / "a" / "dog.png", (250, 0, 0))
    write_file(folder / "a" / "dog.xmp", xmp(("dc:subject", ["Rex"]), xmp_Rating="4"))
    shutil.copytree(folder / "a", folder / "b")
    (folder / "b" / "dog.xmp").unlink()
    index(folder)
    with Library.open(place, embedder=toy) as library:
        for filters in ({"tag": "rex"}, {"rating": 4}):
            assert [h.path for h in library.search("red", options=SearchOptions(**filters))] == [
                folder / "a" / "dog.png"
            ]
            assert library.search("red", options=SearchOptions(under="b", **filters)) == []


def test_purge_deletes_metadata_and_labels(photos, place, tmp_path, index):
    from indexer.operations.forget import forget

    (hit,) = photos.search("red", options=SearchOptions(camera="canon"))
    with sqlite3.connect(place / "catalogue.sqlite") as db:
        db.execute("INSERT INTO tags VALUES (?, 'Tower', 0.9)", (hit.id,))
    shutil.rmtree(tmp_path / "photos")
    (tmp_path / "photos").mkdir()
    index(tmp_path / "photos", confirm_gone=True)
    forget(library=place, purge=True)
    for table in ("contents", "keywords", "tags", "segments"):
        assert db.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    db.close()


def test_migrated_library_reads_metadata_again_once_when_files_are_available(
    photos, place, tmp_path, index, toy
):
    photos.close()
    downgrade_catalog(place, "2-spaces")
    with pytest.raises(LibraryVersionMismatch, match="Run `clew index` to upgrade it"):
        Catalog.open(place)
    (tmp_path / "photos" / "Trips").rename(tmp_path / "away")
    write_text(tmp_path / "photos" / "plain.jpg", "not an image any more")
    report = index()
    assert (report.segments, report.unchanged) == (0, 1)
    assert any("1 file read again" in line for line in report.notes)
    with Library.open(place, embedder=toy) as library:
        assert names(
            library.search("red", options=SearchOptions(camera="canon", near="48.8584,2.2945", tag="paris"))
        ) == ["eiffel.jpg"]
        assert library.search("red", options=SearchOptions(tag="art")) == []
    (tmp_path / "away").rename(tmp_path / "photos" / "Trips")
    assert any("2 files read again" in line for line in index().notes)
    with Library.open(place, embedder=toy) as library:
        assert names(library.search("red", options=SearchOptions(tag="art", rating=3))) == ["louvre.jpg"]
    report = index()
    assert not [line for line in report.notes if "read again" in line]
    with sqlite3.connect(place / "catalogue.sqlite") as db:
        versions = dict(db.execute("SELECT version, count(*) FROM analyses GROUP BY 1"))
    assert versions == {
        str(METADATA_VERSION): 3,
        "0": 1,
    }  # the file that is not an image any more remains outdated
    db.close()


def test_outdated_contents_are_found_by_an_index(photos, place):
    plan = query_plan(photos._catalog.db, lambda: outdated_contents(photos._catalog.db, "metadata", "1"))
    steps = [step for step in plan if "analyses" in step]
    assert len(steps) == 2
    assert all("analyses_by_version (analysis=? AND version" in step for step in steps)


def test_metadata_of_real_camera_files_can_be_filtered(camera, index, place, toy):
    index(camera)
    with Library.open(place, embedder=toy) as library:
        assert len(library.search("red", count=20, options=SearchOptions(camera="Canon*"))) == 12
        assert names(library.search("red", options=SearchOptions(near="51.76,-0.32,1km"))) == [
            "Apple_iPhone_6.jpg"
        ]
        assert names(library.search("red", options=SearchOptions(tag="btcc", lens="70-200"))) == [
            "Canon_EOS-1D_Mark_III_(via_Adobe_Lightroom).jpg"
        ]
        assert len(library.search("red", count=20, options=SearchOptions(orientation="portrait"))) == 3
        assert len(library.search("red", count=20, options=SearchOptions(date="2004..2005"))) == 4


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"under": "Trips"},
        {"camera": "canon"},
        {"rating": 3, "orientation": "landscape"},
        {"size": "40x40", "date": "2022..2024"},
        {"tag": "paris"},
        {"tag": ("paris", "art"), "after": "2000", "under": ("Trips", "nowhere")},
        {"near": "48.85,2.35,50km"},
        {"any_tag": ("paris", "art", "nothing")},
        {"rating": "1..3", "orientation": ("landscape", "square")},
    ],
)
@pytest.mark.parametrize("kind", [None, "image", ("text", "image")])
def test_filters_joined_as_arrays_pass_the_same_segments_as_joins_of_sqlite(photos, options, kind):
    catalog = photos._catalog
    filters = build_filters(kind, SearchOptions(**options))
    with closing(sqlite3.connect(photos.folder / "catalogue.sqlite")) as db:
        db.execute("UPDATE files SET state = 'gone' WHERE id = (SELECT max(id) FROM files)")
        db.commit()
    allowed = find_allowed(catalog.db, filters, max_joined_rows=-1)
    np.testing.assert_array_equal(allowed, np.unique(catalog._join_allowed(filters)))


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"rating": 4}, 2),
        ({"tag": "rex"}, 3),
        ({"tag": "rex", "rating": 4}, 2),
        ({"size": "1x1", "tag": "rex"}, 3),
        ({"near": "10,20,1km", "date": "2020"}, 2),
        ({"rating": 4, "under": "nowhere"}, 0),
    ],
)
@pytest.mark.parametrize("kind", [None, "image"])
def test_files_with_sidecars_are_joined_as_arrays_too(tmp_path, index, place, toy, kind, options, count):
    folder = tmp_path / "photos"
    for green, name in enumerate(("dog", "cat", "other")):
        draw_image(folder / f"{name}.png", (250, 9 * green, 0))
    metadata = {"xmp_Rating": "4", "xmp_CreateDate": "2020-05-05"}
    metadata |= {"exif_GPSLatitude": "10,0N", "exif_GPSLongitude": "20,0E"}
    write_file(folder / "dog.xmp", xmp(("dc:subject", ["Rex"]), **metadata))
    write_file(folder / "cat.xmp", xmp(("dc:subject", ["Rex"])))
    write_text(folder / "dog.txt", "red dog")
    index(folder)
    with Library.open(place, embedder=toy) as library:
        filters = build_filters(kind, SearchOptions(**options))
        allowed = find_allowed(library._catalog.db, filters, max_joined_rows=-1)
        expected = np.unique(library._catalog._join_allowed(filters))
        np.testing.assert_array_equal(allowed, expected)
        assert kind or len(expected) == count
        assert (
            find_allowed(library._catalog.db, filters, max_described_files=0) is None or "tag" not in options
        )


EXCLUSIONS = (
    *("-tag:paris", "-tag:art", "-camera:canon", "-kind:text", "-kind:image", "-under:Trips", "-date:2022"),
    *("-rating:1", "-rating:3..3", "-near:48.86,2.34,1km", "-orientation:square", "-size:60x1", "-lens:50mm"),
    *("-tag:paris -under:Trips", "kind:text -kind:text", "tag:paris -tag:art", "camera:canon -date:2022"),
)


@pytest.mark.parametrize("query", EXCLUSIONS)
@pytest.mark.parametrize("sidecars", [False, True], ids=["no sidecars", "sidecars"])
def test_excluded_filters_pass_the_other_files(photos, tmp_path, index, place, toy, query, sidecars):
    folder = tmp_path / "photos"
    write_text(folder / "note.txt", "red boat")
    if sidecars:  # of a copy; the other file of the same content has no keyword
        shutil.copy(folder / "plain.jpg", folder / "copy.jpg")
        for name in ("copy", "described"):
            write_file(folder / f"{name}.xmp", xmp(("dc:subject", ["Paris"]), xmp_Rating="3"))
        draw_image(folder / "described.png", (210, 0, 0))
    index(folder)
    with Library.open(place, embedder=toy) as library:
        parts = query.split()
        every, wanted = all_names(library, ""), [part for part in parts if part[0] != "-"]
        expected = all_names(library, " ".join(wanted)) if wanted else every
        for part in parts:
            if part[0] == "-":
                expected = expected - all_names(library, part[1:])
        assert all_names(library, query) == expected
        filters = merge_filters(library.parse(query).filters, None, SearchOptions())
        joined = np.unique(library._catalog._join_allowed(filters))
        allowed = find_allowed(library._catalog.db, filters, max_joined_rows=-1)
        np.testing.assert_array_equal(allowed, joined)


def all_names(library, query):
    """Return the paths that a query of filters lists, without limit."""
    query = query or "after:0001"
    return {hit.path for hit in library.search(query, count=1_000)}
