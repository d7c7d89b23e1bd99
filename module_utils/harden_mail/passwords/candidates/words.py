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

# What people come to who are told to use a capital, a small letter and a digit, or a sign as well.
AS_TOLD = """
Password1 Password123 P@ssw0rd Passw0rd Password1! Password01 Password12 Password2 P@ssword1 Pa$$w0rd P@ssw0rd1
Passw0rd1 Welcome1 Welcome123 Qwerty123 Qwerty1 Abcd1234 Abc123 Abc12345 Aa123456 A1234567 Admin123 Admin1234 Admin@123
Pass1234 Pass@123 Test1234 Test123 Changeme1 Changeme123 Letmein1 Hello123 Summer1 Winter1 Company1 Mail1234 User1234
1qaz2WSX 1qaz!QAZ Qwer1234 Zaq12wsx Asdf1234 Abc@123 Abcd@1234 Q1w2e3r4 Secret123 Temp1234 Monday1 Sakura1 Tokyo2020
Japan123
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
