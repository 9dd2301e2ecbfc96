//! What pairs with what.

use floe::candidate::{Candidate, Kind, PairingClass, TcpType};
use floe::check::pair_priority;
use serde_json::{Value, json};

use super::Side;
use crate::explain::kinds::{NetworkKind, is_public};
use crate::words;

/// A pair of two sides' candidates.
pub(super) struct Pairing<'a> {
    pub(super) first: &'a Candidate,
    pub(super) second: &'a Candidate,
    priority: u64,
}

/// From where a candidate is reached.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    Relay,
    /// An address of a machine that is public.
    Public,
    /// An address that a NAT has for it.
    Mapped,
    Private(NetworkKind),
    Name,
}

/// When a pair works, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Chance {
    Public,
    Nats,
    Relay,
    OpenNat,
    OneNetwork,
    Name,
    Apart,
}

impl Chance {
    pub(super) const fn words(self) -> &'static str {
        match self {
            Chance::Public => "works unless a firewall drops it",
            Chance::Nats => "works if both NATs keep a port for all destinations",
            Chance::Relay => "works wherever the relay is reached",
            Chance::OpenNat => "works only if the NAT lets anybody in",
            Chance::OneNetwork => "works only if both are in one network",
            Chance::Name => "works if the name resolves: in one network, with multicast",
            Chance::Apart => "works hardly: the two are of different kinds of networks",
        }
    }
}

impl Reach {
    fn of(candidate: &Candidate) -> Self {
        let Some(address) = candidate.address() else { return Reach::Name };
        match candidate.kind {
            Kind::Relayed => Reach::Relay,
            _ if !is_public(address.ip()) => Reach::Private(NetworkKind::of(address.ip())),
            Kind::Host => Reach::Public,
            Kind::ServerReflexive | Kind::PeerReflexive => Reach::Mapped,
        }
    }
}

impl Pairing<'_> {
    /// Both ends in a few words.
    pub(super) fn title(&self) -> String {
        let (first, second) = (words::place(self.first), words::place(self.second));
        format!("{first} to {second}, {}", words::transport(self.first))
    }

    /// When it works.
    pub(super) fn chance(&self) -> Chance {
        use Reach::{Mapped, Name, Private, Public, Relay};
        let ends = [self.first, self.second];
        let reach = ends.map(Reach::of);
        // One that only accepts has to be reached from where the other is.
        let passive = ends.iter().position(|end| end.tcp_type == Some(TcpType::Passive));
        if let Some(passive) = passive {
            return match (reach[passive], reach[1 - passive]) {
                (Relay, _) | (_, Relay) => Chance::Relay,
                (Public, _) => Chance::Public,
                (Mapped, _) => Chance::OpenNat,
                (Private(one), Private(other)) if one != other => Chance::Apart,
                (Private(_), _) => Chance::OneNetwork,
                (Name, _) => Chance::Name,
            };
        }
        match (reach[0], reach[1]) {
            (Relay, _) | (_, Relay) => Chance::Relay,
            (Public, _) | (_, Public) => Chance::Public,
            (Mapped, Mapped) => Chance::Nats,
            (Mapped, _) | (_, Mapped) => Chance::OpenNat,
            (Name, _) | (_, Name) => Chance::Name,
            (Private(one), Private(other)) if one != other => Chance::Apart,
            (Private(_), Private(_)) => Chance::OneNetwork,
        }
    }
}

/// The pairs of two sides, those of the highest priority first. The first
/// side is taken for the controlling one.
pub(super) fn pairs(sides: &[Side]) -> Vec<Pairing<'_>> {
    let [first, second] = sides else { return Vec::new() };
    let mut pairs = Vec::new();
    for one in &first.candidates {
        for other in second.candidates.iter().filter(|other| fits(one, other)) {
            let priority = pair_priority(one.priority, other.priority);
            pairs.push(Pairing { first: one, second: other, priority });
        }
    }
    pairs.sort_by_key(|pair| std::cmp::Reverse(pair.priority));
    pairs
}

/// RFC 8445 §6.1.2.2, RFC 6544 §6.2. Ours that is reflexive is sent from its
/// base, which has a pair of its own.
fn fits(one: &Candidate, other: &Candidate) -> bool {
    let class = PairingClass::of_candidate;
    let family = match (one.address(), other.address()) {
        (Some(one), Some(other)) => one.is_ipv4() == other.is_ipv4(),
        _ => true,
    };
    one.component == other.component && class(one) == class(other).mate() && family
}

