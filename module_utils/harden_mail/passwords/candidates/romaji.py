"""Kana in Latin letters, as people type their names (Hepburn), and the other ways to write the same sounds."""

import unicodedata

_KANA = dict(
    pair.split("=")
    for pair in """
あ=a い=i う=u え=e お=o か=ka き=ki く=ku け=ke こ=ko さ=sa し=shi す=su せ=se そ=so た=ta ち=chi つ=tsu て=te と=to
な=na に=ni ぬ=nu ね=ne の=no は=ha ひ=hi ふ=fu へ=he ほ=ho ま=ma み=mi む=mu め=me も=mo や=ya ゆ=yu よ=yo
ら=ra り=ri る=ru れ=re ろ=ro わ=wa ゐ=i ゑ=e を=o ん=n が=ga ぎ=gi ぐ=gu げ=ge ご=go ざ=za じ=ji ず=zu ぜ=ze ぞ=zo
だ=da ぢ=ji づ=zu で=de ど=do ば=ba び=bi ぶ=bu べ=be ぼ=bo ぱ=pa ぴ=pi ぷ=pu ぺ=pe ぽ=po ゔ=vu
ぁ=a ぃ=i ぅ=u ぇ=e ぉ=o ゃ=ya ゅ=yu ょ=yo
きゃ=kya きゅ=kyu きょ=kyo しゃ=sha しゅ=shu しょ=sho ちゃ=cha ちゅ=chu ちょ=cho にゃ=nya にゅ=nyu にょ=nyo
ひゃ=hya ひゅ=hyu ひょ=hyo みゃ=mya みゅ=myu みょ=myo りゃ=rya りゅ=ryu りょ=ryo ぎゃ=gya ぎゅ=gyu ぎょ=gyo
じゃ=ja じゅ=ju じょ=jo びゃ=bya びゅ=byu びょ=byo ぴゃ=pya ぴゅ=pyu ぴょ=pyo
しぇ=she じぇ=je ちぇ=che てぃ=ti でぃ=di ふぁ=fa ふぃ=fi ふぇ=fe ふぉ=fo うぃ=wi うぇ=we うぉ=wo でゅ=dyu とぅ=tu
""".split()
)

# Hepburn and how the same is typed (Kunrei-shiki): longer ones first.
_KUNREI = (
    (b"sha", b"sya"), (b"shu", b"syu"), (b"sho", b"syo"), (b"cha", b"tya"), (b"chu", b"tyu"), (b"cho", b"tyo"),
    (b"ja", b"zya"), (b"ju", b"zyu"), (b"jo", b"zyo"), (b"shi", b"si"), (b"chi", b"ti"), (b"tsu", b"tu"),
    (b"ji", b"zi"), (b"fu", b"hu"),
)  # fmt: skip


def romaji(text):
    """Words in Latin letters (str) of a text in kana, or None when it has other letters, as kanji."""
    kana = "".join(
        chr(ord(letter) - 0x60) if "\u30a1" <= letter <= "\u30f4" else letter
        for letter in unicodedata.normalize("NFKC", text)
    )
    out, index, doubled = [], 0, False
    while index < len(kana):
        letter = kana[index]
        if letter in " \u30fb":
            out.append(" ")
        elif letter == "\u30fc":  # a long vowel, which is mostly left out
            pass
        elif letter == "\u3063":
            doubled = True
            index += 1
            continue
        else:
            latin = _KANA.get(kana[index : index + 2])
            if latin is not None and index + 1 < len(kana):
                index += 1
            else:
                latin = _KANA.get(letter)
            if latin is None:
                return None
            if doubled:
                latin = ("t" if latin.startswith("ch") else latin[0]) + latin
            out.append(latin)
        doubled = False
        index += 1
    return " ".join("".join(out).split()) or None


def short(word):
    """A word (bytes) without its long vowels: satou, sato; yuuki, yuki."""
    return word.replace(b"ou", b"o").replace(b"oo", b"o").replace(b"uu", b"u")


def with_h(word):
    """The long vowel at the end as passports have it: satou or sato, satoh."""
    return word[:-2] + b"oh" if word.endswith(b"ou") else word


def kunrei(word):
    """A word (bytes) as it is typed: shinji, sinzi."""
    for hepburn, typed in _KUNREI:
        word = word.replace(hepburn, typed)
    return word
