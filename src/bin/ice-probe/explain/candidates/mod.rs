//! Pasted candidates: a session description, `candidate:` lines, or the lines
//! of `ice-probe stdio`; of one side, or of two.

mod findings;
mod pairing;
mod text;

use std::str::FromStr as _;

use floe::candidate::Candidate;
use floe::sdp::Description;
use serde_json::{Value, json};

use super::escape::clean;
use super::story::verdict::is_public;

pub(crate) use pairing::{sentence, to_json as pairs_to_json};
pub(crate) use text::{lines, write};

/// Candidates of a side that are looked at, and wrong lines that are told.
const MAX_CANDIDATES: usize = 100;
const MAX_WRONG: usize = 5;

/// Parts of the text that are told apart; there are two sides.
const MAX_BLOCKS: usize = 8;

/// What one side said of itself.
#[derive(Default)]
pub(crate) struct Side {
    /// `offer`, `answer`, or its place.
    pub(crate) name: String,
    pub(crate) candidates: Vec<Candidate>,
    /// It is a session description, not a mere list.
    is_description: bool,
    has_credentials: bool,
    is_lite: bool,
    has_ended: bool,
    /// Lines that are none, each with what is wrong with it.
    wrong: Vec<String>,
    left_out: usize,
}

/// The sides that `text` is of; none where nothing in it is a candidate or
/// part of a description.
pub(crate) fn read(text: &str) -> Vec<Side> {
    let mut sides: Vec<Side> = Blocks::of(text).iter().map(|block| Side::read(block)).collect();
    sides.retain(|side| side.is_description || !side.candidates.is_empty() || side.is_told());
    if sides.len() > 2 {
        let rest = sides.split_off(2);
        sides[1].wrong.push(format!("{} more sides were passed over", rest.len()));
    }
    for (side, name) in sides.iter_mut().zip(["first", "second"]) {
        if side.name.is_empty() {
            side.name = name.into();
        }
    }
    if let [only] = &mut sides[..]
        && only.name == "first"
    {
        only.name = "only".into();
    }
    sides
}

/// The text of each side: a description begins with `v=`, and an empty line
/// stands between lists.
#[derive(Default)]
struct Blocks {
    all: Vec<String>,
    /// Something in the last one is of a side.
    is_begun: bool,
}

impl Blocks {
    fn of(text: &str) -> Vec<String> {
        let mut blocks = Blocks { all: vec![String::new()], is_begun: false };
        for line in text.lines() {
            let line = line.trim_end();
            match description_in_json(line) {
                Some((kind, sdp)) => {
                    blocks.line(&format!("type={kind}"), true);
                    sdp.lines().for_each(|line| blocks.line(line, false));
                }
                None => blocks.line(line, line.is_empty() || line.starts_with("v=")),
            }
        }
        blocks.all
    }

    /// Adds a line, which may be the first of the next block.
    fn line(&mut self, line: &str, is_between: bool) {
        if is_between && self.is_begun && self.all.len() < MAX_BLOCKS {
            self.all.push(String::new());
            self.is_begun = false;
        }
        self.is_begun |= line.contains("candidate:") || line == "v=0";
        if let Some(block) = self.all.last_mut() {
            block.push_str(line);
            block.push('\n');
        }
    }
}

/// `{"type":"offer","sdp":"v=0…"}`, as browsers print it.
fn description_in_json(line: &str) -> Option<(String, String)> {
    let object = object(line)?;
    let text = |key: &str| object[key].as_str().map(str::to_owned);
    Some((text("type").unwrap_or_default(), text("sdp")?))
}

fn object(line: &str) -> Option<Value> {
    line.starts_with('{').then(|| serde_json::from_str(line).ok()).flatten()
}

impl Side {
    fn read(block: &str) -> Self {
        let mut side = Side::default();
        let mut sdp = String::new();
        for line in block.lines() {
            if let Some(kind) = line.strip_prefix("type=") {
                side.name = clean(kind).chars().take(20).collect();
                continue;
            }
            side.line(line);
            if line.get(1..2) == Some("=") {
                sdp.push_str(line);
                sdp.push('\n');
            }
        }
        side.is_description = sdp.starts_with("v=0") || sdp.contains("m=");
        if side.is_description
            && let Err(error) = Description::from_str(&sdp)
        {
            side.tell(format!("the description: {error}"));
        }
        side
    }

