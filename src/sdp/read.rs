//! Reading of descriptions and fragments.

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use crate::agent::Credentials;
use crate::candidate::{Candidate, ComponentId, Host, is_ice_char, is_token};
use crate::sdp::fields::{Line, Part};
use crate::sdp::{
    Description, Field, Fragment, IceAttributes, MAX_CANDIDATES, MAX_LINES, MAX_OPTIONS,
    MAX_SECTIONS, MediaSection, RemoteCandidate, RtcpAddress, Rule, SdpError,
};

/// The longest option: what a section has is held for each of many sections.
const MAX_OPTION_LEN: usize = 64;

impl FromStr for Description {
    type Err = SdpError;

    fn from_str(text: &str) -> Result<Self, SdpError> {
        let mut reader = Reader::default();
        reader.read(text)?;
        Ok(Description { sections: reader.sections })
    }
}

impl FromStr for Fragment {
    type Err = SdpError;

    fn from_str(text: &str) -> Result<Self, SdpError> {
        let mut reader = Reader { is_fragment: true, ..Reader::default() };
        reader.read(text)?;
        let mut session = IceAttributes::default();
        reader.session.apply(&mut session)?;
        Ok(Fragment { session, sections: reader.sections })
    }
}

#[derive(Default)]
struct Reader {
    is_fragment: bool,
    session: Level,
    connection: Option<Host>,
    sections: Vec<MediaSection>,
    /// What the last of the sections has of its own.
    own: Level,
    candidates: usize,
}

/// The attributes that may stand in the session and in a section. Credentials
/// come with the line on which they stand.
#[derive(Clone, Default)]
struct Level {
    ufrag: Option<(usize, Box<str>)>,
    pwd: Option<(usize, Box<str>)>,
    options: Vec<Box<str>>,
    pacing: Option<Duration>,
    lite: bool,
    end_of_candidates: bool,
}

impl Reader {
    fn read(&mut self, text: &str) -> Result<(), SdpError> {
        for (index, text) in text.split('\n').enumerate() {
            let line = Line { number: index + 1, text: text.strip_suffix('\r').unwrap_or(text) };
            if index > MAX_LINES || (index == MAX_LINES && !line.text.is_empty()) {
                let (field, rule) = (Field::Text, Rule::TooManyLines);
                return Err(SdpError { line: line.number, position: 0, field, rule });
            }
            self.line(line)?;
        }
        self.end_section()
    }

    fn line(&mut self, line: Line<'_>) -> Result<(), SdpError> {
        let mut chars = line.text.chars();
        let (letter, equals, value) = (chars.next(), chars.next(), chars.as_str());
        match (letter, equals) {
            (None, _) => Ok(()),
            (Some('m'), Some('=')) => self.media(line.value(value, Field::Media)?),
            (Some('c'), Some('=')) if !self.is_fragment => {
                self.connection(line.value(value, Field::Connection)?)
            }
            (Some('a'), Some('=')) => match value.split_once(':') {
                Some((name, value)) => self.attribute(line, name, value),
                None => {
                    self.flag(value);
                    Ok(())
                }
            },
            (Some(letter), Some('=')) if letter.is_ascii_alphabetic() => Ok(()),
            _ => {
                let (field, rule) = (Field::Line, Rule::LineForm);
                Err(SdpError { line: line.number, position: 0, field, rule })
            }
        }
    }

    fn media(&mut self, value: Part<'_>) -> Result<(), SdpError> {
        self.end_section()?;
        if self.sections.len() == MAX_SECTIONS {
            return Err(value.breaks(Rule::TooManySections));
        }
        let mut words = value.words();
        let mut next = || {
            let word = words.next().filter(|word| !word.text.is_empty());
            word.ok_or(value.breaks(Rule::MediaForm))
        };
        let media = next()?.token(Rule::MediaForm)?;
        // RFC 8866 §5.14: "/" and the number of ports.
        let port = next()?;
        let number = port.text.split_once('/').map_or(port.text, |(port, _)| port);
        let port = Part { text: number, ..port }.number(Rule::MediaForm)?;
        let protocol = next()?;
        if !protocol.text.split('/').all(is_token) {
            return Err(protocol.breaks(Rule::MediaForm));
        }
        let first = next()?;
        let formats = value.after_words(3);
        if formats.chars().any(char::is_control) {
            return Err(first.breaks(Rule::MediaForm));
        }
        self.own = Level::default();
        self.sections.push(MediaSection {
            media,
            port,
            protocol: protocol.text.into(),
            formats: formats.into(),
            ..MediaSection::default()
        });
        Ok(())
    }

