//! The agents under test and the foreign ones, as commands to run.

use std::path::PathBuf;
use std::process::Command;

use super::programs::{self, Program, built, source};
use super::requirement::{asked_for, lacking};

/// An ICE implementation that speaks the JSON Lines of `ice-probe stdio`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Implementation {
    /// This package.
    Floe,
    /// Debian's libnice.
    Libnice,
    /// aioice, from PyPI.
    Aioice,
    /// Debian's pion/ice, where `FLOE_PEERS` names it.
    Pion,
    /// The crate rice-proto, where `FLOE_PEERS` names it.
    Rice,
    /// The crate webrtc-ice, where `FLOE_PEERS` names it.
    WebrtcIce,
    /// Chromium without a window, where `FLOE_PEERS` names it.
    Chromium,
}

/// The two roles (RFC 8445 §6.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Controlling,
    Controlled,
}

/// How candidates are exchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Exchange {
    /// Each as it is found (RFC 8838).
    #[default]
    FullTrickle,
    /// The controlling agent's all at once, the other's as they are found
    /// (RFC 8838 §16).
    HalfTrickle,
    /// All at once on both sides.
    Complete,
}

/// What the agents connect over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Over {
    /// UDP alone.
    #[default]
    Udp,
    /// UDP, though this agent and libnice offer TCP candidates too.
    UdpThoughTcpIsOffered,
    /// TCP alone.
    Tcp(Opener),
    /// Both, of this agent with itself.
    Both,
}

impl Over {
    /// TCP alone.
    pub(crate) fn is_tcp(self) -> bool {
        matches!(self, Self::Tcp(_))
    }

    /// In a word or two.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Udp | Self::UdpThoughTcpIsOffered => "UDP",
            Self::Tcp(Opener::Floe) => "TCP, floe opens",
            Self::Tcp(Opener::Peer) => "TCP, the peer opens",
            Self::Tcp(Opener::Either) => "TCP, either opens",
            Self::Tcp(Opener::AtOnce) => "TCP, both open",
            Self::Both => "UDP and TCP",
        }
    }
}

/// Who opens the TCP connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opener {
    /// This agent, which has active candidates only.
    Floe,
    /// The peer: this agent has passive candidates only.
    Peer,
    /// Both have candidates of every type that they know.
    Either,
    /// Both at once, which only this agent does.
    AtOnce,
}

/// Who has nothing but relayed candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relayed {
    /// This agent.
    Floe,
    /// The peer.
    Peer,
    /// Both.
    Both,
}

impl Relayed {
    /// In a word.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floe => "floe",
            Self::Peer => "the peer",
            Self::Both => "both",
        }
    }

    /// Whether it is this agent, or its peer.
    pub(crate) fn is(self, floe: bool) -> bool {
        self == Self::Both || (self == Self::Floe) == floe
    }
}

/// A TURN server, and whose only way it is.
#[derive(Clone, Debug)]
pub(crate) struct Relay {
    pub(crate) whose: Relayed,
    /// `ADDRESS:PORT`.
    pub(crate) server: String,
    /// The client speaks with it over TCP, not UDP.
    pub(crate) tcp: bool,
    pub(crate) user: &'static str,
    pub(crate) password: &'static str,
}

impl Relay {
    /// Its URI (RFC 7065).
    pub(crate) fn uri(&self) -> String {
        format!("turn:{}{}", self.server, if self.tcp { "?transport=tcp" } else { "" })
    }

    /// What the client speaks with it over.
    pub(crate) fn way(&self) -> &'static str {
        if self.tcp { "TCP" } else { "UDP" }
    }
}

