"""What the documentation of both queue modules has in common."""


class ModuleDocFragment:
    DOCUMENTATION = r"""
attributes:
  platform:
    description: Linux with Postfix 2.10 or later, or qmail.
    support: full
    platforms: posix
options:
  mta:
    description:
      - Whose queue; V(auto) is that of the mail server which the host uses. A host without one is left alone.
    type: str
    choices: [auto, postfix, qmail]
    default: auto
  config_dir:
    description:
      - Postfix only. The configuration directory of one instance, whose queue alone is meant.
      - Left out, all instances of the host are.
    type: path
  queue_dir:
    description:
      - Where the queue is; left out, where the mail server's configuration says.
    type: path
  select:
    description:
      - Which messages are meant. A message is selected when every key that is given holds for it; a key with a list
        holds when one entry of the list does.
      - Texts are compared whole, without regard to case. C(*) stands for any signs and C(?) for one. What begins with
        C(re:) is a regular expression, which may be found anywhere.
      - C(docs/selection.md) is the whole of it.
    type: dict
    default: {}
    suboptions:
      sender:
        description: Envelope sender. C(<>) is the null sender, which bounces have.
        type: raw
      recipient:
        description: One of the recipients.
        type: raw
      subject:
        description: The subject, decoded; compared without regard to the width of letters and to runs of blanks, too.
        type: raw
      age:
        description: How long ago it came, such as V(>2h) or V(2h..1d); the units are s, m, h, d and w.
        type: raw
      size:
        description: Size of headers and body, such as V(>10k) or V(1k..2M); the units are b, k, M and G.
        type: raw
      state:
        description:
          - Postfix, V(maildrop), V(incoming), V(active), V(deferred) or V(hold); qmail, V(todo), V(local), V(remote) or
            V(done).
        type: raw
      id:
        description: What the mail server's own tools call it.
        type: raw
      origin:
        description: Where it came from; of a message of which that is not known, nothing holds.
        type: dict
        suboptions:
          sasl_user: {description: The account that logged in to send it., type: raw}
          client: {description: "The IP address that it came from by SMTP, or a network (CIDR).", type: raw}
          uid: {description: The number of the local user who sent it., type: raw}
          script: {description: "The PHP script that sent it, as the local user says.", type: raw}
      not:
        description: A selection of the same kind, or a list of such; what it selects is excepted.
        type: raw
  all:
    description:
      - Means every message. With neither this nor O(select), nothing is meant.
    type: bool
    default: false
  limit_listed:
    description: How many entries the lists of a result have at most.
    type: int
    default: 100
  quarantine_dir:
    description: Where messages are kept that were taken out of the queue, a directory for each run.
    type: path
    default: /var/lib/harden-mail/quarantine
"""
