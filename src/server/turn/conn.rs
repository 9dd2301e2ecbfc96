//! What the server behind takes for its socket.

use std::any::Any;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use webrtc_util::{Conn, Result};

use super::job::{Behind, Job, Outcome};
use super::leg::Leg;
use crate::stun::{Class, Message};

/// What the front let through.
#[derive(Debug)]
pub(super) enum Work {
    /// As it is.
    Datagram(SocketAddr, Box<[u8]>),
    /// To be put in the words of the server behind.
    Job(Box<Job>),
}

/// One leg, as a socket of datagrams.
pub(super) struct LegConn {
    leg: Arc<Leg>,
    work: tokio::sync::Mutex<mpsc::Receiver<Work>>,
    behind: Mutex<Behind>,
}

impl LegConn {
    pub(super) fn new(leg: Arc<Leg>, work: mpsc::Receiver<Work>, behind: Behind) -> Self {
        LegConn { leg, work: tokio::sync::Mutex::new(work), behind: Mutex::new(behind) }
    }

    /// Answers the client.
    fn conclude(&self, job: &Job, outcome: Outcome) {
        let mut answer = Vec::new();
        let now = Instant::now();
        if self.leg.front.lock().conclude(job, outcome, now, &mut answer) {
            self.leg.send(job.client.1, answer);
        }
    }
}

#[async_trait]
impl Conn for LegConn {
    async fn connect(&self, _: SocketAddr) -> Result<()> {
        Err(io::Error::from(io::ErrorKind::Unsupported).into())
    }

    async fn recv(&self, into: &mut [u8]) -> Result<usize> {
        self.recv_from(into).await.map(|(len, _)| len)
    }

    async fn recv_from(&self, into: &mut [u8]) -> Result<(usize, SocketAddr)> {
        let mut request = Vec::new();
        loop {
            let next = self.behind.lock().next(&mut request);
            match next {
                Some(Ok(client)) => return Ok((copy(&request, into)?, client)),
                Some(Err(job)) => self.conclude(&job, Outcome::Silent),
                None => {}
            }
            let work = self.work.lock().await.recv().await;
            match work {
                Some(Work::Job(job)) => self.behind.lock().begin(*job),
                Some(Work::Datagram(client, bytes)) => return Ok((copy(&bytes, into)?, client)),
                None => return Err(io::Error::from(io::ErrorKind::NotConnected).into()),
            }
        }
    }

    async fn send(&self, _: &[u8]) -> Result<usize> {
        Err(io::Error::from(io::ErrorKind::NotConnected).into())
    }

    /// Answers are for the job at hand, all else is data.
    async fn send_to(&self, bytes: &[u8], client: SocketAddr) -> Result<usize> {
        let message = Message::parse(bytes).ok();
        match message.filter(|message| message.class() != Class::Indication) {
            Some(answer) => {
                let finished = self.behind.lock().answer(&answer);
                if let Some((job, outcome)) = finished {
                    self.conclude(&job, outcome);
                }
            }
            None => self.leg.send(client, bytes.to_vec()),
        }
        Ok(bytes.len())
    }

    fn local_addr(&self) -> Result<SocketAddr> {
        Ok(self.leg.place.local)
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        None
    }

    /// The server behind closes it with each allocation.
    async fn close(&self) -> Result<()> {
        Ok(())
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }
}

fn copy(bytes: &[u8], into: &mut [u8]) -> io::Result<usize> {
    let place = into.get_mut(..bytes.len()).ok_or(io::ErrorKind::InvalidInput)?;
    place.copy_from_slice(bytes);
    Ok(bytes.len())
}
