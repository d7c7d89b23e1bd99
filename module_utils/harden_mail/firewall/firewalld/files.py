"""firewalld's own files as XML: those of our ipsets and policy, and zones, of which all that is not ours stays."""

import ipaddress
import re
from xml.etree import ElementTree

from ...addresses import joined, range_of
from ...errors import UserError
from .names import FAMILIES, IPSET_PATHS, IPSETS, POLICY_PATH
from .zone import Zone

# The lowest that firewalld allows: no other policy can accept before ours refuses.
PRIORITY = -32768

_HEAD = '<?xml version="1.0" encoding="utf-8"?>\n'


def own_files(restriction):
    """Files of our own: dict of str path -> str text (None: no file), ipsets before the policy that names them."""
    if restriction is None:
        paths = [POLICY_PATH] + sorted(IPSET_PATHS.values())
        # firewall-cmd --permanent leaves the former file beside one that it changes.
        return dict.fromkeys(paths + [path + ".old" for path in paths])
    files = {}
    for family, path in sorted(IPSET_PATHS.items()):
        entries = "".join("  <entry>{0}</entry>\n".format(net) for net in split_any(restriction.networks(family)))
        files[path] = (
            _HEAD
            + '<ipset type="hash:net">\n  <short>Mail submission</short>\n'
            + "  <description>Who may submit mail by IPv{0}; written by harden-mail</description>\n".format(family)
            + '  <option name="family" value="{0}"/>\n{1}</ipset>\n'.format(FAMILIES[family], entries)
        )
    rules = "".join(
        '  <rule family="ipv{0}">\n    <source ipset="{1}" invert="True"/>\n'
        '    <port port="{2}" protocol="tcp"/>\n    <reject type="tcp-reset"/>\n  </rule>\n'.format(
            family, IPSETS[family], port
        )
        for port in restriction.ports
        for family in (4, 6)
    )
    files[POLICY_PATH] = (
        _HEAD
        + '<policy priority="{0}" target="CONTINUE">\n  <short>Mail submission</short>\n'.format(PRIORITY)
        + "  <description>Refuses mail submission to all who are not in the ipsets; written by harden-mail"
        + '</description>\n  <ingress-zone name="ANY"/>\n  <egress-zone name="HOST"/>\n{0}</policy>\n'.format(rules)
    )
    return files


def split_any(networks):
    """Networks, with halves for one that is everything: hash:net can't hold a prefix of 0."""
    return [half for net in networks for half in (net.subnets() if net.prefixlen == 0 else [net])]


def read_networks(entries):
    """Folded ranges of an ipset's entries; the entries themselves when one of them is no network."""
    try:
        return joined(range_of(ipaddress.ip_network(entry)) for entry in entries)
    except ValueError:
        return list(entries)


def read_own(text):
    """An ipset's or policy's file as data that is the same whoever wrote it; None for what is no XML."""
    try:
        root = ElementTree.fromstring(_encoded(text))
    except ElementTree.ParseError:
        return None
    entries = [(element.text or "").strip() for element in root if element.tag == "entry"]
    others = [_element(element) for element in root if element.tag not in ("entry", "short", "description")]
    return root.tag, _attributes(root), read_networks(entries), sorted(others)


def _element(element):
    """An element as text that can be compared and sorted; the order of its children means nothing."""
    children = "".join(sorted(_element(child) for child in element))
    return "<{0} {1}>{2}</>".format(element.tag, _attributes(element), children)


def _attributes(element):
    words = {"yes": "true", "True": "true"}
    return sorted((key, words.get(value, value)) for key, value in element.attrib.items() if key != "version")


def read_zone(text, path):
    """:class:`Zone` of a zone's file.

    :raises UserError: it is no XML
    """
    root = root_of(text, path)
    return Zone(
        [element.get("name") for element in root.findall("service")],
        ["{0}/{1}".format(element.get("port"), element.get("protocol")) for element in root.findall("port")],
        [_rule_text(element) for element in root.findall("rule") if _rule_is_ours(element)],
    )


def write_zone(text, before, after):
    """Text of a zone's file, changed from one :class:`Zone` to another, all else kept."""
    root = ElementTree.fromstring(_encoded(text))
    for element in list(root):
        word = None
        if element.tag == "service":
            word, old, new = element.get("name"), before.services, after.services
        elif element.tag == "port":
            word, old, new = "{0}/{1}".format(element.get("port"), element.get("protocol")), before.ports, after.ports
        elif element.tag == "rule" and _rule_is_ours(element):
            word, old, new = _rule_text(element), before.rules, after.rules
        if word is not None and word in old and word not in new:
            root.remove(element)
    for service in after.services:
        if service not in before.services:
            ElementTree.SubElement(root, "service", {"name": service})
    for word in after.ports:
        if word not in before.ports:
            _add_port(root, word)
    for rule in after.rules:
        if rule not in before.rules:
            family, port = re.match(r'rule family="ipv(\d)".* port port="(\d+)"', rule).groups()
            element = ElementTree.SubElement(root, "rule", {"family": "ipv" + family})
            ElementTree.SubElement(element, "source", {"ipset": IPSETS[int(family)]})
            _add_port(element, port + "/tcp")
            ElementTree.SubElement(element, "accept")
    _indent(root, 0)
    # The end of an empty element as firewalld writes it; in text and values ">" is escaped.
    return _HEAD + ElementTree.tostring(root, encoding="unicode").replace(" />", "/>") + "\n"


def _add_port(parent, word):
    port, protocol = word.split("/")
    ElementTree.SubElement(parent, "port", {"port": port, "protocol": protocol})


def _indent(element, depth):
    """Two spaces a level, as firewalld writes its files."""
    inner = "\n" + "  " * (depth + 1)
    if len(element):
        element.text = inner
        for child in element:
            _indent(child, depth + 1)
            child.tail = inner
        element[-1].tail = inner[:-2]


def same_zone(one, other):
    return other is not None and _element(ElementTree.fromstring(_encoded(one))) == _element(
        ElementTree.fromstring(_encoded(other))
    )


def _rule_is_ours(element):
    return any(source.get("ipset") in IPSETS.values() for source in element.findall("source"))


def _rule_text(element):
    """A rule of ours in the words of firewall-cmd; what is more than such a rule shows as XML, so as drift."""
    source, port = element.find("source"), element.find("port")
    plain = {"source": ["ipset"], "port": ["port", "protocol"], "accept": []}
    is_plain = list(element.attrib) == ["family"] and sorted(child.tag for child in element) == sorted(plain)
    if is_plain and all(sorted(child.attrib) == plain[child.tag] for child in element):
        return 'rule family="{0}" source ipset="{1}" port port="{2}" protocol="{3}" accept'.format(
            element.get("family"), source.get("ipset"), port.get("port"), port.get("protocol")
        )
    return ElementTree.tostring(element, encoding="unicode").strip()


def root_of(text, path):
    """The root element of a file.

    :raises UserError: it is no XML
    """
    try:
        return ElementTree.fromstring(_encoded(text))
    except ElementTree.ParseError as error:
        raise UserError(
            "{0} is no XML ({1}), so firewalld can't read it either; mend it or take it away.".format(path, error)
        ) from None


def _encoded(text):
    # With an encoding in its first line, a file must be parsed as bytes.
    return text.encode("utf-8", "surrogateescape")
