"""The text of a Subject header: RFC 2047's encoded words, and what mailers send instead of them.

The standard library's ``email.header`` is not used: it takes ten times as long, fails on unknown character sets and
broken Base64, and tears characters apart that are split between two words.
"""

import binascii
import functools
import re

# Bytes of a header's value that are looked at; the rest of a longer one is ignored.
LONGEST = 16384

# Values up to this length are remembered: spam repeats its subjects. Bounds the memory to about 3 MB.
_REMEMBERED_LENGTH = 400

# RFC 2047, 2: =?charset?encoding?text?=, where RFC 2231, 5, allows charset*language. Where the text has blanks or
# question marks, or the end is missing, `_broken_text` says what the text is.
_WORD = re.compile(rb"=\?([\w.:+()-]{1,40})(?:\*[\w-]{0,40})?\?([BbQq])\?(?:([^?\s]*)\?=)?")

# Most subjects in other languages than English: nothing but one word in sound Base64.
_ONE_WORD = re.compile(rb"=\?([\w.:+()-]{1,40})\?[Bb]\?([A-Za-z0-9+/]+={0,2})\?=\Z")

# RFC 5322, 2.2.3: a line break before white space only folds the line.
_FOLD = re.compile(rb"\r?\n(?=[ \t])")

_NO_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="))

# Names of character sets, to Python's. As browsers and mailers do (WHATWG's Encoding Standard, 4.2, and what Outlook
# sends), a name means the largest set of its family: Windows's where the label says the standard's.
_CODECS = {}
for _codec, _names in {
    "utf-8": "utf-8 utf8 unicode-1-1-utf-8 utf-8-mac cp65001",
    "utf-7": "utf-7 unicode-1-1-utf-7",
    "utf-16": "utf-16 unicode",
    "utf-16-be": "utf-16be",
    "utf-16-le": "utf-16le",
    "cp932": "shift_jis shift-jis sjis x-sjis windows-31j cp932 ms932 ms_kanji csshiftjis cswindows31j x-ms-cp932",
    "shift_jis_2004": "shift_jis-2004 shift_jisx0213",
    "iso-2022-jp": "iso-2022-jp iso-2022-jp-1 iso-2022-jp-2 iso-2022-jp-3 iso-2022-jp-ext iso-2022-jp-2004 "
    "iso-2022-jp-ms csiso2022jp csiso2022jp2 cp50220 cp50221 cp50222 jis",
    "euc-jp": "euc-jp eucjp x-euc-jp x-euc ujis euc_jp eucjp-win eucjp-ms euc-jp-ms cp51932 cseucpkdfmtjapanese "
    "euc-jis-2004",
    "gb18030": "gb2312 gbk gb18030 x-gbk cp936 ms936 windows-936 gb_2312-80 gb2312-80 euc-cn csgb2312 chinese "
    "csiso58gb231280",
    "hz": "hz-gb-2312 hz",
    "big5hkscs": "big5 big5-hkscs cn-big5 x-x-big5 csbig5 cp950 big5-eten",
    "cp949": "euc-kr ks_c_5601-1987 ks_c_5601 ksc5601 ks_c_5601-1989 korean cp949 uhc windows-949 cseuckr",
    "iso2022_kr": "iso-2022-kr csiso2022kr",
    "cp1252": "iso-8859-1 iso8859-1 iso_8859-1 latin1 latin-1 windows-1252 cp1252 x-ansi l1",
    "cp1254": "iso-8859-9 iso8859-9 latin5 windows-1254 cp1254",
    "cp874": "tis-620 iso-8859-11 windows-874 cp874",
    "koi8-r": "koi8-r koi8 koi",
    "koi8-u": "koi8-u koi8-ru",
    "mac-roman": "macintosh x-mac-roman mac",
    "mac-cyrillic": "x-mac-cyrillic",
}.items():
    for _name in _names.split():
        _CODECS[_name.encode()] = _codec
for _number in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16):
    for _name in ("iso-8859-{0}", "iso8859-{0}", "iso_8859-{0}"):
        _CODECS[_name.format(_number).encode()] = "iso8859-{0}".format(_number)
_CODECS[b"iso-8859-6-i"], _CODECS[b"iso-8859-8-i"] = "iso8859-6", "iso8859-8"
for _number in (1250, 1251, 1253, 1255, 1256, 1257, 1258):
    _CODECS["windows-{0}".format(_number).encode()] = "cp{0}".format(_number)
    _CODECS["cp{0}".format(_number).encode()] = "cp{0}".format(_number)
for _number in (437, 850, 852, 855, 858, 862, 866):
    _CODECS["cp{0}".format(_number).encode()] = "cp{0}".format(_number)
    _CODECS["ibm{0}".format(_number).encode()] = "cp{0}".format(_number)


