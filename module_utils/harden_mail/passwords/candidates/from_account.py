"""Guesses from what is known about one account."""


def derived(name, hints, today):
    """Guesses at one account's password, likeliest first, none twice.

    :param str name: the account, "info@example.com" or a bare "info"
    :param hints: strings that a guesser may know: display name, company
    :param datetime.date today: only its year counts
    :returns: iterator of (bytes word, str kind), some thousand
    """
    local, _, domain = name.partition("@")
    seen = set()
    for base, kind in [(local, "account"), (name, "account"), (domain.split(".")[0], "domain")]:
        for tail in ("", "1", "123", "1234", str(today.year)):
            word = (base + tail).encode()
            if base and word not in seen:
                seen.add(word)
                yield word, kind
