"""Tests of the keyword search in texts, file names and tags."""

import os
import shutil
import sqlite3

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from indexer import tag_library
from indexer.operations.forget import forget
from indexer.operations.index import index_folder
from retrieval import Library, SearchOptions
from retrieval.catalog import named_segments
from retrieval.catalog.named_segments import SegmentMap
from retrieval.catalog.reader import Catalog, add_functions
from retrieval.catalog.schema import CATALOG_FILE
from retrieval.errors import QueryError
from retrieval.search.keyword_search import Tier, keyword_search
from retrieval.search.keyword_terms import KeywordTerm, split_terms
from retrieval.types import Filters
from tests.support.catalog import downgrade_catalog
from tests.support.files import draw_image, requires_non_utf8_names, write_text

TABLES = ("text_words", "text_pieces", "name_words", "name_pieces")


@pytest.fixture
def archive(tmp_path):
    """Return a folder with texts in several scripts and with images in named folders."""
    top = tmp_path / "Archive"
    write_text(top / "beach.txt", "A dog runs on the beach.\n\nA red bicycle on the road.\n")
    write_text(top / "city.txt", "A bicycle, red and old, in town.\n\nThe bus on a hill.\n")
    write_text(top / "chinese.txt", "一只狗在沙滩上奔跑\n\n我的手机iPhone在这里\n")
    write_text(top / "Café" / "menu.txt", "Crème brûlée for two.\n")
    draw_image(top / "Rome 2022" / "IMG_20220612_1830.png", "blue")
    draw_image(top / "Rome 2022" / "fountain.png", "cyan")
    draw_image(top / "vacation" / "sunset.png", "red")
    return top


@pytest.fixture
def catalog(archive, index, place):
    index(archive)
    opened = Catalog.open(place)
    yield opened
    opened.close()


def texts_of(catalog, words, **filters):
    """Return the passage of each hit, or the file name if it has no text."""
    matches = keyword_search(catalog, words, **filters)
    pairs = [(int(id_), float(score)) for id_, score in zip(matches.ids, matches.scores, strict=True)]
    return [hit.text or hit.path.name for hit in catalog.hits(pairs, "toy", Filters())]


def check_tables(place):
    """Raise unless every keyword table is consistent with the tables that it indexes."""
    with sqlite3.connect(place / CATALOG_FILE) as db:
        add_functions(db)
        for table in TABLES:
            db.execute(f"INSERT INTO {table} ({table}, rank) VALUES ('integrity-check', 1)")
            for (view,) in db.execute("SELECT 'texts' WHERE ? GLOB 'text_words'", (table,)):
                rows = f"SELECT id FROM {view} EXCEPT SELECT id FROM {table}_docsize"
                assert db.execute(rows).fetchall() == []
    db.close()


@pytest.mark.parametrize(
    ("words", "has_words"),
    [("rome carnival 2022", True), ("carnival rome", True), ("violin lesson july 2022", False)],
)
def test_name_has_the_words_unless_most_are_nowhere_in_the_library(catalog, words, has_words):
    matches = keyword_search(catalog, words)
    assert len(matches.ids)
    assert (min(matches.tiers) < Tier.EXACT) == has_words


@pytest.mark.parametrize(
    ("words", "first"),
    [
        ("dog", "A dog runs on the beach."),
        ("DOG?", "A dog runs on the beach."),
        ('"red bicycle"', "A red bicycle on the road."),
        ("creme brulee", "Crème brûlée for two."),
        ("cafe", "Crème brûlée for two."),
        ("20220612", "IMG_20220612_1830.png"),
        ("img_2022", "IMG_20220612_1830.png"),
        ("0612_18", "IMG_20220612_1830.png"),
        ("IMG_20220612_1830.png", "IMG_20220612_1830.png"),
        ("fountain", "fountain.png"),
        ("vacat", "sunset.png"),
        ("狗", "一只狗在沙滩上奔跑"),
        ("沙滩", "一只狗在沙滩上奔跑"),
        ("奔跑", "一只狗在沙滩上奔跑"),  # at the end of the text
        ("跑", "一只狗在沙滩上奔跑"),
        ("在沙滩上", "一只狗在沙滩上奔跑"),
        ('"沙滩"', "一只狗在沙滩上奔跑"),
        ("iphone", "我的手机iPhone在这里"),
    ],
)
def test_words_prefixes_and_scripts_without_spaces_are_found(catalog, words, first):
    assert texts_of(catalog, words)[0] == first


