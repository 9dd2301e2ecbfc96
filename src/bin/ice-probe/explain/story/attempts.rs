//! Attempts at TCP connections.

use std::io::ErrorKind;
use std::net::SocketAddr;

use floe::agent::ConnectionChange;
use floe::check::FailReason;
use floe::net::error_word;
use floe::tcp::{Framing, Handshake};
use floe::timer::Time;

use super::verdict::span;
use super::words;

/// Connecting from one base to one address, as often as it took.
pub(crate) struct Attempt {
    /// The address of the base, which pairs have; none for those to servers.
    pub(crate) base: Option<SocketAddr>,
    /// Our end: the port of the connection once it is known, else the base.
    pub(crate) local: Option<SocketAddr>,
    pub(crate) remote: SocketAddr,
    /// It leads to a server, not to the peer.
    pub(crate) to_server: bool,
    pub(crate) steps: Vec<(Time, Step)>,
}

/// What happened in an attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Step {
    /// connect() was called: a SYN leaves.
    Syn,
    /// The system was asked how far it is.
    Look(Handshake),
    /// It was refused, or ran out of time.
    Refused(ErrorKind),
    /// A listener took it in: the peer's SYN came first.
    Accepted,
    /// It is open.
    Established,
    /// It ended.
    Lost,
    /// No more is tried, and why.
    GivenUp(FailReason),
    /// It was not needed any more.
    Dropped,
}

impl Step {
    /// What the record of a connection says.
    pub(super) fn of(change: ConnectionChange) -> Option<Self> {
        Some(match change {
            ConnectionChange::Refused { error } => Step::Refused(error),
            ConnectionChange::Accepted => Step::Accepted,
            ConnectionChange::Established => Step::Established,
            ConnectionChange::Lost => Step::Lost,
            ConnectionChange::GivenUp(reason) => Step::GivenUp(reason),
            _ => return None,
        })
    }

    /// Whether it only says how far the attempt is.
    pub(crate) fn is_look(self) -> bool {
        matches!(self, Step::Look(_))
    }

    /// The step in a few words.
    pub(crate) fn words(self) -> String {
        match self {
            Step::Syn => "SYN sent".into(),
            Step::Look(Handshake::SynSent) => "nothing came back yet".into(),
            Step::Look(Handshake::SynReceived) => "the peer's SYN has arrived".into(),
            Step::Look(_) => "the system does not say how far it is".into(),
            Step::Refused(ErrorKind::TimedOut) => "timed out".into(),
            Step::Refused(kind) => format!("refused ({})", error_word(kind)),
            Step::Accepted => "accepted".into(),
            Step::Established => "established".into(),
            Step::Lost => "ended".into(),
            Step::GivenUp(reason) => format!("given up: {}", words::reason(reason)),
            Step::Dropped => "stopped, not needed any more".into(),
        }
    }
}

impl Attempt {
    /// How often a SYN was sent, by hand: the system sends more.
    pub(crate) fn tries(&self) -> usize {
        self.steps.iter().filter(|(_, step)| *step == Step::Syn).count()
    }

