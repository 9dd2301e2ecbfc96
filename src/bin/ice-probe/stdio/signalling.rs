//! What the peer's signalling said, sorted by generation: candidates may
//! arrive before the credentials that they belong to.

use std::collections::VecDeque;

use floe::Agent;
use floe::agent::{CommandError, RemoteParameters};
use floe::driver::AgentError;

use crate::jsonl::{BadLine, Output, Remote};

/// How many generations that are over are told from those to come.
const MAX_OLD: usize = 16;

/// How many lines are kept for credentials that have not come.
const MAX_KEPT: usize = 512;

/// The generations of the peer's side of a session.
#[derive(Debug, Default)]
pub(crate) struct Signalling {
    current: Option<RemoteParameters>,
    /// Fragments of generations that are over, the last ones.
    old: VecDeque<Box<str>>,
    kept: Vec<(Option<Box<str>>, Remote)>,
}

/// What is to be done with a line that the peer trickled.
#[derive(Debug, PartialEq)]
enum Trickled {
    /// It is for the agent, now.
    Now(Remote),
    /// It waits for its credentials.
    Kept,
    /// It belongs to a generation that is over.
    Old,
    /// Too many lines are waiting.
    TooMany,
}

impl Signalling {
    /// Gives the agent the peer's credentials, and what was kept for them.
    /// What is to be answered where it does not take something.
    pub(crate) fn give_credentials(
        &mut self,
        agent: &Agent,
        parameters: RemoteParameters,
    ) -> Vec<Output> {
        let ours = agent.credentials().ufrag;
        if parameters.answers.as_ref().is_some_and(|answers| *answers != ours) {
            // A restart of ours has overtaken it.
            return Vec::new();
        }
        if let Err(error) = agent.set_remote(parameters.clone()) {
            return vec![BadLine::refused("credentials", error.to_string()).answer()];
        }
        let kept = self.credentials(&parameters);
        kept.into_iter().filter_map(|remote| give(agent, remote)).collect()
    }

    /// Gives the agent what the peer trickled, if it is of now. What is to be
    /// answered where it does not take it.
    pub(crate) fn give_trickled(
        &mut self,
        agent: &Agent,
        ufrag: Option<&str>,
        remote: Remote,
    ) -> Option<Output> {
        match self.trickled(ufrag, remote) {
            Trickled::Now(remote) => give(agent, remote),
            Trickled::Kept | Trickled::Old => None,
            Trickled::TooMany => {
                Some(Output::error("refused", "too many candidates wait for their credentials"))
            }
        }
    }

    /// The agent took the peer's credentials. Returns what was kept for them;
    /// those of a generation that is over change nothing.
    fn credentials(&mut self, parameters: &RemoteParameters) -> Vec<Remote> {
        let credentials = &parameters.credentials;
        let current = self.current.as_ref().map(|current| &current.credentials);
        if current == Some(credentials) || self.old.contains(&credentials.ufrag) {
            return Vec::new();
        }
        if let Some(before) = self.current.replace(parameters.clone()) {
            self.old.push_back(before.credentials.ufrag);
        }
        if self.old.len() > MAX_OLD {
            self.old.pop_front();
        }
        self.release()
    }

    /// The peer trickled `remote` for the generation `ufrag`.
    fn trickled(&mut self, ufrag: Option<&str>, remote: Remote) -> Trickled {
        let current = self.current.as_ref().map(|current| &*current.credentials.ufrag);
        match (ufrag, current) {
            (Some(ufrag), Some(current)) if ufrag == current => Trickled::Now(remote),
            (None, Some(_)) => Trickled::Now(remote),
            (Some(ufrag), _) if self.old.iter().any(|old| **old == *ufrag) => Trickled::Old,
            _ if self.kept.len() >= MAX_KEPT => Trickled::TooMany,
            _ => {
                self.kept.push((ufrag.map(Into::into), remote));
                Trickled::Kept
            }
        }
    }