/// What it comes to, in a sentence.
pub(crate) fn sentence(sides: &[Side]) -> String {
    let [first, second] = sides else {
        return "One side alone: what it can pair with stands beside each candidate.".into();
    };
    if first.candidates.is_empty() || second.candidates.is_empty() {
        return "One side has no candidate: nothing pairs.".into();
    }
    let pairs = pairs(sides);
    let chances = || pairs.iter().map(Pairing::chance);
    let only_relayed = chances().all(|chance| chance == Chance::Relay);
    let text = match chances().min() {
        None => "Nothing pairs: the two have no transport, family and component in common.",
        Some(_) if only_relayed => "Only relayed pairs: it goes through a relay.",
        Some(Chance::Public) => {
            "A direct connection is likely: a side has a public address of its own."
        }
        Some(Chance::Nats) => "A direct connection is possible: it depends on the NATs.",
        Some(Chance::Relay) => "Through a relay, unless both are in one network.",
        Some(Chance::OpenNat) => {
            "It works only if both are in one network, or if a NAT lets anybody in: neither has a \
             relay, and not both have public addresses."
        }
        Some(Chance::OneNetwork | Chance::Name | Chance::Apart) => {
            "It works only if both are in one network: neither has a relay, nor a public address."
        }
    };
    text.into()
}

/// The pairs as objects.
pub(crate) fn to_json(sides: &[Side]) -> Value {
    let object = |pair: &Pairing<'_>| {
        json!({
            "first": super::clean(&pair.first.to_string()),
            "second": super::clean(&pair.second.to_string()),
            "priority": pair.priority.to_string(),
            "text": pair.chance().words(),
        })
    };
    pairs(sides).iter().map(object).collect()
}

#[cfg(test)]
mod tests {
    use crate::explain::candidates::read;

    use super::*;

    const A: &str = "candidate:1 1 UDP 2130706431 10.0.0.1 5000 typ host\n\
        candidate:2 1 UDP 1694498815 203.0.113.1 6000 typ srflx raddr 10.0.0.1 rport 5000\n\
        candidate:3 1 TCP 1518280447 10.0.0.1 9 typ host tcptype active\n";

    fn said(other: &str) -> (usize, String) {
        let sides = read(&format!("{A}\n{other}"));
        (pairs(&sides).len(), sentence(&sides))
    }

    #[test]
    fn only_what_fits_is_paired() {
        let (count, text) = said("candidate:1 1 UDP 2130706431 192.168.1.9 5000 typ host\n");
        assert_eq!(count, 2);
        assert!(text.contains("only if both are in one network"), "{text}");
        let (count, text) = said("candidate:1 1 TCP 1 10.0.0.9 9 typ host tcptype active\n");
        assert_eq!(count, 0);
        assert!(text.starts_with("Nothing pairs"), "{text}");
        assert_eq!(said("candidate:1 1 TCP 1 10.0.0.9 80 typ host tcptype passive\n").0, 1);
        assert_eq!(said("candidate:1 2 UDP 1 10.0.0.9 80 typ host\n").0, 0);
        assert_eq!(said("candidate:1 1 UDP 1 2001:db8::1 80 typ host\n").0, 0);
    }

    #[test]
    fn the_sentence_follows_from_the_best_pair() {
        for (other, words) in [
            ("198.51.100.9 80 typ host", "is likely"),
            ("198.51.100.9 80 typ srflx raddr 10.9.0.1 rport 5", "depends on the NATs"),
            ("198.51.100.9 80 typ relay raddr 0.0.0.0 rport 9", "Only relayed"),
            ("192.168.1.9 80 typ host", "a NAT lets anybody in"),
        ] {
            let (_, text) = said(&format!("candidate:1 1 UDP 1 {other}\n"));
            assert!(text.contains(words), "{other}: {text}");
        }
    }

    #[test]
    fn the_chance_is_that_of_both_ends() {
        let candidate = |text: &str| -> Candidate {
            let (transport, rest) = text.split_once(' ').unwrap();
            format!("candidate:1 1 {transport} 1 {rest}").parse().unwrap()
        };
        for (first, second, chance) in [
            ("UDP 10.0.0.1 5 typ host", "UDP 203.0.113.1 5 typ host", Chance::Public),
            ("UDP 10.0.0.1 5 typ host", "UDP 10.0.0.9 5 typ host", Chance::OneNetwork),
            ("UDP 10.0.0.1 5 typ host", "UDP 100.64.0.9 5 typ host", Chance::Apart),
            (
                "TCP 10.0.0.1 9 typ host tcptype active",
                "TCP 203.0.113.1 5 typ host tcptype passive",
                Chance::Public,
            ),
            (
                "TCP 10.0.0.1 5 typ host tcptype passive",
                "TCP 203.0.113.1 9 typ host tcptype active",
                Chance::OneNetwork,
            ),
            (
                "TCP 10.0.0.1 5 typ host tcptype so",
                "TCP 203.0.113.1 9 typ host tcptype so",
                Chance::Public,
            ),
        ] {
            let (first, second) = (candidate(first), candidate(second));
            let pairing = Pairing { first: &first, second: &second, priority: 0 };
            assert_eq!(pairing.chance(), chance, "{}", pairing.title());
            let turned = Pairing { first: &second, second: &first, priority: 0 };
            assert_eq!(turned.chance(), chance, "{}", turned.title());
        }
    }
}
