//! What the peer's signalling said, sorted by generation: candidates may
//! arrive before the credentials that they belong to.

use floe::agent::RemoteParameters;

use crate::jsonl::Remote;

/// How many lines are kept for credentials that have not come.
const MAX_KEPT: usize = 512;

/// The generations of the peer's side of a session.
#[derive(Debug, Default)]
pub(crate) struct Signalling {
    current: Option<RemoteParameters>,
    kept: Vec<(Option<Box<str>>, Remote)>,
}

/// What new credentials mean.
#[derive(Debug, PartialEq)]
pub(crate) enum Credentials {
    /// The first ones: give them to the agent, then what was kept for them.
    First(Vec<Remote>),
    /// The current ones once more: nothing to do.
    Same,
    /// Others: the peer restarts. Nothing has changed.
    Restart,
}

/// What is to be done with a line that the peer trickled.
#[derive(Debug, PartialEq)]
pub(crate) enum Trickled {
    /// It is for the agent, now.
    Now(Remote),
    /// It waits for its credentials.
    Kept,
    /// Too many lines are waiting.
    TooMany,
}

impl Signalling {
    /// The peer's credentials came.
    pub(crate) fn credentials(&mut self, parameters: &RemoteParameters) -> Credentials {
        match &self.current {
            None => {
                self.current = Some(parameters.clone());
                Credentials::First(self.release())
            }
            Some(current) if current.credentials == parameters.credentials => Credentials::Same,
            Some(_) => Credentials::Restart,
        }
    }

    /// The peer trickled `remote` for the generation `ufrag`.
    pub(crate) fn trickled(&mut self, ufrag: Option<&str>, remote: Remote) -> Trickled {
        let current = self.current.as_ref().map(|current| &*current.credentials.ufrag);
        match (ufrag, current) {
            (Some(ufrag), Some(current)) if ufrag == current => Trickled::Now(remote),
            (None, Some(_)) => Trickled::Now(remote),
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
        assert_eq!(signalling.credentials(&parameters("aaaa")), Credentials::First(released));
        assert_eq!(signalling.credentials(&parameters("aaaa")), Credentials::Same);
        assert_eq!(signalling.credentials(&parameters("bbbb")), Credentials::Restart);
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
        assert!(matches!(signalling.credentials(&parameters("aaaa")), Credentials::First(kept)
            if kept.len() == MAX_KEPT));
        assert_eq!(signalling.trickled(Some("cccc"), candidate(1)), Trickled::Kept);
    }
}
