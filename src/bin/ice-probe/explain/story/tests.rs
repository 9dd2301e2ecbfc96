//! Stories of a few records.

use floe::agent::LogRecord;
use floe::candidate::{Kind, PairingClass};
use serde_json::{Value, json};

use super::verdict::{Ending, Verdict};
use super::{Mark, Story, tell};

fn story(records: &[Value]) -> Story {
    let records: Vec<LogRecord> =
        records.iter().map(|record| serde_json::from_value(record.clone()).unwrap()).collect();
    tell(None, records.iter())
}

fn candidate(whose: &str, priority: u32, rest: &str) -> Value {
    let (transport, rest) = rest.split_once(' ').unwrap();
    let line = format!("candidate:1 1 {transport} {priority} {rest}");
    json!({"t": 0, "ev": format!("{whose}-candidate"), "stream": 0, "candidate": line})
}

fn formed(pair: u32, priority: u64) -> Value {
    json!({"t": 1, "ev": "pair-formed", "pair": pair, "stream": 0, "component": 1,
        "local": "10.0.0.1:5000", "remote": "203.0.113.1:6000", "priority": priority})
}

fn state(t: f64, state: &str, reason: &str) -> Value {
    json!({"t": t, "ev": "state", "state": state, "reason": reason})
}

fn lost(pair: u32, reason: Value) -> Value {
    let mut record = json!({"t": 9, "ev": "pair-lost", "pair": pair});
    record.as_object_mut().unwrap().extend(reason.as_object().unwrap().clone());
    record
}

fn event(t: f64, what: &str, pair: u32) -> Value {
    json!({"t": t, "ev": what, "pair": pair})
}

/// UDP and TCP candidates may have one address: the priority tells.
#[test]
fn a_pair_is_of_the_candidates_that_have_its_priority() {
    let candidates = [
        candidate("local", 100, "UDP 10.0.0.1 5000 typ host"),
        candidate("local", 50, "TCP 10.0.0.1 5000 typ host tcptype so"),
        candidate("remote", 90, "UDP 203.0.113.1 6000 typ host"),
        candidate("remote", 40, "TCP 203.0.113.1 6000 typ srflx raddr 10.9.9.9 rport 1 tcptype so"),
    ];
    let udp = (90_u64 << 32) + 201;
    let tcp = (40_u64 << 32) + 101;
    let story = story(&[&candidates[..], &[formed(0, tcp), formed(1, udp)]].concat());
    let sorts: Vec<_> =
        story.pairs.iter().map(|pair| (pair.class, pair.local.kind, pair.remote.kind)).collect();
    assert_eq!(
        sorts,
        [
            (PairingClass::SimultaneousOpen, Kind::Host, Kind::ServerReflexive),
            (PairingClass::Datagram, Kind::Host, Kind::Host),
        ]
    );
}

#[test]
fn a_name_stands_for_the_address_that_it_has() {
    let name = "3b1c2f6e-1f0a-4f5e-9d57-0d3c9c0a7b11.local";
    let line = format!("candidate:1 1 UDP 90 {name} 6000 typ host");
    let story = story(&[
        candidate("local", 100, "UDP 10.0.0.1 5000 typ host"),
        json!({"t": 0, "ev": "input", "input": "remote-candidate", "stream": 0, "candidate": line}),
        json!({"t": 0, "ev": "input", "input": "name-resolved", "name": name,
            "addresses": ["203.0.113.1"]}),
        json!({"t": 0, "ev": "remote-candidate", "stream": 0, "candidate": line}),
        formed(0, 1),
    ]);
    assert_eq!((story.theirs.len(), story.pairs[0].remote.kind), (1, Kind::Host));
}

/// The peer's check is what makes its candidate known.
#[test]
fn a_check_that_came_before_its_pair_belongs_to_it() {
    let story = story(&[
        json!({"t": 0, "ev": "socket-opened", "base": 3, "local": "10.0.0.1:5000"}),
        json!({"t": 1, "ev": "check-received", "base": 3, "from": "203.0.113.1:6000",
            "use-candidate": true}),
        formed(0, 1),
    ]);
    let marks: Vec<Mark> = story.pairs[0].marks.iter().map(|(_, mark)| *mark).collect();
    assert_eq!(marks, [Mark::Received { nominates: true }]);
    assert_eq!(story.checks_received, 1);
}

