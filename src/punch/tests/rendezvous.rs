use std::time::Duration;

use proptest::prelude::*;

use crate::punch::{BUCKET, Encounter, Meeting, PORTS, Rendezvous, Secret, encounter};
use crate::rng::{Rng, Seed};

fn rendezvous(seed: u64) -> Rendezvous {
    let text = Secret::new_text(&mut Rng::new(&Seed::from_number(seed)));
    Rendezvous::new(text.parse().unwrap())
}

fn buckets(at: Duration) -> [u64; 2] {
    rendezvous(1).meetings(at).map(|meeting| meeting.bucket)
}

/// How much longer an agent whose clock shows `at` is in a bucket.
fn remaining(bucket: u64, at: Duration) -> Option<Duration> {
    let [older, newer] = buckets(at);
    let changes = Rendezvous::changes_in(at);
    match bucket {
        b if b == older => Some(changes),
        b if b == newer => Some(changes + BUCKET),
        _ => None,
    }
}

/// How long two clocks stay in a bucket that they share now.
fn shared(a: Duration, b: Duration) -> Option<Duration> {
    let both = |bucket: u64| Some(remaining(bucket, a)?.min(remaining(bucket, b)?));
    buckets(a).into_iter().filter_map(both).max()
}

proptest! {
    #[test]
    fn clocks_that_differ_share_a_bucket_for_60_s_less_the_difference(
        at in 0..4_000_000_000_000_000_000u64,
        apart in 0..=60_000_000_000u64,
    ) {
        let (at, apart) = (Duration::from_nanos(at), Duration::from_nanos(apart));
        let shared = shared(at, at + apart).expect("there is one");
        prop_assert!(shared >= BUCKET - apart, "{:?}", shared);
    }

    #[test]
    fn a_meeting_goes_on_for_two_buckets(at in 0..4_000_000_000_000_000_000u64) {
        let at = Duration::from_nanos(at);
        let changes = Rendezvous::changes_in(at);
        prop_assert!(!changes.is_zero() && changes <= BUCKET);
        let [older, newer] = buckets(at);
        prop_assert_eq!(newer, older + 1);
        prop_assert_eq!(buckets(at + changes - Duration::from_nanos(1)), [older, newer]);
        prop_assert_eq!(buckets(at + changes), [newer, newer + 1]);
    }

    #[test]
    fn ports_are_distinct_and_need_no_privileges(seed: u64, bucket in 0..u64::MAX) {
        let rendezvous = rendezvous(seed);
        let both = [bucket, bucket + 1].map(|bucket| rendezvous.meeting(bucket).ports);
        let mut ports = both.concat();
        prop_assert!(ports.iter().all(|port| *port >= 1024));
        ports.sort_unstable();
        ports.dedup();
        prop_assert_eq!(ports.len(), 2 * PORTS);
    }

    #[test]
    fn another_secret_or_bucket_gives_another_meeting(a: u64, b: u64, bucket: u64, other: u64) {
        let meeting = rendezvous(a).meeting(bucket);
        prop_assert_eq!(&meeting, &rendezvous(a).meeting(bucket));
        let differs = |other: Meeting| {
            meeting.ports != other.ports && meeting.ufrag != other.ufrag && meeting.pwd != other.pwd
        };
        prop_assert!(a == b || differs(rendezvous(b).meeting(bucket)));
        prop_assert!(bucket == other || differs(rendezvous(a).meeting(other)));
    }
}

#[test]
fn the_bound_is_tight() {
    // At 30 s a bucket begins. A nanosecond before, a clock 60 s and one
    // nanosecond ahead shares none.
    let at = Duration::from_secs(30) - Duration::from_nanos(1);
    assert_eq!(buckets(at), [0, 1]);
    assert!(shared(at, at + BUCKET).is_some());
    assert!(shared(at, at + BUCKET + Duration::from_nanos(1)).is_none());
    let apart = Duration::from_secs(20);
    let shortest = shared(at, at + apart).unwrap();
    assert_eq!(shortest, Duration::from_secs(40) + Duration::from_nanos(1));
}

/// The derivation stays as it is: two versions have to meet.
#[test]
fn a_meeting_of_a_known_secret() {
    let secret: Secret = "floe1-j5esxpgpegggd52994c7gjxfk2fa".parse().unwrap();
    let meeting = Rendezvous::new(secret).meeting(29_000_000);
    assert_eq!(meeting.ports[..5], [29388, 48562, 46858, 35928, 30270]);
    assert_eq!((&*meeting.ufrag, &*meeting.pwd), ("T+dKDH96", "IAC3lfBPAj99YRmhiZzu1TKY"));
}

#[test]
fn any_time_will_do() {
    for at in [Duration::ZERO, Duration::MAX] {
        let [older, newer] = rendezvous(1).meetings(at);
        assert_eq!(older.bucket + 1, newer.bucket);
        assert!(Rendezvous::changes_in(at) <= BUCKET);
    }
    rendezvous(1).meeting(u64::MAX);
}

#[test]
fn debug_shows_no_secret() {
    let rendezvous = rendezvous(1);
    let meeting = rendezvous.meeting(7);
    let shown = format!("{rendezvous:?} {meeting:?}");
    assert!(shown.starts_with("Rendezvous { secret: Secret(…) } Meeting { bucket: 7, ports: ["));
    assert!(!shown.contains(&*meeting.pwd) && !shown.contains(&*meeting.ufrag));
}

#[test]
fn our_own_request_is_told_from_the_peers() {
    assert_eq!(encounter(5, 5), Encounter::Ourselves);
    assert_eq!(encounter(6, 5), Encounter::WeControl);
    assert_eq!(encounter(5, 6), Encounter::TheyControl);
}
