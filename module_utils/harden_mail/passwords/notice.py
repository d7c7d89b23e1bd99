"""Mail to who has a password that is easily guessed, or to the domain's admin; what ``mail_password_notice`` does.

It says neither the password nor how many guesses it took. Whom it has told is remembered by a digest of the account and
the recipient: whoever can change passwords can't have a mail sent for each of them. An owner is told only where this
host itself delivers the account's mail, since whoever can write an account can give it any name.
"""

import hashlib
import json
import re
import socket
import time
from collections import OrderedDict

from ..errors import CommandError, UserError
from ..mail import compose
from ..paths import PASSWORDS_NOTICE_LOCK, PASSWORDS_STATE, STATE
from ..text import ascii_lower, printable
from .notice_domains import Unknown, delivered

# dict: digest -> {"told": epoch seconds, "times": how often}
NOTEBOOK = PASSWORDS_STATE + "/notices.json"

DAY = 86400

# So long is remembered whom nobody asks about any more.
KEPT_DAYS = 400

LIST_LIMIT = 50

# As it may stand in a header, where sendmail reads it: nothing in it has a meaning there but the @.
ADDRESS = re.compile(r"[!#-'*+\-./0-9=?@A-Z^_`a-z{|}~]{1,254}\Z")

# As an audit names them, see candidates.
KINDS = (
    "account",
    "domain",
    "name",
    "common",
    "japanese",
    "english",
    "keyboard",
    "date",
    "digits",
    "own-list",
    "pwned",
    "empty",
)

WORDS = {
    "en": {
        "subject": "Please change the password of {name}",
        "subject_list": "Mail accounts with passwords that are easily guessed: {number}",
        "found": "The password of the mail account {name} is easily guessed{kind}.",
        "found_list": "The passwords of these mail accounts are easily guessed:",
        "how": "A check on the mail server {host} has found this. Nobody has seen the password, and it is not in this\n"
        "mail. But who sends spam guesses passwords as well, and would send it in the account's name.",
        "todo": "What to do:",
        "change": "- Choose a new password{url}. A good one is long and used nowhere else: four or five words that\n"
        "  have nothing to do with each other, or one that a password manager has made.",
        "url": " at {url}",
        "enter": "- Enter it in every mail program and telephone that uses the account.",
        "blocked": "The account can read mail, but not send it by a mail program, until a later check has seen the\n"
        "new password.",
        "blocked_list": "These accounts can read mail, but not send it by a mail program, until a later check has\n"
        "seen a new password.",
        "end": "This mail was made by a program. Nobody asks you for your password by mail.",
        "account": "made of the account's name",
        "domain": "made of the domain's name",
        "name": "made of the owner's name",
        "common": "one that many people use",
        "japanese": "made of a Japanese word or name",
        "english": "made of an English word or name",
        "keyboard": "keys side by side",
        "date": "made of a date",
        "digits": "made of digits",
        "own-list": "on the administrator's list",
        "pwned": "known from a leak of passwords",
        "empty": "empty",
        "kind": ": it is {kind}",
    },
    "ja": {
        "subject": "【重要】{name} のパスワード変更のお願い",
        "subject_list": "【重要】推測されやすいパスワードのメールアカウント: {number}件",
        "found": "メールアカウント {name} のパスワードは、推測されやすいものになっています{kind}。",
        "found_list": "次のメールアカウントのパスワードは、推測されやすいものになっています。",
        "how": "これはメールサーバー {host} の点検で見つかりました。パスワードを見た人はおらず、このメールにも\n"
        "書かれていません。ただし、迷惑メールの送信者も同じようにパスワードを推測し、このアカウントの名前で\n"
        "メールを送ることができます。",
        "todo": "お願い:",
        "change": "- 新しいパスワードに変更してください{url}。長く、ほかで使っていないものが安全です (互いに関係の\n"
        "  ない4〜5個の単語や、パスワード管理ソフトで作ったものなど)。",
        "url": " ({url})",
        "enter": "- このアカウントを使うすべてのメールソフトとスマートフォンに、新しいパスワードを設定してください。",
        "blocked": "パスワードの変更が次回以降の点検で確認されるまで、このアカウントではメールの受信はできますが、\n"
        "メールソフトからの送信はできません。",
        "blocked_list": "パスワードの変更が次回以降の点検で確認されるまで、これらのアカウントではメールの\n"
        "受信はできますが、メールソフトからの送信はできません。",
        "end": "このメールはプログラムが自動で送信しています。メールでパスワードをお尋ねすることはありません。",
        "account": "アカウント名から作られたもの",
        "domain": "ドメイン名から作られたもの",
        "name": "利用者の氏名から作られたもの",
        "common": "多くの人が使っているもの",
        "japanese": "日本語の単語や名前から作られたもの",
        "english": "英語の単語や名前から作られたもの",
        "keyboard": "キーボードの並び",
        "date": "日付から作られたもの",
        "digits": "数字を並べたもの",
        "own-list": "管理者の一覧にあるもの",
        "pwned": "流出したパスワードとして知られているもの",
        "empty": "パスワードが空",
        "kind": " ({kind})",
    },
}


