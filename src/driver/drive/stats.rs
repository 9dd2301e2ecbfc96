use std::time::SystemTime;

use super::{Machine, Shared};
use crate::agent::IceStats;
use crate::driver::stats::Stats;

impl Shared {
    pub(in crate::driver) fn stats(&self) -> Stats {
        let machine = self.machine.lock();
        let Machine { core, bases, tcp, components, ledger, .. } = &*machine;
        let own = bases.values().filter(|base| !base.shared);
        let IceStats { transports, local_candidates, remote_candidates, candidate_pairs } =
            core.stats();
        let transports = transports.into_iter().map(|transport| {
            let traffic = ledger.total((transport.stream, transport.component));
            (transport, traffic)
        });
        let candidate_pairs = candidate_pairs.into_iter().map(|pair| {
            let traffic = ledger.of(pair.path);
            (pair, traffic)
        });
        Stats {
            timestamp: SystemTime::now(),
            state: core.state(),
            role: core.role(),
            pacing: core.pacing(),
            pairs: core.streams().map(|stream| (stream, core.pairs(stream).collect())).collect(),
            transports: transports.collect(),
            local_candidates,
            remote_candidates,
            candidate_pairs: candidate_pairs.collect(),
            drops: *core.drops(),
            unrouted: own.map(|base| base.socket.router().unrouted()).sum::<u64>() + tcp.unrouted(),
            refused_connections: tcp.refused(),
            overflowed: components.values().map(|component| component.queue.dropped()).sum(),
        }
    }
}
