//! What to try.

use floe::candidate::{Candidate, Host, Kind, is_mdns_name};
use floe::check::FailReason;
use floe::gather::Cause;
use floe::net::NotConnected;

use super::super::{Found, Pair, Story};
use super::Ending;

/// What to try where it ended like this.
pub(super) fn of(story: &Story, ending: Ending) -> Vec<String> {
    if ending == Ending::Direct {
        return Vec::new();
    }
    let mut advice = Vec::new();
    let mut add = |holds: bool, text: &str| {
        if holds {
            advice.push(text.to_owned());
        }
    };
    signalling(story, ending, &mut add);
    servers(story, ending, &mut add);
    network(story, ending, &mut add);
    advice
}

fn signalling(story: &Story, ending: Ending, add: &mut impl FnMut(bool, &str)) {
    let is_open = matches!(ending, Ending::Failed | Ending::Undecided);
    add(
        is_open && (!story.knows_peer || story.theirs.is_empty()),
        "Look at the signalling: the peer's credentials and candidates have to be carried here, \
         and ours to the peer.",
    );
    add(
        is_open
            && !story.theirs.is_empty()
            && !story.pairs.is_empty()
            && story.checks_received == 0,
        "Look at the peer's log as well: it shows whether the peer has our candidates and whether \
         it sends checks.",
    );
    let wrong = |pair: &Pair| matches!(pair.lost, Some((_, FailReason::WrongIntegrity)));
    add(
        story.pairs.iter().any(wrong) || story.drops.contains_key("integrity"),
        "Exchange the credentials anew: one side uses a password of another session.",
    );
    let is_named = |found: &Found| matches!(&found.candidate.host, Host::Name(_));
    add(
        is_open && !story.theirs.is_empty() && story.theirs.iter().all(is_named),
        "The peer gave only names (.local), which resolve within its own network alone: give it a \
         STUN or TURN server, or let the page have microphone or camera permission.",
    );
}

fn servers(story: &Story, ending: Ending, add: &mut impl FnMut(bool, &str)) {
    let has = |found: &[Found], kind: Kind| found.iter().any(|f| f.candidate.kind == kind);
    let failed = |cause: Cause| story.servers.errors.iter().any(|error| error.cause == cause);
    let is_private = |found: &[Found]| !found.iter().any(|f| is_public(&f.candidate));
    let is_open = matches!(ending, Ending::Failed | Ending::Undecided);
    add(failed(Cause::Credentials), "Check the user and the password of the TURN server.");
    add(failed(Cause::Unresolved), "Check the server's name, and this machine's DNS.");
    add(failed(Cause::Tls), "Check the server's certificate, or give its root with --ca.");
    add(
        failed(Cause::NotReached),
        "A server was not reached: try it over TCP or TLS (`turn:HOST?transport=tcp`, \
         `turns:HOST`), since UDP may be blocked here.",
    );
    add(
        is_private(&story.ours) && !failed(Cause::NotReached),
        "This side has no public address to name: give a STUN server (--stun).",
    );
    add(
        !story.theirs.is_empty() && is_private(&story.theirs),
        "The peer named no public address: give it a STUN server.",
    );
    let relays = has(&story.ours, Kind::Relayed) || has(&story.theirs, Kind::Relayed);
    add(
        is_open && !relays,
        "Neither side has a relay: with a TURN server (--turn) on one side it connects wherever \
         that server is reached.",
    );
}

fn network(story: &Story, ending: Ending, add: &mut impl FnMut(bool, &str)) {
    let lost = |is: fn(FailReason) -> bool| {
        story.pairs.iter().any(|pair| pair.lost.is_some_and(|(_, reason)| is(reason)))
    };
    let relayed = ending == Ending::Relayed;
    let differs = lost(|reason| {
        use NotConnected::{MappingDiffers, Poisoned};
        matches!(reason, FailReason::NotConnected(MappingDiffers | Poisoned))
    });
    add(
        differs,
        "The NAT here gives each destination another port. IPv6 on both sides, or a NAT with \
         endpoint-independent mapping (RFC 4787), would connect directly.",
    );
    let has_udp = story.pairs.iter().any(|pair| pair.class.tcp_type().is_none());
    let has_tcp = story.pairs.iter().any(|pair| pair.class.tcp_type().is_some());
    add(
        (relayed || ending == Ending::Failed) && has_udp && !has_tcp,
        "Allow TCP candidates too (--transport udp,tcp): they pass where UDP is blocked.",
    );
    add(
        lost(|reason| matches!(reason, FailReason::Refused(_))),
        "The system reported errors for what was sent: look at this machine's firewall and routes.",
    );
    add(
        lost(|reason| matches!(reason, FailReason::NotConnected(NotConnected::RefusedNearby))),
        "Connections were refused near this machine: look at its firewall and at its router.",
    );
    add(
        lost(|reason| matches!(reason, FailReason::NotConnected(NotConnected::NoSimultaneousOpen))),
        "This system opens no connection from both ends at once: on Linux see \
         `ice-probe check`, or use active and passive TCP candidates.",
    );
    add(relayed && !differs, "`ice-probe check` on both machines shows which NAT is in the way.");
    add(
        ending == Ending::Lost,
        "Look at what happened at that moment: sleep, another network, or a NAT that forgets the \
         mapping. An ICE restart connects anew.",
    );
}

/// Whether others can reach it from another network, as far as its address
/// tells.
pub(crate) fn is_public(candidate: &Candidate) -> bool {
    match &candidate.host {
        Host::Ip(ip) => crate::explain::kinds::is_public(*ip),
        Host::Name(name) => !is_mdns_name(name),
    }
}
