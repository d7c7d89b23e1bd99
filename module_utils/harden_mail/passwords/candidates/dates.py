"""Years, birthdays and strings of digits as people put them into passwords."""

import datetime

# First year of each era less one, so that Showa 63 is 1988, and the last one, which is also the next era's first.
ERAS = (("r", "reiwa", 2018, 9999), ("h", "heisei", 1988, 2019), ("s", "showa", 1925, 1989))


def year_of(today):
    """The year of a day (datetime.date; None: today)."""
    return (today or datetime.date.today()).year
