//! A rule in the first host's NAT that keeps the two hosts from each other, and
//! counts what it drops of one stream.

use crate::harness::namespace::Namespace;
use crate::topology::Lab;

/// The outer address of the second host's NAT.
const OTHER: &str = "203.0.113.2";

/// Bytes of a UDP header.
const HEADER: usize = 8;

/// A gate, closed at first.
pub(crate) struct Gate<'a> {
    nat: &'a Namespace,
    payload: usize,
}

impl<'a> Gate<'a> {
    /// It counts datagrams with payloads of this length.
    pub(crate) fn new(lab: &'a Lab, payload: usize) -> Self {
        let gate = Gate { nat: &lab.nats[0][0], payload };
        gate.nat.nft(
            "add table ip gate
            add counter ip gate dropped
            add chain ip gate forward { type filter hook forward priority -10; }",
        );
        gate.close();
        gate
    }

    pub(crate) fn open(&self) {
        self.nat.nft("flush chain ip gate forward");
    }

    pub(crate) fn close(&self) {
        let length = self.payload + HEADER;
        let rules = ["saddr", "daddr"].map(|end| {
            format!(
                "add rule ip gate forward ip {end} {OTHER} udp length {length} counter name dropped
                add rule ip gate forward ip {end} {OTHER} drop"
            )
        });
        self.nat.nft(&rules.join("\n"));
    }

    /// How many of the stream's datagrams it has dropped so far.
    pub(crate) fn dropped(&self) -> usize {
        let said = self.nat.nft("list counter ip gate dropped");
        let mut words = said.split_whitespace().skip_while(|word| *word != "packets");
        let count = words.nth(1).and_then(|count| count.parse().ok());
        count.unwrap_or_else(|| panic!("nft names no packets: {said}"))
    }
}