    /// Of several `c=` lines of a section the first counts.
    fn connection(&mut self, value: Part<'_>) -> Result<(), SdpError> {
        let mut words = value.words();
        let network = words.next().map(|word| word.text);
        if network.is_some_and(|network| network != "IN" && is_token(network)) {
            return Ok(());
        }
        let host = address(value, 0, Rule::ConnectionForm)?;
        let slot = match self.sections.last_mut() {
            Some(section) => &mut section.connection,
            None => &mut self.connection,
        };
        slot.get_or_insert(host);
        Ok(())
    }

    fn flag(&mut self, name: &str) {
        let in_section = !self.sections.is_empty();
        let level = if in_section { &mut self.own } else { &mut self.session };
        match name {
            "ice-lite" => level.lite = true,
            "end-of-candidates" => level.end_of_candidates = true,
            _ => {}
        }
        if let Some(section) = self.sections.last_mut() {
            match name {
                "ice-mismatch" => section.ice.mismatch = true,
                "rtcp-mux" | "rtcp-mux-only" => section.rtcp_mux = true,
                _ => {}
            }
        }
    }

    fn attribute(&mut self, line: Line<'_>, name: &str, value: &str) -> Result<(), SdpError> {
        let in_section = !self.sections.is_empty();
        let level = if in_section { &mut self.own } else { &mut self.session };
        match name {
            "ice-ufrag" => {
                let value = line.value(value, Field::Ufrag)?;
                credential(line, value, 4..=256, Rule::Ufrag, &mut level.ufrag)
            }
            "ice-pwd" => {
                let value = line.value(value, Field::Pwd)?;
                credential(line, value, 22..=256, Rule::Pwd, &mut level.pwd)
            }
            "ice-options" => level.add_options(line.value(value, Field::Options)?),
            "ice-pacing" => level.set_pacing(line, line.value(value, Field::Pacing)?),
            "candidate" => self.candidate(line),
            "remote-candidates" => {
                self.remote_candidates(line, line.value(value, Field::RemoteCandidates)?)
            }
            "mid" => self.mid(line, line.value(value, Field::Mid)?),
            "rtcp" => self.rtcp(line, line.value(value, Field::Rtcp)?),
            _ => Ok(()),
        }
    }

    fn candidate(&mut self, line: Line<'_>) -> Result<(), SdpError> {
        let Some(section) = self.sections.last_mut() else {
            return Err(line.attribute(Field::Candidates, Rule::NotInSession));
        };
        if self.candidates == MAX_CANDIDATES {
            return Err(line.attribute(Field::Candidates, Rule::TooManyCandidates));
        }
        self.candidates += 1;
        // Without "a=", so that a line's length counts as it does elsewhere.
        match line.text["a=".len()..].parse::<Candidate>() {
            Ok(candidate) => section.ice.candidates.push(candidate),
            Err(error) if error.is_unsupported() => section.ice.ignored_candidates += 1,
            Err(error) => return Err(line.candidate_error(error)),
        }
        Ok(())
    }

    fn remote_candidates(&mut self, line: Line<'_>, value: Part<'_>) -> Result<(), SdpError> {
        let Some(section) = self.sections.last_mut() else {
            return Err(line.attribute(Field::RemoteCandidates, Rule::NotInSession));
        };
        let rule = Rule::RemoteCandidates;
        let mut words = value.words();
        while let Some(word) = words.next() {
            if section.ice.remote_candidates.len() == 256 {
                return Err(word.breaks(Rule::TooManyCandidates));
            }
            let component = ComponentId::new(word.number(rule)?).ok_or(word.breaks(rule))?;
            let host = words.next().ok_or(word.breaks(rule))?.host(rule)?;
            let port = words.next().ok_or(word.breaks(rule))?.number(rule)?;
            section.ice.remote_candidates.push(RemoteCandidate { component, host, port });
        }
        Ok(())
    }

    fn mid(&mut self, line: Line<'_>, value: Part<'_>) -> Result<(), SdpError> {
        let Some(section) = self.sections.last_mut() else { return Ok(()) };
        if section.mid.is_some() {
            return Err(line.attribute(Field::Mid, Rule::Twice));
        }
        section.mid = Some(value.token(Rule::Token)?);
        Ok(())
    }

