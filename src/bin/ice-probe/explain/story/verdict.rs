//! What it comes to, in plain words: how it ended, why, and what to try.

mod advice;

pub(crate) use advice::is_public;

use std::collections::BTreeMap;

use floe::agent::State;
use floe::candidate::{Kind, PairingClass};
use floe::check::FailReason;
use floe::gather::Cause;

use super::{Pair, Story, words};

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Connected, and no relay is needed.
    Direct,
    /// Connected through a relay.
    Relayed,
    /// It was connected, and is no more.
    Lost,
    /// No pair worked.
    Failed,
    /// The log ends before it is decided.
    Undecided,
}

/// What a story comes to.
pub(crate) struct Verdict {
    pub(crate) ending: Ending,
    pub(crate) sentence: String,
    /// Why.
    pub(crate) reasons: Vec<String>,
    /// What to try.
    pub(crate) advice: Vec<String>,
}

impl Ending {
    /// The word for programs, which stays the same.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Ending::Direct => "direct",
            Ending::Relayed => "relayed",
            Ending::Lost => "lost",
            Ending::Failed => "failed",
            Ending::Undecided => "undecided",
        }
    }
}

impl Verdict {
    /// What the story comes to.
    pub(crate) fn of(story: &Story) -> Self {
        let ending = ending(story);
        let mut reasons = match ending {
            Ending::Direct => Vec::new(),
            _ => why(story),
        };
        reasons.extend(server_errors(story));
        if story.lost_records > 0 {
            reasons.push(format!(
                "{} records are missing from the log: it was not written fast enough.",
                story.lost_records
            ));
        }
        let sentence = sentence(story, ending);
        Verdict { ending, sentence, reasons, advice: advice::of(story, ending) }
    }
}

fn ending(story: &Story) -> Ending {
    let was_connected = story.connected().is_some();
    // What it was when it was closed.
    let state = story.states.iter().rev().map(|(_, state, _)| *state);
    let state = state.into_iter().find(|state| *state != State::Closed);
    match state {
        Some(State::Failed) if was_connected => Ending::Lost,
        Some(State::Failed) => Ending::Failed,
        Some(State::Disconnected) => Ending::Lost,
        Some(State::Connected | State::Completed) => {
            let mut used = carrying(story);
            if used.any(Pair::is_relayed) { Ending::Relayed } else { Ending::Direct }
        }
        _ => Ending::Undecided,
    }
}

/// The pairs that carry data at the end: the selected ones, or before there
/// is any those that data would go over.
fn carrying(story: &Story) -> impl Iterator<Item = &Pair> {
    let last: BTreeMap<u16, Option<u32>> =
        story.paths.iter().map(|path| (path.component, path.pair)).collect();
    let is_selected = story.selected().next().is_some();
    story.pairs.iter().filter(move |pair| match is_selected {
        true => pair.selected.is_some(),
        false => last.get(&pair.component) == Some(&Some(pair.id)),
    })
}

fn sentence(story: &Story, ending: Ending) -> String {
    let over = |pair: &Pair| match pair.class.tcp_type() {
        None => "UDP".to_owned(),
        Some(tcp_type) => match pair.class {
            PairingClass::SimultaneousOpen => "TCP (opened from both ends)".to_owned(),
            PairingClass::Active => "TCP (opened from this end)".to_owned(),
            PairingClass::Passive => "TCP (opened by the peer)".to_owned(),
            PairingClass::Datagram => tcp_type.to_string(),
        },
    };
    let mut ways: Vec<String> = carrying(story).map(over).collect();
    ways.dedup();
    let ways = ways.join(" and ");
    let after = story.connected().map(|at| format!(" after {}", span(story.since(at))));
    let after = after.unwrap_or_default();
    match ending {
        Ending::Direct if is_local(story) => {
            format!("Connected directly, within one network, over {ways}{after}.")
        }
        Ending::Direct => format!("Connected directly over {ways}{after}."),
        Ending::Relayed => {
            format!("Connected{after}, but only through a relay ({}).", whose(story))
        }
        Ending::Lost => format!("It was connected{after}, and the connection was lost."),
        Ending::Failed => "It did not connect: no pair worked.".into(),
        Ending::Undecided => match story.states.last() {
            Some((_, State::Closed, _)) => "It was closed before any pair had worked.".into(),
            _ => "The log ends before any pair had worked.".into(),
        },
    }
}

