"""The controller's part of mail_password_audit: brings the word lists, and shows how far a long audit is."""

import contextlib
import hashlib
import os
import re
import sys
import tarfile
import tempfile
import time

from ansible.errors import AnsibleActionFail
from ansible.module_utils.urls import open_url

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "plugin_utils"))
from harden_mail_controller.checked import LONGEST, CheckedAction
from harden_mail_controller.deadline import TimeIsUp, deadline
from harden_mail_controller.text import clean

PROJECT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WORDLISTS = os.path.join(PROJECT, ".cache", "wordlists")
FETCHED = os.path.join(PROJECT, ".cache", "password_lists")
STANDARD = re.compile(r"(?:(?:common|japanese|english)[0-9A-Za-z_-]*\.txt|CREDITS)\Z")
SHA256 = re.compile(r"[0-9a-fA-F]{64}\Z")

# Seconds that the module works before it says how far it is; and how many times longer than it reads.
SLICE = 60.0
SLICE_OF_READING = 10
# What the host may take besides, to read its stores and wait for others.
SLICE_ALLOWANCE = 900.0
# And how many times the budget, beside that, all slices together may take by the controller's own clock.
TIMES_BUDGET = 2
# In check mode, nothing larger is brought: it would be thrown away afterwards.
CHECK_MODE_BYTES = 16 << 20
BLOCK = 1 << 20
# Of a list that is fetched; a larger one is put on the host (host_path).
FETCHED_BYTES, FETCHED_SECONDS = 1 << 30, 600.0


