//! The agent's records in their two forms: JSON for the event log, a
//! sentence for the timeline.

use floe::agent::{Happened, LogRecord};
use serde_json::{Map, Value, json};

use crate::words;

/// The record as an event of the log, without its time.
pub(crate) fn to_json(record: &LogRecord) -> Map<String, Value> {
    let value = match &record.what {
        Happened::SocketOpened { base, local } => {
            json!({"ev":"socket-opened","base":base.0,"local":local})
        }
        Happened::SocketRefused { base, error } => {
            json!({"ev":"socket-refused","base":base.0,"error":error})
        }
        Happened::SocketClosed { base } => json!({"ev":"socket-closed","base":base.0}),
        Happened::LocalCandidate { stream, candidate } => {
            json!({"ev":"local-candidate","stream":stream.0,"candidate":candidate.to_string()})
        }
        Happened::RemoteCandidate { stream, candidate } => {
            json!({"ev":"remote-candidate","stream":stream.0,"candidate":candidate.to_string()})
        }
        Happened::ServerAsked { base, server } => {
            json!({"ev":"server-asked","base":base.0,"address":server})
        }
        Happened::ServerAnswered { base, server, mapped } => {
            json!({"ev":"server-answered","base":base.0,"server":server,"mapped":mapped})
        }
        Happened::ServerFailed { server, code, text } => {
            json!({"ev":"server-failed","server":server,"code":code,"text":text})
        }
        Happened::PairFormed { pair, stream, component, local, remote, priority } => json!({
            "ev":"pair-formed","pair":pair.0,"stream":stream.0,"component":component.number(),
            "local":local,"remote":remote,"priority":priority,
        }),
        Happened::PairLost { pair, reason } => {
            json!({"ev":"pair-lost","pair":pair.0,"reason":reason.to_string()})
        }
        Happened::CheckSent { pair, kind, again, use_candidate } => json!({
            "ev":"check-sent","pair":pair.0,"kind":words::check_kind(*kind),
            "retransmission":again,"use-candidate":use_candidate,
        }),
        Happened::CheckReceived { base, from, use_candidate } => json!({
            "ev":"check-received","base":base.0,"from":from,"use-candidate":use_candidate,
        }),
        Happened::CheckSucceeded { pair, rtt } => {
            json!({"ev":"check-answered","pair":pair.0,"rtt":rtt.map(words::millis)})
        }
        Happened::CheckRefused { pair, code } => {
            json!({"ev":"check-refused","pair":pair.0,"code":code})
        }
        Happened::ConsentGiven { pair } => json!({"ev":"consent-given","pair":pair.0}),
        Happened::ConsentMissed { pair } => json!({"ev":"consent-missed","pair":pair.0}),
        Happened::ConsentExpired { pair } => json!({"ev":"consent-expired","pair":pair.0}),
        Happened::SendPath { stream, component, pair } => json!({
            "ev":"send-path","stream":stream.0,"component":component.number(),
            "pair":pair.map(|pair| pair.0),
        }),
        Happened::Selected { pair } => json!({"ev":"selected","pair":pair.0}),
        Happened::RoleSwitched { role } => json!({"ev":"role-switched","role":role.to_string()}),
        Happened::State { state, reason } => json!({
            "ev":"state","state":state.to_string(),"reason":reason.to_string(),
        }),
        Happened::AddressRefused { address, refusal } => {
            json!({"ev":"address-refused","address":address,"reason":refusal.word()})
        }
        Happened::Dropped { reason, from } => {
            json!({"ev":"dropped","reason":reason.to_string(),"from":from})
        }
        _ => json!({"ev":"other"}),
    };
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// The record as a line of the timeline; `None` for what belongs in the log
/// only.
pub(crate) fn to_words(record: &LogRecord) -> Option<String> {
    Some(match &record.what {
        Happened::SocketOpened { base, local } => format!("opened socket {} on {local}", base.0),
        Happened::SocketRefused { error, .. } => format!("a socket was refused: {error}"),
        Happened::LocalCandidate { candidate, .. } => {
            format!("found its candidate {}", words::candidate(candidate))
        }
        Happened::RemoteCandidate { candidate, .. } => {
            format!("learnt the peer's candidate {}", words::candidate(candidate))
        }
        Happened::AddressRefused { address, refusal } => {
            format!("sends nothing to {address}: {refusal}")
        }
        Happened::ServerAsked { server, .. } => format!("asked the STUN server {server}"),
        Happened::ServerAnswered { mapped, .. } => format!("is seen by the server as {mapped}"),
        Happened::ServerFailed { text, .. } => format!("got nothing from a server: {text}"),
        Happened::PairFormed { pair, local, remote, .. } => {
            format!("formed pair {}: {local} to {remote}", pair.0)
        }
        Happened::PairLost { pair, reason } => {
            format!("gave up pair {}: {reason}", pair.0)
        }
        Happened::CheckSent { pair, kind, again, .. } => {
            let again = if *again { ", again" } else { "" };
            format!("checks pair {} ({}{again})", pair.0, words::check_kind(*kind))
        }
        Happened::CheckSucceeded { pair, rtt } => {
            let rtt = rtt.map(|rtt| format!(" in {} ms", words::millis(rtt))).unwrap_or_default();
            format!("has an answer on pair {}{rtt}", pair.0)
        }
        Happened::CheckRefused { pair, code } => {
            format!("has error {code} as answer on pair {}", pair.0)
        }
        Happened::SendPath { component, pair: Some(pair), .. } => {
            format!("may send data of component {component} on pair {}", pair.0)
        }
        Happened::Selected { pair } => format!("selected pair {}", pair.0),
        Happened::RoleSwitched { role } => format!("is {role} now"),
        Happened::State { state, reason } => {
            format!("{state}: {reason}")
        }
        _ => return None,
    })
}
