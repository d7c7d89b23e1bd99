"""On the host: has a store read from an SQLite database while somebody else writes to it."""

import json
import os
import sqlite3
import subprocess
import sys

PATH = "/var/lib/mail-accounts/wal.sqlite"


def main():
    base = sqlite3.connect(PATH)
    base.execute("PRAGMA journal_mode=wal")
    base.execute("CREATE TABLE people (a, b)")
    base.execute("INSERT INTO people VALUES ('info@example.com', 'x1')")
    base.commit()
    base.execute("BEGIN IMMEDIATE")
    before = sorted(os.listdir(os.path.dirname(PATH)))
    store = {"store": "sql", "database": "sqlite", "path": PATH, "query": "SELECT a, b FROM people"}
    asked = json.dumps([{"store": store, "passwords": {}}]).encode()
    command = [sys.executable, "/tmp/code/host_stores.py"]
    said = subprocess.run(command, input=asked, stdout=subprocess.PIPE, check=True).stdout
    # The writer goes on, with the same files beside.
    base.execute("INSERT INTO people VALUES ('more@example.com', 'x2')")
    base.commit()
    assert before == sorted(os.listdir(os.path.dirname(PATH))), before
    print(said.decode())


if __name__ == "__main__":
    main()
