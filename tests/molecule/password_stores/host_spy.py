"""On the host: looks, while a store is read from a slow database, where the database's password can be seen.

/tmp/spied.json is host_stores.py's standard input; the password has "c4nary" in it.
"""

import glob
import json
import os
import subprocess
import sys
import time

SECRET = b"c4nary"
DIRECTORY = "/run/harden-mail/passwords"


def holds(path):
    try:
        with open(path, "rb") as handle:
            return SECRET in handle.read()
    except OSError:
        return False


def mode(path):
    return oct(os.stat(path).st_mode & 0o777)


def main():
    seen, files = [], {}
    with open("/tmp/spied.json", encoding="utf-8") as handle:
        process = subprocess.Popen([sys.executable, "/tmp/code/host_stores.py"], stdin=handle, stdout=subprocess.PIPE)
    while process.poll() is None:
        seen += [path for path in glob.glob("/proc/[0-9]*/cmdline") + glob.glob("/proc/[0-9]*/environ") if holds(path)]
        for path in glob.glob(DIRECTORY + "/*"):
            if holds(path):
                files[os.path.basename(path)] = mode(path)
        time.sleep(0.02)
    answer = json.loads(process.stdout.read().decode())
    said = {"seen": seen, "files": files, "directory": mode(DIRECTORY), "left": os.listdir(DIRECTORY), "answer": answer}
    print(json.dumps(said))


if __name__ == "__main__":
    main()
