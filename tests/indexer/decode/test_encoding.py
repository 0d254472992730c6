"""Text files are decoded in the encoding that they have, whether they declare it or not."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.decode.text.encoding import decode_text
from retrieval.errors import MediaError

JAPANESE = "昨日、私たちは京都の寺を訪れました。庭園はとても静かで、紅葉が美しかったです。"
CHINESE = "昨天我们参观了北京的故宫，天气很好，花园里有很多人在拍照。\n第一章 2021"
TAIWANESE = "昨天我們參觀了故宮，天氣很好，花園裡有很多人在拍照。"
KOREAN = "어제 우리는 서울의 궁궐을 방문했습니다. 날씨가 매우 좋았습니다."
RUSSIAN = "Вчера мы ездили в деревню и видели красный дом у реки. Погода была хорошая."
GREEK = "Χθες πήγαμε στο χωριό και είδαμε το κόκκινο σπίτι."
GERMAN = "Größer grün, déjà vu — café crème “quoted” ÄÖÜ\n" + "—" * 40 + "\n»Übung«…\n"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        *((JAPANESE, "shift_jis"), (CHINESE, "gbk"), (CHINESE, "gb18030"), (TAIWANESE, "big5")),
        *((KOREAN, "euc_kr"), (RUSSIAN, "koi8_r"), (RUSSIAN, "cp1251"), (RUSSIAN, "cp866")),
        *((RUSSIAN, "iso8859_5"), (GREEK, "cp1253")),
    ],
)
@pytest.mark.parametrize("header", ["", "# notes\nkind: text\n\n"])
def test_old_encodings_of_other_scripts_are_detected(text, encoding, header):
    assert decode_text((header + text).encode(encoding)) == header + text


@pytest.mark.parametrize("text", ["é", "café", "größer", GERMAN, "red \xe9"])
def test_latin_text_that_is_not_utf8_is_windows_1252(text):
    assert decode_text(text.encode("cp1252")) == text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("text", ["grün und blau", "", "red", "\n# Ünï\n" * 20])
def test_unicode_is_decoded_with_and_without_a_byte_order_mark(encoding, text):
    assert decode_text(text.encode(encoding)) == text


@pytest.mark.parametrize("text", [RUSSIAN, JAPANESE])
def test_damaged_utf8_stays_utf8(text):
    data = (text * 9).encode()
    assert decode_text(data[:-1]).startswith(text * 8)
    assert decode_text(data[:50] + b"\xff" + data[50:]).endswith(text * 8)


def test_declared_encoding_is_used_only_if_it_fits():
    assert decode_text(JAPANESE.encode("euc_jp"), "EUC-JP") == JAPANESE
    assert decode_text(RUSSIAN.encode(), "koi8-r") == RUSSIAN
    assert decode_text(RUSSIAN.encode("cp1251"), "shift_jis2") == RUSSIAN
    assert decode_text(b"red \xe9", "zip") == decode_text(b"red \xe9", "undefined") == "red é"


def test_text_with_zero_bytes_is_refused():
    with pytest.raises(MediaError, match="zero bytes"):
        decode_text(b"a\0\0\0b\0c\0\0" * 50)


@pytest.mark.parametrize(
    "line", [RUSSIAN.encode("cp1251"), JAPANESE.encode("shift_jis"), b"2021 INFO caf\xe9 \xff" * 5]
)
def test_detection_takes_little_time_in_large_files(line):
    data = b"2021-01-01 12:00:00 INFO server started\n" * 20_000 + (line + b"\n") * 200_000
    begin = time.process_time()
    decode_text(data)
    assert time.process_time() - begin < 5  # 0.1 s for these 15 to 30 MB


@given(st.binary(max_size=300))
def test_any_bytes_are_decoded_or_refused(data):
    try:
        assert "\0" not in decode_text(data)
    except MediaError:
        assert b"\0" in data
