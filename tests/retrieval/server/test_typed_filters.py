"""Typed filters pass the files that the filters of the query language pass."""

import pytest

from indexer import update_library
from retrieval.server.queries.typed_filters import OPERATORS
from tests.support.files import draw_image, write_text
from tests.support.http_client import served
from tests.support.metadata_files import exif, jpeg, write_file
from tests.support.toy_embedder import ToyEmbedder

CAMERAS = ("Canon EOS 80D", "NIKON D70", "iPhone 6")
EVERY = {"canon.jpg", "nikon.jpg", "iphone.jpg", "plain.png", "note.txt"}


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    """Return a function from the body of a search of photos and a note to the answer."""
    top = tmp_path_factory.mktemp("typed")
    folder = top / "photos"
    tags = (("Sea", "Sun"), ("Sea",), ("Lake",))
    for number, (camera, keywords) in enumerate(zip(CAMERAS, tags, strict=True)):
        name = camera.split()[0].lower()
        shot = {0x9003: f"202{number}:06:30 18:00:00"}
        metadata = exif({0x0110: camera, 0x4746: 2 + number}, shot)
        size = ((60, 40), (40, 60), (40, 40))[number]
        write_file(folder / f"{name}.jpg", jpeg(size, (250 - number, 0, 0), [*keywords], exif=metadata))
    draw_image(folder / "plain.png", "red", size=(60, 40))
    write_text(folder / "note.txt", "red boat")
    update_library(folder, library=top / "library", embedder=ToyEmbedder())
    with served(top / "library", ToyEmbedder()) as client:
        yield lambda **body: client.post("/api/search", json={"count": 1_000, "group": False} | body)


def found(answer) -> set[str]:
    assert answer.status_code == 200, answer.text
    return {item["name"] for item in answer.json()["items"]}


@pytest.mark.parametrize(
    ("filters", "query", "expected"),
    [
        ({"tag": {"all": ["sea", "sun"]}}, "tag:sea tag:sun", {"canon.jpg"}),
        ({"tag": ["sea", "sun"]}, "tag:sea tag:sun", {"canon.jpg"}),
        ({"tag": {"any": ["sun", "lake"]}}, "tag:sun | tag:lake", {"canon.jpg", "iphone.jpg"}),
        ({"tag": {"none": ["sun", "lake"]}}, "-tag:sun -tag:lake", {"nikon.jpg", "plain.png", "note.txt"}),
        ({"tag": {"any": ["sea", "lake"], "none": ["sun"]}}, None, {"nikon.jpg", "iphone.jpg"}),
        ({"tag": {"ne": "sea"}}, "-tag:sea", {"iphone.jpg", "plain.png", "note.txt"}),
        ({"tag": {"eq": "sun"}}, "tag:sun", {"canon.jpg"}),
        ({"kind": {"ne": "image"}}, "-kind:image", {"note.txt"}),
        ({"kind": {"in": ["text", "video"]}}, "kind:text kind:video", {"note.txt"}),
        ({"kind": {"notIn": ["text", "video"]}}, "-kind:text -kind:video", EVERY - {"note.txt"}),
        ({"camera": {"in": ["Canon*", "NIKON*"]}}, "camera:Canon* camera:NIKON*", {"canon.jpg", "nikon.jpg"}),
        ({"camera": {"none": ["canon"]}}, "-camera:canon", EVERY - {"canon.jpg"}),
        ({"under": {"none": ["photos"]}}, "-under:photos", set()),
        ({"orientation": {"in": ["portrait", "square"]}}, None, {"nikon.jpg", "iphone.jpg"}),
        ({"orientation": {"ne": "landscape"}, "kind": "image"}, None, {"nikon.jpg", "iphone.jpg"}),
        ({"date": {"eq": "2021"}}, "date:2021", {"nikon.jpg"}),
        ({"date": {"lt": "2021"}}, "before:2021", {"canon.jpg"}),
        ({"date": {"lte": "2021"}}, "date:..2021", {"canon.jpg", "nikon.jpg"}),
        ({"date": {"gt": "2021-06-30", "lt": "2023"}}, None, {"iphone.jpg"}),
        (
            {"date": {"gte": "2021-06-30", "lte": "2022"}},
            "date:2021-06-30..2022",
            {"nikon.jpg", "iphone.jpg"},
        ),
        ({"date": {"ne": "2021"}}, "-date:2021", EVERY - {"nikon.jpg"}),
        ({"rating": 3}, "rating:3", {"nikon.jpg", "iphone.jpg"}),
        ({"rating": {"eq": 3}}, "rating:3..3", {"nikon.jpg"}),
        ({"rating": {"gt": 3}}, "rating:4", {"iphone.jpg"}),
        ({"rating": {"lt": 3}}, "rating:..2", {"canon.jpg"}),
        ({"rating": {"gte": 2, "lte": 3}}, "rating:2..3", {"canon.jpg", "nikon.jpg"}),
        ({"rating": {"in": [2, 4]}}, "rating:2..4 -rating:3..3", {"canon.jpg", "iphone.jpg"}),
        ({"rating": {"gte": 3, "none": [4]}}, "rating:3 -rating:4..4", {"nikon.jpg"}),
        ({"rating": {"ne": 3}}, "-rating:3..3", EVERY - {"nikon.jpg"}),
        ({"rating": {"gt": 5}}, None, set()),
        ({"size": {"gte": "60x40"}}, "size:60x40", {"canon.jpg", "plain.png"}),
        ({"camera": None, "tag": {"eq": "lake"}}, "tag:lake", {"iphone.jpg"}),
    ],
    ids=lambda value: len(value) if isinstance(value, set) else str(value),  # a set has no order
)
def test_typed_filter_passes_what_the_query_passes(search, filters, query, expected):
    assert found(search(filters=filters)) == expected
    if query is not None:
        assert found(search(q=query)) == expected
    assert found(search(q="red", filters=filters)) == expected  # filters first, then ranks


