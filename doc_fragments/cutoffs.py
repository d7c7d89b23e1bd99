"""What the documentation of modules has in common that say first whom a change would cut off."""


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  on_cutoff:
    description:
      - What to do when accounts have logged in lately in a way that would be refused.
      - V(fail) changes nothing, V(warn) goes ahead and says so, V(ignore) does not read the logs.
    type: str
    choices: [fail, warn, ignore]
    default: fail
  accepted_cutoffs:
    description:
      - Cut-offs that are meant to happen, each an account (V(bob@example.com)), an address (V(203.0.113.5)), a network
        (V(203.0.113.0/24)), an account from one of these (V(bob@example.com from 203.0.113.5)), or a user of the host
        (V(uid 33)), for log-ins of which nobody but that user has written into the journal.
    type: list
    elements: str
    default: []
  lookback_days:
    description: How many days of logs are read for that.
    type: int
    default: 14
  log_files:
    description: Mail logs; their rotated and compressed parts are found beside them. With none, the usual ones.
    type: list
    elements: path
    default: []
  log_journal:
    description:
      - Whether to read the journal. It says who wrote a line, which a file does not; where it has a mail server's own
        lines, those that others wrote as if they were that server are reported as forged and stop nothing.
    type: bool
    default: true
  cutoffs_listed:
    description: How many of those who would be cut off are listed, from 1 to 10000.
    type: int
    default: 50
"""
