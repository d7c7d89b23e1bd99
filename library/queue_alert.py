#!/usr/bin/python
# Copyright: harden-mail contributors
# GNU General Public License v3.0+ (see LICENSE)

DOCUMENTATION = r"""
module: queue_alert
short_description: Tell people when the mail queue is too long
version_added: "0.1.0"
description:
  - Installs a program that counts the mail queue every few minutes, and the job that runs it. The program needs
    nothing but Python's standard library; Ansible is not involved when it runs.
  - An alert goes by the first of O(ways) that accepts it, so put those first that do not use this host's own queue.
    What no way accepts is kept, and tried again by the next run.
  - That the queue can't be counted is told by the same ways, and that it can be counted again.
  - Jobs of cron that count the queue already are named as findings, and so are ways by which a secret goes without TLS
    or to a relay whose certificate is not verified.
options:
  state:
    description:
      - V(absent) takes the program, its job, its configuration and what it remembers away.
    type: str
    choices: [present, absent]
    default: present
  scheduler:
    description: What runs it. V(auto) is cron where there is one that reads C(/etc/cron.d), or else a systemd timer.
    type: str
    choices: [auto, cron, timer]
    default: auto
  interval:
    description: Every how many minutes; a divisor of 60, 30 at most.
    type: int
    default: 5
  limit:
    description:
      - More messages than this are an alarm; this many are not. Held messages do not count.
      - V(auto) takes three times the 95th percentile of the hourly peaks of the last four weeks, at least 50, and at
        most 300 in the first week. Hours with an alarm do not count, so a host whose usual queue is longer than 300
        needs a number. The result says what it is at present.
      - V(auto) doubles at most in four weeks, and is never more than O(auto_limit_most), for who keeps the queue just
        below its limit teaches it. What would be learned beyond that is told by the ways once a week, and a finding.
      - If only the other conditions are to be an alarm, give a number that is never reached.
    type: str
    default: "300"
  auto_limit_most:
    description: With O(limit=auto), more messages than this are always an alarm. 50 at least.
    type: int
    default: 1000
  clear_below:
    description:
      - The alarm ends when there are this many messages or fewer. Left out, 80 % of the limit, as for each of the
        other conditions. It ends when all that was over its limit since it began is down so far.
    type: int
  oldest_minutes:
    description: Alarm as well when the oldest message (held ones apart) is older than this.
    type: int
  growth_messages:
    description: Alarm as well when the queue has grown by more than this within O(growth_minutes).
    type: int
  growth_minutes:
    description: See O(growth_messages). 1440 at most.
    type: int
    default: 30
  one_origin:
    description:
      - Alarm as well when one origin or one envelope sender has more messages than this. Up to 100,000 messages are
        looked at.
    type: int
  todo_limit:
    description: Alarm as well when more messages than this are not yet preprocessed (qmail).
    type: int
  all_clear:
    description: Whether the end of an alarm is told, too.
    type: bool
    default: true
  repeat_minutes:
    description: While an alarm lasts, tell it again after this time.
    type: int
    default: 60
  quiet_hours:
    description:
      - Time of the host's day in which an alarm is not repeated, such as V(22:00-07:00). A new alarm and its end are
        told at any time.
    type: str
  language:
    description: Of the text.
    type: str
    choices: [en, ja]
    default: en
  charset:
    description: Of mails. V(iso-2022-jp) is for old phones.
    type: str
    choices: [utf-8, iso-2022-jp]
    default: utf-8
  ways:
    description:
      - Ways out, in the order in which they are tried until one accepts. This host's own queue (V(sendmail), or a
        relay on this host) is tried last wherever it stands. Every alert is also a line in the system's log.
      - Who refuses an alert for what is in it (5xx after the data; 4xx of a webhook) gets it once more without
        anything that the queue's messages say. What every way refuses so in six runs is set aside in
        C(/var/lib/harden-mail/queue_alert/refused-*.txt), logged, and named in the next alert; it holds up no other.
    type: list
    elements: dict
    default: []
    suboptions:
      type:
        description: V(smtp) is a relay on another host, V(sendmail) this host's own queue, where an alert may wait.
        type: str
        choices: [smtp, webhook, sendmail]
        required: true
      host:
        description: The relay (smtp).
        type: str
      port:
        description: Its port (smtp). 587 if left out.
        type: int
      tls:
        description: V(starttls) if left out. With V(none) there can be no password (smtp).
        type: str
        choices: [starttls, tls, none]
      verify:
        description: Whether the relay's certificate must be valid for its name (smtp). Yes, if left out.
        type: bool
      ca_file:
        description: Certificates to trust, if not the system's (smtp, webhook).
        type: path
      user:
        description: For AUTH (smtp).
        type: str
      password:
        description: For AUTH (smtp).
        type: str
      from:
        description:
          - Sender, in the envelope and in the header (smtp, sendmail). C(root@HOST) if left out. V(<>) is the null
            sender in the envelope, and C(root@HOST) in the header.
        type: str
      to:
        description: Who is told (smtp, sendmail).
        type: list
        elements: str
      url:
        description: Where it is posted to (webhook).
        type: str
      shape:
        description:
          - What the service wants (webhook). V(teams) is a card for a workflow ("when a Teams webhook request is
            received"), V(chatwork) goes to C(https://api.chatwork.com/v2/rooms/ROOM/messages) and needs the header
            C(X-ChatWorkToken), V(json) needs a O(ways[].template). V(slack) if left out.
        type: str
        choices: [slack, mattermost, teams, chatwork, json]
      template:
        description:
          - What is posted with O(ways[].shape=json). In its texts, C($text), C($subject), C($body), C($host),
            C($count), C($limit), C($kind), C($key) and C($message_id) are filled in; the last two are the same when
            an alert is sent twice. It is shown, so it is no place for secrets.
        type: dict
      headers:
        description: More HTTP headers (webhook). There is an C(Idempotency-Key) already.
        type: dict
      path:
        description: The program (sendmail). C(/usr/sbin/sendmail) if left out.
        type: path
      timeout:
        description:
          - Seconds for each answer, 60 at most; three times that for all of an alert, and less where many ways share
            the two and a half minutes of a run. 20 if left out, 30 for sendmail.
        type: int
  ping_url:
    description:
      - Called (GET) after every good run, so that a dead man's switch elsewhere notices silence. A run is good when it
        has counted the queue and no alert waits.
    type: str
  prometheus_file:
    description: File that gets the same numbers for node_exporter's text file collector, in a directory that is there.
    type: path
  inventory_name:
    description: The host's name in the inventory, for the commands in an alert. Left out, the name it calls itself.
    type: str
  mta:
    description: Whose queue. V(auto) is the mail server that this host uses.
    type: str
    choices: [auto, postfix, qmail]
    default: auto
  config_dir:
    description: As in M(mail_queue_info).
    type: path
  queue_dir:
    description: As in M(mail_queue_info).
    type: path
  drill:
    description:
      - Send a marked test alert by every way, with the program and the configuration as they are on the host. Fails
        when no way accepts it.
    type: bool
    default: false
attributes:
  check_mode:
    description: Predicts exactly what a run changes, and changes nothing. A drill is not sent.
    support: full
  diff_mode:
    description: Shows the files, without their secrets.
    support: full
  platform:
    description: Linux with Postfix or qmail, and cron or systemd.
    support: full
    platforms: posix
author:
  - harden-mail contributors
"""

