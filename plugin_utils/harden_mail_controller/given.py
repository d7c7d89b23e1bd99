"""What a user gave, read without templating it: the text may be somebody else's, and a template is a program."""

import json
import re

import yaml
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


_OURS = re.compile("(?:queue|{0})_".format("|".join(_ROLES)))

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
    options = [str(option) for option in context.CLIARGS.get("extra_vars") or ()]
    sentence = next(filter(None, map(_more_than_one, options)), None)
    if sentence:
        return sentence
    values = load_extra_vars(loader)
    for name, value in sorted(values.items()):
        found = _template_in(value, name) if is_copied(str(name)) else None
        if found:
            return (
                "{0} is given by -e and holds {1}, which Ansible would run as a program on this machine: {2}. If "
                "somebody else wrote that text, write it into an inventory file as !unsafe '...'; a template of your "
                "own belongs there, too.".format(*found)
            )
    return next(filter(None, (_more_than_meant(option, values) for option in options)), None)


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
        name = word.partition("=")[0].strip()
        if name in _COPIED_RAW or is_copied(name):
            return (
                "-e gives {0}, and behind it in the same argument {1}: what is copied would set other variables. If "
                'that is part of the value, give it as JSON: -e \'{{"{0}": "..."}}\'; if not, give {0} last, or with '
                "a -e of its own.".format(clean(name), clean(words[number + 1], 100))
            )
    return None


def _more_than_meant(option, values):
    """The same of JSON or YAML: a quote in what is copied ends the text, and what is behind it is read as well.

    ``{"queue_select": {"subject": "x"}, "ansible_ssh_common_args": "-oProxyCommand=..."}``. Behind ``queue_select``
    nothing may stand; behind what else is copied, plain values of our own variables.

    :param dict values: of all extra variables
    """
    if not option.startswith("{"):
        return None
    twice = []

    def unique(pairs):
        found = {}
        for name, value in pairs:
            if name in found:
                twice.append(name)
            found[name] = value
        return found

    names = list(_read(option, unique))
    if twice:
        return (
            "-e gives {0} twice in the same argument, and the last would count: a quote in text that is copied ends "
            'it. Write \\" for each quote of the text.'.format(clean(twice[0], 100))
        )
    for number, name in enumerate(names):
        for other in names[number + 1 :]:
            is_plain = _OURS.match(other) and not _template_in(values.get(other), other)
            if name == "queue_select" or (is_copied(name) and not is_plain):
                return (
                    "-e gives {0}, and behind it in the same argument {1}: a quote in text that is copied ends it, and "
                    'the rest would set other variables. If that is part of the text, write \\" for each quote of it; '
                    "if not, give {0} last, or with a -e of its own.".format(clean(name), clean(other, 100))
                )
    return None


def _read(text, made_of):
    """The names (str) of what JSON or YAML gives; ``made_of`` gets the pairs of each dictionary in it."""
    try:
        return map(str, json.loads(text, object_pairs_hook=made_of))
    except (ValueError, RecursionError):
        pass
    try:
        # Not constructed: Ansible's own tags stand in it, too.
        return [name for name, _ in _pairs(yaml.compose(text, Loader=yaml.SafeLoader), made_of, set())]
    except (yaml.YAMLError, RecursionError):  # which Ansible says itself
        return []


def _pairs(node, made_of, seen):
    """(name, node) of a dictionary; none of anything else, or of what was seen: an alias may stand in itself."""
    if id(node) in seen:
        return []
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for one in node.value:
            _pairs(one, made_of, seen)
    if not isinstance(node, yaml.MappingNode):
        return []
    pairs = [(str(key.value), one) for key, one in node.value]
    made_of(pairs)
    for _, one in pairs:
        _pairs(one, made_of, seen)
    return pairs


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
