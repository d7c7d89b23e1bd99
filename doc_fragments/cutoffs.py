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
        (V(203.0.113.0/24)), or an account from one of these (V(bob@example.com from 203.0.113.5)).
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
    description: Whether to read the journal for what the files do not have.
    type: bool
    default: true
"""