class Told:
    """One notice.

    :ivar str recipient: its address
    :ivar list accounts: of dict, what it is about
    :ivar list keys: of str, the digest of each
    """

    def __init__(self, recipient):
        self.recipient, self.accounts, self.keys = recipient, [], []


def run(system, params, check_mode):
    """Do what the options say.

    :param System system: the host
    :param dict params: as in the module's argument_spec
    :param bool check_mode: send nothing
    :returns: dict, the module's result
    :raises UserError: a wrong option
    """
    with system.lock(PASSWORDS_NOTICE_LOCK):
        if params["state"] == "absent":
            return _forget(system, check_mode)
        _check(params)
        host = socket.getfqdn() if params["host"] is None else params["host"]
        sender = params["from"] or "root@" + host
        _address(sender, "from")
        notebook = _load(system)
        now = time.time()
        elsewhere, why = _elsewhere(system, params)
        known = dict(params, accounts=[one for one in params["accounts"] if one["name"] not in elsewhere])
        due, adminless = wanted_notices(known, notebook, now)
        notices, later = _within_bounds(params, due)
        if notices and not system.exists(params["sendmail"]):
            raise UserError(
                "sendmail is {0}, which is not there: give the path of the host's sendmail program.".format(
                    params["sendmail"]
                )
            )
        refused = []
        for told in notices if not check_mode else ():
            why = _send(system, params, sender, mail(params, told, host, sender, now, notebook))
            if why:
                refused.append((told, why))
            else:
                _note(system, notebook, told, now)
        sent = [told for told in notices if told not in [one for one, _why in refused]]
        result = _result(sent, later, refused, adminless, check_mode)
        if elsewhere:
            result["findings"].append(_of_elsewhere(elsewhere, why))
        return result


def _elsewhere(system, params):
    """(accounts (set of str) whose owners are not told, since this host does not deliver to them; why not, or None)."""
    if params["to"] != "owner" or not params["accounts"]:
        return set(), None
    names = {account["name"] for account in params["accounts"] if ADDRESS.match(account["name"])}
    try:
        return names - delivered(system, params["backend"], sorted(names)), None
    except Unknown as error:
        return names, str(error)


def _of_elsewhere(elsewhere, why):
    domains, more = _domains(elsewhere)
    because = "it is not known whether this host delivers their mail: {0}".format(why)
    return "{0} not told, since {1} (of {2}{3}); with to: admin, the admins of their domains are told.".format(
        _counted(len(elsewhere), "owner was", "owners were"),
        because if why else "this host does not deliver mail to these addresses",
        ", ".join(domains),
        more,
    )


