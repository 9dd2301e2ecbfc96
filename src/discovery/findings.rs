//! What the answers and the silence come to.

use std::net::SocketAddr;

use super::filtering::{Sign, conclude};
use super::machine::{Discovery, HAIRPIN_TRIES, MAPPING, Trial};
use super::report::{Answer, Basis, Finding, Hairpin, Ports, Report};
use super::rounds::Next;
use super::{Behavior, Dependence};
use crate::timer::Time;

/// Less is not called a no.
const SURE: f64 = 0.999;

impl Discovery {
    /// What was found, once all of it is.
    pub fn report(&self) -> Option<Report> {
        let elapsed = self.ended? - self.began?;
        let pairs = self.ports();
        Some(Report {
            local: self.locals[MAPPING],
            mapped: self.mapped[MAPPING].map(|(_, mapped)| mapped),
            servers: self.servers.clone(),
            mapping: self.mapping_found(),
            filtering: self.filtering_found(),
            ports: Ports::of(&pairs),
            hairpin: self.hairpin_found(),
            rewritten: self.rewritten,
            loss: self.rounds.loss(),
            elapsed,
        })
    }

    fn ports(&self) -> Vec<(u16, u16)> {
        let mut seen: Vec<(Time, u16, u16)> = self
            .mapped
            .iter()
            .zip(self.locals)
            .filter_map(|(mapped, local)| mapped.map(|(t, at)| (t, local.port(), at.port())))
            .collect();
        seen.sort_unstable();
        seen.into_iter().map(|(_, local, mapped)| (local, mapped)).collect()
    }

    fn mapping_found(&self) -> Finding {
        let is_known = |behavior: &Behavior| *behavior != Behavior::Unknown;
        if let Some(behavior) = self.mapping.behavior().filter(is_known) {
            return Finding { behavior, confidence: 1.0, basis: Basis::Tests };
        }
        if self.mapped[MAPPING].is_some_and(|(_, mapped)| mapped == self.locals[MAPPING]) {
            return Finding::seen(Dependence::Endpoint, Basis::Tests);
        }
        self.compared()
    }

    /// What several servers on different addresses see.
    fn compared(&self) -> Finding {
        let seen: Vec<(SocketAddr, SocketAddr)> = self
            .servers
            .iter()
            .filter_map(|server| match server.answer {
                Answer::Mapped { mapped, .. } => Some((server.address, mapped)),
                Answer::None | Answer::Refused(_) => None,
            })
            .collect();
        let Some((address, mapped)) = seen.first() else { return Finding::default() };
        if seen.iter().any(|(_, other)| other != mapped) {
            let (behavior, basis) = (Behavior::Dependent, Basis::Compared);
            return Finding { behavior, confidence: 1.0, basis };
        }
        match seen.iter().any(|(other, _)| other.ip() != address.ip()) {
            true => Finding::seen(Dependence::Endpoint, Basis::Compared),
            false => Finding::default(),
        }
    }

    fn filtering_found(&self) -> Finding {
        let is_enough = self.rounds.next() == Next::Enough;
        // Where mappings differ, what comes from elsewhere comes to a mapping
        // that was not opened for it, and no proof can come in either.
        let mapping = self.mapping_found().behavior;
        let is_steady = [Behavior::Is(Dependence::Endpoint), Behavior::Unknown].contains(&mapping);
        let sign = |trial| match trial {
            Trial::Heard => Sign::Heard,
            Trial::Proven if is_enough => Sign::Filtered,
            Trial::Unproven if is_enough && !is_steady => Sign::Filtered,
            Trial::Silent | Trial::Refused | Trial::Proven | Trial::Unproven => Sign::Unknown,
        };
        let signs = self.trials.map(sign);
        let behavior = conclude(signs[0], signs[1]);
        if behavior == Behavior::Unknown {
            return Finding::default();
        }
        let is_certain = signs[0] == Sign::Heard;
        let confidence = if is_certain { 1.0 } else { self.rounds.confidence() };
        let is_unproven = !is_certain && self.trials.contains(&Trial::Unproven);
        let basis = if is_unproven { Basis::Promised } else { Basis::Tests };
        Finding { behavior, confidence, basis }
    }

    fn hairpin_found(&self) -> Hairpin {
        match (self.hairpin, self.mapped[MAPPING]) {
            (Some(true), _) => Hairpin::Yes,
            (_, Some((_, mapped))) if mapped == self.locals[MAPPING] => Hairpin::None,
            (Some(false), _) if self.rounds.made() > 0 => {
                // It was tried both ways, and each may be lost as a control may.
                let confidence = self.rounds.confidence_of(2 * u32::from(HAIRPIN_TRIES));
                if confidence < SURE { Hairpin::Unknown } else { Hairpin::No(confidence) }
            }
            _ => Hairpin::Unknown,
        }
    }
}
