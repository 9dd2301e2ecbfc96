//! `ice-probe check` behind the kernel's NATs: the right verdict and exit code,
//! and no `no` where the truth is `unknown`.

use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::Value;

use crate::nat::{Egress, Filtering, Nat};
use crate::topology::{Cell, Family, Lab};
use crate::{Server, ready};

const USER: &str = "lab";
const PASSWORD: &str = "the lab's password";
const PORTS: [u16; 2] = [3498, 3499];

const ADDRESS_RESTRICTED: Nat = Nat { filtering: Filtering::Address, ..Nat::PORT_RESTRICTED };
const NO_UDP: Nat = Nat { egress: Egress::NoUdp, ..Nat::PORT_RESTRICTED };
const ONLY_443: Nat = Nat { egress: Egress::Tcp443, ..Nat::PORT_RESTRICTED };

/// A lab with a server that speaks RFC 5780 on two addresses, and relays.
struct Bench {
    lab: Lab,
    at: [SocketAddr; 2],
    certificate: PathBuf,
    _server: Server,
}

fn file(name: &str) -> PathBuf {
    let name = format!("lab-check-{}-{name}", std::process::id());
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

impl Bench {
    fn new(cell: &Cell) -> Self {
        let certificate = file("made.pem");
        let certificate_out = certificate.display().to_string();
        Self::with_identity(cell, &["--self-signed", "--cert-out", &certificate_out], certificate)
    }

    /// With a certificate that was good until 2020.
    fn expired(cell: &Cell) -> Self {
        let [certificate, key] = ["expired.pem", "expired.key"].map(file);
        let made = KeyPair::generate().expect("a key is made");
        let mut params = CertificateParams::new(vec!["203.0.113.10".to_owned()]).expect("a name");
        (params.not_before, params.not_after) =
            (date_time_ymd(2019, 1, 1), date_time_ymd(2020, 1, 1));
        let signed = params.self_signed(&made).expect("it is signed");
        std::fs::write(&certificate, signed.pem()).expect("it can be written");
        std::fs::write(&key, made.serialize_pem()).expect("it can be written");
        let paths = [&certificate, &key].map(|path| path.display().to_string());
        Self::with_identity(cell, &["--cert", &paths[0], "--key", &paths[1]], certificate)
    }

    fn with_identity(cell: &Cell, identity: &[&str], certificate: PathBuf) -> Self {
        let lab = Lab::new(cell);
        let ips = [lab.stun()[0].ip(), lab.give_server_another()];
        let at = [0, 1].map(|n| SocketAddr::new(ips[n], PORTS[n]));
        let mut command = Command::new(env!("CARGO_BIN_EXE_ice-probe"));
        command.args(["serve", "--json", "--quiet", "--user", USER]);
        command.args(["--listen", &at[0].to_string(), "--listen", &at[1].to_string()]);
        command.args(["--tls-listen", &SocketAddr::new(ips[0], 443).to_string()]).args(identity);
        command.args(["--allow-peer", "203.0.113.0/24", "--allow-peer", "2001:db8::/32"]);
        command.env("ICE_PROBE_PASS", PASSWORD);
        let (server, line) = Server::spawn(&lab, command);
        assert!(line.contains(&format!("stun:{}", at[1])), "{line}");
        Bench { lab, at, certificate, _server: server }
    }

    fn stun(&self) -> String {
        format!("stun:{}", self.at[0])
    }

    fn turns(&self) -> String {
        format!("turns:{}", SocketAddr::new(self.at[0].ip(), 443))
    }

    /// What a check from the first host says, and its exit code.
    fn check(&self, options: &[&str]) -> (i32, Value) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ice-probe"));
        command.args(["check", "--json"]).args(options).env("ICE_PROBE_PASS", PASSWORD);
        command.stdin(Stdio::null()).stderr(Stdio::inherit());
        let output = self.lab.hosts[0].run(|| command.output()).expect("ice-probe starts");
        let text = String::from_utf8_lossy(&output.stdout);
        let report = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        (output.status.code().expect("it ends by itself"), report)
    }

    fn check_stun(&self) -> (i32, Value) {
        self.check(&["--stun", &self.stun()])
    }

    fn check_turn(&self, uri: &str) -> (i32, Value) {
        let certificate = self.certificate.display().to_string();
        self.check(&["--stun", &self.stun(), "--turn", uri, "--user", USER, "--ca", &certificate])
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.certificate);
    }
}

