//! Event logs, done all over again: what an agent did under loss, in role
//! conflicts and under attack comes out of its log once more, and a log that
//! says something else is found out.

#![allow(clippy::unwrap_used)]
#![allow(unreachable_pub)]

mod alone;
mod broken;
#[cfg(feature = "serde")]
mod file;
mod hostile;
#[path = "../negotiation/network.rs"]
#[allow(dead_code)] // Not all of it is needed here.
mod network;
mod session;

use std::collections::BTreeSet;

use floe::agent::replay::{Replayed, replay};
use floe::agent::{Core, DropReason, Happened, LogRecord, PairReport, RecordedInput, SocketOp};
use floe::candidate::AddressRefusal;
use session::Session;

/// How many sessions are drawn.
const SEEDS: std::ops::Range<u64> = 0..300;

fn replayed(records: &[LogRecord]) -> Replayed {
    replay(records.iter().cloned()).unwrap_or_else(|error| panic!("{error}"))
}

fn pairs(core: &Core) -> Vec<PairReport> {
    core.streams().flat_map(|stream| core.pairs(stream)).collect()
}

/// What happened in all sessions, so that none of it can go missing.
#[derive(Default)]
struct Seen {
    inputs: BTreeSet<&'static str>,
    drops: BTreeSet<DropReason>,
    lost: BTreeSet<&'static str>,
    found: usize,
    switched: usize,
    refused: usize,
    addresses: BTreeSet<AddressRefusal>,
    published: usize,
}

impl Seen {
    fn record(&mut self, record: &LogRecord) {
        match &record.what {
            Happened::Input(given) => {
                self.inputs.insert(input_name(&given.what));
            }
            Happened::Dropped { reason, .. } => {
                self.drops.insert(*reason);
            }
            Happened::PairLost { reason, .. } => {
                self.lost.insert(reason.word());
            }
            Happened::RemoteCandidate { candidate, .. } => {
                let is_found = candidate.kind == floe::candidate::Kind::PeerReflexive;
                self.found += usize::from(is_found);
            }
            Happened::RoleSwitched { .. } => self.switched += 1,
            Happened::CommandRefused { .. } => self.refused += 1,
            Happened::AddressRefused { refusal, .. } => {
                self.addresses.insert(*refusal);
            }
            Happened::SocketOp(SocketOp::PublishName { .. }) => self.published += 1,
            _ => {}
        }
    }
}

fn input_name(input: &RecordedInput) -> &'static str {
    match input {
        RecordedInput::Create(_) => "create",
        RecordedInput::AddStream { .. } => "add-stream",
        RecordedInput::RemoveStream { .. } => "remove-stream",
        RecordedInput::Restart { .. } => "restart",
        RecordedInput::Nominate { .. } => "nominate",
        RecordedInput::RevokeConsent { .. } => "revoke-consent",
        RecordedInput::Woke { .. } => "woke",
        RecordedInput::RemoteParameters { .. } => "remote-parameters",
        RecordedInput::RemoteCandidate { .. } => "remote-candidate",
        RecordedInput::EndOfRemoteCandidates { .. } => "end-of-remote-candidates",
        RecordedInput::Close => "close",
        RecordedInput::Timeout => "timeout",
        RecordedInput::LocalAddresses { .. } => "local-addresses",
        RecordedInput::Bound { .. } => "bound",
        RecordedInput::NameResolved { .. } => "name-resolved",
        RecordedInput::SendError { .. } => "send-error",
        RecordedInput::Datagram { .. } => "datagram",
        RecordedInput::Malformed { .. } => "malformed",
        other => panic!("not given here: {other:?}"),
    }
}

#[test]
fn every_session_replays() {
    let mut seen = Seen::default();
    for seed in SEEDS {
        let mut session = Session::new(seed);
        session.run();
        for side in 0..2 {
            let records = session.pair.records(side);
            let replayed = replay(records.iter().cloned());
            let replayed = replayed.unwrap_or_else(|e| panic!("seed {seed}, side {side}: {e}"));
            let core = session.pair.core(side);
            assert_eq!(replayed.records, records.len() as u64, "seed {seed}");
            assert_eq!((replayed.core.state(), replayed.core.role()), (core.state(), core.role()));
            assert_eq!(replayed.core.poll_timeout(), core.poll_timeout(), "seed {seed}");
            assert_eq!(pairs(&replayed.core), pairs(core), "seed {seed}");
            assert_eq!(replayed.core.drops(), core.drops(), "seed {seed}");
            records.iter().for_each(|record| seen.record(record));
        }
    }
    let inputs = [
        "add-stream",
        "bound",
        "close",
        "create",
        "datagram",
        "end-of-remote-candidates",
        "local-addresses",
        "malformed",
        "name-resolved",
        "nominate",
        "remove-stream",
        "restart",
        "revoke-consent",
        "woke",
        "remote-candidate",
        "remote-parameters",
        "send-error",
        "timeout",
    ];
    assert_eq!(seen.inputs, BTreeSet::from(inputs));
    let drops = [
        DropReason::Malformed,
        DropReason::Fingerprint,
        DropReason::UnknownBase,
        DropReason::NotForIce,
        DropReason::UnknownUsername,
        DropReason::Integrity,
        DropReason::UnknownTransaction,
        DropReason::LateServerResponse,
        DropReason::TooManyEarly,
        DropReason::Candidate,
        DropReason::Name,
        DropReason::Address,
        DropReason::Closed,
    ];
    for reason in drops {
        assert!(seen.drops.contains(&reason), "nothing was dropped as {reason}");
    }
    let lost = [
        "address-gone",
        "consent-expired",
        "consent-revoked",
        "no-answer",
        "refused",
        "restarted",
        "superseded",
        "wrong-integrity",
    ];
    for reason in lost {
        assert!(seen.lost.contains(reason), "no pair was lost by {reason}: {:?}", seen.lost);
    }
    assert!(seen.found > 50 && seen.switched > 50 && seen.refused > 50);
    assert_eq!(seen.addresses, [AddressRefusal::Loopback, AddressRefusal::Denied].into());
    assert!(seen.published > 50, "{}", seen.published);
}
