use proptest::prelude::*;

use super::fixture::{FOLLOWER, LEADER, millis};
use crate::punch::{MessageError, Offer, Rank, SyncBody, SyncMessage, SyncState, Timing};
use crate::timer::Time;

fn fresh(address: &str) -> SyncBody {
    let address = address.parse().unwrap();
    SyncBody::Fresh(Offer { component: 1, attempt: 3, round: 4, address })
}

/// The forms stay as they are: others may have to be read by other versions.
#[test]
fn the_text_of_each_kind() {
    let forms = [
        (SyncBody::Ask { t1: 0 }, "ask 7 c 0000000000000001 0"),
        (SyncBody::Answer { t1: 1, t2: 20, t3: 21 }, "answer 7 c 0000000000000001 1 20 21"),
        (
            SyncBody::Start { t0: 1 << 40, every: 250_000, round: 1_000_000 },
            "start 7 c 0000000000000001 1099511627776 250000 1000000",
        ),
        (SyncBody::Agree { t0: 9 }, "agree 7 c 0000000000000001 9"),
        (SyncBody::Connect, "connect 7 c 0000000000000001"),
        (SyncBody::Sync, "sync 7 c 0000000000000001"),
        (fresh("203.0.113.9:40000"), "fresh 7 c 0000000000000001 1 3 4 203.0.113.9 40000"),
        (fresh("[2001:db8::9]:1"), "fresh 7 c 0000000000000001 1 3 4 2001:db8::9 1"),
    ];
    for (body, text) in forms {
        let message = SyncMessage { id: 7, from: LEADER, body };
        assert_eq!((message.to_string().as_str(), text.parse()), (text, Ok(message)));
    }
    let controlled = "sync 4294967295 d ffffffffffffffff".parse::<SyncMessage>().unwrap();
    assert_eq!(controlled.from, Rank { controls: false, tie_breaker: u64::MAX });
}

#[test]
fn what_is_no_message_is_refused() {
    let tie = "0000000000000001";
    let refused = |text: String| text.parse::<SyncMessage>().unwrap_err();
    for text in [
        "",
        " ",
        "ask",
        "ask 1",
        "ask 1 c",
        &format!("ask 1 c {tie}"),
        &format!("ask 1 c {tie} "),
        &format!("ask  1 c {tie} 5"),
        &format!("ask 1 c {tie} 5 "),
        &format!("ask 1 c {tie} 5 5"),
        &format!("ask 1 c {tie} -5"),
        &format!("ask 1 c {tie} +5"),
        &format!("ask 1 c {tie} 05"),
        &format!("ask 1 e {tie} 5"),
        "ask 1 c 1 5",
        "ask 1 c 00000000000000FF 5",
        &format!("ask 1 c {tie} ٣"),
        &format!("sync 1 c {tie}\n"),
        &format!("sync 01 c {tie}"),
        &format!("fresh 1 c {tie} 1 1 1 203.0.113.9"),
        &format!("fresh 1 c {tie} 1 1 1 203.0.113.9:5 5"),
        &format!("fresh 1 c {tie} 1 1 1 [2001:db8::9] 5"),
        &format!("fresh 1 c {tie} 1 1 1 2001:DB8::9 5"),
        &format!("fresh 1 c {tie} 1 1 1 fe80::1%3 5"),
        &format!("fresh 1 c {tie} 1 1 1 peer.example 5"),
    ] {
        assert_eq!(refused(text.to_owned()), MessageError::Malformed, "{text:?}");
    }
    assert_eq!(refused(format!("tell 1 c {tie} 5")), MessageError::Kind);
    assert_eq!(refused("ask ".repeat(33)), MessageError::TooLong);
    for text in [
        format!("sync 4294967296 c {tie}"),
        format!("ask 1 c {tie} 1099511627777"),
        format!("ask 1 c {tie} 99999999999999999999999999"),
        format!("answer 1 c {tie} 1 3 2"),
        format!("start 1 c {tie} 1 249999 0"),
        format!("start 1 c {tie} 1 2000001 0"),
        format!("start 1 c {tie} 1 250000 1000001"),
        format!("start 1 c {tie} 1 250000 4294967296"),
        format!("fresh 1 c {tie} 0 1 1 203.0.113.9 5"),
        format!("fresh 1 c {tie} 65536 1 1 203.0.113.9 5"),
        format!("fresh 1 c {tie} 1 0 1 203.0.113.9 5"),
        format!("fresh 1 c {tie} 1 4 1 203.0.113.9 5"),
        format!("fresh 1 c {tie} 1 1 1000001 203.0.113.9 5"),
        format!("fresh 1 c {tie} 1 1 1 203.0.113.9 0"),
        format!("fresh 1 c {tie} 1 1 1 203.0.113.9 65536"),
    ] {
        assert_eq!(refused(text.clone()), MessageError::Range, "{text}");
    }
}

