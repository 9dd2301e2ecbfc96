//! The options of `serve`.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use floe::candidate::Prefix;
use floe::server::{TlsIdentity, User};
use rand::TryRngCore as _;
use rand::rngs::OsRng;

use crate::args::ports;
use crate::exit::{Exit, Failure};
use crate::turn;

pub(crate) const EXAMPLES: &str = "Examples:
  ice-probe serve
  ice-probe serve --listen 127.0.0.1:3478 --allow-loopback
  ice-probe serve --user ann --pass-file pass.txt --realm example.org --relay-ports 50000-50999
  ice-probe serve --tls-listen 0.0.0.0:5349 --self-signed --cert-out cert.pem
  ice-probe serve --rendezvous-listen 0.0.0.0:443 --tls-listen 0.0.0.0:5349 --self-signed
  ice-probe serve --listen 0.0.0.0:3478 --listen '[::]:3478' --no-turn --json
  ice-probe serve --listen 192.0.2.1:3478 --listen 192.0.2.2:3479

Without --pass-file and ICE_PROBE_PASS the password is made anew at each start, and printed.";

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Address to listen on; with two of a family RFC 5780 on both [default: port
    /// 3478 of every address of this machine]
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) listen: Vec<SocketAddr>,
    /// Address to listen on for TLS; needs --self-signed, or --cert and --key
    #[arg(long, value_name = "IP:PORT", conflicts_with = "no_turn")]
    pub(crate) tls_listen: Vec<SocketAddr>,
    /// Certificate for TLS with its chain, in PEM
    #[arg(long, value_name = "FILE", requires_all = ["key", "tls_listen"])]
    cert: Option<PathBuf>,
    /// Private key for TLS, in PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Make a certificate and key for TLS at each start; prints the
    /// fingerprint
    #[arg(long, conflicts_with = "cert", requires = "tls_listen")]
    self_signed: bool,
    /// Write the certificate that was made to FILE, in PEM
    #[arg(long, value_name = "FILE", requires = "self_signed")]
    cert_out: Option<PathBuf>,
    /// Name of the user that may relay
    #[arg(long, value_name = "USER", default_value = "floe", conflicts_with = "no_turn")]
    user: String,
    /// File whose first line is the user's password, instead of the variable
    /// ICE_PROBE_PASS
    #[arg(long, value_name = "FILE", conflicts_with = "no_turn")]
    pass_file: Option<PathBuf>,
    /// Realm of the password
    #[arg(long, value_name = "REALM", default_value = "floe", conflicts_with = "no_turn")]
    pub(crate) realm: String,
    /// Address to relay from, at most one of each family [default: the one
    /// that the client asks]
    #[arg(long, value_name = "IP", conflicts_with = "no_turn")]
    pub(crate) relay_ip: Vec<IpAddr>,
    /// Ports to relay from
    #[arg(long, value_name = "LOW-HIGH", value_parser = ports, conflicts_with = "no_turn")]
    pub(crate) relay_ports: Option<RangeInclusive<u16>>,
    /// Relay to this network too; repeatable
    #[arg(long, value_name = "CIDR", conflicts_with = "no_turn")]
    pub(crate) allow_peer: Vec<Prefix>,
    /// Relay to private and shared networks too
    #[arg(long, conflicts_with = "no_turn")]
    pub(crate) allow_private: bool,
    /// Relay to loopback too
    #[arg(long, conflicts_with = "no_turn")]
    pub(crate) allow_loopback: bool,
    /// Address to listen on for the rendezvous of `ice-probe connect`, with
    /// TLS where there is a certificate [default: port 3480 of the addresses
    /// of --listen]
    #[arg(long, value_name = "IP:PORT", conflicts_with_all = ["no_turn", "no_rendezvous"])]
    pub(crate) rendezvous_listen: Vec<SocketAddr>,
    /// Serve no rendezvous
    #[arg(long)]
    pub(crate) no_rendezvous: bool,
    /// Give out figures at this address, over HTTP in Prometheus' text format
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) metrics: Option<SocketAddr>,
    /// Serve STUN alone
    #[arg(long)]
    pub(crate) no_turn: bool,
    /// Print the URIs as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

impl Options {
    /// The user, and whether the password was made up.
    pub(crate) fn user(&self) -> Result<(User, bool), Failure> {
        let given = match &self.pass_file {
            Some(file) => Some(turn::read(file)?),
            None => std::env::var(turn::VARIABLE).ok(),
        };
        let is_made = given.is_none();
        let password = match given {
            Some(password) if password.is_empty() => {
                return Err(Failure::new(Exit::Usage, "the password is empty"));
            }
            Some(password) => password,
            None => random()?,
        };
        Ok((User { name: self.user.clone(), password }, is_made))
    }

    /// The certificate to show at these addresses; written where it has to be.
    pub(crate) fn identity(&self, listen: &[SocketAddr]) -> Result<Option<TlsIdentity>, Failure> {
        let refused =
            |error| Failure::new(Exit::Tls, format!("the certificate cannot be used: {error}"));
        if let (Some(cert), Some(key)) = (&self.cert, &self.key) {
            let identity = TlsIdentity::from_pem(&read(cert)?, &read(key)?);
            return identity.map(Some).map_err(refused);
        }
        if !self.self_signed {
            return if self.tls_listen.is_empty() {
                Ok(None)
            } else {
                let text = "--tls-listen needs --self-signed, or --cert and --key";
                Err(Failure::new(Exit::Usage, text))
            };
        }
        let mut names: Vec<String> = listen.iter().map(|at| at.ip().to_string()).collect();
        names.push("localhost".to_owned());
        names.dedup();
        let identity = TlsIdentity::self_signed(&names).map_err(refused)?;
        if let Some(file) = &self.cert_out {
            std::fs::write(file, identity.certificate_pem()).map_err(|error| {
                Failure::new(Exit::Usage, format!("cannot write {}: {error}", file.display()))
            })?;
        }
        Ok(Some(identity))
    }
}

fn read(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file).map_err(|error| {
        Failure::new(Exit::Usage, format!("cannot read {}: {error}", file.display()))
    })
}

/// A password of 128 bits.
fn random() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    OsRng.try_fill_bytes(&mut bytes).map_err(|error| {
        Failure::new(Exit::Internal, format!("the system gives no random numbers: {error}"))
    })?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
