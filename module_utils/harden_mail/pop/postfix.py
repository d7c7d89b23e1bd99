"""Postfix's part of POP-before-SMTP: its submission services look addresses up in the database.

Everything is said in master.cf, on the services that people submit mail by and nowhere else, since ``-o`` there is
stronger than main.cf. Port 25 is not touched, and shares nothing with them that could fail. That is why proxymap is not
asked for the tables: that of Postfix 3.7 ends when it can't open one, and mail on port 25 would wait for it, too. Each
smtpd opens the database itself, as root and before it locks itself up, so who may read the file is no matter.

Postfix tries an address and then its beginnings (``2001:db8::5`` for ``2001:db8::5:1``): the tables answer the whole
address always, by DUNNO where need be, which ends the trying. Of host names, which are tried first, they know nothing.

A Postfix without sqlite tables asks a program instead (``policy_lookup.py``): master.cf gets a service more, by which
spawn(8) starts it. A table of another kind, which would have to be written for each log-in, is never used: it knows no
expiry in the look-up, so who has been let in would stay so when nobody prunes it any more.
"""

import ipaddress
import re

from ..addresses import is_loopback, is_within
from ..archive import build_program
from ..changes import Change, Run, WriteFile, file_change
from ..errors import UserError
from ..paths import POP_LOOKUP
from ..postfix.instance import Instance
from ..postfix.master_cf import host_of, key_of, port_of, with_option, without_options
from ..smtp import ask
from ..trusted_proxies import postfix_findings
from . import database, policy_lookup
from .meaning import BOTH

# The program for a Postfix without sqlite tables, the service that starts it, and that service's line in master.cf: not
# chrooted, and as many processes as there are smtpd that ask.
SPAWNED = "harden-mail-pop"
SERVICE = (
    SPAWNED + " unix - n n - 0 spawn user={user} argv={program} --meaning {meaning} --minutes {minutes} "
    "--prefix6 {prefix6} --ehlo {ehlo}"
)

TABLE = """\
# Who has read mail lately? Made by harden-mail; changes are undone by its next run.
dbpath = {path}
query = {query}
"""

EXEMPT = """\
# Networks that need no log-in to read mail before they send. Made by harden-mail; changes are undone by its next run.
"""

# Lists that may refuse a client who does not use SMTP AUTH, before the one that is about relaying.
OTHER_LISTS = (
    "smtpd_client_restrictions",
    "smtpd_helo_restrictions",
    "smtpd_sender_restrictions",
    "smtpd_recipient_restrictions",
)

# Words of Postfix for nobody knows what; in its lists they end in a refusal of everybody else.
FINAL = ("reject", "defer")

LOOPBACK = [ipaddress.ip_network(text) for text in ("127.0.0.0/8", "::1/128", "::ffff:127.0.0.0/104")]


