//! Descriptions and fragments: what is read is within its bounds, is printed,
//! and is read again as what prints the same.

use floe::candidate::MAX_LINE;
use floe::sdp::{
    Description, Fragment, IceAttributes, MAX_CANDIDATES, MAX_LINES, MAX_OPTIONS, MAX_SECTIONS,
    MediaSection, SdpError,
};

/// Reads `data` as a description and as a fragment.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match text.parse::<Description>() {
        Ok(description) => check_sections(&description.sections),
        Err(error) => check_error(text, &error),
    }
    match text.parse::<Fragment>() {
        Ok(fragment) => {
            check_sections(&fragment.sections);
            check_printed(&fragment);
        }
        Err(error) => check_error(text, &error),
    }
}

fn check_error(text: &str, error: &SdpError) {
    assert!((1..=MAX_LINES + 1).contains(&error.line));
    let line = text.split('\n').nth(error.line - 1).expect("the line exists");
    assert!(error.position <= line.len(), "{error}");
    assert!(!error.to_string().is_empty());
}

fn check_sections(sections: &[MediaSection]) {
    assert!(sections.len() <= MAX_SECTIONS);
    let candidates = |ice: &IceAttributes| ice.candidates.len() + ice.ignored_candidates;
    let total: usize = sections.iter().map(|section| candidates(&section.ice)).sum();
    assert!(total <= MAX_CANDIDATES);
    for section in sections {
        let ice = &section.ice;
        // Those of the session and those of the section.
        assert!(ice.options.len() <= 2 * MAX_OPTIONS);
        assert!(ice.remote_candidates.len() <= 256);
        let _ = section.ice_support();
        if let Some(remote) = ice.remote_parameters() {
            assert!((4..=256).contains(&remote.credentials.ufrag.len()));
            assert!((22..=256).contains(&remote.credentials.pwd.len()));
        }
    }
}

/// Lines that are too long to be read again can only come of several that
/// were put together, or of notations that grow.
fn check_printed(fragment: &Fragment) {
    let printed = fragment.to_string();
    if printed.split("\r\n").any(|line| line.len() > MAX_LINE) {
        return;
    }
    let again = printed.parse::<Fragment>().expect("what is printed can be read");
    assert_eq!(again.to_string(), printed);
}
