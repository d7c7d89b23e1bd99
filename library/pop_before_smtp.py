#!/usr/bin/python
# Copyright: harden-mail contributors
# GNU General Public License v3.0+ (see LICENSE)

DOCUMENTATION = r"""
module: pop_before_smtp
short_description: Have a recent POP or IMAP log-in count for sending mail
version_added: "0.1.0"
description:
  - Who has logged in by POP or IMAP may submit mail from the same address for some minutes, either I(in addition to)
    SMTP AUTH, which stops a bot that has guessed a password and only sends, or I(instead of) it.
  - In Postfix with Dovecot, a post-login script of Dovecot writes the address and its expiry into a small SQLite
    database, and the submission services of Postfix look it up there. That a log-in has expired is asked in the look-up
    itself; no service of ours is on the path, and one that has stopped lets nobody in.
  - A Postfix without sqlite tables asks a program that its spawn(8) starts, over a socketmap table. Where the program
    fails, nobody is let in by a log-in. Tables of other kinds are not used, for in them the expiry can't be asked.
  - Each minute, who is still connected is taken for just logged in (IMAP clients that stay connected for hours), and
    old rows are removed.
  - Only the services that people submit mail by are changed, in C(master.cf). Mail on port 25 is not affected,
    whatever becomes of the database.
  - Has Postfix and Dovecot check their new configuration before they read it. What fails is taken back.
extends_documentation_fragment: [cutoffs]
options:
  state:
    description:
      - V(present) has log-ins count.
      - V(absent) gives the host its former configuration back.
    type: str
    choices: [present, absent]
    default: present
  meaning:
    description:
      - V(both) asks for a log-in and SMTP AUTH. To an address without a log-in AUTH is not offered, and it is not taken
        from it either.
      - V(either) takes a log-in instead of SMTP AUTH. It adds relaying without a password, for old clients; such mail
        names no account.
      - Left out, V(both) where the mail server can do it. Where it can't, nothing is changed and the result has a
        finding.
    type: str
    choices: [both, either]
  minutes:
    description: How long a log-in counts. Each log-in begins it anew.
    type: int
    default: 20
  ipv6_prefix:
    description: With V(64), a log-in over IPv6 counts for the client's whole network, for clients change addresses.
    type: int
    choices: [128, 64]
    default: 128
  exempt:
    description:
      - Addresses and networks (IPv4 and IPv6) that need no log-in before they send, such as webmail hosts. For them
        everything is as before.
    type: list
    elements: str
    default: ["127.0.0.0/8", "::1/128"]
  backend:
    description:
      - The mail server. Left out, there is none that this knows of, and the control makes no sense here.
      - With V(postfix_courier) and V(qmail_courier), log-ins are taken from the log of Courier, or of any other POP
        server (see O(follower_units)), by a small unit.
      - With V(qmail_dovecot) and V(qmail_courier), a program is installed that belongs right before qmail-smtpd in
        tcpserver's chain. Run scripts of submission services that lack it are findings (see O(edit_run_scripts)).
      - V(plesk) is changed by Plesk's own command, and can do no O(meaning) but V(either).
    type: str
    choices: [postfix_dovecot, postfix_courier, qmail_dovecot, qmail_courier, plesk]
  config_dirs:
    description: Configuration directories of the Postfix instances.
    type: list
    elements: path
    default: []
  pop_config_dir:
    description: Configuration directory of Dovecot. Left out, C(/etc/dovecot).
    type: path
  follower_units:
    description:
      - Systemd units of the POP server, whose lines in the journal tell of log-ins. With neither these nor
        O(follower_files), Courier's.
    type: list
    elements: str
    default: []
  follower_files:
    description: Log files that tell of log-ins, for hosts without a journal. Users of the host can write into them.
    type: list
    elements: path
    default: []
  follower_patterns:
    description:
      - Regular expressions (Python's) of lines that tell of a log-in, each with a group named C(address), for POP
        servers that are not known here. See that no user's name can be taken for the address.
    type: list
    elements: str
    default: []
  edit_run_scripts:
    description: Whether to change run scripts of daemontools that call qmail-smtpd on a submission port.
    type: bool
    default: false
  qmail_user:
    description: Whom tcpserver runs qmail-smtpd as. With vpopmail it is often C(vpopmail).
    type: str
    default: qmaild
attributes:
  check_mode:
    description: Predicts exactly what a run changes, and changes nothing.
    support: full
  diff_mode:
    description: Shows the files.
    support: full
  platform:
    description:
      - Linux with systemd; Postfix 3.0 or later with sqlite or socketmap tables, or qmail under tcpserver; Dovecot 2.3
        or 2.4, Courier, or another POP server that writes a log. Or Plesk.
    support: full
    platforms: posix
author:
  - harden-mail contributors
"""

