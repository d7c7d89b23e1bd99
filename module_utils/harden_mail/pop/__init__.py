"""POP-before-SMTP: a log-in to read mail counts for some minutes, besides SMTP AUTH or instead of it."""
