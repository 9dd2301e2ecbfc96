//! Candidate lines: whatever is read is printed and read again as the same.

use floe::candidate::{Candidate, MAX_LINE, MAX_PRIORITY};
use floe::net::Protocol;

/// Two IPv6 addresses with one group of zeros written as `::` grow by a byte
/// each when they are printed; nothing else grows.
const MAX_PRINTED: usize = MAX_LINE + 2;

/// Reads `data` as a candidate line.
pub fn run(data: &[u8]) {
    let Ok(line) = std::str::from_utf8(data) else { return };
    match line.parse::<Candidate>() {
        Ok(candidate) => {
            assert!(line.len() <= MAX_LINE);
            check(&candidate);
        }
        Err(error) => {
            assert!(error.position <= line.len());
            assert!(!error.to_string().is_empty());
        }
    }
}

fn check(candidate: &Candidate) {
    assert!((1..=MAX_PRIORITY).contains(&candidate.priority));
    assert!((1..=256).contains(&candidate.component.number()));
    assert_eq!(candidate.tcp_type.is_some(), candidate.protocol == Protocol::Tcp);
    let printed = candidate.to_string();
    assert!(printed.len() <= MAX_PRINTED, "{printed}");
    assert!(printed.bytes().all(|b| b == b' ' || b.is_ascii_graphic()), "{printed:?}");
    if printed.len() <= MAX_LINE {
        assert_eq!(printed.parse().as_ref(), Ok(candidate), "{printed}");
    }
}