    fn line(&mut self, line: &str) {
        let attribute = line.strip_prefix("a=").unwrap_or(line);
        let object = object(line).unwrap_or_default();
        self.has_credentials |=
            attribute.starts_with("ice-ufrag:") || object["type"] == "credentials";
        self.is_lite |= attribute == "ice-lite" || object["lite"] == true;
        self.has_ended |= attribute == "end-of-candidates" || object["type"] == "end-of-candidates";
        let Some(at) = line.find("candidate:") else { return };
        let own = line[at..].split(['"', '\'']).next().unwrap_or_default().trim();
        let own = object["candidate"].as_str().unwrap_or(own);
        if own.len() <= "candidate:".len() {
            self.has_ended = true;
            return;
        }
        match own.parse::<Candidate>() {
            Ok(_) if self.candidates.len() == MAX_CANDIDATES => self.left_out += 1,
            Ok(candidate) if self.candidates.contains(&candidate) => {}
            Ok(candidate) => self.candidates.push(candidate),
            Err(error) => self.tell(format!("`{}`: {error}", clean(own))),
        }
    }

    fn tell(&mut self, wrong: String) {
        if self.wrong.len() < MAX_WRONG {
            self.wrong.push(clean(&wrong));
        }
    }

    fn is_told(&self) -> bool {
        !self.wrong.is_empty() || (self.has_credentials && self.has_ended)
    }

    /// The side as an object.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "side": self.name,
            "candidates": self.candidates.iter().map(|candidate| json!({
                "candidate": clean(&candidate.to_string()),
                "type": candidate.kind.to_string(),
                "transport": crate::words::transport(candidate),
                "public": is_public(candidate),
                "text": text::sort(candidate),
            })).collect::<Vec<_>>(),
            "findings": self.findings(),
            "wrong": self.wrong,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "candidate:1 1 UDP 2130706431 10.0.0.1 5000 typ host";
    const SRFLX: &str =
        "candidate:2 1 UDP 1694498815 203.0.113.1 6000 typ srflx raddr 10.0.0.1 rport 5000";

    #[test]
    fn candidates_are_found_in_whatever_was_pasted() {
        for text in [
            HOST.to_owned(),
            format!("a={HOST}\r\n"),
            format!(r#"{{"type":"candidate","candidate":"{HOST}","ufrag":"x"}}"#),
            format!(r#"{{"candidate":"{HOST}","sdpMid":"0"}}"#),
            format!("some log: '{HOST}' came"),
            format!("v=0\nm=audio 9 UDP/TLS/RTP/SAVPF 0\na={HOST}\n"),
        ] {
            let sides = read(&text);
            assert_eq!(sides.len(), 1, "{text}");
            assert_eq!(sides[0].candidates, [HOST.parse().unwrap()], "{text}");
        }
        assert!(read("nothing of that\n").is_empty());
    }

    #[test]
    fn an_offer_and_an_answer_are_two_sides() {
        let sdp =
            |line: &str| format!("v=0\\r\\nm=audio 9 UDP/TLS/RTP/SAVPF 0\\r\\na={line}\\r\\n");
        let text = format!(
            "{{\"type\":\"offer\",\"sdp\":\"{}\"}}\n{{\"type\":\"answer\",\"sdp\":\"{}\"}}\n",
            sdp(HOST),
            sdp(SRFLX)
        );
        let names: Vec<String> = read(&text).into_iter().map(|side| side.name).collect();
        assert_eq!(names, ["offer", "answer"]);
        let lists = read(&format!("{HOST}\n{SRFLX}\n\n{HOST}\n"));
        let counts: Vec<usize> = lists.iter().map(|side| side.candidates.len()).collect();
        assert_eq!(counts, [2, 1]);
    }

    #[test]
    fn a_wrong_line_is_told_and_the_others_count() {
        let sides = read(&format!("{HOST}\ncandidate:1 1 UDP x y\u{1b}\n"));
        assert_eq!((sides[0].candidates.len(), sides[0].wrong.len()), (1, 1));
        assert!(!sides[0].wrong[0].contains('\u{1b}'));
    }

    #[test]
    fn no_more_are_kept_than_the_bound() {
        let line = |port: usize| format!("candidate:1 1 UDP 1 10.0.0.1 {port} typ host\n");
        let sides = read(&(1..=MAX_CANDIDATES + 7).map(line).collect::<String>());
        assert_eq!((sides[0].candidates.len(), sides[0].left_out), (MAX_CANDIDATES, 7));
    }
}