EXAMPLES = r"""
- name: A guessed password alone sends no mail
  pop_before_smtp:
    backend: postfix_dovecot
    config_dirs: [/etc/postfix]
    exempt:
      - 127.0.0.0/8
      - ::1
      - 203.0.113.10 # webmail

- name: Give the former configuration back
  pop_before_smtp:
    state: absent
    config_dirs: [/etc/postfix]
"""

RETURN = r"""
steps:
  description: Where something changes, in the order of the changes.
  returned: when something is compared with the host
  type: list
  elements: str
  sample: ["/var/lib/harden-mail-pop/seen.sqlite", "/etc/postfix/master.cf"]
cutoffs:
  description:
    - Who has sent mail lately without a log-in by POP or IMAP shortly before. As that of
      M(submission_firewall), with C(proven) (log-ins to send that followed one to read) and C(dual_stack) (those that
      followed one over the other of IPv4 and IPv6).
  returned: when the rule is new, also in a failure because of them
  type: list
  elements: dict
cutoffs_total:
  description: How many there are.
  returned: with RV(cutoffs)
  type: int
cutoff_groups:
  description:
    - Those of them that are not accepted, by account; by the user of the host who alone wrote of them; or, of ten
      accounts and more that no journal proves, by network. Each has C(accept) (what O(accepted_cutoffs) takes for all
      of them), C(accounts), C(addresses), C(logins), C(in_journal) and C(uid).
  returned: with RV(cutoffs)
  type: list
  elements: dict
cutoff_groups_total:
  description: How many groups there are.
  returned: with RV(cutoffs)
  type: int
forged:
  description:
    - Log-ins of which somebody else than the mail server wrote, the latest first. They count for nothing. Each has
      C(account), C(address), C(service), C(logins), C(first), C(last), and C(uid), the user of the host who wrote it;
      null when it stands in a log file alone, while the journal has the mail server's own lines of that time.
  returned: with RV(cutoffs)
  type: list
  elements: dict
forged_total:
  description: How many accounts and addresses that are.
  returned: with RV(cutoffs)
  type: int
covered_since:
  description: How far the logs reach back within O(lookback_days) (UTC); null when no log was found.
  returned: with RV(cutoffs)
  type: str
evidence:
  description: What the configuration says.
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
from ansible.module_utils.harden_mail.logs.guard import GUARD_ARGUMENTS
from ansible.module_utils.harden_mail.module_runner import run_module
from ansible.module_utils.harden_mail.pop.control import LOOPBACK, run
from ansible.module_utils.harden_mail.system import System

BACKENDS = ["postfix_dovecot", "postfix_courier", "qmail_dovecot", "qmail_courier", "plesk"]


def main():
    module = AnsibleModule(
        argument_spec=dict(
            GUARD_ARGUMENTS,
            state={"type": "str", "choices": ["present", "absent"], "default": "present"},
            meaning={"type": "str", "choices": ["both", "either"]},
            minutes={"type": "int", "default": 20},
            ipv6_prefix={"type": "int", "choices": [128, 64], "default": 128},
            exempt={"type": "list", "elements": "str", "default": list(LOOPBACK)},
            backend={"type": "str", "choices": BACKENDS},
            config_dirs={"type": "list", "elements": "path", "default": []},
            pop_config_dir={"type": "path"},
            follower_units={"type": "list", "elements": "str", "default": []},
            follower_files={"type": "list", "elements": "path", "default": []},
            follower_patterns={"type": "list", "elements": "str", "default": []},
            edit_run_scripts={"type": "bool", "default": False},
            qmail_user={"type": "str", "default": "qmaild"},
        ),
        # The host's log does not name accounts, nor who is guessed.
        no_log=True,
        supports_check_mode=True,
    )
    run_module(module, lambda params, check_mode: run(System(), params, check_mode))


if __name__ == "__main__":
    main()