def _domains(names):
    """(five of the domains of accounts (list of str), how many more there are as a text); of no account its name."""
    domains = sorted({printable(name.rpartition("@")[2]) if "@" in name else "no domain" for name in names})
    return domains[:5], " and {0} more".format(len(domains) - 5) if len(domains) > 5 else ""


def _within_bounds(params, due):
    """(the notices of this run, those that are left for the next)."""
    notices, later, of_domain = [], [], {}
    for told in due:
        domain = ascii_lower(told.recipient.rpartition("@")[2])
        is_over = params["to"] == "owner" and of_domain.get(domain, 0) >= params["max_per_domain"]
        if is_over or len(notices) >= params["max_notices"]:
            later.append(told)
            continue
        notices.append(told)
        of_domain[domain] = of_domain.get(domain, 0) + 1
    return notices, later


def wanted_notices(params, notebook, now):
    """The notices that are due.

    :returns: (list of :class:`Told`, list of str: accounts of whom nobody can be told)
    """
    due, adminless = OrderedDict(), []
    seen = set()
    for account in params["accounts"]:
        recipient = _recipient(params, account["name"])
        if recipient is None:
            adminless.append(account["name"])
            continue
        key = _key(account, recipient)
        known = notebook.get(key)
        if key in seen or (known and now - known["told"] < params["repeat_days"] * DAY):
            continue
        seen.add(key)
        # An owner has a notice for each account, an admin one for all of them.
        group = recipient if params["to"] == "admin" else key
        told = due.setdefault(group, Told(recipient))
        told.accounts.append(account)
        told.keys.append(key)
    return list(due.values()), adminless


def mail(params, told, host, sender, now, notebook):
    """A notice as sendmail reads it: str, ASCII, lines ending as on this host."""
    subject, text = wording(params, told, host)
    headers = OrderedDict()
    headers["From"] = sender
    headers["To"] = told.recipient
    headers["Subject"] = subject
    headers["Message-ID"] = _message_id(told, host, notebook)
    headers["X-Harden-Mail"] = "password-notice"
    return compose(headers, text, now, params["charset"]).decode("ascii").replace("\r\n", "\n")


def wording(params, told, host):
    """(subject, text) of a notice: str."""
    words = WORDS[params["language"]]
    is_list = params["to"] == "admin"
    url = words["url"].format(url=params["url"]) if params["url"] else ""
    if is_list:
        subject = words["subject_list"].format(number=len(told.accounts))
        lines = [words["found_list"], ""]
        lines += ["  {0}{1}".format(printable(one["name"]), _kind(words, one)) for one in told.accounts]
    else:
        name = told.accounts[0]["name"]
        subject = words["subject"].format(name=name)
        lines = [words["found"].format(name=name, kind=_kind(words, told.accounts[0]))]
    lines += ["", words["how"].format(host=host), "", words["todo"], words["change"].format(url=url), words["enter"]]
    if params["blocked"]:
        lines += ["", words["blocked_list" if is_list else "blocked"]]
    return subject, "\n".join(lines + ["", words["end"]]) + "\n"


def _kind(words, account):
    kind = account.get("kind")
    return words["kind"].format(kind=words[kind]) if kind in words and kind in KINDS else ""


def _check(params):
    for name, least, most in (("repeat_days", 1, 3650), ("max_notices", 1, 100000), ("max_per_domain", 1, 100000)):
        if not least <= params[name] <= most:
            raise UserError("{0} is {1}: give a number from {2} to {3}.".format(name, params[name], least, most))
    for domain, address in params["admins"].items():
        _address(str(address or ""), "admins.{0}".format(domain))
    if params["default_admin"]:
        _address(params["default_admin"], "default_admin")
    if params["url"] and not re.match(r"https?://[!-~]+\Z", params["url"]):
        raise UserError("url is '{0}': give an address such as https://panel.example.com/.".format(params["url"]))
    if params["host"] is not None and not re.match(r"[A-Za-z0-9][A-Za-z0-9.-]*\Z", params["host"]):
        raise UserError("host is '{0}': give the name of this host, such as mail.example.com.".format(params["host"]))


