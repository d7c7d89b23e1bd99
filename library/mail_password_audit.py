#!/usr/bin/python
# Copyright: harden-mail contributors
# GNU General Public License v3.0+ (see LICENSE)

DOCUMENTATION = r"""
module: mail_password_audit
short_description: Find the passwords of mail accounts that can be guessed
version_added: "0.1.0"
description:
  - Reads where a mail host keeps its accounts, tries likely passwords against what is stored, and says which accounts
    have a password that was guessed. Reads only; the accounts and their passwords stay as they are.
  - Neither a password nor a hash nor a guess leaves the host or is written down. A result says by which class of rule
    a password was guessed and within how many guesses.
  - Likely guesses come first, and every account is brought to the same number of guesses before one gets more. So a
    small budget finds most. Accounts whose hashes are dearer to try than others have the same time, and so fewer
    guesses. A hash of which one guess would take more than 3 seconds of a processor, or more than an eighth of the
    host's memory (256 MiB at most), is not tried at all; that is a finding.
  - Remembers how far it came, so that the next run goes on from there, and accounts that are unchanged and fully tried
    cost nothing. Accounts are known by a keyed hash.
options:
  state:
    description:
      - V(present) audits.
      - V(absent) removes what is remembered, and the word lists.
    type: str
    choices: [present, absent]
    default: present
  stores:
    description:
      - Where accounts are kept, each a dict of C(store) (its name) and what that store wants to know; the facts
        C(mail_host.accounts) of M(mail_host_facts) are such a list.
      - No secret belongs in here; a store that needs one wants a C(credentials_file), which must be root's or the mail
        system's.
      - Rows that the mail server would not take an account from are ignored and reported, as a name in another domain
        than that of its file. What others than root can write is read within bounds; what is beyond them is a finding.
    type: list
    elements: dict
    default: []
  exclude:
    description: Accounts that are left out, each a name or a shell pattern such as C(*@example.net).
    type: list
    elements: str
    default: []
  budget_seconds:
    description:
      - How long reading and guessing may take, in all. With V(0), only what is known already is said. The stores are
        always read as a whole; if that takes all the time, nothing is tried, which is a finding.
    type: float
    default: 120
  budget_seconds_per_account:
    description:
      - Processor time for one account, over all audits with the same guesses. Left out, or with V(0), there is no
        limit.
    type: float
  budget_guesses_per_account:
    description:
      - Guesses at one account, over all audits with the same guesses. Left out, or with V(0), all that there are, which
        for salted hashes never end.
    type: int
  cores:
    description: So many processes share the work; V(0) is one for each processor. They give way to all others.
    type: int
    default: 0
  max_load:
    description:
      - Wait while the load average, without what the audit adds, is above this. V(0) does not wait; the processes give
        way to all others anyhow.
    type: float
    default: 0
  max_age_days:
    description:
      - A password that has been the same for more days than this is a finding. Where the store has no date of the last
        change, days count from the first audit that met it. Left out, age does not matter.
    type: int
  mask_accounts:
    description: Show account names as C(i***@example.com).
    type: bool
    default: false
  name_guessed:
    description: With O(mask_accounts), whether RV(guessed_accounts) and RV(guessed) have whole names all the same.
    type: bool
    default: true
  limit_listed:
    description: So many accounts are listed, and named in findings of each kind.
    type: int
    default: 20
  lists:
    description:
      - Word lists of one's own, one word a line, likeliest first. Each is a file on the controller (O(lists[].path)),
        is fetched by the controller (O(lists[].url); at most 1 GiB, in 10 minutes), or is on the managed host already
        (O(lists[].host_path)).
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: A file on the controller.
        type: path
      url:
        description: Where the controller fetches it from; needs O(lists[].sha256).
        type: str
      host_path:
        description: A file on the managed host, for lists that are too large to be brought.
        type: path
      sha256:
        description: What its SHA-256 must be, in hexadecimal.
        type: str
  wordlists_dir:
    description:
      - Directory on the controller with the usual lists. Left out, where C(tools/wordlists.py) of this project puts
        them.
    type: path
  hibp_file:
    description:
      - On the managed host, a file of Have I Been Pwned with the SHA-1 or NTLM hashes of leaked passwords, ordered by
        hash. Passwords that a store has in plain text are looked up in it.
    type: path
  lists_id:
    description: Set by the action plugin.
    type: str
  lists_archive:
    description: Set by the action plugin.
    type: path
  spent_seconds:
    description: Set by the action plugin, which has the module work in slices so as to show how far it is.
    type: float
    default: 0
attributes:
  check_mode:
    description:
      - Tries the first hundred guesses at accounts that have not had them, and says what is known of all others; writes
        nothing down. Word lists that are not on the host yet are brought for the time of the task, unless they are
        larger than 16 MiB.
    support: full
  diff_mode:
    description: Shows what V(absent) removes.
    support: full
  platform:
    description: Linux.
    support: full
    platforms: posix
author:
  - harden-mail contributors
"""

