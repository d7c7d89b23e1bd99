"""The directory of word lists for an audit on a managed host: brought as one archive, kept until others are brought.

``candidates/lists.py`` says what the files in it are. It is named after what is in it, so it need not be read to see
whether it is the right one. Lists that are on the host already are symbolic links in it.
"""

import contextlib
import hashlib
import os
import re
import shutil
import tarfile
import tempfile

from ..errors import UserError
from .notebook import DIRECTORY

LISTS = DIRECTORY + "/lists"

_NAME = re.compile(r"(?:(?:own|common|japanese|english)[0-9A-Za-z_-]*\.txt|CREDITS)\Z")
_ID = re.compile(r"[0-9a-f]{64}\Z")
_BLOCK = 1 << 20


class Wanted(Exception):
    """The lists are not on this host yet: they are to be brought."""


@contextlib.contextmanager
def lists_dir(system, params, is_check):
    """The directory of lists (str), for the time of a ``with`` block; None: there are none.

    :param dict params: ``lists_id`` (what names the lists; None: none), ``lists_archive`` (path on this host of what
        was brought; None: nothing), ``lists`` (of those that are on this host: dicts of host_path and sha256)
    :param bool is_check: keep nothing beyond the block
    :raises Wanted: they are neither here nor in an archive
    :raises UserError: a list is not here, or is not what it ought to be
    """
    name, archive = params["lists_id"], params["lists_archive"]
    if name is None:
        yield None
        return
    if not _ID.match(name):
        raise UserError("lists_id is '{0}': the action plugin sets it; leave it out.".format(name))
    kept = system.real("{0}/{1}".format(LISTS, name))
    if os.path.isdir(kept):
        yield kept
        return
    if archive is None:
        raise Wanted
    if is_check:
        with tempfile.TemporaryDirectory(prefix="harden-mail-") as directory:
            _fill(system, directory, archive, params["lists"])
            yield directory
        return
    for directory in (DIRECTORY, LISTS):
        system.make_private_dir(directory)
    parent = system.real(LISTS)
    fresh = os.path.join(parent, "new")
    shutil.rmtree(fresh, ignore_errors=True)
    os.mkdir(fresh, 0o700)
    _fill(system, fresh, archive, params["lists"])
    os.rename(fresh, kept)
    for other in os.listdir(parent):
        if other != name:
            shutil.rmtree(os.path.join(parent, other), ignore_errors=True)
    yield kept


def _fill(system, directory, archive, lists):
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                if not member.isfile() or not _NAME.match(member.name):
                    raise UserError("lists_archive has something in it that is no list.")
                with open(os.path.join(directory, member.name), "wb") as handle:
                    shutil.copyfileobj(tar.extractfile(member), handle, _BLOCK)
    except (tarfile.TarError, EOFError) as error:
        raise UserError(
            "The archive of word lists can't be read ({0}): run this once more.".format(type(error).__name__)
        ) from None
    for number, one in enumerate(lists or []):
        path = one["host_path"]
        if path is None:
            continue
        if not os.path.isfile(system.real(path)):
            raise UserError("lists names the host_path {0}, and there is no such file on this host.".format(path))
        check(system.real(path), one["sha256"], "The list {0} on this host".format(path))
        os.symlink(system.real(path), os.path.join(directory, "own-{0:03}.txt".format(number)))


def check(path, wanted, what):
    """See that a file is what it ought to be.

    :param str wanted: its SHA-256 in hexadecimal; None: anything
    :param str what: the file, for the message
    :raises UserError: it is another
    """
    if wanted is None:
        return
    found = sha256_of(path)
    if found != wanted.lower():
        raise UserError("{0} has the SHA-256 {1}, but sha256 says {2}.".format(what, found, wanted))


def sha256_of(path):
    summary = hashlib.sha256()
    with open(path, "rb") as handle:
        for block in iter(lambda: handle.read(_BLOCK), b""):
            summary.update(block)
    return summary.hexdigest()
