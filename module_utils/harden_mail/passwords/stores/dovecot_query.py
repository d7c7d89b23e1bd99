"""Dovecot's password query, which asks for one user, as a query for all.

A variable like ``'%u'`` is replaced by the column that it is compared with: ``email = '%u' AND active = 1`` becomes
``email = email AND active = 1``, which is true for every user that Dovecot would find by this query. That holds however
the variable is used elsewhere in it. What can't be put like this is said in a sentence.
"""

import re

from ...errors import UserError
from ...host.passdbs import VARIABLE, variable
from .sql_text import MYSQL, POSTGRESQL, Token, concatenated, joined, reading, tokens

# Who asks. Some queries look at this ("enable%Ls%Lc"), so an account counts that is let in for any of these.
SERVICES = ("smtp", "imap")
_SERVICE = ("s", "service", "protocol")

# With TLS.
_SECURED = ("c", "secured")

# Variables in the query's text, until they are expressions: no such character is in a query.
_MARKS = {"user": "\x01", "username": "\x02", "domain": "\x03"}

_ENDS = ("GROUP", "HAVING", "UNION", "INTERSECT", "EXCEPT", "WINDOW", "FETCH")
_OPERATORS = ("=", "==", "LIKE", "ILIKE", "IN")

ADVICE = "; declare the store sql with a preset or a query of your own (password_audit_stores)"


def for_everybody(query, database):
    """A query (str) for name and password of all users.

    :param str query: Dovecot's, of 2.3 or 2.4
    :param str database: see ``sql_text.DATABASES``
    :raises UserError: it can't be put like this
    """
    queries = []
    for service in SERVICES:
        one = _for_everybody(_marked(query, service), database)
        if one not in queries:
            queries.append(one)
    return reading(" UNION ".join(queries), database, "Dovecot's password query")


def _for_everybody(marked, database):
    parts = tokens(marked, database)
    while parts and parts[-1].text == ";":
        parts.pop()
    clauses = _clauses(parts)
    password = _selected(clauses["SELECT"], "password")
    expressions = _names(clauses, database)
    selected = [Token("other", expressions["user"], True), Token("other", ",", False)]
    selected += [_replaced(token, expressions, database) for token in password]
    body = [_replaced(token, expressions, database) for token in parts[clauses["from"] : clauses["end"]]]
    return "SELECT {0} {1}".format(joined(selected), joined(body))


def _unusable(why):
    return UserError("Dovecot's password query {0}, so it can't be asked for all accounts{1}.".format(why, ADVICE))


def _marked(query, service):
    """The query with marks for the user's name, and with words for what is the same for everybody."""
    if re.search("[\x01-\x03]", query):
        raise _unusable("has control characters")
    unknown = []

    def replace(match):
        long, short = match.groups()
        if short == "%":
            return "%"
        meaning = variable(match)
        if meaning is not None:
            return _MARKS[meaning]
        name = short or long.split("|")[0].split(":")[-1].strip()
        if name in _SERVICE:
            return service
        if name in _SECURED:
            return "secured"
        unknown.append(match.group())
        return ""

    marked = VARIABLE.sub(replace, query)
    if unknown:
        raise _unusable("has the variable {0}".format(unknown[0]))
    return marked


def _clauses(parts):
    """dict: SELECT (list of list of tokens: the columns), from, where, end (positions in ``parts``)."""
    depth, found, columns, column = 0, {}, [], []
    words = [token.text.upper() if token.kind == "word" else "" for token in parts]
    if not words or words[0] != "SELECT":
        raise _unusable("is no SELECT")
    for position, token in enumerate(parts):
        depth += {"(": 1, ")": -1}.get(token.text, 0) if token.kind == "other" else 0
        word = words[position] if depth == 0 else ""
        if word in _ENDS:
            raise _unusable("has {0}".format(word))
        if word in ("FROM", "WHERE", "ORDER", "LIMIT"):
            found.setdefault(word, position)
        if "FROM" not in found and position:
            if depth == 0 and token.text == ",":
                columns.append(column)
                column = []
            else:
                column.append(token)
    if "FROM" not in found or "WHERE" not in found:
        raise _unusable("has no FROM and WHERE")
    end = min(found.get(word, len(parts)) for word in ("ORDER", "LIMIT"))
    return {
        "SELECT": columns + [column],
        "from": found["FROM"],
        "where": found["WHERE"],
        "end": end,
        "parts": parts,
        "words": words,
    }


def _selected(columns, wanted):
    """Tokens of the column with a name, without that name.

    :raises UserError: there is none, and no "*" that could hold it
    """
    for column in columns:
        expression, name = _named(column)
        if name == wanted:
            return expression
    if any(column and column[-1].text == "*" for column in columns):
        return [Token("word", wanted, True)]
    raise _unusable("returns no column named {0}".format(wanted))


def _named(column):
    """(tokens, name in small letters) of a column: ``x.y``, ``x.y name``, ``expression AS name``."""
    if not column:
        return [], ""
    name = column[-1].text.strip("`\"'[]").lower()
    if len(column) > 2 and column[-2].text.upper() == "AS":
        return column[:-2], name
    if len(column) == 1 or column[-2].text == ".":
        return column, name
    if column[-1].kind in ("word", "name") and column[-2].text != "::" and column[-1].text.upper() != "END":
        return column[:-1], name
    return column, ""


