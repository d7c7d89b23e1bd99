#!/usr/bin/python
# Copyright: harden-mail contributors
# GNU General Public License v3.0+ (see LICENSE)

DOCUMENTATION = r"""
module: mail_host_facts
short_description: Find out what kind of mail host this is
version_added: "0.1.0"
description:
  - Finds the mail server, the POP and IMAP server, the firewall in use, the panel, the mail accounts' stores, the
    logs, and who listens on the ports 25, 465 and 587 and offers what there.
  - Reads files and asks a few quick programs. Each listener is asked by a real C(EHLO), with and without TLS, all
    at once and within 3 seconds; Plesk's slow commands are never run.
  - Every value comes with the way it was found, in RV(ansible_facts.mail_host.evidence).
  - Passwords and database logins are neither read nor returned.
options: {}
notes:
  - Run it as root. Others can't see which program holds a socket, nor count the accounts.
  - What harden-mail itself adds to a host's firewall is passed over, so the answer is the same before and after.
attributes:
  check_mode:
    description: Changes nothing in any mode, and returns the same.
    support: full
  diff_mode:
    description: There is nothing to show, since nothing changes.
    support: none
  facts:
    description: Returns C(ansible_facts), which later tasks find under that name.
    support: full
  platform:
    description: Linux with systemd or System V init.
    support: full
    platforms: posix
author:
  - harden-mail contributors
"""

EXAMPLES = r"""
- name: Find out what this host is
  mail_host_facts:

- name: Do something on Postfix hosts only
  ansible.builtin.debug:
    msg: "The queue is in {{ ansible_facts.mail_host.mta.queue_dir }}"
  when: ansible_facts.mail_host.mta.name == 'postfix'

- name: Show the listeners that take passwords without TLS
  ansible.builtin.debug:
    msg: "{{ ansible_facts.mail_host.listeners | selectattr('auth_plain') | map(attribute='port') | unique }}"
"""

