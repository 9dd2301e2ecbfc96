//! Two sides, and a server between them that may lie.

use super::*;
use crate::rng::{Rng, Seed};

fn code(text: &str) -> Code {
    text.parse().unwrap()
}

fn side(secret: &str, seed: u64) -> Exchange {
    Exchange::new(&code(secret), Rng::new(&Seed::from_number(seed)))
}

fn steps(exchange: &mut Exchange) -> Vec<Step> {
    std::iter::from_fn(|| exchange.poll()).collect()
}

/// The messages that it wants carried, and what else it said.
fn sent(exchange: &mut Exchange) -> (Vec<Vec<u8>>, Vec<Step>) {
    let (mut messages, mut others) = (Vec::new(), Vec::new());
    for step in steps(exchange) {
        match step {
            Step::Send(message) => messages.push(message),
            other => others.push(other),
        }
    }
    (messages, others)
}

/// Carries everything as an honest server does; what each said.
fn carry(a: &mut Exchange, b: &mut Exchange) -> [Vec<Step>; 2] {
    let mut said = [Vec::new(), Vec::new()];
    loop {
        let (from_a, a_said) = sent(a);
        let (from_b, b_said) = sent(b);
        said[0].extend(a_said);
        said[1].extend(b_said);
        if from_a.is_empty() && from_b.is_empty() {
            return said;
        }
        from_a.iter().for_each(|message| b.received(message));
        from_b.iter().for_each(|message| a.received(message));
    }
}

const CODE: &str = "7-crossover-clockwork";
const OTHER: &str = "7-crossover-clockwise";

fn trusted() -> [Exchange; 2] {
    let (mut a, mut b) = (side(CODE, 1), side(CODE, 2));
    a.met();
    b.met();
    carry(&mut a, &mut b);
    assert!(a.is_trusted() && b.is_trusted());
    [a, b]
}

#[test]
fn two_with_one_code_trust_each_other_and_tell_things() {
    let (mut a, mut b) = (side(CODE, 1), side(CODE, 2));
    assert_eq!(a.seal(b"too early"), None);
    a.met();
    b.met();
    let [said_a, said_b] = carry(&mut a, &mut b);
    let (Step::Trusted(of_a), Step::Trusted(of_b)) = (&said_a[0], &said_b[0]) else {
        panic!("{said_a:?} {said_b:?}")
    };
    assert_ne!(of_a, of_b);
    for plain in [b"hello".as_slice(), b"", &[7; MAX_SEALED]] {
        let sealed = a.seal(plain).unwrap();
        assert!(sealed.len() <= MAX_MESSAGE);
        b.received(&sealed);
        assert_eq!(steps(&mut b), [Step::Opened(plain.to_vec())]);
    }
    assert_eq!(a.seal(&[0; MAX_SEALED + 1]), None);
}

#[test]
fn the_room_is_part_of_what_is_proved() {
    let (mut a, mut b) = (side("7-crossover", 1), side("8-crossover", 2));
    a.met();
    b.met();
    assert_eq!(carry(&mut a, &mut b), [[Step::Wrong { left: 2 }], [Step::Wrong { left: 2 }]]);
}

#[test]
fn three_wrong_guesses_end_it_and_the_right_one_no_longer_counts() {
    let mut a = side(CODE, 1);
    for guess in 0..GUESSES {
        let mut b = side(OTHER, 2 + u64::from(guess));
        a.met();
        b.met();
        let [said, _] = carry(&mut a, &mut b);
        let left = GUESSES - guess - 1;
        let over = (left == 0).then_some(Step::Over);
        let expected: Vec<Step> = [Step::Wrong { left }].into_iter().chain(over).collect();
        assert_eq!(said, expected);
    }
    let mut b = side(CODE, 9);
    a.met();
    b.met();
    carry(&mut a, &mut b);
    assert!(!a.is_trusted() && !b.is_trusted());
}