@pytest.mark.parametrize("words", ["cat", "xylophone", '"red dog"', '"dog" "bus"', "滩狗", "!!!", '""', ""])
def test_query_without_matches_returns_nothing(catalog, words):
    assert texts_of(catalog, words) == []


def test_hits_with_all_words_rank_first(catalog):
    assert texts_of(catalog, "red road bicycle") == [
        "A red bicycle on the road.",
        "A bicycle, red and old, in town.",
    ]
    shares = keyword_search(catalog, "red road bicycle").shares
    assert shares[0] == pytest.approx(1)
    assert 0.3 < shares[1] < 0.7


def test_common_words_are_ignored_next_to_rare_ones(tmp_path, index, place):
    for n in range(40):
        write_text(tmp_path / "notes" / f"{n}.txt", f"the {'heron' if n < 3 else 'owl'} w{n} on a shelf")
    index(tmp_path / "notes")
    catalog = Catalog.open(place)
    assert texts_of(catalog, "the heron on a beach") == [f"the heron w{n} on a shelf" for n in range(3)]
    assert len(texts_of(catalog, "the shelf")) == 40  # if all words are common, none is ignored
    assert len(texts_of(catalog, '"the" heron')) == 40
    assert keyword_search(catalog, "the heron").shares.tolist() == pytest.approx([1, 1, 1])
    catalog.close()


@pytest.mark.parametrize("phrase", ['"holiday party"', '"party"', '"annual report"'])
def test_quotation_in_most_names_or_texts_is_found_and_excluded_in_all(
    phrase, tmp_path, index, place, toy, monkeypatch
):
    monkeypatch.setattr("retrieval.search.keyword_search.MAX_BM25_TEXTS", 10)
    for n in range(100):
        name, text = ("holiday party", "annual report") if n < 60 else ("meeting", "minutes")
        write_text(tmp_path / "notes" / f"{name} {n:02}.txt", f"red {text}, number {n}")
    index(tmp_path / "notes")
    keyword = SearchOptions(by="keyword")
    with Library.open(place, embedder=toy) as library:

        def numbers(words, options):
            hits = library.search(words, count=100, options=options)
            return sorted(int(hit.path.stem[-2:]) for hit in hits if hit.has_words)

        for options in (keyword, SearchOptions()):
            assert numbers(phrase, options) == numbers(f"red {phrase}", options) == [*range(60)]
            assert numbers(f"red -{phrase}", options) == [*range(60, 100)]
        shares = [hit.words for hit in library.search(f"{phrase} 59", count=100, options=keyword)]
        assert shares[0] == 1 > shares[1] > 0.1  # it is no common word, which is ignored


def test_folder_name_matches_all_its_files_with_equal_scores(catalog):
    assert set(texts_of(catalog, "rome")) == {"IMG_20220612_1830.png", "fountain.png"}
    assert len(set(keyword_search(catalog, "rome").scores.tolist())) == 1
    assert texts_of(catalog, "rome fountain")[0] == "fountain.png"
    assert len(texts_of(catalog, "archive")) == 7  # the first passage of each text


WORDS = (
    "archive",
    "rome",
    "archive bicycle",
    "cafe menu",
    "table photo",
    "rome blue sky",
    "photo -rome",
    "a",
)


