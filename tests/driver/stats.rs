//! Statistics against what was really sent.

use std::time::{Duration, SystemTime};

use floe::agent::StatsId;
use floe::check::PairState;
use floe::driver::{Stats, TrafficStats};

use super::*;

/// The only transport, with the selected pair, each with its traffic.
fn selected(stats: &Stats) -> [&TrafficStats; 2] {
    let [(transport, total)] = &stats.transports[..] else { panic!("{:?}", stats.transports) };
    let id = transport.selected_candidate_pair_id.expect("a selected pair");
    let pair = stats.candidate_pairs.iter().find(|(pair, _)| pair.id == id);
    [total, &pair.expect("it is among the pairs").1]
}

#[tokio::test]
async fn data_is_counted_on_its_pair_and_its_transport() {
    let start = SystemTime::now();
    let (a, b) = pair(V4, 1).await;
    in_time(a.completed()).await.unwrap();
    in_time(b.completed()).await.unwrap();
    let (ca, cb) = (connection(&a, 1), connection(&b, 1));
    for agent in [&a, &b] {
        let stats = agent.stats();
        for traffic in selected(&stats) {
            assert_eq!(*traffic, TrafficStats::default(), "checks are no data");
        }
    }
    for len in [0, 1, 1_200] {
        passes(&ca, &cb, &vec![7; len]).await;
    }
    passes(&cb, &ca, b"back").await;
    in_time(ca.send_batch(&[1; 50 * 100 + 1], 100)).await.unwrap();
    let (mut received, mut batch) = (0, ReceiveBatch::new());
    while received < 51 {
        received += in_time(cb.recv_batch(&mut batch)).await.unwrap();
    }
    let (packets, bytes) = (3 + 51, 1 + 1_200 + 50 * 100 + 1);
    let (sa, sb) = (a.stats(), b.stats());
    for traffic in selected(&sa) {
        assert_eq!((traffic.packets_sent, traffic.bytes_sent), (packets, bytes));
        assert_eq!((traffic.packets_received, traffic.bytes_received), (1, 4));
        let last = traffic.last_packet_sent.expect("something was sent");
        // The clocks that are compared are some milliseconds apart.
        let late = Duration::from_secs(1);
        assert!(start <= last + late && last <= SystemTime::now() + late);
    }
    for traffic in selected(&sb) {
        assert_eq!((traffic.packets_received, traffic.bytes_received), (packets, bytes));
        assert_eq!((traffic.packets_sent, traffic.bytes_sent), (1, 4));
        assert!(traffic.last_packet_received.is_some());
    }
    // What is refused was not sent.
    ca.try_send(&[0; 70_000]).unwrap_err();
    assert_eq!(selected(&a.stats())[0].packets_sent, packets);
}

#[tokio::test]
async fn candidates_pairs_and_transports_refer_to_each_other() {
    let (a, b) = pair(V4, 2).await;
    in_time(a.completed()).await.unwrap();
    in_time(b.completed()).await.unwrap();
    let stats = a.stats();
    assert_eq!(stats.transports.len(), 2);
    let transports: Vec<StatsId> = stats.transports.iter().map(|(t, _)| t.id).collect();
    let locals: Vec<StatsId> = stats.local_candidates.iter().map(|c| c.id).collect();
    let remotes: Vec<StatsId> = stats.remote_candidates.iter().map(|c| c.id).collect();
    for (pair, _) in &stats.candidate_pairs {
        assert!(transports.contains(&pair.transport_id), "{pair:?}");
        assert!(locals.contains(&pair.local_candidate_id), "{pair:?}");
        assert!(remotes.contains(&pair.remote_candidate_id), "{pair:?}");
    }
    for (transport, _) in &stats.transports {
        assert_eq!((transport.ice_role, transport.ice_state), (a.role(), State::Completed));
        let id = transport.selected_candidate_pair_id.expect("a selected pair");
        let (pair, _) = stats.candidate_pairs.iter().find(|(pair, _)| pair.id == id).unwrap();
        assert!(pair.nominated && pair.state == PairState::Succeeded);
        assert_eq!(pair.transport_id, transport.id);
        let remote = stats.remote_candidates.iter().find(|c| c.id == pair.remote_candidate_id);
        let remote = remote.unwrap();
        assert_eq!(remote.candidate.address(), Some(pair.path.1));
        let theirs = b.credentials().ufrag;
        assert_eq!(remote.username_fragment, Some(theirs));
    }
}
