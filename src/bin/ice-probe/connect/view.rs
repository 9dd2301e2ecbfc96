//! What a person sees of a connection: lines on stderr, and on a terminal a
//! bar that moves.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a bar moves, at most.
const HERTZ: u8 = 5;

/// Where lines and bars go.
pub(crate) struct View {
    is_quiet: bool,
    is_verbose: bool,
    bars: MultiProgress,
}

impl View {
    /// Bars are shown on a terminal only.
    pub(crate) fn new(is_quiet: bool, is_verbose: bool) -> Self {
        let target = if is_quiet {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr_with_hz(HERTZ)
        };
        View { is_quiet, is_verbose, bars: MultiProgress::with_draw_target(target) }
    }

    /// A line for a person.
    pub(crate) fn line(&self, text: &str) {
        if !self.is_quiet {
            self.bars.suspend(|| anstream::eprintln!("{text}"));
        }
    }

    /// A line for one who wants to know it all.
    pub(crate) fn detail(&self, text: &str) {
        if self.is_verbose {
            self.line(text);
        }
    }

    /// A bar up to `size` bytes.
    pub(crate) fn bar(&self, what: &str, size: u64) -> ProgressBar {
        const TEMPLATE: &str = "{prefix} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        let bar = self.bars.add(ProgressBar::new(size));
        // A template that cannot be read leaves the bar as it is.
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style);
        }
        bar.set_prefix(what.to_owned());
        bar
    }

    /// A line that says how it is now, on a terminal.
    pub(crate) fn live(&self) -> ProgressBar {
        let bar = self.bars.add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
            bar.set_style(style);
        }
        bar
    }
}

/// Bytes a second, in words.
pub(crate) fn rate(bytes: u64, time: Duration) -> String {
    let seconds = time.as_secs_f64().max(1e-9);
    #[allow(clippy::cast_precision_loss, reason = "it is shown with one digit")]
    let mega = bytes as f64 / 1e6 / seconds;
    format!("{mega:.1} MB/s")
}

/// Whether a character does nothing but show itself.
pub(crate) fn is_shown(c: char) -> bool {
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !c.is_control() && !turns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_controls_a_terminal_is_not_shown() {
        assert!("é 猫!".chars().all(is_shown));
        assert!(!"\u{1b}\u{9b}\r\n\u{7f}\u{202e}\u{2066}".chars().any(is_shown));
    }

    #[test]
    fn rates_are_in_words() {
        assert_eq!(rate(3_000_000, Duration::from_secs(2)), "1.5 MB/s");
        assert!(rate(1, Duration::ZERO).ends_with("MB/s"));
    }
}
