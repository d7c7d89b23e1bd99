"""All that is ours on a host, but for what lies in directories of a mail server, a firewall or cron, or within our own.

Each path is written down here only, so that a part that has to know of another one's needs nothing else of it. What a
host was hardened with by an earlier version has these names: one that changes here must be found and taken away there.
(``firewall/firewalld/agent.py`` is sent to the host alone, and has its own.)
"""

# What is remembered: directories for root alone, that of each feature below. In a notebook is what was there before the
# first change, so that ``state: absent`` gives it back.
STATE = "/var/lib/harden-mail"
# What the programs and units on the host read. The root file system is sure to be there early in the boot, /var is not.
CONFIGURATION = "/etc/harden-mail"
# Programs that live on the host without Ansible.
LIBRARY = "/usr/local/lib/harden-mail"
# Gone after a boot: locks, and what would be wrong then.
RUN = "/run/harden-mail"
UNITS = "/etc/systemd/system"

# --- the submission firewall ---

FIREWALL_STATE = STATE + "/submission_firewall"
FIREWALL_NOTEBOOK = FIREWALL_STATE + "/former.json"
FIREWALL_LOCK = RUN + "/submission.lock"
# Of each backend its own, so that one can go while another one stays.
NFTABLES_UNIT = "harden-mail-submission-nftables.service"
IPTABLES_UNIT = "harden-mail-submission-iptables.service"

ROLLBACK = FIREWALL_STATE + "/rollback"
ROLLBACK_MARKS = RUN + "/rollback"
ROLLBACK_SERVICE = "harden-mail-rollback.service"
ROLLBACK_TIMER = "harden-mail-rollback.timer"

# --- no AUTH on port 25 ---

PORT25_STATE = STATE + "/smtp25_without_auth"
PORT25_NOTEBOOK = PORT25_STATE + "/former.json"
PORT25_LOCK = RUN + "/smtp25.lock"

# --- POP-before-SMTP ---

POP_STATE = STATE + "/pop_before_smtp"
POP_NOTEBOOK = POP_STATE + "/former.json"
POP_LOCK = RUN + "/pop.lock"
# The log-ins, which somebody else than root writes.
POP_DATABASE = "/var/lib/harden-mail-pop"
POP_CONFIG = CONFIGURATION + "/pop-before-smtp.json"
# The number of the file that the readers have open, if they have read it since it was last made anew.
POP_NOTED = RUN + "/pop-before-smtp.inode"
POP_PROGRAM = LIBRARY + "/pop-before-smtp"
POP_LOOKUP = LIBRARY + "/pop-lookup"
POP_HOOK = LIBRARY + "/pop-login"
POP_GATE = LIBRARY + "/pop-gate"
POP_FOLLOWER = LIBRARY + "/pop-before-smtp-follower"
POP_SERVICE = "harden-mail-pop.service"
POP_TIMER = "harden-mail-pop.timer"
POP_FOLLOWER_UNIT = "harden-mail-pop-follower.service"

# --- accounts that may not send ---

BLOCK_STATE = STATE + "/submission_block"
BLOCK_NOTEBOOK = BLOCK_STATE + "/lists.json"
BLOCK_LOCK = RUN + "/block.lock"

# --- the password audit ---

PASSWORDS_STATE = STATE + "/password_audit"
PASSWORDS_LOCK = RUN + "/password-audit.lock"
PASSWORDS_NOTICE_LOCK = RUN + "/password_notice.lock"
# What a client of a database is told, for the time of one question.
PASSWORDS_QUESTION = RUN + "/passwords"
PASSWORDS_QUESTION_LOCK = RUN + "/passwords.lock"

# --- the mail queue ---

QUARANTINE = STATE + "/quarantine"
QUEUE_LOCK = RUN + "/mail-queue.lock"
QMAIL_WATCHDOG_LOCK = RUN + "/qmail-watchdog.lock"

# --- the queue alert ---

ALERT_STATE = STATE + "/queue_alert"
ALERT_SPARE_STATE = RUN + "/queue-alert.state.json"
ALERT_LOCK = RUN + "/queue-alert.lock"
ALERT_CONFIG = CONFIGURATION + "/queue-alert.json"
ALERT_PROGRAM = LIBRARY + "/queue-alert"
ALERT_SERVICE = "harden-mail-queue-alert.service"
ALERT_TIMER = "harden-mail-queue-alert.timer"
