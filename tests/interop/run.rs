//! One negotiation with a foreign agent, and the line that says how it went.

use std::net::IpAddr;

use serde_json::json;

use crate::harness::namespace::{Namespace, enter};
use crate::harness::peers::Implementation::{Aioice, Floe};
use crate::harness::peers::{Exchange, Implementation, Opener, Options, Over, Role};
use crate::harness::session::{Session, Side};

/// Over 127.0.0.1; the first of `agents` controls.
pub(crate) fn over_loopback(agents: [Implementation; 2], options: &Options) {
    if agents.into_iter().all(Implementation::available) {
        let options = Options { loopback: true, ..options.clone() };
        negotiate(agents, &options, [None, None]);
    }
}

/// Every way to exchange candidates.
pub(crate) const EXCHANGES: [Exchange; 3] =
    [Exchange::FullTrickle, Exchange::HalfTrickle, Exchange::Complete];

/// Over a link between two hosts, for every way to exchange candidates.
pub(crate) fn each_exchange(test: &str, agents: [Implementation; 2], options: &Options) {
    let Some(hosts) = two_hosts(test, agents) else { return };
    for exchange in EXCHANGES {
        let options = Options { exchange, ..options.clone() };
        negotiate(agents, &options, hosts.each_ref().map(Some));
    }
}

/// Two hosts on one link, with IPv4 and IPv6 addresses, in the run inside the
/// namespaces of `test`.
pub(crate) fn two_hosts(test: &str, agents: [Implementation; 2]) -> Option<[Namespace; 2]> {
    if !agents.into_iter().all(Implementation::available) || !enter(test) {
        return None;
    }
    let hosts = [Namespace::new("host-1"), Namespace::new("host-2")];
    hosts[0].connect("eth0", &hosts[1], "eth0");
    for (host, last) in hosts.iter().zip(1..) {
        host.ip(&format!("address add 10.0.0.{last}/24 dev eth0"));
        host.ip(&format!("address add fd00::{last}/64 dev eth0 nodad"));
        // For multicast; nothing is behind it.
        host.ip("route add default dev eth0");
    }
    Some(hosts)
}

/// Starts both agents and passes their lines on as `options` ask.
pub(crate) fn start(
    agents: [Implementation; 2],
    options: &Options,
    hosts: [Option<&Namespace>; 2],
) -> Session {
    let [first, second] = agents.map(Implementation::name);
    let [controlling, controlled] =
        [(agents[0], true), (agents[1], false)].map(|(agent, first)| {
            let controlling = options.conflict.map_or(first, |role| role == Role::Controlling);
            agent.command(&Options { controlling, ..options.clone() })
        });
    let mut session =
        Session::start([(first, controlling, hosts[0]), (second, controlled, hosts[1])]);
    session.pass_complete_lists(options.exchange.complete());
    session.forward();
    session
}

/// Connected, completed, on one pair, data both ways on every component, and
/// closed.
pub(crate) fn negotiate(
    agents: [Implementation; 2],
    options: &Options,
    hosts: [Option<&Namespace>; 2],
) {
    let session = connect(agents, options, hosts);
    let codes = exit_codes(&session, agents);
    session.close_with(codes);
    record(agents, options, "no", "both ways");
}

/// The same, up to the data.
pub(crate) fn connect(
    agents: [Implementation; 2],
    options: &Options,
    hosts: [Option<&Namespace>; 2],
) -> Session {
    let components = options.components.unwrap_or(1);
    let mut session = start(agents, options, hosts);
    session.until_connected();
    session.until_completed();
    // aioice nominates with every check and keeps the pair that was answered
    // last, where RFC 5245 has both sides keep the best of them.
    let aioice_may_control =
        agents[0] == Aioice || (options.conflict.is_some() && agents[1] == Aioice);
    if aioice_may_control {
        session.until("the selected pairs", |sides| {
            sides.iter().all(|side| side.selected.len() == usize::from(components))
        });
    } else {
        until_same_pairs(&mut session, components);
    }
    assert_transport(&session, agents, options.over);
    assert_relayed(&session, agents, options);
    session.exchange(components.into(), &payloads(agents, options.over));
    session.sides.iter().for_each(assert_no_errors);
    session
}

/// No `error` line, but for candidates with link-local addresses: libnice has
/// them for TCP, and this agent takes them from nobody.
pub(crate) fn assert_no_errors(side: &Side) {
    let mut errors = side.errors.iter().filter(|line| !line.contains("refused: link-local"));
    assert!(errors.next().is_none(), "{:?}", side.errors);
}

/// Waits until both have selected the same pair for every component.
pub(crate) fn until_same_pairs(session: &mut Session, components: u16) {
    session.until("the same selected pairs", |[one, other]| {
        (1..=u64::from(components)).all(|component| same_pair(one, other, component))
    });
}

