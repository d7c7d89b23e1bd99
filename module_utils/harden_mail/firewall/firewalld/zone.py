"""What of a zone concerns us."""

from collections import namedtuple

from ...changes import Run


class Zone(namedtuple("Zone", "services ports rules")):
    """What of a zone concerns us.

    :ivar list services: of str
    :ivar list ports: of str, "587/tcp"
    :ivar list rules: of str, the rich rules that are ours
    """

    __slots__ = ()

    def text(self):
        """For a diff, as firewall-cmd lists it."""
        return "services: {0}\nports: {1}\nrich rules:\n{2}".format(
            " ".join(self.services), " ".join(self.ports), "".join("\t{0}\n".format(rule) for rule in self.rules)
        )

    def steps_to(self, name, other):
        """Steps that turn the runtime zone ``name`` into ``other``: what is let in comes before what goes."""
        steps = []
        pairs = (
            ("rich-rule", self.rules, other.rules),
            ("service", self.services, other.services),
            ("port", self.ports, other.ports),
        )
        for verb, one_way in (("add", 1), ("remove", -1)):
            for kind, have, want in pairs:
                new, old = (want, have) if one_way == 1 else (have, want)
                options = ["--{0}-{1}={2}".format(verb, kind, word) for word in new if word not in old]
                if options:
                    steps.append(Run(tuple(["firewall-cmd", "--quiet", "--zone=" + name] + options), None))
        return tuple(steps)