def test_time_with_a_zone_is_compared_in_local_time(search):
    assert found(
        search(filters={"date": {"gte": "2021-06-30T00:00:00.000Z", "lt": "2021-07-02T00:00:00Z"}})
    ) == {"nikon.jpg"}


def test_answer_shows_the_filters_that_were_applied(search):
    filters = {"tag": {"any": ["sea", "lake"], "none": ["sun"]}, "rating": {"gte": 2, "lt": 4}}
    assert search(filters=filters).json()["filters"] == {
        "any_tags": ["sea", "lake"],
        "rating": 2,
        "max_rating": 3,
        "none": [{"tags": ["sun"]}],
    }
    assert search(q="-tag:sun -kind:text").json()["filters"]["none"] == [{"tags": ["sun"]}]


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        (
            {"tag": {"some": ["sea"]}},
            "tag has no operator 'some'. Use one of eq, ne, in, notIn, any, none, all.",
        ),
        ({"date": {"any": ["2021"]}}, "date has no operator 'any'. Use one of eq, ne, lt, lte, gt, gte."),
        ({"kind": {"lt": "image"}}, "kind has no operator 'lt'. Use one of eq, ne, in, notIn, any, none."),
        ({"size": {"eq": "2MP"}}, "size has no operator 'eq'. Use one of gte."),
        ({"tag": {}}, "tag has no operator. Use one of"),
        ({"tag": {"any": []}}, "any of tag takes at least one value"),
        ({"tag": {"eq": ["a", "b"]}}, "eq of tag takes one value"),
        ({"tag": {"eq": None}}, "eq of tag takes text or numbers"),
        ({"kind": {"eq": "text", "in": ["image"]}}, "kind takes one of eq, in, not several"),
        ({"rating": {"gte": "many"}}, "rating takes numbers from -1 to 5"),
        ({"rating": {"gte": 10**400}}, "rating takes numbers from -1 to 5"),
        ({"tag": [{"eq": "sea"}]}, "tag takes text or numbers, or an object of operators"),
        ({"colour": "red"}, "Unknown filter 'colour'. Use kind, under,"),
        (["tag"], "Invalid filters"),
    ],
    ids=str,
)
def test_operator_that_does_not_exist_is_refused_with_those_that_do(search, filters, message):
    answer = search(filters=filters)
    assert answer.status_code == 422
    assert message in answer.json()["error"]


@pytest.mark.parametrize(
    ("body", "filters"),
    [({"q": "kind:text"}, {"kind": "image"}), ({"kind": ["text"]}, {"kind": {"in": ["image"]}})],
    ids=str,
)
def test_name_that_would_pass_more_than_its_typed_filter_is_refused(search, body, filters):
    answer = search(filters=filters, **body)
    assert (answer.status_code, answer.json()["error"].partition(",")[0]) == (
        400,
        "kind is in the query and in filters",
    )
    assert found(search(q="under:photos tag:sea", filters={"tag": "sun", "kind": "image"})) == {"canon.jpg"}


def test_document_lists_the_operators_of_each_filter(client):
    document = client.get("/openapi.json").json()
    route = document["paths"]["/api/search"]["post"]
    shape = route["requestBody"]["content"]["application/json"]["schema"]["properties"]["filters"]
    typed = {name: each["anyOf"][-1]["properties"] for name, each in shape["properties"].items()}
    assert {name: tuple(each) for name, each in typed.items()} == OPERATORS
    assert "422" in route["responses"]
    assert "422" not in document["paths"]["/api/export"]["post"]["responses"]
