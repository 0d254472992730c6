"""Keywords find what has the words, in its text or its name, whatever is typed and whatever is written."""

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
from retrieval import Library
from retrieval.catalog.reader import Catalog
from retrieval.catalog.schema import CATALOG_FILE
from retrieval.errors import QueryError
from retrieval.search.keyword_search import keyword_search
from retrieval.search.keyword_terms import KeywordTerm, split_terms
from retrieval.types import Filters
from tests.support.catalog import downgrade_catalog
from tests.support.files import draw_image, requires_non_utf8_names, write_text

TABLES = ("text_words", "text_pieces", "name_words", "name_pieces")


@pytest.fixture
def tree(tmp_path):
    """Make a folder of texts and pictures whose names and words are worth finding."""
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
def catalog(tree, index, place):
    index(tree)
    opened = Catalog.open(place)
    yield opened
    opened.close()


def named(catalog, words, **narrow):
    """Return what words find: the passage, or the name of the file."""
    found = keyword_search(catalog, words, **narrow)
    pairs = [(int(id_), float(score)) for id_, score in zip(found.ids, found.scores, strict=True)]
    return [hit.text or hit.path.name for hit in catalog.hits(pairs, "toy", Filters())]


def mirrored(place):
    """Raise unless every keyword table holds just what its rows say."""
    with sqlite3.connect(place / CATALOG_FILE) as db:
        for table in TABLES:
            db.execute(f"INSERT INTO {table} ({table}, rank) VALUES ('integrity-check', 1)")
            for (view,) in db.execute("SELECT 'texts' WHERE ? GLOB 'text_words'", (table,)):
                rows = f"SELECT id FROM {view} EXCEPT SELECT id FROM {table}_docsize"
                assert db.execute(rows).fetchall() == []
    db.close()


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
        ("奔跑", "一只狗在沙滩上奔跑"),  # at the end
        ("跑", "一只狗在沙滩上奔跑"),
        ("在沙滩上", "一只狗在沙滩上奔跑"),
        ('"沙滩"', "一只狗在沙滩上奔跑"),
        ("iphone", "我的手机iPhone在这里"),
    ],
)
def test_words_pieces_and_scripts_without_spaces_are_found(catalog, words, first):
    assert named(catalog, words)[0] == first


@pytest.mark.parametrize("words", ["cat", "xylophone", '"red dog"', '"dog" "bus"', "滩狗", "!!!", '""', ""])
def test_what_is_not_there_is_not_found(catalog, words):
    assert named(catalog, words) == []


def test_all_words_come_before_some(catalog):
    assert named(catalog, "red road bicycle") == [
        "A red bicycle on the road.",
        "A bicycle, red and old, in town.",
    ]
    weights = keyword_search(catalog, "red road bicycle").weights
    assert weights[0] == pytest.approx(1)
    assert 0.3 < weights[1] < 0.7


def test_a_common_word_brings_nothing_beside_a_rarer_one(tmp_path, index, place):
    for n in range(40):
        write_text(tmp_path / "notes" / f"{n}.txt", f"the {'heron' if n < 3 else 'owl'} w{n} on a shelf")
    index(tmp_path / "notes")
    catalog = Catalog.open(place)
    assert named(catalog, "the heron on a beach") == [f"the heron w{n} on a shelf" for n in range(3)]
    assert len(named(catalog, "the shelf")) == 40  # where all are common they are looked up all the same
    assert len(named(catalog, '"the" heron')) == 40
    assert keyword_search(catalog, "the heron").weights.tolist() == pytest.approx([1, 1, 1])
    catalog.close()


def test_of_a_folder_all_are_found_alike_and_the_root_has_a_name_too(catalog):
    assert set(named(catalog, "rome")) == {"IMG_20220612_1830.png", "fountain.png"}
    assert len(set(keyword_search(catalog, "rome").scores.tolist())) == 1
    assert named(catalog, "rome fountain")[0] == "fountain.png"
    assert len(named(catalog, "archive")) == 7  # the first passage of each text


