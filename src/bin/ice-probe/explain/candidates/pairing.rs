//! What pairs with what.

use floe::candidate::{Candidate, Kind, PairingClass};
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

impl Pairing<'_> {
    /// Both ends in a few words.
    pub(super) fn title(&self) -> String {
        let (first, second) = (words::place(self.first), words::place(self.second));
        format!("{first} to {second}, {}", words::transport(self.first))
    }

    /// When it works.
    pub(super) fn chance(&self) -> &'static str {
        let ends = [self.first, self.second];
        let is_relay = |c: &&Candidate| c.kind == Kind::Relayed;
        if ends.iter().any(is_relay) {
            return "works wherever the relay is reached";
        }
        let [Some(first), Some(second)] = ends.map(Candidate::address) else {
            return "works if the name resolves: in one network, with multicast";
        };
        let [first, second] = [first.ip(), second.ip()];
        match (is_public(first), is_public(second)) {
            (true, true) if ends.iter().all(|c| c.kind == Kind::Host) => {
                "works unless a firewall drops it"
            }
            (true, true) => "works if both NATs keep a port for all destinations",
            (false, false) if NetworkKind::of(first) != NetworkKind::of(second) => {
                "works hardly: the two are of different kinds of networks"
            }
            (false, false) => "works only if both are in one network",
            _ => "works only if one reaches the other's network",
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
    let is = |is: fn(&Pairing<'_>) -> bool| pairs.iter().any(is);
    let is_relayed =
        |pair: &Pairing<'_>| pair.first.kind == Kind::Relayed || pair.second.kind == Kind::Relayed;
    if pairs.is_empty() {
        "Nothing pairs: the two have no transport, family and component in common.".into()
    } else if is(|pair| pair.chance().starts_with("works unless")) {
        "A direct connection is likely: both have public addresses of their own.".into()
    } else if is(|pair| pair.chance().starts_with("works if both NATs")) {
        "A direct connection is possible: it depends on the NATs.".into()
    } else if pairs.iter().all(is_relayed) {
        "Only relayed pairs: it goes through a relay.".into()
    } else if is(|pair| pair.chance().starts_with("works wherever")) {
        "Through a relay, unless both are in one network.".into()
    } else {
        "It works only if both are in one network: neither has a relay, and not both have public \
         addresses."
            .into()
    }
}

/// The pairs as objects.
pub(crate) fn to_json(sides: &[Side]) -> Value {
    let object = |pair: &Pairing<'_>| {
        json!({
            "first": super::clean(&pair.first.to_string()),
            "second": super::clean(&pair.second.to_string()),
            "priority": pair.priority.to_string(),
            "text": pair.chance(),
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
        let (_, nats) =
            said("candidate:1 1 UDP 1 198.51.100.9 80 typ srflx raddr 10.9.0.1 rport 5\n");
        assert!(nats.contains("depends on the NATs"), "{nats}");
        let (_, relay) =
            said("candidate:1 1 UDP 1 198.51.100.9 80 typ relay raddr 0.0.0.0 rport 9\n");
        assert!(relay.starts_with("Only relayed"), "{relay}");
    }
}
