//! The report for people.

use std::fmt::{self, Write};

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, Table};
use floe::candidate::Candidate;
use owo_colors::OwoColorize;
use serde_json::Value;

use super::report::{AgentReport, Details, Outcome, Report, Run, Wire};
use crate::words;

/// The whole report. Colours are in it: whoever prints it takes them out
/// where they are not wanted.
pub(crate) fn write(report: &Report) -> String {
    let mut out = String::new();
    let written = runs(&mut out, report);
    written.expect("invariant: writing to a string succeeds");
    out
}

fn runs(out: &mut String, report: &Report) -> fmt::Result {
    for (index, run) in report.runs.iter().enumerate() {
        if index > 0 && !matches!(run.result, Outcome::Skipped { .. }) {
            writeln!(out)?;
        }
        write_run(out, run)?;
    }
    Ok(())
}

fn write_run(out: &mut String, run: &Run) -> fmt::Result {
    let name = run.name.bold();
    match &run.result {
        Outcome::Skipped { reason } => {
            writeln!(out, "{name}: {} ({reason})", "skipped".yellow())
        }
        Outcome::Connected(details) => {
            let how = match details.is_relayed() {
                false => "connected directly".green().to_string(),
                true => "connected through a relay".green().to_string(),
            };
            writeln!(out, "{name}: {how}{}", times(details))?;
            write_details(out, details)
        }
        Outcome::Failed { reason, details } => {
            writeln!(out, "{name}: {} ({reason})", "failed".red())?;
            write_details(out, details)
        }
    }
}

fn times(details: &Details) -> String {
    let connected = details.connected_ms.map(|ms| format!(" after {ms:.1} ms"));
    let completed = details.completed_ms.map(|ms| format!(", completed after {ms:.1} ms"));
    connected.unwrap_or_default() + &completed.unwrap_or_default()
}

fn write_details(out: &mut String, details: &Details) -> fmt::Result {
    if let Some(note) = &details.note {
        writeln!(out, "{note}")?;
    }
    for agent in &details.agents {
        write_agent(out, agent)?;
    }
    writeln!(out, "\n{}", "Timeline".bold())?;
    for moment in &details.timeline {
        writeln!(out, "{:>9.2} ms  {}  {}", moment.t, moment.agent, moment.event)?;
    }
    if let Some(wire) = &details.wire {
        write_wire(out, wire)?;
    }
    writeln!(out, "\n{}", "Selected pairs".bold())?;
    for agent in &details.agents {
        for pair in &agent.selected {
            let (local, remote) = (short(&pair.local), short(&pair.remote));
            let component = pair.component;
            let transport = transport(&pair.local);
            writeln!(
                out,
                "  {}  component {component}: {transport}, {local} to {remote}",
                agent.name
            )?;
        }
    }
    writeln!(out, "\n{}", "Data".bold())?;
    for row in &details.data {
        let rtt = row.rtt_ms.map(|ms| format!(", median round trip {ms:.3} ms"));
        writeln!(
            out,
            "  {} to {}  component {}: {} of {} datagrams of {} bytes went there and back{}",
            row.from,
            row.to,
            row.component,
            row.received,
            row.sent,
            row.size,
            rtt.unwrap_or_default()
        )?;
    }
    writeln!(out)
}

fn write_wire(out: &mut String, wire: &Wire) -> fmt::Result {
    let Wire { delay_ms, packets, dropped, syns: [a, b], crossed } = wire;
    writeln!(out, "\n{}", "Wire".bold())?;
    writeln!(
        out,
        "  {delay_ms} ms each way; {packets} packets, of which {dropped} were dropped by a NAT"
    )?;
    let crossing = if *crossed {
        "they crossed: a simultaneous open"
    } else {
        "they did not cross: one side was there before the other"
    };
    writeln!(out, "  SYNs: {a} from A, {b} from B; {crossing}")
}

fn write_agent(out: &mut String, agent: &AgentReport) -> fmt::Result {
    writeln!(out, "\n{} ({})", format_args!("Candidates of {}", agent.name).bold(), agent.role)?;
    for candidate in &agent.candidates {
        writeln!(out, "  {}", candidate.escape_debug())?;
    }
    for error in &agent.errors {
        writeln!(out, "  {}", error.escape_debug())?;
    }
    writeln!(out, "\n{}", format_args!("Pairs of {}", agent.name).bold())?;
    writeln!(out, "{}", pair_table(&agent.pairs))
}

fn pair_table(pairs: &[Value]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    table.set_header(["pair", "transport", "local", "remote", "state", "rtt ms", "checks", "note"]);
    for index in [0, 5, 6] {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for pair in pairs {
        let text = |key: &str| pair[key].as_str().unwrap_or_default();
        let note = if pair["selected"] == true { "selected" } else { text("reason") };
        table.add_row([
            pair["pair"].to_string(),
            transport(text("local")),
            short(text("local")),
            short(text("remote")),
            text("state").to_owned(),
            pair["rtt"].as_f64().map(|ms| format!("{ms:.3}")).unwrap_or_default(),
            pair["sent"].to_string(),
            note.to_owned(),
        ]);
    }
    table
}

/// The type and address of a candidate line.
fn short(line: &str) -> String {
    match line.parse::<Candidate>() {
        Ok(candidate) => words::place(&candidate),
        Err(_) => line.escape_debug().to_string(),
    }
}

/// The transport of a candidate line.
fn transport(line: &str) -> String {
    line.parse::<Candidate>().map_or(String::new(), |candidate| words::transport(&candidate))
}
