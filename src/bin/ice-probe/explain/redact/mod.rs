//! Stand-ins for addresses and names: the same for the same, so that what
//! belongs together still does.

mod addresses;

use std::collections::BTreeMap;
use std::net::IpAddr;

use floe::agent::LogLine;
use floe::candidate::is_mdns_name;
use serde_json::{Value, json};

use addresses::Addresses;

/// More names are not told apart.
const MAX_NAMES: usize = 4_096;

/// What is longer than any name and address with its port is left out, in bytes.
const MAX_RUN: usize = 320;

/// What a log says beside addresses, and what is left of it: nothing.
const EMPTIED: [&str; 6] = ["allow", "deny", "ca", "values", "draws", "ports"];

/// Whose USERNAME a message has, as a log says it.
const OWNERS: [&str; 3] = ["ours", "previous", "foreign"];

/// The stand-ins so far.
#[derive(Default)]
pub(crate) struct Redactor {
    addresses: Addresses,
    /// Names in lower case, users and interfaces.
    names: BTreeMap<String, String>,
}

impl Redactor {
    /// The header of a log; `None` where it is none.
    pub(crate) fn header(&mut self, line: &str) -> Option<String> {
        let mut header: Value = serde_json::from_str(line).ok()?;
        self.value("", &mut header);
        let fields = header.as_object_mut()?;
        // The stand-ins are not what the agent was told.
        fields.insert("replayable".into(), false.into());
        fields.insert("redacted".into(), true.into());
        serde_json::to_string(&header).ok()
    }

