//! The agent's state and where its data goes, as they follow from the check
//! lists of its streams.

use crate::agent::stream::{SendPath, Stream};
use crate::agent::{Core, Event, Happened, State, StateReason, StreamId};
use crate::check::{Component, ListState, PairId, Suspension};
use crate::timer::Time;

/// What has been reported so far.
#[derive(Debug)]
pub(super) struct Reported {
    state: State,
    /// As it followed from the lists.
    reason: StateReason,
    /// A restart, or streams that came or went: a state that was an end is
    /// none any more.
    reopened: bool,
}

impl Default for Reported {
    fn default() -> Self {
        Reported { state: State::New, reason: StateReason::ChecksStarted, reopened: false }
    }
}

impl Reported {
    pub(super) fn state(&self) -> State {
        self.state
    }

    pub(super) fn reopen(&mut self) {
        self.reopened = true;
    }

    /// The state may follow from more than notices of the lists.
    pub(super) fn is_stale(&self) -> bool {
        self.state == State::New || self.reopened
    }
}

/// What one stream has come to, or all of them.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Standing {
    state: State,
    reason: StateReason,
}

impl Standing {
    /// The least of what the streams have come to, the first of equal ones.
    fn least(standings: impl Iterator<Item = Standing>) -> Standing {
        let rank = |standing: &Standing| match standing.state {
            State::Failed => 0,
            State::Disconnected => 1,
            State::Checking => 2,
            State::New => 3,
            State::Connected => 4,
            State::Completed => 5,
            State::Closed => 6,
        };
        let none = Standing { state: State::New, reason: StateReason::ChecksStarted };
        let mut all_new = true;
        let standings = standings.inspect(|standing| all_new &= standing.state == State::New);
        match standings.min_by_key(rank) {
            // Streams that wait for the peer's parameters hold up the others,
            // but do not make them new.
            Some(least) if least.state == State::New && !all_new => {
                Standing { state: State::Checking, ..none }
            }
            Some(least) => least,
            None => none,
        }
    }
}

impl Core {
    pub(super) fn report_state(&mut self, now: Time) {
        let Reported { state: old, reason: old_reason, .. } = self.reported;
        let reopened = std::mem::take(&mut self.reported.reopened);
        if old == State::Closed || (old == State::Failed && !reopened) {
            return;
        }
        let standings = self.streams.iter().map(|stream| self.standing_of(stream));
        let Standing { state, reason } = Standing::least(standings);
        // New pairs after a restart are told of even where data never stopped.
        let news = old_reason == StateReason::Restarting && state == State::Connected;
        if state == old && (!news || reason == old_reason) {
            return;
        }
        self.reported.reason = reason;
        let regained = old == State::Disconnected
            && matches!(reason, StateReason::ValidPairs | StateReason::Selected);
        let reason = if regained { StateReason::ConsentRegained } else { reason };
        let at_once = old < State::Connected || old_reason == StateReason::Restarting;
        if at_once && state == State::Completed {
            // The last component became valid and was selected at once.
            self.enter(State::Connected, StateReason::ValidPairs, now);
        }
        self.enter(state, reason, now);
    }

    /// What one stream has come to.
    pub(super) fn state_of(&self, stream: &Stream) -> State {
        if self.reported.state == State::Closed {
            return State::Closed;
        }
        self.standing_of(stream).state
    }

    fn standing_of(&self, stream: &Stream) -> Standing {
        let list = stream.current.list;
        let components = self.checks.components(list);
        let list_state = self.checks.list_state(list);
        let completed = list_state == Some(ListState::Completed);
        let lost = components.iter().any(|c| c.lost);
        let failed = lost || list_state == Some(ListState::Failed);
        let valid = !components.is_empty() && components.iter().all(|c| c.send.is_some());
        let before = stream.previous.as_ref().filter(|_| !(completed && valid));
        let before = before.map(|p| self.checks.components(p.list));
        let carries = |c: &Component| c.send.is_some() && !c.is_suspended();
        let before = before.filter(|all| all.iter().all(carries) && !stream.revoked);
        let suspended = |why| components.iter().any(|c| c.suspended() == Some(why));
        let missed = |components: &[Component]| components.iter().any(|c| c.missed() >= 2);
        let (state, reason) = match before {
            Some(_) if failed => (State::Connected, StateReason::RestartFailed),
            Some(_) if valid => (State::Connected, StateReason::ValidPairs),
            Some(before) if missed(before) => (State::Disconnected, StateReason::ConsentMissed),
            Some(_) => (State::Connected, StateReason::Restarting),
            None if stream.revoked || components.iter().any(|c| c.revoked) => {
                (State::Failed, StateReason::ConsentRevoked)
            }
            None if lost => (State::Failed, StateReason::ConsentExpired),
            None if failed && self.checks.pairs(list).next().is_none() => {
                (State::Failed, StateReason::NoPairs)
            }
            None if failed => (State::Failed, StateReason::AllPairsFailed),
            None if valid && suspended(Suspension::Slept) => {
                (State::Disconnected, StateReason::NetworkMoved)
            }
            None if valid && suspended(Suspension::Ended) => {
                (State::Disconnected, StateReason::ConnectionLost)
            }
            None if missed(components) => (State::Disconnected, StateReason::ConsentMissed),
            None if completed && valid => (State::Completed, StateReason::Selected),
            None if valid => (State::Connected, StateReason::ValidPairs),
            None if completed || stream.recovering => {
                (State::Disconnected, StateReason::NetworkMoved)
            }
            None if stream.restarted => (State::Checking, StateReason::Restarted),
            None if stream.current.remote.is_some() => {
                (State::Checking, StateReason::ChecksStarted)
            }
            None => (State::New, StateReason::ChecksStarted),
        };
        Standing { state, reason }
    }

