use std::time::Duration;

use crate::driver::transport::{Crossed, opens_from_both_ends, opens_to_itself};

/// How long a SYN on loopback may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether this system opens a TCP connection from both ends at once
/// (RFC 9293 §3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Crossing {
    /// It does: it was tried.
    Yes,
    /// It does not: a switch of the system forbids it
    /// (`net.ipv4.tcp_simult_connect`).
    Forbidden,
    /// It did not.
    No,
    /// It could not be tried: what the system says.
    Unknown(std::io::ErrorKind),
}

/// Tries it: a socket on loopback that connects to its own address meets its
/// own SYN, which takes the same way through the system as that of a peer that
/// opens at the same time.
///
/// # Panics
///
/// Outside of a tokio runtime.
pub async fn crosses() -> Crossing {
    if !opens_from_both_ends() {
        return Crossing::Forbidden;
    }
    match tokio::time::timeout(PATIENCE, opens_to_itself()).await {
        Ok(Ok(Crossed::Yes)) => Crossing::Yes,
        Ok(Ok(Crossed::No)) | Err(_) => Crossing::No,
        Ok(Err(error)) => Crossing::Unknown(error.kind()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the switch of this system says is what happens.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_trial_agrees_with_the_switch() {
        let expected = if opens_from_both_ends() { Crossing::Yes } else { Crossing::Forbidden };
        assert_eq!(crosses().await, expected);
    }
}
