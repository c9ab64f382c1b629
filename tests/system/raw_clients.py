"""TCP clients made of raw packets, at the far end of a device: each step of a handshake is taken
when the test says so, and never again by itself."""

import dataclasses
import os
import select
import socket
import struct

from kernel import run, write_sysctl
from waiting import wait_until

SERVER = "192.0.2.1"  # RFC 5737
_CLIENT = "198.51.100.1"
_DEVICE, _FAR_END = "raw0", "raw1"
_ETHERTYPE_IPV4 = 0x0800
_FIRST_PORT, _LAST_PORT = 1024, 65535
_UNREACHABLE, _HOST_UNREACHABLE = 3, 1  # RFC 792
_FIN, _SYN, _RST, _ACK = 0x01, 0x02, 0x04, 0x10


@dataclasses.dataclass
class RawClient:
    port: int
    server_port: int
    sequence: int         # the next to send
    acknowledge: int = 0  # the next expected of the server; 0 before its SYN-ACK


def _checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data[:len(data) & ~1]))
    if len(data) % 2:
        total += data[-1] << 8
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _ipv4_header(source, target, length, protocol):
    def header(checksum):
        return struct.pack("!BBHHHBBH", 4 << 4 | 5, 0, length, 0, 0, 64, protocol, checksum) + source + target
    return header(_checksum(header(0)))


def _tcp_packet(client, flags, payload):
    source, target = socket.inet_aton(_CLIENT), socket.inet_aton(SERVER)
    length = 20 + len(payload)

    def tcp(checksum):
        return struct.pack("!HHIIBBHHH", client.port, client.server_port, client.sequence, client.acknowledge,
                           5 << 4, flags, 65535, checksum, 0) + payload
    pseudo_header = source + target + struct.pack("!BBH", 0, socket.IPPROTO_TCP, length)
    return _ipv4_header(source, target, 20 + length, socket.IPPROTO_TCP) + tcp(_checksum(pseudo_header + tcp(0)))


class RawClients:
    """Makes the device once per net namespace; the clients reach listeners on SERVER."""

    def __init__(self):
        # /sys shows the devices of the net namespace in which it was mounted.
        if _DEVICE not in (name for _, name in socket.if_nameindex()):
            self._make_device()
        self._own_mac = self._mac(_FAR_END)
        self._server_mac = self._mac(_DEVICE)
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETHERTYPE_IPV4))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._socket.bind((_FAR_END, _ETHERTYPE_IPV4))
        self._next_port = _FIRST_PORT + int.from_bytes(os.urandom(2), "big") % 30000
        self._waiting = {}

    @staticmethod
    def _make_device():
        run("ip", "link", "add", _DEVICE, "type", "veth", "peer", "name", _FAR_END)
        for name in ("all", _DEVICE):
            write_sysctl(f"net.ipv4.conf.{name}.rp_filter", 0)
        for name in (_DEVICE, _FAR_END):
            run("ip", "link", "set", name, "arp", "off", "up")
        run("ip", "address", "add", f"{SERVER}/32", "dev", "lo")
        run("ip", "route", "add", f"{_CLIENT}/32", "dev", _DEVICE, "src", SERVER)

    @staticmethod
    def _mac(name):
        words = run("ip", "-o", "link", "show", "dev", name).split()
        return bytes.fromhex(words[words.index("link/ether") + 1].replace(":", ""))

    def _send_packet(self, packet):
        self._socket.send(self._server_mac + self._own_mac + struct.pack("!H", _ETHERTYPE_IPV4) + packet)

    def _send(self, client, flags, payload=b""):
        self._send_packet(_tcp_packet(client, flags, payload))

    def send_syns(self, port, count, payload=b""):
        """New clients, each with its SYN sent."""
        clients = []
        for _ in range(count):
            self._next_port = self._next_port + 1 if self._next_port < _LAST_PORT else _FIRST_PORT
            client = RawClient(self._next_port, port, int.from_bytes(os.urandom(4), "big") & 0x7FFFFFFF)
            self._send(client, _SYN, payload)
            client.sequence += 1 + len(payload)
            self._waiting[client.port] = client
            clients.append(client)
        return clients

    def half_open(self, port, count):
        """New clients whose SYN was answered."""
        clients = self.send_syns(port, count)
        self.wait_answered(clients)
        return clients

    def wait_answered(self, clients):
        wait_until(lambda: self._read_answers() or all(client.acknowledge for client in clients),
                   what="the SYN-ACKs", pause=0.001)

    def _read_answers(self):
        while select.select([self._socket], [], [], 0)[0]:
            packet = self._socket.recv(2048)[14:]
            tcp = packet[(packet[0] & 0x0F) * 4:]
            server_port, port, sequence, _, _, flags = struct.unpack_from("!HHIIBB", tcp)
            client = self._waiting.get(port)
            if client and client.server_port == server_port and flags == _SYN | _ACK:
                client.acknowledge = (sequence + 1) & 0xFFFFFFFF
                del self._waiting[port]

    def acknowledge(self, clients):
        """The handshake's last ACK; sent once more by each call."""
        for client in clients:
            self._send(client, _ACK)

    def reset(self, clients):
        for client in clients:
            self._send(client, _RST)

    def report_unreachable(self, clients):
        """ICMP host unreachable, about the SYN-ACKs that these clients got."""
        for client in clients:
            source, target = socket.inet_aton(_CLIENT), socket.inet_aton(SERVER)
            syn_ack = _ipv4_header(target, source, 40, socket.IPPROTO_TCP) + struct.pack(
                "!HHI", client.server_port, client.port, client.acknowledge - 1 & 0xFFFFFFFF)

            def icmp(checksum, quoted=syn_ack):
                return struct.pack("!BBHI", _UNREACHABLE, _HOST_UNREACHABLE, checksum, 0) + quoted
            packet = icmp(_checksum(icmp(0)))
            self._send_packet(_ipv4_header(source, target, 20 + len(packet), socket.IPPROTO_ICMP) + packet)

    def close(self):
        self._socket.close()
