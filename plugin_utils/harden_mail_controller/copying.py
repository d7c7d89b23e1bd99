"""How text that others wrote is to be copied into variables: what Ansible would take for a template is a program."""

import json
import shlex

# The last begins a header by which a text names other signs than braces for its templates.
HEADER = "#jinja2:"
MARKS = ("{{", "{%", "{#", HEADER)
MOST = 3
GENERAL = (
    "In files of yours, and in other variables than queue_select, Ansible would run text with {{, {%, {# or #jinja2: "
    "as a program on this machine. To select these messages:"
)

# In a command, these end the quotes around a text, or stand for another sign.
QUOTES = ("'", '"', "\\")
QUOTED = "A quote in a text that is pasted into a command ends it, and the rest would be run. To select these messages:"

# A pattern with fewer letters than this of its own would mean other messages, too.
FEWEST_LETTERS = 4


def has_template(text):
    return any(mark in text for mark in MARKS)


def in_file(text):
    """A text as it is written into a YAML file, so that nobody templates it."""
    return "!unsafe '{0}'".format(text.replace("'", "''"))


def pattern_of(text):
    """The pattern that means a text and as few others as can be: who wrote it may have put wildcards into it.

    :param str text: cleaned; one that was cut off ends with an ellipsis
    """
    is_cut = text.endswith("\u2026")
    pattern = (text[:-1] if is_cut else text).replace("*", "?")
    if pattern.startswith("re:"):  # a regular expression
        pattern = "?" + pattern[1:]
    return pattern + "*" if is_cut else pattern


def on_command_line(key, text):
    """The arguments that select what a text is like, as pasted into a shell.

    :param str key: of ``queue_select``
    """
    pattern = pattern_of(text).replace("{", "?").replace("}", "?").replace(HEADER, "?" + HEADER[1:])
    return "-e " + shlex.quote(json.dumps({"queue_select": {key: pattern}}, ensure_ascii=False))


def is_alone(text):
    """Whether a pattern of a text says enough for it to mean hardly any other (bool)."""
    return len([letter for letter in text if letter.isalnum()]) >= FEWEST_LETTERS


def ways(pairs):
    """Lines on how to select the first few texts that hold a template or a quote; none where no text does.

    :param pairs: iterable of (key of ``queue_select``, cleaned text)
    """
    texts = list(dict.fromkeys(pairs))
    templates = [pair for pair in texts if has_template(pair[1])]
    quoted = [pair for pair in texts if pair not in templates and any(sign in pair[1] for sign in QUOTES)]
    return _ways(GENERAL, templates, True) + _ways(QUOTED, quoted, False)


def _ways(heading, found, into_files):
    if not found:
        return []
    lines = ["  " + heading]
    for key, text in found[:MOST]:
        if is_alone(text):
            lines.append("    " + on_command_line(key, text))
            lines += ["    in a file: {0}: {1}".format(key, in_file(pattern_of(text)))] if into_files else []
        else:
            lines.append("    {0} {1}: by its id, since no pattern means this one alone".format(key, in_file(text)))
    if len(found) > MOST:
        lines.append("    and {0} more".format(len(found) - MOST))
    return lines
