"""The audit of mail-account passwords."""
