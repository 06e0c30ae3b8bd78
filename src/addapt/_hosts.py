"""Names and addresses of machines."""

import ipaddress

LOOPBACK = "127.0.0.1"
EVERYWHERE = ("0.0.0.0", "::")  # all addresses of this machine: to listen at, not to ask


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine's own."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
