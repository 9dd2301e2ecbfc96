//! The schedule of RFC 8489 §6.2.1.

use std::time::Duration;

use super::*;
use crate::timer::Time;

#[test]
fn full_schedule_of_the_rfc() {
    let start = Time::from_millis(1_000);
    let mut schedule = Retransmission::new(Duration::from_millis(500));
    let mut sent_at = vec![start];
    let mut deadline = schedule.start(start);
    let timed_out = loop {
        let now = deadline;
        match schedule.advance(now) {
            Some(next) => {
                assert!(next > now);
                sent_at.push(now);
                deadline = next;
            }
            None => break now,
        }
    };
    let millis: Vec<u64> = [0, 500, 1500, 3500, 7500, 15500, 31500].into();
    assert_eq!(sent_at, millis.iter().map(|ms| Time::from_millis(1_000 + ms)).collect::<Vec<_>>());
    assert_eq!(timed_out, Time::from_millis(1_000 + 39_500));
    assert_eq!(schedule.sent(), 7);
    assert_eq!(schedule.advance(timed_out), None);
}
