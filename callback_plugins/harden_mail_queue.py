"""Shows what the modules mail_queue and mail_queue_info found and did: a table for each host, one total for all."""

import os
import shlex
import shutil
import sys
import time
import unicodedata

from ansible import constants as C
from ansible.plugins.callback import CallbackBase

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "plugin_utils"))
from harden_mail_controller.answers import NotUnderstood, understood
from harden_mail_controller.copying import ways
from harden_mail_controller.text import clean

DOCUMENTATION = """
name: harden_mail_queue
type: notification
short_description: Show mail queues, and what was done to them, as tables
version_added: "0.1.0"
description:
  - Prints at the end, for each host, what C(mail_queue_info) found and what C(mail_queue) did, and a total.
  - Prints nothing where a playbook has neither.
requirements:
  - Enabled by C(callbacks_enabled = harden_mail_queue) in ansible.cfg.
"""

ACTIONS = ("mail_queue", "mail_queue_info", "queue_request")
MTAS = {"postfix": "Postfix", "qmail": "qmail"}
# Headings of what mail_queue_info counts, by the name that its result has for it.
COUNTED = {
    "top_senders": "SENDERS",
    "top_recipient_domains": "RECIPIENT DOMAINS",
    "top_subjects": "SUBJECTS",
    "top_origins": "ORIGINS",
    "top_clients": "CAME FROM",
}
MOST_COUNTED = 10
LIST_LIMIT = 10
# Of what is kept in quarantine, and of what a module says in its own words.
MOST_RUNS, MOST_EVIDENCE = 100, 50
# Columns that a cell has at most, so that the next ones have room; only the last may take all that is left.
WIDEST = 36


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "harden_mail_queue"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self._answers = []

    def v2_runner_on_ok(self, result):
        self._take(result, C.COLOR_CHANGED if result._result.get("changed") else C.COLOR_OK)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._take(result, C.COLOR_ERROR, "failed")

    def v2_runner_on_unreachable(self, result):
        self._take(result, C.COLOR_UNREACHABLE, "unreachable")

    def _take(self, result, colour, trouble=None):
        task = result._task
        if task.action.rsplit(".", 1)[-1] in ACTIONS:
            host = clean(result._host.get_name())
            answer = dict(checked(result._result, trouble), check=bool(task.check_mode))
            self._answers.append((host, C.COLOR_ERROR if answer["trouble"] else colour, answer))

    def v2_playbook_on_stats(self, stats):
        if not self._answers:
            return
        self._display.banner("MAIL QUEUES")
        columns = shutil.get_terminal_size((120, 24)).columns
        for host, colour, answer in sorted(self._answers, key=lambda known: known[0]):
            lines = lines_of(host, answer, columns)
            self._display.display(lines[0], color=colour)
            for line in lines[1:] + ([""] if len(lines) > 1 else []):
                self._display.display(line)
        answers = [answer for _, _, answer in self._answers]
        for line in ways(pair for answer in answers for pair in selectable(answer)):
            self._display.display(line)
        self._display.display(total(answers))


def checked(answer, trouble):
    """What a task said, with ``trouble``: None, ``failed``, ``unreachable`` or ``not understood``."""
    if trouble or "censored" in answer:
        return {"trouble": trouble, "msg": clean(answer.get("msg") or answer.get("censored"))}
    try:
        module = "mail_queue" if "moved" in answer else "mail_queue_info"
        return dict(understood(module, answer), trouble=None)
    except NotUnderstood as error:
        return {"trouble": "not understood", "msg": str(error)}


# --- one host ---------------------------------------------------------------------------------------------


def lines_of(host, answer, columns):
    """What a module said on one host, the first line being the gist of it.

    :param dict answer: as :func:`checked` makes it; ``check`` says whether it was in check mode
    :param int columns: of the terminal; rows of tables are cut there, sentences and commands are not
    """
    if answer["trouble"]:
        return ["{0}: {1}: {2}".format(host, answer["trouble"], clean(answer.get("msg")))]
    if "not_applicable" in answer:
        return ["{0}: left alone. {1}".format(host, clean(answer["not_applicable"]))]
    if "moved" in answer:
        return change(host, answer, columns)
    if "total" in answer:
        return look(host, answer, columns)
    return ["{0}: nothing is shown of a task with no_log".format(host)]


