//! Two hosts, each behind a NAT of the kernel's, and a server between them:
//!
//! ```text
//!   host 10.1.0.2 ── NAT 203.0.113.1 ──┐
//!                                      wire ── server 203.0.113.10
//!   host 10.2.0.2 ── NAT 203.0.113.2 ──┘
//! ```

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use crate::harness::namespace::Namespace;
use crate::stun_server::StunServer;
use crate::wire::{Port, Wire};

/// Where the STUN server listens.
pub(crate) const STUN: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 10), 3478);

/// How a NAT maps and filters.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Nat {
    /// Endpoint-independent mapping that keeps the port, address-and-port-
    /// dependent filtering, silent about what it drops.
    PortRestricted,
}

/// What lies between two hosts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) nats: [Nat; 2],
    /// Between any two of the NATs and the server.
    pub(crate) rtt: Duration,
    pub(crate) loss: f64,
}

/// A laid-out cell.
#[derive(Debug)]
pub(crate) struct Lab {
    pub(crate) hosts: [Namespace; 2],
    pub(crate) server: Namespace,
    /// A namespace lives as long as something refers to it.
    _nats: [Namespace; 2],
    _stun: StunServer,
    _wire: Wire,
}

impl Lab {
    /// Lays out `cell`; the calling test has entered its own namespaces.
    pub(crate) fn new(cell: &Cell) -> Self {
        let wire = Namespace::new("wire");
        let hosts = [Namespace::new("host-1"), Namespace::new("host-2")];
        let nats = [Namespace::new("nat-1"), Namespace::new("nat-2")];
        let server = Namespace::new("server");
        for namespace in hosts.iter().chain(&nats).chain([&wire, &server]) {
            namespace.sysctl("ipv6.conf.all.disable_ipv6", "1");
            namespace.sysctl("ipv6.conf.default.disable_ipv6", "1");
        }
        for ((host, nat), number) in hosts.iter().zip(&nats).zip(1..) {
            host.connect("eth0", nat, "lan");
            settle(host, number, 2);
            nat.ip(&format!("address add 10.{number}.0.1/24 dev lan"));
        }
        let public: [(&Namespace, &str, &'static str, u8); 3] = [
            (&nats[0], "wan", "to-nat-1", 1),
            (&nats[1], "wan", "to-nat-2", 2),
            (&server, "eth0", "to-server", STUN.ip().octets()[3]),
        ];
        for (namespace, interface, port, last) in public {
            wire.connect(port, namespace, interface);
            lay_out_public(namespace, interface, last);
        }
        for (nat, kind) in nats.iter().zip(cell.nats) {
            nat.sysctl("ipv4.ip_forward", "1");
            // A private address of the other side is lost in the network, as
            // it would be in a provider's.
            nat.ip("route add blackhole default");
            nat.nft(rules(kind));
        }
        let ports = public.map(|(_, _, interface, _)| Port {
            interface,
            // A round trip crosses the wire twice, two ports each time.
            delay: cell.rtt / 4,
            loss: cell.loss,
        });
        Self {
            _stun: StunServer::start(&server, STUN),
            _wire: Wire::start(&wire, &ports, 0),
            hosts,
            server,
            _nats: nats,
        }
    }

    /// Takes a host's address away, and gives it 10.N.0.`last`.
    pub(crate) fn move_host(&self, host: usize, last: u8) {
        let (host, number) = (&self.hosts[host], host + 1);
        host.ip("address flush dev eth0");
        settle(host, number, last);
    }
}

/// Gives a host its address and its way out.
fn settle(host: &Namespace, number: usize, last: u8) {
    host.ip(&format!("address add 10.{number}.0.{last}/24 dev eth0"));
    host.ip(&format!("route add default via 10.{number}.0.1"));
}

/// Addresses an interface on the wire and makes its neighbours known, so that
/// address resolution adds no round trip to what is measured.
fn lay_out_public(namespace: &Namespace, interface: &str, last: u8) {
    let hardware = |last: u8| format!("02:00:00:00:00:{last:02x}");
    namespace.ip(&format!("link set {interface} address {}", hardware(last)));
    namespace.ip(&format!("address add 203.0.113.{last}/24 dev {interface}"));
    for other in [1, 2, STUN.ip().octets()[3]].into_iter().filter(|&other| other != last) {
        namespace.ip(&format!(
            "neighbour add 203.0.113.{other} lladdr {} dev {interface} nud permanent",
            hardware(other)
        ));
    }
}

fn rules(nat: Nat) -> &'static str {
    match nat {
        // The input rule keeps an early datagram from leaving a conntrack
        // entry that would push the inside host off its port.
        Nat::PortRestricted => {
            "table ip nat {
                chain postrouting {
                    type nat hook postrouting priority srcnat
                    oifname wan masquerade
                }
                chain input {
                    type filter hook input priority filter
                    iifname wan ct state new drop
                }
                chain forward {
                    type filter hook forward priority filter; policy drop
                    ct state established,related accept
                    iifname lan accept
                }
            }"
        }
    }
}
