//! The report for people: the verdict first, then the evidence.

use std::fmt::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use floe::discovery::{Answer, Basis, DialBack, Finding, Hairpin, Ports, Report};
use floe::driver::discovery::{Crossing, TcpAnswer, TcpReport};
use floe::net::{self, Family};
use owo_colors::OwoColorize;

use super::json;
use super::outlooks::{peer_word, rows};
use super::port_mapping::Told;
use super::survey::{FamilyReport, Interface, Survey, Turn};
use super::verdict::Verdict;
use crate::exit::Exit;

/// The longest line of running text.
const WIDTH: usize = 80;

/// The whole report. Colours are in it: whoever prints it takes them out where
/// they are not wanted.
pub(crate) fn write(survey: &Survey, verdict: &Verdict) -> String {
    let mut out = String::new();
    report(&mut out, survey, verdict).expect("invariant: writing to a string succeeds");
    out
}

fn report(out: &mut String, survey: &Survey, verdict: &Verdict) -> fmt::Result {
    let text = verdict.text.as_str();
    match (verdict.exit, verdict.direct) {
        (Exit::Direct, Some(true)) => writeln!(out, "{}", text.green().bold())?,
        (Exit::Direct | Exit::Relayed | Exit::UdpBlocked, _) => {
            writeln!(out, "{}", text.yellow().bold())?;
        }
        _ => writeln!(out, "{}", text.red().bold())?,
    }
    for reason in &verdict.reasons {
        paragraph(out, "  Why: ", reason)?;
    }
    for advice in &verdict.advice {
        paragraph(out, "  Do:  ", advice)?;
    }
    for warning in &verdict.warnings {
        paragraph(out, "  Note: ", warning)?;
    }
    for family in &survey.families {
        write_family(out, family)?;
    }
    for turn in &survey.turn {
        write_turn(out, turn)?;
    }
    write_outlook(out, survey)?;
    write_interfaces(out, survey)?;
    write_router(out, survey)?;
    writeln!(out, "\nSimultaneous open of TCP by this system: {}", crossing(survey.crossing))?;
    writeln!(out, "This check took {}.", seconds(survey.elapsed))
}

/// Running text behind a head, in lines of [`WIDTH`] at most. Words of servers
/// are in it, which have lost their control characters.
fn paragraph(out: &mut String, head: &str, text: &str) -> fmt::Result {
    let (indent, mut line) = (" ".repeat(head.len()), head.to_owned());
    let mut is_begun = false;
    for word in text.split_whitespace() {
        let length = line.chars().count() + word.chars().count() + 1;
        if is_begun && length > WIDTH {
            writeln!(out, "{}", line.trim_end())?;
            line.clone_from(&indent);
        } else if is_begun {
            line.push(' ');
        }
        line.push_str(word);
        is_begun = true;
    }
    writeln!(out, "{}", line.trim_end())
}

fn write_family(out: &mut String, report: &FamilyReport) -> fmt::Result {
    let family = match report.family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    };
    match &report.udp {
        Some(Ok(udp)) => write_udp(out, family, udp)?,
        Some(Err(kind)) => failed(out, "UDP", family, *kind)?,
        None => {}
    }
    match &report.tcp {
        Some(Ok(tcp)) => write_tcp(out, family, tcp),
        Some(Err(kind)) => failed(out, "TCP", family, *kind),
        None => Ok(()),
    }
}

fn failed(out: &mut String, what: &str, family: &str, kind: std::io::ErrorKind) -> fmt::Result {
    let head = format!("{what} over {family}");
    writeln!(out, "\n{}\n  not tried: {}", head.bold(), net::error_word(kind))
}

fn row(out: &mut String, name: &str, value: impl fmt::Display) -> fmt::Result {
    writeln!(out, "  {name:<20} {value}")
}

fn outside(out: &mut String, mapped: Option<SocketAddr>, local: SocketAddr) -> fmt::Result {
    match mapped {
        Some(mapped) if mapped == local => row(out, "address outside", "the same: no NAT"),
        Some(mapped) => row(out, "address outside", mapped),
        None => row(out, "address outside", "unknown: no server answered"),
    }
}

