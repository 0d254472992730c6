"""The server answers the client and the page of clip-retrieval 2.45."""

import base64
import io
import json
from threading import current_thread

import pytest
from PIL import Image

from tests.support.files import draw_image
from tests.support.toy_embedder import COLORS, ToyEmbedder

NAMES = {"id", "similarity", "url", "caption", "image_path", "image"}


def post(client, path, **values):
    """Send the bytes that `requests.post(url, data=json.dumps(...))` sends: no content type."""
    answer = client.post(path, content=json.dumps(values))
    assert "content-type" not in answer.request.headers
    return answer


def knn(client, text=None, image=None, image_url=None, embedding_input=None, **values):
    """Return the answer to the keys that `ClipClient.query` sends (clip_client.py of 2.45.0)."""
    return post(
        client,
        "/knn-service",
        text=text,
        image=image,
        image_url=image_url,
        embedding_input=embedding_input,
        **{
            "deduplicate": True,
            "use_safety_model": True,
            "use_violence_detector": True,
            "indice_name": "laion5B-L-14",
            "use_mclip": False,
            "aesthetic_score": 9,
            "aesthetic_weight": 0.5,
            "modality": "image",
            "num_images": 40,
            "num_result_ids": 40,
        }
        | values,
    )


def names_of(answer) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [each["image_path"].rpartition("/")[2] for each in answer.json()]


def encoded(folder, name) -> str:
    return base64.b64encode((folder / name).read_bytes()).decode("utf-8")


def test_text_finds_images_best_first_with_all_that_the_client_documents(client, library):
    answer = knn(client, text="red")
    assert names_of(answer)[0] == "red.png"
    assert len(answer.json()) == len(COLORS)
    similarities = [each["similarity"] for each in answer.json()]
    assert similarities == sorted(similarities, reverse=True)
    assert similarities[0] == pytest.approx(library.search("red", count=1)[0].score, abs=1e-6)
    assert all(each.keys() == NAMES for each in answer.json())
    assert all(each["caption"] == "" for each in answer.json())


def test_url_and_picture_are_those_of_the_file(client, folder):
    best = knn(client, text="red").json()[0]
    assert best["image_path"] == str(folder / "red.png")
    media = client.get(best["url"])
    assert media.content == (folder / "red.png").read_bytes()
    with Image.open(io.BytesIO(base64.b64decode(best["image"]))) as picture:
        assert picture.format == "JPEG"
        assert picture.getpixel((1, 1))[0] > 250


def test_picture_is_a_query(client, folder):
    assert names_of(knn(client, image=encoded(folder, "green.png")))[0] == "green.png"


def test_vector_is_a_query_of_any_length(shared_client):
    answer = knn(shared_client, embedding_input=[0.0, 0.0, 3.0])
    assert names_of(answer)[0] == "blue.png"
    assert answer.json()[0]["similarity"] == pytest.approx(1, abs=0.01)


def test_results_after_the_first_have_id_and_similarity_only(shared_client):
    answer = knn(shared_client, text="red", num_images=2, num_result_ids=5).json()
    assert [each.keys() == NAMES for each in answer] == [True, True, False, False, False]
    assert all(each.keys() == {"id", "similarity"} for each in answer[2:])
    later = post(
        shared_client, "/metadata", ids=[each["id"] for each in answer[2:]], indice_name="any"
    ).json()
    assert [each["id"] for each in later] == [each["id"] for each in answer[2:]]
    assert all(each["metadata"].keys() == NAMES - {"id", "similarity"} for each in later)


def test_page_sends_plain_text_with_empty_values(client, folder):
    values = {
        "text": "",
        "image": encoded(folder, "cyan.png"),
        "image_url": None,
        "embedding_input": None,
        "modality": "image",
        "num_images": 40,
        "indice_name": "",
        "num_result_ids": 3000,
        "use_mclip": False,
        "deduplicate": True,
        "use_safety_model": True,
        "use_violence_detector": True,
        "aesthetic_score": "",
        "aesthetic_weight": "0.5",
    }
    headers = {"Content-Type": "text/plain;charset=UTF-8", "Origin": "http://127.0.0.1:8765"}
    answer = client.post("/knn-service", content=json.dumps(values), headers=headers)
    assert names_of(answer)[0] == "cyan.png"
    headers["Origin"] = "https://example.org"
    assert client.post("/knn-service", content=json.dumps(values), headers=headers).status_code == 403


