"""On the host: fills every kind of store, and has Dovecot ask three of them.

The tables have the columns of the programs' own (where they were read: sql_presets.py), and are filled by nobody but
this.
"""

import os
import sqlite3
import subprocess

from population import LINE_PEOPLE, PEOPLE, domain

# Passwords that options files, connections and comments could misunderstand. Dovecot 2.3 takes no blank in MySQL's.
MYSQL_PASSWORD = "d#ve \"c'o\\t"
DOVECOTS_MYSQL_PASSWORD = "dove-cot'#x"
# Without this, Dovecot asks in Latin-1, and what is not in that is a question mark for it.
DOVECOTS_MYSQL_FILE = "/etc/dovecot/mysql-client.cnf"
POSTGRESQL_PASSWORD = "po:st\\gre's"


def run(argv, text=""):
    return subprocess.run(argv, input=text.encode(), check=True, stdout=subprocess.PIPE).stdout.decode()


def write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as handle:
        handle.write(text)
    os.chmod(path, mode)


def kept(password, how):
    """What a store has of a password."""
    if how == "plain":
        return "{PLAIN}" + password
    return run(["openssl", "passwd", "-" + how[len("crypt") :], "-stdin"], password + "\n").strip()


def people(store, among=PEOPLE):
    """Tuples (local part, address, stored, active, owner)."""
    for name, password, how, active, owner in among:
        yield name, "{0}@{1}".format(name, domain(store)), kept(password, how), active, owner


# --- SQL -----------------------------------------------------------------------------------------------------------


def mysql_text(value):
    if isinstance(value, (bool, int)):
        return str(int(value))
    return "'{0}'".format(value.replace("\\", "\\\\").replace("'", "\\'"))


