"""What is in the files of a queue, for comparisons."""

import os


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
