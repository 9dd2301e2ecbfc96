//! The `stats` line.

use floe::Agent;
use floe::agent::PairReport;
use floe::driver::Stats;
use serde_json::{Map, Value, json};

use crate::jsonl::Output;
use crate::words;

/// The answer to `stats`.
pub(crate) fn line(agent: &Agent) -> Output {
    let stats = agent.stats();
    let pairs: Vec<Value> = pairs(&stats).collect();
    let drops: Map<String, Value> =
        stats.drops.iter().map(|(reason, count)| (reason.to_string(), count.into())).collect();
    let stats = json!({
        "state": stats.state.to_string(),
        "role": stats.role.to_string(),
        "pacing": words::millis(stats.pacing),
        "pairs": pairs,
        "dropped": drops,
        "unrouted": stats.unrouted,
        "overflowed": stats.overflowed,
    });
    Output::Stats { version: 1, stats }
}

/// The pairs of all streams, each as an object.
pub(crate) fn pairs(stats: &Stats) -> impl Iterator<Item = Value> {
    stats.pairs.iter().flat_map(|(_, pairs)| pairs).map(pair)
}

fn pair(pair: &PairReport) -> Value {
    json!({
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
        "reason": pair.reason.map(|reason| reason.to_string()),
    })
}