def look(host, answer, columns):
    """Lines for what mail_queue_info found."""
    gist = "{0}: {1} in the queue of {2}, {3} selected{4}".format(
        host,
        number(answer["total"], "message"),
        MTAS.get(answer["mta"], answer["mta"]),
        number(answer["matched"]),
        in_brackets(answer["states"]),
    )
    if answer["matched"]:
        gist += ", {0}, the oldest from {1}".format(size(answer["bytes"]), moment(answer["oldest"]))
    lines = [gist]
    for name, heading in COUNTED.items():
        error = answer["errors"][name]
        doubt = " (counts are too low by {0} at most)".format(number(error)) if error else ""
        lines += counts(heading + doubt, [(it["count"], it["value"]) for it in answer[name][:MOST_COUNTED]], columns)
    ages = [(count, name if name == "older" else "under " + name) for name, count in answer["ages"].items() if count]
    lines += counts("AGES", ages[:MOST_COUNTED], columns)
    lines += newest(answer["messages"], answer["matched"], columns)
    if answer["unreadable_total"]:
        lines += ["", "  NOT READABLE, AND NOT TOUCHED: {0}".format(number(answer["unreadable_total"], "file"))]
        lines += [
            "  {0}: {1}".format(clean(it["path"]), clean(it["reason"])) for it in answer["unreadable"][:LIST_LIMIT]
        ]
    return lines + quarantined(answer["quarantine"], columns)


def selectable(answer):
    """What people copy from the tables into a selection: (key, text)."""
    for name, key in (("top_senders", "sender"), ("top_subjects", "subject")):
        for counted in answer.get(name, [])[:MOST_COUNTED]:
            yield key, clean(counted["value"])
    for message in answer.get("messages", []):
        for key in ("sender", "subject"):
            yield key, clean(message[key] or "")
        for recipient in message["recipients"][:1]:
            yield "recipient", clean(recipient["address"])


def counts(heading, pairs, columns):
    """Lines under a heading, none where there is nothing to count: (how many, of what)."""
    rows = [cut("  {0:>9}  {1}".format(number(count), clean(value)), columns) for count, value in pairs]
    return ["", "  " + heading, *rows] if rows else []


def newest(messages, among, columns):
    """The table of messages, under a line that says how many there are."""
    if not messages:
        return []
    rows = [("ID", "STATE", "CAME", "SIZE", "SUBJECT", "SENDER", "RECIPIENT")] + [row(message) for message in messages]
    heading = "  THE NEWEST {0} OF {1}".format(number(len(messages)), number(among))
    return ["", heading if len(messages) < among else "  MESSAGES"] + table(rows, columns)


def row(message):
    recipients = [recipient["address"] for recipient in message["recipients"]]
    more = message["recipients_total"] - 1
    return (
        message["id"] if message["instance"] is None else "{0} {1}".format(message["instance"], message["id"]),
        message["state"],
        moment(message["arrival"]),
        size(message["size"]),
        message["subject"] or "",
        message["sender"] or "<>",
        (recipients[0] if recipients else "") + (" +{0}".format(more) if more > 0 else ""),
    )


def quarantined(runs, columns):
    """The table of what is in quarantine."""
    rows = [("RUN", "MESSAGES", "SELECTED BY")] + [
        (
            run["run"],
            "" if run["messages"] is None else number(run["messages"]),
            (run["selection"] or "") + (" (interrupted)" if run["unfinished"] else ""),
        )
        for run in runs[-MOST_RUNS:]
    ]
    heading = "  IN QUARANTINE"
    if len(runs) > MOST_RUNS:
        heading += ", THE NEWEST {0} OF {1}".format(MOST_RUNS, number(len(runs)))
    return ["", heading] + table(rows, columns) if runs else []