    fn release(&mut self) -> Vec<Remote> {
        let Some(current) = &self.current else { return Vec::new() };
        let ufrag = &current.credentials.ufrag;
        let is_current = |kept: &Option<Box<str>>| kept.as_ref().is_none_or(|kept| kept == ufrag);
        self.kept.extract_if(.., |(kept, _)| is_current(kept)).map(|(_, remote)| remote).collect()
    }
}

fn give(agent: &Agent, remote: Remote) -> Option<Output> {
    let result = match remote {
        Remote::Candidate(candidate) => agent.add_remote_candidate(&candidate),
        Remote::Sync(message) => agent.handle_sync(&message),
        Remote::End => agent.end_of_remote_candidates(),
    };
    match result {
        Ok(()) => None,
        // RFC 8839 §5.1: what is not supported is ignored.
        Err(AgentError::Command(CommandError::Ignored(why))) => {
            tracing::debug!(why, "remote candidate ignored");
            None
        }
        // It came twice, too late or past a limit: nothing the peer or
        // the user did wrong, and the agent has counted it.
        Err(AgentError::Command(CommandError::Refused(why))) => {
            tracing::debug!(%why, "remote candidate not taken");
            None
        }
        Err(error) => Some(Output::error("refused", error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(ufrag: &str) -> RemoteParameters {
        RemoteParameters::new(ufrag, "0123456789abcdefghijkl")
    }

    fn candidate(port: u16) -> Remote {
        let line = format!("candidate:1 1 UDP 1 192.0.2.1 {port} typ host");
        Remote::Candidate(line.parse().unwrap())
    }

    #[test]
    fn what_comes_before_its_credentials_is_kept_in_order() {
        let mut signalling = Signalling::default();
        assert_eq!(signalling.trickled(Some("aaaa"), candidate(1)), Trickled::Kept);
        assert_eq!(signalling.trickled(Some("bbbb"), candidate(2)), Trickled::Kept);
        assert_eq!(signalling.trickled(None, candidate(3)), Trickled::Kept);
        assert_eq!(signalling.trickled(Some("aaaa"), Remote::End), Trickled::Kept);
        let released = vec![candidate(1), candidate(3), Remote::End];
        assert_eq!(signalling.credentials(&parameters("aaaa")), released);
        assert_eq!(signalling.credentials(&parameters("aaaa")), []);
        let released = vec![candidate(2)];
        assert_eq!(signalling.credentials(&parameters("bbbb")), released);
    }

    #[test]
    fn a_generation_that_is_over_is_ignored() {
        let mut signalling = Signalling::default();
        signalling.credentials(&parameters("aaaa"));
        signalling.credentials(&parameters("bbbb"));
        assert_eq!(signalling.trickled(Some("aaaa"), candidate(1)), Trickled::Old);
        assert_eq!(signalling.credentials(&parameters("aaaa")), []);
        assert_eq!(signalling.trickled(Some("bbbb"), candidate(1)), Trickled::Now(candidate(1)));
        assert_eq!(signalling.trickled(Some("cccc"), candidate(1)), Trickled::Kept);
    }

    #[test]
    fn the_current_generation_goes_through_and_a_newer_one_waits() {
        let mut signalling = Signalling::default();
        signalling.credentials(&parameters("aaaa"));
        assert_eq!(signalling.trickled(Some("aaaa"), candidate(1)), Trickled::Now(candidate(1)));
        assert_eq!(signalling.trickled(None, candidate(2)), Trickled::Now(candidate(2)));
        assert_eq!(signalling.trickled(Some("bbbb"), candidate(3)), Trickled::Kept);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut signalling = Signalling::default();
        for _ in 0..MAX_KEPT {
            assert_eq!(signalling.trickled(None, candidate(1)), Trickled::Kept);
        }
        assert_eq!(signalling.trickled(None, candidate(1)), Trickled::TooMany);
        assert_eq!(signalling.credentials(&parameters("aaaa")).len(), MAX_KEPT);
        assert_eq!(signalling.trickled(Some("cccc"), candidate(1)), Trickled::Kept);
    }
}
