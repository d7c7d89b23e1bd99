"""Every store on real daemons: all accounts are read, and what is stored fits the password that Dovecot takes."""

import json
import os
import shlex
import subprocess
import time

import pytest
from code_on_host import put_code
from hosts.lab import Lab
from once import once
from population import LINE_PEOPLE, PEOPLE, domain, passwords

HERE = os.path.dirname(os.path.abspath(__file__))
LAB = Lab.current()
HOSTS = [host.name for host in LAB.hosts()]

MYSQL = {"store": "sql", "database": "mysql", "credentials_file": "/root/auditor.cnf"}
ROOTS_MYSQL = {"store": "sql", "database": "mysql"}
POSTGRESQL = {"store": "sql", "database": "postgresql"}
SQLITE = {"store": "sql", "database": "sqlite"}
BASES = "/var/lib/mail-accounts/"

ACTIVE = tuple(person for person in PEOPLE if person[3])
APP_PASSWORD = "phone-pw"


def declared(*parts, **more):
    made = {}
    for part in parts:
        made.update(part)
    return dict(made, **more)


# name: (declaration, {account: password}, accounts that can't log in)
CASES = {
    "mailcow": declared(MYSQL, preset="mailcow"),
    "ispconfig": declared(MYSQL, preset="ispconfig"),
    "iredmail": declared(MYSQL, preset="iredmail"),
    "vpopmailone": declared(MYSQL, preset="vpopmail"),
    "postfixmy": declared(ROOTS_MYSQL, preset="postfixadmin", db_name="postfix_my"),
    "modoboamy": declared(ROOTS_MYSQL, preset="modoboa", db_name="modoboa_my"),
    "modoboa": declared(POSTGRESQL, preset="modoboa"),
    "postfixpg": declared(POSTGRESQL, preset="postfixadmin", db_name="postfix_pg"),
    "iredmailpg": declared(POSTGRESQL, preset="iredmail", db_name="vmail_pg"),
    "postfixlite": declared(SQLITE, preset="postfixadmin", path=BASES + "postfixadmin.sqlite"),
    "modoboalite": declared(SQLITE, preset="modoboa", path=BASES + "modoboa.sqlite"),
}
LINE_CASES = {
    "virtual": {"store": "directadmin"},
    "vpasswd": {"store": "vpopmail", "path": "/home/vpopmail/domains"},
    "cpanel": {"store": "cpanel"},
    "passwdfile": {"store": "dovecot-passwd-file", "path": "/etc/mail-users/%d/passwd"},
}
# What Dovecot itself asks, and how: preset and driver by the store in which they are.
DOVECOTS = {"iredmail": "mysql", "modoboa": "pgsql", "postfixlite": "sqlite"}


@pytest.fixture(scope="module", params=HOSTS)
def host(request):
    made = LAB.host(request.param)
    put_code(made)
    for name in ("host_stores.py", "host_spy.py", "host_wal.py", "host_many.py"):
        with open(os.path.join(HERE, name), "rb") as handle:
            made.run("cat >/tmp/code/" + name, stdin=handle.read())
    yield made
    made.run("rm -rf /tmp/code")


def ask(host, *stores):
    """What host_stores.py says of stores: pairs of a declaration and a dict of passwords."""
    asked = [{"store": store, "passwords": known} for store, known in stores]
    return json.loads(host.run("exec python3 /tmp/code/host_stores.py", stdin=json.dumps(asked).encode(), timeout=120))


@pytest.fixture(scope="module")
def answers(host):
    cases = dict(CASES, **LINE_CASES)
    found = ask(host, *[(cases[name], passwords(name)) for name in cases])
    return dict(zip(cases, found))


