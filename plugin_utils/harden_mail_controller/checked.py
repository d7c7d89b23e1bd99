"""The one gate through which answers of managed hosts come in."""

import contextlib
import json
import re
import resource

from ansible.errors import AnsibleAction, AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase

from .answers import NotUnderstood, cleaned, understood
from .deadline import TimeIsUp, deadline
from .text import clean, lines, said

# So long may a host take over one call of a module, and so much may it answer.
LONGEST = 2 * 3600
# And over taking away Ansible's temporary directory, when all has been said.
LEAVING = 60
LARGEST = 16 << 20
# An endless answer is gathered by the connection: this much memory more than the worker has, and it is ended.
MEMORY = 1 << 30

TOO_LONG = "The host's answer was not understood, so nothing of it counts: it is longer than {0} MiB.".format(
    LARGEST >> 20
)

# As many messages do mail_queue and mail_queue_info list where nobody says how many: the default of limit_listed.
LIST_LIMIT = 100

# Names in these go to other modules as they are; ansible-core shows none of them before the answer is checked.
HANDED = ("ansible_facts", "guessed", "guessed_accounts", "kept_accounts")

# What steers a terminal; ansible-core prints what stands beside a module's JSON as a warning.
_STEERS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]|\r(?!\n)")


class BoundedAction(ActionBase):
    """Has the controller's own bounds, in time and memory, on all that it asks a host, and nothing raw comes of it.

    :ivar float seconds: how long one call may take
    """

    _supports_check_mode = True
    seconds = LONGEST
    _said = None
    _is_bounded = False

    @contextlib.contextmanager
    def bounded(self, seconds):
        """Have what asks the host in the ``with`` fail beyond the bounds; within another such ``with``, that one's."""
        if self._is_bounded:
            yield
            return
        self._is_bounded = True
        try:
            with quiet_errors(), deadline(seconds), memory(MEMORY):
                yield
        except TimeIsUp:
            raise AnsibleActionFail("The host did not answer within {0:,.0f} seconds.".format(seconds)) from None
        except MemoryError:
            raise AnsibleActionFail(TOO_LONG) from None
        finally:
            self._is_bounded = False

    def _execute_module(self, *arguments, **keywords):
        with self.bounded(self.seconds):
            return super()._execute_module(*arguments, **keywords)

    def _transfer_file(self, *arguments, **keywords):
        with self.bounded(self.seconds):
            return super()._transfer_file(*arguments, **keywords)

    def _remove_tmp_path(self, *arguments, **keywords):
        with self.bounded(LEAVING):
            return super()._remove_tmp_path(*arguments, **keywords)

    def _low_level_execute_command(self, *arguments, **keywords):
        with self.bounded(self.seconds):
            answer = super()._low_level_execute_command(*arguments, **keywords)
            if any(len(answer.get(name, "")) > LARGEST for name in ("stdout", "stderr")):
                raise AnsibleActionFail(TOO_LONG)
            quiet = {name: _STEERS.sub(_escape, answer.get(name, "")) for name in ("stdout", "stderr")}
            return dict(answer, stdout_lines=quiet["stdout"].splitlines(), **quiet)

    def _parse_returned_data(self, res, *arguments, **keywords):
        output, self._said = quietened(res.get("stdout", ""))
        return super()._parse_returned_data(dict(res, stdout=output), *arguments, **keywords)

    def with_interpreter(self, answer):
        """An answer with Ansible's own fact, so that it need not look for Python again."""
        if self._discovered_interpreter_key:
            facts = answer.setdefault("ansible_facts", {})
            facts[self._discovered_interpreter_key] = self._discovered_interpreter
        return answer


class CheckedAction(BoundedAction):
    """What its modules answer is held to what they may say.

    A host that answers otherwise, or not in time, has failed, and the message says so.
    """

    def _execute_module(self, module_name=None, **keywords):
        answer = super()._execute_module(module_name=module_name, **keywords)
        name = module_name or self._task.action
        answer = checked(name.rsplit(".", 1)[-1], answer, self._said)
        if "messages" in answer:
            del answer["messages"][_listed(keywords.get("module_args")) :]
        return self.with_interpreter(answer)

    def _update_module_args(self, module_name, module_args, *arguments, **keywords):
        super()._update_module_args(module_name, module_args, *arguments, **keywords)
        # What a module itself says of it (AnsibleModule's no_log) is overridden by this.
        module_args["_ansible_no_log"] = True