def test_map_of_segments_finds_the_same_as_the_catalog(catalog, archive, index, monkeypatch):
    """In a library with captions, copies, deleted files, and files that change after the map was read."""

    def found():
        kinds = [{}, {"kinds": ["image"]}, {"kinds": ["text"]}]
        return [
            [column.tolist() for column in keyword_search(catalog, words, count=None, **options)]
            for words in WORDS
            for options in kinds
        ]

    def check():
        catalog.named_segments.__init__()
        monkeypatch.setattr(named_segments, "MIN_MAPPED_FILES", 1_000)
        expected = found()
        monkeypatch.setattr(named_segments, "MIN_MAPPED_FILES", 0)
        assert found() == found() == expected
        assert catalog.named_segments._version.map is not None
        return expected

    before = check()
    segment_map = catalog.named_segments._version.map
    rows = "a photo of a blue sky,fountain.png\nanother photo,IMG_20220612_1830.png\n"
    write_text(archive / "Rome 2022" / "captions.csv", "caption,image\n" + rows)
    shutil.copy(archive / "city.txt", archive / "Café" / "town.txt")
    (archive / "vacation" / "sunset.png").unlink()
    index(archive)
    after_without_reset = found()
    assert catalog.named_segments._version.map is not segment_map
    assert check() == after_without_reset != before


def test_map_of_segments_is_not_used_for_a_newer_version(catalog, archive, index, monkeypatch):
    read = SegmentMap.read

    def read_slowly(db):
        """Read the map; before it is stored, another thread searches a newer version."""
        segment_map = read(db)
        monkeypatch.setattr(SegmentMap, "read", read)
        draw_image(archive / "Venice" / "bridge.png", "green")
        index(archive)
        assert texts_of(catalog, "venice") == ["bridge.png"]
        return segment_map

    monkeypatch.setattr(named_segments, "MAX_JOINED_FILES", 0)  # every search reads the map
    monkeypatch.setattr(SegmentMap, "read", read_slowly)
    catalog.named_segments.__init__()
    assert len(keyword_search(catalog, "rome").ids) == 2
    assert texts_of(catalog, "venice") == ["bridge.png"]


def test_map_of_segments_is_read_after_many_searches_of_few_files(catalog, monkeypatch):
    monkeypatch.setattr(named_segments, "MIN_MAPPED_FILES", 3)
    catalog.named_segments.__init__()
    first = keyword_search(catalog, "rome", count=None).ids.tolist()
    assert catalog.named_segments._version.map is None
    for _ in range(10):
        assert keyword_search(catalog, "rome", count=None).ids.tolist() == first
    assert catalog.named_segments._version.map is not None


def test_words_of_name_and_text_are_combined(catalog):
    assert texts_of(catalog, "city bus") == [
        "The bus on a hill.",
        "A bicycle, red and old, in town.",
    ]
    assert keyword_search(catalog, "city bus").shares[0] == pytest.approx(1)


def test_kinds_allowed_ids_and_count_restrict_the_matches(catalog):
    assert texts_of(catalog, "rome", kinds=["text"]) == []
    assert len(texts_of(catalog, "rome", kinds=["image"])) == 2
    ids = keyword_search(catalog, "rome").ids
    assert keyword_search(catalog, "rome", allowed=ids[1:]).ids.tolist() == ids[1:].tolist()
    assert keyword_search(catalog, "rome", count=1).ids.tolist() == ids[:1].tolist()


def test_query_is_split_into_words_and_phrases():
    assert split_terms('"Red  Bicycle" on, (a) dog-sled a') == [
        KeywordTerm("Red Bicycle", quoted=True), KeywordTerm("on"), KeywordTerm("a"), KeywordTerm("dog-sled")
    ]  # fmt: skip
    assert [term.text for term in split_terms("在沙滩上 abc沙")] == ["在沙滩", "沙滩上", "abc", "沙"]
    assert [term.is_exact for term in split_terms('"a b" IMG_2022 20220612 dog.txt dog 2022 well-known')] == [
        True, True, True, True, False, False, False
    ]  # fmt: skip


HOSTILE_QUERIES = [
    *(
        "NEAR(a b)",
        "text:dog",
        '"',
        '"dog',
        "a AND OR NOT",
        "*",
        "dog*",
        "^dog",
        "{text}:dog",
        "-dog",
        "'",
        "\\",
    ),
    *(
        "dog)",
        "(",
        "+",
        "a\0b",
        "\udce9\ud800",
        "x" * 50_000,
        "%_",
        "沙\0滩",
        '"沙',
        "é\u0301",
        "🐶",
        "\u200b",
    ),
]


