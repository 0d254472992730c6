"""Decoder of e-mail messages (.eml): subject, people, text and names of attachments."""

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
from retrieval.types import MediaProperties

PEOPLE_HEADERS = ("From", "To", "Cc")
KNOWN_HEADERS = (*PEOPLE_HEADERS, "Subject", "Date", "Received", "Message-ID", "Return-Path")


def decode(file: BinaryIO, suffix: str, context: DecodeContext) -> DecodedFile:
    """Return passages of the headers, the body and the names of attachments; the time is that of sending."""
    data = read_bytes(file, context.limits.max_text_bytes)
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
    """Yield the texts of a message, the subject first."""
    yield _header(message, "Subject")
    yield ", ".join(f"{name} {value}" for name in PEOPLE_HEADERS if (value := _header(message, name)))
    parts = [part for part in message.walk() if not part.is_multipart()]
    texts = [part for part in parts if part.get_content_maintype() == "text" and not _attachment_name(part)]
    plain = [part for part in texts if part.get_content_subtype() != "html"]
    for part in plain or texts:
        payload = part.get_payload(decode=True)
        text = ""
        if isinstance(payload, bytes):
            with suppress(MediaError):
                text = decode_text(payload, part.get_content_charset())
        if part.get_content_subtype() == "html":
            yield from (paragraph for paragraph, _ in extract_paragraphs(text))
        else:
            yield text
    names = filter(None, map(_attachment_name, parts))
    yield ", ".join(names)


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
    return text.encode("utf-8", "replace").decode().replace("\0", "")


def _properties(message: Message) -> MediaProperties:
    """Return the time at which a message was sent, on the clock of its sender."""
    with suppress(Exception):
        sent = parsedate_to_datetime(_header(message, "Date"))
        zone = sent.isoformat()[-6:] if sent.tzinfo is not None else None
        return MediaProperties(taken=sent.replace(tzinfo=None, microsecond=0).isoformat(), zone=zone)
    return MediaProperties()