class CleanedAction(BoundedAction):
    """Beside an action plugin of ansible-core: what the host answers steers neither a terminal nor Ansible."""

    def _execute_module(self, *arguments, **keywords):
        return checked(None, super()._execute_module(*arguments, **keywords), self._said)

    def run(self, tmp=None, task_vars=None):
        with quiet_errors():
            answer = checked(None, super().run(tmp, task_vars))
        # Of a module of ansible-core, action plugins want them; of the task as a whole, they would be variables.
        answer.pop("ansible_facts", None)
        return self.with_interpreter(answer)


class ModuleAction(CheckedAction):
    """Calls the module of its own name, and does nothing else."""

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        result.update(self._execute_module(module_args=dict(self._task.args), task_vars=task_vars))
        self._remove_tmp_path(self._connection._shell.tmpdir)
        return result


@contextlib.contextmanager
def quiet_errors():
    """Have what ansible-core raises in the ``with`` be shown without steering: what the host said may be in it.

    What ansible-core does not expect of an answer becomes a sentence.
    """
    try:
        yield
    except AnsibleConnectionFailure as error:
        raise type(error)(said(str(error))) from None
    except AnsibleActionFail as error:
        raise AnsibleActionFail(said(str(error))) from None
    except AnsibleAction:
        # No error: the task is skipped, or done.
        raise
    except AnsibleError as error:
        raise AnsibleActionFail(said(str(error))) from None
    except MemoryError:
        raise
    except Exception as error:
        what = "ansible-core can't read it ({0}: {1})".format(type(error).__name__, clean(error, 200))
        raise AnsibleActionFail("The host's answer was not understood, so nothing of it counts: " + what) from None


@contextlib.contextmanager
def memory(most):
    """Have what is in the ``with`` end with a MemoryError when this process has so many bytes more than now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    try:
        with open("/proc/self/statm", encoding="ascii") as handle:
            limit = int(handle.read().split()[0]) * resource.getpagesize() + most
    except OSError:
        # No Linux: without a number of what there is, no limit can be set.
        limit = soft
    if limit != soft and (soft == resource.RLIM_INFINITY or limit < soft):
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def checked(module, answer, said=None):
    """An answer as :func:`answers.understood` makes it, or a failure that says why not.

    :param str module: name; None for one of ansible-core's, for which :func:`answers.cleaned` does
    :param dict answer: as ansible-core hands it on; warnings and errors may be objects of its own
    :param dict said: what the host said before ansible-core 2.21 made its own types of it
    """
    own = {name: value for name, value in answer.items() if name not in ("exception", "deprecations", "warnings")}
    own.update({name: said[name] for name in ("changed", "failed") if said and name in said})
    if answer.get("warnings"):
        given = answer["warnings"]
        own["warnings"] = [_text(one) for one in given] if isinstance(given, (list, tuple)) else given
    if "exception" in answer:
        own.setdefault("failed", True)
        own.setdefault("msg", _text(answer["exception"]))
    try:
        return understood(module, own) if module else cleaned(own)
    except NotUnderstood as error:
        return {"failed": True, "changed": False, "msg": str(error)}


def _listed(options):
    """How many messages a module was asked for; what is no number is for the module to refuse."""
    try:
        return max(0, int((options or {}).get("limit_listed", LIST_LIMIT)))
    except (TypeError, ValueError):
        return LIST_LIMIT


def quietened(output):
    """What a module printed, with nothing that could steer, since ansible-core shows some before the answer is checked:
    what stands beside the JSON and, in ansible-core 2.21, warnings within it and fields of the wrong type.

    :returns: (the text, the answer in it or None)
    """
    output = _STEERS.sub(_escape, output)
    # Each line is looked at once: with \s, an answer of line ends alone would take hours.
    start = re.search(r"^[^\S\n]*\{", output, re.MULTILINE)
    if not start:
        return output, None
    try:
        answer, end = json.JSONDecoder().raw_decode(output, start.end() - 1)
        answer = {name: one if name in HANDED else _harmless(one) for name, one in answer.items()}
    except (ValueError, RecursionError):
        # No answer, so nothing is lost by spoiling its escapes.
        return output.replace("\\", "\\\\"), None
    # A line alone, for ansible-core prints what is behind the answer as it is.
    behind = clean(output[end:])
    return output[: start.end() - 1] + json.dumps(answer) + (behind and "\n" + behind), answer


def _harmless(value):
    if isinstance(value, dict):
        return {lines(name): _harmless(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_harmless(one) for one in value]
    return lines(value) if isinstance(value, str) else value


def _text(value):
    """The sentence in an object by which ansible-core 2.19 and later hands on a warning or an error."""
    return getattr(getattr(value, "event", None), "msg", value)


def _escape(found):
    return "\\u{0:04x}".format(ord(found.group()))
