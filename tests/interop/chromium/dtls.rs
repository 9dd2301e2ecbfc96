//! A DTLS server: `openssl s_server`, on a loopback port.

use std::net::{Ipv4Addr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::harness::namespace::Namespace;
use crate::harness::programs::{built, output};

const MAX_DATAGRAM: usize = 65_535;
/// In a namespace of the test's own, where nobody else has it.
const PORT: u16 = 4433;

/// A self-signed certificate with its key; its files are removed with it.
pub(super) struct Certificate {
    directory: PathBuf,
}

impl Certificate {
    pub(super) fn make() -> Self {
        let directory = built().join(format!("certificate-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("target/tmp can be written");
        let certificate = Certificate { directory };
        let curve = "ec_paramgen_curve:prime256v1";
        output(
            Command::new("openssl")
                .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", curve, "-nodes"])
                .args(["-subj", "/CN=floe", "-days", "2", "-keyout"])
                .arg(certificate.key())
                .arg("-out")
                .arg(certificate.file()),
        )
        .expect("openssl makes a certificate");
        certificate
    }

    /// Its SHA-256, as in `a=fingerprint` (RFC 8122 §5).
    pub(super) fn fingerprint(&self) -> String {
        let mut openssl = Command::new("openssl");
        let arguments = ["x509", "-noout", "-fingerprint", "-sha256", "-in"];
        let line = output(openssl.args(arguments).arg(self.file())).expect("it is a certificate");
        line.rsplit('=').next().unwrap_or_default().to_owned()
    }

    fn file(&self) -> PathBuf {
        self.directory.join("certificate.pem")
    }

    fn key(&self) -> PathBuf {
        self.directory.join("key.pem")
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        // Nothing else is there to be lost.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// The server, and its one client's socket.
pub(super) struct Server {
    process: Child,
    socket: UdpSocket,
}

impl Server {
    /// Starts it on a host. Datagrams from before it listens are lost, as on
    /// a network; DTLS sends them again.
    pub(super) fn start(host: &Namespace, certificate: &Certificate) -> Self {
        host.run(|| {
            let process = Command::new("openssl")
                .args(["s_server", "-dtls", "-accept", &format!("127.0.0.1:{PORT}"), "-cert"])
                .arg(certificate.file())
                .arg("-key")
                .arg(certificate.key())
                // It ends where its input does.
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("openssl runs, as it did before");
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback is up");
            socket.connect((Ipv4Addr::LOCALHOST, PORT)).expect("loopback is up");
            socket.set_nonblocking(true).expect("a socket can be set so");
            Server { process, socket }
        })
    }

    pub(super) fn send(&self, datagram: &[u8]) {
        let _ = self.socket.send(datagram);
    }

    /// What it has sent, if it has.
    pub(super) fn receive(&self) -> Option<Vec<u8>> {
        let mut buffer = vec![0; MAX_DATAGRAM];
        let length = self.socket.recv(&mut buffer).ok()?;
        buffer.truncate(length);
        Some(buffer)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only where it has ended and been waited for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Whether a datagram begins a DTLS handshake: a record of type 22, of the
/// versions that are written in a first record, and in it a message of type 1
/// (RFC 6347 §4.1 and §4.2.2).
pub(super) fn is_client_hello(datagram: &[u8]) -> bool {
    let version = datagram.get(1..3);
    datagram.first() == Some(&22)
        && (version == Some(&[0xFE, 0xFF]) || version == Some(&[0xFE, 0xFD]))
        && datagram.get(13) == Some(&1)
}
