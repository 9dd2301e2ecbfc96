//! When the two sides' attempts at a simultaneous open begin: messages of the
//! agreement on T0, and what it does to the ladder.

use std::net::SocketAddr;

use crate::agent::gathering::session_mut;
use crate::agent::{BaseId, CommandError, Core, DropReason, Event, StreamId, Synchronisation};
use crate::candidate::TcpType;
use crate::check::Role;
use crate::punch::{Rank, SyncBody, SyncMessage, Timing};
use crate::tcp::Key;
use crate::timer::Time;

impl Core {
    /// The current session of a stream knows its peer: the agreement begins,
    /// where there is something to agree on.
    pub(super) fn begin_timing(&mut self, list: u16, now: Time) {
        if let Some(session) = session_mut(&mut self.streams, list) {
            session.timing = Timing::None;
        }
        if self.config.transports.tcp_so {
            self.wake_timing(list, now);
        }
    }

    /// The same where there is something to agree on after all.
    pub(super) fn wake_timing(&mut self, list: u16, now: Time) {
        let session = session_mut(&mut self.streams, list).filter(|s| s.remote.is_some());
        let is_none = session.is_some_and(|session| matches!(session.timing, Timing::None));
        if self.config.lite || self.is_relay_only() || !is_none {
            return;
        }
        let controls = self.checks.role() == Role::Controlling;
        let rank = Rank { controls, tie_breaker: self.checks.tie_breaker() };
        let mut timing = match self.config.synchronisation {
            Synchronisation::Off => Timing::None,
            Synchronisation::T0 => Timing::sync(rank, now),
            Synchronisation::Dcutr => Timing::dcutr(rank, controls),
        };
        timing.start(now);
        if let Some(session) = session_mut(&mut self.streams, list) {
            session.timing = timing;
        }
    }

    pub(super) fn do_handle_sync(
        &mut self,
        stream: StreamId,
        message: &str,
        now: Time,
    ) -> Result<(), CommandError> {
        self.must_be_open()?;
        let list = self.stream_mut(stream)?.current.list;
        let Ok(message) = message.parse::<SyncMessage>() else {
            self.drop_now(DropReason::Malformed, None, now);
            return Err(CommandError::Ignored("it is no message of the agreement on T0"));
        };
        // The peer may see before us that there is something to agree on.
        if self.config.transports.udp {
            self.wake_timing(list, now);
        }
        self.stream_mut(stream)?.current.timing.handle_message(now, &message);
        if let SyncBody::Fresh(offer) = message.body {
            self.offered(list, offer, now);
        }
        self.tcp.sign(now);
        self.advance(now);
        Ok(())
    }

    /// Does what is due, and gives out what is to be carried to the peer.
    pub(super) fn advance_timing(&mut self, now: Time) {
        for at in 0..self.streams.len() {
            let (stream, timing) = (self.streams[at].id, &mut self.streams[at].current.timing);
            if timing.poll_timeout().is_some_and(|due| due <= now) {
                timing.handle_timeout(now);
            }
            while let Some(message) = self.streams[at].current.timing.poll_message() {
                let message = message.to_string().into();
                self.events.push_back(Event::Sync { stream, message });
            }
        }
    }

    pub(super) fn next_timing(&self) -> Option<Time> {
        self.streams.iter().filter_map(|s| s.current.timing.poll_timeout()).min()
    }

    /// The role was switched: who leads may have changed.
    pub(super) fn switch_timing(&mut self, now: Time) {
        let controls = self.checks.role() == Role::Controlling;
        for stream in &mut self.streams {
            stream.current.timing.set_role(controls, now);
        }
    }

    /// An attempt was refused: the next may begin at a time that was agreed.
    pub(super) fn refused_at(&mut self, base: BaseId, to: SocketAddr, now: Time) {
        let Some(entry) = self.base(base) else { return };
        if entry.tcp_type != Some(TcpType::SimultaneousOpen) {
            return;
        }
        let stream = entry.stream;
        let Ok(stream) = self.stream_mut(stream) else { return };
        let timing = &mut stream.current.timing;
        timing.refused(now);
        if let Some(start) = timing.next_start(now) {
            let first = timing.goes_first(start.round);
            self.tcp.start_at(Key::new(base.0, to), start.at, first);
        }
    }
}