fn write_udp(out: &mut String, family: &str, report: &Report) -> fmt::Result {
    writeln!(out, "\n{}", format_args!("UDP over {family}").bold())?;
    row(out, "address here", report.local)?;
    outside(out, report.mapped, report.local)?;
    for server in &report.servers {
        match server.answer {
            Answer::Mapped { rtt: Some(rtt), .. } => {
                row(out, "server", format_args!("{}, {}", server.address, milliseconds(rtt)))?;
            }
            Answer::Mapped { .. } => row(out, "server", server.address)?,
            Answer::Refused(code) => {
                row(out, "server", format_args!("{} refuses with {code}", server.address))?;
            }
            _ => row(out, "server", format_args!("{} does not answer", server.address))?,
        }
    }
    if report.mapped.is_none() {
        return Ok(());
    }
    row(out, "mapping", finding(&report.mapping))?;
    row(out, "filtering", finding(&report.filtering))?;
    if report.is_translated() == Some(true) {
        row(out, "ports", ports(report.ports))?;
        row(out, "hairpin", hairpin(report.hairpin))?;
    }
    if report.rewritten == Some(true) {
        row(out, "addresses in packets", "changed on the way (ALG)")?;
    }
    match report.loss {
        Some(loss) if loss > 0.0 => row(out, "loss", format_args!("{:.0} %", loss * 100.0)),
        _ => Ok(()),
    }
}

fn finding(finding: &Finding) -> String {
    let word = finding.behavior.word();
    let sure = if finding.confidence > 0.0 && finding.confidence < 1.0 {
        // Rounded down: it is never said to be certain.
        format!(" ({:.1} % sure)", (finding.confidence * 1_000.0).floor() / 10.0)
    } else {
        String::new()
    };
    let basis = match finding.basis {
        Basis::Compared => " (servers compared)",
        _ => "",
    };
    format!("{word}{sure}{basis}")
}

fn ports(ports: Ports) -> String {
    match ports {
        Ports::Preserved => "the NAT keeps them".into(),
        Ports::Step(step) => format!("each {step:+} from the one before"),
        Ports::Irregular => "without a rule".into(),
        _ => "unknown".into(),
    }
}

fn hairpin(hairpin: Hairpin) -> &'static str {
    match hairpin {
        Hairpin::Yes => "yes: two machines behind this NAT meet by its outer address",
        Hairpin::No(_) => "no",
        Hairpin::None => "no NAT",
        _ => "unknown",
    }
}

fn write_tcp(out: &mut String, family: &str, report: &TcpReport) -> fmt::Result {
    writeln!(out, "\n{}", format_args!("TCP over {family}").bold())?;
    outside(out, report.mapped, report.local)?;
    for server in &report.servers {
        match server.answer {
            TcpAnswer::Mapped { connect, .. } => {
                row(out, "server", format_args!("{}, {}", server.address, milliseconds(connect)))?;
            }
            TcpAnswer::Unreached(kind) => {
                let word = net::error_word(kind);
                row(out, "server", format_args!("{}: {word}", server.address))?;
            }
            _ => row(out, "server", format_args!("{} does not speak STUN", server.address))?,
        }
    }
    if report.mapped.is_none() {
        return Ok(());
    }
    row(out, "mapping", report.mapping.word())?;
    row(out, "filtering", report.filtering.word())?;
    let syn = match report.unsolicited {
        Some(DialBack::Connected) => "passes",
        Some(DialBack::Refused) => "is answered by a RST",
        Some(DialBack::Silent) => "is dropped",
        Some(DialBack::Unreachable) => "is answered by ICMP",
        None => "unknown: no server calls back (`ice-probe serve` at two addresses does)",
    };
    row(out, "an unasked SYN", syn)
}