class PostfixPart:
    """The Postfix instances of a host.

    :param list config_dirs: of str, their configuration directories
    :param writer: function that names the user who writes the database
    """

    def __init__(self, system, config_dirs, writer):
        self.system = system
        self.config_dirs = config_dirs
        self.writer = writer
        self._tables = {}

    def missing(self):
        """A sentence on what is missing, or None."""
        if not self.config_dirs:
            return "Postfix is not there"
        for config_dir in self.config_dirs:
            if not {"sqlite", "socketmap"} & set(self.tables_of(config_dir)):
                return (
                    "Postfix here has neither sqlite nor socketmap tables, and in others the expiry of a log-in can't "
                    "be asked; install its sqlite tables (the package postfix-sqlite)"
                )
        for config_dir in self.config_dirs:
            if not Instance(self.system, config_dir).setting("smtpd_relay_restrictions"):
                return "Postfix here is older than 2.10 and has no smtpd_relay_restrictions"
        return None

    def reread(self):
        """Commands that have a database that was made anew opened: list of list of str."""
        # The program opens it for each look-up.
        return [
            ["postfix", "-c", config_dir, "reload"] for config_dir in self.config_dirs if self.has_sqlite(config_dir)
        ]

    def reader(self):
        """The user who must be let read the database: none, for Postfix opens it as root, the program as its writer."""
        return

    def tables_of(self, config_dir):
        """The kinds of tables that an instance has: list of str."""
        if config_dir not in self._tables:
            said = self.system.run(["postconf", "-c", config_dir, "-m"], check=False)
            self._tables[config_dir] = said.out.split()
        return self._tables[config_dir]

    def has_sqlite(self, config_dir):
        """Whether an instance looks into the database itself; else a program does it for it."""
        return "sqlite" in self.tables_of(config_dir)

    def own(self, wanted, former):
        """Differences in what is ours alone: the tables, and the program."""
        return self.tables(wanted, former) + self.program(wanted)

    def program(self, wanted):
        """Differences in the program: list of Change."""
        is_needed = wanted is not None and not all(map(self.has_sqlite, self.config_dirs))
        text = build_program(policy_lookup) if is_needed else None
        return [
            change._replace(before=_size(change.before), after=_size(change.after))
            for change in file_change(self.system, POP_LOOKUP, text, 0o755)
        ]

    def tables(self, wanted, former):
        """Differences in the tables."""
        changes = []
        for config_dir in self.config_dirs if wanted is not None else sorted(former.get("tables", [])):
            has_sqlite = wanted is not None and self.has_sqlite(config_dir)
            for name, text in _tables(Instance(self.system, config_dir), wanted, has_sqlite).items():
                changes += file_change(self.system, config_dir + "/" + name, text)
        if wanted is not None:
            former["tables"] = sorted(set(former.get("tables", [])) | set(self.config_dirs))
        return changes

    def changes(self, wanted, former):
        """Differences in master.cf. ``former["master"]`` is what is needed to give it back: {path: {before, after,
        options: [[key, option]], lines: [services of ours]}}"""
        memory = former.setdefault("master", {})
        changes = []
        for config_dir in self.config_dirs if wanted is not None else _dirs(memory):
            instance = Instance(self.system, config_dir)
            if wanted is not None and not instance.text:
                raise UserError("config_dirs names {0}, which has no master.cf.".format(config_dir))
            known = memory.get(instance.path)
            base = without_options(instance.text, known)
            text = base
            if wanted is not None:
                bare = Instance(self.system, config_dir)
                bare.text = base
                options, lines = self._options(bare, wanted), self._lines(bare, wanted)
                text = _with_ours(bare, options, lines)
                memory[instance.path] = {"before": base, "after": text, "options": options, "lines": lines}
            if text != instance.text:
                write = WriteFile(instance.path, text, 0o644)
                back = WriteFile(instance.path, instance.text, 0o644)
                changes.append(Change(instance.path, instance.text, text, (write,), (back,)))
        return changes

    def guarded(self, instance):
        """The services of an instance that people submit mail by: those with AUTH, but port 25 and loopback."""
        return [
            service
            for service in instance.services()
            if service.kind == "inet"
            and service.command == "smtpd"
            and port_of(service) != 25
            and not is_loopback(host_of(service))
            and instance.value(service, "smtpd_sasl_auth_enable").lower() == "yes"
        ]

    def checks(self):
        steps = []
        for config_dir in self.config_dirs:
            steps += [
                Run(("postconf", "-c", config_dir, "-M"), None),
                Run(("postfix", "-c", config_dir, "check"), None),
            ]
        return tuple(steps)

    def activation(self):
        # One that does not run, and a test host's in a snapshot, has nothing to reload.
        return tuple(
            Run(("postfix", "-c", config_dir, "reload"), None)
            for config_dir in self.config_dirs
            if self._runs(config_dir)
        )

    def _runs(self, config_dir):
        return self.system.run(["postfix", "-c", config_dir, "status"], check=False).rc == 0

    def answering(self):
        """(address, port) of each submission service that answers this host in clear text now, and (socket, name) of
        each table of ours that must answer."""
        found = []
        for config_dir in self.config_dirs:
            instance = Instance(self.system, config_dir)
            if not self.has_sqlite(config_dir) and self._runs(config_dir):
                found.append(("{0}/private/{1}".format(instance.setting("queue_directory"), SPAWNED), "relay"))
            for service in self.guarded(instance):
                host = host_of(service)
                address, port = "127.0.0.1" if host in ("", "0.0.0.0") else host, port_of(service)
                wrapped = instance.value(service, "smtpd_tls_wrappermode").lower() == "yes"
                if not wrapped and ask(address, port) is not None:
                    found.append((address, port))
        return found

    def findings(self, wanted):
        findings = []
        for config_dir in self.config_dirs:
            instance = Instance(self.system, config_dir)
            wide = _wider_than_the_host(instance.setting("mynetworks"), wanted.exempt)
            if wide:
                findings.append(
                    "mynetworks of {0} holds {1}: who is in there sends by port 25 without password or log-in. Narrow "
                    "it to this host, and name webmail hosts in pop_before_smtp_exempt.".format(
                        config_dir, ", ".join(wide)
                    )
                )
            on_25 = [s for s in instance.servers_on(25) if instance.value(s, "smtpd_sasl_auth_enable").lower() == "yes"]
            if on_25 and wanted.meaning == BOTH:
                findings.append(
                    "Port 25 of {0} takes AUTH, so who has guessed a password sends past this by port 25; set "
                    "submission_firewall_no_auth_on_25: true.".format(config_dir)
                )
            if not self.guarded(instance):
                findings.append(
                    "No service in {0} but port 25 takes AUTH: there is nothing that POP-before-SMTP could "
                    "guard.".format(instance.path)
                )
        return findings + postfix_findings(self.system, self.config_dirs)

    def evidence(self):
        return [
            "{0}: {1} has smtpd_relay_restrictions = {2}".format(
                instance.path, key_of(service), instance.value(service, "smtpd_relay_restrictions")
            )
            for instance in (Instance(self.system, config_dir) for config_dir in self.config_dirs)
            for service in self.guarded(instance)
        ]

    def _options(self, bare, wanted):
        """The options that a master.cf gets: list of [key of the service, "name=value"]."""
        exempt = "check_client_access,cidr:{0}/{1}".format(bare.config_dir, "harden-mail-pop-exempt.cidr")
        seen = "check_client_access," + self._table(bare, "relay")
        options = []
        for service in self.guarded(bare):
            mine = []
            if wanted.meaning == BOTH:
                mine += self._auth_options(bare, service)
                mine.append(("smtpd_relay_restrictions", ",".join([exempt, seen, "permit_sasl_authenticated,reject"])))
            else:
                relay = [exempt, "permit_sasl_authenticated", seen, "reject"]
                mine.append(("smtpd_relay_restrictions", ",".join(relay)))
                for name in OTHER_LISTS:
                    words = _words(_expanded(bare, service, name))
                    if words and words[-1] in FINAL:
                        mine.append((name, ",".join(words[:-1] + [exempt, seen, words[-1]])))
            options += [[key_of(service), "{0}={1}".format(*option)] for option in mine]
        return options

    def _auth_options(self, bare, service):
        """AUTH is taken off every client, and given back to those that the tables know: an error gives it to nobody."""
        own = _words(bare.value(service, "smtpd_discard_ehlo_keywords"))
        maps = ["cidr:{0}/harden-mail-pop-exempt-ehlo.cidr".format(bare.config_dir), self._table(bare, "ehlo")]
        maps += _words(bare.value(service, "smtpd_discard_ehlo_keyword_address_maps"))
        return [
            ("smtpd_discard_ehlo_keywords", ",".join(own + ["auth", "silent-discard"])),
            ("smtpd_discard_ehlo_keyword_address_maps", ",".join(maps)),
        ]

    def _table(self, bare, name):
        """One of the two tables that tell who has read mail, as Postfix is told of it."""
        if self.has_sqlite(bare.config_dir):
            return "sqlite:{0}/harden-mail-pop-{1}.cf".format(bare.config_dir, name)
        # From where smtpd is, in its chroot, too.
        return "socketmap:unix:private/{0}:{1}".format(SPAWNED, name)

    def _lines(self, bare, wanted):
        """Services that a master.cf gets: list of str."""
        if self.has_sqlite(bare.config_dir):
            return []
        return [
            SERVICE.format(
                user=self.writer(),
                program=POP_LOOKUP,
                meaning=wanted.meaning,
                minutes=wanted.minutes,
                prefix6=wanted.prefix6,
                ehlo=",".join(_own_keywords(bare)),
            )
        ]


