"""The text of a notice, English or Japanese, and the mail made of it.

Nothing from the queue gets into a header, and what gets into the text is ``printable``: whoever fills the queue writes
senders and subjects.
"""

import datetime
import re
import shlex

from ..mail import compose

# As queue.summary.origin_text writes it.
_SAYS_SCRIPT = re.compile(r"uid (\d+) \(says script (.*)\Z", re.DOTALL)

WORDS = {
    "en": {
        "alarm": "Mail queue on {host}: {total} messages (limit {limit})",
        "repeat": "Still: mail queue on {host}: {total} messages (limit {limit})",
        "clear": "All clear: mail queue on {host}: {total} messages",
        "drill": "DRILL: test of the mail queue alert on {host}",
        "alarm_by": "Mail queue on {host}: {what}",
        "repeat_by": "Still: mail queue on {host}: {what}",
        "drill_text": "This is a drill. It shows that an alert of the mail queue on {host} gets to you by this way.\n"
        "Nothing is wrong; nothing needs to be done.",
        "over_total": "{value} messages are in the queue; the limit is {limit}.",
        "over_oldest": "The oldest message has waited for {value} minutes; the limit is {limit}.",
        "over_growth": "The queue has grown by {value} messages lately; the limit is {limit}.",
        "over_origin": "{value} messages come from one origin; the limit is {limit}.",
        "over_todo": "{value} messages are not yet preprocessed (todo); the limit is {limit}.",
        "clear_text": "The queue is down to {total} messages. The alarm lasted from {since}; at most {peak} were seen.",
        "blind": "Mail queue on {host} can't be counted",
        "still_blind": "Still: mail queue on {host} can't be counted",
        "sighted": "Mail queue on {host} can be counted again: {total} messages",
        "blind_text": "How many messages are in the mail queue on {host} has not been known since {since}:\n"
        "  {reason}\n"
        "Until that is mended, no alarm can come from this host, however long its queue is.",
        "alarm_goes_on": "The alarm that was on before is not over; nobody knows.",
        "sighted_text": "The queue on {host} can be counted again; it could not be since {since}.",
        "held_back": "Mail queue on {host}: its automatic limit is held at {limit}",
        "held_back_text": "By what the queue has had in its busiest hours, the automatic limit would be {value}.\n"
        "It may not grow so fast or so far, and stays at {limit} for now. If so many messages are usual here, give\n"
        "queue_alert_limit a number. If not, look what fills the queue: what stays just below the limit is no alarm.",
        "aside": "Earlier notices that no way has taken ({number}), in files on the host:",
        "host": "Host",
        "count": "Messages",
        "held": "Held besides",
        "todo": "Not yet preprocessed",
        "limit": "Limit",
        "since": "Since",
        "top_origins": "Where they come from",
        "says_script": "uid {uid} (says script {script}",
        "top_clients": "Client addresses",
        "top_senders": "Envelope senders",
        "top_recipient_domains": "Recipient domains",
        "top_subjects": "Subjects",
        "of_first": "(of the first {read} messages that were read)",
        "next": "What to do next, on the machine with Ansible:",
        "list": "ansible-playbook playbooks/queue.yml -e queue_action=list --limit {target}",
        "quarantine": "ansible-playbook playbooks/queue.yml -e queue_action=quarantine -e "
        '\'{{"queue_select": {{"subject": "*WORD*"}}}}\' --limit {target}',
    },
    "ja": {
        "alarm": "【警告】メールキュー {host}: {total}通 (上限 {limit}通)",
        "repeat": "【継続中】メールキュー {host}: {total}通 (上限 {limit}通)",
        "clear": "【解消】メールキュー {host}: {total}通",
        "drill": "【訓練】メールキュー警告のテスト {host}",
        "alarm_by": "【警告】メールキュー {host}: {what}",
        "repeat_by": "【継続中】メールキュー {host}: {what}",
        "drill_text": "これは訓練です。{host} のメールキュー警告がこの経路で届くことを、確認するための送信です。\n"
        "異常は発生していません。対応は不要です。",
        "over_total": "キューに{value}通のメールが滞留しています (上限 {limit}通)。",
        "over_oldest": "最も古いメールは{value}分間滞留しています (上限 {limit}分)。",
        "over_growth": "キューのメールが短時間に{value}通増えました (上限 {limit}通)。",
        "over_origin": "同じ送信元からのメールが{value}通あります (上限 {limit}通)。",
        "over_todo": "未処理 (todo) のメールが{value}通あります (上限 {limit}通)。",
        "clear_text": "キューは{total}通まで減りました。警告の開始は {since}、期間中の最大は{peak}通でした。",
        "blind": "【警告】メールキュー {host}: 件数を確認できません",
        "still_blind": "【継続中】メールキュー {host}: 件数を確認できません",
        "sighted": "【解消】メールキュー {host}: 件数を確認できるようになりました ({total}通)",
        "blind_text": "{host} のメールキューは、{since} から件数を確認できていません。原因:\n"
        "  {reason}\n"
        "復旧するまでは、キューがどれだけ長くなっても、このホストから警告は届きません。",
        "alarm_goes_on": "以前から継続中の警告は解消していません (現在の状態は不明です)。",
        "sighted_text": "{host} のメールキューの件数を、再び確認できるようになりました。\n"
        "{since} からは確認できない状態でした。",
        "held_back": "【確認】メールキュー {host}: 自動の上限を{limit}通に抑えています",
        "held_back_text": "混雑する時間帯の実績によると、自動の上限は{value}通になります。\n"
        "ただし引き上げには速さと大きさの制限があるため、当面は{limit}通のままです。\n"
        "この件数が通常どおりであれば、queue_alert_limit に数値を指定してください。そうでなければ、\n"
        "キューを占めているメールを確認してください。上限を超えない限り、警告は発生しません。",
        "aside": "どの経路でも受け付けられなかった以前の通知 ({number}件) は、ホスト上の次のファイルにあります:",
        "host": "ホスト",
        "count": "メール数",
        "held": "保留中 (上記に含まず)",
        "todo": "未処理",
        "limit": "上限",
        "since": "発生時刻",
        "top_origins": "送信元",
        "says_script": "uid {uid} (自称スクリプト: {script}",
        "top_clients": "接続元アドレス",
        "top_senders": "エンベロープの送信者",
        "top_recipient_domains": "宛先ドメイン",
        "top_subjects": "件名",
        "of_first": "(先頭{read}通の集計)",
        "next": "次に行うこと (Ansible を実行するマシンで):",
        "list": "ansible-playbook playbooks/queue.yml -e queue_action=list --limit {target}",
        "quarantine": "ansible-playbook playbooks/queue.yml -e queue_action=quarantine -e "
        '\'{{"queue_select": {{"subject": "*件名の一部*"}}}}\' --limit {target}',
    },
}