/// How an agent is to run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// It takes the controlling role.
    pub(crate) controlling: bool,
    /// Both take this role instead, and have to settle it.
    pub(crate) conflict: Option<Role>,
    /// A STUN server, `ADDRESS:PORT`.
    pub(crate) stun: Option<String>,
    /// A TURN server for who has nothing but relayed candidates.
    pub(crate) relay: Option<Relay>,
    /// This agent's TURN servers.
    pub(crate) turn: Vec<Turn>,
    /// A certificate that this agent trusts, with TURN over TLS.
    pub(crate) ca: Option<PathBuf>,
    /// How many components, if not one.
    pub(crate) components: Option<u16>,
    /// Gather on 127.0.0.1 alone.
    pub(crate) loopback: bool,
    /// What the agents connect over.
    pub(crate) over: Over,
    /// How candidates are exchanged.
    pub(crate) exchange: Exchange,
    /// libnice waits for better pairs before it nominates.
    pub(crate) regular_nomination: bool,
    /// No IPv6 candidates.
    pub ipv4_only: bool,
    /// Chromium names its addresses `<uuid>.local`.
    pub(crate) mdns: bool,
    /// What Chromium is told to expect: the SHA-256 of a certificate.
    pub(crate) fingerprint: Option<String>,
}

/// A TURN server for an agent.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    pub(crate) uri: String,
    pub(crate) user: &'static str,
    pub(crate) password: &'static str,
}

impl Exchange {
    /// In a few words.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::FullTrickle => "full trickle",
            Self::HalfTrickle => "half trickle",
            Self::Complete => "complete lists",
        }
    }

    /// Whether the controlling and the controlled agent's lines wait until
    /// all of their candidates are there.
    pub(crate) fn complete(self) -> [bool; 2] {
        match self {
            Self::FullTrickle => [false, false],
            Self::HalfTrickle => [true, false],
            Self::Complete => [true, true],
        }
    }
}