def _own_keywords(instance):
    """What is hidden from clients without us; never empty, for an answer of tables must not be."""
    return _words(instance.setting("smtpd_discard_ehlo_keywords")) or ["silent-discard"]


def _with_ours(bare, options, lines):
    text = bare.text
    for key, option in options:
        text = with_option(text, [key], option)
    if lines and not text.endswith("\n"):
        text += "\n"
    return text + "".join(line + "\n" for line in lines)


def _tables(instance, wanted, has_sqlite):
    """{name: text or None} of the tables in an instance's directory."""
    names = ("relay.cf", "ehlo.cf", "exempt.cidr", "exempt-ehlo.cidr")
    tables = dict.fromkeys("harden-mail-pop-" + name for name in names)
    if wanted is None:
        return tables
    own = ", ".join(_own_keywords(instance))
    # As before, also in `either`: a log-in from a webmail host is everybody's.
    tables["harden-mail-pop-exempt.cidr"] = _exempt(wanted, "permit_mynetworks, permit_sasl_authenticated, reject")
    tables["harden-mail-pop-exempt-ehlo.cidr"] = _exempt(wanted, own)
    if not has_sqlite:
        return tables
    counts = database.look_up("x", "'%s'", wanted.minutes, wanted.prefix6)
    relay = "SELECT CASE WHEN EXISTS ({0}) THEN '{1}' ELSE '{2}' END WHERE '%s' GLOB '*:*' OR '%s' NOT GLOB '*[^0-9.]*'"
    yes, no = policy_lookup.relay_answers(wanted.meaning)
    tables["harden-mail-pop-relay.cf"] = _table(relay.format("\0", yes, no), counts)
    tables["harden-mail-pop-ehlo.cf"] = _table("\0", database.look_up(own, "'%s'", wanted.minutes, wanted.prefix6))
    return tables


