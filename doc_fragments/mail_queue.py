"""What the documentation of both queue modules has in common."""


class ModuleDocFragment:
    DOCUMENTATION = r"""
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
      - Which messages are meant. A message is selected when every selector that is given holds for it; a selector
        with a list holds when one of the list does.
      - Addresses, subjects and origins are compared without regard to case, width (full or half) and runs of blanks,
        as globs (C(*), C(?), C([abc])) over the whole value, or as a regular expression that is found anywhere, when
        they begin with C(re:).
      - C(docs/selection.md) is the whole of it.
    type: dict
    default: {}
    suboptions:
      sender:
        description: Envelope sender; an empty string or C(<>) is the null sender, which bounces have.
        type: raw
      recipient:
        description: A recipient to whom the message has not been delivered yet.
        type: raw
      subject:
        description: The subject, decoded.
        type: raw
      age:
        description: How long ago it came.
        type: raw
      size:
        description: Size of the message, headers and body.
        type: raw
      state:
        description:
          - Postfix, C(maildrop), C(incoming), C(active), C(deferred), C(hold); qmail, C(todo), C(local), C(remote),
            C(done).
        type: raw
      id:
        description: What the mail server's own tools call it.
        type: raw
      origin:
        description: Where it came from.
        type: dict
        suboptions:
          sasl_user: {description: The account that logged in to send it., type: raw}
          client: {description: The IP address or network (CIDR) that it came from by SMTP., type: raw}
          uid: {description: The local user who sent it., type: raw}
          script: {description: The PHP script that sent it., type: raw}
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
