//! The story as an object for programs. Its keys are a promise.

use serde_json::{Value, json};

use super::candidates::Side;
use super::escape::clean;
use super::reading::Log;
use super::story::verdict::Verdict;
use super::story::{Attempt, End, Found, Mark, Pair, Story};
use crate::jsonl::escape_controls;
use crate::words;

/// The object's version.
const VERSION: u8 = 1;

/// Marks of a pair and steps of an attempt that are told; the first ones.
const MAX_TOLD: usize = 500;

/// What a log says.
pub(crate) fn of_log(log: &Log, stories: &[Story]) -> String {
    print(&json!({
        "version": VERSION,
        "program": concat!("ice-probe ", env!("CARGO_PKG_VERSION")),
        "kind": "log",
        "log": {"program": log.program, "start": log.start, "events": log.lines.len()},
        "notes": log.notes,
        "agents": stories.iter().map(story).collect::<Vec<_>>(),
    }))
}

/// What candidates say.
pub(crate) fn of_candidates(sides: &[Side]) -> String {
    print(&json!({
        "version": VERSION,
        "program": concat!("ice-probe ", env!("CARGO_PKG_VERSION")),
        "kind": "candidates",
        "sides": sides.iter().map(Side::to_json).collect::<Vec<_>>(),
        "pairs": super::candidates::pairs_to_json(sides),
    }))
}

fn print(value: &Value) -> String {
    let text = serde_json::to_string_pretty(value).expect("invariant: every key is a string");
    escape_controls(&text) + "\n"
}

fn story(story: &Story) -> Value {
    let Verdict { ending, sentence, reasons, advice } = Verdict::of(story);
    let moment = |at| millis(story.since(at));
    json!({
        "agent": story.agent,
        "role": story.role.map(|role| role.to_string()),
        "outcome": ending.word(),
        "sentence": sentence,
        "reasons": reasons,
        "advice": advice,
        "connected_ms": story.connected().map(moment),
        "local": story.ours.iter().map(|found| candidate(story, found)).collect::<Vec<_>>(),
        "remote": story.theirs.iter().map(|found| candidate(story, found)).collect::<Vec<_>>(),
        "pairs": story.pairs.iter().map(|p| pair(story, p)).collect::<Vec<_>>(),
        "connections": story.attempts.iter().map(|a| attempt(story, a)).collect::<Vec<_>>(),
        "states": story.states.iter().map(|(at, state, reason)| json!({
            "t": moment(*at), "state": state.to_string(), "reason": reason.to_string(),
        })).collect::<Vec<_>>(),
        "paths": story.paths.iter().map(|path| json!({
            "t": moment(path.at), "component": path.component, "pair": path.pair,
        })).collect::<Vec<_>>(),
        "restarts": story.restarts.iter().map(|at| moment(*at)).collect::<Vec<_>>(),
        "drops": story.drops,
        "left_out": story.left_out,
    })
}

fn candidate(story: &Story, found: &Found) -> Value {
    json!({
        "t": millis(story.since(found.at)),
        "candidate": clean(&found.candidate.to_string()),
    })
}

fn pair(story: &Story, pair: &Pair) -> Value {
    let end = |end: End| json!({"type": end.kind.to_string(), "address": end.address});
    let (sent, received) = pair.checks();
    let marks = pair.marks.iter().take(MAX_TOLD).map(|(at, mark)| {
        json!({"t": millis(story.since(*at)), "what": word(*mark), "nominates": nominates(*mark)})
    });
    json!({
        "pair": pair.id,
        "component": pair.component,
        "transport": pair.class.tcp_type().map_or("udp".into(), |t| format!("tcp {t}")),
        "local": end(pair.local),
        "remote": end(pair.remote),
        "priority": pair.priority.to_string(),
        "formed_ms": millis(story.since(pair.formed)),
        "selected": pair.selected.is_some(),
        "worked": pair.has_worked(),
        "rtt_ms": pair.rtt.map(millis),
        "sent": sent,
        "received": received,
        "lost": pair.lost.map(|(at, reason)| json!({
            "t": millis(story.since(at)),
            "reason": reason.word(),
            "text": super::story::words::reason(reason),
        })),
        "marks": marks.collect::<Vec<_>>(),
    })
}

fn attempt(story: &Story, attempt: &Attempt) -> Value {
    let steps = attempt
        .steps
        .iter()
        .take(MAX_TOLD)
        .map(|(at, step)| json!({"t": millis(story.since(*at)), "what": step.words()}));
    json!({
        "local": attempt.local,
        "remote": attempt.remote,
        "to_server": attempt.to_server,
        "outcome": attempt.outcome(),
        "opened": attempt.has_opened(),
        "syns": attempt.tries(),
        "steps": steps.collect::<Vec<_>>(),
    })
}

/// What happened on a pair, in one word.
fn word(mark: Mark) -> &'static str {
    match mark {
        Mark::Sent { again: true, .. } => "sent-again",
        Mark::Sent { kind, .. } => match words::check_kind(kind) {
            "consent" => "consent-sent",
            _ => "sent",
        },
        Mark::Received { .. } => "received",
        Mark::Answered => "answered",
        Mark::Refused(_) => "refused",
        Mark::Selected => "selected",
        Mark::Lost => "lost",
        Mark::Consent { given: true } => "consent-given",
        Mark::Consent { given: false } => "consent-missed",
        Mark::Expired => "consent-expired",
    }
}

fn nominates(mark: Mark) -> bool {
    matches!(mark, Mark::Sent { nominates: true, .. } | Mark::Received { nominates: true })
}

/// Milliseconds, to the microsecond.
fn millis(millis: f64) -> f64 {
    (millis * 1e3).round() / 1e3
}
