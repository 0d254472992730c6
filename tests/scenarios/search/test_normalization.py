"""Names and texts in decomposed Unicode, as macOS writes them, are found like composed ones."""

from unicodedata import normalize

import pytest

from indexer.operations.verify import verify_library
from retrieval import Library, SearchOptions
from tests.support.catalog import downgrade_catalog
from tests.support.files import draw_image, write_text

WORDS = {"한국여행": "한국", "東京ガイド": "ガイド", "été à la plage": "été"}
FORMS = ("NFC", "NFD")


@pytest.fixture
def composed_and_decomposed(tmp_path):
    """Return a folder with each name in both forms, in a folder of the same form, and a text of both."""
    for form in FORMS:
        for number, name in enumerate(WORDS):
            folder = tmp_path / "photos" / form / normalize(form, "Café d’été")
            draw_image(folder / f"{normalize(form, name)}.png", (number, 100 * (form == "NFD"), 9))
        text = normalize(form, "서울 여행기 재미 ガイドブック")
        write_text(tmp_path / "photos" / form / "note.txt", f"{form} {text}")
    return tmp_path / "photos"


def found(place, toy, words, **options):
    with Library.open(place, embedder=toy) as library:
        hits = library.search(words, count=50, options=SearchOptions(**options))
        return {(hit.path.relative_to(place.parent / "photos").parts[0], hit.path.stem) for hit in hits}


def assert_all_are_found(place, toy):
    for name, word in WORDS.items():
        for form in FORMS:
            names = {(stored, normalize(stored, name)) for stored in FORMS}
            assert names <= found(place, toy, normalize(form, word), by="keyword"), (word, form)
    for word in ("서울", "여행기", "재미", "ガイドブック"):
        for form in FORMS:
            notes = {stored for stored, stem in found(place, toy, normalize(form, word), by="keyword")
                     if stem == "note"}  # fmt: skip
            assert notes == set(FORMS), (word, form)


def test_names_and_texts_of_both_forms_are_found_by_keyword(composed_and_decomposed, index, place, toy):
    index(composed_and_decomposed)
    assert_all_are_found(place, toy)


@pytest.mark.parametrize("form", FORMS)
def test_folder_filter_of_either_form_passes_both(composed_and_decomposed, index, place, toy, form):
    index(composed_and_decomposed)
    for under in ("Café d’été", f"NFD/{normalize('NFD', 'Café d’été')}"):
        forms = {stored for stored, _ in found(place, toy, "red", under=normalize(form, under))}
        assert forms == ({"NFD"} if "NFD" in under else set(FORMS))
    # The parent folder is composed, and the folder in it decomposed.
    mixed = composed_and_decomposed / "é" / normalize("NFD", "ü") / "a.png"
    draw_image(mixed, "red")
    index()
    absolute = str(composed_and_decomposed / "é" / "ü")
    assert found(place, toy, "red", under=normalize(form, absolute)) == {("é", "a")}


def test_older_library_is_migrated_to_composed_texts(composed_and_decomposed, index, place, toy):
    index(composed_and_decomposed)
    downgrade_catalog(place, "14-sounds")
    index()
    assert_all_are_found(place, toy)
    assert not verify_library(place).errors


def test_changed_decomposed_text_leaves_no_old_keywords(composed_and_decomposed, index, place, toy):
    index(composed_and_decomposed)
    write_text(composed_and_decomposed / "NFD" / "note.txt", normalize("NFD", "부산"))
    index()
    assert ("NFD", "note") in found(place, toy, "부산", by="keyword")
    assert ("NFD", "note") not in found(place, toy, "서울", by="keyword")


@pytest.mark.parametrize("form", FORMS)
def test_duplicates_of_a_folder_of_either_form_are_found(tmp_path, index, place, toy, form):
    for name in ("a.png", "b.png"):
        draw_image(tmp_path / "photos" / normalize("NFD", "été") / name, "red")
    index(tmp_path / "photos")
    with Library.open(place, embedder=toy) as library:
        for folder in ("été", tmp_path / "photos" / "été"):
            (group,) = library.duplicates(normalize(form, str(folder)))
            assert len(group.files) == 2
