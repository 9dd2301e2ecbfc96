//! `rfc-notes/*.md`: the lines parse, ids are unique, statuses have what they
//! need, and the counts in the headings add up. `rfc-notes/README.md` has the
//! format.

use std::collections::BTreeSet;
use std::fmt;

use crate::{files, read};

/// How binding a requirement is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Must,
    Should,
    May,
    Rule,
}

/// What floe does about a requirement.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Done,
    Type,
    Partial,
    Todo,
    Deviates,
    NotApplicable,
}

/// One line of the notes.
pub(crate) struct Requirement {
    pub(crate) id: String,
    pub(crate) level: Level,
    pub(crate) status: Status,
    pub(crate) code: Vec<String>,
    pub(crate) tests: Vec<String>,
    pub(crate) why: Option<String>,
}

/// One file of the notes.
pub(crate) struct Notes {
    pub(crate) path: String,
    /// The RFC's number.
    pub(crate) number: String,
    /// The RFC's title.
    pub(crate) title: String,
    pub(crate) requirements: Vec<Requirement>,
}

/// A heading's section and counts: `## 5.1 Title: 3 normative, 4 listed, 1 rules`.
struct Heading<'a> {
    section: &'a str,
    normative: usize,
    listed: usize,
}

/// A mistake in the notes, with its line.
pub(crate) struct Mistake(String);

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The paths of the notes.
fn paths() -> Vec<String> {
    files("rfc-notes", "md")
        .into_iter()
        .map(|path| path.to_string_lossy().into_owned())
        .filter(|path| !path.ends_with("README.md"))
        .collect()
}

/// All notes that can be read.
pub(crate) fn all() -> Vec<Notes> {
    paths().iter().filter_map(|path| parse(path, &read(path)).0).collect()
}

/// Reads one file: what is right in it, and what is not.
fn parse(path: &str, text: &str) -> (Option<Notes>, Vec<Mistake>) {
    let mut mistakes = Vec::new();
    let title = text.lines().next().and_then(|line| line.strip_prefix("# RFC "));
    let Some((number, title)) = title.and_then(|title| title.split_once(": ")) else {
        return (None, vec![Mistake(format!("{path}:1: not `# RFC number: title`"))]);
    };
    if path != format!("rfc-notes/rfc{number}.md") {
        mistakes.push(Mistake(format!("{path}:1: the title says RFC {number}")));
    }
    let mut notes = Notes {
        path: path.to_owned(),
        number: number.to_owned(),
        title: title.to_owned(),
        requirements: Vec::new(),
    };
    let mut section = None;
    for (i, line) in text.lines().enumerate() {
        let mut wrong = |what: String| mistakes.push(Mistake(format!("{path}:{}: {what}", i + 1)));
        if line.starts_with("## ") {
            match heading(line) {
                Some(heading) => section = Some(heading.section),
                None => wrong("the heading has no counts".to_owned()),
            }
        } else if line.starts_with("- R") {
            match requirement(line) {
                Ok(requirement) => {
                    let prefix = format!("R{number}-{}-", section.unwrap_or("?"));
                    let rest = requirement.id.strip_prefix(&prefix);
                    if !rest.is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit())) {
                        wrong(format!("{} is not {prefix} and a number", requirement.id));
                    }
                    notes.requirements.push(requirement);
                }
                Err(what) => wrong(what),
            }
        }
    }
    (Some(notes), mistakes)
}

fn heading(line: &str) -> Option<Heading<'_>> {
    let (section, rest) = line.strip_prefix("## ")?.split_once(' ')?;
    let (_, counts) = rest.rsplit_once(": ")?;
    let mut counts = counts.split(", ");
    let mut count = |word: &str| -> Option<usize> {
        counts.next()?.strip_suffix(word)?.trim_end().parse().ok()
    };
    let heading = Heading { section, normative: count("normative")?, listed: count("listed")? };
    count("rules")?;
    counts.next().is_none().then_some(heading)
}

fn requirement(line: &str) -> Result<Requirement, String> {
    let mut fields = line.trim_start_matches("- ").split(" | ");
    let mut next = |what: &str| fields.next().ok_or(format!("no {what}"));
    let id = next("id")?.to_owned();
    let level = match next("level")? {
        "MUST" => Level::Must,
        "SHOULD" => Level::Should,
        "MAY" => Level::May,
        "RULE" => Level::Rule,
        other => return Err(format!("{id}: `{other}` is no level")),
    };
    let status = match next("status")? {
        "done" => Status::Done,
        "type" => Status::Type,
        "partial" => Status::Partial,
        "todo" => Status::Todo,
        "deviates" => Status::Deviates,
        "n/a" => Status::NotApplicable,
        other => return Err(format!("{id}: `{other}` is no status")),
    };
    if next("text")?.trim().is_empty() {
        return Err(format!("{id}: no text"));
    }
    let mut requirement =
        Requirement { id, level, status, code: Vec::new(), tests: Vec::new(), why: None };
    for field in fields {
        let links = |text: &str| text.split(", ").map(|link| link.trim().to_owned()).collect();
        match field.split_once(": ") {
            Some(("code", text)) if requirement.code.is_empty() => requirement.code = links(text),
            Some(("test", text)) if requirement.tests.is_empty() => requirement.tests = links(text),
            Some(("why", text)) if requirement.why.is_none() => {
                requirement.why = Some(text.trim().to_owned());
            }
            _ => return Err(format!("{}: `{field}` is not code:, test: or why:", requirement.id)),
        }
    }
    Ok(requirement)
}

