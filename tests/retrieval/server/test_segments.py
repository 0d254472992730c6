"""Details, thumbnails, media, texts and clips of segments, by id only."""

import asyncio
import os
import zipfile
from io import BytesIO

import pypdfium2
import pytest
from PIL import Image

from retrieval.media.av import clip
from retrieval.server.media_files import OpenFileResponse
from tests.support.audio_files import write_audio
from tests.support.document_files import pdf
from tests.support.files import draw_image, write_text

DOCUMENT = "first line\n\nthe red line\n\nlast line\n"


def items(client, **parameters):
    return client.get("/api/search", params={"count": 1000, **parameters}).json()["items"]


def test_media_is_the_file_with_its_type(client, folder, segment_of):
    answer = client.get(f"/api/segments/{segment_of('red.png')}/media")
    assert answer.content == (folder / "red.png").read_bytes()
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-disposition"].startswith("inline")
    assert "sandbox" in answer.headers["content-security-policy"]
    again = {"If-None-Match": answer.headers["etag"]}
    assert client.get(f"/api/segments/{segment_of('red.png')}/media", headers=again).status_code == 304


REPRESENTATIONS = ["thumbnail", "media", "media?width=20", "media?download=1"]


@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_copy_in_a_cache_is_compared_before_it_is_shown(client, segment_of, name):
    path = f"/api/segments/{segment_of('red.png')}/{name}"
    answer = client.get(path)
    assert answer.headers["cache-control"] == "private, no-cache"
    other = client.get(path.replace(str(segment_of("red.png")), str(segment_of("blue.png"))))
    assert other.headers["etag"] != answer.headers["etag"]


@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_copy_in_a_cache_keeps_its_headers(client, segment_of, name):
    path = f"/api/segments/{segment_of('red.png')}/{name}"
    complete = client.get(path).headers
    answer = client.get(path, headers={"If-None-Match": complete["etag"]})
    assert (answer.status_code, answer.content) == (304, b"")
    kept = {key: value for key, value in complete.items() if key not in ("content-length", "content-type")}
    assert dict(answer.headers) == kept


def test_copy_of_a_rendered_picture_is_compared_without_decoding(client, segment_of, monkeypatch):
    path = f"/api/segments/{segment_of('red.png')}/media?width=20"
    headers = {"If-None-Match": client.get(path).headers["etag"]}
    monkeypatch.setattr("retrieval.media.rendering.render_image", None)
    assert client.get(path, headers=headers).status_code == 304


@pytest.mark.parametrize("name", [*REPRESENTATIONS, ""])
def test_head_has_the_headers_of_get(client, segment_of, name):
    path = f"/api/segments/{segment_of('red.png')}/{name}".rstrip("/")
    whole, answer = client.get(path), client.head(path)
    assert answer.status_code == 200
    assert dict(answer.headers) == dict(whole.headers)
    assert answer.content == b""


def test_range_of_another_version_is_not_sent(client, folder, segment_of):
    path, part = f"/api/segments/{segment_of('red.png')}/media", {"Range": "bytes=2-5"}
    etag = client.get(path).headers["etag"]
    assert client.get(path, headers=part | {"If-Range": etag}).status_code == 206
    answer = client.get(path, headers=part | {"If-Range": '"other"'})
    assert (answer.status_code, answer.content) == (200, (folder / "red.png").read_bytes())


@pytest.mark.parametrize(
    ("requested", "part"),
    [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=2-5", slice(2, 6)),
        ("bytes=3-", slice(3, None)),
        ("bytes=-4", slice(-4, None)),
        ("bytes=0-999999", slice(0, None)),
    ],
)
def test_range_of_media(client, folder, segment_of, requested, part):
    data = (folder / "red.png").read_bytes()
    path = f"/api/segments/{segment_of('red.png')}/media"
    answer = client.get(path, headers={"Range": requested})
    assert answer.status_code == 206
    assert answer.content == data[part]
    first, last, _ = part.indices(len(data))
    assert answer.headers["content-range"] == f"bytes {first}-{last - 1}/{len(data)}"
    assert int(answer.headers["content-length"]) == len(data[part])


