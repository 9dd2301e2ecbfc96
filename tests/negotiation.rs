//! Two cores in virtual time, over a network that only delays: exact packet
//! counts and exact times.

#[path = "negotiation/network.rs"]
#[allow(unreachable_pub)]
mod network;

use std::time::Duration;

use floe::agent::{Event, State};
use floe::check::Role;
use floe::timer::Time;
use network::{Options, Pair, host};

/// One host address each, 10 ms one way.
fn simple() -> Pair {
    Pair::new(Options {
        seed: 1,
        addresses: [vec![host(1, 1)], vec![host(2, 1)]],
        ..Options::default()
    })
}

#[test]
fn two_hosts_connect_select_and_complete() {
    let mut pair = simple();
    pair.signal_all();
    pair.run_until(Time::from_millis(500));
    for side in 0..2 {
        assert_eq!(pair.core(side).state(), State::Completed, "{:?}", pair.events(side));
        let selected =
            pair.events(side).iter().filter(|(_, e)| matches!(e, Event::Selected { .. }));
        assert_eq!(selected.count(), 1);
    }
    assert_eq!(pair.core(0).role(), Role::Controlling);
    assert_eq!(pair.core(1).role(), Role::Controlled);
}

#[test]
fn a_simple_negotiation_takes_this_many_packets_at_these_times() {
    let mut pair = simple();
    pair.signal_all();
    pair.run_until(Time::from_millis(500));
    // Each side: the first check, the one that the other's triggered, and the
    // controlling side its nomination; each is answered.
    let valid =
        |side| pair.time_of(side, |e| matches!(e, Event::State { state: State::Connected, .. }));
    assert_eq!(valid(0), Some(Time::from_millis(20)));
    assert_eq!(valid(1), Some(Time::from_millis(20)));
    let done = |side| pair.time_of(side, |e| matches!(e, Event::Selected { .. }));
    assert_eq!(done(0), Some(Time::from_millis(40)));
    assert_eq!(done(1), Some(Time::from_millis(30)));
    println!("{:#?}", pair.trace());
}

#[test]
fn nothing_is_sent_after_close() {
    let mut pair = simple();
    pair.signal_all();
    pair.run_until(Time::from_millis(200));
    let now = pair.now();
    pair.core_mut(0).close(now);
    pair.pump();
    let sent = pair.sent(0);
    assert_eq!(pair.core(0).poll_timeout(), None);
    pair.run_until(now + Duration::from_secs(60));
    assert_eq!(pair.sent(0), sent);
    assert_eq!(pair.core(0).state(), State::Closed);
    assert_eq!(pair.core(1).state(), State::Failed, "consent expires on the other side");
}