/// What the status of `requirement` asks for and is not there.
fn missing(requirement: &Requirement) -> Option<&'static str> {
    let no_code = requirement.code.is_empty();
    let no_test = requirement.tests.is_empty();
    let no_reason = requirement.why.as_ref().is_none_or(|why| why.is_empty());
    match requirement.status {
        Status::Done if no_code => Some("code"),
        Status::Done if no_test => Some("a test"),
        Status::Type if no_code => Some("code"),
        Status::Partial | Status::Deviates | Status::NotApplicable if no_reason => Some("a reason"),
        _ => None,
    }
}

#[test]
fn every_line_parses_and_has_what_it_needs() {
    let mut problems = Vec::new();
    let mut ids = BTreeSet::new();
    for path in paths() {
        let (notes, mistakes) = parse(&path, &read(&path));
        problems.extend(mistakes.iter().map(Mistake::to_string));
        for requirement in notes.into_iter().flat_map(|notes| notes.requirements) {
            if let Some(what) = missing(&requirement) {
                problems.push(format!("{path}: {} lacks {what}", requirement.id));
            }
            if !ids.insert(requirement.id.clone()) {
                problems.push(format!("{path}: {} stands there twice", requirement.id));
            }
        }
    }
    assert!(!ids.is_empty(), "there are no notes");
    crate::expect_none(&problems);
}

/// The RFCs that floe claims as an agent over UDP: nothing that they demand is
/// left open. What TCP candidates need (RFC 4571, RFC 6544) is listed before it
/// is built.
const CLAIMED: [&str; 8] = ["7675", "7983", "8421", "8445", "8489", "8838", "8839", "8863"];

#[test]
fn no_must_of_a_claimed_rfc_is_open() {
    let all = all();
    for number in CLAIMED {
        assert!(all.iter().any(|notes| notes.number == number), "there are no notes on {number}");
    }
    let claimed = all.iter().filter(|notes| CLAIMED.contains(&notes.number.as_str()));
    let open = claimed.flat_map(|notes| &notes.requirements).filter(|requirement| {
        requirement.level == Level::Must
            && matches!(requirement.status, Status::Todo | Status::Partial)
    });
    let open: Vec<String> = open.map(|requirement| format!("{} is open", requirement.id)).collect();
    crate::expect_none(&open);
}

#[test]
fn counts_in_headings_add_up() {
    let mut problems = Vec::new();
    for path in paths() {
        let text = read(&path);
        let counted = with_counts(&text);
        if counted != text && crate::may_write() {
            std::fs::write(crate::root().join(&path), &counted).expect("the notes can be written");
        } else {
            let lines = text.lines().zip(counted.lines()).enumerate();
            for (i, (is, should)) in lines.filter(|(_, (is, should))| is != should) {
                problems.push(format!("{path}:{}: `{is}` should be `{should}`", i + 1));
            }
        }
        for heading in counted.lines().filter_map(heading) {
            if heading.listed < heading.normative {
                problems.push(format!("{path}: section {} lacks lines", heading.section));
            }
        }
    }
    crate::expect_none(&problems);
}

/// `text` with the right numbers of lines and rules in its headings.
fn with_counts(text: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let (mut listed, mut rules) = (0, 0);
    for i in (0..lines.len()).rev() {
        match requirement(&lines[i]) {
            Ok(requirement) if requirement.level == Level::Rule => rules += 1,
            Ok(_) => listed += 1,
            Err(_) => {}
        }
        if let Some(heading) = heading(&lines[i]) {
            let normative = heading.normative;
            if let Some((title, _)) = lines[i].rsplit_once(": ") {
                lines[i] =
                    format!("{title}: {normative} normative, {listed} listed, {rules} rules");
            }
            (listed, rules) = (0, 0);
        }
    }
    lines.join("\n") + "\n"
}

#[test]
fn mistakes_are_found() {
    let text = "# RFC 1: T\n## 2 X: 1 normative, 1 listed, 0 rules\n\
                - R1-2-1 | MUST | done | a | code: a.rs#b | test: c::d\n";
    assert!(parse("rfc-notes/rfc1.md", text).1.is_empty());
    for (from, to) in [
        ("R1-2-1", "R1-3-1"),
        ("MUST", "WANT"),
        ("done", "made"),
        ("code: ", "codes: "),
        ("1 listed, ", ""),
        ("# RFC 1: T", "# RFC 1"),
        ("# RFC 1:", "# RFC 2:"),
    ] {
        assert!(!parse("rfc-notes/rfc1.md", &text.replacen(from, to, 1)).1.is_empty(), "{to}");
    }
    let unproven = requirement("- R1-2-1 | MUST | done | a | code: a.rs#b").map(|r| missing(&r));
    assert_eq!(unproven, Ok(Some("a test")));
    assert_eq!(with_counts(&text.replace("1 listed", "7 listed")), text);
}
