"""Searches through HTTP answer as searches in Python do, with what the page draws."""

import base64
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from indexer.tag.saved_searches import save_search
from retrieval.server.cursors import Place
from retrieval.server.routes.search import keys_of, next_hits
from retrieval.types import Hit
from tests.support.files import draw_image, write_text
from tests.support.http_client import served
from tests.support.metadata_files import exif, jpeg, write_file
from tests.support.toy_embedder import COLORS, ToyEmbedder


def hit(number):
    return Hit(number, 0.5, "image", Path(f"/photos/{number}.jpg"), "toy")


def names(answer) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [item["name"] for item in answer.json()["items"]]


def test_answer_equals_a_search_in_python(client, library):
    answer = client.get("/api/search", params={"q": "red", "count": 3}).json()
    hits = library.search("red", count=3)
    assert [item["id"] for item in answer["items"]] == [hit.id for hit in hits]
    assert [item["score"] for item in answer["items"]] == pytest.approx([hit.score for hit in hits], abs=1e-6)
    assert [item["path"] for item in answer["items"]] == [str(hit.path) for hit in hits]


def test_item_has_what_the_page_draws(client, folder):
    item = client.get("/api/search", params={"q": "red", "count": 1}).json()["items"][0]
    assert (item["name"], item["folder"], item["kind"]) == ("red.png", folder.name, "image")
    assert item["ratio"] == pytest.approx(1, abs=2)
    assert item["thumbnail"] is True
    assert 18 <= len(base64.b64decode(item["placeholder"])) <= 30
    assert item["match"] in ("words", "confident", "weak", None)
    assert {"moments", "more", "offline", "time", "duration", "length", "placeholder"} <= item.keys()


def test_ratio_is_that_of_the_displayed_image(index, serve, tmp_path):
    draw_image(tmp_path / "wide" / "red.png", "red", size=(96, 64))
    index(tmp_path / "wide")
    assert serve().get("/api/search").json()["items"][0]["ratio"] == 1.5


def test_part_of_an_image_has_its_thumbnail_and_ratio(index, serve, tmp_path):
    image = Image.new("RGB", (600, 400), COLORS["blue"])
    image.paste(COLORS["red"], (0, 0, 300, 250))
    (tmp_path / "media").mkdir()
    image.save(tmp_path / "media" / "flag.png")
    index(tmp_path / "media", tiles=True)
    item = serve().get("/api/search", params={"q": "red"}).json()["items"][0]
    assert item["box"] is not None
    assert (item["thumbnail"], item["ratio"]) == (True, 1.5)
    assert item["placeholder"]


def test_text_in_an_image_is_drawn_as_the_image_and_a_note_is_not(index, serve, tmp_path):
    image = jpeg((300, 200), exif=exif({0x010E: "Kingfishers at the river"}))
    write_file(tmp_path / "media" / "photo.jpg", image)
    write_text(tmp_path / "media" / "note.txt", "kingfishers everywhere")
    index(tmp_path / "media")
    items = serve().get("/api/search", params={"q": "kingfishers kind:text"}).json()["items"]
    ratios = {item["name"]: item["ratio"] for item in items if item["kind"] == "text"}
    assert ratios == {"photo.jpg": 1.5, "note.txt": None}


def test_number_of_searched_files_comes_if_nothing_matches_well(shared_client):
    answer = shared_client.get("/api/search", params={"q": "red under:nowhere | blue under:nowhere"}).json()
    assert (answer["confident"], answer["total"]) == (0, None)
    nothing = shared_client.get("/api/search", params={"q": "red date:1999"}).json()
    assert (nothing["confident"], nothing["total"]) == (0, 0)


def test_post_answers_as_get(shared_client):
    query = {"q": "blue", "count": 2}
    assert names(shared_client.post("/api/search", json=query)) == names(
        shared_client.get("/api/search", params=query)
    )


def test_without_words_files_are_listed(shared_client):
    assert len(names(shared_client.get("/api/search"))) == len(COLORS)


