//! What theory says of two hosts behind NATs, in the terms of RFC 4787 and
//! RFC 5382.

use floe::agent::Transports;

use crate::model::{Answer, Dependence, Rules};
use crate::world::Path;

/// Whether simultaneous-open candidates can be connected, given time, a retry
/// on refusal and a listener on each port: one SYN has to reach the other
/// side, at the address that a server has seen.
pub fn possible(paths: [&Path; 2]) -> bool {
    reaches(paths[0], paths[1]) || reaches(paths[1], paths[0])
}

/// Whether a NAT that maps what its host sends by where it goes lets in what
/// comes to another of its ports: two connections with the same addresses
/// inside, of which the host can have one. Which of them lives, and how long,
/// is for the NAT to say.
pub fn is_ambiguous(paths: [&Path; 2]) -> bool {
    let takes_both =
        |rules: &Rules| is_symmetric(rules) && rules.filtering != Dependence::AddressAndPort;
    paths.into_iter().flatten().any(takes_both)
}

/// Whether two agents with these transports can be connected at all.
pub fn can_connect(paths: [&Path; 2], transports: [Transports; 2]) -> bool {
    let both = |used: fn(&Transports) -> bool| transports.iter().all(used);
    let udp =
        both(|t| t.udp) && (takes(paths[0], paths[1], false) || takes(paths[1], paths[0], false));
    let so = both(|t| t.tcp_so) && possible(paths);
    let opens = |by: usize| {
        let to = 1 - by;
        // The passive side sends nothing that would open its NATs.
        transports[by].tcp_active && transports[to].tcp_passive && lets_all_in(paths[to])
    };
    udp || so || opens(0) || opens(1)
}

fn is_symmetric(rules: &Rules) -> bool {
    rules.mapping != Dependence::Endpoint
}

/// Whether a SYN of the host behind `from` reaches the one behind `to`, which
/// sends SYNs the other way.
pub fn reaches(from: &Path, to: &Path) -> bool {
    takes(from, to, true)
}

fn takes(from: &Path, to: &Path, syn: bool) -> bool {
    stopped_by(from, to, syn).is_none()
}

fn lets_all_in(to: &Path) -> bool {
    to.iter().all(|rules| rules.filtering == Dependence::Endpoint && rules.bare_syn.is_none())
}

/// What answers a packet of the host behind `from` to the mapped address of
/// the one behind `to`: of the NATs there, from the outside in, the first that
/// does not let it pass.
pub fn stopped_by(from: &Path, to: &Path, syn: bool) -> Option<Answer> {
    // Where it is expected from is where a server saw it come from.
    let expected = !from.iter().any(is_symmetric);
    for (nth, rules) in to.iter().enumerate().rev() {
        // A symmetric NAT behind this one sends to the peer from another port
        // than that which the server saw, which opens nothing there.
        let asked = !to[..nth].iter().any(is_symmetric);
        let passes = match rules.filtering {
            Dependence::Endpoint => true,
            Dependence::Address => asked,
            Dependence::AddressAndPort => asked && expected && !is_symmetric(rules),
        };
        match rules.bare_syn.filter(|_| syn) {
            _ if !passes => return Some(rules.unsolicited),
            Some(answer) => return Some(answer),
            None => {}
        }
    }
    None
}