def test_words_of_name_and_text_add_up(catalog):
    assert named(catalog, "city bus") == [
        "The bus on a hill.",
        "A bicycle, red and old, in town.",
    ]
    assert keyword_search(catalog, "city bus").weights[0] == pytest.approx(1)


def test_kinds_and_allowed_ids_narrow(catalog):
    assert named(catalog, "rome", kinds=["text"]) == []
    assert len(named(catalog, "rome", kinds=["image"])) == 2
    ids = keyword_search(catalog, "rome").ids
    assert keyword_search(catalog, "rome", allowed=ids[1:]).ids.tolist() == ids[1:].tolist()
    assert keyword_search(catalog, "rome", count=1).ids.tolist() == ids[:1].tolist()


def test_a_query_is_read_as_words_and_phrases():
    assert split_terms('"Red  Bicycle" on, (a) dog-sled a') == [
        KeywordTerm("Red Bicycle", quoted=True), KeywordTerm("on"), KeywordTerm("a"), KeywordTerm("dog-sled")
    ]  # fmt: skip
    assert [term.text for term in split_terms("在沙滩上 abc沙")] == ["在沙滩", "沙滩上", "abc", "沙"]
    assert [term.is_exact for term in split_terms('"a b" IMG_2022 20220612 dog.txt dog 2022 well-known')] == [
        True, True, True, True, False, False, False
    ]  # fmt: skip


HOSTILE = [
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
def still(tmp_path_factory):
    """Index a few texts once."""
    from indexer import update_library
    from tests.support.toy_embedder import ToyEmbedder

    top = tmp_path_factory.mktemp("still")
    write_text(top / "texts" / "dog.txt", "A dog AND a cat\n\n一只狗在沙滩上\n\nNEAR text NOT OR\n")
    update_library([top / "texts"], library=top / "library", embedder=ToyEmbedder())
    opened = Catalog.open(top / "library")
    yield opened
    opened.close()


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.sampled_from(HOSTILE),
        st.text(),
        st.lists(st.sampled_from([*HOSTILE[:20], "dog", " "])).map("".join),
    )
)
def test_hostile_words_give_an_answer_or_nothing(still, words):
    ids, scores, weights, shares = keyword_search(still, words)
    assert len(ids) == len(scores) == len(weights) == len(shares) == len(set(ids.tolist()))
    assert (np.diff(scores) <= 0).all()
    assert (weights > 0).all()
    assert ((shares > 0) & (shares <= 1 + 1e-6)).all()


@pytest.mark.parametrize("words", ["NEAR(dog cat)", "text:dog", "dog*", '"dog', "{text} : dog", "dog AND"])
def test_operators_are_words(still, words):
    assert len(keyword_search(still, words).ids)


def test_keywords_follow_the_rows_whatever_happens(tree, index, place):
    def found(words):
        catalog = Catalog.open(place)
        names = named(catalog, words)
        catalog.close()
        mirrored(place)
        return names

    index(tree)
    assert found("fountain") == ["fountain.png"]
    (tree / "Rome 2022" / "fountain.png").rename(tree / "spring.png")
    index(tree)
    assert found("fountain") == []
    assert found("spring") == ["spring.png"]
    write_text(tree / "beach.txt", "A cat sleeps in the snow.\n")
    index(tree)
    assert found("dog") == []  # its segments are kept, and no file has them
    assert found("snow") == ["A cat sleeps in the snow."]
    (tree / "spring.png").unlink()
    index(tree)
    assert found("spring") == []
    forget(library=place, purge=True)
    assert found("dog") == []
    forget([tree], library=place, purge=True)
    with sqlite3.connect(place / CATALOG_FILE) as db:
        assert [db.execute(f"SELECT count(*) FROM {table}_docsize").fetchone()[0] for table in TABLES] == [
            0
        ] * 4
    db.close()
    assert found("snow") == []


