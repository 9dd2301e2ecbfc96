//! Data both ways over connections that stand.

use std::time::{Duration, Instant};

use floe::Connection;
use tokio::time::timeout;

use super::report::Transfer;
use crate::words;

/// Datagrams sent in each direction.
const DATAGRAMS: u8 = 20;

/// Bytes a datagram: what fits everywhere.
const SIZE: usize = 1_200;

/// How long an answer may take on a path inside one machine.
const PATIENCE: Duration = Duration::from_secs(1);

/// One end of a component: its agent's name and its connection.
#[derive(Clone, Copy)]
pub(crate) struct End<'a> {
    pub(crate) name: &'static str,
    pub(crate) connection: &'a Connection,
}

/// Sends datagrams from `from` to `to`, each of which comes back.
pub(crate) async fn transfer(from: End<'_>, to: End<'_>, component: u16) -> Transfer {
    let mut times = Vec::new();
    for number in 0..DATAGRAMS {
        let start = Instant::now();
        let echoed =
            timeout(PATIENCE, there_and_back(from.connection, to.connection, number)).await;
        if matches!(echoed, Ok(Ok(true))) {
            times.push(start.elapsed());
        }
    }
    times.sort_unstable();
    Transfer {
        from: from.name.into(),
        to: to.name.into(),
        component,
        size: SIZE,
        sent: usize::from(DATAGRAMS),
        received: times.len(),
        rtt_ms: times.get(times.len() / 2).copied().map(words::millis),
    }
}

/// Whether the datagram arrived, and came back, as it was sent.
async fn there_and_back(from: &Connection, to: &Connection, number: u8) -> std::io::Result<bool> {
    let payload = [number; SIZE];
    let mut buffer = [0; SIZE + 1];
    from.send(&payload).await?;
    let length = to.recv(&mut buffer).await?;
    let arrived = buffer.get(..length) == Some(&payload[..]);
    to.send(&payload).await?;
    let length = from.recv(&mut buffer).await?;
    Ok(arrived && buffer.get(..length) == Some(&payload[..]))
}
