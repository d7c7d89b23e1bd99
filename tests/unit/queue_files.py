"""What is in the files of a queue, and what is read of them, for comparisons."""

import os

from harden_mail.queue.listing import Found


def files_of(top):
    """{path: (content, mode, owner, group, mtime)}"""
    found = {}
    for directory, _, names in os.walk(top):
        for name in names:
            path = os.path.join(directory, name)
            about = os.lstat(path)
            with open(path, "rb") as handle:
                found[os.path.relpath(path, top)] = (
                    handle.read(),
                    about.st_mode,
                    about.st_uid,
                    about.st_gid,
                    about.st_mtime_ns,
                )
    return found


def gathered_as_yielded(queue, wanted):
    """What a queue gathers (``Found.result``), which is what it yields."""
    expected, found = Found(5, 1800000000), Found(5, 1800000000)
    for message in queue.messages(wanted):
        expected.add(message)
    met = queue.met
    queue.gather(wanted, found)
    assert found.result() == expected.result()
    assert queue.met == met
    return found.result()
