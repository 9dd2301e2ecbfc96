//! A request that the front let through, on its way to the server behind and
//! back.

use std::net::SocketAddr;
use std::time::Duration;

use super::table::Client;
use crate::stun::{
    Algorithm, AttributeType, Builder, Class, IntegrityKey, Message, Method, TransactionId,
};

/// UDP as REQUESTED-TRANSPORT has it.
pub(super) const UDP: u8 = 17;

/// The two families as REQUESTED-ADDRESS-FAMILY has them.
pub(super) const V4: u8 = 1;
pub(super) const V6: u8 = 2;

/// What the server behind is told to do, for whom, and how to answer.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) client: Client,
    pub(super) id: TransactionId,
    pub(super) user: usize,
    /// What the request had and its answer has to have.
    pub(super) algorithm: Algorithm,
    pub(super) with_fingerprint: bool,
    pub(super) task: Task,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// `refused` is the family that was asked for besides.
    Allocate {
        lifetime: Duration,
        family: u8,
        refused: Option<u8>,
    },
    /// Zero ends the allocation.
    Refresh {
        lifetime: Duration,
    },
    /// The server behind reads one peer of a request, so it gets several.
    Permit {
        peers: Vec<SocketAddr>,
    },
    Bind {
        number: u16,
        peer: SocketAddr,
    },
    /// The client's connection has ended, and with it the allocation.
    Release,
}

impl Task {
    pub(super) const fn method(&self) -> Method {
        match self {
            Task::Allocate { .. } => Method::ALLOCATE,
            Task::Refresh { .. } | Task::Release => Method::REFRESH,
            Task::Permit { .. } => Method::CREATE_PERMISSION,
            Task::Bind { .. } => Method::CHANNEL_BIND,
        }
    }

    /// How many requests the server behind gets for it.
    pub(super) fn steps(&self) -> usize {
        if let Task::Permit { peers } = self { peers.len() } else { 1 }
    }

    /// The attributes of the request that is step `step`.
    fn write<'a>(&self, step: usize, request: Builder<'a>) -> Builder<'a> {
        match self {
            Task::Allocate { lifetime, family, .. } => request
                .attribute(AttributeType::REQUESTED_TRANSPORT, &[UDP, 0, 0, 0])
                .attribute(AttributeType::REQUESTED_ADDRESS_FAMILY, &[*family, 0, 0, 0])
                .number(AttributeType::LIFETIME, seconds(*lifetime)),
            Task::Refresh { lifetime } => {
                request.number(AttributeType::LIFETIME, seconds(*lifetime))
            }
            Task::Release => request.number(AttributeType::LIFETIME, 0),
            Task::Permit { peers } => match peers.get(step) {
                Some(peer) => request.xored(AttributeType::XOR_PEER_ADDRESS, *peer),
                None => request,
            },
            Task::Bind { number, peer } => request
                .number(AttributeType::CHANNEL_NUMBER, u32::from(*number) << 16)
                .xored(AttributeType::XOR_PEER_ADDRESS, *peer),
        }
    }
}

pub(super) fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

/// How the server behind and we know each other: it is asked with a nonce of
/// its own, one for all clients, so that it gives few.
#[derive(Debug)]
pub(super) struct Behind {
    pub(super) realm: String,
    pub(super) key: IntegrityKey,
    nonce: Option<Box<[u8]>>,
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    job: Job,
    step: usize,
    is_asked: bool,
    refusals: u8,
}

/// How often in a row the server behind may want another nonce.
const REFUSALS: u8 = 3;

/// Who asks the server behind. It keeps the name with the allocation.
const USERNAME: &[u8] = b"front";

/// What the server behind said to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Done {
        relayed: Option<SocketAddr>,
    },
    Refused(u16),
    /// It says nothing where it knows of no allocation.
    Silent,
}

impl Behind {
    pub(super) fn new(realm: String, key: IntegrityKey) -> Self {
        Behind { realm, key, nonce: None, current: None }
    }

    /// Takes on a job; the one before has to be finished.
    pub(super) fn begin(&mut self, job: Job) {
        self.current = Some(Current { job, step: 0, is_asked: false, refusals: 0 });
    }

    /// What remains to be asked for the job at hand: written into `out`, if
    /// there is something. The server behind handles one request after the
    /// other, so when it wants the next one it has answered the last, or never
    /// will: then the job is returned.
    pub(super) fn next(&mut self, out: &mut Vec<u8>) -> Option<Result<SocketAddr, Job>> {
        if self.current.as_ref()?.is_asked {
            return self.current.take().map(|current| Err(current.job));
        }
        let current = self.current.as_mut()?;
        current.is_asked = true;
        let Job { id, task, client, .. } = &current.job;
        let request = Builder::new(Class::Request, task.method(), *id, out);
        let request = task.write(current.step, request);
        match &self.nonce {
            // It gives one with its refusal.
            None => request.finish(),
            Some(nonce) => request
                .attribute(AttributeType::USERNAME, USERNAME)
                .attribute(AttributeType::REALM, self.realm.as_bytes())
                .attribute(AttributeType::NONCE, nonce)
                .sign(&self.key, Algorithm::Sha1),
        }
        Some(Ok(client.1))
    }

    /// Takes what the server behind says; returns the job with its outcome
    /// once it is finished.
    pub(super) fn answer(&mut self, answer: &Message<'_>) -> Option<(Job, Outcome)> {
        let current = self.current.as_mut()?;
        if !current.is_asked || answer.transaction_id() != current.job.id {
            return None;
        }
        let outcome = match (answer.class(), answer.error().map(|error| error.code)) {
            (Class::Error, Some(401 | 438)) => {
                self.nonce = answer.nonce().map(Into::into);
                current.refusals += 1;
                if current.refusals <= REFUSALS {
                    current.is_asked = false;
                    return None;
                }
                Outcome::Refused(500)
            }
            (Class::Error, code) => Outcome::Refused(code.unwrap_or(400)),
            _ => {
                current.step += 1;
                current.refusals = 0;
                if current.step < current.job.task.steps() {
                    current.is_asked = false;
                    return None;
                }
                Outcome::Done { relayed: answer.xor_relayed_address() }
            }
        };
        self.current.take().map(|current| (current.job, outcome))
    }
}
