//! What is measured: datagrams of 1,200 bytes between two ends in one
//! process, and the bare sockets that everything is compared with.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use tokio::net::UdpSocket;

/// Any error; it ends the measurement.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// Bytes of a datagram.
pub(crate) const SIZE: usize = 1_200;
/// Datagrams under way at a time.
pub(crate) const WINDOW: usize = 64;
/// Datagrams of a run.
pub(crate) const PACKETS: usize = WINDOW * 500;
/// Round trips of a run.
const ROUND_TRIPS: usize = PACKETS / 8;

/// One end of a way for datagrams.
pub(crate) trait Channel: Clone + Send + Sync + 'static {
    /// Sends one datagram.
    fn send(&self, datagram: &[u8]) -> impl Future<Output = Result<(), Error>> + Send;
    /// Receives one datagram.
    fn recv(&self, buffer: &mut [u8]) -> impl Future<Output = Result<usize, Error>> + Send;
}

/// One run: wall-clock and processor time for each datagram, in nanoseconds.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    /// Time that passed.
    pub(crate) wall: f64,
    /// Time that the threads of the process ran.
    pub(crate) cpu: f64,
}

/// Measures `run`, which moves `datagrams` datagrams.
pub(crate) async fn measure(
    datagrams: usize,
    run: impl Future<Output = Result<(), Error>>,
) -> Result<Cost, Error> {
    let (cpu, start) = (cpu_time(), Instant::now());
    run.await?;
    let wall = start.elapsed().as_nanos() as f64 / datagrams as f64;
    Ok(Cost { wall, cpu: (cpu_time() - cpu) / datagrams as f64 })
}

/// Nanoseconds that the threads of this process ran; NaN where the system
/// does not say.
fn cpu_time() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let times = tasks.map(|task| -> Option<f64> {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_ascii_whitespace().next()?.parse().ok()
    });
    times.sum::<Option<f64>>().filter(|time| *time > 0.0).unwrap_or(f64::NAN)
}

/// A window of datagrams from `a` to `b`, again and again.
pub(crate) async fn one_way<C: Channel>([a, b]: &[C; 2]) -> Result<Cost, Error> {
    let (datagram, mut buffer) = ([7; SIZE], [0; 2_048]);
    measure(PACKETS, async {
        for _ in 0..PACKETS / WINDOW {
            for _ in 0..WINDOW {
                a.send(&datagram).await?;
            }
            for _ in 0..WINDOW {
                b.recv(&mut buffer).await?;
            }
        }
        Ok(())
    })
    .await
}

/// One datagram there and back again, each end in a task of its own.
pub(crate) async fn ping_pong<C: Channel>([a, b]: &[C; 2]) -> Result<Cost, Error> {
    let b = b.clone();
    let echo = tokio::spawn(async move {
        let mut buffer = [0; 2_048];
        for _ in 0..ROUND_TRIPS {
            let len = b.recv(&mut buffer).await?;
            b.send(&buffer[..len]).await?;
        }
        Ok::<_, Error>(())
    });
    let (datagram, mut buffer) = ([7; SIZE], [0; 2_048]);
    let cost = measure(2 * ROUND_TRIPS, async {
        for _ in 0..ROUND_TRIPS {
            a.send(&datagram).await?;
            a.recv(&mut buffer).await?;
        }
        Ok(())
    })
    .await;
    echo.await??;
    cost
}

/// An unconnected socket, and where it sends to.
#[derive(Clone)]
pub(crate) struct Bare {
    socket: Arc<UdpSocket>,
    to: SocketAddr,
}

/// Two bare sockets on loopback.
pub(crate) async fn bare() -> Result<[Bare; 2], Error> {
    let a = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let b = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let addresses = [a.local_addr()?, b.local_addr()?];
    Ok([Bare { socket: a.into(), to: addresses[1] }, Bare { socket: b.into(), to: addresses[0] }])
}

impl Channel for Bare {
    async fn send(&self, datagram: &[u8]) -> Result<(), Error> {
        self.socket.send_to(datagram, self.to).await?;
        Ok(())
    }

    async fn recv(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        Ok(self.socket.recv_from(buffer).await?.0)
    }
}

/// The values in order.
pub(crate) fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The value at `quarter` quarters of the way; 2 is the median.
pub(crate) fn quartile(sorted: &[f64], quarter: usize) -> f64 {
    sorted[(sorted.len() - 1) * quarter / 4]
}