# What a notice says that is of no alarm: its kind -> its words.
_OTHERS = {
    "drill": "drill_text",
    "blind": "blind_text",
    "still_blind": "blind_text",
    "sighted": "sighted_text",
    "held_back": "held_back_text",
}

# Lines of each list of the busiest.
LIST_LIMIT = 5


def notice(kind, host, language, now, sequence, since, **facts):
    """A notice as it is kept until a way has accepted it.

    :param str kind: alarm, repeat, clear, drill, blind, still_blind, sighted or held_back
    :param float now: epoch seconds
    :param int since: epoch seconds of the alarm's beginning; with ``sequence`` it makes the key, which is the same when
        a notice is sent once more after a crash
    :param dict facts: total, held, todo, limit, peak; ``over`` (list of Excess); ``summary`` (of
        ``queue.summary.Summary.result``, or None); ``read``: messages in it when not all were read, or None;
        ``target``: the host's name in the inventory, where it has another there; ``aside``: list of lines, notices
        that were set aside; ``reason``: why the queue can't be counted; ``alarm``: whether one was on before;
        ``value``: what the limit would be
    :returns: dict of str, int and None: JSON; ``brief`` is the text without anything that the queue's messages say, for
        who takes the subject of spam for spam
    """
    words = WORDS[language]
    known = dict(facts, host=host, since=local_time(since), target=shlex.quote(facts.get("target") or host))
    over = facts.get("over", [])
    lines = [words["over_" + excess.name].format(**excess._asdict()) for excess in over]
    subject = words[kind].format(**known)
    if over and over[0].name != "total":
        # The count alone would look as if all were well.
        subject = words[kind + "_by"].format(host=host, what=lines[0])
    if kind == "clear":
        lines.append(words["clear_text"].format(**known))
    if kind in _OTHERS:
        lines.append(words[_OTHERS[kind]].format(**known))
    if kind in ("blind", "still_blind"):
        lines += [words["alarm_goes_on"]] if facts.get("alarm") else []
        lines += _set_aside(words, facts.get("aside"))
    elif kind != "drill":
        lines += [""] + _table(words, known) + _set_aside(words, facts.get("aside"))
    busiest, commands = [], []
    if kind in ("alarm", "repeat"):
        busiest = _busiest(words, facts.get("summary"), facts.get("read"))
        commands = ["", words["next"]] + ["  " + words[name].format(**known) for name in ("list", "quarantine")]
    return {
        "kind": kind,
        "key": "{0}.{1}.{2}".format(int(since), sequence, kind),
        "created": int(now),
        "host": host,
        "subject": subject,
        "text": "\n".join(lines + busiest + commands) + "\n",
        "brief": "\n".join(lines + commands) + "\n",
        "count": facts.get("total"),
        "limit": facts.get("limit"),
    }