/// How a report says that UDP and TCP are mapped and filtered, and what becomes
/// of a SYN that nobody has asked for.
fn behavior(report: &Value) -> [&str; 5] {
    let family = &report["families"][0];
    let (udp, tcp) = (&family["udp"], &family["tcp"]);
    let words = [
        &udp["mapping"]["behavior"],
        &udp["filtering"]["behavior"],
        &tcp["mapping"],
        &tcp["filtering"],
        &tcp["unsolicited-syn"],
    ];
    words.map(|word| word.as_str().unwrap_or_else(|| panic!("{report:#}")))
}

const EI: &str = "endpoint-independent";
const AD: &str = "address-dependent";
const APD: &str = "address-and-port-dependent";

fn cell(nat: Nat) -> Cell {
    Cell::new([nat, Nat::PORT_RESTRICTED])
}

fn expect(cell: &Cell, code: i32, direct: &str, words: [&str; 5]) {
    let (found, report) = Bench::new(cell).check_stun();
    assert_eq!(behavior(&report), words, "{cell}");
    assert_eq!((found, report["verdict"]["direct"].as_str()), (code, Some(direct)), "{report:#}");
    println!("{cell}: exit {found}: {}", report["verdict"]["text"]);
}

/// The small part, for every run.
#[test]
fn a_check_knows_the_nat_before_it() {
    if ready("check::a_check_knows_the_nat_before_it") {
        expect(&cell(Nat::PORT_RESTRICTED), 0, "yes", [EI, APD, EI, APD, "drop"]);
        expect(&cell(Nat::SYMMETRIC), 10, "no", [APD, APD, APD, APD, "drop"]);
    }
}

#[test]
fn a_check_tries_every_stage_of_a_relay() {
    if !ready("check::a_check_tries_every_stage_of_a_relay") {
        return;
    }
    let bench = Bench::new(&cell(Nat::PORT_RESTRICTED));
    let stages = |report: &Value| -> Vec<(String, bool)> {
        let stages = report["turn"][0]["stages"].as_array().expect("there are stages").iter();
        let of = |stage: &Value| {
            (stage["stage"].as_str().unwrap_or_default().to_owned(), stage["ok"] == true)
        };
        stages.map(of).collect()
    };
    let good =
        |words: &[&str]| words.iter().map(|word| ((*word).to_owned(), true)).collect::<Vec<_>>();
    let (code, report) = bench.check_turn(&bench.turns());
    let all = ["connect", "tls", "challenge", "allocate", "permit", "echo"];
    assert_eq!((code, stages(&report)), (0, good(&all)), "{report:#}");
    let (code, report) = bench.check_turn(&format!("turn:{}", bench.at[0]));
    assert_eq!((code, stages(&report)), (0, good(&all[2..])), "{report:#}");
}

/// A router that speaks NAT-PMP and says that it is behind a carrier's NAT.
#[test]
fn a_second_nat_shows_where_the_router_tells_its_address() {
    if !ready("check::a_second_nat_shows_where_the_router_tells_its_address") {
        return;
    }
    // This one lets in what is for itself.
    let inner = Nat { poisoned: true, ..Nat::PORT_RESTRICTED };
    let double = Cell { outer: [Some(Nat::PORT_RESTRICTED), None], ..cell(inner) };
    let bench = Bench::new(&double);
    let router =
        bench.lab.nat(0).run(|| UdpSocket::bind("10.1.0.1:5351")).expect("it is its address");
    router.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout can be set");
    let is_over = AtomicBool::new(false);
    let (code, report) = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut request = [0; 1100];
            while !is_over.load(Ordering::Relaxed) {
                let Ok((_, from)) = router.recv_from(&mut request) else { continue };
                // RFC 6886 §3.2 and §3.5: the outer address, or "unsupported version".
                let answer: &[u8] = match request[..2] {
                    [0, 0] => &[0, 128, 0, 0, 0, 0, 0, 9, 100, 64, 1, 2],
                    _ => &[0, 128, 0, 1, 0, 0, 0, 9],
                };
                let _ = router.send_to(answer, from);
            }
        });
        let checked = bench.check_stun();
        is_over.store(true, Ordering::Relaxed);
        checked
    });
    let said = &report["port-mapping"];
    assert_eq!((code, &said["gateway"]), (0, &"10.1.0.1".into()), "{report:#}");
    assert_eq!(said["nat-pmp"]["external"], "100.64.1.2", "{report:#}");
    assert_eq!(
        (&said["pcp"]["answer"], &said["upnp"]["answer"]),
        (&"silent".into(), &"silent".into())
    );
    assert!(report["verdict"]["warnings"].to_string().contains("two NATs"), "{report:#}");
}

