//! Who is in which room.

use std::collections::HashMap;
use std::time::Instant;

use bytes::Bytes;
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use tokio::sync::mpsc;

use super::RendezvousLimits;
use crate::rendezvous::{GUESSES, Refusal, Tell};

/// What waits for a visitor that is slow to read, at most.
pub(super) const OUTBOX: usize = 64;

/// How often another name is tried for a room.
const TRIES: u32 = 16;

/// What is to be sent to a visitor.
#[derive(Debug)]
pub(super) enum Mail {
    /// A word of the server.
    Tell(Tell),
    /// What the other visitor sent.
    Pass(Bytes),
}

/// The rooms of a server.
#[derive(Debug)]
pub(super) struct Rooms {
    limits: RendezvousLimits,
    rooms: HashMap<Box<str>, Room>,
    visitors: u64,
}

#[derive(Debug)]
struct Room {
    opened: Instant,
    /// In the order in which they came.
    visitors: Vec<Visitor>,
    wrong: u8,
    /// Of these two a wrong guess has been counted.
    is_counted: bool,
}

#[derive(Debug)]
struct Visitor {
    number: u64,
    outbox: mpsc::Sender<Mail>,
}

/// A visitor's place in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) name: Box<str>,
    number: u64,
    /// When the room was opened.
    pub(super) opened: Instant,
}

