use std::io;

use crate::agent::{CommandError, StateReason};

/// Why an operation on an [`Agent`](super::Agent) failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// The core refused the command; the session is as it was.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The system does not tell the addresses of this machine.
    #[error("the addresses of this machine can not be listed: {0}")]
    Interfaces(#[source] io::Error),
    /// The first stream lives as long as its agent.
    #[error("the first stream of an agent can not be removed: close the agent")]
    FirstStream,
    /// The agent was made outside of a tokio runtime.
    #[error("an agent has to be made inside a tokio runtime")]
    NoRuntime,
    /// The operating system gives no random numbers.
    #[error("the operating system gives no random numbers")]
    NoRandomness,
    /// Of the ports of a rendezvous none can be bound, or its settings leave
    /// no transport.
    #[error("no port of the rendezvous can be bound")]
    NoPort,
    /// The agent failed: no pair worked, or consent expired.
    #[error("the connection failed: {0:?}")]
    Failed(StateReason),
    /// The agent was closed.
    #[error("the agent was closed")]
    Closed,
}
