"""What a user gave, read without templating it: the text may be somebody else's, and a template is a program."""

import re

from ansible import context
from ansible.errors import AnsibleParserError
from ansible.parsing.splitter import split_args
from ansible.utils.vars import load_extra_vars

from .copying import MARKS
from .text import clean

try:
    from ansible.template import is_trusted_as_template
except ImportError:  # ansible-core before 2.19
    from ansible.utils.unsafe_proxy import AnsibleUnsafe

    def is_trusted_as_template(value):
        return not isinstance(value, AnsibleUnsafe)


# Variables into which people copy what they read in our output: names, addresses, paths and patterns that come from
# logs, headers and databases.
_ROLES = ("mail_queue", "password_audit", "pop_before_smtp", "queue_alert", "submission_firewall")
_COPIED = re.compile(
    r"(?:{0})_(?:\w+_)?(?:accepted|accounts?|admins?|cutoffs|dirs?|exclude|exempt|files?|from|paths?|patterns?|ports"
    r"|sources|stores|to|units|user)(?:_|\Z)".format("|".join(_ROLES))
)


# Of playbooks/queue.yml, which reads them raw.
_COPIED_RAW = ("queue_confirm", "queue_run", "queue_select")


def is_copied(name):
    """Whether a variable's value is often copied from our output."""
    return _COPIED.match(name) is not None


def raw(task_vars, name, default=None):
    """A variable as it was given, of plain types; no template in it is evaluated, now or later.

    :param dict task_vars: as an action plugin gets them
    :returns: ``default`` also where the value is empty: None or ''
    """
    value = task_vars.get(name)
    return default if value is None or value == "" else plain(value)


def plain(value):
    """A value without what ansible-core notes on it, so that no text in it counts as a template."""
    if isinstance(value, dict):
        return {plain(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if value is None or isinstance(value, bool):
        return value
    for kind in (int, float):
        if isinstance(value, kind):
            return kind(value)
    # Joined, for str() of a str that is noted upon may be that very object.
    return "".join(list(str(value)))


def refusal(loader):
    """A sentence on the first extra variable in which what people copy from our output would be a program, or None.

    :param loader: Ansible's DataLoader
    """
    for option in context.CLIARGS.get("extra_vars") or ():
        sentence = _more_than_one(str(option))
        if sentence:
            return sentence
    for name, value in sorted(load_extra_vars(loader).items()):
        found = _template_in(value, name) if is_copied(str(name)) else None
        if found:
            return (
                "{0} is given by -e and holds {1}, which Ansible would run as a program on this machine: {2}. If "
                "somebody else wrote that text, write it into an inventory file as !unsafe '...'; a template of your "
                "own belongs there, too.".format(*found)
            )
    return None


def _more_than_one(option):
    """A sentence on a ``-e key=value`` whose value goes on as further variables, or None.

    ``queue_run=x ansible_ssh_common_args=-oProxyCommand=...``: Ansible parts it at blanks, and runs the rest.
    """
    if option.startswith(("@", "[", "{", "/", ".")):
        return None
    try:
        words = split_args(option)
    except AnsibleParserError:  # which Ansible says itself
        return None
    for number, word in enumerate(words[:-1]):
        name = word.partition("=")[0]
        if name in _COPIED_RAW or is_copied(name):
            return (
                "-e gives {0}, and behind it in the same argument {1}: what is copied would set other variables. If "
                'that is part of the value, give it as JSON: -e \'{{"{0}": "..."}}\'; if not, give {0} last, or with '
                "a -e of its own.".format(clean(name), clean(words[number + 1], 100))
            )
    return None


def _template_in(value, where):
    """(where, the mark, the text) of the first text that would be templated, or None."""
    if isinstance(value, dict):
        inner = [(key, where) for key in value] + [(one, "{0}.{1}".format(where, key)) for key, one in value.items()]
    elif isinstance(value, (list, tuple)):
        inner = [(one, "{0}[{1}]".format(where, number)) for number, one in enumerate(value)]
    elif isinstance(value, str) and is_trusted_as_template(value):
        mark = next((mark for mark in MARKS if mark in value), None)
        return mark and (clean(where), mark, clean(plain(value)))
    else:
        inner = []
    return next(filter(None, (_template_in(one, place) for one, place in inner)), None)