    fn rtcp(&mut self, line: Line<'_>, value: Part<'_>) -> Result<(), SdpError> {
        let Some(section) = self.sections.last_mut() else { return Ok(()) };
        if section.rtcp.is_some() {
            return Err(line.attribute(Field::Rtcp, Rule::Twice));
        }
        let mut words = value.words();
        let port = words.next().ok_or(value.breaks(Rule::RtcpForm))?.number(Rule::RtcpForm)?;
        let host = match words.next() {
            Some(_) => Some(address(value, 1, Rule::RtcpForm)?),
            None => None,
        };
        section.rtcp = Some(RtcpAddress { port, host });
        Ok(())
    }

    /// Applies what the session says to the last section.
    fn end_section(&mut self) -> Result<(), SdpError> {
        let own = std::mem::take(&mut self.own);
        let Some(section) = self.sections.last_mut() else { return Ok(()) };
        if section.connection.is_none() {
            section.connection.clone_from(&self.connection);
        }
        self.session.under(own).apply(&mut section.ice)
    }
}

impl Level {
    /// What holds for a section that has `own`.
    fn under(&self, own: Level) -> Level {
        let mut options = self.options.clone();
        options.extend(own.options.into_iter().filter(|option| !self.options.contains(option)));
        Level {
            ufrag: own.ufrag.or_else(|| self.ufrag.clone()),
            pwd: own.pwd.or_else(|| self.pwd.clone()),
            options,
            pacing: own.pacing.or(self.pacing),
            lite: own.lite || self.lite,
            end_of_candidates: own.end_of_candidates || self.end_of_candidates,
        }
    }

    fn apply(self, ice: &mut IceAttributes) -> Result<(), SdpError> {
        ice.credentials = match (self.ufrag, self.pwd) {
            (Some((_, ufrag)), Some((_, pwd))) => Some(Credentials { ufrag, pwd }),
            (None, None) => None,
            (Some((number, _)), None) => {
                return Err(Line { number, text: "" }.attribute(Field::Ufrag, Rule::Alone));
            }
            (None, Some((number, _))) => {
                return Err(Line { number, text: "" }.attribute(Field::Pwd, Rule::Alone));
            }
        };
        ice.options = self.options;
        ice.pacing = self.pacing;
        ice.lite = self.lite;
        ice.end_of_candidates = self.end_of_candidates;
        Ok(())
    }

    fn add_options(&mut self, value: Part<'_>) -> Result<(), SdpError> {
        for word in value.words() {
            if word.text.len() > MAX_OPTION_LEN {
                return Err(word.breaks(Rule::Options));
            }
            let option = word.token(Rule::Options)?;
            if self.options.contains(&option) {
                continue;
            }
            if self.options.len() == MAX_OPTIONS {
                return Err(word.breaks(Rule::TooManyOptions));
            }
            self.options.push(option);
        }
        Ok(())
    }

    fn set_pacing(&mut self, line: Line<'_>, value: Part<'_>) -> Result<(), SdpError> {
        if self.pacing.is_some() {
            return Err(line.attribute(Field::Pacing, Rule::Twice));
        }
        if value.text.len() > 10 {
            return Err(value.breaks(Rule::Pacing));
        }
        self.pacing = Some(Duration::from_millis(value.number(Rule::Pacing)?));
        Ok(())
    }
}

/// RFC 8839 §5.4: so many ice-chars, once a level.
fn credential(
    line: Line<'_>,
    value: Part<'_>,
    len: RangeInclusive<usize>,
    rule: Rule,
    slot: &mut Option<(usize, Box<str>)>,
) -> Result<(), SdpError> {
    if slot.is_some() {
        return Err(line.attribute(value.field, Rule::Twice));
    }
    if !len.contains(&value.text.len()) || !value.text.bytes().all(is_ice_char) {
        return Err(value.breaks(rule));
    }
    *slot = Some((line.number, value.text.into()));
    Ok(())
}

/// `IN IP4 192.0.2.1` from the word `skip` on. What follows a multicast
/// address after "/" is of no use to ICE.
fn address(value: Part<'_>, skip: usize, rule: Rule) -> Result<Host, SdpError> {
    let mut words = value.words().skip(skip);
    let mut next = || words.next().ok_or(value.breaks(rule));
    let network = next()?;
    let kind = next()?;
    let address = next()?;
    if network.text != "IN" {
        return Err(network.breaks(rule));
    }
    if !matches!(kind.text, "IP4" | "IP6") {
        return Err(kind.breaks(rule));
    }
    let text = address.text.split_once('/').map_or(address.text, |(address, _)| address);
    let host = Part { text, ..address }.host(rule)?;
    words.next().map_or(Ok(host), |more| Err(more.breaks(rule)))
}
