//! The `stats` line.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use floe::Agent;
use floe::agent::{CandidatePairStats, CandidateStats, PairReport, StatsId, TransportStats};
use floe::check::{FailReason, PairId};
use floe::driver::{Stats, TrafficStats};
use serde_json::{Map, Value, json};

use crate::jsonl::{MAX_LINE, Output};
use crate::words;

/// The answer to `stats`.
pub(crate) fn line(agent: &Agent) -> Output {
    let stats = agent.stats();
    let whole = output(whole(&stats));
    if whole.to_line().len() <= MAX_LINE { whole } else { short(&stats) }
}

fn output(stats: Value) -> Output {
    Output::Stats { version: 1, stats }
}

/// Everything; the names in camel case are the W3C's, in "Identifiers for
/// WebRTC's Statistics API", with its units: seconds, and milliseconds since
/// the epoch.
fn whole(stats: &Stats) -> Value {
    let mut line = summary(stats);
    line["pairs"] = pairs(stats).collect();
    line["localCandidates"] = stats.local_candidates.iter().map(candidate).collect();
    line["remoteCandidates"] = stats.remote_candidates.iter().map(candidate).collect();
    line
}

/// What has room in a line when there is much: of the pairs what is told of
/// each, those first that carry data.
fn short(stats: &Stats) -> Output {
    let mut line = summary(stats);
    line["truncated"] = true.into();
    let mut reports: Vec<_> = stats.pairs.iter().flat_map(|(_, pairs)| pairs).collect();
    reports.sort_by_key(|report| (!report.selected, report.reason.is_some()));
    let mut room = MAX_LINE.saturating_sub(output(line.clone()).to_line().len() + 64);
    let pairs: Vec<Value> = reports
        .into_iter()
        .map(pair)
        .take_while(|pair| {
            let len = pair.to_string().len() + 1;
            let has_room = len <= room;
            room = room.saturating_sub(len);
            has_room
        })
        .collect();
    line["pairs"] = pairs.into();
    output(line)
}

fn summary(stats: &Stats) -> Value {
    let drops: Map<String, Value> =
        stats.drops.iter().map(|(reason, count)| (reason.to_string(), count.into())).collect();
    json!({
        "state": stats.state.to_string(),
        "role": stats.role.to_string(),
        "pacing": words::millis(stats.pacing),
        "dropped": drops,
        "unrouted": stats.unrouted,
        "overflowed": stats.overflowed,
        "timestamp": epoch_millis(stats.timestamp),
        "transports": stats.transports.iter().map(transport).collect::<Value>(),
    })
}

/// The pairs of all streams, each as an object.
pub(crate) fn pairs(stats: &Stats) -> impl Iterator<Item = Value> {
    let more: BTreeMap<PairId, _> = stats
        .candidate_pairs
        .iter()
        .filter_map(|pair| match pair.0.id {
            StatsId::CandidatePair(id) => Some((id, pair)),
            _ => None,
        })
        .collect();
    stats.pairs.iter().flat_map(|(_, pairs)| pairs).map(move |report| {
        let mut line = pair(report);
        if let (Some(object), Some((pair, carried))) = (line.as_object_mut(), more.get(&report.id))
        {
            object.append(&mut pair_details(pair));
            object.append(&mut traffic(carried));
        }
        line
    })
}

fn pair(pair: &PairReport) -> Value {
    let mut fields = json!({
        "pair": pair.id.0,
        "component": pair.component.number(),
        "local": pair.local.to_string(),
        "remote": pair.remote.to_string(),
        "priority": pair.priority,
        "state": pair.state.to_string(),
        "nominated": pair.nominated,
        "selected": pair.selected,
        "rtt": pair.rtt.map(words::millis),
        "sent": pair.sent,
        "answered": pair.answered,
        "received": pair.received,
        "unauthentic": pair.unauthentic,
        "reason": null,
    });
    // The reason's word, and beside it what belongs to it.
    let reason = pair.reason.and_then(|reason| serde_json::to_value(reason).ok());
    if let (Value::Object(fields), Some(Value::Object(reason))) = (&mut fields, reason) {
        fields.extend(reason);
    }
    fields
}

fn pair_details(pair: &CandidatePairStats) -> Map<String, Value> {
    let code = match pair.fail_reason {
        Some(FailReason::ErrorResponse(code)) => Some(code),
        _ => None,
    };
    given(json!({
        "id": pair.id.to_string(),
        "transportId": pair.transport_id.to_string(),
        "localCandidateId": pair.local_candidate_id.to_string(),
        "remoteCandidateId": pair.remote_candidate_id.to_string(),
        "currentRoundTripTime": pair.current_round_trip_time.map(|rtt| rtt.as_secs_f64()),
        "totalRoundTripTime": pair.total_round_trip_time.as_secs_f64(),
        "requestsSent": pair.requests_sent,
        "requestsReceived": pair.requests_received,
        "responsesSent": pair.responses_sent,
        "responsesReceived": pair.responses_received,
        "consentRequestsSent": pair.consent_requests_sent,
        "failReason": pair.fail_reason.map(FailReason::word),
        "failCode": code,
        "error": pair.error.map(floe::net::error_word),
    }))
}

fn transport((transport, carried): &(TransportStats, TrafficStats)) -> Value {
    let mut line = given(json!({
        "id": transport.id.to_string(),
        "stream": transport.stream.0,
        "component": transport.component.number(),
        "iceRole": transport.ice_role.to_string(),
        "iceState": transport.ice_state.to_string(),
        "iceLocalUsernameFragment": transport.ice_local_username_fragment,
        "selectedCandidatePairId": transport.selected_candidate_pair_id.map(|id| id.to_string()),
        "selectedCandidatePairChanges": transport.selected_candidate_pair_changes,
    }));
    line.append(&mut traffic(carried));
    line.into()
}

fn candidate(stats: &CandidateStats) -> Value {
    let candidate = &stats.candidate;
    given(json!({
        "id": stats.id.to_string(),
        "transportId": stats.transport_id.to_string(),
        "address": candidate.host.to_string(),
        "port": candidate.port,
        "protocol": candidate.protocol.to_string(),
        "candidateType": candidate.kind.to_string(),
        "priority": candidate.priority,
        "foundation": candidate.foundation.as_str(),
        "relatedAddress": candidate.related.map(|related| related.ip().to_string()),
        "relatedPort": candidate.related.map(|related| related.port()),
        "tcpType": candidate.tcp_type.map(|tcp_type| tcp_type.to_string()),
        "usernameFragment": stats.username_fragment,
        "url": stats.url,
    }))
    .into()
}

fn traffic(traffic: &TrafficStats) -> Map<String, Value> {
    given(json!({
        "packetsSent": traffic.packets_sent,
        "bytesSent": traffic.bytes_sent,
        "lastPacketSentTimestamp": traffic.last_packet_sent.map(epoch_millis),
        "packetsReceived": traffic.packets_received,
        "bytesReceived": traffic.bytes_received,
        "lastPacketReceivedTimestamp": traffic.last_packet_received.map(epoch_millis),
    }))
}

/// The members of an object that are not null.
fn given(object: Value) -> Map<String, Value> {
    let Value::Object(object) = object else { return Map::new() };
    object.into_iter().filter(|(_, value)| !value.is_null()).collect()
}

fn epoch_millis(time: SystemTime) -> f64 {
    words::millis(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}
