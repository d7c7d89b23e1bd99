"""Postfix's part: who may not send is looked up by every service that takes AUTH.

The look-up is the first word of a list that is asked for each recipient, on these services in master.cf, since ``-o``
there is stronger than main.cf. Mail that comes in without AUTH is never looked up.

The tables are texthash and cidr: no postmap, read once by each smtpd when it starts, as root and before it locks
itself up, so nobody else need be able to read them (0600): they are a list of accounts whose passwords are known.
"""

import json
import re

from ..changes import Change, Run, WriteFile, file_change
from ..errors import CommandError, NotApplicable, UserError
from ..paths import POP_NOTEBOOK
from ..pop.meaning import EITHER
from ..postfix.instance import Instance
from ..postfix.master_cf import key_of, port_of, with_early_options, without_options
from ..postfix.postconf import postconf
from .lists import Naming

ACCOUNTS, ADDRESSES = "harden-mail-blocked-accounts", "harden-mail-blocked-addresses"
# Bare names behind which Cyrus SASL takes any realm: saslauthd forgets it, and Postfix is told of it.
REALMS = "harden-mail-blocked-realms"
TABLES = (ACCOUNTS, ADDRESSES, REALMS)

HEAD = "# Who may read mail, but not send it. Made by harden-mail; changes are undone by its next run.\n"
REFUSED = "REJECT Sending is stopped for this {0}; ask your mail administrator"

# The list that is asked for each recipient after AUTH, whatever smtpd_delay_reject says, and the one that is asked
# before the message itself. POP-before-SMTP writes a list anew that ends in a refusal of everybody else, and would copy
# our words: then ours go into the other one, which it never touches.
LIST, OTHER_LIST = "smtpd_sender_restrictions", "smtpd_data_restrictions"
FINAL = ("reject", "defer")

# check_sasl_access came with it.
OLDEST = (2, 11)

TOO_OLD = (
    "Postfix {0} can't keep one account from sending (check_sasl_access came with 2.11): give the account a new "
    "password instead."
)
WITHOUT_PASSWORD = (
    "POP-before-SMTP takes a log-in to read mail instead of a password here, so who knows a blocked account's password "
    "still sends that way; set pop_before_smtp_meaning: both, or give the account a new password."
)
ADDRESSES_BY_25 = (
    "Port 25 of {0} takes AUTH, and addresses aren't refused there, since other mail servers come by it: set "
    "submission_firewall_no_auth_on_25: true."
)
NOT_LOOKED_UP = (
    "{0}: {1} takes AUTH, but what Postfix makes of its options does not name {2}, so who is blocked still sends by "
    "it: write its options one in a line, as -o name=value."
)
DOVECOT_TAKES = (
    "Dovecot takes mail by itself here (its protocols have submission): whoever is blocked still sends by that; take "
    "submission out of protocols, or give the account a new password."
)