@pytest.mark.parametrize("requested", ["bytes=999999-", "bytes=5-2", "bytes=-", "bytes=-0"])
def test_range_outside_of_media_is_refused(client, segment_of, requested):
    answer = client.get(f"/api/segments/{segment_of('red.png')}/media", headers={"Range": requested})
    assert answer.status_code == 416
    assert answer.headers["content-range"].startswith("bytes */")


@pytest.mark.parametrize("requested", ["lines=1-2", "bytes=0-1,4-5", "bytes", "bytes=x-y"])
def test_other_ranges_are_ignored(client, segment_of, requested):
    answer = client.get(f"/api/segments/{segment_of('red.png')}/media", headers={"Range": requested})
    assert answer.status_code == 200


@pytest.mark.parametrize("route", ["", "/media", "/thumbnail", "/text", "/clip"])
@pytest.mark.parametrize("segment", ["999999", "0", "-1", "99999999999999999999", "abc"])
def test_unknown_segment_is_not_found(shared_client, route, segment):
    answer = shared_client.get(f"/api/segments/{segment}{route}")
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]


def test_changed_file_is_not_sent(client, folder, segment_of):
    segment = segment_of("red.png")
    draw_image(folder / "red.png", "blue", size=(99, 99))
    answer = client.get(f"/api/segments/{segment}/media")
    assert answer.status_code == 404
    assert "changed since it was indexed" in answer.json()["error"]


def test_file_that_was_replaced_by_a_link_is_not_sent(client, folder, segment_of, tmp_path):
    segment = segment_of("red.png")
    status = (folder / "red.png").stat()
    secret = tmp_path / "secret"
    secret.write_bytes(b"s" * status.st_size)
    os.utime(secret, ns=(status.st_mtime_ns, status.st_mtime_ns))
    (folder / "red.png").unlink()
    (folder / "red.png").symlink_to(secret)
    answer = client.get(f"/api/segments/{segment}/media")
    assert answer.status_code == 404
    assert "link" in answer.json()["error"]


def test_folder_that_was_replaced_by_a_link_is_not_followed(index, serve, tmp_path):
    draw_image(tmp_path / "media" / "in" / "red.png", "red")
    index(tmp_path / "media")
    client = serve()
    [item] = items(client)
    (tmp_path / "media" / "in").rename(tmp_path / "out")
    (tmp_path / "media" / "in").symlink_to(tmp_path / "out")
    os.utime(tmp_path / "out" / "red.png", ns=((tmp_path / "out" / "red.png").stat().st_mtime_ns,) * 2)
    assert client.get(f"/api/segments/{item['id']}/media").status_code == 404


def test_link_that_was_indexed_is_sent(index, serve, tmp_path):
    draw_image(tmp_path / "elsewhere" / "red.png", "red")
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "link.png").symlink_to(tmp_path / "elsewhere" / "red.png")
    index(tmp_path / "media")
    client = serve()
    [item] = items(client)
    assert client.get(f"/api/segments/{item['id']}/media").status_code == 200


def test_missing_file_is_reported_and_its_thumbnail_remains(client, folder, segment_of):
    segment = segment_of("red.png")
    (folder / "red.png").unlink()
    answer = client.get(f"/api/segments/{segment}/media")
    assert answer.status_code == 404
    assert "clew index" in answer.json()["error"]
    assert client.get(f"/api/segments/{segment}/thumbnail").status_code == 200


def test_pipe_in_place_of_a_file_does_not_block(client, folder, segment_of):
    segment = segment_of("red.png")
    (folder / "red.png").unlink()
    os.mkfifo(folder / "red.png")
    assert client.get(f"/api/segments/{segment}/media").status_code == 404


def test_member_of_an_archive_is_sent(index, serve, tmp_path):
    draw_image(tmp_path / "red.png", "red")
    (tmp_path / "media").mkdir()
    with zipfile.ZipFile(tmp_path / "media" / "album.zip", "w") as archive:
        archive.write(tmp_path / "red.png", "in/red.png")
    index(tmp_path / "media", archives=True)
    client = serve()
    [item] = items(client)
    answer = client.get(f"/api/segments/{item['id']}/media")
    assert answer.content == (tmp_path / "red.png").read_bytes()
    with zipfile.ZipFile(tmp_path / "media" / "album.zip", "a") as archive:
        archive.writestr("more.txt", "changed")
    assert client.get(f"/api/segments/{item['id']}/media").status_code == 404


