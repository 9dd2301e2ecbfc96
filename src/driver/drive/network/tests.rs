use super::*;
use crate::check::Role;
use crate::driver::config::AgentConfig;

const NAP: Duration = Duration::from_secs(60);

fn shared() -> std::sync::Arc<Shared> {
    let mut config = AgentConfig::new(Role::Controlling);
    config.ice.include_loopback = true;
    config.interfaces = vec!["lo".into()];
    config.watch_network = false;
    // A restart would ask for the real ones.
    config.ice.follow_network = false;
    let shared = Shared::start(config).unwrap();
    shared.add_stream(1).unwrap();
    shared
}

fn ips(shared: &Shared) -> Vec<String> {
    shared.machine.lock().addresses.iter().map(|address| address.ip.to_string()).collect()
}

fn interfaces(list: &[(&str, &str)]) -> Interfaces {
    Interfaces::of(list.iter().map(|(ip, interface)| LocalAddress {
        ip: ip.parse().unwrap(),
        interface: (*interface).into(),
        index: 1,
        prefix: Some(32),
        temporary: None,
        deprecated: None,
    }))
}

#[tokio::test]
async fn the_agent_gets_its_own_addresses_when_they_change() {
    let shared = shared();
    let machine = [("127.0.0.1", "lo"), ("192.0.2.1", "eth0"), ("127.0.0.2", "lo")];
    shared.looked(&interfaces(&machine), None);
    assert_eq!(ips(&shared), [""; 0], "before gathering it does not matter");

    shared.gather().unwrap();
    shared.looked(&interfaces(&machine), None);
    assert_eq!(ips(&shared), ["127.0.0.1", "127.0.0.2"]);
    // In another order they are the same.
    shared.looked(&interfaces(&[machine[2], machine[0]]), Some(NAP));
    assert_eq!(ips(&shared), ["127.0.0.1", "127.0.0.2"]);
    shared.looked(&interfaces(&machine[1..]), None);
    assert_eq!(ips(&shared), ["127.0.0.2"]);

    drop(shared.shut_down());
    shared.looked(&interfaces(&machine), Some(NAP));
    assert_eq!(ips(&shared), ["127.0.0.2"], "a closed agent does not care");
}

#[test]
#[cfg(target_os = "linux")]
fn an_agent_follows_the_machine() {
    use crate::driver::watch::tests::{LIMIT, ip, namespace};

    let name = "driver::drive::network::tests::an_agent_follows_the_machine";
    if !namespace::enter(name) {
        return;
    }
    ip("link set lo up");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let mut config = AgentConfig::new(Role::Controlling);
    config.ice.include_loopback = true;
    let shared = Shared::start(config).unwrap();
    shared.add_stream(1).unwrap();
    shared.gather().unwrap();
    let sockets = || -> Vec<String> {
        let machine = shared.machine.lock();
        machine.bases.values().map(|base| base.socket.local().ip().to_string()).collect()
    };
    let sorted = || {
        let mut ips = ips(&shared);
        ips.sort();
        ips
    };
    let before = sorted();
    assert!(before.contains(&"127.0.0.1".to_owned()), "{before:?}");
    let follows = |wanted: &[String]| {
        let start = std::time::Instant::now();
        while sorted() != wanted {
            assert!(start.elapsed() < LIMIT, "{:?} and not {wanted:?}", sorted());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    };
    ip("addr add 192.0.2.1/32 dev lo");
    let mut with = before.clone();
    with.push("192.0.2.1".to_owned());
    with.sort();
    follows(&with);
    assert!(sockets().contains(&"192.0.2.1".to_owned()), "{:?}", sockets());
    ip("addr del 192.0.2.1/32 dev lo");
    follows(&before);
    assert!(!sockets().contains(&"192.0.2.1".to_owned()), "{:?}", sockets());
    drop(shared.shut_down());
}
