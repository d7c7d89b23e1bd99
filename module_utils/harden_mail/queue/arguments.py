"""The options that both queue modules take; ``doc_fragments/mail_queue.py`` documents them."""

from ..paths import QUARANTINE

QUEUE_ARGUMENTS = {
    "mta": {"type": "str", "choices": ["auto", "postfix", "qmail"], "default": "auto"},
    "config_dir": {"type": "path"},
    "queue_dir": {"type": "path"},
    # Without suboptions: Ansible would make None of what is left out, and then an undefined value, which selects
    # nothing, could not be told from a selector that was not given. selection.py knows the names.
    "select": {"type": "dict", "default": {}},
    "all": {"type": "bool", "default": False},
    "limit_listed": {"type": "int", "default": 100},
    "quarantine_dir": {"type": "path", "default": QUARANTINE},
}