def test_keywords_follow_every_way_to_write_in_sql(tree, index, place):
    index(tree)
    db = sqlite3.connect(place / CATALOG_FILE, isolation_level=None)
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
    mirrored(place)
    db.execute("UPDATE files SET content = NULL")
    db.execute("DELETE FROM contents")  # segments go by a cascade
    assert count("text_words", "bicycle") == 0
    db.execute("DELETE FROM roots")  # files go with it
    assert count("name_words", "elsewhere") == 0
    mirrored(place)
    db.close()


def test_a_keyword_that_is_missing_would_be_seen(tree, index, place):
    index(tree)
    with sqlite3.connect(place / CATALOG_FILE) as db:
        db.execute(
            "INSERT INTO name_words (name_words, rowid, name) SELECT 'delete', id, 'x' FROM names LIMIT 1"
        )
    db.close()
    with pytest.raises(sqlite3.DatabaseError):
        mirrored(place)


def test_an_older_library_gets_its_keywords(tree, index, place, toy):
    index(tree)
    downgrade_catalog(place, "3-details")
    assert index(tree).unchanged == 7
    mirrored(place)
    with Library.open(place, embedder=toy) as library:
        assert library.search("dog", by="keyword")[0].text == "A dog runs on the beach."
        assert library.search("沙滩", by="keyword")[0].path.name == "chinese.txt"


@requires_non_utf8_names
def test_a_name_that_is_no_utf8_has_words_too(tree, index, place):
    odd = os.fsencode(tree) + b"/r\xe9d heron\xff"
    os.mkdir(odd)
    shutil.copy(tree / "vacation" / "sunset.png", odd + b"/one.png")
    write_text(tree / "other.txt", "nothing")
    index(tree)
    catalog = Catalog.open(place)
    assert len(keyword_search(catalog, "one.png").ids) == 1
    catalog.close()
    mirrored(place)


def test_tags_are_names_too(catalog, place):
    sunset, fountain = (int(keyword_search(catalog, name).ids[0]) for name in ("sunset", "fountain"))
    with sqlite3.connect(place / CATALOG_FILE) as db:
        db.execute("CREATE TABLE IF NOT EXISTS tags (segment, name, confidence)")
        db.execute("CREATE TABLE IF NOT EXISTS keywords (content, name)")
        db.execute("INSERT INTO tags (segment, name, confidence) VALUES (?, 'golden hour', 0.9)", (sunset,))
        db.execute(
            "INSERT INTO keywords (content, name) SELECT content, 'Lazio' FROM segments WHERE id = ?",
            (fountain,),
        )
    db.close()
    assert named(catalog, "golden hour") == ["sunset.png"]
    assert named(catalog, "lazio") == ["fountain.png"]
    assert named(catalog, "rome lazio")[0] == "fountain.png"
    assert keyword_search(catalog, "rome lazio").weights[0] == pytest.approx(1)


def test_a_search_is_by_both_or_by_one(tree, index, place, toy):
    index(tree)
    with Library.open(place, embedder=toy) as library:

        def first(words, **how):
            hit = library.search(words, **how)[0]
            return hit.text or hit.path.name

        assert first("IMG_20220612", kind="image", by="meaning") != "IMG_20220612_1830.png"  # all are grey
        assert first("IMG_20220612", kind="image") == "IMG_20220612_1830.png"
        assert first('"fountain" red', kind="image") == "fountain.png"
        assert first("red fountain", kind="image", by="meaning") == "sunset.png"
        assert len(library.search("fountain", kind="image")) == 3
        assert [hit.path.name for hit in library.search("fountain", by="keyword")] == ["fountain.png"]
        assert library.search("xylophone", by="keyword") == []
        assert library.search("rome", by="keyword", under="vacation") == []
        assert len(library.search("rome", by="keyword", under="Rome 2022")) == 2
        by_meaning = {hit.id: hit.score for hit in library.search("red fountain", by="meaning", count=20)}
        for hit in library.search("red fountain", count=20) + library.search("red fountain", by="keyword"):
            assert hit.score == pytest.approx(by_meaning[hit.id], abs=1e-6)
        with pytest.raises(QueryError, match="no keywords"):
            library.search(image=tree / "vacation" / "sunset.png", by="keyword")


