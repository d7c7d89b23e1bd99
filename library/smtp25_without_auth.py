#!/usr/bin/python
# Copyright: harden-mail contributors
# GNU General Public License v3.0+ (see LICENSE)

DOCUMENTATION = r"""
module: smtp25_without_auth
short_description: Offer no SMTP AUTH on port 25
version_added: "0.1.0"
description:
  - Port 25 is for other mail servers, who never log in. While it offers AUTH, a closed submission port keeps nobody
    out, because who has guessed a password sends through 25.
  - In Postfix, adds C(-o smtpd_sasl_auth_enable=no) to the services on port 25 in C(master.cf), and to nothing else.
    The submission services keep what C(main.cf) says. Where postscreen has port 25, the service behind it gets it.
  - Names the accounts that logged in there lately before it changes anything, has Postfix check its configuration,
    and afterwards asks port 25 itself, with and without TLS, whether AUTH is gone. What fails is taken back.
  - Inbound mail on port 25 is not affected.
extends_documentation_fragment: [cutoffs]
options:
  state:
    description:
      - V(present) takes AUTH off port 25.
      - V(absent) gives C(master.cf) its former content back; if somebody has changed it since, only the option goes.
    type: str
    choices: [present, absent]
    default: present
  remediate:
    description:
      - Whether to change Postfix. With V(false) the result has a finding when AUTH is offered, and nothing changes.
      - Its former name C(mend) is deprecated and goes in 1.0.0.
    type: bool
    default: true
    aliases: [mend]
  config_dirs:
    description:
      - Configuration directories of the Postfix instances, as RV(ignore:mail_host.mta.instances) of
        M(mail_host_facts) has them. An empty list means that there is no Postfix.
      - Left out, C(/etc/postfix) if it is there.
    type: list
    elements: path
attributes:
  check_mode:
    description: Predicts exactly what a run changes, and changes nothing.
    support: full
  diff_mode:
    description: Shows C(master.cf).
    support: full
  platform:
    description: Linux with Postfix 2.9 or later; qmail is looked at, but not changed.
    support: full
    platforms: posix
notes:
  - Postfix logs the account of a log-in only when a message is sent. Sessions that sent none are named by address.
author:
  - harden-mail contributors
"""

EXAMPLES = r"""
- name: Take AUTH off port 25
  smtp25_without_auth:

- name: Only say whether port 25 offers AUTH
  smtp25_without_auth:
    remediate: false

- name: Take AUTH off port 25, although a printer and whoever the guessers found still use it
  smtp25_without_auth:
    accepted_cutoffs:
      - printer@example.com from 198.51.100.7
      - 203.0.113.0/24

- name: Give the former configuration back
  smtp25_without_auth:
    state: absent
"""

RETURN = r"""
cutoffs:
  description:
    - Who logged in on port 25 lately, at most O(cutoffs_listed). Those that are not accepted come first, of them those
      that the journal proves, likely attackers last.
  returned: when AUTH is taken off, also in a failure because of them
  type: list
  elements: dict
  contains:
    account: {description: "The account, null where the log does not name it.", type: str}
    address: {description: Where it came from., type: str}
    logins: {description: How many sessions., type: int}
    first: {description: When first (UTC)., type: str}
    last: {description: When last (UTC)., type: str}
    failures: {description: Failed attempts of that address before., type: int}
    account_failures: {description: Failed attempts of that account before., type: int}
    likely_attacker: {description: Whether there were ten failures of that address or more., type: bool}
    accepted: {description: Whether O(accepted_cutoffs) covers it., type: bool}
    in_journal: {description: Whether the journal says that Postfix itself wrote of it., type: bool}
    uid: {description: The user of the host who alone wrote of it instead., type: int}
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
  description: What the configuration says and what port 25 answered.
  returned: success
  type: list
  elements: str
  sample:
    - "/etc/postfix/master.cf: smtp/inet has smtpd_sasl_auth_enable = no"
    - "EHLO to port 25 of 127.0.0.1: AUTH is not offered"
findings:
  description: What needs a person, each a sentence.
  returned: success
  type: list
  elements: str
not_applicable:
  description: Why there is nothing to take AUTH off on this host.
  returned: when that is so
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.harden_mail.logs.guard import GUARD_ARGUMENTS
from ansible.module_utils.harden_mail.module_runner import run_module
from ansible.module_utils.harden_mail.port25.control import run
from ansible.module_utils.harden_mail.system import System


def main():
    module = AnsibleModule(
        argument_spec=dict(
            GUARD_ARGUMENTS,
            state={"type": "str", "choices": ["present", "absent"], "default": "present"},
            remediate={"type": "bool", "default": True, "aliases": ["mend"]},
            config_dirs={"type": "list", "elements": "path"},
        ),
        # The host's log does not name accounts, nor who is guessed.
        no_log=True,
        supports_check_mode=True,
    )
    if "mend" in module.params:
        # In our own words: what ansible-core says of a deprecated alias names itself as what will drop it.
        module.warn("mend is called remediate now, and its old name goes in 1.0.0: write remediate.")
    run_module(module, lambda params, check_mode: run(System(), params, check_mode))


if __name__ == "__main__":
    main()
