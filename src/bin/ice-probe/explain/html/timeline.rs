//! Marks along a line of time. Places are in percent, so that the line is as
//! wide as the page.

use std::fmt::Write;
use std::time::Duration;

use floe::timer::Time;

use crate::explain::escape::html as text;
use crate::explain::story::verdict::span;
use crate::explain::story::{Attempt, Mark, Pair, Step, Story};

/// Marks of a row that are drawn.
const MAX_MARKS: usize = 300;

/// The shapes, which each mark refers to.
pub(super) const SHAPES: &str = r##"<svg width="0" height="0" aria-hidden="true" style="position:absolute"><defs>
<circle id="sent" r="4" class="sent"/>
<circle id="again" r="2.5" class="sent"/>
<path id="received" d="M-5 -5 L5 -5 L0 5 Z" class="received"/>
<circle id="answered" r="4.5" class="answered"/>
<path id="nominates" d="M0 -7 L7 0 L0 7 L-7 0 Z" class="nominates"/>
<path id="selected" d="M0 -8 L2.2 -2.6 L8 -2.3 L3.5 1.4 L5 7 L0 3.8 L-5 7 L-3.5 1.4 L-8 -2.3 L-2.2 -2.6 Z" class="selected"/>
<path id="lost" d="M-4.5 -4.5 L4.5 4.5 M-4.5 4.5 L4.5 -4.5" class="lost-mark"/>
<path id="error" d="M-5 -5 H5 V5 H-5 Z" class="error"/>
<path id="syn" d="M0 0 V9" class="syn"/>
<path id="refused" d="M0 -9 V0" class="refused"/>
<path id="open" d="M-5 -5 H5 V5 H-5 Z" class="open"/>
</defs></svg>
"##;

/// What each shape means.
const MEANINGS: [(&str, &str); 10] = [
    ("sent", "check sent"),
    ("again", "sent again"),
    ("received", "the peer's check"),
    ("answered", "answered"),
    ("nominates", "nominates"),
    ("selected", "selected"),
    ("lost", "given up"),
    ("syn", "SYN sent"),
    ("refused", "SYN refused"),
    ("open", "TCP open"),
];

/// The shapes with their meanings.
pub(super) fn legend() -> String {
    let item = |(shape, meaning): (&str, &str)| {
        format!(
            "<li><svg viewBox=\"-8 -8 16 16\" aria-hidden=\"true\"><use href=\"#{shape}\"/></svg>\
             {meaning}</li>"
        )
    };
    format!("<ul class=\"legend\">{}</ul>\n", MEANINGS.into_iter().map(item).collect::<String>())
}

/// A scale from the first record to the last thing that matters.
pub(super) struct Scale {
    began: Time,
    length: f64,
}

impl Scale {
    pub(super) fn of(story: &Story) -> Self {
        let (began, end) = story.window();
        Scale { began, length: (end - began).as_secs_f64().max(1e-6) }
    }

    /// Where a moment is, in percent, with room for marks at both ends.
    fn place(&self, at: Time) -> f64 {
        let share = ((at - self.began).as_secs_f64() / self.length).clamp(0.0, 1.0);
        2.0 + 96.0 * share
    }

    fn is_in(&self, at: Time) -> bool {
        (at - self.began).as_secs_f64() <= self.length
    }

    /// The line with its numbers.
    pub(super) fn axis(&self) -> String {
        let mut out = String::from("<svg class=\"axis\" height=\"22\" role=\"presentation\">");
        for (share, anchor) in [(0.0, "start"), (0.5, "middle"), (1.0, "end")] {
            let x = 2.0 + 96.0 * share;
            let words = match share {
                0.0 => "0".to_owned(),
                share => span(self.length * share * 1e3),
            };
            out += &format!(
                "<line x1=\"{x}%\" x2=\"{x}%\" y1=\"16\" y2=\"22\"/>\
                 <text x=\"{x}%\" y=\"12\" text-anchor=\"{anchor}\">{words}</text>"
            );
        }
        out + "</svg>\n"
    }

