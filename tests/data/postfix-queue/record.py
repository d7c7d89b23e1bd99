#!/usr/bin/env python3
"""Records queue files of real Postfix on test hosts, and what Postfix's own programs say of them; see README.md.

tests/hosts/lab.py run --sick --host deb11 --host deb12 --host deb13 -- tests/data/postfix-queue/record.py
"""

import base64
import io
import os
import shutil
import sys
import tarfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(os.path.dirname(HERE)))

from hosts.lab import Lab  # noqa: E402


def main():
    with open(os.path.join(HERE, "on_host.py"), "rb") as handle:
        program = handle.read()
    for host in Lab.current().hosts():
        host.run("exec python3 -", stdin=program, timeout=900)
        tar = base64.b64decode(host.run("base64 /root/recorded.tar"))
        with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
            version = archive.getnames()[0].split("/")[0]
            shutil.rmtree(os.path.join(HERE, version), ignore_errors=True)
            archive.extractall(HERE, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
        print("{0}: Postfix {1}".format(host.name, version))


if __name__ == "__main__":
    main()