#[test]
#[ignore = "takes minutes: every profile"]
fn check_profiles_of_udp_and_tcp() {
    if !ready("check::check_profiles_of_udp_and_tcp") {
        return;
    }
    expect(&cell(Nat::FULL_CONE), 0, "yes", [EI, EI, EI, EI, "pass"]);
    expect(&cell(ADDRESS_RESTRICTED), 0, "yes", [EI, AD, EI, AD, "drop"]);
    expect(&cell(Nat::PORT_RESTRICTED), 0, "yes", [EI, APD, EI, APD, "drop"]);
    expect(&cell(Nat::SYMMETRIC), 10, "no", [APD, APD, APD, APD, "drop"]);
    expect(&cell(Nat::RESETTING), 0, "yes", [EI, APD, EI, APD, "reset"]);
    let double = Cell { outer: [Some(Nat::PORT_RESTRICTED), None], ..cell(Nat::FULL_CONE) };
    expect(&double, 0, "yes", [EI, APD, EI, APD, "drop"]);
    let wall = Cell { family: Family::V6, ..Cell::new([Nat::FIREWALL; 2]) };
    expect(&wall, 0, "yes", [EI, APD, EI, APD, "drop"]);
    expect(&cell(NO_UDP), 11, "yes", ["unknown", "unknown", EI, APD, "drop"]);
}

#[test]
#[ignore = "takes minutes: every profile"]
fn check_profiles_of_servers() {
    if !ready("check::check_profiles_of_servers") {
        return;
    }
    let bench = Bench::new(&cell(ONLY_443));
    let (code, report) = bench.check_turn(&bench.turns());
    assert_eq!((code, &report["verdict"]["direct"]), (11, &"no".into()), "{report:#}");
    println!("only 443: {}", report["verdict"]["text"]);

    let bench = Bench::new(&cell(Nat::PORT_RESTRICTED));
    let (code, report) = bench.check(&["--stun", "stun:server.example.org"]);
    assert_eq!(code, 13, "{report:#}");
    let turn = bench.turns();
    let certificate = bench.certificate.display().to_string();
    let wrong = ["--turn", &turn, "--user", USER, "--pass", "a guess", "--ca", &certificate];
    for options in [&wrong[..], &[&["--stun", &bench.stun()], &wrong[..]].concat()] {
        let (code, report) = bench.check(options);
        assert_eq!(code, 12, "{report:#}");
        let failed = report["turn"][0]["stages"].as_array().and_then(|stages| stages.last());
        let failed = failed.expect("there are stages");
        assert_eq!((&failed["stage"], &failed["code"]), (&"allocate".into(), &401.into()));
    }
    let (code, report) = bench.check(&["--turn", &turn, "--user", USER]);
    assert_eq!(code, 17, "nobody trusts it: {report:#}");
    let nobody = SocketAddr::new(bench.at[0].ip(), 9).to_string();
    let (code, report) = bench.check(&["--stun", &format!("stun:{nobody}")]);
    assert_eq!(code, 18, "{report:#}");
    drop(bench);

    let bench = Bench::expired(&cell(Nat::PORT_RESTRICTED));
    let (code, report) = bench.check_turn(&bench.turns());
    assert_eq!(code, 17, "{report:#}");
    assert!(report["turn"][0].to_string().contains("expired"), "{report:#}");
}

/// A fifth of the frames is lost each way.
#[test]
#[ignore = "takes minutes: every profile with loss"]
fn check_takes_no_loss_for_a_no() {
    if !ready("check::check_takes_no_loss_for_a_no") {
        return;
    }
    for (nat, truth) in [
        (Nat::FULL_CONE, [EI, EI, EI, EI]),
        (ADDRESS_RESTRICTED, [EI, AD, EI, AD]),
        (Nat::PORT_RESTRICTED, [EI, APD, EI, APD]),
        (Nat::SYMMETRIC, [APD, APD, APD, APD]),
    ] {
        let cell = Cell { loss: 0.2, rtt: Duration::from_millis(20), ..cell(nat) };
        let bench = Bench::new(&cell);
        for round in 0..3 {
            let (code, report) = bench.check_stun();
            let found = behavior(&report);
            for (found, truth) in found.iter().zip(truth) {
                let is_part = *found == "dependent" && truth != EI;
                assert!(*found == truth || *found == "unknown" || is_part, "{cell}: {report:#}");
            }
            let expected: &[i32] = if truth[0] == EI { &[0] } else { &[0, 10] };
            assert!(expected.contains(&code), "{cell}: {report:#}");
            println!("{cell}, round {round}: exit {code}, {found:?}");
        }
    }
}
