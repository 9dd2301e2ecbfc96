//! A data stream and its ICE sessions: credentials and what is known of the
//! peer's.

use std::net::SocketAddr;

use crate::agent::gathering::Gathering;
use crate::agent::repunch::Punch;
use crate::agent::{BaseId, CommandError, Config, Credentials, StreamId};
use crate::check::LocalId;
use crate::punch::Timing;
use crate::rng::Rng;
use crate::stun::IntegrityKey;
use crate::timer::Time;

/// Length of our fragments: 48 bits of randomness, where RFC 8445 §5.3 wants
/// 24, so that streams that share a socket do not meet.
const UFRAG_LEN: usize = 8;
/// Length of our passwords: 144 bits, where RFC 8445 §5.3 wants 128.
const PWD_LEN: usize = 24;

/// One data stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: StreamId,
    /// The number of its components, before the peer's is known.
    pub(super) components: u16,
    /// The session that negotiates, or has concluded.
    pub(super) current: Session,
    /// After a restart the session before it: its pairs carry data until the
    /// current one has selected pairs, and may be heard a little longer.
    pub(super) previous: Option<Box<Session>>,
    /// ICE was restarted for it.
    pub(super) restarted: bool,
    /// We revoked our consent.
    pub(super) revoked: bool,
    /// The network moved under its data: until there is a path again, the
    /// stream is disconnected and not failed.
    pub(super) recovering: bool,
    /// The machine slept, and the paths have not answered since.
    pub(super) recheck: bool,
    /// When what the current session did not select is freed.
    pub(super) free_at: Option<Time>,
    /// Where data of each component goes, as reported.
    pub(super) paths: Box<[Option<SendPath>]>,
}

/// Where data goes: from a base to an address.
pub(super) type SendPath = (BaseId, SocketAddr);

/// One ICE session of a stream: what a restart begins anew (RFC 8445 §9).
#[derive(Debug)]
pub(super) struct Session {
    /// The number of its check list.
    pub(super) list: u16,
    pub(super) local: Credentials,
    /// Checks of the peer and our answers to them are signed with this.
    pub(super) local_key: IntegrityKey,
    pub(super) remote: Option<Remote>,
    /// Checks that came before the peer's parameters (RFC 8445 §7.3).
    pub(super) early: Vec<EarlyCheck>,
    pub(super) remote_done: bool,
    pub(super) gathering: Gathering,
    /// When attempts at a simultaneous open begin.
    pub(super) timing: Timing,
    /// Components whose signalled ports may be poisoned.
    pub(super) punches: Vec<Punch>,
}

/// What is known of the peer.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) credentials: Credentials,
    /// Our checks and the peer's answers are signed with this.
    pub(super) key: IntegrityKey,
}

/// A check that was answered before the peer's parameters were known.
#[derive(Clone, Copy, Debug)]
pub(super) struct EarlyCheck {
    pub(super) local: LocalId,
    pub(super) from: SocketAddr,
    pub(super) priority: u32,
    pub(super) use_candidate: bool,
    pub(super) nomination: Option<u32>,
}

impl Stream {
    pub(super) fn new(id: StreamId, components: u16, session: Session) -> Self {
        Stream {
            id,
            components,
            current: session,
            previous: None,
            restarted: false,
            revoked: false,
            recovering: false,
            recheck: false,
            free_at: None,
            paths: vec![None; usize::from(components)].into(),
        }
    }

    /// The current session and the one before it.
    pub(super) fn sessions(&self) -> impl Iterator<Item = &Session> {
        std::iter::once(&self.current).chain(self.previous.as_deref())
    }

    /// The session with this check list.
    pub(super) fn session(&self, list: u16) -> Option<&Session> {
        self.sessions().find(|session| session.list == list)
    }

    pub(super) fn session_mut(&mut self, list: u16) -> Option<&mut Session> {
        let all = std::iter::once(&mut self.current).chain(self.previous.as_deref_mut());
        all.into_iter().find(|session| session.list == list)
    }
}

impl Session {
    /// A session on the check list `list`, with credentials whose fragment is
    /// none of `taken`.
    pub(super) fn new(list: u16, config: &Config, rng: &mut Rng, taken: &[Box<str>]) -> Self {
        let local = loop {
            let ufrag = rng.ice_chars::<UFRAG_LEN>();
            let pwd = rng.ice_chars::<PWD_LEN>();
            if !taken.contains(&ufrag) {
                break Credentials { ufrag, pwd };
            }
        };
        Session::with(list, config, local)
    }

    /// A session on the check list `list`, with these credentials.
    pub(super) fn with(list: u16, config: &Config, local: Credentials) -> Self {
        Session {
            list,
            local_key: IntegrityKey::short_term(&local.pwd),
            local,
            remote: None,
            early: Vec::new(),
            remote_done: false,
            gathering: Gathering::new(config),
            timing: Timing::None,
            punches: Vec::new(),
        }
    }

    /// USERNAME of our checks: the peer's fragment first (RFC 8445 §7.2.2).
    pub(super) fn username(&self) -> Option<String> {
        let remote = self.remote.as_ref()?;
        Some([&*remote.credentials.ufrag, ":", &self.local.ufrag].concat())
    }

    /// Whether these are the peer's credentials for the session.
    pub(super) fn is_of(&self, credentials: &Credentials) -> bool {
        self.remote.as_ref().is_some_and(|remote| remote.credentials == *credentials)
    }
}

impl Credentials {
    /// Holds them to the grammar of RFC 8839 §5.4.
    pub(super) fn check(&self) -> Result<(), CommandError> {
        let is_ice = |s: &str| s.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/".contains(&b));
        let Credentials { ufrag, pwd } = self;
        if !(4..=256).contains(&ufrag.len()) || !is_ice(ufrag) {
            return Err(CommandError::Credentials { field: "ufrag", rule: "4 to 256 ice-chars" });
        }
        if !(22..=256).contains(&pwd.len()) || !is_ice(pwd) {
            return Err(CommandError::Credentials { field: "pwd", rule: "22 to 256 ice-chars" });
        }
        Ok(())
    }
}
