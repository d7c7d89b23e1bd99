"""Home-made jobs of cron that count the queue, as one finds them everywhere: their alert waits in that queue.

A crontab is its user's, and so is what it names: all of that is read by safe steps, and so much of it.
"""

import re
import time

from ..untrusted import Limits, NotRead, lines_untrusted, matching, read_untrusted

COUNTS_A_QUEUE = re.compile(r"qmail-qstat|qmail-qread|cron-qstat|\bmailq\b|postqueue\s+-[pj]|qshape|mailqueuemng")
PLACES = (
    "/etc/crontab",
    "/etc/anacrontab",
    "/etc/cron.d/*",
    "/etc/cron.hourly/*",
    "/etc/cron.daily/*",
    "/etc/cron.weekly/*",
    "/var/spool/cron/*",
    "/var/spool/cron/crontabs/*",
)

# Of files of cron: how many of a place, how much of each; of a script: bytes. Of all: scripts, and seconds.
MOST_FILES = 1000
OF_CRON = Limits(256 << 10, 5000, 5)
OF_A_SCRIPT = 100000
MOST_SCRIPTS = 300
SECONDS = 20

# Of a line: scripts that are read, and words among which they are looked for.
_SCRIPTS, _WORDS = 5, 50


def home_made_jobs(system, own):
    """Jobs that count the queue, themselves or by a script that they call.

    The lines themselves may hold passwords.

    :param str own: path of the job of ours
    :returns: ([(file of cron, number of the line)], [what was not looked at, each a clause with its path])
    """
    search = _Search(system)
    for pattern in PLACES:
        for path in matching(system, pattern, search, MOST_FILES):
            if path != own and not system.is_dir(path):
                search.look_into(path)
    return search.found, search.left_out


class _Search:
    def __init__(self, system):
        self.found, self.left_out = [], []
        self._system, self._scripts = system, {}
        self._end = time.monotonic() + SECONDS

    def add(self, place, what, line=None):
        """What was not read; see ``untrusted.lines_untrusted``."""
        self.left_out.append("{0}{1} {2}".format(place, "" if line is None else ", line {0}:".format(line), what))

    def look_into(self, path):
        if time.monotonic() > self._end:
            self.add(path, "was not looked at for want of time")
            return
        for number, line in lines_untrusted(self._system, path, self, OF_CRON):
            if time.monotonic() > self._end:
                self.add(path, "was not looked at to its end for want of time")
                return
            if self._counts_a_queue(line):
                self.found.append((path, number))
                return

    def _counts_a_queue(self, line):
        code = _code(line)
        return bool(COUNTS_A_QUEUE.search(code)) or any(map(self._is_such_a_script, self._scripts_of(code)))

    def _scripts_of(self, code):
        words = [word.strip("\"'`;|&()<>") for word in code.split(None, _WORDS)[:_WORDS]]
        # What was made at home is in /usr/local, or is called by its whole name.
        local = [self._system.which(word) for word in words if re.match(r"[A-Za-z][A-Za-z0-9._-]*\Z", word)]
        scripts = [path for path in local if path and path.startswith("/usr/local/")]
        scripts += [word for word in words if re.match(r"/(?!dev/|bin/|usr/bin/)[^\x00]+\Z", word)]
        return scripts[:_SCRIPTS]

    def _is_such_a_script(self, path):
        if path not in self._scripts and len(self._scripts) < MOST_SCRIPTS:
            try:
                text = read_untrusted(self._system, path, OF_A_SCRIPT) or ""
            except NotRead:
                # A large one, a directory, a device: no script that somebody made at home.
                text = ""
            self._scripts[path] = bool(COUNTS_A_QUEUE.search(_code(text)))
        return self._scripts.get(path, False)


def _code(script):
    """A shell script without its comments."""
    return re.sub(r"(?m)(^|\s)#.*$", "", script)
