//! The options of `check`.

use std::net::IpAddr;

use floe::agent::{StunServer, TurnServer};

use crate::exit::{Exit, Failure};
use crate::reach::ReachOptions;
use crate::turn::TurnOptions;

pub(crate) const EXAMPLES: &str = "Examples:
  ice-probe check --stun stun:stun.example.org
  ice-probe check --stun stun:192.0.2.1 --stun stun:192.0.2.2 --json
  ice-probe check --turn turns:turn.example.org --user me --pass-file secret.txt
  ice-probe check --stun stun:stun.example.org --watch 60

A server with two addresses (RFC 5780; `ice-probe serve` with two --listen) tells how
the NAT filters, too; without one, give two servers, and their answers are compared.
Nobody outside is asked who was not named; the router is, whether it maps ports. A
check takes some 10 seconds.

What is not known is called unknown. Where every STUN server failed, or every TURN
server, the exit code says why; one that failed beside another is a warning.";

/// Seconds from one check to the next, by default.
const WATCH: &str = "30";

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// STUN servers.
    #[arg(
        long,
        value_name = "URI",
        help = "STUN server, as stun:HOST[:PORT], asked over UDP and TCP, or over TCP alone \
                with ?transport=tcp; repeatable"
    )]
    stun: Vec<String>,
    #[command(flatten)]
    turn: TurnOptions,
    #[command(flatten)]
    pub(crate) reach: ReachOptions,
    /// Use only this interface; repeatable
    #[arg(long, value_name = "NAME")]
    pub(crate) interface: Vec<String>,
    /// Use only this local address; repeatable
    #[arg(long, value_name = "IP")]
    pub(crate) bind: Vec<IpAddr>,
    /// Do not ask the router whether it maps ports (PCP, NAT-PMP, UPnP)
    #[arg(long)]
    pub(crate) no_port_mapping: bool,
    /// Use IPv4 only
    #[arg(long, conflicts_with = "ipv6_only")]
    pub(crate) ipv4_only: bool,
    /// Use IPv6 only
    #[arg(long)]
    pub(crate) ipv6_only: bool,
    /// Check again every so many seconds, and print what has changed; Ctrl-C
    /// ends it
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        default_missing_value = WATCH,
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    pub(crate) watch: Option<u64>,
    /// Print one JSON object, and with --watch one more for each change
    #[arg(long)]
    pub(crate) json: bool,
}

impl Options {
    /// The STUN servers.
    pub(crate) fn stun_servers(&self) -> Result<Vec<StunServer>, Failure> {
        let parse = |text: &String| {
            let server = text.parse::<StunServer>();
            server.map_err(|error| Failure::new(Exit::Usage, format!("--stun: {error}")))
        };
        self.stun.iter().map(parse).collect()
    }

    /// The TURN servers.
    pub(crate) fn turn_servers(&self) -> Result<Vec<TurnServer>, Failure> {
        self.turn.servers()
    }
}
