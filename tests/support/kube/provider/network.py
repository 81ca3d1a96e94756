"""Addresses of native nodes on the host: a slot per node, its veth pair, its routes."""

import json
from dataclasses import dataclass

from support.kube.provider.shell import ClusterError, CommandError, run

SLOTS = range(16)


@dataclass(frozen=True, slots=True)
class Network:
    """The addresses of one slot; up to 16 clusters can run side by side on one machine."""

    slot: int

    @property
    def device(self) -> str:
        """The host's end of the veth pair."""
        return f"aep{self.slot}"

    @property
    def host_ip(self) -> str:
        """The host's address as seen from the node."""
        return f"10.200.{self.slot}.1"

    @property
    def node_ip(self) -> str:
        """The node's address."""
        return f"10.200.{self.slot}.2"

    @property
    def pod_cidr(self) -> str:
        """Addresses of pods, 4,094 of them."""
        return f"10.201.{self.slot * 16}.0/20"

    @property
    def service_cidr(self) -> str:
        """Addresses of Services, 4,094 of them."""
        return f"10.202.{self.slot * 16}.0/20"

    @property
    def api_service_ip(self) -> str:
        """The address of the `kubernetes` Service: the first of its range."""
        return f"10.202.{self.slot * 16}.1"

    @property
    def dns_ip(self) -> str:
        """The address of the DNS server, in the reserved part of the range."""
        return f"10.202.{self.slot * 16}.10"


def free_slot() -> Network:
    """The first slot none of whose addresses the host has a route to."""
    routes = {route["dst"] for route in json.loads(run(["ip", "-json", "route"]))}
    devices = {link["ifname"] for link in json.loads(run(["ip", "-json", "link"]))}
    for slot in SLOTS:
        network = Network(slot)
        node_net = f"10.200.{slot}.0/24"
        if network.device not in devices and not routes & {
            node_net,
            network.pod_cidr,
            network.service_cidr,
        }:
            return network
    raise ClusterError("16 test clusters already run on this machine")


def connect(network: Network, pid: int) -> None:
    """Join the host to the network namespace of `pid`, with routes to pods and Services."""
    device = network.device
    peer = ["peer", "name", "eth0", "netns", str(pid)]
    run(["ip", "link", "add", device, "type", "veth", *peer])
    run(["ip", "addr", "add", f"{network.host_ip}/24", "dev", device])
    run(["ip", "link", "set", device, "up"])
    for cidr in (network.pod_cidr, network.service_cidr):
        run(["ip", "route", "replace", cidr, "via", network.node_ip, "dev", device])


def disconnect(network: Network) -> None:
    """Remove the veth pair; its routes go with it."""
    try:
        run(["ip", "link", "delete", network.device])
    except CommandError as error:
        if "Cannot find device" not in error.output:
            raise
