//! The boundary of the core: every command and every input passes through
//! here once, into the log if there is one, and on to its work.

use crate::agent::record::{RecordedConfig, RecordedInput};
use crate::agent::{
    CommandError, Config, Core, Credentials, Input, RemoteParameters, Sockets, StreamId,
};
use crate::candidate::Candidate;
use crate::check::PairId;
use crate::rng::{Rng, Seed};
use crate::timer::{Pacer, Time};
use crate::turn::Secrets;

/// The longest part of a message of the peer that a log keeps, in characters.
const MAX_SYNC: usize = 129;

impl Core {
    /// An agent without streams. `seed` is a secret, `pacer` the one that all
    /// agents of the process share.
    pub fn new(config: Config, seed: &Seed, pacer: Pacer) -> Self {
        Core::with_rng(config, Rng::new(seed), pacer)
    }

    pub(super) fn record_creation(&mut self) {
        let config = |core: &mut Core| RecordedConfig::of(&core.config).into();
        self.recorded(None, |core| RecordedInput::Create(config(core)), |_| ());
    }

    /// Adds a stream with components 1 to `components` and makes its
    /// credentials. One that comes after gathering has begun gathers for
    /// itself.
    ///
    /// # Errors
    /// [`CommandError::Components`] outside 1..=256,
    /// [`CommandError::TooManyStreams`], [`CommandError::Closed`].
    pub fn add_stream(&mut self, components: u16) -> Result<StreamId, CommandError> {
        let input = |_: &mut Core| RecordedInput::AddStream { components };
        self.recorded_command(None, input, |core| core.do_add_stream(components, None))
    }

    /// [`Core::add_stream`] with credentials that the peer knows beforehand,
    /// and nobody else. A restart replaces them by others. Streams that share a
    /// socket are told apart by their fragments.
    ///
    /// # Errors
    /// Those of [`Core::add_stream`]; [`CommandError::Credentials`] out of the
    /// grammar of RFC 8839 §5.4.
    pub fn add_stream_with(
        &mut self,
        components: u16,
        credentials: Credentials,
    ) -> Result<StreamId, CommandError> {
        let given = credentials.clone();
        let input = |core: &mut Core| core.recorded_stream(components, &given);
        self.recorded_command(None, input, |core| core.do_add_stream(components, Some(credentials)))
    }

    /// Removes a stream: its sockets are given back, and nothing of it is
    /// sent or received any more. Its number is not used again.
    ///
    /// # Errors
    /// [`CommandError::UnknownStream`], [`CommandError::Closed`].
    pub fn remove_stream(&mut self, stream: StreamId, now: Time) -> Result<(), CommandError> {
        let input = |_: &mut Core| RecordedInput::RemoveStream { stream };
        self.recorded_command(Some(now), input, |core| core.do_remove_stream(stream, now))
    }

    /// Revokes our consent to be sent to (RFC 7675 §5.2): checks of the peer
    /// are answered with 403 from now on, and nothing is sent to it. Only a
    /// restart brings the stream back.
    ///
    /// # Errors
    /// [`CommandError::UnknownStream`], [`CommandError::Closed`].
    pub fn revoke_consent(&mut self, stream: StreamId, now: Time) -> Result<(), CommandError> {
        let input = |_: &mut Core| RecordedInput::RevokeConsent { stream };
        self.recorded_command(Some(now), input, |core| core.do_revoke_consent(stream, now))
    }

    /// Uses another user and password towards the TURN server with this URI, such
    /// as a provider gives for a term. Requests that the server has refused for
    /// it ([`Event::SecretsExpired`]) are made again.
    ///
    /// # Errors
    /// [`CommandError::UnknownServer`], [`CommandError::Closed`].
    ///
    /// [`Event::SecretsExpired`]: crate::agent::Event::SecretsExpired
    pub fn renew_secrets(
        &mut self,
        uri: &str,
        secrets: Secrets,
        now: Time,
    ) -> Result<(), CommandError> {
        let input = |_: &mut Core| {
            let (uri, username) = (uri.into(), secrets.username.clone());
            RecordedInput::RenewSecrets { uri, username }
        };
        let renewed = secrets.clone();
        self.recorded_command(Some(now), input, |core| core.do_renew_secrets(uri, renewed, now))
    }

    /// Restarts ICE for a stream: new credentials, which are to be signalled,
    /// and new candidates. Data goes on over the pairs that carry it until new
    /// ones are selected. The peer's new parameters and candidates are given
    /// as before.
    ///
    /// # Errors
    /// [`CommandError::UnknownStream`], [`CommandError::Closed`].
    pub fn restart(
        &mut self,
        stream: StreamId,
        sockets: Sockets,
        now: Time,
    ) -> Result<Credentials, CommandError> {
        let input = |_: &mut Core| RecordedInput::Restart { stream, sockets };
        self.recorded_command(Some(now), input, |core| core.do_restart(stream, sockets, now))
    }

