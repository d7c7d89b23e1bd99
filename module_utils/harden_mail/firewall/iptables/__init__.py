"""Restricting submission by chains of iptables and ip6tables."""
