"""The format of iptables-save: read it, and merge a chain of ours into a file of the host that is in it.

Format: iptables-save(8) and iptables-restore(8). A file holds sections ``*TABLE`` ... ``COMMIT``; in a section
``:CHAIN POLICY [packets:bytes]`` declares a chain and ``-A CHAIN ...`` appends a rule, with ``[packets:bytes]``
before it if saved with ``-c``; ``#`` begins a comment. Loading a section first empties the table. Files written
by hand hold other commands too, such as ``-I CHAIN``.

Nothing here fails on any text: what is not understood is left where it is.
"""

import re
from collections import namedtuple

# Our part of the filter table.
#   chain: str, name of our chain
#   rules: list of str, its rules; each what follows "-A CHAIN "
#   jumps: list of (str chain, str rule), the rules of other chains that lead into ours, in their order
#   ports: tuple of int, what it restricts
Part = namedtuple("Part", "chain rules jumps ports")

# One table.
#   chains: dict of str name -> str policy ("-": not a built-in chain)
#   rules:  dict of str chain -> list of str, each what follows "-A CHAIN "
#   plain:  bool, nothing but declarations and -A, as iptables-save writes it
Table = namedtuple("Table", "chains rules plain")

BEGIN = "# harden-mail: begin"
# Says that the line before had no line end, so that taking our part out gives back the same bytes.
BEGIN_AFTER_OPEN_LINE = BEGIN + " (and the end of the line before)"
END = "# harden-mail: end"

_COMMAND = re.compile(r"^(?:\[\d+:\d+\] ?)?(-\S+) +(\S+) *(.*)$")
_WORD = re.compile(r'"(?:\\.|[^"\\])*"|\S+')
_LONG_NAMES = {
    "--jump": "-j",
    "--goto": "-g",
    "--protocol": "-p",
    "--proto": "-p",
    "--in-interface": "-i",
    "--source": "-s",
    "--src": "-s",
    "--destination-port": "--dport",
    "--destination-ports": "--dports",
}


def parse(text):
    """Tables of a dump or file.

    :returns: dict of str table name -> :class:`Table`; of a table that stands there twice, the last
    """
    tables = {}
    table = None
    for line in text.split("\n"):
        if line.startswith("*"):
            name = line[1:].strip()
            table = tables[name] = Table({}, {}, True)
        elif line.startswith("COMMIT"):
            table = None
        elif table is not None and line.startswith(":"):
            words = line[1:].split()
            if words:
                table.chains[words[0]] = words[1] if len(words) > 1 else "-"
        elif table is not None and line.strip() and not line.startswith("#"):
            command = _COMMAND.match(line)
            if command and command.group(1) == "-A":
                table.rules.setdefault(command.group(2), []).append(command.group(3).rstrip())
            else:
                table = tables[name] = table._replace(plain=False)
    return tables


def options(rule):
    """Options of a rule.

    :param str rule: what follows "-A CHAIN "
    :returns: list of (bool negated, str name, tuple of str values), in their order, without ``-m``
    """
    found = []
    negated = False
    for word in _WORD.findall(rule):
        if word == "!":
            negated = True
        elif word.startswith("-") and len(word) > 1 and not word[1].isdigit():
            found.append((negated, _LONG_NAMES.get(word, word), []))
            negated = False
        elif found:
            # Until iptables 1.4.3 the exclamation mark stood behind the option.
            name = found[-1][1]
            found[-1] = (found[-1][0] or negated, name, found[-1][2] + [word])
            negated = False
    return [(no, name, tuple(values)) for no, name, values in found if name not in ("-m", "--match")]


def target(rule):
    """Name of the target or chain that a rule leads to, or None."""
    for _, name, values in options(rule):
        if name in ("-j", "-g") and values:
            return values[0]
    return None


def same_rule(one, other):
    """Whether two rules are the same; versions of iptables-save put options in different order."""
    return one == other or sorted(options(one)) == sorted(options(other))