def addresses(store, people):
    return sorted("{0}@{1}".format(person[0], domain(store)) for person in people)


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_database(answers, name):
    answer = answers[name]
    extra = ["info@" + domain(name)] if name.startswith("postfix") else []
    rooms = ["room@" + domain(name)] if name == "mailcow" else []
    assert sorted(answer["names"]) == sorted(addresses(name, PEOPLE) + extra + rooms)
    # Each, whatever its password: the odd one has all that a client could spoil on its way.
    assert set(answer["fitting"]) >= set(addresses(name, PEOPLE))
    assert sorted(answer["inactive"]) == ["gone@" + domain(name)] + rooms
    assert answer["hints"]["info@" + domain(name)] == ["Hanako Yamada"]
    assert answer["hints"]["odd@" + domain(name)] == ["Tab\tand 日本"]
    if name in ("mailcow", "iredmail", "iredmailpg"):
        assert answer["changed"]["info@" + domain(name)] == 19754
    assert answer["problems"] == []


@pytest.mark.parametrize("name", sorted(LINE_CASES))
def test_files(answers, name):
    answer = answers[name]
    assert sorted(answer["names"]) == addresses(name, LINE_PEOPLE)
    assert set(answer["fitting"]) >= {"info@" + domain(name), "old@" + domain(name)}
    assert answer["inactive"] == ["gone@" + domain(name)]
    assert answer["problems"] == []


@once
def test_a_table_for_each_domain(host):
    store = declared(MYSQL, preset="vpopmail", db_name="vpopmail_each")
    known = dict(passwords("vpopmail-each", LINE_PEOPLE), **passwords("vpopmailtwo", LINE_PEOPLE))
    (answer,) = ask(host, (store, known))
    assert sorted(answer["names"]) == sorted(answer["fitting"]) == sorted(known) and answer["problems"] == []


@once
def test_a_query_of_ones_own_and_a_nul(host):
    query = "SELECT login, secret, note FROM people"
    lite, my = ask(
        host,
        (declared(SQLITE, query=query, path=BASES + "own.sqlite"), {"nul@liteown.example": "a\0b"}),
        (declared(MYSQL, query=query, db_name="own"), {"nul@mysqlown.example": "a\0b"}),
    )
    assert lite["fitting"] == ["nul@liteown.example"] and lite["problems"] == []
    assert my["fitting"][0] == "nul@mysqlown.example" and my["problems"] == []
    assert my["inactive"] == ["none@mysqlown.example"]


@once
def test_sasldb(host):
    known = passwords("sasl", [person for person in PEOPLE if person[0] != "odd"])
    (answer,) = ask(host, ({"store": "sasldb"}, known))
    listed = host.run("sasldblistusers2").split("\n")
    assert sorted(answer["fitting"]) == sorted(known) == sorted(line.split(":")[0] for line in listed if line)
    assert answer["problems"] == []