def message_id(kept):
    """Message-ID of a notice: the same whenever and by whatever way it is sent."""
    return "<harden-mail.queue-alert.{0}@{1}>".format(kept["key"], kept["host"])


def mail(kept, sender, recipients, charset, text="text"):
    """A notice as a mail: bytes with CRLF (RFC 5322), 7 bits only.

    :param str text: which of the notice's texts: ``text`` or ``brief``
    :param str charset: ``utf-8``, or ``iso-2022-jp`` for old phones: what it has no letter for becomes a question mark
    """
    return compose(
        {
            "From": sender,
            "To": ", ".join(recipients),
            "Subject": kept["subject"],
            "Message-ID": message_id(kept),
            "X-Harden-Mail": "queue-alert; kind={0}".format(kept["kind"]),
        },
        kept[text],
        kept["created"],
        charset,
    )


def local_time(seconds):
    """Time of the host, with its offset, as people read it."""
    return datetime.datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")


def _table(words, known):
    rows = [(words["host"], known["host"]), (words["count"], known["total"])]
    if known.get("held"):
        rows.append((words["held"], known["held"]))
    if known.get("todo") is not None:
        rows.append((words["todo"], known["todo"]))
    rows += [(words["limit"], known["limit"]), (words["since"], known["since"])]
    return ["{0}: {1}".format(name, value) for name, value in rows]


def _set_aside(words, aside):
    if not aside:
        return []
    named = ["  " + line for line in aside[-LIST_LIMIT:]]
    return ["", words["aside"].format(number=len(aside))] + (["  ..."] if len(aside) > LIST_LIMIT else []) + named


def _busiest(words, summary, read):
    if not summary:
        return []
    lines = []
    for name in ("top_origins", "top_clients", "top_senders", "top_recipient_domains", "top_subjects"):
        entries = summary[name][:LIST_LIMIT]
        # Of who needed no password, the address is the origin.
        if not entries or (name == "top_clients" and _are_clients(summary["top_origins"][:LIST_LIMIT])):
            continue
        lines += ["", words[name] + (" " + words["of_first"].format(read=read) if read else "")]
        lines += ["  {0:>7}  {1}".format(entry["count"], _shown(words, name, entry["value"])) for entry in entries]
    return lines


def _shown(words, name, value):
    """A value of a summary in the notice's language."""
    said = _SAYS_SCRIPT.match(value) if name == "top_origins" else None
    return words["says_script"].format(uid=said.group(1), script=said.group(2)) if said else value


def _are_clients(origins):
    return all(entry["value"].startswith("client ") for entry in origins)
