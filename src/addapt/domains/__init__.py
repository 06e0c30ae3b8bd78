"""Domains on disk: one file each, and the folder that keeps them."""

from addapt.domains.file import read_domain, read_info, write_domain
from addapt.domains.info import SCHEMA, DomainInfo, check_backbone
from addapt.domains.store import Store, check_name

__all__ = [
    "SCHEMA",
    "DomainInfo",
    "Store",
    "check_backbone",
    "check_name",
    "read_domain",
    "read_info",
    "write_domain",
]