def test_filters_of_a_body_are_those_of_the_query_language(shared_client):
    assert names(shared_client.post("/api/search", json={"filters": {"kind": {"any": ["image"]}}}))
    assert not names(shared_client.post("/api/search", json={"filters": {"kind": {"any": ["video"]}}}))
    assert not names(shared_client.post("/api/search", json={"filters": {"tag": {"all": ["sea", "sun"]}}}))


@pytest.mark.parametrize(
    "body",
    [
        {"filters": {"rating": {"gte": 17}}, "count": 0},
        {"filters": {"date": {"lt": "soon"}}},
        {"filters": {"tag": {"none": [""]}}},
        {"count": 0},
        {"count": "many"},
        {"order": "size"},
        {"q": 5},
        {"surprise": 1},
        {"image": "not base64!"},
        {"image": base64.b64encode(b"no picture").decode()},
        [],
    ],
    ids=str,
)
def test_invalid_body_is_answered_with_what_to_use(shared_client, body):
    answer = shared_client.post("/api/search", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_syntax_error_has_its_column(shared_client):
    answer = shared_client.get("/api/search", params={"q": 'red "sea'})
    assert answer.status_code == 400
    assert answer.json()["column"] == 5
    assert "\n" not in answer.json()["error"]


@pytest.mark.parametrize("form", ["json", "multipart"])
def test_uploaded_picture_is_a_query_and_can_be_used_again(client, folder, form):
    data = (folder / "green.png").read_bytes()
    if form == "json":
        answer = client.post("/api/search", json={"image": base64.b64encode(data).decode()})
    else:
        answer = client.post("/api/search", data={"count": "3"}, files={"image": data})
    assert names(answer)[0] == "green.png"
    again = client.get("/api/search", params={"q": f"+pic:{answer.json()['picture']}"})
    assert names(again)[0] == "green.png"
    away = client.get("/api/search", params={"q": f"white - pic:{answer.json()['picture']}"})
    assert names(away)[-1] == "green.png"


def test_forgotten_picture_is_reported(client):
    answer = client.get("/api/search", params={"q": "+pic:unknown"})
    assert answer.status_code == 404
    assert answer.json()["error"] == "This picture is gone. Drop it again."


@pytest.mark.parametrize(
    "query",
    [
        "file:/etc/passwd",
        "./red.png",
        "http://127.0.0.1/x.png",
        "a - ~/x",
        "red | file:/etc/passwd",
        "red | blue not:./red.png",
    ],
)
def test_query_names_no_files_or_addresses(shared_client, query):
    answer = shared_client.get("/api/search", params={"q": query})
    assert answer.status_code == 400
    assert "not read by the server" in answer.json()["error"]


def test_similar_finds_the_others(client, segment_of):
    found = names(client.get(f"/api/similar/{segment_of('red.png')}", params={"count": 3}))
    assert len(found) == 3
    assert "red.png" not in found


def test_tokens_describe_the_query(shared_client):
    query = 'a "red car" kind:image not:blue + #12 - @rex'
    tokens = shared_client.get("/api/search", params={"q": query}).json()
    assert "tokens" not in tokens  # an unknown concept is an error
    query = query.removesuffix(" - @rex").replace("+ #12", "+ 2:green")
    tokens = shared_client.get("/api/search", params={"q": query}).json()["tokens"]
    assert [(token["text"], token["type"], token["key"]) for token in tokens] == [
        ("a", "words", None),
        ('"red car"', "words", None),
        ("kind:image", "filter", "kind"),
        ("not:blue", "not", "not"),
        ("+", "operator", None),
        ("2:green", "words", None),
    ]
    assert all(query[token["start"] : token["end"]] == token["text"] for token in tokens)


def read_all(client, **parameters) -> list[str]:
    found, cursor = [], None
    while True:
        answer = client.get("/api/search", params=parameters | ({"cursor": cursor} if cursor else {}))
        found += names(answer)
        cursor = answer.json()["cursor"]
        if cursor is None:
            return found


@pytest.mark.parametrize("parameters", [{"q": "red"}, {}, {"q": "red", "order": "date"}, {"q": "kind:image"}])
def test_parts_of_a_list_make_the_list(shared_client, parameters):
    assert read_all(shared_client, count=2, **parameters) == read_all(shared_client, count=100, **parameters)


def test_continued_list_neither_repeats_nor_loses_hits_when_files_change(client, folder, index):
    first = client.get("/api/search", params={"q": "red", "count": 3}).json()
    draw_image(folder / "better.png", (250, 1, 1))
    (folder / first["items"][1]["name"]).unlink()
    index(folder)
    second = client.get("/api/search", params={"q": "red", "count": 100, "cursor": first["cursor"]})
    given = [item["name"] for item in first["items"]]
    assert not set(given) & set(names(second))
    assert {*given, *names(second)} == {f"{color}.png" for color in COLORS} | {"better.png"}


def test_forgotten_list_continues_at_its_place(serve, library):
    client = serve(max_cursors=1)
    first = client.get("/api/search", params={"q": "red", "count": 3}).json()
    client.get("/api/search", params={"q": "blue", "count": 3})
    second = client.get("/api/search", params={"q": "red", "count": 2, "cursor": first["cursor"]})
    third = client.get("/api/search", params={"q": "red", "count": 9, "cursor": second.json()["cursor"]})
    found = [item["name"] for item in first["items"]] + names(second) + names(third)
    assert found == read_all(client, q="red", count=100)


@pytest.mark.parametrize("cursor", ["x", "bm9uZQ", "W10", "WyJhIiwtMSwiYiJd", "\u00e4", "WyJhIiwxZTksIngiXQ"])
def test_invalid_cursor_is_refused(shared_client, cursor):
    assert shared_client.get("/api/search", params={"q": "red", "cursor": cursor}).status_code == 400


def test_cursor_of_another_search_is_refused(shared_client):
    cursor = shared_client.get("/api/search", params={"q": "red", "count": 1}).json()["cursor"]
    answer = shared_client.get("/api/search", params={"q": "blue", "count": 1, "cursor": cursor})
    assert answer.status_code == 400
    assert "another search" in answer.json()["error"]


def test_unknown_filter_value_has_a_message(shared_client):
    answer = shared_client.get("/api/search", params={"q": "red under:Nowhere"}).json()
    assert answer["items"] == []
    assert "Nowhere" in answer["messages"][0]


def test_facets_come_on_request(shared_client):
    assert shared_client.get("/api/search", params={"q": "red"}).json()["facets"] is None
    facets = shared_client.get("/api/search", params={"q": "red", "facets": 1}).json()["facets"]
    assert facets["kinds"] == {"image": len(COLORS)}


def test_picture_and_typed_filters_belong_to_each_alternative(client, folder, index, tmp_path):
    (folder / "notes.md").write_text("a red wall")
    index(folder)
    body = {"q": "red | blue", "filters": {"kind": "text"}}
    assert names(client.post("/api/search", json=body)) == ["notes.md"]
    draw_image(tmp_path / "query.png", "green")
    image = base64.b64encode((tmp_path / "query.png").read_bytes()).decode()
    token = client.post("/api/search", json={"q": "red", "image": image}).json()["picture"]
    assert names(client.get("/api/search", params={"q": f"kind:video red | pic:{token}"}))[0] == "green.png"
    answer = client.post("/api/search", json={"q": "kind:video | kind:image", "image": image}).json()
    assert answer["items"][0]["name"] == "green.png"
    assert [token["type"] for token in answer["tokens"]].count("picture") == 2


def test_list_of_a_picture_is_continued(client, tmp_path):
    draw_image(tmp_path / "query.png", "green")
    image = base64.b64encode((tmp_path / "query.png").read_bytes()).decode()
    first = client.post("/api/search", json={"image": image, "count": 2}).json()
    parameters = {"q": f"pic:{first['picture']}", "count": 100}
    second = client.get("/api/search", params=parameters | {"cursor": first["cursor"]})
    every = names(client.get("/api/search", params=parameters))
    assert [item["name"] for item in first["items"]] + names(second) == every


@pytest.mark.parametrize(
    ("query", "total", "filters"),
    [
        ("kind:image", len(COLORS), {"kinds": ["image"]}),
        ("@pictures", len(COLORS), {"kinds": ["image"]}),
        ("kind:image | kind:text", None, {"any": [{"kinds": ["image"]}, {"kinds": ["text"]}]}),
        ("not:red", None, {}),
        ("red", None, {}),
    ],
)
def test_filters_and_number_of_files_are_those_of_the_complete_query(client, place, query, total, filters):
    save_search("pictures", "kind:image", library=place)
    answer = client.get("/api/search", params={"q": query, "count": 100}).json()
    assert (answer["total"], answer["filters"]) == (total, filters)


@pytest.mark.parametrize("text", ['{"count": Infinity}', '{"count": 1e400}', '{"q": "red", "count": NaN}'])
def test_count_that_is_no_number_is_refused(shared_client, text):
    assert shared_client.post("/api/search", content=text).status_code == 400


@pytest.mark.parametrize("q", ["not:", "red not:", "not:" * 900, "-not:", "2:", "|not:", "1:" * 2_000])
def test_query_that_ends_at_a_prefix_is_answered_while_it_is_typed(shared_client, q):
    for path in ("/api/search", "/api/suggest", "/api/facets", "/api/timeline"):
        assert shared_client.get(path, params={"q": q}).status_code in (200, 400)


@pytest.mark.parametrize("charset", ["undefined", "unknown", "utf-16", "zlib", "idna"])
def test_form_in_any_charset_is_answered(shared_client, charset):
    headers = {"Content-Type": f"multipart/form-data; boundary=x; charset={charset}"}
    form = b'--x\r\nContent-Disposition: form-data; name="q"\r\n\r\nred\r\n--x--\r\n'
    assert shared_client.post("/api/search", headers=headers, content=form).status_code in (200, 400)


def test_members_of_a_group_are_given_once_although_its_leader_changes():
    first, _ = next_hits([replace(hit(1), more=(hit(2),)), hit(3)], Place("list"), 1)
    place = Place("list", 1, (keys_of(first[0]),))
    found, _ = next_hits([replace(hit(2), more=(hit(1),)), replace(hit(4), more=(hit(1), hit(5)))], place, 9)
    assert [(each.id, [member.id for member in each.more]) for each in found] == [(4, [5])]


class StrictEmbedder(ToyEmbedder):
    """A toy embedder that reads only texts that can be written as UTF-8."""

    def unfamiliarity(self, text: str) -> float:
        return 0.0 if text.encode() else 1.0


@pytest.mark.parametrize("q", [r"\ud800", r"red \ud800", r"@\ud800", r"tag:\ud800 red", r"not:\ud800 red"])
def test_lone_surrogate_in_a_query_is_a_character(library, place, q):
    with served(place, StrictEmbedder()) as client:
        answer = client.post("/api/search", content=f'{{"q": "{q}"}}')
        assert answer.status_code in (200, 400), answer.text
        assert client.post("/knn-service", content=f'{{"text": "{q}"}}').status_code == 200


@pytest.mark.parametrize("text", ["[" * 100_000, '["a", 1, "' + "b" * 200 + '"]'])
def test_long_cursor_is_refused(shared_client, text):
    cursor = base64.urlsafe_b64encode(text.encode()).decode()
    answer = shared_client.post("/api/search", json={"q": "red", "cursor": cursor})
    assert answer.status_code == 400
    assert "Invalid cursor" in answer.json()["error"]


def test_folder_of_pictures_is_created_again_if_the_system_deletes_it(library, serve, folder):
    client = serve(max_pictures=2)

    def upload():
        with (folder / "red.png").open("rb") as file:
            return client.post("/api/search", data={"count": 1}, files={"image": file})

    kept = client.app.state.pictures
    old = upload().json()["picture"]
    shutil.rmtree(Path(kept.find(old)).parent)
    answer = client.get("/api/search", params={"q": f"pic:{old}"})
    assert (answer.status_code, answer.json()["error"]) == (404, "This picture is gone. Drop it again.")
    for _ in range(kept.max_pictures + 1):  # the old one is forgotten
        answer = upload()
    assert names(answer) == ["red.png"]
    assert client.get("/api/search", params={"q": f"pic:{answer.json()['picture']}"}).status_code == 200