/// Whether the pairs that carry data have host candidates at both ends.
fn is_local(story: &Story) -> bool {
    let is_host = |pair: &Pair| [pair.local, pair.remote].iter().all(|e| e.kind == Kind::Host);
    let mut carrying = carrying(story).peekable();
    carrying.peek().is_some() && carrying.all(is_host)
}

fn whose(story: &Story) -> &'static str {
    let is = |of: fn(&Pair) -> Kind| carrying(story).any(|pair| of(pair) == Kind::Relayed);
    match (is(|pair| pair.local.kind), is(|pair| pair.remote.kind)) {
        (true, true) => "this side's and the peer's",
        (true, false) => "this side's",
        _ => "the peer's",
    }
}

/// Why there is no better ending.
fn why(story: &Story) -> Vec<String> {
    let mut reasons = Vec::new();
    if story.ours.is_empty() {
        reasons.push("This side found no candidate: it has no usable network address.".into());
    }
    if !story.knows_peer {
        reasons.push("The peer's credentials never arrived here.".into());
    } else if story.theirs.is_empty() {
        reasons.push("The peer named no candidate, so there was nothing to connect to.".into());
    }
    let is_bad = |state: State| matches!(state, State::Failed | State::Disconnected);
    if let Some((at, _, reason)) = story.states.iter().rev().find(|(_, state, _)| is_bad(*state)) {
        let (after, text) = (span(story.since(*at)), words::state(*reason));
        reasons.push(format!("The end of it, after {after}: {text}."));
    }
    reasons.extend(direct_pairs(story));
    if !story.pairs.is_empty() && story.checks_received == 0 {
        reasons.push(
            "Not one check of the peer arrived here: it has not got our candidates or \
             credentials, or something on the way drops its packets."
                .into(),
        );
    }
    if !story.refused.is_empty() {
        let list: Vec<String> =
            story.refused.iter().take(4).map(|(a, why)| format!("{a} ({why})")).collect();
        reasons.push(format!("Nothing was sent to {}: by policy.", list.join(", ")));
    }
    reasons
}

/// Why the pairs without a relay lost, counted.
fn direct_pairs(story: &Story) -> Vec<String> {
    let mut counts: BTreeMap<(bool, String), usize> = BTreeMap::new();
    let direct = story.pairs.iter().filter(|pair| !pair.is_relayed());
    let mut total = 0;
    for pair in direct {
        total += 1;
        if pair.selected.is_some() {
            continue;
        }
        let text = match pair.lost {
            Some((_, FailReason::Superseded(_))) if pair.checks() == (0, 0) => {
                "not tried, another pair was there first".into()
            }
            Some((_, FailReason::Superseded(_))) if pair.has_worked() => {
                "it worked, and another pair was selected".into()
            }
            Some((_, FailReason::Superseded(_))) => {
                "no answer until another pair was selected".into()
            }
            Some((_, reason)) => words::reason(reason),
            None if pair.has_worked() => "it works".into(),
            None => format!("{} before the log ends", story.stands(pair)),
        };
        *counts.entry((pair.class != PairingClass::Datagram, text)).or_default() += 1;
    }
    if total == 0 && !story.pairs.is_empty() {
        return vec!["There was no pair without a relay: one side named nothing else.".into()];
    }
    let line = |((is_tcp, text), count): ((bool, String), usize)| {
        let transport = if is_tcp { "TCP" } else { "UDP" };
        let pairs = if count == 1 { "pair" } else { "pairs" };
        format!("{count} direct {transport} {pairs}: {text}.")
    };
    counts.into_iter().map(line).collect()
}

fn server_errors(story: &Story) -> Vec<String> {
    let word = |cause: Cause| match cause {
        Cause::Unresolved => "its name has no address",
        Cause::NotReached => "it was not reached",
        Cause::Credentials => "user or password refused",
        Cause::Tls => "TLS or its certificate was refused",
        Cause::Answered => "it answered with an error",
    };
    let mut lines: Vec<String> = Vec::new();
    for error in &story.servers.errors {
        let line = format!("Server {}: {} ({}).", error.uri, word(error.cause), error.text);
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines.truncate(8);
    lines
}

/// Milliseconds, or seconds where there are many.
pub(crate) fn span(millis: f64) -> String {
    match millis / 1e3 {
        ..1.0 => format!("{millis:.1} ms"),
        seconds @ ..10.0 => format!("{seconds:.2} s"),
        seconds => format!("{seconds:.1} s"),
    }
}
