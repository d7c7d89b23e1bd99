"""SQL as text: which queries are run, and how rows are read."""

import pytest
from harden_mail.errors import UserError
from harden_mail.passwords.stores import (
    sql_rows,
    sql_text,
)
from hypothesis import given
from hypothesis import strategies as st
from sql_client_stand_in import batch, copy


@pytest.mark.parametrize(
    "query, database, as_run",
    (
        ("SELECT a, b FROM c", "mysql", "SELECT a, b FROM c"),
        ("select a,\n b -- comment\n FROM c;\n;", "postgresql", "select a, b FROM c"),
        ("/* x; */ SELECT 'a;--' FROM `b;`", "mysql", "SELECT 'a;--' FROM `b;`"),
        ("SELECT a # DELETE\n FROM c", "mysql", "SELECT a FROM c"),
        ("WITH x AS (SELECT 1) SELECT * FROM x", "sqlite", "WITH x AS (SELECT 1) SELECT * FROM x"),
        ("SELECT 'it''s', 'a\\';', \"b;\"", "mysql", "SELECT 'it''s', 'a\\';', \"b;\""),
        (
            "SELECT E'it\\'s;', $x$ ; $$ $x$, a::text || b",
            "postgresql",
            "SELECT E'it\\'s;', $x$ ; $$ $x$, a::text || b",
        ),
        ("SELECT 1--2", "mysql", "SELECT 1--2"),
        ("SELECT 'a\nb'", "sqlite", "SELECT 'a\nb'"),
        (
            "SELECT updated, deleted, for_update FROM inserts",
            "mysql",
            "SELECT updated, deleted, for_update FROM inserts",
        ),
    ),
)
def test_queries_that_read(query, database, as_run):
    assert sql_text.reading(query, database, "It") == as_run


@pytest.mark.parametrize(
    "query, database, words",
    (
        ("DELETE FROM a", "mysql", "begins with 'DELETE'"),
        ("", "mysql", "begins with ''"),
        ("-- SELECT", "postgresql", "begins with ''"),
        ("(SELECT 1)", "mysql", "begins with ''"),
        ("SELECT 1; DELETE FROM a", "mysql", "more than one statement"),
        ("SELECT '1'; DROP TABLE a", "postgresql", "more than one statement"),
        ("SELECT 'a\\'; DROP TABLE a --'", "postgresql", "more than one statement"),
        ("SELECT 1 \\! id", "postgresql", "a backslash"),
        ("SELECT a INTO OUTFILE '/x' FROM b", "mysql", "INTO"),
        ("select a into b from c", "postgresql", "INTO"),
        ("SELECT a FROM b FOR UPDATE", "mysql", "FOR UPDATE"),
        ("SELECT a FROM b FOR  SHARE", "postgresql", "FOR SHARE"),
        ("SELECT a FROM b LOCK IN SHARE MODE", "mysql", "LOCK IN"),
        ("SELECT 1 /*! INTO OUTFILE '/x' */", "mysql", "a comment"),
        ("SELECT 'open", "sqlite", "an open string"),
        ("SELECT `open", "mysql", "an open name"),
        ("SELECT /* open", "mysql", "an open"),
    ),
)
def test_queries_that_do_more_are_refused(query, database, words):
    with pytest.raises(UserError) as raised:
        sql_text.reading(query, database, "It")
    assert words in str(raised.value)


@given(st.text(), st.sampled_from(sql_text.DATABASES))
def test_any_text_is_a_query_or_refused(text, database):
    try:
        once = sql_text.reading("SELECT " + text, database, "It")
    except UserError:
        return
    # What is run means the same when it is read once more.
    assert sql_text.reading(once, database, "It") == once


@given(st.text())
def test_no_character_gets_lost_between_mysql_and_here(text):
    line = batch(text).encode()
    assert b"\n" not in line and b"\t" not in line
    assert sql_rows.unescaped(line) == (None if text == "NULL" else text)


@given(st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",))))
def test_no_character_gets_lost_between_postgresql_and_here(text):
    line = copy(text).encode()
    assert b"\n" not in line and b"\t" not in line
    assert sql_rows.copied(line) == text


def test_nulls_numbers_and_bytes():
    assert (
        sql_rows.copied(b"\\N") is None
        and sql_rows.copied(b"\\\\N") == "\\N"
        and sql_rows.copied(b"\\x41\\101\\8\\9") == "AA89"
    )
    assert [sql_rows.text_of(value) for value in (None, 7, b"a\xff", "b")] == [None, "7", "a\udcff", "b"]


@given(st.binary())
def test_any_bytes_are_a_field(raw):
    sql_rows.unescaped(raw), sql_rows.copied(raw)
