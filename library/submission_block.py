#!/usr/bin/python
# Copyright: harden-mail contributors
# GNU General Public License v3.0+ (see LICENSE)

DOCUMENTATION = r"""
module: submission_block
short_description: Keep accounts from sending by SMTP AUTH, while they can still read mail
version_added: "0.1.0"
description:
  - An account whose password is known to others sends spam until somebody notices. With this it can log in, and read
    its mail by POP and IMAP, but what it submits is refused (554) on every service of Postfix that takes AUTH.
  - Each O(reason) has its own list, and who is on any of them is refused. So an audit of passwords and an incident
    don't lift each other's blocks. When no list is left, the host has its former configuration back byte for byte.
  - Postfix looks the account up (C(check_sasl_access)) in a table that needs no C(postmap), before any other rule for
    recipients. That is said in C(master.cf) for the services that take AUTH, and for nothing else. Mail that comes in
    without AUTH is not looked up.
  - Names are compared as the servers make them, in small letters, and with or without the domain where Dovecot's
    C(auth_default_realm) or C(auth_username_format), or C(smtpd_sasl_local_domain), make that the same account. Under
    Cyrus SASL, a bare name is refused with any realm.
  - Names who of the newly blocked has sent mail lately. That is told, and stops nothing.
  - Has Postfix check its new configuration before it reads it. What fails is taken back.
  - Then ends SMTP sessions that were open before, since they would go on by what they have read. On the submission
    services these are all but those that the log shows to be of an account that is not blocked; mail programs connect
    anew. On port 25 they are those of which the log shows that a blocked account has them, or has sent from their
    address lately.
options:
  state:
    description:
      - V(present) makes the list of O(reason) hold exactly O(accounts) and O(addresses); with none, there is no such
        list.
      - V(absent) removes the list of O(reason), or, without O(reason), all lists.
    type: str
    choices: [present, absent]
    default: present
  reason:
    description:
      - Whose list this is, a word of small letters and underscores. Needed for V(present).
    type: str
  accounts:
    description: Accounts that may not send, by the name that they log in by. Upper and lower case are one.
    type: list
    elements: str
    default: []
  addresses:
    description:
      - Addresses and networks (IPv4 and IPv6) from which nobody may send on the submission services, whatever the
        account. On port 25 they are not refused, since other mail servers come by it.
    type: list
    elements: str
    default: []
  backend:
    description:
      - The mail server, as RV(ignore:mail_host.mta.name) of M(mail_host_facts) has it. Left out, there is none that
        this knows of. V(qmail), Plesk's too, has no such switch; then nothing changes, and a finding names the
        accounts.
    type: str
    choices: [postfix, qmail]
  config_dirs:
    description:
      - Configuration directories of the Postfix instances, as RV(ignore:mail_host.mta.instances) of
        M(mail_host_facts) has them.
      - Left out, those in which somebody is blocked already, or else C(/etc/postfix) if it is there.
    type: list
    elements: path
  lookback_days:
    description: How many days of logs are read for who of the newly blocked has sent.
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
  mask_accounts:
    description:
      - Whether names of accounts are shortened in what this says (C(i***@example.com)), results, evidence and findings.
      - C(--diff) shows the tables, and so the names, nevertheless. So does a failure that has to do with one name.
    type: bool
    default: false
attributes:
  check_mode:
    description: Predicts exactly what a run changes, and changes nothing. Open sessions are not looked at.
    support: full
  diff_mode:
    description: Shows the tables, with the names of all who are blocked, and C(master.cf).
    support: full
  platform:
    description: Linux with Postfix 2.11 or later.
    support: full
    platforms: posix
notes:
  - Only what is submitted by SMTP AUTH is refused. Not touched is mail that is in the queue already, mail of the host's
    own programs (C(sendmail), PHP), and mail that a client in C(mynetworks) sends without a password, such as a webmail
    on the host that does not use SMTP AUTH.
  - Where C(main.cf) has C(smtpd_sender_restrictions), the services that take AUTH get a copy of it. If it is changed,
    the next run brings the copy up to date. Where that list ends in C(reject) or C(defer), it stays as it is, and they
    get a copy of C(smtpd_data_restrictions) instead, which is kept up to date in the same way; then the refusal comes
    before the message rather than at a recipient.
  - The tables hold the names of accounts whose passwords are known, and only root can read them.
author:
  - harden-mail contributors
"""