impl Implementation {
    /// The name to print.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floe => "floe",
            Self::Libnice => "libnice",
            Self::Aioice => "aioice",
            Self::Pion => "pion",
            Self::Rice => "rice",
            Self::WebrtcIce => "webrtc-ice",
            Self::Chromium => "chromium",
        }
    }

    /// The version that runs here, if it can be told.
    pub(crate) fn version(self) -> String {
        let version = match self {
            Self::Floe => Ok(env!("CARGO_PKG_VERSION").to_owned()),
            Self::Libnice => programs::libnice_version(),
            Self::Aioice => programs::aioice_version(),
            Self::Pion => programs::pion_version(),
            Self::Rice => programs::locked_version("rice-proto"),
            Self::WebrtcIce => programs::locked_version("webrtc-ice"),
            Self::Chromium => programs::chromium_version(),
        };
        version.unwrap_or_default()
    }

    /// Whether it has TCP candidates.
    fn has_tcp(self) -> bool {
        !matches!(self, Self::Aioice | Self::WebrtcIce)
    }

    /// Whether its old pair carries data while a restart goes on. The others
    /// close their sockets first.
    pub(crate) fn keeps_its_path(self) -> bool {
        !matches!(self, Self::Pion | Self::WebrtcIce)
    }

    /// Whether it has ICE restarts.
    pub(crate) fn restarts(self) -> bool {
        !matches!(self, Self::Aioice | Self::Rice)
    }

    /// Whether it can run here; what has to be built or installed for it is,
    /// at the first call, so call it outside the namespaces first.
    ///
    /// # Panics
    ///
    /// If `FLOE_PEERS` or `FLOE_REQUIRE` names it and it cannot be had.
    pub(crate) fn available(self) -> bool {
        match self {
            Self::Floe => true,
            Self::Libnice | Self::Aioice => {
                let program = self.program();
                if let Err(why) = &program {
                    lacking(self.name(), why);
                }
                program.is_ok()
            }
            Self::Pion | Self::Rice | Self::WebrtcIce | Self::Chromium => {
                let asked = asked_for(self.name());
                if asked && let Err(why) = self.program() {
                    panic!("{} is asked for by FLOE_PEERS, but {why}", self.name());
                }
                asked
            }
        }
    }

    /// The command that runs it as a filter.
    ///
    /// # Panics
    ///
    /// If it is not available, or cannot do what `options` ask.
    pub(crate) fn command(self, options: &Options) -> Command {
        let program = self.program().expect("it is available");
        let interpreter =
            if self == Self::Chromium { "python3".as_ref() } else { program.as_path() };
        let mut command = Command::new(interpreter);
        let over_tcp = options.over.is_tcp();
        assert!(self.has_tcp() || !over_tcp, "{} has no TCP", self.name());
        match self {
            Self::Floe => floe(&mut command, options),
            Self::Libnice => libnice(&mut command, options),
            Self::Aioice => {
                assert!(!options.loopback, "aioice takes no loopback address");
                command.arg(source("aioice_peer.py"));
                command.args(options.ipv4_only.then_some("--no-ipv6"));
            }
            Self::Chromium => {
                assert!(!options.loopback, "Chromium takes no loopback address");
                command.arg(source("chromium_peer.py")).arg("--browser").arg(&program);
                command.args(options.mdns.then_some("--mdns"));
                let fingerprint = options.fingerprint.iter();
                command.args(fingerprint.flat_map(|hash| ["--fingerprint", hash]));
                // For its profiles, should a killed script leave one behind.
                command.env("TMPDIR", built());
            }
            Self::Pion | Self::Rice | Self::WebrtcIce => {
                assert!(!options.loopback, "it gathers on other addresses than loopback");
                command.args(options.ipv4_only.then_some("--ipv4-only"));
                command.args(over_tcp.then_some("--only-tcp"));
            }
        }
        if !matches!(self, Self::Floe | Self::Aioice) && options.exchange == Exchange::Complete {
            command.arg("--no-trickle");
        }
        command.arg(if options.controlling { "--controlling" } else { "--controlled" });
        if let Some(components) = options.components {
            command.args(["--components", &components.to_string()]);
        }
        if let Some(relay) = &options.relay
            && relay.whose.is(self == Self::Floe)
        {
            command.args(["--turn", &relay.uri()]);
            command.args(["--user", relay.user, "--pass", relay.password]);
            if self == Self::Floe {
                command.args(["--candidates", "relay"]);
            }
        }
        if let Some(server) = &options.stun {
            let scheme = if self == Self::Floe { "stun:" } else { "" };
            command.args(["--stun", &format!("{scheme}{server}")]);
            if over_tcp || options.over == Over::Both {
                command.args(["--stun", &format!("stun:{server}?transport=tcp")]);
            }
        }
        command
    }

    /// The program to run, or the interpreter that runs it; Chromium's is
    /// started by its script.
    fn program(self) -> Program {
        match self {
            Self::Floe => Ok(env!("CARGO_BIN_EXE_ice-probe").into()),
            Self::Libnice => programs::libnice().clone(),
            Self::Aioice => programs::aioice().clone(),
            Self::Pion => programs::pion().clone(),
            Self::Rice => programs::rust("stdio_rice"),
            Self::WebrtcIce => programs::rust("stdio_webrtc_ice"),
            Self::Chromium => programs::chromium().clone(),
        }
    }
}

fn floe(command: &mut Command, options: &Options) {
    let transport = match options.over {
        Over::Udp => "udp",
        Over::UdpThoughTcpIsOffered | Over::Both => "udp,tcp",
        Over::Tcp(Opener::Floe) => "tcp-active",
        Over::Tcp(Opener::Peer) => "tcp-passive",
        Over::Tcp(Opener::Either) => "tcp",
        Over::Tcp(Opener::AtOnce) => "tcp-so",
    };
    command.args(["stdio", "--transport", transport]);
    if options.loopback {
        command.args(["--include-loopback", "--bind", "127.0.0.1"]);
    }
    command.args(options.ipv4_only.then_some("--ipv4-only"));
    for Turn { uri, user, password } in &options.turn {
        command.args(["--turn", uri, "--user", user, "--pass", password]);
    }
    if let Some(file) = &options.ca {
        command.arg("--ca").arg(file);
    }
}

fn libnice(command: &mut Command, options: &Options) {
    if options.loopback {
        command.args(["--bind", "127.0.0.1"]);
    }
    match options.over {
        Over::Udp => {}
        Over::UdpThoughTcpIsOffered | Over::Both => drop(command.arg("--tcp")),
        Over::Tcp(_) => drop(command.arg("--only-tcp")),
    }
    command.args(options.regular_nomination.then_some("--regular-nomination"));
}
