"""A host whose iptables, ip6tables and ipset are played from memory, for unit tests."""

from fake_system import FakeSystem
from harden_mail.enforce import Notebook
from harden_mail.firewall.iptables import rules_file
from harden_mail.paths import CONFIGURATION, FIREWALL_NOTEBOOK
from harden_mail.system import Completed

PROGRAMS = {4: "iptables", 6: "ip6tables"}


class FakeIptables(FakeSystem):
    """``FakeSystem`` that keeps tables and sets, and does what the backend's steps say.

    :param root: directory
    :param str saved4: output of iptables-save to begin with, likewise ``saved6``
    :param tuple enabled: services that systemd starts
    :param bool with_sets: ipset is installed
    """

    def __init__(self, root, saved4="", saved6="", enabled=(), with_sets=True):
        super().__init__(root)
        self.tables = {4: rules_file.parse(saved4), 6: rules_file.parse(saved6)}
        self.sets = {}
        self.enabled = set(enabled)
        self.loads = []
        self.write("/proc/net/if_inet6", "00000000000000000000000000000001 01 80 10 80 lo\n")
        for family, program in PROGRAMS.items():
            self.commands[program] = ""
            self.commands[program + " -V"] = "{0} v1.8.9 (nf_tables)\n".format(program)
            self.commands[program + "-save"] = lambda argv, stdin, family=family: self.dump(family)
            self.commands[program + "-restore --help"] = "Usage: ..."
            self.commands[program + "-restore --noflush"] = lambda argv, stdin, family=family: self.load(family, stdin)
        self.commands["nft"] = self.commands["rmdir"] = ""
        self.commands["sh -c"] = self._shell
        self.commands["systemctl"] = ""
        self.commands["systemctl is-enabled"] = lambda argv, stdin: Completed(
            0 if argv[-1].replace(".service", "") in self.enabled else 1, "", ""
        )
        link = "/etc/systemd/system/sysinit.target.wants/harden-mail-submission-iptables.service"
        self.commands["systemctl enable"] = lambda argv, stdin: self.write(link, "") or ""
        self.commands["systemctl disable"] = lambda argv, stdin: self.remove(link) or ""
        if with_sets:
            self.commands["ipset list -n"] = lambda argv, stdin: "".join(name + "\n" for name in self.sets)
            self.commands["ipset save"] = lambda argv, stdin: (
                "create {0} hash:net\n".format(argv[2])
                + "".join("add {0} {1}\n".format(argv[2], member) for member in self.sets[argv[2]])
            )
            self.commands["ipset -exist restore"] = lambda argv, stdin: self.load_sets(stdin)
            self.commands["ipset destroy"] = lambda argv, stdin: self._destroy(argv[2])

    def make(self, changes):
        for change in changes:
            self._perform(change.do)

    def take_back(self, changes):
        for change in reversed(changes):
            self._perform(change.undo)

    def _perform(self, steps):
        Notebook(self, FIREWALL_NOTEBOOK, (CONFIGURATION,)).perform(self, steps)

    def rules(self, family, chain):
        return self.tables[family]["filter"].rules.get(chain, [])

    def dump(self, family):
        lines = []
        for name, table in sorted(self.tables[family].items()):
            lines.append("*" + name)
            lines += [":{0} {1} [0:0]".format(chain, policy) for chain, policy in table.chains.items()]
            lines += ["-A {0} {1}".format(chain, rule) for chain, rules in table.rules.items() for rule in rules]
            lines.append("COMMIT")
        return "\n".join(lines + [""])

    def load(self, family, text):
        """iptables-restore --noflush."""
        self.loads.append(text)
        lines = text.split("\n")
        assert lines[0] == "*filter" and lines[-2:] == ["COMMIT", ""]
        table = self.tables[family].setdefault(
            "filter", rules_file.Table({"INPUT": "ACCEPT", "FORWARD": "ACCEPT", "OUTPUT": "ACCEPT"}, {}, True)
        )
        for line in lines[1:-2]:
            word, _, rest = line.partition(" ")
            if line.startswith(":"):
                table.chains[word[1:]], table.rules[word[1:]] = "-", []
                continue
            chain, _, rest = rest.partition(" ")
            assert chain in table.chains, line
            rules = table.rules.setdefault(chain, [])
            if word == "-A":
                rules.append(rest)
            elif word == "-D":
                rules.remove(rest)
            elif word == "-I":
                number, _, rule = rest.partition(" ")
                assert int(number) <= len(rules) + 1, line
                rules.insert(int(number) - 1, rule)
            elif word == "-X":
                assert chain not in str([other for name, other in table.rules.items() if name != chain])
                assert not rules
                del table.chains[chain], table.rules[chain]
            else:
                raise AssertionError(line)
        return ""

    def load_sets(self, text):
        for line in text.splitlines():
            words = line.split()
            if words[0] == "create":
                self.sets.setdefault(words[1], [])
            elif words[0] == "flush":
                self.sets[words[1]] = []
            elif words[0] == "add":
                self.sets[words[1]].append(words[2])
            elif words[0] == "swap":
                self.sets[words[1]], self.sets[words[2]] = self.sets[words[2]], self.sets[words[1]]
            elif words[0] == "destroy":
                self._destroy(words[1])
            else:
                raise AssertionError(line)
        return ""

    def _destroy(self, name):
        assert name not in str([tables["filter"].rules for tables in self.tables.values() if "filter" in tables])
        del self.sets[name]
        return ""

    def _shell(self, argv, stdin):
        """What our steps hand to a shell: the way back of rules, a set, a unit, an empty table."""
        family = 6 if "ip6tables" in argv[2] else 4
        if "-restore" in argv[2]:
            chain = stdin.split("\n")[1].split(" ")[0][1:]
            rules = self.tables[family].get("filter", rules_file.Table({}, {}, True)).rules
            gone = [
                "-D {0} {1}".format(home, rule) for home in rules for rule in rules[home] if rule.endswith(" " + chain)
            ]
            return self.load(family, "\n".join(stdin.split("\n")[:2] + gone + stdin.split("\n")[2:]))
        if "ipset destroy" in argv[2]:
            return self._destroy(argv[4]) if argv[4] in self.sets else ""
        if "systemctl disable" in argv[2]:
            return self.run(["systemctl", "disable", argv[4]]).out
        return self._drop_table(argv) if "delete table" in argv[2] else ""

    def _drop_table(self, argv):
        family = 6 if "ip6tables" in argv[2] else 4
        table = self.tables[family].get("filter")
        if table and not any(table.rules.values()) and set(table.chains) <= {"INPUT", "FORWARD", "OUTPUT"}:
            del self.tables[family]["filter"]
        return ""