/// The guesser reads our proof and goes; nobody is told that it was wrong.
#[test]
fn who_leaves_when_it_is_to_prove_itself_has_had_a_guess() {
    let (mut a, mut b) = (side(CODE, 1), side(OTHER, 2));
    for (left, comes_again) in [(2, false), (1, true)] {
        a.met();
        b.met();
        let (keys, _) = sent(&mut b);
        a.received(&keys[0]);
        sent(&mut a);
        if comes_again {
            a.met()
        } else {
            a.left()
        }
        let (_, said) = sent(&mut a);
        assert_eq!(said, [Step::Wrong { left }]);
    }
    a.left();
    assert_eq!(steps(&mut a), [], "nothing was shown since");
}

#[test]
fn after_a_wrong_guess_the_right_one_still_comes_in() {
    let (mut a, mut wrong, mut right) = (side(CODE, 1), side(OTHER, 2), side(CODE, 3));
    a.met();
    wrong.met();
    carry(&mut a, &mut wrong);
    a.left();
    a.met();
    right.met();
    carry(&mut a, &mut right);
    assert!(a.is_trusted() && right.is_trusted());
}

/// A server that gives a side its own messages back.
#[test]
fn what_is_reflected_proves_nothing() {
    let mut a = side(CODE, 1);
    a.met();
    let (key, _) = sent(&mut a);
    a.received(&key[0]);
    assert_eq!(steps(&mut a), [Step::Dropped]);
    let (mut a, mut b) = (side(CODE, 1), side(CODE, 2));
    a.met();
    b.met();
    let (keys, _) = sent(&mut b);
    a.received(&keys[0]);
    let (proofs, _) = sent(&mut a);
    a.received(proofs.last().unwrap());
    assert_eq!(steps(&mut a), [Step::Wrong { left: 2 }]);
    let [mut a, _] = trusted();
    let sealed = a.seal(b"candidate").unwrap();
    a.received(&sealed);
    assert_eq!(steps(&mut a), [Step::Dropped]);
}

#[test]
fn what_is_replayed_swapped_or_cut_is_dropped() {
    let [mut a, mut b] = trusted();
    let sealed: Vec<_> = (0..3_u8).map(|n| a.seal(&[n]).unwrap()).collect();
    b.received(&sealed[1]);
    assert_eq!(steps(&mut b), [Step::Opened(vec![1])]);
    b.received(&sealed[0]);
    b.received(&sealed[1]);
    for cut in 0..sealed[2].len() {
        b.received(&sealed[2][..cut]);
    }
    let said = steps(&mut b);
    assert!(said.iter().all(|step| *step == Step::Dropped), "{said:?}");
    b.received(&sealed[2]);
    assert_eq!(steps(&mut b), [Step::Opened(vec![2])], "and none of it did harm");
    // Of another meeting of the same two, by the same code.
    let [mut elsewhere, _] = {
        let (mut a, mut b) = (side(CODE, 3), side(CODE, 4));
        a.met();
        b.met();
        carry(&mut a, &mut b);
        [a, b]
    };
    b.received(&elsewhere.seal(b"candidate").unwrap());
    assert_eq!(steps(&mut b), [Step::Dropped]);
}

/// A server that plays with each side by itself, and knows all but the secret.
#[test]
fn a_server_in_the_middle_is_one_that_guesses() {
    let (mut a, mut b) = (side(CODE, 1), side(CODE, 2));
    let (mut to_a, mut to_b) = (side(OTHER, 3), side(OTHER, 4));
    for exchange in [&mut a, &mut b, &mut to_a, &mut to_b] {
        exchange.met();
    }
    let [said_a, _] = carry(&mut a, &mut to_a);
    let [said_b, _] = carry(&mut b, &mut to_b);
    assert_eq!([said_a, said_b], [[Step::Wrong { left: 2 }], [Step::Wrong { left: 2 }]]);
}

