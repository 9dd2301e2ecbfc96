//! The ways on which clients come: datagrams, and connections.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::LegId;
use super::conn::Work;
use super::front::{Front, Served, Verdict};
use super::splitter::pad;
use crate::discovery::Change;
use crate::driver::transport::{self, Drained, UdpSocket};
use crate::server::behavior::{Place, Siblings};
use crate::server::binding::Request;
use crate::server::dial_back::DialBacks;
use crate::server::{Counters, REST};

/// Messages that wait for the server behind; more from datagrams are lost.
pub(super) const WAITING: usize = 1_024;

/// Messages that wait for one connection; more are lost.
pub(super) const OUTBOX: usize = 128;

/// Where answers and data go out.
#[derive(Debug)]
pub(super) enum Outlet {
    /// With those beside it that answers may have to come from.
    Datagrams(Arc<UdpSocket>, Option<Siblings>),
    Connections(Mutex<HashMap<SocketAddr, Outbox>>),
}

/// The way out to one connection.
#[derive(Debug)]
pub(super) struct Outbox {
    /// Of the connection, for its address may come again.
    pub(super) number: u64,
    pub(super) messages: mpsc::Sender<Vec<u8>>,
}

/// A listening socket with what its clients have in common.
#[derive(Debug)]
pub(super) struct Leg {
    pub(super) id: LegId,
    pub(super) place: Place,
    pub(super) families: Vec<u8>,
    pub(super) outlet: Outlet,
    pub(super) front: Arc<Mutex<Front>>,
    pub(super) work: mpsc::Sender<Work>,
    pub(super) counters: Arc<Counters>,
    pub(super) dial_backs: Arc<DialBacks>,
}

/// What became of a message.
#[derive(Debug)]
pub(super) enum Judged {
    Dropped,
    Answered,
    /// The client is to be called back.
    DialBack(Request),
    /// The server behind has to do this.
    Passed(Work),
}

impl Leg {
    /// Judges a message, and answers it at once where that is possible.
    pub(super) fn judge(&self, from: SocketAddr, bytes: &[u8], now: Instant) -> Judged {
        let mut answer = Vec::new();
        let client = (self.id, from);
        let served = Served { families: &self.families, place: &self.place };
        let verdict = self.front.lock().judge(client, served, bytes, now, &mut answer);
        match verdict {
            Verdict::Dropped => {
                self.count(false);
                Judged::Dropped
            }
            Verdict::Answered(change) => {
                self.count(true);
                self.send_from(change, from, answer);
                Judged::Answered
            }
            Verdict::DialBack(request) => {
                self.count(true);
                Judged::DialBack(request)
            }
            Verdict::Relayed => Judged::Passed(Work::Datagram(from, bytes.into())),
            Verdict::Passed(job) => {
                self.count(true);
                Judged::Passed(Work::Job(Box::new(job)))
            }
        }
    }

    fn count(&self, is_answered: bool) {
        let counters = &self.counters;
        let counter = if is_answered { &counters.answered } else { &counters.dropped };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Sends to a client; what there is no room for is lost.
    pub(super) fn send(&self, to: SocketAddr, message: Vec<u8>) {
        self.send_from(Change::NONE, to, message);
    }

    /// [`Leg::send`] from the address or port beside its own.
    fn send_from(&self, change: Change, to: SocketAddr, mut message: Vec<u8>) {
        let is_sent = match &self.outlet {
            Outlet::Datagrams(socket, siblings) => {
                let beside = siblings.as_ref().and_then(|siblings| siblings.beside(change));
                beside.unwrap_or(socket).send_now(to, &message).is_ok()
            }
            Outlet::Connections(connections) => {
                pad(&mut message);
                let connections = connections.lock();
                let outbox = connections.get(&to);
                outbox.is_some_and(|outbox| outbox.messages.try_send(message).is_ok())
            }
        };
        if !is_sent {
            self.count(false);
        }
    }

    /// Serves datagrams.
    pub(super) async fn serve_datagrams(&self) {
        let Outlet::Datagrams(socket, _) = &self.outlet else { return };
        // An error here means that the runtime shuts down.
        while socket.readable().await.is_ok() {
            let result = transport::with_buffers(|received| {
                let result = socket.receive(received);
                let now = Instant::now();
                for glued in received.iter() {
                    for bytes in glued.datagrams() {
                        if let Judged::Passed(work) = self.judge(glued.from, bytes, now)
                            && self.work.try_send(work).is_err()
                        {
                            self.count(false);
                        }
                    }
                }
                result
            });
            match result {
                Ok(Drained::Yes) => {}
                Ok(Drained::No) => tokio::task::yield_now().await,
                Err(_) => tokio::time::sleep(REST).await,
            }
        }
    }
}
