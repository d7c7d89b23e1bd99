"""A host made of a directory tree and a table of commands, for unit tests."""

import contextlib
import io
import os

import killing
from harden_mail.errors import CommandError
from harden_mail.system import Completed, System


class FakeSystem(System):
    """``System`` on a tree; commands answer from a table and are recorded.

    :param root: directory (a recorded tree, or tmp_path)
    :param dict commands: first words of a command line (str) -> its output (str), or Completed, or a function
        (argv, stdin) -> Completed or str; the longest key that the command line begins with wins
    """

    def __init__(self, root, commands=None):
        super().__init__(str(root))
        self.commands = dict(commands or {})
        self.calls = []

    def which(self, name):
        for key in self.commands:
            if key.split()[0] == name:
                return "/usr/sbin/" + name
        return super().which(name)

    def run(self, argv, stdin=None, check=True, timeout=60):
        line = " ".join([os.path.basename(argv[0])] + list(argv[1:]))
        self.calls.append((line, stdin))
        killing.about_to(line)
        matches = [key for key in self.commands if line == key or line.startswith(key + " ")]
        answer = self.commands[max(matches, key=len)] if matches else Completed(127, "", "no such program")
        if callable(answer):
            answer = answer(argv, stdin)
        if isinstance(answer, str):
            answer = Completed(0, answer, "")
        if check and answer.rc != 0:
            raise CommandError(argv, None if answer.rc == 127 else answer.rc, answer.err)
        return answer

    @contextlib.contextmanager
    def stream(self, argv, silence=None):
        yield io.BytesIO(self.run(argv).out.encode("utf-8", "surrogateescape"))