impl Rooms {
    pub(super) fn new(limits: RendezvousLimits) -> Self {
        Rooms { limits, rooms: HashMap::new(), visitors: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.rooms.len()
    }

    /// A new room with a name that is free.
    pub(super) fn open(
        &mut self,
        outbox: mpsc::Sender<Mail>,
        now: Instant,
    ) -> Result<Place, Refusal> {
        for tried in 0..TRIES {
            let name = name(tried).ok_or(Refusal::Busy)?;
            if !self.rooms.contains_key(&*name) {
                return self.enter(&name, outbox, now);
            }
        }
        Err(Refusal::Busy)
    }

    /// The room of this name, which is opened if there is none.
    pub(super) fn enter(
        &mut self,
        name: &str,
        outbox: mpsc::Sender<Mail>,
        now: Instant,
    ) -> Result<Place, Refusal> {
        let lifetime = self.limits.lifetime;
        let is_over = |room: &Room| now.saturating_duration_since(room.opened) >= lifetime;
        if self.rooms.get(name).is_some_and(is_over) || self.rooms.len() >= self.limits.rooms {
            self.rooms.retain(|_, room| !is_over(room));
        }
        if !self.rooms.contains_key(name) && self.rooms.len() >= self.limits.rooms {
            return Err(Refusal::Busy);
        }
        self.visitors += 1;
        let number = self.visitors;
        let room = self.rooms.entry(name.into()).or_insert_with(|| Room::new(now));
        if room.wrong >= GUESSES {
            return Err(Refusal::Guessed);
        }
        if room.visitors.len() >= 2 {
            return Err(Refusal::Full);
        }
        // There is room in the outbox of one who comes.
        let _ = outbox.try_send(Mail::Tell(Tell::Entered(name.into())));
        room.visitors.push(Visitor { number, outbox });
        if let [first, second] = &room.visitors[..] {
            let _ = second.outbox.try_send(Mail::Tell(Tell::Met { first: false }));
            // One who does not read is as good as gone; its own task sees to that.
            let _ = first.outbox.try_send(Mail::Tell(Tell::Met { first: true }));
            room.is_counted = false;
        }
        Ok(Place { name: name.into(), number, opened: room.opened })
    }

    /// Passes a message on to the other visitor; `None` where there is none or
    /// it does not read.
    pub(super) fn pass(&self, place: &Place, message: Bytes) -> Option<()> {
        let room = self.rooms.get(&place.name)?;
        let other = room.visitors.iter().find(|visitor| visitor.number != place.number)?;
        let is_in = room.visitors.iter().any(|visitor| visitor.number == place.number);
        is_in.then(|| other.outbox.try_send(Mail::Pass(message)).ok()).flatten()
    }

    /// A visitor says that the other one does not know the secret. Both may
    /// say it: it is one guess. After the third the room is closed.
    pub(super) fn wrong(&mut self, place: &Place) {
        let Some(room) = self.rooms.get_mut(&place.name) else { return };
        let is_in = room.visitors.iter().any(|visitor| visitor.number == place.number);
        // One alone has nobody to complain of, but one who was just there.
        if !is_in || std::mem::replace(&mut room.is_counted, true) {
            return;
        }
        room.wrong += 1;
        if room.wrong >= GUESSES {
            for visitor in room.visitors.drain(..) {
                let _ = visitor.outbox.try_send(Mail::Tell(Tell::Refused(Refusal::Guessed)));
            }
        }
    }

    /// A visitor leaves. A room that is empty is gone, but one that was closed
    /// stays closed for its time.
    pub(super) fn leave(&mut self, place: &Place) {
        let Some(room) = self.rooms.get_mut(&place.name) else { return };
        let before = room.visitors.len();
        room.visitors.retain(|visitor| visitor.number != place.number);
        if room.visitors.len() == before {
            return;
        }
        for other in &room.visitors {
            let _ = other.outbox.try_send(Mail::Tell(Tell::Left));
        }
        if room.visitors.is_empty() && room.wrong < GUESSES {
            self.rooms.remove(&place.name);
        }
    }
}

impl Room {
    fn new(opened: Instant) -> Self {
        // There were no two yet, of whom one could be wrong.
        Room { opened, visitors: Vec::with_capacity(2), wrong: 0, is_counted: true }
    }
}

/// A number of three digits, and of more where those were tried and taken.
fn name(tried: u32) -> Option<String> {
    let size = 10_u32.pow(2 + (tried / 4).min(6));
    let number = OsRng.try_next_u32().ok()?;
    Some((size + number % (size * 9)).to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    struct Guest {
        place: Place,
        inbox: mpsc::Receiver<Mail>,
    }

    impl Guest {
        fn enter(rooms: &mut Rooms, name: &str, now: Instant) -> Result<Self, Refusal> {
            let (outbox, inbox) = mpsc::channel(OUTBOX);
            let place = rooms.enter(name, outbox, now)?;
            Ok(Guest { place, inbox })
        }

        fn told(&mut self) -> Vec<String> {
            std::iter::from_fn(|| self.inbox.try_recv().ok())
                .map(|mail| match mail {
                    Mail::Tell(tell) => tell.to_string(),
                    Mail::Pass(bytes) => format!("{bytes:?}"),
                })
                .collect()
        }
    }

    fn rooms() -> (Rooms, Instant) {
        (Rooms::new(RendezvousLimits::default()), Instant::now())
    }

    #[test]
    fn two_meet_a_third_does_not_and_one_may_come_again() {
        let (mut rooms, now) = rooms();
        let mut a = Guest::enter(&mut rooms, "7", now).unwrap();
        assert_eq!(rooms.pass(&a.place, Bytes::from_static(b"alone")), None);
        let mut b = Guest::enter(&mut rooms, "7", now).unwrap();
        assert_eq!(a.told(), ["floe1 entered 7", "floe1 met first"]);
        assert_eq!(b.told(), ["floe1 entered 7", "floe1 met second"]);
        assert_eq!(Guest::enter(&mut rooms, "7", now).err(), Some(Refusal::Full));
        assert_eq!(rooms.pass(&a.place, Bytes::from_static(b"x")), Some(()));
        assert_eq!((a.told(), b.told()), (vec![], vec!["b\"x\"".to_owned()]));
        rooms.leave(&b.place);
        rooms.leave(&b.place);
        assert_eq!(rooms.pass(&b.place, Bytes::from_static(b"gone")), None);
        assert_eq!(a.told(), ["floe1 left"]);
        let mut c = Guest::enter(&mut rooms, "7", now).unwrap();
        assert_eq!((a.told(), c.told().len()), (vec!["floe1 met first".to_owned()], 2));
        rooms.leave(&a.place);
        rooms.leave(&c.place);
        assert_eq!(rooms.len(), 0);
    }

    #[test]
    fn three_wrong_guesses_close_the_room_for_its_time() {
        let (mut rooms, now) = rooms();
        let mut a = Guest::enter(&mut rooms, "7", now).unwrap();
        rooms.wrong(&a.place);
        for guess in 1..=GUESSES {
            let b = Guest::enter(&mut rooms, "7", now).unwrap();
            // Both say so, and one says it twice.
            [&a, &b, &b].iter().for_each(|guest| rooms.wrong(&guest.place));
            rooms.leave(&b.place);
            assert_eq!(a.told().iter().any(|line| line == "floe1 refused guessed"), guess == 3);
        }
        assert_eq!(Guest::enter(&mut rooms, "7", now).err(), Some(Refusal::Guessed));
        rooms.leave(&a.place);
        assert_eq!(Guest::enter(&mut rooms, "7", now).err(), Some(Refusal::Guessed));
        let later = now + RendezvousLimits::default().lifetime;
        assert!(Guest::enter(&mut rooms, "7", later).is_ok());
    }

    /// The guesser leaves first, and the one who stays says what it was.
    #[test]
    fn a_guess_counts_after_the_guesser_has_left() {
        let (mut rooms, now) = rooms();
        let a = Guest::enter(&mut rooms, "7", now).unwrap();
        for _ in 0..GUESSES {
            let b = Guest::enter(&mut rooms, "7", now).unwrap();
            rooms.leave(&b.place);
            rooms.wrong(&a.place);
        }
        assert_eq!(Guest::enter(&mut rooms, "7", now).err(), Some(Refusal::Guessed));
    }

    #[test]
    fn rooms_are_bounded_and_their_time_is() {
        let (mut rooms, now) = rooms();
        rooms.limits.rooms = 3;
        let mut guests: Vec<Guest> = Vec::new();
        for name in ["1", "2", "3"] {
            guests.push(Guest::enter(&mut rooms, name, now).unwrap());
        }
        assert_eq!(Guest::enter(&mut rooms, "4", now).err(), Some(Refusal::Busy));
        let (outbox, _inbox) = mpsc::channel(OUTBOX);
        assert_eq!(rooms.open(outbox, now).err(), Some(Refusal::Busy));
        let later = now + rooms.limits.lifetime + Duration::from_secs(1);
        assert!(Guest::enter(&mut rooms, "4", later).is_ok());
        assert_eq!(rooms.len(), 1);
        // Who was in a room that is gone is nobody in a new one of its name.
        let mut new = Guest::enter(&mut rooms, "1", later).unwrap();
        rooms.wrong(&guests[0].place);
        rooms.leave(&guests[0].place);
        assert_eq!(rooms.pass(&guests[0].place, Bytes::from_static(b"x")), None);
        assert_eq!(new.told(), ["floe1 entered 1"]);
    }

    #[test]
    fn names_that_are_made_are_free() {
        let (mut rooms, now) = rooms();
        rooms.limits.rooms = 2_000;
        let mut made = std::collections::BTreeSet::new();
        for _ in 0..1_500 {
            let (outbox, _inbox) = mpsc::channel(OUTBOX);
            let place = rooms.open(outbox, now).unwrap();
            assert!(crate::rendezvous::is_name(&place.name));
            assert!(made.insert(place.name));
        }
    }
}
