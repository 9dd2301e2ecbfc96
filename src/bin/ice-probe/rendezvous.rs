//! `--secret-file`: a rendezvous without signalling.

use std::fs::File;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use floe::punch::{Rendezvous, Secret, SecretError};

use crate::exit::{Exit, Failure};

/// What a file with a secret has at most.
const MAX_SECRET: u64 = 4_096;
/// What the text of a made secret begins with; anything else is a passphrase.
const MADE: &str = "floe1-";

/// The options of a rendezvous.
#[derive(Debug, clap::Args)]
pub(crate) struct RendezvousOptions {
    /// Meet the peer without signalling, by the secret in FILE and the time:
    /// a passphrase of 12 characters or more, the same on both sides. The
    /// default of --timeout is 150 then
    #[arg(
        long,
        value_name = "FILE",
        requires = "peer",
        conflicts_with_all = ["controlling", "controlled", "stun", "ports"]
    )]
    secret_file: Option<PathBuf>,
    /// The peer's public address, for --secret-file
    #[arg(long, value_name = "IP", requires = "secret_file")]
    pub(crate) peer: Option<IpAddr>,
}

/// Whom to meet, and how.
pub(crate) struct Appointment {
    pub(crate) rendezvous: Rendezvous,
    pub(crate) peer: IpAddr,
}

impl RendezvousOptions {
    /// Reads the secret; `None` where no rendezvous is asked for. A passphrase
    /// takes some tenths of a second.
    pub(crate) fn read(&self) -> Result<Option<Appointment>, Failure> {
        let (path, peer) = match (&self.secret_file, self.peer) {
            (Some(path), Some(peer)) => (path, peer),
            (None, None) => return Ok(None),
            // The command line asks for both, but for options that exclude one.
            _ => {
                let sentence = "--secret-file and --peer belong together";
                return Err(Failure::new(Exit::Usage, sentence));
            }
        };
        let failure = |what: &dyn std::fmt::Display| {
            Failure::new(Exit::Usage, format!("--secret-file {}: {what}", path.display()))
        };
        let text = contents(path).map_err(|error| failure(&error))?;
        let secret = secret(text.trim()).map_err(|error| failure(&error))?;
        Ok(Some(Appointment { rendezvous: Rendezvous::new(secret), peer }))
    }
}

fn contents(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_SECRET).read_to_string(&mut text)?;
    Ok(text)
}

fn secret(text: &str) -> Result<Secret, SecretError> {
    let is_made = text.get(..MADE.len()).is_some_and(|start| start.eq_ignore_ascii_case(MADE));
    if is_made { text.parse() } else { Secret::from_passphrase(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_made_or_a_passphrase_and_is_never_shown() {
        assert!(secret("correct horse battery").is_ok());
        assert_eq!(secret("too short").unwrap_err(), SecretError::TooShort);
        assert_eq!(secret("FLOE1-nonsense").unwrap_err(), SecretError::Malformed);
        let options = RendezvousOptions {
            secret_file: Some("/nonexistent".into()),
            peer: Some([1; 4].into()),
        };
        let Err(failure) = options.read() else { panic!("there is no such file") };
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.message.contains("/nonexistent"), "{}", failure.message);
    }
}
