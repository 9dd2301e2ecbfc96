//! What it comes to: in plain words, with the reasons and what to do, and as an
//! exit code.

use std::net::IpAddr;

use floe::agent::TurnTransport;
use floe::discovery::{Behavior, Dependence};
use floe::driver::discovery::{TcpAnswer, TurnStage};
use floe::gather::Cause;

use super::interfaces::is_shared;
use super::survey::{FamilyReport, Survey, Turn};
use crate::exit::Exit;

/// The verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// One sentence.
    pub(crate) text: String,
    pub(crate) reasons: Vec<String>,
    pub(crate) advice: Vec<String>,
    /// What did not work beside what did.
    pub(crate) warnings: Vec<String>,
    pub(crate) exit: Exit,
    /// Whether direct connections are likely: yes, no, or unknown.
    pub(crate) direct: Option<bool>,
}

/// What decides it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) has_network: bool,
    /// STUN servers that were given, and those whose names did not resolve.
    pub(crate) stun: usize,
    pub(crate) unresolved: usize,
    /// Something was asked over it, and something answered.
    pub(crate) udp: Reached,
    pub(crate) tcp: Reached,
    /// Of TCP, what tells a mapping: STUN servers.
    pub(crate) tcp_stun: Reached,
    /// How the NAT maps; of several families the best.
    pub(crate) udp_mapping: Behavior,
    pub(crate) tcp_mapping: Behavior,
    /// This system opens TCP connections from both ends.
    pub(crate) crosses: bool,
    /// Why each TURN server gave no relay; `None` if it did.
    pub(crate) turn: Vec<Option<Cause>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reached {
    pub(crate) asked: bool,
    pub(crate) answered: bool,
}

impl Facts {
    /// Those of a survey.
    pub(crate) fn of(survey: &Survey) -> Self {
        let mut facts = Facts {
            has_network: survey.has_network(),
            stun: survey.stun.len(),
            unresolved: survey.stun.iter().filter(|stun| stun.addresses.is_empty()).count(),
            crosses: survey.crossing == floe::driver::discovery::Crossing::Yes,
            turn: survey.turn.iter().map(cause).collect(),
            ..Facts::default()
        };
        for FamilyReport { udp, tcp, .. } in &survey.families {
            if let Some(Ok(report)) = udp {
                facts.udp.note(report.mapped.is_some());
                facts.udp_mapping = better(facts.udp_mapping, report.mapping.behavior);
            }
            if let Some(Ok(report)) = tcp {
                let reached = |answer| matches!(answer, TcpAnswer::Mapped { .. });
                let is_reached = report.servers.iter().any(|server| reached(server.answer));
                facts.tcp.note(is_reached);
                facts.tcp_stun.note(is_reached);
                facts.tcp_mapping = better(facts.tcp_mapping, report.mapping);
            }
        }
        for Turn { server, report } in &survey.turn {
            let answered = report.stages.iter().any(|stage| {
                stage.stage == TurnStage::Challenge
                    && stage.failure.as_ref().is_none_or(|failure| failure.code.is_some())
            });
            match server.transport {
                TurnTransport::Udp => facts.udp.note(answered),
                TurnTransport::Tcp | TurnTransport::Tls => facts.tcp.note(answered),
            }
        }
        facts
    }

    fn has_relay(&self) -> bool {
        self.turn.contains(&None)
    }

    fn is_blocked(&self) -> bool {
        self.udp.asked && !self.udp.answered && self.tcp.answered
    }

