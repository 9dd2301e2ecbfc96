//! The command line.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Parser, Subcommand, ValueEnum};
use floe::agent::{StunServer, Transports, TurnServer, TurnTransport};
use floe::check::Role;
use floe::driver::UriRule;
use serde_json::{Value, json};

use crate::check;
use crate::connect;
use crate::exit::{Exit, Failure};
use crate::explain;
use crate::manual;
use crate::reach::ReachOptions;
use crate::rendezvous::RendezvousOptions;
use crate::schema;
use crate::serve;
use crate::turn::TurnOptions;

/// Says why two machines connect, or do not: ICE (RFC 8445) on the command line.
#[derive(Debug, Parser)]
#[command(
    name = "ice-probe",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}\n\n{}", Exit::table())
)]
pub(crate) struct Args {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Say more on stderr; twice for every packet
    #[arg(short, long, global = true, display_order = 900, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Say nothing on stderr but errors
    #[arg(short, long, global = true, display_order = 901, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
}

const EXAMPLES: &str = "Examples:
  ice-probe demo
  ice-probe stdio --controlling --stun stun:192.0.2.1
  ice-probe check --stun stun:192.0.2.1
  ice-probe serve

`ice-probe COMMAND --help` shows the options and examples of a command.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Look at this machine's network: what it lets happen, and why
    ///
    /// Says whether direct connections are likely and why, then how the NAT maps and filters UDP
    /// and TCP (RFC 5780), how each stage of a TURN server goes, and what to expect with peers
    /// behind other NATs.
    #[command(after_help = check::EXAMPLES)]
    Check(check::Options),
    /// Connect two agents on this machine and show what happens
    ///
    /// Starts a STUN server on loopback and two agents that gather candidates, check the
    /// pairs, select one and send data both ways: over UDP, over TCP from one side to the
    /// other, and over TCP opened from both sides at once. The last needs a delay between the
    /// two; where the system lets anybody make network namespaces, the demo has two hosts
    /// there, each behind a NAT. Needs nothing to be set up.
    #[command(after_help = DEMO_EXAMPLES)]
    Demo(Demo),
    /// Run an agent as a filter: JSON Lines in and out
    ///
    /// Prints what the peer must know and reads what the peer said, one JSON object a line.
    /// Carry the lines between two of them, by whatever means, and they connect.
    #[command(after_help = STDIO_EXAMPLES)]
    Stdio(Stdio),
    /// Run a STUN and TURN server (UDP, TCP, TLS) and a rendezvous
    ///
    /// Answers Binding requests (RFC 8489), relays for the user (RFC 8656), is where two sides of
    /// `ice-probe connect` find each other, and prints the URIs to use. Relays to public addresses and to its other clients, and nowhere else unless it is
    /// allowed to. Ctrl-C ends it.
    #[command(after_help = serve::EXAMPLES)]
    Serve(serve::Options),
    /// Connect to the other machine that has the same code, and talk
    ///
    /// Meets the other side at a rendezvous, proves that both have the code, finds a path between
    /// the two, and encrypts what goes over it: what is typed or piped, a file, or a test of the
    /// speed. The rendezvous learns neither the code's secret nor anything that is said.
    #[command(after_help = connect::EXAMPLES)]
    Connect(Box<connect::Options>),
    /// Say what happened: from an event log, or from pasted candidates
    ///
    /// Reads what `--log FILE` wrote and says how it ended and why, what to try, which checks
    /// were sent, why each pair lost and what became of each TCP connection. Of a session
    /// description, or of candidate lines, it says what each candidate is, what pairs with what
    /// and what is missing.
    #[command(after_help = explain::EXAMPLES)]
    Explain(explain::Options),
    /// Print the completions of a shell
    #[command(after_help = manual::COMPLETIONS_EXAMPLES)]
    Completions(manual::Completions),
    /// Print a manual page
    #[command(after_help = manual::MAN_EXAMPLES)]
    Man(manual::Man),
    /// Print the JSON Schema of an output
    #[command(after_help = schema::EXAMPLES)]
    Schema(schema::Options),
}

const DEMO_EXAMPLES: &str = "Examples:
  ice-probe demo
  ice-probe demo --json
  ice-probe demo --transport tcp-so
  ice-probe demo --log demo.jsonl --ipv4-only";

const STDIO_EXAMPLES: &str = "Examples:
  ice-probe stdio --controlling
  ice-probe stdio --controlled --stun stun:192.0.2.1:3478 --stun 'stun:[2001:db8::1]'
  ice-probe stdio --controlling --transport tcp
  ice-probe stdio --controlling --ports 50000-50100 --log agent.jsonl
  ice-probe stdio --controlled --turn turns:turn.example.org --user me --pass-file secret.txt
  ice-probe stdio --secret-file secret.txt --peer 192.0.2.7

The first line out is this side's credentials; candidates follow as they are found. Give the
peer's lines in, then {\"type\":\"send\",\"text\":\"hello\"} to send and {\"type\":\"close\"} to end.

With --secret-file nothing has to be carried: both sides have a file with the same secret, know
each other's public address, and have clocks that are right to some seconds.";