def change(host, answer, columns):
    """Lines for what mail_queue did, or would do in check mode."""
    if answer["matched"] == 0:
        gist = "{0}: no message is selected".format(host)
    else:
        gist = "{0}: {1} of {2} {3} {4}{5}".format(
            host,
            number(answer["moved"]),
            number(answer["matched"], "selected message"),
            "would be" if answer["check"] else "was" if answer["moved"] == 1 else "were",
            answer["state"],
            in_brackets(answer["states"]),
        )
    lines = [gist]
    if answer["resumed"]:
        verb = "would first be" if answer["check"] else "was first"
        lines.append("  What was interrupted before {0} completed ({1})".format(verb, number(answer["resumed"], "run")))
    if answer["passed_over_total"]:
        lines.append("  Left as they were: {0}; run it again to take them".format(number(answer["passed_over_total"])))
        lines += ["    {0}: {1}".format(it["id"], clean(it["reason"])) for it in answer["passed_over"][:LIST_LIMIT]]
    lines += ["  " + clean(line) for line in answer["evidence"][:MOST_EVIDENCE]]
    if answer["run"]:
        command = "ansible-playbook playbooks/queue.yml --limit {0} -e queue_action=restore -e queue_run={1}"
        lines += ["  To have them back:", "    " + command.format(shlex.quote(host), shlex.quote(answer["run"]))]
    return lines + newest(answer["messages"], sum(answer["states"].values()), columns)


def in_brackets(states):
    """How many messages have which state, most first."""
    counts = sorted(states.items(), key=lambda item: -item[1])[:MOST_COUNTED]
    return (
        " ({0})".format(", ".join("{0} {1}".format(number(count), clean(state)) for state, count in counts))
        if counts
        else ""
    )


# --- all hosts --------------------------------------------------------------------------------------------


def total(answers):
    """The last line: what holds for all hosts together."""
    apart = [(sum(1 for answer in answers if "not_applicable" in answer), "without a queue")]
    for trouble in ("failed", "unreachable", "not understood"):
        apart.append((sum(1 for answer in answers if answer["trouble"] == trouble), trouble))
    hosts = number(len(answers), "host")
    aside = ", ".join("{0} {1}".format(number(count), what) for count, what in apart if count)
    looks = [answer for answer in answers if "total" in answer]
    changes = [answer for answer in answers if "moved" in answer]
    parts = []
    if looks:
        parts.append("{0} in {1}".format(number(sum_of(looks, "total"), "message"), number(len(looks), "queue")))
    if looks or changes:
        parts.append(number(sum_of(looks + changes, "matched")) + " selected")
    for state in sorted({answer["state"] for answer in changes}):
        alike = [answer for answer in changes if answer["state"] == state]
        would = "would be " if any(answer["check"] for answer in alike) else ""
        parts.append("{0} {1}{2}".format(number(sum_of(alike, "moved")), would, state))
    passed_over = sum_of(changes, "passed_over_total")
    if passed_over:
        parts.append(number(passed_over) + " left as they were")
    return hosts + (" ({0})".format(aside) if aside else "") + (": " + ", ".join(parts) if parts else "")


def sum_of(answers, name):
    return sum(answer[name] for answer in answers)


# --- text -------------------------------------------------------------------------------------------------


def number(count, noun=None):
    """A count with its thousands set apart, and what is counted, which is in the plural with an s."""
    text = "{0:,}".format(count)
    return text if noun is None else "{0} {1}{2}".format(text, noun, "" if count == 1 else "s")


def size(count):
    """Bytes, in the unit that a person would use."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return "{0:.0f} {1}".format(count, unit)
        count /= 1024
    return "{0:.1f} GiB".format(count)


def moment(seconds):
    """A time (seconds since 1970) as this machine's clock on the wall has it."""
    try:
        return time.strftime("%m-%d %H:%M", time.localtime(seconds))
    except (OverflowError, OSError, ValueError):
        return "?"


def width(text):
    """How many columns a terminal gives to a text: two for a wide sign (Japanese), none for one that combines."""
    return sum(
        0 if unicodedata.category(sign) in ("Mn", "Me") else 2 if unicodedata.east_asian_width(sign) in "WF" else 1
        for sign in text
    )


def cut(text, columns):
    """The text, or as much of it as goes into so many columns with a sign that there was more."""
    if width(text) <= columns:
        return text
    kept, used = [], 1
    for sign in text:
        used += width(sign)
        if used > columns:
            break
        kept.append(sign)
    return "".join(kept) + "…"


def table(rows, columns):
    """Lines of cells under each other, set in; the last column takes what room there is.

    :param list rows: tuples of text, the first of them the headings
    """
    rows = [[clean(cell) for cell in row] for row in rows]
    rows = [[cut(cell, WIDEST) for cell in row[:-1]] + row[-1:] for row in rows]
    widths = [max(map(width, column)) for column in zip(*rows)]
    padded = (["", *(cell + " " * (room - width(cell)) for cell, room in zip(row, widths))] for row in rows)
    return [cut("  ".join(row).rstrip(), columns) for row in padded]
