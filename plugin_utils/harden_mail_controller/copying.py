"""How text that others wrote is to be copied into variables: what Ansible would take for a template is a program."""

import json
import shlex

# The last begins a header by which a text names other signs than braces for its templates.
HEADER = "#jinja2:"
MARKS = ("{{", "{%", "{#", HEADER)
MOST = 3
GENERAL = (
    "Ansible would run text with {{, {%, {# or #jinja2: as a program on this machine: write what others wrote so into "
    "a file as !unsafe '...', and on the command line, where patterns are taken, with ? for each brace and the #."
)


def has_template(text):
    return any(mark in text for mark in MARKS)


def in_file(text):
    """A text as it is written into a YAML file, so that nobody templates it."""
    return "!unsafe '{0}'".format(text.replace("'", "''"))


def on_command_line(key, text):
    """The arguments that select what a text is like, as pasted into a shell.

    :param str key: of ``queue_select``
    :param str text: cleaned; one that was cut off ends with an ellipsis
    """
    pattern = text.replace("{", "?").replace("}", "?").replace(HEADER, "?" + HEADER[1:])
    if pattern.endswith("\u2026"):
        pattern = pattern[:-1] + "*"
    return "-e " + shlex.quote(json.dumps({"queue_select": {key: pattern}}, ensure_ascii=False))


def ways(pairs):
    """Lines on how to copy the first few texts that hold a template; none where no text does.

    :param pairs: iterable of (key of ``queue_select``, cleaned text)
    """
    found = list(dict.fromkeys((key, text) for key, text in pairs if has_template(text)))
    if not found:
        return []
    lines = ["  " + GENERAL]
    for key, text in found[:MOST]:
        lines += ["    " + on_command_line(key, text), "    in a file: {0}: {1}".format(key, in_file(text))]
    return lines
