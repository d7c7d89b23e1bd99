"""A mail that a program has made, in UTF-8 or ISO-2022-JP (RFC 5322, RFC 2047, RFC 1468)."""

import contextlib
import datetime
import re
import unicodedata
from email.charset import BASE64, Charset
from email.header import Header
from email.message import Message
from email.utils import format_datetime
from typing import Any, Dict

_HALF_WIDTH = re.compile("[\uff61-\uff9f]+")


def compose(headers: Dict[str, str], text: str, created: float, charset: str) -> bytes:
    """A mail that a program has made: bytes with CRLF (RFC 5322), 7 bits only.

    :param headers: only the subject may have letters that are not ASCII
    :param created: epoch seconds
    :param charset: ``utf-8``, or ``iso-2022-jp``: what it has no letter for becomes a question mark
    """
    encoding = Charset(charset)
    if charset == "utf-8":
        encoding.body_encoding = BASE64
    message: Any = Message()
    for name, value in headers.items():
        message[name] = _header(value, charset, encoding) if name == "Subject" else value
    message["Date"] = format_datetime(datetime.datetime.fromtimestamp(created, datetime.timezone.utc))
    message["Auto-Submitted"] = "auto-generated"
    message["MIME-Version"] = "1.0"
    message.set_payload(_in_charset(text, charset), encoding)
    return b"\r\n".join(message.as_bytes().splitlines()) + b"\r\n"


def _header(text: str, charset: str, encoding: Charset) -> Header:
    text = _in_charset(text, charset)
    is_ascii = all(ord(letter) < 128 for letter in text)
    return Header(text, charset="us-ascii" if is_ascii else encoding, header_name="Subject")


def _in_charset(text: str, charset: str) -> str:
    """The text in letters that the charset has; a half-width or circled letter has its like there."""
    try:
        text.encode(charset)
    except UnicodeEncodeError:
        # Half-width kana together with their marks, which have no like alone.
        text = _HALF_WIDTH.sub(lambda found: unicodedata.normalize("NFKC", found.group()), text)
        return "".join(_letter(letter, charset) for letter in text)
    return text


def _letter(letter: str, charset: str) -> str:
    for form in (letter, unicodedata.normalize("NFKC", letter)):
        with contextlib.suppress(UnicodeEncodeError):
            form.encode(charset)
            return form
    return "?"