class ActionModule(CheckedAction):
    """Calls the module until it has finished or the time is over; between, a line says how far it is."""

    _is_brought = False

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        if arguments.get("state", "present") == "present":
            warning, self._files = self._lists(arguments)
            if warning:
                result["warnings"] = [warning]
            result.update(self._audit(arguments, task_vars))
        else:
            result.update(self._execute_module(module_args=arguments, task_vars=task_vars))
        return result

    def _audit(self, arguments, task_vars):
        budget, spent, part = self._budget(arguments), 0.0, SLICE
        is_sliced = budget is not None and not self._task.check_mode
        began = time.monotonic()
        while True:
            # In check mode the notebook is not written, so a second slice would begin where the first one did.
            if is_sliced:
                arguments.update(budget_seconds=min(part, budget - spent), spent_seconds=spent)
                # Each slice may wait, but not all of them as long: there can be a thousand.
                left = TIMES_BUDGET * budget + SLICE_ALLOWANCE - (time.monotonic() - began)
                self.seconds = max(1.0, min(arguments["budget_seconds"] + SLICE_ALLOWANCE, left))
            answer = self._execute_module(module_args=arguments, task_vars=task_vars)
            if answer.get("lists_wanted"):
                self._bring(arguments)
                continue
            progress = answer.get("progress")
            if answer.get("failed") or not progress:
                return answer
            if answer.get("finished") or not is_sliced or progress["seconds"] >= budget - 1:
                return answer
            # A host whose clock stands still would be asked for ever.
            if progress["seconds"] < spent + arguments["budget_seconds"] / 2:
                return {
                    "failed": True,
                    "msg": "The host's answer was not understood, so nothing of it counts: it was asked to guess for "
                    "{0:.1f} seconds after {1:.1f}, and says that it has guessed for {2:.1f} in all and has not "
                    "finished.".format(arguments["budget_seconds"], spent, progress["seconds"]),
                }
            spent = progress["seconds"]
            # Each part of the work begins with reading the stores.
            part = max(SLICE, SLICE_OF_READING * progress.get("reading", 0))
            self._display.display(line((task_vars or {}).get("inventory_hostname", "host"), progress, budget))

    @staticmethod
    def _budget(arguments):
        """Seconds, or None when they are for the module to refuse."""
        try:
            budget = float(arguments.get("budget_seconds", 120))
        except (TypeError, ValueError):
            return None
        return budget if budget > 0 else None

    # --- lists --------------------------------------------------------------------------------------------

    def _lists(self, arguments):
        """Say in the arguments which lists are meant; (a warning or None, {name on the host: path here})."""
        directory = arguments.pop("wordlists_dir", None)
        if directory is not None and (not isinstance(directory, str) or "\0" in directory):
            raise AnsibleActionFail("wordlists_dir is {0!r}: give a path on the controller.".format(directory))
        directory = self._loader.path_dwim(directory) if directory else WORDLISTS
        files = standard(directory)
        warning = None
        if not any(name != "CREDITS" for name in files):
            warning = (
                "There are no word lists in {0} on the controller, so few passwords can be guessed: "
                "run tools/wordlists.py of harden-mail there.".format(directory)
            )
        own = arguments.get("lists") or []
        if not isinstance(own, (list, tuple)) or not all(isinstance(one, dict) for one in own):
            raise AnsibleActionFail(
                "lists is {0!r}: give a list of dicts of path, url or host_path.".format(without_secrets(own))
            )
        on_host = []
        for number, one in enumerate(own):
            path = self._own(number, one)
            on_host.append(one if path is None else {})
            if path is not None:
                files["own-{0:03}.txt".format(number)] = path
        arguments["lists"] = on_host
        arguments["lists_id"] = name_of(files, on_host) if files or on_host else None
        return warning, files

    def _own(self, number, one):
        """Path of a list here; None when it is on the managed host."""
        given = [key for key in ("path", "url", "host_path") if one.get(key)]
        where = "lists[{0}]".format(number)
        if len(given) != 1 or set(one) - {"path", "url", "host_path", "sha256"}:
            raise AnsibleActionFail(
                "{0} is {1!r}: give one of path, url and host_path, and sha256 with it if you like.".format(
                    where, without_secrets(one)
                )
            )
        source = one[given[0]]
        if not isinstance(source, str) or "\0" in source:
            raise AnsibleActionFail(
                "{0}.{1} is {2!r}: give a text without NUL bytes.".format(where, given[0], without_secrets(source))
            )
        wanted = one.get("sha256")
        # YAML makes a number of digits without quotes.
        wanted = None if wanted is None else str(wanted).lower()
        if wanted is not None and not SHA256.match(wanted):
            raise AnsibleActionFail(
                "{0}.sha256 is {1!r}: give the 64 hexadecimal digits that sha256sum prints.".format(where, wanted)
            )
        if given == ["host_path"]:
            if not source.startswith("/"):
                raise AnsibleActionFail(
                    "{0}.host_path is {1!r}: give a path that begins with a slash.".format(where, source)
                )
            return None
        if given == ["url"]:
            if wanted is None:
                raise AnsibleActionFail("{0} has a url, but no sha256: give what sha256sum prints.".format(where))
            return fetched(source, wanted, where)
        path = self._loader.path_dwim(source)
        if not os.path.isfile(path) and os.path.exists(path):
            raise AnsibleActionFail("{0}.path is {1}, which is no plain file on the controller.".format(where, path))
        try:
            found = sha256_of(path)
        except OSError as error:
            raise AnsibleActionFail(
                "{0}.path is {1}, which can't be read on the controller: {2}.".format(where, path, error.strerror)
            ) from None
        if wanted is not None and found != wanted:
            raise AnsibleActionFail("{0}: {1} has the SHA-256 {2}, not {3}.".format(where, path, found, wanted))
        return path

    def _bring(self, arguments):
        """Have the lists on the host, in Ansible's temporary directory, from where the module takes them."""
        if self._is_brought:
            raise AnsibleActionFail("The word lists were brought, but the module does not find them.")
        self._is_brought = True
        with self.bounded(LONGEST):
            self._transfer_lists(arguments)

    def _transfer_lists(self, arguments):
        if self._task.check_mode and sum(os.path.getsize(path) for path in self._files.values()) > CHECK_MODE_BYTES:
            arguments["lists_id"] = None
            return
        shell = self._connection._shell
        if shell.tmpdir is None:
            self._make_tmp_path()
        remote = shell.join_path(shell.tmpdir, "lists.tar.gz")
        with tempfile.NamedTemporaryFile(suffix=".tar.gz") as local:
            pack(self._files, local)
            local.flush()
            self._transfer_file(local.name, remote)
        self._fixup_perms2((shell.tmpdir, remote))
        arguments["lists_archive"] = remote


def standard(directory):
    """{name: path} of the usual lists in a directory."""
    try:
        names = sorted(os.listdir(directory))
    except OSError:
        return {}
    paths = {name: os.path.join(directory, name) for name in names if STANDARD.match(name)}
    return {name: path for name, path in paths.items() if os.path.isfile(path)}


def name_of(files, on_host):
    """What names some lists: 64 hexadecimal digits that change when one of them does."""
    summary = hashlib.sha256()
    for name, path in sorted(files.items()):
        summary.update("{0} {1}\n".format(name, sha256_of(path)).encode())
    for number, one in enumerate(on_host):
        if one:
            summary.update("{0} {1} {2}\n".format(number, one["host_path"], one.get("sha256")).encode())
    return summary.hexdigest()


