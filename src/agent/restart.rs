//! ICE restarts (RFC 8445 §9): a stream gets a new session, while the pairs
//! of the one before carry its data until new ones are selected; and what a
//! concluded session frees (§8.3.1).

use std::time::Duration;

use crate::agent::relay::{Phase, Relay};
use crate::agent::stream::{Session, Stream};
use crate::agent::{BaseId, CommandError, Core, Credentials, Event, SocketOp, StreamId};
use crate::candidate::ComponentId;
use crate::check::ListState;
use crate::timer::Time;

/// RFC 8445 §8.3.1: candidates that were not selected are heard this much
/// longer, since the peer may learn of the selection later than we do.
const FREE_AFTER: Duration = Duration::from_secs(3);

/// What a restart does with the sockets that a stream has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum Sockets {
    /// They serve the new session too; addresses that have none get one. TCP
    /// connections to passive candidates are opened anew.
    #[default]
    Keep,
    /// Every address gets a new one: other ports, and other bindings of the
    /// NATs on the way.
    Rebind,
}

impl Core {
    pub(super) fn do_restart(
        &mut self,
        stream: StreamId,
        sockets: Sockets,
        now: Time,
    ) -> Result<Credentials, CommandError> {
        self.must_be_open()?;
        self.stream_mut(stream)?;
        let credentials = self.begin_session(stream, sockets, None, now)?;
        self.advance(now);
        Ok(credentials)
    }

    /// Replaces the current session of a stream by a new one.
    pub(super) fn begin_session(
        &mut self,
        id: StreamId,
        sockets: Sockets,
        answers: Option<Box<str>>,
        now: Time,
    ) -> Result<Credentials, CommandError> {
        self.settle(id, now);
        self.end_punches(id, now);
        let components = self.stream_mut(id)?.components;
        let list = self.checks.add_stream(components);
        let mut session = self.new_session(list);
        session.gathering.sockets = sockets;
        let credentials = session.local.clone();
        let stream = self.stream_mut(id)?;
        let mut old = std::mem::replace(&mut stream.current, session);
        (stream.restarted, stream.revoked) = (true, false);
        stream.free_at = None;
        old.gathering.close();
        let previous = stream.previous.take();
        let keeps_previous = previous.as_deref().is_some_and(|p| self.carries_data(p))
            && self.checks.list_state(old.list) != Some(ListState::Completed);
        let (kept, dropped) = match previous {
            Some(previous) if keeps_previous => (Some(*previous), Some(old.list)),
            previous if self.carries_data(&old) => {
                self.checks.retire(old.list);
                (Some(old), previous.map(|p| p.list))
            }
            previous => {
                self.drop_session(old.list, now);
                (None, previous.map(|p| p.list))
            }
        };
        dropped.into_iter().for_each(|list| self.drop_session(list, now));
        self.stream_mut(id)?.previous = kept.map(Box::new);
        // What came to nothing is tried anew.
        self.relays.all.retain(|relay| relay.stream != id || relay.phase != Phase::Over);
        if self.has_begun {
            self.socket_ops.push_back(SocketOp::ListAddresses);
        }
        let restarted = Event::Restarted { stream: id, credentials: credentials.clone(), answers };
        self.events.push_back(restarted);
        self.reported.reopen();
        self.update_paths(id, now);
        Ok(credentials)
    }

    /// Tells and writes what there is to tell and to send of a stream: notices
    /// name pairs, and messages use keys, that are about to go.
    fn settle(&mut self, id: StreamId, now: Time) {
        self.report(now);
        let sessions = self.stream(id).into_iter().flat_map(Stream::sessions);
        let lists: Vec<u16> = sessions.map(|session| session.list).collect();
        self.write_early(|outgoing| outgoing.what.list().is_some_and(|list| lists.contains(&list)));
    }

    pub(super) fn new_session(&mut self, list: u16) -> Session {
        let sessions = self.streams.iter().flat_map(Stream::sessions);
        let taken: Vec<Box<str>> = sessions.map(|session| session.local.ufrag.clone()).collect();
        Session::new(list, &self.config, &mut self.rng, &taken)
    }

    /// Whether data of the stream can go over pairs of this session.
    fn carries_data(&self, session: &Session) -> bool {
        self.checks.components(session.list).iter().any(|component| component.send.is_some())
    }