@pytest.fixture(scope="module")
def small_catalog(tmp_path_factory):
    """Open a small catalog that the tests only read."""
    from indexer import update_library
    from tests.support.toy_embedder import ToyEmbedder

    top = tmp_path_factory.mktemp("small")
    write_text(top / "texts" / "dog.txt", "A dog AND a cat\n\n一只狗在沙滩上\n\nNEAR text NOT OR\n")
    update_library([top / "texts"], library=top / "library", embedder=ToyEmbedder())
    opened = Catalog.open(top / "library")
    yield opened
    opened.close()


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.sampled_from(HOSTILE_QUERIES),
        st.text(),
        st.lists(st.sampled_from([*HOSTILE_QUERIES[:20], "dog", " "])).map("".join),
    )
)
def test_unusual_query_does_not_fail(small_catalog, words):
    ids, tiers, shares, scores = keyword_search(small_catalog, words)
    assert len(ids) == len(tiers) == len(scores) == len(shares) == len(set(ids.tolist()))
    assert (np.diff(tiers) >= 0).all()
    assert ((shares > 0) & (shares <= 1 + 1e-6)).all()


@pytest.mark.parametrize("words", ["NEAR(dog cat)", "text:dog", "dog*", '"dog', "{text} : dog", "dog AND"])
def test_fts_operators_are_treated_as_words(small_catalog, words):
    assert len(keyword_search(small_catalog, words).ids)


def test_keyword_tables_follow_renames_changes_and_deletions(archive, index, place):
    def search(words):
        catalog = Catalog.open(place)
        texts = texts_of(catalog, words)
        catalog.close()
        check_tables(place)
        return texts

    index(archive)
    assert search("fountain") == ["fountain.png"]
    (archive / "Rome 2022" / "fountain.png").rename(archive / "spring.png")
    index(archive)
    assert search("fountain") == []
    assert search("spring") == ["spring.png"]
    write_text(archive / "beach.txt", "A cat sleeps in the snow.\n")
    index(archive)
    assert search("dog") == []  # its segments are kept, but belong to no file
    assert search("snow") == ["A cat sleeps in the snow."]
    (archive / "spring.png").unlink()
    index(archive)
    assert search("spring") == []
    forget(library=place, purge=True)
    assert search("dog") == []
    forget([archive], library=place, purge=True)
    with sqlite3.connect(place / CATALOG_FILE) as db:
        add_functions(db)
        assert [db.execute(f"SELECT count(*) FROM {table}_docsize").fetchone()[0] for table in TABLES] == [
            0
        ] * 4
    db.close()
    assert search("snow") == []


def test_keyword_tables_follow_direct_sql_writes(archive, index, place):
    index(archive)
    db = sqlite3.connect(place / CATALOG_FILE, isolation_level=None)
    add_functions(db)
    db.execute("PRAGMA foreign_keys = ON")

    def count(table, word):
        return db.execute(f"SELECT count(*) FROM {table} WHERE {table} MATCH ?", (word,)).fetchone()[0]

    db.execute("UPDATE segments SET text = 'a heron 鷺が飛ぶ' WHERE text LIKE '%dog%'")
    assert (count("text_words", "dog"), count("text_words", "heron"), count("text_pieces", "鷺が飛")) == (
        0,
        1,
        1,
    )
    db.execute("UPDATE segments SET text = NULL WHERE text LIKE '%heron%'")
    assert (count("text_words", "heron"), count("text_pieces", "鷺が飛")) == (0, 0)
    db.execute(
        "UPDATE files SET path = CAST('heron.png' AS BLOB) WHERE path = CAST('vacation/sunset.png' AS BLOB)"
    )
    assert (count("name_words", "sunset"), count("name_pieces", "hero")) == (0, 1)
    db.execute("UPDATE roots SET path = CAST('/moved/Elsewhere' AS BLOB)")
    assert (count("name_words", "archive"), count("name_words", "elsewhere")) == (0, 7)
    check_tables(place)
    db.execute("UPDATE files SET content = NULL")
    db.execute("DELETE FROM contents")  # the segments are deleted by a cascade
    assert count("text_words", "bicycle") == 0
    db.execute("DELETE FROM roots")  # the files are deleted by a cascade
    assert count("name_words", "elsewhere") == 0
    check_tables(place)
    db.close()


