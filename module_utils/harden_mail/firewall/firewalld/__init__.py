"""Restricting submission by a zone and rules of firewalld."""