#[cfg(feature = "serde")]
#[test]
fn in_json_a_message_is_a_string() {
    let message = SyncMessage { id: 7, from: LEADER, body: SyncBody::Ask { t1: 3 } };
    let json = serde_json::to_string(&message).unwrap();
    assert_eq!(json, "\"ask 7 c 0000000000000001 3\"");
    assert_eq!(serde_json::from_str::<SyncMessage>(&json).unwrap(), message);
    assert!(serde_json::from_str::<SyncMessage>("\"ask 7\"").is_err());
    assert!(serde_json::from_str::<SyncMessage>("7").is_err());
}

/// Any body, in its ranges or not.
fn body() -> impl Strategy<Value = SyncBody> {
    let time = || prop_oneof![0..2_000_000u64, any::<u64>(), 0..=1u64 << 40];
    prop_oneof![
        time().prop_map(|t1| SyncBody::Ask { t1 }),
        (time(), time(), time()).prop_map(|(t1, t2, t3)| SyncBody::Answer { t1, t2, t3 }),
        (time(), prop_oneof![250_000..2_000_000u64, any::<u64>()], any::<u32>())
            .prop_map(|(t0, every, round)| SyncBody::Start { t0, every, round }),
        time().prop_map(|t0| SyncBody::Agree { t0 }),
        Just(SyncBody::Connect),
        Just(SyncBody::Sync),
        (any::<u16>(), 0..5u8, any::<u32>(), any::<std::net::IpAddr>(), any::<u16>()).prop_map(
            |(component, attempt, round, ip, port)| {
                let address = (ip, port).into();
                SyncBody::Fresh(Offer { component, attempt, round, address })
            }
        ),
    ]
}

fn message() -> impl Strategy<Value = SyncMessage> {
    let from =
        (any::<bool>(), 0..4u64).prop_map(|(controls, tie_breaker)| Rank { controls, tie_breaker });
    let id = prop_oneof![0..10u32, any::<u32>()];
    (id, from, body()).prop_map(|(id, from, body)| SyncMessage { id, from, body })
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "(ask|answer|start|agree|sync)?[ 0-9a-fcd]{0,140}") {
        if let Ok(message) = text.parse::<SyncMessage>() {
            prop_assert_eq!(message.to_string(), text);
        }
    }

    #[test]
    fn a_message_comes_back_from_its_text_or_is_out_of_range(message in message()) {
        let read = message.to_string().parse();
        let expected = message.body.is_in_range().then_some(message).ok_or(MessageError::Range);
        prop_assert_eq!(read, expected);
    }

    /// Whatever comes, in whatever order: no panic, no start further ahead
    /// than 2 s, and a bounded number of messages.
    #[test]
    fn hostile_messages_do_no_harm(
        steps in proptest::collection::vec((message(), 0..300u64, 0..4u8), 0..200),
        base in prop_oneof![Just(0), any::<u64>()],
    ) {
        for mut timing in [
            Timing::sync(LEADER, Time::from_nanos(base)),
            Timing::sync(FOLLOWER, Time::from_nanos(base)),
            Timing::dcutr(LEADER, true),
            Timing::dcutr(FOLLOWER, false),
        ] {
            let mut now = Time::from_nanos(base);
            let mut sent = 0;
            timing.start(now);
            for (message, after, what) in &steps {
                now += millis(*after);
                match what {
                    0 => timing.refused(now),
                    1 => timing.handle_timeout(now),
                    2 => timing.set_role(after % 2 == 0, now),
                    _ => {}
                }
                timing.handle_message(now, message);
                if let Some(start) = timing.next_start(now) {
                    prop_assert!(start.at >= now && start.at - now <= millis(2_000));
                    timing.goes_first(start.round);
                }
                sent += std::iter::from_fn(|| timing.poll_message()).count();
            }
            prop_assert!(sent <= 64 + 3 * (5 + 3));
            if let Timing::Sync(sync) = timing {
                prop_assert!(sync.state() != SyncState::Idle);
            }
        }
    }
}
