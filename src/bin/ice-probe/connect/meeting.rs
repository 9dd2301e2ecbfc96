//! How the two sides find each other: at a rendezvous, or through a person who
//! carries a line each way.

use floe::rendezvous::{Code, Side};
use serde_json::json;
use tokio::sync::mpsc;

use super::negotiate::Negotiation;
use super::room::{Lines, Room, Url};
use super::secure::Identity;
use super::stdin::Stdin;
use super::token;
use super::view::View;
use crate::exit::{Exit, Failure};
use crate::reach::ReachOptions;

/// Lines of a token.
const TOKEN_LINES: usize = 512;

/// Meets the other side in a room.
pub(super) async fn at_rendezvous(
    reach: &ReachOptions,
    url: &Url,
    code: Option<Code>,
    view: &View,
) -> Result<(Side, Lines), Failure> {
    let is_made = code.is_none();
    let room = Room::enter(url, code, reach).await?;
    if is_made {
        let code = room.code().text();
        anstream::eprintln!("on the other machine: ice-probe connect {code} --via {url}");
    }
    view.line("waiting for the other side");
    let met = room.meet(view).await?;
    view.line("the other side is there, and has the code");
    Ok(met)
}

/// The other side is there: what it has to know goes out as it is found.
pub(super) fn begin(
    negotiation: &mut Negotiation<'_>,
    identity: &Identity,
    lines: Lines,
) -> Result<(), Failure> {
    negotiation.carry(lines.to_peer, lines.from_peer);
    for line in negotiation.first_lines(identity.fingerprint()) {
        negotiation.say(line);
    }
    gather(negotiation)
}

/// A person carries what there is to know, one line each way.
pub(super) async fn by_hand(
    negotiation: &mut Negotiation<'_>,
    identity: &Identity,
    stdin: Option<&mut Stdin>,
) -> Result<(), Failure> {
    gather(negotiation)?;
    let mut lines = negotiation.first_lines(identity.fingerprint()).to_vec();
    lines.extend(negotiation.gathered().await);
    anstream::eprintln!("paste this line into the other side, and its line here:\n");
    anstream::eprintln!("{}\n", token::write(&lines));
    let usage = |why: &str| Failure::new(Exit::Usage, why);
    let no_line = || usage("the other side's line did not come on stdin");
    let line = stdin.ok_or_else(no_line)?.line().await.ok_or_else(no_line)?;
    let lines = token::read(&line).map_err(|why| usage(&format!("what was pasted: {why}")))?;
    let (sender, receiver) = mpsc::channel(TOKEN_LINES);
    for line in lines.into_iter().take(TOKEN_LINES - 1) {
        let _ = sender.try_send(line);
    }
    let _ = sender.try_send(json!({"type": "end-of-candidates"}).to_string());
    negotiation.carry(mpsc::channel(1).0, receiver);
    Ok(())
}

fn gather(negotiation: &Negotiation<'_>) -> Result<(), Failure> {
    let gathering = negotiation.agent().gather();
    gathering.map_err(|error| Failure::new(Exit::NoNetwork, error.to_string()))
}
