//! Candidates for a terminal.

use std::fmt::{self, Write};

use floe::candidate::{Candidate, Host, Kind, PairingClass, is_mdns_name};
use owo_colors::OwoColorize;

use super::pairing::{pairs, sentence};
use super::{Side, clean};
use crate::explain::kinds::NetworkKind;
use crate::explain::lines::wrapped;
use crate::words;

/// More pairs are not shown.
const MAX_PAIRS: usize = 40;

/// What the sides say.
pub(crate) fn write(sides: &[Side]) -> String {
    let mut out = String::new();
    let written = report(&mut out, sides);
    written.expect("invariant: writing to a string succeeds");
    out
}

fn report(out: &mut String, sides: &[Side]) -> fmt::Result {
    wrapped(out, "", "", &sentence(sides))?;
    for (title, texts) in lines(sides) {
        writeln!(out, "\n{}", title.bold())?;
        for text in texts {
            wrapped(out, "  ", "    ", &text)?;
        }
    }
    Ok(())
}

/// Headings, each with its lines.
pub(crate) fn lines(sides: &[Side]) -> Vec<(String, Vec<String>)> {
    let mut all = Vec::new();
    for side in sides {
        let of = |what: &str| match &*side.name {
            "only" => what.to_owned(),
            name => format!("{what}: {name} side"),
        };
        let mut candidates: Vec<String> = side.candidates.iter().map(line).collect();
        if candidates.is_empty() {
            candidates.push("none".into());
        }
        all.push((of("Candidates"), candidates));
        let mut findings: Vec<String> =
            side.findings().into_iter().map(|text| format!("- {text}")).collect();
        findings.extend(side.wrong.iter().map(|text| format!("- Passed over: {text}")));
        all.push((of("What they tell"), findings));
    }
    if sides.len() == 2 {
        all.push(("Pairs, in the order of their priority".into(), pair_lines(sides)));
    }
    all.retain(|(_, texts)| !texts.is_empty());
    all
}

fn pair_lines(sides: &[Side]) -> Vec<String> {
    let pairs = pairs(sides);
    let shown = pairs.iter().take(MAX_PAIRS);
    let mut lines: Vec<String> =
        shown.map(|pair| format!("{}: {}", pair.title(), pair.chance().words())).collect();
    match pairs.len().checked_sub(MAX_PAIRS) {
        None if lines.is_empty() => lines.push("none".into()),
        Some(left @ 1..) => lines.push(format!("and {left} more")),
        _ => {}
    }
    lines
}

fn line(candidate: &Candidate) -> String {
    let place = clean(&words::place(candidate));
    let component = match candidate.component.number() {
        1 => String::new(),
        number => format!(", component {number}"),
    };
    let (transport, sort) = (words::transport(candidate), sort(candidate));
    format!("{place}, {transport}{component}: {sort}; pairs with {}", mate(candidate))
}

/// What a candidate is.
pub(super) fn sort(candidate: &Candidate) -> String {
    let network = match &candidate.host {
        Host::Ip(ip) => NetworkKind::of(*ip).words().to_owned(),
        Host::Name(name) if is_mdns_name(name) => "a name that hides an address".into(),
        Host::Name(_) => "a name, which ICE does not resolve".into(),
    };
    let base = candidate.related.filter(|base| !base.ip().is_unspecified());
    let base = base.map(|base| format!(" of {base}")).unwrap_or_default();
    match candidate.kind {
        Kind::Host => format!("an address of its own, {network}"),
        Kind::ServerReflexive => format!("the NAT's address{base} as a server sees it, {network}"),
        Kind::PeerReflexive => format!("the NAT's address{base} as the peer sees it, {network}"),
        Kind::Relayed => format!("an address on a relay, {network}"),
    }
}

/// What it can be paired with.
fn mate(candidate: &Candidate) -> String {
    let family = match candidate.address() {
        Some(address) if address.is_ipv4() => "IPv4 ",
        Some(_) => "IPv6 ",
        None => "",
    };
    match PairingClass::of_candidate(candidate).mate().tcp_type() {
        None => format!("the peer's {family}udp"),
        Some(tcp_type) => format!("the peer's {family}tcp {tcp_type}"),
    }
}