def merge(text, part):
    """Text with our part in its filter table, ahead of every rule; all else stays byte for byte.

    :param str text: a file in the format of iptables-save
    :param Part part: what it must hold; what stands there of ours is replaced
    """
    lines = strip(text, part.chain).split("\n")
    section = _last_filter_section(lines)
    if section is None:
        # A section that declares no built-in chain leaves their policies as they are.
        block = ["*filter"] + _block(part, []) + ["COMMIT", END]
        if lines[-1]:
            return "\n".join(lines + [BEGIN_AFTER_OPEN_LINE] + block + [""])
        return "\n".join(lines[:-1] + [BEGIN] + block + [""])
    first, last = section
    body = lines[first:last]
    declared = [line[1:].split()[0] for line in body if re.match(r":\S", line)]
    rules = [number for number, line in enumerate(body) if _COMMAND.match(line)]
    at = rules[0] if rules else len(body)
    only_appends = all(_COMMAND.match(body[number]).group(1) == "-A" for number in rules)
    if only_appends and not any(line.startswith(":") for line in body[at:]):
        block = _block(part, declared)
    else:
        # A command like -I INPUT would go before ours: then ours come last, and go to the top.
        block, at = _block(part, declared, insert=True), len(body)
    body[at:at] = [BEGIN] + block + [END]
    return "\n".join(lines[:first] + body + lines[last:])


def strip(text, chain):
    """Text without anything of ours in its filter table; all else stays byte for byte.

    :param str text: a file in the format of iptables-save
    :param str chain: name of our chain
    """
    if chain not in text and BEGIN not in text and END not in text:
        return text
    kept = []
    in_filter = False
    for line in _without_blocks(text.split("\n"), chain):
        if line.startswith("*"):
            in_filter = line[1:].strip() == "filter"
        if not (in_filter and _is_ours(line, chain)):
            kept.append(line)
    return "\n".join(kept)


def _block(part, declared, insert=False):
    """Lines of our part: declarations, jumps, rules.

    :param list declared: names of chains that the file declares itself
    :param bool insert: put the jumps at the top of their chains, whatever stands in the file before
    """
    homes = sorted({home for home, _ in part.jumps if home != "INPUT" and home not in declared})
    lines = [":{0} - [0:0]".format(name) for name in [part.chain] + homes]
    if insert:
        lines += ["-I {0} 1 {1}".format(home, rule) for home, rule in reversed(part.jumps)]
    else:
        lines += ["-A {0} {1}".format(home, rule) for home, rule in part.jumps]
    return lines + ["-A {0} {1}".format(part.chain, rule) for rule in part.rules]


def _last_filter_section(lines):
    """Where the last filter section's body lies: (its first line, the line behind it), or None.

    Loading a file with two of them empties the table again at the second.
    """
    starts = [number for number, line in enumerate(lines) if line.startswith("*") and line[1:].strip() == "filter"]
    if not starts:
        return None
    first = last = starts[-1] + 1
    while last < len(lines) and not lines[last].startswith(("COMMIT", "*")):
        last += 1
    return first, last


def _is_ours(line, chain):
    """Whether a line of a filter table declares our chain, is in it, or leads into it."""
    if chain not in line:
        return False
    if line.startswith(":"):
        return line[1:].split()[:1] == [chain]
    command = _COMMAND.match(line)
    return bool(command) and chain in (command.group(2), target(command.group(3)))


def _without_blocks(lines, chain):
    """Lines without our marks, and without what we put between them."""
    kept = []
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        if line not in (BEGIN, BEGIN_AFTER_OPEN_LINE):
            if line != END:
                kept.append(line)
            continue
        if END not in lines[number:]:
            continue
        end = lines.index(END, number)
        inside = lines[number:end]
        # Somebody else's lines that got in between stay, with the section that they are in.
        if any(not _may_be_from_us(inner, chain) for inner in inside):
            kept += [inner for inner in inside if not inner.startswith(BEGIN)]
        elif line == BEGIN_AFTER_OPEN_LINE and lines[end + 1 :] == [""]:
            return kept
        number = end + 1
    return kept


def _may_be_from_us(line, chain):
    return line in ("*filter", "COMMIT") or line.endswith(" - [0:0]") or _is_ours(line, chain)