def _address(text, option):
    if not ADDRESS.match(text):
        raise UserError("{0} contains '{1}': give a mail address (bob@example.com).".format(option, text[:254]))


def _recipient(params, name):
    """Who is told of an account: str, or None: nobody is named for it, or its name is no address."""
    if params["to"] == "owner":
        return name if ADDRESS.match(name) else None
    admins = {ascii_lower(domain): str(address) for domain, address in params["admins"].items()}
    return admins.get(ascii_lower(name.rpartition("@")[2]), params["default_admin"]) or None


def _key(account, recipient):
    parts = (ascii_lower(account["name"]), ascii_lower(recipient))
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _message_id(told, host, notebook):
    """The same when a notice is sent once more after a crash; another one when it is repeated after some weeks."""
    times = [str(notebook.get(key, {}).get("times", 0)) for key in told.keys]
    digest = hashlib.sha256(" ".join(told.keys + times).encode("ascii")).hexdigest()[:32]
    return "<harden-mail.password-notice.{0}@{1}>".format(digest, host)


def _send(system, params, sender, text):
    """Hand a notice to the host's sendmail; returns why it was not taken, or None."""
    # To whom it goes is in the header alone: every user of the host sees the arguments of a command.
    argv = [params["sendmail"], "-i", "-t", "-f", sender]
    try:
        done = system.run(argv, stdin=text, check=False)
    except CommandError as error:
        return str(error)
    return "sendmail exited with {0}".format(done.rc) if done.rc else None


def _load(system):
    return json.loads(system.read(NOTEBOOK) or "{}")


def _note(system, notebook, told, now):
    """Remember a notice at once, so that a kill repeats one at most, whose Message-ID is the same then."""
    for key in told.keys:
        notebook[key] = {"told": int(now), "times": notebook.get(key, {}).get("times", 0) + 1}
    for key in [key for key, known in notebook.items() if now - known["told"] > KEPT_DAYS * DAY]:
        del notebook[key]
    system.make_private_dir(PASSWORDS_STATE)
    system.write(NOTEBOOK, json.dumps(notebook, indent=0, sort_keys=True) + "\n", 0o600)


def _forget(system, check_mode):
    changed = system.exists(NOTEBOOK)
    if changed and not check_mode:
        system.remove(NOTEBOOK)
    if not check_mode:
        for directory in (PASSWORDS_STATE, STATE):
            system.remove_empty_dir(directory)
    return {"changed": changed, "evidence": [], "findings": []}


def _result(sent, later, refused, adminless, check_mode):
    findings = []
    if later:
        findings.append(
            "{0} more notices are due, beyond max_notices or max_per_domain; the next run sends them.".format(
                len(later)
            )
        )
    if refused:
        named = "; ".join("{0}: {1}".format(told.recipient, why) for told, why in refused[:5])
        more = " and {0} more".format(len(refused) - 5) if len(refused) > 5 else ""
        findings.append("{0} notices were not taken: {1}{2}.".format(len(refused), named, more))
    if adminless:
        domains, more = _domains(adminless)
        findings.append(
            "{0} accounts have nobody who can be told of them (of {1}{2}); with to: admin, name somebody in admins or "
            "default_admin.".format(len(adminless), ", ".join(domains), more)
        )
    accounts = [account["name"] for told in sent for account in told.accounts]
    evidence = []
    if sent:
        what = "To be handed" if check_mode else "Handed"
        evidence.append(
            "{0} to sendmail: {1}, about {2}".format(
                what, _counted(len(sent), "notice", "notices"), _counted(len(accounts), "account", "accounts")
            )
        )
    return {
        "changed": bool(sent),
        "told": accounts[:LIST_LIMIT],
        "told_total": len(accounts),
        "notices": len(sent),
        "notices_left": len(later),
        "evidence": evidence,
        "findings": findings,
    }


def _counted(number, one, many):
    return "{0} {1}".format(number, one if number == 1 else many)
