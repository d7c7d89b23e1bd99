"""How mail servers write of log-ins: a file for each server."""
