"""What the rule of POP-before-SMTP says of a log-in: what it is good for, and how long."""

# both: a log-in to read mail *and* SMTP AUTH; either: one of them is enough.
BOTH, EITHER = "both", "either"

# A window of days would mean that whoever read mail there once may send, which is no longer what this is about.
MOST_MINUTES = 1440
