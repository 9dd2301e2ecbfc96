//! What the two sides tell each other of a session beside candidates, and the
//! checks that begin with it.

use std::time::Duration;

use crate::agent::core::DECISION;
use crate::agent::stream::{Remote, Session};
use crate::agent::{BaseId, CommandError, Core, DropReason, RemoteParameters, Sockets, StreamId};
use crate::check::{PeerRequest, Role};
use crate::timer::Time;

/// RFC 8863 §4: how long a check list without pairs is given.
const PATIENCE: Duration = Duration::from_millis(39_500);

/// The option of draft-thatcher-ice-renomination.
const RENOMINATION: &str = "renomination";

/// Our own option: candidates may be trickled for as long as the session lasts.
const CONTINUAL: &str = "continual";

/// A peer that asks for more than this would stop us from checking at all.
const MAX_PACING: Duration = Duration::from_secs(1);

impl Core {
    /// What we can do, in the words of `ice-options` (RFC 8839 §5.6), to be
    /// signalled with the credentials.
    pub fn options(&self) -> Vec<&'static str> {
        let mut options = vec!["ice2", "trickle"];
        if self.config.renomination && !self.config.lite {
            options.push(RENOMINATION);
            if self.config.continual {
                options.push(CONTINUAL);
            }
        }
        options
    }

    pub(super) fn do_set_remote_parameters(
        &mut self,
        stream: StreamId,
        parameters: RemoteParameters,
        now: Time,
    ) -> Result<(), CommandError> {
        self.must_be_open()?;
        parameters.credentials.check()?;
        let entry = self.stream_mut(stream)?;
        if entry.sessions().any(|session| session.is_of(&parameters.credentials)) {
            return Ok(());
        }
        let theirs = &parameters.credentials;
        let is_half = |session: &Session| {
            session.remote.as_ref().is_some_and(|remote| {
                remote.credentials.ufrag == theirs.ufrag || remote.credentials.pwd == theirs.pwd
            })
        };
        if entry.sessions().any(is_half) {
            return Err(CommandError::HalfRestart);
        }
        let current = &entry.current;
        match &parameters.answers {
            // It answers what was before a restart of ours.
            Some(answered) if *answered != current.local.ufrag => return Ok(()),
            // An answer after all, where something older was taken for one.
            Some(_) => {}
            None if current.remote.is_some() => {
                let answers = Some(theirs.ufrag.clone());
                self.begin_session(stream, Sockets::Keep, answers, now)?;
            }
            None => {}
        }
        self.begin_checks(stream, parameters, now)?;
        self.advance(now);
        Ok(())
    }

    /// The current session of the stream gets the peer's parameters.
    fn begin_checks(
        &mut self,
        stream: StreamId,
        parameters: RemoteParameters,
        now: Time,
    ) -> Result<(), CommandError> {
        let session = &mut self.stream_mut(stream)?.current;
        let key = crate::stun::IntegrityKey::short_term(&parameters.credentials.pwd);
        let replaced = session.remote.replace(Remote { credentials: parameters.credentials, key });
        let early = std::mem::take(&mut session.early);
        let list = session.list;
        if replaced.is_some() {
            self.forget_templates();
        }
        // RFC 8445 §6.1.1: a full agent controls a lite one.
        match (self.config.lite, parameters.lite) {
            (false, true) => self.switch_role(Role::Controlling),
            (true, false) => self.switch_role(Role::Controlled),
            (true, true) => self.checks.set_both_lite(list),
            (false, false) => {}
        }
        let both_list = |option| {
            self.options().contains(&option) && parameters.options.iter().any(|o| **o == *option)
        };
        let (renomination, continual) = (both_list(RENOMINATION), both_list(CONTINUAL));
        if renomination {
            self.checks.allow_renomination(list);
        }
        if renomination && continual {
            self.checks.allow_trickle(list);
        }
        self.checks.agree_pacing(parameters.pacing.min(MAX_PACING));
        self.checks.start_patience(now + PATIENCE);
        self.checks.decide_by(list, now + DECISION);
        self.checks.start(list);
        self.begin_timing(list, now);
        for check in early {
            let base = BaseId(self.checks.local(list, check.local).base);
            if self.open_base(base).is_none() {
                // Its address is gone meanwhile.
                continue;
            }
            let request = PeerRequest {
                local: check.local,
                from: check.from,
                priority: check.priority,
                use_candidate: check.use_candidate,
                nomination: check.nomination,
            };
            if self.checks.peer_checked(list, &request, now).is_err() {
                self.drop_now(DropReason::Limit, Some(check.from), now);
            }
        }
        Ok(())
    }
}
