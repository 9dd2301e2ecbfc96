//! Debian's coturn on loopback, for whatever wants a foreign TURN server.
//!
//! A test program takes it in with
//! `#[path = "../coturn/mod.rs"] mod coturn;`.

#[path = "../harness/requirement.rs"]
#[allow(dead_code, reason = "only part of it concerns coturn")]
mod requirement;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use floe::stun::{Message, TransactionId, write_binding_request};

/// The user that it knows.
pub(crate) const USER: &str = "ann";
pub(crate) const PASSWORD: &str = "secret";
pub(crate) const REALM: &str = "example.org";

/// How long it may take to start.
const START: Duration = Duration::from_secs(20);

/// How often other ports are tried where somebody was quicker.
const TRIES: usize = 4;

/// What it is told beside its addresses and the user. The default is its own.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Where it listens and relays; loopback.
    pub(crate) ip: IpAddr,
    /// `--stale-nonce`: seconds that a nonce is good for.
    pub(crate) stale_nonce: Option<u32>,
    /// `--max-allocate-lifetime`, in seconds.
    pub(crate) max_allocate_lifetime: Option<u32>,
    /// `--permission-lifetime`, in seconds.
    pub(crate) permission_lifetime: Option<u32>,
    /// `--channel-lifetime`, in seconds.
    pub(crate) channel_lifetime: Option<u32>,
    /// `--alternate-server`: where clients are sent to (300).
    pub(crate) alternate_server: Option<SocketAddr>,
    /// `--user-quota`: allocations of one user (486).
    pub(crate) user_quota: Option<u32>,
    /// `--total-quota`: allocations of all (508 or 486).
    pub(crate) total_quota: Option<u32>,
    /// Anything else, word by word.
    pub(crate) more: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            ip: Ipv4Addr::LOCALHOST.into(),
            stale_nonce: None,
            max_allocate_lifetime: None,
            permission_lifetime: None,
            channel_lifetime: None,
            alternate_server: None,
            user_quota: None,
            total_quota: None,
            more: Vec::new(),
        }
    }
}

impl Options {
    fn words(&self) -> Vec<String> {
        let numbers = [
            ("stale-nonce", self.stale_nonce),
            ("max-allocate-lifetime", self.max_allocate_lifetime),
            ("permission-lifetime", self.permission_lifetime),
            ("channel-lifetime", self.channel_lifetime),
            ("user-quota", self.user_quota),
            ("total-quota", self.total_quota),
        ];
        let numbers = numbers.into_iter();
        let numbers = numbers.filter_map(|(name, value)| Some(format!("--{name}={}", value?)));
        let other = self.alternate_server.map(|at| format!("--alternate-server={at}"));
        numbers.chain(other).chain(self.more.iter().cloned()).collect()
    }
}

/// A running coturn; it is killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Coturn {
    child: Child,
    /// What it was started with.
    words: Vec<String>,
    directory: PathBuf,
    /// UDP and TCP.
    pub(crate) address: SocketAddr,
    /// TLS.
    pub(crate) tls_address: SocketAddr,
    /// Its certificate, for its IP address and `localhost`, which it signed
    /// itself.
    pub(crate) certificate_pem: String,
}

impl Coturn {
    /// Starts one and waits until it answers. `None` where there is none on
    /// this machine, which is said.
    ///
    /// # Panics
    /// If it is required (`FLOE_REQUIRE=coturn`) and lacking, or does not
    /// start.
    pub(crate) fn start(options: &Options) -> Option<Self> {
        let version = Command::new("turnserver").arg("--version").output();
        if version.is_err() {
            requirement::lacking("coturn", "there is no turnserver (Debian's package coturn)");
            return None;
        }
        let mut reasons = Vec::new();
        for _ in 0..TRIES {
            match Self::try_start(options) {
                Ok(coturn) => return Some(coturn),
                Err(reason) => reasons.push(reason),
            }
        }
        panic!("coturn does not start: {reasons:?}");
    }

    fn try_start(options: &Options) -> Result<Self, String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("coturn-{}-{number}", std::process::id());
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
        let names = vec![options.ip.to_string(), "localhost".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).map_err(|error| error.to_string())?;
        let file = |name: &str, text: &str| {
            let path = directory.join(name);
            std::fs::write(&path, text).map(|()| path.display().to_string())
        };
        let certificate_pem = made.cert.pem();
        let cert = file("cert.pem", &certificate_pem).map_err(|error| error.to_string())?;
        let key = file("key.pem", &made.key_pair.serialize_pem()).map_err(|e| e.to_string())?;
        let (address, tls_address) = (free(options.ip), free(options.ip));
        let at = |name: &str| directory.join(name).display().to_string();
        let mut words: Vec<String> =
            ["-n", "--no-cli", "--no-dtls", "--allow-loopback-peers", "--fingerprint"]
                .into_iter()
                .chain(["--lt-cred-mech", "--log-file=stdout", "--simple-log"])
                .map(str::to_owned)
                .collect();
        words.extend([
            format!("--user={USER}:{PASSWORD}"),
            format!("--realm={REALM}"),
            format!("--listening-ip={}", options.ip),
            format!("--relay-ip={}", options.ip),
            format!("--listening-port={}", address.port()),
            format!("--tls-listening-port={}", tls_address.port()),
            format!("--cert={cert}"),
            format!("--pkey={key}"),
            format!("--userdb={}", at("turndb")),
            format!("--pidfile={}", at("pid")),
        ]);
        words.extend(options.words());
        let child = spawn(&words)?;
        let mut coturn = Coturn { child, words, directory, address, tls_address, certificate_pem };
        coturn.wait().map(|()| coturn)
    }

    /// Ends it, and starts another in its place: all allocations are gone.
    pub(crate) fn restart(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.child = spawn(&self.words).expect("it started before");
        self.wait().expect("it answered before");
    }

    /// Waits until UDP, TCP and TLS are served.
    fn wait(&mut self) -> Result<(), String> {
        let start = Instant::now();
        while start.elapsed() < START {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("it ended: {status}"));
            }
            let listens = |at: &SocketAddr| std::net::TcpStream::connect(at).is_ok();
            if answers(self.address) && listens(&self.address) && listens(&self.tls_address) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err("it does not answer".to_owned())
    }
}

fn spawn(words: &[String]) -> Result<Child, String> {
    let mut command = Command::new("turnserver");
    command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map_err(|error| error.to_string())
}

impl Drop for Coturn {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// An address that is free for UDP and TCP just now.
fn free(ip: IpAddr) -> SocketAddr {
    loop {
        let listener = TcpListener::bind((ip, 0)).expect("loopback can be bound");
        let at = listener.local_addr().expect("it is bound");
        if UdpSocket::bind(at).is_ok() {
            return at;
        }
    }
}

fn answers(server: SocketAddr) -> bool {
    let Ok(socket) = UdpSocket::bind((server.ip(), 0)) else { return false };
    let _ = socket.set_read_timeout(Some(Duration::from_millis(200)));
    let mut request = Vec::new();
    write_binding_request(TransactionId([3; 12]), &mut request);
    let mut buffer = [0; 512];
    let asked = socket.connect(server).and_then(|()| socket.send(&request));
    let answer = asked.and_then(|_| socket.recv(&mut buffer));
    answer.is_ok_and(|len| Message::parse(&buffer[..len]).is_ok())
}
