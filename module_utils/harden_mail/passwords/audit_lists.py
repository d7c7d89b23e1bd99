"""The directory of word lists for an audit on a managed host: brought as one archive, kept until others are brought.

``candidates/lists.py`` says what the files in it are. It is named after what is in it, so it need not be read to see
whether it is the right one. Lists that are on the host already are symbolic links in it; a list that has changed after
its link was made is looked at again.
"""

import contextlib
import hashlib
import os
import re
import shutil
import tarfile
import tempfile

from ..errors import UserError
from ..paths import PASSWORDS_STATE

LISTS = PASSWORDS_STATE + "/lists"

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
    on_host = _on_host(system, params["lists"])
    kept = system.real("{0}/{1}".format(LISTS, name))
    if os.path.isdir(kept):
        for file, (path, sha256) in sorted(on_host.items()):
            _check_again(os.path.join(kept, file), path, sha256, is_check)
        yield kept
        return
    if archive is None:
        raise Wanted
    if is_check:
        with tempfile.TemporaryDirectory(prefix="harden-mail-") as directory:
            _fill(directory, archive, on_host)
            yield directory
        return
    for directory in (PASSWORDS_STATE, LISTS):
        system.make_private_dir(directory)
    parent = system.real(LISTS)
    fresh = os.path.join(parent, "new")
    shutil.rmtree(fresh, ignore_errors=True)
    os.mkdir(fresh, 0o700)
    _fill(fresh, archive, on_host)
    system.sync_directory(fresh)
    os.rename(fresh, kept)
    system.sync_directory(parent)
    for other in os.listdir(parent):
        if other != name:
            shutil.rmtree(os.path.join(parent, other), ignore_errors=True)
    yield kept


def _on_host(system, lists):
    """Lists that are on this host: {name in the directory: (path as this process reaches it, sha256 or None)}."""
    found = {}
    for number, one in enumerate(lists or []):
        path = one["host_path"]
        if path is None:
            continue
        if not path.startswith("/") or "\0" in path:
            raise UserError("lists names the host_path {0!r}: give a path that begins with a slash.".format(path))
        if not os.path.isfile(system.real(path)):
            raise UserError("lists names the host_path {0}, and there is no such file on this host.".format(path))
        found["own-{0:03}.txt".format(number)] = (system.real(path), one["sha256"])
    return found


def _fill(directory, archive, on_host):
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                if not member.isfile() or not _NAME.match(member.name):
                    raise UserError("lists_archive has something in it that is no list.")
                with open(os.path.join(directory, member.name), "wb") as handle:
                    shutil.copyfileobj(tar.extractfile(member), handle, _BLOCK)
                    # The directory is taken for whole as soon as it has its name, after a power cut as well.
                    handle.flush()
                    os.fsync(handle.fileno())
    except (tarfile.TarError, EOFError) as error:
        raise UserError(
            "The archive of word lists can't be read ({0}): run this once more.".format(type(error).__name__)
        ) from None
    for name, (path, sha256) in on_host.items():
        # First the link, whose time then is before that of any change that the check does not see.
        os.symlink(path, os.path.join(directory, name))
        _check_on_host(path, sha256)


def _check_again(link, path, sha256, is_check):
    """See that a list on this host is still what it ought to be, if it has changed after its link was made."""
    if sha256 is None:
        return  # whatever it is now is used, and a change of it is a change of the guesses (``lists.fingerprint``)
    if os.stat(path).st_ctime_ns < os.lstat(link).st_ctime_ns:
        return
    if is_check:
        _check_on_host(path, sha256)
        return
    fresh = os.path.join(os.path.dirname(link), "link")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(fresh)
    os.symlink(path, fresh)
    _check_on_host(path, sha256)
    os.rename(fresh, link)


def _check_on_host(path, sha256):
    check(path, sha256, "The list {0} on this host".format(path))


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