    /// Nominates a valid pair, by the application's choice: before a pair of
    /// its component is selected, or, where both sides list the option
    /// `renomination`, at any time. [`Event::Selected`] tells when the peer has
    /// answered.
    ///
    /// # Errors
    /// [`CommandError::NotNominated`], [`CommandError::Closed`].
    ///
    /// [`Event::Selected`]: crate::agent::Event::Selected
    pub fn nominate(&mut self, pair: PairId, now: Time) -> Result<(), CommandError> {
        let input = |_: &mut Core| RecordedInput::Nominate { pair };
        self.recorded_command(Some(now), input, |core| core.do_nominate(pair, now))
    }

    /// The peer's parameters: checks of the stream start. The same ones again
    /// change nothing, nor do those of the session before a restart. Others
    /// mean that the peer restarts ICE: so do we, and [`Event::Restarted`] has
    /// the credentials to answer with (RFC 8839 §4.4.1.1.1). What answers
    /// credentials that we have no more changes nothing either.
    ///
    /// # Errors
    /// The session is as it was: [`CommandError::UnknownStream`],
    /// [`CommandError::Credentials`] out of the grammar of RFC 8839 §5.4,
    /// [`CommandError::HalfRestart`], [`CommandError::Closed`].
    ///
    /// [`Event::Restarted`]: crate::agent::Event::Restarted
    pub fn set_remote_parameters(
        &mut self,
        stream: StreamId,
        parameters: RemoteParameters,
        now: Time,
    ) -> Result<(), CommandError> {
        if !self.log.is_enabled() {
            return self.do_set_remote_parameters(stream, parameters, now);
        }
        let recorded = self.recorded_parameters(stream, &parameters);
        self.recorded_command(
            Some(now),
            |_| recorded,
            |core| core.do_set_remote_parameters(stream, parameters, now),
        )
    }

    /// A candidate that the peer signalled. It may come before the peer's
    /// parameters. One that is known already changes nothing, nor does one of a
    /// component that has its selected pair: the peer's checks may have been
    /// faster than its signalling.
    ///
    /// # Errors
    /// The session is as it was, and what was not taken is counted:
    /// [`CommandError::Refused`], [`CommandError::RemoteAddress`],
    /// [`CommandError::Ignored`], [`CommandError::AfterEnd`],
    /// [`CommandError::UnknownStream`], [`CommandError::Closed`].
    pub fn add_remote_candidate(
        &mut self,
        stream: StreamId,
        candidate: &Candidate,
        now: Time,
    ) -> Result<(), CommandError> {
        let input = |_: &mut Core| {
            let candidate = candidate.clone();
            RecordedInput::RemoteCandidate { stream, candidate }
        };
        self.recorded_command(Some(now), input, |core| {
            core.do_add_remote_candidate(stream, candidate, now)
        })
    }

    /// The peer signals no more candidates for the stream.
    ///
    /// # Errors
    /// [`CommandError::UnknownStream`], [`CommandError::Closed`].
    pub fn end_of_remote_candidates(
        &mut self,
        stream: StreamId,
        now: Time,
    ) -> Result<(), CommandError> {
        let input = |_: &mut Core| RecordedInput::EndOfRemoteCandidates { stream };
        self.recorded_command(Some(now), input, |core| {
            core.do_end_of_remote_candidates(stream, now)
        })
    }

    /// A message of the peer's [`Event::Sync`]. Whatever it says, nothing worse
    /// comes of it than an attempt to connect at a time of no use.
    ///
    /// # Errors
    /// [`CommandError::Ignored`] where it is no such message,
    /// [`CommandError::UnknownStream`], [`CommandError::Closed`].
    ///
    /// [`Event::Sync`]: crate::agent::Event::Sync
    pub fn handle_sync(
        &mut self,
        stream: StreamId,
        message: &str,
        now: Time,
    ) -> Result<(), CommandError> {
        // What is longer is none.
        let kept = || message.chars().take(MAX_SYNC).collect::<String>().into();
        let input = |_: &mut Core| RecordedInput::Sync { stream, message: kept() };
        self.recorded_command(Some(now), input, |core| core.do_handle_sync(stream, message, now))
    }

    /// Closes the agent: sockets are given back, nothing is sent any more.
    pub fn close(&mut self, now: Time) {
        self.recorded(Some(now), |_| RecordedInput::Close, |core| core.do_close(now));
    }

    /// Something happened.
    pub fn handle_input(&mut self, now: Time, input: Input<'_>) {
        let input = self.unwrapped(input);
        if !self.log.is_enabled() {
            return self.do_handle_input(now, input);
        }
        let recorded = self.recorded_input(&input);
        self.recorded(Some(now), |_| recorded, |core| core.do_handle_input(now, input));
    }

    /// Does everything that is due at `now`. Afterwards [`Core::poll_timeout`]
    /// is later than `now`.
    pub fn handle_timeout(&mut self, now: Time) {
        self.recorded(Some(now), |_| RecordedInput::Timeout, |core| core.do_handle_timeout(now));
    }
}
