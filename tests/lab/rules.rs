//! The nftables rules of a NAT or a firewall.
//!
//! What has gone out is remembered in two sets of the kernel's, so that every
//! mapping can be had with every filter: `inside` leads from an outer port to
//! the endpoint that it stands for, `opened` says whom that port was used
//! towards. What answers, or crosses, what went out is known to conntrack.

use std::net::IpAddr;

use crate::nat::{Crossing, Egress, Filtering, Mapping, Nat, Unsolicited};

/// A shifted port is the inner one with these bits turned over.
pub(crate) const SHIFT: u16 = 0x1000;

/// The rules of `nat`, whose inside interfaces are called `lan…`, and its
/// outer one `wan`, with the address `outer`.
pub(crate) fn rules(nat: &Nat, outer: IpAddr) -> String {
    Rules { nat, outer, words: if outer.is_ipv4() { &IPV4 } else { &IPV6 } }.all()
}

/// How nftables calls things in a family of addresses.
struct Words {
    ip: &'static str,
    address: &'static str,
    /// What a host owes its neighbours in any case.
    neighbours: &'static str,
    unreachable: &'static str,
}

const IPV4: Words = Words {
    ip: "ip",
    address: "ipv4_addr",
    neighbours: "",
    unreachable: "icmp type port-unreachable",
};

const IPV6: Words = Words {
    ip: "ip6",
    address: "ipv6_addr",
    neighbours: "meta l4proto ipv6-icmp accept",
    unreachable: "icmpv6 type port-unreachable",
};

struct Rules<'a> {
    nat: &'a Nat,
    outer: IpAddr,
    words: &'static Words,
}

impl Rules<'_> {
    fn all(&self) -> String {
        let ip = self.words.ip;
        let chains =
            [self.memory(), self.translation(), self.learning(), self.input(), self.forwarding()];
        format!("table {ip} nat {{\n{}\n}}", chains.join("\n"))
    }

    /// The two sets. A firewall translates nothing, and so has one only (nft
    /// 1.0 has too few registers for a map of IPv6 addresses).
    fn memory(&self) -> String {
        let address = self.words.address;
        let opened = format!(
            "set opened {{
                type inet_proto . inet_service . {address}
                flags dynamic; size 65535
            }}"
        );
        if self.nat.mapping == Mapping::Untouched {
            return opened;
        }
        format!(
            "{opened}
            map inside {{
                type inet_proto . inet_service : {address} . inet_service
                flags dynamic; size 65535
            }}"
        )
    }

    /// The address translation, both ways.
    fn translation(&self) -> String {
        let (ip, outer) = (self.words.ip, self.outer);
        let source = match self.nat.mapping {
            Mapping::Preserving => format!("snat {ip} to {outer}"),
            Mapping::Shifted => format!("snat {ip} to {outer} : th sport xor {SHIFT:#x}"),
            Mapping::Symmetric => format!("snat {ip} to {outer} random"),
            Mapping::Untouched => return String::new(),
        };
        let back = format!("dnat {ip} to meta l4proto . th dport map @inside");
        let opened =
            self.open_to().map_or(String::new(), |who| format!("iifname wan {who} {back}"));
        let passed = match self.nat.unsolicited {
            Unsolicited::Pass => format!("iifname wan meta l4proto tcp {back}"),
            _ => String::new(),
        };
        let hairpin = if self.nat.hairpin {
            format!("iifname \"lan*\" {ip} daddr {outer} {back}")
        } else {
            String::new()
        };
        let hairpinned = "oifname \"lan*\" ip saddr { 10.0.0.0/8, 100.64.0.0/10 } ct status dnat";
        format!(
            "chain prerouting {{
                type nat hook prerouting priority dstnat
                meta l4proto != {{ tcp, udp }} accept
                {opened}
                {passed}
                {hairpin}
            }}
            chain postrouting {{
                type nat hook postrouting priority srcnat
                meta l4proto != {{ tcp, udp }} masquerade
                oifname wan meta l4proto {{ tcp, udp }} {source}
                {hairpinned} meta l4proto {{ tcp, udp }} {source}
            }}"
        )
    }

    /// Whom outside a mapped port is open to, beyond what conntrack knows.
    fn open_to(&self) -> Option<String> {
        match self.nat.filtering {
            Filtering::Open => Some("meta l4proto { tcp, udp }".to_owned()),
            Filtering::Address => {
                Some(format!("meta l4proto . th dport . {} saddr @opened", self.words.ip))
            }
            Filtering::AddressAndPort => None,
        }
    }

    /// Remembers what goes out, as it looks outside.
    fn learning(&self) -> String {
        let ip = self.words.ip;
        let new = "meta l4proto { tcp, udp } ct direction original";
        let opened = format!("update @opened {{ meta l4proto . th sport . {ip} daddr }}");
        if self.nat.mapping == Mapping::Untouched {
            return format!(
                "chain learn {{
                    type filter hook forward priority 110
                    iifname \"lan*\" {new} {opened}
                }}"
            );
        }
        let from = format!("{ip} saddr {}", self.outer);
        let inner = format!("ct original {ip} saddr . ct original proto-src");
        format!(
            "chain learn {{
                type filter hook postrouting priority 110
                {from} {new} {opened}
                {from} {new} update @inside {{ meta l4proto . th sport : {inner} }}
            }}"
        )
    }

    /// What reaches the NAT itself. Letting it in would leave an entry that
    /// pushes the inside host off its port later.
    fn input(&self) -> String {
        if self.nat.poisoned {
            return String::new();
        }
        format!(
            "chain input {{
                type filter hook input priority filter
                {neighbours}
                {refusal}
                ct state new drop
            }}",
            neighbours = self.words.neighbours,
            refusal = self.refusal("ct state new"),
        )
    }

    fn forwarding(&self) -> String {
        let bare = "iifname wan tcp flags & (syn | ack) == syn";
        let crossing = match self.nat.crossing {
            Crossing::Pass => String::new(),
            Crossing::Drop => format!("{bare} drop"),
            Crossing::Reset => format!("{bare} reject with tcp reset"),
        };
        let egress = match self.nat.egress {
            Egress::All => "",
            Egress::NoUdp => "iifname \"lan*\" meta l4proto udp drop",
            Egress::Tcp443 => {
                "iifname \"lan*\" meta l4proto udp drop
                iifname \"lan*\" ct direction original meta l4proto tcp tcp dport != 443 drop"
            }
        };
        format!(
            "chain forward {{
                type filter hook forward priority filter; policy drop
                {crossing}
                {egress}
                ct state invalid drop
                ct state established,related accept
                iifname \"lan*\" oifname wan accept
                {unasked}
                {refusal}
            }}",
            unasked = self.unasked(),
            refusal = self.refusal("iifname wan ct state new"),
        )
    }

    /// What is forwarded although nothing inside has begun it.
    fn unasked(&self) -> String {
        if self.nat.mapping != Mapping::Untouched {
            return "ct status dnat accept".to_owned();
        }
        let mut unasked =
            self.open_to().map_or(String::new(), |who| format!("iifname wan {who} accept\n"));
        if self.nat.unsolicited == Unsolicited::Pass {
            unasked += "iifname wan meta l4proto tcp accept";
        }
        unasked
    }

    fn refusal(&self, what: &str) -> String {
        let with = match self.nat.unsolicited {
            Unsolicited::Pass | Unsolicited::Drop => return String::new(),
            Unsolicited::Reset => "tcp reset",
            Unsolicited::Icmp => self.words.unreachable,
        };
        format!("{what} meta l4proto tcp reject with {with}")
    }
}
