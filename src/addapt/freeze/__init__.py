"""Frozen networks: the same function, with almost nothing kept for backward."""

from addapt.freeze.audit import AuditRow as AuditRow
from addapt.freeze.audit import audit as audit
from addapt.freeze.freeze import freeze as freeze
from addapt.freeze.layers import FrozenConv2d as FrozenConv2d
from addapt.freeze.layers import pack_weights as pack_weights
from addapt.freeze.layers import trained_biases as trained_biases
from addapt.freeze.layers import unpack_weights as unpack_weights
