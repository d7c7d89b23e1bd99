"""What can become of a control, and in which order."""

WORST_FIRST = (
    "unreachable",
    "error",
    "noncompliant",
    "drift",
    "remediated",
    "compliant",
    "not-applicable",
)

# What is as it ought to be.
IN_ORDER = ("compliant", "not-applicable")

# What nobody has seen, in whole or in part.
NOT_LOOKED_AT = ("unreachable", "error")


def worst(outcomes):
    """The worst (str) of some outcomes; not of none."""
    return min(outcomes, key=WORST_FIRST.index)


def is_worse(outcome, other):
    """Whether an outcome goes before another one."""
    return WORST_FIRST.index(outcome) < WORST_FIRST.index(other)


def count(outcomes):
    """How often each outcome occurs, worst first: {str: int}; those that don't occur are left out."""
    outcomes = list(outcomes)
    return {outcome: outcomes.count(outcome) for outcome in WORST_FIRST if outcome in outcomes}
