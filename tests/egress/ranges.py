"""Reads addresses, one a line, and says of each by Python's own tables whether it is globally reachable unicast."""

import ipaddress
import sys

# What those call global, and nobody's host is: 6to4 relays (RFC 7526), Azure's own address, what RFC 3879 and RFC 9637
# set apart, and prefixes that hold IPv4 addresses. Of IPv6 nothing else is handed out (IANA) but 2000::/3.
BESIDES = [ipaddress.ip_network(net) for net in (
    "192.88.99.0/24", "168.63.129.16/32", "0.0.0.0/8", "240.0.0.0/4", "192.0.0.0/24", "2001::/23", "2002::/16", "3fff::/20",
)]
HANDED_OUT = ipaddress.ip_network("2000::/3")

for line in sys.stdin:
    ip = ipaddress.ip_address(line.strip())
    public = ip.is_global and not ip.is_multicast and not any(ip in net for net in BESIDES)
    print(int(public and (ip.version == 4 or ip in HANDED_OUT)))
