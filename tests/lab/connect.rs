//! `ice-probe connect` through the kernel's NATs: a file from one host to the
//! other, and its rate beside that of plain TCP where there is no NAT.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use crate::nat::{Crossing, Filtering, Nat, Unsolicited};
use crate::topology::{Cell, Family, Lab, STUN};
use crate::{PORT_RESTRICTED, Server, ready};

/// Of the file, in MiB, unless the variable says otherwise.
const SIZE: usize = 4;
const VARIABLE: &str = "FLOE_CONNECT_MIB";

/// Where `ice-probe serve` is, and its rendezvous by itself.
const SERVE: &str = "203.0.113.10:5000";
const RENDEZVOUS: &str = "ws://203.0.113.10:3480";

const CODE: &str = "7-crossover-clockwork";

/// Nothing but a firewall that lets everything pass: the same way over the
/// same wire.
const OPEN: Nat = Nat {
    filtering: Filtering::Open,
    unsolicited: Unsolicited::Pass,
    crossing: Crossing::Pass,
    ..Nat::FIREWALL
};

const RTT: Duration = Duration::from_millis(20);

#[test]
fn a_file_passes_two_nats_over_udp_and_tcp() {
    if !ready("connect::a_file_passes_two_nats_over_udp_and_tcp") {
        return;
    }
    let size = std::env::var(VARIABLE).ok().and_then(|text| text.parse().ok()).unwrap_or(SIZE);
    let directory = Directory::new();
    let file = directory.0.join("file.bin");
    let hash = noise(&file, size);
    let lab = Lab::new(&Cell { rtt: RTT, ..PORT_RESTRICTED });
    let mut command = Command::new(env!("CARGO_BIN_EXE_ice-probe"));
    command.args(["serve", "--json", "--listen", SERVE]);
    let (_server, line) = Server::spawn(&lab, command);
    assert!(line.contains(RENDEZVOUS), "{line}");
    let mut lines = Vec::new();
    for (transport, over) in [("udp", "connected: QUIC"), ("tcp-so", "connected: TLS")] {
        let to = directory.0.join(transport);
        std::fs::create_dir(&to).expect("there is room for temporary files");
        let said = pass(&lab, transport, &file, &to);
        assert!(said.contains(over), "{said}");
        assert!(said.contains(&format!("SHA-256 {hash}, at both ends")), "{said}");
        assert_eq!(hash_of(&to.join("file.bin")), hash);
        let rate = said.lines().find_map(|line| line.strip_prefix("received file.bin: "));
        lines.push(format!("{transport:<7} {}", rate.expect("it says how fast it was")));
    }
    drop(lab);
    let lab = Lab::new(&Cell { rtt: RTT, family: Family::V6, ..Cell::new([OPEN, OPEN]) });
    let took = plain(&lab, &file);
    #[allow(clippy::cast_precision_loss, reason = "it is printed with one digit")]
    let rate = (size << 20) as f64 / 1e6 / took.as_secs_f64();
    lines.push(format!("plain   {:.2} s, {rate:.1} MB/s", took.as_secs_f64()));
    println!("{size} MiB, RTT {} ms, a port-restricted NAT on each side:", RTT.as_millis());
    lines.iter().for_each(|line| println!("  {line}"));
}

/// Sends the file from the first host to the second; what the second said.
fn pass(lab: &Lab, transport: &str, file: &Path, to: &Path) -> String {
    let stun = format!("stun:{STUN}");
    let stun = if transport == "udp" { stun } else { format!("{stun}?transport=tcp") };
    let side = |host: usize, what: &str, path: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ice-probe"));
        command.args(["connect", CODE, "--via", RENDEZVOUS, "--transport", transport]);
        command.args(["--stun", &stun, what]).arg(path);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        lab.hosts[host].run(|| command.spawn()).expect("ice-probe starts")
    };
    let sides = [side(0, "--send", file), side(1, "--receive", to)];
    let [sent, received] = sides.map(|side| thread::spawn(|| side.wait_with_output()));
    let output = |thread: thread::JoinHandle<std::io::Result<Output>>| {
        let output = thread.join().expect("it only waits").expect("a child can be waited for");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{said}");
        said
    };
    output(sent);
    output(received)
}

/// The file over a TCP connection and nothing else, from the first host to the
/// second; how long it took until all of it was there.
fn plain(lab: &Lab, file: &Path) -> Duration {
    let bytes = std::fs::read(file).expect("it was written");
    let to = SocketAddr::new(lab.host_address(1), 4_000);
    let listener = lab.hosts[1].run(|| TcpListener::bind(to)).expect("a port is free");
    let receiver = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the other host connects");
        let mut count = 0;
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = stream.read(&mut buffer) {
            count += read;
        }
        (count, Instant::now())
    });
    let mut stream = lab.hosts[0].run(|| TcpStream::connect(to)).expect("there is a way");
    let start = Instant::now();
    stream.write_all(&bytes).expect("it can be sent");
    drop(stream);
    let (count, end) = receiver.join().expect("it only reads");
    assert_eq!(count, bytes.len());
    end - start
}

/// Makes a file of so many MiB that look like noise; its SHA-256.
fn noise(path: &Path, size: usize) -> String {
    let mut file = std::fs::File::create(path).expect("there is room for temporary files");
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut part = Vec::with_capacity(1 << 20);
    for _ in 0..size {
        part.clear();
        while part.len() < 1 << 20 {
            // Marsaglia's xorshift.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            part.extend_from_slice(&state.to_le_bytes());
        }
        file.write_all(&part).expect("there is room for temporary files");
    }
    hash_of(path)
}

fn hash_of(path: &Path) -> String {
    let mut file = std::fs::File::open(path).expect("it is there");
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
    while let Ok(count @ 1..) = file.read(&mut buffer) {
        hash.update(&buffer[..count]);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A directory that goes with the value.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("floe-lab-connect-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("there is room for temporary files");
        Directory(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
