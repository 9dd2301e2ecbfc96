//! Why TCP connects nowhere in the cells where it cannot, as each agent tells
//! it.
//!
//! ```text
//! cargo test --features cli --test lab -- --ignored --nocapture reasons
//! ```

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::agents::{Agents, run};
use crate::harness::session::Side;
use crate::possible::{Transport, possible};
use crate::ready;
use crate::table::nat_matrix;
use crate::topology::{Cell, Lab};

/// The ladder's 39.5 s, and what comes before and after it.
const LIMIT: Duration = Duration::from_secs(80);
const WORKERS: usize = 12;

#[test]
#[ignore = "measures for minutes, by hand"]
fn reasons_where_tcp_is_impossible() {
    if !ready("reasons::reasons_where_tcp_is_impossible") {
        return;
    }
    let mut cells = nat_matrix();
    cells.retain(|cell| !possible(cell, Transport::Tcp));
    let (next, lines) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let line = format!("{cell:<70} {}", reasons(cell));
                    lines.lock().expect("no worker broke").push(line);
                }
            });
        }
    });
    let mut lines = lines.into_inner().expect("no worker broke");
    lines.sort();
    lines.iter().for_each(|line| println!("{line}"));
    assert!(lines.iter().all(|line| !line.contains("connected")), "what cannot be is not said");
}

/// What each side says of the pairs that lost.
fn reasons(cell: &Cell) -> String {
    let lab = Lab::new(cell);
    let mut session = Agents::simultaneous_open().start(&lab);
    session.extend(LIMIT * 2);
    session.until_gathered();
    session.forward();
    let over = |sides: &[Side; 2]| sides.iter().all(|side| side.since("failed").is_some());
    run(&mut session, Instant::now() + LIMIT, over);
    if session.sides.iter().any(|side| side.connected_at().is_some()) {
        return "connected".into();
    }
    for side in [0, 1] {
        session.tell(side, &json!({"type": "stats"}));
    }
    let told = |side: &Side| side.more.iter().any(|line| line["type"] == "stats");
    session.until("statistics", |sides| sides.iter().all(told));
    let words = session.sides.each_ref().map(|side| {
        let stats = side.more.iter().filter(|line| line["type"] == "stats");
        let pairs = stats.filter_map(|line| line["pairs"].as_array()).flatten();
        let word = |pair: &serde_json::Value| {
            ["why", "error", "reason"].iter().find_map(|key| pair[*key].as_str()).map(Into::into)
        };
        let words: BTreeSet<String> = pairs.filter_map(word).collect();
        words.into_iter().collect::<Vec<_>>().join(", ")
    });
    // What has failed does not exit as if it had not: nobody asks how.
    drop(session);
    format!("{:<32} {}", words[0], words[1])
}
