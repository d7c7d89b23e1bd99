"""What module ``mail_queue`` does: brings selected messages into a declared state.

Written once for all MTAs: selection, check mode, the manifest, resumption after a kill, the result. How a message is
moved is the queue's business (``backend.py``).
"""

import itertools
import json
import tempfile
import time
from collections import Counter

from ..errors import UserError
from ..paths import QUEUE_LOCK
from . import quarantine
from .backend import Handle, Unfinished
from .listing import Listed
from .queues import open_queue
from .selection import compile_selection

# Messages that could not be changed, as a result names them.
SKIPPED_NAMED = 50


def run(system, params, check_mode):
    """See ``library/mail_queue.py`` for what goes in and comes out."""
    queue = open_queue(system, params)
    state = params["state"]
    if state in ("held", "released") and not queue.can_hold:
        raise UserError(
            "state is {0}, but {1} can't hold mail; quarantined takes it out of the queue.".format(state, queue.name)
        )
    if params["run"] and state != "restored":
        raise UserError("run is {0}, but state is {1}: a run can only be restored.".format(params["run"], state))
    # A run alone means all that is in it.
    everything = params["all"] or bool(params["run"] and not params["select"])
    selection = compile_selection(params["select"], everything, queue.STATES, time.time())
    work = Work(system, queue, selection, params, check_mode)
    # Also to foresee something: a run that somebody works on just now has not been interrupted.
    with (system.wait_for_lock if check_mode else system.lock)(QUEUE_LOCK):
        work.finish_interrupted()
        return work.by_state[state]()


class Rows:
    """Rows that JSON can write, in a file, for there may be a million of them."""

    def __init__(self, handle):
        self._handle = handle

    def add(self, row):
        self._handle.write(json.dumps(row) + "\n")

    def __iter__(self):
        self._handle.seek(0)
        return map(json.loads, self._handle)


