"""Frozen networks: the same function, with almost nothing kept for backward."""

from addapt.engines.torch.freezing.audit import AuditRow as AuditRow
from addapt.engines.torch.freezing.audit import audit as audit
from addapt.engines.torch.freezing.freeze import freeze as freeze
from addapt.engines.torch.freezing.freeze import record as record
from addapt.engines.torch.freezing.layers import FrozenConv2d as FrozenConv2d
from addapt.engines.torch.freezing.layers import pack_weights as pack_weights
from addapt.engines.torch.freezing.layers import trained_biases as trained_biases
from addapt.engines.torch.freezing.layers import unpack_weights as unpack_weights
