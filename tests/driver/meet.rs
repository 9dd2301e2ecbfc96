//! A rendezvous without signalling between two addresses of this machine.

use std::net::IpAddr;
use std::time::Duration;

use floe::agent::{State, Transports};
use floe::candidate::ComponentId;
use floe::check::Role;
use floe::driver::{AgentError, meet};
use floe::punch::{Rendezvous, Secret};
use floe::rng::{Rng, Seed};
use floe::timer::Pacer;
use floe::{Agent, AgentConfig};

use crate::in_time;

const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 1));
const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));

/// A secret of this process: tests that run beside each other do not meet.
fn rendezvous(number: u64) -> Rendezvous {
    let seed = Seed::from_number(u64::from(std::process::id()) << 8 | number);
    let text = Secret::new_text(&mut Rng::new(&seed));
    Rendezvous::new(text.parse().unwrap())
}

async fn one(number: u64, own: IpAddr, peer: IpAddr, transports: Transports) -> Agent {
    let pacer = Pacer::new();
    let settings = || {
        let mut config = AgentConfig::new(Role::Controlled);
        config.bind = vec![own];
        config.ice.transports = transports;
        config.ice.log = true;
        config.watch_network = false;
        config.pacer = Some(pacer.clone());
        config
    };
    meet(&rendezvous(number), peer, settings).await.unwrap()
}

async fn they_meet(number: u64, transports: Transports) {
    let later = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        one(number, B, A, transports).await
    };
    let (a, b) = in_time(async { tokio::join!(one(number, A, B, transports), later) }).await;
    assert_eq!((a.state(), b.state()), (State::Completed, State::Completed));
    assert_ne!(a.role(), b.role());
    assert_eq!(a.credentials(), b.credentials(), "both take the same session");
    let [from, to] = [&a, &b].map(|agent| agent.connection(ComponentId::ONE).unwrap());
    from.send(b"hello").await.unwrap();
    let mut buffer = [0; 16];
    assert_eq!(in_time(to.recv(&mut buffer)).await.unwrap(), 5);
    to.send(b"and back").await.unwrap();
    assert_eq!(in_time(from.recv(&mut buffer)).await.unwrap(), 8);
    let pwd = a.credentials().pwd;
    let records = a.log_records();
    assert!(records.len() > 10 && !format!("{records:?}").contains(&*pwd));
    floe::agent::replay::replay(records).unwrap();
    a.close().await;
    b.close().await;
}

#[tokio::test]
async fn over_udp() {
    they_meet(1, Transports::UDP).await;
}

#[tokio::test]
async fn over_tcp() {
    they_meet(2, Transports { tcp_so: true, ..Transports::NONE }).await;
}

#[tokio::test]
async fn over_whichever_is_first() {
    they_meet(3, Transports::ALL).await;
}

#[tokio::test]
async fn who_has_another_secret_waits() {
    let waits =
        async { tokio::join!(one(4, A, B, Transports::ALL), one(5, B, A, Transports::ALL)) };
    assert!(tokio::time::timeout(Duration::from_secs(2), waits).await.is_err());
}

/// The peer's address is our own: all that arrives is what we sent.
#[tokio::test]
async fn nobody_meets_oneself() {
    for transports in [Transports::UDP, Transports { tcp_so: true, ..Transports::NONE }] {
        let alone = one(6, A, A, transports);
        assert!(tokio::time::timeout(Duration::from_secs(2), alone).await.is_err());
    }
}

#[tokio::test]
async fn an_address_that_is_not_ours_is_an_error() {
    let settings = || {
        let mut config = AgentConfig::new(Role::Controlled);
        config.bind = vec![[203, 0, 113, 9].into()];
        config
    };
    let error = in_time(meet(&rendezvous(7), [203, 0, 113, 1].into(), settings)).await;
    assert!(matches!(error, Err(AgentError::NoPort)), "{error:?}");
}