    /// How it ended, as one word that stays the same.
    pub(crate) fn outcome(&self) -> &'static str {
        let mut outcome = "waiting";
        for (_, step) in &self.steps {
            outcome = match step {
                Step::Syn if !matches!(outcome, "established" | "accepted") => "waiting",
                Step::Syn | Step::Look(_) => outcome,
                Step::Refused(ErrorKind::TimedOut) => "timed-out",
                Step::Refused(_) => "refused",
                Step::Accepted => "accepted",
                Step::Established if outcome == "accepted" => "accepted",
                Step::Established => "established",
                Step::Lost => "ended",
                Step::GivenUp(_) => "given-up",
                Step::Dropped if matches!(outcome, "waiting" | "refused" | "timed-out") => {
                    "dropped"
                }
                Step::Dropped => outcome,
            };
        }
        outcome
    }

    /// Whether it was open at some time.
    pub(crate) fn has_opened(&self) -> bool {
        let opens = |step: &Step| matches!(step, Step::Accepted | Step::Established);
        self.steps.iter().any(|(_, step)| opens(step))
    }

    /// Its steps in words, each with its moment. Of what is repeated the first
    /// is told, and how often it was.
    pub(crate) fn course(&self) -> Vec<(Time, String)> {
        let mut course: Vec<(Time, String, usize, Time)> = Vec::new();
        let mut steps = self.steps.iter().peekable();
        while let Some((at, step)) = steps.next() {
            let next =
                steps.next_if(|(_, next)| *step == Step::Syn && matches!(next, Step::Refused(_)));
            let words = match next {
                Some((_, next)) => format!("{}, {}", step.words(), next.words()),
                None => step.words(),
            };
            match course.last_mut() {
                Some((_, before, count, last)) if *before == words => {
                    *count += 1;
                    *last = *at;
                }
                _ => course.push((*at, words, 1, *at)),
            }
        }
        let told = |(at, words, count, last): (Time, String, usize, Time)| match count {
            1 => (at, words),
            _ => {
                let until = span((last - at).as_secs_f64() * 1e3);
                (at, format!("{words}; {count} times in {until}"))
            }
        };
        course.into_iter().map(told).collect()
    }

    /// Both ends and what it is for.
    pub(crate) fn title(&self) -> String {
        let from = self.local.map_or("this machine".into(), |local| local.to_string());
        let server = if self.to_server { ", a server" } else { "" };
        format!("{from} to {}{server}", self.remote)
    }
}

/// Whether a connection with this framing leads to a server.
pub(super) fn is_to_server(framing: Framing) -> bool {
    framing != Framing::Rfc4571
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(steps: Vec<(Time, Step)>) -> Attempt {
        let remote = "192.0.2.1:1".parse().unwrap();
        Attempt { base: None, local: None, remote, to_server: false, steps }
    }

    fn outcome(steps: &[Step]) -> &'static str {
        let steps = steps.iter().map(|step| (Time::ZERO, *step)).collect();
        attempt(steps).outcome()
    }

    #[test]
    fn the_outcome_is_that_of_the_last_step_that_decides() {
        let refused = Step::Refused(ErrorKind::ConnectionRefused);
        let silent = Step::Look(Handshake::SynSent);
        assert_eq!(outcome(&[Step::Syn, silent]), "waiting");
        assert_eq!(outcome(&[Step::Syn, refused]), "refused");
        assert_eq!(outcome(&[Step::Syn, refused, Step::Syn]), "waiting");
        assert_eq!(outcome(&[Step::Syn, refused, Step::Syn, Step::Established]), "established");
        assert_eq!(outcome(&[Step::Syn, Step::Accepted, Step::Established]), "accepted");
        assert_eq!(outcome(&[Step::Syn, Step::Refused(ErrorKind::TimedOut)]), "timed-out");
        assert_eq!(outcome(&[Step::Syn, Step::Dropped]), "dropped");
        assert_eq!(outcome(&[Step::Syn, Step::Established, Step::Dropped]), "established");
        assert_eq!(outcome(&[Step::Accepted, Step::Lost]), "ended");
        assert_eq!(outcome(&[Step::Syn, Step::GivenUp(FailReason::NoAnswer)]), "given-up");
    }

    #[test]
    fn what_is_repeated_is_told_once() {
        let refused = Step::Refused(ErrorKind::ConnectionRefused);
        let at = Time::from_millis;
        let steps = vec![
            (at(0), Step::Syn),
            (at(1), refused),
            (at(10), Step::Syn),
            (at(11), refused),
            (at(20), Step::Syn),
            (at(500), Step::Look(Handshake::SynSent)),
            (at(700), Step::Look(Handshake::SynSent)),
            (at(900), Step::Established),
        ];
        let course = attempt(steps).course();
        let course: Vec<(f64, &str)> =
            course.iter().map(|(at, words)| (at.as_millis_f64(), &**words)).collect();
        assert_eq!(
            course,
            [
                (0.0, "SYN sent, refused (connection-refused); 2 times in 10.0 ms"),
                (20.0, "SYN sent"),
                (500.0, "nothing came back yet; 2 times in 200.0 ms"),
                (900.0, "established"),
            ]
        );
    }
}