# ISO-2022-JP's escape sequences (RFC 1468, RFC 1554, JIS X 0213), and the shifts of CP50222.
_SHIFT = re.compile(rb"(\x1b\$\([@ABCDOPQ]|\x1b\$[@AB]|\x1b\([A-Z]|[\x0e\x0f])")
_EUC_JP = re.compile(rb"[\x00-\x7f]+|\x8e[\xa1-\xdf]|\x8f?[\xa1-\xfe]{2}|.", re.DOTALL)
_HIGH = bytes(code | 0x80 for code in range(256))

# Runs of bytes as Windows-1252 has them: one or two accented letters or a typographic mark within ASCII.
_LATIN = re.compile(rb"[\x00-\x7f]*(?:[\x80\x85\x91-\x97\x99\xa0-\xff]{1,2}[\x00-\x7f]+)*[\xa0-\xff]{0,2}\Z")
_KANA = re.compile("[\u3041-\u3096\u30a1-\u30fc]")
_WIDE = re.compile("[\u3000-\u303f\u4e00-\u9fff\uac00-\ud7a3\uff01-\uff5e]")
_NARROW_KANA = re.compile("[\uff61-\uff9f]")
_NOT_ASCII = re.compile(rb"[\x80-\xff]")


def decode_subject(raw):
    """The text of a header's value; never raises, in time that grows with the length.

    Decoded are encoded words (RFC 2047, 2 to 6) in every character set that mailers use, wherever they stand and
    however broken; bytes of adjacent words of one set are joined before they are decoded, for many mailers split
    characters. Text outside of them may be UTF-8, ISO-2022-JP, EUC-JP, Shift_JIS or GB18030, else it is taken as
    Windows-1252: which one, can only be guessed.

    :param bytes raw: what follows the colon, still folded, lines ended by LF or CRLF; the first 16 KiB count
    :returns: str, on one line as far as the sender's bytes are; it may hold any character (see ``text.printable``)
    """
    try:
        text = raw[:LONGEST].decode("ascii")
    except UnicodeDecodeError:
        pass
    else:
        if "=?" not in text and "\n" not in text and "\x1b" not in text:
            return text.strip(" \t\r").replace("\t", " ")
    if len(raw) <= _REMEMBERED_LENGTH:
        return _remembered(raw)
    return _decoded(raw[:LONGEST])


def _decoded(raw):
    word = _ONE_WORD.match(raw)
    if word:
        try:
            return _text(word.group(1).lower(), binascii.a2b_base64(word.group(2)))
        except binascii.Error:
            pass
    raw = _FOLD.sub(b"", raw).replace(b"\t", b" ").strip(b" \r\n")
    text = []
    # Of the encoded words since the last plain text: their set, and their bytes so far.
    charset, joined = b"", b""
    position = 0
    word = _WORD.search(raw)
    while word:
        plain = raw[position : word.start()]
        name, encoding, payload = word.groups()
        position = word.end()
        if payload is None:
            payload, position = _broken_text(raw, position)
        # RFC 2047, 4.2: quoted-printable, and `_` is a blank.
        data = _from_base64(payload) if encoding in b"Bb" else binascii.a2b_qp(payload, header=True)
        # RFC 2047, 6.2: white space between two encoded words is not shown.
        is_adjacent = charset and not plain.strip()
        name = name.lower()
        if not is_adjacent or name != charset:
            text.append(_text(charset, joined))
            charset, joined = name, b""
            if not is_adjacent:
                text.append(_guessed(plain))
        joined += data
        word = _WORD.search(raw, position)
    text.append(_text(charset, joined))
    text.append(_guessed(raw[position:]))
    return "".join(text)


_remembered = functools.lru_cache(maxsize=2048)(_decoded)


def _broken_text(raw, start):
    """The encoded text that starts at a position in no good form, and where what comes after the word starts."""
    end = raw.find(b"?=", start)
    following = _WORD.search(raw, start, end if end >= 0 else len(raw))
    if following:
        return raw[start : following.start()].rstrip(), following.start()
    if end >= 0:
        return raw[start:end], end + 2
    # No `?=` at all: cut off, or forgotten. Encoded text has no blanks.
    payload = raw[start:].split(None, 1)[0] if raw[start:].strip() else b""
    return payload, start + len(payload)


def _from_base64(payload):
    """RFC 4648, 4, forgiving: what is no Base64 is passed over, and so is a single character too many at the end."""
    data = b""
    # More than one piece where a sender encoded piece by piece, with padding in the middle.
    for piece in payload.translate(None, _NO_BASE64).split(b"="):
        length = len(piece) - (len(piece) % 4 == 1)
        data += binascii.a2b_base64(piece[:length] + b"==="[: -length % 4])
    return data