EXAMPLES = r"""
- name: Alert by a relay elsewhere, and by Slack when that is down
  queue_alert:
    ways:
      - type: smtp
        host: smtp.example.net
        user: alert@example.net
        password: "{{ vault_alert_password }}"
        to: [admin@example.net]
      - type: webhook
        shape: slack
        url: "{{ vault_slack_url }}"

- name: See that an alert would arrive
  queue_alert:
    drill: true
    ways: "{{ queue_alert_ways }}"
"""

RETURN = r"""
drill:
  description: What each way said to the test alert.
  returned: with O(drill)
  type: list
  elements: dict
  contains:
    way: {description: The way in words., type: str}
    accepted: {description: Whether it took the alert., type: bool}
    reason: {description: Why not., type: str}
evidence:
  description: What runs when, and by which ways.
  returned: success
  type: list
  elements: str
findings:
  description: What needs a person, each a sentence.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.harden_mail.alert.install import run
from ansible.module_utils.harden_mail.module_runner import run_module
from ansible.module_utils.harden_mail.system import System

WAY_ARGUMENTS = {
    "type": {"type": "str", "choices": ["smtp", "webhook", "sendmail"], "required": True},
    "host": {"type": "str"},
    "port": {"type": "int"},
    "tls": {"type": "str", "choices": ["starttls", "tls", "none"]},
    "verify": {"type": "bool"},
    "ca_file": {"type": "path"},
    "user": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "from": {"type": "str"},
    "to": {"type": "list", "elements": "str"},
    "url": {"type": "str", "no_log": True},
    "shape": {"type": "str", "choices": ["slack", "mattermost", "teams", "chatwork", "json"]},
    "template": {"type": "dict"},
    "headers": {"type": "dict", "no_log": True},
    "path": {"type": "path"},
    "timeout": {"type": "int"},
}


def main():
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "scheduler": {"type": "str", "choices": ["auto", "cron", "timer"], "default": "auto"},
            "interval": {"type": "int", "default": 5},
            "limit": {"type": "str", "default": "300"},
            "auto_limit_most": {"type": "int", "default": 1000},
            "clear_below": {"type": "int"},
            "oldest_minutes": {"type": "int"},
            "growth_messages": {"type": "int"},
            "growth_minutes": {"type": "int", "default": 30},
            "one_origin": {"type": "int"},
            "todo_limit": {"type": "int"},
            "all_clear": {"type": "bool", "default": True},
            "repeat_minutes": {"type": "int", "default": 60},
            "quiet_hours": {"type": "str"},
            "language": {"type": "str", "choices": ["en", "ja"], "default": "en"},
            "charset": {"type": "str", "choices": ["utf-8", "iso-2022-jp"], "default": "utf-8"},
            "ways": {"type": "list", "elements": "dict", "default": [], "options": WAY_ARGUMENTS},
            "ping_url": {"type": "str", "no_log": True},
            "prometheus_file": {"type": "path"},
            "inventory_name": {"type": "str"},
            "mta": {"type": "str", "choices": ["auto", "postfix", "qmail"], "default": "auto"},
            "config_dir": {"type": "path"},
            "queue_dir": {"type": "path"},
            "drill": {"type": "bool", "default": False},
        },
        # The host's log does not name accounts, nor who is guessed.
        no_log=True,
        supports_check_mode=True,
    )
    run_module(module, lambda params, check_mode: run(System(), params, check_mode))


if __name__ == "__main__":
    main()