@pytest.mark.parametrize("name", ["page.html", "page.htm", "drawing.svg"])
def test_markup_is_a_download(index, serve, tmp_path, name):
    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>alert(1)</script></svg>'
    text = svg if name.endswith("svg") else f"<html><body>red words<script>{name}</script></body></html>"
    write_text(tmp_path / "media" / name, text)
    index(tmp_path / "media")
    client = serve()
    if not (found := items(client, q="kind:text") + items(client, q="kind:image")):
        pytest.skip(f"{name} is not indexed here")
    answer = client.get(f"/api/segments/{found[0]['id']}/media")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_text_is_sent_as_plain_text(index, serve, tmp_path):
    write_text(tmp_path / "media" / "note.md", DOCUMENT)
    index(tmp_path / "media")
    client = serve()
    [item] = items(client, q="kind:text")
    answer = client.get(f"/api/segments/{item['id']}/media")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text == DOCUMENT


def test_passage_has_its_neighbors(index, serve, tmp_path):
    text = "\n\n".join(f"paragraph {n} " + "word " * 7 for n in range(9))
    write_text(tmp_path / "media" / "long.txt", text)
    index(tmp_path / "media")
    client = serve()
    ids = [item["id"] for item in items(client, q="paragraph", group=0)]
    middle = sorted(ids)[len(ids) // 2]
    passages = client.get(f"/api/segments/{middle}/text", params={"around": 1}).json()["passages"]
    assert [passage["is_current"] for passage in passages] == [False, True, False]
    assert [passage["start"] for passage in passages] == sorted(passage["start"] for passage in passages)


def test_segments_are_described_in_the_order_of_their_ids(client, segment_of):
    red, blue = segment_of("red.png"), segment_of("blue.png")
    answer = client.post("/api/segments", json={"ids": [blue, 999_999, red, blue]})
    assert [item["id"] for item in answer.json()["items"]] == [blue, red]
    assert answer.json()["items"][1]["name"] == "red.png"
    assert client.post("/api/segments", json={"ids": []}).status_code == 400
    assert client.post("/api/segments", json={"ids": [1] * 1_001}).status_code == 400


def test_details_have_what_the_panel_shows(client, folder, segment_of):
    answer = client.get(f"/api/segments/{segment_of('red.png')}", params={"q": "red"}).json()
    assert answer["name"] == "red.png"
    details = answer["details"]
    assert details["size_bytes"] == (folder / "red.png").stat().st_size
    assert (details["shown"], details["content_type"]) == ("image", "image/png")
    assert details["root"] == str(folder)
    assert [term["term"] for term in answer["why"]] == ["red"]
    assert answer["why"][0]["score"] > 0.9


def test_clip_of_a_moment_is_a_download(index, serve, tmp_path):
    write_audio(tmp_path / "media" / "tone.wav")
    index(tmp_path / "media")
    client = serve()
    [item] = items(client, q="kind:audio")
    path = f"/api/segments/{item['id']}/clip"
    answer = client.get(path, params={"start": 0, "end": 0.5})
    assert answer.status_code == 200, answer.text
    assert answer.content[:4] == b"RIFF"
    assert answer.headers["content-disposition"].startswith("attachment")
    for times in ({"start": 1, "end": 1}, {"start": 0, "end": 9e6}):
        assert client.get(path, params=times).status_code == 400


def test_clip_is_cut_in_the_folder_that_the_server_deletes(index, serve, tmp_path, monkeypatch):
    folders, write = [], clip.write_clip

    def recorded(path, out, *times):
        folders.append(out.parents[1])
        write(path, out, *times)

    monkeypatch.setattr(clip, "write_clip", recorded)
    write_audio(tmp_path / "media" / "tone.wav")
    index(tmp_path / "media")
    client = serve()
    [item] = items(client, q="kind:audio")
    path = f"/api/segments/{item['id']}/clip"
    assert client.get(path, params={"start": 0, "end": 0.5}).status_code == 200
    assert folders == [client.app.state.pictures.open_folder()]


def test_image_has_no_clip(client, segment_of):
    answer = client.get(f"/api/segments/{segment_of('red.png')}/clip", params={"start": 0, "end": 1})
    assert answer.status_code == 400
    assert "no video or audio" in answer.json()["error"]


def test_thumbnail_is_cached_by_its_tag(client, segment_of, library):
    segment = segment_of("red.png")
    answer = client.get(f"/api/segments/{segment}/thumbnail")
    assert answer.content == library.thumbnail(segment)
    assert answer.headers["content-type"] == "image/webp"
    headers = {"If-None-Match": answer.headers["etag"]}
    assert client.get(f"/api/segments/{segment}/thumbnail", headers=headers).status_code == 304


def webp_size(answer) -> tuple[int, int]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/webp"
    return Image.open(BytesIO(answer.content)).size


def test_page_of_a_document_is_rendered(index, serve, tmp_path):
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "two.pdf").write_bytes(pdf([("red", "a page"), ("blue", "another page")]))
    index(tmp_path / "media")
    client = serve()
    pages = {item["page"]: item for item in items(client, q="kind:page", group=0)}
    assert pages
    item = next(iter(pages.values()))
    assert item["length"] == 2
    assert item["ratio"]
    path = f"/api/segments/{item['id']}/media"
    assert max(webp_size(client.get(path, params={"page": 2, "width": 300}))) == 300
    assert client.get(path, params={"page": 3, "width": 300}).status_code == 400
    details = client.get(f"/api/segments/{item['id']}").json()["details"]
    assert details["shown"] == "page"
    assert max(webp_size(client.get(details["media"]))) == 1_600


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_words_are_located_on_the_page_as_it_is_rendered(index, serve, tmp_path, rotation):
    document = pypdfium2.PdfDocument(pdf([("red", "nothing"), ("white", "A kingfisher and another")]))
    document[1].set_rotation(rotation)
    (tmp_path / "media").mkdir()
    document.save(tmp_path / "media" / "birds.pdf")
    index(tmp_path / "media")
    client = serve()
    page = next(item["id"] for item in items(client, q="kingfisher", group=0) if item["page"] == 2)
    found = client.get(f"/api/segments/{page}/words", params={"word": ["KING", "fisher"]}).json()["boxes"]
    assert len(found) == 1  # "fisher" begins no word
    answer = client.get(f"/api/segments/{page}/media", params={"page": 2, "width": 1000})
    image = Image.open(BytesIO(answer.content)).convert("L").point(lambda value: 255 * (value < 128))
    left, top, width, height = found[0]
    box = (
        left * image.width,
        top * image.height,
        (left + width) * image.width,
        (top + height) * image.height,
    )
    assert image.crop(tuple(map(round, box))).getbbox() is not None
    assert (width > height) == (rotation in (0, 180))


