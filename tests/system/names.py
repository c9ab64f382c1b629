"""The names of listeners: an independent version of the plugin's rule."""

import ipaddress
import re
import socket


def tcp_name(family, address, port, device=None, v6only=None):
    """The name of a TCP listener in the plugin's own net namespace. v6only matters for :: only.
    The hash for awkward device names is left to the plugin's unit tests."""
    address = ipaddress.ip_address(address)
    prefix, link_local = "tcp", False
    if family == socket.AF_INET6:
        if address.ipv4_mapped:
            address = address.ipv4_mapped
        elif not address.is_unspecified or v6only:
            prefix = "tcp6"
            link_local = address.is_link_local
    text = "any" if address.is_unspecified else re.sub("[.:]", "-", str(address))
    if link_local and device:
        return f"{prefix}_{text}_{device.replace('.', '-')}_{port}"
    name = f"{prefix}_{text}_{port}"
    return f"{name}__dev_{device.replace('.', '-')}" if device else name


def unix_name(address):
    """Likewise of a Unix listener; awkward addresses, which have a hash, are left to the plugin's unit tests."""
    prefix, text = ("unix_abstract_", address[1:]) if address.startswith("\0") else ("unix_", address.lstrip("/"))
    return prefix + text.replace("/", "_").replace(".", "-").replace(":", "-")


def percent_used(length, limit):
    return min(100.0, 100.0 * length / (limit + 1))
