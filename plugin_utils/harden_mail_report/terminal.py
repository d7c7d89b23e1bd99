"""The document of a run as lines of a terminal."""

import shutil
import textwrap

from harden_mail_controller.text import clean


def summary(document):
    """Lines for a run that changes things, one a host: yields (text, outcome)."""
    width = max((len(clean(name)) for name in document["hosts"]), default=0)
    for name, host in document["hosts"].items():
        yield "{0:{1}}  {2:14}  {3}".format(clean(name), width, host["outcome"], _in_a_line(host)), host["outcome"]
    yield _totals(document), None


def _in_a_line(host):
    """What made a host's outcome: the controls that have it, and what the first says where a person is to act."""
    names = [name for name, control in host["controls"].items() if control["outcome"] == host["outcome"]]
    if not names or host["outcome"] in ("drift", "remediated", "compliant"):
        return ", ".join(names)
    says = _reason(host["controls"][names[0]])
    return says if len(names) == len(host["controls"]) else "{0}: {1}".format(", ".join(names), says)


def table(document):
    """Lines for a run in check mode, one or more a control: yields (text, outcome)."""
    rows = [row for name, host in document["hosts"].items() for row in _rows_of(clean(name), host["controls"])]
    widths = [max(len(row[column]) for row in [*rows, ("HOST", "CONTROL", "OUTCOME")]) for column in range(3)]
    room = max(30, shutil.get_terminal_size((120, 24)).columns - sum(widths) - 6)
    layout = "  ".join("{{{0}:{1}}}".format(column, width) for column, width in enumerate(widths))
    yield layout.format("HOST", "CONTROL", "OUTCOME") + "  WHY", None
    former = None
    for host, control, outcome, why in rows:
        lines = textwrap.wrap(why, room) or [""]
        yield (layout.format("" if host == former else host, control, outcome) + "  " + lines[0]).rstrip(), outcome
        for line in lines[1:]:
            yield layout.format("", "", "") + "  " + line, outcome
        former = host
    yield _totals(document), None


def _rows_of(host, controls):
    """(host, control, outcome, reason) for each control; one row where the same holds for all of them."""
    rows = [
        # Who would be cut off is a warning, and belongs beside the drift.
        (host, name, control["outcome"], " ".join(filter(None, [_reason(control), *control["warnings"]])))
        for name, control in controls.items()
    ]
    if len(rows) > 1 and len({row[2:] for row in rows}) == 1:
        return [(host, "all {0}".format(len(rows)), *rows[0][2:])]
    return rows


def _reason(control):
    """The first thing that a person should read about a control."""
    findings = control["findings"]
    if control["message"]:
        return control["message"]
    if findings:
        return findings[0] + (" (and {0} more)".format(len(findings) - 1) if len(findings) > 1 else "")
    return ""


def _totals(document):
    number = len(document["hosts"])
    parts = ["{0} {1}".format(amount, outcome) for outcome, amount in document["totals"]["hosts"].items()]
    return "{0} host{1}: {2}".format(number, "" if number == 1 else "s", ", ".join(parts))