def _text(charset, data):
    """The text of an encoded word's bytes.

    :param bytes charset: in lower case
    """
    if not data:
        return ""
    codec = _CODECS.get(charset)
    own = _OWN_CODECS.get(codec)
    if own:
        return own(data)
    try:
        return data.decode(codec)
    except ValueError:
        pass
    try:
        # A wrong label; other text is hardly ever UTF-8 by chance.
        return data.decode("utf-8")
    except ValueError:
        return data.decode(codec, "replace")


def _iso_2022_jp(data):
    """RFC 1468 and its larger kin, with Windows's characters (CP50220 to CP50222): half-width kana, NEC's and IBM's."""
    if b"\x1b" not in data and b"\x0e" not in data:
        return _guessed(data)
    if b"\x0e" not in data:
        try:
            return data.decode("iso2022_jp_ext")
        except ValueError:
            pass
    text = []
    shift = b""
    for index, piece in enumerate(_SHIFT.split(data)):
        if index % 2:
            shift = piece.replace(b"\x1b", b"").replace(b"$(", b"$")
        elif shift in (b"(I", b"\x0e"):
            text.append(piece.translate(_HIGH).decode("cp932", "replace"))
        elif shift in _SETS:
            text.append(_pairs(piece, _SETS[shift]))
        else:
            text.append(piece.decode("ascii", "replace"))
    return "".join(text)


def _pairs(data, decode):
    """Text of two-byte characters; others between them are taken as ASCII."""
    text = []
    position = 0
    while position < len(data):
        pair = data[position : position + 2]
        if len(pair) == 2 and min(pair) > 0x20 and max(pair) < 0x7F:
            text.append(decode(pair))
            position += 2
        else:
            text.append(pair[:1].decode("ascii", "replace"))
            position += 1
    return "".join(text)


def _jis(pair):
    """A character of JIS X 0208 or of Windows's additions to it, by the arithmetic that leads to Shift_JIS."""
    row, cell = pair
    lead = (row - 0x21 >> 1) + (0x81 if row < 0x5F else 0xC1)
    trail = cell + (0x7E if not row % 2 else 0x20 if cell >= 0x60 else 0x1F)
    return bytes((lead, trail)).decode("cp932", "replace")


def _in(codec, before=b""):
    return lambda pair: (before + pair.translate(_HIGH)).decode(codec, "replace")


# What an escape sequence of ISO-2022 (without ESC, and `(` after `$`) selects.
_SETS = {
    b"$@": _jis,
    b"$B": _jis,
    b"$A": _in("gb18030"),
    b"$C": _in("cp949"),
    b"$D": _in("euc_jp", b"\x8f"),
    b"$O": _in("euc_jis_2004"),
    b"$P": _in("euc_jis_2004", b"\x8f"),
    b"$Q": _in("euc_jis_2004"),
}


def _euc_jp(data):
    """EUC-JP with Windows's characters (CP51932)."""
    try:
        return data.decode("euc_jp")
    except ValueError:
        pass
    text = []
    for piece in _EUC_JP.findall(data):
        if len(piece) == 2 and piece[0] > 0xA0:
            text.append(_jis(bytes(code & 0x7F for code in piece)))
        else:
            text.append(piece.decode("euc_jp", "replace"))
    return "".join(text)


def _guessed(data):
    """Text of bytes in an unknown set."""
    if not data:
        return ""
    try:
        text = data.decode("ascii")
    except ValueError:
        pass
    else:
        return _iso_2022_jp(data) if "\x1b$" in text or "\x1b(I" in text else text
    try:
        return data.decode("utf-8")
    except ValueError:
        pass
    # Cut within a character, say.
    text = data.decode("utf-8", "replace")
    wrong = text.count("\ufffd")
    if sum(character > "\x7f" for character in text) > 3 * wrong:
        return text
    if not _LATIN.match(data):
        high = len(_NOT_ASCII.findall(data))
        candidates = [(_likelihood(text) / high, text) for text in _east_asian(data)]
        best = max(candidates, default=(0, ""), key=lambda candidate: candidate[0])
        if best[0] >= 0.4:
            return best[1]
    return data.decode("cp1252", "replace")


def _east_asian(data):
    """Yield what bytes say in each set in which they are sound."""
    text = _euc_jp(data)
    if "\ufffd" not in text:
        yield text
    for codec in ("cp932", "gb18030"):
        try:
            yield data.decode(codec)
        except ValueError:
            continue


def _likelihood(text):
    """How much of a text is what people write there: kana prove Japanese, ideographs say little, all else nothing."""
    return 2 * len(_KANA.findall(text)) + len(_WIDE.findall(text)) + len(_NARROW_KANA.findall(text)) / 4


# What Python has no good codec for; None is an unknown set.
_OWN_CODECS = {"iso-2022-jp": _iso_2022_jp, "euc-jp": _euc_jp, None: _guessed}
