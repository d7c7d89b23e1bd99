"""What Dovecot's configuration says of its password databases: ``doveconf -n`` of 2.3 and 2.4."""

import re
from typing import Any, Dict, List, Match, NamedTuple, Optional, Sequence, Tuple

from ..errors import CommandError
from ..system import System


class Block(NamedTuple):
    """What stands between braces: "mysql localhost {" has a kind and a name; blocks are those inside it."""

    kind: str
    name: str
    settings: Dict[str, str]
    blocks: List[Any]  # of Block


class Passdb(NamedTuple):
    """One password database.

    :ivar settings: as doveconf names them, without "passdb_"
    :ivar blocks: those inside it
    """

    driver: str
    path: Optional[str]
    settings: Dict[str, str]
    blocks: List[Block]


# A variable: 2.3's %d, %Ld, %1.2Hn; both releases' %{user}, 2.4's %{user | domain | lower}.
VARIABLE = re.compile(r"%(?:\{([^}]*)\}|[0-9.]*[A-Z]*([a-z%]))")


class Configuration:
    """``doveconf -n`` as blocks.

    :param text: its output, of 2.3 or 2.4
    """

    def __init__(self, text: str) -> None:
        self.settings, self.blocks = _parse(text.splitlines())

    def passdbs(self) -> List[Passdb]:
        """Without those that only deny, in Dovecot's order."""
        found = []
        for block in self.blocks:
            if block.kind != "passdb":
                continue
            settings = {_without_prefix(key): value for key, value in block.settings.items()}
            if settings.get("deny") == "yes":
                continue
            words = settings.get("args", "").split()
            # 2.3 writes options before the path: "scheme=CRYPT username_format=%u /etc/dovecot/users"
            path = settings.get("passwd_file_path") or (words[-1] if words else "")
            for word in words[:-1]:
                key, equals, value = word.partition("=")
                if equals:
                    settings.setdefault(key, value)
            driver = settings.get("driver") or block.name
            found.append(Passdb(driver, path if path.startswith("/") else None, settings, block.blocks))
        return found


def configuration(system: System, secrets: bool = False) -> Optional[Configuration]:
    """That of this host, or None where Dovecot does not tell it.

    :param secrets: with the passwords of databases, which are in it since 2.4
    """
    try:
        done = system.run(["doveconf", "-nP" if secrets else "-n"], check=False)
    except CommandError:
        return None
    return Configuration(done.out) if done.rc == 0 else None


def variable(match: Match) -> Optional[str]:
    """What a variable stands for: "user" (all of the name), "username" (the part before the @), "domain", or None.

    :param match: of ``VARIABLE``
    """
    long, short = match.groups()
    # Of a hash of the name, or of a part of it, nothing can be told.
    if short and re.search(r"[0-9A-KM-SV-Z]", match.group()):
        return None
    if short:
        return {"u": "user", "n": "username", "d": "domain"}.get(short)
    filters = [word.strip() for word in long.split("|")]
    # In 2.3 modifiers come first: %{L:user}.
    name = filters[0].split(":")[-1]
    for word in filters[1:]:
        if word in ("domain", "username"):
            name = word
        elif word not in ("lower", "upper"):
            return None
    if re.search(r"[0-9HMNRX]", filters[0].rpartition(":")[0]):
        return None
    return name if name in ("user", "username", "domain") else None


def _parse(lines: Sequence[str]) -> Tuple[Dict[str, str], List[Block]]:
    """Settings and blocks of configuration lines."""
    top = Block("", "", {}, [])
    stack = [top]
    for line in lines:
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if text == "}":
            # More brackets closed than opened: no configuration of Dovecot's, but no reason to stop.
            if len(stack) > 1:
                stack.pop()
        elif text.endswith("{"):
            kind, _blank, name = text[:-1].strip().partition(" ")
            block = Block(kind, unquoted(name.strip()), {}, [])
            stack[-1].blocks.append(block)
            stack.append(block)
        else:
            key, _equals, value = text.partition("=")
            stack[-1].settings[key.strip()] = unquoted(value.strip())
    return top.settings, top.blocks


def unquoted(value: str) -> str:
    """A value without the quotes that Dovecot writes, and reads, around one with special characters."""
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        return re.sub(r"\\(.)", r"\1", value[1:-1], flags=re.DOTALL)
    return value


def _without_prefix(key: str) -> str:
    """2.4 names a setting in full where it stands for all databases."""
    return key[len("passdb_") :] if key.startswith("passdb_") else key