RETURN = r"""
not_applicable:
  description: A sentence on why there is nothing to harden on this host.
  returned: when the host has neither Postfix nor qmail
  type: str
  sample: This host has no mail server that is known here (Postfix or qmail); /usr/bin/msmtp sends its mail.
ansible_facts:
  description: Facts to add to the host's. What isn't known is null.
  returned: success
  type: dict
  contains:
    mail_host:
      description: What this host is.
      type: dict
      contains:
        mta:
          description: The mail server.
          type: dict
          contains:
            name:
              description: V(postfix) or V(qmail); null when there is neither.
              type: str
            flavour:
              description: Whose layout it has; V(debian), V(rpm), V(plesk), V(daemontools) or V(plain).
              type: str
            version:
              description: Its release; qmail doesn't tell.
              type: str
              sample: 3.7.11
            queue_dir:
              description: The queue of the default instance.
              type: path
              sample: /var/spool/postfix
            config_dir:
              description: The configuration of the default instance.
              type: path
              sample: /etc/postfix
            service:
              description: What starts and stops it; under daemontools the service directory.
              type: str
              sample: postfix.service
            instances:
              description: Of Postfix, the default instance (without a name) and those in C(multi_instance_directories).
              type: list
              elements: dict
              contains:
                name:
                  description: C(multi_instance_name).
                  type: str
                config_dir:
                  description: Its configuration.
                  type: path
                queue_dir:
                  description: Its queue.
                  type: path
        pop:
          description: The server for POP and IMAP.
          type: dict
          contains:
            name:
              description: V(dovecot), V(courier) or null.
              type: str
            version:
              description: Its release.
              type: str
              sample: 2.3.19.1
            config_dir:
              description: Its configuration.
              type: path
              sample: /etc/dovecot
        firewall:
          description: The firewall in use; where none is, the one that could be.
          type: dict
          contains:
            backend:
              description: V(firewalld), V(nftables), V(iptables) or null.
              type: str
            running:
              description: Whether it is in use, not counting what harden-mail and daemons like fail2ban put there.
              type: bool
            version:
              description: Its release.
              type: str
              sample: 1.0.6
            variant:
              description: Of iptables, V(nft) or V(legacy).
              type: str
            persistence:
              description:
                - How rules outlive a reboot; V(netfilter-persistent), V(iptables-services), V(nftables),
                  V(firewalld), V(plesk), or V(unit) where the host has no means of its own but systemd.
              type: str
            persistent_path:
              description: Where they are kept.
              type: path
              sample: /etc/nftables.conf
        panel:
          description: The panel.
          type: dict
          contains:
            name:
              description: V(plesk) or null.
              type: str
            version:
              description: Its release.
              type: str
              sample: 18.0.57
            root:
              description: Where it is installed.
              type: path
              sample: /opt/psa
        accounts:
          description: Where the passwords of mail accounts are kept.
          type: list
          elements: dict
          contains:
            store:
              description:
                - Only stores that this host's mail server takes accounts from, not files that look like one.
                - V(plesk), V(dovecot-passwd-file), V(dovecot-sql) and others of Dovecot's drivers, V(vpopmail),
                  V(cpanel), V(directadmin), V(sasldb), V(shadow).
              type: str
            path:
              description:
                - Where, perhaps as a pattern; of a database the file that says how to reach it. Null where Dovecot's
                  own configuration says all, as that of Dovecot 2.4 does of C(dovecot-sql).
              type: str
            count:
              description:
                - Number of accounts; null when that takes more than reading files, or when not all could be counted, as
                  RV(ansible_facts.mail_host.evidence) says then (C(accounts.0.count)).
              type: int
        logs:
          description: The mail log.
          type: dict
          contains:
            files:
              description: Files that exist; their rotated parts lie beside them.
              type: list
              elements: path
            journal:
              description: Whether there is a journal.
              type: bool
        cron:
          description: The cron daemon.
          type: dict
          contains:
            directory:
              description: Where files with jobs are put.
              type: path
              sample: /etc/cron.d
            service:
              description: What starts and stops it.
              type: str
              sample: cron.service
        service_manager:
          description: V(systemd), V(sysvinit) or null.
          type: str
        listeners:
          description: Sockets that listen on the ports 25, 465 and 587.
          type: list
          elements: dict
          contains:
            port:
              description: The port.
              type: int
            family:
              description: V(4) or V(6); one for IPv6 may take IPv4 too.
              type: int
            address:
              description: The address it is bound to.
              type: str
              sample: 0.0.0.0
            program:
              description: The program that opened it, as the kernel calls it.
              type: str
              sample: master
            service:
              description: Of Postfix, the entry in C(master.cf), as it is written there.
              type: str
              sample: submission
            starttls:
              description: Whether C(STARTTLS) is offered; null when the server gave no answer.
              type: bool
            auth_plain:
              description: Mechanisms offered without TLS.
              type: list
              elements: str
            auth_tls:
              description: Mechanisms offered in TLS.
              type: list
              elements: str
              sample: [PLAIN, LOGIN]
        evidence:
          description:
            - How each value was found, by its dotted path (C(mta.version), C(listeners.0.program)). A path that ends
              earlier speaks for all below it.
          type: dict
          sample: {"mta.version": "postconf -c /etc/postfix mail_version"}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.harden_mail.host.facts import gather, why_not_applicable
from ansible.module_utils.harden_mail.module_runner import run_module
from ansible.module_utils.harden_mail.system import System


def find_out(_params, _check_mode):
    system = System()
    facts = gather(system)
    result = {"changed": False, "ansible_facts": {"mail_host": facts}}
    reason = why_not_applicable(system, facts)
    if reason:
        result["not_applicable"] = reason
    return result


def main():
    run_module(AnsibleModule(argument_spec={}, supports_check_mode=True), find_out)


if __name__ == "__main__":
    main()