def sha256_of(path):
    summary = hashlib.sha256()
    with open(path, "rb") as handle:
        for block in iter(lambda: handle.read(BLOCK), b""):
            summary.update(block)
    return summary.hexdigest()


def pack(files, target):
    """Write an archive that says nothing of this machine."""
    with tarfile.open(fileobj=target, mode="w:gz", compresslevel=6) as archive:
        for name, path in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mode = os.path.getsize(path), 0o600
            with open(path, "rb") as handle:
                archive.addfile(member, handle)


def _for_owner_alone(path, flags):
    return os.open(path, flags, 0o600)


def fetched(url, wanted, where):
    """Path of a list that was fetched, now or at another time."""
    path = os.path.join(FETCHED, wanted + ".txt")
    if os.path.exists(path):
        return path
    os.makedirs(FETCHED, exist_ok=True)
    # Not the list's own name before it is whole and known to be right; a failure leaves nothing.
    with tempfile.TemporaryDirectory(dir=FETCHED) as directory:
        fresh = os.path.join(directory, "list")
        try:
            with deadline(FETCHED_SECONDS), contextlib.closing(open_url(url, timeout=60)) as answer, open(
                fresh, "wb", opener=_for_owner_alone
            ) as handle:
                copy(answer, handle)
        except TimeIsUp:
            raise AnsibleActionFail(
                "{0}.url {1} can't be fetched: it takes longer than {2:.0f} seconds.".format(
                    where, shown(url), FETCHED_SECONDS
                )
            ) from None
        except TooLarge:
            raise AnsibleActionFail(
                "{0}.url {1} has more than {2:,} MiB, which is not taken: put such a list on the host, and give "
                "host_path.".format(where, shown(url), FETCHED_BYTES >> 20)
            ) from None
        except Exception as error:
            raise AnsibleActionFail(
                "{0}.url {1} can't be fetched: {2}.".format(where, shown(url), _reason(error, url))
            ) from None
        found = sha256_of(fresh)
        if found != wanted:
            raise AnsibleActionFail("{0}: {1} has the SHA-256 {2}, not {3}.".format(where, shown(url), found, wanted))
        os.rename(fresh, path)
    return path


class TooLarge(Exception):
    """More comes than may be taken."""


def copy(source, target):
    """Copy a file that may not end.

    :raises TooLarge: after FETCHED_BYTES
    """
    left = FETCHED_BYTES
    for block in iter(lambda: source.read(BLOCK), b""):
        left -= len(block)
        if left < 0:
            raise TooLarge
        target.write(block)


def shown(url):
    """An address without the name and password that may be in it, nor what is behind its question mark."""
    scheme, rest = re.match(r"([A-Za-z][A-Za-z0-9+.-]*://)?(.*)", url, re.DOTALL).groups()
    # Up to the last @, since a password may hold one, or a slash.
    host = rest.rpartition("@")[2]
    if "?" in rest:
        host = host.partition("?")[0] + "?..." if "?" in host else "..."
    return (scheme or "") + host


def without_secrets(value):
    """A value from a playbook as it may be shown: addresses in it as :func:`shown`."""
    if isinstance(value, str):
        return shown(value) if "://" in value else value
    if isinstance(value, dict):
        return {key: without_secrets(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_secrets(one) for one in value]
    return value


def _reason(error, url):
    """Why an address can't be fetched; the texts of some errors have parts of it."""
    if shown(url) == url:
        return clean(error)
    code = getattr(error, "code", None)
    return type(error).__name__ if code is None else "{0} {1}".format(type(error).__name__, code)


def line(host, progress, budget):
    """How far an audit is, for a person who waits."""
    everyone, number, behind = progress["everyone"], progress["accounts"], progress.get("behind", 0)
    some = "{0:,} of {1:,} accounts".format(number - behind, number) if behind else "all {0:,} accounts".format(number)
    if everyone is None:
        reached = "all guesses at {0}".format(some)
    elif everyone == 0:
        reached = "the first guesses at {0:,} accounts".format(number)
    else:
        reached = "{0}' first {1:,} guesses".format(some, everyone)
    return "{0}: {1}, {2:,} guessed so far, {3:,.0f} s of {4:,.0f} s".format(
        clean(host), reached, progress["guessed"], progress["seconds"], budget
    )
