#!/usr/bin/python
# Copyright: harden-mail contributors
# GNU General Public License v3.0+ (see LICENSE)

DOCUMENTATION = r"""
module: mail_queue
short_description: Quarantine, delete, hold, release or restore messages of the mail queue
version_added: "0.1.0"
description:
  - Brings the messages that O(select) selects into a declared state, in the queue of Postfix (all instances) or qmail.
    All others stay as they are, and mail goes on coming in.
  - A quarantined message is kept whole, and can be restored exactly as it was. Whoever it was delivered to before does
    not get it twice.
  - A message is at every moment in the queue or in the quarantine, or in both; what a killed run left half done, the
    next run completes.
  - Messages that are being delivered at that moment, or that changed meanwhile, are left as they were, and named.
  - qmail can be changed only while it is stopped. It is stopped for as long as that takes, and started again whatever
    happens.
  - An id may change, so go by O(run), sender or subject. In Postfix, a message that was active when it was taken out
    or held, and each that is released, has another one afterwards, since the queue manager may still know the old one,
    would take the two for one, and remove the file. With both mail servers it is made of the file's inode, so what
    comes back from a quarantine on another file system has another one, too.
  - Postfix is told of what comes back; what was deferred is tried when it would have been tried anyway.
extends_documentation_fragment: [mail_queue]
options:
  state:
    description:
      - V(quarantined) takes the messages out of the queue, into O(quarantine_dir).
      - V(deleted) takes them out of the queue for good.
      - V(held) keeps them in the queue, but has nobody deliver them; V(released) is the reverse. Postfix only.
      - V(restored) brings messages of the quarantine back into the queue. Here O(select) and O(all) are about what is
        in the quarantine.
    type: str
    choices: [quarantined, deleted, held, released, restored]
    required: true
  run:
    description:
      - With O(state=restored), the run of the quarantine, as RV(run) and M(mail_queue_info) name it. Alone, all of it.
      - Left out, all runs are looked through.
    type: str
  expect:
    description: How many messages must match; nothing is changed where it is another number.
    type: int
attributes:
  check_mode:
    description:
      - Says how many of which would be changed, and changes nothing. Counted on are interrupted runs, which would be
        completed first; not known beforehand is what will just be delivered.
    support: full
  diff_mode:
    description: Shows how many messages change from which state into which.
    support: full
author:
  - harden-mail contributors
seealso:
  - module: mail_queue_info
"""

EXAMPLES = r"""
- name: Take last night's spam out of the queue, but not what our own form sends
  mail_queue:
    state: quarantined
    select:
      subject: ["*お支払い*", "re:(won|win).*prize"]
      age: "<12h"
      not:
        sender: form@example.com

- name: Give one run back
  mail_queue:
    state: restored
    run: 20261125T063000Z-1f2e3d

- name: Delete what one account sent, if these are the 4990 messages that were looked at
  mail_queue:
    state: deleted
    select:
      origin:
        sasl_user: info@example.com
    expect: 4990
"""

RETURN = r"""
state:
  description: The state that was asked for.
  returned: when the host has a queue
  type: str
matched:
  description:
    - How many messages were selected, in the queue or with O(state=restored) in the quarantine; some may have been in
      O(state) already (held, released), others were left (RV(passed_over_total)).
  returned: when the host has a queue
  type: int
moved:
  description:
    - How many changed their state, or would in check mode. Those of interrupted runs that were completed first are not
      among them.
  returned: when the host has a queue
  type: int
states:
  description: How many of them had which state before, without those that were in O(state) already.
  returned: when the host has a queue
  type: dict
  sample: {deferred: 4990, active: 10}
run:
  description:
    - The run of the quarantine that they are in now, to restore them by; null where nothing was quarantined, and in
      check mode.
  returned: when the host has a queue
  type: str
  sample: 20261125T063000Z-1f2e3d
resumed:
  description:
    - How many runs that were interrupted before were completed first, or would be. This counts as a change.
  returned: when the host has a queue
  type: int
messages:
  description: The newest of the messages, at most O(limit_listed), each as M(mail_queue_info) returns it.
  returned: when the host has a queue
  type: list
  elements: dict
passed_over:
  description: Messages that were left as they were, at most 50; also of runs that were completed first.
  returned: when the host has a queue
  type: list
  elements: dict
  contains:
    id: {description: What the mail server's own tools call it., type: str}
    reason: {description: Why., type: str}
passed_over_total:
  description: How many there are.
  returned: when the host has a queue
  type: int
evidence:
  description: What was done to the host besides moving messages, as how long qmail-send was stopped.
  returned: when the host has a queue
  type: list
  elements: str
  sample: [qmail-send was stopped for 0.8 seconds and runs again]
not_applicable:
  description: Why there is nothing to be done on this host.
  returned: when it has no queue
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.harden_mail.module_runner import run_module
from ansible.module_utils.harden_mail.queue.arguments import QUEUE_ARGUMENTS
from ansible.module_utils.harden_mail.queue.engine import run
from ansible.module_utils.harden_mail.system import System


def main():
    module = AnsibleModule(
        argument_spec=dict(
            QUEUE_ARGUMENTS,
            state={
                "type": "str",
                "choices": ["quarantined", "deleted", "held", "released", "restored"],
                "required": True,
            },
            run={"type": "str"},
            expect={"type": "int"},
        ),
        # The host's log does not name accounts, nor who is guessed.
        no_log=True,
        supports_check_mode=True,
    )
    run_module(module, lambda params, check_mode: run(System(), params, check_mode))


if __name__ == "__main__":
    main()
