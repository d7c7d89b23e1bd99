"""The pairs of programs for which POP-before-SMTP is known."""

from .dovecot import DovecotPart
from .follower_unit import FollowerPart
from .pair import Pair
from .postfix import PostfixPart
from .qmail import QmailPart


class PostfixDovecot(Pair):
    name = "postfix_dovecot"

    @staticmethod
    def parts(system, options):
        pop = DovecotPart(system, options["pop_config_dir"])
        return PostfixPart(system, options["config_dirs"], pop.writer), pop


class PostfixCourier(Pair):
    """Postfix, and Courier or whatever else writes log-ins to a log."""

    name = "postfix_courier"

    @staticmethod
    def parts(system, options):
        pop = FollowerPart(system, options)
        return PostfixPart(system, options["config_dirs"], pop.writer), pop


class QmailDovecot(Pair):
    name = "qmail_dovecot"

    @staticmethod
    def parts(system, options):
        return QmailPart(system, options), DovecotPart(system, options["pop_config_dir"])


class QmailCourier(Pair):
    """qmail, and Courier, vpopmail or whatever else writes log-ins to a log."""

    name = "qmail_courier"

    @staticmethod
    def parts(system, options):
        return QmailPart(system, options), FollowerPart(system, options)