class PostfixPart:
    """The Postfix instances of a host.

    :param list config_dirs: of str, those in which accounts are to be blocked
    :param remembered: of str, configuration directories in which there is something of ours
    """

    def __init__(self, system, config_dirs, remembered=()):
        self.system = system
        self.config_dirs = list(config_dirs)
        # What is given back must be read, too. An instance that was removed, and a removed Postfix, have no reader.
        self._touched = [
            config_dir
            for config_dir in sorted(set(self.config_dirs) | set(remembered))
            if system.exists(config_dir + "/master.cf") and system.which("postconf")
        ]
        types = [Instance(system, config_dir).setting("smtpd_sasl_type") for config_dir in self.config_dirs]
        self._has_cyrus = any(kind in ("", "cyrus") for kind in types)

    def check(self):
        """
        :raises UserError: an instance that isn't there, or whose master.cf Postfix can't read: check mode must say so
        :raises NotApplicable: one that can't do it
        """
        for config_dir in self.config_dirs:
            if not self.system.exists(config_dir + "/master.cf"):
                raise UserError(
                    "config_dirs names {0}, which has no master.cf: give Postfix configuration directories, such as "
                    "/etc/postfix.".format(config_dir)
                )
            version = Instance(self.system, config_dir).setting("mail_version")
            numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
            if numbers and numbers < OLDEST:
                raise NotApplicable(TOO_OLD.format(version))
            self.system.run(["postconf", "-c", config_dir, "-M"])

    # --- what is wanted -----------------------------------------------------------------------------------

    def naming(self):
        """How accounts are named here: :class:`lists.Naming`."""
        instances = [Instance(self.system, config_dir) for config_dir in self.config_dirs]
        realms = [instance.setting("smtpd_sasl_local_domain") for instance in instances]
        local_only = False
        if any(instance.setting("smtpd_sasl_type") == "dovecot" for instance in instances):
            # 2.4 calls it a domain.
            realms += [self._doveconf("auth_default_realm"), self._doveconf("auth_default_domain")]
            form = self._doveconf("auth_username_format")
            # "%Ln" and "%{user | username | lower}" have no domain; "%Lu", "%n@%d", "%{user}", and nothing at all have.
            forgets = re.search(r"%[A-Z]*n|username", form)
            local_only = bool(forgets) and not re.search(r"%[A-Z]*[ud]|domain", form)
        return Naming(realms, local_only)

    def tables(self, blocked, former):
        """Differences in the tables (blocked None: there are to be none).

        ``former["tables"]`` has the directories in which there are any.
        """
        changes = []
        texts = dict.fromkeys(TABLES)
        if blocked is not None and blocked.accounts:
            texts[ACCOUNTS] = _table(self.naming().all_names(blocked.accounts), "account")
        if blocked is not None and blocked.addresses:
            texts[ADDRESSES] = _table(blocked.addresses, "address")
        if blocked is not None and self._bare(blocked):
            texts[REALMS] = _table(map(_with_any_realm, self._bare(blocked)), "account")
        current = self.config_dirs if blocked is not None else []
        known = former.get("tables", [])
        for config_dir in sorted(set(current) | set(known)):
            for name, text in sorted(texts.items()):
                wanted = text if config_dir in current else None
                changes += file_change(self.system, "{0}/{1}".format(config_dir, name), wanted, 0o600)
        former["tables"] = sorted(current)
        return changes

    def master(self, blocked, former):
        """Differences in master.cf (blocked None: nothing of ours is to be there).

        ``former["master"]`` is what is needed to give it back: {path: {before, after, options: [[key, option]]}}
        """
        memory = former.setdefault("master", {})
        changes = []
        current = self.config_dirs if blocked is not None else []
        for config_dir in sorted(set(current) | {path.rpartition("/")[0] for path in memory}):
            instance = Instance(self.system, config_dir)
            base = without_options(instance.text, memory.pop(instance.path, None))
            text = base
            if config_dir in current:
                options = self._options(_with_text(instance, base), blocked)
                text = with_early_options(base, options)
                memory[instance.path] = {"before": base, "after": text, "options": options}
            elif not instance.text:
                continue  # an instance that went, with its master.cf
            if text != instance.text:
                write, back = (WriteFile(instance.path, content, 0o644) for content in (text, instance.text))
                changes.append(Change(instance.path, instance.text, text, (write,), (back,)))
        return changes

    def _options(self, bare, blocked):
        """The options that a master.cf without ours gets: list of [key of the service, "name=value"]."""
        options = []
        for service in takers(bare):
            words = []
            if blocked.accounts:
                words += ["check_sasl_access", "texthash:{0}/{1}".format(bare.config_dir, ACCOUNTS)]
            if self._bare(blocked):
                words += ["check_sasl_access", "regexp:{0}/{1}".format(bare.config_dir, REALMS)]
            if blocked.addresses and not is_inbound(service):
                words += ["check_client_access", "cidr:{0}/{1}".format(bare.config_dir, ADDRESSES)]
            if not words:
                continue
            name = LIST
            if _words(_expanded(bare, service, LIST))[-1:] in [[word] for word in FINAL]:
                name = OTHER_LIST
            own = _raw(bare, service, name)
            if "{" in re.sub(r"\$\{\w+\}", "", own):
                # Values with blanks stand in braces, which Postfix 3.0 has; where there are such words, it is no older.
                option = "{{{0}={1}}}".format(name, ", ".join([",".join(words), own] if own else words))
            else:
                option = "{0}={1}".format(name, ",".join(words + _words(own)))
            options.append([key_of(service), option])
        return options

    # --- steps --------------------------------------------------------------------------------------------

    def checks(self, blocked):
        """Steps in which Postfix looks at its new configuration, and at the table."""
        steps = []
        for config_dir in self._touched:
            steps += [
                Run(("postconf", "-c", config_dir, "-M"), None),
                Run(("postfix", "-c", config_dir, "check"), None),
            ]
            if blocked is not None and blocked.accounts and config_dir in self.config_dirs:
                # By standard input: every user of the host sees the arguments of a command.
                table = "texthash:{0}/{1}".format(config_dir, ACCOUNTS)
                steps.append(Run(("postmap", "-c", config_dir, "-q", "-", table), blocked.accounts[0] + "\n"))
        return tuple(steps)

    def activation(self):
        # One that does not run, and a test host's in a snapshot, has nothing to reload.
        return tuple(
            Run(("postfix", "-c", config_dir, "reload"), None)
            for config_dir in self._touched
            if self.system.run(["postfix", "-c", config_dir, "status"], check=False).rc == 0
        )

    # --- what is told -------------------------------------------------------------------------------------

    def evidence(self):
        lines = []
        for config_dir in self.config_dirs:
            instance = Instance(self.system, config_dir)
            for service in takers(instance):
                for name in (LIST, OTHER_LIST):
                    if any(table in service.options.get(name, "") for table in TABLES):
                        line = "{0}: {1} has {2} = {3}"
                        lines.append(line.format(instance.path, key_of(service), name, service.options[name]))
        return lines

    def findings(self, blocked):
        findings = []
        for config_dir in self.config_dirs:
            instance = Instance(self.system, config_dir)
            services = takers(instance)
            if not services:
                findings.append(
                    "No service in {0} takes AUTH: there is nothing to keep anybody from sending by.".format(
                        instance.path
                    )
                )
            if blocked.addresses and any(map(is_inbound, services)):
                findings.append(ADDRESSES_BY_25.format(config_dir))
        if blocked.accounts:
            if str(json.loads(self.system.read(POP_NOTEBOOK) or "{}").get("rule", "")).startswith(EITHER):
                findings.append(WITHOUT_PASSWORD)
            # "imap pop3 submission", and of 2.4, "submission = yes"
            if re.search(r"\bsubmission\b(?!\s*=\s*no)", self._doveconf("protocols")):
                findings.append(DOVECOT_TAKES)
        return findings

    def uncovered(self, blocked):
        """Services that take AUTH and don't look into our tables, whoever has made that so: list of sentences.

        Both Postfix's own reading of master.cf (``postconf -P``) and the one here must name them.
        """
        findings = []
        for config_dir in self.config_dirs:
            instance = Instance(self.system, config_dir)
            read = postconf(self.system, config_dir, ["-P"])
            for service in takers(instance):
                here = [service.options.get(name, "") for name in (LIST, OTHER_LIST)]
                there = [
                    read.get("{0}/{1}".format(key_of(service), name), own)
                    for name, own in zip((LIST, OTHER_LIST), here)
                ]
                wanted = [ACCOUNTS] if blocked.accounts else []
                wanted += [ADDRESSES] if blocked.addresses and not is_inbound(service) else []
                lost = [name for name in wanted if name not in " ".join(here) or name not in " ".join(there)]
                if lost:
                    findings.append(NOT_LOOKED_UP.format(instance.path, key_of(service), " and ".join(lost)))
        return findings

    def _bare(self, blocked):
        """Blocked accounts that may come with any realm: list of str."""
        if not self._has_cyrus:
            return []
        return [name for name in blocked.accounts if "@" not in name]

    def _doveconf(self, name):
        """A setting of Dovecot, "" where there is no Dovecot, or none that knows it."""
        if not self.system.which("doveconf"):
            return ""
        try:
            said = self.system.run(["doveconf", "-h", name], check=False)
        except CommandError:
            return ""
        return said.out.strip() if said.rc == 0 else ""


