"""The one gate through which answers of managed hosts come in."""

import contextlib
import json
import re
import resource

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

from .answers import NotUnderstood, lines, understood
from .deadline import TimeIsUp, deadline

# So long may a host take over one call of a module, and so much may it answer.
LONGEST = 2 * 3600
LARGEST = 16 << 20
# An endless answer is gathered by the connection: this much memory more than the worker has, and it is ended.
MEMORY = 1 << 30

TOO_LONG = "The host's answer was not understood, so nothing of it counts: it is longer than {0} MiB.".format(
    LARGEST >> 20
)

# Names in these go to other modules as they are; ansible-core shows none of them before the answer is checked.
HANDED = ("ansible_facts", "guessed", "guessed_accounts", "kept_accounts")

# What steers a terminal; ansible-core prints what stands beside a module's JSON as a warning.
_STEERS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]|\r(?!\n)")


class CheckedAction(ActionBase):
    """What its modules answer is held to what they may say.

    A host that answers otherwise, or not in time, has failed, and the message says so.

    :ivar float seconds: how long one call may take
    """

    _supports_check_mode = True
    seconds = LONGEST
    _said = None

    def _execute_module(self, module_name=None, **keywords):
        name = module_name or self._task.action
        try:
            with deadline(self.seconds), memory(MEMORY):
                answer = super()._execute_module(module_name=module_name, **keywords)
        except TimeIsUp:
            raise AnsibleActionFail("The host did not answer within {0:,.0f} seconds.".format(self.seconds)) from None
        except MemoryError:
            raise AnsibleActionFail(TOO_LONG) from None
        except AnsibleConnectionFailure as error:
            # What the host wrote before it hung up is in it.
            raise type(error)(lines(str(error))) from None
        result = checked(name.rsplit(".", 1)[-1], answer, self._said)
        # Ansible's own, so that it need not look for Python again.
        if self._discovered_interpreter_key:
            facts = result.setdefault("ansible_facts", {})
            facts[self._discovered_interpreter_key] = self._discovered_interpreter
        return result

    def _update_module_args(self, module_name, module_args, *arguments, **keywords):
        super()._update_module_args(module_name, module_args, *arguments, **keywords)
        # What a module itself says of it (AnsibleModule's no_log) is overridden by this.
        module_args["_ansible_no_log"] = True

    def _parse_returned_data(self, res, *arguments, **keywords):
        output = res.get("stdout", "")
        if len(output) > LARGEST:
            raise AnsibleActionFail(TOO_LONG)
        output, self._said = quietened(output)
        quiet = {"stdout": output, "stderr": _STEERS.sub(_escape, res.get("stderr", ""))}
        return super()._parse_returned_data(dict(res, **quiet), *arguments, **keywords)


class ModuleAction(CheckedAction):
    """Calls the module of its own name, and does nothing else."""

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        result.update(self._execute_module(module_args=dict(self._task.args), task_vars=task_vars))
        self._remove_tmp_path(self._connection._shell.tmpdir)
        return result


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
        return understood(module, own)
    except NotUnderstood as error:
        return {"failed": True, "changed": False, "msg": str(error)}


def quietened(output):
    """What a module printed, with nothing that could steer, since ansible-core shows some before the answer is checked:
    what stands beside the JSON and, in ansible-core 2.21, warnings within it and fields of the wrong type.

    :returns: (the text, the answer in it or None)
    """
    output = _STEERS.sub(_escape, output)
    start = re.search(r"^\s*\{", output, re.MULTILINE)
    if not start:
        return output, None
    try:
        answer, end = json.JSONDecoder().raw_decode(output, start.end() - 1)
        answer = {name: one if name in HANDED else _harmless(one) for name, one in answer.items()}
    except (ValueError, RecursionError):
        # No answer, so nothing is lost by spoiling its escapes.
        return output.replace("\\", "\\\\"), None
    return output[: start.end() - 1] + json.dumps(answer) + output[end:], answer


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
