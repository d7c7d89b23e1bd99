"""Accounts that may read mail but not send it by SMTP AUTH."""
