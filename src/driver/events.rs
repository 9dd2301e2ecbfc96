//! The events that wait for the application.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::agent::Event;

/// From this many events on, those that later ones have overtaken are
/// forgotten.
const MANY: usize = 256;

/// Events in order. An application that does not read them costs bounded
/// memory, and finds the latest state and the selected pairs when it does.
#[derive(Debug, Default)]
pub(crate) struct EventQueue {
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    events: VecDeque<Event>,
    closed: bool,
}

impl EventQueue {
    /// Adds an event.
    pub(crate) fn push(&self, event: Event) {
        let mut inner = self.inner.lock();
        if inner.events.len() >= MANY {
            inner.forget(&event);
        }
        inner.events.push_back(event);
        drop(inner);
        self.changed.notify_one();
    }

    /// The oldest event; `None` when the queue is closed and empty.
    pub(crate) async fn next(&self) -> Option<Event> {
        loop {
            let changed = self.changed.notified();
            if let Some(result) = self.try_next() {
                return result;
            }
            changed.await;
        }
    }

    fn try_next(&self) -> Option<Option<Event>> {
        let mut inner = self.inner.lock();
        let next = inner.events.pop_front();
        let closed = inner.closed;
        let more = closed || !inner.events.is_empty();
        drop(inner);
        if next.is_some() && more {
            // For another task that waits here.
            self.changed.notify_one();
        }
        (next.is_some() || closed).then_some(next)
    }

    /// Lets the events that are there be read, and then `None`.
    pub(crate) fn close(&self) {
        self.inner.lock().closed = true;
        self.changed.notify_waiters();
        self.changed.notify_one();
    }
}

impl Inner {
    /// Forgets the oldest event that `new` or one that waits has overtaken.
    fn forget(&mut self, new: &Event) {
        let overtaken = (0..self.events.len()).find(|&at| {
            let later = self.events.iter().skip(at + 1).chain([new]);
            self.events.get(at).is_some_and(|event| is_overtaken(event, later))
        });
        if let Some(at) = overtaken {
            self.events.remove(at);
        }
    }
}

fn is_overtaken<'a>(event: &Event, mut later: impl Iterator<Item = &'a Event>) -> bool {
    match event {
        Event::State { .. } => later.any(|event| matches!(event, Event::State { .. })),
        Event::Selected { stream, component, .. } => later.any(|event| {
            matches!(event, Event::Selected { stream: s, component: c, .. }
                if (s, c) == (stream, component))
        }),
        // Of use for people only; the core bounds candidates.
        Event::CandidateError { .. } => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::agent::{State, StateReason, StreamId};
    use crate::gather::Cause;

    fn state(state: State) -> Event {
        Event::State { state, reason: StateReason::ConsentMissed }
    }

    fn end() -> Event {
        Event::EndOfCandidates { stream: StreamId(0) }
    }

    fn error() -> Event {
        let (uri, text) = ("stun:x".into(), "".into());
        Event::CandidateError { uri, cause: Cause::NotReached, code: 701, text }
    }

    async fn drain(queue: &EventQueue) -> Vec<Event> {
        queue.close();
        let mut events = Vec::new();
        while let Some(event) = queue.next().await {
            events.push(event);
        }
        events
    }

    #[tokio::test]
    async fn unread_events_stay_bounded_and_the_latest_state_is_kept() {
        let queue = EventQueue::default();
        queue.push(end());
        for n in 0..10_000 {
            queue.push(error());
            queue.push(state(if n % 2 == 0 { State::Disconnected } else { State::Connected }));
        }
        queue.push(state(State::Failed));
        let events = drain(&queue).await;
        assert!(events.len() <= MANY);
        assert_eq!(events.first(), Some(&end()));
        assert_eq!(events.last(), Some(&state(State::Failed)));
    }

    #[tokio::test]
    async fn every_waiting_task_gets_an_event_or_the_end() {
        let queue = Arc::new(EventQueue::default());
        let tasks = [(); 4].map(|()| {
            let queue = queue.clone();
            tokio::spawn(async move { queue.next().await })
        });
        tokio::task::yield_now().await;
        queue.push(end());
        queue.push(end());
        queue.close();
        let mut got = 0;
        for task in tasks {
            got += usize::from(task.await.unwrap().is_some());
        }
        assert_eq!(got, 2);
        assert_eq!(queue.next().await, None);
    }
}