def test_integrity_check_detects_a_missing_keyword(archive, index, place):
    index(archive)
    with sqlite3.connect(place / CATALOG_FILE) as db:
        add_functions(db)
        db.execute(
            "INSERT INTO name_words (name_words, rowid, name) SELECT 'delete', id, 'x' FROM names LIMIT 1"
        )
    db.close()
    with pytest.raises(sqlite3.DatabaseError):
        check_tables(place)


def test_library_of_an_older_schema_gets_keyword_tables(archive, index, place, toy):
    index(archive)
    downgrade_catalog(place, "3-details")
    assert index(archive).unchanged == 7
    check_tables(place)
    with Library.open(place, embedder=toy) as library:
        assert (
            library.search("dog", options=SearchOptions(by="keyword"))[0].text == "A dog runs on the beach."
        )
        assert library.search("沙滩", options=SearchOptions(by="keyword"))[0].path.name == "chinese.txt"


@requires_non_utf8_names
def test_non_utf8_name_is_found_by_its_words(archive, index, place):
    folder = os.fsencode(archive) + b"/r\xe9d heron\xff"
    os.mkdir(folder)
    shutil.copy(archive / "vacation" / "sunset.png", folder + b"/one.png")
    write_text(archive / "other.txt", "nothing")
    index(archive)
    catalog = Catalog.open(place)
    assert len(keyword_search(catalog, "one.png").ids) == 1
    catalog.close()
    check_tables(place)


def test_metadata_keywords_are_searched_as_names_and_guessed_tags_are_not(catalog, place):
    sunset, fountain = (int(keyword_search(catalog, name).ids[0]) for name in ("sunset", "fountain"))
    with sqlite3.connect(place / CATALOG_FILE) as db:
        add_functions(db)
        db.execute("CREATE TABLE IF NOT EXISTS tags (segment, name, confidence)")
        db.execute("CREATE TABLE IF NOT EXISTS keywords (content, name)")
        db.execute("INSERT INTO tags (segment, name, confidence) VALUES (?, 'golden hour', 0.9)", (sunset,))
        db.execute(
            "INSERT INTO keywords (content, name) SELECT content, 'Lazio' FROM segments WHERE id = ?",
            (fountain,),
        )
    db.close()
    assert texts_of(catalog, "golden hour") == []
    assert texts_of(catalog, "lazio") == ["fountain.png"]
    assert texts_of(catalog, "rome lazio")[0] == "fountain.png"
    assert keyword_search(catalog, "rome lazio").shares[0] == pytest.approx(1)


def test_search_mode_selects_meaning_keywords_or_both(archive, index, place, toy):
    index(archive)
    with Library.open(place, embedder=toy) as library:

        def first(words, **options):
            hit = library.search(words, **options)[0]
            return hit.text or hit.path.name

        assert (
            first("IMG_20220612", kind="image", options=SearchOptions(by="meaning"))
            != "IMG_20220612_1830.png"
        )  # words that name no color are gray
        assert first("IMG_20220612", kind="image") == "IMG_20220612_1830.png"
        assert first('"fountain" red', kind="image") == "fountain.png"
        assert first("red fountain", kind="image", options=SearchOptions(by="meaning")) == "sunset.png"
        assert len(library.search("fountain", kind="image")) == 3
        assert [hit.path.name for hit in library.search("fountain", options=SearchOptions(by="keyword"))] == [
            "fountain.png"
        ]
        assert library.search("xylophone", options=SearchOptions(by="keyword")) == []
        assert library.search("rome", options=SearchOptions(by="keyword", under="vacation")) == []
        assert len(library.search("rome", options=SearchOptions(by="keyword", under="Rome 2022"))) == 2
        by_meaning = {
            hit.id: hit.score
            for hit in library.search("red fountain", count=20, options=SearchOptions(by="meaning"))
        }
        for hit in library.search("red fountain", count=20) + library.search(
            "red fountain", options=SearchOptions(by="keyword")
        ):
            assert hit.score == pytest.approx(by_meaning[hit.id], abs=1e-6)
        with pytest.raises(QueryError, match="Only words have keywords"):
            library.search(image=archive / "vacation" / "sunset.png", options=SearchOptions(by="keyword"))