    /// Whether direct connections are likely, with peers behind NATs as they
    /// mostly are.
    pub(crate) fn direct(&self) -> Option<bool> {
        let is_steady = |mapping| mapping == Behavior::Is(Dependence::Endpoint);
        let is_known = |mapping| mapping != Behavior::Unknown;
        let by_udp = self.udp.answered && is_steady(self.udp_mapping);
        let by_tcp = self.tcp.answered && is_steady(self.tcp_mapping) && self.crosses;
        if by_udp || by_tcp {
            return Some(true);
        }
        let is_udp_over = self.is_blocked() || is_known(self.udp_mapping);
        // Where a relay is reached over TCP and no other server is, peers are not.
        let is_shut = self.tcp_stun.asked && !self.tcp_stun.answered && self.tcp.answered;
        let is_tcp_over = is_known(self.tcp_mapping) || !self.crosses || is_shut;
        let answered = self.udp.answered || self.tcp.answered;
        (answered && is_udp_over && is_tcp_over).then_some(false)
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        if !self.has_network {
            return Exit::NoNetwork;
        }
        let answered = self.udp.answered || self.tcp.answered;
        let mut holding = Vec::new();
        if !answered && self.stun > 0 && self.unresolved == self.stun {
            holding.push(Exit::Unresolved);
        }
        if !self.has_relay() {
            for cause in self.turn.iter().flatten() {
                match cause {
                    Cause::Unresolved => holding.push(Exit::Unresolved),
                    Cause::Credentials => holding.push(Exit::Refused),
                    Cause::Tls => holding.push(Exit::Tls),
                    // What is blocked is said below.
                    Cause::NotReached if answered => {}
                    Cause::NotReached | Cause::Answered => holding.push(Exit::NoServer),
                }
            }
        }
        if !answered {
            holding.push(Exit::NoServer);
        }
        if self.is_blocked() {
            holding.push(Exit::UdpBlocked);
        }
        // Where UDP goes by a relay and nothing is known of TCP, that is what is
        // to be expected.
        let is_dependent = self.udp.answered && is_dependent(self.udp_mapping);
        if self.direct() == Some(false) || (self.direct().is_none() && is_dependent) {
            holding.push(Exit::Relayed);
        }
        Exit::first_of(&holding)
    }
}

impl Reached {
    fn note(&mut self, answered: bool) {
        self.asked = true;
        self.answered |= answered;
    }
}

/// Why a TURN server gave no relay.
fn cause(turn: &Turn) -> Option<Cause> {
    let failure = turn.report.failure().map(|(_, failure)| failure.cause);
    failure.filter(|_| !turn.report.is_allocated())
}

/// Known, and not to be endpoint-independent.
fn is_dependent(mapping: Behavior) -> bool {
    !matches!(mapping, Behavior::Unknown | Behavior::Is(Dependence::Endpoint))
}

/// Of two families the one that lets more happen.
fn better(one: Behavior, other: Behavior) -> Behavior {
    let rank = |behavior| match behavior {
        Behavior::Is(Dependence::Endpoint) => 0,
        Behavior::Is(Dependence::Address) => 1,
        Behavior::Is(Dependence::AddressAndPort) => 2,
        Behavior::Dependent => 3,
        Behavior::Unknown => 4,
    };
    if rank(other) < rank(one) { other } else { one }
}

/// Judges a survey.
pub(crate) fn judge(survey: &Survey) -> Verdict {
    let facts = Facts::of(survey);
    let exit = facts.exit();
    let (text, reasons, advice) = words(&facts, exit);
    let mut verdict = Verdict {
        text: text.to_owned(),
        reasons: reasons.into_iter().map(str::to_owned).collect(),
        advice: advice.into_iter().map(str::to_owned).collect(),
        warnings: Vec::new(),
        exit,
        direct: facts.direct().filter(|_| facts.has_network),
    };
    hints(survey, &mut verdict);
    verdict
}

