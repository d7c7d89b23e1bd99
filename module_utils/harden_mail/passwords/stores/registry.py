"""Every store there is."""

from ...errors import UserError
from .dovecot_sql import DovecotSql
from .panels import CPanel, DirectAdmin
from .passwd_file import PasswdFile
from .plesk import Plesk
from .sasldb import Sasldb
from .shadow import Shadow
from .sql import Sql
from .vpopmail import Vpopmail

# To add a store, add its class.
STORES = {
    store.name: store for store in (PasswdFile, DovecotSql, Sql, Vpopmail, Shadow, Plesk, CPanel, DirectAdmin, Sasldb)
}

# What mail_host finds and nobody can audit here: name and why.
OUT_OF_REACH = {
    "dovecot-ldap": "a directory server keeps them, perhaps on another host",
    "dovecot-imap": "another server is asked",
    "dovecot-oauth2": "another server is asked",
    "dovecot-checkpassword": "a program of one's own is asked",
    "dovecot-dict": "a dictionary of Dovecot's has no list of accounts that could be read here",
    "dovecot-lua": "a program of one's own is asked",
    "dovecot-static": "there is one answer for everybody",
}


def open_store(system, declaration):
    """The store of a declaration.

    :param system: ``system.System``
    :param dict declaration: ``store`` (its name), and what that store knows: ``path``, ``default_scheme``, ...; the
        facts ``accounts`` are a list of such
    :returns: ``store.Store``
    :raises UserError: no such store, or options that can't be right
    """
    if not isinstance(declaration, dict):
        raise UserError("'{0}' declares no store (password_audit_stores): give a dict.".format(declaration))
    name = declaration.get("store")
    if not isinstance(name, str):
        raise UserError(
            "The option store is '{0}' (password_audit_stores): give one of {1}.".format(
                "" if name is None else name, ", ".join(sorted(STORES))
            )
        )
    if name in STORES:
        return STORES[name](system, declaration)
    if name in OUT_OF_REACH:
        raise UserError("The passwords of the store {0} can't be audited here: {1}.".format(name, OUT_OF_REACH[name]))
    raise UserError(
        "There is no store '{0}' (password_audit_stores); there are {1}.".format(name, ", ".join(sorted(STORES)))
    )
