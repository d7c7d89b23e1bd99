"""Who lives in each store: accounts, their passwords, and how they are kept. Made up."""

# Whatever could get lost on the way through a database's client.
ODD = "tab\t back\\slash \\n new\nline\r bar| 'quotes\" ${HOME} %u ; -- NULL \\N 日本語 é"

# (name without the domain, password, how it is kept, whether it can log in, the owner's name)
PEOPLE = (
    ("info", "spring2024", "crypt6", True, "Hanako Yamada"),
    ("old", "123456", "crypt1", True, "Old O'Hara"),
    ("plain", "p:a|ss\\word", "plain", True, ""),
    ("odd", ODD, "plain", True, "Tab\tand 日本"),
    ("gone", "spring2024", "crypt6", False, "Gone"),
)

# What a store's file of lines can hold.
LINE_PEOPLE = tuple(person for person in PEOPLE if person[0] not in ("odd", "plain"))


def domain(store):
    return store + ".example"


def passwords(store, people=PEOPLE):
    """dict: password by account."""
    return {"{0}@{1}".format(person[0], domain(store)): person[1] for person in people}