type Words = (&'static str, Vec<&'static str>, Vec<&'static str>);

/// The sentence, the reasons, and what to do.
fn words(facts: &Facts, exit: Exit) -> Words {
    match exit {
        Exit::NoNetwork => (
            "This machine has no usable network.",
            vec!["It has no address but loopback and link-local ones."],
            vec!["Connect it to a network, or name another --interface or --bind."],
        ),
        Exit::Unresolved => (
            "The name of a server does not resolve.",
            vec!["The network's DNS gives no address for it, or does not answer."],
            vec!["Look at the spelling and at the DNS settings, or give an IP address."],
        ),
        Exit::Refused => (
            "The TURN server refuses the user or the password.",
            vec!["It answers, and does not take the credentials."],
            vec!["Look at --user and the password; some expire after a while."],
        ),
        Exit::Tls => (
            "There is no TLS with the TURN server.",
            vec!["Its certificate is not accepted here, or something on the way is no TLS."],
            vec!["Look at the stage `tls` below; a private authority needs --ca."],
        ),
        Exit::NoServer if facts.stun == 0 && facts.turn.is_empty() => (
            "Nothing was asked, so nothing is known of the network.",
            vec!["No --stun and no --turn was given."],
            vec!["Name a server: ice-probe check --stun stun:HOST"],
        ),
        Exit::NoServer => (
            "No server answers.",
            vec!["Neither UDP nor TCP brought an answer."],
            vec![
                "Look whether the servers run and whether this network blocks them.",
                "Try a TURN server over TLS on port 443, which most networks let through.",
            ],
        ),
        Exit::UdpBlocked => blocked(facts),
        Exit::Relayed => relayed(facts),
        _ => direct(facts),
    }
}

fn blocked(facts: &Facts) -> Words {
    let advice = match facts.has_relay() {
        true => vec!["Keep a TURN server over TCP or TLS configured: it works from here."],
        false => vec!["Configure a TURN server over TCP or TLS (port 443), and check it here."],
    };
    let text = match facts.direct() {
        Some(true) => "UDP is blocked; direct connections over TCP are likely.",
        Some(false) if facts.has_relay() => "UDP is blocked; only a relay over TCP works.",
        _ => "UDP is blocked; TCP works.",
    };
    (text, vec!["Nothing answers over UDP, and over TCP something does."], advice)
}

fn relayed(facts: &Facts) -> Words {
    let advice = match facts.has_relay() {
        true => vec!["Keep the TURN server configured: it works from here."],
        false => vec!["Configure a TURN server, and check it here with --turn."],
    };
    let reason = "The NAT gives each destination another port (a symmetric NAT), so a peer cannot \
                  know where to send.";
    let text = match facts.direct() {
        Some(_) => "Most peers are reached only through a relay.",
        None => "Over UDP most peers are reached only through a relay; over TCP it is unknown.",
    };
    (text, vec![reason], advice)
}

fn direct(facts: &Facts) -> Words {
    let steady = "The NAT keeps one outer address for all destinations, or there is none.";
    match facts.direct() {
        Some(true) if facts.udp_mapping == Behavior::Is(Dependence::Endpoint) => {
            ("Direct connections are likely.", vec![steady], relay_advice(facts))
        }
        Some(true) => (
            "Direct connections over TCP are likely, over UDP they are not.",
            vec!["Over TCP the NAT keeps one outer address for all destinations."],
            relay_advice(facts),
        ),
        _ => (
            "UDP works; whether direct connections do is unknown.",
            vec!["Servers on one address alone cannot tell how the NAT maps."],
            vec!["Give a second --stun server, or one that speaks RFC 5780."],
        ),
    }
}

fn relay_advice(facts: &Facts) -> Vec<&'static str> {
    match facts.has_relay() {
        true => vec![],
        false => vec!["A TURN server is still needed for peers behind symmetric NATs."],
    }
}

/// What is worth knowing beside it.
fn hints(survey: &Survey, verdict: &mut Verdict) {
    for stun in survey.stun.iter().filter(|stun| stun.addresses.is_empty()) {
        verdict.warnings.push(format!("{}: the name does not resolve", stun.uri));
    }
    for Turn { server, report } in &survey.turn {
        if let Some((stage, failure)) = report.failure() {
            verdict.warnings.push(format!("{}: {}: {}", server.uri, stage.word(), failure.text));
        }
        if let Some(expiry) = expired(&server.secrets.username, report.failure().is_some()) {
            verdict.warnings.push(format!("{}: {expiry}", server.uri));
        }
    }
    for FamilyReport { udp, .. } in &survey.families {
        let Some(Ok(report)) = udp else { continue };
        if report.rewritten == Some(true) {
            verdict.warnings.push(
                "Something on the way changes addresses in packets (an ALG): switch it off in the \
                 router."
                    .into(),
            );
        }
        let is_twice = report.mapped.is_some_and(|at| is_shared(at.ip()))
            || (is_shared(report.local.ip()) && report.is_translated() == Some(true));
        if is_twice {
            verdict.warnings.push("A carrier's NAT (100.64.0.0/10) is on the way.".into());
        }
    }
    let udp = survey.families.iter().filter_map(|family| family.udp.as_ref()?.as_ref().ok());
    let mapped = udp.filter_map(|report| report.mapped).map(|at| at.ip()).find(IpAddr::is_ipv4);
    if survey.port_mapping.as_ref().is_some_and(|router| router.is_double(mapped)) {
        verdict.warnings.push(
            "There are two NATs: the router's outer address is not the one that servers see."
                .into(),
        );
    }
    if survey.nat64.is_some() {
        verdict.warnings.push("This network reaches IPv4 through a NAT64.".into());
    }
}