def test_indices_list_has_a_name_that_can_be_sent(shared_client):
    [name] = shared_client.get("/indices-list").json()
    assert name == "toy"
    assert names_of(knn(shared_client, text="red", indice_name=name))[0] == "red.png"


def test_words_are_no_query_language(shared_client):
    assert names_of(knn(shared_client, text="red - blue file:/etc/passwd #1 kind:video"))


def test_caption_of_an_image_is_sent(index, serve, tmp_path):
    draw_image(tmp_path / "captioned" / "red.png", "red")
    (tmp_path / "captioned" / "red.txt").write_text("a red square")
    index(tmp_path / "captioned")
    client = serve()
    assert [each["caption"] for each in knn(client, text="red").json()] == ["a red square"]
    [text] = knn(client, text="red", modality="text").json()
    assert text["caption"] == "a red square"
    assert text["image_path"].endswith("red.png")


def test_near_duplicates_are_one_result_on_request(index, serve, tmp_path):
    gradient = Image.linear_gradient("L").resize((300, 200)).convert("RGB")
    (tmp_path / "twice").mkdir()
    gradient.save(tmp_path / "twice" / "first.png")
    gradient.save(tmp_path / "twice" / "second.jpg", quality=90)
    index(tmp_path / "twice")
    client = serve()
    assert len(knn(client, text="red", deduplicate=True).json()) == 1
    assert len(knn(client, text="red", deduplicate=False).json()) == 2


def test_ids_that_do_not_exist_have_no_metadata(shared_client):
    assert post(shared_client, "/metadata", ids=[10**9], indice_name="toy").json() == []
    assert post(shared_client, "/metadata", ids=[], indice_name="toy").json() == []


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"text": ""},
        {"text": "red", "modality": "sound"},
        {"text": "red", "modality": ["image"]},
        {"text": "red", "num_images": 0},
        {"text": "red", "num_images": "many"},
        {"text": "red", "num_result_ids": float("inf")},
        {"text": 5},
        {"image": "AAAA"},
        {"image": "A"},
        {"image": 5},
        {"image": base64.b64encode(b"GIF89a" + bytes(100)).decode()},
        {"embedding_input": [1.0, 2.0]},
        {"embedding_input": [0, 0, 0]},
        {"embedding_input": [float("nan"), 0, 0]},
        {"embedding_input": [10**400, 0, 0]},
        {"embedding_input": "red"},
        {"embedding_input": {"a": 1}},
    ],
    ids=str,
)
def test_invalid_query_is_answered_with_what_to_use(shared_client, values):
    answer = post(shared_client, "/knn-service", **values)
    assert answer.status_code == 400
    assert answer.json()["error"].endswith(".")


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b"null"])
@pytest.mark.parametrize("path", ["/knn-service", "/metadata", "/v1/embeddings"])
def test_body_that_is_no_object_is_refused(shared_client, path, body):
    assert shared_client.post(path, content=body).status_code == 400


@pytest.mark.parametrize("address", ["http://127.0.0.1:1/x.png", "file:///etc/passwd", "https://example.org"])
def test_addresses_are_not_downloaded(shared_client, address):
    answer = knn(shared_client, image_url=address)
    assert answer.status_code == 400
    assert "not downloaded" in answer.json()["error"]


def test_number_of_ids_is_limited(shared_client):
    answer = post(shared_client, "/metadata", ids=[1] * 1_001)
    assert answer.status_code == 400
    assert "at most 1,000" in answer.json()["error"]


def test_picture_is_embedded_beside_searches(client, folder, library, monkeypatch):
    threads, embed = [], ToyEmbedder.embed_images

    def recorded(self, images):
        threads.append(current_thread().name.partition("_")[0])
        return embed(self, images)

    monkeypatch.setattr(ToyEmbedder, "embed_images", recorded)
    assert knn(client, image=encoded(folder, "red.png")).status_code == 200
    assert threads == ["server-media"]