    pub(super) fn enter(&mut self, state: State, reason: StateReason, now: Time) {
        self.reported.state = state;
        tracing::info!(?state, ?reason, "ICE state");
        self.events.push_back(Event::State { state, reason });
        self.log.add(now, || Happened::State { state, reason });
    }

    /// Tells where the data of a stream's components goes, where that changed:
    /// over the selected pair; during a restart over the pair of before; else
    /// over the best valid pair (RFC 8445 §12.1).
    pub(super) fn update_paths(&mut self, id: StreamId, now: Time) {
        let Some(stream) = self.stream(id) else { return };
        let changes: Vec<_> = (0..stream.paths.len())
            .filter_map(|at| {
                let (pair, path) = self.path_of(stream, at);
                (stream.paths[at] != path).then_some((at, pair, path))
            })
            .collect();
        for (at, pair, path) in changes {
            let number = u16::try_from(at + 1).unwrap_or(u16::MAX);
            let Some(component) = crate::candidate::ComponentId::new(number) else { continue };
            if let Ok(stream) = self.stream_mut(id) {
                stream.paths[at] = path;
                stream.recovering &= stream.paths.iter().any(Option::is_none);
            }
            self.events.push_back(Event::SendPath { stream: id, component, path });
            self.log.add(now, || Happened::SendPath { stream: id, component, pair });
        }
    }

    fn path_of(&self, stream: &Stream, at: usize) -> (Option<PairId>, Option<SendPath>) {
        let component = |list| self.checks.components(list).get(at);
        let current = component(stream.current.list);
        let before = stream.previous.as_ref().and_then(|p| component(p.list));
        let before = before.filter(|c| !c.is_suspended()).and_then(|c| c.send);
        // RFC 8445 §12.1.1.
        let may_send = !self.config.lite
            || self.checks.components(stream.current.list).iter().all(|c| c.send.is_some());
        let pair = match current.filter(|_| may_send) {
            Some(current) if current.is_suspended() => None,
            Some(current) if current.selected.is_some() => current.send,
            Some(current) => before.or(current.send),
            None => before,
        };
        (pair, pair.map(|pair| self.ends(pair)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use State::{Checking, Completed, Connected, Disconnected, Failed, New};

    #[test]
    fn the_state_of_several_streams_is_the_least_of_theirs() {
        let table: [(&[State], State); 11] = [
            (&[], New),
            (&[New, New], New),
            (&[New, Checking], Checking),
            (&[Connected, New], Checking),
            (&[Completed, New], Checking),
            (&[Completed, Connected], Connected),
            (&[Completed, Completed], Completed),
            (&[Connected, Checking], Checking),
            (&[New, Disconnected], Disconnected),
            (&[Checking, Disconnected, Completed], Disconnected),
            (&[Checking, Disconnected, Failed], Failed),
        ];
        for (streams, expected) in table {
            let reason = StateReason::ChecksStarted;
            let forth = streams.iter().map(|&state| Standing { state, reason });
            assert_eq!(Standing::least(forth.clone()).state, expected, "{streams:?}");
            assert_eq!(Standing::least(forth.rev()).state, expected, "{streams:?} reversed");
        }
    }

    #[test]
    fn the_first_stream_of_the_least_state_gives_the_reason() {
        let failed = |reason| Standing { state: Failed, reason };
        let [first, second] = [StateReason::NoPairs, StateReason::ConsentExpired].map(failed);
        assert_eq!(Standing::least([first, second].into_iter()), first);
        assert_eq!(Standing::least([second, first].into_iter()), second);
    }
}
