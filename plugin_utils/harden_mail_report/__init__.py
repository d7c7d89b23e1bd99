"""The report of a run: what became of each control on each host, as a document, a file and lines of a terminal."""