def test_keyword_matches_of_deleted_files_do_not_hide_others(tmp_path, index, place, toy, monkeypatch):
    monkeypatch.setattr("retrieval.search.hybrid_search.MAX_COMPARED_MATCHES", 1)
    for n in range(12):
        write_text(tmp_path / "notes" / f"{n}.txt", f"heron {'x' * n}")
    index(tmp_path / "notes")
    for n in range(11):
        (tmp_path / "notes" / f"{n}.txt").unlink()
    index(tmp_path / "notes", confirm_gone=True)
    with Library.open(place, embedder=toy) as library:
        assert [
            hit.path.name for hit in library.search("heron", count=1, options=SearchOptions(by="keyword"))
        ] == ["11.txt"]


def test_search_command_has_options_for_the_search_mode(clew, archive):
    assert clew("index", archive).exit_code == 0
    done = clew("search", "sunset", "--keyword-only", "--paths")
    assert done.stdout.splitlines() == [str(archive / "vacation" / "sunset.png")]
    assert clew("search", "xylophone", "--keyword-only").exit_code == 1
    assert len(clew("search", "xylophone", "--meaning-only", "--all").stdout.splitlines()) == 10
    assert clew("search", "--image", archive / "vacation" / "sunset.png", "--keyword-only").exit_code == 2


def test_keyword_confidence_is_the_share_of_matched_words(tmp_path, toy):
    """A file name in the query raises the rank, but not the confidence."""
    draw_image(tmp_path / "in" / "IMG_2022.png", "blue")
    for words in ("sunset beach", "sunset mountain", "one", "two", "three", "four"):
        write_text(tmp_path / "in" / f"{words}.txt", words)
    with index_folder(tmp_path / "in", library=tmp_path / "library", embedder=toy) as library:
        hit = library.search(
            "sunset beach mountain IMG_2022", kind="image", options=SearchOptions(by="keyword")
        )[0]
        assert hit.path.name == "IMG_2022.png"
        assert hit.words < 0.6
        assert hit.match == "words"
        assert hit.confidence == pytest.approx(0.99 * hit.words, abs=1e-3)
        assert (
            library.search("IMG_2022", kind="image", options=SearchOptions(by="keyword"))[0].confidence
            == 0.99
        )


@pytest.fixture(scope="module")
def multilingual_library(tmp_path_factory):
    """Open a library with three texts. The built-in model knows the words of only one."""
    folder = tmp_path_factory.mktemp("multilingual")
    for name, text in {"a": "சென்னை அழகான நகரம்", "b": "አዲስ አበባ ቤተ", "c": "a dog runs"}.items():
        write_text(folder / f"{name}.txt", text)
    index_folder(folder, library=folder / "library", model="builtin").close()
    with Library.open(folder / "library") as library:
        yield library


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("சென்னை", "a.txt"),
        ("አበባ", "b.txt"),
        ("சென்னை - dog", "a.txt"),
        ("కుక్క", None),
        ("2:ቤተ + አበባ", "b.txt"),
    ],
)
def test_words_unknown_to_the_model_are_searched_as_keywords(multilingual_library, words, expected):
    hits = multilingual_library.search(words)
    assert [hit.path.name for hit in hits] == [expected] * (expected is not None)


def test_words_unknown_to_the_model_do_not_change_the_query_vector(multilingual_library):
    alone, combined = (
        multilingual_library.search(words, options=SearchOptions(by="meaning"))[0]
        for words in ("dog", "ಕನ್ನಡ + dog")
    )
    assert (alone.path.name, combined.path.name) == ("c.txt", "c.txt")
    with pytest.raises(QueryError, match="builtin knows no word"):
        multilingual_library.search("ಕನ್ನಡ", options=SearchOptions(by="meaning"))
    with pytest.raises(QueryError, match="knows no word of not:ಕನ್ನಡ"):
        multilingual_library.search("dog not:ಕನ್ನಡ")
    with pytest.raises(QueryError, match="'ಕನ್ನಡ' has no word that the model knows"):
        tag_library(["ಕನ್ನಡ"], library=multilingual_library.folder)