def takers(instance):
    """The smtpd services of an instance that take AUTH, port 25 and loopback, too: list of Service."""
    return [
        service
        for service in instance.services()
        if service.command == "smtpd" and instance.value(service, "smtpd_sasl_auth_enable").lower() == "yes"
    ]


def is_inbound(service):
    """Whether other mail servers come by a service: port 25, or what postscreen hands connections to."""
    return service.kind == "pass" or port_of(service) == 25


def _table(names, what):
    return HEAD + "".join("{0} {1}\n".format(name, REFUSED.format(what)) for name in names)


def _with_any_realm(name):
    """A line's beginning in a regexp table, which takes upper and lower case for one."""
    return "/^{0}@/".format(re.sub(r"([][.{}()*+?^$|\\/])", r"\\\1", name))


def _with_text(instance, text):
    bare = Instance(instance.system, instance.config_dir)
    bare.text = text
    return bare


def _words(value):
    return value.replace(",", " ").split()


def _raw(instance, service, name):
    """A setting of a service as it is written, so that what it names stays named."""
    if name in service.options:
        return service.options[name]
    return postconf(instance.system, instance.config_dir, [name]).get(name, "")


def _expanded(instance, service, name):
    """A setting of a service with main.cf's values put in for $name, as far as one can without that master.cf."""
    value = service.options.get(name)
    if value is None:
        return instance.setting(name)
    return re.sub(r"\$(?:\{(\w+)\}|\((\w+)\)|(\w+))", lambda m: instance.setting(next(filter(None, m.groups()))), value)
