"""Walks over the keyboard: runs of neighbouring keys, on US and on Japanese (JIS) keyboards, and on the number pad."""

# Rows of keys, plain and with Shift held. JIS: JIS X 6002.
US = (
    ("1234567890-=", "!@#$%^&*()_+"),
    ("qwertyuiop[]\\", "QWERTYUIOP{}|"),
    ("asdfghjkl;'", 'ASDFGHJKL:"'),
    ("zxcvbnm,./", "ZXCVBNM<>?"),
)
JIS = (
    ("1234567890-^\\", "!\"#$%&'() =~|"),
    ("qwertyuiop@[", "QWERTYUIOP`{"),
    ("asdfghjkl;:]", "ASDFGHJKL+*}"),
    ("zxcvbnm,./\\", "ZXCVBNM<>?_"),
)
NUMBER_PAD = ("789", "456", "123")


def walks():
    """Walks (list of bytes), likeliest first, none twice: short ways from the left before long and odd ones."""
    tiers = [[] for _ in range(6)]
    for layout in (US, JIS):
        _runs(layout, tiers)
        _columns(layout, tiers)
        _zigzags(layout, tiers)
        _blocks(layout, tiers)
    _number_pad(tiers)
    found = {}
    for tier in tiers:
        # Within a tier what is as long as passwords are.
        for walk in sorted(dict.fromkeys(tier), key=lambda walk: abs(len(walk) - 7)):
            if " " not in walk:
                found.setdefault(walk.encode())
    return list(found)


def _runs(layout, tiers):
    """Parts of one row, forwards and backwards, and twice."""
    for number, (plain, shifted) in enumerate(layout):
        for start in range(len(plain) - 2):
            for end in range(start + 3, len(plain) + 1):
                run, length = plain[start:end], end - start
                common = start == 0 and run.isalnum()
                if length >= 4:
                    tiers[0 if common else 3].append(run)
                    tiers[2 if common else 4].append(run[::-1])
                    tiers[4 if common else 5].append(shifted[start:end])
                    if number and common:
                        tiers[3].append(run.capitalize())
                if length <= 6:
                    tiers[1 if common else 4].append(run * 2)
                    tiers[4 if common else 5].append(run + run[::-1])
                if length == 3 and common:
                    tiers[2].append(run * 3)


def _column(layout, index, down=True, shift=False):
    keys = "".join(row[shift][index] for row in layout if index < len(row[0]))
    return keys if down else keys[::-1]


def _columns(layout, tiers):
    """Down (or up) from the digits, one to four neighbouring columns, with and without Shift."""
    for down in (True, False):
        for start in range(10):
            text = ""
            for count, index in enumerate(range(start, min(start + 4, 10))):
                text += _column(layout, index, down)
                tiers[(0 if start == 0 else 2) if down else (1 if start == 0 else 3)].append(text)
                if count == 1:
                    first, second = _column(layout, start, down), _column(layout, index, down)
                    other = _column(layout, index, down, True)
                    tiers[2 if start == 0 else 4] += [
                        first + other,
                        _column(layout, start, down, True) + second,
                        first + second[::-1],
                        first[1:] + second[1:],
                    ]
                elif count == 2:
                    tiers[3].append(text[1:4] + text[5:8] + text[9:])
            one = _column(layout, start, down)
            tiers[2 if start == 0 else 4] += [one * 2, one + _column(layout, start, down, True)]
            tiers[4].append(_column(layout, start, down, True) + one)
            if start < 8:
                # Without the digit: qazwsx, qazwsxedc.
                without = [_column(layout, start + step)[1:] for step in range(3)]
                tiers[0 if start == 0 else 3] += [without[0] + without[1], "".join(without)]
                back = [_column(layout, start + step, False)[:-1] for step in range(3)]
                tiers[3] += [back[0] + back[1], "".join(back)]


def _zigzags(layout, tiers):
    """Two rows in turn: 1q2w3e4r, q1w2e3r4, qawsedrf."""
    for upper in range(3):
        for first, second in ((upper, upper + 1), (upper + 1, upper)):
            for start in range(4):
                for length in (3, 4, 5, 6, 2):
                    pairs = zip(
                        layout[first][0][start : start + length],
                        layout[second][0][start : start + length],
                    )
                    text = "".join(a + b for a, b in pairs)
                    tier = 0 if upper == 0 and start == 0 and first == 0 and length > 2 else 2 if start == 0 else 4
                    tiers[tier].append(text)
                    if start == 0 and upper == 0:
                        tiers[3].append(text.replace("q", "Q", 1))


def _blocks(layout, tiers):
    """The beginnings of two or three rows after each other: 123qwe, qweasdzxc, 1234qwer, qwer1234, asdf1234."""
    rows = [row[0] for row in layout]
    for length in (3, 4, 5, 6):
        starts = [row[:length] for row in rows]
        for first in range(4):
            for second in range(4):
                if first == second:
                    continue
                likely = length < 5 and (first == 0 or second == 0 or second == first + 1)
                tiers[0 if likely else 3].append(starts[first] + starts[second])
                tiers[4].append(starts[first] + starts[second][::-1])
                tiers[4].append(starts[first].capitalize() + starts[second])
        for first in range(2):
            tiers[1].append("".join(starts[first : first + 3]))
        tiers[3].append("".join(starts))
        # A word's worth of a row, and the digits on another finger: qwe123, qwerty123, asdf123.
        for row in starts[1:]:
            for digits in ("1", "12", "123", "1234", "12345", "321", "0", "!", "123!", "@123"):
                tiers[1 if digits in ("1", "123") else 3].append(row + digits)


def _number_pad(tiers):
    pad = NUMBER_PAD
    up = ["".join(row[column] for row in reversed(pad)) for column in range(3)]
    lines = list(pad) + up
    lines += [line[::-1] for line in lines] + ["159", "357", "951", "753"]
    for first in lines:
        for second in lines:
            if first != second:
                tiers[2].append(first + second)
                for third in lines:
                    if third not in (first, second) and len(set(first + second + third)) == 9:
                        tiers[3].append(first + second + third)
    for text in (
        "147258369",
        "159357",
        "789456123",
        "147258",
        "147852",
        "741852963",
        "456789",
        "258456",
        "2580",
        "1470",
    ):
        tiers[0].append(text)
