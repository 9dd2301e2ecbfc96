//! Signalling that a person carries: one line a side, to be pasted into the
//! other program. A real application sends it over whatever it has.

use std::error::Error;

use floe::Agent;
use floe::agent::{Event, RemoteParameters};
use tokio::sync::mpsc::{Receiver, channel};

/// Gathers to the end; gives all that the peer has to know, in one line.
pub(crate) async fn describe(agent: &Agent) -> Result<String, Box<dyn Error>> {
    let credentials = agent.credentials();
    let mut line = format!("{}|{}", credentials.ufrag, credentials.pwd);
    agent.gather()?;
    while let Some(event) = agent.next_event().await {
        match event {
            Event::Candidate { candidate, .. } => line += &format!("|{candidate}"),
            Event::EndOfCandidates { .. } => break,
            _ => {}
        }
    }
    Ok(line)
}

/// Takes the line of the peer: checks start.
pub(crate) fn accept(agent: &Agent, line: &str) -> Result<(), Box<dyn Error>> {
    let mut parts = line.trim().split('|');
    let (Some(ufrag), Some(pwd)) = (parts.next(), parts.next()) else {
        return Err("this is not a line of the other program".into());
    };
    agent.set_remote(RemoteParameters::new(ufrag, pwd))?;
    for candidate in parts {
        // One that is not taken is no reason to give up: the others may do.
        if let Err(error) = agent.add_remote_candidate(&candidate.parse()?) {
            eprintln!("{candidate}: {error}");
        }
    }
    agent.end_of_remote_candidates()?;
    Ok(())
}

/// Connects two agents of one program.
#[allow(dead_code, reason = "not every example has both in one program")]
pub(crate) async fn connect(a: &Agent, b: &Agent) -> Result<(), Box<dyn Error>> {
    let (of_a, of_b) = (describe(a).await?, describe(b).await?);
    accept(a, &of_b)?;
    accept(b, &of_a)?;
    a.connected().await?;
    b.connected().await?;
    Ok(())
}

/// The lines that are typed, or pasted. A thread of its own waits for them,
/// because a read of a terminal cannot be cancelled: tokio would hold up the
/// program's end until one more line came.
#[allow(dead_code, reason = "not every example talks to a person")]
pub(crate) fn typed() -> Receiver<String> {
    let (sender, lines) = channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}