fn same_pair(one: &Side, other: &Side, component: u64) -> bool {
    let (Some(one), Some(other)) = (one.selected.get(&component), other.selected.get(&component))
    else {
        return false;
    };
    let ends = |(local, remote): &(String, String)| [address(local), address(remote)];
    let [near, far] = ends(other);
    ends(one) == [far, near]
}

/// This agent's selected pairs must have the transport that is asked for, and
/// their connections must have been opened by the right side.
pub(crate) fn assert_transport(session: &Session, agents: [Implementation; 2], over: Over) {
    let floes = agents.iter().zip(&session.sides).filter(|(agent, _)| **agent == Floe);
    for (local, remote) in floes.flat_map(|(_, side)| side.selected.values()) {
        let types = (tcp_type(local), tcp_type(remote));
        let right = match over {
            Over::Udp | Over::UdpThoughTcpIsOffered => types == (None, None),
            Over::Tcp(Opener::Floe) => types == (Some("active"), Some("passive")),
            Over::Tcp(Opener::Peer) => types == (Some("passive"), Some("active")),
            Over::Tcp(Opener::Either) => types.0.is_some() && types.1.is_some(),
            Over::Tcp(Opener::AtOnce) => types == (Some("so"), Some("so")),
            Over::Both => types.0.is_some() == types.1.is_some(),
        };
        assert!(right, "{local} with {remote}, and not over {}", over.name());
    }
}

/// Who is to have nothing but relayed candidates must have at least one and
/// have selected no other.
pub(crate) fn assert_relayed(session: &Session, agents: [Implementation; 2], options: &Options) {
    let Some(relay) = &options.relay else { return };
    for (agent, side) in agents.into_iter().zip(&session.sides) {
        if relay.whose.is(agent == Floe) {
            let selected = side.selected.values().map(|(local, _)| local);
            let known: Vec<_> = side.candidates.iter().chain(selected).collect();
            assert!(!side.candidates.is_empty(), "it has told no candidate");
            assert!(known.iter().all(|one| is_relayed(one)), "{known:?}");
        } else {
            assert!(!side.candidates.iter().any(|one| is_relayed(one)), "{:?}", side.candidates);
        }
    }
}

fn is_relayed(candidate: &str) -> bool {
    candidate.contains(" typ relay ") || candidate.ends_with(" typ relay")
}

/// How the processes will end: `ice-probe` tells whether a relay is the only
/// way. Whose candidate a relayed one is it does not know where the peer's
/// checks were quicker than its signalling.
pub(crate) fn exit_codes(session: &Session, agents: [Implementation; 2]) -> [i32; 2] {
    const ONLY_BY_RELAY: i32 = 10;
    [0, 1].map(|who| {
        let mut ends = session.sides[who].selected.values().flat_map(|(one, other)| [one, other]);
        let by_relay = agents[who] == Floe && ends.any(|end| is_relayed(end));
        if by_relay { ONLY_BY_RELAY } else { 0 }
    })
}

/// The type of a TCP candidate (RFC 6544 §4.5).
fn tcp_type(candidate: &str) -> Option<&str> {
    let mut words = candidate.split_whitespace().skip(2);
    let is_tcp = words.next()?.eq_ignore_ascii_case("tcp");
    let value = words.skip_while(|word| *word != "tcptype").nth(1)?;
    is_tcp.then_some(value)
}

/// Where a candidate line says that it is.
pub(crate) fn address(candidate: &str) -> Option<(IpAddr, u16)> {
    let mut words = candidate.split_whitespace().skip(4);
    words.next()?.parse().ok().zip(words.next()?.parse().ok())
}

/// Prints what `tests/interop/table` makes a table of. Called when all of it
/// has happened.
pub(crate) fn record(agents: [Implementation; 2], options: &Options, restart: &str, data: &str) {
    let [controlling, controlled] = agents;
    let (peer, role) =
        if controlling == Floe { (controlled, "controlled") } else { (controlling, "controlling") };
    let object = json!({
        "peer": peer.name(),
        "version": peer.version(),
        "role": role,
        "against": if controlling == Floe { controlling } else { controlled }.name(),
        "over": options.over.name(),
        "exchange": options.exchange.name(),
        "components": options.components.unwrap_or(1),
        "mdns": options.mdns,
        "relayed": options.relay.as_ref().map(|relay| [relay.whose.name(), relay.way()]),
        "restart": restart,
        "data": data,
    });
    println!("interop: {object}");
}

/// What is sent; over TCP what no datagram could carry unbroken, and with this
/// agent on both ends nothing at all too.
pub(crate) fn payloads(agents: [Implementation; 2], over: Over) -> Vec<Vec<u8>> {
    let mut payloads =
        vec![b"hello".to_vec(), "ice \u{2744}".into(), (0..=255).collect(), vec![b'x'; 1_200]];
    // pion reads no more than 8,192 bytes.
    payloads.extend(over.is_tcp().then(|| vec![b'y'; 8_000]));
    // The others swallow it.
    if agents == [Floe, Floe] {
        payloads.push(Vec::new());
    }
    payloads
}
