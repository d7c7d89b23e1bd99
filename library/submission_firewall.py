#!/usr/bin/python
# Copyright: harden-mail contributors
# GNU General Public License v3.0+ (see LICENSE)

DOCUMENTATION = r"""
module: submission_firewall
short_description: Restrict mail submission (TCP 587 and 465) to source addresses
version_added: "0.1.0"
description:
  - Lets only the declared source addresses open the submission ports, in iptables, nftables or firewalld, now and
    after every reboot, for IPv4 and IPv6 alike. A family for which no source is declared is closed.
  - Loopback and the host's own addresses always pass. Port 25, on which other servers deliver, is never touched.
  - Owns one chain, table or policy and reconciles only that; rules of fail2ban, Docker, Plesk and of people stay as
    they are. An allowed source is let through to them, not past them.
  - Reads the mail logs before it closes anything, and names the accounts that the new rules would cut off.
  - Reads the kernel's rules back after the change.
extends_documentation_fragment: [cutoffs]
options:
  state:
    description:
      - V(present) restricts the ports to O(sources).
      - V(confirmed) makes a change that was made with O(confirm_within) permanent; the other options do not matter.
        With O(state=present) this happens by itself, over a fresh connection.
      - V(absent) gives the host its former rules back.
    type: str
    choices: [present, confirmed, absent]
    default: present
  sources:
    description:
      - Who may submit mail. Addresses, networks in CIDR form and ranges (C(203.0.113.5-203.0.113.9)), IPv4 and IPv6.
        What follows a C(#) is a comment.
      - Left out, nothing is changed and the result carries a finding. An empty list is an error.
    type: list
    elements: raw
  source_files:
    description:
      - Files on the controller with more sources, one a line; blank lines and what follows a C(#) are passed over.
    type: list
    elements: path
    default: []
  resolve_names:
    description:
      - Accept host names in O(sources) and O(source_files). They are looked up once, on the controller; the
        addresses are what the host gets.
    type: bool
    default: false
  allow_any:
    description:
      - Accept sources that cover, all in all, an eighth of IPv4 or a /12 of IPv6 or more, C(0.0.0.0/0) and C(::/0)
        among them.
    type: bool
    default: false
  ports:
    description: TCP ports to restrict, whole numbers. 25 is refused.
    type: list
    elements: raw
    default: [587, 465]
  backend:
    description:
      - What holds the restriction. V(auto) takes a table of nftables wherever the kernel takes it (the module tries
        C(nft -c) on the host), whatever the host's other rules are written in; nobody else's accept or NAT rule leads
        around it. Elsewhere it takes O(host_backend). Any other value is honoured as it is.
      - What another backend made earlier goes when the new one is in place.
    type: str
    choices: [auto, iptables, nftables, firewalld]
    default: auto
  host_backend:
    description:
      - What the host's own rules are kept in, as C(mail_host.firewall.backend) of M(mail_host_facts) has it.
    type: str
    choices: [iptables, nftables, firewalld]
  persistence:
    description:
      - How the rules outlive a reboot. V(auto) takes the host's own means, and where there is none a small systemd
        unit that loads them before the network comes up.
      - With O(backend=auto), a value that is no means of the backend taken counts as V(auto), and the evidence says so.
    type: str
    choices: [auto, netfilter-persistent, iptables-services, nftables, plesk, unit]
    default: auto
  confirm_within:
    description:
      - Seconds after which a change undoes itself unless it is confirmed; V(0) for no such safety net.
      - The change is confirmed when Ansible gets in again over a fresh connection and O(probe) finds nothing wrong.
    type: int
    default: 0
  probe:
    description:
      - After a change, try the ports from the controller, when it reaches the host with the address that the host
        sees; an allowed controller must get through, another one must not.
    type: bool
    default: true
  config_dirs:
    description:
      - Configuration directories of the Postfix instances. Their services tell who logged in on a port that is not
        restricted (25), and so is not cut off.
    type: list
    elements: path
    default: []
attributes:
  check_mode:
    description: Predicts exactly what a run changes, and changes nothing.
    support: full
  diff_mode:
    description: Shows rules and files in the host's own terms.
    support: full
  platform:
    description: Linux with systemd.
    support: full
    platforms: posix
author:
  - harden-mail contributors
"""

