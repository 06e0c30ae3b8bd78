"""Domains on disk: one file each, and the folder that keeps them."""

from addapt.domains.file import (
    DomainFile,
    open_domain,
    read_domain,
    read_info,
    read_stamp,
    write_domain,
)
from addapt.domains.header import TensorPlace
from addapt.domains.info import SCHEMA, DomainInfo, check_backbone, check_classes
from addapt.domains.layout import check_name, temporary_prefix
from addapt.domains.lock import writing
from addapt.domains.plane import USUAL_ACCEPTED, Plane, Planes
from addapt.domains.signature import LOOK_PX, Signature
from addapt.domains.store import Store

__all__ = [
    "LOOK_PX",
    "SCHEMA",
    "USUAL_ACCEPTED",
    "DomainFile",
    "DomainInfo",
    "Plane",
    "Planes",
    "Signature",
    "Store",
    "TensorPlace",
    "check_backbone",
    "check_classes",
    "check_name",
    "open_domain",
    "read_domain",
    "read_info",
    "read_stamp",
    "temporary_prefix",
    "write_domain",
    "writing",
]
