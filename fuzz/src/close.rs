//! What a core owes when it is closed, whatever came before.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use floe::agent::{BaseId, Core, SocketOp, State};
use floe::timer::Time;

/// Closes `core`: it gives back each of its `sockets` and is silent.
pub(crate) fn close(core: &mut Core, sockets: &mut BTreeMap<BaseId, SocketAddr>, now: Time) {
    core.close(now);
    while let Some(op) = core.poll_socket_op() {
        if let SocketOp::Close { base } = op {
            sockets.remove(&base).expect("an open socket");
        }
    }
    assert!(sockets.is_empty(), "sockets are left");
    assert_eq!(core.poll_timeout(), None, "a timer is left");
    assert!(core.poll_transmit(&mut Vec::new()).is_none(), "sent after close");
    assert_eq!(core.state(), State::Closed);
}
