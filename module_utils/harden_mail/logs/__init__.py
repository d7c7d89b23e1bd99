"""Who logged in to send or read mail, from log files and the journal; and who would be cut off by a change."""