    /// The row of a pair.
    pub(super) fn pair(&self, story: &Story, pair: &Pair) -> String {
        let first =
            |is: fn(Mark) -> bool| pair.marks.iter().find(|(_, mark)| is(*mark)).map(|(at, _)| *at);
        let works = first(|mark| mark == Mark::Answered);
        let sent = first(|mark| matches!(mark, Mark::Sent { .. }));
        let end = self.began + Duration::from_secs_f64(self.length);
        let stops = pair.lost.map_or(end, |(at, _)| at);
        let mut out = self.open(&format!("Checks of pair {}", pair.id));
        self.bar(&mut out, "track", pair.formed, stops);
        if let Some(sent) = sent {
            self.bar(&mut out, "wait", sent, works.unwrap_or(stops));
        }
        if let Some(works) = works {
            self.bar(&mut out, "works", works, stops);
        }
        let steps = story.attempt(pair).map(|attempt| &*attempt.steps).unwrap_or_default();
        self.steps(&mut out, story, steps);
        let marks = pair.marks.iter().filter(|(at, mark)| !mark.is_consent() && self.is_in(*at));
        for (at, mark) in marks.take(MAX_MARKS) {
            let (shape, words) = shape(*mark);
            self.mark(&mut out, story, *at, shape, words);
        }
        out + "</svg>\n"
    }

    /// The row of an attempt at a connection.
    pub(super) fn attempt(&self, story: &Story, attempt: &Attempt) -> String {
        let mut out = self.open("Attempts to connect");
        let began = attempt.steps.first().map_or(self.began, |(at, _)| *at);
        let last = attempt.steps.last().map_or(began, |(at, _)| *at);
        self.bar(&mut out, "track", began, last);
        self.steps(&mut out, story, &attempt.steps);
        out + "</svg>\n"
    }

    /// The row that says over which pair a component's data goes.
    pub(super) fn path(&self, story: &Story, component: u16) -> String {
        let mut out = self.open(&format!("The path of component {component}"));
        let mut changes = story
            .paths
            .iter()
            .filter(|path| path.component == component)
            .take(MAX_MARKS)
            .peekable();
        let end = self.began + Duration::from_secs_f64(self.length);
        while let Some(path) = changes.next() {
            let until = changes.peek().map_or(end, |next| next.at);
            let Some(pair) = path.pair else { continue };
            self.bar(&mut out, "path", path.at, until);
            let x = self.place(path.at);
            // Near the right end a number has no room but before its line.
            let anchor = if x > 90.0 { "end" } else { "start" };
            let written =
                write!(out, "<text x=\"{x:.2}%\" y=\"7\" text-anchor=\"{anchor}\">#{pair}</text>");
            written.expect("invariant: writing to a string succeeds");
        }
        out + "</svg>\n"
    }

    fn steps(&self, out: &mut String, story: &Story, steps: &[(Time, Step)]) {
        let steps = steps.iter().filter(|(at, _)| self.is_in(*at));
        for (at, step) in steps.take(MAX_MARKS) {
            let shape = match step {
                Step::Syn => "syn",
                Step::Accepted | Step::Established => "open",
                Step::Refused(_) => "refused",
                Step::Lost | Step::GivenUp(_) => "lost",
                Step::Look(_) | Step::Dropped => continue,
            };
            self.mark(out, story, *at, shape, &step.words());
        }
    }

    fn open(&self, label: &str) -> String {
        format!("<svg height=\"26\" role=\"img\" aria-label=\"{}\">", text(label))
    }

    fn bar(&self, out: &mut String, class: &str, from: Time, to: Time) {
        let (from, to) = (self.place(from), self.place(to));
        let width = (to - from).max(0.3);
        let written = write!(
            out,
            "<rect class=\"{class}\" x=\"{from:.2}%\" y=\"9\" width=\"{width:.2}%\" height=\"8\" \
             rx=\"3\"/>"
        );
        written.expect("invariant: writing to a string succeeds");
    }

    fn mark(&self, out: &mut String, story: &Story, at: Time, shape: &str, words: &str) {
        let (x, when) = (self.place(at), span(story.since(at)));
        let written = write!(
            out,
            "<use href=\"#{shape}\" x=\"{x:.2}%\" y=\"13\"><title>{when}: {}</title></use>",
            text(words)
        );
        written.expect("invariant: writing to a string succeeds");
    }
}

/// The shape of a mark, and what it says.
pub(super) fn shape(mark: Mark) -> (&'static str, &'static str) {
    match mark {
        Mark::Sent { nominates: true, .. } => ("nominates", "check sent that nominates"),
        Mark::Sent { again: true, .. } => ("again", "check sent again"),
        Mark::Sent { .. } => ("sent", "check sent"),
        Mark::Received { nominates: true } => ("nominates", "the peer's check that nominates"),
        Mark::Received { .. } => ("received", "the peer's check"),
        Mark::Answered => ("answered", "answered"),
        Mark::Refused(_) => ("error", "answered with an error"),
        Mark::Selected => ("selected", "selected"),
        Mark::Lost => ("lost", "given up"),
        Mark::Consent { given: true } => ("answered", "consent given"),
        Mark::Consent { given: false } => ("error", "a consent check was not answered"),
        Mark::Expired => ("lost", "consent expired"),
    }
}