    /// A line of a log behind the header.
    pub(crate) fn line(&mut self, line: &str) -> Result<LogLine, String> {
        let mut value: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
        self.value("", &mut value);
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    /// Any text: the addresses and names in it.
    pub(crate) fn text(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(is_of_run) {
            let (before, run) = rest.split_at(at);
            let end = run.find(|c| !is_of_run(c)).unwrap_or(run.len());
            out.push_str(before);
            out.push_str(&self.run(&run[..end]));
            rest = &run[end..];
        }
        out.push_str(rest);
        out
    }

    fn value(&mut self, key: &str, value: &mut Value) {
        match value {
            Value::String(text) => {
                *text = match key {
                    // Of a message's it is only told whose it names.
                    "username" if OWNERS.contains(&&**text) => text.clone(),
                    "username" => self.name(text, |number| format!("user-{number}")),
                    "interface" => self.name(text, |number| format!("if-{number}")),
                    "host" if text.parse::<IpAddr>().is_err() => self.host(text),
                    "proxy" => self.name(text, |number| format!("proxy-{number}")),
                    _ => self.text(text),
                };
            }
            Value::Array(_) if EMPTIED.contains(&key) => *value = json!([]),
            Value::Array(values) => values.iter_mut().for_each(|value| self.value(key, value)),
            Value::Object(fields) => {
                fields.iter_mut().for_each(|(key, value)| self.value(key, value));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Characters in a row of which addresses and names are made.
    fn run(&mut self, run: &str) -> String {
        if run.len() > MAX_RUN {
            return "-".into();
        }
        if let Some(ip) = self.ip(run) {
            return ip;
        }
        let own = run.trim_end_matches(['.', ':', '-', '_']);
        if own.is_empty() {
            return run.to_owned();
        }
        if own.len() < run.len() {
            return self.run(own) + &run[own.len()..];
        }
        if let Some((left, right)) = own.rsplit_once(':')
            && right.bytes().all(|byte| byte.is_ascii_digit())
            && !left.is_empty()
        {
            return self.run(left) + ":" + right;
        }
        if let Some((left, right)) = own.split_once(':') {
            return format!("{left}:{}", self.run(right));
        }
        if is_name(own) || self.names.contains_key(&own.to_lowercase()) {
            return self.host(own);
        }
        own.to_owned()
    }

    fn ip(&mut self, text: &str) -> Option<String> {
        let (text, scope) = text.split_once('%').map_or((text, None), |(a, s)| (a, Some(s)));
        let ip = self.addresses.of(text.parse().ok()?);
        // A scope can be the name of an interface.
        let scope = scope.filter(|scope| scope.parse::<u32>().is_ok());
        Some(scope.map_or_else(|| ip.to_string(), |scope| format!("{ip}%{scope}")))
    }

    fn host(&mut self, name: &str) -> String {
        if is_mdns_name(name) {
            return self
                .name(name, |number| format!("00000000-0000-4000-8000-{number:012x}.local"));
        }
        self.name(name, |number| format!("host-{number}.example"))
    }

    fn name(&mut self, name: &str, stand_in: impl FnOnce(usize) -> String) -> String {
        let number = self.names.len() + 1;
        if number > MAX_NAMES && !self.names.contains_key(&name.to_lowercase()) {
            return stand_in(0);
        }
        self.names.entry(name.to_lowercase()).or_insert_with(|| stand_in(number)).clone()
    }
}

fn is_of_run(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '-' | '_' | '%')
}

/// Whether it looks like the name of a host: labels of letters, digits and
/// hyphens, of which the last is a word.
fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let Some((_, last)) = text.rsplit_once('.') else { return false };
    text.split('.').all(is_label)
        && last.len() >= 2
        && last.bytes().all(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_text_are_found_however_they_stand_there() {
        let mut redactor = Redactor::default();
        let text = redactor.text(
            "from 81.2.69.142:5000 to [2a00:1450::5]:443, turn:81.2.69.142:3478?transport=tcp, \
             stun:stun.corp.test:3478; 81.2.69.160. Candidate candidate:1 1 UDP 99 10.7.8.9 5 typ \
             host raddr fe80::1%eth0 rport 9",
        );
        assert_eq!(
            text,
            "from 192.0.2.1:5000 to [2001:db8:1:1::1]:443, turn:192.0.2.1:3478?transport=tcp, \
             stun:host-1.example:3478; 192.0.2.2. Candidate candidate:1 1 UDP 99 10.0.0.1 5 typ \
             host raddr fe80::1 rport 9"
        );
    }

    #[test]
    fn what_is_no_address_stays() {
        let mut redactor = Redactor::default();
        for text in ["", "version 1.2.3", "12:30:45", "pair 3: no-answer (x)", "a=b", "::x", "ÄÖ."]
        {
            assert_eq!(redactor.text(text), text);
        }
    }

    #[test]
    fn what_is_too_long_is_left_out() {
        let mut redactor = Redactor::default();
        let long = "x:".repeat(500_000);
        assert_eq!(redactor.text(&format!("a {long}81.2.69.142 b")), "a - b");
    }

    #[test]
    fn names_have_one_stand_in_each() {
        let mut redactor = Redactor::default();
        let name = "3b1c2f6e-1f0a-4f5e-9d57-0d3c9c0a7b11.local";
        let text = redactor.text(&format!("{name} turn.corp.test TURN.corp.test {name}"));
        let words: Vec<&str> = text.split(' ').collect();
        assert_eq!((words[0], words[1]), (words[3], words[2]));
        assert!(is_mdns_name(words[0]) && words[1].ends_with(".example"), "{text}");
    }

    #[test]
    fn a_log_keeps_its_form_and_loses_what_is_told_of_people() {
        let mut redactor = Redactor::default();
        let line = r#"{"t":1.5,"ev":"input","input":"local-addresses","addresses":[{"ip":"10.9.8.7","interface":"enx00e04c680001","index":2,"prefix":24,"temporary":null,"deprecated":null}]}"#;
        let line = serde_json::to_string(&redactor.line(line).unwrap()).unwrap();
        assert!(line.contains("10.0.0.1") && line.contains("if-1"), "{line}");
        let header = redactor
            .header(r#"{"version":1,"options":{"ca":["/home/me/x"],"turn":["turn:a.test"]}}"#);
        let header = header.unwrap();
        assert!(!header.contains("/home/me") && !header.contains("a.test"), "{header}");
        assert!(header.contains(r#""replayable":false"#), "{header}");
    }
}