@once
def test_the_systems_accounts(host):
    host.run("useradd -c 'Taro Tanaka,,,' taro; echo taro:spring2024 | chpasswd")
    try:
        (answer,) = ask(host, ({"store": "shadow"}, {"taro": "spring2024"}))
    finally:
        host.run("userdel taro")
    assert answer["fitting"] == ["taro"] and answer["hints"]["taro"] == ["Taro Tanaka"]
    assert abs(answer["changed"]["taro"] - int(time.time() // 86400)) <= 1


@once
def test_what_dovecot_takes_is_what_is_read(host):
    tries = []
    for name in DOVECOTS:
        # Passwords as they are typed: what Dovecot makes of line breaks in one is not what is tested here.
        for person in (person for person in PEOPLE if person[0] != "odd"):
            address = "{0}@{1}".format(person[0], domain(name))
            # The control: a wrong password is refused.
            tries += [(address, person[1], person[3]), (address, person[1] + "x", False)]
    # Side by side, since Dovecot 2.3 takes seconds to refuse one.
    command = "(doveadm auth test {0} {1} </dev/null >/dev/null 2>&1; echo {2} $?) &\n"
    script = "".join(
        command.format(shlex.quote(address), shlex.quote(password), number)
        for number, (address, password, _taken) in enumerate(tries)
    )
    lines = host.run("exec sh", stdin=(script + "wait\n").encode(), timeout=120).splitlines()
    answers = dict(line.split() for line in lines)
    assert len(answers) == len(tries)
    wrong = [address for number, (address, _, taken) in enumerate(tries) if taken != (answers[str(number)] == "0")]
    assert wrong == []
    facts = accounts_found(host)
    found = [entry for entry in facts if entry["store"] == "dovecot-sql"]
    known = {}
    for name in DOVECOTS:
        known.update(passwords(name, ACTIVE))
    answers = ask(host, *[(entry, known) for entry in found])
    # Dovecot's own queries leave out who can't log in.
    for what in ("names", "fitting"):
        assert sorted(name for answer in answers for name in answer[what]) == sorted(known)
    assert [answer["problems"] for answer in answers] == [[] for _ in answers]
    # Postfix asks Dovecot, so sasldb is a file that nobody asks.
    others = [entry["store"] for entry in facts if entry["store"] != "dovecot-sql"]
    assert others == ["dovecot-passwd-file", "vpopmail", "directadmin", "cpanel", "shadow"]
    counts = {entry["store"]: entry["count"] for entry in facts}
    assert counts["vpopmail"] == counts["directadmin"] == counts["cpanel"] == len(LINE_PEOPLE)


def accounts_found(host):
    """The facts' accounts."""
    program = (
        b"import json, sys; sys.path.insert(0, '/tmp/code/module_utils')\n"
        b"from harden_mail.host.facts import gather\nfrom harden_mail.system import System\n"
        b"print(json.dumps(gather(System())['accounts']))"
    )
    return json.loads(host.run('exec python3 -c "$(cat)"', stdin=program))


@once
def test_sasldb_is_found_where_postfix_has_it_asked(host):
    host.run("postconf -P submission/inet/smtpd_sasl_type=cyrus")
    try:
        assert {"store": "sasldb", "path": "/etc/sasldb2", "count": None} in accounts_found(host)
    finally:
        host.run("postconf -PX submission/inet/smtpd_sasl_type")


# What a local user puts where a panel keeps its accounts, and how it is not taken for one.
OTHERS = """
useradd --create-home stranger; cd /home/stranger; runuser -u stranger -- sh -ec '
mkdir -p etc/sick.example etc/{0}; echo "info:{1}:20000::::::" >etc/sick.example/shadow
echo "info:{1}:20000::::::" >etc/{0}/shadow; truncate -s 8T etc/sick.example/shadow'
cd /home/customer; runuser -u customer -- sh -ec 'echo "ceo@bigcorp.example:{1}:20000::::::" >>etc/{0}/shadow'
"""


@once
def test_others_files_are_not_taken_for_a_panels(host):
    shadow = "/home/customer/etc/{0}/shadow".format(domain("cpanel"))
    host.run("cp -p {0} /tmp/shadow".format(shadow))
    try:
        host.run(OTHERS.format(domain("cpanel"), "$6$x$y"))
        (answer,) = ask(host, ({"store": "cpanel"}, {}))
        assert sorted(answer["names"]) == addresses("cpanel", LINE_PEOPLE)
        told = "{0}: a name of another domain, which is ignored, in line {1}.".format(shadow, len(LINE_PEOPLE) + 1)
        assert answer["problems"] == [told]
        assert accounts_found(host)
    finally:
        host.run("cp -p /tmp/shadow {0}; rm /tmp/shadow; userdel -r stranger 2>&1".format(shadow))


STAND_IN = os.path.join(os.path.dirname(os.path.dirname(HERE)), "hosts", "plesk")


@once
def test_the_stand_in_of_plesk_in_each_way(host):
    tar = subprocess.run(["tar", "-C", STAND_IN, "-c", "."], check=True, stdout=subprocess.PIPE).stdout
    host.run("mkdir /tmp/plesk; tar -C /tmp/plesk -x", stdin=tar)
    known, disabled = {}, []
    with open(os.path.join(STAND_IN, "accounts"), encoding="utf-8") as handle:
        for address, _kind, flags, password in (line.rstrip("\n").split(" ", 3) for line in handle if line[0] != "#"):
            known[address] = password
            disabled += [] if flags == "-" else [address]
    try:
        host.run("test ! -e /var/qmail; /tmp/plesk/set_up")
        # Its own program, then `plesk db`, then as old releases have it.
        for gone in ("/none", "/opt/psa/admin", "/usr/sbin/plesk"):
            host.run("rm -rf " + gone)
            (answer,) = ask(host, ({"store": "plesk"}, known))
            assert answer["problems"] == [], gone
            assert sorted(answer["names"]) == sorted(answer["fitting"]) == sorted(known), gone
            assert sorted(answer["inactive"]) == sorted(disabled), gone
    finally:
        host.run("rm -rf /tmp/plesk /etc/psa /opt/psa /usr/sbin/plesk /var/qmail")
        host.run("mysql -e 'DROP DATABASE IF EXISTS psa; DROP USER IF EXISTS admin@localhost'")


def spy(host, connect, database, query):
    """While a slow query runs: where the password can be seen. dict of str."""
    host.run("umask 077; cat >/root/spied.conf", stdin=connect.encode())
    store = {"store": "sql", "database": database, "credentials_file": "/root/spied.conf", "query": query}
    host.run("cat >/tmp/spied.json", stdin=json.dumps([{"store": store, "passwords": {}}]).encode())
    return json.loads(host.run("exec python3 /tmp/code/host_spy.py", timeout=60))


CONNECTIONS = {
    "mysql": ("driver = mysql\nconnect = host=localhost dbname=own user=spied password=c4nary\n", "SLEEP(1)"),
    "postgresql": (
        "driver = pgsql\nconnect = host=localhost dbname=modoboa user=spied password=c4nary\n",
        "pg_sleep(1)",
    ),
}


@once
@pytest.mark.parametrize("database", sorted(CONNECTIONS))
def test_a_databases_password_is_nowhere_to_be_seen(host, database):
    connect, sleep = CONNECTIONS[database]
    if database == "mysql":
        host.run(
            "mysql",
            stdin=b"CREATE USER spied@localhost IDENTIFIED BY 'c4nary'; GRANT SELECT ON own.* TO spied@localhost;",
        )
    else:
        host.run("cd /; runuser -u postgres -- psql -qc \"CREATE USER spied PASSWORD 'c4nary'\"")
    try:
        said = spy(host, connect, database, "SELECT 'a', 'b', {0}".format(sleep))
    finally:
        host.run("rm -f /root/spied.conf /tmp/spied.json")
    # The control: the spy looked while the file was there.
    assert said["files"] == {"client.cnf": "0o600"} and said["directory"] == "0o700"
    assert said["seen"] == [] and said["left"] == []
    assert said["answer"][0]["names"] == ["a"] and said["answer"][0]["problems"] == []


@once
def test_many_accounts_take_no_memory(host):
    query = "SELECT {0}, '{{PLAIN}}spring2024' FROM {1}"
    stores = [
        declared(ROOTS_MYSQL, db_name="own", query=query.format("CONCAT('u', seq, '@x.example')", "seq_1_to_100000")),
        declared(
            POSTGRESQL,
            db_name="modoboa",
            query=query.format("'u' || n || '@x.example'", "generate_series(1, 100000) n"),
        ),
    ]
    said = json.loads(host.run("exec python3 /tmp/code/host_many.py", stdin=json.dumps(stores).encode(), timeout=60))
    assert [answer["count"] for answer in said] == [100000, 100000]
    assert [answer["problems"] for answer in said] == [[], []]
    # The accounts themselves would be more than thirty megabytes.
    assert max(answer["kilobytes"] for answer in said) < 4096, said


@once
def test_databases_are_only_read(host):
    # The control: the same queries do write where they may.
    host.run("mysql own -e 'SELECT writes()'")
    host.run("cd /; runuser -u postgres -- psql -q postfix_pg -c \"SELECT nextval('written')\"")
    before = written(host)
    assert before == ("1", "1")
    my, pg = ask(
        host,
        (declared(ROOTS_MYSQL, db_name="own", query="SELECT 'a', writes()"), {}),
        (declared(POSTGRESQL, db_name="postfix_pg", query="SELECT 'a', nextval('written')"), {}),
    )
    assert my["names"] == pg["names"] == []
    assert "1792" in my["problems"][0] and "25006" in pg["problems"][0]
    assert written(host) == before


def written(host):
    return (
        host.run("mysql own -NBe 'SELECT COUNT(*) FROM written'").strip(),
        host.run("cd /; runuser -u postgres -- psql -qAt postfix_pg -c 'SELECT last_value FROM written'").strip(),
    )


@once
def test_sqlite_with_a_writer_is_left_as_it_is(host):
    try:
        (answer,) = json.loads(host.run("exec python3 /tmp/code/host_wal.py", timeout=60))
    finally:
        host.run("rm -f /var/lib/mail-accounts/wal.sqlite*")
    assert answer["names"] == ["info@example.com"] and answer["problems"] == []


# As www-data, whose web application has the accounts: what it may write there is read as www-data, and tables only.
AS_WWW_DATA = """\
import sqlite3, sys
base = sqlite3.connect("/var/lib/www-accounts/x.sqlite")
base.executescript("DROP {0} IF EXISTS mailbox; " + sys.argv[1])
base.close()
"""
ENDLESS = (
    "CREATE VIEW mailbox AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT 'u' || x AS "
    "username, 'x' AS password, 1 AS active FROM c WHERE x < 0"
)
TABLE = (
    "CREATE TABLE mailbox (username, password, active); INSERT INTO mailbox VALUES ('info@www.example', '{PLAIN}x', 1)"
)


@once
def test_what_a_web_application_makes_of_its_database(host):
    host.run("install -d -o www-data -m 700 /var/lib/www-accounts")
    write = "cd /; runuser -u www-data -- python3 -c {0} {1}"
    store = declared(SQLITE, path="/var/lib/www-accounts/x.sqlite")
    query = "SELECT username, password FROM mailbox"
    try:
        host.run(write.format(shlex.quote(AS_WWW_DATA.format("TABLE")), shlex.quote(TABLE)))
        for one in (declared(store, preset="postfixadmin"), declared(store, query=query)):
            (answer,) = ask(host, (one, {}))
            assert answer["names"] == ["info@www.example"] and answer["problems"] == []
        host.run(write.format(shlex.quote(AS_WWW_DATA.format("TABLE")), shlex.quote(ENDLESS)))
        preset, own = ask(host, (declared(store, preset="postfixadmin"), {}), (declared(store, query=query), {}))
        assert preset["names"] == own["names"] == []
        assert "has no table mailbox" in preset["problems"][0] and "is no plain table" in own["problems"][0]
        assert host.run("ls /var/lib/www-accounts").split() == ["x.sqlite"]
    finally:
        host.run("rm -rf /var/lib/www-accounts")


@once
def test_a_database_that_is_off_is_a_problem(host):
    host.run("systemctl stop mariadb postgresql")
    try:
        answers = ask(host, (CASES["mailcow"], {}), (CASES["modoboa"], {}), (CASES["postfixlite"], {}))
    finally:
        host.run("systemctl start mariadb postgresql")
    assert [len(answer["problems"]) for answer in answers] == [1, 1, 0]
    assert [bool(answer["names"]) for answer in answers] == [False, False, True]
    assert host.run("ls /run/harden-mail/passwords").strip() == ""