def _names(clauses, database):
    """Expressions (dict of str) for what the marks stand for: user, and where it is known username and domain."""
    compared = {meaning: _compared(clauses, mark, database) for meaning, mark in _MARKS.items()}
    user = compared["user"]
    if not user and compared["username"] and compared["domain"]:
        found = {name: compared[name][0] for name in ("username", "domain")}
        return dict(found, user=concatenated([found["username"], "'@'", found["domain"]], database))
    if not user:
        whole = _MARKS["username"] + "@" + _MARKS["domain"]
        user = _compared(clauses, whole, database)
    if user:
        shown = _shown_user(clauses)
        expression = shown if shown in user else user[0]
        return dict(_split(expression, database), user=expression)
    if compared["username"]:
        # Names without a domain.
        return {"user": compared["username"][0], "username": compared["username"][0]}
    raise _unusable("compares the user's name with no column")


def _shown_user(clauses):
    for column in clauses["SELECT"]:
        expression, name = _named(column)
        if name == "user":
            return _column(expression, clauses)
    return None


def _split(user, database):
    if database == MYSQL:
        return {
            "username": "SUBSTRING_INDEX({0}, '@', 1)".format(user),
            "domain": "SUBSTRING_INDEX({0}, '@', -1)".format(user),
        }
    if database == POSTGRESQL:
        return {
            "username": "split_part({0}, '@', 1)".format(user),
            "domain": "split_part({0}, '@', 2)".format(user),
        }
    return {
        "username": "substr({0}, 1, instr({0} || '@', '@') - 1)".format(user),
        "domain": "substr({0}, instr({0} || '@', '@') + 1)".format(user),
    }


def _compared(clauses, mark, database):
    """Columns (list of str) that the main query, not one inside it, compares with a string that is just this mark."""
    parts, words = clauses["parts"], clauses["words"]
    found, selects, depth = [], [], 0
    for position in range(clauses["from"], clauses["end"]):
        token = parts[position]
        if token.text == "(" and token.kind == "other":
            depth += 1
            if position + 1 < len(parts) and words[position + 1] == "SELECT":
                selects.append(depth)
        elif token.text == ")" and token.kind == "other":
            if selects and selects[-1] == depth:
                selects.pop()
            depth -= 1
        if token.kind != "string" or token.text[1:-1] != mark or selects:
            continue
        start, end = _with_functions(parts, position)
        if start > 1 and parts[start - 1].text == "(" and words[start - 2] == "IN":
            start -= 1
        before = _operand_before(parts, start - 2) if _is_operator(parts[start - 1]) else None
        after = _operand_after(parts, end + 1) if end < len(parts) and _is_operator(parts[end]) else None
        operand = before or after
        column = _column(operand, clauses) if operand else None
        if column and column not in found:
            found.append(column)
    return found


def _is_operator(token):
    return token.text.upper() in _OPERATORS


def _with_functions(parts, position):
    """Where a string with functions around it begins, and what follows it: ``LOWER(TRIM('...'))``, ``'...'::text``."""
    start, end = position, position + 1
    while end + 1 < len(parts) and parts[end].text == "::":
        end += 2
    while start > 1 and parts[start - 1].text == "(" and parts[start - 2].kind == "word" and end < len(parts):
        if parts[end].text != ")" or _is_operator(parts[start - 2]):
            break
        start, end = start - 2, end + 1
    return start, end


def _operand_before(parts, last):
    """Tokens of a column that end at a position, with functions around it; or None."""
    if last < 0:
        return None
    if parts[last].text == ")":
        depth, first = 1, last - 1
        while first >= 0 and depth:
            depth += {")": 1, "(": -1}.get(parts[first].text, 0)
            first -= 1
        if first < 0 or parts[first].kind != "word" or parts[first].text.upper() in ("AND", "OR", "WHERE", "NOT", "ON"):
            return None
        return parts[first : last + 1]
    if parts[last].kind not in ("word", "name"):
        return None
    first = last
    while first > 1 and parts[first - 1].text == ".":
        first -= 2
    return parts[first : last + 1]


def _operand_after(parts, first):
    if first >= len(parts) or parts[first].kind not in ("word", "name"):
        return None
    last = first
    while last + 2 < len(parts) and parts[last + 1].text == ".":
        last += 2
    if last + 1 < len(parts) and parts[last + 1].text == "(":
        return None
    return parts[first : last + 1]


def _column(operand, clauses):
    """An operand as text. A bare column gets its table, so that a query inside does not take it for one of its own."""
    table = _only_table(clauses)
    if table and len(operand) == 1:
        return table + "." + operand[0].text
    return joined(operand)


def _only_table(clauses):
    """Name of the table that the main query reads, if it is one alone."""
    source = clauses["parts"][clauses["from"] + 1 : clauses["where"]]
    if not source or any(token.kind == "other" and token.text != "." for token in source):
        return None
    words = [token.text.upper() for token in source]
    if "JOIN" in words:
        return None
    last = source[-1]
    if len(source) == 1 or source[-2].text == "." or words[-2] == "AS" or source[-2].kind in ("word", "name"):
        return last.text
    return None


def _replaced(token, expressions, database):
    """A token with expressions in place of marks."""
    if not any(mark in token.text for mark in _MARKS.values()):
        return token
    if token.kind != "string":
        raise _unusable("has the user's name outside of a string")
    quote = token.text[0]
    pieces = []
    for piece in re.split("([\x01-\x03])", token.text[1:-1]):
        meaning = next((name for name, mark in _MARKS.items() if mark == piece), None)
        if meaning is not None:
            if meaning not in expressions:
                raise _unusable("does not say of which column the user's {0} is".format(meaning))
            pieces.append(expressions[meaning])
        elif piece:
            pieces.append(quote + piece + quote)
    return Token("other", concatenated(pieces, database), token.apart)
