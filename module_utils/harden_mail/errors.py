"""What a person is told when the work can't be done."""

from typing import Optional, Sequence


class UserError(Exception):
    """One clear sentence for a person: names the option, its value, and what would be right."""


class NotApplicable(UserError):
    """The host lacks what the work is about, and nobody said that it has it: to be told, but not a failure."""


class CommandError(UserError):
    """A host command failed.

    :ivar argv: the command
    :ivar rc: its exit status (None: not found or timed out)
    :ivar err: what it wrote to standard error
    """

    def __init__(self, argv: Sequence[str], rc: Optional[int], err: str) -> None:
        self.argv, self.rc, self.err = list(argv), rc, err
        how = "could not be run" if rc is None else "exited with {0}".format(rc)
        last_lines = " / ".join(line.strip() for line in err.strip().splitlines()[-3:])
        super().__init__("{0} {1}: {2}".format(" ".join(argv), how, last_lines or "no message"))