def postgresql_text(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return "E'{0}'".format(value.replace("\\", "\\\\").replace("'", "\\'"))


def insert(table, row, text, names="{0}"):
    return "INSERT INTO {0} ({1}) VALUES ({2});\n".format(
        table, ", ".join(names.format(name) for name in row), ", ".join(text(value) for value in row.values())
    )


POSTFIXADMIN = """
CREATE TABLE domain (domain varchar(255) PRIMARY KEY, active {boolean});
CREATE TABLE mailbox (username varchar(255) PRIMARY KEY, password varchar(255) NOT NULL, name varchar(255) NOT NULL,
  maildir varchar(255) NOT NULL, quota bigint NOT NULL DEFAULT 0, local_part varchar(255) NOT NULL,
  domain varchar(255) NOT NULL, created {time}, modified {time}, active {boolean}, password_expiry {time},
  totp_secret varchar(255), smtp_active {boolean});
CREATE TABLE mailbox_app_password (id {number}, username varchar(255), description varchar(255),
  password_hash varchar(255));
"""

IREDMAIL = """
CREATE TABLE domain (domain varchar(255) PRIMARY KEY, backupmx smallint NOT NULL DEFAULT 0,
  active smallint NOT NULL DEFAULT 1);
CREATE TABLE mailbox (username varchar(255) PRIMARY KEY, password varchar(255) NOT NULL, name varchar(255) NOT NULL,
  first_name varchar(255) NOT NULL DEFAULT '', last_name varchar(255) NOT NULL DEFAULT '',
  mobile varchar(255) NOT NULL DEFAULT '', telephone varchar(255) NOT NULL DEFAULT '',
  birthday date NOT NULL DEFAULT '0001-01-01', domain varchar(255) NOT NULL, employeeid varchar(255) DEFAULT '',
  enablesmtp smallint NOT NULL DEFAULT 1, enablesmtpsecured smallint NOT NULL DEFAULT 1,
  enableimap smallint NOT NULL DEFAULT 1, enableimapsecured smallint NOT NULL DEFAULT 1,
  enabledoveadm smallint NOT NULL DEFAULT 1, enabledoveadmsecured smallint NOT NULL DEFAULT 1, allow_nets text,
  passwordlastchange {time} NOT NULL DEFAULT '1970-01-01 01:01:01', active smallint NOT NULL DEFAULT 1);
"""

MAILCOW = """
CREATE TABLE domain (domain varchar(255) PRIMARY KEY, active tinyint(1) NOT NULL DEFAULT 1);
CREATE TABLE mailbox (username varchar(255) PRIMARY KEY, password varchar(255) NOT NULL, name varchar(255),
  local_part varchar(255) NOT NULL, domain varchar(255) NOT NULL, attributes JSON,
  kind varchar(100) NOT NULL DEFAULT '',
  authsource ENUM('mailcow', 'keycloak', 'generic-oidc', 'ldap') DEFAULT 'mailcow',
  active tinyint(1) NOT NULL DEFAULT 1) DEFAULT CHARSET=utf8mb4;
CREATE TABLE app_passwd (id int PRIMARY KEY AUTO_INCREMENT, name varchar(255) NOT NULL, mailbox varchar(255) NOT NULL,
  domain varchar(255) NOT NULL, password varchar(255) NOT NULL, active tinyint(1) NOT NULL DEFAULT 1);
"""

ISPCONFIG = """
CREATE TABLE mail_domain (domain_id int PRIMARY KEY AUTO_INCREMENT, server_id int NOT NULL DEFAULT 1,
  domain varchar(255) NOT NULL, active ENUM('n', 'y') NOT NULL DEFAULT 'y');
CREATE TABLE mail_user (mailuser_id int PRIMARY KEY AUTO_INCREMENT, server_id int NOT NULL DEFAULT 1,
  email varchar(255) NOT NULL, login varchar(255) NOT NULL, password varchar(255) NOT NULL, name varchar(255) NOT NULL,
  maildir varchar(255) NOT NULL DEFAULT '', disableimap ENUM('n', 'y') NOT NULL DEFAULT 'n',
  disablepop3 ENUM('n', 'y') NOT NULL DEFAULT 'n',
  disablesmtp ENUM('n', 'y') NOT NULL DEFAULT 'n') DEFAULT CHARSET=utf8mb4;
"""

MODOBOA = """
CREATE TABLE core_user (id integer PRIMARY KEY, username varchar(254) UNIQUE NOT NULL, email varchar(254) NOT NULL,
  password varchar(256) NOT NULL, first_name varchar(150) NOT NULL DEFAULT '', last_name varchar(150) NOT NULL,
  is_active {boolean}, is_local {boolean}, phone_number varchar(128));
CREATE TABLE admin_domain (id integer PRIMARY KEY, name varchar(253) NOT NULL, enabled {boolean});
CREATE TABLE admin_mailbox (id integer PRIMARY KEY, address varchar(252) NOT NULL, domain_id integer NOT NULL,
  user_id integer NOT NULL, is_send_only {falsehood});
"""

VPOPMAIL_ONE = """
CREATE TABLE vpopmail (pw_name varchar(64) NOT NULL, pw_domain varchar(96) NOT NULL, pw_passwd varchar(128),
  pw_uid int, pw_gid int, pw_gecos varchar(64), pw_dir varchar(160), pw_shell varchar(20),
  pw_clear_passwd varchar(128), PRIMARY KEY (pw_name, pw_domain));
CREATE TABLE lastauth (user varchar(32) NOT NULL, domain varchar(96) NOT NULL, remote_ip varchar(39) NOT NULL,
  timestamp int NOT NULL, PRIMARY KEY (user, domain));
"""

VPOPMAIL_EACH = """
CREATE TABLE `{table}` (pw_name varchar(64) NOT NULL PRIMARY KEY, pw_passwd varchar(128), pw_uid int, pw_gid int,
  pw_gecos varchar(64), pw_dir varchar(160), pw_shell varchar(20));
"""


def postfixadmin(store, text, **kinds):
    yield POSTFIXADMIN.format(**kinds)
    yield insert("domain", {"domain": domain(store), "active": True}, text)
    for name, address, stored, active, owner in people(store):
        row = {"username": address, "password": stored, "name": owner, "maildir": address, "local_part": name}
        yield insert("mailbox", dict(row, domain=domain(store), active=active, smtp_active=active), text)
    app = {"username": "info@" + domain(store), "description": "phone", "password_hash": kept("phone-pw", "crypt6")}
    yield insert("mailbox_app_password", app, text)


def iredmail(store, text, time):
    yield IREDMAIL.format(time=time)
    yield insert("domain", {"domain": domain(store)}, text)
    for _name, address, stored, active, owner in people(store):
        row = {"username": address, "password": stored, "name": owner, "domain": domain(store)}
        yield insert("mailbox", dict(row, active=int(active), passwordlastchange="2024-02-01 10:00:00"), text)


def mailcow(store):
    yield MAILCOW
    yield insert("domain", {"domain": domain(store)}, mysql_text)
    attributes = '{"passwd_update": "2024-02-01 10:00:00", "force_pw_update": "0"}'
    for name, address, stored, active, owner in people(store):
        row = {"username": address, "password": stored, "name": owner, "local_part": name, "domain": domain(store)}
        # 2: mail comes in, nobody logs in
        yield insert("mailbox", dict(row, attributes=attributes, active=1 if active else 2), mysql_text)
    room = {"username": "room@" + domain(store), "password": "", "local_part": "room", "domain": domain(store)}
    yield insert("mailbox", dict(room, kind="location"), mysql_text)


def ispconfig(store):
    yield ISPCONFIG
    yield insert("mail_domain", {"domain": domain(store)}, mysql_text)
    for _name, address, stored, active, owner in people(store):
        row = {"email": address, "login": address, "password": stored, "name": owner}
        denied = dict.fromkeys(("disableimap", "disablepop3", "disablesmtp"), "n" if active else "y")
        yield insert("mail_user", dict(row, **denied), mysql_text)


def modoboa(store, text, boolean, falsehood):
    yield MODOBOA.format(boolean=boolean, falsehood=falsehood)
    yield insert("admin_domain", {"id": 1, "name": domain(store), "enabled": True}, text)
    for number, (name, address, stored, active, owner) in enumerate(people(store), 1):
        row = {"id": number, "username": address, "email": address, "password": stored, "last_name": owner}
        yield insert("core_user", dict(row, is_active=active, is_local=True), text)
        yield insert("admin_mailbox", {"id": number, "address": name, "domain_id": 1, "user_id": number}, text)


def vpopmail_row(store, name, stored, active, owner):
    clear = stored[len("{PLAIN}") :] if stored.startswith("{PLAIN}") else ""
    return {
        "pw_name": name,
        "pw_passwd": kept("other", "crypt1") if clear else stored,
        "pw_uid": 0,
        "pw_gid": 0 if active else 0x80E,
        "pw_gecos": owner,
        "pw_dir": "/home/vpopmail/domains/{0}/{1}".format(domain(store), name),
        "pw_shell": "NOQUOTA",
    }, clear


def vpopmail_one(store):
    yield VPOPMAIL_ONE
    for name, _address, stored, active, owner in people(store):
        row, clear = vpopmail_row(store, name, stored, active, owner)
        yield insert("vpopmail", dict(row, pw_domain=domain(store), pw_clear_passwd=clear), mysql_text)


def vpopmail_each(stores):
    for store in stores:
        table = domain(store).replace(".", "_").replace("-", "_")
        yield VPOPMAIL_EACH.format(table=table)
        for name, _address, stored, active, owner in people(store, LINE_PEOPLE):
            row, _clear = vpopmail_row(store, name, stored, active, owner)
            yield insert("`{0}`".format(table), row, mysql_text)


def fill_mysql():
    own = (
        "CREATE TABLE people (login varchar(64), secret varbinary(300), note varchar(64));\n"
        + "INSERT INTO people VALUES ('nul@mysqlown.example', 0x7b504c41494e7d610062, NULL), ('none@mysqlown.example', "
        + "NULL, 'x');\n"
        + "CREATE TABLE written (day int);\n"
    )
    for name, statements in (
        ("mailcow", mailcow("mailcow")),
        ("dbispconfig", ispconfig("ispconfig")),
        ("vmail", iredmail("iredmail", mysql_text, "datetime")),
        ("vpopmail", vpopmail_one("vpopmailone")),
        ("vpopmail_each", vpopmail_each(["vpopmail-each", "vpopmailtwo"])),
        (
            "postfix_my",
            postfixadmin(
                "postfixmy",
                mysql_text,
                boolean="tinyint(1) NOT NULL DEFAULT 1",
                time="datetime",
                number="int PRIMARY KEY AUTO_INCREMENT",
            ),
        ),
        (
            "modoboa_my",
            modoboa("modoboamy", mysql_text, "tinyint(1) NOT NULL DEFAULT 1", "tinyint(1) NOT NULL DEFAULT 0"),
        ),
        ("own", [own]),
    ):
        run(["mysql", "-e", "CREATE DATABASE {0} CHARACTER SET utf8mb4".format(name)])
        run(["mysql", "--default-character-set=utf8mb4", name], "".join(statements))
    function = (
        "CREATE FUNCTION writes() RETURNS int MODIFIES SQL DATA BEGIN INSERT INTO written VALUES (1); RETURN 1; END//"
    )
    run(["mysql", "--delimiter=//", "own"], function)
    for user, password in (("auditor", MYSQL_PASSWORD), ("dovecot", DOVECOTS_MYSQL_PASSWORD)):
        run(
            ["mysql"],
            "CREATE USER {0}@localhost IDENTIFIED BY {1}; GRANT SELECT ON *.* TO {0}@localhost;\n".format(
                user, mysql_text(password)
            ),
        )


def fill_postgresql():
    psql = ["runuser", "-u", "postgres", "--", "psql", "-q", "-v", "ON_ERROR_STOP=1"]
    run(psql, "CREATE USER dovecot PASSWORD {0};\n".format(postgresql_text(POSTGRESQL_PASSWORD)))
    boolean = "boolean NOT NULL DEFAULT true"
    for name, statements in (
        ("modoboa", modoboa("modoboa", postgresql_text, boolean, "boolean NOT NULL DEFAULT false")),
        ("postfix_pg", postfixadmin("postfixpg", postgresql_text, boolean=boolean, time="timestamp", number="serial")),
        ("vmail_pg", iredmail("iredmailpg", postgresql_text, "timestamp")),
    ):
        run(psql, "CREATE DATABASE {0} ENCODING 'UTF8' TEMPLATE template0;\n".format(name))
        run(psql + [name], "SET client_encoding = 'UTF8';\n" + "".join(statements))
        run(psql + [name], "CREATE SEQUENCE written;\n")
        run(psql + [name], "GRANT SELECT ON ALL TABLES IN SCHEMA public TO dovecot;\n")


def sqlite_text(value):
    if isinstance(value, (bool, int)):
        return str(int(value))
    return "'{0}'".format(value.replace("'", "''"))


def fill_sqlite():
    os.makedirs("/var/lib/mail-accounts")
    boolean = "boolean NOT NULL DEFAULT 1"
    for name, statements in (
        (
            "postfixadmin",
            postfixadmin(
                "postfixlite", sqlite_text, boolean=boolean, time="datetime", number="INTEGER PRIMARY KEY AUTOINCREMENT"
            ),
        ),
        ("modoboa", modoboa("modoboalite", sqlite_text, boolean, "boolean NOT NULL DEFAULT 0")),
    ):
        path = "/var/lib/mail-accounts/{0}.sqlite".format(name)
        base = sqlite3.connect(path)
        base.executescript("".join(statements))
        base.close()
        os.chmod(path, 0o644)
    base = sqlite3.connect("/var/lib/mail-accounts/own.sqlite")
    base.execute("CREATE TABLE people (login, secret, note)")
    base.execute("INSERT INTO people VALUES ('nul@liteown.example', ?, 7)", ("{PLAIN}a\0b",))
    base.commit()
    base.close()


# --- Dovecot -------------------------------------------------------------------------------------------------------

IREDMAIL_QUERY = (
    "SELECT mailbox.password, mailbox.allow_nets FROM mailbox,domain WHERE mailbox.username='{user}' AND "
    "mailbox.`enable{service}{secured}`=1 AND mailbox.active=1 AND mailbox.domain=domain.domain AND domain.backupmx=0 "
    "AND domain.active=1"
)
MODOBOA_QUERY = (
    "SELECT email AS user, password FROM core_user u INNER JOIN admin_mailbox mb ON u.id=mb.user_id INNER JOIN "
    "admin_domain dom ON mb.domain_id=dom.id WHERE (mb.is_send_only IS NOT TRUE OR '{service}' NOT IN ('imap', "
    "'pop3')) AND email='{user}' AND is_active AND dom.enabled"
)
POSTFIXADMIN_QUERY = (
    "SELECT username AS user, password FROM mailbox WHERE local_part = '{name}' AND domain = '{domain}' AND active = 1"
)

OLD = """\
driver = {driver}
connect = {connect}
default_pass_scheme = CRYPT
password_query = {query}
"""

NEW = """\
passdb {name} {{
  driver = sql
  sql_driver = {driver}
  {connection}
  passdb_default_password_scheme = CRYPT
  passdb_sql_query = {query}
}}
"""


def fill_dovecot():
    stores = (
        (
            "mysql",
            IREDMAIL_QUERY,
            "host=localhost dbname=vmail user=dovecot option_file={0} password={1}".format(
                DOVECOTS_MYSQL_FILE, DOVECOTS_MYSQL_PASSWORD
            ),
        ),
        (
            "pgsql",
            MODOBOA_QUERY,
            "host=localhost dbname=modoboa user=dovecot password='{0}'".format(
                POSTGRESQL_PASSWORD.replace("\\", "\\\\").replace("'", "\\'")
            ),
        ),
        ("sqlite", POSTFIXADMIN_QUERY, "/var/lib/mail-accounts/postfixadmin.sqlite"),
    )
    old = run(["dovecot", "--version"]).startswith("2.3")
    words = {"user": "%u", "name": "%n", "domain": "%d", "service": "%Ls", "secured": "%Lc"}
    if not old:
        words = {
            "user": "%{user}",
            "name": "%{user | username}",
            "domain": "%{user | domain}",
            "service": "%{protocol | lower}",
            "secured": "",
        }
    # As on an old host: MD5 is let in. And a test need not wait because a password was wrong.
    text = "auth_failure_delay = 0\n" + ("" if old else "auth_allow_weak_schemes = yes\n")
    for driver, template, connect in stores:
        query = template.format(**words)
        if old:
            path = "/etc/dovecot/{0}.conf.ext".format(driver)
            write(
                path, OLD.format(driver=driver, connect=connect, query=query.replace(" WHERE", " \\\n  WHERE")), 0o600
            )
            text += "passdb {{\n  driver = sql\n  args = {0}\n}}\n".format(path)
        else:
            text += NEW.format(name="in_" + driver, driver=driver, query=query, connection=new_connection(driver))
    write(DOVECOTS_MYSQL_FILE, "[client]\ndefault-character-set = utf8mb4\n")
    write("/etc/dovecot/conf.d/97-stores.conf", text, 0o600)


def new_connection(driver):
    if driver == "sqlite":
        return "sqlite_path = /var/lib/mail-accounts/postfixadmin.sqlite"
    if driver == "pgsql":
        parameters = 'dbname = modoboa\n user = dovecot\n password = "{0}"\n'.format(
            POSTGRESQL_PASSWORD.replace("\\", "\\\\")
        )
        return "pgsql localhost {{\n parameters {{\n {0} }}\n }}".format(parameters)
    return 'mysql localhost {{\n dbname = vmail\n user = dovecot\n option_file = {0}\n password = "{1}"\n }}'.format(
        DOVECOTS_MYSQL_FILE, DOVECOTS_MYSQL_PASSWORD.replace("\\", "\\\\").replace('"', '\\"')
    )


# --- files ---------------------------------------------------------------------------------------------------------


def fill_panels():
    """What tells the panels' files from those that anybody can make: marks, users, and whose a domain is."""
    for name in ("customer", "vpopmail"):
        run(["useradd", "--create-home", "--home-dir", "/home/" + name, name])
    write("/usr/local/cpanel/version", "11.110.0.5\n")
    write("/etc/userdomains", "*: nobody\n{0}: customer\n".format(domain("cpanel")), 0o640)
    write("/usr/local/directadmin/conf/directadmin.conf", "port=2222\n", 0o600)
    write("/etc/virtual/domainowners", "{0}: customer\n".format(domain("virtual")))


def own_files():
    """Everything belongs to whom it belongs on a real host."""
    for owner, path in (("customer", "/home/customer"), ("vpopmail", "/home/vpopmail"), ("mail", "/etc/virtual")):
        run(["chown", "-R", owner + ":", path])


def fill_files():
    for store, path in (
        ("virtual", "/etc/virtual/{0}/passwd"),
        ("vpasswd", "/home/vpopmail/domains/{0}/vpasswd"),
        ("passwdfile", "/etc/mail-users/{0}/passwd"),
        ("cpanel", "/home/customer/etc/{0}/shadow"),
    ):
        lines = []
        for name, _address, stored, active, owner in people(store, LINE_PEOPLE):
            password = stored if active or store == "vpasswd" else "!" + stored
            fields = {
                "virtual": [],
                "vpasswd": ["1", "0" if active else str(0x80E), owner, "/home/vpopmail/" + name, "NOQUOTA"],
                "passwdfile": ["1000", "1000", owner, "/x", "/bin/false", ""],
                "cpanel": ["19755", "0", "99999", "7", "", "", ""],
            }[store]
            lines.append(":".join([name, password] + fields) + "\n")
        write(path.format(domain(store)), "".join(lines), 0o640)
    for name, password, _how, _active, _owner in PEOPLE:
        if "\n" not in password:
            run(["saslpasswd2", "-p", "-c", "-u", domain("sasl"), name], password)


def main():
    os.umask(0o022)
    fill_mysql()
    fill_postgresql()
    fill_sqlite()
    fill_panels()
    fill_files()
    own_files()
    fill_dovecot()
    write(
        "/root/auditor.cnf",
        '[client]\nuser=auditor\npassword="{0}"\n'.format(MYSQL_PASSWORD.replace("\\", "\\\\").replace('"', '\\"')),
        0o600,
    )


if __name__ == "__main__":
    main()
