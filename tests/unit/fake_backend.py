"""A firewall made of two files, for tests of what is the same for all firewalls."""

from harden_mail.changes import Change, Run, file_change
from harden_mail.firewall.plan import Backend

CONFIG = "/etc/firewall.conf"
KERNEL = "/kernel"


class TwoFiles(Backend):
    """Rules live in a "kernel", loaded by a command, and in a config file that had a content before us."""

    name = "twofiles"

    def missing(self):
        return None

    def changes(self, restriction, former):
        if restriction is None:
            config, kernel = former.pop("config", None), "open\n"
        else:
            former.setdefault("config", self.system.read(CONFIG))
            kernel = config = "closed but for {0}\n".format(restriction.networks4[0])
        changes = file_change(self.system, CONFIG, config)
        before = self.system.read(KERNEL)
        if before != kernel:
            changes.append(
                Change("kernel", before, kernel, (Run(("load",), kernel),), (Run(("load",), before),)),
            )
        return changes