def _table(query, part):
    # For Postfix %s is the address, and a percent sign of SQLite's is doubled.
    part = part.replace("'%s','now'", "'%%s','now'")
    return TABLE.format(path=database.PATH, query=query.replace("\0", part))


def _exempt(wanted, answer):
    return EXEMPT + "".join("{0} {1}\n".format(network, answer) for network in wanted.exempt)


def _words(value):
    return value.replace(",", " ").split()


def _expanded(instance, service, name):
    """A setting of a service with main.cf's values put in for $name, as far as one can without that master.cf."""
    value = service.options.get(name)
    if value is None:
        return instance.setting(name)
    return re.sub(r"\$(?:\{(\w+)\}|\((\w+)\)|(\w+))", lambda m: instance.setting(next(filter(None, m.groups()))), value)


def _dirs(memory):
    return [path[: -len("/master.cf")] for path in sorted(memory)]


def _wider_than_the_host(mynetworks, exempt):
    """Networks of mynetworks (str, as postconf has it) that hold more than one address and are not declared exempt."""
    found = []
    for word in _words(mynetworks):
        try:
            network = ipaddress.ip_network(re.sub(r"\[(.*?)\]", r"\1", word), strict=False)
        except ValueError:
            continue  # a table, a negation
        if network.num_addresses > 1 and not any(is_within(network, other) for other in LOOPBACK + list(exempt)):
            found.append(word)
    return found


def _size(text):
    return "the program, {0} bytes\n".format(len(text)) if text else ""