def test_keywords_of_files_that_are_gone_hide_none_that_are_there(tmp_path, index, place, toy, monkeypatch):
    monkeypatch.setattr("retrieval.search.hybrid_search.MIN_FUSION_DEPTH", 1)
    for n in range(12):
        write_text(tmp_path / "notes" / f"{n}.txt", f"heron {'x' * n}")
    index(tmp_path / "notes")
    for n in range(11):
        (tmp_path / "notes" / f"{n}.txt").unlink()
    index(tmp_path / "notes", confirm_gone=True)
    with Library.open(place, embedder=toy) as library:
        assert [hit.path.name for hit in library.search("heron", by="keyword", count=1)] == ["11.txt"]


def test_the_command_searches_by_one_or_both(clew, tree):
    assert clew("index", tree).exit_code == 0
    done = clew("search", "sunset", "--keyword-only", "--paths")
    assert done.stdout.splitlines() == [str(tree / "vacation" / "sunset.png")]
    assert clew("search", "xylophone", "--keyword-only").exit_code == 1
    assert len(clew("search", "xylophone", "--meaning-only").stdout.splitlines()) == 10
    assert clew("search", "--image", tree / "vacation" / "sunset.png", "--keyword-only").exit_code == 2


def test_confidence_is_the_part_of_the_words_that_a_hit_has(tmp_path, toy):
    """The name of a file counts tenfold in the order, and not as more of the words than it is."""
    draw_image(tmp_path / "in" / "IMG_2022.png", "blue")
    write_text(tmp_path / "in" / "other.txt", "sunset")
    with index_folder(tmp_path / "in", library=tmp_path / "library", embedder=toy) as library:
        named = library.search("sunset beach mountain IMG_2022", by="keyword", kind="image")[0]
        assert named.path.name == "IMG_2022.png"
        assert named.words < 0.6
        assert named.confidence == pytest.approx(0.99 * named.words, abs=1e-3)
        assert library.search("IMG_2022", by="keyword", kind="image")[0].confidence == 0.99


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """Open a library of which the built-in model reads one text of three."""
    folder = tmp_path_factory.mktemp("foreign")
    for name, said in {"a": "Η Αθήνα είναι όμορφη", "b": "京都の寺", "c": "a dog runs"}.items():
        write_text(folder / f"{name}.txt", said)
    index_folder(folder, library=folder / "library", model="builtin").close()
    with Library.open(folder / "library") as library:
        yield library


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("Αθήνα", "a.txt"),
        ("京都", "b.txt"),
        ("Αθήνα - dog", "a.txt"),
        ("собака", None),
        ("2:寺 + 京都", "b.txt"),
    ],
)
def test_words_that_the_model_cannot_read_are_looked_for_as_written(foreign, words, found):
    assert [hit.path.name for hit in foreign.search(words)] == [found] * (found is not None)


def test_words_that_the_model_cannot_read_do_not_bend_those_it_can(foreign):
    alone, beside = (foreign.search(words, by="meaning")[0] for words in ("dog", "Ω + dog"))
    assert (alone.path.name, beside.path.name) == ("c.txt", "c.txt")
    with pytest.raises(QueryError, match="builtin knows no word"):
        foreign.search("Ω", by="meaning")
    with pytest.raises(QueryError, match="knows no word of not:Ω"):
        foreign.search("dog not:Ω")
    with pytest.raises(QueryError, match="'Ω' has no word that the model knows"):
        tag_library(["Ω"], library=foreign.folder)