EXAMPLES = r"""
- name: Keep accounts with guessed passwords from sending
  submission_block:
    reason: password_audit
    accounts: "{{ audit.guessed_accounts }}"
    backend: "{{ ansible_facts.mail_host.mta.name }}"
    config_dirs: "{{ ansible_facts.mail_host.mta.instances | map(attribute='config_dir') }}"

- name: Stop an account and a network at once
  submission_block:
    reason: incident
    accounts: [info@example.com]
    addresses: [203.0.113.0/24]
    backend: postfix

- name: Lift what the incident has blocked
  submission_block:
    state: absent
    reason: incident
    backend: postfix

- name: Let everybody send again, and give the former configuration back
  submission_block:
    state: absent
    backend: postfix
"""

RETURN = r"""
steps:
  description: Where something changes, in the order of the changes.
  returned: when something is compared with the host
  type: list
  elements: str
  sample: ["/etc/postfix/harden-mail-blocked-accounts", "/etc/postfix/master.cf", "running servers"]
blocked:
  description: Accounts and networks that may not send, for whatever reason, capped at 50.
  returned: when something is compared with the host
  type: list
  elements: str
blocked_total:
  description: How many there are.
  returned: with RV(blocked)
  type: int
newly_blocked:
  description: Those among them that could send before, capped at 50.
  returned: with RV(blocked)
  type: list
  elements: str
lifted:
  description: Those that may send again, capped at 50.
  returned: with RV(blocked)
  type: list
  elements: str
sessions_ended:
  description: Open SMTP sessions that were ended.
  returned: with RV(blocked)
  type: int
senders:
  description:
    - Newly blocked accounts that have sent mail lately, and from where, capped at 50. As C(cutoffs) of
      M(submission_firewall).
  returned: with RV(blocked)
  type: list
  elements: dict
  contains:
    account: {description: The account., type: str}
    address: {description: Where it came from., type: str}
    logins: {description: How many sessions., type: int}
    first: {description: When first (UTC)., type: str}
    last: {description: When last (UTC)., type: str}
    failures: {description: Failed attempts of that address before., type: int}
    account_failures: {description: Failed attempts of that account before., type: int}
    likely_attacker: {description: Whether there were ten failures of that address or more., type: bool}
    accepted: {description: Has no meaning here., type: bool}
    in_journal: {description: Whether the journal says that Postfix itself wrote of it., type: bool}
    uid: {description: The user of the host who alone wrote of it instead., type: int}
senders_total:
  description: How many there are.
  returned: with RV(blocked)
  type: int
covered_since:
  description: How far the logs reach back within O(lookback_days) (UTC); null when none was found or needed.
  returned: with RV(blocked)
  type: str
evidence:
  description: How many are blocked for which reason, what the configuration says, who has sent lately.
  returned: success
  type: list
  elements: str
findings:
  description: By what other way a blocked account still sends, and what needs a person, each a sentence.
  returned: success
  type: list
  elements: str
not_applicable:
  description: Why nobody can be blocked on this host.
  returned: when that is so
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.harden_mail.block.control import run
from ansible.module_utils.harden_mail.module_runner import run_module
from ansible.module_utils.harden_mail.system import System


def main():
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "reason": {"type": "str"},
            "accounts": {"type": "list", "elements": "str", "default": []},
            "addresses": {"type": "list", "elements": "str", "default": []},
            "backend": {"type": "str", "choices": ["postfix", "qmail"]},
            "config_dirs": {"type": "list", "elements": "path"},
            "lookback_days": {"type": "int", "default": 14},
            "log_files": {"type": "list", "elements": "path", "default": []},
            "log_journal": {"type": "bool", "default": True},
            "mask_accounts": {"type": "bool", "default": False},
        },
        # The host's log does not name accounts, nor who is guessed.
        no_log=True,
        supports_check_mode=True,
    )
    run_module(module, lambda params, check_mode: run(System(), params, check_mode))


if __name__ == "__main__":
    main()