#[test]
fn the_pair_that_was_selected_last_is_the_selected_one() {
    let story =
        story(&[formed(0, 1), formed(1, 2), event(2.0, "selected", 0), event(3.0, "selected", 1)]);
    assert_eq!(story.selected().map(|pair| pair.id).collect::<Vec<_>>(), [1]);
}

#[test]
fn connections_to_servers_are_told_apart() {
    let to = "198.51.100.1:3478";
    let open = json!({"t": 1, "ev": "socket-op", "op": "connect-server", "base": 5, "server": 0,
        "to": [to]});
    let connected = json!({"t": 2, "ev": "input", "input": "connected", "base": 5, "to": to,
        "local": "10.0.0.1:40000"});
    let failed = json!({"t": 2, "ev": "input", "input": "connect-failed", "base": 5, "to": to,
        "error": "timed-out"});
    for (input, outcome) in [(connected, "established"), (failed, "timed-out")] {
        let story = story(&[open.clone(), input]);
        let attempt = &story.attempts[0];
        assert_eq!((attempt.to_server, attempt.outcome()), (true, outcome));
    }
}

#[test]
fn endings() {
    let host = candidate("local", 100, "UDP 10.0.0.1 5000 typ host");
    let relay = candidate("remote", 90, "UDP 203.0.113.1 6000 typ relay raddr 0.0.0.0 rport 9");
    let connected = state(2.0, "connected", "valid-pairs");
    let selected = event(3.0, "selected", 0);
    let pair = formed(0, 1);
    let closed = state(99.0, "closed", "closed");
    let failed = state(50.0, "failed", "consent-expired");
    for (records, ending) in [
        (vec![], Ending::Undecided),
        (vec![state(0.0, "checking", "checks-started"), closed.clone()], Ending::Undecided),
        (vec![host.clone(), pair.clone(), connected.clone(), selected.clone()], Ending::Direct),
        (
            vec![host.clone(), relay, pair.clone(), connected.clone(), selected, closed.clone()],
            Ending::Relayed,
        ),
        (vec![connected.clone(), failed.clone(), closed], Ending::Lost),
        (vec![connected.clone(), state(9.0, "disconnected", "consent-missed")], Ending::Lost),
        (vec![failed.clone()], Ending::Failed),
        (vec![connected.clone(), failed, connected], Ending::Direct),
    ] {
        let verdict = Verdict::of(&story(&records));
        assert_eq!(verdict.ending, ending, "{records:?}");
        assert_eq!(verdict.advice.is_empty(), ending == Ending::Direct, "{records:?}");
    }
}

/// Each of these has advice of its own.
#[test]
fn what_to_try_follows_from_why_it_failed() {
    let failed = state(50.0, "failed", "all-pairs-failed");
    let error = |cause: &str| {
        json!({"t": 1, "ev": "event", "event": "candidate-error", "uri": "turn:a", "cause": cause,
            "code": 401, "text": "x"})
    };
    let reason = |why: &str| {
        let lost = lost(0, json!({"reason": "not-connected", "why": why}));
        vec![formed(0, 1), lost]
    };
    for (records, word) in [
        (vec![], "signalling"),
        (vec![error("credentials")], "password of the TURN server"),
        (vec![error("unresolved")], "DNS"),
        (vec![error("tls")], "certificate"),
        (vec![error("not-reached")], "turns:HOST"),
        (vec![formed(0, 1), lost(0, json!({"reason": "wrong-integrity"}))], "credentials anew"),
        (reason("mapping-differs"), "each destination another port"),
        (reason("refused-nearby"), "router"),
        (reason("no-simultaneous-open"), "both ends at once"),
    ] {
        let verdict = Verdict::of(&story(&[records, vec![failed.clone()]].concat()));
        assert!(verdict.advice.iter().any(|text| text.contains(word)), "{word}");
    }
}

#[test]
fn there_are_no_more_things_than_the_bound() {
    let many: Vec<Value> = (0..3_000).map(|pair| formed(pair, 1)).collect();
    let story = story(&many);
    assert_eq!((story.pairs.len(), story.left_out), (1_024, 3_000 - 1_024));
}
