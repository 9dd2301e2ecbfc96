//! A data stream: its credentials and what is known of the peer's.

use std::net::SocketAddr;

use crate::agent::{CommandError, Credentials, RemoteParameters};
use crate::check::LocalId;
use crate::rng::Rng;
use crate::stun::IntegrityKey;

/// Length of our fragments: 48 bits of randomness, where RFC 8445 §5.3 wants
/// 24, so that streams that share a socket do not meet.
const UFRAG_LEN: usize = 8;
/// Length of our passwords: 144 bits, where RFC 8445 §5.3 wants 128.
const PWD_LEN: usize = 24;

/// One data stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) local: Credentials,
    /// Checks of the peer and our answers to them are signed with this.
    pub(super) local_key: IntegrityKey,
    pub(super) remote: Option<Remote>,
    /// Checks that came before the peer's parameters (RFC 8445 §7.3).
    pub(super) early: Vec<EarlyCheck>,
    pub(super) remote_done: bool,
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
}

impl Stream {
    pub(super) fn new(rng: &mut Rng) -> Self {
        let local =
            Credentials { ufrag: rng.ice_chars::<UFRAG_LEN>(), pwd: rng.ice_chars::<PWD_LEN>() };
        let local_key = IntegrityKey::short_term(&local.pwd);
        Stream { local, local_key, remote: None, early: Vec::new(), remote_done: false }
    }

    /// USERNAME of our checks: the peer's fragment first (RFC 8445 §7.2.2).
    pub(super) fn username(&self) -> Option<String> {
        let remote = self.remote.as_ref()?;
        Some([&*remote.credentials.ufrag, ":", &self.local.ufrag].concat())
    }
}

impl RemoteParameters {
    /// Holds the credentials to the grammar of RFC 8839 §5.4.
    pub(super) fn check(&self) -> Result<(), CommandError> {
        let is_ice = |s: &str| s.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/".contains(&b));
        let Credentials { ufrag, pwd } = &self.credentials;
        if !(4..=256).contains(&ufrag.len()) || !is_ice(ufrag) {
            return Err(CommandError::Credentials { field: "ufrag", rule: "4 to 256 ice-chars" });
        }
        if !(22..=256).contains(&pwd.len()) || !is_ice(pwd) {
            return Err(CommandError::Credentials { field: "pwd", rule: "22 to 256 ice-chars" });
        }
        Ok(())
    }
}
