"""What each module of ours answers: its fields and their types.

A kind is a word (``answers.WORDS``), with ``?`` behind it where null will do; ``[kind]`` for a list; a dict of kinds
for a dict with these fields, ``?`` behind the name of one that may be missing. ``EACH`` among them says of what kind
all others are: ``data`` if it is not there, dropped if it is None.
"""

EACH = "*"

CUTOFFS = {
    "cutoffs?": ["data"],
    "cutoffs_total?": "count",
    "cutoff_groups?": ["data"],
    "cutoff_groups_total?": "count",
    "forged?": ["data"],
    "forged_total?": "count",
    "covered_since?": "text?",
}
TOPS = ("top_senders", "top_recipient_domains", "top_subjects", "top_origins", "top_clients")
COUNTED = [{"value": "text", "count": "count"}]
MESSAGES = [
    {
        "id": "text",
        "instance": "text?",
        "state": "text",
        "sender": "text?",
        "recipients": [{"address": "text", "done": "bool"}],
        "recipients_total": "count",
        "subject": "text?",
        "size": "count",
        "arrival": "time",
        "origin?": "data",
    }
]
MAIL_HOST = {
    "mta": {"name": "name?", "instances": [{"config_dir": "name"}]},
    "pop": {"name": "name?", "config_dir": "name?"},
    "firewall": {"backend": "name?"},
    "panel": {"name": "name?"},
    "accounts": [{"store": "name", EACH: "handed"}],
    "logs": {"files": ["name"], "journal": "bool"},
}

# What any answer may have.
COMMON = {
    "changed?": "bool",
    "findings?": ["text"],
    "evidence?": ["text"],
    "warnings?": ["text"],
    "not_applicable?": "text",
    "diff?": "diff",
    "invocation?": "data",
}
# Of a failure: what tells the person why.
FAILURE = {"msg?": "said", "rc?": "time", "module_stdout?": "said", "module_stderr?": "said"}

FIELDS = {
    "mail_host_facts": {"ansible_facts": {"mail_host": MAIL_HOST, EACH: None}},
    "mail_password_audit": {
        "accounts?": ["data"],
        "accounts_total?": "count",
        "guessed_accounts?": ["name"],
        "guessed?": [{"name": "name", "token": "name", "kind": "name"}],
        "kept_accounts?": ["name"],
        "knows_all?": "bool",
        "summary?": "data",
        "finished?": "bool",
        "progress?": {
            "accounts": "count",
            "guessed": "count",
            "everyone": "count?",
            "behind?": "count",
            "seconds": "count",
            "reading?": "count",
        },
        "lists_wanted?": "bool",
    },
    "mail_password_notice": {
        "told?": ["text"],
        "told_total?": "count",
        "notices?": "count",
        "notices_left?": "count",
    },
    "mail_queue": {
        "state": "moved to",
        "matched": "count",
        "moved": "count",
        "states": {EACH: "count"},
        "run": "run?",
        "resumed": "count",
        "messages": MESSAGES,
        "passed_over": [{"id": "text", "reason": "text"}],
        "passed_over_total": "count",
    },
    "mail_queue_info": {
        "mta": "text",
        "total": "count",
        "matched": "count",
        "states": {EACH: "count"},
        "bytes": "count",
        "oldest": "time?",
        "ages": {EACH: "count"},
        **dict.fromkeys(TOPS, COUNTED),
        "errors": dict.fromkeys(TOPS, "count"),
        "messages": MESSAGES,
        "unreadable": [{"path": "text", "reason": "text"}],
        "unreadable_total": "count",
        "quarantine": [
            {"run": "run", "created": "time?", "selection": "text?", "messages": "count?", "unfinished": "bool"}
        ],
    },
    "pop_before_smtp": dict(CUTOFFS, **{"steps?": ["text"]}),
    "queue_alert": {"drill?": [{"way": "text", "accepted": "bool", "reason": "text?"}]},
    "smtp25_without_auth": CUTOFFS,
    "submission_block": {
        "steps?": ["text"],
        "blocked?": ["text"],
        "blocked_total?": "count",
        "newly_blocked?": ["text"],
        "lifted?": ["text"],
        "sessions_ended?": "count",
        "senders?": ["data"],
        "senders_total?": "count",
        "covered_since?": "text?",
    },
    "submission_firewall": dict(
        CUTOFFS,
        **{
            "steps?": ["text"],
            "pending?": "bool",
            "sources?": "data",
            "controller?": {"address": "text?", "allowed": "bool?"},
            "listening?": ["port"],
            "probed?": "data",
        },
    ),
}

# An answer has one of these at least: one that says nothing must not pass for "in order".
SAYS = {"mail_host_facts": ("ansible_facts",), "mail_queue": ("moved",), "mail_queue_info": ("total",)}
SAYS_ELSE = ("findings", "not_applicable", "lists_wanted")