fn write_turn(out: &mut String, Turn { server, report }: &Turn) -> fmt::Result {
    writeln!(out, "\n{}", format_args!("TURN {}", server.uri.escape_debug()).bold())?;
    for stage in &report.stages {
        let took = milliseconds(stage.took);
        match &stage.failure {
            None => writeln!(out, "  {:<10} {took:>11}  {}", stage.stage.word(), "ok".green())?,
            Some(failure) => {
                let head = format!("  {:<10} {took:>11}  ", stage.stage.word());
                paragraph(out, &head, &failure.text)?;
            }
        }
    }
    report.relayed.map_or(Ok(()), |relayed| writeln!(out, "  relays at {relayed}"))
}

fn write_router(out: &mut String, survey: &Survey) -> fmt::Result {
    let Some(router) = &survey.port_mapping else { return Ok(()) };
    writeln!(out, "\n{}", format_args!("Router {}", router.gateway).bold())?;
    for (protocol, told) in router.all() {
        let name = match protocol {
            "pcp" => "PCP",
            "nat-pmp" => "NAT-PMP",
            _ => "UPnP",
        };
        match told {
            Told::External(ip) => row(out, name, format_args!("yes, outside it is {ip}"))?,
            Told::Refused(text) => paragraph(out, &format!("  {name:<20} refuses: "), text)?,
            Told::Silent => row(out, name, "no answer")?,
        }
    }
    Ok(())
}

fn write_outlook(out: &mut String, survey: &Survey) -> fmt::Result {
    if survey.families.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", "With a peer behind".bold())?;
    for row in rows(survey) {
        let nat = match peer_word(row.peer) {
            "open" => "no NAT",
            word => word,
        };
        let (udp, tcp) = (json::outlook(row.udp), json::outlook(row.tcp));
        writeln!(out, "  {nat:<20} UDP: {udp:<8} TCP: {tcp}")?;
    }
    Ok(())
}

fn write_interfaces(out: &mut String, survey: &Survey) -> fmt::Result {
    if survey.interfaces.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", "Addresses of this machine".bold())?;
    for Interface { view, mapped, asked } in &survey.interfaces {
        let (address, labels) = (&view.address, view.labels.join(", "));
        let name = address.interface.escape_debug().to_string();
        let seen = match (mapped, asked) {
            (Some(mapped), Some(took)) => format!("seen at {mapped}, {}", milliseconds(*took)),
            (None, Some(took)) => format!("no answer in {}", milliseconds(*took)),
            (_, None) => String::new(),
        };
        let parts = [labels, seen];
        let rest = parts.iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>();
        let head = format!("  {name:<10} {:<16} ", address.ip.to_string());
        paragraph(out, &head, &rest.join("; "))?;
    }
    Ok(())
}

fn crossing(crossing: Crossing) -> &'static str {
    match crossing {
        Crossing::Yes => "yes",
        Crossing::Forbidden => "forbidden (net.ipv4.tcp_simult_connect)",
        Crossing::No => "no",
        _ => "unknown",
    }
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_keep_to_the_width() {
        let mut out = String::new();
        paragraph(&mut out, "  Why: ", &"several words of one sentence ".repeat(8)).unwrap();
        assert!(out.lines().count() > 2);
        assert!(out.lines().all(|line| line.chars().count() <= WIDTH), "{out}");
        let is_indented = |line: &str| line.find(|c| c != ' ') == Some("  Why: ".len());
        assert!(out.lines().skip(1).all(is_indented), "{out}");
        let mut out = String::new();
        paragraph(&mut out, "  x ", &"long".repeat(40)).unwrap();
        assert_eq!(out.lines().count(), 1, "a word is not cut");
    }

    #[test]
    fn nothing_is_said_to_be_certain_that_is_not() {
        let mut found = Finding::default();
        assert_eq!(finding(&found), "unknown");
        found.confidence = 0.99999;
        found.behavior = floe::discovery::Behavior::Dependent;
        assert_eq!(finding(&found), "dependent (99.9 % sure)");
    }
}
