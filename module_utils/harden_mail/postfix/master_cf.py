"""master.cf(5): its services, and small changes to the options that stand behind them."""

import copy
import re
import socket
from typing import Any, Container, Dict, Iterable, List, NamedTuple, Optional, Sequence


class Service(NamedTuple):
    """An entry of master.cf.

    :ivar name: "smtp", "25", "203.0.113.5:25"
    :ivar kind: "inet", "pass", "unix"
    :ivar command: "smtpd"
    :ivar options: what -o says; the last of several wins, as in Postfix
    :ivar end: number of the line after the entry's last one
    """

    name: str
    kind: str
    command: str
    options: Dict[str, str]
    end: int


# Postfix 3.0 and later: a value with blanks stands in braces, "-o { name = value }".
_WORD = re.compile(r"\{(?:[^{}]|\{[^{}]*\})*\}|\S+")


def parse_services(text: str) -> List[Service]:
    """Services of a master.cf, in its order."""
    entries: List[List[Any]] = []  # of [text, end]
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        if not bare or bare.startswith("#"):
            continue
        if not line[0].isspace():
            entries.append(["", number])
        elif not entries:
            continue
        entries[-1][0] += " " + bare
        entries[-1][1] = number
    services = []
    for entry, end in entries:
        words = _WORD.findall(entry)
        if len(words) >= 8:
            services.append(Service(words[0], words[1], words[7], _options(words[8:]), end))
    return services


def _options(arguments: Iterable[str]) -> Dict[str, str]:
    options = {}
    words = iter(arguments)
    for word in words:
        if not word.startswith("-o"):
            continue
        setting = word[2:] or next(words, "")
        if setting.startswith("{"):
            setting = setting[1:-1]
        name, _equals, value = setting.partition("=")
        options[name.strip()] = value.strip()
    return options


def key_of(service: Service) -> str:
    """A service's name as ``postconf -P`` has it: ``smtp/inet``."""
    return "{0}/{1}".format(service.name, service.kind)


def host_of(service: Service) -> str:
    """The address that an inet service is bound to, "" for all that inet_interfaces names."""
    return service.name.rpartition(":")[0].strip("[]")


def port_of(service: Service) -> Optional[int]:
    """TCP port of an inet service, or None."""
    port = service.name.rpartition(":")[2]
    if port.isdigit():
        return int(port)
    try:
        return socket.getservbyname(port, "tcp")
    except OSError:
        return {"smtp": 25, "submission": 587, "submissions": 465, "smtps": 465}.get(port)


def with_option(text: str, keys: Container[str], option: str) -> str:
    """master.cf with ``-o OPTION`` as the last word on some services.

    :param keys: as :func:`key_of` gives them
    :param option: ``name=value``
    """
    lines = text.splitlines(True)
    for service in reversed(parse_services(text)):
        if key_of(service) in keys:
            if not lines[service.end - 1].endswith("\n"):
                lines[service.end - 1] += "\n"
            lines.insert(service.end, "  -o {0}\n".format(option))
    return "".join(lines)


def with_early_options(text: str, options: Iterable[Sequence[str]]) -> str:
    """master.cf with options of some services, each before what others have appended there.

    It goes right after the last option of the service that sets the same name, which it must be stronger than, or after
    its first line and the option that begins there. So modules that append (:func:`with_option`) find what they have
    written as they have written it, whoever of them comes first.

    :param options: of [key of the service as :func:`key_of` gives it, "name=value"], each name once for a service
    """
    for key, option in options:
        text = _with_early_option(text, key, option)
    return text


def _with_early_option(text: str, key: str, option: str) -> str:
    lines = text.splitlines(True)
    start = 0
    name = re.escape(option.lstrip("{").partition("=")[0].strip())
    # Flags of one letter may stand before the o; in braces, what follows the name may stand in the next line.
    sets_it = re.compile(r"(?:^|[\s{{]|-[A-Za-z]*o){0}\s*(?:=|\Z)".format(name))
    for service in parse_services(text):
        entry = [n for n in range(start, service.end) if lines[n].strip() and not lines[n].lstrip().startswith("#")]
        if key_of(service) == key:
            # What stands before the entry's own first line belongs to none.
            first = next(n for n in entry if not lines[n][0].isspace())
            place = first if len(_WORD.findall(lines[first])) >= 8 else entry[-1]
            place = max([place] + [n for n in entry if n > place and sets_it.search(lines[n])])
            # An option that goes on in the next line must not be torn.
            place = next(n for n in entry if n >= place and (n == entry[-1] or _is_whole(lines, entry, first, n)))
            if not lines[place].endswith("\n"):
                lines[place] += "\n"
            lines.insert(place + 1, "  -o {0}\n".format(option))
            break
        start = service.end
    return "".join(lines)


def _is_whole(lines: Sequence[str], entry: Iterable[int], first: int, last: int) -> bool:
    """Whether an entry's option ends with a line of it, rather than in a later one."""
    text = "".join(lines[n] for n in entry if first <= n <= last)
    return text.count("{") <= text.count("}") and not re.search(r"\s-[A-Za-z]*o\s*\Z", text)


def without_options(text: str, known: Optional[Dict[str, Any]]) -> str:
    """master.cf without the options that a module has put there, whatever others have changed since.

    :param known: what the module remembers: ``before`` and ``after`` (the file without and with its options),
        ``options`` ([[key, option]]), ``lines`` (services of its own, may be missing); None: nothing
    """
    if known is None:
        return text
    if text == known["after"]:
        return known["before"]
    for key, option in reversed(known["options"]):
        text = without_option(text, [key], option)
    ours = known.get("lines", [])
    text = "".join(line for line in text.splitlines(True) if line.rstrip("\n") not in ours)
    # The last line may have got its newline for an option to follow it.
    return known["before"] if text == known["before"] + "\n" else text


def either_memory(before: Dict[str, Dict[str, Any]], after: Dict[str, Dict[str, Any]]) -> Dict[str, Dict[str, Any]]:
    """What fits master.cf before a change and after it, and so also where the change was killed half way.

    :param before: {path of a master.cf: memory as for :func:`without_options`}
    :param after: the same; of all options that may be in the file the union is taken
    :returns: of the same form
    """
    merged = dict(copy.deepcopy(before), **copy.deepcopy(after))
    for path in set(before) & set(after):
        for name, values in before[path].items():
            if isinstance(values, list):
                merged[path][name] += [value for value in values if value not in merged[path][name]]
    return merged


def without_option(text: str, keys: Container[str], option: str) -> str:
    """master.cf without the last ``-o OPTION`` of some services, whoever has written it into which line."""
    lines = text.splitlines(True)
    start = 0
    wanted = re.compile(r"(.*)\s-o\s*{0}(?=\s|\Z)".format(re.escape(option)), re.DOTALL)
    for service in parse_services(text):
        for number in reversed(range(start, service.end) if key_of(service) in keys else ()):
            match = None if lines[number].lstrip().startswith("#") else wanted.match(lines[number])
            if match:
                rest = match.group(1) + lines[number][match.end() :]
                lines[number] = rest if rest.strip() else ""
                break
        start = service.end
    return "".join(lines)
