"""What is ours in firewalld by its name, and where firewalld's files are."""

from . import agent

POLICY = agent.POLICY
IPSETS = {family: "{0}{1}".format(agent.IPSETS, family) for family in (4, 6)}
FAMILIES = {4: "inet", 6: "inet6"}

ETC = "/etc/firewalld"
USR = "/usr/lib/firewalld"
POLICY_PATH = "{0}/policies/{1}.xml".format(ETC, POLICY)
IPSET_PATHS = {family: "{0}/ipsets/{1}.xml".format(ETC, name) for family, name in IPSETS.items()}
