//! A run: two agents that connect and send data both ways.

use std::time::Duration;

use floe::agent::State;
use floe::candidate::ComponentId;
use floe::timer::Time;
use tokio::time::{Instant, sleep_until};

use super::data::{self, End};
use super::report::{Details, Moment, Outcome, Transfer};
use super::side::{self, Named, Side};
use crate::args::Shared;
use crate::exit::{Exit, Failure};
use crate::{record, words};

/// How long the run waits for a server that has not answered, once both
/// agents have completed.
const GATHERING: Duration = Duration::from_secs(1);

/// A run that was made.
pub(crate) struct Made {
    /// How it ended.
    pub(crate) outcome: Outcome,
    /// All that happened in it.
    pub(crate) records: Vec<Named>,
    /// A moment of it by this program's clock, in milliseconds since its start.
    pub(crate) clock: Option<(std::time::Instant, f64)>,
}

/// Makes the run.
pub(crate) async fn run(mut sides: [Side; 2], shared: &Shared) -> Result<Made, Failure> {
    let clock = start(&mut sides)?;
    let deadline = Instant::now() + shared.timeout();
    let completed = connect(&mut sides, deadline).await;
    let data = if completed { transfers(&sides, shared.components).await } else { Vec::new() };
    Ok(finish(sides, completed, data, clock))
}

/// Gives what the records say of a moment that is known by another clock.
fn start([a, b]: &mut [Side; 2]) -> Result<Option<(std::time::Instant, Time)>, Failure> {
    a.accept_credentials_of(b);
    b.accept_credentials_of(a);
    let mut clock = None;
    for side in [a, b] {
        side.gather().map_err(|error| Failure::new(Exit::NoNetwork, error.to_string()))?;
        let now = std::time::Instant::now();
        clock = clock.or(side.last_record().map(|at| (now, at)));
    }
    Ok(clock)
}

/// Carries candidates between the two until both have completed and
/// gathered. `false` when one failed or the time is over.
async fn connect([a, b]: &mut [Side; 2], deadline: Instant) -> bool {
    let mut deadline = deadline;
    let mut completed = false;
    loop {
        tokio::select! {
            event = a.agent.next_event() => match event {
                Some(event) => a.event(event, b),
                None => return completed,
            },
            event = b.agent.next_event() => match event {
                Some(event) => b.event(event, a),
                None => return completed,
            },
            () = sleep_until(deadline) => return completed,
        }
        if a.has_failed() || b.has_failed() {
            return false;
        }
        if !completed && a.has_completed() && b.has_completed() {
            completed = true;
            deadline = deadline.min(Instant::now() + GATHERING);
        }
        if completed && a.has_gathered() && b.has_gathered() {
            return true;
        }
    }
}

async fn transfers([a, b]: &[Side; 2], components: u16) -> Vec<Transfer> {
    let mut transfers = Vec::new();
    for component in (1..=components).filter_map(ComponentId::new) {
        let (Some(of_a), Some(of_b)) =
            (a.agent.connection(component), b.agent.connection(component))
        else {
            continue;
        };
        let a = End { name: a.name, connection: &of_a };
        let b = End { name: b.name, connection: &of_b };
        transfers.push(data::transfer(a, b, component.number()).await);
        transfers.push(data::transfer(b, a, component.number()).await);
    }
    transfers
}

fn finish(
    mut sides: [Side; 2],
    completed: bool,
    data: Vec<Transfer>,
    clock: Option<(std::time::Instant, Time)>,
) -> Made {
    let lost = data.iter().any(|transfer| transfer.received < transfer.sent);
    let reports = sides.each_ref().map(Side::report);
    let failure = sides.iter().find_map(|side| side.failure());
    // Before the end of one is what happens to the other.
    sides.iter_mut().for_each(Side::take_records);
    let mut records: Vec<_> = sides.into_iter().flat_map(Side::into_records).collect();
    records.sort_by_key(|(_, record)| record.at);
    let start = records.first().map(|(_, record)| record.at).unwrap_or_default();
    let since = |at: Time| words::millis(at - start);
    let moment = |(agent, record): &Named| {
        let event = record::to_words(record)?;
        Some(Moment { t: since(record.at), agent: (*agent).into(), event })
    };
    let details = Box::new(Details {
        connected_ms: side::both_reached(&records, State::Connected).map(since),
        completed_ms: side::both_reached(&records, State::Completed).map(since),
        timeline: records.iter().filter_map(moment).collect(),
        agents: reports.into(),
        data,
        ..Details::default()
    });
    let outcome = match (completed, lost) {
        (true, false) => Outcome::Connected(details),
        (true, true) => Outcome::Failed { reason: "datagrams were lost".into(), details },
        (false, _) => {
            let reason = failure.unwrap_or_else(|| "not completed in time".into());
            Outcome::Failed { reason, details }
        }
    };
    Made { outcome, records, clock: clock.map(|(instant, at)| (instant, since(at))) }
}
