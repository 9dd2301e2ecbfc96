//! The report for programs.

use floe::agent::TurnTransport;
use floe::discovery::{Answer, DialBack, Finding, Hairpin, Outlook, Ports, Report};
use floe::driver::discovery::{Crossing, StageReport, TcpAnswer, TcpReport};
use floe::net::{self, Family};
use serde_json::{Value, json};

use super::outlooks::{Row, peer_word, rows};
use super::port_mapping::{PortMapping, Told};
use super::survey::{FamilyReport, Interface, Stun, Survey, Turn};
use super::verdict::Verdict;
use crate::words::millis;

/// The version of the report: it changes only with a major version.
const VERSION: u32 = 1;

/// The whole report.
pub(crate) fn object(survey: &Survey, verdict: &Verdict) -> Value {
    json!({
        "version": VERSION,
        "verdict": {
            "text": verdict.text,
            "direct": yes_no(verdict.direct),
            "exit": verdict.exit.code(),
            "reasons": verdict.reasons,
            "advice": verdict.advice,
            "warnings": verdict.warnings,
        },
        "interfaces": survey.interfaces.iter().map(interface).collect::<Vec<_>>(),
        "stun": survey.stun.iter().map(stun).collect::<Vec<_>>(),
        "families": survey.families.iter().map(family).collect::<Vec<_>>(),
        "turn": survey.turn.iter().map(turn).collect::<Vec<_>>(),
        "simultaneous-open": crossing(survey.crossing),
        "port-mapping": survey.port_mapping.as_ref().map(port_mapping),
        "nat64": survey.nat64,
        "what-if": rows(survey).iter().map(row).collect::<Vec<_>>(),
        "elapsed-ms": millis(survey.elapsed),
    })
}

fn port_mapping(router: &PortMapping) -> Value {
    let told = |told: &Told| match told {
        Told::External(ip) => json!({"answer": "yes", "external": ip}),
        Told::Refused(text) => json!({"answer": "refused", "text": text}),
        Told::Silent => json!({"answer": "silent"}),
    };
    json!({
        "gateway": router.gateway,
        "pcp": told(&router.pcp),
        "nat-pmp": told(&router.nat_pmp),
        "upnp": told(&router.upnp),
    })
}

/// `unknown` is a word of its own.
pub(crate) fn yes_no(known: Option<bool>) -> &'static str {
    match known {
        Some(true) => "yes",
        Some(false) => "no",
        None => "unknown",
    }
}

fn interface(interface: &Interface) -> Value {
    let address = &interface.view.address;
    json!({
        "name": address.interface,
        "address": address.ip,
        "labels": interface.view.labels,
        "mapped": interface.mapped,
        "asked-ms": interface.asked.map(millis),
    })
}

fn stun(stun: &Stun) -> Value {
    json!({
        "uri": stun.uri,
        "addresses": stun.addresses,
        "resolve-ms": millis(stun.resolving),
    })
}

fn family(report: &FamilyReport) -> Value {
    let word = |kind: &std::io::ErrorKind| json!({"error": net::error_word(*kind)});
    let family = match report.family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    };
    json!({
        "family": family,
        "udp": report.udp.as_ref().map(|udp| udp.as_ref().map_or_else(word, self::udp)),
        "tcp": report.tcp.as_ref().map(|tcp| tcp.as_ref().map_or_else(word, self::tcp)),
    })
}

fn udp(report: &Report) -> Value {
    let servers: Vec<Value> = report
        .servers
        .iter()
        .map(|server| {
            let (mapped, rtt, code) = match server.answer {
                Answer::Mapped { mapped, rtt } => (Some(mapped), rtt, None),
                Answer::Refused(code) => (None, None, Some(code)),
                _ => (None, None, None),
            };
            json!({
                "address": server.address,
                "mapped": mapped,
                "rtt-ms": rtt.map(millis),
                "code": code,
                "other-address": server.other,
            })
        })
        .collect();
    json!({
        "local": report.local,
        "mapped": report.mapped,
        "translated": yes_no(report.is_translated()),
        "servers": servers,
        "mapping": finding(&report.mapping),
        "filtering": finding(&report.filtering),
        "ports": ports(report.ports),
        "hairpin": hairpin(report.hairpin),
        "addresses-rewritten": yes_no(report.rewritten),
        "loss": report.loss.map(rounded),
        "elapsed-ms": millis(report.elapsed),
    })
}

