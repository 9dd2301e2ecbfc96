//! Logs as files: written, read back, cut, damaged.

use floe::agent::replay::replay;
use floe::agent::{Event, LogFile, LogFileError, LogLine, LogRecord};
use floe::rng::{Rng, Seed};

use crate::session::{Session, below};

const HEADER: &str = r#"{"version":1,"replayable":true,"command":"test"}"#;

fn written(records: &[LogRecord]) -> String {
    let mut text = HEADER.to_owned() + "\n";
    for record in records {
        text += &(serde_json::to_string(record).unwrap() + "\n");
    }
    text
}

#[test]
fn what_is_written_is_read_and_replays() {
    for seed in 0..100 {
        let mut session = Session::new(seed);
        session.run();
        for side in 0..2 {
            let records = session.pair.records(side);
            let text = written(records);
            let file = LogFile::parse(&text).unwrap();
            assert!(!file.is_cut);
            assert_eq!(file.agents(), [None]);
            assert!(file.of(None).eq(records), "seed {seed}");
            replay(file.of(None).cloned()).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            for pwd in passwords(&session) {
                assert!(!text.contains(&*pwd), "seed {seed}: a password is in the log");
            }
        }
    }
}

/// All that the two sides had, those before restarts included.
fn passwords(session: &Session) -> Vec<Box<str>> {
    let mut passwords = vec!["anotherPasswordThatIsLong".into()];
    for side in 0..2 {
        let core = session.pair.core(side);
        let current = core.streams().filter_map(|stream| core.local_credentials(stream));
        passwords.extend(current.map(|credentials| credentials.pwd.clone()));
        passwords.extend(session.pair.events(side).iter().filter_map(|(_, e)| match e {
            Event::Restarted { credentials, .. } => Some(credentials.pwd.clone()),
            _ => None,
        }));
    }
    passwords
}

#[test]
fn several_agents_share_a_file() {
    let mut session = Session::new(3);
    session.run();
    let mut text = HEADER.to_owned() + "\n";
    for (side, name) in ["A", "B"].into_iter().enumerate() {
        for record in session.pair.records(side) {
            let line = LogLine { agent: Some(name.into()), record: record.clone() };
            text += &(serde_json::to_string(&line).unwrap() + "\n");
        }
    }
    let file = LogFile::parse(&text).unwrap();
    assert_eq!(file.agents(), [Some("A"), Some("B")]);
    for (side, name) in ["A", "B"].into_iter().enumerate() {
        let replayed = replay(file.of(Some(name)).cloned()).unwrap();
        assert_eq!(replayed.records, session.pair.records(side).len() as u64);
    }
}

#[test]
fn other_files_are_refused_with_the_reason() {
    let cases = [
        ("", LogFileError::NoHeader),
        ("hello\n", LogFileError::NoHeader),
        ("{\"version\":2,\"replayable\":true}\n", LogFileError::Version(2)),
        ("{\"version\":1}\n", LogFileError::NotReplayable),
    ];
    for (text, error) in cases {
        assert_eq!(LogFile::parse(text), Err(error), "{text}");
    }
    let lines = [
        r#"{"t":0.0,"ev":"from-the-future"}"#,
        r#"{"t":-1.0,"ev":"socket-closed","base":0}"#,
        r#"{"t":1e300,"ev":"socket-closed","base":0}"#,
        r#"{"ev":"socket-closed","base":0}"#,
        r#"{"t":0.0,"ev":"socket-closed"}"#,
        r#"{"t":0.0,"ev":"pair-lost","pair":0,"reason":"superseded"}"#,
        "[]",
    ];
    for line in lines {
        let text = format!("{HEADER}\n{line}\n");
        let error = LogFile::parse(&text).unwrap_err();
        assert!(matches!(error, LogFileError::Line { line: 2, .. }), "{line}: {error}");
    }
    let long = format!("{HEADER}\n{}\n", " ".repeat(2 << 20));
    assert!(matches!(LogFile::parse(&long), Err(LogFileError::Line { line: 2, .. })));
}

#[test]
fn a_file_that_was_cut_is_read_up_to_there() {
    let mut session = Session::new(11);
    session.run();
    let text = written(session.pair.records(1));
    let lines = text.lines().count() - 1;
    for end in (HEADER.len() + 1..text.len()).step_by(97) {
        if !text.is_char_boundary(end) {
            continue;
        }
        let file = LogFile::parse(&text[..end]).unwrap();
        assert!(file.lines.len() <= lines);
        match file.lines.is_empty() {
            true => assert!(replay(file.of(None).cloned()).is_err()),
            false => drop(replay(file.of(None).cloned()).unwrap()),
        }
    }
}

/// Whatever a file says, it is read or refused, and replays or does not.
#[test]
fn damaged_files_do_no_harm() {
    let mut dice = Rng::new(&Seed::from_number(1));
    let (mut read, mut replays) = (0, 0);
    for seed in 0..30 {
        let mut session = Session::new(seed);
        session.run();
        let text = written(session.pair.records(0)).into_bytes();
        for _ in 0..20 {
            let mut damaged = text.clone();
            for _ in 0..=below(&mut dice, 3) {
                let at = HEADER.len()
                    + 1
                    + below(&mut dice, (text.len() - HEADER.len() - 1) as u64) as usize;
                damaged[at] = match damaged[at] {
                    b'0'..=b'9' => b'0' + below(&mut dice, 10) as u8,
                    b'a'..=b'f' => b'a' + below(&mut dice, 6) as u8,
                    other => other,
                };
            }
            let Ok(file) = LogFile::parse(&String::from_utf8(damaged).unwrap()) else { continue };
            read += 1;
            replays += usize::from(replay(file.of(None).cloned()).is_ok());
        }
    }
    assert!(read > 100 && replays < read, "{read} read, {replays} replayed");
}
