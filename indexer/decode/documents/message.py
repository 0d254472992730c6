"""Decoder of e-mail messages (.eml): subject, people, text and names of attachments."""

from codecs import BOM_UTF8
from collections.abc import Iterator
from contextlib import suppress
from email import message_from_bytes, policy
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import BinaryIO

from indexer.decode.base import DecodedFile
from indexer.decode.context import DecodeContext
from indexer.decode.documents.html_text import extract_paragraphs
from indexer.decode.text.chunking import PassageLimit
from indexer.decode.text.encoding import decode_text
from indexer.decode.text.plain import read_bytes
from retrieval.errors import MediaError
from retrieval.normalization import without_surrogates
from retrieval.types import MediaProperties

PEOPLE_HEADERS = ("From", "To", "Cc")
KNOWN_HEADERS = (*PEOPLE_HEADERS, "Subject", "Date", "Received", "Message-ID", "Return-Path")


def decode(file: BinaryIO, suffix: str, context: DecodeContext) -> DecodedFile:
    """Return passages of the headers, the body and the names of attachments; the time is that of sending."""
    data = read_bytes(file, context.limits.max_text_bytes).removeprefix(BOM_UTF8).lstrip()
    limit = PassageLimit(context.limits)
    try:
        message = message_from_bytes(data, policy=policy.default)
        if not any(name in message for name in KNOWN_HEADERS):
            raise MediaError("not a message: it has no headers such as From or Subject")
        texts = _message_texts(message)
        drafts = limit.take(draft for text in texts for draft in context.chunker.drafts(text))
        properties = _properties(message)
    except MediaError:
        raise
    except Exception as error:  # the parser raises nearly any type for invalid messages
        raise MediaError(f"damaged: {type(error).__name__} in its headers or parts") from error
    if not drafts:
        raise MediaError("no text in it")
    return DecodedFile(drafts, properties, limit.note)


def _message_texts(message: Message) -> Iterator[str]:
    """Yield the texts of a message: its headers, its body, and the names of attachments."""
    yield from _header_texts(message)
    yield from _body_texts(message)
    yield ", ".join(filter(None, map(_attachment_name, message.walk())))


def _header_texts(message: Message) -> Iterator[str]:
    """Yield the subject of a message, and its people."""
    yield _header(message, "Subject")
    yield ", ".join(f"{name} {value}" for name in PEOPLE_HEADERS if (value := _header(message, name)))


def _body_texts(part: Message) -> Iterator[str]:
    """Yield the texts of a part and of the parts in it, which include complete attached messages."""
    if part.get_content_type() == "multipart/alternative" and part.is_multipart():
        yield from _alternative_texts(_parts_of(part))
    elif part.is_multipart():
        for inner in _parts_of(part):
            if part.get_content_maintype() == "message":
                yield from _header_texts(inner)
            yield from _body_texts(inner)
    elif part.get_content_maintype() == "text" and not _is_attachment(part):
        yield from _text_of(part)


def _alternative_texts(parts: list[Message]) -> list[str]:
    """Return the texts of the plain part, else of the last part, that has any (RFC 2046, 5.1.4)."""
    by_preference = sorted(parts, key=lambda part: part.get_content_type() == "text/plain")
    texts = ([text for text in _body_texts(part) if text.strip()] for part in reversed(by_preference))
    return next(filter(None, texts), [])


def _parts_of(part: Message) -> list[Message]:
    return [inner for inner in part.get_payload() if isinstance(inner, Message)]


def _text_of(part: Message) -> Iterator[str]:
    """Yield the text of a part, or the paragraphs of HTML; nothing of an invitation."""
    subtype, payload = part.get_content_subtype(), part.get_payload(decode=True)
    if subtype == "calendar" or not isinstance(payload, bytes):
        return
    with suppress(MediaError):
        text = decode_text(payload, part.get_content_charset())
        yield from (each.text for each in extract_paragraphs(text)) if subtype.endswith("html") else (text,)


def _is_attachment(part: Message) -> bool:
    try:
        return part.get_content_disposition() == "attachment"
    except Exception:  # an invalid header
        return False


def _attachment_name(part: Message) -> str:
    try:
        return str(part.get_filename() or "")
    except Exception:  # an invalid header
        return ""


def _header(message: Message, name: str) -> str:
    try:
        text = " ".join(str(message.get(name, "")).split())
    except Exception:  # an invalid header
        return ""
    return without_surrogates(text).replace("\0", "")


def _properties(message: Message) -> MediaProperties:
    """Return the time at which a message was sent, on the clock of its sender."""
    with suppress(Exception):
        sent = parsedate_to_datetime(_header(message, "Date"))
        zone = sent.isoformat()[-6:] if sent.tzinfo is not None else None
        return MediaProperties(taken=sent.replace(tzinfo=None, microsecond=0).isoformat(), zone=zone)
    return MediaProperties()