class Work:
    """One call of the module."""

    def __init__(self, system, queue, selection, params, check_mode):
        self.system, self.queue, self.selection = system, queue, selection
        self.params, self.check_mode = params, check_mode
        self.quarantine_dir = params["quarantine_dir"]
        self.listed = Listed(params["limit_listed"])
        self.skipped = []
        # Names of the runs that were interrupted before.
        self.resumed = set()
        # In check mode: runs that would be gone, and those that messages would be back in the queue from.
        self.gone, self.returning = set(), []
        self.states = Counter()
        self.by_state = {
            "quarantined": self._take_out,
            "deleted": self._take_out,
            "held": self._hold,
            "released": self._release,
            "restored": self._restore,
        }

    # --- what was interrupted -----------------------------------------------------------------------------

    def finish_interrupted(self):
        """Complete what a killed run left; in check mode, note what that would be."""
        for run in quarantine.runs(self.system, self.quarantine_dir):
            work, header = run.unfinished(), run.header()
            if work is None or (header and header["mta"] != self.queue.name):
                continue
            self.resumed.add(run.name)
            if self.check_mode:
                self._foresee(run, work, header)
            elif work == "remove":
                run.remove()
            elif work == "give back":
                self._give_back(run, begun=True)
            else:
                self._take(run, header["action"], begun=True)

    def _foresee(self, run, work, header):
        if work == "give back":
            keys = {(message["instance"], message["id"]) for message in run.marked()}
            self.returning.append((run, keys))
        elif work == "remove" or header["action"] == "delete":
            self.gone.add(run.name)

    def _would_be_back(self, run):
        """Ids (with instances) of the messages that an interrupted run would have given back."""
        return next((keys for other, keys in self.returning if other.name == run.name), ())

    # --- out of the queue ---------------------------------------------------------------------------------

    def _take_out(self):
        if self.check_mode:
            for message in self._selected():
                self._note(message)
            matched = sum(self.states.values())
            self._check_expected(matched)
            return self._foreseen(matched)
        action = "delete" if self.params["state"] == "deleted" else "quarantine"
        quarantine.check_room(self.system.real(self.quarantine_dir), 0)
        header = {"mta": self.queue.name, "action": action, "selection": self.selection.text}
        run = quarantine.Run.begin(self.system, self.quarantine_dir, header)
        try:
            matched = self._enter_selected(run)
            self._check_expected(matched)
        except BaseException:
            # Nothing has been taken yet.
            run.remove()
            raise
        if not matched:
            run.remove()
            return self._result(0, 0)
        outcome = self._take(run, action, begun=False)
        kept = run.name if action == "quarantine" and outcome.moved else None
        return self._result(matched, outcome.moved, run=kept)

    def _enter_selected(self, run):
        """Write the manifest of a run; returns how many messages are in it."""
        size = 0
        for message in self._selected():
            parts = self.queue.parts(message)
            if parts:
                self._note(message)
                size += sum(info.st_size for _, info in parts)
                run.enter(message, parts)
        run.seal()
        quarantine.check_room(run.directory, self.queue.room_needed(run, size))
        return sum(self.states.values())

    def _take(self, run, action, begun):
        try:
            outcome = self.queue.take(run, run.entries(), begun=begun)
        except Unfinished:
            raise
        except UserError:
            if not begun:
                run.remove()
            raise
        self.skipped += outcome.skipped
        if action == "delete" or self._is_empty(run):
            run.remove()
        else:
            run.finish()
        return outcome

    # --- back into the queue ------------------------------------------------------------------------------

    def _restore(self):
        wanted = self.params["run"]
        if wanted in self.resumed:
            # Nothing of it need be left.
            found = [run for run in quarantine.runs(self.system, self.quarantine_dir) if run.name == wanted]
        elif wanted:
            found = [quarantine.find_run(self.system, self.quarantine_dir, wanted)]
            mta = found[0].header()["mta"]
            if mta != self.queue.name:
                raise UserError(
                    "run is {0}, which came out of {1}'s queue, but this is {2}'s; give {1} as mta.".format(
                        wanted, mta, self.queue.name
                    )
                )
        else:
            found = quarantine.runs(self.system, self.quarantine_dir)
        moved = 0
        with _scratch_file() as handle:
            rows = Rows(handle)
            counts = [(run, self._choose(run, rows)) for run in found]
            matched = sum(count for _, count in counts)
            self._check_expected(matched)
            if self.check_mode:
                return self._foreseen(matched)
            chosen = iter(rows)
            for run, count in counts:
                if count:
                    run.mark("give back", itertools.islice(chosen, count))
                    moved += self._give_back(run, begun=False)
        return self._result(matched, moved)

    def _choose(self, run, rows):
        """Add the selected messages of a run to rows; returns how many they are."""
        header = run.header()
        if header is None or header["mta"] != self.queue.name or run.name in self.gone:
            return 0
        count, back = 0, self._would_be_back(run)
        for message in self.queue.quarantined(run):
            if (message.instance, message.id) not in back and self.selection(message):
                self._note(message)
                rows.add({"instance": message.instance, "id": message.id})
                count += 1
        return count

    def _give_back(self, run, begun):
        try:
            outcome = self.queue.give_back(run, run.marked())
        except Unfinished:
            raise
        except UserError:
            # Of one that was begun before, messages may be half way, where only its completion looks for them.
            if not begun:
                run.finish()
            raise
        self.skipped += outcome.skipped
        if self._is_empty(run):
            run.remove()
        else:
            run.finish()
        return outcome.moved

    def _is_empty(self, run):
        """Whether nothing is lost with a run; messages may be in the directory that it has beside the queue."""
        return not run.has_messages() and not self.queue.count_quarantined(run)

    # --- inside the queue ---------------------------------------------------------------------------------

    def _hold(self):
        return self._inside(lambda message: "hold" not in message.states, self.queue.hold)

    def _release(self):
        return self._inside(lambda message: "hold" in message.states, self.queue.release)

    def _inside(self, to_change, change):
        if self.params["expect"] is not None:
            self._check_expected(sum(1 for _ in filter(to_change, self._selected())))
        matched = moved = 0
        # Read to its end before it is changed, for a queue that is changed meanwhile may show a message twice.
        with _scratch_file() as handle:
            wanted = Rows(handle)
            for message in self._selected():
                matched += 1
                if to_change(message):
                    self._note(message)
                    wanted.add((message.id, message.instance, message.states, message.identity[0]))
            if self.check_mode:
                return self._foreseen(matched)
            for batch in quarantine.in_batches(itertools.starmap(_handle, wanted), 5000):
                outcome = change(batch)
                moved += outcome.moved
                self.skipped += outcome.skipped
        return self._result(matched, moved)

    # --- shared -------------------------------------------------------------------------------------------

    def _selected(self):
        yield from self.queue.messages(self.selection)
        for run, keys in self.returning:
            for message in self.queue.quarantined(run):
                if (message.instance, message.id) in keys and self.selection(message):
                    yield message

    def _note(self, message):
        self.states["+".join(message.states)] += 1
        self.listed.add(message)
        why = self.queue.stuck(message) if self.check_mode else None
        if why:
            self.skipped.append((message.id, why))

    def _check_expected(self, matched):
        expected = self.params["expect"]
        if expected is not None and expected != matched:
            raise UserError(
                "expect is {0}, but {1} messages match; nothing {2}was changed. Look at them again, and give the "
                "number that you mean.".format(expected, matched, "else " if self.resumed else "")
            )

    def _foreseen(self, matched):
        return self._result(matched, sum(self.states.values()) - len(self.skipped))

    def _result(self, matched, moved, run=None):
        state = self.params["state"]
        counts = "".join("{0}: {1}\n".format(name, self.states[name]) for name in sorted(self.states))
        result = {
            "changed": bool(moved or self.resumed),
            "state": state,
            "matched": matched,
            "moved": moved,
            "states": dict(self.states),
            "run": run,
            "resumed": len(self.resumed),
            "evidence": list(self.queue.evidence),
            "messages": self.listed.result(),
            # Not "skipped", which would make Ansible take the task for one that did not run.
            "passed_over": [{"id": name, "reason": why} for name, why in self.skipped[:SKIPPED_NAMED]],
            "passed_over_total": len(self.skipped),
            "diff": {
                "before": counts if moved else "",
                "after": "{0}: {1}\n".format(state, moved) if moved else "",
            },
        }
        if self.skipped:
            # With a run that was completed first, some are not of those that match now.
            how_many = "{0} of {1} messages" if not self.resumed else "Messages, also of interrupted runs ({0}),"
            result["warnings"] = [
                "{0} {1} left as they were ({2}); run this again for them.".format(
                    how_many.format(len(self.skipped), matched),
                    "would be" if self.check_mode else "were",
                    self.skipped[0][1],
                )
            ]
        return result


def _scratch_file():
    return tempfile.TemporaryFile("w+", encoding="ascii")


def _handle(message_id, instance, states, inode):
    return Handle(message_id, instance, tuple(states), inode)