def test_image_has_no_words_on_a_page(client, segment_of):
    answer = client.get(f"/api/segments/{segment_of('red.png')}/words", params={"word": "red"})
    assert answer.json() == {"boxes": [], "passages": []}


def test_image_that_browsers_do_not_know_is_rendered(index, serve, tmp_path):
    draw_image(tmp_path / "media" / "scan.tiff", "red", size=(400, 200))
    index(tmp_path / "media")
    client = serve()
    [item] = items(client)
    details = client.get(f"/api/segments/{item['id']}").json()["details"]
    assert details["shown"] == "image"
    assert webp_size(client.get(details["media"])) == (400, 200)
    path = f"/api/segments/{item['id']}/media"
    assert webp_size(client.get(path, params={"width": 100})) == (100, 50)


def test_damaged_file_is_not_rendered(index, serve, tmp_path):
    draw_image(tmp_path / "media" / "red.png", "red")
    index(tmp_path / "media")
    client = serve()
    [item] = items(client)
    file = tmp_path / "media" / "red.png"
    times = file.stat().st_mtime_ns
    file.write_bytes(file.read_bytes()[:30] + b"x" * (file.stat().st_size - 30))
    os.utime(file, ns=(times, times))
    answer = client.get(f"/api/segments/{item['id']}/media", params={"width": 100})
    assert answer.status_code == 400
    assert "cannot be shown" in answer.json()["error"]


def test_file_is_closed_if_the_client_leaves_before_the_first_byte(tmp_path):
    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        await asyncio.sleep(60)

    file = write_text(tmp_path / "a.txt", "abc").open("rb")
    response = OpenFileResponse(file, range(3), 200, {}, "text/plain")
    asyncio.run(response({"type": "http"}, receive, send))
    assert file.closed