/// Every bit of every message of the handshake.
#[test]
fn nothing_of_the_handshake_may_be_changed() {
    let (mut a, mut b) = (side(CODE, 1), side(CODE, 2));
    a.met();
    b.met();
    let (key, _) = sent(&mut a);
    for at in 0..key[0].len() {
        let mut changed = key[0].clone();
        changed[at] ^= 1;
        let mut b = side(CODE, 2);
        b.met();
        let (key_of_b, _) = sent(&mut b);
        let mut a = side(CODE, 1);
        a.met();
        sent(&mut a);
        b.received(&changed);
        a.received(&key_of_b[0]);
        let [..] = carry(&mut a, &mut b);
        assert!(!a.is_trusted() && !b.is_trusted(), "{at}");
    }
    for message in [&[][..], &[0], &[1], &[2], &[3], &[1; 34], &[2; 33], &[9; 40]] {
        let mut a = side(CODE, 1);
        a.received(message);
        a.met();
        a.received(message);
        assert!(!a.is_trusted());
    }
}

/// Each state and each event: what is said, without messages that go out.
#[test]
fn every_state_takes_every_event() {
    let make = |state: usize| {
        let (mut a, mut b) = (side(CODE, 1), side(CODE, 2));
        let (mut key, mut proof, mut sealed) = (vec![1], vec![2], vec![3]);
        if state >= 1 {
            a.met();
            b.met();
            sent(&mut a).0.iter().for_each(|message| b.received(message));
            let messages = sent(&mut b).0;
            (key, proof) = (messages[0].clone(), messages[1].clone());
        }
        if state >= 2 {
            a.received(&key);
            let (messages, _) = sent(&mut a);
            b.received(&messages[0]);
            sealed = b.seal(b"x").unwrap();
        }
        if state == 3 {
            a.received(&proof);
        }
        if state == 4 {
            (0..3).for_each(|_| a.wrong_for_test());
        }
        steps(&mut a);
        (a, [key, proof, sealed])
    };
    let dropped = || vec![Step::Dropped];
    let none = Vec::new;
    let wrong = || vec![Step::Wrong { left: 2 }];
    let trusted = |a: &[Step]| matches!(a, [Step::Trusted(_)]);
    for state in 0..5 {
        let said = |event: &dyn Fn(&mut Exchange, &[Vec<u8>; 3])| {
            let (mut a, messages) = make(state);
            event(&mut a, &messages);
            sent(&mut a).1
        };
        let met = said(&|a, _| a.met());
        let left = said(&|a, _| a.left());
        let key = said(&|a, m| a.received(&m[0]));
        let proof = said(&|a, m| a.received(&m[1]));
        let sealed = said(&|a, m| a.received(&m[2]));
        let junk = said(&|a, _| a.received(b"\xffrubbish"));
        assert_eq!(junk, dropped(), "{state}");
        match state {
            // Alone, Over: nothing is expected.
            0 | 4 => assert_eq!(
                [met, left, key, proof, sealed],
                [none(), none(), dropped(), dropped(), dropped()]
            ),
            1 => assert_eq!(
                [met, left, key, proof, sealed],
                [none(), none(), none(), dropped(), dropped()]
            ),
            2 => {
                assert_eq!([met, left, key, sealed], [wrong(), wrong(), dropped(), dropped()]);
                assert!(trusted(&proof), "{proof:?}");
            }
            _ => {
                assert_eq!([met, left, key, proof], [none(), none(), dropped(), dropped()]);
                assert_eq!(sealed, [Step::Opened(b"x".to_vec())]);
            }
        }
    }
}

#[test]
fn nothing_secret_is_shown() {
    let [mut a, mut b] = trusted();
    b.received(&a.seal(b"password").unwrap());
    let shown = format!("{a:?} {:?} {:?}", steps(&mut b), side(CODE, 1));
    assert!(!shown.contains("crossover") && !shown.contains("112, 97"), "{shown}");
}