/// Credentials that are good for a while begin with the second at which they
/// end.
fn expired(user: &str, has_failed: bool) -> Option<&'static str> {
    let seconds: u64 = user.split(':').next()?.parse().ok().filter(|s| *s > 1_000_000_000)?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?;
    let is_over = has_failed && seconds <= now.as_secs();
    is_over
        .then_some("the user name says that it has expired, or the clock of this machine is wrong")
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEADY: Behavior = Behavior::Is(Dependence::Endpoint);
    const SYMMETRIC: Behavior = Behavior::Is(Dependence::AddressAndPort);
    const YES: Reached = Reached { asked: true, answered: true };
    const NO: Reached = Reached { asked: true, answered: false };

    fn good() -> Facts {
        Facts {
            has_network: true,
            stun: 1,
            udp: YES,
            tcp: YES,
            tcp_stun: YES,
            udp_mapping: STEADY,
            tcp_mapping: STEADY,
            crosses: true,
            ..Facts::default()
        }
    }

    #[test]
    fn every_cause_has_its_code() {
        let symmetric = Facts { udp_mapping: SYMMETRIC, tcp_mapping: SYMMETRIC, ..good() };
        let blocked = Facts { udp: NO, udp_mapping: Behavior::Unknown, ..good() };
        let unknown =
            Facts { udp_mapping: Behavior::Unknown, tcp_mapping: Behavior::Unknown, ..good() };
        let silent = Facts { udp: NO, tcp: NO, tcp_stun: NO, ..unknown.clone() };
        let turn = |cause| Facts { turn: vec![Some(cause)], ..good() };
        for (facts, exit, direct) in [
            (good(), Exit::Direct, Some(true)),
            (symmetric.clone(), Exit::Relayed, Some(false)),
            (Facts { tcp_mapping: STEADY, ..symmetric.clone() }, Exit::Direct, Some(true)),
            (
                Facts { tcp_mapping: STEADY, crosses: false, ..symmetric },
                Exit::Relayed,
                Some(false),
            ),
            (blocked.clone(), Exit::UdpBlocked, Some(true)),
            (Facts { tcp_mapping: Behavior::Unknown, ..blocked.clone() }, Exit::UdpBlocked, None),
            (
                Facts { tcp_mapping: Behavior::Unknown, tcp_stun: NO, turn: vec![None], ..blocked },
                Exit::UdpBlocked,
                Some(false),
            ),
            (unknown.clone(), Exit::Direct, None),
            (Facts { udp_mapping: SYMMETRIC, ..unknown }, Exit::Relayed, None),
            (silent.clone(), Exit::NoServer, None),
            (Facts { unresolved: 1, ..silent.clone() }, Exit::Unresolved, None),
            (Facts { turn: vec![Some(Cause::Tls)], ..silent.clone() }, Exit::Tls, None),
            (Facts { has_network: false, ..silent }, Exit::NoNetwork, None),
            (turn(Cause::Credentials), Exit::Refused, Some(true)),
            (turn(Cause::Unresolved), Exit::Unresolved, Some(true)),
            (turn(Cause::Tls), Exit::Tls, Some(true)),
            (turn(Cause::Answered), Exit::NoServer, Some(true)),
            (turn(Cause::NotReached), Exit::Direct, Some(true)),
        ] {
            assert_eq!((facts.exit(), facts.direct()), (exit, direct), "{facts:?}");
        }
    }

    #[test]
    fn one_that_works_beside_it_makes_a_failure_a_warning() {
        let facts = Facts { turn: vec![Some(Cause::Credentials), None], ..good() };
        assert_eq!(facts.exit(), Exit::Direct);
        let facts = Facts { stun: 2, unresolved: 1, ..good() };
        assert_eq!(facts.exit(), Exit::Direct);
    }

    #[test]
    fn credentials_that_end_are_known() {
        assert!(expired("1500000000:ann", true).is_some());
        assert!(expired("1500000000", true).is_some());
        assert!(expired("1500000000:ann", false).is_none());
        assert!(expired("9999999999:ann", true).is_none());
        assert!(expired("ann", true).is_none());
    }
}
