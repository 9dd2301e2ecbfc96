//! On the kernel, in a network namespace of the test's own.
#![cfg(target_os = "linux")]

use std::net::IpAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Instant;

use super::*;
use crate::driver::interfaces::Filter;

#[path = "../../../tests/harness/namespace.rs"]
#[allow(dead_code)]
pub(in crate::driver) mod namespace;
#[path = "../../../tests/harness/requirement.rs"]
#[allow(dead_code)]
mod requirement;

/// No change takes longer to be told of; then the test fails.
pub(in crate::driver) const LIMIT: Duration = Duration::from_secs(20);

/// The addresses, and how long the machine slept.
type Told = (Vec<IpAddr>, Option<Duration>);

struct Listener(Mutex<Sender<Told>>);

impl Member for Listener {
    fn looked(&self, interfaces: &Interfaces, slept: Option<Duration>) {
        let addresses = interfaces.pass(&Filter::default());
        let ips = addresses.iter().map(|address| address.ip).collect();
        // A test that is over does not listen any more.
        let _ = self.0.lock().send((ips, slept));
    }
}

fn listen() -> (Arc<Listener>, Membership, Receiver<Told>) {
    let (told, heard) = channel();
    let listener = Arc::new(Listener(Mutex::new(told)));
    let weak: Weak<dyn Member> = Arc::downgrade(&listener) as Weak<dyn Member>;
    (listener, join(weak), heard)
}

/// Hears until the addresses are as wanted.
fn hear(heard: &Receiver<Told>, wanted: impl Fn(&[IpAddr]) -> bool) {
    let start = Instant::now();
    while let Some(left) = LIMIT.checked_sub(start.elapsed()) {
        match heard.recv_timeout(left) {
            Ok((ips, slept)) => {
                assert_eq!(slept, None, "nobody slept");
                if wanted(&ips) {
                    return;
                }
            }
            Err(RecvTimeoutError::Timeout) => break,
            Err(RecvTimeoutError::Disconnected) => panic!("the listener is gone"),
        }
    }
    panic!("not told of in {LIMIT:?}");
}

pub(in crate::driver) fn ip(arguments: &str) {
    let mut command = std::process::Command::new("ip");
    let status = command.args(arguments.split(' ')).status().expect("ip runs, as it did before");
    assert!(status.success(), "ip {arguments}");
}

/// The threads of this process that watch.
fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("a process has tasks").flatten();
    let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm"));
    tasks.map(name).filter(|name| matches!(name, Ok(n) if n == "floe-watch\n")).count()
}

#[test]
fn every_member_is_told_of_addresses_that_come_and_go() {
    let name = "driver::watch::tests::every_member_is_told_of_addresses_that_come_and_go";
    if !namespace::enter(name) {
        return;
    }
    ip("link set lo up");
    let added: IpAddr = "192.0.2.1".parse().unwrap();
    let listeners = [listen(), listen()];
    assert!(WATCH.lock().thread.as_ref().is_some_and(|stop| matches!(stop, Stop::Told(_))));

    ip("addr add 192.0.2.1/32 dev lo");
    listeners.iter().for_each(|(_, _, heard)| hear(heard, |ips| ips.contains(&added)));
    assert_eq!(threads(), 1, "one for all");
    ip("addr del 192.0.2.1/32 dev lo");
    listeners.iter().for_each(|(_, _, heard)| hear(heard, |ips| !ips.contains(&added)));

    // An interface that goes takes its addresses with it.
    ip("link add floe0 type veth peer name floe1");
    ip("addr add 192.0.2.1/24 dev floe0");
    ip("link set floe0 up");
    ip("link set floe1 up");
    listeners.iter().for_each(|(_, _, heard)| hear(heard, |ips| ips.contains(&added)));
    ip("link del floe0");
    listeners.iter().for_each(|(_, _, heard)| hear(heard, |ips| !ips.contains(&added)));

    let [(_, first, _), (listener, second, heard)] = listeners;
    drop(first);
    ip("addr add 192.0.2.1/32 dev lo");
    hear(&heard, |ips| ips.contains(&added));
    assert_eq!(threads(), 1);
    drop((listener, second));
    let start = Instant::now();
    while threads() > 0 {
        assert!(start.elapsed() < LIMIT, "the thread does not end");
        std::thread::yield_now();
    }
}

/// Routes come and go by the thousand on some machines: nobody is told of
/// what leaves the addresses as they are.
#[test]
fn what_leaves_the_addresses_as_they_are_is_not_told() {
    let name = "driver::watch::tests::what_leaves_the_addresses_as_they_are_is_not_told";
    if !namespace::enter(name) {
        return;
    }
    ip("link set lo up");
    let (_listener, _membership, heard) = listen();
    let (first, second) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
    ip("addr add 192.0.2.1/32 dev lo");
    hear(&heard, |ips: &[IpAddr]| ips.contains(&first));
    for _ in 0..3 {
        ip("route add 198.51.100.0/24 dev lo");
        // Longer than it takes until it is quiet.
        std::thread::sleep(3 * QUIET);
        ip("route del 198.51.100.0/24 dev lo");
    }
    ip("addr add 192.0.2.2/32 dev lo");
    let next = heard.recv_timeout(LIMIT).expect("the second address is told of");
    assert!(next.0.contains(&second), "told of {next:?}");
}

/// More than the socket holds, and more than is thrown away at a time.
#[test]
fn a_flood_is_survived() {
    let name = "driver::watch::tests::a_flood_is_survived";
    if !namespace::enter(name) {
        return;
    }
    ip("link set lo up");
    let (_listener, _membership, heard) = listen();
    let routes: String = (0..4_000_u32)
        .map(|n| format!("route add 10.{}.{}.0/24 dev lo\n", n / 250, n % 250))
        .collect();
    let file = std::env::temp_dir().join(format!("floe-routes-{}", std::process::id()));
    std::fs::write(&file, routes).unwrap();
    ip(&format!("-batch {}", file.display()));
    std::fs::remove_file(&file).unwrap();
    let added: IpAddr = "192.0.2.1".parse().unwrap();
    ip("addr add 192.0.2.1/32 dev lo");
    hear(&heard, |ips| ips.contains(&added));
}
