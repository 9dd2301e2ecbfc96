//! The TURN client in virtual time, against a model of a server that checks
//! what it is sent and can be told to answer with anything. Every count and
//! every time is exact.

mod allocating;
mod channels;
mod data;
mod dual;
mod hostile;
mod life;
mod login;
mod moving;
mod peers;
mod redirects;
mod server;
mod streams;
mod world;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use floe::timer::Time;
use floe::turn::{Cause, Event};

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn ms(millis: u64) -> Time {
    Time::from_millis(millis)
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The cause and the code of an event that tells of the end.
fn end(event: &Event) -> Option<(Cause, Option<u16>)> {
    match event {
        Event::Failed(failure) | Event::Lost(failure) => Some((failure.cause, failure.code)),
        _ => None,
    }
}
