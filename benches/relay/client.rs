//! What one end costs, whatever is at the other and on the way.

use std::time::Duration;

use crate::channel::{Channel, Error, SIZE};

/// Datagrams under way at a time: coturn's sockets for peers hold no more than
/// fifty.
const WINDOW: usize = 32;

/// Windows each way in a run.
const WINDOWS: usize = 200;

/// What has not come by then is lost.
const LOST: Duration = Duration::from_secs(5);

/// Within this time a server has relayed a window, so that it is received as a
/// whole: how what a server relays comes in is the server's.
const REST: Duration = Duration::from_millis(3);

/// Nanoseconds of the worker for each datagram of one end.
#[derive(Clone, Copy)]
pub(crate) struct Halves {
    pub(crate) send: f64,
    pub(crate) recv: f64,
}

/// Windows of datagrams from `a` to `b` and back, of which what `a` does counts.
/// There is one worker, which sleeps between sending and receiving.
pub(crate) async fn halves<C: Channel>([a, b]: &[C; 2]) -> Result<Halves, Error> {
    let (mut send, mut recv) = (0.0, 0.0);
    for _ in 0..WINDOWS {
        let start = worker_time()?;
        send_window(a).await?;
        send += worker_time()? - start;
        std::thread::sleep(REST);
        recv_window(b).await?;
        send_window(b).await?;
        std::thread::sleep(REST);
        let start = worker_time()?;
        recv_window(a).await?;
        recv += worker_time()? - start;
    }
    let datagrams = (WINDOWS * WINDOW) as f64;
    Ok(Halves { send: send / datagrams, recv: recv / datagrams })
}

async fn send_window<C: Channel>(end: &C) -> Result<(), Error> {
    for _ in 0..WINDOW {
        end.send(&[7; SIZE]).await?;
    }
    Ok(())
}

async fn recv_window<C: Channel>(end: &C) -> Result<(), Error> {
    let mut buffer = [0; 2_048];
    let window = async {
        for _ in 0..WINDOW {
            end.recv(&mut buffer).await?;
        }
        Ok(())
    };
    tokio::time::timeout(LOST, window).await?
}

/// Nanoseconds that this thread ran; NaN where the system is not asked.
#[cfg(not(target_os = "linux"))]
fn worker_time() -> Result<f64, Error> {
    Ok(f64::NAN)
}

/// Nanoseconds that this thread ran.
#[cfg(target_os = "linux")]
fn worker_time() -> Result<f64, Error> {
    use nix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?;
    Ok(time.tv_sec() as f64 * 1e9 + time.tv_nsec() as f64)
}
