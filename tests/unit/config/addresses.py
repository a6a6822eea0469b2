"""Addresses that must not be reached, and the ways to write them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

METADATA = """
    169.254.169.254 169.254.170.2 169.254.170.23 169.254.0.23 169.254.10.10 100.100.100.200
    192.0.0.192 168.63.129.16 fd00:ec2::254 fd00:ec2::23 fd20:ce::254
""".split()

PRIVATE = """
    127.0.0.1 127.255.255.254 10.0.0.1 10.255.255.255 172.16.0.1 172.31.255.255 192.168.0.1
    100.64.0.1 100.127.255.255 169.254.1.1 0.1.2.3 192.0.0.1 192.0.2.1 192.88.99.1 198.18.0.1
    198.51.100.1 203.0.113.1 240.0.0.1 255.255.255.254
    ::1 ::127.0.0.1 ::8:1 ::ffff:0:127.0.0.1 64:ff9b:1::1 100::1 100:0:0:1::1 2001::1 2001:10::1
    2001:20::1 2001:2::1 2001:db8::1 2002:7f00:1:: 2002:808:808::1 3fff::1 4000::1 5f00::1 fc00::1
    fd00::1 fe80::1 fec0::1 2606:4700::5efe:7f00:1 2606:4700::200:5efe:808:808
""".split()

NEVER = [
    *METADATA,
    *"0.0.0.0 :: 224.0.0.1 239.255.255.255 255.255.255.255 ff02::1 ff0e::1".split(),
]

PUBLIC = """
    1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0
    169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.0.0.9 192.0.0.10 192.0.1.0
    192.88.98.255 192.88.100.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255
    168.63.129.15 168.63.129.17
    2001:1::1 2001:1::2 2001:4:112::1 2001:200::1 2606:4700::1 2a00::1 64:ff9b::8.8.8.8
    ::ffff:8.8.8.8
""".split()


def literals(address: str) -> set[str]:
    """The same address in other usual spellings: certain to be read alike."""
    parsed = ip_address(address)
    if isinstance(parsed, IPv6Address):
        return {address, parsed.exploded, parsed.compressed, parsed.compressed.upper()}
    low = f"{int(parsed) >> 16:x}:{int(parsed) & 0xFFFF:x}"
    return {address, f"::ffff:{address}", f"::ffff:{low}", f"0:0:0:0:0:FFFF:{address}"} | {
        f"64:ff9b::{address}",
        f"64:ff9b::{low}",
    }


def carriers(address: str) -> set[str]:
    """IPv6 addresses that carry an IPv4 address and are never public themselves."""
    bits = int(IPv4Address(address))
    high, low = bits >> 16, bits & 0xFFFF
    return {
        f"::{address}",
        f"::ffff:0:{address}",
        f"64:ff9b:1::{address}",
        str(IPv6Address((0x64FF9B0001 << 80) | (high << 64) | (low << 40))),  # RFC 6052, /48
        str(IPv6Address((0x64FF9B0001 << 80) | (bits >> 24 << 64) | ((bits & 0xFFFFFF) << 32))),
        str(IPv6Address((0x64FF9B0001 << 80) | (bits << 24))),
        f"2002:{high:x}:{low:x}::1",
        f"2001:0:{high:x}:{low:x}::1",  # a Teredo server
        f"2001:0:102:304:0:0:{high ^ 0xFFFF:x}:{low ^ 0xFFFF:x}",  # a Teredo client
        f"2606:4700::5efe:{high:x}:{low:x}",
        f"2606:4700::200:5efe:{high:x}:{low:x}",
    }


def old_spellings(address: str) -> set[str]:
    """Spellings that are no literals, but an address to some program: of IPv4 addresses."""
    if ":" in address:
        return set()
    a, b, c, d = (int(part) for part in address.split("."))
    number = int(IPv4Address(address))
    wide = address.translate({ord("0") + at: 0xFF10 + at for at in range(10)})
    circled = address.translate({ord("1") + at: 0x2460 + at for at in range(9)})
    return {
        *(str(number), f"0x{number:x}", f"0X{number:08X}", f"0{number:o}"),
        *(f"{a}.{number & 0xFFFFFF}", f"{a}.{b}.{number & 0xFFFF}", f"0x{a:x}.{b}.{c}.{d}"),
        *(f"0{a:o}.{b}.{c}.{d}", f"0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}", f"00{a:o}.0{b:o}.{c}.{d}"),
        *(wide, circled, address.replace(".", "\u3002"), address.replace(".", "\uff0e")),
        *(f"{address}.", address.replace(".", "\uff61"), f"{a}.{b}.{c}.\u00ad{d}"),
    } - {address}
