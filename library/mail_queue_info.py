#!/usr/bin/python
# Copyright: harden-mail contributors
# GNU General Public License v3.0+ (see LICENSE)

DOCUMENTATION = r"""
module: mail_queue_info
short_description: Look at the mail queue and the quarantine
version_added: "0.1.0"
description:
  - Reads the queue of Postfix (all instances, all states) or qmail, counts what is in it and lists the newest messages.
  - Says what of it O(select) selects, in the same words as M(mail_queue). With neither O(select) nor O(all), that is
    all of it.
  - Lists the runs in the quarantine.
  - Changes nothing, and what it returns can be shown on a terminal whatever spammers wrote.
extends_documentation_fragment: [mail_queue]
attributes:
  check_mode:
    description: Changes nothing anyway.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
author:
  - harden-mail contributors
seealso:
  - module: mail_queue
"""

EXAMPLES = r"""
- name: What is in the queue, and who sends it
  mail_queue_info:

- name: How many messages of the last two hours have such a subject
  mail_queue_info:
    select:
      subject: "*お支払い*"
      age: "<2h"
"""

RETURN = r"""
mta:
  description: V(postfix) or V(qmail).
  returned: when the host has a queue
  type: str
total:
  description: How many messages are in the queue.
  returned: when the host has a queue
  type: int
matched:
  description: How many of them are selected; all that follows is about these.
  returned: when the host has a queue
  type: int
states:
  description: How many of them have which state.
  returned: when the host has a queue
  type: dict
  sample: {deferred: 4990, active: 10}
bytes:
  description: Size of their headers and bodies together.
  returned: when the host has a queue
  type: int
oldest:
  description: When the oldest of them came (seconds since 1970); null without any.
  returned: when the host has a queue
  type: int
ages:
  description:
    - How many of them are that old; V(1h) is under an hour, but not under the limit before it. V(older) is the rest.
  returned: when the host has a queue
  type: dict
  sample: {10m: 3, 1h: 4987, 6h: 0, 1d: 10, 3d: 0, older: 0}
top_senders:
  description: Their most frequent envelope senders, at most O(limit_listed), most frequent first.
  returned: when the host has a queue
  type: list
  elements: dict
  contains:
    value: {description: "The sender; C(<>) is the null sender.", type: str}
    count: {description: In how many messages., type: int}
top_recipient_domains:
  description: The most frequent domains of their recipients, each counted once a message, likewise.
  returned: when the host has a queue
  type: list
  elements: dict
  contains:
    value: {description: "The domain.", type: str}
    count: {description: In how many messages., type: int}
top_subjects:
  description: Their most frequent subjects, decoded, likewise.
  returned: when the host has a queue
  type: list
  elements: dict
  contains:
    value: {description: "The first 120 characters of the subject.", type: str}
    count: {description: In how many messages., type: int}
top_origins:
  description: Where most of them came from, likewise.
  returned: when the host has a queue
  type: list
  elements: dict
  contains:
    value:
      description: The account that logged in, else the local user, with the script that it says it was, or the address.
      type: str
    count: {description: In how many messages., type: int}
top_clients:
  description: The IP addresses from which most of them came by SMTP, likewise.
  returned: when the host has a queue
  type: list
  elements: dict
  contains:
    value: {description: The address., type: str}
    count: {description: In how many messages., type: int}
errors:
  description:
    - By how much the counts of each of these lists may be too low; 0 up to 5000 distinct values.
  returned: when the host has a queue
  type: dict
messages:
  description: The newest of them, at most O(limit_listed).
  returned: when the host has a queue
  type: list
  elements: dict
  contains:
    id: {description: What the mail server's own tools call it., type: str}
    instance: {description: "The Postfix instance; null for the default one and for qmail.", type: str}
    state: {description: "As in O(select.state); C(local+remote) for a qmail message that is both.", type: str}
    sender: {description: "Envelope sender, empty for the null sender.", type: str}
    recipients:
      description: At most 20 of the recipients.
      type: list
      elements: dict
      contains:
        address: {description: The address., type: str}
        done: {description: Whether it was delivered or bounced., type: bool}
    recipients_total: {description: How many there are., type: int}
    subject: {description: "Decoded, at most 300 characters; null without one.", type: str}
    size: {description: Bytes of headers and body., type: int}
    arrival: {description: When it came (seconds since 1970)., type: int}
    origin:
      description: Where it came from; what is not known is null.
      type: dict
      contains:
        sasl_user: {description: The account that logged in to send it., type: str}
        client: {description: The IP address that it came from by SMTP., type: str}
        uid: {description: The local user who sent it., type: int}
        script:
          description: The PHP script that sent it, as that user says, who can write what it likes there.
          type: str
unreadable:
  description: Files of the queue that could not be read, at most O(limit_listed). They are never touched.
  returned: when the host has a queue
  type: list
  elements: dict
  contains:
    path: {description: The file., type: str}
    reason: {description: What is wrong with it., type: str}
unreadable_total:
  description: How many there are.
  returned: when the host has a queue
  type: int
quarantine:
  description: The runs in O(quarantine_dir), oldest first.
  returned: when the host has a queue
  type: list
  elements: dict
  contains:
    run: {description: "Its name, to restore it by.", type: str}
    created: {description: When it began (seconds since 1970)., type: int}
    selection: {description: What was selected., type: str}
    messages: {description: "How many messages are in it; null where it is another mail server's.", type: int}
    unfinished: {description: "Whether it was interrupted; the next run of M(mail_queue) completes it.", type: bool}
not_applicable:
  description: Why there is nothing to look at on this host.
  returned: when it has no queue
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.harden_mail.module_runner import run_module
from ansible.module_utils.harden_mail.queue.arguments import QUEUE_ARGUMENTS
from ansible.module_utils.harden_mail.queue.listing import info
from ansible.module_utils.harden_mail.system import System


def main():
    module = AnsibleModule(argument_spec=QUEUE_ARGUMENTS, no_log=True, supports_check_mode=True)
    run_module(module, lambda params, check_mode: info(System(), params))


if __name__ == "__main__":
    main()