EXAMPLES = r"""
- name: Only the office and the VPN may submit mail
  submission_firewall:
    host_backend: "{{ mail_host.firewall.backend }}"
    sources:
      - 203.0.113.0/24 # office
      - 2001:db8:10::/48 # office
      - 198.51.100.7 # VPN

- name: Show who would be cut off, change nothing
  submission_firewall:
    backend: nftables
    sources: [203.0.113.0/24]
    on_cutoff: warn
  check_mode: true

- name: Take the restriction away again
  submission_firewall:
    state: absent
"""

RETURN = r"""
steps:
  description: Where something changes, in the order of the changes.
  returned: success
  type: list
  elements: str
  sample: ["kernel, table inet harden_mail_submission", "/etc/nftables.conf"]
pending:
  description: Whether a change waits for its confirmation and will undo itself without it.
  returned: success
  type: bool
sources:
  description: What became of the declared sources.
  returned: when O(state=present)
  type: dict
  contains:
    declared: {description: Entries that were written., type: int}
    networks4: {description: IPv4 networks after folding., type: int}
    networks6: {description: IPv6 networks after folding., type: int}
    folded: {description: "Entries that say nothing new, each a sentence; the first 20.", type: list}
    folded_total: {description: How many there are., type: int}
controller:
  description: Where the controller connects from as the host sees it, and whether that address may submit mail.
  returned: when O(state=present)
  type: dict
  sample: {address: 203.0.113.9, allowed: true}
listening:
  description: Those of O(ports) that something listens on now.
  returned: when O(state=present)
  type: list
  elements: int
probed:
  description: What the controller saw when it tried the ports, port by port.
  returned: after a change that was probed
  type: dict
  sample: {"587": open}
cutoffs:
  description:
    - Accounts that logged in lately from an address that would be refused. Each has C(account), C(address),
      C(logins), C(failures), C(first) and C(last) (UTC), C(likely_attacker), C(in_journal) (whether the journal says
      that the mail server itself wrote of it), and C(uid) (who wrote of it instead, where only one did). Those that are
      not accepted come first, of them those that are in the journal. At most O(cutoffs_listed).
  returned: when something changes, also in a failure because of them
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
  description: How far the logs reach back (UTC).
  returned: with RV(cutoffs)
  type: str
evidence:
  description: How the host enforces this, in its own terms.
  returned: success
  type: list
  elements: str
findings:
  description: What is not as it ought to be and needs a person, each a sentence.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.harden_mail.firewall.submission import run
from ansible.module_utils.harden_mail.logs.guard import GUARD_ARGUMENTS
from ansible.module_utils.harden_mail.module_runner import run_module
from ansible.module_utils.harden_mail.system import System


def main():
    module = AnsibleModule(
        argument_spec=dict(
            GUARD_ARGUMENTS,
            state={"type": "str", "choices": ["present", "confirmed", "absent"], "default": "present"},
            sources={"type": "list", "elements": "raw"},
            # source_files, resolve_names and probe are worked off on the controller, by the action plugin of this name.
            source_files={"type": "list", "elements": "path", "default": []},
            resolve_names={"type": "bool", "default": False},
            allow_any={"type": "bool", "default": False},
            ports={"type": "list", "elements": "raw", "default": [587, 465]},
            backend={
                "type": "str",
                "choices": ["auto", "iptables", "nftables", "firewalld"],
                "default": "auto",
            },
            host_backend={"type": "str", "choices": ["iptables", "nftables", "firewalld"]},
            persistence={
                "type": "str",
                "choices": ["auto", "netfilter-persistent", "iptables-services", "nftables", "plesk", "unit"],
                "default": "auto",
            },
            confirm_within={"type": "int", "default": 0},
            config_dirs={"type": "list", "elements": "path", "default": []},
            probe={"type": "bool", "default": True},
        ),
        # The host's log does not name accounts, nor who is guessed.
        no_log=True,
        supports_check_mode=True,
    )
    run_module(module, lambda params, check_mode: run(System(), params, check_mode))


if __name__ == "__main__":
    main()
