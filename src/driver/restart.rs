//! What changes during a session: restarts, renominations, and streams that
//! come and go.

use super::clock;
use super::drive::{Machine, Shared};
use super::error::AgentError;
use crate::agent::{BaseId, Credentials, Sockets, StreamId};
use crate::check::PairId;
use crate::turn::Secrets;

impl Machine {
    /// A socket serves the session of a restart too: the peer will address it
    /// by the new fragment.
    pub(super) fn keep(&self, base: BaseId) {
        let Some(base) = self.bases.get(&base) else { return };
        if let Some(credentials) = self.core.local_credentials(base.stream) {
            base.socket.router().restarted(base.member, &credentials.ufrag);
        }
    }
}

impl Shared {
    pub(super) fn restart(
        &self,
        stream: StreamId,
        sockets: Sockets,
    ) -> Result<Credentials, AgentError> {
        self.command(|machine| Ok(machine.core.restart(stream, sockets, clock::now())?))
    }

    pub(super) fn restart_all(&self, sockets: Sockets) -> Result<(), AgentError> {
        self.command(|machine| {
            for stream in machine.core.streams() {
                machine.core.restart(stream, sockets, clock::now())?;
            }
            Ok(())
        })
    }

    pub(super) fn renew_secrets(&self, uri: &str, secrets: Secrets) -> Result<(), AgentError> {
        self.command(|machine| Ok(machine.core.renew_secrets(uri, secrets, clock::now())?))
    }

    pub(super) fn revoke_consent(&self, stream: StreamId) -> Result<(), AgentError> {
        self.command(|machine| Ok(machine.core.revoke_consent(stream, clock::now())?))
    }

    pub(super) fn nominate(&self, pair: PairId) -> Result<(), AgentError> {
        self.command(|machine| Ok(machine.core.nominate(pair, clock::now())?))
    }

    pub(super) fn remove_stream(&self, stream: StreamId) -> Result<(), AgentError> {
        self.command(|machine| {
            machine.core.remove_stream(stream, clock::now())?;
            machine.ledger.remove(stream);
            machine.components.retain(|(owner, _), component| {
                if *owner == stream {
                    component.close();
                }
                *owner != stream
            });
            Ok(())
        })
    }
}
