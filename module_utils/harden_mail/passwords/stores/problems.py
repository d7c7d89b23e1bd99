"""What a store could not read: sentences for people, with file and line, never with what is in it."""

from typing import Any, Dict, List, Optional, Sequence, Tuple

from ...text import printable

# Sentences at most; the rest is counted.
LIMIT = 20

# Line numbers that are named for one kind of bad line.
NUMBERS = 5


class Problems:
    """Collects problems in constant memory, however many there are.

    A million lines of one kind are one sentence with the first line numbers and the total.
    """

    def __init__(self) -> None:
        self._groups: Dict[Tuple[str, str], List[Any]] = {}  # (place, what) -> [how many, first line numbers]
        self._beyond = 0

    def add(self, place: str, what: str, line: Optional[int] = None) -> None:
        """Remember one.

        :param place: file, command or database
        :param what: of a line, a noun ("no colon"); else what follows "PLACE: " in a sentence
        :param line: number of the line, from 1
        """
        group = self._groups.get((place, what))
        if group is None:
            if len(self._groups) >= LIMIT:
                self._beyond += 1
                return
            group = self._groups[place, what] = [0, []]
        group[0] += 1
        if line is not None and len(group[1]) < NUMBERS:
            group[1].append(line)

    def sentences(self) -> List[str]:
        """At most ``LIMIT`` and one more that counts the rest."""
        told = [_sentence(place, what, *group) for (place, what), group in self._groups.items()]
        if self._beyond:
            told.append("{0:,} more problems are not listed.".format(self._beyond))
        return told


def _sentence(place: str, what: str, times: int, lines: Sequence[int]) -> str:
    where = printable(place)
    if not lines:
        return "{0}: {1}.".format(where, what)
    if times == 1:
        return "{0}: {1} in line {2}.".format(where, what, lines[0])
    numbers = ", ".join(str(line) for line in lines)
    return "{0}: {1} in {2:,} lines ({3}{4}).".format(
        where, what, times, numbers, " and so on" if times > len(lines) else ""
    )