#[derive(Debug, clap::Args)]
pub(crate) struct Demo {
    #[command(flatten)]
    pub(crate) shared: Shared,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Be the program inside the namespaces that the demo made.
    #[cfg(target_os = "linux")]
    #[arg(long, hide = true)]
    pub(crate) inside: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Stdio {
    #[command(flatten)]
    pub(crate) shared: Shared,
    #[command(flatten)]
    pub(crate) rendezvous: RendezvousOptions,
}

/// Seconds until connected, by default.
const TIMEOUT: u32 = 45;

/// The options that `connect`, `stdio` and `demo` share.
#[derive(Debug, clap::Args)]
pub(crate) struct Shared {
    /// Be the controlling agent, the one that nominates
    #[arg(long, conflicts_with = "controlled")]
    controlling: bool,
    /// Be the controlled agent
    #[arg(long)]
    controlled: bool,
    /// STUN servers.
    #[arg(long, value_name = "URI", help = "STUN server, as stun:HOST[:PORT]; repeatable")]
    stun: Vec<String>,
    #[command(flatten)]
    turn: TurnOptions,
    #[command(flatten)]
    pub(crate) reach: ReachOptions,
    /// Candidate transports, a comma list out of
    /// udp,tcp-active,tcp-passive,tcp-so, or tcp for all three
    /// [default: udp,tcp]
    #[arg(long, value_name = "LIST", value_delimiter = ',', hide_possible_values = true)]
    transport: Vec<Transport>,
    /// Candidate types, a comma list out of host,srflx,relay; relay alone
    /// sends nothing but to the TURN servers [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',', hide_possible_values = true)]
    candidates: Vec<CandidateType>,
    /// Use only this interface; repeatable
    #[arg(long, value_name = "NAME")]
    pub(crate) interface: Vec<String>,
    /// Use only this local address; repeatable
    #[arg(long, value_name = "IP")]
    pub(crate) bind: Vec<IpAddr>,
    /// Bind to ports in this range
    #[arg(long, value_name = "LOW-HIGH", value_parser = ports)]
    pub(crate) ports: Option<RangeInclusive<u16>>,
    /// Use loopback addresses too
    #[arg(long)]
    pub(crate) include_loopback: bool,
    /// Use IPv4 only
    #[arg(long, conflicts_with = "ipv6_only")]
    pub ipv4_only: bool,
    /// Use IPv6 only
    #[arg(long)]
    pub ipv6_only: bool,
    /// Number of components
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) components: u16,
    /// Seconds until it must be connected [default: 45]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    timeout: Option<u32>,
    /// Send no data before a pair is selected
    #[arg(long)]
    pub(crate) wait_selected: bool,
    /// Nomination policy: fast takes the first good pair, best waits up to
    /// 3 seconds for a better one
    #[arg(long, value_name = "POLICY", default_value = "fast", hide_possible_values = true)]
    pub(crate) policy: Policy,
    /// Write the event log, JSON Lines, to FILE
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "kebab-case")]
enum Transport {
    Udp,
    TcpActive,
    TcpPassive,
    TcpSo,
    Tcp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CandidateType {
    Host,
    Srflx,
    Relay,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Policy {
    Fast,
    Best,
}

impl Shared {
    /// The role that was asked for.
    pub(crate) fn role(&self) -> Option<Role> {
        match (self.controlling, self.controlled) {
            (true, _) => Some(Role::Controlling),
            (_, true) => Some(Role::Controlled),
            _ => None,
        }
    }

    /// How long it may take until connected.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout_or(TIMEOUT)
    }

    /// How long it may take until connected, with another default.
    pub(crate) fn timeout_or(&self, default: u32) -> Duration {
        Duration::from_secs(self.timeout.unwrap_or(default).into())
    }

    /// What of this concerns agents that run in another network, where they
    /// may take `limit` to connect at most.
    #[cfg(target_os = "linux")]
    pub(crate) fn for_inside(&self, limit: Duration) -> Vec<String> {
        let mut options = vec![
            format!("--components={}", self.components),
            format!("--timeout={}", self.timeout().min(limit).as_secs()),
            format!("--policy={}", if self.policy == Policy::Fast { "fast" } else { "best" }),
        ];
        options.extend(self.role().map(|role| format!("--{role}")));
        options
    }

    /// Whether the user said which addresses to use.
    pub(crate) fn chooses_addresses(&self) -> bool {
        !self.bind.is_empty() || !self.interface.is_empty()
    }

    /// Whether host candidates are wanted.
    pub(crate) fn wants_host(&self) -> bool {
        self.wants(CandidateType::Host)
    }

    /// Whether server-reflexive candidates are wanted.
    pub(crate) fn wants_server_reflexive(&self) -> bool {
        self.wants(CandidateType::Srflx)
    }

    /// Whether relayed candidates are wanted.
    pub(crate) fn wants_relayed(&self) -> bool {
        self.wants(CandidateType::Relay)
    }

    fn wants(&self, kind: CandidateType) -> bool {
        self.candidates.is_empty() || self.candidates.contains(&kind)
    }

    /// The STUN servers.
    pub(crate) fn stun_servers(&self) -> Result<Vec<StunServer>, Failure> {
        let parse = |text: &String| {
            text.parse::<StunServer>().map_err(|error| {
                let later =
                    if error.rule() == UriRule::Transport { " (not supported yet)" } else { "" };
                Failure::new(Exit::Usage, format!("--stun: {error}{later}"))
            })
        };
        self.stun.iter().map(parse).collect()
    }

    /// The TURN servers.
    pub(crate) fn turn_servers(&self) -> Result<Vec<TurnServer>, Failure> {
        let servers = self.turn.servers()?;
        let wanted = self.transports();
        let relays_tcp = |server: &TurnServer| {
            (wanted.tcp_active || wanted.tcp_passive) && server.transport != TurnTransport::Udp
        };
        if self.wants_relayed()
            && !wanted.udp
            && let Some(useless) = servers.iter().find(|server| !relays_tcp(server))
        {
            let sentence = format!(
                "--turn {} relays nothing without udp in --transport: TCP is relayed (RFC 6062) \
                 by turn:…?transport=tcp or turns:, for tcp, tcp-active or tcp-passive",
                useless.uri
            );
            return Err(Failure::new(Exit::Usage, sentence));
        }
        Ok(servers)
    }

    /// How many servers were given.
    pub(crate) fn servers(&self) -> usize {
        self.stun.len() + self.turn.len()
    }

    /// The options as the event log's header shows them.
    pub(crate) fn for_log(&self) -> Value {
        json!({
            "stun": self.stun,
            "turn": self.turn.uris(),
            "ca": self.reach.files(),
            "proxy": self.reach.proxy(),
            "interface": self.interface,
            "bind": self.bind,
            "ports": self.ports.as_ref().map(|ports| [*ports.start(), *ports.end()]),
            "include-loopback": self.include_loopback,
            "host": self.wants_host(),
            "transports": self.transports(),
            "srflx": self.wants_server_reflexive(),
            "relay": self.wants_relayed(),
            "ipv4": !self.ipv6_only,
            "ipv6": !self.ipv4_only,
            "components": self.components,
            "timeout": self.timeout().as_secs(),
            "wait-selected": self.wait_selected,
        })
    }

    /// The transports of candidates.
    pub(crate) fn transports(&self) -> Transports {
        if self.transport.is_empty() {
            return Transports::ALL;
        }
        let has = |wanted| self.transport.contains(&wanted);
        let tcp = has(Transport::Tcp);
        Transports {
            udp: has(Transport::Udp),
            tcp_active: tcp || has(Transport::TcpActive),
            tcp_passive: tcp || has(Transport::TcpPassive),
            tcp_so: tcp || has(Transport::TcpSo),
        }
    }

    /// Refuses what can come to nothing.
    pub(crate) fn supported(&self) -> Result<(), Failure> {
        if self.candidates.iter().all(|kind| *kind == CandidateType::Relay)
            && !self.candidates.is_empty()
            && self.turn.len() == 0
        {
            return Err(Failure::new(Exit::Usage, "--candidates relay needs a --turn server"));
        }
        Ok(())
    }
}

/// LOW-HIGH.
pub(crate) fn ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let rule = || format!("`{text}` is not LOW-HIGH with 1 <= LOW <= HIGH <= 65535");
    let (low, high) = text.split_once('-').ok_or_else(rule)?;
    match (low.parse::<u16>(), high.parse::<u16>()) {
        (Ok(low @ 1..), Ok(high)) if low <= high => Ok(low..=high),
        _ => Err(rule()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn shared(options: &[&str]) -> Shared {
        let words = ["ice-probe", "stdio"].iter().chain(options);
        match Args::try_parse_from(words).unwrap().command {
            Command::Stdio(stdio) => stdio.shared,
            _ => unreachable!("stdio was asked for"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn defaults_are_the_documented_ones() {
        let shared = shared(&["--controlled"]);
        assert_eq!(shared.role(), Some(Role::Controlled));
        assert_eq!(shared.timeout(), Duration::from_secs(45));
        assert_eq!(shared.components, 1);
        assert!(shared.wants_host() && shared.wants_server_reflexive());
        assert!(shared.supported().is_ok());
    }

    #[test]
    fn relays_alone_need_a_server() {
        let failure = shared(&["--candidates", "relay"]).supported().unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(shared(&["--candidates", "host,srflx,relay"]).supported().is_ok());
        assert!(shared(&["--transport", "udp,tcp"]).supported().is_ok());
        assert!(shared(&["--policy", "best"]).supported().is_ok());
    }

    #[test]
    fn port_ranges() {
        assert_eq!(ports("5000-5010"), Ok(5000..=5010));
        assert_eq!(ports("7-7"), Ok(7..=7));
        for text in ["", "5", "0-5", "9-5", "5-65536", "a-b", "5-"] {
            assert!(ports(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_wrong_server_is_wrong_usage() {
        let failure = shared(&["--stun", "stun:[::1"]).stun_servers().unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.message.contains("stun:[::1"), "{}", failure.message);
    }
}
