//! The checks of each pair along a line, and why each lost.

use std::fmt::{self, Write};

use floe::check::{FailReason, StartKind};
use floe::timer::Time;

use super::heading;
use crate::explain::lines::wrapped;
use crate::explain::story::verdict::span;
use crate::explain::story::{Mark, Pair, Step, Story, words};

/// Columns of the line.
const COLUMNS: usize = 46;

/// More pairs are not shown; there are as many in a check list.
const MAX_PAIRS: usize = 100;

const LEGEND: &str = "| formed, o SYN sent, # refused, O connection open, c check sent, r sent \
                      again, ? the peer's check, * answered, N check that nominates, ! error, S \
                      selected, x given up, = works";

/// Writes the line of each pair, and the reasons.
pub(super) fn write(out: &mut String, story: &Story) -> fmt::Result {
    heading(out, "Checks")?;
    if story.pairs.is_empty() {
        return writeln!(out, "  There was no pair to check.");
    }
    wrapped(out, "", "", LEGEND)?;
    let (began, end) = story.window();
    let length = story.since(end);
    writeln!(out, "     0{:>width$}", span(length), width = COLUMNS)?;
    let mut pairs: Vec<&Pair> = story.pairs.iter().collect();
    // Stable: those of one priority stay in their order.
    pairs.sort_by_key(|pair| std::cmp::Reverse(pair.priority));
    for pair in pairs.iter().take(MAX_PAIRS) {
        wrapped(out, &format!("#{} ", pair.id), "   ", &pair.title())?;
        writeln!(out, "    [{}] {}", line(story, pair, began, end), result(story, pair))?;
    }
    if let Some(left @ 1..) = pairs.len().checked_sub(MAX_PAIRS) {
        writeln!(out, "and {left} more pairs")?;
    }
    let lost = pairs.iter().take(MAX_PAIRS).filter_map(|pair| Some((pair, pair.lost?.1)));
    let mut lost = lost.peekable();
    if lost.peek().is_some() {
        heading(out, "Why pairs lost")?;
    }
    for (pair, reason) in lost {
        let (sent, received) = pair.checks();
        let counts = format!("{sent} sent, {received} received");
        let text = format!("{} ({counts})", words::reason(reason));
        wrapped(out, &format!("  #{}: ", pair.id), "      ", &text)?;
    }
    Ok(())
}

/// What became of the pair, in few words.
fn result(story: &Story, pair: &Pair) -> String {
    let rtt = pair.rtt.map(|rtt| format!(", {rtt:.1} ms")).unwrap_or_default();
    match (pair.selected, pair.lost) {
        (Some(_), _) => format!("selected{rtt}"),
        (None, Some((_, FailReason::Superseded(_)))) => format!("superseded{rtt}"),
        (None, Some((at, _))) => format!("lost at {}", span(story.since(at))),
        (None, None) if pair.has_worked() => format!("works{rtt}"),
        (None, None) => story.stands(pair),
    }
}

/// The marks of the pair between two moments.
fn line(story: &Story, pair: &Pair, began: Time, end: Time) -> String {
    let length = (end - began).as_secs_f64().max(1e-9);
    let column = |at: Time| {
        let share = ((at - began).as_secs_f64() / length).clamp(0.0, 1.0);
        (share * (COLUMNS - 1) as f64).round() as usize
    };
    let mut cells = [(0_u8, ' '); COLUMNS];
    let mut put = |at: usize, (rank, c): (u8, char)| {
        if let Some(cell) = cells.get_mut(at).filter(|cell| cell.0 <= rank) {
            *cell = (rank, c);
        }
    };
    let works = pair.marks.iter().find(|(_, mark)| *mark == Mark::Answered).map(|(at, _)| *at);
    let sent = pair.marks.iter().find(|(_, mark)| matches!(mark, Mark::Sent { .. }));
    let stops = pair.lost.map_or(end, |(at, _)| at);
    if let Some((sent, _)) = sent {
        (column(*sent)..=column(works.unwrap_or(stops))).for_each(|at| put(at, (1, '-')));
    }
    if let Some(works) = works {
        (column(works)..=column(stops)).for_each(|at| put(at, (2, '=')));
    }
    put(column(pair.formed), (3, '|'));
    let steps = story.attempt(pair).map(|attempt| &*attempt.steps).unwrap_or_default();
    for (at, step) in steps.iter().filter(|(at, _)| *at <= end) {
        put(column(*at), sign_of_step(*step));
    }
    for (at, mark) in pair.marks.iter().filter(|(at, mark)| !mark.is_consent() && *at <= end) {
        put(column(*at), sign(*mark));
    }
    cells.iter().map(|(_, c)| c).collect()
}

/// The sign of a mark, and its rank where two fall together.
fn sign(mark: Mark) -> (u8, char) {
    match mark {
        Mark::Sent { nominates: true, .. } => (8, 'N'),
        Mark::Sent { again: true, .. } => (4, 'r'),
        Mark::Sent { kind: StartKind::Consent, .. } | Mark::Consent { .. } => (0, ' '),
        Mark::Sent { .. } => (5, 'c'),
        Mark::Received { nominates: true } => (8, 'N'),
        Mark::Received { .. } => (6, '?'),
        Mark::Answered => (7, '*'),
        Mark::Refused(_) => (9, '!'),
        Mark::Selected => (11, 'S'),
        Mark::Lost | Mark::Expired => (10, 'x'),
    }
}

fn sign_of_step(step: Step) -> (u8, char) {
    match step {
        Step::Syn => (3, 'o'),
        Step::Refused(_) => (3, '#'),
        Step::Accepted | Step::Established => (4, 'O'),
        Step::Lost | Step::GivenUp(_) => (10, 'x'),
        Step::Look(_) | Step::Dropped => (0, ' '),
    }
}
