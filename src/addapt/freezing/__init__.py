"""Frozen networks: the same function, with almost nothing kept for backward."""

from addapt.freezing.audit import AuditRow as AuditRow
from addapt.freezing.audit import audit as audit
from addapt.freezing.freeze import freeze as freeze
from addapt.freezing.layers import FrozenConv2d as FrozenConv2d
from addapt.freezing.layers import pack_weights as pack_weights
from addapt.freezing.layers import trained_biases as trained_biases
from addapt.freezing.layers import unpack_weights as unpack_weights
