//! The messages of a log as a capture (pcapng) that Wireshark opens. They are
//! rebuilt from what the log says of them: what it does not say, such as
//! integrity and handshakes of TCP, is left out or made up, and said so.

mod blocks;
mod capture;
mod messages;
mod packets;
mod streams;

use super::reading::Log;
use blocks::Blocks;
use capture::Capture;

/// The comment on the whole file.
const COMMENT: &str = "Rebuilt by ice-probe explain from an event log, not captured. Messages are as \
                       the log keeps them: without MESSAGE-INTEGRITY, transactions of our own \
                       numbered. Of TCP there is what the log tells, the rest of each handshake is \
                       made up.";

/// The capture of the log's agents that `wanted` names, each on an interface
/// of its own.
pub(crate) fn of_log(log: &Log, wanted: impl Fn(Option<&str>) -> bool) -> Vec<u8> {
    let mut blocks = Blocks::new(COMMENT);
    let mut packets = Vec::new();
    for agent in log.agents().into_iter().filter(|agent| wanted(*agent)) {
        let interface = blocks.interface(&super::escape::clean(agent.unwrap_or("agent")));
        let lines = log.lines.iter().filter(|line| line.agent.as_deref() == agent);
        let captured = Capture::of(lines.map(|line| &line.record));
        packets.extend(captured.into_iter().map(|packet| (interface, packet)));
    }
    // Stable: what happened at one moment stays in its order.
    packets.sort_by_key(|(_, packet)| packet.at);
    let start = log.start.filter(|start| (0.0..1e11).contains(start)).unwrap_or_default();
    for (interface, packet) in &packets {
        blocks.packet(*interface, start, packet);
    }
    blocks.into_bytes()
}
