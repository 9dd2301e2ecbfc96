//! What a side's candidates tell, and what is missing from them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use floe::candidate::{Candidate, Host, Kind, TcpType};

use super::{MAX_CANDIDATES, Side};
use crate::explain::kinds::NetworkKind;
use crate::explain::story::verdict::is_public;

impl Side {
    /// Sentences on it.
    pub(super) fn findings(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut add = |holds: bool, text: &str| {
            if holds {
                found.push(text.to_owned());
            }
        };
        if self.candidates.is_empty() {
            add(
                true,
                "It has no candidate. If they are trickled they come in messages of their own: \
                 add those lines.",
            );
        } else {
            self.missing(&mut add);
            self.network(&mut add);
        }
        add(
            self.is_description && !self.has_credentials,
            "It has no ice-ufrag: the peer takes it for one without ICE.",
        );
        add(self.is_lite, "It is a lite agent: it sends no checks, the peer has to.");
        add(
            self.is_description && !self.has_ended && !self.candidates.is_empty(),
            "Nothing says that the candidates are complete: more may be trickled.",
        );
        if self.left_out > 0 {
            found.push(format!(
                "Only the first {MAX_CANDIDATES} candidates are looked at; {} are left out.",
                self.left_out
            ));
        }
        found
    }

    fn missing(&self, add: &mut impl FnMut(bool, &str)) {
        let has = |kind: Kind| self.candidates.iter().any(|c| c.kind == kind);
        let is_named = |c: &&Candidate| matches!(c.host, Host::Name(_));
        let hosts = || self.candidates.iter().filter(|c| c.kind == Kind::Host);
        let only_names = hosts().next().is_some() && hosts().all(|c| is_named(&c));
        let only_host = self.candidates.iter().all(|c| c.kind == Kind::Host);
        add(
            only_host && only_names,
            "It has only names (.local), which resolve within its own network alone.",
        );
        add(
            !only_host && only_names,
            "Its own addresses are hidden behind names (.local): a browser without camera or \
             microphone permission does that.",
        );
        let public = self.candidates.iter().any(is_public);
        add(
            only_host && !public,
            "It has only addresses of its own network: from elsewhere it is not reached. No STUN \
             server was given, or none answered.",
        );
        add(
            !only_host && !has(Kind::ServerReflexive) && !public,
            "No STUN server told it its public address.",
        );
        add(
            !has(Kind::Relayed),
            "It has no relay: where no direct pair works there is no other way.",
        );
        add(
            self.candidates.iter().all(|c| c.kind == Kind::Relayed),
            "It has relays alone: every pair goes through one.",
        );
        let is_tcp = |c: &Candidate| c.tcp_type.is_some();
        add(
            self.candidates.iter().all(is_tcp),
            "It has TCP candidates alone: without any at the peer nothing pairs.",
        );
        let mut tcp = self.candidates.iter().filter(|c| is_tcp(c)).peekable();
        add(
            tcp.peek().is_some() && tcp.all(|c| c.tcp_type == Some(TcpType::Active)),
            "Over TCP it only opens connections: the peer needs passive candidates.",
        );
    }

    fn network(&self, add: &mut impl FnMut(bool, &str)) {
        let addresses = || self.candidates.iter().filter_map(Candidate::address);
        add(!addresses().any(|a| a.is_ipv6()), "It has no IPv6 address.");
        add(
            addresses().next().is_some() && !addresses().any(|a| a.is_ipv4()),
            "It has no IPv4 address.",
        );
        let provider = NetworkKind::SharedByProvider;
        add(
            addresses().any(|a| NetworkKind::of(a.ip()) == provider),
            "It is behind a provider's NAT (100.64.0.0/10): expect no port forwarding.",
        );
        add(addresses().any(|a| a.port() == 0), "It has a candidate with port 0: nobody is there.");
        add(
            self.has_many_mappings(),
            "Its NAT gives each destination another port (two mapped ports for one socket): direct \
             connections work only with peers that have an open NAT.",
        );
    }

    /// Whether one socket is seen at several ports of one address.
    fn has_many_mappings(&self) -> bool {
        let mapped = || self.candidates.iter().filter(|c| c.kind == Kind::ServerReflexive);
        let key = |c: &Candidate| {
            let related = c.related.filter(|r| !r.ip().is_unspecified() && r.port() != 0)?;
            Some((c.component, c.tcp_type, related, c.address()?.ip()))
        };
        let mut ports: BTreeSet<(String, IpAddr, u16)> = BTreeSet::new();
        for candidate in mapped() {
            if let (Some(key), Some(address)) = (key(candidate), candidate.address()) {
                let (component, tcp_type, related, ip) = key;
                ports.insert((format!("{component} {tcp_type:?} {related}"), ip, address.port()));
            }
        }
        let sockets: BTreeSet<(&String, IpAddr)> =
            ports.iter().map(|(socket, ip, _)| (socket, *ip)).collect();
        sockets.len() < ports.len()
    }
}

#[cfg(test)]
mod tests {
    use crate::explain::candidates::read;

    #[track_caller]
    fn finds(lines: &[&str], words: &[&str]) {
        let sides = read(&lines.join("\n"));
        let findings = sides[0].findings().join("\n");
        for word in words {
            assert!(findings.contains(word), "{word} is missing: {findings}");
        }
    }

    const HOST: &str = "candidate:1 1 UDP 2130706431 10.0.0.1 5000 typ host";
    const NAME: &str = "candidate:1 1 UDP 2130706431 \
                        3b1c2f6e-1f0a-4f5e-9d57-0d3c9c0a7b11.local 5000 typ host";
    const SRFLX: &str =
        "candidate:2 1 UDP 1694498815 203.0.113.1 6000 typ srflx raddr 10.0.0.1 rport 5000";
    const OTHER: &str =
        "candidate:3 1 UDP 1694498814 203.0.113.1 6001 typ srflx raddr 10.0.0.1 rport 5000";
    const RELAY: &str =
        "candidate:4 1 UDP 41885439 198.51.100.1 7000 typ relay raddr 203.0.113.1 rport 6000";
    const ACTIVE: &str = "candidate:5 1 TCP 1518280447 10.0.0.1 9 typ host tcptype active";

    #[test]
    fn what_is_missing() {
        finds(&[HOST], &["only addresses of its own network", "no relay", "no IPv6"]);
        finds(&[NAME], &["only names", "no relay"]);
        finds(&[NAME, SRFLX], &["hidden behind names", "no relay"]);
        finds(&[RELAY], &["relays alone"]);
        finds(&[ACTIVE], &["TCP candidates alone", "only opens connections"]);
        finds(&["v=0", "m=audio 9 UDP/TLS/RTP/SAVPF 0"], &["no candidate", "no ice-ufrag"]);
        finds(&["candidate:1 1 UDP 1 100.64.0.1 5 typ host"], &["provider's NAT"]);
    }

    #[test]
    fn a_nat_that_maps_by_destination_shows() {
        finds(&[HOST, SRFLX, OTHER], &["another port"]);
        let one = read(&[HOST, SRFLX].join("\n"))[0].findings().join("\n");
        assert!(!one.contains("another port"), "{one}");
    }
}
