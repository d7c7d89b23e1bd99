"""SQL as a list of tokens: enough to see that a query only reads, and to put other words into it."""

import re
from collections import namedtuple

from ...errors import UserError

# kind: "word", "string", "name" (in quotes of its own), "other"; text: as it stands in the query; apart: whether blanks
# or a comment stood before it
Token = namedtuple("Token", "kind text apart")

MYSQL, POSTGRESQL, SQLITE = "mysql", "postgresql", "sqlite"
DATABASES = (MYSQL, POSTGRESQL, SQLITE)

_COMMON = (
    r"(?P<blank>\s+|/\*(?!!).*?\*/|{comment})"
    r"|(?P<string>{string})"
    r"|(?P<name>{name})"
    r"|(?P<word>[^\W\d][\w$]*)"
    r"|(?P<other>\d+(?:\.\d+)?|::|\|\||[<>!=]=|<>|.)"
)

# MySQL knows backslashes in strings and "strings", and wants a blank in "-- "; PostgreSQL has $tag$strings$tag$.
_PATTERNS = {
    MYSQL: _COMMON.format(
        comment=r"--(?=\s|\Z)[^\n]*|\#[^\n]*",
        string=r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.|\"\")*\"",
        name=r"`(?:[^`]|``)*`",
    ),
    POSTGRESQL: _COMMON.format(
        comment=r"--[^\n]*",
        string=r"[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$",
        name=r"\"(?:[^\"]|\"\")*\"",
    ),
    SQLITE: _COMMON.format(
        comment=r"--[^\n]*",
        string=r"'(?:[^']|'')*'",
        name=r"\"(?:[^\"]|\"\")*\"|`(?:[^`]|``)*`|\[[^\]]*\]",
    ),
}


def tokens(query, database):
    """List of :class:`Token` without blanks and comments."""
    found, apart = [], False
    for match in re.finditer(_PATTERNS[database], query, re.DOTALL):
        if match.lastgroup == "blank":
            apart = True
        else:
            found.append(Token(match.lastgroup, match.group(), apart))
            apart = False
    return found


def joined(parts):
    """The query (str) of tokens, on one line except for what is in strings."""
    return "".join((" " if token.apart else "") + token.text for token in parts).strip()


def reading(query, database, where):
    """A query that only reads, as one line.

    :param str where: how a person calls it, as "The option query of the store sql"
    :raises UserError: it is no single SELECT, or does more than reading
    """
    parts = tokens(query, database)
    while parts and parts[-1].text == ";":
        parts.pop()
    words = [token.text.upper() if token.kind == "word" else token.text for token in parts]
    if not words or words[0] not in ("SELECT", "WITH"):
        raise UserError(
            "{0} begins with '{1}'; only a SELECT is run, since an audit reads only.".format(
                where, words[0] if words and parts[0].kind == "word" else ""
            )
        )
    # Clients have commands of their own behind a backslash; outside of strings SQL has none. A quote alone here was
    # never closed.
    for wrong, what in (
        (";", "more than one statement"),
        ("\\", "a backslash outside of strings"),
        ("'", "an open string"),
        ('"', "an open string"),
        ("`", "an open name"),
    ):
        if any(token.kind == "other" and token.text == wrong for token in parts):
            raise UserError("{0} has {1}; it must be a single SELECT.".format(where, what))
    if "/*" in "".join(token.text for token in parts if token.kind == "other"):
        raise UserError("{0} has a comment that MySQL would carry out, or an open one.".format(where))
    plain = [word for word, token in zip(words, parts) if token.kind == "word"]
    if "INTO" in plain:
        raise UserError("{0} has INTO, which writes; it must be a SELECT that only reads.".format(where))
    for one, other in zip(plain, plain[1:]):
        if (one, other) in (("FOR", "UPDATE"), ("FOR", "SHARE"), ("LOCK", "IN")):
            raise UserError("{0} has {1} {2}, which locks rows; leave it away.".format(where, one, other))
    return joined(parts)


def literal(text):
    """A string of SQL; without backslashes, which databases read differently.

    :raises ValueError: the text has a backslash
    """
    if "\\" in text:
        raise ValueError("a backslash")
    return "'{0}'".format(text.replace("'", "''"))


def quoted_name(name, database):
    """A name of a table or column in quotes."""
    if database == MYSQL:
        return "`{0}`".format(name.replace("`", "``"))
    return '"{0}"'.format(name.replace('"', '""'))


def concatenated(parts, database):
    """Expression (str) that puts expressions together."""
    if len(parts) == 1:
        return parts[0]
    if database == MYSQL:
        return "CONCAT({0})".format(", ".join(parts))
    return "({0})".format(" || ".join(parts))
