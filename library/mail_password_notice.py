#!/usr/bin/python
# Copyright: harden-mail contributors
# GNU General Public License v3.0+ (see LICENSE)

DOCUMENTATION = r"""
module: mail_password_notice
short_description: Tell the owners of mail accounts, or their admins, that a password is easily guessed
version_added: "0.1.0"
description:
  - Sends a mail in English or Japanese that says of which account the password is easily guessed, in general words why,
    and what to do. Neither the password nor the number of guesses is in it.
  - The mail is handed to the host's own C(sendmail). An owner gets one mail for each account, to the account itself;
    an admin one for all accounts that are new.
  - Whom it has told is remembered on the host (C(/var/lib/harden-mail/password_audit/notices.json), 0600), not by name
    but by a digest. Nobody is told again of an account before O(repeat_days) are over, whatever its password is then.
  - An owner is told only where this host itself delivers mail for the account's domain, by Postfix's
    C(mydestination), C(virtual_mailbox_domains) and C(virtual_alias_domains) or qmail's C(control/locals) and
    C(control/virtualdomains), since whoever can write accounts can name them after addresses elsewhere. All others are
    a finding.
  - When it is stopped between a mail and its remembering, the mail is sent once more, with the same C(Message-ID).
options:
  state:
    description: V(present) tells them. V(absent) forgets whom it has told.
    type: str
    choices: [present, absent]
    default: present
  accounts:
    description: The accounts whose passwords are easily guessed.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The account's name.
        type: str
        required: true
      token:
        description:
          - Any text that changes when the account's password does, as M(mail_password_audit) gives it. Nothing follows
            from it.
        type: str
        default: ""
      kind:
        description: Which kind of rule has guessed it, as M(mail_password_audit) names them. Left out, it is not said.
        type: str
  to:
    description: Whether the account itself is written to, or who is named in O(admins) for its domain.
    type: str
    choices: [owner, admin]
    default: owner
  admins:
    description: Who is told of the accounts of a domain, C(domain) to C(address).
    type: dict
    default: {}
  default_admin:
    description: Who is told of all others. Left out, nobody, and they are a finding.
    type: str
  from:
    description: Sender of the mail, who gets what can't be delivered. Left out, C(root) on this host.
    type: str
  host:
    description: The name of this host in the mail. Left out, the one that it has.
    type: str
  language:
    description: Language of the mail.
    type: str
    choices: [en, ja]
    default: en
  charset:
    description: How the mail is encoded. V(iso-2022-jp) is for old Japanese mail programs.
    type: str
    choices: [utf-8, iso-2022-jp]
    default: utf-8
  url:
    description: Where a password is changed, such as the panel or the webmail. Left out, none is said.
    type: str
  blocked:
    description: Whether to say that the account can't send until its password is changed.
    type: bool
    default: false
  repeat_days:
    description: After how many days the same is told again.
    type: int
    default: 30
  max_notices:
    description: How many mails are sent in one run at most. The rest is a finding, and the next run's.
    type: int
    default: 200
  max_per_domain:
    description: With O(to=owner), how many mails are sent to one domain in one run at most; the rest as O(max_notices).
    type: int
    default: 50
  backend:
    description: The mail server, which knows whose mail it delivers. Left out, Postfix where it is there, else qmail.
    type: str
  sendmail:
    description: The host's sendmail program.
    type: path
    default: /usr/sbin/sendmail
attributes:
  check_mode:
    description: Says whom it would tell, and sends nothing. What sendmail would refuse is not known before.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
  platform:
    description: Linux with Postfix, qmail, or another mail server that has a sendmail program.
    support: full
    platforms: posix
author:
  - harden-mail contributors
"""

EXAMPLES = r"""
- name: Tell the owners of accounts with guessed passwords
  mail_password_notice:
    accounts:
      - name: info@example.com
        token: 0d1b2a
        kind: account
    language: ja
    url: https://panel.example.com/
    from: support@example.com

- name: Tell who looks after the domain
  mail_password_notice:
    accounts: "{{ tokens_by_name | dict2items(key_name='name', value_name='token') }}"
    to: admin
    admins:
      example.com: hanako@example.com
    default_admin: postmaster@example.net

- name: Forget whom it has told
  mail_password_notice:
    state: absent
"""

RETURN = r"""
told:
  description: Accounts of which somebody was told, capped at 50.
  returned: with O(state=present)
  type: list
  elements: str
told_total:
  description: How many there are.
  returned: with O(state=present)
  type: int
notices:
  description: How many mails that were.
  returned: with O(state=present)
  type: int
notices_left:
  description: How many more are due, beyond O(max_notices) and O(max_per_domain).
  returned: with O(state=present)
  type: int
evidence:
  description: How many were told.
  returned: success
  type: list
  elements: str
findings:
  description: Who could not be told, and what is left for the next run, each a sentence.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.harden_mail.module_runner import run_module
from ansible.module_utils.harden_mail.passwords.notice import run
from ansible.module_utils.harden_mail.system import System

# An audit's token says nothing by itself, and yet is nobody's business. no_log is off: it would blank out names that
# have the same letters.
ACCOUNT = {
    "name": {"type": "str", "required": True},
    "token": {"type": "str", "default": "", "no_log": False},
    "kind": {"type": "str"},
}


def main():
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "accounts": {"type": "list", "elements": "dict", "default": [], "options": ACCOUNT},
            "to": {"type": "str", "choices": ["owner", "admin"], "default": "owner"},
            "admins": {"type": "dict", "default": {}},
            "default_admin": {"type": "str"},
            "from": {"type": "str"},
            "host": {"type": "str"},
            "language": {"type": "str", "choices": ["en", "ja"], "default": "en"},
            "charset": {"type": "str", "choices": ["utf-8", "iso-2022-jp"], "default": "utf-8"},
            "url": {"type": "str"},
            "blocked": {"type": "bool", "default": False},
            "repeat_days": {"type": "int", "default": 30},
            "max_notices": {"type": "int", "default": 200},
            "max_per_domain": {"type": "int", "default": 50},
            "backend": {"type": "str"},
            "sendmail": {"type": "path", "default": "/usr/sbin/sendmail"},
        },
        # The host's log does not name accounts, nor who is guessed.
        no_log=True,
        supports_check_mode=True,
    )
    run_module(module, lambda params, check_mode: run(System(), params, check_mode))


if __name__ == "__main__":
    main()
