//! What two agents tell each other beside candidates: credentials and pacing
//! (RFC 8839 §5.4, §5.5).

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::time::Duration;

use floe::agent::{CommandError, Config, Core, RemoteParameters, StreamId};
use floe::check::Role;
use floe::rng::Seed;
use floe::timer::{Pacer, Time};

const STREAM: StreamId = StreamId(0);
const PWD: &str = "0123456789abcdefABCDEF";

fn core(seed: u64, pacing: u64) -> Core {
    let mut config = Config::new(Role::Controlling);
    config.pacing = Duration::from_millis(pacing);
    let mut core = Core::new(config, &Seed::from_number(seed), Pacer::new());
    core.add_stream(1).unwrap();
    core.add_stream(1).unwrap();
    core
}

fn tell(ufrag: &str, pwd: &str) -> Result<(), CommandError> {
    core(1, 5).set_remote_parameters(STREAM, RemoteParameters::new(ufrag, pwd), Time::ZERO)
}

#[test]
fn our_credentials_are_random_and_within_the_grammar() {
    let cores = [core(1, 5), core(2, 5), core(3, 5)];
    let credentials: Vec<_> = cores
        .iter()
        .flat_map(|core| core.streams().map(|s| core.local_credentials(s).unwrap().clone()))
        .collect();
    let is_ice = |b: u8| b.is_ascii_alphanumeric() || b"+/".contains(&b);
    for given in &credentials {
        assert!((4..=32).contains(&given.ufrag.len()), "24 bits, and 32 characters at most");
        assert!((22..=256).contains(&given.pwd.len()), "128 bits");
        assert!(given.ufrag.bytes().chain(given.pwd.bytes()).all(is_ice), "{given:?}");
    }
    let ufrags: BTreeSet<_> = credentials.iter().map(|c| &c.ufrag).collect();
    let pwds: BTreeSet<_> = credentials.iter().map(|c| &c.pwd).collect();
    assert_eq!((ufrags.len(), pwds.len()), (credentials.len(), credentials.len()));
}

#[test]
fn credentials_of_the_peer_are_held_to_the_grammar() {
    for (ufrag, pwd) in [("+/aZ", PWD), (&"u".repeat(256), PWD), ("abcd", &"p".repeat(256))] {
        assert_eq!(tell(ufrag, pwd), Ok(()));
    }
    for (ufrag, pwd, wrong) in [
        ("abc", PWD, "ufrag"),
        (&*"u".repeat(257), PWD, "ufrag"),
        ("ab:d", PWD, "ufrag"),
        ("äbcd", PWD, "ufrag"),
        ("abcd", &PWD[1..], "pwd"),
        ("abcd", &*"p".repeat(257), "pwd"),
        ("abcd", &*format!("{PWD} "), "pwd"),
    ] {
        let error = tell(ufrag, pwd).unwrap_err();
        assert!(
            matches!(error, CommandError::Credentials { field, .. } if field == wrong),
            "{error}"
        );
    }
}

#[test]
fn both_sides_pace_by_the_larger_value() {
    for (ours, theirs, expected) in
        [(5, None, 50), (5, Some(5), 5), (80, None, 80), (20, Some(30), 30)]
    {
        let mut core = core(1, ours);
        assert_eq!(core.pacing(), Duration::from_millis(ours));
        let mut parameters = RemoteParameters::new("abcd", PWD);
        if let Some(theirs) = theirs {
            parameters.pacing = Duration::from_millis(theirs);
        }
        core.set_remote_parameters(STREAM, parameters, Time::ZERO).unwrap();
        assert_eq!(core.pacing(), Duration::from_millis(expected), "{ours} {theirs:?}");
    }
}
