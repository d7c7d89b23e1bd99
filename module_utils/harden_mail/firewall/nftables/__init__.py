"""Restricting submission by a table of nftables."""
