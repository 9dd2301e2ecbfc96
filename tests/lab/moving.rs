//! A stream that moves from a relay to a direct path and back, while it runs.

use std::time::{Duration, Instant};

use crate::gate::Gate;
use crate::harness::session::{Session, Side};
use crate::relay::{Relay, by_relay};
use crate::topology::Lab;
use crate::{PORT_RESTRICTED, ready};

/// Bytes of a datagram: STUN messages, which the gate may drop uncounted, are
/// multiples of four.
const PAYLOAD: usize = 101;
/// Between two datagrams of a side.
const PACE: Duration = Duration::from_millis(10);
/// Longer than a move takes, by far.
const LIMIT: Duration = Duration::from_secs(60);

/// Numbered datagrams both ways.
#[derive(Default)]
struct Stream {
    sent: u32,
}

impl Stream {
    /// One datagram each way, and the time until the next.
    fn step(&mut self, session: &mut Session, what: &str) {
        for from in [0, 1] {
            let mut payload = [b'.'; PAYLOAD];
            payload[..4].copy_from_slice(&self.sent.to_be_bytes());
            session.send(from, 1, &payload);
        }
        self.sent += 1;
        let next = Instant::now() + PACE;
        while Instant::now() < next {
            session.step(what, next.saturating_duration_since(Instant::now()));
        }
    }

    /// Runs until `done`; how long it took.
    fn until(
        &mut self,
        session: &mut Session,
        what: &str,
        done: impl Fn(&[Side; 2]) -> bool,
    ) -> Duration {
        let start = Instant::now();
        while !done(&session.sides) {
            self.step(session, what);
        }
        start.elapsed()
    }

    /// Runs for a hundred datagrams each way.
    fn go_on(&mut self, session: &mut Session) {
        (0..100).for_each(|_| self.step(session, "the stream"));
    }

    /// Waits for what is under way, but for so many that are lost; gives how
    /// many are, and how many came twice.
    fn missing(&self, session: &mut Session, lost: usize) -> (usize, usize) {
        let wanted = 2 * self.sent as usize - lost;
        session.until("the last datagrams", |sides| {
            sides.iter().map(|side| side.received.len()).sum::<usize>() >= wanted
        });
        let counts = session.sides.each_ref().map(|side| {
            let mut seen = vec![0; self.sent as usize];
            for (_, payload) in &side.received {
                let number = payload.first_chunk().expect("a datagram of the stream");
                seen[u32::from_be_bytes(*number) as usize] += 1;
            }
            let of = |is_so: fn(&&i32) -> bool| seen.iter().filter(is_so).count();
            (of(|count| **count == 0), of(|count| **count > 1))
        });
        (counts[0].0 + counts[1].0, counts[0].1 + counts[1].1)
    }
}

/// The gate opens and closes again. On the way up nothing is lost; on the way
/// back exactly what the gate has dropped is, and nothing comes twice.
#[test]
fn a_stream_moves_to_a_direct_path_and_back() {
    if !ready("moving::a_stream_moves_to_a_direct_path_and_back") {
        return;
    }
    let lab = Lab::new(&PORT_RESTRICTED);
    let gate = Gate::new(&lab, PAYLOAD);
    let relay = Relay::start(&lab);
    let mut session = relay.agents_over_udp().start(&lab);
    session.extend(2 * LIMIT);
    session.forward();
    session.until_completed();
    let relayed = |sides: &[Side; 2]| sides.iter().any(by_relay);
    assert!(relayed(&session.sides), "there is no other way");

    let mut stream = Stream::default();
    stream.go_on(&mut session);
    gate.open();
    let up = stream.until(&mut session, "a direct path", |sides| !relayed(sides));
    stream.go_on(&mut session);
    assert_eq!(stream.missing(&mut session, 0), (0, 0), "on the way up");
    assert_eq!(gate.dropped(), 0);

    gate.close();
    let back = stream.until(&mut session, "the relay again", relayed);
    stream.go_on(&mut session);
    let dropped = gate.dropped();
    assert_eq!(stream.missing(&mut session, dropped), (dropped, 0), "on the way back");
    println!(
        "direct {:.1} s after the gate had opened, relayed {:.1} s after it had closed; {dropped} \
         of {} datagrams were lost, each at the gate",
        up.as_secs_f64(),
        back.as_secs_f64(),
        2 * stream.sent
    );
    for side in &session.sides {
        assert!(side.since("failed").is_none(), "{:?}", side.states);
        assert!(side.errors.is_empty(), "{:?}", side.errors);
    }
    session.end();
}
