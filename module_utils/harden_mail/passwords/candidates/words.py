"""Short lists of words that belong to this job: no published list has them near its top.

They are few on purpose, written for this project; the long lists come from packages (docs/wordlists.md).
"""

# What administrators give a mail account to begin with.
OFFICE = """
password passwd pass admin administrator mail email user test guest welcome changeme letmein secret master root login
info support sales office company server system manager temp temporary demo default postmaster webmaster contact hello
p@ssw0rd p@ssword passw0rd pass123 password123 admin123 test123 mail123 qwerty123 abc123 a123456 aa123456 abcd1234
pass1234 user123 welcome1 changeme1 test1234 1234abcd mailpass mypassword newpassword initial start123 webmail
""".split()

# What Japanese use, in Latin letters: flowers and seasons, greetings, animals, food, figures, towns, offices.
JAPANESE = """
sakura himawari tanpopo hikari tsubasa haruka takara kaze sora umi yama kawa hoshi tsuki hana yuki ame nami kumo niji
arigatou arigato konnichiwa ohayou sayonara yoroshiku aishiteru daisuki ganbare gambare shiawase egao kokoro yume
inu neko nekoneko wanwan nyanko usagi kuma panda tora ryuu momo ringo ichigo mikan suika onigiri sushi ramen mochi
doraemon pikachu pokemon totoro naruto onepiece goku gundam mario zelda hellokitty anpanman snoopy mickey disney
samurai ninja sensei nippon nihon japan fuji fujisan tokyo osaka kyoto kobe nagoya sapporo fukuoka sendai yokohama
hiroshima nara okinawa hokkaido shibuya ginza kawasaki chiba saitama hanshin tigers giants carp dragons
kaisha eigyou eigyo soumu keiri jinji jimu shachou shacho kanri kaihatsu koujou honsha jimusho himitsu anshou
taro tarou hanako ichiro ichirou jiro jirou kenji takashi hiroshi akira makoto satoshi tsuyoshi yuuki yuki ai mai
""".split()