fn finding(finding: &Finding) -> Value {
    json!({
        "behavior": finding.behavior.word(),
        "confidence": rounded(finding.confidence),
        "basis": finding.basis.word(),
    })
}

fn rounded(part: f64) -> f64 {
    (part * 10_000.0).floor() / 10_000.0
}

/// `preserved`, `step`, `irregular` or `unknown`.
pub(crate) fn ports(ports: Ports) -> Value {
    match ports {
        Ports::Preserved => json!({"rule": "preserved"}),
        Ports::Step(step) => json!({"rule": "step", "step": step}),
        Ports::Irregular => json!({"rule": "irregular"}),
        _ => json!({"rule": "unknown"}),
    }
}

/// The word for it.
pub(crate) fn hairpin(hairpin: Hairpin) -> &'static str {
    match hairpin {
        Hairpin::Yes => "yes",
        Hairpin::No(_) => "no",
        Hairpin::None => "no-nat",
        _ => "unknown",
    }
}

fn tcp(report: &TcpReport) -> Value {
    let servers: Vec<Value> = report
        .servers
        .iter()
        .map(|server| {
            let (mapped, connect, error) = match server.answer {
                TcpAnswer::Mapped { mapped, connect } => (Some(mapped), Some(connect), None),
                TcpAnswer::Unreached(kind) => (None, None, Some(net::error_word(kind))),
                _ => (None, None, Some("no-stun")),
            };
            json!({
                "address": server.address,
                "mapped": mapped,
                "connect-ms": connect.map(millis),
                "error": error,
                "other-address": server.other,
            })
        })
        .collect();
    json!({
        "local": report.local,
        "mapped": report.mapped,
        "translated": yes_no(report.mapped.map(|mapped| mapped != report.local)),
        "servers": servers,
        "mapping": report.mapping.word(),
        "filtering": report.filtering.word(),
        "confidence": rounded(report.confidence),
        "unsolicited-syn": report.unsolicited.map_or("unknown", syn_word),
        "elapsed-ms": millis(report.elapsed),
    })
}

/// What a NAT does with a SYN that nobody has asked for.
pub(crate) const fn syn_word(outcome: DialBack) -> &'static str {
    match outcome {
        DialBack::Connected => "pass",
        DialBack::Refused => "reset",
        DialBack::Silent => "drop",
        DialBack::Unreachable => "unreachable",
    }
}

fn turn(turn: &Turn) -> Value {
    let report = &turn.report;
    let transport = match turn.server.transport {
        TurnTransport::Udp => "udp",
        TurnTransport::Tcp => "tcp",
        TurnTransport::Tls => "tls",
    };
    json!({
        "uri": turn.server.uri,
        "transport": transport,
        "server": report.server,
        "relayed": report.relayed,
        "mapped": report.mapped,
        "lifetime-s": report.lifetime.map(|lifetime| lifetime.as_secs()),
        "echo": report.has_echoed(),
        "stages": report.stages.iter().map(stage).collect::<Vec<_>>(),
    })
}

fn stage(stage: &StageReport) -> Value {
    let failure = stage.failure.as_ref();
    json!({
        "stage": stage.stage.word(),
        "ms": millis(stage.took),
        "ok": failure.is_none(),
        "code": failure.and_then(|failure| failure.code),
        "text": failure.map(|failure| &failure.text),
    })
}

/// `yes`, `forbidden`, `no` or `unknown`.
pub(crate) const fn crossing(crossing: Crossing) -> &'static str {
    match crossing {
        Crossing::Yes => "yes",
        Crossing::Forbidden => "forbidden",
        Crossing::No => "no",
        _ => "unknown",
    }
}

fn row(row: &Row) -> Value {
    json!({
        "peer": peer_word(row.peer),
        "udp": outlook(row.udp),
        "tcp": outlook(row.tcp),
    })
}

/// `direct`, `relay` or `unknown`.
pub(crate) const fn outlook(outlook: Outlook) -> &'static str {
    match outlook {
        Outlook::Direct => "direct",
        Outlook::Relay => "relay",
        Outlook::Unknown => "unknown",
    }
}