    /// Forgets a session that belongs to no stream any more.
    pub(super) fn drop_session(&mut self, list: u16, now: Time) {
        self.vacate(list, now);
        self.checks.remove_stream(list);
    }

    /// The current session of a stream has concluded.
    pub(super) fn concluded(&mut self, list: u16, now: Time) {
        let stream = self.streams.iter_mut().find(|stream| stream.current.list == list);
        if let Some(stream) = stream {
            stream.free_at = Some(now + FREE_AFTER);
        }
    }

    pub(super) fn next_free(&self) -> Option<Time> {
        self.streams.iter().filter_map(|stream| stream.free_at).min()
    }

    /// Frees what concluded sessions do not need any more: the session before
    /// the restart, and sockets that no valid pair uses.
    pub(super) fn free(&mut self, now: Time) {
        while let Some(stream) =
            self.streams.iter_mut().find(|s| s.free_at.is_some_and(|at| at <= now))
        {
            stream.free_at = None;
            let (id, list) = (stream.id, stream.current.list);
            self.settle(id, now);
            let previous = self.stream_mut(id).ok().and_then(|stream| stream.previous.take());
            if let Some(previous) = previous {
                self.drop_session(previous.list, now);
                // The current session may have fewer components.
                self.update_paths(id, now);
            }
            self.close_unused(id, list, now);
        }
    }

    fn close_unused(&mut self, id: StreamId, list: u16, now: Time) {
        if self.checks.list_state(list) != Some(ListState::Completed) {
            return;
        }
        // As long as a better way is sought, what seeks it stays.
        let (valid, seeks) = self.checks.used_bases(list);
        if seeks && let Ok(stream) = self.stream_mut(id) {
            stream.free_at = Some(now + FREE_AFTER);
        }
        let of_stream = self.bases.iter().filter(|base| base.stream == id);
        let (relayed, own): (Vec<_>, Vec<_>) =
            of_stream.map(|base| base.id).partition(|base| self.relay_under(*base).is_some());
        // First the relays: a leg is in use as long as anything stands on it.
        let (used, unused): (Vec<_>, Vec<_>) =
            relayed.into_iter().partition(|base| valid.contains(&base.0));
        unused.into_iter().for_each(|base| self.close_base(base, now));
        used.into_iter().for_each(|base| self.close_connections(base));
        let bases = |relay: &Relay| !relay.bases.is_empty();
        self.release_relays(|relay| relay.stream == id && !bases(relay), now);
        let is_used = |base: &BaseId| {
            valid.contains(&base.0) || self.relays.all.iter().any(|relay| relay.leg == *base)
        };
        let (kept, unused): (Vec<_>, Vec<_>) = own.into_iter().partition(is_used);
        unused.into_iter().for_each(|base| self.close_base(base, now));
        kept.into_iter().for_each(|base| self.close_connections(base));
    }

    pub(super) fn do_revoke_consent(
        &mut self,
        stream: StreamId,
        now: Time,
    ) -> Result<(), CommandError> {
        self.must_be_open()?;
        let entry = self.stream_mut(stream)?;
        entry.revoked = true;
        let lists: Vec<u16> = entry.sessions().map(|session| session.list).collect();
        lists.into_iter().for_each(|list| self.checks.give_up(list));
        self.advance(now);
        Ok(())
    }

    pub(super) fn do_remove_stream(
        &mut self,
        stream: StreamId,
        now: Time,
    ) -> Result<(), CommandError> {
        self.must_be_open()?;
        self.stream_mut(stream)?;
        self.settle(stream, now);
        for (number, path) in (1..).zip(self.stream_mut(stream)?.paths.clone()) {
            if let (Some(component), Some(_)) = (ComponentId::new(number), path) {
                self.events.push_back(Event::SendPath { stream, component, path: None });
            }
        }
        let lists: Vec<u16> = self.stream_mut(stream)?.sessions().map(|s| s.list).collect();
        self.streams.retain(|entry| entry.id != stream);
        self.selections.remove(stream);
        lists.into_iter().for_each(|list| self.drop_session(list, now));
        self.reported.reopen();
        self.advance(now);
        Ok(())
    }
}