EXAMPLES = r"""
- name: Find passwords that can be guessed
  mail_password_audit:
    stores: "{{ ansible_facts.mail_host.accounts }}"
    budget_seconds: 900
  register: audit

- name: The same for accounts of one file, with a list of one's own
  mail_password_audit:
    stores:
      - store: dovecot-passwd-file
        path: /etc/dovecot/users
    lists:
      - path: lists/company.txt
    max_age_days: 730

- name: Forget everything
  mail_password_audit:
    state: absent
"""

RETURN = r"""
accounts:
  description:
    - Accounts, the worst first, O(limit_listed) at most. C(not_guessed_in) is the number of guesses that failed, and no
      claim that a password is strong. C(same_password_as) counts other accounts, where it is known (a store in plain
      text, or guessed).
  returned: with O(state=present)
  type: list
  elements: dict
  sample:
    - account: info@example.com
      store: dovecot-passwd-file
      scheme: SHA512-CRYPT
      guessed: {kind: account, within: 100}
      not_guessed_in: null
      plaintext_store: false
      weak_scheme: null
      empty: false
      unchanged_for_days: 812
      too_old: false
      same_password_as: 2
      not_tried_because: null
accounts_total:
  description: How many there are.
  returned: with O(state=present)
  type: int
guessed_accounts:
  description: Names of all accounts whose password was guessed or is empty.
  returned: with O(state=present)
  type: list
  elements: str
guessed:
  description:
    - The same for M(mail_password_notice), with a token that changes when the password does. Who is in two stores is
      in it once.
  returned: with O(state=present)
  type: list
  elements: dict
  sample:
    - {name: info@example.com, token: 5b0f3a61c2d4e987, kind: account}
kept_accounts:
  description:
    - Of the accounts that M(submission_block) keeps from sending for this audit, those of which it is not known whether
      they still ought to be; they are to stay blocked. An account is one of them for 60 days, when its password was
      guessed and the source that had it (a file, or a database) is gone or could not be read as a whole. When what is
      remembered got lost, all are, until everything was tried again, or for 60 days. Empty with O(name_guessed=false).
  returned: with O(state=present)
  type: list
  elements: str
knows_all:
  description:
    - Whether RV(guessed_accounts) has all whose password was ever guessed and is still the same. Not so when somebody
      who was guessed was met neither with that password nor with another one, and the source that had it is gone or
      could not be read as a whole (for 60 days); nor when what is remembered got lost and not everything was tried
      again.
  returned: with O(state=present)
  type: bool
summary:
  description: The same in numbers.
  returned: with O(state=present)
  type: dict
  sample: {accounts: 340, tried: 335, guessed: 12, empty: 1, within: {"100": 9, "1000": 3}, too_old: 0}
finished:
  description:
    - Whether nothing is left to be tried. If not, the next run goes on. Check mode tries the first hundred guesses
      only, and says what would be left of all.
  returned: with O(state=present)
  type: bool
progress:
  description:
    - How far it came. C(everyone), so many guesses everybody has had but C(behind) accounts; null when there are no
      more. Behind are those that could not be tried, that had O(budget_seconds_per_account), and, if they are not more
      than a quarter of all, those whose hashes are dearer to try. C(reading), seconds that it took to read the stores.
  returned: with O(state=present)
  type: dict
  sample: {accounts: 335, guessed: 12, everyone: 1000, behind: 1, seconds: 120.3, reading: 0.2}
lists_wanted:
  description: The word lists are to be brought; for the action plugin.
  returned: when that is so
  type: bool
evidence:
  description: What was audited, how far, and how passwords are stored.
  returned: success
  type: list
  elements: str
findings:
  description: What needs a person, each a sentence.
  returned: success
  type: list
  elements: str
not_applicable:
  description: Why the control makes no sense on this host.
  returned: when that is so
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.harden_mail.module_runner import run_module
from ansible.module_utils.harden_mail.passwords.audit import run
from ansible.module_utils.harden_mail.passwords.guessing.process_guard import protect
from ansible.module_utils.harden_mail.system import System

LIST_ARGUMENTS = {
    "path": {"type": "path"},
    "url": {"type": "str"},
    "host_path": {"type": "path"},
    "sha256": {"type": "str"},
}


def main():
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "stores": {"type": "list", "elements": "dict", "default": []},
            "exclude": {"type": "list", "elements": "str", "default": []},
            "budget_seconds": {"type": "float", "default": 120},
            "budget_seconds_per_account": {"type": "float"},
            "budget_guesses_per_account": {"type": "int"},
            "cores": {"type": "int", "default": 0},
            "max_load": {"type": "float", "default": 0},
            "max_age_days": {"type": "int"},
            "mask_accounts": {"type": "bool", "default": False},
            "name_guessed": {"type": "bool", "default": True},
            "limit_listed": {"type": "int", "default": 20},
            "lists": {"type": "list", "elements": "dict", "default": [], "options": LIST_ARGUMENTS},
            "wordlists_dir": {"type": "path"},
            "hibp_file": {"type": "path"},
            "lists_id": {"type": "str"},
            "lists_archive": {"type": "path"},
            "spent_seconds": {"type": "float", "default": 0},
        },
        # The host's log does not name accounts, nor who is guessed.
        no_log=True,
        supports_check_mode=True,
    )
    protect()
    run_module(module, lambda params, check_mode: run(System(), params, check_mode))


if __name__ == "__main__":
    main()
