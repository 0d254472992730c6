"""Text files are decoded in the encoding that they have, whether they declare it or not."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.decode.text.encoding import decode_text, detect_and_decode
from indexer.decode.text.letter_encodings import language_in_name
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


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        *(("月亮代表我的心\n邓丽君", "gb18030"), ("吻别\n张学友", "gb18030"), ("張惠妹\n聽海", "big5")),
        *(("좋은 날\n아이유", "cp949"), ("桜の歌\n森山直太朗", "cp932"), ("椎名林檎\n本能", "cp932")),
        *(("Группа крови\nКино", "cp1251"), ("Ария", "cp1251"), ("Звезда\nКино", "koi8_r")),
        *(("Μίκης Θεοδωράκης", "cp1253"), ("אריק איינשטיין", "cp1255"), ("فيروز\nنسم علينا", "cp1256")),
        ("รักแท้\nบอดี้สแลม", "cp874"),
    ],
)
def test_encodings_of_a_few_words_are_detected(text, encoding):
    assert detect_and_decode(text.encode(encoding)) == (text, encoding)


POLISH = "Cześć, jak się masz? Pies biegnie po trawie. Dawno cię nie widziałem, gdzie byłeś?"
CZECH = "Ahoj, jak se máš? Pes běží po trávě. Dlouho jsem tě neviděl, příšerně žluťoučký kůň."
HUNGARIAN = "Őszintén szólva örülök, hogy itt vagy. A fűben fut egy kutya, és nagyon gyönyörű."
TURKISH = "Merhaba, nasılsın? Köpek çimenlerin üzerinde koşuyor. Şimdi ne yapıyorsun, güzel iş?"
LATVIAN = "Suns skrien pa zāli. Sveiki, kā jums klājas šodien? Es ļoti priecājos, ka jūs esat šeit."


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        *((POLISH, "cp1250"), (POLISH, "iso8859_2"), (CZECH, "cp1250"), (CZECH, "iso8859_2")),
        *((HUNGARIAN, "cp1250"), (TURKISH, "cp1254"), (LATVIAN, "cp1257")),
        *((RUSSIAN, "cp1251"), (JAPANESE, "iso2022_jp")),
    ],
)
@pytest.mark.parametrize("count", [1, 30])
def test_detected_encodings_are_named(text, encoding, count):
    cues = "".join(f"{n}\n00:00:01,000 --> 00:00:02,000\n{text}\n\n" for n in range(count))
    decoded = detect_and_decode(cues.encode(encoding))
    assert decoded.text == cues
    assert decoded.assumption == f"declares no encoding, and is read as {encoding}"


WESTERN_TEXTS = (
    "Bonjour, ça va ? Où étais-tu ? Noël, naïve, cœur, œuvre, déjà là, garçon, forêt, août.",
    "Grüße aus München, schöne Übung, Straße, Äpfel, Öl, müde, weiß, über, fünf, zwölf",
    "El niño comió una piña. ¿Dónde está el corazón? ¡Qué día más frío! Mañana iré a León.",
    "Não sei, coração, amanhã às três, pão, você está lá? Às vezes é difícil, órgão, avó.",
    "Perché è così? Città, università, più, già, però, lunedì, caffè, virtù, sarà, né.",
    "Jeg så en rød bil på gaden. Æbler, øl og blå bær. Håber på smørrebrød, på gensyn.",
    "Það er gott veður í dag. Ég á hús og bíl, þú ert góður, í gær, ætla að fara, öll börn.",
    "Søren met Łukasz at a café crème stand; Dvořák, naïve Zoë and François were there." * 20,
)


@pytest.mark.parametrize("text", WESTERN_TEXTS)
@pytest.mark.parametrize("count", [1, 30])
def test_western_texts_are_windows_1252_without_a_note(text, count):
    data = (text * count).encode("cp1252", "replace")
    assert detect_and_decode(data) == (data.decode("cp1252"), None)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", [JAPANESE, CHINESE, TAIWANESE, KOREAN, RUSSIAN, GREEK])
def test_utf16_without_a_mark_is_detected_in_every_script(text, encoding):
    lines = f"1\r\n{text}\r\n" * 3
    assert detect_and_decode(lines.encode(encoding)) == (lines, encoding)
    assert detect_and_decode("\ufeff".encode(encoding) + lines.encode(encoding)) == (lines, None)


@pytest.mark.parametrize(
    "data", [b"<p>red\0", b"<p>red!\0", b"red\n\0green hill ", b"a\0" + b" bc" * 99 + b"\n"]
)
def test_ascii_with_a_zero_byte_is_not_utf16(data):
    with pytest.raises(MediaError, match="zero bytes"):
        decode_text(data)


@settings(deadline=None)
@given(st.binary(min_size=50, max_size=300))
def test_bytes_with_zeros_are_rarely_text(data):
    try:
        assert "\0" not in decode_text(b"\0\1\2" + data)
    except MediaError as error:
        assert "zero bytes" in str(error)


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


@pytest.mark.parametrize(
    ("name", "language"),
    [
        *(("film.ru.srt", "ru"), ("film.zh.srt", "zh"), ("Film.2001.DE.srt", "de"), ("a.pt-BR.srt", "pt")),
        *(("a.zh-TW.sdh.srt", "zh-tw"), ("a.zh_Hant.srt", "zh-hant"), ("a.rus.forced.ass", "rus")),
        *(("ru.srt", None), ("film.srt", None), ("film.forced.srt", None), ("a.ru", None), ("ru", None)),
    ],
)
def test_language_is_read_from_the_name(name, language):
    assert language_in_name(name) == language


@pytest.mark.parametrize(
    ("language", "text", "encoding"),
    [  # too short, or too Latin, to be detected
        *(("ru", "Да!", "cp1251"), ("ru", "Я иду.", "koi8_r"), ("uk", "Так, і ні.", "cp1251")),
        *(("ru", "<i>OK, John Smith and Mary Brown, нет</i>", "cp866"), ("bg", "Да", "cp1251")),
        *(("zh", "你好", "gb18030"), ("zh", "Hello John, 这是你的", "gb18030"), ("zh-tw", "你說的", "big5")),
        *(("zh", "這是我們的國家", "big5"), ("ja", "はい", "cp932"), ("ja", "そうですか", "euc_jp")),
        *(("ko", "네가 어디", "cp949"), ("el", "Ναι, όχι", "cp1253"), ("he", "לא, אני", "cp1255")),
        *(("ar", "لا، أنا", "cp1256"), ("th", "ไม่", "cp874"), ("pl", "Cześć", "cp1250")),
        *(("cs", "Ahoj, že jo, šéfe", "iso8859_2"), ("tr", "Nasılsın", "cp1254"), ("lt", "Ačiū", "cp1257")),
    ],
)
def test_language_of_the_name_is_a_hint(language, text, encoding):
    data = f"1\n00:00:01,000 --> 00:00:02,000\n{text}\n".encode(encoding)
    decoded = detect_and_decode(data, language=language)
    assert text in decoded.text
    assert decoded.assumption == f"declares no encoding, and is read as {encoding}"


@pytest.mark.parametrize("language", ["de", "fr", "es", "pt-br", "en"])
@pytest.mark.parametrize("text", WESTERN_TEXTS)
def test_western_language_of_the_name_leaves_western_texts(language, text):
    hint = language_in_name(f"film.{language}.srt")
    assert detect_and_decode(text.encode("cp1252", "replace"), language=hint)[1] is None


@pytest.mark.parametrize("language", ["ru", "zh", "ja", "he", "th", "el", "ko"])
@pytest.mark.parametrize("text", WESTERN_TEXTS[:7])
def test_wrong_language_of_the_name_is_ignored_for_western_texts(language, text):
    data = text.encode("cp1252", "replace")
    assert detect_and_decode(data, language=language) == (data.decode("cp1252"), None)


@pytest.mark.parametrize("language", ["de", "pl", "en", "zh"])
def test_wrong_language_of_the_name_is_ignored_for_cyrillic(language):
    assert detect_and_decode(RUSSIAN.encode("cp1251"), language=language) == (RUSSIAN, "cp1251")
