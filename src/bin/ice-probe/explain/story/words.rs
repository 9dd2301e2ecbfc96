//! Reasons as sentences.

use floe::agent::StateReason;
use floe::check::FailReason;
use floe::net::{NotConnected, error_word};

/// Why a pair lost, in words that follow its number.
pub(crate) fn reason(reason: FailReason) -> String {
    match reason {
        FailReason::NoAnswer => "no check was ever answered".into(),
        FailReason::Refused(kind) => {
            format!("no answer, and the system reports an error for it: {}", error_word(kind))
        }
        FailReason::NotConnected(why) => not_connected(why),
        FailReason::WrongIntegrity => {
            "only answers with a wrong password came, as from another session".into()
        }
        FailReason::NotSymmetric => {
            "the answer came from, or to, another address than the check".into()
        }
        FailReason::ErrorResponse(code) => format!("the peer answered with the error {code}"),
        FailReason::RoleConflict => "both sides had the same role (487)".into(),
        FailReason::Superseded(by) => format!("pair {} was selected instead", by.0),
        FailReason::Limit => "it made room for pairs of higher priority".into(),
        FailReason::ListFailed => "another component could get no pair".into(),
        FailReason::ConsentExpired => {
            "it had worked, and then nothing was answered for 30 seconds".into()
        }
        FailReason::ConsentRevoked => "the peer wanted no more traffic on it (403)".into(),
        FailReason::Restarted => "ICE was restarted".into(),
        FailReason::AddressGone => "the address of this machine that it used is gone".into(),
        other => other.to_string(),
    }
}

fn not_connected(why: NotConnected) -> String {
    let words = match why {
        NotConnected::Silent => "no SYN was ever answered",
        NotConnected::Refused => "the connection was refused",
        NotConnected::RefusedNearby => {
            "the connection was refused near this machine: by its own NAT or firewall"
        }
        NotConnected::RefusedByPeer => "the peer, or a NAT or firewall near it, refused",
        NotConnected::HalfOpen => "the peer's SYN came, and what answered it was lost on the way",
        NotConnected::Ended => "the connection ended before it was of use",
        NotConnected::NotThePeer => "what answered there is not the peer",
        NotConnected::MappingDiffers => {
            "the NAT gives each destination another port, so that the peer aims at a wrong one"
        }
        NotConnected::Poisoned => {
            "a NAT has given the port another mapping towards this peer than towards the server"
        }
        NotConnected::NoSimultaneousOpen => {
            "this system does not open a connection from both ends at once"
        }
        NotConnected::RefusedByRelay => "the TURN server does not relay to that address",
        NotConnected::Limit => "there were as many connections as there may be",
        NotConnected::System(kind) => {
            return format!("the system refused to connect: {}", error_word(kind));
        }
        _ => return format!("there was no connection: {}", why.word()),
    };
    words.into()
}

/// Why a state was entered, in words.
pub(crate) fn state(reason: StateReason) -> String {
    let words = match reason {
        StateReason::ChecksStarted => "checks began",
        StateReason::ValidPairs => "every component has a pair that works",
        StateReason::Selected => "every component has its selected pair",
        StateReason::ConsentMissed => "the peer stopped answering",
        StateReason::ConsentRegained => "the peer answers again",
        StateReason::ConsentExpired => "the peer answered nothing for 30 seconds",
        StateReason::ConsentRevoked => "consent was revoked",
        StateReason::AllPairsFailed => "every pair failed",
        StateReason::NoPairs => "there was no pair to check",
        StateReason::Restarting => "ICE is being restarted, data goes the way of before",
        StateReason::Restarted => "ICE was restarted",
        StateReason::RestartFailed => "the restart led to nothing, the way of before works",
        StateReason::NetworkMoved => "this machine's network changed",
        StateReason::ConnectionLost => "the TCP connection of the selected pair ended",
        StateReason::Closed => "it was closed",
        other => return other.to_string(),
    };
    words.into()
}
