"""The one way from a module's arguments to a result: every error becomes a sentence, never a traceback."""

import os
from types import TracebackType
from typing import Any, Callable, Dict, cast

from .errors import NotApplicable, UserError


def run_module(module: Any, work: Callable[[Dict[str, Any], bool], Dict[str, Any]]) -> None:
    """Call ``work(module.params, module.check_mode)`` and leave through exit_json or fail_json.

    :param module: the AnsibleModule, as made by the file in ``library/``
    :param work: gives of parameters and check mode a result with at least ``changed``; ``warnings`` (list of
        sentences) are shown as Ansible's
    """
    try:
        result = work(module.params, module.check_mode)
    except NotApplicable as why:
        result = {"changed": False, "not_applicable": str(why)}
    except UserError as error:
        module.fail_json(msg=str(error), **_without_warnings(module, getattr(error, "result", {})))
    except OSError as error:
        where = " ({0})".format(error.filename) if error.filename else ""
        module.fail_json(msg="The host's file system said: {0}{1}.".format(error.strerror or error, where))
    except Exception as error:  # a defect of ours: said in one line, with the place, for a bug report
        module.fail_json(msg="harden-mail has a defect: {0}; please report it.".format(place_of(error)))
    module.exit_json(**_without_warnings(module, result))


def _without_warnings(module: Any, result: Dict[str, Any]) -> Dict[str, Any]:
    """The result without its ``warnings``, which Ansible takes one by one."""
    for sentence in result.get("warnings", []):
        module.warn(sentence)
    return {name: value for name, value in result.items() if name != "warnings"}


def place_of(error: BaseException) -> str:
    """What kind of exception it is and where it came from; without its text, which may quote anything."""
    trace = cast(TracebackType, error.__traceback__)
    while trace.tb_next:
        trace = trace.tb_next
    where = "{0}:{1}".format(os.path.basename(trace.tb_frame.f_code.co_filename), trace.tb_lineno)
    return "{0} at {1}".format(type(error).__name__, where)
